"""Textured grounds: named colours mixed by noise, waves and joints, in whole batches on the CPU as on a GPU."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

GROUNDS = ("grass", "sand", "water", "brick", "wood", "snow", "stone", "leaves")


def _mix(low: Sequence[float], high: Sequence[float], share: Tensor) -> Tensor:
    ends = torch.tensor((low, high), device=share.device)
    return torch.lerp(ends[0].view(1, 3, 1, 1), ends[1].view(1, 3, 1, 1), share.clamp(0, 1)[:, None])


def ground(name: str, noise: dict[str, Tensor], size: int) -> Tensor:
    """(n, 3, S, S) of one ground. `noise`: planes (n, S, S) in [-1, 1] and phases (n, 1, 1) in [0, 1]."""
    coarse, fine, tall, wide, p, q = (noise[key] for key in ("coarse", "fine", "tall", "wide", "p", "q"))
    axis = (torch.arange(size, device=coarse.device) + 0.5) / size
    y, x = axis.view(1, -1, 1), axis.view(1, 1, -1)
    if name == "grass":
        return _mix((0.08, 0.28, 0.06), (0.50, 0.70, 0.22), 0.5 + 0.55 * tall + 0.2 * coarse)
    if name == "sand":
        ripple = torch.sin(2 * math.pi * (6 * y + 1.2 * x + p) + 1.6 * coarse)
        return _mix((0.72, 0.58, 0.38), (0.95, 0.86, 0.64), 0.5 + 0.22 * ripple + 0.3 * fine)
    if name == "water":
        wave = torch.sin(2 * math.pi * (5 * y + p) + 3.5 * wide)
        return _mix((0.04, 0.26, 0.48), (0.45, 0.78, 0.88), 0.40 + 0.3 * wave + 0.2 * coarse)
    if name == "brick":
        course = y * 6 + p * 6
        along = torch.remainder(x * 3 + q + 0.5 * torch.remainder(course.floor(), 2), 1)
        joint = ((torch.remainder(course, 1) < 0.16) | (along < 0.08)).float()
        wall = _mix((0.50, 0.19, 0.13), (0.74, 0.35, 0.25), 0.5 + 0.4 * fine + 0.3 * coarse)
        return torch.lerp(wall, torch.full_like(wall, 0.78), joint[:, None] * 0.85)
    if name == "wood":
        grain = torch.sin(2 * math.pi * (4 * y + p) + 4 * wide)
        plank = (torch.remainder(y * 3 + q, 1) < 0.07).float()
        return _mix((0.34, 0.19, 0.08), (0.72, 0.48, 0.26), 0.55 + 0.2 * grain + 0.25 * wide - 0.6 * plank)
    if name == "snow":
        return _mix((0.74, 0.82, 0.92), (1.0, 1.0, 1.0), 0.6 + 0.6 * coarse + 0.15 * fine)
    if name == "stone":
        crack = (coarse.abs() < 0.07).float()
        return _mix((0.28, 0.29, 0.32), (0.66, 0.66, 0.68), 0.55 + 0.3 * coarse + 0.3 * fine - 0.5 * crack)
    if name == "leaves":
        return _mix(
            (0.30, 0.09, 0.04),
            (0.88, 0.50, 0.12),
            0.15 + 0.7 * torch.sigmoid(9 * fine + 4 * coarse) + 0.2 * tall,
        )
    raise ValueError(f"unknown ground {name!r}; there are {GROUNDS}")


def texture(seeds: Tensor, size: int, noise: float) -> tuple[dict[str, Tensor], Tensor | None]:
    """Random planes for each image, drawn from its own seed: an image does not depend on the set it is in.

    Returns
    -------
    (planes: "coarse", "fine", "tall", "wide" (n, S, S) in [-1, 1] and "p", "q", "light" (n, 1, 1) in [0, 1];
    Gaussian noise (n, 3, S, S) of standard deviation `noise`, None when that is 0).
    """
    half = size // 2
    grids = {"coarse": (5, 5), "fine": (half, half), "tall": (4, size), "wide": (size, 4)}
    wanted = sum(a * b for a, b in grids.values()) + 3
    generator = torch.Generator()
    draws, grain = torch.empty(len(seeds), wanted), torch.empty(len(seeds), 3, size, size) if noise else None
    for row, seed in enumerate(seeds.tolist()):
        generator.manual_seed(seed)
        draws[row].uniform_(generator=generator)
        if noise:
            grain[row].normal_(0, noise, generator=generator)
    planes, start = {}, 3
    for name, (a, b) in grids.items():
        grid = draws[:, start : start + a * b].view(-1, 1, a, b) * 2 - 1
        planes[name] = F.interpolate(grid, size=(size, size), mode="bilinear", align_corners=False)[:, 0]
        start += a * b
    planes.update({key: draws[:, i].view(-1, 1, 1) for i, key in enumerate(("p", "q", "light"))})
    return planes, grain
