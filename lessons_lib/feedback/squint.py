"""SQuINT: look at the same places for a reasoning question as for the perception questions that it rests on.

Selvaraju, Tendulkar, Parikh, Horvitz, Ribeiro, Nushi, Kamar, "SQuINTing at VQA Models: Introspecting VQA Models with
Sub-Questions", CVPR 2020, arXiv 2001.06927. No program of the authors is known; "the re-implementation" is
sergiotasconmorales/consistency_vqa. The paper compares attention, not gradients.

Shapes: attention of the main question (B, *P) over positions P: (N,) regions, (h, w) a grid or (T, h, w) with T glimpses;
of its sub-question (B, *P), or of S sub-questions (B, S, *P). pairs, bool (B,) or (B, S): which of them exist. Row by
row both questions are about the same picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lessons_lib.feedback.hint import answer_loss


def attention_distances(main: Tensor, sub: Tensor, *, detach_sub: bool = False) -> Tensor:
    """Mean squared difference over positions of every pair: (B,), or (B, S) for S sub-questions.

    Within [0, 2 / N] for attention over N positions that sums to 1: the more positions, the smaller it is, and the more
    weight it needs. Give it attention after its softmax. Scores before the softmax may differ by a constant that
    changes no attention, and still count here; the re-implementation compares those.

    detach_sub : the sub-question's attention is a constant target. Without it, as in the re-implementation, both move,
        and the sub-question may also come to look where the main question does.

    Raises
    ------
    ValueError : shapes that do not fit.
    """
    many = sub.ndim - main.ndim
    if main.ndim < 2 or many not in (0, 1) or len(sub) != len(main) or sub.shape[1 + many :] != main.shape[1:]:
        raise ValueError(
            f"attention of the main question must be (B, *P) and of its sub-questions (B, *P) or (B, S, *P), got "
            f"{tuple(main.shape)} and {tuple(sub.shape)}"
        )
    sub = sub.detach() if detach_sub else sub
    main = main[:, None] if many else main
    return (main - sub).square().flatten(1 + many).mean(-1)


def attention_loss(main: Tensor, sub: Tensor, *, pairs: Tensor | None = None, detach_sub: bool = False) -> Tensor:
    """The mean of `attention_distances` over the pairs that exist; 0 where none does.

    Every pair weighs the same, so a main question with three sub-questions weighs three times as much as one with one.

    Raises
    ------
    ValueError : shapes that do not fit; pairs that are not bool.
    """
    if pairs is None:
        return attention_distances(main, sub, detach_sub=detach_sub).mean()
    many = max(0, sub.ndim - main.ndim)
    if pairs.shape != sub.shape[: 1 + many] or pairs.dtype != torch.bool:
        raise ValueError(f"pairs must be bool {tuple(sub.shape[: 1 + many])}, got {tuple(pairs.shape)}, {pairs.dtype}")
    sub = torch.where(pairs.view(pairs.shape + (1,) * (sub.ndim - pairs.ndim)), sub, 0)  # so that padding may be NaN
    distances = attention_distances(main, sub, detach_sub=detach_sub)
    return torch.where(pairs, distances, 0).sum() / pairs.sum().clamp(min=1)


def squint_loss(
    main_logits: Tensor,
    main_targets: Tensor,
    sub_logits: Tensor,
    sub_targets: Tensor,
    main_attention: Tensor | Sequence[Tensor],
    sub_attention: Tensor | Sequence[Tensor],
    *,
    attention_weight: float = 1.0,
    sub_weight: float = 1.0,
    pairs: Tensor | None = None,
    detach_sub: bool = False,
) -> tuple[Tensor, dict[str, float]]:
    """BCE(main) + attention_weight MSE(attention) + sub_weight BCE(sub), for one sub-question a main question.

    The paper's weights are not known (the re-implementation has attention_weight 1 and no separate sub_weight):
    `gradient_norms` says what a weight amounts to. attention_weight 0 is the baseline that is fine-tuned on
    sub-questions alone. With several attentions, such as over a grid and over regions, give sequences: their losses are
    added. Rows that are no pair count in BCE(main) alone.

    Returns
    -------
    (the total, {"main", "attention", "sub": its terms before their weights}).

    Raises
    ------
    ValueError : shapes that do not fit; sequences of different lengths.
    """
    mains, subs = ([one] if isinstance(one, Tensor) else list(one) for one in (main_attention, sub_attention))
    if len(mains) != len(subs) or not mains:
        raise ValueError(f"give as many attentions of both questions, at least one, got {len(mains)} and {len(subs)}")
    if sub_logits.shape != main_logits.shape:
        raise ValueError(
            f"sub_logits must be {tuple(main_logits.shape)} like main_logits, got {tuple(sub_logits.shape)}"
        )
    attention = sum(attention_loss(*both, pairs=pairs, detach_sub=detach_sub) for both in zip(mains, subs))
    if pairs is None or pairs.all():
        sub = answer_loss(sub_logits, sub_targets)
    elif pairs.any():
        sub = answer_loss(sub_logits[pairs], sub_targets[pairs])
    else:
        sub = main_logits.new_zeros(())
    terms = {"main": answer_loss(main_logits, main_targets), "attention": attention, "sub": sub}
    total = terms["main"] + attention_weight * attention + sub_weight * sub
    return total, {name: float(term.detach()) for name, term in terms.items()}


def gradient_norms(terms: Mapping[str, Tensor], parameters: Sequence[nn.Parameter]) -> dict[str, float]:
    """Euclidean norm of every term's own gradient with respect to the parameters, to balance a sum of losses by.

    A term that reads 0 trains nothing: it is at its minimum, or it was cut from the weights. The graph is kept and no
    `.grad` is touched.

    Raises
    ------
    ValueError : a term that is no single number; no parameters.
    """
    parameters = list(parameters)
    if not parameters:
        raise ValueError("give at least one parameter")
    norms = {}
    for name, term in terms.items():
        if term.numel() != 1:
            raise ValueError(f"the term {name!r} must be a single number, got {tuple(term.shape)}")
        if not term.requires_grad:
            norms[name] = 0.0
            continue
        found = torch.autograd.grad(term.sum(), parameters, retain_graph=True, allow_unused=True)
        norms[name] = sum(float(one.square().sum()) for one in found if one is not None) ** 0.5
    return norms
