"""Things that a person names at once, drawn by a pen: u to the right, v up, the middle of the thing at the origin."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from data_fetch.worlds.clips.actions import KINDS, THINGS
from data_fetch.worlds.raster import Pen, joined, within, without

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.82, 0.14, 0.15), "orange": (0.95, 0.52, 0.12), "yellow": (0.96, 0.82, 0.18),
    "green": (0.20, 0.60, 0.28), "blue": (0.16, 0.38, 0.80), "purple": (0.52, 0.26, 0.66),
    "pink": (0.93, 0.53, 0.66), "white": (0.93, 0.93, 0.91), "black": (0.15, 0.15, 0.18),
    "brown": (0.52, 0.34, 0.20), "grey": (0.62, 0.65, 0.69),
}  # fmt: skip
COLOUR_NAMES = tuple(COLOURS)
_WHITE, _BLACK = (0.96, 0.96, 0.94), (0.10, 0.10, 0.12)

# kind: (half the width, half the height, size against a cup, natural turn in radians, colours)
_LOOKS: dict[str, tuple[float, float, float, float, str]] = {
    "cup": (0.72, 0.82, 0.92, 0.0, "red blue green yellow white orange"),
    "ball": (0.82, 0.82, 0.88, 0.0, "red blue green yellow orange purple"),
    "book": (0.60, 0.80, 1.10, 0.0, "red blue green purple brown orange"),
    "box": (0.82, 0.72, 1.05, 0.0, "brown white red blue green pink"),
    "bottle": (0.40, 1.10, 1.05, 0.0, "green blue brown red pink"),
    "toy car": (1.00, 0.58, 1.10, 0.0, "red blue green yellow orange white"),
    "banana": (1.00, 0.50, 1.05, 0.0, "yellow green"),
    "apple": (0.78, 0.80, 0.80, 0.0, "red green yellow"),
    "pencil": (1.10, 0.15, 1.10, 0.35, "yellow red blue green black"),
    "phone": (0.46, 0.86, 1.00, 0.0, "black white blue pink red"),
    "spoon": (1.08, 0.28, 1.10, 0.30, "grey brown red green"),
    "hat": (1.08, 0.66, 1.08, 0.0, "black brown red blue green pink"),
    "teddy bear": (0.72, 1.06, 0.98, 0.0, "brown white pink orange grey"),
    "laptop": (1.00, 0.74, 1.10, 0.0, "grey black white pink"),
    "bowl": (1.00, 0.52, 1.15, 0.0, "white blue green red yellow"),
    "basket": (0.95, 0.62, 1.12, 0.0, "brown white grey"),
    "bucket": (0.80, 0.82, 1.05, 0.0, "blue red green yellow grey"),
    "cloth": (1.05, 0.90, 1.25, 0.0, "blue green pink purple white red"),
    "towel": (1.05, 0.90, 1.25, 0.0, "white yellow blue pink orange green"),
}
EXTENTS = torch.tensor([_LOOKS[name][:2] for name in KINDS])  # (kinds, 2), in the thing's units
SIZES = torch.tensor([_LOOKS[name][2] for name in KINDS])
TILTS = torch.tensor([_LOOKS[name][3] for name in KINDS])
PALETTES = {name: tuple(COLOUR_NAMES.index(c) for c in _LOOKS[name][4].split()) for name in KINDS}
RIMS = {"bowl": (0.30, 1.0, 0.22), "basket": (0.38, 0.95, 0.24), "bucket": (0.60, 0.80, 0.22)}  # v, half width, height
FRONTS = torch.tensor([_LOOKS[k][1] + RIMS[k][0] - RIMS[k][2] if k in RIMS else 0.0 for k in KINDS])
"""(kinds,) how high a container's front wall is, in its units."""
REACHES = {"book": 1.85, "box": 1.6, "laptop": 1.75, "cloth": 1.45, "towel": 1.45, "bucket": 1.35}
Draw = Callable[[Pen, Tensor, Tensor], None]


def dark(colour: Tensor, share: float) -> Tensor:
    return colour * share


def light(colour: Tensor, share: float) -> Tensor:
    return colour + (1 - colour) * share


