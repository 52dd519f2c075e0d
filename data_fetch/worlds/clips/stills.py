"""What stands still in a clip, drawn once: the table, things in the background, and the second thing."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from data_fetch.worlds.clips import containers
from data_fetch.worlds.clips.actions import CONTAINERS, KINDS, THINGS
from data_fetch.worlds.clips.casting import Casting
from data_fetch.worlds.clips.motion import Poses
from data_fetch.worlds.clips.tables import table
from data_fetch.worlds.clips.things import COLOURS, DRAWINGS, EXTENTS, PALETTES, REACHES, SIZES, TILTS
from data_fetch.worlds.raster import Canvas, Pen, hashed

REACH = torch.tensor([REACHES.get(name, math.hypot(*EXTENTS[k].tolist()) + 0.1) for k, name in enumerate(KINDS)])
"""(kinds,) how far from its middle a thing goes, in its units."""
_HALVES = torch.stack(
    [
        EXTENTS[:, 0] * TILTS.cos().abs() + EXTENTS[:, 1] * TILTS.sin().abs(),
        EXTENTS[:, 0] * TILTS.sin().abs() + EXTENTS[:, 1] * TILTS.cos().abs(),
    ],
    1,
)  # (kinds, 2): half the width and height of a thing as it lies
_RGB = torch.tensor(list(COLOURS.values()))


def stills(cast: Casting, motion: Poses, size: int, margin: int) -> Tensor:
    """(n, 3, P, P): the ground of every frame of n clips; P = S + two margins."""
    device = cast.seeds.device
    canvas = Canvas(torch.cat([table(c.tables, c.seeds, size + 2 * margin) for c in _chunks(cast)]))
    stage = _Stage(canvas, size, margin)
    numbers = hashed(cast.seeds + 86_028_121, 12)
    amount = (numbers[:, 0] * 3).long()  # none, one or two
    for k in range(2):
        kinds = (numbers[:, 1 + k] * len(THINGS)).long()  # whatever the clip is about
        x, ground = 0.1 + 0.25 * numbers[:, 3 + k] + 0.55 * k, 0.40 + 0.1 * numbers[:, 7 + k]
        unit = 0.085 + 0.02 * numbers[:, 5 + k]
        colours = paint(_any_colour(kinds, numbers[:, 9 + k]), cast.seeds + 11 + k)
        stage.stand(torch.nonzero(amount > k)[:, 0], kinds, x, ground, unit * SIZES.to(device)[kinds], colours, 0.105)
    colours = paint(torch.where(cast.swapped, cast.colours, cast.other_colours), cast.seeds + 1)
    ground, x, unit = (value.to(device) for value in (motion.ground[:, 0], motion.other_x, motion.other_scale))
    stage.stand(torch.nonzero(cast.still >= 0)[:, 0], cast.still, x, ground, unit, colours, 0.2)
    return canvas.images


def _chunks(cast: Casting, clips: int = 128) -> list[Casting]:
    return [cast[rows] for rows in torch.arange(len(cast), device=cast.seeds.device).split(clips)]


class _Stage:
    """Where things are put down, one a clip at a time; lengths are shares of the image's side."""

    def __init__(self, canvas: Canvas, size: int, margin: int):
        self.canvas, self.size, self.margin, self.side = canvas, size, margin, canvas.images.shape[-1]

    def stand(
        self, shown: Tensor, kinds: Tensor, x: Tensor, ground: Tensor, unit: Tensor, colours: Tensor, largest: float
    ) -> None:
        """Put a thing on the table in the clips `shown`; no unit is longer than `largest` times the kind's size."""
        half = _HALVES.to(x.device)[kinds.clamp(min=0)] * unit[:, None] * self.size
        x, foot, unit = x * self.size + self.margin, ground * self.size + self.margin, unit * self.size
        images = self.canvas.images[shown]
        cast_shadows(images, x[shown], foot[shown], half[shown, 0], torch.full_like(x[shown], 0.5))
        self.canvas.images[shown] = images
        for kind in kinds[shown].unique().tolist():
            rows = shown[kinds[shown] == kind]
            reach = 2 * float(REACH[kind] * SIZES[kind]) * largest * self.size
            window = min(self.side, math.ceil((reach + 4) / 4) * 4)
            angle = torch.full_like(x[rows], float(TILTS[kind]))
            pen = Pen(window, x[rows], (foot - half[:, 1])[rows], unit[rows], angle=angle, image=self.side)
            draw(pen, kind, colours[rows], torch.zeros_like(angle))
            if KINDS[kind] in CONTAINERS:
                containers.container(pen, KINDS[kind], colours[rows], front_only=True)
            self.canvas.paste(pen.sprite(), rows, 1)


def cast_shadows(images: Tensor, x: Tensor, y: Tensor, spread: Tensor, shade: Tensor) -> None:
    """Darken the table under a thing, softly; (n,) each, in pixels."""
    axis = torch.arange(images.shape[-1], device=images.device) + 0.5
    across = ((axis[None, :] - (x + 0.12 * spread)[:, None]) / (1.15 * spread)[:, None]).square()[:, None, :]
    down = ((axis[None, :] - y[:, None]) / (0.28 * spread + 1)[:, None]).square()[:, :, None]
    soft = (1.15 - across - down).clamp_(0, 1) * shade[:, None, None]
    images.mul_((1 - soft)[:, None])


def draw(pen: Pen, kind: int, colour: Tensor, opening: Tensor) -> None:
    name = KINDS[kind]
    if name in THINGS:
        DRAWINGS[name](pen, colour, opening)
        pen.shade((-0.5, 0.8), 0.1)
    elif name in CONTAINERS:
        containers.container(pen, name, colour, front_only=False)
    else:
        containers.cover(pen, name, colour, opening)


def paint(colours: Tensor, seeds: Tensor) -> Tensor:
    """(n, 3) the colours, a little different in each clip."""
    numbers = hashed(seeds + 67_867_967, 4)
    rgb = _RGB.to(colours.device)[colours] * (0.9 + 0.16 * numbers[:, :1])
    return (rgb + 0.07 * (numbers[:, 1:] - 0.5)).clamp(0, 1)


def _any_colour(kinds: Tensor, share: Tensor) -> Tensor:
    longest = max(len(p) for p in PALETTES.values())
    choices = torch.tensor([(p * longest)[:longest] for p in PALETTES.values()], device=kinds.device)
    counts = torch.tensor([len(p) for p in PALETTES.values()], device=kinds.device)
    return choices[kinds, (share * counts[kinds]).long()]
