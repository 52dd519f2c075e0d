"""From features and channel weights to a finished map, in one call."""

from __future__ import annotations

import torch
from torch import Tensor

from lessons_lib.explain.maps import upsample


def cam_map(features: Tensor, weights: Tensor, *, relu: bool = True, size: tuple[int, int] | None = None) -> Tensor:
    """ReLU(sum_k weights_k features^k), then bilinear upsampling.

    features : (B, C, *positions).  weights : (B, T, C).  Returns (B, T, *positions) or (B, T, H, W) with `size`.
    """
    dtype = weights.dtype
    maps = torch.bmm(weights, features.to(dtype).flatten(2)).unflatten(2, features.shape[2:])
    maps = maps.relu() if relu else maps
    return maps if size is None else upsample(maps, size)
