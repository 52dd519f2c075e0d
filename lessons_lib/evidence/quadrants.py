"""Four quadrants of a reasoning question and its sub-question, and where attention lies.

After Selvaraju et al., "SQuINTing at VQA Models", CVPR 2020 (arXiv 2001.06927).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Quadrants:
    """Shares of all pairs, of sum 1: what happened to the reasoning question and to its sub-question.

    both_right.  main_only : right for a wrong reason.  sub_only : the reasoning failed.  neither : undetermined.
    """

    both_right: float
    main_only: float
    sub_only: float
    neither: float

    @property
    def consistency(self) -> float:
        """P(sub right | main right), over all pairs; 0 where no reasoning question is answered rightly."""
        right = self.both_right + self.main_only
        return self.both_right / right if right else 0.0


def quadrants(main_right: Tensor, sub_right: Tensor) -> Quadrants:
    """Quadrants of P pairs, from whether each question (P,) bool was answered rightly.

    Count a whole test set at once: the mean of the batches' ratios is another number.

    Raises
    ------
    ValueError : shapes that differ, no pair, or tensors that are not bool.
    """
    if main_right.shape != sub_right.shape or main_right.ndim != 1 or not len(main_right):
        raise ValueError(
            f"both must be (P,), at least one pair, got {tuple(main_right.shape)} and {tuple(sub_right.shape)}"
        )
    if main_right.dtype != torch.bool or sub_right.dtype != torch.bool:
        raise ValueError(f"both must be bool, got {main_right.dtype} and {sub_right.dtype}")
    cells = (main_right & sub_right, main_right & ~sub_right, ~main_right & sub_right, ~main_right & ~sub_right)
    return Quadrants(*(float(cell.double().mean()) for cell in cells))


def mean_quadrants(metrics: Mapping[str, Sequence[float]]) -> Quadrants:
    """The means over seeds of an arm's metrics "both_right", "main_only", "sub_only" and "neither".

    Their consistency is the ratio of the means, which is not quite the mean of the seeds' ratios.
    """
    return Quadrants(*(sum(metrics[field.name]) / len(metrics[field.name]) for field in fields(Quadrants)))


def share_on(attention: Tensor, regions: Tensor) -> float:
    """Mean share of the attention (P, R) that lies on marked regions (P, R) bool; rows without a mark are left out.

    Raises
    ------
    ValueError : shapes that differ, or no marked region at all.
    """
    if attention.shape != regions.shape or attention.ndim != 2:
        raise ValueError(f"both must be (P, R), got {tuple(attention.shape)} and {tuple(regions.shape)}")
    marked = regions.any(1)
    if not marked.any():
        raise ValueError("no region is marked")
    return float((attention * regions).sum(1)[marked].mean())
