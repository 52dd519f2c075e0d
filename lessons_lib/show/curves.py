"""Curves whose names stand beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from lessons_lib.show.picture import (
    FAINT,
    LINE,
    LINE_STYLES,
    MARKERS,
    OKABE_ITO,
    Picture,
    place_axes,
    plain_axes,
    text_width,
    wrap,
    write,
)

TEXT = 9  # points
KEY = 0.62  # inches from the plot to a curve's name: a leader and a piece of the line


def curves(
    series: Mapping[str, tuple],
    *,
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    width: float = 7.0,
    height: float = 3.6,
    chance: float | None = None,
) -> Picture:
    """Curves told apart by colour, line style, marker and a name at their end.

    Parameters
    ----------
    series : name -> (x, y); x (n,), y (n,), or (runs, n) for several runs: their mean, with each run as a
        thin line.
    chance : a level to compare with, drawn as a horizontal dotted line.
    width, height : inches; it grows where the names need more room.

    Raises ValueError for no curve, fewer than 2 points, other lengths of x and y, or values that are not
    finite.
    """
    if not series:
        raise ValueError("curves needs at least one curve")
    data = {str(name): _xy(name, *pair) for name, pair in series.items()}
    measure = Picture(1, 1)
    names = {name: wrap(measure, name, width * 0.3, TEXT) for name in data}
    right = max(text_width(measure, line, TEXT) for lines in names.values() for line in lines) + KEY + 0.2
    head = wrap(measure, title, width - 0.3, 10)
    top = 0.12 + len(head) * 10 * LINE / 72 + (0.06 if head else 0)
    height = max(height, 0.6 + sum(len(lines) for lines in names.values()) * TEXT * LINE / 72)
    figure = Picture(width, height + top)
    if head:
        write(figure, 0.12, 0.1, "\n".join(head), 10, va="top")
    axes = place_axes(figure, 0.75, top, width - 0.75 - right, height - 0.55)
    plain_axes(axes, xlabel=xlabel, ylabel=ylabel)
    if chance is not None:
        axes.axhline(chance, color=FAINT, linestyle=":", linewidth=1.2)
    for place, (x, y) in enumerate(data.values()):
        colour, style = OKABE_ITO[place % 8], LINE_STYLES[place % 8]
        for run in y if len(y) > 1 else []:
            axes.plot(x, run, color=colour, linewidth=0.7, alpha=0.35)
        every = max(1, len(x) // 8)
        axes.plot(
            x, y.mean(0), color=colour, linestyle=style, linewidth=1.8, markevery=every,
            marker=MARKERS[place % 8],
            markersize=5,
        )  # fmt: skip
    _name_ends(figure, axes, data, names, (width - right, top, right, height - 0.55))
    figure.alt = f"{title + '. ' if title else ''}Curves of {ylabel or 'y'} against {xlabel or 'x'}. " + " ".join(
        f"{name}: from {y.mean(0)[0]:.3g} at {x[0]:.3g} to {y.mean(0)[-1]:.3g} at {x[-1]:.3g}, "
        f"between {y.mean(0).min():.3g} and {y.mean(0).max():.3g}."
        for name, (x, y) in data.items()
    )
    return figure


def _xy(name: str, x, y) -> tuple[np.ndarray, np.ndarray]:
    x, y = (
        np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, dtype=float) for values in (x, y)
    )
    y = np.atleast_2d(y)
    if x.ndim != 1 or y.ndim != 2 or y.shape[1] != len(x) or len(x) < 2:
        raise ValueError(f"curve {name!r}: x (n,) and y (n,) or (runs, n), n >= 2, got {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError(f"curve {name!r} has NaN or infinite values")
    return x, y


def _name_ends(figure: Picture, axes, data: Mapping, names: Mapping, box: tuple) -> None:
    """A piece of each line and its name at the line's right end, moved apart where the ends are close."""
    left, top, width, height = box
    low, high = axes.get_ylim()
    ends = [(y.mean(0)[x.argmax()] - low) / (high - low) * height for x, y in data.values()]
    places = spread(ends, [len(names[name]) * TEXT * LINE / 72 for name in data], height)
    axes.set_xlim(right=max(x.max() for x, _ in data.values()))
    column = place_axes(figure, left, top, width, height)
    column.set(xlim=(0, width), ylim=(0, height))
    column.set_axis_off()
    for index, (name, end, place) in enumerate(zip(data, ends, places)):
        colour = OKABE_ITO[index % 8]
        column.plot([0.06, 0.22], [end, place], color=colour, linewidth=0.7, clip_on=False)
        column.plot(
            [0.22, 0.4, 0.57], [place] * 3, color=colour, linestyle=LINE_STYLES[index % 8], linewidth=1.8,
            marker=MARKERS[index % 8], markevery=[1], markersize=5, clip_on=False,
        )  # fmt: skip
        write(figure, left + KEY, top + height - place, "\n".join(names[name]), TEXT, va="center")


def spread(centres: Sequence[float], sizes: Sequence[float], space: float) -> list[float]:
    """Centres moved so far that intervals of the given sizes do not overlap, kept in 0 to `space`."""
    order = np.argsort(centres, kind="stable")
    placed = np.array(centres, dtype=float)
    floor = 0.0
    for index in order:
        placed[index] = max(placed[index], floor + sizes[index] / 2)
        floor = placed[index] + sizes[index] / 2
    ceiling = max(space, sum(sizes))
    for index in order[::-1]:
        placed[index] = min(placed[index], ceiling - sizes[index] / 2)
        ceiling = placed[index] - sizes[index] / 2
    return placed.tolist()
