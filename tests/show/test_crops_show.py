"""Lesson 14's picture of crops says in words what it shows."""

from __future__ import annotations

import pytest

from data_fetch.worlds.backgrounds import object_scenes
from lessons_lib.feedback.cast import covered_share
from lessons_lib.show.crops import draw_boxes, show_crops


def test_the_shares_in_the_text_are_those_of_the_boxes():
    some = object_scenes(4, seed=5, size=32)
    boxes = draw_boxes(some.masks, 0.0, seed=2)
    figure = show_crops(some.images, some.masks, boxes)
    for one in boxes:
        assert ", ".join(f"{share:.0%}" for share in covered_share(some.masks, one).tolist()) in figure.alt
    assert len(figure.axes) >= 12


def test_constrained_boxes_hold_their_share():
    masks = object_scenes(50, seed=6).masks
    for one in draw_boxes(masks, 0.5):
        assert covered_share(masks, one).min() >= 0.5
    assert min(float(covered_share(masks, one).min()) for one in draw_boxes(masks, 0.0)) < 0.5


def test_numbers_must_fit():
    some = object_scenes(3, seed=5, size=32)
    with pytest.raises(ValueError, match="two times"):
        show_crops(some.images, some.masks, draw_boxes(some.masks[:2], 0.0))
