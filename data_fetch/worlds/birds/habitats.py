"""Seven habitats: what lies behind a bird, under its feet, and in front of it."""

from __future__ import annotations

import torch
from torch import Tensor

from data_fetch.worlds.birds.vocabulary import HABITATS
from data_fetch.worlds.raster import Pen, hashed, joined, mix
from data_fetch.worlds.textures import Planes

WHERE = {  # in a sentence
    "forest": "in a forest",
    "pond": "at a pond",
    "beach": "on a beach",
    "meadow": "in a meadow",
    "mountain": "high in the mountains",
    "sky": "on a twig against the sky",
    "snow": "in the snow",
}
_COVERS = {  # colours of what may hide a part of the bird: dark and bright
    "forest": ((0.08, 0.30, 0.08), (0.30, 0.58, 0.18)),
    "pond": ((0.20, 0.40, 0.48), (0.50, 0.68, 0.72)),
    "beach": ((0.72, 0.60, 0.40), (0.95, 0.86, 0.66)),
    "meadow": ((0.22, 0.44, 0.10), (0.55, 0.74, 0.24)),
    "mountain": ((0.30, 0.30, 0.32), (0.62, 0.61, 0.60)),
    "sky": ((0.30, 0.42, 0.16), (0.66, 0.74, 0.40)),
    "snow": ((0.74, 0.80, 0.88), (0.98, 0.99, 1.00)),
}


class Ground:
    """What the drawing functions share: rows of pixels, the line on which the bird stands, and random planes.

    foot_x, foot_y (n,) : where the bird stands, in pixels.  scale (n,) : pixels a unit of the bird.
    """

    def __init__(self, seeds: Tensor, foot_x: Tensor, foot_y: Tensor, scale: Tensor, size: int):
        self.size, self.planes = size, Planes(seeds, size)
        self.vary = hashed(seeds + 122_949_823, 8)
        self.foot_x, self.foot_y, self.scale = foot_x, foot_y, scale
        self.pen = Pen(size, foot_x, foot_y, scale)
        self.down = ((torch.arange(size, device=seeds.device) + 0.5) / size)[None, :, None]  # (1, S, 1), 0 at the top

    def line(self, above: float, spread: float = 0.10) -> Tensor:
        """(n, 1, 1): a horizon that much, of the image, above the feet, a little different in every image."""
        line = self.foot_y / self.size - above + spread * (self.vary[:, 0] - 0.5)
        return line.clamp(0.25, 0.92)[:, None, None]

    def rare(self, level: float) -> float:
        """A level for dots cut out of "fine" noise: higher in small images, whose noise is not smoothed."""
        return level if self.size > 40 else (2 + level) / 3

    def below(self, line: Tensor) -> Tensor:
        """(n, ..., S) share of each pixel that lies below a line."""
        return ((self.down - line) * self.size + 0.5).clamp(0, 1)


def draw(kind: str, ground: Ground) -> Tensor:
    """(n, 3, S, S) of one habitat."""
    picture = _DRAW[kind](ground)
    ground.pen.colours[:, :3] = picture.expand(-1, -1, ground.size, ground.size)
    ground.pen.colours[:, 3] = 1
    _SUPPORT[kind](ground)
    return ground.pen.colours[:, :3]


def _over(under: Tensor, colour: Tensor | tuple, share: Tensor) -> Tensor:
    if isinstance(colour, tuple):
        colour = torch.tensor(colour, device=share.device).view(1, 3, 1, 1)
    return torch.lerp(under, colour, share[:, None])


def _forest(g: Ground) -> Tensor:
    picture = mix((0.07, 0.16, 0.07), (0.42, 0.56, 0.26), 0.55 - 0.35 * g.down + 0.45 * g.planes["coarse"])
    trunks = ((g.planes["tall"].mean(1, keepdim=True) - 0.12) * 9).clamp(0, 0.85)
    picture = _over(picture, (0.20, 0.14, 0.09), trunks)
    return _over(picture, (0.80, 0.88, 0.52), ((g.planes["medium"] - 0.55) * 2).clamp(0, 0.5) * (g.down < 0.6))


