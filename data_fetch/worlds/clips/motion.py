"""The clock, the randomness and the geometry of a clip's movement; `moves.py` has the movements themselves.

Lengths are shares of the image's side, x to the right and y down; time runs from 0 to 1. Movements start and end at
rest (minimum-jerk profile, Flash and Hogan 1985), falls are accelerated evenly.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from data_fetch.worlds.clips.things import EXTENTS, SIZES, TILTS
from data_fetch.worlds.raster import hashed

_NUMBERS = 24  # random numbers a clip


@dataclass
class Poses:
    """Of n clips, (n, T) each unless noted.

    x, y : centre of the moved thing; scale : the length of its unit; angle : radians, anti-clockwise.
    opening : 0 closed (a cloth: flat), 1 open.  ground : the height in the image where it stands, or would land.
    lifted : how high above that.  hand_x, hand_y : where thumb and fingers meet; arm : direction of the arm, radians.
    grip : 0 open, 1 closed.  other_x, other_y, other_scale (n,) : the second thing, which stays where it is.
    """

    x: Tensor
    y: Tensor
    scale: Tensor
    angle: Tensor
    opening: Tensor
    ground: Tensor
    lifted: Tensor
    hand_x: Tensor
    hand_y: Tensor
    arm: Tensor
    grip: Tensor
    other_x: Tensor
    other_y: Tensor
    other_scale: Tensor

    def __getitem__(self, rows: Tensor) -> Poses:
        return Poses(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


class Take:
    """One script's clips while their movement is worked out: random numbers, clock, and the state so far."""

    def __init__(self, seeds: Tensor, frames: int, moved: Tensor, other: Tensor):
        self.numbers, self._next = hashed(seeds + 15_485_863, _NUMBERS), 0
        self.time = torch.linspace(0, 1, frames).expand(len(seeds), frames)
        self.extents, self.tilt = EXTENTS[moved], TILTS[moved][:, None]
        self.other_extents, self.moved, self.other = EXTENTS[other], moved, other
        self.side = torch.where(self.numbers[:, :1] < 0.5, -1.0, 1.0)  # the hand comes from the left, or the right
        self._next = 1
        self.ground = self.draw(0.76, 0.86) + torch.zeros_like(self.time)
        self.unit = self.draw(0.165, 0.195) * SIZES[moved][:, None]
        self.other_unit = self.draw(0.155, 0.18) * SIZES[other][:, None]
        long = self.draw(0.40, 0.62)
        self.begin = 0.12 + (0.76 - long) * self.draw(0.0, 1.0)
        self.end = self.begin + long
        zero = torch.zeros_like(self.time)
        self.x, self.lifted, self.turn, self.opening, self.grow = zero + 0.5, zero, zero, zero, zero + 1
        self.other_x, self.contact, self.hand_up, self.away = zero[:, :1] + 0.5, None, zero, self.visit()
        self.arm_from = (0.5 + self.side * 1.1, self.draw(0.15, 0.6))
        self.reach, self.contact_share = 0.8, 0.72

    def draw(self, low: float, high: float) -> Tensor:
        """(n, 1) random numbers, others at each call."""
        self._next += 1
        return low + (high - low) * self.numbers[:, self._next - 1 : self._next]

    def progress(self, begin: Tensor | None = None, end: Tensor | None = None) -> Tensor:
        """(n, T): 0 before `begin`, 1 after `end`, smoothly between."""
        begin, end = (self.begin if begin is None else begin), (self.end if end is None else end)
        return ease((self.time - begin) / (end - begin))

    def visit(self, comes: bool = True, goes: bool = True) -> Tensor:
        """(n, T): how far away the hand is, 0 while it acts; it takes 0.3 to come and to go."""
        none = torch.zeros_like(self.time)
        before = 1 - self.progress(self.begin - 0.3, self.begin) if comes else none
        return before + (self.progress(self.end, self.end + 0.3) if goes else none)

    @property
    def scale(self) -> Tensor:
        return self.unit * self.grow

    @property
    def angle(self) -> Tensor:
        return self.tilt + self.turn

    def half(self) -> tuple[Tensor, Tensor]:
        """Half the width and height of the turned thing, (n, T)."""
        cosine, sine = torch.cos(self.angle).abs(), torch.sin(self.angle).abs()
        a, b = self.extents[:, :1], self.extents[:, 1:]
        return (a * cosine + b * sine) * self.scale, (a * sine + b * cosine) * self.scale

    def centre(self) -> tuple[Tensor, Tensor]:
        return self.x, self.ground - self.half()[1] - self.lifted

    def poses(self) -> Poses:
        x, y = self.centre()
        contact_x, contact_y = self.contact or self.touch(x, y)
        toward_x, toward_y = self.arm_from[0] - contact_x, self.arm_from[1] - contact_y
        length = (toward_x.square() + toward_y.square()).sqrt()
        toward_x, toward_y = toward_x / length, toward_y / length
        hand_x = contact_x + toward_x * self.away * self.reach
        hand_y = contact_y + toward_y * self.away * self.reach - self.hand_up
        lean, other_a, other_b = TILTS[self.other][:, None], self.other_extents[:, :1], self.other_extents[:, 1:]
        other_y = self.ground[:, :1] - (other_a * lean.sin() + other_b * lean.cos()) * self.other_unit
        return Poses(
            x=x, y=y, scale=self.scale, angle=self.angle, opening=self.opening, ground=self.ground, lifted=self.lifted,
            hand_x=hand_x, hand_y=hand_y, arm=torch.atan2(toward_y, -toward_x), grip=(1 - 4 * self.away).clamp(0, 1),
            other_x=self.other_x[:, 0], other_y=other_y[:, 0], other_scale=self.other_unit[:, 0],
        )  # fmt: skip

    def touch(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """A point of the thing's edge that faces the arm."""
        a, b = self.half()
        toward_x, toward_y = self.arm_from[0] - x, self.arm_from[1] - y
        length = (toward_x.square() + toward_y.square()).sqrt()
        return x + self.contact_share * a * toward_x / length, y + self.contact_share * b * toward_y / length

    def point(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Where a point of the thing is in the image."""
        x, y = self.centre()
        cosine, sine = torch.cos(self.angle), torch.sin(self.angle)
        return x + (u * cosine - v * sine) * self.scale, y - (u * sine + v * cosine) * self.scale


def ease(share: Tensor) -> Tensor:
    """Minimum-jerk progress: 0 at or before 0, 1 at or after 1, at rest on both ends."""
    share = share.clamp(0, 1)
    return share**3 * (10 - 15 * share + 6 * share.square())
