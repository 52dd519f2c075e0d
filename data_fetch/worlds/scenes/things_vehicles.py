"""Car, bus, bicycle, boat, and the traffic light: seen from the side, facing right."""

from __future__ import annotations

import torch

from data_fetch.worlds.raster import Pen, joined, within, without
from data_fetch.worlds.scenes.things_base import CREAM, DARK, GLASS, HUB, TYRE, WOOD, Look, soft

PARTS = {
    "car": ("body", "windows", "wheels", "lights"),
    "bus": ("body", "windows", "wheels", "lights", "stripe"),
    "bicycle": ("frame", "wheels", "saddle", "handlebar", "pedals"),
    "boat": ("hull", "sail", "mast", "jib", "stripe"),
    "traffic light": ("lit lamp", "housing", "other lamps", "pole"),
}


def car(pen: Pen, look: Look) -> None:
    tail = look.between(0, -0.92, -0.78)  # a hatchback or a notchback
    hood = pen.polygon(
        [(-1.0, -0.06), (-0.92, 0.12), (0.50, 0.12), (0.92, 0.04), (1.0, -0.08), (1.0, -0.34), (-1.0, -0.34)]
    )
    cabin = pen.polygon([(tail, 0.10), (-0.56, 0.50), (0.16, 0.50), (0.56, 0.10)])
    pen.fill(joined(hood, cabin), look.colour, 1)
    look.gleam(pen, pen.box((0.0, -0.28), (0.98, 0.06)), 0.35, DARK)
    look.gleam(pen, pen.box((-0.05, 0.08), (0.85, 0.025)), 0.4)
    panes = within(cabin + pen.scale * 0.085, pen.half((0.0, 0.13), (0.0, -1.0)))
    panes = without(panes, pen.box((-0.16, 0.28), (0.04, 0.3)))
    pen.fill(panes, look.mark(GLASS, (0.60, 0.72, 0.80)), 2)
    lamps = pen.ellipse((0.92, -0.07), (0.08, 0.075))
    pen.fill(lamps, (1.0, 0.95, 0.70), 4)
    pen.fill(
        pen.box((-0.95, -0.03), (0.05, 0.07)),
        look.choose(look.colour[:, 0] > 0.7, (0.55, 0.03, 0.05), (0.85, 0.1, 0.1)),
        4,
    )
    wheels = joined(pen.ellipse((-0.56, -0.29), 0.23), pen.ellipse((0.56, -0.29), 0.23))
    pen.fill(wheels, TYRE, 3)
    pen.fill(joined(pen.ellipse((-0.56, -0.29), 0.11), pen.ellipse((0.56, -0.29), 0.11)), HUB, 3)


def bus(pen: Pen, look: Look) -> None:
    pen.fill(pen.box((0.0, 0.06), (1.0, 0.56), round=0.12), look.colour, 1)
    look.gleam(pen, pen.box((0.0, -0.42), (0.97, 0.07)), 0.3, DARK)
    look.gleam(pen, pen.box((0.0, 0.54), (0.90, 0.04)), 0.35)
    pen.fill(pen.box((0.0, -0.16), (0.98, 0.05)), look.light(0.72), 5)
    panes = joined(*(pen.box((-0.78 + 0.35 * k, 0.23), (0.145, 0.19)) for k in range(4)))
    glass = look.choose(look.vary[:, 0] < 0.5, (0.30, 0.40, 0.50), (0.44, 0.57, 0.68))
    pen.fill(joined(panes, pen.box((0.85, 0.19), (0.13, 0.24)), pen.box((0.60, 0.04), (0.10, 0.40))), glass, 2)
    pen.fill(pen.box((0.95, -0.36), (0.05, 0.07)), (1.0, 0.95, 0.70), 4)
    wheels = joined(pen.ellipse((-0.52, -0.41), 0.21), pen.ellipse((0.42, -0.41), 0.21))
    pen.fill(wheels, TYRE, 3)
    pen.fill(joined(pen.ellipse((-0.52, -0.41), 0.10), pen.ellipse((0.42, -0.41), 0.10)), HUB, 3)


