"""Does the map lie where the evidence is? Pointing game, energy, boxes, overlap.

Every function takes one map an image, (B, H, W); several targets an image are flattened first:
`maps.flatten(0, 1)`.

References
----------
Zhang et al., "Top-down Neural Attention by Excitation Backprop", 2016 (pointing game).
Wang et al., "Score-CAM", 2020 (energy-based pointing game).
Selvaraju et al., "Grad-CAM", arXiv 1610.02391 (boxes at 15 % of the maximum).
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from lessons_lib.explain.maps import to_unit


def check_maps(maps: Tensor, name: str = "maps") -> Tensor:
    """`maps` without its graph, at least in float32; raise when it is not a finite batch (B, H, W).

    Raises
    ------
    TypeError : not a floating-point tensor.  ValueError : not three axes, empty, NaN or infinite.
    """
    if not isinstance(maps, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor of shape (B, H, W), not {type(maps).__name__}")
    if not maps.is_floating_point():
        raise TypeError(f"{name} must be floating point, got {maps.dtype}")
    if maps.ndim != 3:
        hints = {
            2: "; add the batch axis with maps[None]",
            4: "; join targets and images: maps.flatten(0, 1)",
        }
        hint = hints.get(maps.ndim, "")
        raise ValueError(f"{name} must have 3 axes (B, H, W), got shape {tuple(maps.shape)}{hint}")
    if maps.numel() == 0:
        raise ValueError(f"{name} is empty: shape {tuple(maps.shape)}")
    if not torch.isfinite(maps).all():
        raise ValueError(f"{name} contain NaN or infinite values: they cannot be scored")
    maps = maps.detach()
    return maps.float() if maps.dtype in (torch.float16, torch.bfloat16) else maps


def check_masks(masks: Tensor, like: Tensor | None = None, *, allow_empty: bool = True) -> None:
    """Raise when `masks` is not bool (B, H, W), of another shape than `like`, or (unless allowed) empty."""
    if not isinstance(masks, Tensor) or masks.dtype != torch.bool:
        got = masks.dtype if isinstance(masks, Tensor) else type(masks).__name__
        raise TypeError(f"masks must be a bool tensor (B, H, W), got {got}; write masks > 0 for a 0/1 mask")
    if masks.ndim != 3 or masks.numel() == 0:
        raise ValueError(f"masks must have 3 axes (B, H, W) and not be empty, got shape {tuple(masks.shape)}")
    if like is not None and masks.shape != like.shape:
        raise ValueError(
            f"masks of shape {tuple(masks.shape)} do not fit maps of shape {tuple(like.shape)}: bring the "
            "maps to the masks' size with lessons_lib.explain.upsample"
        )
    if not allow_empty and not masks.flatten(1).any(1).all():
        empty = (~masks.flatten(1).any(1)).nonzero().flatten().tolist()
        raise ValueError(f"masks {empty[:10]} mark no pixel: there is nothing to hit; leave these images out")


def pointing_game(maps: Tensor, masks: Tensor, *, tolerance: float = 0) -> Tensor:
    """The pointing game: does the map's maximum lie on the object? Accuracy is the mean over images.

    A maximum that several pixels share counts by the share of them that hit: the expected result of picking
    one at random. `argmax` would take the first in reading order and favour objects at the top left. A
    constant map (also an all-zero one) therefore scores the mask's share of the area, which is chance.

    Parameters
    ----------
    maps : (B, H, W), finite.
    masks : bool (B, H, W), the object's pixels; each marks at least one.
    tolerance : a maximum within this Euclidean distance, in pixels, of the mask is a hit too (the original
        game allows 15).

    Returns
    -------
    Tensor (B,), float, in [0, 1].

    Raises
    ------
    TypeError, ValueError : shapes, NaN or infinite maps, an empty mask, a negative tolerance.
    """
    maps = check_maps(maps)
    check_masks(masks, maps, allow_empty=False)
    if not 0 <= tolerance < math.inf:
        raise ValueError(f"tolerance must be a distance >= 0 in pixels, got {tolerance!r}")
    near = _within(masks.to(maps.device), tolerance).flatten(1)
    peaks = (maps == maps.amax((1, 2), keepdim=True)).flatten(1)
    return (peaks & near).sum(1).to(maps.dtype) / peaks.sum(1)


def _within(masks: Tensor, radius: float) -> Tensor:
    """Pixels at most `radius` (Euclidean) from the mask: one horizontal maximum a row of the disc."""
    reach = min(int(radius), max(masks.shape[1:]) - 1)
    if reach < 1:
        return masks
    height = masks.shape[1]
    near = torch.zeros_like(masks)
    for dy in range(-min(reach, height - 1), min(reach, height - 1) + 1):
        half = min(math.floor(math.sqrt(radius**2 - dy**2)), masks.shape[2] - 1)
        wide = F.max_pool1d(masks.float(), 2 * half + 1, stride=1, padding=half) > 0
        low, high = max(dy, 0), height + min(dy, 0)
        near[:, low:high] |= wide[:, low - dy : high - dy]
    return near


def energy_pointing(maps: Tensor, masks: Tensor) -> Tensor:
    """Energy-based pointing game: the share of the positive relevance that lies inside the mask, (B,).

    Negative relevance is left out. A uniform map scores the mask's share of the area; scaling a map changes
    nothing; a map that is nowhere positive scores 0. With mosaics as images and the target class's tile as
    mask the same number is called Focus.

    Raises
    ------
    TypeError, ValueError : as `pointing_game`.
    """
    maps = check_maps(maps)
    check_masks(masks, maps, allow_empty=False)
    positive = to_unit(maps)  # a largest value of 1: the sums neither overflow nor vanish
    inside = (positive * masks.to(maps.device)).sum((1, 2))
    total = positive.sum((1, 2))
    return inside / torch.where(total > 0, total, torch.ones_like(total))


def inside_outside(maps: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Mean positive relevance inside and outside the mask, each (B,), of maps scaled to a mean of 1.

    Grad-CAM's measure for captions (arXiv 1610.02391): the ratio of the two, over boxes of what the words name. A
    uniform map has 1 and 1, and so has a map that is nowhere positive. Take the ratio of averages over many maps: that of
    a single map that is zero outside is infinite.

    Raises
    ------
    TypeError, ValueError : as `pointing_game`; a mask that covers the whole map.
    """
    maps = check_maps(maps)
    check_masks(masks, maps, allow_empty=False)
    masks = masks.to(maps.device)
    if bool(masks.flatten(1).all(1).any()):
        raise ValueError("a mask covers its whole map: there is no outside to compare with")
    positive = to_unit(maps)
    mean = positive.mean((1, 2), keepdim=True)
    even = torch.where(mean > 0, positive / torch.where(mean > 0, mean, torch.ones_like(mean)), torch.ones_like(maps))
    inside = (even * masks).sum((1, 2)) / masks.sum((1, 2))
    outside = (even * ~masks).sum((1, 2)) / (~masks).sum((1, 2))
    return inside, outside


