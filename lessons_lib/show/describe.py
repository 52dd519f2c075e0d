"""What a map shows, in words: the alternative text of every heat map, and a summary that tests can check."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lessons_lib.explain.maps import upsample

_QUARTERS = {
    "upper left quarter": (0.0, 0.5, 0.0, 0.5),
    "upper right quarter": (0.0, 0.5, 0.5, 1.0),
    "lower left quarter": (0.5, 1.0, 0.0, 0.5),
    "lower right quarter": (0.5, 1.0, 0.5, 1.0),
    "central quarter": (0.25, 0.75, 0.25, 0.75),
}
_HALVES = {
    "upper half": (0.0, 0.5, 0.0, 1.0),
    "lower half": (0.5, 1.0, 0.0, 1.0),
    "left half": (0.0, 1.0, 0.0, 0.5),
    "right half": (0.0, 1.0, 0.5, 1.0),
}


@dataclass(frozen=True)
class Summary:
    """Where the positive values of a map ("the heat") lie. Shares and places go from 0 to 1.

    kind : "heat", "zero" (nowhere different from 0), "negative" (nowhere positive) or "constant" (one value
        everywhere).
    region : the quarter or half that holds most of the heat, or "" when it is spread.  region_share : its
        share.
    peak : centre of the pixels with the largest value, measured from the left and the top edge.
    peak_area : share of the picture that has the largest value; 0 where one pixel alone has it.
    peak_scattered : several places share the largest value, so that their centre means nothing.
    half_area : smallest share of the picture that holds half of the heat.
    positive_share : positive values / absolute values.
    inside, mask_area : share of the heat inside the mask, share of the picture that the mask covers; None
        without one.
    """

    kind: str
    region: str = ""
    region_share: float = 0.0
    peak: tuple[float, float] = (0.0, 0.0)
    peak_area: float = 0.0
    peak_scattered: bool = False
    half_area: float = 0.0
    positive_share: float = 0.0
    inside: float | None = None
    mask_area: float | None = None


def describe(map: Tensor | np.ndarray, *, label: str = "", mask=None, signed: bool = False) -> str:
    """One sentence that says where a map's heat lies.

    Parameters
    ----------
    map : (H, W), any scale. A colour picture (3, H, W) is summarised by its absolute values summed over
        channels.
    label : what the map is, put in front ("Grad-CAM for 'tabby'").
    mask : bool (H, W), the object that should matter. A map of another resolution is resampled to the mask's.
    signed : negative values are evidence against: say how much there is of either. Otherwise they are left
        out of the account, which the sentence says.

    Returns
    -------
    str, without a line break. Percentages are rounded to whole numbers.

    Raises
    ------
    ValueError : wrong shape, or a NaN or infinite value.
    """
    return sentence(summarise(map, mask=mask), label=label, signed=signed)


def summarise(map: Tensor | np.ndarray, *, mask=None) -> Summary:
    """The figures behind `describe`; arguments as there."""
    values = _as_values(map)
    if mask is not None:
        mask = _as_mask(mask)
        if mask.shape != values.shape:
            values = _resample(values, mask.shape)
    total = np.abs(values).sum()
    if total == 0:
        return Summary("zero", mask_area=None if mask is None else float(mask.mean()))
    heat = values.clip(min=0)
    sum_heat = heat.sum()
    if sum_heat == 0:
        return Summary("negative")
    spread = float(values.max() - values.min())
    kind = "constant" if spread <= 1e-6 * float(np.abs(values).max()) else "heat"
    region, share = _region(heat / sum_heat)
    top = heat >= heat.max() * (1 - 1e-9)
    rows, columns = np.nonzero(top)
    ordered = np.sort(heat, axis=None)[::-1].cumsum()
    half = int(np.searchsorted(ordered, sum_heat / 2 * (1 - 1e-12))) + 1
    return Summary(
        kind=kind,
        region=region,
        region_share=share,
        peak=((columns.mean() + 0.5) / heat.shape[1], (rows.mean() + 0.5) / heat.shape[0]),
        peak_area=float(top.mean()) if len(rows) > 1 else 0.0,
        peak_scattered=not top[round(rows.mean()), round(columns.mean())],
        half_area=half / heat.size,
        positive_share=float(sum_heat / total),
        inside=None if mask is None else float(heat[mask].sum() / sum_heat),
        mask_area=None if mask is None else float(mask.mean()),
    )


def sentence(summary: Summary, *, label: str = "", signed: bool = False, brief: bool = False) -> str:
    """`summary` in words; `brief` keeps the place of the heat and of its peak only."""
    start = f"{label}: " if label else ""
    if summary.kind == "zero":
        return f"{start}the map is zero everywhere, it shows no evidence."
    if summary.kind == "negative":
        return f"{start}no value of the map is positive, all of its evidence is negative."
    if summary.kind == "constant":
        return f"{start}the map has the same value everywhere, it prefers no place{_mask_part(summary)}."
    parts = []
    if signed:
        positive = round(100 * summary.positive_share)
        parts.append(f"{positive} % of the map's total is positive and {100 - positive} % negative")
    elif summary.positive_share < 0.995:
        parts.append(f"negative values ({percent(1 - summary.positive_share)} of the total) left aside")
    heat = "positive part" if signed else "heat"
    share = percent(summary.region_share)
    if summary.region:
        parts.append(f"{share} of the {heat} lies in the {summary.region}")
    else:
        parts.append(f"the {heat} is spread: no half of the picture holds more than {share} of it")
    left, top = (percent(place) for place in summary.peak)
    if summary.peak_scattered:
        parts.append(f"its largest value, in several places, covers {percent(summary.peak_area)} of the picture")
    elif summary.peak_area > 0.005:
        parts.append(
            f"its largest value covers {percent(summary.peak_area)} of the picture, around {left} from the "
            f"left and {top} from the top"
        )
    else:
        parts.append(f"the peak is at {left} from the left and {top} from the top")
    if not brief:
        parts.append(f"half of the {heat} covers {percent(summary.half_area)} of the picture")
    return start + "; ".join(parts) + _mask_part(summary) + "."


def _mask_part(summary: Summary) -> str:
    if summary.inside is None:
        return ""
    return (
        f"; {percent(summary.inside)} of it is inside the marked object, which covers "
        f"{percent(summary.mask_area)} of the picture"
    )


def percent(share: float) -> str:
    """A share of 1 as a whole percentage; what would round to 0 is "under 1 %"."""
    return "under 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def _region(mass: np.ndarray) -> tuple[str, float]:
    """The quarter with more than 50 % of the mass, else the half with 60 %, else "" and the largest half."""
    shares = {name: _share(mass, box) for name, box in _QUARTERS.items()}
    best = max(shares, key=shares.get)
    if shares[best] > 0.5 + 1e-9:
        return best, shares[best]
    shares = {name: _share(mass, box) for name, box in _HALVES.items()}
    best = max(shares, key=shares.get)
    return (best if shares[best] >= 0.6 else ""), shares[best]


def _share(mass: np.ndarray, box: tuple[float, float, float, float]) -> float:
    top, bottom, left, right = box
    return float(_coverage(mass.shape[0], top, bottom) @ mass @ _coverage(mass.shape[1], left, right))


def _coverage(cells: int, start: float, stop: float) -> np.ndarray:
    """How much of each of `cells` cells lies between two fractions of the line, 0 to 1."""
    edges = np.arange(cells + 1)
    return (np.minimum(edges[1:], stop * cells) - np.maximum(edges[:-1], start * cells)).clip(0, 1)


def _as_values(map: Tensor | np.ndarray) -> np.ndarray:
    values = map.detach().cpu().double().numpy() if isinstance(map, Tensor) else np.asarray(map, dtype=np.float64)
    if values.ndim == 3 and values.shape[0] == 1:
        values = values[0]
    if values.ndim == 3 and values.shape[0] == 3:
        values = np.abs(values).sum(0)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"a map of shape (H, W) is needed, got {tuple(values.shape)}")
    if not np.isfinite(values).all():
        raise ValueError("the map contains NaN or infinite values")
    return values


def _as_mask(mask) -> np.ndarray:
    mask = mask.detach().cpu().numpy() if isinstance(mask, Tensor) else np.asarray(mask)
    if mask.ndim == 3 and mask.shape[0] == 1:
        mask = mask[0]
    if mask.ndim != 2 or mask.size == 0:
        raise ValueError(f"a mask of shape (H, W) is needed, got {tuple(mask.shape)}")
    return mask > 0.5 if mask.dtype != bool else mask


def _resample(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """To `size`: bilinear where the map is enlarged, by area where it shrinks."""
    maps = torch.from_numpy(np.ascontiguousarray(values))[None, None]
    smaller = (min(size[0], values.shape[0]), min(size[1], values.shape[1]))
    if smaller != values.shape:
        maps = torch.nn.functional.adaptive_avg_pool2d(maps, smaller)
    return upsample(maps, size)[0, 0].numpy()
