"""A rendered world of one or two named objects on textured grounds: the pixels that should matter are known exactly.

Eight objects (star, heart, ring, ...) in six colours lie on eight grounds (grass, sand, water, ...). A knob ties the
ground to the class, so that a network can be right for the wrong reason; the same objects can be rendered again on
other grounds, so that it is caught. Objects are signed distances, anti-aliased over one pixel, in batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

CLASSES = ("star", "heart", "ring", "cross", "arrow", "crescent", "drop", "gear")
GROUNDS = ("grass", "sand", "water", "brick", "wood", "snow", "stone", "leaves")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple")
_RGB = ((0.85, 0.13, 0.16), (0.98, 0.55, 0.10), (0.99, 0.90, 0.20), (0.12, 0.66, 0.30), (0.15, 0.38, 0.90), (0.60, 0.22, 0.74))  # fmt: skip
_CHUNK = 64  # images rendered at a time: small enough for their planes to stay in the processor's cache


# ------------------------------------------------------------ objects: distance to the outline, < 0 inside, radius about 1
def _length(x: Tensor, y: Tensor) -> Tensor:
    return (x * x + y * y).sqrt()


def _wedge(x: Tensor, y: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Fold the plane into one of `count` equal wedges around the x axis, mirrored: y >= 0."""
    step = 2 * math.pi / count
    angle = torch.atan2(y, x)
    angle = (angle - step * torch.round(angle / step)).abs()
    radius = _length(x, y)
    return radius * torch.cos(angle), radius * torch.sin(angle)


def _star(x: Tensor, y: Tensor) -> Tensor:
    x, y = _wedge(y, x, 5)  # one tip lies on the x axis now
    tip, inner = 1.1, 0.47
    dx, dy = inner * math.cos(math.pi / 5) - tip, inner * math.sin(math.pi / 5)
    return (dy * (x - tip) - dx * y) / math.hypot(dx, dy)


def _heart(x: Tensor, y: Tensor) -> Tensor:
    x, y = x.abs(), y + 0.12  # a square on its corner and a half disc on each upper side
    side = 0.84
    disc = _length(x - side / 2, y - side / 2) - side / math.sqrt(2)
    return torch.minimum(disc, (x + y.abs() - side) / math.sqrt(2))


def _ring(x: Tensor, y: Tensor) -> Tensor:
    return (_length(x, y) - 0.7).abs() - 0.25


def _cross(x: Tensor, y: Tensor) -> Tensor:
    x, y = x.abs(), y.abs()
    return torch.minimum(torch.maximum(x - 0.95, y - 0.31), torch.maximum(x - 0.31, y - 0.95))


def _arrow(x: Tensor, y: Tensor) -> Tensor:
    y = y.abs()
    shaft = torch.maximum((x + 0.45).abs() - 0.55, y - 0.24)
    head = torch.maximum(-x, 0.64 * (x - 1.05) + 0.768 * y)
    return torch.minimum(shaft, head)


def _crescent(x: Tensor, y: Tensor) -> Tensor:
    x = x + 0.15
    return torch.maximum(_length(x, y) - 1, 0.8 - _length(x - 0.52, y))


def _drop(x: Tensor, y: Tensor) -> Tensor:
    x, y = x.abs(), y + 0.34  # a disc below and a cone that touches it
    ball, apex = 0.66, 1.45
    sine = ball / apex
    side = math.sqrt(1 - sine * sine) * x + sine * y - ball
    return torch.minimum(_length(x, y) - ball, torch.maximum(side, sine * ball - y))


def _gear(x: Tensor, y: Tensor) -> Tensor:
    hole = 0.3 - _length(x, y)
    disc = _length(x, y) - 0.74
    x, y = _wedge(x, y, 8)
    return torch.maximum(torch.minimum(disc, torch.maximum(x - 1.04, y - 0.17)), hole)


_OUTLINE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "star": _star, "heart": _heart, "ring": _ring, "cross": _cross, "arrow": _arrow, "crescent": _crescent,
    "drop": _drop, "gear": _gear,
}  # fmt: skip


