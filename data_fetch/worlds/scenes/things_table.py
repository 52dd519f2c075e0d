"""Laptop, book, phone, lamp, chair: what stands in an office and a bedroom."""

from __future__ import annotations

from data_fetch.worlds.raster import Pen, joined, within, without
from data_fetch.worlds.scenes.things_base import Look, soft

PARTS = {
    "laptop": ("case", "screen", "keyboard"),
    "book": ("cover", "pages", "text"),
    "phone": ("case", "screen", "button"),
    "lamp": ("shade", "foot", "rim and bulb"),
    "chair": ("back and seat", "legs"),
}


def laptop(pen: Pen, look: Look) -> None:
    is_open = look.state == 0
    closed = ~is_open
    # open: the screen faces us
    lid = pen.box((0.0, 0.22), (0.80, 0.56), round=0.06)
    base = pen.polygon([(-0.80, -0.36), (0.80, -0.36), (1.0, -0.68), (-1.0, -0.68)])
    pen.fill(joined(lid, base), look.colour, 1, when=is_open)
    pen.fill(
        pen.box((0.0, 0.24), (0.64, 0.39)),
        look.choose(look.vary[:, 0] < 0.5, (0.18, 0.42, 0.78), (0.12, 0.55, 0.66)),
        2,
        when=is_open,
    )
    pane = joined(pen.box((-0.18, 0.28), (0.36, 0.24)), pen.box((0.45, 0.12), (0.14, 0.18)))
    pen.fill(pane, (0.90, 0.94, 0.97), 2, when=is_open)
    keys = pen.polygon([(-0.70, -0.42), (0.70, -0.42), (0.78, -0.56), (-0.78, -0.56)])
    pen.fill(keys, look.mark(look.colour * 0.6, (0.42, 0.43, 0.46)), 3, when=is_open)
    # closed: a flat slab
    slab = pen.polygon([(-0.76, -0.14), (0.76, -0.14), (1.0, -0.58), (-1.0, -0.58)])
    pen.fill(slab, look.light(0.10), 1, when=closed)
    badge = look.choose(look.vary[:, 0] < 0.5, (0.30, 0.48, 0.76), look.mark((0.45, 0.46, 0.50), (0.50, 0.51, 0.54)))
    pen.fill(pen.ellipse((0.0, -0.36), (0.13, 0.09)), badge, 1, when=closed)
    pen.fill(pen.box((0.0, -0.62), (1.0, 0.05)), look.dark(0.12), 1, when=closed)
    pen.fill(pen.box((0.0, -0.72), (1.0, 0.06)), look.dark(0.22), 1)


def book(pen: Pen, look: Look) -> None:
    is_open = look.state == 0
    closed = ~is_open
    left = pen.polygon([(-1.0, 0.34), (0.0, 0.58), (0.0, -0.50), (-1.0, -0.66)])
    right = pen.polygon([(1.0, 0.34), (0.0, 0.58), (0.0, -0.50), (1.0, -0.66)])
    pen.fill(joined(left, right), look.colour, 1, when=is_open)
    first = pen.polygon([(-0.84, 0.34), (-0.44, 0.62), (-0.02, 0.44), (-0.02, -0.34), (-0.84, -0.44)])
    second = pen.polygon([(0.84, 0.34), (0.44, 0.62), (0.02, 0.44), (0.02, -0.34), (0.84, -0.44)])
    pen.fill(first, (0.97, 0.96, 0.91), 2, when=is_open)
    pen.fill(second, (0.90, 0.89, 0.84), 2, when=is_open)
    shift = look.between(0, -0.04, 0.06)
    lines = joined(*(pen.box((0.0, y + shift), (0.68, 0.035)) for y in (0.22, 0.0, -0.22)))
    lines = without(lines, pen.box((0.0, 0.0), (0.16, 0.6)))
    pen.fill(lines, (0.52, 0.52, 0.52), 3, when=is_open)
    # closed: it lies there, its cover up
    pen.fill(pen.polygon([(-1.0, -0.30), (0.42, -0.44), (0.42, -0.66), (-1.0, -0.50)]), look.dark(0.3), 1, when=closed)
    pen.fill(pen.polygon([(0.40, -0.43), (1.0, 0.26), (1.0, 0.08), (0.40, -0.62)]), (0.93, 0.92, 0.86), 2, when=closed)
    pen.fill(pen.polygon([(-1.0, -0.28), (-0.30, 0.44), (1.0, 0.30), (0.42, -0.44)]), look.colour, 1, when=closed)
    pen.fill(
        pen.polygon([(-0.42, 0.02), (-0.18, 0.26), (0.60, 0.18), (0.38, -0.06)]),
        look.choose(look.vary[:, 0] < 0.5, look.light(0.78), (0.94, 0.80, 0.42)),
        3,
        when=closed,
    )