def _cup(pen: Pen, c: Tensor, opening: Tensor) -> None:
    pen.fill(pen.ring((0.6, -0.02), (0.34, 0.38), 0.2), dark(c, 0.72), 1)
    body = joined(
        pen.polygon([(-0.62, 0.62), (0.62, 0.62), (0.48, -0.66), (-0.48, -0.66)]),
        pen.ellipse((0.0, -0.66), (0.48, 0.15)),
    )
    pen.fill(body, c, 1, outline=dark(c, 0.5))
    pen.fill(within(body, pen.box((0.45, 0.0), (0.22, 1.0))), dark(c, 0.78), opacity=0.7)
    pen.fill(pen.stroke([(-0.38, 0.3), (-0.3, -0.5)], 0.14), _WHITE, opacity=0.45)
    pen.fill(pen.ellipse((0.0, 0.62), (0.63, 0.19)), light(c, 0.45), 1, outline=dark(c, 0.55), width=0.7)
    pen.fill(pen.ellipse((0.0, 0.59), (0.5, 0.12)), (0.24, 0.13, 0.08))


def _ball(pen: Pen, c: Tensor, opening: Tensor) -> None:
    disc = pen.ellipse((0.0, 0.0), 0.82)
    pen.fill(disc, c, 1, outline=dark(c, 0.5))
    pen.fill(within(disc, pen.ring((-1.0, 0.35), (1.05, 1.15), 0.3)), _WHITE)
    pen.fill(within(disc, pen.ring((1.05, -0.3), (0.95, 1.05), 0.26)), light(c, 0.75))
    pen.fill(within(disc, without(disc, pen.ellipse((-0.14, 0.14), 0.8))), dark(c, 0.55), opacity=0.5)
    pen.fill(pen.ellipse((-0.32, 0.4), (0.2, 0.14), 0.6), _WHITE, opacity=0.7)


def _book(pen: Pen, c: Tensor, opening: Tensor) -> None:
    """Seen from above. The cover turns about the spine on the left: from over the pages to beside them."""
    turn = opening * math.pi
    edge, rise = -0.52 + 1.1 * torch.cos(turn), 0.42 * torch.sin(turn)
    opened = opening > 0.01
    pen.fill(pen.box((0.04, -0.04), (0.58, 0.76), round=0.05), dark(c, 0.55), 1)  # the back cover
    pen.fill(pen.box((0.02, -0.06), (0.52, 0.70)), (0.95, 0.93, 0.87), 1)
    for k in range(4):
        line = pen.box((0.04, 0.36 - 0.24 * k), (0.36, 0.035))
        pen.fill(line, (0.45, 0.45, 0.48), when=opened)
    leaf = pen.polygon([(-0.54, -0.74), (-0.54, 0.80), (edge, 0.80 + rise), (edge, -0.74 + rise)])
    inner = opening > 0.5
    paint = torch.where(inner[:, None], torch.tensor([0.90, 0.88, 0.82], device=c.device), c)
    pen.fill(leaf, paint, 1, outline=dark(c, 0.5))
    still = opening < 0.01
    pen.fill(pen.box((0.06, 0.34), (0.34, 0.13)), light(c, 0.75), when=still)
    pen.fill(pen.box((0.06, -0.30), (0.22, 0.05)), light(c, 0.6), when=still)
    pen.fill(pen.box((-0.45, 0.03), (0.07, 0.76)), dark(c, 0.6), opacity=0.7, when=still)


