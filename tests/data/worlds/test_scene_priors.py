"""Questions with priors that turn round, about pictures with region proposals."""

from __future__ import annotations

import pytest
import torch

from data_fetch.worlds.scenes import scenes
from data_fetch.worlds.scenes.priors import (
    BACKGROUND,
    STATES,
    UNSURE,
    evidence_regions,
    prior_sets,
    region_labels,
)
from data_fetch.worlds.scenes.questions import favoured
from data_fetch.worlds.scenes.vocabulary import COLOUR_NAMES, KINDS, THINGS


@pytest.fixture(scope="module")
def sets():
    return prior_sets(1200, train=150, test=60, proposals=8, strength=0.8)


def share(asked):
    return sum(favoured(kind, answer) for kind, answer in zip(asked.kinds, asked.answers)) / len(asked)


def test_the_prior_turns_round_and_the_test_pictures_stay(sets):
    assert share(sets.train) == pytest.approx(0.8, abs=0.03) and share(sets.same) == pytest.approx(0.8, abs=0.05)
    assert share(sets.shifted) == pytest.approx(0.2, abs=0.05)
    assert torch.equal(sets.same.pictures.images, sets.shifted.pictures.images)
    assert sets.train.pictures.proposals.shape == (150, 8, 4) and len(sets.train) > 400


def test_a_seed_decides_everything():
    first, again, other = (prior_sets(seed, train=20, test=10) for seed in (7, 7, 8))
    assert first.train.questions == again.train.questions and first.shifted.answers == again.shifted.answers
    assert torch.equal(first.train.pictures.proposals, again.train.pictures.proposals)
    assert not torch.equal(first.train.pictures.images, other.train.pictures.images)


def test_labels_of_regions_are_those_of_the_things_in_them(sets):
    world, labels = sets.train.pictures, region_labels(sets.train.pictures)
    found = labels.slot >= 0
    assert found.any(1).float().mean() > 0.9
    row, region = torch.nonzero(found).unbind(1)
    slot = labels.slot[row, region]
    assert torch.equal(labels.kind[row, region], world.graph.kind[row, slot])
    assert torch.equal(labels.colour[row, region], world.graph.colour[row, slot])
    assert int(labels.colour.max()) < len(COLOUR_NAMES)
    assert set(labels.kind[~found].tolist()) <= {BACKGROUND, UNSURE} and (labels.kind == UNSURE).any()
    for n, g in zip(*torch.nonzero(labels.state >= 0).unbind(1)):
        words = THINGS[KINDS[labels.kind[n, g]]].states
        assert STATES[labels.state[n, g]] == words[world.graph.state[n, labels.slot[n, g]]]


def test_evidence_is_in_the_regions_that_show_what_decides(sets):
    labels = region_labels(sets.train.pictures)
    evidence = evidence_regions(sets.train, labels)
    assert evidence.shape == (len(sets.train), 8)
    for n in range(0, len(evidence), 7):
        slots = labels.slot[sets.train.image_index[n]][evidence[n]].tolist()
        assert set(slots) <= set(sets.train.evidence[n])
    absent = [n for n, slots in enumerate(sets.train.evidence) if not slots]
    assert absent and not evidence[absent].any()


@pytest.mark.parametrize(
    "options, message",
    [({"strength": 0.3}, "strength"), ({"kinds": ("colour", "taste")}, "taste"), ({"proposals": 2}, "count"),
     ({"per_image": 0}, "per_image")],
)  # fmt: skip
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        prior_sets(1, train=4, test=4, **options)


def test_labels_need_proposals():
    with pytest.raises(ValueError, match="with_proposals"):
        region_labels(scenes(2, seed=1))
