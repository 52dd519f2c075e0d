"""From any picture to what a network takes: a float tensor (1, 3, size, size) in [0, 1]."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

PIXELS_MAX = 80_000_000  # of a picture file; more would need gigabytes once decoded
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
)  # what Pillow raises on bad files

Picture = str | os.PathLike | bytes | Image.Image | np.ndarray | Tensor


def prepare(picture: Picture, size: int = 224, crop: str = "squash") -> Tensor:
    """The picture as a float tensor (1, 3, size, size) in [0, 1], resized bicubically with antialiasing.

    Parameters
    ----------
    picture : the path or the bytes of a picture file, a PIL image, an array (H, W), (H, W, 1), (H, W, 3) or
        (H, W, 4), or a tensor (C, H, W) or (1, C, H, W). Arrays and tensors are uint8, uint16 (arrays), bool
        or floating point in [0, 1]. Grey becomes RGB, transparency is laid on white, EXIF orientation is
        applied, 16-bit values are scaled to [0, 1]; of an animation the first frame is taken.
    size : pixels of a side, 1 to 4096.
    crop : "squash" (the whole picture, whatever its shape) or "center" (the largest square in the middle).

    Raises
    ------
    ValueError : not a picture, damaged, more than `PIXELS_MAX` pixels, wrong shape or range, unknown `crop`.
    FileNotFoundError : no such file.  TypeError : none of the kinds above.
    """
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= 4096:
        raise ValueError(f"size must be a whole number of pixels, 1 to 4096, not {size!r}")
    if crop not in ("squash", "center"):
        raise ValueError(f"crop must be 'squash' or 'center', not {crop!r}")
    if isinstance(picture, Tensor):
        image = _from_tensor(picture)
    elif isinstance(picture, np.ndarray):
        image = _from_array(picture)
    elif isinstance(picture, Image.Image):
        image = _from_array(_decode(picture, size))
    elif isinstance(picture, str | os.PathLike | bytes | bytearray | memoryview):
        image = _from_array(_open(picture, size))
    else:
        raise TypeError(f"a path, bytes, a PIL image, an array or a tensor is needed, not {type(picture).__name__}")
    image = _on_white(image)
    if crop == "center":
        side = min(image.shape[-2:])
        top, left = ((length - side) // 2 for length in image.shape[-2:])
        image = image[..., top : top + side, left : left + side]
    if tuple(image.shape[-2:]) == (size, size):
        return image.clone()
    return F.interpolate(image, (size, size), mode="bicubic", antialias=True).clamp(0, 1)


def _open(picture: str | os.PathLike | bytes, size: int) -> np.ndarray:
    """Decode a picture file, at a reduced scale where it is much larger than needed."""
    if isinstance(picture, str | os.PathLike):
        path = Path(picture)
        if not path.exists():
            raise FileNotFoundError(f"there is no file {path}")
        source, named = path, str(path)
        if not path.is_file():
            raise ValueError(f"{named} is not a picture but a folder")
    else:
        source, named = io.BytesIO(picture), f"this sequence of {len(picture)} bytes"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # PIXELS_MAX is stricter
            image = Image.open(source)
    except Image.DecompressionBombError as error:
        raise ValueError(f"{named} has too many pixels: at most {PIXELS_MAX:,} are expected") from error
    except _BROKEN as error:
        raise ValueError(f"{named} is not a picture that can be read (JPEG, PNG, WebP, TIFF, GIF ...)") from error
    with image:
        if image.width * image.height <= PIXELS_MAX:
            image.draft(None, (2 * size, 2 * size))  # JPEG alone: decoded at 1/2, 1/4 or 1/8
        return _decode(image, size, named)


def _decode(image: Image.Image, size: int, named: str = "this PIL image") -> np.ndarray:
    """A PIL image of any mode as an array of grey, RGB or RGBA values."""
    if image.width * image.height > PIXELS_MAX:
        raise ValueError(
            f"{named} has {image.width} x {image.height} pixels: at most {PIXELS_MAX:,} are expected; make "
            "it smaller first"
        )
    try:
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I;16"):
            return np.asarray(image).astype(np.uint16)
        if image.mode == "I":  # 32-bit integers: what Pillow makes of some 16-bit files
            low, high = image.getextrema()
            if low < 0 or high > 65535:
                raise ValueError(f"integer values must be 0 to 65535, got {low} to {high}")
            return np.asarray(image).astype(np.uint16)
        if image.mode == "F":
            return np.asarray(image)
        see_through = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
        image = image.convert("RGBA" if see_through else "RGB")
    except _BROKEN as error:
        raise ValueError(f"{named} is a damaged or unusual picture: {error}") from error
    shrink = min(image.size) // (4 * size)
    return np.asarray(image.reduce(shrink) if shrink > 1 else image)


def _from_array(array: np.ndarray) -> Tensor:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or 0 in array.shape:
        raise ValueError(
            f"an array of shape (H, W), (H, W, 3) or (H, W, 4) is needed, got {array.shape}; a "
            "channel-first one is given as torch.from_numpy(array)"
        )
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        array = array.astype(np.float32) / 65535
    elif array.dtype.kind == "f":
        array = array.astype(np.float32)
    elif array.dtype not in (np.uint8, np.bool_):
        raise ValueError(f"an array of uint8, uint16, bool or floating point is needed, got {array.dtype}")
    return _from_tensor(torch.from_numpy(np.array(array)).permute(2, 0, 1))


def _from_tensor(tensor: Tensor) -> Tensor:
    if tensor.ndim == 3:
        tensor = tensor[None]
    if tensor.ndim != 4 or len(tensor) != 1 or tensor.shape[1] not in (1, 3, 4) or tensor.numel() == 0:
        raise ValueError(
            f"a tensor of one picture, (C, H, W) or (1, C, H, W) with 1, 3 or 4 channels, is needed, got "
            f"{tuple(tensor.shape)}"
        )
    tensor = tensor.detach()
    if tensor.dtype == torch.uint8:
        return tensor.float() / 255
    if tensor.dtype != torch.bool and not tensor.is_floating_point():
        raise ValueError(f"a tensor of uint8, bool or floating point is needed, got {tensor.dtype}")
    tensor = tensor.float()
    low, high = float(tensor.min()), float(tensor.max())
    if not (low >= 0 and high <= 1):  # also catches NaN
        raise ValueError(f"floating-point values must be in [0, 1], got {low:.4g} to {high:.4g}; divide by 255?")
    return tensor


def _on_white(image: Tensor) -> Tensor:
    """(1, C, H, W), C = 1, 3 or 4 -> (1, 3, H, W); the fourth channel is the opacity."""
    if image.shape[1] == 4:
        colour, opacity = image[:, :3], image[:, 3:]
        return colour * opacity + (1 - opacity)
    return image.expand(1, 3, *image.shape[-2:])
