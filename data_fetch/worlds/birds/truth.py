"""What is known of drawn birds: points, boxes, masks, what can be judged, and sentences."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from data_fetch.fields import Loaded
from data_fetch.worlds.birds.render import Rendered, centres
from data_fetch.worlds.birds.skeleton import skeleton
from data_fetch.worlds.birds.vocabulary import GROUPS, PARTS, SHOWN_BY, group_of_attribute
from data_fetch.worlds.birds.words import describe_row

_SEEN_OF_PART = 0.4  # a part of which less is left cannot be judged


def points(drawn: Rendered, values: Tensor, pose: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """part_points (N, P, 3) and (N, P) bool: enough of the part can be seen."""
    middle, many = centres(drawn.parts)
    shown = (many > 0) & (many >= _SEEN_OF_PART * drawn.whole)
    anatomy = torch.stack([torch.stack(point, -1) for point in skeleton(values, pose, size).landmarks()], 1)
    place = torch.where(shown[..., None], middle, anatomy.clamp(0, size))
    return torch.cat([place, shown[..., None].float()], -1), shown


def judged(shown: Tensor) -> Tensor:
    """(N, groups) bool: the part that shows the group is visible; the whole bird always is."""
    every = torch.ones_like(shown[:, 0])
    return torch.stack([every if part is None else shown[:, PARTS.index(part)] for part in SHOWN_BY.values()], 1)


def sentences(values: Tensor, certainty: Tensor, habitats: Tensor, seeds: Tensor) -> Loaded:
    """Column of tuples of sentences, written when they are asked for."""
    first = torch.tensor([int((group_of_attribute() == k).nonzero()[0]) for k in range(len(GROUPS))])
    shown = certainty.cpu()[:, first] == 4
    load = partial(describe_row, values.cpu(), shown, habitats.cpu(), seeds.cpu())
    return Loaded(load, len(values), ragged=True)


def masks_row(parts: Tensor, n: int) -> Tensor:
    """(P, S, S) bool."""
    return parts[n] == torch.arange(1, len(PARTS) + 1, device=parts.device)[:, None, None]


def boxes(masks: Tensor) -> Tensor:
    """(N, 4) around the pixels of each mask; zeros for an empty one."""
    size = masks.shape[-1]
    axis = torch.arange(size, device=masks.device)
    found = []
    bytes_ = masks.view(torch.uint8)  # the largest of bytes is found far faster than any() of bool
    for line in (bytes_.amax(1) > 0, bytes_.amax(2) > 0):  # columns, then rows
        low, high = torch.where(line, axis, size).amin(1), torch.where(line, axis + 1, 0).amax(1)
        found += [torch.minimum(low, high), high]
    return torch.stack([found[0], found[2], found[1], found[3]], 1).float()
