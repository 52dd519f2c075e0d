"""Lesson 12's experiment at a small size: its sets and arms, what is measured, and claims that follow from the numbers."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image

from lessons_lib.experiments import squint
from lessons_lib.training.reasoning import Weights

SMALL = {"train": 260, "test": 160, "size": 32, "width": 4, "hidden": 16, "epochs": (1, 2, 1)}


@pytest.fixture(scope="module")
def small():
    old = squint.SIZES["quick"]
    squint.SIZES["quick"] = SMALL
    try:
        world = squint.world(1300)
        squint.start(world)
        yield world
    finally:
        squint.SIZES["quick"] = old


def test_every_arm_goes_on_from_one_start_and_repeats(small):
    start = squint.start(small)
    before = [value.clone() for value in start.parameters()]
    heads = {arm: squint.train(small, arm, 1300).out[3].weight for arm in squint.ARMS}
    assert all(torch.equal(a, b) for a, b in zip(before, start.parameters()))
    for arm, head in heads.items():
        same = [other for other, theirs in heads.items() if other != arm and torch.equal(head, theirs)]
        assert not same, f"{arm} is the same model as {same}"
    assert torch.equal(heads["squint"], squint.train(small, "squint", 1300).out[3].weight)


def test_arms_take_as_many_steps_and_same_compute_twice_as_many(small):
    steps = {}

    def progress(what):
        return lambda report: steps.__setitem__(what, report.steps)

    for arm in ("baseline", "subquestions", "squint_random_question", "same_compute"):
        squint.train(small, arm, 1300, progress=progress)
    assert abs(steps["baseline"] - steps["subquestions"]) <= 1
    assert steps["subquestions"] == steps["squint_random_question"]
    assert abs(steps["same_compute"] - 2 * steps["baseline"]) <= 1


def test_other_weights_may_be_tried(small):
    one = squint.train(small, "squint", 1300, weights=Weights(0.0, squint.WEIGHTS["subquestions"].sub))
    assert torch.equal(one.out[3].weight, squint.train(small, "subquestions", 1300).out[3].weight)


def test_measures_follow_from_the_replies(small):
    model, test = squint.start(small), small.tests["balanced"]
    said, found = squint.replies(model, test), squint.measure(model, small)
    cells = [found[name] for name in ("both_right", "main_only", "sub_only", "neither")]
    assert sum(cells) == pytest.approx(1) and found["consistency"] == pytest.approx(cells[0] / (cells[0] + cells[1]))
    right = {}
    for row, good in zip(said.data.row.tolist(), said.main_right.tolist()):
        right[row] = good
    assert found["reasoning"] == pytest.approx(sum(right.values()) / len(right))
    assert len(right) == len(test.asked)
    torch.testing.assert_close(said.main_attention.sum(1), torch.ones(len(said.data)))
    distance = (said.main_attention - said.sub_attention).square().sum(1).mean()
    assert found["attention_distance"] == pytest.approx(float(distance), rel=1e-4)
    for name in ("main_on_evidence", "sub_on_evidence", "main_on_person", "same_consistency", "same_reasoning"):
        assert 0 <= found[name] <= 1
    assert squint.extra(small, 1300)["start_consistency"] == found["consistency"]


def test_evidence_and_person_are_where_they_are_drawn(small):
    test = small.tests["balanced"]
    asked, pictures = test.asked, test.asked.pictures
    row = next(n for n, region in enumerate(asked.regions) if region == "water" and test.evidence[n].any())
    boxes = pictures.proposals[asked.image_index[row]].round().int()
    mask = asked.evidence_masks[row]
    for marked, (x0, y0, x1, y1) in zip(test.evidence[row].tolist(), boxes.tolist()):
        share = float(mask[y0:y1, x0:x1].float().mean())
        assert share > 0.1 if marked else share < 0.4
    seen = ((pictures.graph.appearance >= 0) & pictures.seen[:, 0])[asked.image_index]
    assert not (test.person.any(1) & ~seen).any() and test.person.any(1).float().mean() > 0.3


# ---------------------------------------- real data
def test_vqa_introspect_in_its_official_layout(tmp_path, monkeypatch):
    folder, images = tmp_path / "introspect", tmp_path / "coco2014"
    for split, count in (("train", 12), ("val", 6)):
        (images / f"{split}2014").mkdir(parents=True)
        entries = {}
        for n in range(count):
            Image.new("RGB", (64, 64), (20 * n, 90, 30)).save(
                images / f"{split}2014" / f"COCO_{split}2014_{n + 1:012d}.jpg"
            )
            subs = [{"sub_question": "Is there snow?", "sub_answer": ("yes", "no")[n % 2]}]
            entries[str(1000 * (n + 1))] = {
                "image_id": n + 1,
                "reasoning_question": "Is it a good day for skiing?",
                "reasoning_answer_most_common": ("yes", "no")[n % 2],
                "introspect": [{"pred_q_type": "reasoning", "sub_qa": subs}],
            }
        folder.mkdir(exist_ok=True)
        (folder / f"VQAIntrospect_{split}v1.0.json").write_text(json.dumps(entries))
    monkeypatch.setitem(squint.SIZES, "quick", SMALL)
    options = {"folder": folder, "images": images, "weights": None}
    world = squint.world(3, data="vqa_introspect", **options)
    assert len(world.train) == 8 and len(world.perception) == 4 and list(world.tests) == ["val"]
    arms = {}
    for arm in ("baseline", "subquestions", "squint"):
        found = squint.measure(squint.train(world, arm, 3), world)
        assert found["both_right"] + found["main_only"] + found["sub_only"] + found["neither"] == pytest.approx(1)
        arms[arm] = {name: [number, number] for name, number in found.items()}
    ids = {claim.id for claim in squint.claims({"arms": arms})}
    assert "squint.consistency" in ids and not ids & {"squint.attention", "squint.reasoning_kept_same"}


def test_missing_data_say_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("LESSONS_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="get introspect"):
        squint.world(3, data="vqa_introspect")


# ---------------------------------------- claims
def test_claims_follow_from_the_numbers():
    weak = {"consistency": 0.8, "both_right": 0.4, "main_only": 0.2, "reasoning": 0.6, "same_reasoning": 0.8}
    weak |= {"main_on_evidence": 0.2}
    good = {"consistency": 0.9, "both_right": 0.6, "main_only": 0.1, "reasoning": 0.7, "same_reasoning": 0.81}
    good |= {"main_on_evidence": 0.5}
    arms = {arm: {k: [v, v + 0.001] for k, v in weak.items()} for arm in squint.ARMS}
    arms["squint"] = {k: [v, v + 0.002] for k, v in good.items()}
    arms["squint_detached"] = {k: [v + 0.05, v + 0.055] for k, v in good.items()}
    found = {claim.id: claim.holds for claim in squint.claims({"arms": arms})}
    assert all(found.values()) and len(found) == 12
    arms["squint"]["consistency"] = [0.84, 0.842]  # up, but by less than 5 points
    arms["squint"]["reasoning"] = [0.585, 0.587]
    found = {claim.id: claim.holds for claim in squint.claims({"arms": arms})}
    assert not found["squint.consistency"] and not found["squint.reasoning_kept"]
    assert found["squint.consistency_beyond_subquestions"] and found["squint.wrong_pairs_control"]
    assert squint.claims({"arms": {"baseline": arms["baseline"]}}) == []
