"""Pictures of any size become squares of one size; their masks, boxes and points go along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from data_fetch.fields import Loaded


@dataclass(frozen=True)
class Fit:
    """How a picture becomes a square of `size` pixels.

    how : "squash" scales both sides on their own (nothing is lost); "crop" keeps the shape and cuts the longer side
    on both ends.
    """

    size: int
    how: str = "squash"

    def __post_init__(self):
        if self.size < 1 or self.how not in ("squash", "crop"):
            raise ValueError(f"size must be at least 1 and how 'squash' or 'crop', got {self.size} and {self.how!r}")

    def window(self, width: int, height: int) -> tuple[float, float, float, float]:
        """The part (x0, y0, x1, y1) of a picture that fills the square."""
        if self.how == "squash":
            return 0.0, 0.0, float(width), float(height)
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return left, top, left + side, top + side

    def image(self, path: Path) -> Tensor:
        """(3, S, S) float in [0, 1] of the file at `path`.

        Raises
        ------
        FileNotFoundError : no such file.  ValueError : a file that is no picture, or a picture cut short.
        """
        picture = open_picture(path).convert("RGB")
        square = picture.resize(
            (self.size, self.size), Image.Resampling.BICUBIC, box=self.window(*picture.size), reducing_gap=2.0
        )
        return torch.from_numpy(np.array(square)).permute(2, 0, 1).float() / 255

    def mask(self, mask: np.ndarray) -> Tensor:
        """(S, S) bool of a mask (H, W): pixels in which at least half of the mask's pixel centres are covered."""
        grey = Image.fromarray(np.where(np.asarray(mask) > 0, 255, 0).astype(np.uint8))
        square = grey.resize((self.size, self.size), Image.Resampling.BOX, box=self.window(*grey.size))
        return torch.from_numpy(np.array(square)) >= 128

    def classes(self, numbers: np.ndarray) -> Tensor:
        """(S, S) uint8 of a map of class numbers (H, W) uint8: nearest neighbour, since numbers can't be mixed."""
        plane = Image.fromarray(np.asarray(numbers, np.uint8))
        square = plane.resize((self.size, self.size), Image.Resampling.NEAREST, box=self.window(*plane.size))
        return torch.from_numpy(np.array(square))

    def heat(self, heat: np.ndarray) -> Tensor:
        """(S, S) float of a map of heat (H, W), smoothly resized, in the units that it came in."""
        plane = Image.fromarray(np.asarray(heat, np.float32))
        square = plane.resize((self.size, self.size), Image.Resampling.BILINEAR, box=self.window(*plane.size))
        return torch.from_numpy(np.array(square))

    def points(self, points: Sequence | np.ndarray, width: int, height: int) -> Tensor:
        """(n, 2) points (x, y) of a picture as pixels of the square; they may fall outside it."""
        x0, y0, x1, y1 = self.window(width, height)
        scale = torch.tensor([self.size / (x1 - x0), self.size / (y1 - y0)])
        return (torch.as_tensor(np.asarray(points, np.float32)).reshape(-1, 2) - torch.tensor([x0, y0])) * scale

    def boxes(self, boxes: Sequence | np.ndarray, width: int, height: int) -> Tensor:
        """(n, 4) boxes (x0, y0, x1, y1) of a picture as pixels of the square, cut off at its border."""
        corners = torch.as_tensor(np.asarray(boxes, np.float32)).reshape(-1, 2)
        return self.points(corners, width, height).clamp(0, self.size).reshape(-1, 4)


def open_picture(path: Path) -> Image.Image:
    """The picture, read wholly; the errors of `Fit.image`."""
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture.copy()
    except FileNotFoundError:
        raise FileNotFoundError(f"the picture {path} is missing: the data set is not complete") from None
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} is no picture that can be read ({error})") from error


def pictures(paths: Sequence[Path], fit: Fit) -> Loaded:
    """Column (N, 3, S, S) of the files, read when asked for."""
    return column(fit.image, paths)


def column(read: Callable, items: Sequence, *, ragged: bool = False) -> Loaded:
    """Column whose row n is `read(items[n])`."""
    return Loaded(partial(_read_row, read, items), len(items), ragged=ragged)


def _read_row(read: Callable, items: Sequence, n: int) -> Tensor:
    return read(items[n])
