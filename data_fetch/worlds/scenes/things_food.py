"""Banana, apple, pizza, cake, cup, bottle, pan: what stands on a table to eat and drink."""

from __future__ import annotations

from data_fetch.worlds.raster import Pen, joined, within, without
from data_fetch.worlds.scenes.things_base import CREAM, DARK, WOOD, Look

PARTS = {
    "banana": ("fruit", "ends"),
    "apple": ("fruit", "stem", "leaf"),
    "pizza": ("topping", "crust", "slices"),
    "cake": ("icing", "cream", "candles", "flames", "plate"),
    "cup": ("cup", "handle", "drink"),
    "bottle": ("glass", "label", "cap"),
    "pan": ("pan", "handle", "inside", "food"),
}


def banana(pen: Pen, look: Look) -> None:
    bend = look.between(0, 0.84, 0.96)
    moon = without(pen.ellipse((0.0, 0.34), (0.98, 0.96)), pen.ellipse((0.08, 0.34 + bend * 0.62), (0.92, bend)))
    fruit = within(moon, pen.half((0.0, 0.40), (0.12, 1.0)))
    pen.fill(fruit, look.colour, 1)
    look.gleam(pen, without(fruit, pen.ellipse((0.02, 0.52), (0.98, 0.96))), 0.28, (0.35, 0.2, 0.0))
    stem = pen.polygon([(0.80, 0.20), (0.97, 0.24), (0.96, 0.60), (0.84, 0.62)])
    pen.fill(stem, look.dark(0.45), 2)
    pen.fill(pen.ellipse((-0.90, 0.44), (0.08, 0.09)), (0.22, 0.15, 0.08), 2)


def apple(pen: Pen, look: Look) -> None:
    fruit = joined(
        pen.ellipse((-0.33, -0.20), (0.59, 0.78)),
        pen.ellipse((0.33, -0.20), (0.59, 0.78)),
        pen.box((0.0, -0.3), (0.3, 0.58)),
    )
    pen.fill(fruit, look.colour, 1)
    look.gleam(pen, without(fruit, pen.ellipse((-0.14, 0.0), (0.90, 0.92))), 0.3, DARK)
    look.gleam(pen, pen.ellipse((0.0, 0.44), (0.24, 0.10)), 0.35, DARK)
    look.gleam(pen, pen.ellipse((-0.40, 0.14), (0.15, 0.24), -0.3), 0.55)
    pen.fill(pen.polygon([(-0.06, 0.42), (0.06, 0.42), (0.16, 0.96), (0.02, 1.0)]), WOOD, 2)
    leaf = pen.ellipse((0.44, 0.78), (0.34, 0.16), 0.35)
    pen.fill(leaf, (0.30, 0.62, 0.16), 3, when=look.vary[:, 0] < 0.8)


def pizza(pen: Pen, look: Look) -> None:
    gap = pen.polygon([(0.06, 0.06), (0.42, -0.7), (1.2, -0.5), (1.2, -0.1)])
    pen.fill(without(pen.ellipse((0.0, -0.04), (1.0, 0.51)), gap), (0.72, 0.45, 0.18), 2)
    pen.fill(without(pen.ellipse((0.0, 0.03), (0.98, 0.50)), gap), (0.90, 0.66, 0.32), 2)
    top = without(pen.ellipse((0.0, 0.04), (0.82, 0.39)), gap)
    pen.fill(top, look.colour, 1)
    red = look.colour[:, 1] < 0.5
    shift = look.between(0, -0.06, 0.06)
    rounds = joined(
        *(
            pen.ellipse((x + shift, y), (0.155, 0.095))
            for x, y in ((-0.46, 0.10), (-0.12, -0.16), (0.02, 0.26), (0.48, 0.14))
        )
    )
    pen.fill(rounds, look.choose(red, (0.98, 0.93, 0.76), (0.78, 0.16, 0.10)), 3)
    bits = joined(
        *(pen.ellipse((x - shift, y), (0.07, 0.05)) for x, y in ((-0.24, 0.06), (0.28, 0.05), (-0.42, -0.12)))
    )
    pen.fill(bits, (0.16, 0.45, 0.16), 3)


def cake(pen: Pen, look: Look) -> None:
    pen.fill(pen.ellipse((0.0, -0.80), (0.94, 0.19)), (0.80, 0.82, 0.86), 5)
    candles = joined(*(pen.box((x, 0.42), (0.06, 0.26)) for x in (-0.36, 0.0, 0.36)))
    body = joined(pen.box((0.0, -0.35), (0.76, 0.40)), pen.ellipse((0.0, -0.75), (0.76, 0.17)))
    pen.fill(body, look.dark(0.04), 1)
    look.gleam(pen, pen.box((0.64, -0.38), (0.12, 0.38)), 0.16, DARK)
    white = look.pale()
    cream = look.choose(white, (0.96, 0.66, 0.52), CREAM)
    length = look.between(0, 0.16, 0.26)
    drips = joined(
        *(
            pen.ellipse((x, 0.0 - y), (0.115, length))
            for x, y in ((-0.62, 0.05), (-0.31, 0.14), (0.0, 0.16), (0.31, 0.14), (0.62, 0.05))
        )
    )
    pen.fill(within(drips, pen.box((0.0, -0.2), (0.76, 0.3))), cream, 2)
    pen.fill(pen.box((0.0, -0.56), (0.76, 0.05)), cream, 2)
    pen.fill(pen.ellipse((0.0, 0.08), (0.76, 0.20)), look.light(0.12), 1)
    pen.fill(candles, (0.30, 0.55, 0.90), 3)
    flames = joined(*(pen.ellipse((x, 0.82), (0.085, 0.17)) for x in (-0.36, 0.0, 0.36)))
    pen.fill(flames, (1.0, 0.72, 0.12), 4)