def _box(pen: Pen, c: Tensor, opening: Tensor) -> None:
    """Seen from the front and a little above. The lid turns about the back edge."""
    turn = opening * 2.0
    edge, spread = 0.62 - 0.38 * torch.cos(turn) + 0.72 * torch.sin(turn), 0.82 - 0.1 * torch.sin(turn)
    pen.fill(pen.polygon([(-0.82, 0.24), (0.82, 0.24), (0.68, 0.62), (-0.68, 0.62)]), dark(c, 0.28), 1)
    lid = pen.polygon([(-0.68, 0.62), (0.68, 0.62), (spread, edge + 0.001), (-spread, edge + 0.001)])
    inside = (opening > 0.25)[:, None]
    pen.fill(lid, torch.where(inside, dark(c, 0.8), light(c, 0.35)), 1, outline=dark(c, 0.5))
    front = pen.box((0.0, -0.24), (0.82, 0.48))
    pen.fill(front, c, 1, outline=dark(c, 0.5))
    pen.fill(pen.box((0.0, -0.24), (0.11, 0.46)), light(c, 0.6), opacity=0.85)
    pen.fill(pen.box((0.62, -0.24), (0.18, 0.46)), dark(c, 0.75), opacity=0.5)
    pen.fill(pen.polygon([(-0.1, 0.25), (0.1, 0.25), (0.08, 0.6), (-0.08, 0.6)]), light(c, 0.7), when=opening < 0.01)


def _bottle(pen: Pen, c: Tensor, opening: Tensor) -> None:
    body = joined(
        pen.box((0.0, -0.42), (0.40, 0.68), round=0.1),
        pen.polygon([(-0.40, 0.2), (0.40, 0.2), (0.14, 0.62), (-0.14, 0.62)]),
        pen.box((0.0, 0.74), (0.14, 0.24)),
    )
    pen.fill(body, c, 1, outline=dark(c, 0.45))
    pen.fill(pen.box((0.0, -0.38), (0.40, 0.3)), (0.95, 0.93, 0.86), 1)
    pen.fill(pen.ellipse((0.0, -0.38), (0.2, 0.17)), dark(c, 0.7))
    pen.fill(pen.stroke([(-0.24, 0.12), (-0.24, -0.95)], 0.1), _WHITE, opacity=0.5)
    pen.fill(pen.box((0.0, 0.99), (0.18, 0.12), round=0.03), dark(c, 0.4), 1)


def _car(pen: Pen, c: Tensor, opening: Tensor) -> None:
    cabin = pen.polygon([(-0.68, 0.08), (0.5, 0.08), (0.22, 0.56), (-0.42, 0.56)])
    pen.fill(cabin, c, 1, outline=dark(c, 0.5))
    glass = (0.72, 0.86, 0.94)
    pen.fill(pen.polygon([(-0.5, 0.1), (-0.14, 0.1), (-0.14, 0.44), (-0.36, 0.44)]), glass)
    pen.fill(pen.polygon([(-0.02, 0.1), (0.34, 0.1), (0.15, 0.44), (-0.02, 0.44)]), glass)
    pen.fill(pen.box((0.0, -0.1), (1.0, 0.24), round=0.14), c, 1, outline=dark(c, 0.5))
    pen.fill(pen.box((0.0, 0.02), (0.86, 0.035)), light(c, 0.55))
    pen.fill(pen.ellipse((0.9, -0.04), (0.09, 0.1)), (1.0, 0.95, 0.6))
    for u in (-0.56, 0.56):
        pen.fill(pen.ellipse((u, -0.32), 0.26), _BLACK, 1)
        pen.fill(pen.ellipse((u, -0.32), 0.11), (0.75, 0.76, 0.78))


def _banana(pen: Pen, c: Tensor, opening: Tensor) -> None:
    moon = within(
        without(pen.ellipse((0.0, 0.42), (1.0, 0.92)), pen.ellipse((0.0, 0.86), (0.98, 0.86))),
        pen.half((0.0, 0.46), (0.0, 1.0)),
    )
    pen.fill(moon, c, 1, outline=dark(c, 0.55))
    pen.fill(within(moon, pen.ring((0.0, 0.68), (1.0, 0.92), 0.07)), dark(c, 0.72), opacity=0.8)
    pen.fill(pen.stroke([(-0.94, 0.38), (-0.98, 0.5)], 0.16), (0.36, 0.26, 0.12), 1)
    pen.fill(pen.stroke([(0.92, 0.4), (0.95, 0.46)], 0.13), (0.30, 0.22, 0.10), 1)


