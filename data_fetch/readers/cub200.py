"""CUB-200-2011: 11,788 birds of 200 species with boxes, masks, 15 parts and 312 attributes.

Layout (README of the archive): CUB_200_2011/ with images.txt, image_class_labels.txt, classes.txt,
train_test_split.txt, bounding_boxes.txt, parts/, attributes/ and images/; beside it attributes.txt and, from an
archive of its own, segmentations/.

References
----------
Wah, Branson, Welinder, Perona, Belongie, "The Caltech-UCSD Birds-200-2011 Dataset", CNS-TR-2011-001.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data_fetch.fields import Labelled
from data_fetch.readers import official
from data_fetch.readers.pixels import Fit, column, open_picture, pictures

NAME = "cub200"
SPLITS = ("train", "test", "all")


def read(
    folder: Path | str, split: str = "train", *, size: int = 224, how: str = "squash", xlsa17: Path | str | None = None
) -> Labelled:
    """Birds with all that is known of them; images and masks are read when asked for.

    Parameters
    ----------
    folder : where the archives were extracted, or CUB_200_2011 itself.
    split : "train" (5,994 images) or "test" (5,794), both of all 200 classes, or "all". With `xlsa17` also the
        zero-shot split: "train_seen" and "test_seen" of 150 classes, "test_unseen" of the other 50.
    size, how : see `pixels.Fit`.
    xlsa17 : where the archive xlsa17.zip was extracted; None looks for it inside `folder` and beside it.

    Returns
    -------
    Labelled. masks : more than half of the annotators' agreement; None without segmentations/. part_points : a part
    that is not visible, or outside the square, has 0 as its third number; one that is not visible lies at (0, 0).
    attributes : as one worker saw them; certainty : 0 where nobody answered. class_attributes : how often people
    said that the class has it. seen : the classes of "train_seen"; None without xlsa17.
    The README does not say where pixel coordinates start; they are taken as counted from 0.

    Raises
    ------
    ValueError : an unknown split, or a line that does not fit, with its file and number.
    FileNotFoundError : a file that is missing.
    """
    fit = Fit(size, how)
    root = official.inside(folder, ("CUB_200_2011", ""), "images.txt", NAME)
    zero_shot = official.proposed_beside(folder, xlsa17, "CUB")
    official.choose(split, SPLITS if zero_shot is None else (*SPLITS, *official.PROPOSED))

    files = official.numbered(root / "images.txt", NAME)
    classes = official.names(root / "classes.txt", NAME)
    position = np.full(max(files) + 1, -1)
    position[list(files)] = np.arange(len(files))
    every = tuple(files.values())
    rows = _rows_of(split, root, position, every, zero_shot)
    chosen = [every[n] for n in rows]

    images = [root / "images" / file for file in chosen]
    extents = official.sizes(images)
    labels = _column(root / "image_class_labels.txt", position, np.arange(1, len(classes) + 1))[rows] - 1
    present, certainty, attribute_names = _attributes(root, position)
    return Labelled(
        images=pictures(images, fit),
        labels=torch.from_numpy(labels),
        class_names=tuple(_plain(name) for name in classes),
        masks=_masks(root, chosen, fit),
        boxes=official.place(fit.boxes, _boxes(root, position)[rows], extents)[:, 0],
        part_names=official.names(root / "parts/parts.txt", NAME),
        part_points=_parts(root, position, rows, extents, fit),
        attribute_names=attribute_names,
        attributes=torch.from_numpy(present[rows]),
        certainty=torch.from_numpy(certainty[rows]),
        class_attributes=_class_attributes(root, len(classes), len(attribute_names)),
        seen=None if zero_shot is None else torch.tensor([name in zero_shot.seen for name in classes]),
        names=tuple(chosen),
    )


def _plain(name: str) -> str:
    """ "001.Black_footed_Albatross" -> "Black footed Albatross"."""
    number, _, rest = name.partition(".")
    return (rest if number.isdecimal() and rest else name).replace("_", " ")


def _rows_of(
    split: str, root: Path, position: np.ndarray, files: Sequence[str], zero_shot: official.Proposed | None
) -> np.ndarray:
    """The rows of images.txt that belong to the split."""
    if split == "all":
        return np.arange(len(files))
    if split in SPLITS:
        training = _column(root / "train_test_split.txt", position, (0, 1))
        return np.flatnonzero(training == (split == "train"))
    place = {"/".join(file.split("/")[-2:]): n for n, file in enumerate(files)}
    missing = [file for file in zero_shot.rows[split] if file not in place]
    if missing:
        raise ValueError(f"{len(missing)} images of {split} are not in {root / 'images.txt'}; the first: {missing[0]}")
    return np.array([place[file] for file in zero_shot.rows[split]], np.int64)


def _known(path: Path, position: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The rows of image ids; ValueError for an id that images.txt does not have."""
    inside = (ids >= 0) & (ids < len(position))
    found = np.where(inside, position[np.where(inside, ids, 0).astype(np.int64)], -1)
    official.check(path, found >= 0, "images.txt has no image of this number")
    return found


