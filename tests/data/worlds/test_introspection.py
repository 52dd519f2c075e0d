"""Sets of reasoning questions: what goes with the person in training does not in the balanced test."""

from __future__ import annotations

import pytest
import torch

from data_fetch.worlds.scenes import ask, reason, scenes
from data_fetch.worlds.scenes.introspection import (
    COLUMNS,
    LINES,
    RULES,
    pairs,
    person,
    primed,
    reasoning_sets,
    with_grid,
)


@pytest.fixture(scope="module")
def sets():
    return reasoning_sets(1300, train=500, test=300, size=32)


def agreement(asked):
    return float((person(asked) == torch.tensor([answer == "yes" for answer in asked.answers])).float().mean())


def test_answers_go_with_a_person_in_training_and_not_in_the_balanced_set(sets):
    assert agreement(sets.train) == pytest.approx(0.9, abs=0.02)
    assert agreement(sets.same) == pytest.approx(0.9, abs=0.02)
    assert agreement(sets.balanced) == pytest.approx(0.5, abs=0.02)
    for asked in (sets.train, sets.same, sets.balanced):
        assert asked.answers.count("yes") / len(asked) == pytest.approx(0.5, abs=0.03)
        assert set(asked.kinds) <= set(RULES) and all(asked.perception)
    assert sets.same.pictures is sets.balanced.pictures and sets.train.pictures is sets.perception.pictures


def test_the_balance_holds_within_each_rule(sets):
    there = person(sets.balanced)
    for kind in set(sets.balanced.kinds):
        rows = torch.tensor([other == kind for other in sets.balanced.kinds])
        yes = torch.tensor([answer == "yes" for answer in sets.balanced.answers])
        if rows.sum() >= 16:
            assert float((there == yes)[rows].float().mean()) == pytest.approx(0.5, abs=0.05), kind


def test_no_reasoning_rests_on_a_person(sets):
    for asked in (sets.train, sets.balanced):
        questions = [qa.question for subs in asked.perception for qa in subs]
        assert not any("person" in question for question in (*questions, *asked.questions))
        assert not any(0 in slots for slots in asked.evidence)  # slot 0 is the person


def test_a_seed_repeats_and_others_differ(sets):
    again = reasoning_sets(1300, train=500, test=300, size=32)
    assert again.train.questions == sets.train.questions
    assert torch.equal(again.balanced.pictures.images, sets.balanced.pictures.images)
    other = reasoning_sets(1301, train=500, test=300, size=32)
    assert other.train.questions != sets.train.questions


def test_grid_stands_behind_the_proposals(sets):
    boxes = sets.train.pictures.proposals
    assert boxes.shape == (500, 8 + COLUMNS * LINES, 4)
    cells = boxes[0, 8:]
    area = ((cells[:, 2] - cells[:, 0]) * (cells[:, 3] - cells[:, 1])).sum()
    assert float(area) == pytest.approx(32 * 32, rel=1e-4) and torch.equal(cells, boxes[7, 8:])
    with pytest.raises(ValueError, match="with_proposals"):
        with_grid(scenes(4, seed=1, size=32))


def test_pairs_are_every_sub_question_once(sets):
    found = pairs(sets.train)
    assert len(found) == sum(map(len, sets.train.perception))
    first = [n for n, row in enumerate(found.row.tolist()) if row == 3]
    assert [found.questions[n] for n in first] == [qa.question for qa in sets.train.perception[3]]
    assert [found.answers[n] for n in first] == [qa.answer for qa in sets.train.perception[3]]


def test_errors_name_what_is_wrong(sets):
    with pytest.raises(ValueError, match="rain"):
        reasoning_sets(1, train=10, test=10, rules=("swim", "rain"))
    with pytest.raises(ValueError, match="strength must be 0.5"):
        primed(sets.train, 0.3, 10)
    nobody = reason(scenes(60, seed=3, size=32, people=0.0), rules=("swim",))
    with pytest.raises(ValueError, match="with and without a person"):
        primed(nobody, 0.9, 10)
    with pytest.raises(ValueError, match="no sub-questions"):
        pairs(ask(sets.train.pictures[:20], seed=1))
    assert len(primed(sets.train, 0.9, 40)) <= 44
