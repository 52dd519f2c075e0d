"""Results over seeds: every seed as a dot, the mean with its interval, the threshold and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lessons_lib.evidence.statistics import Claim, t_interval
from lessons_lib.show.picture import (
    FAINT,
    INK,
    LINE,
    OKABE_ITO,
    Picture,
    place_axes,
    plain_axes,
    text_width,
    wrap,
    write,
)

TEXT = 9  # points


@dataclass
class _Row:
    text: str
    estimate: float
    ci95: tuple[float, float] | None
    seeds: np.ndarray
    threshold: float | None
    direction: str = ""
    verdict: str = ""


def forest(
    rows: Sequence[Claim | Mapping] | Mapping[str, Sequence[float]],
    *,
    values: Mapping[str, Sequence[float]] | None = None,
    threshold: float | None = None,
    xlabel: str = "",
    title: str = "",
    width: float = 8.6,
) -> Picture:
    """One line a claim: a dot for every seed, the mean with its 95 % interval, and a tick at the threshold.

    Parameters
    ----------
    rows : claims (`lessons_lib.evidence.statistics.Claim`, or the dicts of a results file), whose verdict
        is written at the end of the line (a filled marker: it holds); or name -> one value a seed, shown
        with a 95 % t-interval and without a verdict.
    values : for claims: id -> one value a seed, drawn as dots.
    threshold : for plain values, a level to compare with. A claim brings its own.
    width : inches.

    Raises ValueError for no row, NaN, or `values` for a claim that is not there.
    """
    lines = _rows(rows, values or {}, threshold)
    measure = Picture(1, 1)
    left = min(0.42 * width, max(text_width(measure, row.text, TEXT) for row in lines) + 0.3)
    texts = [wrap(measure, row.text, left - 0.25, TEXT) for row in lines]
    extents = [max(0.34, len(text) * TEXT * LINE / 72 + 0.12) for text in texts]
    notes = [row.verdict or _number(row) for row in lines]
    right = max(text_width(measure, note, TEXT) for note in notes) + 0.3
    head = wrap(measure, title, width - 0.3, 10)
    top = 0.12 + len(head) * 10 * LINE / 72 + (0.08 if head else 0)
    total = sum(extents)
    figure = Picture(width, top + total + 0.6)
    if head:
        write(figure, 0.12, 0.1, "\n".join(head), 10, va="top")
    axes = place_axes(figure, left, top, width - left - right, total)
    plain_axes(axes, xlabel=xlabel)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(total, 0)
    axes.set_yticks([])
    middle = -np.array(extents) / 2 + np.cumsum(extents)
    for row, text, note, y, extent in zip(lines, texts, notes, middle, extents):
        _draw(axes, row, y, extent)
        write(figure, left - 0.14, top + y, "\n".join(text), TEXT, va="center", ha="right")
        write(figure, width - right + 0.12, top + y, note, TEXT, va="center")
    axes.margins(x=0.06)
    figure.alt = " ".join([f"{title}."] * bool(title) + [_in_words(row) for row in lines])
    return figure


def bars(
    values: Mapping[str, float],
    *,
    xlabel: str = "",
    title: str = "",
    threshold: float | None = None,
    width: float = 7.0,
) -> Picture:
    """Horizontal bars from 0, each with its name before and its number behind it.

    values : name -> number.  threshold : a level to compare with, drawn as a dashed line.
    Raises ValueError for no value or one that is not finite.
    """
    numbers = {str(name): float(value) for name, value in values.items()}
    if not numbers or not np.isfinite(list(numbers.values())).all():
        raise ValueError(f"bars needs finite numbers, got {dict(values)}")
    measure = Picture(1, 1)
    left = min(0.4 * width, max(text_width(measure, name, TEXT) for name in numbers) + 0.3)
    texts = [wrap(measure, name, left - 0.25, TEXT) for name in numbers]
    step = max(0.3, max(len(text) for text in texts) * TEXT * LINE / 72 + 0.1)
    head = wrap(measure, title, width - 0.3, 10)
    top = 0.12 + len(head) * 10 * LINE / 72 + (0.08 if head else 0)
    figure = Picture(width, top + step * len(numbers) + 0.6)
    if head:
        write(figure, 0.12, 0.1, "\n".join(head), 10, va="top")
    axes = place_axes(figure, left, top, width - left - 0.3, step * len(numbers))
    plain_axes(axes, xlabel=xlabel)
    places = np.arange(len(numbers))
    axes.barh(places, list(numbers.values()), height=0.6, color=OKABE_ITO[0], edgecolor=INK, linewidth=0.6)
    axes.set_ylim(len(numbers) - 0.5, -0.5)
    axes.set_yticks([])
    axes.axvline(0, color=INK, linewidth=0.8)
    if threshold is not None:
        axes.axvline(threshold, color=INK, linewidth=1.2, linestyle="--")
    for place, (text, value) in enumerate(zip(texts, numbers.values())):
        write(figure, left - 0.12, top + (place + 0.5) * step, "\n".join(text), TEXT, va="center", ha="right")
        axes.annotate(
            f"{value:.3g}", (value, place), xytext=(4 if value >= 0 else -4, 0), textcoords="offset points",
            va="center", ha="left" if value >= 0 else "right", fontsize=TEXT, color=INK,
        )  # fmt: skip
    axes.margins(x=0.16)
    compared = "" if threshold is None else f" A line marks {threshold:.3g}."
    listed = ", ".join(f"{name} {value:.3g}" for name, value in numbers.items())
    figure.alt = f"{title + '. ' if title else ''}Bars of {xlabel or 'values'}: {listed}.{compared}"
    return figure


def _rows(rows, values: Mapping, threshold: float | None) -> list[_Row]:
    if not rows:
        raise ValueError("forest needs at least one row")
    if isinstance(rows, Mapping):
        return [_of_values(str(name), seeds, threshold) for name, seeds in rows.items()]
    claims = [Claim.from_dict(row) if isinstance(row, Mapping) else row for row in rows]
    unknown = sorted(set(values) - {claim.id for claim in claims})
    if unknown:
        raise ValueError(f"values are given for {unknown[0]!r}, which is not one of the claims")
    return [
        _Row(
            c.text, c.estimate, c.ci95, np.asarray(values.get(c.id, []), float), c.threshold, c.direction,
            c.verdict,
        )
        for c in claims
    ]  # fmt: skip


def _of_values(name: str, seeds: Sequence[float], threshold: float | None) -> _Row:
    array = np.asarray(seeds, dtype=float)
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"{name!r} needs a flat list of finite numbers, one a seed, got {seeds!r}")
    if len(array) < 2:
        return _Row(name, float(array[0]), None, array, threshold)
    interval = t_interval(array)
    return _Row(name, interval.mean, (interval.low, interval.high), array, threshold)


def _draw(axes, row: _Row, y: float, extent: float) -> None:
    colour = OKABE_ITO[0]
    if row.threshold is not None:
        axes.plot([row.threshold] * 2, [y - extent / 2, y + extent / 2], color=INK, linestyle="--", linewidth=1.2)
    if row.ci95 is not None:
        axes.plot(row.ci95, [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
    if row.seeds.size:
        axes.plot(
            row.seeds, np.full(row.seeds.shape, y + 0.09), "o", color=FAINT, markersize=4, alpha=0.7,
            markeredgewidth=0,
        )  # fmt: skip
    filled = row.verdict in ("", "holds", "reported")
    axes.plot(
        [row.estimate], [y], "D", markersize=7, color=colour if filled else "white", markeredgecolor=colour,
        markeredgewidth=1.6, zorder=4,
    )  # fmt: skip


def _number(row: _Row) -> str:
    return f"{row.estimate:.3g}" + (f" [{row.ci95[0]:.3g}, {row.ci95[1]:.3g}]" if row.ci95 else "")


def _in_words(row: _Row) -> str:
    interval = f"95 % interval {row.ci95[0]:.3g} to {row.ci95[1]:.3g}" if row.ci95 else "no interval"
    asked = ""
    if row.threshold is not None:
        asked = (
            f", asked {row.direction} {row.threshold:.3g}" if row.direction else f", compared with {row.threshold:.3g}"
        )
    verdict = f", {row.verdict}" if row.verdict else ""
    return f"{row.text}: {row.estimate:.3g} ({interval}{asked}){verdict}."