def _every(path: Path, position: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """As `_known`, for a file that must have one line for each image."""
    found, count = _known(path, position, ids), int((position >= 0).sum())
    if len(found) != count or len(np.unique(found)) != count:
        raise ValueError(f"{path} must have one line for each of the {count} images of images.txt")
    return found


def _column(path: Path, position: np.ndarray, allowed: Sequence[int] | np.ndarray) -> np.ndarray:
    """(images,) the second number of each line, in the order of images.txt."""
    found = official.table(path, 2, NAME, np.int64)
    official.check(path, np.isin(found[:, 1], allowed), f"the second number must be {min(allowed)} to {max(allowed)}")
    values = np.empty(len(found), np.int64)
    values[_every(path, position, found[:, 0])] = found[:, 1]
    return values


def _boxes(root: Path, position: np.ndarray) -> np.ndarray:
    """(images, 1, 4) x0, y0, x1, y1, from lines of image id, x, y, width, height."""
    path = root / "bounding_boxes.txt"
    found = official.table(path, 5, NAME)
    official.check(path, (found[:, 3:] > 0).all(1), "width and height must be positive")
    boxes = np.empty((len(found), 1, 4))
    boxes[_every(path, position, found[:, 0]), 0] = np.hstack([found[:, 1:3], found[:, 1:3] + found[:, 3:]])
    return boxes


def _parts(root: Path, position: np.ndarray, rows: np.ndarray, extents: np.ndarray, fit: Fit) -> Tensor:
    """(rows, parts, 3) x, y in pixels of the square and whether the part can be seen there."""
    path, count = root / "parts/part_locs.txt", len(official.names(root / "parts/parts.txt", NAME))
    found = official.table(path, 5, NAME)
    official.check(path, np.isin(found[:, 1], np.arange(1, count + 1)), f"the part must be 1 to {count}")
    official.check(path, np.isin(found[:, 4], (0, 1)), "the last number must be 0 or 1")
    parts = np.zeros((int((position >= 0).sum()), count, 3))
    parts[_known(path, position, found[:, 0]), found[:, 1].astype(np.int64) - 1] = found[:, 2:]
    points = official.place(fit.points, parts[rows, :, :2], extents)
    visible = torch.from_numpy(parts[rows, :, 2] == 1) & ((points >= 0) & (points <= fit.size)).all(-1)
    points[torch.from_numpy(parts[rows, :, 2] == 0)] = 0
    return torch.cat([points, visible[..., None].float()], -1)


def _attributes(root: Path, position: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """(images, A) bool, (images, A) uint8 certainty, and the names.

    3.7 million lines of image, attribute, present, certainty, time, one a pair. Those of images 2275 and 9364 have
    one number more: of every line the first four are taken.
    """
    path = root / "attributes/image_attribute_labels.txt"
    beside = [place for place in (root / "attributes", root.parent, root) if (place / "attributes.txt").exists()]
    names = official.names((beside[0] if beside else root.parent) / "attributes.txt", NAME)
    found = official.table(path, 4, NAME, np.int32, more=True)
    official.check(path, (found[:, 1] >= 1) & (found[:, 1] <= len(names)), f"the attribute must be 1 to {len(names)}")
    official.check(path, (found[:, 2] == 0) | (found[:, 2] == 1), "the third number must be 0 or 1")
    official.check(path, (found[:, 3] >= 0) & (found[:, 3] <= 4), "the certainty must be 1 to 4")
    where = _known(path, position, found[:, 0]), found[:, 1] - 1
    count = int((position >= 0).sum())
    present, certainty = np.zeros((count, len(names)), bool), np.zeros((count, len(names)), np.uint8)
    present[where], certainty[where] = found[:, 2] == 1, found[:, 3]
    return present, certainty, names


def _class_attributes(root: Path, classes: int, attributes: int) -> Tensor:
    path = root / "attributes/class_attribute_labels_continuous.txt"
    found = official.table(path, attributes, NAME)
    official.check(path, ((found >= 0) & (found <= 100)).all(1), "percentages must be 0 to 100")
    if len(found) != classes:
        raise ValueError(f"{path} must have a line for each of the {classes} classes, it has {len(found)}")
    return torch.from_numpy(found / 100).float()


def _masks(root: Path, files: Sequence[str], fit: Fit):
    """Column of masks, or None where the archive of segmentations was not extracted."""
    places = [place for place in (root.parent / "segmentations", root / "segmentations") if place.is_dir()]
    if not places:
        return None
    return column(partial(_mask, fit), [(places[0] / file).with_suffix(".png") for file in files])


def _mask(fit: Fit, path: Path) -> Tensor:
    """(S, S) bool where more than half of the annotators saw the bird: their agreement is the grey level."""
    return fit.mask(np.array(open_picture(path).convert("L")) >= 128)
