"""Is what was learned still there? Accuracy over tasks, forgetting, and how far the explanations have drifted.

An accuracy matrix (T, T) has in row t the accuracies, after task t, on the test pictures of each task; what had not
been learned by then (above the diagonal) is ignored and may be NaN.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def average_accuracy(matrix: Tensor) -> float:
    """ACC: the mean of the last row."""
    return float(_checked(matrix)[-1].mean())


def backward_transfer(matrix: Tensor) -> float:
    """BWT = sum_{i < T} (a_{T,i} - a_{i,i}) / (T - 1), as in GEM; negative where later tasks cost earlier ones.

    0 for one task.
    """
    matrix = _checked(matrix)
    if len(matrix) == 1:
        return 0.0
    return float((matrix[-1] - matrix.diagonal())[:-1].mean())


def forgetting(matrix: Tensor) -> float:
    """The mean over earlier tasks of the best accuracy that was ever reached less the last one; -1 to 1, 0 for one task.

    Chaudhry et al., "Riemannian Walk for Incremental Learning", arXiv 1801.10112: the best is taken over the tasks before
    the last, so that a task that gains at the end counts as negative.
    """
    matrix = _checked(matrix)
    if len(matrix) == 1:
        return 0.0
    reached = matrix[:-1, :-1].amax(0)  # zeros above the diagonal are below any accuracy
    return float((reached - matrix[-1, :-1]).mean())


def map_drift(now: Tensor, kept: Tensor) -> Tensor:
    """(B,) in [0, 1] for maps (B, h, w) >= 0: 1 - cosine of each map to the one that was kept; 0 is no drift.

    A map that is zero everywhere has no direction: where only one of the two is, the drift is 1; where both are, 0.

    Raises
    ------
    ValueError : maps of different shapes.
    """
    if now.shape != kept.shape or now.ndim != 3:
        raise ValueError(f"maps must be (B, h, w), the same shape, got {tuple(now.shape)} and {tuple(kept.shape)}")
    one, other = now.flatten(1), kept.flatten(1)
    empty = ~one.any(1) & ~other.any(1)
    return (1 - F.cosine_similarity(one, other, dim=1)).masked_fill(empty, 0).clamp(min=0)


def _checked(matrix: Tensor) -> Tensor:
    """The matrix with zeros above its diagonal."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise ValueError(f"an accuracy matrix is (T, T), got {tuple(matrix.shape)}")
    known = torch.ones_like(matrix, dtype=torch.bool).tril()
    if not torch.isfinite(matrix[known]).all():
        raise ValueError("accuracies on and below the diagonal must be finite")
    return matrix.masked_fill(~known, 0.0)
