"""Lesson 13's experiment at a small size: arms, groups of candidates, what is measured, and claims that follow from numbers."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image

from lessons_lib.experiments import sort, squint
from lessons_lib.training.ranked_reasoning import Aim, known_triples, question_vectors

SMALL = {"train": 220, "test": 120, "size": 24, "width": 4, "hidden": 16, "epochs": (1, 2, 1)}


@pytest.fixture(scope="module")
def small():
    old, epochs = squint.SIZES["quick"], sort.EPOCHS
    squint.SIZES["quick"], sort.EPOCHS = SMALL, 1
    try:
        world = sort.world(1300)
        sort.start(world)
        yield world
    finally:
        squint.SIZES["quick"], sort.EPOCHS = old, epochs


def test_every_arm_goes_on_from_one_start_and_repeats(small):
    steps = {}
    progress = lambda what: lambda report: steps.__setitem__(what, report.steps)  # noqa: E731
    start = sort.start(small)
    before = [value.clone() for value in start.parameters()]
    heads = {arm: sort.train(small, arm, 1300, progress=progress).out[3].weight for arm in sort.ARMS}
    assert all(torch.equal(a, b) for a, b in zip(before, start.parameters()))
    for arm, head in heads.items():
        same = [other for other, theirs in heads.items() if other != arm and torch.equal(head, theirs)]
        assert not same, f"{arm} is the same model as {same}"
    assert torch.equal(heads["sort"], sort.train(small, "sort", 1300).out[3].weight)
    assert torch.equal(heads["all_questions"], sort.train(small, "sort", 1300, aim=Aim()).out[3].weight)
    assert len({steps[arm] for arm in sort.AIMS}) == 1
    assert abs(steps["baseline"] - steps["sort"]) <= 1 and abs(steps["same_compute"] - 3 * steps["sort"]) <= 3


def test_groups_hold_all_known_candidates_of_both_kinds(small):
    model, test = sort.start(small), small.tests["balanced"]
    asked, questions = sort.candidates(test, model), test.asked
    both = [
        n
        for n in range(len(questions))
        if any(qa.answer in model.answers for qa in questions.perception[n])
        and any(qa.answer in model.answers for qa in questions.irrelevant[n])
    ]
    assert asked.row.tolist() == both
    for place in (0, len(asked) // 2, len(asked) - 1):
        row, mine = int(asked.row[place]), asked.group == place
        expected = [
            (qa.answer, relevant)
            for relevant, column in ((True, questions.perception), (False, questions.irrelevant))
            for qa in column[row]
            if qa.answer in model.answers
        ]
        assert [model.answers[n] for n in asked.answer[mine].tolist()] == [answer for answer, _ in expected]
        assert asked.relevant[mine].tolist() == [relevant for _, relevant in expected]
        assert int(asked.picture[place]) == int(questions.image_index[row])
    matched = asked.matched
    assert matched.any() and (asked.answer == asked.main_answer[asked.group])[matched].all()
    for place in asked.group[matched].unique().tolist():
        assert len(asked.relevant[matched & (asked.group == place)].unique()) == 2


def test_similarities_are_cosines_with_the_own_reasoning_question(small):
    model, test = sort.start(small), small.tests["balanced"]
    asked = sort.candidates(test, model)
    near = sort.similarities(model, test, asked)
    assert near.shape == asked.group.shape and near.abs().max() <= 1 + 1e-5
    place = len(near) - 1
    seen = test.features[asked.picture[asked.group[[place]]]]
    one = question_vectors(model, seen, asked.tokens[[place]], asked.answer[[place]])
    own = asked.group[[place]]
    main = question_vectors(model, seen, asked.main[own], asked.main_answer[own])
    cosine = float((one * main).sum() / (one.norm() * main.norm()).clamp(min=1e-12))
    assert float(near[place]) == pytest.approx(cosine, abs=1e-4)


def test_measures_are_lesson_12s_and_the_ranking(small):
    model = sort.start(small)
    found, theirs = sort.measure(model, small), squint.measure(model, small)
    for name in ("consistency", "both_right", "reasoning", "sub_accuracy", "same_reasoning", "main_on_evidence"):
        assert found[name] == theirs[name]
    assert found["cos_gap"] == pytest.approx(found["cos_sub"] - found["cos_irrelevant"])
    for name in ("mpr", "mrr", "ranking_accuracy", "matched_mpr"):
        assert 0 <= found[name] <= 1
    assert found["mrr"] >= found["mpr"] >= found["ranking_accuracy"]
    extra = sort.extra(small, 1300)
    assert extra["start_mpr"] == found["mpr"] and extra["start_consistency"] == found["consistency"]
    assert 0.15 < extra["chance_mpr"] < 0.6 and extra["same_answer_mpr"] > extra["chance_mpr"]


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
            for place, (question, sub) in enumerate(
                (("Good for skiing?", "Is there snow?"), ("Is he old?", "Is hair grey?"))
            ):
                answer = ("yes", "no")[(n + place) % 2]
                entries[str(1000 * (n + 1) + place)] = {
                    "image_id": n + 1,
                    "reasoning_question": question,
                    "reasoning_answer_most_common": answer,
                    "introspect": [
                        {"pred_q_type": "reasoning", "sub_qa": [{"sub_question": sub, "sub_answer": answer}]}
                    ],
                }
        folder.mkdir(exist_ok=True)
        (folder / f"VQAIntrospect_{split}v1.0.json").write_text(json.dumps(entries))
    monkeypatch.setitem(squint.SIZES, "quick", SMALL)
    monkeypatch.setattr(sort, "EPOCHS", 1)
    world = sort.world(3, data="vqa_introspect", folder=folder, images=images, weights=None)
    assert list(world.tests) == ["val"] and len(world.train) == 16
    sort.start(world)
    assert known_triples(world.cache["pairs"]).any()
    arms = {}
    for arm in ("baseline", "all_questions", "sort"):
        found = sort.measure(sort.train(world, arm, 3), world)
        assert "same_reasoning" not in found and "matched_mpr" not in found  # two candidates with opposite answers
        arms[arm] = {name: [number, number] for name, number in found.items()}
    ids = {claim.id for claim in sort.claims({"arms": arms})}
    assert {"sort.ranking", "sort.consistency"} <= ids and not ids & {"sort.accuracy_kept_same", "sort.ranking_matched"}


def test_missing_data_say_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("LESSONS_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="get introspect"):
        sort.world(3, data="vqa_introspect")


# ---------------------------------------- claims
def test_claims_follow_from_the_numbers():
    names = ("mpr", "mrr", "matched_mpr", "consistency", "cos_gap", "cos_irrelevant", "matched_cos_irrelevant",
             "reasoning", "same_reasoning")  # fmt: skip
    weak = dict.fromkeys((*names, "sub_accuracy"), 0.5)
    good = weak | dict.fromkeys(("mpr", "mrr", "matched_mpr", "consistency", "cos_gap"), 0.8)
    arms = {arm: {name: [v, v + 0.001] for name, v in weak.items()} for arm in sort.ARMS}
    arms["sort"] = {name: [v, v + 0.002] for name, v in good.items()}
    arms["sort_swapped"]["mpr"] = [0.1, 0.102]
    arms["attraction"] |= {"cos_irrelevant": [0.9, 0.902], "matched_cos_irrelevant": [0.9, 0.902]}
    results = {"arms": arms, "extra": {"start_cos_gap": [0.4, 0.401]}}
    found = {claim.id: claim.holds for claim in sort.claims(results)}
    assert found.pop("sort.sub_accuracy") is None
    assert len(found) == 19 and all(found.values()), [name for name, holds in found.items() if not holds]
    arms["sort"]["reasoning"] = [0.485, 0.487]
    arms["sort"]["cos_gap"] = [0.3, 0.302]
    found = {claim.id: claim.holds for claim in sort.claims(results)}
    assert not any(found[f"sort.{name}"] for name in ("accuracy_kept", "no_collapse", "no_collapse_start"))
    assert found["sort.ranking"] and found["sort.accuracy_kept_same"]
    assert sort.claims({"arms": {"baseline": arms["baseline"]}}) == []