def threshold(maps: Tensor, share: float = 0.15) -> Tensor:
    """bool (B, H, W): pixels of at least `share` times the map's maximum and above 0; none for a map <= 0."""
    maps = check_maps(maps)
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1], got {share!r}")
    return (maps >= share * maps.amax((1, 2), keepdim=True)) & (maps > 0)


def largest_component(masks: Tensor, *, connectivity: int = 8) -> Tensor:
    """The largest connected segment of each mask, bool (B, H, W); an empty mask stays empty.

    connectivity : 8 (pixels that touch at a corner are connected) or 4 (only those that share an edge). Of
        equally large segments the first in reading order is kept.
    """
    check_masks(masks)
    if connectivity not in (4, 8):
        raise ValueError(f"connectivity must be 4 or 8, got {connectivity!r}")
    structure = ndimage.generate_binary_structure(2, 1 if connectivity == 4 else 2)
    kept = np.zeros(tuple(masks.shape), dtype=bool)
    for mask, out in zip(masks.cpu().numpy(), kept):
        labels, count = ndimage.label(mask, structure)
        if count:
            out[:] = labels == 1 + np.bincount(labels.ravel())[1:].argmax()
    return torch.from_numpy(kept).to(masks.device)


def boxes_of_masks(masks: Tensor) -> Tensor:
    """The tightest box around each mask, LongTensor (B, 4): x0, y0, x1, y1 in pixels, x1 and y1 exclusive.

    An empty mask gives the empty box (0, 0, 0, 0).
    """
    check_masks(masks)
    sides = []
    for axis in (1, 2):  # over y: which columns are occupied; over x: which rows
        occupied = masks.any(axis).to(torch.uint8)
        first, last = occupied.argmax(1), occupied.shape[1] - occupied.flip(1).argmax(1)
        sides.append(torch.stack([first, last], 1) * occupied.any(1, keepdim=True))
    return torch.stack([sides[0][:, 0], sides[1][:, 0], sides[0][:, 1], sides[1][:, 1]], 1)