def _pond(g: Ground) -> Tensor:
    shore = g.line(0.30)
    bank = mix((0.14, 0.26, 0.10), (0.52, 0.60, 0.28), 0.5 + 0.5 * g.planes["tall"])
    bank = _over(bank, (0.80, 0.88, 0.90), g.below(shore - 0.30 + 0.05 * g.planes["tall"]).neg() + 1)
    water = mix((0.16, 0.36, 0.46), (0.48, 0.68, 0.74), 0.55 - 0.5 * (g.down - shore) + 0.4 * g.planes["wide"])
    return _over(bank, water, g.below(shore))


def _beach(g: Ground) -> Tensor:
    tide, horizon = g.line(0.14), g.line(0.34)
    sky = mix((0.46, 0.68, 0.90), (0.86, 0.92, 0.94), g.down / horizon)
    sea = mix((0.05, 0.36, 0.52), (0.26, 0.62, 0.68), 0.4 + 0.5 * g.planes["wide"])
    sand = mix((0.78, 0.66, 0.44), (0.96, 0.88, 0.68), 0.55 + 0.3 * g.planes["fine"] - 0.3 * (g.down - tide))
    picture = _over(sky, sea, g.below(horizon))
    edge = tide + 0.02 * g.planes["coarse"][:, :1]
    picture = _over(picture, (0.97, 0.98, 0.97), g.below(edge - 0.03))
    return _over(picture, sand, g.below(edge))


def _meadow(g: Ground) -> Tensor:
    horizon = g.line(0.26)
    sky = mix((0.52, 0.74, 0.94), (0.90, 0.95, 0.96), g.down / horizon)
    far = horizon + 0.05 * g.planes["coarse"][:, :1]
    picture = _over(sky, (0.20, 0.38, 0.20), g.below(far - 0.06))
    grass = mix((0.22, 0.42, 0.10), (0.62, 0.76, 0.28), 0.5 + 0.4 * g.planes["tall"])
    picture = _over(picture, grass, g.below(far))
    petals = mix((0.96, 0.94, 0.90), (0.95, 0.72, 0.20), (g.vary[:, 1] > 0.5).float()[:, None, None])
    flowers = ((g.planes["fine"] - g.rare(0.72)) * 6).clamp(0, 0.9) * g.below(far + 0.03)
    return _over(picture, petals, flowers)


def _mountain(g: Ground) -> Tensor:
    ledge, ridge = g.line(0.07), g.line(0.44)
    picture = mix((0.40, 0.58, 0.84), (0.84, 0.89, 0.94), g.down / ledge)
    peaks = ridge + 0.16 * g.planes["coarse"][:, :1]
    massif = mix((0.36, 0.40, 0.52), (0.58, 0.62, 0.72), 0.5 + 0.4 * g.planes["medium"])
    massif = _over(massif, (0.95, 0.97, 1.0), (1 - g.below(peaks + 0.10 + 0.04 * g.planes["medium"])))
    picture = _over(picture, massif, g.below(peaks))
    rock = mix((0.30, 0.29, 0.28), (0.66, 0.63, 0.58), 0.5 + 0.35 * g.planes["medium"] + 0.25 * g.planes["fine"])
    return _over(picture, rock, g.below(ledge + 0.03 * g.planes["coarse"][:, :1]))


def _sky(g: Ground) -> Tensor:
    picture = mix((0.30, 0.56, 0.90), (0.76, 0.88, 0.97), g.down + 0.1)
    return _over(
        picture, (0.97, 0.98, 0.99), ((g.planes["coarse"] + 0.4 * g.planes["medium"] - 0.1) * 1.4).clamp(0, 0.9)
    )


def _snow(g: Ground) -> Tensor:
    horizon = g.line(0.24)
    sky = mix((0.62, 0.72, 0.84), (0.90, 0.93, 0.96), g.down / horizon)
    height = 0.16 + 0.14 * (g.planes["tall"][:, :1] + 0.5 * g.planes["coarse"][:, :1])
    picture = _over(sky, (0.16, 0.26, 0.26), g.below(horizon - height))
    ground = mix((0.78, 0.84, 0.92), (0.98, 0.99, 1.0), 0.7 + 0.4 * g.planes["coarse"])
    picture = _over(picture, ground, g.below(horizon))
    return _over(picture, (1.0, 1.0, 1.0), ((g.planes["fine"] - g.rare(0.8)) * 8).clamp(0, 1) * (g.down < horizon))


