"""Lesson 05's experiment on video, made small: pairs that order alone tells apart, and measures worked by hand."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.experiments import runner
from lessons_lib.experiments import video as lesson

SMALL = {"train": 96, "test": 18, "occluded": 6, "size": 24, "width": 6, "epochs": 2}
CONTROLS = ("frame_difference", "background_difference", "centre")  # maps that never see the network


@pytest.fixture(scope="module")
def small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(lesson.SIZES, "quick", SMALL)
        world = lesson.world(1003)
        lesson.train(world, "gradient", 1003)
        yield world


def test_classes_are_pairs_that_are_each_others_reverse(small):
    assert len(lesson.CLASSES) == 6 and small.test.opposite.tolist() == [1, 0, 3, 2, 5, 4]
    turned = small.test.reversed()
    assert torch.equal(turned.labels, lesson._opposites(small.test))
    middle = lesson.FRAMES // 2
    assert torch.equal(small.test.frames.values[:, middle], turned.frames.values[:, middle])
    with pytest.raises(ValueError, match="reverse among the classes"):
        lesson.world(1003, classes=lesson.CLASSES[:3])


def test_no_clip_is_in_two_sets(small):
    assert not torch.isin(small.train.seeds, small.test.seeds).any()
    other = lesson.world(1004)
    mine, theirs = (torch.cat([w.train.seeds, w.test.seeds]) for w in (small, other))
    assert not torch.isin(mine, theirs).any()


def test_arms_explain_one_network_but_for_the_untrained_one(small):
    networks = {arm: lesson.train(small, arm, 1003) for arm in lesson.ARMS}
    untrained = networks.pop("random_weights")
    assert len({id(network) for network in networks.values()}) == 1
    assert not untrained.training and untrained is not networks["gradient"]
    assert not torch.equal(untrained.head.weight, networks["gradient"].head.weight)


@pytest.mark.parametrize("arm", lesson.ARMS)
def test_each_arm_gives_the_same_finite_maps_twice(small, arm):
    network, part = lesson.train(small, arm, 1003), small.test[:4]
    opposites = lesson._opposites(part)
    first, again = (lesson.maps_of(arm, network, part.frames[:], part.labels, opposites) for _ in range(2))
    assert first.shape == (4, lesson.FRAMES, 24, 24) and torch.isfinite(first).all() and torch.equal(first, again)
    asks = bool((first != lesson.maps_of(arm, network, part.frames[:], part.labels)).any())
    assert asks == (arm not in CONTROLS), "only a network's map depends on what is asked"


def test_order_score_is_a_class_less_its_reverse():
    score = lesson.order_score(torch.tensor([0, 2]), torch.tensor([1, 0]))
    assert score(torch.tensor([[5.0, 3.0, 1.0], [4.0, 0.0, 7.0]])).tolist() == [2.0, 3.0]


def test_halves_stand_still_on_the_middle_frame():
    frames = torch.arange(5.0).expand(2, 5)
    first, second = lesson.halves(frames)
    assert first[0].tolist() == [0, 1, 2, 2, 2] and second[1].tolist() == [2, 2, 2, 3, 4]


def test_pointing_looks_at_the_thing_in_the_very_frame():
    maps, masks = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4, dtype=torch.bool)
    maps[:, 1, 2, 3] = 1.0
    masks[0, 1, 2, 3] = masks[1, 2, 2, 3] = True  # in the second clip the thing is there a frame later
    assert lesson.pointing(maps, masks).tolist() == [1.0, 0.0]


def test_phase_of_maps_that_are_known(small):
    part = small.test[:6]
    ask = (part.frames[:], part.labels)
    assert (lesson.phase("frame_difference", None, *ask) == 1).all(), "all motion lies in the half that happens"
    assert (lesson.phase("centre", None, *ask) == 0.5).all(), "a map that is the same in every frame cannot tell"


def test_measures_lie_in_their_ranges_and_controls_are_what_they_say(small):
    found = {arm: lesson.measure(lesson.train(small, arm, 1003), small, arm) for arm in lesson.ARMS}
    for metrics in found.values():
        correlations = ("time_with_motion", "opposites_similarity", "reversed_similarity")
        assert all((-1 if name in correlations else 0) <= number <= 1 for name, number in metrics.items())
        assert metrics["pointing"] <= min(metrics["pointing_half_cell"], metrics["pointing_with_hand"])
    for arm in CONTROLS:
        assert found[arm]["opposites_similarity"] == pytest.approx(1, abs=1e-6), "they do not hear the question"
        assert found[arm]["pointing_class"] == found[arm]["pointing"]
    assert found["frame_difference"]["reversed_similarity"] == pytest.approx(1, abs=1e-3)
    assert found["centre"]["time_with_motion"] == 0


def test_extra_counts_what_order_alone_tells(small):
    numbers = lesson.extra(small, 1003)
    assert all(0 <= number <= 1 for number in numbers.values())
    assert numbers["reversed_accuracy"] + numbers["reversed_unchanged"] <= 1
    still = lesson.train_frames(small, "middle")
    frames = small.test.frames[:]
    assert torch.equal(lesson.predict(still, frames), lesson.predict(still, frames.flip(1)))


def test_two_runs_with_one_seed_agree(monkeypatch):
    monkeypatch.setitem(lesson.SIZES, "quick", {**SMALL, "train": 48})
    runs = [runner.run("video", [1001], arms=["grad_cam_per_time", "random_weights"]) for _ in range(2)]
    assert runs[0]["arms"] == runs[1]["arms"] and runs[0]["extra"] == runs[1]["extra"]


def test_claims_follow_the_numbers():
    """A made-up table in which Grad-CAM does no better than motion, or a single frame knows the order, must not pass."""
    wobble = [0.0, 0.01, -0.01, 0.02, -0.02]

    def spread(numbers):
        return {name: [number + w * 0.5 for w in wobble] for name, number in numbers.items()}

    def table(point=0.85, phase=0.9, alike=-0.2, still=0.5):
        arms = {"grad_cam_per_time": {"pointing": point, "phase": phase, "opposites_similarity": alike}}
        arms["grad_cam_pooled"] = {"pointing": 0.5, "phase": 0.5, "opposites_similarity": 0.8}
        arms |= {name: {"pointing": 0.55} for name in lesson._CONTROLS}
        numbers = {"pair_accuracy": 0.95, "pair_accuracy_single_frame": still, "pair_accuracy_frame_set": still}
        numbers |= {"reversed_accuracy": 0.9, "reversed_unchanged": 0.03}
        return {"arms": {arm: spread(row) for arm, row in arms.items()}, "extra": spread(numbers)}

    def verdicts(results):
        return {claim.id.removeprefix("video."): claim.holds for claim in lesson.claims(results)}

    good = verdicts(table())
    assert all(good.values()) and len(good) == 12
    weak = verdicts(table(point=0.6, phase=0.6, alike=0.6, still=0.9))
    assert not any(weak[name] for name in ("pointing", "above_background_difference", "time_phases", "accuracy"))
    assert not weak["time_opposites"] and not weak["order_decides"] and weak["reversed"]
    assert lesson.claims({"arms": {}, "extra": {}}) == []
