"""Masks of the clips world against every drawn shape, evaluated from first principles on the whole image in float64.

The world is rendered a second time with a pen and a canvas that know nothing of windows, planes or anti-aliasing:
a shape is a formula, a pixel belongs to the last shape that holds its centre. Done twice, with all shapes a hair
smaller and a hair larger: where the two differ, a centre lies on an outline, and it is left out.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from data_fetch.worlds.clips import CLASSES, clips
from data_fetch.worlds.clips import render as rendering
from data_fetch.worlds.clips import stills as stills_module

HAIR = 2e-3  # pixels


def _wide(value):
    """A number, or (n, 1, 1) of one a drawing."""
    return value.double()[:, None, None] if isinstance(value, Tensor) else value


class PlainPen:
    """The shapes of a pen as formulas over all pixel centres; `parts` is painted in order."""

    grow = 0.0

    def __init__(self, window, x, y, scale, *, angle=None, flip=None, image=None):
        side = image or window
        axis = torch.arange(side, dtype=torch.float64) + 0.5
        right = (axis[None, None, :] - _wide(x)) / _wide(scale)
        up = (_wide(y) - axis[None, :, None]) / _wide(scale)
        right, up = torch.broadcast_tensors(right, up)
        if angle is not None:
            cosine, sine = _wide(angle).cos(), _wide(angle).sin()
            right, up = cosine * right + sine * up, cosine * up - sine * right
        if flip is not None:
            right = torch.where(flip[:, None, None], -right, right)
        self.u, self.v, self.scale = right, up, _wide(scale)
        self.parts = torch.zeros(right.shape, dtype=torch.uint8)
        self.colours = torch.zeros(len(x), 4, 1, 1)

    def _turned(self, centre, angle):
        a, b, turn = (
            self.u - _wide(centre[0]),
            self.v - _wide(centre[1]),
            torch.as_tensor(0.0 if angle is None else angle),
        )
        cosine, sine = _wide(turn.double().cos().reshape(-1)), _wide(turn.double().sin().reshape(-1))
        return cosine * a + sine * b, -sine * a + cosine * b

    def ellipse(self, centre, radii, angle=None):
        rx, ry = (_wide(r) for r in (radii if isinstance(radii, tuple) else (radii, radii)))
        a, b = self._turned(centre, angle)
        return ((a**2 / rx**2 + b**2 / ry**2) ** 0.5 - 1) * self.scale * 2 * rx * ry / (rx + ry)

    def ring(self, centre, radii, width, angle=None):
        return self.ellipse(centre, radii, angle).abs() - self.scale * _wide(width) / 2

    def box(self, centre, half, angle=None, round=0.0):
        a, b = self._turned(centre, angle)
        a, b = a.abs() - _wide(half[0]) + round, b.abs() - _wide(half[1]) + round
        outside = (a.clamp(min=0) ** 2 + b.clamp(min=0) ** 2) ** 0.5
        flat = torch.maximum(a, b)
        return (torch.where((flat > 0) & (round > 0), outside, flat) - round) * self.scale

    def polygon(self, points):
        corners = [(_wide(x) + 0 * self.scale, _wide(y) + 0 * self.scale) for x, y in points]
        edges = list(zip(corners, [*corners[1:], corners[0]], strict=True))
        area = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in edges)
        worst = torch.full_like(self.u, -1e9)
        for (x0, y0), (x1, y1) in edges:
            length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
            cross = (x1 - x0) * (self.v - y0) - (y1 - y0) * (self.u - x0)
            worst = torch.maximum(worst, -torch.sign(area) * cross / length)
        return worst * self.scale

    def stroke(self, points, width, closed=False):
        ends = [*points, points[0]] if closed else points
        nearest = torch.full_like(self.u, 1e9)
        for (x0, y0), (x1, y1) in pairwise([(_wide(x), _wide(y)) for x, y in ends]):
            dx, dy = x1 - x0, y1 - y0
            along = (((self.u - x0) * dx + (self.v - y0) * dy) / (dx**2 + dy**2)).clamp(0, 1)
            away = ((self.u - x0 - along * dx) ** 2 + (self.v - y0 - along * dy) ** 2) ** 0.5
            nearest = torch.minimum(nearest, away)
        return (nearest - _wide(width) / 2) * self.scale

    def half(self, point, direction):
        a, b = self.u - _wide(point[0]), self.v - _wide(point[1])
        return (a * direction[0] + b * direction[1]) / (direction[0] ** 2 + direction[1] ** 2) ** 0.5 * self.scale

    def fill(self, shape, colour, part=0, *, opacity=1.0, when=None, outline=None, width=1.0):
        if part:
            inside = shape - (width / 2 if outline is not None else 0) < self.grow
            if when is not None:
                inside = inside & when[:, None, None]
            self.parts[inside] = part

    def shade(self, toward, amount):
        """Changes colours alone."""

    def sprite(self):
        return self

    def __getitem__(self, rows):
        chosen = object.__new__(type(self))
        chosen.parts = self.parts[rows]
        return chosen


class PlainCanvas:
    """Keeps who was pasted last on each pixel."""

    def __init__(self, images):
        self.images = images
        self.owner = torch.zeros(len(images), *images.shape[-2:], dtype=torch.uint8)

    def paste(self, sprite, rows, owner):
        for row, parts in zip(rows.tolist(), sprite.parts, strict=True):
            self.owner[row][parts > 0] = owner


def _plainly(monkeypatch: pytest.MonkeyPatch, grow: float, **arguments):
    with monkeypatch.context() as patch:
        patch.setattr(PlainPen, "grow", grow)
        for module in (rendering, stills_module):
            patch.setattr(module, "Pen", PlainPen)
            patch.setattr(module, "Canvas", PlainCanvas)
        patch.setattr(rendering._Flat, "hand_seen", lambda flat, side: torch.ones_like(flat.x, dtype=torch.bool))
        return clips(**arguments)


@pytest.mark.parametrize(("seed", "size"), [(0, 32), (1, 24), (2, 48)])
def test_masks_are_exact(monkeypatch, seed, size):
    arguments = {"count": len(CLASSES), "frames": 5, "size": size, "seed": seed}
    drawn = clips(**arguments)
    smaller, larger = (_plainly(monkeypatch, grow, **arguments) for grow in (-HAIR, HAIR))
    for name in ("masks", "hand_masks"):
        low, high, found = (getattr(data, name) for data in (smaller, larger, drawn))
        sure = low == high
        assert sure.float().mean() > 0.99
        wrong = (found != low) & sure
        assert not wrong.any(), f"{name}: {int(wrong.sum())} pixels, first in clip {torch.nonzero(wrong)[0].tolist()}"
    assert drawn.masks.any(-1).any(-1).float().mean() > 0.95, "the moved thing is nearly always in sight"
