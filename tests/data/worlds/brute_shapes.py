"""The shapes of a pen from first principles: a rule for a point, in double precision, on every pixel's centre."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from data_fetch.worlds.raster import Pen


def _full(value) -> Tensor | float:
    return value.double()[:, None, None] if isinstance(value, Tensor) and value.ndim == 1 else value


class FirstPrinciples:
    """Goes before a pen class: the same drawing functions then decide each pixel by point-wise rules.

    parts : as a pen's.  close : the pixels that some outline passes by so closely that rounding decides.
    """

    def prepare(self) -> None:
        shape = self.parts.shape
        self.u, self.v = (plane.double().expand(shape).clone() for plane in (self.u, self.v))
        self.close = torch.zeros(shape, dtype=torch.bool)

    def fill(self, shape, colour, part=0, *, opacity=1.0, when=None, outline=None, width=1.0):
        assert outline is None
        shape = shape.double().expand(self.parts.shape)
        inside, close = shape < 0, shape.abs() < 1e-3
        if when is not None:
            inside, close = inside & when[:, None, None], close & when[:, None, None]
        if part:
            self.parts[inside] = part
            self.close |= close

    def _at(self, centre, angle):
        u, v = self.u - _full(centre[0]), self.v - _full(centre[1])
        if angle is None:
            return u, v
        angle = angle if isinstance(angle, Tensor) else torch.tensor([float(angle)])
        bearing, distance = torch.atan2(v, u) - _full(angle), (u * u + v * v).sqrt()
        return distance * torch.cos(bearing), distance * torch.sin(bearing)

    def ellipse(self, centre, radii, angle=None):
        a, b = (_full(r) for r in (radii if isinstance(radii, tuple) else (radii, radii)))
        u, v = self._at(centre, angle)
        return (u**2 * b**2 + v**2 * a**2 - a**2 * b**2) * self.scale / (a * b)

    def box(self, centre, half, angle=None, round=0.0):
        u, v = self._at(centre, angle)
        right, up = u.abs() - (_full(half[0]) - round), v.abs() - (_full(half[1]) - round)
        corner = (right > 0) & (up > 0)
        straight = torch.where(right > up, right, up) - round
        return torch.where(corner, torch.hypot(right, up) - round, straight) * self.scale

    def polygon(self, points):
        crossed = torch.zeros(self.u.shape, dtype=torch.bool)
        near = torch.full(self.u.shape, math.inf, dtype=torch.float64)
        for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]]):
            x0, y0, x1, y1 = (torch.as_tensor(_full(c)).double().expand(self.u.shape) for c in (x0, y0, x1, y1))
            at = x0 + (self.v - y0) / (y1 - y0) * (x1 - x0)
            crossed ^= ((y0 > self.v) != (y1 > self.v)) & (self.u < at)
            near = torch.minimum(near, self._segment(x0, y0, x1, y1))
        return torch.where(crossed, -near, near) * self.scale

    def _segment(self, x0, y0, x1, y1):
        """Beside the segment the height of a triangle over it, beyond its ends the distance to the nearer end."""
        length = torch.hypot(x1 - x0, y1 - y0)
        first, last = torch.hypot(self.u - x0, self.v - y0), torch.hypot(self.u - x1, self.v - y1)
        height = ((x1 - x0) * (self.v - y0) - (y1 - y0) * (self.u - x0)).abs() / length
        beyond = (first**2 > last**2 + length**2) | (last**2 > first**2 + length**2)
        return torch.where(beyond, torch.minimum(first, last), height)

    def stroke(self, points, width, closed=False):
        ends = [*points, points[0]] if closed else list(points)
        near = None
        for (x0, y0), (x1, y1) in pairwise(ends):
            corners = (torch.as_tensor(_full(c)).double().expand(self.u.shape) for c in (x0, y0, x1, y1))
            found = self._segment(*corners)
            near = found if near is None else torch.minimum(near, found)
        return (near - _full(width) / 2) * self.scale

    def half(self, point, direction):
        bearing = math.atan2(direction[1], direction[0])
        u, v = self._at(point, None)
        return (u * math.cos(bearing) + v * math.sin(bearing)) * self.scale


class BrutePen(FirstPrinciples, Pen):
    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.prepare()
