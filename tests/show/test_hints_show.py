"""Pictures of lesson 11, and the desk at which the reader annotates."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.experiments import hint
from lessons_lib.feedback.hint import human_scores
from lessons_lib.show.hints import CELLS, Annotator, region_map, show_question


@pytest.fixture(scope="module")
def world():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(hint.SIZES, "quick", {"train": 60, "test": 20, "size": 48, "regions": 8, "epochs": (1, 1, 1, 1)})
        patch.setattr(hint, "STEPS", 2)
        patch.setattr(hint, "MARKED", 0.2)
        yield hint.world(1200)


def test_a_region_map_is_the_largest_value_over_each_pixel():
    boxes = torch.tensor([[0.0, 0, 4, 4], [2, 2, 6, 6], [7, 7, 8, 8]])
    found = region_map(torch.tensor([0.5, 1.0, -1.0]), boxes, 8)
    assert found.shape == (8, 8) and found[0, 0] == 1.5 and found[3, 3] == 2 and found[7, 7] == 0
    assert int((found > 0).sum()) == 16 + 16 - 4


def test_a_question_is_shown_with_people_and_models(world):
    baseline = hint.train(world, "baseline", 1200, captions=False)
    figure = show_question(world, "shifted", 2, {"baseline": baseline})
    assert figure.png()[:4] == b"\x89PNG"
    assert world.sets.shifted.questions[2] in figure.alt and "people" in figure.alt and "baseline (says" in figure.alt


def test_what_is_painted_replaces_the_simulated_map_and_can_be_cleared(world):
    desk = Annotator(world, 4)
    before = desk.human()
    assert desk.painted == 0 and before.shape == (4, 8) and "4 pictures" in desk.static().alt
    heat = torch.zeros(CELLS, CELLS)
    heat[:, : CELLS // 2] = 1
    desk.paint(2, heat)
    after = desk.human()
    assert desk.painted == 1 and torch.equal(after[[0, 1, 3]], before[[0, 1, 3]])
    half = torch.zeros(1, 48, 48)
    half[..., :24] = 1
    boxes = world.sets.train.pictures.proposals[desk.questions.image_index[2]][None]
    torch.testing.assert_close(after[2], human_scores(half, boxes)[0], atol=0.05, rtol=0)
    with pytest.raises(ValueError, match="heat must be"):
        desk.paint(0, torch.zeros(3, 3))


def test_the_canvas_and_the_buttons_move_between_questions(world):
    pytest.importorskip("anywidget")
    desk = Annotator(world, 3)
    assert desk.view is not None and "1 of 3" in desk.label.value
    desk.canvas.heat = [1] * CELLS**2
    desk.buttons[1].click()
    assert "2 of 3" in desk.label.value and sum(desk.canvas.heat) == 0 and desk.painted == 1
    assert desk.canvas.picture.startswith("data:image/png;base64,")
    desk.buttons[0].click()
    assert sum(desk.canvas.heat) == CELLS**2
    desk.buttons[2].click()
    assert desk.painted == 0


def test_it_trains_on_these_questions_and_works_without_widgets(world, monkeypatch):
    monkeypatch.setenv("LESSONS_STATIC", "1")
    desk = Annotator(world, 3)
    assert desk.view is None
    model = desk.train(steps=2, lr=1e-3).answerer
    assert not torch.equal(model.out[0].weight, hint.start(world).out[0].weight)
    for count in (1, 10_000):
        with pytest.raises(ValueError, match="count"):
            Annotator(world, count)
