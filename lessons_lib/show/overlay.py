"""From a map of numbers to pixels: scale, colours and the blend over the picture, fast enough for a controls."""

from __future__ import annotations

from functools import lru_cache

import matplotlib
import numpy as np
from torch import Tensor

from lessons_lib.show.describe import _as_mask, _resample

UNSIGNED, SIGNED = "inferno", "RdBu_r"
PERCENTILE = 99.5  # the value that gets the brightest colour: one outlying pixel must not turn a map black


def as_picture(image) -> np.ndarray:
    """A picture as float32 (H, W, 3) in [0, 1].

    image : (3, H, W), (1, 3, H, W) or grey (1, H, W) in [0, 1], Tensor or array.
    Raises ValueError for another shape, values outside [0, 1] by more than rounding, or NaN.
    """
    pixels = image.detach().cpu().float().numpy() if isinstance(image, Tensor) else np.asarray(image, np.float32)
    if pixels.ndim == 4 and pixels.shape[0] == 1:
        pixels = pixels[0]
    if pixels.ndim != 3 or pixels.shape[0] not in (1, 3) or pixels.size == 0:
        raise ValueError(f"an image of shape (3, H, W) or (1, 3, H, W) is needed, got {tuple(pixels.shape)}")
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= -0.01 and high <= 1.01):
        raise ValueError(f"the image must lie in [0, 1], its values go from {low:.3g} to {high:.3g}")
    if pixels.shape[0] == 1:
        pixels = pixels.repeat(3, 0)
    return np.ascontiguousarray(pixels.transpose(1, 2, 0).clip(0, 1))


def as_map(map) -> np.ndarray:
    """A map as float32 (H, W), or a signed colour picture as (H, W, 3).

    map : (H, W), (1, H, W), (3, H, W), each also with a leading batch axis of 1. Raises ValueError otherwise.
    """
    values = map.detach().cpu().float().numpy() if isinstance(map, Tensor) else np.asarray(map, np.float32)
    shape = tuple(values.shape)
    if values.ndim == 4 and shape[0] == 1:
        values = values[0]
    if values.ndim == 3 and values.shape[0] == 1:
        values = values[0]
    if values.size == 0 or not (values.ndim == 2 or (values.ndim == 3 and values.shape[0] == 3)):
        raise ValueError(f"a map of shape (H, W) or a colour picture (3, H, W) is needed, got {shape}")
    if not np.isfinite(values).all():
        raise ValueError("the map contains NaN or infinite values")
    return values if values.ndim == 2 else values.transpose(1, 2, 0)


def is_signed(values: np.ndarray) -> bool:
    """Whether negative values are more than rounding."""
    return bool(values.min() < -1e-4 * max(float(np.abs(values).max()), 1e-30))


def largest(values: np.ndarray, percentile: float = PERCENTILE) -> float:
    """The value that gets the last colour: the percentile of the magnitudes; the maximum where that is 0."""
    magnitudes = np.abs(values)
    peak = float(np.percentile(magnitudes, percentile)) if percentile < 100 else 0.0
    return peak if peak > 0 else float(magnitudes.max())


def blend(
    picture: np.ndarray,
    values: np.ndarray,
    *,
    signed: bool = False,
    overlay: float = 0.55,
    colours: str | None = None,
    percentile: float = PERCENTILE,
) -> np.ndarray:
    """The map as colour over the picture in pale grey, (H, W, 3) in [0, 1].

    The opacity of each pixel grows with the map: where the map is 0 the picture shows alone. A colour picture
    (H, W, 3) of signed values is not blended: grey is 0.

    Parameters
    ----------
    picture : (H, W, 3) in [0, 1].  values : (h, w) or (h, w, 3), resampled to the picture's size.
    signed : colours centred on 0.  overlay : from 0 (picture alone) to 1 (colour alone where the map is
        large).
    colours : a matplotlib colour map.  percentile : see `largest`; values beyond it get the last colour.
    """
    size = picture.shape[:2]
    if values.ndim == 3:
        planes = [_fit(values[..., channel], size) for channel in range(3)]
        return _centred(np.stack(planes, -1), percentile)
    values = _fit(values, size)
    peak = largest(values if signed else values.clip(min=0), percentile)
    unit = np.clip(values / peak, -1, 1) if peak > 0 else np.zeros_like(values)
    if signed:
        place, strength = (unit + 1) / 2, np.abs(unit)
    else:
        place = strength = unit.clip(min=0)
    colour = _table(colours or (SIGNED if signed else UNSIGNED))[(place * 255 + 0.5).astype(np.intp)]
    alpha = _opacity(strength, overlay)[..., None]
    return (1 - alpha) * _paper(picture, overlay) + alpha * colour


def _opacity(strength: np.ndarray, overlay: float) -> np.ndarray:
    """0 where the map is 0, then fast up (square root) to a ceiling of 0.6 to 1, depending on `overlay`."""
    return np.clip(2 * overlay * np.sqrt(strength), 0, 1) * (0.6 + 0.4 * overlay)


def _paper(picture: np.ndarray, overlay: float) -> np.ndarray:
    """The picture below the colours: the more colour, the greyer, so that its hues are not taken for heat."""
    grey = (picture @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    amount = min(1.0, 2 * overlay)
    return (1 - amount) * picture + amount * (0.25 + 0.75 * grey)


def outline(mask, size: tuple[int, int], width: int = 1) -> np.ndarray:
    """The border of a mask as bool (H, W) of `size`, `width` pixels to the inside and the outside."""
    inside = _as_mask(mask)
    times = (size[0] // inside.shape[0], size[1] // inside.shape[1])
    if (inside.shape[0] * times[0], inside.shape[1] * times[1]) == tuple(size):
        inside = inside.repeat(times[0], 0).repeat(times[1], 1)
    else:
        inside = _resample(inside.astype(np.float64), size) >= 0.5
    grown, shrunk = inside, inside
    for _ in range(width):
        grown, shrunk = _grow(grown), ~_grow(~shrunk)
    return grown & ~shrunk


def _grow(mask: np.ndarray) -> np.ndarray:
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown


def _fit(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return values if values.shape == size else _resample(values.astype(np.float32), size)


def _centred(values: np.ndarray, percentile: float) -> np.ndarray:
    peak = largest(values, percentile)
    return np.clip(0.5 + values / (2 * peak), 0, 1) if peak > 0 else np.full_like(values, 0.5)


@lru_cache(maxsize=8)
def _table(name: str) -> np.ndarray:
    try:
        return matplotlib.colormaps[name](np.arange(256))[:, :3].astype(np.float32)
    except KeyError as error:
        raise ValueError(f"{name!r} is not a matplotlib colour map; try 'inferno', 'viridis' or 'RdBu_r'") from error
