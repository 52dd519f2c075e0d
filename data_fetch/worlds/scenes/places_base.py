"""What all places are painted with: a pen whose heights count from the top, numbers of each image, skies, textures."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from data_fetch.worlds.raster import Colour, Number, Pen, hashed
from data_fetch.worlds.textures import Planes

REGIONS = (
    "nothing", "sky", "water", "sand", "snow", "grass", "road", "trees", "buildings", "mountains", "table", "bed",
    "net", "rocks", "poles", "wall", "floor", "court", "window", "jetty", "shore", "hills", "fence", "pavement", "path",
    "cupboard", "oven", "board", "clock", "ceiling", "rug", "sideboard", "picture",
)  # fmt: skip
_NUMBER = {name: number for number, name in enumerate(REGIONS)}
_NUMBERS = 72  # random numbers that a place may use up


class Ground(Pen):
    """A pen for whole images: u from 0 to 1 to the right, v from 0 to 1 downwards, as the heights in `PLACES`.

    Half of the images are mirrored. Every image has its own random numbers, taken one after the other by `any`,
    `pick` and `tone`, and its own textures.
    """

    def __init__(self, seeds: Tensor, size: int, flat: bool):
        zero = torch.zeros(len(seeds), device=seeds.device)
        super().__init__(size, zero, zero, zero + size)
        self.flat, self.first = flat, 0
        self._numbers, self._used = hashed(seeds + 433_494_437, _NUMBERS), [0]
        self.v = -self.v
        self.u = torch.where(self.any()[:, None, None] < 0.5, 1 - self.u, self.u)
        self.colours = torch.zeros(len(seeds), 3, size, size, device=seeds.device)
        self.light = torch.ones(len(seeds), 3, device=seeds.device)
        self._planes = Planes(seeds, size)

    # ------------------------------------ random numbers of each image
    def any(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        """(n,): the next number, uniform from `low` to `high`."""
        self._used[0] += 1
        return low + (high - low) * self._numbers[:, self._used[0] - 1]

    def pick(self, *colours: Sequence[float]) -> Tensor:
        """(n, 3): one of the colours."""
        table = torch.tensor(colours, device=self.u.device)
        return table[(self.any() * len(colours)).long()]

    def tone(self, colour: Colour, spread: float = 0.06) -> Tensor:
        """(n, 3): the colour, a little lighter or darker, warmer or colder."""
        colour = colour if isinstance(colour, Tensor) else torch.tensor(tuple(colour), device=self.u.device)
        bright, warm = self.any(-spread, spread), self.any(-spread, spread) / 2
        shift = torch.stack([bright + warm, bright, bright - warm], 1)
        return (colour * (1 + shift) + shift / 4).clamp(0, 1)

    # ------------------------------------ shapes
    def rows(self, top: float, bottom: float) -> Ground:
        """The same pen, which sees only the rows between these fixed heights: cheaper where a detail is low."""
        part, side = copy.copy(self), self.u.shape[-1]
        above = max(0, int(top * side) - self.first)
        below = min(self.window, int(bottom * side) + 1 - self.first)
        part.v = self.v[:, above:below]
        part.colours, part.parts = self.colours[:, :, above:below], self.parts[:, above:below]
        part.first = self.first + above
        part.window = below - above
        return part

    def under(self, line: Number) -> Tensor:
        """All below a line: its height is a number, (n,), or (n, 1, S), one height a column."""
        line = line[:, None, None] if isinstance(line, Tensor) and line.ndim == 1 else line
        return (line - self.v) * self.scale

    def band(self, top: Number, bottom: Number) -> Tensor:
        """All between two lines."""
        return torch.maximum(self.under(top), -self.under(bottom))

    def bars(self, axis: Tensor, pitch: float, half: float, phase: Number = 0.0) -> Tensor:
        """Bars across the `axis` (u, v, or another plane), `pitch` apart, twice `half` wide."""
        phase = phase[:, None, None] if isinstance(phase, Tensor) and phase.ndim == 1 else phase
        return (torch.remainder(axis / pitch + phase, 1).sub_(0.5).abs_().mul_(pitch) - half) * self.scale

    # ------------------------------------ paint
    def paint(
        self, shape: Tensor, colour: Colour, region: str = "", *, opacity: Number = 1.0, when: Tensor | None = None
    ) -> None:
        """Fill a shape; it belongs to the region, or, without one, to what lies there."""
        self.fill(shape, colour, _NUMBER[region] if region else 0, opacity=opacity, when=when)

    def fade(self, high: Colour, low: Colour, top: float, bottom: float) -> Tensor:
        """From one colour at the height `top` to another at `bottom`; half of each where the style is flat."""
        high, low = (
            c if isinstance(c, Tensor) else torch.tensor(tuple(c), device=self.u.device)[None] for c in (high, low)
        )
        if self.flat:
            return ((high + low) / 2).expand(len(self), 3)
        share = ((self.v - top) / (bottom - top)).clamp(0, 1)
        return torch.lerp(high[:, :, None, None], low[:, :, None, None], share[:, None])

    def plane(self, kind: str) -> Tensor:
        """(n, rows, S) in [-1, 1], see `Planes`."""
        return self._planes[kind][:, self.first : self.first + self.window]

    def texture(self, kind: str, amount: float) -> None:
        """Lighten and darken what lies there by up to `amount`; nothing where the style is flat."""
        if not self.flat:
            self.colours.mul_((self.plane(kind) * amount + 1)[:, None])

    def dust(self, plane: Tensor, least: float, colour: Colour, opacity: Number = 1.0, soft: float = 0.15) -> None:
        """Spots of a colour where the plane is above `least`; nothing where the style is flat."""
        if not self.flat:
            least = least + 0.22 * min(1.0, max(0.0, (48 - self.colours.shape[-1]) / 16))  # small images: larger spots
            self.paint(0.5 - (plane - least) / soft, colour, opacity=opacity)

    def _rgba(self, colour: Colour) -> Tensor:
        """Paint as the light shows it; the ground has no holes, so that it needs no opacity."""
        if not isinstance(colour, Tensor):
            colour = torch.tensor(tuple(colour), device=self.u.device).expand(len(self), 3)
        if colour.ndim == 2:
            return (colour * self.light)[:, :, None, None]
        return colour * self.light[:, :, None, None]


# ---------------------------------------- what several places share
_SKIES = (  # at the zenith, at the horizon, colour of the light below
    ((0.25, 0.52, 0.90), (0.72, 0.87, 0.98), (1.0, 1.0, 1.0)),
    ((0.36, 0.60, 0.88), (0.85, 0.92, 0.96), (1.0, 0.99, 0.97)),
    ((0.55, 0.68, 0.80), (0.84, 0.88, 0.90), (0.93, 0.95, 0.97)),
    ((0.42, 0.50, 0.76), (0.99, 0.79, 0.58), (1.0, 0.93, 0.84)),
)


def sky(ground: Ground, bottom: float) -> None:
    """A sky down to the height `bottom`, with clouds; it decides the light on all that is painted later."""
    table = torch.tensor(_SKIES, device=ground.u.device)
    kind = (ground.any() * 4.6).long().clamp(max=3)  # the last, an evening, a little more often
    high, low, light = table[kind].unbind(1)
    view = ground.rows(0, bottom)
    view.paint(view.under(-1.0), view.fade(ground.tone(high, 0.05), low, 0.0, bottom), "sky")
    x, y, low_sun = ground.any(0.1, 0.9), ground.any(0.10, 0.24), kind == 3
    sun = view.ellipse((x, torch.where(low_sun, y + 0.06, y)), 0.055)
    shines = (kind != 2) & (ground.any() < 0.6)
    if not ground.flat:
        view.paint(sun / (0.09 * ground.scale), (1.0, 0.95, 0.80), opacity=0.5, when=shines)
    view.paint(sun, (1.0, 0.97, 0.84), when=shines)
    _clouds(view, torch.where(low_sun, 0.75, 0.95))
    ground.light.copy_(light)


def _clouds(view: Ground, amount: Tensor) -> None:
    """Two heaps of cloud, flat below; where the style is not flat their edges are soft and ragged."""
    for start, large in ((0.12, 1.0), (0.62, 0.8)):
        x, y, size = start + view.any(0.0, 0.30), view.any(0.09, 0.22), large * view.any(0.6, 1.2)
        heap = None
        for aside, up, width, height in (
            (0.0, 0.0, 0.17, 0.028),
            (-0.05, 0.022, 0.065, 0.040),
            (0.05, 0.034, 0.075, 0.050),
        ):
            puff = view.ellipse((x + aside * size, y - up * size), (width * size, height * size))
            heap = puff if heap is None else torch.minimum(heap, puff)
        base = view.band(-1.0, y + 0.012 * size)
        if view.flat:
            view.paint(torch.maximum(heap, base), (0.98, 0.99, 1.0))
        else:
            ragged = torch.maximum(heap, base).mul_(16 / view.scale).add_(0.55 * view.plane("medium"))
            view.paint(ragged, (0.99, 0.99, 1.0), opacity=amount)


def ridge(ground: Ground, height: float, swell: float, waves: float) -> Tensor:
    """(n, 1, S): a soft line of hills around `height`, up to `swell` higher or lower, with about `waves` crests."""
    phase, other = (ground.any()[:, None, None] for _ in range(2))
    turn = 2 * torch.pi
    first = torch.sin(turn * (waves * ground.u + phase))
    return height + swell * (0.65 * first + 0.35 * torch.sin(turn * (2.3 * waves * ground.u + other)))
