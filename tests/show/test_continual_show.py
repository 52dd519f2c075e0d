"""Lesson 15's pictures: matrices in words, maps of one old picture, and the desk, on a small world."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.evidence.remembering import watched_rows
from lessons_lib.experiments import rrr
from lessons_lib.show.continual import Desk, show_matrices, show_watched
from lessons_lib.training.continual import Pace

SMALL = {"base": 4, "ways": 2, "tasks": 3, "sessions": 2, "train": 6, "shots": 3, "test": 4, "size": 24, "width": 4,
         "epochs": 1}  # fmt: skip


@pytest.fixture(scope="module")
def small():
    old, paces = rrr.SIZES["quick"], dict(rrr.PACES)
    rrr.SIZES["quick"] = SMALL
    rrr.PACES.update({"regular": Pace(1, 1e-2, 4, 6), "few_shot": Pace(1, 1e-2, 2, 6)})
    try:
        world = rrr.world(1300)
        rrr.start(world, "regular")
        yield world
    finally:
        rrr.SIZES["quick"] = old
        rrr.PACES.update(paces)


def test_matrices_are_told_in_words():
    matrix = torch.tensor([[0.9, float("nan")], [0.4, 0.8]])
    figure = show_matrices({"one": matrix, "two": matrix}, title="Accuracy")
    assert figure.alt.startswith("Accuracy.") and "one: mean of the last row 60 %" in figure.alt
    assert "after each task: 90, 40 %" in figure.alt and len(figure.axes) == 2
    numbers = sorted(text.get_text() for text in figure.axes[0].texts)
    assert numbers == ["40", "80", "90"]  # nothing above the diagonal
    for wrong in ({}, {"one": torch.ones(2, 3)}):
        with pytest.raises(ValueError, match="at least one matrix"):
            show_matrices(wrong)


def test_a_watched_picture_after_each_task(small):
    course = rrr.train(small, "rrr_gradcam", 1300, settings=("few_shot",)).courses["few_shot"]
    figure = show_watched(course, small, "few_shot", 1, name="RRR")
    tasks = small.settings["few_shot"]
    row = watched_rows(tasks)[1]
    label = int(tasks.test_labels[row])
    assert f"RRR: {tasks.class_names[label]}" in figure.alt
    with torch.no_grad():
        said = int(course.model(tasks.test_images[row][None]).argmax(1))
    verdict = "right" if said == label else f"says {tasks.class_names[said]}"
    assert f"after task 3 ({verdict}" in figure.alt


def test_the_desk_learns_what_was_chosen(small):
    desk = Desk(small, tasks=2, keep=1)
    assert desk.view is not None and len(desk.course.records) == 2 and desk.method.explain == "grad_cam"
    before = desk.course
    desk.keep.value, desk.kind.value, desk.weight.value = 2, "backprop", 10.0
    assert desk.course is before, "nothing is learned before the button is pressed"
    desk.button.click()
    assert desk.method.keep == 2 and desk.method.explain == "backprop" and desk.method.weight == pytest.approx(10)
    assert desk.label in desk.text.value and len(desk.course.buffer) == 8
    desk.keep.value = 0
    desk.button.click()
    assert desk.label == "nothing kept" and len(desk.course.buffer) == 0 and desk.method.explain is None


def test_the_desk_stands_alone_without_widgets(small, monkeypatch):
    monkeypatch.setenv("LESSONS_STATIC", "1")
    desk = Desk(small, tasks=2)
    assert desk.view is None and "after task 2" in desk.static()[1].alt
