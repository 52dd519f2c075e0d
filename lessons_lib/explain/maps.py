"""Maps after they are made: resolution and scale. Explanations themselves are never normalised silently."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=64)
def interpolation_matrix(source: int, target: int, *, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Rows that interpolate a line of `source` values at `target` places: bilinear, align_corners=False, (target, source)."""
    with torch.inference_mode(False):  # what is kept must serve calls that build a graph, too
        return _interpolation_matrix(source, target, device, dtype)


def _interpolation_matrix(source: int, target: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    centres = (torch.arange(target, device=device, dtype=torch.float64) + 0.5) * (source / target) - 0.5
    centres = centres.clamp(0, source - 1)
    low = centres.floor().long().clamp(max=max(source - 2, 0))
    fraction = (centres - low).to(dtype)
    matrix = torch.zeros(target, source, device=device, dtype=dtype)
    rows = torch.arange(target, device=device)
    matrix[rows, low] = 1 - fraction
    if source > 1:
        matrix[rows, low + 1] = fraction
    return matrix


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resampling of maps (..., h, w) to (..., H, W), equal to `F.interpolate(align_corners=False)`.

    Two small matrix products: several times faster than the general routine for many maps on a CPU, differentiable.
    Meant for enlarging; it does not average when it shrinks.
    """
    if maps.ndim < 2 or len(size) != 2 or min(size) < 1:
        raise ValueError(f"maps of shape (..., h, w) and a size (H, W) are needed, got {tuple(maps.shape)} and {size}")
    h, w = maps.shape[-2:]
    rows = interpolation_matrix(h, size[0], device=maps.device, dtype=maps.dtype)
    columns = interpolation_matrix(w, size[1], device=maps.device, dtype=maps.dtype)
    return rows @ (maps @ columns.t())


def to_unit(maps: Tensor) -> Tensor:
    """Maps (..., h, w) scaled so that each one's largest value is 1, for display; negative values are cut to 0.

    A map that is nowhere positive stays zero: no NaN.
    """
    maps = maps.clamp(min=0)
    peak = maps.amax((-2, -1), keepdim=True)
    return maps / torch.where(peak > 0, peak, torch.ones_like(peak))


def to_mass(maps: Tensor, eps: float = 1e-8) -> Tensor:
    """Maps (..., h, w), >= 0, scaled to sum to 1, for losses: maps / (sum + eps); a zero map stays zero."""
    maps = maps.clamp(min=0)
    return maps / (maps.sum((-2, -1), keepdim=True) + eps)


def over_channels(attributions: Tensor, reduce: str | None) -> Tensor:
    """Pixel attributions (..., C, H, W) reduced over their channels to maps (..., H, W).

    reduce : "max_abs" (Simonyan et al. 2013), "sum" (keeps completeness and conservation), "abs_sum",
        "positive_sum" (sum over channels, then cut at 0) or None (leave the channels).
    """
    if reduce is None:
        return attributions
    if reduce == "max_abs":
        return attributions.abs().amax(-3)
    if reduce == "sum":
        return attributions.sum(-3)
    if reduce == "abs_sum":
        return attributions.abs().sum(-3)
    if reduce == "positive_sum":
        return attributions.sum(-3).clamp(min=0)
    raise ValueError(f"reduce must be 'max_abs', 'sum', 'abs_sum', 'positive_sum' or None, not {reduce!r}")
