"""Lesson 12's pictures: attention over regions, quadrants as bars, and the browser of pairs, on a small world."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.evidence.quadrants import Quadrants
from lessons_lib.experiments import squint
from lessons_lib.show.reasoning import QUADRANTS, Browser, region_map, show_pair, show_quadrants

SMALL = {"train": 200, "test": 120, "size": 24, "width": 4, "hidden": 16, "epochs": (1, 1, 1)}


@pytest.fixture(scope="module")
def small():
    old = squint.SIZES["quick"]
    squint.SIZES["quick"] = SMALL
    try:
        world = squint.world(1300)
        squint.start(world)
        yield world
    finally:
        squint.SIZES["quick"] = old


def test_a_pixel_has_the_largest_attention_of_the_regions_over_it():
    features = torch.tensor([[7.0, 0, 0, 1, 1, 1], [7.0, 0, 0, 0.5, 0.5, 0.25], [7.0, 0.25, 0.25, 0.5, 0.5, 0.06]])
    heat = region_map(torch.tensor([0.2, 0.5, 0.3]), features, 8)
    assert heat[0, 0] == heat[3, 3] == 0.5 and heat[4, 4] == pytest.approx(0.2) and heat[7, 0] == pytest.approx(0.2)
    assert sorted(set(heat.flatten().tolist())) == pytest.approx([0.2, 0.5])  # the third lies below the second


def test_a_pair_tells_questions_answers_and_what_is_right(small):
    test, model = small.tests["balanced"], squint.start(small)
    said = {"start": squint.replies(model, test)}
    data = said["start"].data
    pair = next(n for n in range(1, len(data)) if data.row[n] == data.row[n - 1])  # a second sub-question
    figure = show_pair(test, said, pair)
    row = int(data.row[pair])
    assert f"start: {test.asked.questions[row]}" in figure.alt
    number = int((data.row[:pair] == row).sum())
    assert number > 0 and f"start: {test.asked.perception[row][number].question}" in figure.alt
    answer = model.answers[int(said["start"].main[pair])]
    verdict = "right" if bool(said["start"].main_right[pair]) else f"wrong: {test.asked.answers[row]}"
    assert f"says {answer} ({verdict})" in figure.alt


def test_quadrants_are_told_in_words():
    figure = show_quadrants({"one": Quadrants(0.4, 0.1, 0.2, 0.3)}, title="Pairs")
    assert "both right 40 %" in figure.alt and "consistency 80.0 %" in figure.alt and figure.alt.startswith("Pairs.")
    with pytest.raises(ValueError, match="at least one"):
        show_quadrants({})


def test_browser_follows_its_menus_and_shows_pairs_of_the_quadrant(small):
    test, model = small.tests["balanced"], squint.start(small)
    browser = Browser(test, {"start": model})
    first = browser.said["start"]
    assert browser.view is not None
    for quadrant, (main, sub) in QUADRANTS.items():
        browser.menu.value = quadrant
        cell = (first.main_right == main) & (first.sub_right == sub)
        assert len(browser.chosen) == int(cell.sum())
        if len(browser.chosen) > 1:
            assert bool(cell[browser.pair])
            before = browser.pair
            browser.slider.value = 2
            assert browser.pair != before and bool(cell[browser.pair])
            assert browser.text.value == browser.static().alt
    with pytest.raises(ValueError, match="one or two models"):
        Browser(test, dict.fromkeys("abc", model))


def test_browser_stands_alone_without_widgets(small, monkeypatch):
    monkeypatch.setenv("LESSONS_STATIC", "1")
    browser = Browser(small.tests["balanced"], {"start": squint.start(small)})
    assert browser.view is None and "start:" in browser.static().alt
