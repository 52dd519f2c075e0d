"""Scene graphs become pictures: places below, then every thing from the farthest to the nearest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from data_fetch.worlds.parallel import in_chunks
from data_fetch.worlds.raster import Canvas, Pen, Sprite, hashed
from data_fetch.worlds.scenes import people, places, things
from data_fetch.worlds.scenes.graph import Graph
from data_fetch.worlds.scenes.vocabulary import ACTIVITIES, COLOURS, KINDS, PLACE_NAMES, POSES
from data_fetch.worlds.textures import grain

STYLES = ("photo", "flat", "night", "sketch")
_CHUNK = 512  # images at a time: enough work for each operation, little enough for the processor's cache
_POSE = torch.tensor([POSES.index(a.pose) for a in ACTIVITIES.values()])


@dataclass(frozen=True)
class Rendered:
    """images (N, 3, S, S); owner (N, S, S) uint8: slot + 1 of the thing on top, 0 for the place; part (N, S, S) uint8:
    its part; region (N, S, S) uint8: what of the place is there, below the things, numbers of REGIONS; area (N, K):
    pixels of each thing before others cover it.
    """

    images: Tensor
    owner: Tensor
    part: Tensor
    region: Tensor
    area: Tensor


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
    images = torch.zeros(count, 3, size, size, device=device)
    maps = torch.zeros(3, count, size, size, dtype=torch.uint8, device=device)
    area = torch.zeros(count, slots, dtype=torch.long, device=device)
    place, seeds = (graph.place, graph.seeds) if ground is None else ground

    def draw(rows: slice) -> None:
        maps[2, rows] = _ground(images[rows], place[rows], seeds[rows], style)
        canvas = Canvas(images[rows])
        _paste(canvas, graph[rows], size, style, area[rows])
        maps[0, rows], maps[1, rows] = canvas.owner, canvas.part
        _finish(images[rows], seeds[rows], style, noise)

    in_chunks(draw, count, _CHUNK, device)
    return Rendered(images, maps[0], maps[1], maps[2], area)


def _ground(images: Tensor, place: Tensor, seeds: Tensor, style: str) -> Tensor:
    """Draw each image's place into it; the regions (n, S, S)."""
    regions = torch.zeros(len(images), *images.shape[2:], dtype=torch.uint8, device=images.device)
    kind = "flat" if style == "flat" else "photo"
    for number in place.unique().tolist():
        if number >= 0:
            here = place == number
            images[here], regions[here] = places.draw(PLACE_NAMES[number], seeds[here], images.shape[-1], kind)
    return regions


def _paste(canvas: Canvas, graph: Graph, size: int, style: str, area: Tensor) -> None:
    rows, slots = torch.nonzero(graph.kind >= 0, as_tuple=True)
    window = _windows(graph.reach[rows, slots] * size, size)
    kinds, step = graph.kind[rows, slots], graph.order[rows, slots]
    groups = []
    for side in window.unique().tolist():
        inside = torch.nonzero(window == side)[:, 0]
        drawn, order = [], []
        for number in kinds[inside].unique().tolist():
            these = inside[kinds[inside] == number]
            drawn.append(_draw(number, graph, rows[these], slots[these], side, size, style))
            order.append(these)
        order = torch.cat(order)
        sprite = Sprite(*(torch.cat([getattr(s, name) for s in drawn]) for name in ("colours", "parts", "x", "y")))
        pixels = (sprite.parts > 0).flatten(1).float().sum(1)  # summing bool is far slower
        area[rows[order], slots[order]] = pixels.long()
        groups.append((sprite, order))
    for number in range(graph.kind.shape[1]):
        for sprite, order in groups:
            now = torch.nonzero(step[order] == number)[:, 0]
            if len(now):
                canvas.paste(sprite[now], rows[order[now]], slots[order[now]] + 1)


def _windows(reach: Tensor, size: int) -> Tensor:
    """For each thing the smallest of a few windows that holds it and its shadow."""
    sides = torch.tensor([max(8, round(size * k / 8)) for k in (2, 3, 4, 6)] + [size], device=reach.device)
    return sides[torch.bucketize(2.1 * reach + 3, sides).clamp(max=len(sides) - 1)]


def _draw(number: int, graph: Graph, rows: Tensor, slots: Tensor, window: int, size: int, style: str) -> Sprite:
    """One kind of thing in all its images."""
    one = [getattr(graph, name)[rows, slots] for name in ("x", "y", "reach", "flip", "colour", "state")]
    x, y, reach, flip, colour, state = one
    pen = Pen(window, x * size, y * size, reach * size, flip=flip, image=size)
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
    return pen.sprite()


def _finish(images: Tensor, seeds: Tensor, style: str, noise: float) -> None:
    """Light, style and noise, in place."""
    if style in ("photo", "night"):
        light = hashed(seeds + 15_485_863, 1)[:, :, None, None]
        images *= 0.92 + 0.14 * light
    if style == "night":
        axis = torch.linspace(-1, 1, images.shape[-1], device=images.device).square()
        shade = 1 - 0.3 * (axis[:, None] + axis)
        images *= torch.tensor((0.34, 0.42, 0.68), device=images.device).view(1, 3, 1, 1) * shade
        images += torch.tensor((0.02, 0.03, 0.09), device=images.device).view(1, 3, 1, 1)
    if style == "sketch":
        _pencil(images)
    if noise:
        images += grain(seeds, images.shape[-1], noise)
    images.clamp_(0, 1)


def _pencil(images: Tensor) -> None:
    """Dark lines where brightness changes, on paper that keeps a hint of the tone, in place."""
    grey = images.mul(torch.tensor((0.30, 0.59, 0.11), device=images.device).view(1, 3, 1, 1)).sum(1, keepdim=True)
    wide = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    across, down = wide[:, :, 1:-1, 2:] - wide[:, :, 1:-1, :-2], wide[:, :, 2:, 1:-1] - wide[:, :, :-2, 1:-1]
    line = (2.2 * (across.square() + down.square()).sqrt()).clamp(max=1)
    paper = torch.tensor((0.97, 0.95, 0.90), device=images.device).view(1, 3, 1, 1)
    tone = 0.78 + 0.22 * grey
    images.copy_(paper * tone * (1 - 0.85 * line))
