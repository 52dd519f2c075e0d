"""The layout of `show` and `grid`: panels in rows below their names, and the colour scales at the foot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.patches import Rectangle

from lessons_lib.show import overlay as colouring
from lessons_lib.show.picture import DPI, FAINT, LINE, Picture, place_axes, text_width, wrap, write

MARGIN, GAP = 0.12, 0.16  # inches
FULL = 9.4  # width of a page in inches
NAME, SCORE = 10, 9  # points
STRIP = 1.2  # length of a colour scale in inches


@dataclass
class Panel:
    """One picture of a sheet: pixels (H, W, 3) in [0, 1], its name and, below, its score."""

    pixels: np.ndarray
    name: str = ""
    score: str = ""


@dataclass
class Legend:
    """One colour scale: the text before it, the strip of colours (h, w, 3) or None, and the text after it."""

    before: str
    strip: np.ndarray | None = None
    after: str = ""


def legends(kinds: Sequence[str], overlay: float, colours: tuple, percentile: float) -> list[Legend]:
    """The scales of the kinds of map ("unsigned", "signed", "picture") in a figure, as they look on grey."""
    end = "largest {}" if percentile >= 100 else f"percentile {percentile:g} of the {{}}s"
    ramp = np.linspace(0, 1, 128, dtype=np.float32)[None].repeat(10, 0)
    paper = np.full((10, 128, 3), 0.6, np.float32)
    rows = []
    if "unsigned" in kinds:
        strip = colouring.blend(paper, ramp, overlay=overlay, colours=colours[0], percentile=100)
        rows.append(Legend("heat: 0", strip, f"{end.format('value')}, each map on its own scale"))
    if "signed" in kinds:
        ramp = 2 * ramp - 1
        strip = colouring.blend(paper, ramp, signed=True, overlay=overlay, colours=colours[1], percentile=100)
        after = f"for (the middle is 0, the ends are the {end.format('magnitude')}, each map on its own scale)"
        rows.append(Legend("evidence against", strip, after))
    if "picture" in kinds:
        rows.append(Legend(f"colour pictures: grey is 0, full contrast is the {end.format('magnitude')}"))
    return rows


def lay_out(
    panels: list[Panel], columns: int | None, *, scales: Sequence[Legend] = (), size: float | None = None
) -> Picture:
    """A figure of all panels; its first axes are the panels', in order.

    columns : panels a row, by default up to 5, in rows of about the same length.  size : width of a panel in
        inches.
    """
    if columns is not None and columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    columns = min(len(panels), columns or math.ceil(len(panels) / math.ceil(len(panels) / 5)))
    cell = size or min(2.7, (FULL - 2 * MARGIN - (columns - 1) * GAP) / columns)
    height = cell * min(max(panel.pixels.shape[0] / panel.pixels.shape[1] for panel in panels), 1.4)
    width = max(2 * MARGIN + columns * cell + (columns - 1) * GAP, 5.2 if scales else 0)
    measure = Picture(1, 1)
    heads = [(wrap(measure, p.name, cell, NAME), wrap(measure, p.score, cell, SCORE)) for p in panels]
    feet = [_wrap_legend(measure, scale, width) for scale in scales]
    rows = [range(start, min(start + columns, len(panels))) for start in range(0, len(panels), columns)]
    tops = [max(_head_height(*heads[index]) for index in row) for row in rows]
    foot_heights = [len(lines) * SCORE * LINE / 72 + 0.04 for _, lines in feet]
    total = 2 * MARGIN + sum(tops) + len(rows) * (height + GAP) - GAP + (sum(foot_heights) + 0.06 if feet else 0)
    figure = Picture(width, total)
    top = MARGIN
    for row, head in zip(rows, tops):
        top += head
        for column, index in enumerate(row):
            left = MARGIN + column * (cell + GAP)
            _draw_head(figure, *heads[index], left, top - 0.05)
            _draw_pixels(figure, panels[index].pixels, left, top, cell, height)
        top += height + GAP
    top += 0.06 - GAP + 0.04
    for scale, (start, lines), extent in zip(scales, feet, foot_heights):
        _draw_legend(figure, scale, start, lines, top)
        top += extent
    return figure


def _head_height(name: list[str], score: list[str]) -> float:
    return (len(name) * NAME + len(score) * SCORE) * LINE / 72 + (0.06 if name or score else 0)


def _draw_head(figure: Picture, name: list[str], score: list[str], left: float, bottom: float) -> None:
    if score:
        write(figure, left, bottom, "\n".join(score), SCORE, va="bottom", color=FAINT)
        bottom -= len(score) * SCORE * LINE / 72
    if name:
        write(figure, left, bottom, "\n".join(name), NAME, va="bottom")


def _draw_pixels(figure: Picture, pixels: np.ndarray, left: float, top: float, cell: float, height: float) -> None:
    ratio = pixels.shape[0] / pixels.shape[1]
    wide, high = (cell, cell * ratio) if cell * ratio <= height else (height / ratio, height)
    axes = place_axes(figure, left, top, wide, high)
    enlarged = pixels.shape[1] < wide * DPI
    axes.imshow(pixels, interpolation="nearest" if enlarged else "antialiased", aspect="auto")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#bbbbbb")


def _wrap_legend(measure: Picture, scale: Legend, width: float) -> tuple[float, list[str]]:
    """Where the strip starts, in inches, and the lines of text beside it (all lines, without a strip)."""
    if scale.strip is None:
        return 0.0, wrap(measure, scale.before, width - 2 * MARGIN, SCORE)
    start = MARGIN + text_width(measure, scale.before, SCORE) + 0.1
    return start, wrap(measure, scale.after, width - start - STRIP - 0.1 - MARGIN, SCORE)


def _draw_legend(figure: Picture, scale: Legend, start: float, lines: list[str], top: float) -> None:
    if scale.strip is None:
        write(figure, MARGIN, top, "\n".join(lines), SCORE, va="top", color=FAINT)
        return
    write(figure, MARGIN, top, scale.before, SCORE, va="top", color=FAINT)
    axes = place_axes(figure, start, top + 0.02, STRIP, 0.12)
    axes.imshow(scale.strip, aspect="auto")
    axes.set_axis_off()
    write(figure, start + STRIP + 0.1, top, "\n".join(lines), SCORE, va="top", color=FAINT)


def mark(axes, boxes: Sequence | None, mask, size: tuple[int, int]) -> None:
    """Rectangles and the outline of a mask on a panel, white on black so that they show on any colour."""
    for box in [] if boxes is None else boxes:
        x0, y0, x1, y1 = (float(value) for value in box)
        if not (x0 < x1 and y0 < y1):
            raise ValueError(f"a box is (x0, y0, x1, y1) with x0 < x1 and y0 < y1, got {(x0, y0, x1, y1)}")
        for colour, width in (("black", 3.0), ("white", 1.4)):
            corner = (x0 - 0.5, y0 - 0.5)
            axes.add_patch(Rectangle(corner, x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=width))
    if mask is None:
        return
    finer = max(1, round(800 / size[1]))  # twice the dots of a panel, so that the line is smooth when it is drawn
    thick = max(1, round(size[1] * finer / 300))
    extent = (-0.5, size[1] - 0.5, size[0] - 0.5, -0.5)
    for colour, width in ((0.0, 2 * thick), (1.0, thick)):
        border = colouring.outline(mask, (size[0] * finer, size[1] * finer), width)
        layer = np.dstack([np.full((*border.shape, 3), colour), border])
        axes.imshow(layer, interpolation="antialiased", aspect="auto", extent=extent)
