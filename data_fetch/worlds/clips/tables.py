"""Table tops and the wall behind them: the ground of every frame of a clip."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from data_fetch.worlds.raster import hashed
from data_fetch.worlds.textures import Planes

_WALLS = torch.tensor([(0.84, 0.82, 0.76), (0.72, 0.78, 0.82), (0.78, 0.72, 0.66), (0.62, 0.68, 0.62), (0.88, 0.86, 0.84),
                       (0.56, 0.54, 0.58)])  # fmt: skip
Paint = Callable[[Planes, Tensor, Tensor, Tensor], Tensor]


def _blend(low: Tensor, high: Tensor, share: Tensor) -> Tensor:
    return torch.lerp(low[:, :, None, None], high[:, :, None, None], share.clamp(0, 1)[:, None])


def _pick(table: tuple, share: Tensor) -> Tensor:
    colours = torch.tensor(table, device=share.device)
    return colours[(share * len(table)).long()]


def _wood(planes: Planes, u: Tensor, v: Tensor, r: Tensor) -> Tensor:
    """Boards that run from left to right."""
    base = _pick(((0.66, 0.46, 0.28), (0.50, 0.33, 0.20), (0.78, 0.60, 0.40)), r[:, 0])
    lines = (v * 2.2 + r[:, 1, None, None]) % 1.0
    grain = 0.5 + 0.32 * planes["wide"] + 0.2 * planes["coarse"]
    return _blend(base * 0.78, base * 1.14, grain) * (1 - 0.32 * (lines < 0.1).float())[:, None]


def _cloth(planes: Planes, u: Tensor, v: Tensor, r: Tensor) -> Tensor:
    """Checks in white and a colour."""
    dye = _pick(((0.74, 0.30, 0.30), (0.36, 0.50, 0.74), (0.42, 0.62, 0.46), (0.86, 0.74, 0.44)), r[:, 0])
    phase = r[:, 1, None, None]
    checks = 0.5 * (((u * 2.4 + phase) % 1.0) < 0.5).float() + 0.5 * (((v * 2.4 + phase) % 1.0) < 0.5).float()
    return _blend(torch.full_like(dye, 0.92), dye, checks * 0.7 + 0.06 * planes["medium"])


def _desk(planes: Planes, u: Tensor, v: Tensor, r: Tensor) -> Tensor:
    """Plain and smooth, with a soft patch of light."""
    base = _pick(((0.86, 0.85, 0.82), (0.74, 0.76, 0.78), (0.36, 0.37, 0.40), (0.80, 0.74, 0.64)), r[:, 0])
    patch = (1 - ((u - 0.7 + r[:, 1, None, None]) ** 2 + (v - 0.5) ** 2)).clamp(0, 1)
    return _blend(base * 0.88, base * 1.08, patch * 0.8 + 0.12 * planes["coarse"])


def _tiles(planes: Planes, u: Tensor, v: Tensor, r: Tensor) -> Tensor:
    """Floor tiles with light joints."""
    base = _pick(((0.70, 0.66, 0.58), (0.56, 0.60, 0.64), (0.66, 0.50, 0.42)), r[:, 0])
    phase = r[:, 1, None, None]
    joint = torch.maximum((((u * 1.6 + phase) % 1.0) < 0.07).float(), (((v * 1.6 + phase) % 1.0) < 0.07).float())
    stone = _blend(base * 0.86, base * 1.08, 0.5 + 0.4 * planes["coarse"] + 0.2 * planes["medium"])
    return torch.lerp(stone, torch.full_like(stone, 0.86), 0.7 * joint[:, None])


def _carpet(planes: Planes, u: Tensor, v: Tensor, r: Tensor) -> Tensor:
    base = _pick(((0.46, 0.44, 0.52), (0.58, 0.46, 0.42), (0.40, 0.50, 0.46), (0.66, 0.60, 0.52)), r[:, 0])
    return _blend(base * 0.76, base * 1.2, 0.5 + 0.34 * planes["fine"] + 0.14 * planes["coarse"])


def _marble(planes: Planes, u: Tensor, v: Tensor, r: Tensor) -> Tensor:
    base = _pick(((0.88, 0.88, 0.88), (0.80, 0.84, 0.82), (0.30, 0.33, 0.36)), r[:, 0])
    wave = (u - v) * 1.3 + 0.9 * planes["coarse"] + 0.25 * planes["medium"] + 4 * r[:, 1, None, None]
    vein = (1 - 5 * ((wave % 1.6) - 0.8).abs()).clamp(0, 1)
    return _blend(base, base * 0.78, 0.7 * vein + 0.15 * planes["coarse"] + 0.1 * planes["medium"])


TABLES: dict[str, Paint] = {
    "wooden table": _wood, "tablecloth": _cloth, "desk": _desk, "tiled floor": _tiles, "carpet": _carpet,
    "marble": _marble,
}  # fmt: skip
TABLE_NAMES = tuple(TABLES)


def table(kinds: Tensor, seeds: Tensor, size: int) -> Tensor:
    """(n, 3, S, S): the grounds of n clips; an image depends on its kind and seed alone."""
    images = torch.empty(len(kinds), 3, size, size, device=seeds.device)
    for kind in kinds.unique().tolist():
        rows = torch.nonzero(kinds == kind)[:, 0]
        images[rows] = _table(TABLE_NAMES[kind], seeds[rows], size)
    return images


def _table(name: str, seeds: Tensor, size: int) -> Tensor:
    numbers, planes = hashed(seeds + 32_452_843, 6), Planes(seeds, size)
    axis = (torch.arange(size, device=seeds.device) + 0.5) / size
    edge = (0.12 + 0.16 * numbers[:, 2])[:, None, None]  # where the table ends and the wall begins
    down = axis[None, :, None] - edge
    far = 1 / (down.clamp(min=0) + 0.45)  # the distance: lines that lead away meet there
    u, v = (axis[None, None, :] - 0.5) * 2.2 * far, 2.6 * far
    top = TABLES[name](planes, u, v.expand(-1, size, size), numbers) * (0.86 + 0.2 * axis[None, None, :, None])
    share = numbers[:, 3]
    wall = (
        _WALLS.to(share.device)[(share * len(_WALLS)).long()][:, :, None, None]
        * (0.8 + 0.16 * numbers[:, 4])[:, None, None, None]
    )
    wall = wall * (1 + 0.04 * planes["coarse"])[:, None]
    cover = (down * size + 0.5).clamp(0, 1)[:, None]
    rim = (1 - (down * size - 0.3).abs()).clamp(0, 1)[:, None]
    light = (0.9 + 0.2 * numbers[:, 5])[:, None, None, None]
    return (torch.lerp(wall, top, cover) * (1 - 0.35 * rim) * light).clamp(0, 1)
