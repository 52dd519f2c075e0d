"""Equalizer: name the gender word from the person, and stay undecided where the person cannot be seen.

Hendricks, Burns, Saenko, Darrell, Rohrbach, "Women also Snowboard: Overcoming Bias in Captioning Models", ECCV 2018,
arXiv 1803.09797. The words are what annotators wrote about how somebody looks; they are nobody's identity, and "person"
is a right answer.

Shapes: logits (B, L, V) of the word at each place, tokens (B, L) int64 of the true words, 0 is padding; women and men
are the vocabulary's numbers of the two sets of words.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

FORMS = ("quotient", "subtraction", "hinge")


def token_mask(tokens: Tensor, words: Sequence[int]) -> Tensor:
    """bool, shape of tokens: the places that hold ANY of the words, the union over words.

    Keeping the places of one word after another is an intersection: no place holds two words, so such a mask is
    zero everywhere and whatever it selects trains nothing.
    """
    _check_words(words)
    return torch.isin(tokens, torch.as_tensor(tuple(words), device=tokens.device))


def appearance_confusion_loss(
    masked_logits: Tensor, tokens: Tensor, women: Sequence[int], men: Sequence[int]
) -> Tensor:
    """Appearance Confusion Loss: on pictures without their persons, both sets of words must be equally likely.

    L_AC = 1/B sum_n sum_t 1[w_t in W or M] |sum_{g in W} p(g) - sum_{g in M} p(g)|, p the softmax of masked_logits.
    Each place is within [0, 1]: 0 where the sets are equally likely (also where both are unlikely). Nothing is
    detached: both probabilities move.

    Raises
    ------
    ValueError : shapes that do not fit; an empty set of words, a word in both sets or beyond the vocabulary.
    """
    _check(masked_logits, tokens, women, men)
    woman, man = _chances(masked_logits, women, men)
    return ((woman - man).abs() * token_mask(tokens, (*women, *men))).sum() / len(tokens)


def confident_loss(
    logits: Tensor,
    tokens: Tensor,
    women: Sequence[int],
    men: Sequence[int],
    *,
    form: str = "quotient",
    epsilon: float = 1e-5,
    margin: float = 0.1,
) -> Tensor:
    """Confident Loss: on whole pictures, the set of the true word must be likelier than the other set.

    L_Con = 1/B sum_n sum_t 1[w_t in W] F^W + 1[w_t in M] F^M, with right and wrong the summed probabilities of the true
    word's set and of the other. The forms are those of the authors' program (show_and_tell_model.py):

    "quotient" : wrong / (right + epsilon), in [0, 1 / epsilon]; about 1 where both are equally likely.
    "subtraction" : 1 - (right - wrong), in [0, 2].
    "hinge" : max(0, wrong - right + margin), in [0, 1 + margin].

    Nothing is detached: a quotient falls by less of the wrong set as by more of the right one, so probability may
    also move from the wrong set to neutral words.

    Raises
    ------
    ValueError : as `appearance_confusion_loss`, and an unknown form.
    """
    _check(logits, tokens, women, men)
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}")
    woman, man = _chances(logits, women, men)
    total = logits.new_zeros(())
    for right, wrong, words in ((woman, man, women), (man, woman, men)):
        if form == "quotient":
            each = wrong / (right + epsilon)
        elif form == "subtraction":
            each = 1 - (right - wrong)
        else:
            each = (wrong - right + margin).clamp(min=0)
        total = total + (each * token_mask(tokens, words)).sum()
    return total / len(tokens)


def caption_loss(logits: Tensor, tokens: Tensor, *, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of the true words: 1/B sum_n sum_t -weight_t log p(w_t), over all words that are no padding.

    A sum over the words of a caption, like the other terms: where it is a mean over words instead, as in the authors'
    program, the others weigh several times as much against it. weights (B, L) count words more or less.

    Raises
    ------
    ValueError : shapes that do not fit; no word counts.
    """
    _check_shapes(logits, tokens)
    weights = (tokens != 0).to(logits.dtype) * (1.0 if weights is None else weights)
    if weights.shape != tokens.shape:
        raise ValueError(f"weights must be {tuple(tokens.shape)} like tokens, got {tuple(weights.shape)}")
    if not weights.any():
        raise ValueError("no word counts: every token is padding or has the weight 0")
    each = F.cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction="none").view(tokens.shape)
    return (each * weights).sum() / len(tokens)


