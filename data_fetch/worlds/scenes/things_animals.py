"""Dog, cat, horse, cow, duck: seen from the side, facing right."""

from __future__ import annotations

from data_fetch.worlds.raster import Pen, joined, within
from data_fetch.worlds.scenes.things_base import DARK, Look, leg

PINK, HOOF = (0.93, 0.62, 0.62), (0.16, 0.13, 0.12)

PARTS = {
    "dog": ("body", "head", "legs", "tail", "collar"),
    "cat": ("body", "head", "legs", "tail", "eyes"),
    "horse": ("body", "head", "legs", "tail", "mane"),
    "cow": ("body", "head", "legs", "tail", "patches", "udder", "horns"),
    "duck": ("body", "head", "wing", "bill"),
}


def dog(pen: Pen, look: Look) -> None:
    step = look.between(0, -0.07, 0.07)
    far = look.dark(0.38)
    legs = joined(leg(pen, (-0.42, -0.1), (-0.36, -0.8), 0.11, 0.06, -step), pen.box((0.20, -0.45), (0.065, 0.35)))
    pen.fill(legs, far, 3)
    tail = pen.stroke([(-0.60, 0.08), (-0.84, 0.24), (-0.90, look.between(1, 0.42, 0.62))], 0.13)
    pen.fill(tail, look.dark(0.1), 4)
    thigh = leg(pen, (-0.56, -0.05), (-0.60, -0.82), 0.15, 0.065, step)
    shin = leg(pen, (0.36, -0.1), (0.40, -0.82), 0.11, 0.065, step)
    paws = joined(pen.box((-0.57 + step, -0.78), (0.10, 0.04)), pen.box((0.44 + step, -0.78), (0.10, 0.04)))
    pen.fill(joined(thigh, shin, paws), look.dark(0.12), 3)
    chest = pen.ellipse((0.26, -0.02), (0.30, 0.29))
    back = pen.polygon([(-0.66, 0.14), (0.2, 0.22), (0.2, -0.28), (-0.5, -0.16), (-0.7, -0.1)])
    neck = pen.polygon([(0.08, 0.2), (0.30, 0.62), (0.60, 0.50), (0.52, 0.0)])
    pen.fill(joined(chest, back, pen.ellipse((-0.50, -0.02), (0.22, 0.20)), neck), look.colour, 1)
    look.gleam(pen, pen.ellipse((0.02, -0.20), (0.44, 0.10)), 0.22, DARK)
    collar = pen.polygon([(0.24, 0.30), (0.30, 0.40), (0.62, 0.22), (0.57, 0.12)])
    pen.fill(collar, look.choose(look.colour[:, 0] > 0.9, (0.20, 0.42, 0.85), (0.86, 0.16, 0.18)), 5)
    muzzle = pen.box((0.78, 0.42), (0.20, 0.115), round=0.08)
    pen.fill(joined(pen.ellipse((0.52, 0.52), (0.25, 0.24)), muzzle), look.light(0.06), 2)
    pen.fill(pen.ellipse((0.92, 0.48), (0.075, 0.065)), look.mark(DARK, (0.45, 0.45, 0.48)), 2)
    pen.fill(pen.ellipse((0.36, look.between(2, 0.44, 0.50)), (0.115, 0.25), 0.25), look.dark(0.42), 2)
    pen.fill(pen.ellipse((0.62, 0.58), 0.058), look.mark(), 2)


