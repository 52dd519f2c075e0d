"""Where a bird's parts are: points and lengths in the bird's own units, before anything is drawn.

The bird looks to the right; x is to the right, y up, the origin the middle of the body. Angles are radians.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from data_fetch.worlds.birds.individuals import pose_column
from data_fetch.worlds.birds.vocabulary import column

# half length and half height of the body, its slope in degrees; head's place, slope taken out, and radius;
# leg from body to foot; neck's width at head and shoulder; tail's slope in degrees against the body
_BUILDS = torch.tensor(
    [
        # a,   b,   slope, head x, y,  r,    leg,  neck, tail
        (0.50, 0.33, 22.0, 0.50, 0.20, 0.28, 0.30, 0.38, -4.0),  # perching-like
        (0.56, 0.30, 4.0, 0.50, 0.46, 0.235, 0.17, 0.23, 14.0),  # duck-like
        (0.45, 0.27, 16.0, 0.62, 0.50, 0.205, 0.62, 0.16, -8.0),  # long-legged-like
        (0.50, 0.37, 64.0, 0.52, -0.05, 0.39, 0.17, 0.54, -2.0),  # owl-like
        (0.50, 0.42, 12.0, 0.56, 0.42, 0.215, 0.36, 0.26, 22.0),  # upland-ground-like
    ]
)
TAIL_LENGTH = (0.42, 0.62, 0.56, 0.48)  # as in has_tail_shape, beyond the body
BILL_LENGTH = (0.24, 0.25, 0.42, 0.29, 0.45, 0.38)  # as in has_bill_shape, beyond the head
SIZES = (0.31, 0.335), (0.385, 0.435)  # of the image, a unit: small and large birds
_MARGIN = 0.02  # of the image


@dataclass(frozen=True)
class Skeleton:
    """All tensors (n,). Units as in the module's first lines, but x, y, scale: pixels of the image."""

    a: Tensor  # half length of the body
    b: Tensor  # half height
    slope: Tensor  # of the body
    head_x: Tensor
    head_y: Tensor
    r: Tensor  # of the head
    pitch: Tensor
    neck: Tensor  # width
    tail_x: Tensor  # where it begins
    tail_y: Tensor
    tail_turn: Tensor  # its direction
    hip_x: Tensor
    hip_y: Tensor
    foot_y: Tensor
    x: Tensor  # of the body's middle
    y: Tensor
    scale: Tensor  # pixels a unit
    facing: Tensor

    def __getitem__(self, rows: Tensor) -> Skeleton:
        return Skeleton(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def place(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The pixel of a point of the bird."""
        return self.x + self.facing * u * self.scale, self.y - v * self.scale

    def landmarks(self) -> list[tuple[Tensor, Tensor]]:
        """The pixel of each part, in the order of PARTS: where it is, seen or not."""
        head = [(1.25, 0.0), (0.28, 0.04), (0.1, 0.7), (0.0, -0.1), (-0.7, -0.1), (0.2, -0.75)]  # bill to throat
        cosine, sine = torch.cos(self.pitch) * self.r, torch.sin(self.pitch) * self.r
        found = [(self.head_x + p * cosine - q * sine, self.head_y + p * sine + q * cosine) for p, q in head]
        found += [self.along(p, q) for p, q in ((0.6, -0.3), (-0.2, -0.7), (-0.2, 0.7), (-0.25, 0.1))]
        tail = 0.3
        found.append((self.tail_x + tail * torch.cos(self.tail_turn), self.tail_y + tail * torch.sin(self.tail_turn)))
        found.append((self.hip_x, (self.hip_y + self.foot_y) / 2))
        return [self.place(u, v) for u, v in found]

    def along(self, p: float | Tensor, q: float | Tensor) -> tuple[Tensor, Tensor]:
        """A point of the body: p half lengths to the front, q half heights up, both along its slope."""
        cosine, sine = torch.cos(self.slope), torch.sin(self.slope)
        return p * self.a * cosine - q * self.b * sine, p * self.a * sine + q * self.b * cosine


def skeleton(values: Tensor, pose: Tensor, size: int) -> Skeleton:
    """Birds with these values (n, groups) and poses (n, ...), placed wholly inside images of `size` pixels."""
    build = _BUILDS.to(pose.device)[column(values, "has_shape")]
    a, b, slope, head_p, head_q, r, leg, neck, tail = build.unbind(1)
    slope = torch.deg2rad(slope + pose_column(pose, "tilt"))
    cosine, sine = torch.cos(slope), torch.sin(slope)
    head_x, head_y = head_p * cosine - head_q * sine, head_p * sine + head_q * cosine
    turn = slope + math.pi + torch.deg2rad(-tail - pose_column(pose, "cock"))
    hip_x, hip_y = -0.10 * cosine + 0.5 * b * sine, -0.10 * sine - 0.5 * b * cosine
    below = -((a * sine).square() + (b * cosine).square()).sqrt()  # the lowest point of the body
    bones = {
        "a": a,
        "b": b,
        "slope": slope,
        "head_x": head_x,
        "head_y": head_y,
        "r": r,
        "pitch": torch.deg2rad(pose_column(pose, "pitch")),
        "neck": neck,
        "tail_x": -0.86 * a * cosine,
        "tail_y": -0.86 * a * sine,
        "tail_turn": turn,
        "hip_x": hip_x,
        "hip_y": hip_y,
        "foot_y": below - leg,
        "facing": pose_column(pose, "facing"),
    }
    return Skeleton(**bones, **_placed(bones, values, pose, size))


def _placed(bones: dict[str, Tensor], values: Tensor, pose: Tensor, size: int) -> dict[str, Tensor]:
    """x, y and scale: as large as its size says, and inside the image."""
    device = pose.device
    tail = torch.tensor(TAIL_LENGTH, device=device)[column(values, "has_tail_shape")] + 0.14 * bones["a"]
    bill = torch.tensor(BILL_LENGTH, device=device)[column(values, "has_bill_shape")]
    reach = bones["r"] + bill
    tip_x = bones["tail_x"] + tail * torch.cos(bones["tail_turn"])
    tip_x = tip_x - 0.06 - 0.34 * torch.sin(bones["tail_turn"]).abs()
    tip_y = bones["tail_y"] + tail * torch.sin(bones["tail_turn"])
    left = torch.minimum(tip_x, -bones["a"])
    droop = 0.08 + 0.24 * torch.sin(bones["pitch"]).clamp(min=0)  # of a curved bill, turned up with the head
    right = torch.maximum(bones["head_x"] + reach * torch.cos(bones["pitch"]) + droop, bones["a"] + 0.03)
    crest = torch.where(column(values, "has_head_pattern") == 4, 1.72, 1.05)
    top = torch.maximum(bones["head_y"] + crest * bones["r"], tip_y + 0.2)
    bottom = torch.minimum(bones["foot_y"] - 0.06, tip_y - 0.2)

    sizes = torch.tensor(SIZES, device=device)[column(values, "has_size")]
    scale = size * (sizes[:, 0] + (sizes[:, 1] - sizes[:, 0]) * pose_column(pose, "scale"))
    room = size * (1 - 2 * _MARGIN)
    scale = torch.minimum(scale, room / torch.maximum(right - left, top - bottom))
    ahead = bones["facing"] > 0
    first, last = torch.where(ahead, left, -right), torch.where(ahead, right, -left)
    x = size * _MARGIN - first * scale + (room - (last - first) * scale) * pose_column(pose, "x")
    y = size * _MARGIN + top * scale + (room - (top - bottom) * scale) * (0.35 + 0.65 * pose_column(pose, "y"))
    return {"x": x, "y": y, "scale": scale}
