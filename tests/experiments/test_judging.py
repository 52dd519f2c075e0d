"""Lesson 02's experiment, made small: one network for all arms, maps of the right shape, controls that see no network."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.experiments import judging, runner

SMALL = {"train": 480, "epochs": 4, "size": 40, "test": 4, "samples": 20}


@pytest.fixture(scope="module")
def small():
    """A world of two classes and few images, with its network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(judging.SIZES, "quick", SMALL)
        patch.setattr(judging, "CLASSES", ("star", "ring"))
        world = judging.world(1003, "quick")
        judging.train(world, "grad_cam", 1003, "quick")
        yield world


def test_all_arms_explain_one_network(small):
    networks = {id(judging.train(small, arm, 1003, "quick")) for arm in judging.ARMS}
    assert len(networks) == 1


def test_pictures_hold_both_targets_and_the_network_has_seen_them(small):
    network = judging.train(small, "grad_cam", 1003, "quick")
    assert small.targets.shape == (4, 2) and small.masks.shape[:2] == (4, 2)
    assert not (small.masks[:, 0] & small.masks[:, 1]).any() and small.masks.flatten(2).any(2).all()
    assert (small.targets[:, 0] != small.targets[:, 1]).all()
    top = network(small.images).topk(2, dim=1).indices.sort(1).values
    assert torch.equal(top, small.targets.sort(1).values)


@pytest.mark.parametrize("arm", judging.ARMS)
def test_each_arm_gives_a_finite_map_for_each_target_the_same_twice(small, arm):
    network = judging.train(small, arm, 1003, "quick")
    first, again = (judging.maps_of(arm, network, small, small.images, small.targets) for _ in range(2))
    assert first.shape == (4, 2, 40, 40) and torch.isfinite(first).all() and torch.equal(first, again)
    discriminative = bool((first[:, 0] != first[:, 1]).any())
    assert discriminative == (arm not in judging.CONTROLS)


@pytest.mark.parametrize("arm", ["grad_cam", "edges"])
def test_measures_lie_in_their_ranges(small, arm):
    metrics = judging.measure(judging.train(small, arm, 1003, "quick"), small, arm)
    assert 0 <= metrics["pointing"] <= 1 and 0 <= metrics["energy_inside"] <= 1
    assert 0 <= metrics["deletion_auc"] <= 1 and 0 <= metrics["insertion_auc"] <= 1
    assert -1 <= metrics["occlusion_correlation"] <= 1 and -1 <= metrics["sanity_similarity"] <= 1
    assert metrics["forward_passes"] == (1 if arm == "grad_cam" else 0)
    assert set(judging.TIMINGS) <= set(metrics)
    if arm == "edges":
        assert metrics["sanity_similarity"] == pytest.approx(1, abs=1e-6), "edges do not see the network"


def test_controls_are_what_they_say(small):
    images = small.images
    centre = judging._control("centre_gaussian", images, 0)
    assert torch.allclose(centre, centre.flip(1)) and torch.allclose(centre, centre.transpose(1, 2))
    assert float(centre[:, 19:21, 19:21].min()) > 0.99 and float(centre[:, 0].max()) < 0.1
    flat = torch.full((1, 3, 16, 16), 0.3)
    flat[..., 8:] = 0.9
    edges = judging._control("edges", flat, 0)[0]
    assert (edges[:, 7:9] > 1).all() and float(edges[:, :6].abs().max()) < 1e-5
    assert not torch.equal(judging._control("random_map", images, 0), judging._control("random_map", images, 1))


def test_claims_follow_the_numbers():
    """A made-up table in which Grad-CAM is no better than the picture's edges must not pass."""
    metrics = (
        "pointing",
        "energy_inside",
        "deletion_auc",
        "insertion_auc",
        "occlusion_correlation",
        "sanity_similarity",
    )
    arms = {
        arm: {m: [0.5, 0.52, 0.49, 0.51, 0.5] for m in metrics} | {"forward_passes": [1.0] * 5} for arm in judging.ARMS
    }
    claims = {claim.id: claim for claim in judging.claims({"arms": arms, "extra": {}})}
    assert claims["judging.points_better_than_edges"].holds is False
    assert claims["judging.sanity"].holds is False and claims["judging.hundreds"].holds is False
    assert claims["judging.one_pass"].holds is True
    arms["grad_cam"]["pointing"] = [0.8, 0.83, 0.79, 0.81, 0.8]
    assert {c.id: c for c in judging.claims({"arms": arms, "extra": {}})}[
        "judging.points_better_than_edges"
    ].holds is True


def test_mosaics_of_photographs_are_explained_too(monkeypatch):
    """The ImageNet network; CAM needs another layer there than Grad-CAM."""
    monkeypatch.setitem(judging.PHOTO_SIZES, "quick", {"test": 1, "samples": 5})
    world = judging.world(1000, "quick", "photos")
    for arm in ("cam", "grad_cam", "edges"):
        network = judging.train(world, arm, 1000, "quick")
        maps = judging.maps_of(arm, network, world, world.images, world.targets)
        assert maps.shape == world.masks.shape == (1, 4, 224, 224)
        if arm != "edges":
            peaks = maps[0].flatten(1).argmax(1)
            assert world.masks[0].flatten(1).gather(1, peaks[:, None]).float().mean() >= 0.75
    assert judging.extra(world, 1000) == {}


def test_two_runs_with_one_seed_agree(monkeypatch, small):
    """The second run trains its own network; `small` holds the patches that both need."""
    monkeypatch.delattr(judging, "extra")
    first = judging.measure(judging.train(small, "rise", 1003, "quick"), small, "rise")
    second = runner.run(judging, [1003], arms=["rise"])["arms"]["rise"]
    assert {name: [number] for name, number in first.items() if name not in judging.TIMINGS} == second


def test_heads_are_compared_on_single_objects(small):
    accuracies = judging.extra(small, 1003, "quick")
    assert set(accuracies) == {"accuracy_gap_head", "accuracy_flatten_head"}
    assert all(0.4 < accuracy <= 1 for accuracy in accuracies.values())