def phone(pen: Pen, look: Look) -> None:
    pen.fill(pen.box((0.0, 0.0), (0.50, 1.0), round=0.16), look.colour, 1)
    wall = look.choose(look.vary[:, 0] < 0.5, (0.24, 0.56, 0.86), (0.20, 0.66, 0.62))
    pen.fill(pen.box((0.0, 0.08), (0.38, 0.68)), wall, 2)
    icons = joined(*(pen.box((x, y), (0.095, 0.10)) for x in (-0.18, 0.18) for y in (0.46, 0.08)))
    pen.fill(icons, (0.96, 0.95, 0.90), 2)
    look.gleam(pen, pen.polygon([(-0.38, 0.0), (-0.38, 0.74), (0.16, 0.74)]), 0.16)
    pen.fill(pen.ellipse((0.0, -0.80), 0.10), look.mark((0.40, 0.41, 0.44), (0.50, 0.51, 0.54)), 3)


def lamp(pen: Pen, look: Look) -> None:
    lit = look.state == 0
    look.gleam(pen, soft(pen, pen.ellipse((0.0, 0.36), 0.40), 0.4), lit * 0.5, (1.0, 0.90, 0.55))
    stand = joined(pen.box((0.0, -0.35), (0.06, 0.55)), pen.ellipse((0.0, -0.56), (0.16, 0.22)))
    foot = within(pen.ellipse((0.0, -0.98), (0.40, 0.20)), pen.half((0.0, -1.0), (0.0, -1.0)))
    pen.fill(joined(stand, foot), look.choose(look.vary[:, 0] < 0.5, (0.58, 0.44, 0.22), (0.34, 0.33, 0.36)), 2)
    pen.fill(pen.ellipse((0.0, 0.12), (0.22, 0.16)), (1.0, 0.93, 0.55), 3, when=lit)
    shade = pen.polygon([(-0.62, 0.16), (0.62, 0.16), (look.between(1, 0.28, 0.38), 1.0), (-0.32, 1.0)])
    pen.fill(shade, look.choose(lit, (look.colour * 1.15).clamp(max=1), look.dark(0.16)), 1)
    look.gleam(pen, soft(pen, pen.ellipse((0.0, 0.40), (0.24, 0.22)), 0.3), lit * 0.7, look.light(0.55))
    pen.fill(pen.box((0.0, 0.18), (0.60, 0.035)), look.choose(lit, (1.0, 0.93, 0.62), look.dark(0.5)), 3)


def chair(pen: Pen, look: Look) -> None:
    far = joined(pen.box((-0.28, -0.45), (0.055, 0.40)), pen.box((0.56, -0.45), (0.055, 0.42)))
    pen.fill(far, look.dark(0.45), 2)
    near = joined(pen.box((-0.58, -0.5), (0.075, 0.50)), pen.box((0.28, -0.55), (0.075, 0.45)))
    pen.fill(near, look.dark(0.22), 2)
    back = pen.polygon([(-0.66, 0.92), (-0.20, 1.0), (-0.16, 0.0), (-0.66, -0.12)])
    rail = look.between(0, -0.04, 0.08)
    slots = joined(*(pen.box((-0.42, y + rail), (0.12, 0.07)) for y in (0.60, 0.30)))
    pen.fill(without(back, slots), look.colour, 1)
    seat = pen.polygon([(-0.66, -0.10), (-0.18, 0.10), (0.67, 0.08), (0.38, -0.14)])
    pen.fill(
        joined(
            pen.box((-0.14, -0.15), (0.52, 0.05)),
            pen.polygon([(0.38, -0.20), (0.38, -0.10), (0.67, 0.08), (0.67, -0.02)]),
        ),
        look.dark(0.3),
        1,
    )
    pen.fill(seat, look.light(0.14), 1)


DRAW = {"laptop": laptop, "book": book, "phone": phone, "lamp": lamp, "chair": chair}
SHADOWS = {
    "laptop": (0.0, -0.76, 1.0, 0.10),
    "lamp": (0.0, -0.97, 0.50, 0.10),
    "chair": (0.0, -0.96, 0.62, 0.10),
}
