"""What can be named in a scene, against the scene graph and against the captions."""

from __future__ import annotations

import pytest
import torch

from data_fetch.words import split_words
from data_fetch.worlds.scenes import scenes
from data_fetch.worlds.scenes.names import kinds_of_words, names
from data_fetch.worlds.scenes.vocabulary import COLOUR_NAMES, KINDS


@pytest.fixture(scope="module")
def world():
    return scenes(60, size=32, seed=4, things=("dog", "car", "kite"), places=("beach", "street"), people=0.5)


def test_kinds_are_the_classes_that_the_boxes_name(world):
    known, shown = names(world)
    assert shown.shape == (60, len(known)) and shown.dtype == torch.bool and shown.any(0).all()
    for kind in ("person", "dog", "car", "kite"):
        expected = world.labels[:, KINDS.index(kind)]
        assert torch.equal(shown[:, known.index(kind)], expected)


def test_a_coloured_kind_is_there_only_with_its_kind(world):
    known, shown = names(world)
    pairs = [name for name in known if name.split()[0] in COLOUR_NAMES]
    assert pairs
    for name in pairs:
        kind = name.split(" ", 1)[1]
        assert not (shown[:, known.index(name)] & ~shown[:, known.index(kind)]).any()
    dogs = torch.stack([shown[:, known.index(name)] for name in pairs if name.endswith(" dog")]).any(0)
    assert torch.equal(dogs, shown[:, known.index("dog")])


def test_every_scene_has_one_place_and_rare_names_are_left_out(world):
    known, shown = names(world)
    assert (shown[:, [known.index("beach"), known.index("street")]].sum(1) == 1).all()
    few, often = names(world, least=20)
    assert len(few) < len(known) and (often.sum(0) >= 20).all()
    with pytest.raises(ValueError, match="nothing can be seen in 61"):
        names(world, least=61)
    with pytest.raises(ValueError, match="at least 1"):
        names(world, least=0)


def test_words_of_captions_name_kinds_that_are_there(world):
    kinds = kinds_of_words(world)
    assert kinds["dogs"] == "dog" and kinds["lady"] == "person" and "banana" not in kinds
    assert "banana" in kinds_of_words()
    for n in range(20):
        shown = {KINDS[k] for k in world.box_labels[n].tolist()}
        for sentence in world.captions[n]:
            said = {kinds[word] for word in split_words(sentence.lower()) if word in kinds}
            # a kite is named with who flies it only where it is seen: everything that is said is there
            assert said <= shown, sentence