def masked_caption_loss(masked_logits: Tensor, tokens: Tensor, women: Sequence[int], men: Sequence[int]) -> Tensor:
    """Cross-entropy on pictures without their persons, in which the gender words do not count: the rest stays told.

    It is the extra term of the authors' training script (blocked_image_ce_weight). >= 0.

    Raises
    ------
    ValueError : as `appearance_confusion_loss` and `caption_loss`.
    """
    _check(masked_logits, tokens, women, men)
    return caption_loss(masked_logits, tokens, weights=(~token_mask(tokens, (*women, *men))).to(masked_logits.dtype))


def equalizer_loss(
    logits: Tensor,
    masked_logits: Tensor,
    tokens: Tensor,
    women: Sequence[int],
    men: Sequence[int],
    *,
    alpha: float = 1.0,
    beta: float = 10.0,
    mu: float = 1.0,
    masked: float = 1.0,
    form: str = "quotient",
) -> tuple[Tensor, dict[str, float]]:
    """alpha L_CE + beta L_AC + mu L_Con + masked L_CE on masked pictures; the defaults are the training script's weights.

    Returns
    -------
    (the total, {"caption", "confusion", "confident", "masked_caption": its terms before their weights}).
    """
    terms = {
        "caption": (alpha, caption_loss(logits, tokens)),
        "confusion": (beta, appearance_confusion_loss(masked_logits, tokens, women, men)),
        "confident": (mu, confident_loss(logits, tokens, women, men, form=form)),
        "masked_caption": (masked, masked_caption_loss(masked_logits, tokens, women, men)),
    }
    total = sum(weight * term for weight, term in terms.values() if weight)
    return total, {name: float(term.detach()) for name, (_, term) in terms.items()}


def mask_persons(images: Tensor, persons: Tensor, *, grow: int = 0) -> Tensor:
    """images (B, C, H, W) with the persons (B, H, W) bool painted over with each image's own mean colour.

    grow : pixels by which the painted region reaches beyond the persons (the authors draw a wide outline), so that
    less of the shape can be read from its border. Outside it, nothing changes.

    Raises
    ------
    ValueError : shapes that do not fit, or grow below 0.
    """
    if images.ndim != 4 or persons.shape != (len(images), *images.shape[2:]):
        raise ValueError(
            f"images must be (B, C, H, W) and persons (B, H, W), got {tuple(images.shape)} and {tuple(persons.shape)}"
        )
    if grow < 0:
        raise ValueError(f"grow is a number of pixels, at least 0, got {grow}")
    wide = persons[:, None].to(images.dtype)
    if grow:
        wide = F.max_pool2d(wide, 2 * grow + 1, 1, grow)
    return torch.where(wide > 0.5, images.mean((2, 3), keepdim=True), images)


# ---------------------------------------- what the losses share
def _chances(logits: Tensor, women: Sequence[int], men: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Summed probabilities (B, L) of both sets of words."""
    chances = logits.softmax(-1)
    return chances[..., list(women)].sum(-1), chances[..., list(men)].sum(-1)


def _check_words(words: Sequence[int]) -> None:
    if len(tuple(words)) == 0:
        raise ValueError("a set of words is empty: give the numbers of at least one word")


def _check_shapes(logits: Tensor, tokens: Tensor) -> None:
    if logits.ndim != 3 or tokens.shape != logits.shape[:2]:
        raise ValueError(
            f"logits must be (B, L, V) and tokens (B, L), got {tuple(logits.shape)} and {tuple(tokens.shape)}"
        )


def _check(logits: Tensor, tokens: Tensor, women: Sequence[int], men: Sequence[int]) -> None:
    _check_shapes(logits, tokens)
    for words in (women, men):
        _check_words(words)
        if not all(0 < int(word) < logits.shape[2] for word in words):
            raise ValueError(f"words must be numbers from 1 to {logits.shape[2] - 1}, got {list(words)}")
    both = set(women) & set(men)
    if both:
        raise ValueError(f"a word stands in both sets: {sorted(both)}")
