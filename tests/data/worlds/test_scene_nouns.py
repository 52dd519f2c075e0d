"""Nouns of captions: what they name, and sentences about things that are not there."""

from __future__ import annotations

import pytest

from data_fetch.worlds.scenes import scenes
from data_fetch.worlds.scenes.pairs import captioned
from data_fetch.worlds.scenes.spoken import absent_things, nouns_of, of_another, with_absent

THINGS = ("dog", "horse", "car", "bus")


@pytest.fixture(scope="module")
def found():
    world = scenes(
        80, size=32, seed=2, places=("street", "field"), things=THINGS, people=0.3, objects=(1, 2), home=None
    )
    pictures = captioned(world, seed=2)
    return world, pictures, nouns_of(world, pictures)


def test_a_noun_names_what_its_mask_shows(found):
    world, pictures, nouns = found
    assert len(nouns) > 40 and any(noun.told.colour is None for noun in nouns)
    for noun in nouns:
        start, end = noun.told.noun
        word = noun.told.words[start - 1]
        kind = next(thing for thing in THINGS if word.startswith(thing) or (thing == "bus" and word == "buses"))
        assert end == start + 1 and pictures[noun.row].facts.counts[kind] >= 1
        assert noun.mask.any()
        whole = world.mask_of(kind)[pictures[noun.row].row]
        assert not (noun.mask & ~whole).any()
        if noun.told.colour is not None:
            assert noun.told.colour == start - 1
            colours = {item.colour for item in pictures[noun.row].facts.of(kind)}
            assert noun.told.words[noun.told.colour - 1] in colours


def test_an_absent_thing_takes_the_nouns_place(found):
    world, pictures, nouns = found
    for number, noun in enumerate(nouns):
        absent = absent_things(pictures[noun.row].facts, world.knobs)
        assert set(absent) == {thing for thing in THINGS if not pictures[noun.row].facts.counts[thing]}
        changed = with_absent(noun.told, absent, number)
        different = [k for k, (a, b) in enumerate(zip(noun.told.words, changed.words)) if a != b]
        assert different == [noun.told.noun[0] - 1] and changed.words[different[0]] in absent
        assert len(changed.words) == len(noun.told.words) and changed.colour == noun.told.colour


def test_another_pictures_noun_names_nothing_of_this_one(found):
    world, pictures, nouns = found
    for number, noun in enumerate(nouns):
        absent = absent_things(pictures[noun.row].facts, world.knobs)
        other = of_another(nouns, number, absent)
        assert other.words[other.noun[0] - 1] in absent and (other.colour is None) == (noun.told.colour is None)


def test_nothing_absent_is_said(found):
    _, _, nouns = found
    with pytest.raises(ValueError, match="nothing is absent"):
        with_absent(nouns[0].told, (), 0)
    with pytest.raises(ValueError, match="no other picture"):
        of_another(nouns, 0, ())
