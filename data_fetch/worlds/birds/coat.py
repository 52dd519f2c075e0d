"""The colours of a bird's parts, each individual with its own shade."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from data_fetch.worlds.birds.vocabulary import GROUPS, PALETTE, column
from data_fetch.worlds.raster import Pen, hashed

_COLOUR_OF = {  # part -> the group that says its colour
    "bill": "has_bill_color",
    "crown": "has_crown_color",
    "nape": "has_nape_color",
    "throat": "has_throat_color",
    "breast": "has_breast_color",
    "belly": "has_belly_color",
    "back": "has_back_color",
    "wing": "has_wing_color",
    "tail": "has_upper_tail_color",
    "eye": "has_eye_color",
    "leg": "has_leg_color",
}


@dataclass(frozen=True)
class Coat:
    """values (n, groups); rgb: part -> (n, 3), with each bird's own shade; light (n, 1, 1) pairs: see `shade`."""

    values: Tensor
    rgb: dict[str, Tensor]
    side: Tensor  # -1: the light comes from behind the bird, 1: from its front
    strength: Tensor

    def __getitem__(self, rows: Tensor) -> Coat:
        rgb = {part: colour[rows] for part, colour in self.rgb.items()}
        return Coat(self.values[rows], rgb, self.side[rows], self.strength[rows])

    def has(self, group: str, value: str) -> Tensor:
        """(n,) bool."""
        return column(self.values, group) == GROUPS[group].index(value)

    def shade(self, pen: Pen) -> None:
        """Lighter above and toward the light, by the bird's strength of shading."""
        pen.shade((0.5 * self.side[:, None, None], 1.0), self.strength[:, None, None])


def coat(values: Tensor, seeds: Tensor, side: Tensor, strength: Tensor) -> Coat:
    """Colours of birds: the palette's, each a little lighter or darker, and the cheek's that a cap implies."""
    vary = hashed(seeds + 86_028_121, 4 * len(_COLOUR_OF))
    rgb = {}
    for k, (part, group) in enumerate(_COLOUR_OF.items()):
        palette = torch.tensor([PALETTE[name] for name in GROUPS[group]], device=values.device)
        mine = vary[:, 4 * k : 4 * k + 4]
        base = palette[column(values, group)] * (0.93 + 0.14 * mine[:, :1]) + 0.05 * (mine[:, 1:] - 0.5)
        rgb[part] = base.clamp(0.02, 1)
    rgb["cheek"] = _cheek(values, rgb)
    return Coat(values, rgb, side, strength)


def _cheek(values: Tensor, rgb: dict[str, Tensor]) -> Tensor:
    """Under a cap the colour of the nape, or white or black where the nape is like the cap; else the crown's."""
    capped = column(values, "has_head_pattern") == GROUPS["has_head_pattern"].index("capped")
    other = torch.where(_like(rgb["crown"], rgb["nape"])[:, None], against(rgb["crown"]), rgb["nape"])
    return torch.where(capped[:, None], other, rgb["crown"])


def _like(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).abs().sum(1) < 0.3


def brightness(colour: Tensor) -> Tensor:
    """(n,) of colours (n, 3)."""
    return (colour * torch.tensor((0.30, 0.59, 0.11), device=colour.device)).sum(1)


def against(colour: Tensor) -> Tensor:
    """(n, 3): black marks on bright colours, white marks on dark ones."""
    bright = (brightness(colour) > 0.42)[:, None]
    dark, light = (torch.tensor(PALETTE[name], device=colour.device) for name in ("black", "white"))
    return torch.where(bright, dark, light)
