"""Batched drawing in torch: outlines as signed distances, anti-aliased over one pixel, and textured grounds.

Everything works on whole batches of planes (n, S, S), on the CPU as on a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

GROUNDS = ("grass", "sand", "water", "brick", "wood", "snow", "stone", "leaves")


# ---------------------------------------- objects: distance to the outline, < 0 inside, radius about 1
def _length(x: Tensor, y: Tensor) -> Tensor:
    return (x * x + y * y).sqrt()


def _wedge(x: Tensor, y: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Fold the plane into one of `count` equal wedges around the x axis, mirrored: y >= 0."""
    step = 2 * math.pi / count
    angle = torch.atan2(y, x)
    angle = (angle - step * torch.round(angle / step)).abs()
    radius = _length(x, y)
    return radius * torch.cos(angle), radius * torch.sin(angle)


def _star(x: Tensor, y: Tensor) -> Tensor:
    x, y = _wedge(y, x, 5)  # one tip lies on the x axis now
    tip, inner = 1.1, 0.47
    dx, dy = inner * math.cos(math.pi / 5) - tip, inner * math.sin(math.pi / 5)
    return (dy * (x - tip) - dx * y) / math.hypot(dx, dy)


def _heart(x: Tensor, y: Tensor) -> Tensor:
    x, y = x.abs(), y + 0.12  # a square on its corner and a half disc on each upper side
    side = 0.84
    disc = _length(x - side / 2, y - side / 2) - side / math.sqrt(2)
    return torch.minimum(disc, (x + y.abs() - side) / math.sqrt(2))


def _ring(x: Tensor, y: Tensor) -> Tensor:
    return (_length(x, y) - 0.7).abs() - 0.25


def _cross(x: Tensor, y: Tensor) -> Tensor:
    x, y = x.abs(), y.abs()
    return torch.minimum(torch.maximum(x - 0.95, y - 0.31), torch.maximum(x - 0.31, y - 0.95))


def _arrow(x: Tensor, y: Tensor) -> Tensor:
    y = y.abs()
    shaft = torch.maximum((x + 0.25).abs() - 0.75, y - 0.24)  # reaches into the head
    head = torch.maximum(-x, 0.64 * (x - 1.05) + 0.768 * y)
    return torch.minimum(shaft, head)


def _crescent(x: Tensor, y: Tensor) -> Tensor:
    x = x + 0.15
    return torch.maximum(_length(x, y) - 1, 0.8 - _length(x - 0.52, y))


def _drop(x: Tensor, y: Tensor) -> Tensor:
    x, y = x.abs(), y + 0.34  # a disc below and a cone that touches it
    ball, apex = 0.66, 1.45
    sine = ball / apex
    side = math.sqrt(1 - sine * sine) * x + sine * y - ball
    return torch.minimum(_length(x, y) - ball, torch.maximum(side, sine * ball - y))


def _gear(x: Tensor, y: Tensor) -> Tensor:
    hole = 0.3 - _length(x, y)
    disc = _length(x, y) - 0.74
    x, y = _wedge(x, y, 8)
    return torch.maximum(torch.minimum(disc, torch.maximum(x - 1.04, y - 0.17)), hole)


OUTLINES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "star": _star, "heart": _heart, "ring": _ring, "cross": _cross, "arrow": _arrow, "crescent": _crescent,
    "drop": _drop, "gear": _gear,
}  # fmt: skip
_BY_INDEX = tuple(OUTLINES.values())


# ---------------------------------------- grounds: named colours mixed by noise, waves and joints
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


def draw(picture: Tensor, scene: Tensor) -> Tensor:
    """Draw one object into each image (n, 3, S, S), in place.

    scene (n, 9): index into `OUTLINES`, centre x and y (pixels from the middle), radius (pixels), angle,
    opacity, RGB.
    Returns the masks (n, S, S), bool: pixels that the object covers at least half.
    """
    size = picture.shape[-1]
    kind, cx, cy, radius, angle, opacity = scene[:, :6, None, None].unbind(1)
    axis = torch.arange(size, device=picture.device) + 0.5 - size / 2
    x, y = (axis.view(1, 1, -1) - cx) / radius, (axis.view(1, -1, 1) - cy) / radius
    cosine, sine = torch.cos(angle), torch.sin(angle)
    u, v = cosine * x + sine * y, sine * x - cosine * y  # turned, and v points up
    distance = torch.empty_like(u)
    for index in kind.view(-1).unique().long().tolist():
        here = kind.view(-1) == index
        distance[here] = _BY_INDEX[index](u[here], v[here]) * radius[here]
    cover = (0.5 - distance).clamp(0, 1)
    light = (0.98 - 0.22 * (x + y)).clamp(0.6, 1.3)  # lit from the upper left
    rim = 1 - 0.5 * (1 + distance / (0.16 * radius)).clamp(0, 1)  # darker towards the outline
    paint = (scene[:, 6:, None, None] * (light * rim)[:, None]).clamp(0, 1)
    picture.lerp_(paint, (cover * opacity)[:, None].expand_as(paint))
    return cover >= 0.5
