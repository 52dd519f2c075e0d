"""Training on region proposals: the baseline, the arms that go on from it, eyes and captions."""

from __future__ import annotations

import dataclasses
from copy import deepcopy

import pytest
import torch

from data_fetch.worlds.scenes.priors import prior_sets, region_labels
from lessons_lib.evidence import rank_correlation
from lessons_lib.feedback.hint import ranking_loss, zero_out_loss
from lessons_lib.training.hint import (
    Asked,
    Recipe,
    as_asked,
    fine_tune,
    importances,
    pretrain,
    recipe_loss,
    replies,
    start_model,
)
from lessons_lib.training.hint_captions import (
    caption_words,
    fine_tune_captioner,
    train_captioner,
    word_accuracy,
    word_importances,
    word_pointing,
    word_scores,
)
from lessons_lib.training.hint_regions import region_accuracy, train_eyes

QUESTIONS = ("What color is the dog?", "What color is the cat?", "Is the dog red?", "Is the cat red?")


@pytest.fixture(scope="module")
def toy():
    """48 pictures of 4 regions; a one-hot region each for dog and cat with their colours, which answer four questions."""
    generator = torch.Generator().manual_seed(5)
    features, rows, questions, answers, human = torch.zeros(48, 4, 7), [], [], [], []
    for n in range(48):
        places = torch.randperm(4, generator=generator)[:2]
        colours = torch.randint(0, 3, (2,), generator=generator).tolist()
        for animal in (0, 1):
            features[n, places[animal], animal] = features[n, places[animal], 2 + colours[animal]] = 1
            for kind in (0, 2):
                rows.append(n)
                questions.append(QUESTIONS[kind + animal])
                answers.append(
                    ("red", "blue", "grey")[colours[animal]] if kind == 0 else ("no", "yes")[colours[animal] == 0]
                )
                human.append(torch.eye(4)[places[animal]] * 0.5 + 0.2 + 0.01 * torch.arange(4))
    model = start_model(questions, answers, 7, hidden=16, seed=2)
    asked = as_asked(model, features, torch.tensor(rows), questions, answers)
    pretrain(model, asked, epochs=50, lr=2e-2, batch_size=32, seed=2)
    return model, asked, torch.stack(human)


KNOWN = torch.arange(0, 192, 3)


def tuned(toy, recipe, **options):
    model, asked, human = toy
    options = {"steps": 12, "lr": 5e-3, "batch_size": 32, "seed": 4} | options
    return fine_tune(model, asked, human[KNOWN], KNOWN, recipe, **options)


def agreement(model, toy):
    return float(rank_correlation(importances(model, toy[1])[:, None], toy[2][:, None]).mean())


def test_pretraining_learns_and_measures_agree(toy):
    model, asked, _ = toy
    logits, attention = replies(model, asked)
    assert logits.shape == (192, 5) and attention.shape == (192, 4)
    assert (logits.argmax(1) == asked.labels).float().mean() > 0.6
    alpha = importances(model, asked)
    assert alpha.shape == (192, 4) and not alpha.requires_grad
    torch.testing.assert_close(importances(model, asked, torch.tensor([5, 9])), alpha[[5, 9]])


def test_ranking_moves_importances_to_the_cue_and_leaves_the_start_alone(toy):
    before = deepcopy(toy[0].state_dict())
    right, turned = (tuned(toy, Recipe(ranking=5.0, answer=0.0, cue=cue)) for cue in ("relevant", "irrelevant"))
    assert all(torch.equal(before[name], value) for name, value in toy[0].state_dict().items())
    assert agreement(right, toy) > agreement(toy[0], toy) + 0.05 > agreement(turned, toy) + 0.1
    cost = [float(ranking_loss(importances(m, toy[1], KNOWN), toy[2][KNOWN])) for m in (toy[0], right)]
    assert cost[1] < cost[0]


def test_attention_supervision_moves_attention_and_zero_out_lowers_answers(toy):
    to = toy[2] / toy[2].sum(1, keepdim=True)
    far = [(replies(m, toy[1])[1] - to).square().sum(1).mean() for m in (toy[0], tuned(toy, Recipe(attention=20.0)))]
    assert far[1] < far[0]
    start, less = (zero_out_loss(replies(m, toy[1])[0]) for m in (toy[0], tuned(toy, Recipe(zero_out=2.0, answer=0.0))))
    assert less < start


