"""Captions of a scene, as several annotators would write them, with what each word refers to.

A caption is built of `Piece`s that know their role and the things they speak of: so a lesson can ask whether the map of
the word "snowboard" lies on the snowboard, and a caption can be made false in one word.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from data_fetch.worlds.scenes.facts import Facts, Item, facts
from data_fetch.worlds.scenes.graph import Graph
from data_fetch.worlds.scenes.vocabulary import ACTIVITIES, PLACES, THINGS

WORDS = {  # word for the looks: (words that annotators use, how often)
    "woman": (("woman", 8), ("lady", 1), ("girl", 1)),
    "man": (("man", 8), ("guy", 1), ("boy", 1)),
    "unclear": (("person", 4), ("someone", 1)),
}
_NUMBERS = {1: "a", 2: "two", 3: "three", 4: "four", 5: "five"}
_OPENINGS = ("", "", "", "", "there is", "a picture of", "this is")
_PLURAL_OPENINGS = {"there is": "there are", "this is": "these are"}
_NAMED = {0: 0.0, 1: 0.85, 2: 0.95}  # chance that an annotator says woman or man, by the number of cues


@dataclass(frozen=True)
class Piece:
    """A few words of a caption.

    text : the words.  role : "person", "activity", "thing", "colour", "state", "count", "place", or "" for the rest.
    slots : the things they speak of; empty for the place and for filler words.
    """

    text: str
    role: str = ""
    slots: tuple[int, ...] = ()


@dataclass(frozen=True)
class Mention:
    """Words `start` to `end` (exclusive) of a caption, split at spaces, and what they speak of; see `Piece`."""

    start: int
    end: int
    role: str
    slots: tuple[int, ...]


@dataclass(frozen=True)
class Caption:
    """A sentence and its pieces."""

    pieces: tuple[Piece, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The words, lower-case, with the article that fits: "an apple"."""
        return tuple(_articles(word for piece in self.pieces for word in piece.text.split()))

    @property
    def text(self) -> str:
        """The sentence as it is written."""
        sentence = " ".join(self.words)
        return sentence[0].upper() + sentence[1:] + "."

    @property
    def mentions(self) -> tuple[Mention, ...]:
        found, start = [], 0
        for piece in self.pieces:
            end = start + len(piece.text.split())
            if piece.role:
                found.append(Mention(start, end, piece.role, piece.slots))
            start = end
        return tuple(found)


def _articles(words) -> list[str]:
    words = list(words)
    return [
        "an" if word == "a" and following[:1] in tuple("aeiou") else word
        for word, following in zip(words, [*words[1:], ""])
    ]


def caption_row(graph: Graph, seen: Tensor, count: int, n: int) -> tuple[str, ...]:
    """`count` sentences for row n of the graph."""
    return tuple(caption.text for caption in captions(facts(graph, seen, n), count))


def captions(known: Facts, count: int = 5) -> tuple[Caption, ...]:
    """What `count` annotators write; a function of the facts and their seed."""
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    return tuple(_caption(known, random.Random(known.seed * 31 + number)) for number in range(count))


def _caption(known: Facts, chance: random.Random) -> Caption:
    pieces: list[Piece] = []
    spoken: set[int] = set()
    if known.person is not None:
        pieces += _person(known, chance, spoken)
    rest = _groups(known, spoken)
    chance.shuffle(rest)
    if not pieces:
        opening = chance.choice(_OPENINGS)
        first = rest.pop(0) if rest else None
        opening = _PLURAL_OPENINGS.get(opening, opening) if first and len(first) > 1 else opening
        pieces += [Piece(opening)] if opening else []
        pieces += _thing(first, chance) if first else [Piece("an empty place")]
    named = [group for group in rest if chance.random() < 0.6][:2]
    place = [Piece(known.place.where, "place")] if chance.random() < 0.85 or len(pieces) < 3 else []
    early = place and chance.random() < 0.5
    if early:
        pieces += place
    for number, group in enumerate(named):
        linked = ("with", "next to", "near") if number == 0 else ("and",)
        pieces += [Piece(chance.choice(linked)), *_thing(group, chance)]
    if place and not early:
        pieces += place
    return Caption(tuple(pieces))


