"""The experiment of lesson 03 on a small world: what its parts mean, and claims that follow from numbers."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from data_fetch.worlds.scenes.vocabulary import KINDS
from lessons_lib.experiments import captions


@pytest.fixture(scope="module")
def small():
    sizes = {"train": 640, "size": 32, "test": 40, "questions": 12, "epochs": (9, 12, 2)}
    old = captions.SIZES["quick"]
    captions.SIZES["quick"] = sizes
    try:
        world = captions.world(1200)
        models = captions.train(world, "grad_cam", 1200)
        yield world, models
    finally:
        captions.SIZES["quick"] = old


def test_every_arm_explains_the_same_models(small):
    world, models = small
    assert captions.train(world, "uniform", 1200) is models
    assert models.captioner.size == 32 and not models.answerer.blind


def test_words_name_what_is_in_the_picture(small):
    world, models = small
    said, words = captions.words_of(models.captioner, world.test[:40])
    assert len(said) == 40
    for word in words:
        assert KINDS.index(word.kind) in world.test.box_labels[word.row].tolist()
        assert word.box.any() and not (word.mask & ~word.box).any()  # pixels of a thing lie in its box
    assert all(len(caption) > word.place for word in words for caption in [said[word.row]])


def test_the_uniform_arm_scores_chance(small):
    world, models = small
    found = captions.measure(models, world, "uniform")
    assert found["inside_outside"] == pytest.approx(1.0)
    boxes = torch.stack([word.box for word in world.cache["words"][1]])
    assert found["word_pointing"] == pytest.approx(boxes.float().mean().item(), abs=1e-5)
    assert found["human_correlation"] == 0 and found["occlusion_correlation"] == 0


def test_an_absent_word_is_put_in_the_words_place(small):
    world, models = small
    pictures = captions._pictures(world)
    said, words = captions.words_of(models.captioner, pictures)
    word = words[0]
    changed = captions._replaced(said[word.row], word, pictures)
    different = [n for n, (a, b) in enumerate(zip(said[word.row], changed)) if a != b]
    assert different == [word.place]
    assert KINDS.index(changed[word.place]) not in pictures.box_labels[word.row].tolist()


@pytest.mark.parametrize("arm", ["grad_cam", "other_score", "random_weights"])
def test_measures_are_numbers_in_their_range(small, arm):
    world, models = small
    found = captions.measure(models, world, arm)
    assert found["inside_outside"] >= 0
    assert 0 <= found["word_pointing"] <= 1 and 0 <= found["word_energy"] <= 1
    assert -1 <= found["occlusion_correlation"] <= 1 and -1 <= found["human_correlation"] <= 1


def test_the_whole_captions_map_is_one_map_for_all_its_words(small):
    world, models = small
    maps = captions.word_maps("other_score", models, world)
    words = world.cache["words"][1]
    rows = [word.row for word in words]
    twice = next((n for n in range(len(rows) - 1) if rows[n] == rows[n + 1]), None)
    assert len(maps) == len(words)
    if twice is not None:
        assert torch.equal(maps[twice], maps[twice + 1])


def test_accuracy_counts_right_answers(small):
    world, models = small
    asked = world.asked_test[:20]
    found = captions.accuracy(models.answerer, asked)
    with torch.no_grad():
        said = [
            models.answerer.answers[int(models.answerer.asked(q)(asked.images[n : n + 1]).argmax())]
            for n, q in enumerate(asked.questions)
        ]
    assert found == pytest.approx(sum(a == b for a, b in zip(said, asked.answers)) / 20)
    wrong = dataclasses.replace(asked, answers=tuple("nobody says this" for _ in range(20)))
    assert captions.accuracy(models.answerer, wrong) == 0


def test_claims_follow_from_the_numbers():
    metrics = (
        "inside_outside",
        "word_pointing",
        "word_energy",
        "answer_pointing",
        "occlusion_correlation",
        "human_correlation",
    )
    arms = {arm: {name: [0.5, 0.51] for name in metrics} for arm in captions.ARMS}
    arms["grad_cam"]["inside_outside"] = [4.0, 4.1]
    arms["uniform"]["word_pointing"] = [0.15, 0.16]
    found = {
        claim.id: claim.holds
        for claim in captions.claims(
            {"arms": arms, "extra": {"accuracy": [0.8, 0.8], "question_only_accuracy": [0.75, 0.74]}}
        )
    }
    assert found["captions.inside_outside"] and found["captions.inside_outside_above_guided"]
    assert found["captions.word_pointing"]
    assert not found["vqa.occlusion_correlation"] and not found["vqa.accuracy"]
    assert found["vqa.human_correlation"] and not found["vqa.answer_pointing"]


def test_extra_compares_with_a_model_that_sees_nothing(small):
    world, models = small
    found = captions.extra(world, 1200)
    assert set(found) == {"accuracy", "question_only_accuracy", "object_precision", "object_recall", "words"}
    assert found["accuracy"] == pytest.approx(captions.accuracy(models.answerer, world.asked_test))
    assert found["question_only_accuracy"] != found["accuracy"] and 0 < found["object_precision"] <= 1
