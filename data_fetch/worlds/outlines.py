"""The outlines of the shapes world as signed distances, drawn anti-aliased over one pixel in whole batches."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


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
