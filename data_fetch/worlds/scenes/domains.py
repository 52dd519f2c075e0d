"""Two domains of one vocabulary: a thing alone in a clean picture, and several things in cluttered ones of another style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from data_fetch.fields import ROW, Column, Rows
from data_fetch.worlds.scenes.single import objects
from data_fetch.worlds.scenes.vocabulary import KINDS
from data_fetch.worlds.scenes.world import scenes

CLASSES = ("dog", "horse", "boat", "car", "tent", "umbrella", "kite", "bicycle")
PLACES = ("beach", "street", "field", "water", "forest")
VOID = 255


@dataclass(frozen=True, kw_only=True)
class Domain(Rows):
    """N pictures of one domain, with the classes that they show and where.

    images (N, 3, S, S).  labels (N, C) bool : the classes shown.
    segmentation (N, S, S) uint8 : 0 background, k + 1 for class k, 255 void, which belongs to nothing.
    """

    images: Column = field(metadata=ROW)
    labels: Tensor = field(metadata=ROW)
    segmentation: Column = field(metadata=ROW)
    class_names: tuple[str, ...]
    style: str = ""

    @property
    def size(self) -> int:
        return self.images[0].shape[-1]

    def single(self) -> Tensor:
        """(N,) int64: the one class of each picture.

        Raises
        ------
        ValueError : a picture that shows none, or several.
        """
        counts = self.labels.sum(1)
        if not bool((counts == 1).all()):
            raise ValueError(
                f"every picture must show one class, {int((counts != 1).sum())} of {len(self)} show none or several"
            )
        return self.labels.long().argmax(1)


def alone(
    count: int,
    *,
    classes: Sequence[str] = CLASSES,
    places: Sequence[str] = PLACES,
    home: float | None = 0.9,
    reach: tuple[float, float] = (0.12, 0.28),
    style: str = "flat",
    size: int = 48,
    seed: int = 0,
) -> Domain:
    """Pictures of one thing each, `reach` half its side as a share of the picture's. Arguments and errors as in `objects`."""
    options = {"things": tuple(classes), "places": tuple(places), "home": home, "reach": reach}
    drawn = objects(count, style=style, size=size, seed=seed, **options)
    labels = torch.zeros(count, len(classes), dtype=torch.bool)
    labels[torch.arange(count), drawn.labels] = True
    segmentation = (drawn.masks * (drawn.labels + 1)[:, None, None]).to(torch.uint8)
    return Domain(
        images=drawn.images, labels=labels, segmentation=segmentation, class_names=tuple(classes), style=style
    )


def cluttered(
    count: int,
    *,
    classes: Sequence[str] = CLASSES,
    places: Sequence[str] = PLACES,
    home: float | None = 0.95,
    people: float = 0.4,
    things: tuple[int, int] = (2, 4),
    style: str = "night",
    size: int = 48,
    seed: int = 0,
) -> Domain:
    """Pictures of several things, with people who belong to no class, in the places where the things are usually seen.

    Things of one place come together and what a person does needs one of them, so that places, other things and people
    tell of a class, too. Every picture shows at least one class.

    home, people : see `Knobs`.  things : its `objects`. Arguments and errors as in `scenes`.
    """
    options = {"things": tuple(classes), "places": tuple(places), "home": home, "people": people, "objects": things}
    drawn = scenes(count + count // 8 + 16, size=size, seed=seed, style=style, repeat=0.1, **options)
    numbers = [KINDS.index(name) for name in classes]
    labels = drawn.labels[:, numbers]
    rows = torch.nonzero(labels.any(1))[:count, 0]
    if len(rows) < count:
        raise ValueError(f"only {len(rows)} of {len(labels)} pictures show a thing: ask for more things a picture")
    lookup = torch.zeros(256, dtype=torch.uint8)  # people and what is too small to be named become background
    lookup[torch.tensor(numbers) + 1] = torch.arange(1, len(numbers) + 1, dtype=torch.uint8)
    return Domain(
        images=drawn.images[rows],
        labels=labels[rows],
        segmentation=lookup[drawn.segmentation[rows].long()],
        class_names=tuple(classes),
        style=style,
    )
