"""Mosaics of four photographs: the place of every class is known, without anyone's annotation.

Asked for one class, a network that recognises the single photographs should look at that class's tile. The
share of a map's positive relevance inside the right tile says how well a method localises; chance is 1 / 4.

References
----------
Arias-Duart et al., "Focus! Rating XAI Methods and Finding Biases", arXiv 2109.15035. There two of the
four tiles show the class; here each tile shows another one, so that one pass of the network serves all four.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from data_fetch import photos as library


@dataclass(frozen=True)
class Mosaics:
    """N mosaics of 2 x 2 tiles; the tiles are counted top left, top right, bottom left, bottom right.

    Attributes
    ----------
    images : float (N, 3, size, size) in [0, 1].
    masks : bool (N, 4, size, size), the area of each tile.
    classes : int64 (N, 4), the ImageNet class that each tile shows.
    names : for each mosaic, the names of its four photographs.
    """

    images: Tensor
    masks: Tensor
    classes: Tensor
    names: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.images)


def mosaics(
    count: int, seed: int = 0, size: int = 224, *, jitter: float = 0.1, photos: Sequence[str] | None = None
) -> Mosaics:
    """`count` mosaics of four photographs of four different ImageNet classes, drawn and placed at random.

    Parameters
    ----------
    count : how many mosaics.
    seed : decides photographs, places, crops and flips.
    size : pixels of a side, an even number; each tile is a photograph squashed to size / 2.
    jitter : the largest share of a photograph's width, and of its height, that is cropped away at random, 0 to
        0.5; with `jitter` > 0, half of the tiles are also mirrored.
    photos : names to draw from, of at least four classes; default: all `suitable` ones.

    Notes
    -----
    There are few photographs, so many mosaics tell how much places and neighbours matter, not what other
    photographs would give.

    Raises
    ------
    ValueError : a size, count, jitter or choice of photographs that does not fit.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, not {count}")
    if size < 2 or size % 2:
        raise ValueError(f"size must be an even number of pixels, not {size}")
    if not 0 <= jitter <= 0.5:
        raise ValueError(f"jitter must be 0 to 0.5, not {jitter}")
    by_class = _by_class(library.names(suitable_only=True) if photos is None else photos)
    pictures = {name: library.load(name) for group in by_class.values() for name in group}
    generator = torch.Generator().manual_seed(seed)
    images, classes, names = [], [], []
    for _ in range(count):
        chosen = torch.randperm(len(by_class), generator=generator)[:4].tolist()
        groups = [list(by_class.items())[i] for i in chosen]
        four = [group[int(torch.randint(len(group), (), generator=generator))] for _, group in groups]
        tiles = [_tile(pictures[name], size // 2, jitter, generator) for name in four]
        images.append(torch.cat([torch.cat(tiles[:2], 2), torch.cat(tiles[2:], 2)], 1))  # (3, size, size)
        classes.append([index for index, _ in groups])
        names.append(tuple(four))
    masks = tile_masks(size).expand(count, -1, -1, -1).clone()
    return Mosaics(torch.stack(images), masks, torch.tensor(classes), tuple(names))


def tile_masks(size: int) -> Tensor:
    """The areas of the four tiles, bool (4, size, size): top left, top right, bottom left, bottom right."""
    right = torch.arange(size) >= size // 2
    rows = torch.stack([~right, ~right, right, right])
    columns = torch.stack([~right, right, ~right, right])
    return rows[:, :, None] & columns[:, None, :]


def _by_class(names: Sequence[str]) -> dict[int, list[str]]:
    groups: dict[int, list[str]] = {}
    for name in dict.fromkeys(names):
        index = library.photo(name).index
        if index is None:
            raise ValueError(f"no ImageNet class fits the photo {name!r}, so it cannot be in a mosaic")
        groups.setdefault(index, []).append(name)
    if len(groups) < 4:
        raise ValueError(f"photographs of at least four ImageNet classes are needed, these show {len(groups)}")
    return groups


def _tile(picture: Image.Image, side: int, jitter: float, generator: torch.Generator) -> Tensor:
    """A random crop of the picture, squashed to a square and perhaps mirrored: float (3, side, side)."""
    cut, place, coin = (
        torch.rand(2, generator=generator),
        torch.rand(2, generator=generator),
        torch.rand(1, generator=generator),
    )
    lengths = torch.tensor(picture.size, dtype=torch.float32) * (1 - jitter * cut)
    start = (torch.tensor(picture.size) - lengths) * place
    window = (*start.tolist(), *(start + lengths).tolist())
    tile = picture.resize((side, side), Image.Resampling.BICUBIC, box=window)
    if jitter > 0 and coin < 0.5:
        tile = tile.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return torch.from_numpy(np.array(tile)).permute(2, 0, 1).float() / 255
