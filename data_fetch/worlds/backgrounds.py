"""Small objects on backgrounds of which no two are alike: pictures for self-supervised learning, and a Backgrounds Challenge.

The class is the outline of an object that covers a small part of the picture. The background has one of eight patterns, in
colours, direction, scale and phase of its own, so that it tells which picture this is and little about the class.
`ObjectScenes.recombine` makes the variants of the Backgrounds Challenge (Xiao et al., arXiv 2006.09994).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from data_fetch.fields import ROW, Labelled
from data_fetch.worlds.outlines import OUTLINES, draw
from data_fetch.worlds.textures import Planes, add_grain

TYPICAL = {  # the colour that an outline's objects mostly have
    "star": (0.95, 0.85, 0.15), "heart": (0.85, 0.10, 0.15), "ring": (0.15, 0.30, 0.85), "cross": (0.95, 0.95, 0.95),
    "arrow": (0.15, 0.65, 0.25), "crescent": (0.30, 0.85, 0.90), "drop": (0.65, 0.20, 0.75), "gear": (0.95, 0.50, 0.10),
}  # fmt: skip
PATTERNS = ("stripes", "waves", "checks", "dots", "rings", "patches", "blades", "grain")
_GROUND = (  # the colour around which a pattern's pictures lie
    (0.30, 0.55, 0.30), (0.30, 0.50, 0.75), (0.65, 0.35, 0.30), (0.80, 0.70, 0.50), (0.45, 0.40, 0.55), (0.75, 0.55, 0.65),
    (0.25, 0.30, 0.30), (0.60, 0.65, 0.65),
)  # fmt: skip
VARIANTS = {
    "original": "as it is",
    "mixed_same": "the background of another picture of the same class",
    "mixed_rand": "the background of any other picture, patterns dealt evenly over the classes",
    "mixed_next": "the background of a picture of the next class",
    "only_fg": "the object on black",
    "only_bg": "the background alone, as it is behind the object",
}


@dataclass(frozen=True, kw_only=True)
class ObjectScenes(Labelled):
    """Pictures of one object each; `object_scenes` makes them.

    backgrounds (N, 3, S, S) : without the object and without noise.  patterns (N,) int64 : numbers of `PATTERNS`, of the
    background that is shown.  scene (N, 9) : of the object, see `outlines.draw`.  seeds (N,) : of the noise.
    """

    backgrounds: Tensor = field(metadata=ROW)
    patterns: Tensor = field(metadata=ROW)
    scene: Tensor = field(metadata=ROW)
    seeds: Tensor = field(metadata=ROW)
    noise: float
    variant: str = "original"

    def recombine(self, variant: str, seed: int = 0) -> ObjectScenes:
        """The same objects, in the same places, on other backgrounds, see `VARIANTS`; labels and masks stay.

        Raises
        ------
        ValueError : an unknown variant, a set that is recombined already, a class without pictures.
        """
        if variant not in VARIANTS:
            raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, got {variant!r}")
        if self.variant != "original":
            raise ValueError(f"recombine the original set, this one is {self.variant!r}")
        if variant == "original":
            return self
        if variant == "only_fg":
            return replace(self, images=self.images * self.masks[:, None], variant=variant)
        if variant == "only_bg":
            images = self.backgrounds.clone()
            add_grain(images, self.seeds, self.noise)
            return replace(self, images=images, variant=variant)
        donors = self._donors(variant, seed)
        grounds = self.backgrounds[donors]
        images, _ = _composed(grounds, self.scene, self.seeds, self.noise)
        return replace(self, images=images, backgrounds=grounds, patterns=self.patterns[donors], variant=variant)

    def _donors(self, variant: str, seed: int) -> Tensor:
        """(N,) the row whose background each row gets: its own only where no other fits."""
        generator = torch.Generator().manual_seed(seed)
        if (
            variant == "mixed_rand"
        ):  # a pattern at random first: classes do not keep the pattern that most of theirs have
            donors = torch.randint(len(self), (len(self),), generator=generator)
            wanted = torch.randint(len(PATTERNS), (len(self),), generator=generator)
            for pattern in self.patterns.unique().tolist():
                here, have = torch.nonzero(wanted == pattern)[:, 0], torch.nonzero(self.patterns == pattern)[:, 0]
                donors[here] = have[torch.randint(len(have), (len(here),), generator=generator)]
            return donors
        donors, classes = torch.arange(len(self)), len(self.class_names)
        for label in range(classes):
            mine = torch.nonzero(self.labels == label)[:, 0]
            giver = label if variant == "mixed_same" else (label + 1) % classes
            theirs = torch.nonzero(self.labels == giver)[:, 0]
            if len(mine) and not len(theirs):
                raise ValueError(f"no picture of {self.class_names[giver]!r} to take a background from")
            theirs = theirs[torch.randperm(len(theirs), generator=generator)]
            if variant == "mixed_same":
                donors[theirs] = theirs.roll(1)  # in a circle: nobody keeps the own one where there are two
            else:
                donors[mine] = theirs[torch.arange(len(mine)) % max(1, len(theirs))]
        return donors

    def card(self) -> dict[str, object]:
        """Counts, and how strongly class and pattern are tied."""
        table = torch.zeros(len(self.class_names), len(PATTERNS), dtype=torch.long)
        table.index_put_((self.labels, self.patterns), torch.tensor(1), accumulate=True)
        tied = self.patterns == self.labels % len(PATTERNS)
        return {
            "images": len(self),
            "size": self.images.shape[-1],
            "variant": self.variant,
            "class_counts": dict(zip(self.class_names, table.sum(1).tolist())),
            "class_by_pattern": table.tolist(),
            "share_on_tied_pattern": round(float(tied.float().mean()), 4),
            "object_share_of_image": round(float(self.masks.float().mean()), 4),
        }


def object_scenes(
    count: int,
    *,
    size: int = 48,
    seed: int = 0,
    classes: Sequence[str] = tuple(OUTLINES),
    tie: float | None = None,
    radius: tuple[float, float] = (0.15, 0.22),
    turn: float = 0.4,
    spread: float = 0.16,
    noise: float = 0.02,
) -> ObjectScenes:
    """Render `count` pictures (count, 3, size, size); classes are balanced to within one.

    Parameters
    ----------
    classes : names of `OUTLINES`.
    tie : probability that a picture of class k has pattern k modulo 8; the others have any pattern. None: any pattern
        for all, so that it tells nothing about the class.
    radius : of the object, as a share of `size`, low and high.  turn : it is turned by at most so much, in radians.
    noise : standard deviation of the pixels' noise.

    Raises
    ------
    ValueError : naming the argument that is out of range.
    """
    if count < 1 or size < 24:
        raise ValueError(f"count must be at least 1 and size at least 24, got {count} and {size}")
    if len(classes) < 2 or len(set(classes)) != len(classes) or not set(classes) <= set(OUTLINES):
        raise ValueError(f"classes must be at least two different names out of {tuple(OUTLINES)}, got {tuple(classes)}")
    if tie is not None and not 0 <= tie <= 1:
        raise ValueError(f"tie is a probability, 0 to 1, got {tie}")
    if not 0.05 <= radius[0] <= radius[1] <= 0.4 or turn < 0 or noise < 0:
        raise ValueError(
            "radius must be (low, high) within 0.05 to 0.4 of the image, turn and noise at least 0, got "
            f"{radius}, {turn} and {noise}"
        )
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.arange(count) % len(classes))[torch.randperm(count, generator=generator)]
    patterns = torch.randint(len(PATTERNS), (count,), generator=generator)
    if tie is not None:
        tied = torch.rand(count, generator=generator) < tie
        patterns = torch.where(tied, labels % len(PATTERNS), patterns)
    seeds = torch.randint(2**62, (count,), generator=generator)
    drawn = torch.rand(count, 12, generator=generator)
    grounds = _backgrounds(patterns, drawn[:, :6], seeds, size, generator)
    kinds = torch.tensor([list(OUTLINES).index(name) for name in classes])[labels]
    scene = _objects(kinds, drawn[:, 6:], size, radius, turn, spread, generator)
    images, masks = _composed(grounds, scene, seeds, noise)
    return ObjectScenes(
        images=images, labels=labels, class_names=tuple(classes), masks=masks, boxes=_boxes(masks), backgrounds=grounds,
        patterns=patterns, scene=scene, seeds=seeds, noise=noise,
    )  # fmt: skip


# ---------------------------------------- the two layers
def _backgrounds(patterns: Tensor, drawn: Tensor, seeds: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """(N, 3, S, S) in colours of their own; drawn (N, 6) uniform."""
    first = torch.tensor(_GROUND)[patterns] + 0.6 * torch.rand(len(patterns), 3, generator=generator) - 0.3
    second = (first + 0.5 * torch.rand(len(patterns), 3, generator=generator) - 0.25).clamp(0, 1)
    palette = torch.stack([first.clamp(0, 1), second], 1)
    grounds = torch.empty(len(patterns), 3, size, size)
    for pattern in patterns.unique().tolist():
        here = patterns == pattern
        share = _pattern(PATTERNS[pattern], drawn[here], Planes(seeds[here], size), size).clamp(0, 1)[:, None]
        ends = palette[here][..., None, None]
        grounds[here] = torch.lerp(ends[:, 0], ends[:, 1], share)
    return grounds * (0.4 + 0.7 * drawn[:, 5])[:, None, None, None]


def _pattern(name: str, drawn: Tensor, noise: Planes, size: int) -> Tensor:
    """(n, S, S): the share of the second colour; direction, scale and phase from uniform numbers (n, 6)."""
    angle, scale, p, q = (drawn[:, i, None, None] for i in range(4))
    axis = (torch.arange(size) + 0.5) / size - 0.5
    x, y = axis.view(1, 1, -1), axis.view(1, -1, 1)
    angle, cycles = math.pi * angle, 2 * math.pi * (3 + 4 * scale)
    along = cycles * (torch.cos(angle) * x + torch.sin(angle) * y) + 2 * math.pi * p
    across = cycles * (torch.cos(angle) * y - torch.sin(angle) * x) + 2 * math.pi * q
    if name == "stripes":
        return 0.5 + 0.5 * torch.sin(along)
    if name == "waves":
        return 0.5 + 0.5 * torch.sin(along + 2.5 * torch.sin(0.6 * across) + noise["coarse"])
    if name == "checks":
        return 0.5 + 2 * torch.sin(along) * torch.sin(across)
    if name == "dots":
        return 3 * (torch.sin(along) * torch.sin(across)).abs() - 1
    if name == "rings":
        return 0.5 + 0.5 * torch.sin(cycles * 1.2 * ((x - p + 0.5).square() + (y - q + 0.5).square()).sqrt())
    if name == "patches":
        return 0.5 + 4 * noise["coarse"]
    if name == "blades":
        turned = (drawn[:, 0] < 0.5)[:, None, None]
        return 0.5 + 0.6 * torch.where(turned, noise["tall"], noise["wide"])
    return 0.5 + 0.6 * noise["medium"]


def _objects(
    kinds: Tensor,
    drawn: Tensor,
    size: int,
    radius: tuple[float, float],
    turn: float,
    spread: float,
    generator: torch.Generator,
) -> Tensor:
    """(N, 9): wholly inside the picture, in colours around the typical one; drawn (N, 6) uniform."""
    radii = size * (radius[0] + (radius[1] - radius[0]) * drawn[:, 0])
    room = (size / 2 - 1.1 * radii - 1)[:, None]
    places = (2 * drawn[:, 1:3] - 1) * room
    usual = torch.tensor([TYPICAL[name] for name in OUTLINES])[kinds]
    colours = (usual + spread * torch.randn(len(kinds), 3, generator=generator)).clamp(0, 1)
    angles = turn * (2 * drawn[:, 3] - 1)
    columns = [kinds[:, None].float(), places, radii[:, None], angles[:, None], torch.ones(len(kinds), 1), colours]
    return torch.cat(columns, 1)


def _composed(grounds: Tensor, scene: Tensor, seeds: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """(images (N, 3, S, S), masks (N, S, S) bool) of the objects on the backgrounds."""
    images, masks = grounds.clone(), []
    for part, objects in zip(images.split(64), scene.split(64)):
        masks.append(draw(part, objects))
    add_grain(images, seeds, noise)
    return images, torch.cat(masks)


def _boxes(masks: Tensor) -> Tensor:
    """(N, 4): x0, y0, x1, y1 around each mask, the last two exclusive."""
    rows, columns, size = masks.any(2).byte(), masks.any(1).byte(), masks.shape[-1]
    ends = [size - taken.flip(1).argmax(1) for taken in (columns, rows)]
    return torch.stack([columns.argmax(1), rows.argmax(1), *ends], 1)