def _branch(g: Ground) -> None:
    slope = 0.5 * (g.vary[:, 2] - 0.5)
    ends = (-3.0, -0.07 - 3 * slope), (3.0, -0.07 + 3 * slope)
    g.pen.fill(g.pen.stroke(ends, 0.16), (0.30, 0.20, 0.12))
    g.pen.fill(g.pen.stroke([(x, y + 0.03) for x, y in ends], 0.05), (0.50, 0.36, 0.22), opacity=0.8)
    for side, place in ((1.0, 0.8), (-1.0, 0.95)):
        at = (side * place, -0.2 + side * place * slope)
        g.pen.fill(g.pen.ellipse(at, (0.20, 0.09), side * -0.7 + g.vary[:, 3]), (0.26, 0.48, 0.14))


def _twig(g: Ground) -> None:
    slope = 0.6 * (g.vary[:, 2] - 0.5)
    ends = (-3.0, -0.04 - 3 * slope), (3.0, -0.04 + 3 * slope)
    g.pen.fill(g.pen.stroke(ends, 0.10), (0.33, 0.24, 0.18))
    side = torch.where(g.vary[:, 4] > 0.5, 0.55, -0.55)
    g.pen.fill(g.pen.stroke([(side, side * slope), (side * 2.2, side * slope - 0.7)], 0.06), (0.38, 0.28, 0.20))


def _shadow(g: Ground) -> None:
    side = 0.25 * (g.vary[:, 3] - 0.5)
    g.pen.fill(g.pen.ellipse((side, -0.06), (0.62, 0.10)), (0.05, 0.06, 0.10), opacity=0.32)


def _ripples(g: Ground) -> None:
    for radius, opacity in ((0.75, 0.35), (0.5, 0.5)):
        g.pen.fill(g.pen.ring((0.05, -0.05), (radius, 0.2 * radius), 0.05), (0.88, 0.94, 0.95), opacity=opacity)


_DRAW = {
    "forest": _forest,
    "pond": _pond,
    "beach": _beach,
    "meadow": _meadow,
    "mountain": _mountain,
    "sky": _sky,
    "snow": _snow,
}
_SUPPORT = {
    "forest": _branch,
    "pond": _ripples,
    "beach": _shadow,
    "meadow": _shadow,
    "mountain": _shadow,
    "sky": _twig,
    "snow": _shadow,
}


def cover(pen: Pen, habitats: Tensor, low: Tensor, leaf: Tensor, spot: tuple[Tensor, Tensor], planes: Planes) -> None:
    """What hides a part of the bird: a clump, wave, stone or drift before its legs, or a leaf at `spot`.

    The pen's origin is between the feet. Where it lies does not depend on the habitat, only its colour does.

    Parameters
    ----------
    low : (n,) height of the clump in units of the bird; 0 for none.  leaf : (n,) bool.
    """
    table = torch.tensor([_COVERS[name] for name in HABITATS], device=habitats.device)[habitats]
    colour = mix(table[:, 0], table[:, 1], 0.55 + 0.35 * planes["medium"] + 0.25 * planes["tall"])
    clump = joined(
        pen.ellipse((-0.12, -0.20), (0.36, low + 0.20)),
        pen.ellipse((0.22, -0.20), (0.30, 0.84 * low + 0.20)),
        pen.ellipse((-0.48, -0.20), (0.34, 0.62 * low + 0.20)),
        pen.ellipse((0.58, -0.20), (0.32, 0.52 * low + 0.20)),
    )
    pen.fill(clump, colour, 1, when=low > 0)
    blade = pen.ellipse(spot, (0.32, 0.13), 0.6)
    pen.fill(blade - 0.6, (0.05, 0.08, 0.03), opacity=0.4, when=leaf)
    pen.fill(blade, colour, 1, when=leaf)
