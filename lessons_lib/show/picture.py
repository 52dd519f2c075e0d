"""A matplotlib figure that carries its own description, stays small in a stored notebook, needs no pyplot."""

from __future__ import annotations

import base64
import io

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from PIL import Image

DPI = 100
LINE = 1.3  # line height / font size
INK, FAINT = "#111111", "#4d4d4d"
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D00")
LINE_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 1)), (0, (3, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


class Picture(Figure):
    """A figure of the object interface: no global state, so it may be drawn in any thread or callback.

    Parameters
    ----------
    width, height : inches, at 100 dots an inch.
    alt : what the figure shows, in words. It is stored with the output: as its plain-text form, and as the metadata
        "alt" of the image, which nbconvert's classic template writes into the page.
    """

    def __init__(self, width: float, height: float, *, alt: str = "") -> None:
        super().__init__(figsize=(width, height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(self)
        self.alt = alt

    def png(self) -> bytes:
        """The figure as PNG, by `small_png`."""
        self.canvas.draw()
        return small_png(np.asarray(self.canvas.buffer_rgba())[..., :3])

    def _repr_png_(self) -> bytes:
        return self.png()

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        data = base64.b64encode(self.png()).decode("ascii")
        return {"image/png": data, "text/plain": self.alt or "A figure."}, {"image/png": {"alt": self.alt}}


def small_png(pixels: np.ndarray, aim: int = 110_000, limit: int = 200_000) -> bytes:
    """uint8 pixels (H, W, 3) as PNG, as true to the colours as its size allows.

    True colours up to `aim` bytes, else 256 colours with dither, else 256 flat colours; above `limit` bytes
    the picture is made smaller too. A notebook with twenty photographs so stays under two megabytes.
    """
    image = Image.fromarray(np.ascontiguousarray(pixels))
    data = _encode(image)
    if len(data) <= aim:
        return data
    sample = image.resize((max(1, image.width // 3), max(1, image.height // 3)), Image.Resampling.NEAREST)
    palette = sample.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=2)
    data = _encode(image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG))
    if len(data) > aim:
        data = _encode(image.quantize(palette=palette, dither=Image.Dither.NONE))
    scale = 1.0
    while len(data) > limit and scale > 0.3:
        scale *= 0.9
        smaller = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
        data = _encode(smaller.quantize(palette=palette, dither=Image.Dither.NONE))
    return data


def _encode(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def text_width(figure: Figure, text: str, size: float, weight: str = "normal") -> float:
    """Width of one line of text in inches."""
    font = FontProperties(size=size, weight=weight)
    width, _, _ = figure.canvas.get_renderer().get_text_width_height_descent(text, font, False)
    return width / figure.dpi


def wrap(figure: Figure, text: str, width: float, size: float, weight: str = "normal") -> list[str]:
    """`text` broken into lines of at most `width` inches; a word longer than a line is broken too."""

    def fits(line: str) -> bool:
        return text_width(figure, line, size, weight) <= width

    lines: list[str] = []
    for paragraph in str(text).splitlines():
        line = ""
        for word in paragraph.split():
            if line and fits(f"{line} {word}"):
                line = f"{line} {word}"
                continue
            if line:
                lines.append(line)
            while len(word) > 1 and not fits(word):
                cut = _longest_start(word, fits)
                lines.append(word[:cut])
                word = word[cut:]
            line = word
        lines.append(line)
    return lines


def _longest_start(word: str, fits) -> int:
    """How many characters fit; preferably up to a separator inside the word (layer4.conv2, a/b)."""
    cut = len(word)
    while cut > 1 and not fits(word[:cut]):
        cut -= 1
    separators = [place + 1 for place in range(cut // 3, cut) if word[place] in "_-/.,"]
    return separators[-1] if separators else cut


def write(figure: Figure, x: float, y: float, text: str, size: float, **options) -> None:
    """Text at (x, y) inches from the figure's upper left corner, in ink, without mathematical parsing."""
    width, height = figure.get_size_inches()
    options.setdefault("color", INK)
    figure.text(x / width, 1 - y / height, text, fontsize=size, parse_math=False, linespacing=LINE - 0.1, **options)


def place_axes(figure: Figure, left: float, top: float, width: float, height: float):
    """Axes whose box is given in inches from the figure's upper left corner."""
    full_width, full_height = figure.get_size_inches()
    return figure.add_axes(
        (left / full_width, 1 - (top + height) / full_height, width / full_width, height / full_height)
    )


def plain_axes(axes, *, xlabel: str = "", ylabel: str = "") -> None:
    """Axes for curves: two spines, faint grid, labels of a legible size; whatever the reader's style."""
    axes.set_facecolor("white")
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(FAINT)
    axes.tick_params(colors=INK, labelsize=9)
    axes.grid(True, color="#e3e3e3", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel(xlabel, fontsize=10, color=INK, parse_math=False)
    axes.set_ylabel(ylabel, fontsize=10, color=INK, parse_math=False)
