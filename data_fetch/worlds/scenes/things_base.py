"""What the drawings of all things share: their look, light from above, a dark rim, and the shadow on the ground."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from data_fetch.worlds.raster import Colour, Number, Pen, Point, joined

DARK, STEEL, WOOD, CREAM = (0.10, 0.10, 0.12), (0.62, 0.64, 0.68), (0.45, 0.28, 0.14), (0.97, 0.96, 0.92)
GLASS, TYRE, HUB = (0.42, 0.56, 0.68), (0.10, 0.10, 0.11), (0.74, 0.75, 0.78)


@dataclass(frozen=True)
class Look:
    """How n things of one kind look.

    colour (n, 3) in [0, 1].  state (n,) int64, numbers of the thing's states.  vary (n, 4) in [0, 1): small
    differences of shape.  flat : drawn as a cartoon, without light.
    """

    colour: Tensor
    state: Tensor
    vary: Tensor
    flat: bool = False

    def between(self, number: int, low: float, high: float) -> Tensor:
        """(n,): from `low` to `high`, by the column `number` of `vary`."""
        return low + (high - low) * self.vary[:, number]

    def dark(self, share: float = 0.28) -> Tensor:
        """(n, 3): the colour in shadow, `share` darker."""
        return self.colour * (1 - share)

    def light(self, share: float = 0.3) -> Tensor:
        """(n, 3): the colour, `share` of the way to white."""
        return self.colour + (1 - self.colour) * share

    def deep(self) -> Tensor:
        """(n,) bool: the colour is so dark that marks on it must be light."""
        return self.colour.mean(1) < 0.28

    def pale(self) -> Tensor:
        """(n,) bool: the colour is so light that marks on it must be dark."""
        return self.colour.amin(1) > 0.72

    def mark(self, on_bright: Colour = DARK, on_dark: Colour = (0.86, 0.86, 0.84)) -> Tensor:
        """(n, 3): `on_bright` where it stands out from the colour, `on_dark` where the colour is dark."""
        return self.choose(self.deep(), on_dark, on_bright)

    def choose(self, where: Tensor, yes: Colour, no: Colour) -> Tensor:
        """(n, 3): the colour `yes` in the images `where` (n,), `no` in the others."""
        yes, no = (c if isinstance(c, Tensor) else self.colour.new_tensor(c) for c in (yes, no))
        return torch.where(where[:, None], yes, no)

    def gleam(self, pen: Pen, shape: Tensor, opacity: Number = 0.35, colour: Colour = (1.0, 1.0, 1.0)) -> None:
        """Light or shade on what lies there already; a cartoon has none."""
        if not self.flat:
            pen.fill(shape, colour, opacity=opacity)


def leg(pen: Pen, top: Point, foot: Point, upper: float, lower: float, step: Number = 0.0) -> Tensor:
    """A limb from `top` to `foot`; `upper` and `lower` are half its widths there, `step` moves the lower half."""
    (x, y), (u, v) = top, foot
    knee = y + 0.5 * (v - y)
    thigh = pen.polygon([(x - upper, y), (x + upper, y), (u + lower, knee), (u - lower, knee)])
    return joined(thigh, pen.box((u + step, (knee + v) / 2 + 0.02), (lower, (knee - v) / 2 + 0.02)))


def soft(pen: Pen, shape: Tensor, width: float) -> Tensor:
    """A shape whose edge fades over `width` units, and over two pixels at least: for glow and shadow."""
    return shape / (pen.scale * width).clamp(min=2.0)


def finish(pen: Pen, look: Look, shadow: tuple[float, float, float, float] | None) -> None:
    """Light from above, a dark rim, and under it all a soft shadow: an ellipse (u, v, half width, half height)."""
    if look.flat:
        _lines(pen)
    else:
        pen.shade((-0.35, 1.0), 0.14)
    alpha = pen.colours[:, 3]
    rim = _grown(alpha)
    if shadow is not None and not look.flat:
        u, v, width, height = shadow
        cover = (-soft(pen, pen.ellipse((u, v), (width, height)), 0.10)).clamp_(0, 1)
        alpha += (cover * 0.42) * (1 - alpha)  # black paint under what is there: it adds opacity and no colour
    alpha.copy_(torch.maximum(alpha, rim if look.flat else rim * 0.36))


def _grown(alpha: Tensor) -> Tensor:
    """(n, W, W): the largest opacity among each pixel and its four neighbours."""
    grown = alpha.clone()
    for mine, next_ in (
        (grown[:, 1:], alpha[:, :-1]),
        (grown[:, :-1], alpha[:, 1:]),
        (grown[:, :, 1:], alpha[:, :, :-1]),
        (grown[:, :, :-1], alpha[:, :, 1:]),
    ):
        torch.maximum(mine, next_, out=mine)
    return grown


def _lines(pen: Pen) -> None:
    """Darken the pixels at which one part meets another, on the side of the lower part, as a cartoon does."""
    parts = pen.parts
    edge = torch.zeros_like(parts, dtype=torch.bool)
    across = (parts[:, :, :-1], parts[:, :, 1:], edge[:, :, :-1], edge[:, :, 1:])
    along = (parts[:, :-1], parts[:, 1:], edge[:, :-1], edge[:, 1:])
    for first, second, edge_first, edge_second in (across, along):
        edge_first |= (first < second) & (first > 0)
        edge_second |= (second < first) & (second > 0)
    pen.colours[:, :3] *= torch.where(edge, 0.62, 1.0)[:, None]