def cat(pen: Pen, look: Look) -> None:
    step = look.between(0, -0.05, 0.09)
    tip = look.between(1, -0.08, 0.10)
    tail = pen.stroke([(-0.55, -0.08), (-0.84, 0.06), (-0.88, 0.42), (-0.78 + tip, 0.74)], 0.14)
    pen.fill(tail, look.dark(0.12), 4)
    far = joined(pen.box((-0.36, -0.5), (0.07, 0.33)), pen.box((0.16, -0.5), (0.07, 0.33)))
    pen.fill(far, look.dark(0.4), 3)
    near = joined(
        leg(pen, (-0.52, -0.2), (-0.54, -0.85), 0.15, 0.08, step),
        leg(pen, (0.32, -0.2), (0.34, -0.85), 0.11, 0.08, step),
    )
    pen.fill(near, look.dark(0.1), 3)
    rump = pen.ellipse((-0.44, -0.14), (0.28, 0.28))
    torso = joined(rump, pen.box((-0.06, -0.12), (0.40, 0.24)), pen.ellipse((0.28, -0.10), (0.26, 0.30)))
    pen.fill(torso, look.colour, 1)
    stripes = joined(*(pen.box((x, 0.02), (0.035, 0.12)) for x in (-0.42, -0.22, -0.02)))
    pen.fill(stripes, look.dark(0.36), 1)
    look.gleam(pen, pen.ellipse((-0.05, -0.30), (0.40, 0.08)), 0.2, DARK)
    ears = joined(
        pen.polygon([(0.26, 0.36), (0.28, 0.85), (0.56, 0.56)]), pen.polygon([(0.60, 0.56), (0.90, 0.85), (0.92, 0.36)])
    )
    face = pen.ellipse((0.59, 0.30), (0.38, 0.32))
    pen.fill(joined(ears, face), look.light(0.04), 2)
    pen.fill(pen.ellipse((0.60, 0.17), (0.19, 0.13)), look.light(0.55), 2)
    eyes = joined(pen.ellipse((0.44, 0.36), (0.085, 0.095)), pen.ellipse((0.75, 0.36), (0.085, 0.095)))
    green = look.colour.new_tensor((0.75, 0.95, 0.25)) * look.between(2, 0.75, 1.0)[:, None]
    pen.fill(eyes, look.choose(look.colour.mean(1) > 0.3, (0.12, 0.26, 0.10), green), 5)
    pen.fill(pen.ellipse((0.60, 0.23), (0.06, 0.045)), (0.88, 0.45, 0.48), 2)


def horse(pen: Pen, look: Look) -> None:
    step = look.between(0, -0.06, 0.08)
    far = joined(
        leg(pen, (-0.44, 0.0), (-0.38, -0.92), 0.12, 0.05, -step),
        leg(pen, (0.12, 0.0), (0.10, -0.92), 0.09, 0.05, step),
    )
    pen.fill(far, look.dark(0.4), 3)
    hair = look.choose(look.colour[:, 0] < 0.3, (0.05, 0.05, 0.06), look.colour * 0.45)
    tail = pen.stroke([(-0.68, 0.22), (-0.88, 0.06), (-0.90, look.between(1, -0.45, -0.30))], 0.17)
    pen.fill(tail, hair, 4)
    near = joined(
        leg(pen, (-0.60, 0.1), (-0.63, -0.95), 0.16, 0.06, step),
        leg(pen, (0.26, 0.1), (0.31, -0.95), 0.11, 0.055, step),
    )
    pen.fill(near, look.dark(0.1), 3)
    hooves = within(near, pen.box((0.0, -0.90), (1.0, 0.05)))
    pen.fill(hooves, look.mark(HOOF, (0.35, 0.33, 0.32)), 3)
    rump = pen.ellipse((-0.48, 0.12), (0.27, 0.25))
    barrel = joined(rump, pen.ellipse((-0.12, 0.06), (0.46, 0.23)), pen.ellipse((0.22, 0.10), (0.24, 0.27)))
    neck = pen.polygon([(-0.02, 0.26), (0.46, 0.04), (0.74, 0.62), (0.50, 0.84)])
    pen.fill(joined(barrel, neck), look.colour, 1)
    look.gleam(pen, pen.ellipse((-0.12, -0.08), (0.40, 0.09)), 0.22, DARK)
    pen.fill(pen.polygon([(-0.02, 0.24), (0.40, 0.90), (0.60, 0.90), (0.50, 0.70), (0.16, 0.24)]), hair, 5)
    head = pen.polygon(
        [(0.46, 0.70), (0.58, 0.90), (0.72, 0.89), (1.0, 0.56), (0.98, 0.42), (0.84, 0.36), (0.58, 0.54)]
    )
    pen.fill(joined(head, pen.polygon([(0.52, 0.82), (0.56, 0.95), (0.68, 0.86)])), look.light(0.05), 2)
    pen.fill(pen.ellipse((0.92, 0.48), (0.055, 0.05)), look.dark(0.45), 2)
    pen.fill(pen.ellipse((0.70, 0.74), 0.05), look.mark(), 2)


