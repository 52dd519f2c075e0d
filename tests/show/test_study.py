"""The trust study: sides are shuffled, answers are scored for the better model, nothing gives the answer away."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.show.study import TrustStudy


def make(count: int = 6, seed: int = 0) -> TrustStudy:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 3, 24, 24, generator=generator)
    maps = {m: (torch.rand(count, 24, 24, generator=generator), torch.zeros(count, 24, 24)) for m in ("a", "b")}
    return TrustStudy(images, maps, seed=seed)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_preferring_the_better_model_scores_plus_and_the_weaker_minus(seed):
    study = make(seed=seed)
    assert len(study) == 12 and {t.method for t in study.trials} == {"a", "b"}
    right = [2 if t.better_is_right else -2 for t in study.trials]
    assert len(set(right)) == 2, "both sides occur"
    assert [c.estimate for c in study.answer(right).results()] == [2, 2]
    assert all(c.holds for c in study.results())
    assert [c.estimate for c in make(seed=seed).answer([-v for v in right]).results()] == [-2, -2]
    always_left = make(seed=seed).answer([-2] * 12).results()
    assert all(abs(c.estimate) < 2 for c in always_left), "the side alone cannot win"


def test_unanswered_questions_are_left_out_and_bad_answers_refused():
    study = make()
    assert study.results() == []
    assert sum(t.answer is not None for t in study.answer([1, 0, -1]).trials) == 3
    with pytest.raises(ValueError, match=r"answer 2 is 3; one of -2, -1, 0, 1, 2"):
        study.answer([0, 3])
    with pytest.raises(ValueError, match="13 answers for 12 questions"):
        study.answer([0] * 13)
    with pytest.raises(ValueError, match="a pair of 2 maps"):
        TrustStudy(torch.rand(2, 3, 8, 8), {"a": (torch.rand(1, 8, 8), torch.rand(2, 8, 8))})


def test_pictures_do_not_name_the_models_and_the_sheet_describes_itself():
    study = make()
    assert study.trials[0].picture().png()[:4] == b"\x89PNG"
    assert "better" not in study.trials[0].picture().alt and len(study.sheet(2).alt) > 30


def test_buttons_walk_through_the_questions():
    study = make(count=1)
    line, picture, buttons = study.widget().children
    first = picture.value
    assert "Question 1 of 2" in line.value and len(first) > 100
    buttons.children[0].click()
    assert study.trials[0].answer == -2 and "Question 2 of 2" in line.value and picture.value != first
    buttons.children[4].click()
    assert study.trials[1].answer == 2 and "Thank you" in line.value
    assert all(button.disabled for button in buttons.children)