def _apple(pen: Pen, c: Tensor, opening: Tensor) -> None:
    body = joined(
        pen.ellipse((-0.26, -0.12), (0.52, 0.64)),
        pen.ellipse((0.26, -0.12), (0.52, 0.64)),
        pen.ellipse((0.0, -0.36), (0.45, 0.43)),
    )
    pen.fill(body, c, 1, outline=dark(c, 0.5))
    pen.fill(pen.ellipse((0.0, 0.42), (0.2, 0.09)), dark(c, 0.5))
    pen.fill(pen.stroke([(0.0, 0.4), (0.08, 0.76)], 0.12), (0.33, 0.2, 0.1), 1)
    pen.fill(pen.ellipse((0.34, 0.64), (0.28, 0.13), 0.4), (0.25, 0.55, 0.18), 1)
    pen.fill(pen.ellipse((-0.36, 0.14), (0.13, 0.22), -0.4), _WHITE, opacity=0.55)


def _pencil(pen: Pen, c: Tensor, opening: Tensor) -> None:
    pen.fill(pen.box((-0.08, 0.0), (0.76, 0.15)), c, 1, outline=dark(c, 0.5), width=0.7)
    pen.fill(pen.box((-0.08, 0.02), (0.76, 0.045)), light(c, 0.5))
    pen.fill(pen.polygon([(0.66, 0.16), (0.66, -0.16), (1.1, 0.0)]), (0.9, 0.74, 0.5), 1)
    pen.fill(pen.polygon([(0.92, 0.07), (0.92, -0.07), (1.12, 0.0)]), _BLACK, 1)
    pen.fill(pen.box((-0.82, 0.0), (0.08, 0.15)), (0.72, 0.74, 0.76), 1)
    pen.fill(pen.box((-0.98, 0.0), (0.11, 0.14), round=0.06), (0.92, 0.52, 0.56), 1)


