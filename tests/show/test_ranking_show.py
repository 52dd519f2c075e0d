"""Lesson 13's pictures: histograms of cosines, ranked candidates, and the browser of groups, on a small world."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.experiments import sort, squint
from lessons_lib.show.ranking import CHOICES, RankingBrowser, first_is_relevant, show_cosines, show_ranking

SMALL = {"train": 200, "test": 120, "size": 24, "width": 4, "hidden": 16, "epochs": (1, 1, 1)}


@pytest.fixture(scope="module")
def small():
    old = squint.SIZES["quick"]
    squint.SIZES["quick"] = SMALL
    try:
        world = sort.world(1300)
        sort.start(world)
        yield world
    finally:
        squint.SIZES["quick"] = old


def test_histograms_tell_their_means():
    relevant = torch.tensor([True, True, False, False])
    figure = show_cosines({"one": torch.tensor([0.9, 0.7, 0.1, -0.3])}, relevant, title="Before")
    assert figure.alt == "Before. one: mean cosine 0.80 of sub-questions, -0.10 of irrelevant questions."
    with pytest.raises(ValueError, match="at least one model"):
        show_cosines({}, relevant)
    with pytest.raises(ValueError, match="wrong: .'short'"):
        show_cosines({"short": torch.zeros(2)}, relevant)
    with pytest.raises(ValueError, match="both kinds"):
        show_cosines({"one": torch.zeros(4)}, torch.ones(4).bool())


def test_candidates_stand_in_the_order_of_their_cosines(small):
    model, test = sort.start(small), small.tests["balanced"]
    asked = sort.candidates(test, model)
    near = torch.linspace(-1, 1, len(asked.group))
    figure = show_ranking(test, asked, {"start": near}, 3)
    row = int(asked.row[3])
    assert figure.alt.startswith(test.asked.questions[row])
    told = [
        figure.alt.index(f", {float(value):+.2f})") for value in near[asked.group == 3].sort(descending=True).values
    ]
    assert told == sorted(told)
    assert all(f"{qa.question} {qa.answer} (sub-question" in figure.alt for qa in test.asked.perception[row]
               if qa.answer in model.answers)  # fmt: skip
    with pytest.raises(ValueError, match="a group of 0 to"):
        show_ranking(test, asked, {"start": near}, len(asked))


def test_first_is_relevant_follows_the_largest_cosine(small):
    model, test = sort.start(small), small.tests["balanced"]
    asked = sort.candidates(test, model)
    assert first_is_relevant(asked, asked.relevant.float()).all()
    assert not first_is_relevant(asked, -asked.relevant.float()).any()
    near = sort.similarities(model, test, asked)
    mpr = float(first_is_relevant(asked, near).float().mean())
    assert mpr == pytest.approx(sort.measure(model, small)["mpr"])


def test_browser_follows_its_menus(small):
    test, model = small.tests["balanced"], sort.start(small)
    browser = RankingBrowser(test, {"start": model})
    assert browser.view is not None
    wrong = ~first_is_relevant(browser.asked, browser.near["start"])
    for choice, wanted in zip(CHOICES, (int(wrong.sum()), int(wrong.sum()), len(wrong))):
        browser.menu.value = choice
        assert len(browser.chosen) == wanted
        assert choice == "all groups" or bool(wrong[browser.group])
        before = browser.group
        browser.slider.value = 2
        assert browser.group != before and browser.text.value == browser.static().alt
    with pytest.raises(ValueError, match="one or two models"):
        RankingBrowser(test, dict.fromkeys("abc", model))


def test_browser_stands_alone_without_widgets(small, monkeypatch):
    monkeypatch.setenv("LESSONS_STATIC", "1")
    browser = RankingBrowser(small.tests["balanced"], {"start": sort.start(small)})
    assert browser.view is None and "start:" in browser.static().alt
