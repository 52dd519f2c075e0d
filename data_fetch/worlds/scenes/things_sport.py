"""Kite, ball, racket, surfboard, snowboard, skis, umbrella, tent, snowman: what people take outdoors."""

from __future__ import annotations

from data_fetch.worlds.raster import Pen, joined, within, without
from data_fetch.worlds.scenes.things_base import CREAM, DARK, STEEL, WOOD, Look

PARTS = {
    "kite": ("sail", "spars", "tail"),
    "ball": ("ball", "stripes"),
    "racket": ("frame", "strings", "handle"),
    "surfboard": ("board", "stripe", "fin"),
    "snowboard": ("deck", "stripe", "bindings", "edge"),
    "skis": ("skis", "bindings"),
    "umbrella": ("canopy", "shaft", "handle"),
    "tent": ("canvas", "door", "flaps"),
    "snowman": ("hat and scarf", "snow", "nose", "coals", "arms"),
}


def kite(pen: Pen, look: Look) -> None:
    sway = look.between(0, -0.16, 0.16)
    tail = pen.stroke([(0.0, -0.30), (0.14 + sway, -0.55), (-0.12 + sway, -0.76), (0.10 + sway, -0.95)], 0.06)
    pen.fill(tail, (0.25, 0.22, 0.22), 3)
    bows = joined(
        pen.ellipse((0.14 + sway, -0.55), (0.20, 0.085)),
        pen.ellipse((-0.12 + sway, -0.74), (0.20, 0.085)),
        pen.ellipse((0.12 + sway, -0.91), (0.18, 0.08)),
    )
    pen.fill(bows, look.colour, 3)
    top, right, low, left = (0.0, 1.0), (0.78, 0.44), (0.0, -0.36), (-0.78, 0.44)
    pen.fill(pen.polygon([top, right, low, left]), look.colour, 1)
    pen.fill(pen.polygon([top, right, (0.0, 0.44)]), look.light(0.35), 1)
    pen.fill(pen.polygon([left, (0.0, 0.44), low]), look.dark(0.3), 1)
    pen.fill(joined(pen.box((0.0, 0.32), (0.03, 0.66)), pen.box((0.0, 0.44), (0.74, 0.03))), (0.95, 0.93, 0.88), 2)


def ball(pen: Pen, look: Look) -> None:
    whole = pen.ellipse((0.0, 0.0), 1.0)
    pen.fill(whole, look.colour, 1)
    turn = look.between(0, -0.3, 0.3)
    bands = joined(pen.ring((-1.0, -0.2 + turn), (1.05, 1.25), 0.22), pen.ring((1.1, 0.2 + turn), (0.75, 1.1), 0.22))
    pen.fill(within(whole, bands), look.choose(look.pale(), (0.3, 0.3, 0.32), CREAM), 2)
    look.gleam(pen, without(whole, pen.ellipse((-0.16, 0.18), 0.96)), 0.42, DARK)
    look.gleam(pen, pen.ellipse((-0.36, 0.44), (0.26, 0.20)), 0.6)


def racket(pen: Pen, look: Look) -> None:
    bed = pen.ellipse((0.0, 0.40), (0.40, 0.50))
    pen.fill(bed, (0.93, 0.93, 0.86), 2, opacity=0.3)
    lines = joined(*(pen.box((x, 0.4), (0.025, 0.5)) for x in (-0.18, 0.0, 0.18)))
    rows = joined(*(pen.box((0.0, y), (0.5, 0.025)) for y in (0.12, 0.40, 0.68)))
    pen.fill(within(bed, joined(lines, rows)), (0.98, 0.98, 0.94), 2, opacity=0.85)
    handle = pen.box((0.0, -0.70), (0.095, 0.30), round=0.05)
    throat = pen.polygon([(-0.30, 0.08), (0.30, 0.08), (0.07, -0.48), (-0.07, -0.48)])
    throat = without(throat, joined(bed, pen.polygon([(-0.15, 0.02), (0.15, 0.02), (0.0, -0.30)])))
    pen.fill(joined(pen.ring((0.0, 0.40), (0.43, 0.53), 0.14), throat), look.colour, 1)
    pen.fill(
        handle,
        look.choose(look.vary[:, 0] < 0.5, (0.62, 0.42, 0.24), look.mark((0.13, 0.13, 0.15), (0.55, 0.56, 0.58))),
        3,
    )
    pen.fill(pen.box((0.0, -0.955), (0.12, 0.045), round=0.03), (0.92, 0.92, 0.90), 3)


