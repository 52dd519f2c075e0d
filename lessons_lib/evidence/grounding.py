"""Grounding by proposals: which of a picture's boxes does a map choose?"""

from __future__ import annotations

import torch
from torch import Tensor

from lessons_lib.evidence.localisation import box_iou


def chosen_proposals(maps: Tensor, proposals: Tensor, *, alpha: float = 0.5) -> Tensor:
    """The number (B,) of the proposal whose map content, divided by its area to the power alpha, is largest.

    The rule by which ALBEF (Li et al., arXiv 2107.07651) is evaluated on RefCOCO+, with alpha = 0.5 in the released
    code: 0 favours large boxes, 1 small ones.

    Parameters
    ----------
    maps (B, H, W) >= 0.  proposals (B, P, 4) : x1, y1, x2, y2 in pixels; a pixel counts when its corner lies inside.

    Raises
    ------
    ValueError : shapes that do not fit.
    """
    if maps.ndim != 3 or proposals.ndim != 3 or proposals.shape[0] != len(maps) or proposals.shape[2] != 4:
        raise ValueError(
            f"maps (B, H, W) and proposals (B, P, 4) are needed, got {tuple(maps.shape)} and {tuple(proposals.shape)}"
        )
    height, width = maps.shape[1:]
    sums = torch.nn.functional.pad(maps.double().cumsum(1).cumsum(2), (1, 0, 1, 0))
    corners = proposals.long()
    x1, x2 = (corners[..., k].clamp(0, width) for k in (0, 2))
    y1, y2 = (corners[..., k].clamp(0, height) for k in (1, 3))
    row = torch.arange(len(maps), device=maps.device)[:, None]
    inside = sums[row, y2, x2] - sums[row, y1, x2] - sums[row, y2, x1] + sums[row, y1, x1]
    area = (proposals[..., 2:] - proposals[..., :2]).double().prod(-1).clamp(min=1e-6)
    return (inside / area**alpha).argmax(1)


def grounding_accuracy(
    maps: Tensor, proposals: Tensor, truth: Tensor, *, alpha: float = 0.5, overlap: float = 0.5
) -> Tensor:
    """Whether the chosen proposal overlaps the true box (B, 4) with an IoU of at least `overlap`, as (B,) float of 0 or 1."""
    if truth.shape != (len(maps), 4):
        raise ValueError(f"truth must be ({len(maps)}, 4), one box a map, got {tuple(truth.shape)}")
    best = chosen_proposals(maps, proposals, alpha=alpha)
    boxes = proposals[torch.arange(len(maps), device=maps.device), best]
    return (box_iou(boxes, truth) >= overlap).float()