def box_of_map(maps: Tensor, share: float = 0.15) -> Tensor:
    """The box of the weakly supervised localisation protocol, LongTensor (B, 4), as in `boxes_of_masks`.

    Binarise at 15 % of the map's maximum, keep the largest connected segment, draw the tightest box around it
    (Grad-CAM, section on weakly supervised localisation). A map that is nowhere positive gives the empty box
    (0, 0, 0, 0).
    """
    return boxes_of_masks(largest_component(threshold(maps, share)))


def box_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of boxes (B, 4) with boxes (B, 4), one by one: (B,); 0 for two empty boxes."""
    _check_boxes(boxes)
    _check_boxes(others)
    if boxes.shape != others.shape:
        raise ValueError(f"boxes must pair up, got {tuple(boxes.shape)} and {tuple(others.shape)}")
    boxes, others = boxes.double(), others.double().to(boxes.device)
    overlap = torch.minimum(boxes[:, 2:], others[:, 2:]) - torch.maximum(boxes[:, :2], others[:, :2])
    area, other = _sides(boxes).prod(1), _sides(others).prod(1)
    shared = overlap.clamp(min=0).prod(1)
    union = area + other - shared
    return (shared / torch.where(union > 0, union, torch.ones_like(union))).float()


def _sides(boxes: Tensor) -> Tensor:
    return boxes[:, 2:] - boxes[:, :2]


def _check_boxes(boxes: Tensor) -> None:
    if not isinstance(boxes, Tensor) or boxes.ndim != 2 or boxes.shape[1] != 4:
        got = tuple(boxes.shape) if isinstance(boxes, Tensor) else type(boxes).__name__
        raise ValueError(f"boxes must be a tensor (B, 4) of x0, y0, x1, y1, got {got}")
    if not bool((_sides(boxes) >= 0).all()):  # NaN fails here too
        raise ValueError("boxes are x0, y0, x1, y1 with x0 <= x1 and y0 <= y1, not x, y, width, height")


def mask_iou(maps: Tensor, masks: Tensor, share: float = 0.15) -> Tensor:
    """Intersection over union of the thresholded map with the mask: (B,); 0 when both are empty."""
    region = threshold(maps, share)
    check_masks(masks, region)
    masks = masks.to(region.device)
    union = (region | masks).sum((1, 2))
    return (region & masks).sum((1, 2)) / union.clamp(min=1)


def masks_from_boxes(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes (B, 4) as masks, bool (B, H, W) for `size` = (H, W): the pixels whose centre lies in the box.

    Boxes are x0, y0, x1, y1 in pixels with x1 and y1 exclusive, whole or fractional; what lies outside is cut
    off.
    """
    _check_boxes(boxes)
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size must be (H, W), got {size!r}")
    inside = []
    for low, high, length in ((1, 3, size[0]), (0, 2, size[1])):
        centres = torch.arange(length, device=boxes.device) + 0.5
        inside.append((centres >= boxes[:, low, None]) & (centres < boxes[:, high, None]))
    return inside[0][:, :, None] & inside[1][:, None, :]
