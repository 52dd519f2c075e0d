"""What can be named in a scene, as targets for a network: kinds, places, looks, activities, and "red car"."""

from __future__ import annotations

import torch
from torch import Tensor

from data_fetch.worlds.scenes.vocabulary import (
    ACTIVITY_NAMES,
    APPEARANCES,
    COLOUR_NAMES,
    KINDS,
    PLACE_NAMES,
    PLACES,
    THINGS,
)
from data_fetch.worlds.scenes.world import Scenes


def names(world: Scenes, *, least: int = 1) -> tuple[tuple[str, ...], Tensor]:
    """The names that occur in at least `least` scenes, and which scene shows which: bool (N, C).

    Named are kinds ("person", "car"), coloured kinds ("red car"; of a person the clothes), places ("beach"), looks
    ("woman", "man", "unclear") and activities. Only what is seen counts, see `Scenes.seen`.

    Raises
    ------
    ValueError : `least` below 1, or nothing occurs so often.
    """
    if least < 1:
        raise ValueError(f"least is a number of scenes, at least 1, got {least}")
    graph, seen = world.graph.to("cpu"), world.seen.cpu()
    shown: dict[str, Tensor] = {PLACES[name].noun: graph.place == n for n, name in enumerate(PLACE_NAMES)}
    for words, numbers in ((APPEARANCES, graph.appearance), (ACTIVITY_NAMES, graph.activity)):
        shown |= {word: (numbers == n) & seen[:, 0] for n, word in enumerate(words)}
    for n, kind in enumerate(KINDS):
        here = seen & (graph.kind == n)
        shown[kind] = here.any(1)
        shown |= {f"{colour} {kind}": (here & (graph.colour == c)).any(1) for c, colour in enumerate(COLOUR_NAMES)}
    kept = [name for name, found in shown.items() if int(found.sum()) >= least]
    if not kept:
        raise ValueError(f"nothing can be seen in {least} of these {len(world)} scenes")
    return tuple(kept), torch.stack([shown[name] for name in kept], 1)


def kinds_of_words(world: Scenes | None = None) -> dict[str, str]:
    """Which kind of thing a word of a caption names: {"dogs": "dog", "lady": "person", ...}; single words only.

    With a world, only the kinds that may occur in it.
    """
    from data_fetch.worlds.scenes.captions import WORDS

    things = THINGS if world is None else {name: THINGS[name] for name in world.knobs.things}
    found = {word: name for name, thing in things.items() for word in (name, thing.plural) if " " not in word}
    return found | {word: "person" for words in WORDS.values() for word, _ in words}
