"""Scenes of people and things in places, rendered with all that is known about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from data_fetch.fields import APPEARANCE, ROW, Loaded, Pictures
from data_fetch.worlds.raster import hashed
from data_fetch.worlds.scenes.attention import evidence_mask
from data_fetch.worlds.scenes.captions import Caption, Mention, caption_row
from data_fetch.worlds.scenes.captions import captions as annotate
from data_fetch.worlds.scenes.facts import facts
from data_fetch.worlds.scenes.graph import Graph
from data_fetch.worlds.scenes.render import render
from data_fetch.worlds.scenes.sampling import Knobs, sample
from data_fetch.worlds.scenes.vocabulary import (
    ACTIVITIES,
    ACTIVITY_NAMES,
    APPEARANCES,
    KINDS,
    PLACE_NAMES,
    THING_NAMES,
    THINGS,
)

_ENOUGH = 0.0022  # share of the image that must show of a thing before anybody speaks of it
_OWN = 0.4  # and the share of itself that must not be covered
CAPTIONS = 5  # a picture, as in COCO


@dataclass(frozen=True, kw_only=True)
class Scenes(Pictures):
    """Rendered scenes: `Pictures` with their scene graphs. `scenes` makes them.

    graph : what is where, see `Graph`.
    owner (N, S, S) uint8 : slot + 1 of the thing on top, 0 where the place shows; part (N, S, S) uint8 : the part of
    it; region (N, S, S) uint8 : what of the place lies there, numbers of `places.REGIONS`.
    visible (N, K) int64 : visible pixels of each slot's thing; seen (N, K) bool : enough of them to speak of it.
    Captions, boxes, labels and questions speak of the things that are seen.
    style, noise : how they were drawn.  knobs : what was asked for.
    """

    graph: Graph = field(metadata=ROW)
    owner: Tensor = field(metadata=ROW)
    part: Tensor = field(metadata=ROW)
    region: Tensor = field(metadata=ROW)
    visible: Tensor = field(metadata=ROW)
    seen: Tensor = field(metadata=ROW)
    style: str
    noise: float
    knobs: Knobs

    @property
    def size(self) -> int:
        return self.images.shape[-1]

    def mask_of(self, name: str) -> Tensor:
        """(N, S, S) bool: the visible pixels of everything of that kind, "person" included."""
        if name not in KINDS:
            raise ValueError(f"there is no class {name!r}; there are {', '.join(KINDS)}")
        mask = torch.zeros(self.owner.shape, dtype=torch.bool, device=self.owner.device)
        for slot in range(self.graph.kind.shape[1]):
            here = (self.graph.kind[:, slot] == KINDS.index(name)) & self.seen[:, slot]
            mask |= (self.owner == slot + 1) & here[:, None, None]
        return mask

    def annotated_captions(self, n: int) -> tuple[Caption, ...]:
        """The captions of picture n, with what each of their words refers to: `Caption.mentions`."""
        return annotate(facts(self.graph, self.seen, n), CAPTIONS)

    def mention_mask(self, n: int, mention: Mention) -> Tensor:
        """(S, S) bool: the visible pixels in picture n that the words refer to; for a place, the place itself."""
        return evidence_mask(self.owner[n], self.region[n], mention.slots, "" if mention.slots else "*")

    def in_places(self, places: Tensor, seed: int = 0) -> Scenes:
        """The same things, drawn the same, before other places: a counterfactual set.

        Pixels well inside a thing keep their values, up to the light and the noise, which belong to the picture.

        Parameters
        ----------
        places (N,) int64 : numbers of PLACE_NAMES.  seed : decides the look of the new places.
        """
        places = torch.as_tensor(places, device=self.graph.place.device).long()
        if places.shape != self.graph.place.shape:
            raise ValueError(f"places must have shape {tuple(self.graph.place.shape)}, got {tuple(places.shape)}")
        if int(places.min()) < 0 or int(places.max()) >= len(PLACE_NAMES):
            raise ValueError(f"places must be 0 to {len(PLACE_NAMES) - 1}, numbers of {', '.join(PLACE_NAMES)}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        graph = dataclasses.replace(self.graph, place=places)
        other = (hashed(self.graph.seeds + seed, 1)[:, 0].double() * 2**24).long() + 7
        return _scenes(graph, self.size, self.style, self.noise, self.knobs, ground=(places, other))

    def with_proposals(self, count: int = 12, seed: int = 0, jitter: float = 0.1) -> Scenes:
        """The same set with `proposals` (N, count, 4): a box for each thing that is seen, moved and stretched by up to
        `jitter` of its sides, and random boxes that show nothing in particular; in random order.
        """
        if count < self.graph.kind.shape[1]:
            raise ValueError(f"count must be at least {self.graph.kind.shape[1]}, one for each thing, got {count}")
        if not 0 <= jitter < 0.5:
            raise ValueError(f"jitter must be within 0 to 0.5, got {jitter}")
        generator = torch.Generator().manual_seed(seed)
        size = float(self.size)
        sides = size * (0.12 + 0.45 * torch.rand(len(self), count, 2, generator=generator))
        corner = (size - sides) * torch.rand(len(self), count, 2, generator=generator)
        found = torch.cat([corner, corner + sides], -1)
        for n, boxes in enumerate(self.boxes):
            sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
            moved = boxes + jitter * sides * (2 * torch.rand(boxes.shape, generator=generator) - 1)
            found[n, : len(boxes)] = moved.clamp(0, size)
        turn = torch.rand(len(self), count, generator=generator).argsort(1)
        return dataclasses.replace(self, proposals=found.gather(1, turn[..., None].expand(-1, -1, 4)))

    def card(self) -> dict[str, object]:
        """What is in the set: counts, knobs as asked, and the balance and the ties as they were reached."""
        graph, person = self.graph, self.graph.appearance >= 0
        shown = self.labels.sum(0).tolist()
        return {
            "world": "scenes",
            "images": len(self),
            "size": self.size,
            "style": self.style,
            "noise": self.noise,
            "knobs": {k: _plain(v) for k, v in dataclasses.asdict(self.knobs).items()},
            "place_counts": _counts(graph.place, PLACE_NAMES),
            "class_counts": {name: n for name, n in zip(KINDS, shown) if n},
            "activity_counts": _counts(graph.activity[person], ACTIVITY_NAMES),
            "appearance_counts": _counts(graph.appearance[person], APPEARANCES),
            "share_with_person": round(float(person.float().mean()), 4),
            "activity_tie_reached": tie_of_activities(graph),
            "subject_at_home_reached": round(float(at_home(graph).float().mean()), 4),
            "things_per_image": round(float((self.seen[:, 1:]).sum(1).float().mean()), 3),
            "note": "Appearance is the word that annotators would use for what they see; it is nobody's identity.",
        }


def scenes(
    count: int,
    *,
    size: int = 48,
    seed: int = 0,
    style: str = "photo",
    noise: float = 0.015,
    device: torch.device | str = "cpu",
    **knobs,
) -> Scenes:
    """Render `count` scenes; the same arguments give the same pictures on one machine.

    Parameters
    ----------
    size : side in pixels, at least 24 (48 to 64 look best).
    seed : decides what is where and how it looks.
    style, noise : see `render`.
    knobs : any field of `Knobs`: places, things, people, women, unclear, activity_tie, home, context, ...

    Raises
    ------
    ValueError, TypeError : naming the argument that is out of range or unknown.
    """
    unknown = set(knobs) - {f.name for f in dataclasses.fields(Knobs)}
    if unknown:
        known = ", ".join(f.name for f in dataclasses.fields(Knobs))
        raise TypeError(f"scenes has no argument {', '.join(sorted(unknown))}; its knobs are {known}")
    asked = Knobs(**{k: tuple(v) if isinstance(v, list) else v for k, v in knobs.items()})
    return _scenes(sample(count, asked, seed).to(device), size, style, noise, asked)


def _scenes(graph: Graph, size: int, style: str, noise: float, knobs: Knobs, ground=None) -> Scenes:
    drawn = render(graph, size, style=style, noise=noise, ground=ground)
    visible = drawn.visible
    seen = (visible >= max(5, _ENOUGH * size * size)) & (visible >= _OWN * drawn.area) & (graph.kind >= 0)
    boxes, counts = drawn.boxes[seen].cpu(), seen.sum(1).tolist()
    labels = graph.kind[seen].cpu()
    on_cpu = graph.to("cpu")
    return Scenes(
        images=drawn.images,
        class_names=KINDS,
        boxes=torch.split(boxes, counts),
        box_labels=torch.split(labels, counts),
        object_masks=Loaded(partial(_masks, drawn.owner, seen), len(graph), ragged=True),
        segmentation=_segmentation(drawn.owner, torch.where(seen, graph.kind + 1, 255)),
        captions=Loaded(partial(caption_row, on_cpu, seen.cpu(), CAPTIONS), len(graph), ragged=True),
        appearance=graph.appearance,
        appearance_names=APPEARANCE,
        graph=graph,
        owner=drawn.owner,
        part=drawn.part,
        region=drawn.region,
        visible=visible,
        seen=seen,
        style=style,
        noise=noise,
        knobs=knobs,
    )


def _segmentation(owner: Tensor, classes: Tensor) -> Tensor:
    """(N, S, S) uint8: the class (N, slots) of each pixel's owner; what shows too little to be named is 255, void."""
    found = torch.zeros_like(owner)
    classes = classes.to(torch.uint8)[:, :, None, None]
    for few in range(0, len(owner), 256):
        rows = slice(few, few + 256)
        for slot in range(classes.shape[1]):  # arithmetic on bytes: far faster than looking 4,096 numbers up
            found[rows] += (owner[rows] == slot + 1).view(torch.uint8) * classes[rows, slot]
    return found


