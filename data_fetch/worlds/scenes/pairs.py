"""Pictures and sentences for vision-language training: true captions, foils of them, and what each of them asserts.

A caption is often true of other pictures too ("a dog on the street"). Whoever contrasts a picture with the captions of
others has to know which of them are true of it: `asserted` and `shown` say so from the scene graph.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass

from data_fetch.worlds.scenes.captions import Caption, foil
from data_fetch.worlds.scenes.facts import Facts, all_facts
from data_fetch.worlds.scenes.sampling import Knobs
from data_fetch.worlds.scenes.vocabulary import PLACES
from data_fetch.worlds.scenes.world import Scenes

ROLES = ("thing", "colour", "place", "activity")  # what a foil may replace
_TRIES = 16  # foils are drawn until every role of a caption has very probably come up


@dataclass(frozen=True)
class Foil:
    """A caption that is false in one place. words : all of it.  role : what was replaced, one of `ROLES`."""

    words: tuple[str, ...]
    role: str


@dataclass(frozen=True)
class Captioned:
    """A picture with true captions of it, and for each of them its foils.

    row : the picture's number in its world.  facts : what it shows.
    """

    row: int
    facts: Facts
    captions: tuple[Caption, ...]
    foils: tuple[tuple[Foil, ...], ...]


def captioned(world: Scenes, *, longest: int = 11, foils: int = 3, seed: int = 0) -> list[Captioned]:
    """The pictures of which things are seen, with their captions of at most `longest` words that have a foil.

    Foils use only what may occur in the world, so that no word gives a foil away, and differ in what they replace as
    far as the caption allows. Captions and foils are functions of the picture and of `seed`.

    Raises
    ------
    ValueError : no picture is left.
    """
    if longest < 3 or foils < 1:
        raise ValueError(f"captions of 3 words and 1 foil are the least, got longest={longest} and foils={foils}")
    chance, found = random.Random(seed), []
    for row, known in enumerate(all_facts(world.graph, world.seen)):
        kept = [caption for caption in world.annotated_captions(row) if len(caption.words) <= longest]
        both = [(caption, false) for caption in kept if (false := foils_of(caption, known, world.knobs, foils, chance))]
        if both and known.items:
            both.sort(key=lambda pair: -len(pair[1]))  # captions that say much come first
            captions, false = zip(*both)
            found.append(Captioned(row, known, captions, false))
    if not found:
        raise ValueError(f"none of the {len(world)} pictures has a caption of at most {longest} words with a foil")
    return found


def foils_of(caption: Caption, known: Facts, knobs: Knobs, count: int, chance: random.Random) -> tuple[Foil, ...]:
    """Up to `count` foils, one role after another; words that cannot occur in a world of these knobs are left out."""
    found: dict[str, dict[tuple[str, ...], Foil]] = defaultdict(dict)
    first = chance.randrange(10**6)
    for number in range(first, first + _TRIES):
        made = foil(caption, known, number)
        if made is None:
            return ()
        piece = made[0].pieces[made[1]]
        if _may_occur(piece.text, piece.role, knobs):
            found[piece.role][made[0].words] = Foil(made[0].words, piece.role)
    chosen: list[Foil] = []
    while found and len(chosen) < count:
        for role in chance.sample(sorted(found), len(found)):
            words = chance.choice(sorted(found[role]))
            chosen.append(found[role].pop(words))
            if not found[role]:
                del found[role]
    return tuple(chosen[:count])


def _may_occur(text: str, role: str, knobs: Knobs) -> bool:
    if role == "thing":
        return text in knobs.things
    if role == "place":
        return text in {PLACES[name].where for name in knobs.places}
    return role == "colour" or text in knobs.activities


def asserted(caption: Caption, known: Facts) -> frozenset[tuple]:
    """What a true caption of the picture says, as statements that can be compared with `shown` of any picture."""
    found: set[tuple] = set()
    for piece in caption.pieces:
        items = [item for item in known.items if item.slot in piece.slots]
        if piece.role == "person":
            found.add(("person",))
            if piece.text not in ("person", "someone"):
                found.add(("looks", known.person.appearance))
        elif piece.role == "colour" and piece.slots == (0,):
            found.add(("clothes", known.person.colour))
        elif piece.role == "colour":
            found |= {("coloured", item.name, item.colour) for item in items}
        elif piece.role == "state":
            found |= {("state", item.name, item.state) for item in items}
        elif piece.role == "count":
            found.add(("count", items[0].name, len(items)))
        elif piece.role == "place":
            found.add(("place", known.place.name))
        elif piece.role in ("thing", "activity"):
            found |= {("thing", item.name) for item in items}
            if piece.role == "activity" and piece.text != "busy":
                found.add(("doing", known.person.activity.name))
    return frozenset(found)


def shown(known: Facts) -> frozenset[tuple]:
    """Every statement of the kinds of `asserted` that is true of the picture."""
    found: set[tuple] = {("place", known.place.name)}
    if known.person:
        person = known.person
        found |= {("person",), ("looks", person.appearance), ("doing", person.activity.name)}
        found.add(("clothes", person.colour))
    for item in known.items:
        found |= {("thing", item.name), ("coloured", item.name, item.colour), ("state", item.name, item.state)}
    found |= {("count", name, number) for name, number in known.counts.items()}
    return frozenset(found)
