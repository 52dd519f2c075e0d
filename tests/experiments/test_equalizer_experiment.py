"""Lesson 07's experiment at a small size: its sets, its arms, what is measured, and claims that follow from the numbers."""

from __future__ import annotations

import pytest
import torch

from data_fetch.worlds.scenes.portraits import MAN, WOMAN, portraits, tied
from lessons_lib.evidence import gender_words
from lessons_lib.evidence.fairness import Outcomes
from lessons_lib.experiments import equalizer
from lessons_lib.feedback.equalizer import token_mask
from lessons_lib.training.equalizer import Weights, fine_tune, summary, tell
from lessons_lib.training.language import cut_caption


@pytest.fixture(scope="module")
def small():
    old = equalizer.SIZES["quick"]
    equalizer.SIZES["quick"] = {**old, "eyes": 200, "train": 260, "test": 60, "size": 36, "epochs": (1, 2, 1)}
    try:
        world = equalizer.world(1300, quality=False)
        yield world, equalizer.start(world)
    finally:
        equalizer.SIZES["quick"] = old


# ---------------------------------------- the pictures
def test_shares_and_ties_are_reached():
    data = portraits(200, seed=5, women=0.3, unclear=0.2, tie=0.9, men_tie=0.75)
    assert torch.bincount(data.looks).tolist() == [48, 112, 40] and data.images.shape == (200, 3, 48, 48)
    kinds = [(truth, tied(activity)) for truth, activity in zip(data.truth, data.activities)]
    assert kinds.count(("woman", "woman")) / 48 == pytest.approx(0.9, abs=0.12)  # some are left out after the draw
    assert kinds.count(("man", "man")) / 112 == pytest.approx(0.75, abs=0.12)
    again = portraits(200, seed=5, women=0.3, unclear=0.2, tie=0.9, men_tie=0.75)
    assert torch.equal(again.images, data.images) and again.captions == data.captions


def test_captions_name_what_can_be_seen_and_some_are_cautious():
    data = portraits(150, seed=6, unclear=0.2)
    said = {"woman": [], "man": [], "other": []}
    for truth, sentences in zip(data.truth, data.captions):
        said[truth] += [gender_words.gender_of_caption(cut_caption(s), WOMAN, MAN) for s in sentences]
    assert set(said["other"]) == {"other"}
    for word in ("woman", "man"):
        assert set(said[word]) == {word, "other"}
        assert 0.12 < said[word].count("other") / len(said[word]) < 0.4
    never = portraits(20, seed=6, cautious=1.0)
    assert not any(set(cut_caption(s)) & {*WOMAN, *MAN} for sentences in never.captions for s in sentences)
    assert not any(name in data.names for name in ("woman", "man", "unclear", "person"))


def test_guesses_go_with_the_activity_and_only_where_nothing_tells():
    data, plain = (portraits(120, seed=8, unclear=0.5, guess=guess) for guess in (0.5, 0.0))
    words = []
    for n, truth in enumerate(data.truth):
        if truth != "other":
            assert data.captions[n] == plain.captions[n]
            continue
        found = [gender_words.gender_of_caption(cut_caption(s), WOMAN, MAN) for s in data.captions[n]]
        words += found
        assert set(found) <= {"other", tied(data.activities[n])}
        assert not any("a someone" in s or not s[0].isupper() for s in data.captions[n])
    assert 1 - words.count("other") / len(words) == pytest.approx(0.5, abs=0.12)
    assert torch.equal(data.images, plain.images)


def test_names_join_what_tells_the_same():
    data = portraits(60, seed=9, unclear=0.3)
    told = {name: data.shown[:, n] for n, name in enumerate(data.names)}
    assert torch.equal(told["hair: long or bun"], data.looks == 0)
    assert torch.equal(told["hair: short or bald"], data.looks == 1)
    assert torch.equal(told["hair: hidden"], data.looks == 2)


