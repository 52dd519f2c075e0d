"""Contact sheets of the rendered worlds: pictures in rows, each with its name.

python -m data_fetch sheet birds --seed 3 --out birds.png
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

WORLDS = {
    "shapes": "an object on a textured ground that may give it away",
    "birds": "birds of many species, by the colour and shape of their parts",
    "scenes": "people and things in places, with captions and questions",
    "objects": "one thing in its usual place, or in another",
    "clips": "a hand that moves things on a table, frame by frame",
    "reviews": "short reviews with the words that carry the sentiment",
}
_INK, _PAPER, _FAINT = (24, 24, 28), (255, 255, 255), (110, 110, 118)
_MARGIN, _GAP, _LINE = 14, 12, 16  # pixels
_FONT = 12


@dataclass(frozen=True)
class Tile:
    """One cell of a sheet: a strip of pictures (3, S, S) and the text below it."""

    pictures: tuple[Tensor, ...]
    title: str


def write(world: str, out: Path, *, seed: int = 0, count: int | None = None, size: int = 64) -> None:
    """Draw `count` examples of a world into the PNG file `out`, which is replaced in one step.

    Parameters
    ----------
    world : a key of `WORLDS`.  size : side of the pictures as they are rendered; the sheet shows them enlarged.

    Raises
    ------
    ValueError : an unknown world, a count below 1, a size that the world cannot draw.
    OSError : the file cannot be written.
    """
    if world not in WORLDS:
        raise ValueError(f"there is no world {world!r}; there are {', '.join(WORLDS)}")
    if count is not None and count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    if world == "reviews":
        sheet = _reviews(24 if count is None else count, seed)
    else:
        maker, columns, usual = _MAKERS[world]
        sheet = lay_out(maker(usual if count is None else count, seed, size), columns)
    out = Path(out)
    handle, name = tempfile.mkstemp(dir=out.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            sheet.save(file, format="PNG")
        os.chmod(name, 0o644)
        os.replace(name, out)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def lay_out(tiles: list[Tile], columns: int) -> Image.Image:
    """The tiles in rows of `columns`, small pictures enlarged by whole factors, titles below them."""
    side = tiles[0].pictures[0].shape[-1]
    scale = max(1, round(128 / side)) if len(tiles[0].pictures) == 1 else max(1, round(96 / side))
    step = side * scale + 3  # a seam between the frames of a clip
    width = max(len(tile.pictures) for tile in tiles) * step - 3
    titles = [wrap(tile.title, width) for tile in tiles]
    rows = [range(start, min(start + columns, len(tiles))) for start in range(0, len(tiles), columns)]
    heights = [side * scale + 6 + _LINE * max(len(titles[n]) for n in row) + _GAP for row in rows]
    columns = min(columns, len(tiles))
    page = Image.new("RGB", (2 * _MARGIN + columns * (width + _GAP) - _GAP, 2 * _MARGIN + sum(heights) - _GAP), _PAPER)
    pen, top = ImageDraw.Draw(page), _MARGIN
    for row, height in zip(rows, heights):
        for place, n in enumerate(row):
            left = _MARGIN + place * (width + _GAP)
            for number, picture in enumerate(tiles[n].pictures):
                page.paste(enlarged(picture, scale), (left + number * step, top))
            for line, text in enumerate(titles[n]):
                pen.text((left, top + side * scale + 6 + line * _LINE), text, _INK, font())
        top += height
    return page


def enlarged(picture: Tensor, scale: int) -> Image.Image:
    """(3, S, S) in [0, 1] as an image whose pixels are squares of `scale` pixels."""
    pixels = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(np.repeat(np.repeat(pixels, scale, 0), scale, 1))


@cache
def font(size: int = _FONT) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib."""
    from matplotlib import font_manager

    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` pixels; a longer word keeps a line of its own."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font().getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _shapes(count: int, seed: int, size: int) -> list[Tile]:
    from data_fetch.worlds.shapes import shapes

    world = shapes(count, seed=seed, size=size)
    names = [f"{world.class_names[k]} on {world.ground_names[g]}" for k, g in zip(world.labels, world.grounds)]
    return [Tile((image,), name) for image, name in zip(world.images, names)]


def _scenes(count: int, seed: int, size: int) -> list[Tile]:
    from data_fetch.worlds.scenes import scenes

    world = scenes(count, seed=seed, size=size)
    return [Tile((image,), captions[0]) for image, captions in zip(world.images, world.captions)]


def _objects(count: int, seed: int, size: int) -> list[Tile]:
    from data_fetch.worlds.scenes import objects
    from data_fetch.worlds.scenes.vocabulary import PLACES, THINGS

    world = objects(count, seed=seed, size=size)
    places = list(PLACES.values())
    names = [f"{THINGS[world.class_names[k]].article} {places[p].where}" for k, p in zip(world.labels, world.places)]
    return [Tile((image,), name) for image, name in zip(world.images, names)]


def _birds(count: int, seed: int, size: int) -> list[Tile]:
    from data_fetch.worlds.birds import birds

    world = birds(count, seed=seed, size=size)
    return [Tile((image,), world.class_names[k]) for image, k in zip(world.images, world.labels)]


def _clips(count: int, seed: int, size: int) -> list[Tile]:
    from data_fetch.worlds.clips import CLASSES, clips

    world = clips(max(count, len(CLASSES)), seed=seed, size=size)  # every class once, then shown by class
    world = world[world.labels.argsort(stable=True)][:count]
    return [Tile(tuple(world.frames[n]), world.texts[n]) for n in range(count)]


_MAKERS: dict[str, tuple[Callable[[int, int, int], list[Tile]], int, int]] = {  # how, columns, usual count
    "shapes": (_shapes, 8, 32),
    "birds": (_birds, 8, 40),
    "scenes": (_scenes, 8, 40),
    "objects": (_objects, 8, 40),
    "clips": (_clips, 2, 26),
}


# ---------------------------------------- reviews: text, with the words that carry the sentiment
_GOOD, _BAD = (0, 90, 160), (178, 60, 0)  # blue and orange: told apart by colour-blind readers, and underlined as well
_WIDTH = 900


def _reviews(count: int, seed: int) -> Image.Image:
    """Each review with its label; words for the label underlined, words against it underlined twice."""
    from data_fetch.worlds.reviews import reviews

    world = reviews(count, seed=seed)
    page = Image.new("RGB", (_WIDTH + 2 * _MARGIN, 26 * _LINE * count + 200), _PAPER)
    pen, top = ImageDraw.Draw(page), _MARGIN
    pen.text((_MARGIN, top), "underlined: for the label; underlined twice: against it", _FAINT, font())
    top += 2 * _LINE
    for n in range(count):
        positive = bool(world.labels[n])
        pen.text((_MARGIN, top), "+" if positive else "\u2212", _GOOD if positive else _BAD, font(16))
        top = _words(pen, world.words[n], world.evidence[n], world.opposing[n], positive, top) + _LINE // 2
    return page.crop((0, 0, page.width, top + _MARGIN))


def _words(pen, words, evidence, opposing, positive: bool, top: int) -> int:
    """Draw the words from the line at `top` on; the top of the next free line."""
    left, space = _MARGIN + 24, font().getlength(" ")
    x = left
    for word, for_it, against in zip(words, evidence, opposing):
        width = font().getlength(word)
        if word in (".", ",", ";", "!", "?", ":"):
            x -= space
        elif x + width > _WIDTH + _MARGIN:
            x, top = left, top + _LINE
        colour = (_GOOD if positive == bool(for_it) else _BAD) if for_it or against else _INK
        pen.text((x, top), word, colour, font())
        for depth in (14, 16)[: 1 * bool(for_it) + 2 * bool(against)]:
            pen.line((x, top + depth, x + width, top + depth), colour)
        x += width + space
    return top + _LINE
