"""One thing a picture, large: for classification, with backgrounds that can be exchanged.

`objects` ties things to their usual places as strongly as asked. `Objects.recombine` makes the variants of the Backgrounds
Challenge (Xiao et al., arXiv 2006.09994) without anyone cutting out foregrounds: both layers are known.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from data_fetch.fields import ROW, Labelled
from data_fetch.worlds.scenes.graph import Graph
from data_fetch.worlds.scenes.render import render
from data_fetch.worlds.scenes.sampling import Knobs, sample
from data_fetch.worlds.scenes.vocabulary import KINDS, PLACE_NAMES, THINGS
from data_fetch.worlds.scenes.world import at_home

VARIANTS = {
    "original": "as it is",
    "mixed_same": "the background of another picture of the same class",
    "mixed_rand": "the background of a picture of a random class",
    "mixed_next": "the background of a picture of the next class",
    "only_fg": "the thing on black",
    "only_bg_b": "a black box where the thing is",
    "only_bg_t": "the background alone, as it is behind the thing",
    "no_fg": "black where the thing is",
}


@dataclass(frozen=True, kw_only=True)
class Objects(Labelled):
    """Pictures of one thing each; `objects` makes them.

    graph : place, thing, colour, where; the thing is in slot 1.  places (N,) int64 : the place that is shown, numbers of
    PLACE_NAMES, -1 for none.  variant : one of `VARIANTS`.
    """

    graph: Graph = field(metadata=ROW)
    places: Tensor = field(metadata=ROW)
    style: str
    noise: float
    variant: str = "original"

    @property
    def size(self) -> int:
        return self.images.shape[-1]

    def recombine(self, variant: str, seed: int = 0) -> Objects:
        """The same things with other backgrounds, see `VARIANTS`; labels, masks and boxes stay.

        In the official data set only_bg_t fills the box with a tile of the background; here the background behind the
        thing is known and shown.

        Raises
        ------
        ValueError : an unknown variant, a set that is recombined already, or, for mixed_next, a single class.
        """
        if variant not in VARIANTS:
            raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, got {variant!r}")
        if self.variant != "original":
            raise ValueError(f"recombine the original set, this one is {self.variant!r}")
        if variant == "original":
            return self
        if variant in ("mixed_same", "mixed_rand", "mixed_next"):
            donors = self._donors(variant, seed)
            ground = (self.graph.place[donors], self.graph.seeds[donors])
            images = render(self.graph, self.size, style=self.style, noise=self.noise, ground=ground).images
            return dataclasses.replace(self, images=images, places=ground[0], variant=variant)
        images, places = self.images, self.places
        if variant == "only_fg":
            images, places = images * self.masks[:, None], torch.full_like(places, -1)
        elif variant == "no_fg":
            images = images * ~self.masks[:, None]
        elif variant == "only_bg_b":
            images = images * ~_filled(self.boxes, self.size)[:, None]
        else:
            alone = dataclasses.replace(self.graph, kind=torch.full_like(self.graph.kind, -1))
            images = render(alone, self.size, style=self.style, noise=self.noise).images
        return dataclasses.replace(self, images=images, places=places, variant=variant)

    def in_places(self, places: Tensor | Sequence[int], seed: int = 0) -> Objects:
        """The same things in the places (N,), numbers of PLACE_NAMES: a counterfactual set."""
        places = torch.as_tensor(places, device=self.labels.device).long()
        if places.shape != self.labels.shape or int(places.min()) < 0 or int(places.max()) >= len(PLACE_NAMES):
            raise ValueError(f"places must be {len(self)} numbers within 0 to {len(PLACE_NAMES) - 1}")
        generator = torch.Generator().manual_seed(seed)
        seeds = torch.randint(2**62, (len(self),), generator=generator).to(places.device)
        images = render(self.graph, self.size, style=self.style, noise=self.noise, ground=(places, seeds)).images
        return dataclasses.replace(self, images=images, places=places)

    def _donors(self, variant: str, seed: int) -> Tensor:
        """For each row the row whose background it gets; its own only where a class has a single picture."""
        generator = torch.Generator().manual_seed(seed)
        count, classes = len(self), len(self.class_names)
        labels = self.labels.cpu()
        if variant == "mixed_rand":
            step = torch.randint(1, max(count, 2), (count,), generator=generator)
            return ((torch.arange(count) + step) % count).to(self.labels.device)
        if variant == "mixed_next" and classes < 2:
            raise ValueError("mixed_next needs at least two classes")
        donors = torch.arange(count)
        for label in range(classes):
            mine = torch.nonzero(labels == label)[:, 0]
            theirs = mine if variant == "mixed_same" else torch.nonzero(labels == (label + 1) % classes)[:, 0]
            if len(mine) and not len(theirs):
                following = self.class_names[(label + 1) % classes]
                raise ValueError(f"no picture of {following!r} to take a background from")
            order = torch.randperm(len(theirs), generator=generator)
            if variant == "mixed_same":  # in a circle, so that nobody keeps the own one where there are two
                donors[mine[order]] = mine[order.roll(1)]
            else:
                donors[mine] = theirs[order[torch.arange(len(mine)) % len(theirs)]]
        return donors.to(self.labels.device)

    def card(self) -> dict[str, object]:
        """Counts, knobs and how strongly thing and place are tied."""
        table = torch.zeros(len(self.class_names), len(PLACE_NAMES), dtype=torch.long)
        shown = self.places >= 0
        index = (self.labels[shown].cpu(), self.places[shown].cpu())
        table.index_put_(index, torch.tensor(1), accumulate=True)
        home = at_home(dataclasses.replace(self.graph, place=self.places.clamp(min=0))) & shown.cpu()
        return {
            "world": "objects",
            "images": len(self),
            "size": self.size,
            "style": self.style,
            "noise": self.noise,
            "variant": self.variant,
            "class_counts": dict(zip(self.class_names, torch.bincount(self.labels.cpu()).tolist())),
            "class_by_place": {
                name: {place: n for place, n in zip(PLACE_NAMES, row) if n}
                for name, row in zip(self.class_names, table.tolist())
            },
            "share_at_home": round(float(home.float().mean()), 4),
            "object_share_of_image": round(float(self.masks.float().mean()), 4),
        }


def objects(
    count: int,
    *,
    things: Sequence[str] = ("dog", "horse", "car", "boat", "tent", "laptop", "cup", "snowman", "chair"),
    places: Sequence[str] = PLACE_NAMES,
    home: float | None = 0.9,
    context: Mapping[str, float] | None = None,
    colours: Mapping[str, Sequence[str]] | None = None,
    reach: tuple[float, float] = (0.2, 0.3),
    size: int = 48,
    seed: int = 0,
    style: str = "photo",
    noise: float = 0.015,
    device: torch.device | str = "cpu",
) -> Objects:
    """Render `count` pictures of one thing each; classes are balanced to within one.

    Parameters
    ----------
    things : the classes, names of THINGS.
    home, context, places, colours : see `Knobs`.
    reach : smallest and largest half side of a thing, as a share of the image.
    size, seed, style, noise : see `scenes`.

    Raises
    ------
    ValueError : naming the argument that is out of range.
    """
    if not 0.05 <= reach[0] <= reach[1] <= 0.45:
        raise ValueError(f"reach must be (least, most) within 0.05 to 0.45 of the image, got {reach}")
    knobs = Knobs(
        places=tuple(places), things=tuple(things), people=0.0, home=home, context=context or {}, objects=(1, 1),
        repeat=0.0, colours=colours or {},
    )  # fmt: skip
    graph = _enlarged(sample(count, knobs, seed), reach, seed).to(device)
    drawn = render(graph, size, style=style, noise=noise)
    numbers = torch.tensor([-1, *(things.index(name) if name in things else -1 for name in KINDS[1:])])
    return Objects(
        images=drawn.images,
        labels=numbers.to(graph.kind.device)[graph.kind[:, 1]],
        class_names=tuple(things),
        masks=drawn.owner == 2,
        boxes=drawn.boxes[:, 1],
        graph=graph,
        places=graph.place,
        style=style,
        noise=noise,
    )


def _enlarged(graph: Graph, reach: tuple[float, float], seed: int) -> Graph:
    """The thing larger than in a scene, standing on the ground as it did, wholly inside the picture."""
    generator = torch.Generator().manual_seed(seed + 1)
    drawn = torch.rand(len(graph), 2, generator=generator)
    extent = torch.tensor([(1.0, 1.0), *(thing.extent for thing in THINGS.values())])[graph.kind[:, 1]]
    new = reach[0] + (reach[1] - reach[0]) * drawn[:, 0]
    foot = graph.y[:, 1] + graph.reach[:, 1] * extent[:, 1]
    half = new[:, None] * extent
    x = half[:, 0] + 0.02 + (0.96 - 2 * half[:, 0]) * drawn[:, 1]
    y = torch.minimum(torch.maximum(foot - half[:, 1], half[:, 1] + 0.03), 0.97 - half[:, 1])
    where = {"x": x, "y": y, "reach": new}
    changed = {name: getattr(graph, name).clone() for name in where}
    for name, value in where.items():
        changed[name][:, 1] = value
    return dataclasses.replace(graph, **changed)


def _filled(boxes: Tensor, size: int) -> Tensor:
    """(N, S, S) bool: the inside of each box."""
    axis = torch.arange(size, device=boxes.device)
    x0, y0, x1, y1 = boxes[:, :, None].unbind(1)
    across, down = (axis >= x0) & (axis < x1), (axis >= y0) & (axis < y1)
    return down[:, :, None] & across[:, None, :]
