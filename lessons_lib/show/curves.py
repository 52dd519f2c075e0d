"""Curves whose names stand beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from lessons_lib.show.picture import (
    FAINT,
    INK,
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
    series : name -> (x, y); x (n,), y (n,), or (runs, n) for several runs: their mean, with each run as a thin line.
    chance : a level to compare with, drawn as a horizontal dotted line.
    width, height : inches.

    Raises ValueError for no curve, fewer than 2 points, other lengths of x and y, or values that are not finite.
    """
    if not series:
        raise ValueError("curves needs at least one curve")
    data = {str(name): _xy(name, *pair) for name, pair in series.items()}
    measure = Picture(1, 1)
    names = {name: wrap(measure, name, width * 0.3, TEXT) for name in data}
    right = max(text_width(measure, line, TEXT) for lines in names.values() for line in lines) + 0.3
    head = wrap(measure, title, width - 0.3, 10)
    top = 0.12 + len(head) * 10 * LINE / 72 + (0.06 if head else 0)
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
            x, y.mean(0), color=colour, linestyle=style, linewidth=1.8, marker=MARKERS[place % 8], markersize=5,
            markevery=every,
        )  # fmt: skip
    _name_ends(axes, data, names, height - 0.55)
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


def _name_ends(axes, data: Mapping, names: Mapping, height: float) -> None:
    """Each curve's name at its right end, moved apart where the ends are close, in order of the ends."""
    low, high = axes.get_ylim()
    ends = [(y.mean(0)[-1] - low) / (high - low) * height for _, y in data.values()]
    heights = [len(names[name]) * TEXT * LINE / 72 for name in data]
    places = spread(ends, heights, height)
    last = max(x[-1] for x, _ in data.values())
    left = axes.get_xlim()[1]
    for index, (name, (_, y)) in enumerate(data.items()):
        axes.annotate(
            "\n".join(names[name]), xy=(last, y.mean(0)[-1]), xytext=(left, low + places[index] / height * (high - low)),
            fontsize=TEXT, color=INK, va="center", ha="left", parse_math=False, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": OKABE_ITO[index % 8], "linewidth": 0.8, "shrinkA": 0, "shrinkB": 2},
        )  # fmt: skip


def spread(centres: Sequence[float], sizes: Sequence[float], space: float) -> list[float]:
    """Centres moved as little as needed so that intervals of the given sizes do not overlap, kept in 0 to `space`."""
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
