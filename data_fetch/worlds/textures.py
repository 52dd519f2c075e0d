"""Smooth random planes for grounds, skies and walls, cut from one tile: cheap, and a function of the image's seed."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from data_fetch.worlds.raster import hashed

KINDS = {  # name: cells across an image, down and across
    "coarse": (5, 5),
    "medium": (12, 12),
    "fine": (32, 32),
    "tall": (5, 40),  # blades, planks: long from top to bottom
    "wide": (40, 5),  # waves, grain: long from left to right
}
_SPREAD = 4  # a tile is this many images wide
_AT_ONCE = 128  # images: few enough to stay in the processor's cache


@lru_cache(maxsize=64)
def _tile(kind: str, size: int, device: str) -> Tensor:
    """Values in [-1, 1], (4 S, 4 S), the same on every machine that has torch's CPU generator."""
    generator = torch.Generator().manual_seed(20_181 + list(KINDS).index(kind))
    down, across = (max(2, min(cells, size)) for cells in KINDS[kind])
    grid = torch.rand(1, 1, _SPREAD * down, _SPREAD * across, generator=generator) * 2 - 1
    side = _SPREAD * size
    return F.interpolate(grid, size=(side, side), mode="bilinear", align_corners=False)[0, 0].contiguous().to(device)


class Planes:
    """Noise for n images: planes["coarse"] is (n, S, S) in [-1, 1], cut out when it is first asked for."""

    def __init__(self, seeds: Tensor, size: int):
        """seeds (n,) int64: image i's planes depend on its seed and the size alone."""
        if size < 8:
            raise ValueError(f"size must be at least 8 pixels, got {size}")
        self.size, self._seeds = size, seeds
        self._found: dict[str, Tensor] = {}

    def __getitem__(self, kind: str) -> Tensor:
        if kind not in KINDS:
            raise ValueError(f"there is no texture {kind!r}; there are {', '.join(KINDS)}")
        if kind not in self._found:
            tile = _tile(kind, self.size, str(self._seeds.device))
            place = hashed(self._seeds + 7919 * list(KINDS).index(kind), 2) * (tile.shape[-1] - self.size)
            left, top = place.long().unbind(1)
            lines = torch.arange(self.size, device=left.device)
            starts = ((top[:, None] + lines) * tile.shape[-1] + left[:, None]).view(-1)
            runs = tile.view(-1).as_strided((tile.numel() - self.size + 1, self.size), (1, 1))
            self._found[kind] = runs[starts].view(-1, self.size, self.size)
        return self._found[kind]


def grain(seeds: Tensor, size: int, deviation: float) -> Tensor:
    """(n, 3, S, S) of Gaussian noise with the standard deviation `deviation`, cut from a tile."""
    return _cut(seeds, size) * deviation


def _cut(seeds: Tensor, size: int) -> Tensor:
    tile = _noise(size, str(seeds.device))
    place = hashed(seeds + 104_729, 2) * (tile.shape[-1] - size)
    left, top = place.long().unbind(1)
    lines = torch.arange(size, device=left.device) * tile.shape[-1]
    plane = torch.arange(3, device=left.device) * (tile.shape[-1] ** 2)
    starts = (plane[None, :, None] + (top * tile.shape[-1] + left)[:, None, None] + lines).view(-1)
    runs = tile.view(-1).as_strided((tile.numel() - size + 1, size), (1, 1))
    return runs[starts].view(-1, 3, size, size)


def add_grain(images: Tensor, seeds: Tensor, deviation: float) -> None:
    """Add noise of that standard deviation to the images (n, 3, S, S), in place, and keep them within 0 to 1."""
    for part, own in zip(images.split(_AT_ONCE), seeds.split(_AT_ONCE)):
        if deviation:
            part.add_(_cut(own, images.shape[-1]), alpha=deviation)
        part.clamp_(0, 1)


@lru_cache(maxsize=16)
def _noise(size: int, device: str) -> Tensor:
    generator = torch.Generator().manual_seed(20_181)
    return torch.randn(3, _SPREAD * size, _SPREAD * size, generator=generator).to(device)
