"""What every figure must pass: text that can be read."""

from __future__ import annotations

import itertools
from unittest import mock

import pytest
from matplotlib.text import Text


def drawn_texts(figure):
    """The texts that are really drawn: an axis keeps ticks outside its limits that are not."""
    seen = []
    draw = Text.draw

    def note(self, renderer):
        seen.append(self)
        draw(self, renderer)

    with mock.patch.object(Text, "draw", note):
        figure.canvas.draw()
    return [text for text in seen if text.get_visible() and text.get_text().strip()]


def check_legible(figure):
    """No text lies over another one or leaves the figure, and no letter is smaller than 9 points."""
    shown = drawn_texts(figure)
    assert shown, "a figure without any text"
    renderer = figure.canvas.get_renderer()
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in shown]
    width, height = figure.canvas.get_width_height()
    for text, box in boxes:
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
        assert inside, f"cut off: {text!r}"
    for (first, a), (second, b) in itertools.combinations(boxes, 2):
        apart = a.x1 <= b.x0 + 2 or b.x1 <= a.x0 + 2 or a.y1 <= b.y0 + 2 or b.y1 <= a.y0 + 2
        assert apart, f"{first!r} lies over {second!r}"
    assert min(text.get_fontsize() for text in shown) >= 9


@pytest.fixture
def assert_legible():
    return check_legible


@pytest.fixture
def texts_of():
    """The strings that a figure shows."""
    return lambda figure: [text.get_text() for text in drawn_texts(figure)]