def surfboard(pen: Pen, look: Look) -> None:
    tilt = 0.10  # the nose is out of the water, the tail is not
    fin = pen.polygon([(-0.46, -0.20), (-0.84, -0.34), (-0.74, -0.06)])
    pen.fill(fin, look.choose(look.pale(), (0.16, 0.30, 0.55), look.dark(0.5)), 3)
    upper, lower = pen.ellipse((-0.06, -0.60), (1.34, 0.86), tilt), pen.ellipse((-0.18, 0.60), (1.34, 0.86), tilt)
    board = within(upper, lower, pen.half((-0.90, 0.0), (-1.0, 0.0)))
    pen.fill(board, look.colour, 1)
    look.gleam(pen, without(board, pen.ellipse((-0.18, 0.68), (1.5, 0.86), tilt)), 0.34, DARK)
    mark = look.choose(look.pale(), (0.14, 0.40, 0.78), (0.98, 0.97, 0.93))
    shift = look.between(0, -0.22, 0.06)
    slash, thin = (pen.box((x + shift, 0.0), (half, 0.5), -0.31) for x, half in ((0.13, 0.075), (0.37, 0.03)))
    pen.fill(within(board, joined(slash, thin)), mark, 2)


def snowboard(pen: Pen, look: Look) -> None:
    pen.fill(pen.box((0.0, -0.09), (0.96, 0.21), round=0.2), look.dark(0.5), 4)
    deck = pen.box((0.0, 0.0), (1.0, 0.22), round=0.21)
    pen.fill(deck, look.colour, 1)
    tips = without(deck, pen.box((0.0, 0.0), (0.78, 0.3)))
    look.gleam(pen, tips, 0.35)
    place = look.between(0, -0.10, 0.10)
    pen.fill(joined(pen.box((place - 0.09, 0.0), (0.055, 0.22)), pen.box((place + 0.09, 0.0), (0.055, 0.22))), CREAM, 2)
    boots = joined(pen.box((-0.45, 0.06), (0.13, 0.23), round=0.05), pen.box((0.45, 0.06), (0.13, 0.23), round=0.05))
    pen.fill(boots, (0.14, 0.14, 0.17), 3)
    straps = joined(pen.box((-0.45, 0.10), (0.13, 0.035)), pen.box((0.45, 0.10), (0.13, 0.035)))
    pen.fill(straps, (0.62, 0.63, 0.66), 3)


def skis(pen: Pen, look: Look) -> None:
    length = look.between(0, 0.78, 0.83)
    for shift, height, colour in ((-0.06, 0.10, look.dark(0.16)), (0.0, -0.21, look.colour)):
        ski = joined(
            pen.box((-0.10 + shift, height), (length, 0.085), round=0.06),
            pen.stroke([(0.66 + shift, height), (0.90 + shift, height + 0.10)], 0.17),
        )
        pen.fill(ski, colour, 1)
        pen.fill(pen.box((-0.14 + shift, height + 0.03), (0.15, 0.105), round=0.04), (0.20, 0.20, 0.23), 2)
        look.gleam(pen, pen.box((0.36 + shift, height + 0.03), (0.26, 0.025)), 0.6)


def umbrella(pen: Pen, look: Look) -> None:
    up = look.state == 0
    down = ~up
    grip = look.choose(look.vary[:, 1] < 0.6, WOOD, DARK)
    # open: a dome of panels on a shaft
    pen.fill(joined(pen.box((0.0, -0.1), (0.045, 0.80)), pen.box((0.0, 0.93), (0.035, 0.07))), STEEL, 2, when=up)
    hook = within(pen.ring((0.13, -0.82), 0.13, 0.09), pen.half((0.0, -0.82), (0.0, 1.0)))
    pen.fill(hook, grip, 3, when=up)
    dips = joined(*(pen.ellipse((x, 0.02), (0.265, 0.15)) for x in (-0.75, -0.25, 0.25, 0.75)))
    dome = within(pen.ellipse((0.0, 0.02), (1.0, look.between(0, 0.84, 0.92))), pen.half((0.0, 0.02), (0.0, -1.0)))
    dome = without(dome, dips)
    pen.fill(dome, look.colour, 1, when=up)
    panels = joined(
        without(pen.ellipse((0.0, 0.02), (0.52, 0.92)), pen.ellipse((0.0, 0.02), (0.30, 0.92))),
        without(dome, pen.ellipse((0.0, 0.02), (0.84, 0.9))),
    )
    pen.fill(within(dome, panels), look.dark(0.22), 1, when=up)
    # closed: furled, its tip on the ground
    pen.fill(pen.stroke([(-0.40, -0.96), (0.36, 0.86)], 0.07), STEEL, 2, when=down)
    furled = joined(
        pen.polygon([(-0.36, -0.88), (-0.10, 0.50), (0.42, 0.30)]), pen.ellipse((0.16, 0.38), (0.29, 0.18), -0.38)
    )
    pen.fill(furled, look.colour, 1, when=down)
    pen.fill(pen.polygon([(-0.36, -0.88), (0.16, 0.46), (0.42, 0.30)]), look.dark(0.25), 1, when=down)
    pen.fill(pen.stroke([(0.26, 0.62), (0.34, 0.82), (0.46, 0.93), (0.60, 0.86)], 0.11), grip, 3, when=down)


