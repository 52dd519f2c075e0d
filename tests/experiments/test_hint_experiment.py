"""Lesson 11: the shared start, the arms, what is measured and claimed, on tiny worlds."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.experiments import hint

TINY = {"train": 60, "test": 20, "size": 48, "regions": 8, "epochs": (1, 1, 1, 1)}


@pytest.fixture(scope="module")
def small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(hint.SIZES, "quick", TINY)
        patch.setattr(hint, "STEPS", 3)
        patch.setattr(hint, "CAPTION_STEPS", 2)
        yield hint.world(1200)


@pytest.fixture(scope="module")
def measured(small):
    return {arm: hint.measure(hint.train(small, arm, 1200), small, arm) for arm in hint.ARMS}


def test_every_arm_is_trained_from_the_one_start_and_measured(small, measured):
    assert hint.start(small) is hint.train(small, "baseline", 1200).answerer
    seeing = set(measured["hint_1_percent"])
    for arm, found in measured.items():
        shares = {name: v for name, v in found.items() if "grounding" not in name}
        assert all(0 <= v <= 1 for v in shares.values()), arm
        assert all(-1 <= v <= 1 for v in found.values()), arm
        expected = seeing | (
            {"caption_pointing", "caption_words"} if arm == "baseline" or arm in hint.CAPTION_RECIPES else set()
        )
        if arm == "question_only":
            expected = {name for name in seeing if "grounding" not in name and "pointing" not in name}
        assert set(found) == expected, arm
    answers = [hint.train(small, arm, 1200, captions=False).answerer for arm in ("hint", "hint_inverted", "zero_out")]
    weights = [model.out[0].weight for model in (hint.start(small), *answers)]
    assert all(not torch.equal(a, b) for n, a in enumerate(weights) for b in weights[n + 1 :])


def test_accuracies_by_type_make_the_whole(small, measured):
    found, types = measured["hint"], small.sets.shifted.answer_types
    whole = sum(found[f"shifted_{kind.replace('/', '_')}"] * types.count(kind) for kind in set(types)) / len(types)
    assert found["shifted_accuracy"] == pytest.approx(whole, abs=1e-5)


def test_a_seed_repeats_to_the_last_bit(small, measured):
    again = hint.world(1200)
    assert hint.measure(hint.train(again, "hint", 1200), again, "hint") == measured["hint"]


def test_extra_tells_how_well_the_eyes_name_regions(small):
    assert set(hint.extra(small, 1200)) == {"eyes_kind", "eyes_colour", "eyes_state"}


def test_marked_questions_are_nested_and_scored(small):
    few, many = hint.marked(small, 0.02), hint.marked(small, 0.2)
    assert torch.equal(many[0][: len(few[0])], few[0]) and torch.equal(many[1][: len(few[1])], few[1])
    assert few[1].shape == (len(few[0]), TINY["regions"]) and 0 <= few[1].min() and few[1].max() <= 1
    for share in (0, 1.5, 1e-6):
        with pytest.raises(ValueError, match="share"):
            hint.marked(small, share)


def test_the_controls_differ_from_hint_in_the_cue_alone():
    for arm in ("hint_inverted", "hint_fixed_random", "hint_fresh_random"):
        recipe = hint.RECIPES[arm]
        assert (recipe.ranking, recipe.answer) == (hint.HINT.ranking, hint.HINT.answer) and recipe.cue != "relevant"
    assert hint.RECIPES["hint_fresh_random"].fresh and not hint.RECIPES["same_subset"].ranking
    assert hint.RECIPES["same_compute"].everywhere and not hint.RECIPES["zero_out"].ranking
    assert set(hint.ARMS) == {*hint.RECIPES, "baseline", "question_only"}


# ---------------------------------------- claims
def numbers(**changed):
    metrics = {"shifted_accuracy": 0.4, "same_accuracy": 0.9, "grounding": 0.1, "shifted_grounding": 0.05,
               "caption_pointing": 0.4}  # fmt: skip
    arms = {arm: {name: [v, v + 0.01, v + 0.02] for name, v in metrics.items()} for arm in hint.ARMS}
    for name, add in changed.items():
        arms["hint"][name] = [v + add for v in arms["hint"][name]]
    for n in range(3):  # a little noise, so that intervals have a width
        arms["hint"]["shifted_accuracy"][n] += 0.001 * n
    return {"arms": arms}


def verdicts(results):
    return {claim.id.removeprefix("hint."): claim.holds for claim in hint.claims(results)}


def test_claims_follow_from_the_numbers():
    good = verdicts(numbers(shifted_accuracy=0.05, same_accuracy=-0.01, grounding=0.05, shifted_grounding=0.02,
                            caption_pointing=0.1))  # fmt: skip
    assert good["shifted_accuracy"] and good["in_distribution"] and good["grounding"] and good["caption_pointing"]
    assert good["relevant_minus_inverted"] and not good["random_gains"]
    assert good["relevant_minus_random"] is None, "it is reported, whichever way it falls"
    poor = verdicts(numbers(shifted_accuracy=-0.05, same_accuracy=-0.03, grounding=-0.01))
    assert not any(
        poor[name] for name in ("shifted_accuracy", "in_distribution", "grounding", "relevant_minus_inverted")
    )


def test_claims_need_their_arms():
    only = {"arms": {name: numbers()["arms"][name] for name in ("baseline", "hint_fixed_random")}}
    assert [claim.id for claim in hint.claims(only)] == ["hint.random_gains"]
