"""Scene graphs become pictures: places below, then every thing from the farthest to the nearest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from data_fetch.worlds.raster import Canvas, Pen, Sprite, empty_sprites, hashed
from data_fetch.worlds.scenes import people, places, things
from data_fetch.worlds.scenes.graph import Graph
from data_fetch.worlds.scenes.vocabulary import ACTIVITIES, COLOURS, KINDS, PLACE_NAMES, POSES
from data_fetch.worlds.textures import add_grain

STYLES = ("photo", "flat", "night", "sketch")
_CHUNK = 2048 * 64**2  # pixels at a time: each kind of thing is drawn once a chunk, which few images don't repay
_FEW = 128  # images at a time where whole planes are changed: they stay in the processor's cache
_POSE = torch.tensor([POSES.index(a.pose) for a in ACTIVITIES.values()])


@dataclass(frozen=True)
class Rendered:
    """images (N, 3, S, S); owner (N, S, S) uint8: slot + 1 of the thing on top, 0 for the place; part (N, S, S) uint8:
    its part; region (N, S, S) uint8: what of the place is there, below the things, numbers of REGIONS; area (N, K):
    pixels of each thing before others cover it; visible (N, K): the pixels that show; boxes (N, K, 4): around them.
    """

    images: Tensor
    owner: Tensor
    part: Tensor
    region: Tensor
    area: Tensor
    visible: Tensor
    boxes: Tensor


def render(
    graph: Graph, size: int, *, style: str = "photo", noise: float = 0.0, ground: tuple[Tensor, Tensor] | None = None
) -> Rendered:
    """Draw the scenes.

    Parameters
    ----------
    size : side of the images in pixels, at least 24.
    style : "photo" with shades and textures, "flat" like a cartoon, "night", or "sketch" in pencil.
    noise : standard deviation of the Gaussian noise on every pixel.
    ground : (place, seeds) of other backgrounds, (N,) each; place -1 is black. None: the scene's own.

    Raises
    ------
    ValueError : a size, style or noise out of range.
    """
    if size < 24:
        raise ValueError(f"size must be at least 24 pixels, got {size}")
    if style not in STYLES:
        raise ValueError(f"style must be one of {', '.join(STYLES)}, got {style!r}")
    if not 0 <= noise <= 1:
        raise ValueError(f"noise is a standard deviation of pixels in 0 to 1, got {noise}")
    count, slots, device = *graph.kind.shape, graph.kind.device
    drawn = Rendered(
        torch.empty(count, 3, size, size, device=device),
        *(torch.zeros(count, size, size, dtype=torch.uint8, device=device) for _ in range(3)),
        *(torch.zeros(count, slots, dtype=torch.long, device=device) for _ in range(2)),
        torch.zeros(count, slots, 4, device=device),
    )
    place, seeds = (graph.place, graph.seeds) if ground is None else ground

    chunk = max(64, _CHUNK // size**2)
    for start in range(0, count, chunk):
        rows = slice(start, min(start + chunk, count))
        images = drawn.images[rows]
        drawn.region[rows] = _ground(images, place[rows], seeds[rows], style)
        canvas = Canvas(images)
        _paste(canvas, graph[rows], size, style, drawn.area[rows])
        drawn.owner[rows], drawn.part[rows] = canvas.owner, canvas.part
        for few in range(rows.start, rows.stop, _FEW):
            these = slice(few, min(few + _FEW, rows.stop))
            drawn.visible[these], drawn.boxes[these] = _extents(drawn.owner[these], slots)
            _finish(drawn.images[these], seeds[these], style, noise)
    return drawn


def _ground(images: Tensor, place: Tensor, seeds: Tensor, style: str) -> Tensor:
    """Draw each image's place into it; the regions (n, S, S)."""
    regions = torch.zeros(len(images), *images.shape[2:], dtype=torch.uint8, device=images.device)
    kind = "flat" if style == "flat" else "photo"
    for number in place.unique().tolist():
        here = torch.nonzero(place == number)[:, 0]
        if number < 0:
            images.index_fill_(0, here, 0.0)
            continue
        picture, region = places.draw(PLACE_NAMES[number], seeds[here], images.shape[-1], kind)
        images.index_copy_(0, here, picture)
        regions.index_copy_(0, here, region)
    return regions


def _paste(canvas: Canvas, graph: Graph, size: int, style: str, area: Tensor) -> None:
    rows, slots = torch.nonzero(graph.kind >= 0, as_tuple=True)
    window = _windows(graph.reach[rows, slots] * size, size)
    kinds, step = graph.kind[rows, slots], graph.order[rows, slots]
    groups = []
    for side in window.unique().tolist():
        order = torch.nonzero(window == side)[:, 0]
        order = order[kinds[order].argsort(stable=True)]  # one kind after the other
        colours, parts = empty_sprites(len(order), side, rows.device)
        corners, start = torch.empty(2, len(order), dtype=torch.long, device=rows.device), 0
        for number, count in zip(*(found.tolist() for found in kinds[order].unique_consecutive(return_counts=True))):
            part = slice(start, start + count)
            these = order[part]
            into = colours[part], parts[part]
            pen = _draw(number, graph, rows[these], slots[these], side, size, style, into)
            corners[0, part], corners[1, part] = pen.left, pen.top
            start += count
        pixels = (parts > 0).flatten(1).float().sum(1)  # summing bool is far slower
        area[rows[order], slots[order]] = pixels.long()
        groups.append((Sprite(colours, parts, *corners), order))
    for number in range(graph.kind.shape[1]):
        for sprite, order in groups:
            now = torch.nonzero(step[order] == number)[:, 0]
            if len(now):
                canvas.paste(sprite[now], rows[order[now]], slots[order[now]] + 1)


