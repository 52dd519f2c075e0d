"""Lesson 04's experiment, made small: sets of equal size that differ in nothing but their balance."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.experiments import failure_modes as lesson
from lessons_lib.experiments import runner

seeds = pytest.mark.parametrize("seed", [1000, 1001])


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(lesson._SIZES, "quick", (480, 32, 8, 2))


def cells(data, groups):
    return torch.stack([((data.labels == k) & (groups == g)).sum() for k in range(2) for g in groups.unique()]).view(
        2, -1
    )


@seeds
def test_training_sets_have_one_size_and_the_balance_they_name(seed):
    sets = lesson.world(seed).sets
    assert {len(sets[arm]) for arm in lesson.ARMS} == {480}
    for arm in ("biased", "biased_redrawn"):
        assert cells(sets[arm], sets[arm].grounds).tolist() == [[216, 24], [24, 216]]
    assert cells(sets["balanced"], sets["balanced"].grounds).tolist() == [[120, 120]] * 2
    by_colour = sets["balanced_by_colour"]
    assert cells(by_colour, by_colour.colours).tolist() == [[40] * 6] * 2
    assert abs(by_colour.card()["share_on_tied_ground"] - 0.9) < 0.03, "the bias of the grounds must stay"
    assert sets["shifted_test"].card()["share_on_tied_ground"] == 0.5
    assert sets["validation"].card()["share_on_tied_ground"] == 0.9


@seeds
def test_no_image_is_in_two_sets_that_must_be_apart(seed):
    sets = lesson.world(seed).sets
    tests = torch.cat([sets[name].seeds for name in ("validation", "in_distribution_test", "shifted_test")])
    assert len(tests.unique()) == len(tests)
    for arm in lesson.ARMS:
        own = sets[arm].seeds
        assert len(own.unique()) == len(own), "an image twice"
        assert not torch.isin(own, tests).any(), "a training image in a test"
    assert not torch.isin(sets["biased"].seeds, sets["biased_redrawn"].seeds).any()
    other = lesson.world(seed + 1).sets
    assert not torch.isin(sets["biased"].seeds, torch.cat([data.seeds for data in other.values()])).any()


def test_swapped_test_changes_the_ground_alone():
    sets = lesson.world(1000).sets
    plain, swapped = sets["shifted_test"][: len(sets["swapped_test"])], sets["swapped_test"]
    assert torch.equal(plain.labels, swapped.labels) and torch.equal(plain.masks, swapped.masks)
    assert torch.equal(plain.grounds, 1 - swapped.grounds) and not torch.equal(plain.images, swapped.images)


@pytest.mark.parametrize("correlation", [0.5, 0.8, 1.0])
def test_strength_of_the_bias_is_a_knob(correlation):
    sets = lesson.world(1000, correlation=correlation).sets
    assert sets["biased"].card()["share_on_tied_ground"] == correlation
    assert cells(sets["balanced"], sets["balanced"].grounds).tolist() == [[120, 120]] * 2


@seeds
def test_rebalance_takes_equally_many_of_every_cell_and_none_twice(seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (500,), generator=generator)
    groups = torch.randint(2, (500,), generator=generator)
    chosen = lesson.rebalance(labels, groups, generator)
    counts = torch.stack([((labels[chosen] == k) & (groups[chosen] == g)).sum() for k in range(3) for g in range(2)])
    smallest = min(int(((labels == k) & (groups == g)).sum()) for k in range(3) for g in range(2))
    assert counts.tolist() == [smallest] * 6 and len(chosen.unique()) == len(chosen)
    assert len(lesson.rebalance(labels, groups, generator, 60)) == 60
    with pytest.raises(ValueError, match="add images of that kind"):
        lesson.rebalance(labels, groups, generator, 3000)
    with pytest.raises(ValueError, match=r"\(500,\) and \(499,\)"):
        lesson.rebalance(labels, groups[:-1], generator)


def test_measures_lie_in_their_ranges_and_a_blind_network_shows():
    world = lesson.world(1000)
    model = lesson.train(world, "biased", 1000, "quick")
    metrics = lesson.measure(model, world)
    assert all(0 <= number <= 1 for number in metrics.values())
    assert metrics["worst_group_accuracy"] <= metrics["shifted_accuracy"]

    class OnlyGround(torch.nn.Module):
        """Knows no shapes: a linear function of the picture's mean colours and their spread, fitted to the ground."""

        explain_layer = "keep"

        def __init__(self, images, grounds):
            super().__init__()
            self.keep, self.weight = torch.nn.Identity(), torch.nn.Parameter(torch.ones(()))
            self.fitted = torch.linalg.lstsq(self.tints(images).detach(), 1.0 - 2.0 * grounds[:, None]).solution

        def tints(self, images):
            pixels = self.keep(images * self.weight).flatten(2)
            return torch.cat([pixels.mean(2), pixels.std(2), torch.ones(len(images), 1)], 1)

        def forward(self, images):
            score = self.tints(images) @ self.fitted
            return torch.cat([score, -score], 1)

    seen = world.sets["shifted_test"]
    blind = lesson.measure(OnlyGround(seen.images, seen.grounds), world)
    assert blind["ground_reliance"] > 0.9 and abs(blind["shifted_accuracy"] - 0.5) < 0.05
    assert blind["in_distribution_accuracy"] > 0.8 and blind["worst_group_accuracy"] < 0.1


@seeds
def test_two_runs_with_one_seed_agree(seed):
    runs = [runner.run("failure_modes", [seed], arms=["biased", "balanced"]) for _ in range(2)]
    assert runs[0]["arms"] == runs[1]["arms"]


def test_claims_follow_the_numbers():
    """A made-up table in which the control does as well as re-balancing must not pass."""
    wobble = [0.0, 0.01, -0.01, 0.02, -0.02]

    def row(shifted, energy, flips):
        numbers = {"shifted_accuracy": shifted, "worst_group_accuracy": shifted - 0.1, "in_distribution_accuracy": 0.95}
        return {
            k: [v + w for w in wobble]
            for k, v in {**numbers, "energy_on_object": energy, "ground_reliance": flips}.items()
        }

    arms = {"biased": row(0.7, 0.2, 0.6), "balanced": row(0.9, 0.4, 0.1)}
    arms |= {"biased_redrawn": row(0.71, 0.2, 0.6), "balanced_by_colour": row(0.89, 0.2, 0.6)}
    claims = {claim.id.split(".")[1]: claim.holds for claim in lesson.claims({"arms": arms})}
    assert claims.pop("balanced_by_colour_does_not") is False
    assert all(claims.values()) and len(claims) == 7
    arms["balanced"] = row(0.7, 0.2, 0.6)
    claims = {claim.id.split(".")[1]: claim.holds for claim in lesson.claims({"arms": arms})}
    assert not claims["balanced_beats_biased"] and not claims["explanation_shows_the_bias"]