def test_persons_are_in_the_picture_and_rows_stay_together():
    data = portraits(12, seed=7)
    assert data.persons.flatten(1).sum(1).min() > 50 and data.persons.shape == (12, 48, 48)
    some = data[torch.tensor([4, 2])]
    assert torch.equal(some.images[1], data.images[2]) and some.captions == (data.captions[4], data.captions[2])
    assert data[data.looks == 0].truth == ("woman",) * 6
    with pytest.raises(ValueError, match="count"):
        portraits(0, seed=1)
    with pytest.raises(ValueError, match="activity_tie"):
        portraits(10, seed=1, tie=1.5)


def test_sets_of_the_world(small):
    world, _ = small
    assert world.balanced.truth.count("woman") == world.balanced.truth.count("man") == 30
    assert set(world.unknown.truth) == {"other"} and set(world.biased.truth) == {"woman", "man"}
    told = equalizer.told(world.train)
    assert "other" not in told.truth and 0 < len(told) < len(world.train)


def test_a_missing_library_is_told_before_anything_is_trained(monkeypatch):
    monkeypatch.setattr(gender_words.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install pycocoevalcap"):
        equalizer.world(1300)


def test_masks_of_the_control_lie_beside_the_persons():
    data = portraits(100, seed=11)
    moved = data.persons[torch.randperm(100)].roll(24, 2)
    covered = (moved & data.persons).flatten(1).sum(1) / data.persons.flatten(1).sum(1)
    same = (data.persons.roll(1, 0) & data.persons).flatten(1).sum(1) / data.persons.flatten(1).sum(1)
    assert covered.mean() < 0.2 < 0.4 < same.mean()


# ---------------------------------------- the arms
def test_every_arm_goes_on_from_the_same_captioner_and_changes_only_what_may_learn(small):
    world, start = small
    before = {name: value.clone() for name, value in start.state_dict().items()}
    model = equalizer.train(world, "equalizer", 1300)
    after = model.state_dict()
    assert all(torch.equal(start.state_dict()[name], value) for name, value in before.items())
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert {"namer.features.conv4.weight", "namer.score.weight", "picture.weight"} <= moved
    assert all(
        name.startswith(("namer.features.conv4", "namer.features.norm4", "namer.score", "picture")) for name in moved
    )
    assert not any("running" in name for name in moved)  # BatchNorm keeps its statistics
    images = world.train.images[:4]
    torch.testing.assert_close(
        summary(model.namer, model.namer.features[:11]((images - 0.5) / 0.25)), model.look(images)
    )


def test_all_words_in_one_call_are_the_words_one_after_another(small):
    world, start = small
    seen = start.look(world.train.images[:5])
    tokens = equalizer.tokens_of(start, world.train)[:5, 0]
    torch.testing.assert_close(tell(start, seen, tokens), start.tell(seen, tokens))


def test_arms_differ_and_a_seed_repeats(small):
    world, _ = small
    first = equalizer.train(world, "equalizer", 1300).picture.weight
    assert torch.equal(first, equalizer.train(world, "equalizer", 1300).picture.weight)
    for arm in ("baseline", "equalizer_shuffled_masks", "equalizer_without_acl"):
        assert not torch.equal(first, equalizer.train(world, arm, 1300).picture.weight), arm


def test_balanced_draws_as_many_women_as_men(small):
    from lessons_lib.training.equalizer import _rows

    world, start = small
    told = equalizer.told(world.train)
    tokens, (women, men) = equalizer.tokens_of(start, told), equalizer.gender_numbers(start)
    rows = _rows(tokens, women, men, True, 2, 3)
    share = token_mask(tokens[rows].flatten(1), women).any(1).float().mean()
    assert len(rows) == 2 * (len(told) // 2) * 2 or len(rows) == 2 * len(told)
    assert share == pytest.approx(0.5, abs=0.02)
    with pytest.raises(ValueError, match="one shape"):
        fine_tune(start, told.images, told.images[:3], tokens, women, men, Weights(), seed=0)


# ---------------------------------------- what is measured
def test_measures_are_in_their_range_and_follow_from_the_captions(small):
    pytest.importorskip("pycocoevalcap")
    world, start = small
    found = equalizer.measure(start, world)
    for name in ("error_rate", "divergence", "pointing", "pointing_energy", "unknown_as_person", "named", "bleu4"):
        assert 0 <= found[name] <= 1, name
    said = gender_words.said(start, world.balanced)[1]
    wrong = sum(a != b and a != "other" for a, b in zip(said, world.balanced.truth))
    assert found["error_rate"] == pytest.approx(wrong / 60)
    assert found["named"] == pytest.approx(1 - said.count("other") / 60)
    assert found["correct"] == pytest.approx(found["named"] - found["error_rate"])


def test_outcomes_by_kind_of_activity_add_up(small):
    world, start = small
    total, kinds = gender_words.outcomes(start, world.balanced), gender_words.same_activities(start, world.balanced)
    for side in ("women", "men"):
        parts = [getattr(kinds[kind], side) for kind in ("woman", "man")]
        assert tuple(map(sum, zip(*parts))) == getattr(total, side)
    assert isinstance(total, Outcomes)


def test_quality_ignores_which_word_the_person_gets(small):
    pytest.importorskip("pycocoevalcap")
    world, _ = small
    words = [cut_caption(sentences[0]) for sentences in world.biased.captions]
    swapped = [tuple({"woman": "man", "man": "person"}.get(word, word) for word in caption) for caption in words]
    found = gender_words.caption_quality(words, world.biased)
    assert found == gender_words.caption_quality(swapped, world.biased)
    assert found["bleu4"] == pytest.approx(1)
    worse = gender_words.caption_quality([caption[:3] for caption in words], world.biased)
    assert worse["cider"] < found["cider"]


def test_map_of_the_word_is_that_of_the_bound_caption(small):
    from lessons_lib.explain import grad_cam

    world, start = small
    caption = cut_caption(world.balanced.captions[0][0])
    one = gender_words.word_maps(start, world.balanced.images[:1], [caption], [1])
    other = grad_cam(start.given(caption), world.balanced.images[:1], lambda scores: scores[:, 1], size="images")
    torch.testing.assert_close(one, other)
    maps, rows = gender_words.gender_maps(start, world.balanced)
    assert len(maps) == len(rows) and maps.shape[1:] == (36, 36) and (maps >= 0).all()


# ---------------------------------------- claims
def test_claims_follow_from_the_numbers():
    good = {"error_rate": 0.1, "share_distance": 0.1, "divergence": 0.1, "pointing": 0.6, "unknown_as_person": 0.6}
    bad = {"error_rate": 0.3, "share_distance": 0.4, "divergence": 0.4, "pointing": 0.3, "unknown_as_person": 0.2}
    good |= {"ratio_distance": 0.1, "total_divergence": 0.02, "correct": 0.6}
    bad |= {"ratio_distance": 0.3, "total_divergence": 0.2, "correct": 0.3}
    quality = {"bleu4": 0.5, "cider": 2.0}
    arms = {arm: {k: [v, v + 0.001] for k, v in {**bad, **quality}.items()} for arm in equalizer.ARMS}
    arms["equalizer"] = {k: [v, v + 0.002] for k, v in {**good, **quality}.items()}
    found = {claim.id: claim.holds for claim in equalizer.claims({"arms": arms})}
    assert all(found.values()) and len(found) == 17
    arms["equalizer"]["error_rate"] = [0.21, 0.22]  # falls, but by less than a third
    arms["equalizer"]["bleu4"] = [0.485, 0.486]
    found = {claim.id: claim.holds for claim in equalizer.claims({"arms": arms})}
    assert not found["equalizer.error_rate"] and not found["equalizer.caption_quality"]
    assert found["equalizer.beats_rebalancing"] and found["equalizer.same_compute"]
    assert equalizer.claims({"arms": {"baseline": arms["baseline"]}}) == []
