"""Birds in their habitats: pictures, and for each pixel the part of the bird that lies on top."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from data_fetch.worlds.birds import habitats as places
from data_fetch.worlds.birds import plumage
from data_fetch.worlds.birds.coat import Coat, coat
from data_fetch.worlds.birds.individuals import pose_column
from data_fetch.worlds.birds.skeleton import BILL_LENGTH, Skeleton, skeleton
from data_fetch.worlds.birds.vocabulary import COVER, GROUPS, HABITATS, PARTS, column
from data_fetch.worlds.raster import Canvas, Pen
from data_fetch.worlds.textures import Planes, add_grain

_CHUNK = 1024 * 64**2  # pixels drawn together: enough work for each operation, and few operations
_FEW = 512  # images at a time where pixels are counted


class Rendered(NamedTuple):
    """images (N, 3, S, S); parts (N, S, S) uint8: number of the part + 1, 0 for no bird, COVER for what hides it;
    whole (N, P) int64: how many pixels each part would show without the cover."""

    images: Tensor
    parts: Tensor
    whole: Tensor


def render(values: Tensor, pose: Tensor, seeds: Tensor, habitats: Tensor, size: int, noise: float) -> Rendered:
    """All birds; each depends on its own row alone."""
    count, device = len(values), values.device
    images = torch.empty(count, 3, size, size, device=device)
    parts = torch.empty(count, size, size, dtype=torch.uint8, device=device)
    whole = torch.empty(count, len(PARTS), dtype=torch.long, device=device)
    chunk = max(64, _CHUNK // size**2)
    for start in range(0, count, chunk):
        rows = slice(start, start + chunk)
        found = _chunk(values[rows], pose[rows], seeds[rows], habitats[rows], images[rows])
        parts[rows], whole[rows] = found
        add_grain(images[rows], seeds[rows], noise)
    return Rendered(images, parts, whole)


def _chunk(values: Tensor, pose: Tensor, seeds: Tensor, habitats: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Draw into `images`; the map of parts and the size of each part without what hides it."""
    size = images.shape[-1]
    bones = skeleton(values, pose, size)
    side = pose_column(pose, "side") * bones.facing
    colours = coat(values, seeds, side, pose_column(pose, "strength"))
    foot_x, foot_y = bones.place(bones.hip_x, bones.foot_y)
    for number in habitats.unique().tolist():
        here = torch.nonzero(habitats == number)[:, 0]
        ground = places.Ground(seeds[here], foot_x[here], foot_y[here], bones.scale[here], size)
        images.index_copy_(0, here, places.draw(HABITATS[number], ground))  # faster than images[here] = ...
    canvas = Canvas(images)
    _bird(canvas, bones, colours, size)
    bare = canvas.part.clone()
    _cover(canvas, bones, pose, seeds, habitats, size)
    images *= pose_column(pose, "light")[:, None, None, None]
    return torch.where(canvas.owner == 2, COVER, canvas.part), counts(bare)


def _bird(canvas: Canvas, bones: Skeleton, colours: Coat, size: int) -> None:
    """The pieces, from back to front."""
    kinds = GROUPS["has_tail_shape"]
    for number, kind in enumerate(kinds):
        these = torch.nonzero(column(colours.values, "has_tail_shape") == number)[:, 0]
        _piece(canvas, bones, colours, size, these, plumage.tail, "tail_x", "tail_y", 0.86, kind)
    every = torch.arange(len(bones.x), device=bones.x.device)
    neck = torch.maximum((bones.head_x.square() + bones.head_y.square()).sqrt() + bones.neck / 2, bones.a)
    _piece(canvas, bones, colours, size, every, plumage.legs, "hip_x", "hip_y", bones.hip_y - bones.foot_y + 0.2)
    _piece(canvas, bones, colours, size, every, plumage.body, None, None, neck + 0.05)
    _piece(canvas, bones, colours, size, every, plumage.breast, None, None, 0.50, shift=plumage.BREAST)
    for number, kind in enumerate(GROUPS["has_bill_shape"]):
        these = torch.nonzero(column(colours.values, "has_bill_shape") == number)[:, 0]
        reach = BILL_LENGTH[number] + 0.5
        _piece(canvas, bones, colours, size, these, plumage.bill, "head_x", "head_y", reach, kind)
    _piece(canvas, bones, colours, size, every, plumage.head, "head_x", "head_y", 1.62 * bones.r)
    _piece(canvas, bones, colours, size, every, plumage.wing, None, None, 0.62, shift=plumage.WING)


