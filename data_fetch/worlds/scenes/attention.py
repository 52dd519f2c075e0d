"""Where people look for an answer, simulated from what decides it: a few annotators who smear, miss and add a little."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from data_fetch.worlds.raster import hashed
from data_fetch.worlds.scenes.places import REGIONS

ANNOTATORS = 3  # whose maps are averaged
_STRAY = 0.3  # how hot the wrong spot of each annotator is, next to the evidence


def evidence_mask(owner: Tensor, region: Tensor, slots: tuple[int, ...], part: str = "") -> Tensor:
    """(S, S) bool: the visible pixels of the slots' things and of the part of the place ("*": all of the place)."""
    mask = torch.zeros(owner.shape, dtype=torch.bool, device=owner.device)
    for slot in slots:
        mask |= owner == slot + 1
    if part == "*":
        mask |= owner == 0
    elif part:
        mask |= (owner == 0) & (region == REGIONS.index(part))
    return mask


def human_attention(owner: Tensor, region: Tensor, slots: tuple[int, ...], part: str = "", *, seed: int = 0) -> Tensor:
    """(S, S) float in [0, 1], largest value 1: the mean of `ANNOTATORS` maps, as the reader of VQA-HAT averages them.

    Each annotator uncovers the evidence with a wide brush, a little beside it, and a spot somewhere else, less hot.
    Where nothing particular decides, they look over all the things. A stand-in for people: it knows the truth,
    and it is only as wrong as it is made here.
    """
    size = owner.shape[-1]
    mask = evidence_mask(owner, region, slots, part).float()
    if not mask.any():
        mask = 0.35 + 0.65 * (owner > 0).float()
    numbers = hashed(torch.arange(ANNOTATORS) + 65_537 * (seed + 1), 5)
    total = torch.zeros_like(mask)
    for aside, down, width, stray_x, stray_y in numbers.tolist():
        brush = 2 * max(1, round(size * (0.04 + 0.04 * width))) + 1
        found = _smear(_moved(mask, round((aside - 0.5) * size / 10), round((down - 0.5) * size / 10)), brush)
        stray = torch.zeros_like(mask)
        stray[int(stray_y * size), int(stray_x * size)] = 1.0
        stray = _smear(stray, brush)
        total += found / found.max() + _STRAY * stray / stray.max()
    return total / total.max()


def _moved(plane: Tensor, aside: int, down: int) -> Tensor:
    """The plane moved by so many pixels; its border is repeated."""
    height, width = plane.shape
    reach = max(abs(aside), abs(down))
    wide = F.pad(plane[None, None], (reach,) * 4, mode="replicate")[0, 0]
    return wide[reach - down : reach - down + height, reach - aside : reach - aside + width]


def _smear(plane: Tensor, brush: int) -> Tensor:
    """Twice the mean over a square of `brush` pixels: a smooth bump."""
    for _ in range(2):
        wide = F.pad(plane[None, None], (brush // 2,) * 4, mode="replicate")
        plane = F.avg_pool2d(wide, brush, 1)[0, 0]
    return plane