def tent(pen: Pen, look: Look) -> None:
    ridge = look.between(0, 0.36, 0.56)
    is_open = look.state == 0
    side = pen.polygon([(-0.34, 0.76), (ridge, 0.62), (1.0, -0.70), (0.14, -0.78)])
    pen.fill(side, look.dark(0.13), 1)
    front = pen.polygon([(-1.0, -0.74), (-0.34, 0.76), (0.22, -0.78)])
    pen.fill(front, look.light(0.14), 1)
    door = pen.polygon([(-0.70, -0.77), (-0.35, 0.48), (0.0, -0.78)])
    pen.fill(door, (0.10, 0.09, 0.10), 2, when=is_open)
    flaps = joined(
        pen.polygon([(-0.78, -0.76), (-0.35, 0.48), (-0.56, -0.77)]),
        pen.polygon([(-0.14, -0.78), (-0.35, 0.48), (0.10, -0.78)]),
    )
    pen.fill(flaps, look.light(0.5), 3, when=is_open)
    pen.fill(pen.stroke([(-0.35, 0.50), (-0.36, -0.72)], 0.07), look.dark(0.55), 2, when=~is_open)
    look.gleam(pen, within(without(side, front), pen.half((0.0, 0.48), (0.0, -1.0))), 0.22)


def snowman(pen: Pen, look: Look) -> None:
    snow = (0.93, 0.95, 0.98)
    pen.fill(
        joined(pen.stroke([(-0.20, 0.02), (-0.58, 0.26)], 0.07), pen.stroke([(0.20, 0.02), (0.58, 0.30)], 0.07)),
        WOOD,
        5,
    )
    pen.fill(joined(pen.ellipse((0.0, -0.52), (0.52, 0.48)), pen.ellipse((0.0, 0.06), (0.37, 0.34))), snow, 2)
    look.gleam(
        pen,
        joined(pen.ellipse((0.08, -0.74), (0.36, 0.2)), pen.ellipse((0.06, -0.12), (0.26, 0.12))),
        0.16,
        (0.2, 0.3, 0.5),
    )
    pen.fill(pen.ellipse((0.0, 0.46), (0.28, 0.27)), snow, 2)
    coals = joined(
        pen.ellipse((-0.04, 0.54), 0.05),
        pen.ellipse((0.17, 0.54), 0.05),
        pen.ellipse((0.05, 0.02), 0.055),
        pen.ellipse((0.05, -0.36), 0.055),
    )
    pen.fill(coals, DARK, 4)
    pen.fill(pen.polygon([(0.06, 0.50), (0.06, 0.38), (0.42, look.between(0, 0.38, 0.46))]), (0.97, 0.50, 0.08), 3)
    hat = joined(pen.box((0.0, 0.84), (0.24, 0.16)), pen.box((0.0, 0.69), (0.36, 0.055)))
    scarf = joined(
        pen.box((0.0, 0.24), (0.31, 0.085), round=0.06), pen.box((look.between(1, -0.2, 0.0), 0.06), (0.09, 0.18))
    )
    pen.fill(joined(hat, scarf), look.colour, 1)


DRAW = {
    "kite": kite, "ball": ball, "racket": racket, "surfboard": surfboard, "snowboard": snowboard, "skis": skis,
    "umbrella": umbrella, "tent": tent, "snowman": snowman,
}  # fmt: skip
SHADOWS = {
    "ball": (0.05, -0.97, 0.8, 0.16),
    "snowboard": (0.0, -0.26, 0.85, 0.09),
    "skis": (0.0, -0.26, 0.95, 0.09),
    "tent": (0.0, -0.76, 0.98, 0.11),
    "snowman": (0.05, -0.97, 0.55, 0.10),
}
