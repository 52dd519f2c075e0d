"""Who plays in which clip: the few numbers from which a clip is rendered."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from data_fetch.worlds.clips.actions import SCRIPTS
from data_fetch.worlds.clips.motion import Poses
from data_fetch.worlds.clips.moves import poses

_MOVES_OTHER = torch.tensor([script.moves_other for script in SCRIPTS.values()])


@dataclass(frozen=True)
class Casting:
    """Who plays in n clips, (n,) each: numbers of `SCRIPTS`, of `KINDS` (-1 for no second thing), of `COLOURS`."""

    scripts: Tensor
    backward: Tensor
    things: Tensor
    colours: Tensor
    others: Tensor
    other_colours: Tensor
    tables: Tensor
    seeds: Tensor

    def __getitem__(self, rows: Tensor) -> Casting:
        return Casting(**{name: value[rows] for name, value in vars(self).items()})

    def __len__(self) -> int:
        return len(self.seeds)

    def to(self, device: torch.device | str) -> Casting:
        return Casting(**{name: value.to(device) for name, value in vars(self).items()})

    @property
    def swapped(self) -> Tensor:
        """(n,) bool: the second thing is the one that moves."""
        return _MOVES_OTHER.to(self.scripts.device)[self.scripts]

    @property
    def moved(self) -> Tensor:
        return torch.where(self.swapped, self.others, self.things)

    @property
    def still(self) -> Tensor:
        """(n,) kind of the second thing that stays where it is, -1 for none."""
        return torch.where(self.swapped, self.things, self.others)

    def poses(self, frames: int) -> Poses:
        """On the CPU, whatever the device: the same numbers everywhere."""
        c = self.to("cpu")
        return poses(c.scripts, c.backward, c.moved, c.still.clamp(min=0), c.seeds, frames)