# ------------------------------------------------------------ grounds: named colours mixed by noise, waves and joints
def _mix(low: Sequence[float], high: Sequence[float], share: Tensor) -> Tensor:
    ends = torch.tensor((low, high), device=share.device)
    return torch.lerp(ends[0].view(1, 3, 1, 1), ends[1].view(1, 3, 1, 1), share.clamp(0, 1)[:, None])


def _ground(name: str, noise: dict[str, Tensor], size: int) -> Tensor:
    """(n, 3, S, S) of one ground. `noise`: planes (n, S, S) in [-1, 1] and phases (n, 1, 1) in [0, 1]."""
    coarse, fine, tall, wide, p, q = (noise[key] for key in ("coarse", "fine", "tall", "wide", "p", "q"))
    axis = (torch.arange(size, device=coarse.device) + 0.5) / size
    y, x = axis.view(1, -1, 1), axis.view(1, 1, -1)
    if name == "grass":
        return _mix((0.08, 0.28, 0.06), (0.50, 0.70, 0.22), 0.5 + 0.55 * tall + 0.2 * coarse)
    if name == "sand":
        ripple = torch.sin(2 * math.pi * (6 * y + 1.2 * x + p) + 1.6 * coarse)
        return _mix((0.72, 0.58, 0.38), (0.95, 0.86, 0.64), 0.5 + 0.22 * ripple + 0.3 * fine)
    if name == "water":
        wave = torch.sin(2 * math.pi * (5 * y + p) + 3.5 * wide)
        return _mix((0.04, 0.26, 0.48), (0.45, 0.78, 0.88), 0.40 + 0.3 * wave + 0.2 * coarse)
    if name == "brick":
        course = y * 6 + p * 6
        along = torch.remainder(x * 3 + q + 0.5 * torch.remainder(course.floor(), 2), 1)
        joint = ((torch.remainder(course, 1) < 0.16) | (along < 0.08)).float()
        wall = _mix((0.50, 0.19, 0.13), (0.74, 0.35, 0.25), 0.5 + 0.4 * fine + 0.3 * coarse)
        return torch.lerp(wall, torch.full_like(wall, 0.78), joint[:, None] * 0.85)
    if name == "wood":
        grain = torch.sin(2 * math.pi * (4 * y + p) + 4 * wide)
        plank = (torch.remainder(y * 3 + q, 1) < 0.07).float()
        return _mix((0.34, 0.19, 0.08), (0.72, 0.48, 0.26), 0.55 + 0.2 * grain + 0.25 * wide - 0.6 * plank)
    if name == "snow":
        return _mix((0.74, 0.82, 0.92), (1.0, 1.0, 1.0), 0.6 + 0.6 * coarse + 0.15 * fine)
    if name == "stone":
        crack = (coarse.abs() < 0.07).float()
        return _mix((0.28, 0.29, 0.32), (0.66, 0.66, 0.68), 0.55 + 0.3 * coarse + 0.3 * fine - 0.5 * crack)
    if name == "leaves":
        return _mix((0.30, 0.09, 0.04), (0.88, 0.50, 0.12), 0.15 + 0.7 * torch.sigmoid(9 * fine + 4 * coarse) + 0.2 * tall)
    raise ValueError(f"unknown ground {name!r}; there are {GROUNDS}")


