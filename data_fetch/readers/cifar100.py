"""CIFAR-100: 60,000 pictures of 32 x 32 pixels, 100 classes in 20 groups.

Layout: cifar-100-python/ with the Python pickles train, test and meta. A pickle can run any program when it is
opened, so these are read by an unpickler that knows nothing but dicts, lists, strings, numbers and numpy arrays.
(torchvision.datasets.CIFAR100 opens them with plain pickle, after a check of their MD5, and drops the groups.)

References
----------
Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", technical report, 2009.
"""

from __future__ import annotations

import pickle
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from data_fetch.fields import Labelled, Loaded
from data_fetch.readers import official
from data_fetch.readers.pixels import Fit

NAME = "cifar100"
SPLITS = ("train", "test")
SIDE = 32


def read(
    folder: Path | str, split: str = "train", *, size: int = SIDE, how: str = "squash", coarse: bool = False
) -> Labelled:
    """Small pictures, kept in memory as bytes; a row becomes float, and is resized, when it is asked for.

    Parameters
    ----------
    folder : where the archive was extracted, or cifar-100-python itself.
    split : "train" (50,000 images) or "test" (10,000).
    size : pixels of a side, 32 for the pictures as they are.  how : no matter, for the pictures are square.
    coarse : labels are the 20 groups ("aquatic mammals") instead of the 100 classes ("beaver").

    Returns
    -------
    Labelled. names : the file names that the archive gives.

    Raises
    ------
    ValueError : an unknown split; a file that is no pickle, or asks for more than numbers, text and arrays, or does
    not hold what it should.  FileNotFoundError : a file that is missing.
    """
    fit = Fit(size, how)
    official.choose(split, SPLITS)
    root = official.inside(folder, ("cifar-100-python", ""), "meta", NAME)
    kind = "coarse" if coarse else "fine"
    class_names = _names(root / "meta", kind)
    path = official.present(root / split, NAME)
    found = _open(path, ("data", f"{kind}_labels", "filenames"))
    data = _data(path, found["data"])
    labels = _labels(path, found[f"{kind}_labels"], len(data), len(class_names))
    return Labelled(
        images=Loaded(partial(_image, torch.from_numpy(data), fit.size), len(data)),
        labels=labels,
        class_names=class_names,
        names=tuple(str(name) for name in found["filenames"]),
    )


def _image(data: Tensor, size: int, n: int) -> Tensor:
    """(3, S, S) float in [0, 1] of row n of (N, 3, 32, 32) uint8."""
    image = data[n]
    if size != SIDE:
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        image = torch.from_numpy(np.array(picture.resize((size, size), Image.Resampling.BICUBIC))).permute(2, 0, 1)
    return image.float() / 255


def _names(path: Path, kind: str) -> tuple[str, ...]:
    names = _open(path, (f"{kind}_label_names",))[f"{kind}_label_names"]
    return tuple(str(name).replace("_", " ") for name in names)


def _data(path: Path, data: object) -> np.ndarray:
    """(N, 3, 32, 32) uint8 of the rows of 3,072 bytes: all of red, of green, of blue."""
    values = getattr(data, "values", None) if isinstance(data, _Array) else None
    if values is None or values.ndim != 2 or values.shape[1] != 3 * SIDE**2:
        raise ValueError(f"{path}: data must be an array of bytes, {3 * SIDE**2} for each image")
    return values.reshape(-1, 3, SIDE, SIDE)


def _labels(path: Path, labels: object, count: int, classes: int) -> Tensor:
    good = isinstance(labels, list) and len(labels) == count
    if not good or not all(isinstance(n, int) and 0 <= n < classes for n in labels):
        raise ValueError(f"{path}: expected {count} labels, whole numbers 0 to {classes - 1}")
    return torch.tensor(labels, dtype=torch.long)


def _open(path: Path, keys: tuple[str, ...]) -> dict:
    """What a pickle holds, if it is a dict with these keys."""
    with official.present(path, NAME).open("rb") as file:
        try:
            found = _Plain(file, encoding="latin1").load()  # Python 2 wrote them: its strings are bytes
        except _REFUSED as error:
            raise ValueError(f"{path} is no pickle of plain data ({error})") from error
    missing = [key for key in keys if not isinstance(found, dict) or key not in found]
    if missing:
        raise ValueError(f"{path} has no {missing[0]}")
    return found


_REFUSED = (pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError, OverflowError)


class _Bytes:
    """Stands for numpy's dtype in a pickle; of all kinds of numbers only bytes are let in."""

    def __init__(self, code: str, *_):
        if code not in ("u1", "|u1"):
            raise pickle.UnpicklingError(f"an array of {code!r}, not of bytes")

    def __setstate__(self, _: object) -> None:
        """Byte order and flags, which bytes do not need."""


class _Array:
    """Stands for numpy's array in a pickle: numpy's own `__setstate__` would trust what the file says."""

    def __init__(self, *_):
        """The class and shape that the file wishes for here are not heard."""

    def __setstate__(self, state: tuple) -> None:
        _, shape, _, fortran, raw = state
        memory = bytearray(raw, "latin1") if isinstance(raw, str) else bytearray(memoryview(raw))
        self.values = np.frombuffer(memory, np.uint8).reshape(shape, order="F" if fortran else "C")


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text in the encoding {encoding!r}")
    return text.encode("latin1")


_KNOWN = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Bytes,
    ("_codecs", "encode"): _encode,  # how Python 3 writes bytes for old readers
}


class _Plain(pickle.Unpickler):
    """An unpickler that gives arrays of bytes beside Python's own plain types, and refuses every other name."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no picture needs")
        return _KNOWN[module, name]

    def persistent_load(self, _: object) -> object:
        raise pickle.UnpicklingError("it refers to something outside the file")
