"""Words with scores, the slider over pictures, the progress line: what they tell, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lessons_lib.show import Picture, progress, show_words, steps
from lessons_lib.training import StepReport

WORDS = ["never", "boring", "but", "long"]


def pixels(picture: Picture) -> np.ndarray:
    picture.canvas.draw()
    return np.asarray(picture.canvas.buffer_rgba())[..., :3].astype(int)


def test_the_strongest_words_are_told_with_their_side():
    picture = show_words(WORDS, {"ours": [0.1, -2.0, 0.0, 1.0]}, marked=[True, True, False, False], title="a review")
    assert "never boring but long" in picture.alt and picture.alt.startswith("a review")
    assert "most at boring (against), long (for), never (for)" in picture.alt
    assert "Underlined: never, boring." in picture.alt


def test_colour_follows_sign_and_strength():
    plain, positive, negative = (
        pixels(show_words(WORDS, s)) for s in ([0, 0, 0, 0.0], [0, 0, 0, 1.0], [0, 0, 0, -1.0])
    )
    changed = (plain != positive).any(2)
    assert changed.any() and 0 < changed.mean() < 0.25  # one word's ground, not the whole sheet
    rows, columns = np.nonzero(changed)
    middle = positive[rows.min() + 3, columns.min() + 3], negative[rows.min() + 3, columns.min() + 3]
    assert middle[0][2] > middle[0][0] and middle[1][0] > middle[1][2]  # blue for, orange against


def test_a_row_has_its_own_scale():
    small, large = pixels(show_words(WORDS, [0, 0.001, 0, 0.002])), pixels(show_words(WORDS, [0, 10.0, 0, 20.0]))
    assert np.array_equal(small, large)


def test_long_sentences_go_on_in_a_new_line():
    one, many = show_words(WORDS, torch.zeros(4)), show_words(WORDS * 12, torch.zeros(48))
    assert many.get_size_inches()[1] > one.get_size_inches()[1] and "no word" in one.alt


@pytest.mark.parametrize(
    "arguments, message",
    [(([], []), "needs words"), ((WORDS, [1.0]), "one number a word"), ((WORDS, [1, 2, 3, np.nan]), "NaN"),
     ((WORDS, {"a": [1, 2, 3]}), "'a'")],
)  # fmt: skip
def test_wrong_scores_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        show_words(*arguments)
    with pytest.raises(ValueError, match="2 marks do not fit 4 words"):
        show_words(WORDS, [0, 0, 0, 1.0], marked=[True, False])


@pytest.fixture
def two():
    return {"first": Picture(1, 1, alt="one"), "second": Picture(1, 1, alt="two")}


def test_the_slider_changes_picture_and_text(two):
    slider = steps(two, label="word", start="first")
    assert slider.view is not None and slider.text.value == "one"
    slider.slider.value = "second"
    assert slider.step == "second" and slider.text.value == "two" and slider.static() is two["second"]
    assert bytes(slider.picture.value) == two["second"].png()


def test_without_widgets_the_picture_stands_alone(two, monkeypatch):
    monkeypatch.setenv("LESSONS_STATIC", "1")
    slider = steps(two, start="second")
    assert slider.view is None and slider.static() is two["second"]


def test_steps_refuse_nothing_and_unknown_starts(two):
    with pytest.raises(ValueError, match="at least one"):
        steps({})
    with pytest.raises(ValueError, match="first, second"):
        steps(two, start="third")


def test_progress_tells_first_and_last_step(capsys):
    tell = progress("eyes", every=1000.0)
    for done in range(1, 6):
        tell(StepReport(done, 5, 0, 0.5, 0.1, {}, 0.01))
    lines = capsys.readouterr().out
    assert "eyes" in lines and "1 of 5 steps" in lines and "5 of 5 steps" in lines and "3 of 5" not in lines
    assert "left" not in lines.rsplit("\r", 1)[1]
    progress("other")(2, 2)
    assert "2 of 2 steps" in capsys.readouterr().out
