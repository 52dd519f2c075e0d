"""What the readers of official layouts share: folders, text tables, splits, sizes, and the splits of xlsa17."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from scipy.io import loadmat
from torch import Tensor

PROPOSED = {"train_seen": "trainval_loc", "test_seen": "test_seen_loc", "test_unseen": "test_unseen_loc"}


def present(path: Path, name: str) -> Path:
    """The path itself; FileNotFoundError with the command that gets the data set `name` if nothing is there."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; get the data set with: python -m data_fetch get {name}")
    return path


def inside(folder: Path | str, places: Sequence[str], probe: str, name: str) -> Path:
    """The first of `places` in `folder` that holds the file `probe`; "" is the folder itself."""
    found = [Path(folder) / place for place in places if (Path(folder) / place / probe).exists()]
    return found[0] if found else present(Path(folder) / places[0] / probe, name)


def choose(split: str, splits: Sequence[str]) -> None:
    """ValueError for a split that is not one of `splits`."""
    if split not in splits:
        raise ValueError(f"there is no split {split!r}; there are {', '.join(splits)}")


def lines(path: Path, name: str) -> list[tuple[int, str]]:
    """(line number, text) of every line that is not empty, without the spaces around it."""
    text = present(path, name).read_text(encoding="utf-8")
    found = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not found:
        raise ValueError(f"{path} is empty")
    return found


def numbered(path: Path, name: str) -> dict[int, str]:
    """{number: text} of a file with lines such as "7 some text", in the order of the file."""
    found: dict[int, str] = {}
    for number, line in lines(path, name):
        key, _, text = line.replace("\t", " ").partition(" ")
        if not key.isdecimal() or not text.strip() or int(key) in found:
            raise ValueError(f"{path}, line {number}: expected a new number and a text, got {line!r}")
        found[int(key)] = text.strip()
    return found


def names(path: Path, name: str) -> tuple[str, ...]:
    """Texts of a numbered file whose numbers are 1, 2, 3, ..."""
    found = numbered(path, name)
    if list(found) != list(range(1, len(found) + 1)):
        raise ValueError(f"{path} must number its lines 1 to {len(found)}")
    return tuple(found.values())


def table(path: Path, columns: int, name: str, dtype: type = np.float64, *, more: bool = False) -> np.ndarray:
    """(lines, columns) numbers of a text file, read by numpy's own C code (4 million lines in a second).

    more : lines may have further columns, which are left out.
    """
    if not present(path, name).stat().st_size:
        raise ValueError(f"{path} is empty")
    try:
        found = np.loadtxt(
            path, dtype, comments=None, usecols=range(columns) if more else None, ndmin=2, encoding="utf-8"
        )
    except ValueError:
        found = None
    if found is None or found.shape[1] != columns:
        raise ValueError(f"{path}, {_bad_line(path, columns, dtype, more)}")
    check(path, np.isfinite(found).all(1), "expected finite numbers")
    return found


def _bad_line(path: Path, columns: int, dtype: type, more: bool) -> str:
    """The first line that is not `columns` numbers; slow, for the message alone."""
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        fields = line.split()
        try:
            good = not fields or (len(fields) >= columns if more else len(fields) == columns)
            np.array(fields[:columns], dtype=object).astype(dtype)
        except ValueError:
            good = False
        if not good:
            return f"line {number}: expected {columns} numbers, got {line.strip()[:80]!r}"
    return f"expected {columns} numbers a line"


def check(path: Path, good: np.ndarray, what: str) -> None:
    """ValueError with the number of the first line of a table for which `good` is False."""
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        filled = [number for number, _ in lines(path, "")]  # empty lines have no row in the table
        raise ValueError(f"{path}, line {filled[row]}: {what}")


def sizes(paths: Sequence[Path]) -> np.ndarray:
    """(N, 2) width and height of pictures, from their headers alone; the errors of `pixels.open_picture`."""
    parts = [paths[start : start + 256] for start in range(0, len(paths), 256)]
    with ThreadPoolExecutor(8) as pool:  # a slow disk is asked for several headers at a time
        found = [size for part in pool.map(lambda part: [_size(path) for path in part], parts) for size in part]
    return np.array(found, np.int64).reshape(-1, 2)


