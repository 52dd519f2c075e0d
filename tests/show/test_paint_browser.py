"""The painter's canvas in a real browser, with a stand-in for the kernel's side."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from lessons_lib.show import paint

CHROMIUM = next((path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None or find_spec("playwright") is None, reason="needs a Chromium and the playwright package"
    ),
]
GREEN = (
    "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' width='48' height='48'>"
    "<rect width='48' height='48' fill='green'/></svg>"
)
MODEL = """
window.start = (source, state) => {
  const listeners = {};
  window.model = {
    saved: 0,
    get: (name) => state[name],
    set: (name, value) => { state[name] = value; (listeners["change:" + name] || []).forEach((f) => f()); },
    save_changes: () => { window.model.saved += 1; },
    on: (name, f) => { (listeners[name] = listeners[name] || []).push(f); },
  };
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  return import(address).then((module) => module.default.render({ model: window.model, el: document.body }));
};
"""


@pytest.fixture
def page():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = browser.new_page(viewport={"width": 600, "height": 600})
        page.set_content("<body style='margin: 20px'></body>")
        page.add_script_tag(content=MODEL)
        code = Path(paint.__file__).with_suffix(".js").read_text(encoding="utf-8")
        state = {"picture": GREEN, "heat": [], "cells": 24, "brush": 1.6}
        page.evaluate(f"window.start({json.dumps(code)}, {json.dumps(state)})")
        page.wait_for_timeout(300)
        yield page
        browser.close()


def painted(page) -> set[tuple[int, int]]:
    heat = page.evaluate("window.model.get('heat')")
    return {(k // 24, k % 24) for k, value in enumerate(heat) if value}


def stroke(page, start: tuple[int, int], end: tuple[int, int]) -> None:
    """From cell to cell (row, column), pressed all the way."""
    box = page.locator("canvas").bounding_box()
    points = [
        (box["x"] + (c + 0.5) * box["width"] / 24, box["y"] + (r + 0.5) * box["height"] / 24) for r, c in (start, end)
    ]
    page.mouse.move(*points[0])
    page.mouse.down()
    page.mouse.move(*points[1], steps=12)
    page.mouse.up()


def test_a_stroke_paints_the_cells_under_it_and_shift_erases_them(page):
    stroke(page, (4, 6), (4, 18))
    cells = painted(page)
    assert {(4, column) for column in range(6, 19)} <= cells
    assert all(2 <= row <= 6 and 4 <= column <= 20 for row, column in cells)
    assert page.evaluate("window.model.saved") == 1, "one message a stroke, not one a movement"
    page.keyboard.down("Shift")
    stroke(page, (4, 6), (4, 12))
    page.keyboard.up("Shift")
    left = painted(page)
    assert not {(4, column) for column in range(6, 13)} & left and (4, 17) in left


def test_what_is_painted_is_seen(page):
    look = "(() => Array.from(document.querySelector('canvas').getContext('2d').getImageData(180, 180, 1, 1).data))()"
    before = page.evaluate(look)
    assert before[1] > before[0], "the green picture"
    stroke(page, (12, 12), (12, 12))
    after = page.evaluate(look)
    assert after[0] > before[0], "orange lies over it"
    page.evaluate("window.model.set('heat', [])")
    assert page.evaluate(look) == before, "cleared by the kernel's side"
