"""SOrT: the evidence for a reasoning question is closer to that for its sub-question than to that for an unrelated one.

Dharur, Tendulkar, Batra, Parikh, Selvaraju, "SOrT-ing VQA Models: Contrastive Gradient Learning for Improved
Consistency", NAACL 2021, arXiv 2010.10038. The authors' program is sameerdharur/mmf ("the release"), in which the
contrastive half of the loss is commented out; the paper's margin is not known.

Shapes: fused vectors of picture and question (B, D) and importance vectors (B, D); row by row the main question, its
sub-question and an irrelevant one are about the same picture. Maps (B, h, w), of Grad-CAM for example, do as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lessons_lib.feedback.hint import answer_loss, answer_score, score_gradient


def importance_vector(scores: Tensor, fused: Tensor, *, create_graph: bool = True) -> Tensor:
    """v = (d score / d J) * J, shape of the fused vectors J (B, D): Grad-CAM where there are no positions, no ReLU.

    The score (B,) is the true answer's logit (`answer_score`), not the predicted one's. Nothing is detached: with
    `create_graph` a loss on v reaches the weights above J through the gradient and those below through J, and through
    the gradient too where what follows J is not linear.

    Raises
    ------
    ValueError : shapes that do not fit; scores that do not depend on J.
    """
    if fused.ndim != 2:
        raise ValueError(f"fused must be (B, D), got {tuple(fused.shape)}")
    return score_gradient(scores, fused, create_graph=create_graph) * fused


def cosine_distance(first: Tensor, second: Tensor) -> Tensor:
    """1 - cos(first, second) of every row (B,), flattened; in [0, 2], the same for either times any positive number.

    A row of zeros has no direction: its distance is 1 and it moves nothing. (The release divides both by their largest
    entry before. A cosine does not see that, unless the largest entry is negative: then it changes the sign.)

    Raises
    ------
    ValueError : shapes that differ, or without a second axis.
    """
    if first.shape != second.shape or first.ndim < 2:
        raise ValueError(f"both must be (B, ...) of one shape, got {tuple(first.shape)} and {tuple(second.shape)}")
    return 1 - (_direction(first) * _direction(second)).sum(1)


def attraction_loss(main: Tensor, sub: Tensor) -> Tensor:
    """mean d(main, sub), d the `cosine_distance`: the half of the loss that the release trains. In [0, 2]; both move.

    It is 0 when all vectors are parallel, whatever the question: watch d(main, irrelevant), which may fall as well.

    Raises
    ------
    ValueError : shapes that differ.
    """
    return cosine_distance(main, sub).mean()


def contrastive_loss(
    main: Tensor, sub: Tensor, irrelevant: Tensor, *, margin: float = 0.0, batch_means: bool = False
) -> Tensor:
    """mean max(0, margin + d(main, sub) - d(main, irrelevant)): draws the sub-question near, drives the other away.

    In [0, margin + 2]; all three move, and a row that is ranked right by the margin costs and moves nothing. margin 0
    asks for the order alone: vectors that are all parallel cost nothing then, so the collapse of `attraction_loss` is
    allowed, though not asked for; a margin above 0 makes it cost `margin`.

    batch_means : the release's line (commented out there): the hinge of the batch's mean distances, not the mean of
        hinges. A row that is ranked wrongly is then paid for by others that are right by more.

    Raises
    ------
    ValueError : shapes that differ, or a margin outside 0 to 2.
    """
    if not 0 <= margin <= 2:
        raise ValueError(f"margin must be within 0 to 2, got {margin}")
    gap = cosine_distance(main, sub) - cosine_distance(main, irrelevant)
    return F.relu(margin + (gap.mean() if batch_means else gap)).mean()


def sort_loss(
    logits: Sequence[Tensor],
    targets: Sequence[Tensor],
    fused: Sequence[Tensor],
    *,
    answer_weight: float = 1 / 3,
    contrast_weight: float = 1.0,
    margin: float = 0.0,
    attraction_only: bool = False,
) -> tuple[Tensor, dict[str, float]]:
    """answer_weight (BCE(main) + BCE(sub) + BCE(irrelevant)) + contrast_weight `contrastive_loss`.

    logits (B, A), targets (B,) or (B, A) and fused (B, D) of the three questions in this order; the importance vectors
    are those of the true answers. The release's weights are 0.33 and 0.001 times the number of answers (3,129), so about
    3.1 for the second. attraction_only : `attraction_loss` in its place, which is what the release trains.

    Returns
    -------
    (the total, {"answers": the sum of the three, "contrast": the second term, before their weights}).

    Raises
    ------
    ValueError : not three of each; shapes that do not fit; logits that do not depend on their fused vector.
    """
    if {len(logits), len(targets), len(fused)} != {3}:
        raise ValueError(
            "give logits, targets and fused vectors of three questions (main, sub, irrelevant), got "
            f"{len(logits)}, {len(targets)} and {len(fused)}"
        )
    vectors = [importance_vector(answer_score(x, t), j) for x, t, j in zip(logits, targets, fused)]
    answers = sum(answer_loss(x, t) for x, t in zip(logits, targets))
    contrast = attraction_loss(*vectors[:2]) if attraction_only else contrastive_loss(*vectors, margin=margin)
    total = answer_weight * answers + contrast_weight * contrast
    return total, {"answers": float(answers.detach()), "contrast": float(contrast.detach())}


def _direction(vectors: Tensor) -> Tensor:
    """Rows (B, D) of length 1; zeros, with a gradient of zero, where there is no direction.

    Divided by the largest absolute entry first, a constant, so that squares of very small gradients do not vanish.
    """
    rows = vectors.flatten(1)
    largest = rows.detach().abs().amax(1, keepdim=True)
    some = largest > 0
    rows = torch.where(some, rows, 0) / torch.where(some, largest, 1)
    squared = rows.square().sum(1, keepdim=True)
    return rows / torch.where(some, squared, 1).sqrt()
