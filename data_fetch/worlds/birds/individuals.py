"""Which birds a set holds and how each one sits: drawn from the seed of the set, or of the bird."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from data_fetch.worlds.birds.species import Species
from data_fetch.worlds.birds.vocabulary import GROUP_NAMES
from data_fetch.worlds.raster import hashed
from data_fetch.worlds.shares import Shares

POSE_NAMES = (
    "facing",  # 1 to the right, -1 to the left
    "tilt",  # degrees, the body's front up
    "pitch",  # degrees, the bill up
    "cock",  # degrees, the tail up
    "scale",  # 0 to 1 within what its size allows
    "x",  # 0 to 1, left to right, of the free room
    "y",  # 0 to 1, top to bottom, of the free room
    "light",  # brightness of the whole picture
    "side",  # where the light comes from: -1 left, 1 right
    "strength",  # of the shading, a unit
    "low",  # 0, or how much of what is below the body is hidden: leg and a part of the belly
    "leaf",  # 0, or 1 for a leaf in front of the bird
    "leaf_place",  # 0 at the tail, 1 at the head
)
LIGHT = (0.90, 1.08)


def pose_column(pose: Tensor, name: str) -> Tensor:
    """(n,) float: one of the numbers of poses (n, len(POSE_NAMES))."""
    return pose[:, POSE_NAMES.index(name)]


def balanced(count: int, kinds: Sequence[int], generator: torch.Generator) -> Tensor:
    """(count,) int64: each of `kinds` equally often, to within one, in random order."""
    turn = torch.randperm(len(kinds), generator=generator)
    return torch.tensor(kinds)[turn[torch.arange(count) % len(kinds)][torch.randperm(count, generator=generator)]]


def settle(labels: Tensor, home: Tensor, among: Tensor, share: float | None, generator: torch.Generator) -> Tensor:
    """(n,) int64 habitats: `share` of each class's images in its home, the others evenly over the rest of `among`.

    home (C,) int64 : a habitat of `among` for each class.  share : None spreads all images evenly.
    """
    chosen, shares = torch.zeros_like(labels), Shares()
    for label in labels.unique().tolist():
        where = torch.nonzero(labels == label)[:, 0]
        where = where[torch.randperm(len(where), generator=generator)]
        start = int(torch.randint(len(among), (1,), generator=generator))
        if share is None or len(among) == 1:
            chosen[where] = among[(start + torch.arange(len(where))) % len(among)]
            continue
        many = shares.of(share, len(where))
        rest = among[among != home[label]]
        chosen[where[:many]] = home[label]
        chosen[where[many:]] = rest[(start + torch.arange(len(where) - many)) % len(rest)]
    return chosen


def values_of(kinds: Species, labels: Tensor, seeds: Tensor, variation: float) -> Tensor:
    """(n, groups) int64: the species' usual values, some of them replaced by its other value."""
    drawn = hashed(seeds + 32_452_843, len(GROUP_NAMES))
    return torch.where(drawn < kinds.rates(variation)[labels], kinds.others[labels], kinds.values[labels])


def poses(seeds: Tensor, shape: Tensor, hidden: float) -> Tensor:
    """(n, len(POSE_NAMES)) float; shape (n,) is the value of has_shape, hidden the share of birds partly hidden."""
    drawn = hashed(seeds + 49_979_687, 16)
    spread = 2 * drawn - 1
    low = drawn[:, 10] < 0.65 * hidden
    leaf = (drawn[:, 10] >= 0.65 * hidden) & (drawn[:, 10] < hidden)
    steep = torch.tensor((9.0, 3.0, 8.0, 7.0, 9.0))[shape]
    columns = {
        "facing": torch.where(drawn[:, 0] < 0.5, 1.0, -1.0),
        "tilt": steep * spread[:, 1],
        "pitch": 3 + 13 * spread[:, 2],
        "cock": 3 + 11 * spread[:, 3],
        "scale": drawn[:, 4],
        "x": drawn[:, 5],
        "y": drawn[:, 6],
        "light": LIGHT[0] + (LIGHT[1] - LIGHT[0]) * drawn[:, 7],
        "side": torch.where(drawn[:, 8] < 0.5, 1.0, -1.0),
        "strength": 0.12 + 0.22 * drawn[:, 9],
        "low": low * (0.6 + 0.4 * drawn[:, 11]),
        "leaf": leaf.float(),
        "leaf_place": drawn[:, 12],
    }
    return torch.stack([columns[name].float() for name in POSE_NAMES], 1)