def at_home(graph: Graph) -> Tensor:
    """(N,) bool: whether the subject of each scene, its activity or else its main thing, is in a usual place."""
    doing = torch.tensor([[p in a.places for p in PLACE_NAMES] for a in ACTIVITIES.values()])
    being = torch.tensor([[p in THINGS[name].homes for p in PLACE_NAMES] for name in THING_NAMES])
    place, main = graph.place.cpu(), (graph.kind[:, 1].cpu() - 1).clamp(min=0)
    activity = graph.activity.cpu()
    return torch.where(activity >= 0, doing[activity, place], being[main, place])


def tie_of_activities(graph: Graph) -> float | None:
    """The share of the persons called woman or man whose activity is of their side; None where there is nobody."""
    side = torch.tensor([APPEARANCES.index(a.side) for a in ACTIVITIES.values()])
    told = ((graph.appearance == 0) | (graph.appearance == 1)).cpu()
    if not told.any():
        return None
    match = side[graph.activity.cpu()[told]] == graph.appearance.cpu()[told]
    return round(float(match.float().mean()), 4)


def _masks(owner: Tensor, seen: Tensor, n: int) -> Tensor:
    slots = torch.nonzero(seen[n])[:, 0]
    return owner[n] == (slots + 1).view(-1, 1, 1)


def _counts(numbers: Tensor, names: Sequence[str]) -> dict[str, int]:
    found = torch.bincount(numbers.cpu(), minlength=len(names)).tolist()
    return {name: n for name, n in zip(names, found) if n}


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    return list(value) if isinstance(value, (tuple, list)) else value