def test_the_same_seed_gives_the_same_model_and_random_cues_differ_when_fresh(toy):
    fixed = Recipe(ranking=5.0, cue="random")
    a, b = tuned(toy, fixed), tuned(toy, fixed)
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters()))
    fresh = tuned(toy, Recipe(ranking=5.0, cue="random", fresh=True))
    assert any(not torch.equal(x, y) for x, y in zip(a.parameters(), fresh.parameters()))


def test_passes_and_everywhere_say_how_long_and_on_what(toy):
    seen = []
    tuned(toy, Recipe(passes=3), progress=seen.append)
    assert len(seen) == 36
    logits, terms = recipe_loss(toy[0], toy[1], torch.tensor([0, 1]), toy[2][:2], Recipe(ranking=1.0, attention=1.0))
    assert set(terms) == {"answer", "ranking", "attention"} and logits.requires_grad
    assert any(
        not torch.equal(x, y)
        for x, y in zip(tuned(toy, Recipe()).parameters(), tuned(toy, Recipe(everywhere=True)).parameters())
    )


def test_a_ranking_cannot_be_trained_on_questions_without_a_cue(toy):
    with pytest.raises(ValueError, match="everywhere"):
        tuned(toy, Recipe(ranking=1.0, everywhere=True))


def test_bad_input_is_named(toy):
    model, asked, human = toy
    with pytest.raises(ValueError, match=r"human must be \(K, 4\)"):
        fine_tune(model, asked, human[:8], KNOWN, Recipe(), steps=1, seed=1)
    with pytest.raises(ValueError, match="at least 2"):
        fine_tune(model, asked, human[:1], KNOWN[:1], Recipe(), steps=1, seed=1)
    with pytest.raises(ValueError, match="kind must be"):
        tuned(toy, Recipe(ranking=1.0, cue="kind"))
    with pytest.raises(ValueError, match="as many rows"):
        Asked(asked.features, asked.rows[:3], asked.tokens, asked.labels)
    assert as_asked(model, asked.features, torch.tensor([0]), ["Is it?"], ["maybe"]).labels.tolist() == [-1]


# ---------------------------------------- eyes and captions
@pytest.fixture(scope="module")
def pictures():
    return prior_sets(1200, train=80, test=10, proposals=8, objects=(1, 2)).train.pictures


def test_eyes_learn_what_regions_show(pictures):
    eyes = train_eyes(pictures, epochs=6, width=8, seed=1)
    found = region_accuracy(eyes, pictures)
    assert set(found) == {"kind", "colour", "state"} and found["colour"] > 0.3
    assert not any(p.requires_grad for p in eyes.parameters())


def test_eyes_need_regions_that_show_something(pictures):
    nowhere = dataclasses.replace(pictures[:4], proposals=torch.tensor([[0.0, 0, 2, 2]]).expand(4, 8, 4))
    with pytest.raises(ValueError, match="no proposal shows a thing"):
        train_eyes(nowhere, seed=1)


def test_captions_their_words_and_hint_on_them(pictures):
    labels = region_labels(pictures)
    shown = torch.nn.functional.one_hot(labels.kind.clamp(min=0), 40).float()  # perfect eyes
    told, vocabulary = caption_words(pictures, shown)
    names = [vocabulary.words[told.tokens[tuple(word)]] for word in told.words[:40].tolist()]
    assert {"dog", "car", "man", "woman", "person"} & set(names) and told.tokens.shape[:2] == (80, 5)
    model = train_captioner(told, vocabulary, epochs=3, hidden=16, seed=1)
    known = torch.arange(0, 120)
    human = word_scores(told, pictures, known)
    assert human.shape == (120, 8) and human.min() >= 0 and human.max() <= 1
    first = told.tokens[:, 0]
    right = [(model(f[None], t[None]).argmax(2)[0] == t)[t != 0].float() for f, t in zip(shown, first)]
    assert word_accuracy(model, told) == pytest.approx(float(torch.cat(right).mean()), abs=1e-6)
    cost = {}
    for cue in ("relevant", "irrelevant"):
        found = fine_tune_captioner(model, told, human, known, Recipe(ranking=20.0, cue=cue), steps=15, lr=5e-3, seed=2)
        cost[cue] = float(ranking_loss(word_importances(found, told, known), human))
        assert 0 <= word_pointing(found, told, labels) <= 1
    assert cost["relevant"] < cost["irrelevant"]
    same = fine_tune_captioner(model, told, human, known, Recipe(), steps=2, seed=2)
    assert any(not torch.equal(x, y) for x, y in zip(model.parameters(), same.parameters()))
    with pytest.raises(ValueError, match="known"):
        fine_tune_captioner(model, told, human, known[:3], Recipe(), steps=1, seed=1)
