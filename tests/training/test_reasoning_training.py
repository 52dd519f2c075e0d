"""Pairs as columns, the pairings of the controls, and trainings that move what they should."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from data_fetch.words import split_words
from data_fetch.worlds.scenes.introspection import reasoning_sets
from lessons_lib.feedback.squint import squint_loss
from lessons_lib.training.reasoning import (
    Weights,
    fine_tune,
    known_pairs,
    learn,
    new_model,
    pair_loss,
    triples,
)
from lessons_lib.training.reasoning_eyes import GRID, GROUNDS, grid_features, ground_shares, train_scene_eyes


@pytest.fixture(scope="module")
def small():
    sets = reasoning_sets(1300, train=240, test=80, size=32, perception=2)
    eyes = train_scene_eyes(sets.train.pictures, epochs=1, width=4, seed=1300)
    features = eyes.regions(sets.train.pictures.images, sets.train.pictures.proposals)
    model = new_model((sets.train, sets.perception), features.shape[2], hidden=16, seed=1300)
    learn(model, features, (sets.train, sets.perception), seed=1300)
    return sets, features, model


# ---------------------------------------- columns
def test_triples_hold_the_words_and_answers_of_their_questions(small):
    sets, _, model = small
    data, asked = triples(sets.train, model), sets.train
    assert len(data) == sum(map(len, asked.perception))
    words = lambda row: [model.vocabulary.words[n] for n in row.tolist() if n]  # noqa: E731
    cut = lambda text: " ".join(split_words(text.lower()))  # noqa: E731
    for place in (0, 17, len(data) - 1):
        row = int(data.row[place])
        assert " ".join(words(data.main[place])) == cut(asked.questions[row])
        assert int(data.picture[place]) == int(asked.image_index[row])
        assert model.answers[data.main_answer[place]] == asked.answers[row]
        number = int((data.row[:place] == row).sum())
        sub = asked.perception[row][number]
        assert " ".join(words(data.sub[place])) == cut(sub.question)
        others = {cut(qa.question) for qa in asked.irrelevant[row]}
        assert " ".join(words(data.other[place])) in (others or {""})
    assert data[known_pairs(data)].row.shape == (int(known_pairs(data).sum()),)


def test_rare_answers_are_not_learned(small):
    sets, features, model = small
    assert model.numbers_of(["yes", "purple elephant"]).tolist() == [model.answers.index("yes"), -1]
    few = new_model((sets.train,), features.shape[2], least=20, hidden=8, seed=0)
    assert set(few.answers) < set(model.answers)
    with pytest.raises(ValueError, match="two different answers"):
        new_model((sets.train,), 4, least=10**6, seed=0)


# ---------------------------------------- losses
def test_pairings_differ_in_the_target_alone(small):
    sets, features, model = small
    data = triples(sets.train, model)
    data = data[known_pairs(data)][:24]
    batch = {name: getattr(data, name) for name in ("main", "sub", "other", "main_answer", "sub_answer")}
    seen = features[data.picture]
    model.eval()
    (main, looked), (sub, target) = model.reply(seen, data.main), model.reply(seen, data.sub)
    parts = {}
    for pairing in ("sub_question", "random_question", "other_image"):
        total, parts[pairing] = pair_loss(model, seen, batch, Weights(2.0, 4.0, pairing=pairing))
        expected = parts[pairing]["main"] + 2 * parts[pairing]["attention"] + 4 * parts[pairing]["sub"]
        assert float(total.detach()) == pytest.approx(expected, rel=1e-5)
    answers = (main, data.main_answer, sub, data.sub_answer)
    assert parts["sub_question"] == pytest.approx(squint_loss(*answers, looked, target)[1])
    assert parts["other_image"] == pytest.approx(squint_loss(*answers, looked, target.roll(1, 0))[1])
    other = model.reply(seen, data.other)[1]
    there = (data.other != 0).any(1)
    distance = ((looked - other).square().mean(1) * there).mean().detach()
    assert parts["random_question"]["attention"] == pytest.approx(float(distance), rel=1e-5)
    assert len({round(part["attention"], 7) for part in parts.values()}) == 3


def test_fine_tuning_leaves_the_start_alone_repeats_and_brings_attentions_together(small):
    sets, features, model = small
    data, model = triples(sets.train, model), deepcopy(model)
    with torch.no_grad():
        for layer in (model.words, model.look.query, model.look.score):
            layer.weight *= 20  # attention that prefers some regions, others for every question
    before = [value.clone() for value in model.parameters()]
    options = {"epochs": 2, "seed": 5}
    near = fine_tune(model, features, data, Weights(200.0), **options)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters()))
    again = fine_tune(model, features, data, Weights(200.0), **options)
    assert all(torch.equal(a, b) for a, b in zip(near.parameters(), again.parameters()))
    far = fine_tune(model, features, data, Weights(0.0), **options)

    @torch.no_grad()
    def distance(trained):
        seen = features[data.picture]
        return float((trained.reply(seen, data.main)[1] - trained.reply(seen, data.sub)[1]).square().sum(1).mean())

    assert distance(near) < 0.5 * distance(far)
    constant = fine_tune(model, features, data, Weights(200.0, detach=True), **options)
    assert not torch.equal(constant.out[0].weight, near.out[0].weight)


def test_learning_takes_so_many_rows_and_refuses_nothing_known(small):
    sets, features, model = small
    reports = []
    learn(model, features, (sets.perception,), rows=130, batch_size=32, seed=1, progress=reports.append)
    assert len(reports) == 5 and reports[-1].steps == 5  # 130 rows in batches of 32
    data = triples(sets.train, model)
    nothing = data[data.main_answer < 0]
    with pytest.raises(ValueError, match="no pair"):
        fine_tune(model, features, nothing, Weights(), seed=0)
    with pytest.raises(ValueError, match="pairing must be one of"):
        Weights(pairing="any")


# ---------------------------------------- eyes
def test_ground_shares_are_those_of_the_pixels(small):
    sets, features, _ = small
    pictures = sets.train.pictures
    shares = ground_shares(pictures)
    assert shares.shape == (*pictures.proposals.shape[:2], len(GROUNDS))
    assert shares.min() >= 0 and shares.sum(-1).max() <= 1 + 1e-4
    from data_fetch.worlds.scenes.places import REGIONS

    x0, y0, x1, y1 = pictures.proposals[3, -1].round().int().tolist()
    part = (pictures.owner[3] == 0) & (pictures.region[3] == REGIONS.index("grass"))
    assert float(shares[3, -1, GROUNDS.index("grass")]) == pytest.approx(
        float(part[y0:y1, x0:x1].float().mean()), abs=0.05
    )
    assert features.shape == (240, 14, 16 + 5) and features.isfinite().all()
    with pytest.raises(ValueError, match="no proposals"):
        ground_shares(pictures.__class__(**{**vars(pictures), "proposals": None}))


def test_grid_features_say_where_their_cells_lie():
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    cells = grid_features(images, weights=None)
    assert cells.shape == (3, GRID * GRID, 512 + 5)
    assert cells[0, 1, -5:].tolist() == [0.25, 0.0, 0.5, 0.25, 0.0625]
    assert cells[0, -1, -5:-1].tolist() == [0.75, 0.75, 1.0, 1.0]