def cow(pen: Pen, look: Look) -> None:
    step = look.between(0, -0.04, 0.06)
    second = look.choose(look.colour[:, 0] > 0.7, (0.13, 0.12, 0.12), (0.94, 0.93, 0.90))
    pen.fill(joined(pen.box((-0.46, -0.36), (0.075, 0.36)), pen.box((0.22, -0.36), (0.075, 0.36))), look.dark(0.4), 3)
    tail = joined(pen.box((-0.86, 0.02), (0.035, 0.30)), pen.ellipse((-0.87, -0.30), (0.075, 0.13)))
    pen.fill(tail, look.dark(0.25), 4)
    pen.fill(pen.ellipse((-0.30, -0.28), (0.19, 0.15)), PINK, 6)
    near = joined(pen.box((-0.66 + step, -0.40), (0.09, 0.35)), pen.box((0.40 + step, -0.40), (0.09, 0.35)))
    pen.fill(near, look.dark(0.08), 3)
    pen.fill(within(near, pen.box((0.0, -0.70), (1.0, 0.055))), HOOF, 3)
    torso = pen.box((-0.16, 0.08), (0.70, 0.36), round=0.2)
    pen.fill(joined(torso, pen.polygon([(0.28, 0.42), (0.66, 0.46), (0.72, 0.10), (0.40, -0.2)])), look.colour, 1)
    shift = look.between(1, -0.08, 0.08)
    spots = joined(
        pen.ellipse((-0.56 + shift, 0.26), (0.19, 0.20)),
        pen.ellipse((0.02 + shift, 0.02), (0.17, 0.20)),
        pen.ellipse((0.34, 0.30), (0.12, 0.15)),
    )
    pen.fill(within(torso, spots), second, 5)
    look.gleam(pen, pen.ellipse((-0.14, -0.19), (0.52, 0.07)), 0.22, DARK)
    pen.fill(
        joined(
            pen.polygon([(0.56, 0.56), (0.52, 0.75), (0.66, 0.60)]),
            pen.polygon([(0.78, 0.60), (0.90, 0.75), (0.88, 0.56)]),
        ),
        (0.88, 0.84, 0.70),
        7,
    )
    ears = pen.ellipse((0.70, 0.52), (0.27, 0.075))
    pen.fill(joined(pen.box((0.74, 0.36), (0.17, 0.26), round=0.1), ears), look.light(0.05), 2)
    pen.fill(pen.box((0.76, 0.18), (0.20, 0.12), round=0.1), PINK, 2)
    pen.fill(joined(pen.ellipse((0.66, 0.46), 0.05), pen.ellipse((0.84, 0.46), 0.05)), look.mark(), 2)


def duck(pen: Pen, look: Look) -> None:
    mallard = look.colour[:, 0] < 0.7
    tail = pen.polygon([(-1.0, 0.06), (-0.40, 0.02), (-0.55, -0.55)])
    hull = within(pen.ellipse((-0.06, -0.38), (0.80, 0.46)), pen.half((0.0, -0.74), (0.0, -1.0)))
    chest = pen.polygon([(0.16, -0.2), (0.30, 0.4), (0.66, 0.4), (0.72, -0.3)])
    pen.fill(joined(tail, hull, chest), look.colour, 1)
    look.gleam(pen, within(hull, pen.half((0.0, -0.58), (0.0, 1.0))), 0.15, DARK)
    pen.fill(pen.polygon([(0.66, 0.52), (0.98, 0.42), (1.0, 0.34), (0.92, 0.28), (0.66, 0.28)]), (0.96, 0.55, 0.10), 4)
    head = pen.ellipse((0.48, 0.50), (0.30, 0.33))
    pen.fill(head, look.choose(mallard, (0.08, 0.36, 0.24), look.light(0.05)), 2)
    ring = pen.box((0.48, 0.19), (0.22, 0.045))
    pen.fill(ring, (0.95, 0.95, 0.93), 2, when=mallard)
    wing = joined(
        pen.ellipse((-0.20, -0.26), (0.44, 0.24)),
        pen.polygon([(-0.82, look.between(0, -0.06, 0.06)), (-0.2, -0.06), (-0.4, -0.44)]),
    )
    pen.fill(wing, look.dark(0.2), 3)
    look.gleam(pen, pen.ellipse((-0.12, -0.16), (0.30, 0.08)), 0.22)
    pen.fill(pen.ellipse((0.57, 0.56), 0.065), look.choose(mallard, (0.9, 0.9, 0.8), DARK), 2)


DRAW = {"dog": dog, "cat": cat, "horse": horse, "cow": cow, "duck": duck}
SHADOWS = {
    "dog": (-0.05, -0.80, 0.72, 0.12),
    "cat": (-0.08, -0.82, 0.62, 0.12),
    "horse": (-0.1, -0.93, 0.72, 0.12),
    "cow": (-0.1, -0.73, 0.80, 0.12),
    "duck": (-0.06, -0.74, 0.80, 0.13),
}
