"""A rendered world of named objects on textured grounds: the pixels that should matter are known exactly.

Eight objects (star, heart, ring, ...) in six colours lie on eight grounds (grass, sand, water, ...). A knob
ties the ground to the class, so that a network can be right for the wrong reason; the same objects can be
rendered again on other grounds, so that it is caught. `outlines.py` and `grounds.py` do the drawing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from data_fetch.worlds.grounds import GROUNDS, ground, texture
from data_fetch.worlds.outlines import OUTLINES, draw

CLASSES = tuple(OUTLINES)  # star, heart, ring, cross, arrow, crescent, drop, gear
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple")
_RGB = (
    (0.85, 0.13, 0.16),
    (0.98, 0.55, 0.10),
    (0.99, 0.90, 0.20),
    (0.12, 0.66, 0.30),
    (0.15, 0.38, 0.90),
    (0.60, 0.22, 0.74),
)
_CHUNK = 64  # images rendered at a time: small enough for their planes to stay in the processor's cache


@dataclass(frozen=True)
class Shapes:
    """Images with the truth about them. An index, slice or mask gives a smaller set: `world[:10]`.

    images (N, 3, S, S) float in [0, 1]; labels (N,) index `class_names`; masks (N, S, S) bool: the pixels of
    the labelled object; grounds (N,) index `ground_names`; colours (N,) index `COLOURS`.
    other_labels (N,), other_masks (N, S, S): with style "pairs" the second object, which is of another class
    and never overlaps the first; else None.
    scene (N, objects, 9): kind, x, y, radius (pixels), angle (radians), opacity and the RGB colour;
    seeds (N,): what the textures and the noise of each image are drawn from.
    """

    images: Tensor
    labels: Tensor
    masks: Tensor
    grounds: Tensor
    colours: Tensor
    scene: Tensor
    seeds: Tensor
    class_names: tuple[str, ...]
    ground_names: tuple[str, ...]
    noise: float
    other_labels: Tensor | None = None
    other_masks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Tensor | slice | Sequence[int]) -> Shapes:
        if isinstance(index, int):
            raise TypeError(f"index with a slice, a list or a tensor: world[{index}:{index + 1}] keeps the batch axis")
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v[index] for k, v in tensors.items() if isinstance(v, Tensor)})

    def to(self, device: torch.device | str) -> Shapes:
        """The same set with every tensor on `device`."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v.to(device) for k, v in tensors.items() if isinstance(v, Tensor)})

    def join(self, other: Shapes) -> Shapes:
        """Both sets as one, this one first; they must have the same size, style, classes and grounds."""
        mine, theirs = self._kind(), other._kind()
        if mine != theirs:
            raise ValueError(f"sets of one kind are needed, got {mine} and {theirs}")
        tensors = {f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        return replace(self, **{k: torch.cat(v) for k, v in tensors.items() if isinstance(v[0], Tensor)})

    def _kind(self) -> tuple:
        return (*self.images.shape[1:], self.scene.shape[1], self.class_names, self.ground_names, self.noise)

    def with_grounds(self, grounds: Tensor) -> Shapes:
        """The same objects in the same places on other grounds (N,): a counterfactual set.

        Pixels wholly inside an opaque object keep their values, noise included; only the ground changes.
        """
        grounds = torch.as_tensor(grounds, device=self.labels.device).long()
        if grounds.shape != self.labels.shape:
            raise ValueError(f"grounds must have shape {tuple(self.labels.shape)}, got {tuple(grounds.shape)}")
        if int(grounds.min()) < 0 or int(grounds.max()) >= len(self.ground_names):
            raise ValueError(f"grounds must be 0 to {len(self.ground_names) - 1}, the indices of {self.ground_names}")
        images, _ = _render(self, grounds)
        return replace(self, images=images, grounds=grounds)

    def tied_grounds(self) -> Tensor:
        """(N,) the ground that is tied to each image's class."""
        return self.labels % len(self.ground_names)

    def card(self) -> dict[str, object]:
        """What is in the set: counts, knobs, class balance, and how strongly ground and class are tied."""
        cells = torch.zeros(len(self.class_names), len(self.ground_names), dtype=torch.long)
        cells.index_put_((self.labels.cpu(), self.grounds.cpu()), torch.tensor(1), accumulate=True)
        return {
            "images": len(self),
            "size": self.images.shape[-1],
            "objects_per_image": self.scene.shape[1],
            "noise": self.noise,
            "class_counts": dict(zip(self.class_names, cells.sum(1).tolist(), strict=True)),
            "ground_counts": dict(zip(self.ground_names, cells.sum(0).tolist(), strict=True)),
            "class_by_ground": cells.tolist(),
            "share_on_tied_ground": round(float((self.grounds == self.tied_grounds()).float().mean()), 4),
            "share_if_independent": round(1 / len(self.ground_names), 4),
            "object_share_of_image": round(float(self.masks.float().mean()), 4),
        }


def shapes(
    count: int,
    *,
    size: int = 48,
    seed: int = 0,
    classes: Sequence[str] = CLASSES,
    grounds: Sequence[str] = GROUNDS,
    correlation: float | None = None,
    style: str = "single",
    radius: tuple[float, float] = (0.16, 0.24),
    opacity: float = 1.0,
    noise: float = 0.02,
    device: torch.device | str = "cpu",
) -> Shapes:
    """Render `count` images; the same arguments give the same images on one machine.

    Classes are balanced to within one image, and so is the share of tied grounds.

    Parameters
    ----------
    size : height and width in pixels, at least 24 (48 to 64 look best).
    classes, grounds : names out of `CLASSES` and `GROUNDS`; class k is tied to ground k modulo their number.
    correlation : share of each class's images that lie on the tied ground; the others are spread evenly over
        the other grounds. None: 1 / number of grounds, so that the ground says nothing about the class.
    style : "single" for one object, "pairs" for two of different classes, apart from each other.
    radius : smallest and largest object radius, as a share of `size`.
    opacity : 1 for solid objects; less lets the ground shine through, which makes the object harder to see.
    noise : standard deviation of the Gaussian noise added to every pixel.

    Raises
    ------
    ValueError : naming the argument that is out of range.
    """
    _check(count, size, classes, grounds, correlation, style, radius, opacity, noise)
    generator = torch.Generator().manual_seed(seed)
    labels = _balanced(count, len(classes), generator)[:, None]
    if style == "pairs":
        step = torch.randint(1, len(classes), (count, 1), generator=generator)
        labels = torch.cat([labels, (labels + step) % len(classes)], 1)
    colours = torch.randint(len(COLOURS), labels.shape, generator=generator)
    kinds = torch.tensor([CLASSES.index(name) for name in classes])[labels]
    empty = Shapes(
        images=torch.empty(count, 3, size, size),
        labels=labels[:, 0],
        masks=torch.empty(count, 0),
        grounds=_grounds(labels[:, 0], len(classes), len(grounds), correlation, generator),
        colours=colours[:, 0],
        scene=_scene(kinds, colours, size, radius, opacity, generator),
        seeds=torch.randint(2**62, (count,), generator=generator),
        class_names=tuple(classes),
        ground_names=tuple(grounds),
        noise=noise,
        other_labels=labels[:, 1] if style == "pairs" else None,
    ).to(device)
    images, masks = _render(empty, empty.grounds)
    other_masks = masks[:, 1] if style == "pairs" else None
    return replace(empty, images=images, masks=masks[:, 0], other_masks=other_masks)


def _check(count, size, classes, grounds, correlation, style, radius, opacity, noise) -> None:
    if count < 1 or size < 24:
        raise ValueError(f"count must be at least 1 and size at least 24, got {count} and {size}")
    for what, names, known in (("classes", classes, CLASSES), ("grounds", grounds, GROUNDS)):
        if not names or len(set(names)) != len(names) or not set(names) <= set(known):
            raise ValueError(f"{what} must be different names out of {known}, got {tuple(names)}")
    if correlation is not None and not 0 <= correlation <= 1:
        raise ValueError(f"correlation is a probability, 0 to 1, got {correlation}")
    if style not in ("single", "pairs") or (style == "pairs" and len(classes) < 2):
        raise ValueError(f"style must be 'single', or 'pairs' with at least two classes, got {style!r}")
    if not 0.02 <= radius[0] <= radius[1] <= (0.24 if style == "pairs" else 0.45):
        raise ValueError(f"radius must be (low, high) within 0.02 to 0.45 of the image (pairs: to 0.24), got {radius}")
    if not 0 < opacity <= 1 or noise < 0:
        raise ValueError(f"opacity must be in (0, 1] and noise at least 0, got {opacity} and {noise}")


def _balanced(count: int, kinds: int, generator: torch.Generator) -> Tensor:
    return (torch.arange(count) % kinds)[torch.randperm(count, generator=generator)]


def _grounds(
    labels: Tensor, classes: int, grounds: int, correlation: float | None, generator: torch.Generator
) -> Tensor:
    """For each class its share `correlation` on the tied ground and the others in turn, in random order."""
    if grounds == 1:
        return torch.zeros_like(labels)
    share = 1 / grounds if correlation is None else correlation
    chosen = torch.empty_like(labels)
    for label in range(classes):
        where = torch.nonzero(labels == label)[:, 0]
        where = where[torch.randperm(len(where), generator=generator)]
        tied = round(share * len(where))
        chosen[where] = label % grounds
        others = torch.arange(len(where) - tied) + int(torch.randint(grounds - 1, (1,), generator=generator))
        chosen[where[tied:]] = (label + 1 + others % (grounds - 1)) % grounds
    return chosen


def _scene(
    kinds: Tensor,
    colours: Tensor,
    size: int,
    radius: tuple[float, float],
    opacity: float,
    generator: torch.Generator,
) -> Tensor:
    """Where each object lies and how it looks: (N, objects, 9), see `Shapes`."""
    drawn = torch.rand(*kinds.shape, 3, generator=generator)
    radii = size * (radius[0] + (radius[1] - radius[0]) * drawn[..., :1])
    rgb = torch.tensor(_RGB)[colours] + 0.06 * torch.randn(*kinds.shape, 3, generator=generator)
    rgb = (rgb * (0.88 + 0.24 * drawn[..., 2:])).clamp(0, 1)
    places = _places(radii[..., 0], size, generator)
    return torch.cat(
        [
            kinds[..., None],
            places,
            radii,
            2 * math.pi * drawn[..., 1:2],
            torch.full_like(radii, opacity),
            rgb,
        ],
        -1,
    )


def _places(radii: Tensor, size: int, generator: torch.Generator, tries: int = 64) -> Tensor:
    """Centres (N, objects, 2) in pixels from the middle: wholly inside the image, and apart."""
    room = (size / 2 - 1.05 * radii - 1)[:, None, :, None]
    spots = (2 * torch.rand(len(radii), tries, radii.shape[1], 2, generator=generator) - 1) * room
    if radii.shape[1] == 1:
        return spots[:, 0]
    spots[:, -1] = torch.tensor([1.0, -1.0])[:, None] * room[:, 0]  # opposite corners are always far enough
    apart = (spots[:, :, 0] - spots[:, :, 1]).norm(dim=-1) > 1.12 * radii.sum(1)[:, None] + 1
    apart[:, -1] = True
    return spots[torch.arange(len(radii)), apart.int().argmax(1)]


def _render(world: Shapes, grounds: Tensor) -> tuple[Tensor, Tensor]:
    """(images (N, 3, S, S), masks (N, objects, S, S)) of every scene on the given grounds."""
    size, device = world.images.shape[-1], world.images.device
    images = torch.empty(len(grounds), 3, size, size, device=device)
    masks = torch.empty(len(grounds), world.scene.shape[1], size, size, dtype=torch.bool, device=device)
    for start in range(0, len(grounds), _CHUNK):
        part = slice(start, start + _CHUNK)
        planes, grain = texture(world.seeds[part], size, world.noise)
        planes = {key: plane.to(device) for key, plane in planes.items()}
        picture = images[part]
        for kind in grounds[part].unique().tolist():
            here = grounds[part] == kind
            picture[here] = ground(world.ground_names[kind], {k: v[here] for k, v in planes.items()}, size)
        picture *= (0.86 + 0.24 * planes["light"])[:, None]
        for k in range(world.scene.shape[1]):
            masks[part, k] = draw(picture, world.scene[part, k])
        if grain is not None:
            picture += grain.to(device)
        picture.clamp_(0, 1)
    return images, masks
