"""Draws a bird, part by part, from its skeleton and colours. `render.py` puts the pieces on top of each other.

Each function draws one piece with a pen whose origin is the piece's own: body centre, head centre, start of the tail.
What belongs to no part (rims, marks, gleams) is painted with part 0, so that it never changes the map of parts.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from data_fetch.worlds.birds.coat import Coat, against
from data_fetch.worlds.birds.skeleton import BILL_LENGTH, TAIL_LENGTH, Skeleton
from data_fetch.worlds.birds.vocabulary import GROUPS, PART
from data_fetch.worlds.raster import Pen, joined, within

BREAST, WING = (0.45, -0.30), (-0.20, 0.10)  # their middles, in half lengths and half heights of the body
_BACK = 0.36  # half heights: what lies higher is back
_INK = (0.07, 0.06, 0.06)


def _rim(pen: Pen, shape: Tensor, opacity: float = 0.55, width: float = 0.8) -> None:
    """A soft dark line outside of a shape."""
    pen.fill(shape - width, _INK, opacity=opacity)


def _axis(angle: Tensor, along: float | Tensor, across: float | Tensor) -> tuple[Tensor, Tensor]:
    cosine, sine = torch.cos(angle), torch.sin(angle)
    return along * cosine - across * sine, along * sine + across * cosine


def _waves(pen: Pen, angle: Tensor, along: Tensor, across: Tensor, level: Tensor | float) -> Tensor:
    """Marks as a shape: where the product of two cosines is above `level`; `along`, `across` radians a unit."""
    cosine, sine = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    p, q = pen.u * cosine + pen.v * sine, pen.v * cosine - pen.u * sine
    wave = torch.cos(p * along[:, None, None]) * torch.cos(q * across[:, None, None])
    level = level[:, None, None] if isinstance(level, Tensor) else level
    return (level - wave) * 2.2


def _periods(scale: Tensor, usual: float, least: float = 3.2) -> Tensor:
    """Radians a unit of a wave that is `usual` units long, and at least `least` pixels."""
    return 2 * math.pi / torch.clamp(least / scale, min=usual)


# ---------------------------------------- pieces
def tail(pen: Pen, k: Skeleton, c: Coat, kind: str) -> None:
    """One of the shapes of has_tail_shape; the origin is where it leaves the body."""
    length = TAIL_LENGTH[GROUPS["has_tail_shape"].index(kind)] + 0.14 * k.a

    def at(p: float, q: float) -> tuple[Tensor, Tensor]:
        return _axis(k.tail_turn, p * length, q)

    if kind == "squared_tail":
        shape = pen.polygon([at(-0.2, 0.10), at(-0.2, -0.10), at(1, -0.13), at(1, 0.13)])
    elif kind == "pointed_tail":
        shape = pen.polygon([at(-0.2, 0.10), at(-0.2, -0.10), at(0.45, -0.09), at(1, 0.0), at(0.45, 0.09)])
    elif kind == "forked_tail":
        upper = pen.polygon([at(-0.1, 0.10), at(-0.1, -0.05), at(0.45, -0.02), at(1, 0.20), at(0.7, 0.18)])
        lower = pen.polygon([at(-0.1, -0.10), at(-0.1, 0.05), at(0.45, 0.02), at(1, -0.20), at(0.7, -0.18)])
        shape = joined(upper, lower)
    else:
        wedge = pen.polygon([at(-0.1, 0.07), at(-0.1, -0.07), at(1.1, -0.42), at(1.1, 0.42)])
        shape = within(wedge, pen.ellipse((0.0, 0.0), (length, length)))
    _rim(pen, shape)
    pen.fill(shape, c.rgb["tail"], PART["tail"])
    striped = c.has("has_tail_pattern", "striped")
    bands = _waves(pen, k.tail_turn, _periods(k.scale, 0.19), torch.zeros_like(k.a), 0.55)
    pen.fill(within(bands, shape), against(c.rgb["tail"]), opacity=0.8, when=striped)
    c.shade(pen)


def legs(pen: Pen, k: Skeleton, c: Coat) -> None:
    """Two legs with toes; the origin is between the hips."""
    width = torch.clamp(1.25 / k.scale, min=0.06)
    drop = k.foot_y - k.hip_y
    for shift, bright in ((0.13, 0.85), (-0.05, 1.0)):
        foot = (shift + 0.05, drop + 0.03)
        leg = pen.stroke([(shift - 0.02, 0.0), (shift - 0.05, 0.45 * drop), foot], width)
        toes = pen.stroke([(foot[0] - 0.07, foot[1] - 0.02), (foot[0] + 0.13, foot[1] - 0.02)], width * 0.9)
        pen.fill(joined(leg, toes), c.rgb["leg"] * bright, PART["leg"])


def body(pen: Pen, k: Skeleton, c: Coat) -> None:
    """Neck, belly and back; the origin is the middle of the body."""
    shoulder, head = k.along(0.45, 0.05), (k.head_x, k.head_y)
    neck = pen.stroke([shoulder, head], k.neck)
    trunk = pen.ellipse((0.0, 0.0), (k.a, k.b), k.slope)
    _rim(pen, joined(trunk, neck))
    pen.fill(neck, c.rgb["nape"], PART["nape"])
    dx, dy = head[0] - shoulder[0], head[1] - shoulder[1]
    pen.fill(within(neck, pen.half(shoulder, (-dy, dx))), c.rgb["breast"], PART["breast"])
    pen.fill(trunk, c.rgb["belly"], PART["belly"])
    back = within(trunk, pen.half(k.along(0.0, _BACK), _axis(k.slope, 0.0, -1.0)))
    pen.fill(back, c.rgb["back"], PART["back"])
    c.shade(pen)


def breast(pen: Pen, k: Skeleton, c: Coat) -> None:
    """The front of the trunk, plain or with spots, streaks or one broad band; the origin is `BREAST`."""

    def at(p: float, q: float) -> tuple[Tensor, Tensor]:
        return tuple(one - other for one, other in zip(k.along(p, q), k.along(*BREAST), strict=True))

    trunk = pen.ellipse(at(0.0, 0.0), (k.a, k.b), k.slope)
    ahead = _axis(k.slope - 0.45, 1.0, 0.0)
    front = pen.half(at(0.12, 0.0), (-ahead[0], -ahead[1]))
    shape = within(trunk, front, pen.half(at(0.0, _BACK), _axis(k.slope, 0.0, 1.0)))
    pen.fill(shape, c.rgb["breast"], PART["breast"])
    colour = against(c.rgb["breast"])
    spotted, striped = c.has("has_breast_pattern", "spotted"), c.has("has_breast_pattern", "striped")
    wave = _periods(k.scale, 0.20)
    marks = _waves(pen, k.slope, wave, torch.where(spotted, wave, 0.0), torch.where(spotted, 0.42, 0.60))
    pen.fill(within(marks, shape), colour, opacity=0.85, when=spotted | striped)
    x, y = at(0.52, 0.0)
    near = pen.half((x + 0.06 * ahead[0], y + 0.06 * ahead[1]), ahead)
    far = pen.half((x - 0.06 * ahead[0], y - 0.06 * ahead[1]), (-ahead[0], -ahead[1]))
    pen.fill(within(near, far, shape), colour, opacity=0.95, when=c.has("has_breast_pattern", "multi-colored"))
    c.shade(pen)


def wing(pen: Pen, k: Skeleton, c: Coat) -> None:
    """The folded wing; the origin is its own middle."""
    turn = k.slope - 0.10
    length, depth = 0.74 * k.a, 0.50 * k.b
    oval = pen.ellipse((0.0, 0.0), (length, depth), turn)
    tip = pen.polygon(
        [
            _axis(turn, 0.1 * length, 0.93 * depth),
            _axis(turn, -1.35 * length, -0.15 * depth),
            _axis(turn, -0.2 * length, -0.9 * depth),
        ]
    )
    shape = joined(oval, tip)
    _rim(pen, shape, 0.35, 0.6)
    pen.fill(shape, c.rgb["wing"], PART["wing"])
    spotted, striped, barred = (c.has("has_wing_pattern", value) for value in GROUPS["has_wing_pattern"][1:])
    wave = _periods(k.scale, 0.20)
    along = torch.where(striped, 0.0, torch.where(barred, wave * 0.62, wave))
    across = torch.where(barred, 0.0, wave)
    marks = _waves(pen, turn, along, across, torch.where(spotted, 0.30, torch.where(barred, 0.55, 0.45)))
    pen.fill(within(marks, shape), against(c.rgb["wing"]), opacity=0.82, when=spotted | striped | barred)
    c.shade(pen)


def bill(pen: Pen, k: Skeleton, c: Coat, kind: str) -> None:
    """One of the shapes of has_bill_shape; the origin is the middle of the head."""
    length = BILL_LENGTH[GROUPS["has_bill_shape"].index(kind)]
    start, thick = 0.80 * k.r, torch.clamp(0.8 / k.scale, min=0.035)

    def at(p: float, q: float | Tensor) -> tuple[Tensor, Tensor]:
        return _axis(k.pitch, start + p * (length + 0.2 * k.r), q - 0.04)

    if kind == "curved":
        shape = pen.stroke([at(0, 0.02), at(0.4, 0.015), at(0.75, -0.06), at(1, -0.19)], 2 * thick)
    elif kind == "spatulate":
        blade = pen.stroke([at(0, 0.02), at(0.75, -0.02)], 2.2 * thick)
        shape = joined(blade, pen.ellipse(at(0.80, -0.03), (0.125, 0.085), k.pitch))
    elif kind == "hooked":
        top = pen.polygon([at(0, 0.11), at(0, -0.09), at(0.72, -0.06), at(1, 0.02), at(0.6, 0.10)])
        shape = joined(top, pen.polygon([at(0.6, 0.06), at(1, 0.02), at(0.98, -0.17)]))
    else:
        half = {"all-purpose": 0.085, "cone": 0.165, "dagger": 0.085}[kind]
        shape = pen.polygon([at(0, half), at(0, -half), at(1, -0.01)])
    _rim(pen, shape, 0.6, 0.7)
    pen.fill(shape, c.rgb["bill"], PART["bill"])
    c.shade(pen)


def head(pen: Pen, k: Skeleton, c: Coat) -> None:
    """Crest, cheek, throat, nape, crown, marks and eye; the origin is the middle of the head."""

    def at(p: float, q: float) -> tuple[Tensor, Tensor]:
        return _axis(k.pitch, p * k.r, q * k.r)

    crested = c.has("has_head_pattern", "crested")
    crest = pen.polygon([at(0.45, 0.72), at(-0.75, 0.45), at(-1.28, 1.45)])
    skull = pen.ellipse((0.0, 0.0), k.r)
    bib = pen.ellipse(at(0.22, -0.92), (0.52 * k.r, 0.42 * k.r), k.pitch - 0.5)
    pen.fill(crest - 0.8, _INK, opacity=0.5, when=crested)
    pen.fill(crest, c.rgb["crown"], PART["crown"], when=crested)
    _rim(pen, skull, 0.45, 0.7)
    pen.fill(skull, c.rgb["cheek"], PART["cheek"])
    pen.fill(joined(within(skull, pen.half(at(0.0, -0.36), at(0.2, 1.0))), bib), c.rgb["throat"], PART["throat"])
    pen.fill(within(skull, pen.half(at(-0.42, 0.0), at(1.0, 0.25))), c.rgb["nape"], PART["nape"])
    pen.fill(within(skull, pen.half(at(0.0, 0.42), at(0.10, -1.0))), c.rgb["crown"], PART["crown"])
    eye = at(0.28, -0.02)
    _head_marks(pen, k, c, skull, at)
    c.shade(pen)
    _eye(pen, k, c, eye)


def _head_marks(pen: Pen, k: Skeleton, c: Coat, skull: Tensor, at) -> None:
    colour = against(c.rgb["cheek"])
    thick = torch.clamp(1.3 / k.scale, min=0.0)
    mask = pen.stroke([at(0.95, -0.02), at(-0.75, 0.04)], torch.maximum(0.42 * k.r, thick))
    pen.fill(within(mask, skull), colour, opacity=0.95, when=c.has("has_head_pattern", "masked"))
    brow = pen.stroke([at(0.92, 0.34), at(-0.75, 0.42)], torch.maximum(0.22 * k.r, thick))
    pen.fill(within(brow, skull), colour, opacity=0.95, when=c.has("has_head_pattern", "eyebrow"))


def _eye(pen: Pen, k: Skeleton, c: Coat, eye: tuple[Tensor, Tensor]) -> None:
    """An iris in a ring that stands out from it, a pupil and a gleam."""
    r = torch.maximum(0.21 * k.r, 0.78 / k.scale)
    pen.fill(pen.ellipse(eye, r + 0.5 / k.scale), against(c.rgb["eye"]), opacity=0.8)
    pen.fill(pen.ellipse(eye, r), c.rgb["eye"], PART["eye"])
    large = k.scale * r > 1.9
    pen.fill(pen.ellipse(eye, 0.42 * r), _INK, when=large)
    gleam = (eye[0] + 0.35 * r, eye[1] + 0.35 * r)
    pen.fill(pen.ellipse(gleam, 0.25 * r), (1.0, 1.0, 1.0), opacity=0.8, when=large)
