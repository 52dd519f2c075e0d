"""Paints the places of the scenes: whole images, and for each pixel what of the place lies there."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from data_fetch.worlds.scenes import places_indoor, places_outdoor, places_town
from data_fetch.worlds.scenes.places_base import REGIONS, Ground
from data_fetch.worlds.scenes.vocabulary import PLACE_NAMES

__all__ = ["PLACES", "REGIONS", "STYLES", "draw"]

_DRAW = places_outdoor.DRAW | places_town.DRAW | places_indoor.DRAW
PLACES: dict[str, Callable[[Ground], None]] = {name: _DRAW[name] for name in PLACE_NAMES}
STYLES = ("photo", "flat", "night", "sketch")


def draw(name: str, seeds: Tensor, size: int, style: str = "photo") -> tuple[Tensor, Tensor]:
    """Pictures (n, 3, S, S) of one kind of place in [0, 1], and their regions (n, S, S) uint8, numbers of `REGIONS`.

    Feet stand, things stand and boats swim on the heights that `vocabulary.PLACES` states. No living being and no
    thing that a caption could name is in a place. Image i depends on its seed, the size and the style alone; the
    regions are the same in every style.

    Parameters
    ----------
    name : one of `PLACE_NAMES`.
    seeds : (n,) int64.
    size : side of the images in pixels, at least 16.
    style : "photo"; "flat" is a cartoon without textures and gradients; "night" and "sketch" are drawn like
        "photo" and changed later.

    Raises
    ------
    ValueError : an unknown name or style, a size below 16, seeds of another shape.
    """
    if name not in PLACES:
        raise ValueError(f"there is no place {name!r}; there are {', '.join(PLACES)}")
    if style not in STYLES:
        raise ValueError(f"style must be one of {', '.join(STYLES)}, got {style!r}")
    if size < 16:
        raise ValueError(f"size must be at least 16 pixels, got {size}")
    if seeds.ndim != 1 or seeds.is_floating_point():
        raise ValueError(f"seeds must be (n,) integers, got {seeds.dtype} of shape {tuple(seeds.shape)}")
    ground = Ground(seeds, size, style == "flat")
    PLACES[name](ground)
    return ground.colours.clamp_(0, 1), ground.parts