def _phone(pen: Pen, c: Tensor, opening: Tensor) -> None:
    pen.fill(pen.box((0.0, 0.0), (0.46, 0.86), round=0.12), c, 1, outline=dark(c, 0.45))
    pen.fill(pen.box((0.0, 0.02), (0.37, 0.70)), (0.30, 0.55, 0.82), 1)
    pen.fill(pen.box((0.0, -0.40), (0.37, 0.28)), (0.16, 0.30, 0.52))
    for k, paint in enumerate(((0.95, 0.4, 0.35), (0.98, 0.85, 0.3), (0.5, 0.85, 0.45), _WHITE)):
        pen.fill(pen.box((-0.17 + 0.34 * (k % 2), 0.42 - 0.36 * (k // 2)), (0.11, 0.12)), paint)


def _spoon(pen: Pen, c: Tensor, opening: Tensor) -> None:
    pen.fill(pen.stroke([(-1.0, 0.0), (0.4, 0.0)], 0.17), c, 1, outline=dark(c, 0.5), width=0.7)
    pen.fill(pen.ellipse((0.66, 0.0), (0.42, 0.28)), c, 1, outline=dark(c, 0.5))
    pen.fill(pen.ellipse((0.68, -0.02), (0.28, 0.17)), dark(c, 0.68))
    pen.fill(pen.ellipse((0.56, 0.1), (0.14, 0.06)), _WHITE, opacity=0.7)


def _hat(pen: Pen, c: Tensor, opening: Tensor) -> None:
    pen.fill(pen.ellipse((0.0, -0.42), (1.08, 0.24)), dark(c, 0.85), 1, outline=dark(c, 0.45))
    crown = joined(
        pen.polygon([(-0.6, -0.42), (0.6, -0.42), (0.48, 0.36), (-0.48, 0.36)]), pen.ellipse((0.0, 0.36), (0.48, 0.28))
    )
    crown = joined(crown, pen.ellipse((0.0, -0.42), (0.6, 0.14)))
    pen.fill(crown, c, 1, outline=dark(c, 0.45))
    band = within(crown, pen.box((0.0, -0.26), (0.62, 0.13)))
    pen.fill(band, light(c, 0.7))
    pen.fill(pen.stroke([(-0.3, 0.3), (-0.36, -0.05)], 0.12), _WHITE, opacity=0.3)


def _teddy(pen: Pen, c: Tensor, opening: Tensor) -> None:
    edge = dark(c, 0.5)
    for side in (-1.0, 1.0):
        pen.fill(pen.ellipse((side * 0.36, -0.82), (0.26, 0.24)), dark(c, 0.88), 1, outline=edge)
        pen.fill(pen.ellipse((side * 0.52, -0.22), (0.2, 0.32), side * 0.6), dark(c, 0.88), 1, outline=edge)
        pen.fill(pen.ellipse((side * 0.38, 0.86), 0.2), dark(c, 0.85), 1, outline=edge)
    pen.fill(pen.ellipse((0.0, -0.42), (0.46, 0.54)), c, 1, outline=edge)
    pen.fill(pen.ellipse((0.0, -0.46), (0.26, 0.32)), light(c, 0.45))
    pen.fill(pen.ellipse((0.0, 0.44), (0.54, 0.47)), c, 1, outline=edge)
    pen.fill(pen.ellipse((0.0, 0.26), (0.25, 0.2)), light(c, 0.55))
    pen.fill(pen.ellipse((0.0, 0.36), (0.11, 0.08)), _BLACK)
    for side in (-1.0, 1.0):
        pen.fill(pen.ellipse((side * 0.22, 0.56), 0.085), _BLACK)


def _laptop(pen: Pen, c: Tensor, opening: Tensor) -> None:
    """Seen from the front and a little above. The screen turns about the back edge."""
    turn = opening * 1.75
    edge, spread = -0.18 - 0.46 * torch.cos(turn) + 1.05 * torch.sin(turn), 1.0 - 0.14 * torch.sin(turn)
    base = pen.polygon([(-1.0, -0.62), (1.0, -0.62), (0.84, -0.18), (-0.84, -0.18)])
    pen.fill(base, dark(c, 0.8), 1, outline=dark(c, 0.4))
    pen.fill(pen.polygon([(-0.78, -0.42), (0.78, -0.42), (0.7, -0.24), (-0.7, -0.24)]), (0.18, 0.18, 0.2))
    pen.fill(pen.box((0.0, -0.52), (0.2, 0.05)), dark(c, 0.6))
    pen.fill(pen.box((0.0, -0.68), (1.0, 0.06)), dark(c, 0.55), 1)
    lid = pen.polygon([(-0.84, -0.18), (0.84, -0.18), (spread, edge + 0.001), (-spread, edge + 0.001)])
    pen.fill(lid, c, 1, outline=dark(c, 0.4))
    shown = opening > 0.5
    low, high = -0.18 + 0.12 * (edge + 0.18), -0.18 + 0.9 * (edge + 0.18)
    screen = pen.polygon([(-0.74, low), (0.74, low), (spread - 0.1, high), (-spread + 0.1, high)])
    pen.fill(screen, (0.32, 0.6, 0.9), when=shown)
    pen.fill(within(screen, pen.half((0.1, 0.1), (0.6, 0.8))), (0.16, 0.34, 0.66), when=shown)
    pen.fill(pen.ellipse((0.0, 0.5 * (edge - 0.18)), (0.12, 0.09)), light(c, 0.6), when=~shown)


def lid_tip(kinds: Tensor, opening: Tensor) -> tuple[Tensor, Tensor]:
    """(n, T) u and v: the edge of what opens, where a hand takes hold of it. kinds (n,), opening (n, T)."""
    book, laptop = (kinds == KINDS.index("book"))[:, None], (kinds == KINDS.index("laptop"))[:, None]
    box_v = 0.62 - 0.38 * torch.cos(opening * 2.0) + 0.72 * torch.sin(opening * 2.0)
    laptop_v = -0.18 - 0.46 * torch.cos(opening * 1.75) + 1.05 * torch.sin(opening * 1.75)
    book_u, book_v = -0.52 + 1.1 * torch.cos(opening * math.pi), 0.2 + 0.42 * torch.sin(opening * math.pi)
    u = torch.where(book, book_u, torch.zeros_like(opening))
    return u, torch.where(book, book_v, torch.where(laptop, laptop_v, box_v))


DRAWINGS: dict[str, Draw] = dict(
    zip(
        THINGS,
        (_cup, _ball, _book, _box, _bottle, _car, _banana, _apple, _pencil, _phone, _spoon, _hat, _teddy, _laptop),
        strict=True,
    )
)