# ------------------------------------------------------------ the data set
@dataclass(frozen=True)
class Shapes:
    """Images with the truth about them. An index, slice or mask gives a smaller set: `world[:10]`.

    images (N, 3, S, S) float in [0, 1]; labels (N,) index `class_names`; masks (N, S, S) bool: the labelled object;
    grounds (N,) index `ground_names`; colours (N,) index `COLOURS`. With style "pairs" other_labels (N,) and
    other_masks (N, S, S) name the second object, which is of another class and never overlaps the first.
    scene (N, objects, 9): class, x, y, radius (pixels), angle (radians), opacity and the RGB colour;
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

    def with_grounds(self, grounds: Tensor) -> Shapes:
        """The same objects at the same places, with the same noise, on other grounds (N,): a counterfactual set.

        Pixels wholly inside an opaque object keep their values; all that changes is the ground around it.
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
        """What is in the set: counts, sizes, class balance, and how strongly the ground is tied to the class."""
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
    size : height and width in pixels (48 to 64 look best).
    classes, grounds : names out of `CLASSES` and `GROUNDS`; class k is tied to ground k modulo their number.
    correlation : share of each class's images that lie on the tied ground; the others are spread evenly over the
        other grounds. None: 1 / number of grounds, the ground says nothing about the class.
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
    objects = 2 if style == "pairs" else 1
    labels = _balanced(count, len(classes), generator)[:, None]
    if objects == 2:
        step = torch.randint(1, len(classes), (count, 1), generator=generator)
        labels = torch.cat([labels, (labels + step) % len(classes)], 1)
    colours = torch.randint(len(COLOURS), (count, objects), generator=generator)
    rgb = torch.tensor(_RGB)[colours] + 0.06 * torch.randn(count, objects, 3, generator=generator)
    rgb = rgb * (0.88 + 0.24 * torch.rand(count, objects, 1, generator=generator))
    low, high = radius
    radii = size * (low + (high - low) * torch.rand(count, objects, generator=generator))
    places = _places(radii, size, generator)
    angle = 2 * math.pi * torch.rand(count, objects, 1, generator=generator)
    names = torch.tensor([CLASSES.index(name) for name in classes])
    full = torch.full((count, objects, 1), float(opacity))
    scene = torch.cat([names[labels][..., None].float(), places, radii[..., None], angle, full, rgb.clamp(0, 1)], -1)
    empty = Shapes(
        images=torch.empty(count, 3, size, size),
        labels=labels[:, 0],
        masks=torch.empty(count, 0),
        grounds=_grounds(labels[:, 0], len(classes), len(grounds), correlation, generator),
        colours=colours[:, 0],
        scene=scene,
        seeds=torch.randint(2**62, (count,), generator=generator),
        class_names=tuple(classes),
        ground_names=tuple(grounds),
        noise=noise,
        other_labels=labels[:, 1] if objects == 2 else None,
    ).to(device)
    images, masks = _render(empty, empty.grounds)
    return replace(empty, images=images, masks=masks[:, 0], other_masks=masks[:, 1] if objects == 2 else None)


def _check(count, size, classes, grounds, correlation, style, radius, opacity, noise) -> None:
    if count < 1 or size < 16:
        raise ValueError(f"count must be at least 1 and size at least 16, got {count} and {size}")
    for what, names, known in (("classes", classes, CLASSES), ("grounds", grounds, GROUNDS)):
        if not names or len(set(names)) != len(names) or not set(names) <= set(known):
            raise ValueError(f"{what} must be different names out of {known}, got {tuple(names)}")
    if correlation is not None and not 0 <= correlation <= 1:
        raise ValueError(f"correlation is a probability, 0 to 1, got {correlation}")
    if style not in ("single", "pairs") or (style == "pairs" and len(classes) < 2):
        raise ValueError(f"style must be 'single', or 'pairs' with at least two classes, got {style!r}")
    if not 0.02 <= radius[0] <= radius[1] <= (0.25 if style == "pairs" else 0.45):
        raise ValueError(f"radius must be (low, high) within 0.02 to 0.45 of the image (pairs: to 0.25), got {radius}")
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


def _places(radii: Tensor, size: int, generator: torch.Generator, tries: int = 64) -> Tensor:
    """Centres (N, objects, 2) in pixels from the middle: wholly inside the image, and apart from each other."""
    room = size / 2 - 1.05 * radii - 1
    spots = (2 * torch.rand(len(radii), tries, radii.shape[1], 2, generator=generator) - 1) * room[:, None, :, None]
    if radii.shape[1] == 1:
        return spots[:, 0]
    apart = (spots[:, :, 0] - spots[:, :, 1]).norm(dim=-1) - 1.12 * radii.sum(1)[:, None]
    first = (apart > 1).int().argmax(1)
    first = torch.where((apart > 1).any(1), first, apart.argmax(1))
    return spots[torch.arange(len(radii)), first]


