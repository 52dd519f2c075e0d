"""Nouns of captions with what they name, and the same sentences about things that are not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from data_fetch.worlds.scenes.facts import Facts
from data_fetch.worlds.scenes.pairs import Captioned
from data_fetch.worlds.scenes.sampling import Knobs
from data_fetch.worlds.scenes.world import Scenes


@dataclass(frozen=True)
class Told:
    """A text with a noun. Places count from 1: a model that reads [CLS] first has it at place 0.

    noun : (start, end) of the noun's words.  colour : place of the colour word before it, or None.
    """

    words: tuple[str, ...]
    noun: tuple[int, int]
    colour: int | None


@dataclass(frozen=True, eq=False)
class Noun:
    """A noun of a caption that names a thing of its picture.

    row : of the picture in the list that was searched.  told : the caption.  mask (S, S) bool : the visible pixels of
    what it names.
    """

    row: int
    told: Told
    mask: Tensor


def nouns_of(world: Scenes, pictures: Sequence[Captioned]) -> list[Noun]:
    """Every noun that names a thing in the first caption of each picture. Words for persons are left out."""
    found = []
    for n, picture in enumerate(pictures):
        caption = picture.captions[0]
        for before, mention in zip((None, *caption.mentions), caption.mentions):
            if mention.role != "thing":
                continue
            coloured = before is not None and before.role == "colour" and before.slots == mention.slots
            told = Told(caption.words, (mention.start + 1, mention.end + 1), before.start + 1 if coloured else None)
            found.append(Noun(n, told, world.mention_mask(picture.row, mention)))
    return found


def absent_things(known: Facts, knobs: Knobs) -> tuple[str, ...]:
    """The things that may occur in the world and are not in the picture."""
    return tuple(thing for thing in knobs.things if not known.counts[thing])


def with_absent(told: Told, absent: Sequence[str], number: int) -> Told:
    """The text with one of the absent things in the noun's place, chosen by `number`.

    Raises
    ------
    ValueError : nothing is absent.
    """
    if not absent:
        raise ValueError("everything that may occur is in the picture: nothing is absent")
    start, end = told.noun
    words = (*told.words[: start - 1], absent[number % len(absent)], *told.words[end - 1 :])
    return Told(words, (start, start + 1), told.colour)


def of_another(nouns: Sequence[Noun], number: int, absent: Sequence[str]) -> Told:
    """The next noun of another picture that names one of the absent things; with a colour if noun `number` has one.

    Raises
    ------
    ValueError : there is none.
    """
    noun = nouns[number]
    for other in (*nouns[number + 1 :], *nouns[:number]):
        name = " ".join(other.told.words[other.told.noun[0] - 1 : other.told.noun[1] - 1])
        alike = (other.told.colour is None) == (noun.told.colour is None)
        if other.row != noun.row and alike and name in absent:
            return other.told
    raise ValueError(f"no other picture has a noun that picture {noun.row} does not show")
