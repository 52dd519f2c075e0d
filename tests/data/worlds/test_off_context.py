"""Things with and without their place."""

from __future__ import annotations

import pytest
import torch

from data_fetch.worlds.scenes.offcontext import FREE, FREE_PLACES, KINDS, TIED, off_context
from data_fetch.worlds.scenes.vocabulary import PLACE_NAMES


def places(found):
    return [PLACE_NAMES[n] for n in found.places.tolist()]


def test_in_context_every_tied_thing_is_in_its_place_and_no_other_thing_is_there():
    found = off_context(60, seed=4, size=24)
    assert found.class_names == (*TIED, *FREE) and found.images.shape == (60, 3, 24, 24)
    for label, place in zip(found.labels.tolist(), places(found)):
        name = found.class_names[label]
        assert place == TIED[name] if name in TIED else place in FREE_PLACES
    assert torch.bincount(found.labels).tolist() == [10] * 6


def test_the_tests_turn_it_round():
    alone = off_context(30, "thing_without_context", seed=4, size=24)
    assert set(alone.labels.tolist()) == {0, 1, 2} and set(places(alone)) <= set(FREE_PLACES)
    empty = off_context(30, "context_without_thing", seed=4, size=24)
    assert set(empty.labels.tolist()) == {3, 4, 5} and set(places(empty)) == set(TIED.values())
    assert empty.masks.flatten(1).any(1).all()


def test_a_seed_repeats_and_another_differs():
    first, again, other = (off_context(6, seed=seed, size=24).images for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"kind": "upside_down"}, "in_context, thing_without_context"),
        ({"tied": {"boat": "forest"}}, "no usual place of 'boat'"),
        ({"tied": {"unicorn": "forest"}}, "no such thing"),
        ({"places": ("street", "water")}, r"share things or places, both have \['water'\]"),
        ({"free": ("dog", "boat")}, r"\['boat'\]"),
        ({"free": ()}, "at least one"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        off_context(6, size=24, **options)
    assert len(KINDS) == 3