def cup(pen: Pen, look: Look) -> None:
    pen.fill(pen.ring((0.46, -0.02), (0.42, 0.40), 0.21), look.dark(0.12), 2)
    wall = pen.polygon([(-0.98, 0.66), (0.54, 0.66), (0.40, -0.72), (-0.84, -0.72)])
    body = joined(wall, pen.ellipse((-0.22, -0.71), (0.62, 0.16)))
    pen.fill(body, look.colour, 1)
    look.gleam(pen, within(body, pen.half((0.16, 0.0), (-1.0, -0.1))), 0.24, DARK)
    look.gleam(pen, pen.box((-0.66, -0.08), (0.07, 0.46), round=0.05), 0.45)
    pen.fill(pen.ellipse((-0.22, 0.66), (0.76, 0.20)), look.light(0.45), 1)
    pen.fill(
        pen.ellipse((-0.22, 0.63), (0.60, 0.13)),
        look.choose(look.vary[:, 0] < 0.6, (0.28, 0.15, 0.08), (0.60, 0.32, 0.10)),
        3,
    )


def bottle(pen: Pen, look: Look) -> None:
    body = joined(
        pen.box((0.0, -0.46), (0.40, 0.54), round=0.1),
        pen.ellipse((0.0, 0.06), (0.40, 0.36)),
        pen.box((0.0, 0.52), (0.15, 0.36)),
    )
    pen.fill(body, look.colour, 1)
    look.gleam(pen, pen.box((0.31, -0.45), (0.09, 0.50), round=0.05), 0.35, DARK)
    label = pen.box((0.0, -0.46), (0.40, look.between(0, 0.17, 0.25)))
    pen.fill(label, CREAM, 2)
    pen.fill(pen.box((0.0, -0.46), (0.22, 0.05)), look.dark(0.2), 2)
    look.gleam(pen, pen.box((-0.24, -0.30), (0.05, 0.56), round=0.04), 0.5)
    look.gleam(pen, pen.box((-0.07, 0.55), (0.03, 0.26)), 0.4)
    pen.fill(pen.box((0.0, 0.90), (0.19, 0.10), round=0.03), look.mark((0.20, 0.18, 0.18), (0.75, 0.70, 0.55)), 3)


def pan(pen: Pen, look: Look) -> None:
    handle = pen.polygon([(0.20, 0.0), (0.22, 0.12), (0.99, 0.34), (1.0, 0.20)])
    pen.fill(handle, look.choose(look.deep(), (0.42, 0.26, 0.15), (0.14, 0.14, 0.16)), 2)
    pot = joined(
        pen.ellipse((-0.36, -0.14), (0.56, 0.23)),
        pen.polygon([(-0.99, 0.04), (0.27, 0.04), (0.14, -0.20), (-0.86, -0.20)]),
    )
    pen.fill(joined(pot, pen.ellipse((-0.36, 0.06), (0.64, 0.27))), look.colour, 1)
    pen.fill(pen.ellipse((-0.36, 0.08), (0.56, 0.20)), look.mark(look.colour * 0.55, (0.25, 0.25, 0.28)), 3)
    look.gleam(pen, pen.box((-0.46, -0.22), (0.30, 0.03)), 0.35)
    egg = look.vary[:, 0] < 0.6
    pen.fill(
        joined(pen.ellipse((-0.44, 0.08), (0.27, 0.12)), pen.ellipse((-0.24, 0.05), (0.20, 0.09))),
        (0.97, 0.96, 0.92),
        4,
        when=egg,
    )
    pen.fill(pen.ellipse((-0.42, 0.10), (0.12, 0.065)), (0.98, 0.72, 0.10), 4, when=egg)


DRAW = {"banana": banana, "apple": apple, "pizza": pizza, "cake": cake, "cup": cup, "bottle": bottle, "pan": pan}
SHADOWS = {
    "banana": (0.0, -0.56, 0.70, 0.12),
    "apple": (0.05, -0.94, 0.66, 0.14),
    "pizza": (0.0, -0.46, 0.90, 0.16),
    "cake": (0.0, -0.92, 0.90, 0.14),
    "cup": (-0.16, -0.82, 0.70, 0.14),
    "bottle": (0.04, -0.96, 0.42, 0.10),
    "pan": (-0.30, -0.32, 0.62, 0.12),
}
