"""Captions with foils: what captions assert, what pictures show, and that a foil is false in one place."""

from __future__ import annotations

import random

import pytest

from data_fetch.worlds.scenes import scenes
from data_fetch.worlds.scenes.pairs import ROLES, asserted, captioned, foils_of, shown
from data_fetch.worlds.scenes.vocabulary import PLACES

KNOBS = {
    "places": ("street", "water"),
    "things": ("dog", "horse", "car", "bus", "surfboard"),
    "people": 0.8,
    "objects": (1, 2),
    "home": None,
}


@pytest.fixture(scope="module")
def world():
    return scenes(200, size=32, seed=5, **KNOBS)


@pytest.fixture(scope="module")
def pictures(world):
    return captioned(world, seed=1)


def test_what_a_caption_asserts_is_shown_by_its_own_picture(pictures):
    for picture in pictures:
        for caption in picture.captions:
            said = asserted(caption, picture.facts)
            assert said and said <= shown(picture.facts)


def test_a_caption_is_not_true_of_every_picture_and_sometimes_of_another(pictures):
    first = [(asserted(p.captions[0], p.facts), shown(p.facts)) for p in pictures]
    true = [said <= there for n, (said, _) in enumerate(first) for m, (_, there) in enumerate(first) if n != m]
    assert 0 < sum(true) < len(true) / 2


def test_a_foil_differs_in_one_piece_and_says_what_the_picture_does_not_show(pictures):
    roles = set()
    for picture in pictures:
        words = picture.facts
        for caption, foils in zip(picture.captions, picture.foils):
            assert 1 <= len(foils) <= 3 and len({foil.words for foil in foils}) == len(foils)
            for foil in foils:
                roles.add(foil.role)
                assert foil.words != caption.words
                new = " ".join(foil.words)
                if foil.role == "thing":
                    named = {thing for thing in KNOBS["things"] if thing in foil.words}
                    assert any(not words.counts[thing] for thing in named)
                if foil.role == "place":
                    assert words.place.where not in new
    assert roles == set(ROLES)


def test_foils_use_only_what_may_occur(pictures):
    wheres = {PLACES[name].where for name in KNOBS["places"]}
    for picture in pictures:
        for foils in picture.foils:
            for foil in foils:
                text = " ".join(foil.words)
                assert foil.role != "place" or any(where in text for where in wheres)
                assert foil.role != "thing" or any(thing in foil.words for thing in KNOBS["things"])


def test_captions_are_short_and_of_the_picture(world, pictures):
    for picture in pictures:
        every = world.annotated_captions(picture.row)
        assert all(caption in every and len(caption.words) <= 11 for caption in picture.captions)
    assert [p.row for p in pictures] == sorted({p.row for p in pictures})


def test_the_same_seed_gives_the_same_foils(world, pictures):
    again = captioned(world, seed=1)
    assert [p.foils for p in again] == [p.foils for p in pictures]
    assert [p.foils for p in captioned(world, seed=2)] != [p.foils for p in pictures]


def test_a_caption_without_a_replaceable_word_has_no_foil(world):
    from data_fetch.worlds.scenes.captions import Caption, Piece
    from data_fetch.worlds.scenes.facts import all_facts

    known = all_facts(world.graph, world.seen)[0]
    empty = Caption((Piece("a picture"),))
    assert foils_of(empty, known, world.knobs, 3, random.Random(0)) == ()
    assert asserted(empty, known) == frozenset()


def test_bad_arguments_are_named(world):
    with pytest.raises(ValueError, match="longest=2"):
        captioned(world, longest=2)
    with pytest.raises(ValueError, match="foils=0"):
        captioned(world, foils=0)
    with pytest.raises(ValueError, match="at most 3 words"):
        captioned(world[:3], longest=3)
