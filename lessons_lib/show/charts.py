"""Plots to explore: hover for the numbers, zoom, hide groups; each stores its static twin, which needs no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import plotly.io

from lessons_lib.show.picture import (
    INK,
    LINE,
    MARKERS,
    OKABE_ITO,
    Picture,
    place_axes,
    plain_axes,
    text_width,
    wrap,
    write,
)

_SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star")
_MIME = "application/vnd.plotly.v1+json"


class Chart(go.Figure):
    """A plotly figure whose stored output also holds a PNG and a description, for pages that run no script."""

    twin: Picture | None = None
    _ipython_display_ = _repr_html_ = None  # so that `_repr_mimebundle_` alone is asked

    def _repr_mimebundle_(self, include=None, exclude=None, validate=True, **options) -> tuple[dict, dict]:
        default = plotly.io.renderers.default or ""
        if "plotly_mimetype" in default:  # its data alone: no script is stored with the notebook
            bundle = dict(plotly.io.renderers["plotly_mimetype"].to_mimebundle(self.to_dict()))
        else:  # Colab's, or what PLOTLY_RENDERER asks for
            bundle = dict(super()._repr_mimebundle_(include, exclude, validate, **options))
        if self.twin is None:
            return bundle, {}
        data, metadata = self.twin._repr_mimebundle_()
        return {**bundle, **data}, metadata


def scatter_tradeoff(
    rows: Sequence[Mapping],
    x: str,
    y: str,
    label: str,
    *,
    group: str | None = None,
    better: tuple[str, str] | None = None,
    log_x: bool = False,
    title: str = "",
    static: bool = False,
) -> Chart | Picture:
    """Two figures of merit against each other, one named point a row.

    Parameters
    ----------
    rows : dicts.  x, y, label : the keys of the two numbers and of the point's name.
    group : the key of a text that decides colour and marker.
    better : which way is better on x and on y, "min" or "max": the points that no other point beats on both
        are joined by a line.
    log_x : logarithmic x axis; all x must be positive.
    static : return the matplotlib figure instead of the plotly one.

    Raises ValueError for no row, a missing key, a number that is not finite (or not positive with `log_x`).
    """
    points = _points(rows, x, y, label, group, log_x)
    front = [] if better is None else _front(points, better)
    twin = _static_scatter(points, front, x, y, log_x, title)
    note = f" Not beaten on both: {', '.join(points[place][2] for place in front)}." if front else ""
    listed = "; ".join(f"{name} {_plain(a)}, {_plain(b)}" for a, b, name, _ in points)
    twin.alt = f"{title + '. ' if title else ''}Points of {x} and {y}: {listed}.{note}"
    if static:
        return twin
    chart = Chart()
    if front:
        xs, ys = [points[place][0] for place in front], [points[place][1] for place in front]
        chart.add_scatter(
            x=xs, y=ys, mode="lines", name="not beaten on both", hoverinfo="skip",
            line={"color": "#888888", "dash": "dot"},
        )  # fmt: skip
    for place, name in enumerate(_groups(points)):
        mine = [point for point in points if point[3] == name]
        chart.add_scatter(
            x=[p[0] for p in mine], y=[p[1] for p in mine], text=[p[2] for p in mine], mode="markers+text",
            name=name or label, showlegend=bool(group), textposition="top center",
            marker={"color": OKABE_ITO[place % 8], "symbol": _SYMBOLS[place % 8], "size": 10},
            hovertemplate=f"%{{text}}<br>{x}: %{{x:.3g}}<br>{y}: %{{y:.3g}}<extra>{name}</extra>",
        )  # fmt: skip
    chart.update_layout(
        title=title or None, xaxis_title=x, yaxis_title=y, xaxis_type="log" if log_x else "linear",
        template="simple_white", width=720, height=440, margin={"l": 60, "r": 20, "t": 50 if title else 20, "b": 50},
    )  # fmt: skip
    chart.twin = twin
    return chart


def _points(rows, x: str, y: str, label: str, group: str | None, log_x: bool) -> list[tuple]:
    points = []
    for row in rows:
        missing = [key for key in (x, y, label, group) if key is not None and key not in row]
        if missing:
            raise ValueError(f"a row has no {missing[0]!r}: its keys are {list(row)}")
        a, b = float(row[x]), float(row[y])
        if not np.isfinite([a, b]).all() or (log_x and a <= 0):
            raise ValueError(f"{row[label]}: {x} = {a} and {y} = {b} cannot be drawn")
        points.append((a, b, str(row[label]), "" if group is None else str(row[group])))
    if not points:
        raise ValueError("scatter_tradeoff needs at least one row")
    return points


def _plain(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"


def _groups(points: list[tuple]) -> list[str]:
    return list(dict.fromkeys(point[3] for point in points))


def _front(points: list[tuple], better: tuple[str, str]) -> list[int]:
    """Indices of the points that no other point equals or beats on both and beats on one, by increasing x."""
    if len(better) != 2 or any(way not in ("min", "max") for way in better):
        raise ValueError(f"better must be two of 'min' and 'max', got {better!r}")
    cost = np.array([[p[0], p[1]] for p in points]) * [1 if way == "min" else -1 for way in better]
    beaten = [
        any((other <= mine).all() and (other < mine).any() for other in cost) for mine in cost
    ]  # fmt: skip
    return sorted((place for place in range(len(points)) if not beaten[place]), key=lambda place: points[place][:2])


def _static_scatter(points: list[tuple], front: list[int], x: str, y: str, log_x: bool, title: str) -> Picture:
    width, height = 7.2, 4.2
    measure = Picture(1, 1)
    head = wrap(measure, title, width - 0.3, 10)
    top = 0.15 + len(head) * 10 * LINE / 72
    figure = Picture(width, height + top)
    if head:
        write(figure, 0.12, 0.1, "\n".join(head), 10, va="top")
    groups = _groups(points)
    wide, high = width - 0.95, height - 0.6 - (0.3 if groups != [""] else 0)
    axes = place_axes(figure, 0.75, top, wide, high)
    plain_axes(axes, xlabel=x, ylabel=y)
    axes.set_xscale("log" if log_x else "linear")
    if front:
        axes.plot([points[i][0] for i in front], [points[i][1] for i in front], ":", color="#777777", linewidth=1.4)
    for place, name in enumerate(groups):
        mine = [point for point in points if point[3] == name]
        axes.plot(
            [p[0] for p in mine], [p[1] for p in mine], linestyle="", marker=MARKERS[place % 8], markersize=7,
            color=OKABE_ITO[place % 8], label=name,
        )  # fmt: skip
    axes.margins(x=0.14, y=0.12)
    _name_points(figure, axes, points, (0.75, top, wide, high))
    if groups != [""]:
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.55 / high), ncols=min(len(groups), 5), fontsize=9,
            frameon=False, labelcolor=INK,
        )  # fmt: skip
    return figure


def _name_points(figure: Picture, axes, points: list[tuple], box: tuple) -> None:
    """Each name where it covers the fewest other names and points: right, left, above or below its point."""
    left, top, wide, high = box
    axes.autoscale_view()
    inverse = axes.transAxes.inverted()
    places = inverse.transform(axes.transData.transform([(p[0], p[1]) for p in points])) * [wide, high]
    taken = [(px - 0.06, py - 0.06, px + 0.06, py + 0.06) for px, py in places]
    for (px, py), point in zip(places, points):
        w, h = text_width(figure, point[2], 9), 9 * LINE / 72
        options = []
        for cost, (dx, dy) in enumerate(((0.1, -h / 2), (-0.1 - w, -h / 2), (-w / 2, 0.08), (-w / 2, -0.08 - h))):
            area = (px + dx, py + dy, px + dx + w, py + dy + h)
            outside = max(0.0, -area[0]) + max(0.0, area[2] - wide - 0.15)
            clashes = sum(_overlap(area, other) for other in taken) + 4 * outside
            options.append((clashes, cost, area))
        area = min(options)[2]
        taken.append(area)
        plate = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5}
        write(figure, left + area[0], top + high - area[1], point[2], 9, va="bottom", bbox=plate)


def _overlap(a: tuple, b: tuple) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