def _piece(
    canvas: Canvas,
    bones: Skeleton,
    colours: Coat,
    size: int,
    rows: Tensor,
    draw: Callable,
    x: str | None,
    y: str | None,
    reach: float | Tensor,
    *kind: str,
    shift: tuple[float, float] | None = None,
) -> None:
    """Draw one piece in the smallest window that holds it, and paste it; `reach` from its origin, in units."""
    if not len(rows):
        return
    window = _windows((reach[rows] if isinstance(reach, Tensor) else reach) * bones.scale[rows], size)
    for side in window.unique().tolist():
        these = rows[window == side]
        k = bones[these]
        u, v = (getattr(k, x), getattr(k, y)) if x else k.along(*(shift or (0.0, 0.0)))
        left, top = k.place(u, v)
        pen = Pen(side, left, top, k.scale, flip=k.facing < 0, image=size)
        draw(pen, k, colours[these], *kind)
        canvas.paste(pen.sprite(), these, 1)


def _windows(reach: Tensor, size: int) -> Tensor:
    """For each piece the smallest of a few windows that holds it."""
    sides = torch.tensor([round(size * k / 8) for k in (2, 3, 4, 5, 6, 7)] + [size], device=reach.device)
    return sides[torch.bucketize(2 * reach + 3, sides).clamp(max=len(sides) - 1)]


def _cover(canvas: Canvas, bones: Skeleton, pose: Tensor, seeds: Tensor, habitats: Tensor, size: int) -> None:
    low, leaf = pose_column(pose, "low"), pose_column(pose, "leaf") > 0
    rows = torch.nonzero((low > 0) | leaf)[:, 0]
    if not len(rows):
        return
    k, at = bones[rows], pose_column(pose, "leaf_place")[rows]
    foot_x, foot_y = k.place(k.hip_x, k.foot_y)
    pen = Pen(size, foot_x, foot_y, k.scale, flip=k.facing < 0)
    below = ((k.a * torch.sin(k.slope)).square() + (k.b * torch.cos(k.slope)).square()).sqrt()
    height = low[rows] * (-k.foot_y - 0.55 * below)  # up to the lower part of the belly
    tail = torch.cos(k.tail_turn) * 0.3 + k.tail_x, torch.sin(k.tail_turn) * 0.3 + k.tail_y
    spot = [t + at * (h - t) for t, h in zip(tail, (k.head_x, k.head_y), strict=True)]
    spot = spot[0] - k.hip_x, spot[1] - k.foot_y
    places.cover(pen, habitats[rows], height, leaf[rows], spot, Planes(seeds[rows] + 1, size))
    canvas.paste(pen.sprite(), rows, 2)


def counts(parts: Tensor) -> Tensor:
    """(n, P) int64: pixels of each part in maps (n, S, S)."""
    return _histogram(parts, None)[:, 1:, 0]


def centres(parts: Tensor) -> tuple[Tensor, Tensor]:
    """(n, P, 2) x, y of the middle of each part's pixels, and (n, P) how many there are."""
    axis = torch.arange(parts.shape[-1], device=parts.device, dtype=torch.int16)
    middle, many = [], None
    for place in (axis[None, None, :], axis[None, :, None]):  # columns, then rows
        found = torch.cat([_histogram(chunk, place) for chunk in parts.split(_FEW)])[:, 1:]
        many = found.sum(-1)
        middle.append((found.double() @ (axis.double() + 0.5)) / many.clamp(min=1))
    return torch.stack(middle, -1).float(), many


def _histogram(parts: Tensor, place: Tensor | None) -> Tensor:
    """(n, P + 1, S or 1): how many pixels there are of each part, at each `place`."""
    width, length = len(PARTS) + 1, 1 if place is None else parts.shape[-1]
    keys = torch.where(parts == COVER, 0, parts).to(torch.int16)
    if place is not None:
        keys = keys * length + place
    keys = keys.int() + width * length * torch.arange(len(parts), device=parts.device, dtype=torch.int32)[:, None, None]
    return torch.bincount(keys.view(-1), minlength=width * length * len(parts)).view(-1, width, length)
