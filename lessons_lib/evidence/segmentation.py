"""How well a map or a segmentation covers its object: overlap over all thresholds, coverage, mean IoU of classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lessons_lib.evidence.localisation import check_maps, check_masks, mask_iou, threshold

THRESHOLDS = tuple(n / 20 for n in range(1, 20))  # shares of a map's maximum: 0.05 to 0.95


def overlap(maps: Tensor, masks: Tensor, thresholds: Sequence[float] = THRESHOLDS) -> Tensor:
    """(B, thresholds): intersection over union of each mask with the map cut at each share of its maximum.

    Which cut is best depends on the method that drew the map; the mean over cuts favours none.

    Raises
    ------
    TypeError, ValueError : as `mask_iou`; no threshold.
    """
    if not len(thresholds):
        raise ValueError("at least one threshold is needed")
    return torch.stack([mask_iou(maps, masks, share) for share in thresholds], 1)


def coverage(maps: Tensor, masks: Tensor, thresholds: Sequence[float] = THRESHOLDS) -> Tensor:
    """(B, thresholds): the share of each object's pixels that the map cut at each share of its maximum covers.

    A map that covers the whole picture has 1: read it together with the overlap or the map's area.

    Raises
    ------
    TypeError, ValueError : as `pointing_game`; no threshold.
    """
    if not len(thresholds):
        raise ValueError("at least one threshold is needed")
    maps = check_maps(maps)
    check_masks(masks, maps, allow_empty=False)
    masks = masks.to(maps.device)
    inside = [(threshold(maps, share) & masks).sum((1, 2)) for share in thresholds]
    return torch.stack(inside, 1) / masks.sum((1, 2))[:, None]


def mean_iou(found: Tensor, true: Tensor, classes: int, *, void: int = 255) -> Tensor:
    """(classes,): the intersection over union of every class over all pixels of all pictures, as VOC counts it.

    found, true : integers (N, H, W), 0 to classes - 1; pixels whose truth is `void` do not count. NaN for a class that
    neither has: leave it out with `nanmean`.

    Raises
    ------
    ValueError : shapes that differ, a number out of range.
    """
    if found.shape != true.shape or found.ndim != 3:
        raise ValueError(f"found and true must be (N, H, W) both, got {tuple(found.shape)} and {tuple(true.shape)}")
    counted = true != void
    found, true = found[counted].long(), true[counted].long()
    for name, numbers in (("found", found), ("true", true)):
        if numbers.numel() and not 0 <= int(numbers.min()) <= int(numbers.max()) < classes:
            raise ValueError(
                f"{name} must be within 0 to {classes - 1}, got {int(numbers.min())} to {int(numbers.max())}"
            )
    table = torch.bincount(true * classes + found, minlength=classes**2).view(classes, classes).double()
    shared = table.diagonal()
    return (shared / (table.sum(0) + table.sum(1) - shared)).float()