def bicycle(pen: Pen, look: Look) -> None:
    rear, front = (-0.56, -0.22), (0.56, -0.22)
    pen.fill(joined(pen.ring(rear, 0.375, 0.125), pen.ring(front, 0.375, 0.125)), TYRE, 2)
    seat, head, pedal = (-0.24, 0.30), (0.34, 0.32), (-0.04, -0.22)
    main = pen.stroke([rear, seat, head, pedal, rear], 0.11)
    fork = pen.stroke([(0.32, 0.46), front], 0.11)
    post = pen.stroke([(-0.28, 0.44), pedal], 0.11)
    pen.fill(joined(main, fork, post), look.colour, 1)
    pen.fill(pen.box((-0.30, 0.47), (0.19, 0.06), round=0.05), DARK, 3)
    pen.fill(pen.stroke([(0.30, 0.50), (0.36, 0.60), (0.54, look.between(0, 0.50, 0.58))], 0.10), DARK, 4)
    pen.fill(joined(pen.ellipse(pedal, 0.10), pen.box((0.04, -0.36), (0.09, 0.035))), (0.30, 0.30, 0.33), 5)


def boat(pen: Pen, look: Look) -> None:
    pen.fill(pen.box((-0.06, 0.20), (0.045, 0.74)), WOOD, 3)
    white = look.pale()
    second = look.choose(white, (0.30, 0.42, 0.62), look.colour)
    stripe = look.choose(white, (0.36, 0.55, 0.86), look.light(0.8))
    cloth = look.choose(white, (0.86, 0.87, 0.86), CREAM)
    pen.fill(pen.polygon([(-0.02, 0.92), (-0.02, -0.30), (look.between(0, 0.58, 0.76), -0.30)]), cloth, 2)
    pen.fill(pen.polygon([(-0.12, 0.78), (-0.12, -0.30), (-0.66, -0.30)]), second, 4)
    hull = joined(
        pen.polygon([(-0.96, -0.40), (0.90, -0.40), (0.60, -0.95), (-0.66, -0.95)]),
        pen.polygon([(0.3, -0.42), (0.97, -0.28), (0.86, -0.5)]),
    )
    pen.fill(hull, (look.colour * 1.12).clamp(max=1), 1)
    pen.fill(within(hull, pen.box((0.0, -0.49), (1.0, 0.045))), stripe, 5)
    look.gleam(pen, within(hull, pen.half((0.0, -0.84), (0.0, 1.0))), 0.15, DARK)
    look.gleam(pen, pen.polygon([(0.0, 0.80), (0.0, -0.28), (0.22, -0.28)]), 0.10, DARK)


def traffic_light(pen: Pen, look: Look) -> None:
    red = look.colour[:, 0] > look.colour[:, 1]
    pen.fill(
        joined(pen.box((0.0, -0.7), (look.between(0, 0.075, 0.11), 0.29)), pen.box((0.0, -0.95), (0.22, 0.05))),
        (0.36, 0.37, 0.40),
        4,
    )
    pen.fill(pen.box((0.0, 0.33), (0.42, 0.67), round=0.16), (0.10, 0.11, 0.12), 2)
    look.gleam(pen, pen.box((-0.36, 0.33), (0.025, 0.5)), 0.3)
    places = (0.74, 0.33, -0.08)
    dim = look.choose(red, (0.05, 0.19, 0.10), (0.27, 0.06, 0.07))
    lit = torch.where(red, places[0], places[2])
    pen.fill(pen.ellipse((0.0, places[1]), 0.19), (0.27, 0.22, 0.06), 3)
    pen.fill(pen.ellipse((0.0, places[0] + places[2] - lit), 0.19), dim, 3)
    look.gleam(pen, soft(pen, pen.ellipse((0.0, lit), 0.27), 0.2), 0.6, look.colour)
    pen.fill(pen.ellipse((0.0, lit), 0.25), (look.colour * 1.25).clamp(max=1), 1)
    look.gleam(pen, pen.ellipse((-0.06, lit + 0.06), 0.10), 0.45)


DRAW = {"car": car, "bus": bus, "bicycle": bicycle, "boat": boat, "traffic light": traffic_light}
SHADOWS = {
    "car": (0.0, -0.50, 0.98, 0.11),
    "bus": (0.0, -0.60, 0.98, 0.11),
    "bicycle": (0.0, -0.65, 0.85, 0.09),
    "traffic light": (0.0, -0.98, 0.34, 0.10),
}
