"""What things are put into and covered with. A container's front hides what is inside it, so it is drawn by itself."""

from __future__ import annotations

import torch
from torch import Tensor

from data_fetch.worlds.clips.things import RIMS, dark, light
from data_fetch.worlds.raster import Pen, joined, within, without


def container(pen: Pen, name: str, c: Tensor, front_only: bool) -> None:
    """A bowl, basket or bucket; `front_only`: the wall before the things inside it, part 2."""
    rim, *radii = RIMS[name]
    radii, wall = tuple(radii), _WALLS[name](pen, rim)
    outer, inner = pen.ellipse((0.0, rim), radii), pen.ellipse((0.0, rim), (radii[0] - 0.1, radii[1] - 0.06))
    if not front_only:
        if name != "bowl":
            handle = within(pen.ring((0.0, rim), (radii[0] - 0.04, 0.72), 0.09), pen.half((0.0, rim), (0.0, -1.0)))
            pen.fill(handle, dark(c, 0.55), 1)
        pen.fill(outer, light(c, 0.35), 1, outline=dark(c, 0.5))
        pen.fill(inner, dark(c, 0.5), 1)
        return
    front = without(within(joined(wall, outer), pen.half((0.0, rim), (0.0, 1.0))), inner)
    pen.fill(front, c, 2, outline=dark(c, 0.5))
    pen.fill(within(front, pen.box((radii[0] * 0.72, 0.0), (0.3, 1.2))), dark(c, 0.75), opacity=0.6)
    if name == "basket":
        for u in (-0.66, -0.33, 0.0, 0.33, 0.66):
            pen.fill(within(front, pen.box((u, 0.0), (0.035, 1.0))), dark(c, 0.62))
        for v in (-0.36, -0.06):
            pen.fill(within(front, pen.box((0.0, v), (1.0, 0.035))), light(c, 0.45))
    elif name == "bowl":
        pen.fill(within(front, pen.box((0.0, 0.06), (1.0, 0.06))), light(c, 0.6))
    pen.fill(within(without(outer, inner), pen.half((0.0, rim), (0.0, 1.0))), light(c, 0.45), 2)


def _bowl(pen: Pen, rim: float) -> Tensor:
    bowl = within(pen.ellipse((0.0, rim), (1.0, 0.84)), pen.half((0.0, -0.5), (0.0, -1.0)))
    return joined(bowl, pen.box((0.0, -0.48), (0.4, 0.05)))


def _basket(pen: Pen, rim: float) -> Tensor:
    sides = pen.polygon([(-0.95, rim), (0.95, rim), (0.78, -0.5), (-0.78, -0.5)])
    return joined(sides, pen.ellipse((0.0, -0.48), (0.78, 0.14)))


def _bucket(pen: Pen, rim: float) -> Tensor:
    sides = pen.polygon([(-0.80, rim), (0.80, rim), (0.58, -0.68), (-0.58, -0.68)])
    return joined(sides, pen.ellipse((0.0, -0.68), (0.58, 0.14)))


_WALLS = {"bowl": _bowl, "basket": _basket, "bucket": _bucket}


def cover(pen: Pen, name: str, c: Tensor, opening: Tensor) -> None:
    """A cloth or towel: flat on the table at opening 0, hanging from the hand or over a thing at 1."""
    top = -0.55 + 1.3 * opening
    wide = 1.05 - 0.55 * opening
    edge = dark(c, 0.55)
    skirt = joined(
        pen.polygon([(-1.02, -0.82), (1.02, -0.82), (wide, top), (-wide, top)]),
        pen.ellipse((torch.zeros_like(top), top), (wide, 0.08 + 0.10 * opening)),
        *[pen.ellipse((u, -0.80), (0.24, 0.10)) for u in (-0.80, -0.27, 0.27, 0.80)],
    )
    pen.fill(skirt, c, 1, outline=edge)
    if name == "towel":
        for share in (0.12, 0.3, 0.74):
            v = -0.82 + share * (top + 0.82)
            pen.fill(within(skirt, pen.box((torch.zeros_like(v), v), (1.1, 0.07))), dark(c, 0.62))
    else:
        for share, step in ((0.15, 0.0), (0.5, 0.22), (0.85, 0.0)):
            v = -0.82 + share * (top + 0.82)
            for u in (-0.66, -0.22, 0.22, 0.66):
                spot = pen.ellipse((u * (1 - 0.4 * share) + step * 0.5 + 0 * v, v), 0.085)
                pen.fill(within(skirt, spot), light(c, 0.7))
    for u in (-0.5, 0.05, 0.55):
        fold = pen.stroke([(u + 0 * top, -0.84 + 0 * top), (u * 0.55, top)], 0.1)
        pen.fill(within(skirt, fold), dark(c, 0.6), opacity=0.45)