def _person(known: Facts, chance: random.Random, spoken: set[int]) -> list[Piece]:
    person, doing = known.person, known.person.activity
    word = person.appearance
    if word != "unclear" and chance.random() >= _NAMED[person.cues]:
        word = "unclear"
    nouns, weights = zip(*WORDS[word])
    noun = chance.choices(nouns, weights)[0]
    pieces = [Piece(noun, "person", (0,))] if noun == "someone" else [Piece("a"), Piece(noun, "person", (0,))]
    if chance.random() < 0.2:
        pieces += [Piece("in"), Piece(person.colour, "colour", (0,)), Piece("clothes")]
    if chance.random() < 0.5:
        pieces.append(Piece("is"))
    held = known.held
    if doing.thing is None or held is None:  # what they use is hidden: nobody speaks of it
        return [*pieces, Piece("standing" if doing.thing is None else "busy", "activity", (0,))]
    spoken.add(held.slot)
    head, thing, tail = doing.name.partition(doing.thing)
    if not thing:  # "skiing", "cooking": the verb alone
        return [*pieces, Piece(doing.name, "activity", (0, held.slot))]
    article = "the" if head.split()[-1] == "the" else "a"
    verb = " ".join(head.split()[:-1])
    return [*pieces, Piece(verb, "activity", (0, held.slot)), Piece(article), *_described([held], chance), *_tail(tail)]


def _tail(text: str) -> list[Piece]:
    return [Piece(text.strip())] if text.strip() else []


def _groups(known: Facts, spoken: set[int]) -> list[list[Item]]:
    """The things not spoken of yet, twins together."""
    groups: dict[str, list[Item]] = {}
    for item in known.items:
        if item.slot not in spoken:
            groups.setdefault(item.name, []).append(item)
    return list(groups.values())


def _thing(items: list[Item], chance: random.Random) -> list[Piece]:
    slots = tuple(item.slot for item in items)
    number = _NUMBERS[len(items)]
    count = [Piece(number)] if number == "a" else [Piece(number, "count", slots)]
    return [*count, *_described(items, chance)]


def _described(items: list[Item], chance: random.Random) -> list[Piece]:
    """Colour, state and name, such as "red open umbrella"."""
    slots, thing, pieces = tuple(item.slot for item in items), items[0].thing, []
    if thing.states and len({item.state for item in items}) == 1 and items[0].state in ("open", "closed"):
        if chance.random() < 0.35:
            pieces.append(Piece(items[0].state, "state", slots))
    if len({item.colour for item in items}) == 1 and chance.random() < 0.5:
        pieces.append(Piece(items[0].colour, "colour", slots))
    if thing.name == "skis":
        pieces = [Piece("pair of" if len(items) == 1 else "pairs of"), *pieces]
    return [*pieces, Piece(thing.name if len(items) == 1 else thing.plural, "thing", slots)]


# ---------------------------------------- captions that are false in one place
def foil(caption: Caption, known: Facts, seed: int = 0) -> tuple[Caption, int] | None:
    """The caption with one thing, colour, place or activity replaced so that it is false of the picture.

    Returns
    -------
    (caption, number of its changed piece), or None where the caption names nothing that can be replaced. Like the
    foils of Shekhar et al. (arXiv 1705.01359), but checked against the scene graph.
    """
    chance = random.Random(known.seed * 37 + seed)
    options = [(n, words) for n, piece in enumerate(caption.pieces) if (words := _false(piece, known))]
    if not options:
        return None
    number, words = chance.choice(options)
    pieces = list(caption.pieces)
    pieces[number] = replace(pieces[number], text=chance.choice(words))
    return Caption(tuple(pieces)), number


def _false(piece: Piece, known: Facts) -> Sequence[str]:
    """What could stand in the piece's place and would be false."""
    if piece.role == "thing" and (known.held is None or known.held.slot not in piece.slots):
        # what a person holds stays: "flying a dog" would be found out without the picture
        first = next(item for item in known.items if item.slot == piece.slots[0])
        plural = piece.text == first.thing.plural and len(piece.slots) > 1
        others = [t for t in THINGS.values() if t.group == first.thing.group and not known.counts[t.name]]
        return [t.plural if plural else t.name for t in others if t.name != "skis"]
    if piece.role == "colour" and piece.slots != (0,):
        items = [item for item in known.items if item.slot in piece.slots]
        true = {item.colour for item in known.of(items[0].name)}
        return [colour for colour in items[0].thing.colours if colour not in true]
    if piece.role == "place":
        return [place.where for place in PLACES.values() if place is not known.place]
    if piece.role == "activity" and known.person is not None:
        whole = {a.name for a in ACTIVITIES.values() if a.thing is None or a.thing not in a.name}
        return [name for name in sorted(whole) if name != known.person.activity.name] if piece.text in whole else ()
    return ()
