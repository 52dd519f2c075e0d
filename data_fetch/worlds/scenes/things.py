"""Draws the things of a scene: `draw("dog", pen, ...)`. Each is named at once at 14 to 30 pixels."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from data_fetch.worlds.raster import Pen
from data_fetch.worlds.scenes import things_animals, things_food, things_sport, things_table, things_vehicles
from data_fetch.worlds.scenes.things_base import Look, finish
from data_fetch.worlds.scenes.vocabulary import THINGS

_FILES = (things_animals, things_vehicles, things_sport, things_food, things_table)
DRAW: dict[str, Callable[[Pen, Look], None]] = {name: f for file in _FILES for name, f in file.DRAW.items()}
PARTS: dict[str, tuple[str, ...]] = {name: words for file in _FILES for name, words in file.PARTS.items()}
_SHADOWS = {name: shadow for file in _FILES for name, shadow in file.SHADOWS.items()}
STYLES = ("photo", "flat", "night", "sketch")


def draw(name: str, pen: Pen, colour: Tensor, state: Tensor, vary: Tensor, style: str = "photo") -> None:
    """Draw n things of one kind with a pen; they face right unless the pen is flipped.

    The pen's origin is the thing's centre and its unit half of the thing's larger side: parts stay within
    `THINGS[name].extent`. A soft shadow on the ground and a dark rim, which belong to no part, reach a little
    beyond.

    Parameters
    ----------
    name : one of `THINGS`.
    colour : (n, 3) in [0, 1]; of a traffic light, the light that is on (red or green).
    state : (n,) int64, numbers of the thing's `states`; 0 where it has none.
    vary : (n, 4) in [0, 1): small differences of shape.
    style : "photo"; "flat" is a cartoon with the same parts, without light; "night" and "sketch" are drawn like
        "photo" and changed later.

    The pen's parts are numbers from 1, named by `PARTS[name]`; part 1 has the thing's colour.

    Raises
    ------
    ValueError : an unknown name or style, or a tensor of the wrong shape.
    """
    if name not in DRAW:
        raise ValueError(f"there is no thing {name!r}; there are {', '.join(THINGS)}")
    if style not in STYLES:
        raise ValueError(f"style must be one of {STYLES}, got {style!r}")
    for what, value, shape in (("colour", colour, (3,)), ("state", state, ()), ("vary", vary, (4,))):
        if value.shape != (len(pen), *shape):
            raise ValueError(f"{what} must have shape {(len(pen), *shape)}, got {tuple(value.shape)}")
    look = Look(colour, state, vary, style == "flat")
    DRAW[name](pen, look)
    finish(pen, look, _SHADOWS.get(name))
