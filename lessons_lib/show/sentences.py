"""Words with their scores: one sentence a row, each word on a ground as strong as its score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lessons_lib.show.picture import FAINT, INK, Picture, place_axes, text_width, write

_SIZE, _ROW, _PAD, _WIDTH = 11, 0.36, 0.07, 10.0  # points; inches
_FOR, _AGAINST = np.array((0.0, 0.447, 0.698)), np.array((0.835, 0.369, 0.0))  # Okabe-Ito's blue and vermilion


def show_words(
    words: Sequence[str],
    scores: Mapping[str, Sequence[float]] | Sequence[float],
    *,
    marked: Sequence[bool] | None = None,
    title: str = "",
    width: float = _WIDTH,
) -> Picture:
    """A sentence whose words stand on blue ground where they speak for the answer, on orange where against it.

    Parameters
    ----------
    words : L words.
    scores : L numbers, or name -> L numbers for several methods, one row each. Each row has its own scale: its largest
        absolute score has the full colour.
    marked : L booleans; these words are underlined, whatever the scores.
    title : a line above.  width : of the figure in inches; long sentences go on in a new line.

    Raises
    ------
    ValueError : no words, a number of scores or marks other than that of the words, NaN or infinite scores.
    """
    words = [str(word) for word in words]
    named = dict(scores) if isinstance(scores, Mapping) else {"": scores}
    rows = {str(name): _checked(values, len(words), f"scores {name!r}") for name, values in named.items()}
    if not words or not rows:
        raise ValueError("show_words needs words and at least one row of scores")
    marks = [False] * len(words) if marked is None else [bool(mark) for mark in marked]
    if len(marks) != len(words):
        raise ValueError(f"{len(marks)} marks do not fit {len(words)} words")
    ruler = Picture(width, 1)
    left = max([0.0, *(text_width(ruler, name, _SIZE, "bold") for name in rows if name)]) + 0.15
    places, lines = _set_lines(ruler, words, left, width)
    top = 0.45 if title else 0.12
    height = top + len(rows) * (lines * _ROW + 0.12) + 0.05
    figure = Picture(width, height, alt=_in_words(words, rows, marks, title))
    canvas = place_axes(figure, 0, 0, width, height)
    canvas.set(xlim=(0, width), ylim=(height, 0))
    canvas.axis("off")
    if title:
        write(figure, 0.1, 0.12, title, 12, va="top", weight="bold")
    for number, (name, values) in enumerate(rows.items()):
        start = top + number * (lines * _ROW + 0.12)
        if name:
            write(figure, 0.1, start + _ROW / 2, name, _SIZE, va="center", weight="bold")
        _draw_row(figure, canvas, words, places, values, marks, start)
    return figure


def _checked(values, count: int, what: str) -> np.ndarray:
    array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, dtype=float)
    if array.shape != (count,):
        raise ValueError(f"{what}: one number a word is needed, {count} of them, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{what}: NaN or infinite")
    return array


def _set_lines(ruler: Picture, words: list[str], left: float, width: float) -> tuple[list[tuple], int]:
    """(line, x, width) of each word, and the number of lines."""
    places, x, line = [], left, 0
    for word in words:
        wide = text_width(ruler, word, _SIZE) + 2 * _PAD
        if x + wide > width - 0.1 and x > left:
            x, line = left, line + 1
        places.append((line, x, wide))
        x += wide + 0.03
    return places, line + 1


def _draw_row(figure, canvas, words, places, values, marks, start: float) -> None:
    from matplotlib.patches import Rectangle

    peak = np.abs(values).max() or 1.0
    for word, value, mark, (line, x, wide) in zip(words, values, marks, places):
        y, strength = start + line * _ROW, float(abs(value) / peak)
        ground = 1 - strength * (1 - (_FOR if value > 0 else _AGAINST))
        canvas.add_patch(Rectangle((x, y + 0.03), wide, _ROW - 0.08, facecolor=ground, edgecolor="none"))
        ink = "white" if strength > 0.65 else INK
        write(figure, x + wide / 2, y + _ROW * 0.6, word, _SIZE, va="baseline", ha="center", color=ink)
        if mark:
            canvas.plot((x + 0.03, x + wide - 0.03), (y + _ROW - 0.03,) * 2, color=FAINT, linewidth=1.6)


def _in_words(words: list[str], rows: Mapping[str, np.ndarray], marks: list[bool], title: str) -> str:
    parts = [f"{title}: " if title else "", f"The words: {' '.join(words)}."]
    for name, values in rows.items():
        order = [n for n in np.argsort(-np.abs(values))[:3] if values[n]]
        told = ", ".join(f"{words[n]} ({'for' if values[n] > 0 else 'against'})" for n in order) or "no word"
        parts.append(f" {name or 'Scores'}: most at {told}.")
    if any(marks):
        parts.append(f" Underlined: {', '.join(word for word, mark in zip(words, marks) if mark)}.")
    return "".join(parts)
