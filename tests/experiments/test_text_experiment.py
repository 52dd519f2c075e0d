"""Lesson 05's experiment on text, made small: marks stand where the words stand, and the measures measure."""

from __future__ import annotations

import pytest
import torch

from data_fetch.fields import Texts
from data_fetch.words import split_words
from lessons_lib.experiments import runner
from lessons_lib.experiments import text as lesson

SMALL = {"train": 400, "epochs": 3, "channels": 8, "test": 120, "explained": 80}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(lesson.SIZES, "quick", SMALL)


@pytest.fixture(scope="module")
def tiny():
    """One world and its network for the tests that only read them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(lesson.SIZES, "quick", SMALL)
        world = lesson.world(1000)
        lesson.train(world, "grad_cam_words", 1000)
    return world


@pytest.mark.parametrize("seed", [1000, 1001])
def test_marks_stand_where_the_words_stand(seed):
    world = lesson.world(seed)
    assert not set(world.test.texts) & set(world.train.texts)
    words = world.vocabulary.decode(world.tokens)
    for row in range(0, len(world.test), 7):
        for name in ("evidence", "opposing"):
            marks = getattr(world.test, name)[row]
            assert getattr(world, name)[row].nonzero()[:, 0].tolist() == [n for n, mark in enumerate(marks) if mark]
        known = [w.lower() if w in world.vocabulary else "<unk>" for w in world.test.words[row]]
        assert list(words[row]) == known
    assert world.evidence.any(1).all() and not (world.evidence & world.opposing).any()
    assert not world.evidence[world.tokens == 0].any()


def test_content_words_carry_sentiment_by_themselves(tiny):
    content = {word for word, flag in zip(tiny.vocabulary.words, tiny.content.tolist()) if flag}
    assert {"terrible", "not", "delicious", "superb"} & content and not {"the", ".", ",", "was", "a", "<pad>"} & content


@pytest.mark.parametrize("arm", lesson.ARMS)
def test_every_arm_scores_words_and_never_padding(tiny, arm):
    model = lesson.train(tiny, arm, 1000)
    scores = lesson.scores_of(arm, model, tiny.tokens[:30], tiny.labels[:30], 5)
    assert scores.shape == tiny.tokens[:30].shape and torch.isfinite(scores).all()
    assert scores.any() and not scores[tiny.tokens[:30] == 0].any()
    metrics = lesson.measure(model, tiny, arm)
    assert all(0 <= number <= 1 for name, number in metrics.items() if name != "deletion") and metrics["deletion"] <= 1


def test_arms_explain_the_networks_that_they_name(tiny):
    usual, wide, fresh = (lesson.train(tiny, arm, 1000) for arm in ("gradient", "wide_kernels", "random_weights"))
    assert usual is lesson.train(tiny, "other_class", 1000) and wide is not usual and fresh is not usual
    assert usual.kernel_sizes == (1, 2, 3) and wide.kernel_sizes == (2, 3, 4)
    tokens, labels = tiny.tokens[:20], tiny.labels[:20]
    turned = lesson.scores_of("other_class", usual, tokens, labels, 0)
    assert torch.equal(turned, lesson.scores_of("grad_cam_words", usual, tokens, 1 - labels, 0))


def test_pointing_by_hand():
    tokens = torch.tensor([[4, 5, 6, 0], [4, 5, 6, 7], [4, 5, 0, 0], [4, 5, 6, 7]])
    marks = torch.tensor([[0, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]]).bool()
    scores = torch.tensor([[-3.0, -1, -2, 0], [2, 2, 1, 0], [0, 0, 0, 0], [1, 2, 3, 4]])
    assert lesson.points_at(scores, marks, tokens).tolist() == [1.0, 0.5, 1.0, 0.0]


class CountsFives(torch.nn.Module):
    """Class 1 has the logit: how often word 5 occurs."""

    def forward(self, tokens):
        count = (tokens == 5).sum(1).float()
        return torch.stack([torch.zeros_like(count), count], 1)


def test_deletion_by_hand():
    tokens = torch.tensor([[5, 4, 5, 3], [4, 5, 0, 0]])
    scores = torch.tensor([[3.0, 1, 2, 0], [-2, -1, 0, 0]])
    labels = torch.tensor([1, 1])
    chance = [1 / (1 + torch.tensor(-float(n)).exp()) for n in range(3)]
    wanted = torch.stack([chance[2] - chance[0], chance[1] - chance[0]])
    network = CountsFives()
    torch.testing.assert_close(lesson.deletion_drop(network, tokens, scores, labels, share=0.5), wanted)
    none = lesson.deletion_drop(network, tokens, -scores, labels, share=0.1)  # one word each, the wrong one
    assert none.tolist() == [0.0, 0.0]
    ties = [lesson.deletion_drop(network, tokens[:1], torch.zeros(1, 4), labels[:1], seed=s) for s in range(12)]
    assert len({round(float(drop), 4) for drop in ties}) == 2, "words that tie go in a random order"


def test_marks_as_scores_are_a_perfect_explanation(tiny, monkeypatch):
    """An oracle that scores the marked words of the asked class gets full marks; its opposite gets none."""
    model = lesson.train(tiny, "gradient", 1000)
    index = {tuple(row.tolist()): n for n, row in enumerate(tiny.tokens)}

    def oracle(arm, network, tokens, targets, seed):
        rows = [index[tuple(row.tolist())] for row in tokens]
        own = (tiny.labels[rows] == targets)[:, None]
        marks = torch.where(own, tiny.evidence[rows], tiny.opposing[rows])
        return (marks if arm == "gradient" else ~marks & (tokens != 0)).float()

    monkeypatch.setattr(lesson, "scores_of", oracle)
    best, worst = (lesson.measure(model, tiny, arm) for arm in ("gradient", "occlusion"))
    for name in ("pointing", "pointing_all", "pointing_negation", "evidence_mass", "both_sides"):
        assert best[name] == 1 and worst[name] == 0, name
    assert best["opposing_pointing"] == 0 and worst["pointing_content"] == 0


def test_real_texts_have_no_marks_and_are_measured_by_deletion(monkeypatch):
    sides = {0: "a dull and clumsy film {}", 1: "a witty and moving film {}"}

    def read(name, split, **options):
        count = 120 if split == "train" else 40
        texts = tuple(sides[n % 2].format(f"number {split} {n}") for n in range(count))
        labels = torch.tensor([n % 2 for n in range(count)])
        words = tuple(map(split_words, texts))
        return Texts(texts=texts, words=words, labels=labels, class_names=("negative", "positive"))

    monkeypatch.setattr(lesson, "read", read)
    for data in ("sst2", "imdb"):
        found = runner.run("text", [1000, 1001], data=data, arms=["grad_cam_words", "random_words"])
        assert set(found["arms"]["grad_cam_words"]) == {"deletion"} and set(found["extra"]) == {"accuracy"}
        assert [claim["id"] for claim in found["claims"]] == ["text.deletion"]


@pytest.mark.parametrize("seed", [1000, 1001])
def test_two_runs_with_one_seed_agree(seed):
    arms = ["grad_cam_words", "random_words"]
    first, again = (runner.run("text", [seed], arms=arms) for _ in range(2))
    assert first["arms"] == again["arms"] and first["extra"] == again["extra"]


def test_claims_follow_the_numbers():
    """Figures as they should be pass; a Grad-CAM that is as blind to classes as the gradient does not."""

    def arm(pointing, both, opposing, deletion, mass):
        wobble = [0.0, 0.01, -0.01, 0.02, -0.02]
        numbers = dict(pointing=pointing, both_sides=both, opposing_pointing=opposing, deletion=deletion)
        return {k: [v + w for w in wobble] for k, v in {**numbers, "evidence_mass": mass}.items()}

    rows = {name: arm(0.75, 0.1, 0.1, 0.2, 0.4) for name in lesson.ARMS}
    rows["grad_cam_words"] = arm(0.95, 0.7, 0.02, 0.4, 0.5)
    rows["random_words"], rows["random_weights"] = (arm(0.2, 0.0, 0.1, 0.05, 0.2) for _ in range(2))
    rows["other_class"] = arm(0.2, 0.0, 0.7, 0.0, 0.2)
    results = {"arms": rows, "extra": {"accuracy": [0.9, 0.91, 0.92, 0.9, 0.91]}}
    verdicts = {claim.id.split(".")[1]: claim.holds for claim in lesson.claims(results)}
    assert all(verdicts.values()) and len(verdicts) == 9
    results["extra"]["accuracy"] = [0.84, 0.86, 0.85, 0.84, 0.86]
    rows["grad_cam_words"] = arm(0.79, 0.1, 0.3, 0.06, 0.4)
    verdicts = {claim.id.split(".")[1]: claim.holds for claim in lesson.claims(results)}
    refuted = {"accuracy", "pointing", "class_discriminative", "deletion", "resolution"}
    assert {name for name, holds in verdicts.items() if not holds} == refuted
    del rows["gradient"]
    assert "pointing_above_gradient" not in {claim.id.split(".")[1] for claim in lesson.claims(results)}