def _windows(reach: Tensor, size: int) -> Tensor:
    """For each thing the smallest of a few windows that holds it and its shadow."""
    sides = torch.tensor([max(8, round(size * k / 8)) for k in (2, 3, 4, 6)] + [size], device=reach.device)
    return sides[torch.bucketize(2.1 * reach + 3, sides).clamp(max=len(sides) - 1)]


def _draw(number: int, graph: Graph, rows: Tensor, slots: Tensor, window: int, size: int, style: str, into) -> Pen:
    """One kind of thing in all its images, drawn into a part of the sprites."""
    one = [getattr(graph, name)[rows, slots] for name in ("x", "y", "reach", "flip", "colour", "state")]
    x, y, reach, flip, colour, state = one
    pen = Pen(window, x * size, y * size, reach * size, flip=flip, image=size, into=into)
    vary = hashed(graph.seeds[rows] + 1_000_003 * (slots + 1), 8)
    palette = torch.tensor(tuple(COLOURS.values()), device=x.device)
    base = palette[colour] * (0.9 + 0.2 * vary[:, 4:5]) + 0.05 * (vary[:, 5:8] - 0.5)
    base = base.clamp(0, 1)
    kind = "flat" if style == "flat" else "photo"
    if number == 0:
        look = people.Look(
            hair=graph.hair[rows],
            hair_colour=graph.hair_colour[rows],
            clothes=graph.clothes[rows],
            colour=base,
            beard=graph.beard[rows],
            back=graph.back[rows],
            skin=graph.skin[rows],
            vary=vary[:, :4],
        )
        people.draw(pen, _POSE.to(x.device)[graph.activity[rows]], look, kind)
    else:
        things.draw(KINDS[number], pen, base, state, vary[:, :4], kind)
    return pen


def _extents(owner: Tensor, slots: int) -> tuple[Tensor, Tensor]:
    """Pixels (n, slots) and boxes (n, slots, 4) of the owners 1 to `slots`; zeros where one has none."""
    count, _, side = owner.shape
    first = torch.arange(count, dtype=torch.int32, device=owner.device)[:, None, None] * (slots + 1) + owner
    axis = torch.arange(side, dtype=torch.int32, device=owner.device)
    ends, pixels = [], None
    for line in (axis[None, :], axis[:, None]):  # how many pixels each owner has in every column, in every row
        index = (first * side + line).view(-1)
        pixels = torch.bincount(index, minlength=count * (slots + 1) * side).view(count, slots + 1, side)[:, 1:]
        filled = (pixels > 0).to(torch.uint8)
        last = side - filled.flip(2).argmax(2)
        ends.append((filled.argmax(2), torch.where(filled.amax(2) > 0, last, 0)))
    (x0, x1), (y0, y1) = ends
    return pixels.sum(2), torch.stack([x0, y0, x1, y1], 2).float()


def _finish(images: Tensor, seeds: Tensor, style: str, noise: float) -> None:
    """Light, style and noise, in place."""
    if style in ("photo", "night"):
        light = 0.92 + 0.14 * hashed(seeds + 15_485_863, 1)[:, :, None, None]
        tint = torch.tensor((0.34, 0.42, 0.68) if style == "night" else (1.0, 1.0, 1.0), device=images.device)
        images *= light * tint.view(1, 3, 1, 1)
    if style == "night":
        axis = torch.linspace(-1, 1, images.shape[-1], device=images.device).square()
        images *= 1 - 0.3 * (axis[:, None] + axis)
        images += torch.tensor((0.02, 0.03, 0.09), device=images.device).view(1, 3, 1, 1)
    if style == "sketch":
        _pencil(images)
    add_grain(images, seeds, noise)


def _pencil(images: Tensor) -> None:
    """Dark lines where brightness changes, on paper that keeps a hint of the tone, in place."""
    grey = images.mul(torch.tensor((0.30, 0.59, 0.11), device=images.device).view(1, 3, 1, 1)).sum(1, keepdim=True)
    wide = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    across, down = wide[:, :, 1:-1, 2:] - wide[:, :, 1:-1, :-2], wide[:, :, 2:, 1:-1] - wide[:, :, :-2, 1:-1]
    line = (2.2 * (across.square() + down.square()).sqrt()).clamp(max=1)
    paper = torch.tensor((0.97, 0.95, 0.90), device=images.device).view(1, 3, 1, 1)
    tone = 0.78 + 0.22 * grey
    images.copy_(paper * tone * (1 - 0.85 * line))