def _texture(seeds: Tensor, size: int, noise: float) -> tuple[dict[str, Tensor], Tensor | None]:
    """Random planes for each image, drawn from its own seed: an image does not depend on the set that it is in."""
    half = size // 2
    grids = {"coarse": (5, 5), "fine": (half, half), "tall": (4, size), "wide": (size, 4)}
    wanted = sum(a * b for a, b in grids.values()) + 3
    generator = torch.Generator()
    draws, grain = torch.empty(len(seeds), wanted), torch.empty(len(seeds), 3, size, size) if noise else None
    for row, seed in enumerate(seeds.tolist()):
        generator.manual_seed(seed)
        draws[row].uniform_(generator=generator)
        if noise:
            grain[row].normal_(0, noise, generator=generator)
    planes, start = {}, 3
    for name, (a, b) in grids.items():
        grid = draws[:, start : start + a * b].view(-1, 1, a, b) * 2 - 1
        planes[name] = F.interpolate(grid, size=(size, size), mode="bilinear", align_corners=False)[:, 0]
        start += a * b
    planes.update({key: draws[:, i].view(-1, 1, 1) for i, key in enumerate(("p", "q", "light"))})
    return planes, grain


def _render(world: Shapes, grounds: Tensor) -> tuple[Tensor, Tensor]:
    """(images (N, 3, S, S), masks (N, objects, S, S)) of every scene on the given grounds."""
    size, device = world.images.shape[-1], world.images.device
    images = torch.empty(len(grounds), 3, size, size, device=device)
    masks = torch.empty(len(grounds), world.scene.shape[1], size, size, dtype=torch.bool, device=device)
    for start in range(0, len(grounds), _CHUNK):
        part = slice(start, start + _CHUNK)
        planes, grain = _texture(world.seeds[part], size, world.noise)
        planes = {key: plane.to(device) for key, plane in planes.items()}
        picture = images[part]
        for kind in grounds[part].unique().tolist():
            here = grounds[part] == kind
            picture[here] = _ground(world.ground_names[kind], {k: v[here] for k, v in planes.items()}, size)
        picture *= (0.86 + 0.24 * planes["light"])[:, None]
        for k in range(world.scene.shape[1]):
            masks[part, k] = _draw(picture, world.scene[part, k])
        if grain is not None:
            picture += grain.to(device)
        picture.clamp_(0, 1)
    return images, masks


def _draw(picture: Tensor, scene: Tensor) -> Tensor:
    """Draw one object into each image (n, 3, S, S), in place; the mask (n, S, S) of pixels at least half covered."""
    size = picture.shape[-1]
    kind, cx, cy, radius, angle, opacity = scene[:, :6, None, None].unbind(1)
    axis = torch.arange(size, device=picture.device) + 0.5 - size / 2
    x, y = (axis.view(1, 1, -1) - cx) / radius, (axis.view(1, -1, 1) - cy) / radius
    cosine, sine = torch.cos(angle), torch.sin(angle)
    u, v = cosine * x + sine * y, sine * x - cosine * y  # turned, and v points up
    distance = torch.empty_like(u)
    for index in kind.view(-1).unique().long().tolist():
        here = kind.view(-1) == index
        distance[here] = _OUTLINE[CLASSES[index]](u[here], v[here]) * radius[here]
    cover = (0.5 - distance).clamp(0, 1)
    light = (0.98 - 0.22 * (x + y)).clamp(0.6, 1.3)  # lit from the upper left
    rim = 1 - 0.5 * (1 + distance / (0.16 * radius)).clamp(0, 1)  # darker towards the outline
    paint = (scene[:, 6:, None, None] * (light * rim)[:, None]).clamp(0, 1)
    picture.lerp_(paint, (cover * opacity)[:, None].expand_as(paint))
    return cover >= 0.5