def _size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as picture:
            return picture.size
    except FileNotFoundError:
        raise FileNotFoundError(f"the picture {path} is missing: the data set is not complete") from None
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} is no picture that can be read ({error})") from error


def place(change: Callable, values: np.ndarray, extents: np.ndarray) -> Tensor:
    """Values (N, n, k) of N pictures of the sizes `extents` (N, 2) put through `Fit.boxes` or `Fit.points`.

    Pictures of one size are changed together: one call a picture would take seconds.
    """
    placed = torch.empty(values.shape)
    kinds, kind = np.unique(extents, axis=0, return_inverse=True)
    order = np.argsort(kind.ravel(), kind="stable")
    for (width, height), rows in zip(kinds.tolist(), np.split(order, np.cumsum(np.bincount(kind.ravel()))[:-1])):
        placed[rows] = change(values[rows], width, height).reshape(len(rows), *values.shape[1:])
    return placed


class Proposed(NamedTuple):
    """One data set's zero-shot split of Xian et al.

    rows : {"train_seen", "test_seen", "test_unseen"} -> "class folder/file name" of each image.
    seen : the class folders whose images may be used in training.
    """

    rows: dict[str, list[str]]
    seen: set[str]


def proposed(folder: Path | str, name: str) -> Proposed:
    """The proposed split of "CUB" or "AWA2" out of the archive xlsa17, extracted in `folder`.

    res101.mat holds the image files, with paths of the authors' machine, of which the last two parts are kept, and
    also 2,048 features an image, which are not read; att_splits.mat holds the rows of each split, counted from 1.

    References
    ----------
    Xian, Lampert, Schiele, Akata, "Zero-Shot Learning: A Comprehensive Evaluation of the Good, the Bad and the
    Ugly", IEEE TPAMI 2018.
    """
    places = (f"xlsa17/data/{name}", f"data/{name}", name, "")
    root = inside(folder, places, "att_splits.mat", "xlsa17")
    images, splits = present(root / "res101.mat", "xlsa17"), root / "att_splits.mat"
    cells = _variables(images, ["image_files"])["image_files"].ravel()
    files = ["/".join(_text(cell).replace("\\", "/").split("/")[-2:]) for cell in cells]
    found = _variables(splits, list(PROPOSED.values()))
    rows = {split: [files[n] for n in _rows(splits, found[key], key, len(files))] for split, key in PROPOSED.items()}
    return Proposed(rows, {file.split("/")[0] for file in rows["train_seen"]})


def proposed_beside(folder: Path | str, xlsa17: Path | str | None, name: str) -> Proposed | None:
    """The split out of `xlsa17`, or, where that is None, out of a folder xlsa17 inside or beside `folder`, if any."""
    if xlsa17 is not None:
        return proposed(xlsa17, name)
    around = [spot / inner for spot in (Path(folder), Path(folder).parent) for inner in ("", "xlsa17")]
    around = [spot for spot in around if (spot / f"xlsa17/data/{name}").is_dir()]
    return proposed(around[0], name) if around else None


def _variables(path: Path, names: list[str]) -> dict[str, np.ndarray]:
    try:
        found = loadmat(path, variable_names=names)
    except (ValueError, TypeError, NotImplementedError, OSError) as error:
        raise ValueError(f"{path} is no MATLAB file that can be read ({error})") from error
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(f"{path} has no variable {missing[0]}")
    return found


def _text(cell: object) -> str:
    while isinstance(cell, np.ndarray) and cell.size:  # scipy wraps a string of a cell array in an array
        cell = cell.ravel()[0]
    return str(cell)


def _rows(path: Path, numbers: np.ndarray, key: str, count: int) -> list[int]:
    numbers = np.asarray(numbers, np.int64).ravel()
    if numbers.size and not 1 <= numbers.min() <= numbers.max() <= count:
        raise ValueError(f"{path}: {key} must hold numbers 1 to {count}, got {numbers.min()} to {numbers.max()}")
    return (numbers - 1).tolist()
