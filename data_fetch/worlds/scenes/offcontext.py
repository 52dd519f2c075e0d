"""Things that come with their place, and the same things without it: boats on water, boats on a street, a dog on water.

The test of "Tell Me Where to Look" (Li et al., arXiv 1802.10171), section on biased data: boats without water, and water
without a boat.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch

from data_fetch.worlds.scenes.single import Objects, objects
from data_fetch.worlds.scenes.vocabulary import PLACE_NAMES, THINGS

TIED = {"boat": "water", "snowman": "snow", "racket": "court"}  # a thing: the place that it comes with
FREE = ("dog", "car", "chair")  # things that come in any of the free places
FREE_PLACES = ("street", "field", "office", "kitchen", "forest", "bedroom")
KINDS = {
    "in_context": "every tied thing in its place, the others in free places",
    "thing_without_context": "tied things alone, in free places",
    "context_without_thing": "free things alone, in the places of the tied ones",
}


def off_context(
    count: int,
    kind: str = "in_context",
    *,
    seed: int = 0,
    size: int = 48,
    tied: Mapping[str, str] = TIED,
    free: Sequence[str] = FREE,
    places: Sequence[str] = FREE_PLACES,
    reach: tuple[float, float] = (0.2, 0.3),
    noise: float = 0.015,
) -> Objects:
    """Pictures (count, 3, size, size) of one thing each; classes are `tied`, then `free`, the same in every kind.

    Parameters
    ----------
    kind : one of `KINDS`.  tied : the place of each tied thing, one of its usual ones.
    free, places : the other things and the places that tell nothing; both share nothing with `tied`.
    seed, size, reach, noise : as in `objects`.

    Raises
    ------
    ValueError : an unknown kind, thing or place; things or places on both sides; and what `objects` raises.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    _check(tied, free, places)
    names = {"in_context": (*tied, *free), "thing_without_context": tuple(tied), "context_without_thing": tuple(free)}
    shown = names[kind]
    drawn = objects(
        count, things=shown, places=(*places, *tied.values()), home=None, reach=reach, size=size, seed=seed, noise=noise,
        context={name: 1.0 for name in tied if name in shown},
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed + 7)
    anywhere = tuple(tied.values()) if kind == "context_without_thing" else tuple(places)
    numbers = torch.tensor([PLACE_NAMES.index(name) for name in anywhere])
    target = numbers[torch.randint(len(numbers), (count,), generator=generator)]
    if kind == "in_context":
        homes = torch.tensor([PLACE_NAMES.index(tied[name]) if name in tied else -1 for name in shown])[drawn.labels]
        target = torch.where(homes >= 0, homes, target)
    every = (*tied, *free)
    labels = torch.tensor([every.index(name) for name in shown])[drawn.labels]
    return dataclasses.replace(drawn.in_places(target, seed=seed + 8), labels=labels, class_names=every)


def _check(tied: Mapping[str, str], free: Sequence[str], places: Sequence[str]) -> None:
    for name, place in tied.items():
        if name not in THINGS or place not in THINGS[name].homes:
            usual = THINGS[name].homes if name in THINGS else "none: no such thing"
            raise ValueError(f"tied: {place!r} is no usual place of {name!r}; its usual places: {usual}")
    if not tied or not free or not places:
        raise ValueError("tied, free and places need at least one entry each")
    both = set(tied) & set(free), set(tied.values()) & set(places)
    if both[0] or both[1]:
        raise ValueError(f"tied and free must not share things or places, both have {sorted(both[0] | both[1])}")
