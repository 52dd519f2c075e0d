"""Lesson 15's experiment at a small size: arms and what they share, measures, and claims that follow from the numbers."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.evidence.forgetting import forgetting, map_drift
from lessons_lib.evidence.remembering import watched_rows
from lessons_lib.experiments import rrr
from lessons_lib.explain import grad_cam
from lessons_lib.training.continual import Method, Pace

SMALL = {"base": 4, "ways": 2, "tasks": 3, "sessions": 2, "train": 6, "shots": 3, "test": 4, "size": 24, "width": 4,
         "epochs": 2}  # fmt: skip
FAST = {"regular": Pace(1, 1e-2, 4, 6), "few_shot": Pace(1, 1e-2, 2, 6)}


@pytest.fixture(scope="module")
def small():
    old, paces = rrr.SIZES["quick"], dict(rrr.PACES)
    rrr.SIZES["quick"] = SMALL
    rrr.PACES.update(FAST)
    try:
        yield rrr.world(1300)
    finally:
        rrr.SIZES["quick"] = old
        rrr.PACES.update(paces)


def weights(learner, setting):
    return torch.cat([value.detach().flatten() for value in learner.courses[setting].model.parameters()])


def test_settings_share_the_start_and_no_species(small):
    few, regular = small.settings["few_shot"], small.settings["regular"]
    assert few.seen == [4, 6, 8] and regular.seen == [2, 4, 6]
    assert not set(few.class_names) & set(regular.class_names)
    one, other = rrr.start(small, "few_shot"), rrr.start(small, "regular")
    assert torch.equal(one.features.conv1.weight, other.features.conv1.weight)
    assert one.head.weight[:4].any() and not one.head.weight[4:].any() and not other.head.weight.any()


def test_every_arm_is_another_model_and_repeats(small):
    ends = {arm: weights(rrr.train(small, arm, 1300, settings=("few_shot",)), "few_shot") for arm in rrr.ARMS}
    for arm, end in ends.items():
        same = [other for other, theirs in ends.items() if other != arm and torch.equal(end, theirs)]
        assert not same, f"{arm} is the same model as {same}"
    again = rrr.train(small, "rrr_gradcam", 1300, settings=("few_shot",))
    assert torch.equal(weights(again, "few_shot"), ends["rrr_gradcam"])
    assert set(rrr.METHODS) == set(rrr.ARMS)


def test_arms_take_the_same_steps_from_the_same_pictures(small):
    steps, buffers = {}, {}
    for arm in ("replay", "rrr_gradcam", "rrr_shuffled", "replay_features", "replay_more_images"):
        learner = rrr.train(
            small, arm, 1300, progress=lambda what, arm=arm: lambda r: steps.__setitem__((arm, what), r.steps)
        )
        buffers[arm] = learner.courses["regular"].buffer
    assert len({count for (_, what), count in steps.items() if "regular" in what}) == 1
    plain = buffers["replay"].kept.images
    for arm in ("rrr_gradcam", "rrr_shuffled", "replay_features"):
        assert torch.equal(buffers[arm].kept.images, plain)
    more = buffers["replay_more_images"]
    assert len(more) > len(plain) and more.bytes["images"] >= buffers["rrr_gradcam"].bytes["images"] + len(plain) * 256


def test_measures_follow_from_the_records(small):
    learner = rrr.train(small, "rrr_gradcam", 1300)
    found, course, tasks = rrr.measure(learner, small), learner.courses["regular"], small.settings["regular"]
    rows = rrr.matrix(course)
    assert rows[:2].isnan().sum() == 3 and found["average_accuracy"] == pytest.approx(float(rows[-1].mean()))
    assert found["forgetting"] == pytest.approx(forgetting(rows)) and found["last"] == float(rows[-1, -1])
    mine = tasks.rows(0, test=True)
    then, kept = course.records[0]["then"], course.records[0]["maps"]
    now = grad_cam(course.model, tasks.test_images[mine], then, course.model.explain_layer)
    assert float(course.records[-1]["drift"][0]) == pytest.approx(float(map_drift(now, kept).mean()), abs=1e-4)
    said = course.model(tasks.test_images[mine]).argmax(1)
    assert float(rows[-1, 0]) == pytest.approx(float((said == tasks.test_labels[mine]).float().mean()))
    assert course.records[-1]["watched"].shape == (len(watched_rows(tasks)), 6, 6)
    assert found["map_bytes"] == len(course.buffer) * 6 * 6 * 4 and 0 <= found["kept_drift"] <= 1
    assert {"few_shot_average_accuracy", "few_shot_drift", "few_shot_pointing", "few_shot_map_bytes"} <= set(found)


def test_joint_training_has_no_forgetting_to_report(small):
    found = rrr.measure(rrr.train(small, "joint", 1300), small)
    assert "forgetting" not in found and "drift" not in found
    assert 0 <= found["average_accuracy"] <= 1 and 0 <= found["pointing"] <= 1


def test_a_run_can_be_stored_and_shortened(small, tmp_path):
    method = Method(keep=1)
    one = rrr.train(small, "replay", 1300, method=method, settings=("regular",), checkpoints=tmp_path)
    assert (tmp_path / "birds-quick-1300-replay-regular.pt").exists()
    two = rrr.train(small, "replay", 1300, method=method, settings=("regular",), checkpoints=tmp_path)
    assert torch.equal(weights(one, "regular"), weights(two, "regular"))
    short = rrr.shortened(small, 2)
    assert short.settings["regular"].seen == [2, 4]
    assert len(rrr.train(short, "finetuning", 1300).courses["regular"].records) == 2


# ---------------------------------------- claims
def made(**changes):
    weak = {"average_accuracy": 0.5, "forgetting": 0.4, "drift": 0.2, "pointing": 0.4, "map_bytes": 0.0}
    good = {"average_accuracy": 0.6, "forgetting": 0.3, "drift": 0.1, "pointing": 0.5, "map_bytes": 256.0}
    arms = {arm: dict(weak) for arm in rrr.ARMS} | {"rrr_gradcam": good | changes}
    for arm in ("rrr_backprop", "rrr_smoothgrad"):
        arms[arm]["map_bytes"] = 4096.0
    both = {arm: m | {f"few_shot_{k}": v for k, v in m.items()} for arm, m in arms.items()}
    return {"arms": {arm: {k: [v, v + 0.001 * (arm == "replay")] for k, v in m.items()} for arm, m in both.items()}}


def test_claims_follow_from_the_numbers():
    found = {claim.id: claim for claim in rrr.claims(made())}
    reported = {name for name, claim in found.items() if claim.threshold is None}
    assert all(claim.holds for name, claim in found.items() if name not in reported)
    assert {"rrr.same_pictures", "rrr.gradcam_accuracy"} <= reported and len(found) == 18
    assert found["rrr.gradcam_cheapest"].estimate == 256 - 4096
    assert found["rrr.forgetting_few_shot"].estimate == pytest.approx(-0.1)
    worse = {claim.id: claim.holds for claim in rrr.claims(made(pointing=0.3, average_accuracy=0.5))}
    assert not worse["rrr.pointing"] and not worse["rrr.average_accuracy"] and not worse["rrr.shuffled_control"]
    assert worse["rrr.drift"] and worse["rrr.forgetting"]


def test_claims_about_arms_that_were_not_run_are_left_out():
    results = made()
    some = {arm: results["arms"][arm] for arm in ("replay", "rrr_gradcam")}
    assert {claim.id for claim in rrr.claims({"arms": some})} == {
        "rrr.drift", "rrr.drift_few_shot", "rrr.pointing", "rrr.pointing_few_shot", "rrr.same_pictures",
        "rrr.same_pictures_few_shot"}  # fmt: skip
