"""The birds' maps of parts against plain geometry: every filled shape is evaluated again, from first principles."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from data_fetch.worlds.birds import habitats, plumage, render
from data_fetch.worlds.birds.vocabulary import COVER
from data_fetch.worlds.birds.world import birds
from data_fetch.worlds.raster import Canvas, Pen, joined, within

_NEAR = 1e-3  # pixels from an outline at which single precision may decide either way


class Drawings:
    """What was drawn: shapes by the identity of their tensor, fills by pen, pens in the order of pasting."""

    def __init__(self):
        self.shapes, self.kept, self.pasted, self.pens = {}, [], [], {}

    def note(self, tensor: torch.Tensor, *what) -> torch.Tensor:
        self.kept.append(tensor)  # so that no other tensor gets its identity
        self.shapes[id(tensor)] = what
        return tensor

    def combine(self, kind, function, *tensors):
        return self.note(function(*tensors), kind, [self.shapes.get(id(t)) for t in tensors])


@pytest.fixture
def drawings(monkeypatch):
    book = Drawings()

    class Recorder(Pen):
        def __init__(self, window, x, y, scale, *, flip=None, image=None):
            super().__init__(window, x, y, scale, flip=flip, image=image)
            self.given = [t.double().numpy() for t in (x, y, scale)]
            self.mirrored = np.zeros(len(x), bool) if flip is None else flip.numpy()
            self.fills = []

        def ellipse(self, centre, radii, angle=None):
            return book.note(super().ellipse(centre, radii, angle), "ellipse", centre, radii, angle)

        def polygon(self, points):
            return book.note(super().polygon(points), "polygon", points)

        def stroke(self, points, width, closed=False):
            return book.note(super().stroke(points, width, closed), "stroke", points, width)

        def half(self, point, direction):
            return book.note(super().half(point, direction), "half", point, direction)

        def fill(self, shape, colour, part=0, **how):
            if part:
                self.fills.append((book.shapes[id(shape)], part, how.get("when")))
            super().fill(shape, colour, part, **how)

        def sprite(self):
            found = super().sprite()
            book.kept.append(found)
            book.pens[id(found)] = self
            return found

    class Table(Canvas):
        def paste(self, sprite, rows, owner):
            book.pasted.append((book.pens[id(sprite)], rows.numpy(), owner))
            super().paste(sprite, rows, owner)

    monkeypatch.setattr(render, "Pen", Recorder)
    monkeypatch.setattr(render, "Canvas", Table)
    for module in (plumage, habitats):
        monkeypatch.setattr(module, "joined", lambda *shapes: book.combine("joined", joined, *shapes))
    monkeypatch.setattr(plumage, "within", lambda *shapes: book.combine("within", within, *shapes))
    return book


def _number(value, n: int) -> float:
    return float(value[n]) if isinstance(value, torch.Tensor) else float(value)


def _to_segment(u, v, start, end):
    (x0, y0), (x1, y1) = start, end
    along = np.clip(((u - x0) * (x1 - x0) + (v - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2), 0, 1)
    return np.hypot(u - x0 - along * (x1 - x0), v - y0 - along * (y1 - y0))


def _signed(shape, n: int, u, v):
    """Below 0 inside; the size is a distance in units, or for an ellipse close to one."""
    kind, *given = shape
    if kind in ("joined", "within"):
        found = [_signed(part, n, u, v) for part in given[0]]
        return np.minimum.reduce(found) if kind == "joined" else np.maximum.reduce(found)
    if kind == "ellipse":
        (cx, cy), radii, angle = given
        rx, ry = radii if isinstance(radii, tuple) else (radii, radii)
        (cx, cy, rx, ry), turn = (_number(t, n) for t in (cx, cy, rx, ry)), 0.0 if angle is None else _number(angle, n)
        a, b = u - cx, v - cy
        p, q = a * np.cos(turn) + b * np.sin(turn), b * np.cos(turn) - a * np.sin(turn)
        return (np.sqrt((p / rx) ** 2 + (q / ry) ** 2) - 1) * min(rx, ry)
    if kind == "half":
        (x, y), (nx, ny) = ([_number(t, n) for t in pair] for pair in given)
        return ((u - x) * nx + (v - y) * ny) / np.hypot(nx, ny)
    points = [(_number(x, n), _number(y, n)) for x, y in given[0]]
    if kind == "stroke":
        nearest = np.minimum.reduce([_to_segment(u, v, *pair) for pair in pairwise(points)])
        return nearest - _number(given[1], n) / 2
    inside, edge = np.zeros(u.shape, bool), np.full(u.shape, np.inf)
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]]):  # the crossing-number rule
        crosses = (y0 > v) != (y1 > v)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= crosses & (u < x0 + (v - y0) * (x1 - x0) / (y1 - y0))
        edge = np.minimum(edge, _to_segment(u, v, (x0, y0), (x1, y1)))
    return np.where(inside, -edge, edge)


def _brute_force(book: Drawings, count: int, size: int):
    """The map of parts, and the pixels that are too near to an outline to tell."""
    parts, unsure = np.zeros((count, size, size), int), np.zeros((count, size, size), bool)
    rows, columns = np.mgrid[:size, :size] + 0.5
    for pen, images, owner in book.pasted:
        x, y, scale = pen.given
        for k, image in enumerate(images):
            u, v = (columns - x[k]) / scale[k], (y[k] - rows) / scale[k]
            u = -u if pen.mirrored[k] else u
            for shape, part, when in pen.fills:
                if when is None or bool(when[k]):
                    distance = _signed(shape, k, u, v) * scale[k]
                    parts[image][distance < 0] = part if owner == 1 else COVER
                    unsure[image] |= np.abs(distance) < _NEAR
    return parts, unsure


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_pixel_belongs_to_the_topmost_part_that_covers_its_centre(seed, drawings):
    """All pixels of the image are evaluated, so a window that cuts a piece off would be found too."""
    world = birds(40, size=40, seed=seed, hidden=0.5, variation=0.25)
    parts, unsure = _brute_force(drawings, 40, 40)
    assert unsure.mean() < 0.01, "nearly every pixel is decided"
    wrong = (parts != world.parts.numpy()) & ~unsure
    assert not wrong.any(), f"{wrong.sum()} pixels in images {np.unique(np.nonzero(wrong)[0])}"
    assert set(np.unique(parts)) == {*range(13), COVER}, "every part, the cover and the background occur"


@pytest.mark.parametrize("seed", [0, 3])
def test_every_bird_lies_inside_its_picture(seed):
    """Nothing is cut off: no part touches the border."""
    masks = birds(200, size=48, seed=seed, hidden=0.0).masks
    border = masks[:, [0, -1]].flatten(1).any(1) | masks[:, :, [0, -1]].flatten(1).any(1)
    assert not border.any(), torch.nonzero(border)[:, 0].tolist()
    assert float(masks.float().mean((1, 2)).min()) > 0.06
