"""Puts the things of a scene in their places: lanes from left to right, depth from the horizon to the viewer."""

from __future__ import annotations

import torch
from torch import Tensor

from data_fetch.worlds.scenes.vocabulary import (
    ACTIVITIES,
    PERSON_EXTENT,
    PERSON_REACH,
    PLACES,
    THINGS,
)

_SUPPORTS = ("floor", "table", "water", "sky")
_EXTENT = torch.tensor([PERSON_EXTENT, *(thing.extent for thing in THINGS.values())])
_REACH = torch.tensor([PERSON_REACH, *(thing.reach for thing in THINGS.values())])
_SUPPORT = torch.tensor([0, *(_SUPPORTS.index(thing.support) for thing in THINGS.values())])
_MARGIN = 0.02  # of the image: nothing is nearer to its border


def lay_out(kind: Tensor, activity: Tensor, place: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """x, y, reach, flip and order (N, K) of every slot, see `Graph`; kind (N, K), activity and place (N,)."""
    count, slots = kind.shape
    drawn = torch.rand(count, slots, 4, generator=generator)
    held = torch.zeros_like(kind, dtype=torch.bool)
    held[:, 1] = (activity >= 0) & (kind[:, 1] > 0)
    there = kind >= 0
    base, depth = _baseline(kind, activity, place, drawn[..., 0])
    reach = _REACH[kind.clamp(min=0)] * depth
    figure = _figure(activity)
    reach[:, 0] = torch.minimum(reach[:, 0], (base[:, 0] - _MARGIN) / figure[:, :2].sum(1))
    x, reach = _lanes(kind, reach, figure, there & ~held, drawn, generator)
    y = base - reach * _EXTENT[kind.clamp(min=0), 1]
    y[:, 0] = base[:, 0] - reach[:, 0] * figure[:, 0]
    sky = (kind > 0) & (_SUPPORT[kind.clamp(min=0)] == 3) & ~held
    y = torch.where(sky, 0.18 + 0.14 * drawn[..., 0], y)
    flip = drawn[..., 2] < 0.5
    _hand(x, y, reach, flip, activity, held)
    key = torch.where(sky, -1.0, base)
    front = torch.tensor([a.front for a in ACTIVITIES.values()])[activity]
    key[:, 1] = torch.where(held[:, 1], key[:, 0] + torch.where(front, 1e-3, -1e-3), key[:, 1])
    key = torch.where(there, key, -2.0)
    order = key.argsort(stable=True, dim=1).argsort(1)
    return {"x": x, "y": y, "reach": reach, "flip": flip, "order": order}


def _baseline(kind: Tensor, activity: Tensor, place: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
    """(line on which each slot's thing rests, factor of its size): nearer is lower and larger."""
    floor = torch.tensor([p.floor for p in PLACES.values()])[place]
    table = torch.tensor([p.table or 0.0 for p in PLACES.values()])[place]
    water = torch.tensor([p.water or (0.0, 0.0) for p in PLACES.values()])[place]
    support = _SUPPORT[kind.clamp(min=0)].clone()
    afloat = torch.tensor([a.thing == "surfboard" for a in ACTIVITIES.values()])[activity] & (activity >= 0)
    support[:, 0] = torch.where(afloat, 2, 0)
    base = floor[:, :1] + (floor[:, 1:] - floor[:, :1]) * drawn
    depth = 0.85 + 0.3 * (base - floor[:, :1]) / (floor[:, 1:] - floor[:, :1])
    on_table = (support == 1) & (table > 0)[:, None]
    base = torch.where(on_table, table[:, None] + 0.03 * drawn, base)
    depth = torch.where(on_table, 1.0, depth)
    afloat = (support == 2) & (water[:, 1:] > 0)
    near = water[:, :1] + (water[:, 1:] - water[:, :1]) * drawn
    base = torch.where(afloat, near + 0.05, base)
    depth = torch.where(afloat, (0.55 + 1.5 * (near - 0.5)).clamp(max=1.0), depth)
    return base, depth


def _figure(activity: Tensor) -> Tensor:
    """(N, 4) of a person with the thing: how far both reach below, above, left and right of the person's centre.

    In half heights of the person, who faces right.
    """
    rows = []
    for a in ACTIVITIES.values():
        width, height = (a.size * e for e in THINGS[a.thing].extent) if a.thing else (0.0, 0.0)
        below = max(1.0, height - a.offset[1]) if a.thing else 1.0
        above = max(1.0, height + a.offset[1]) if a.thing else 1.0
        left = max(0.5, width - a.offset[0]) if a.thing else 0.5
        right = max(0.5, width + a.offset[0]) if a.thing else 0.5
        rows.append((below, above, left, right))
    return torch.tensor(rows)[activity]


def _lanes(
    kind: Tensor, reach: Tensor, figure: Tensor, own: Tensor, drawn: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Centres x and, where lanes are narrow, smaller reaches (N, K); a thing in the hand has no lane of its own."""
    half = reach * _EXTENT[kind.clamp(min=0), 0]
    half[:, 0] = reach[:, 0] * figure[:, 2:].mean(1)
    weight = torch.where(own, half + 0.02, 0.0)
    turn = torch.rand(kind.shape, generator=generator).argsort(1)  # who stands left of whom
    ordered = weight.gather(1, turn)
    total = ordered.sum(1, keepdim=True).clamp(min=1e-6)
    width = (ordered / total * (1 - 2 * _MARGIN)).clamp(min=1e-6)
    left = _MARGIN + width.cumsum(1) - width
    back = turn.argsort(1)
    width, left = width.gather(1, back), left.gather(1, back)
    shrink = (0.5 * width * 1.15 / half.clamp(min=1e-6)).clamp(max=1.0)  # neighbours may overlap a little
    reach = torch.where(own, reach * shrink, reach)
    half = half * shrink
    free = (width - 2 * half).clamp(min=0)
    x = left + torch.minimum(half, width / 2) + free * drawn[..., 1]
    return x.clamp(_MARGIN, 1 - _MARGIN), reach


def _hand(x: Tensor, y: Tensor, reach: Tensor, flip: Tensor, activity: Tensor, held: Tensor) -> None:
    """Put the thing of an activity where the person holds, rides or follows it, in place."""
    offset = torch.tensor([a.offset for a in ACTIVITIES.values()])[activity]
    size = torch.tensor([a.size for a in ACTIVITIES.values()])[activity]
    wide = torch.tensor([THINGS[a.thing].extent[0] if a.thing else 0.0 for a in ACTIVITIES.values()])[activity]
    side = torch.where(flip[:, 0], -1.0, 1.0)
    aside = side * offset[:, 0] * reach[:, 0]
    room = (size * wide * reach[:, 0] + _MARGIN).clamp(max=0.5)
    # the person steps aside so that both stay in the picture
    inside = torch.minimum(torch.maximum(x[:, 0] + aside, room), 1 - room) - aside
    x[:, 0] = torch.where(held[:, 1], inside.clamp(0.08, 0.92), x[:, 0])
    x[:, 1] = torch.where(held[:, 1], x[:, 0] + aside, x[:, 1])
    y[:, 1] = torch.where(held[:, 1], y[:, 0] - offset[:, 1] * reach[:, 0], y[:, 1])
    reach[:, 1] = torch.where(held[:, 1], size * reach[:, 0], reach[:, 1])
    flip[:, 1] = torch.where(held[:, 1], flip[:, 0], flip[:, 1])
