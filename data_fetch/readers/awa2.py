"""Animals with Attributes 2: 37,322 pictures of 50 kinds of animals, 85 attributes known of each kind.

Layout: Animals_with_Attributes2/ with classes.txt, predicates.txt, trainclasses.txt, testclasses.txt,
predicate-matrix-binary.txt, predicate-matrix-continuous.txt and JPEGImages/<class>/*.jpg.

References
----------
Xian, Lampert, Schiele, Akata, "Zero-Shot Learning: A Comprehensive Evaluation of the Good, the Bad and the Ugly",
IEEE TPAMI 2018.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data_fetch.fields import Labelled
from data_fetch.readers import official
from data_fetch.readers.pixels import Fit, pictures

NAME = "awa2"
SPLITS = ("train", "test", "all")
MATRICES = ("continuous", "binary")


def read(
    folder: Path | str,
    split: str = "train",
    *,
    size: int = 224,
    how: str = "squash",
    xlsa17: Path | str | None = None,
    matrix: str = "continuous",
    unknown: float = 0.0,
) -> Labelled:
    """Animals with the attributes of their class; images are read when asked for.

    Parameters
    ----------
    folder : where the archives were extracted, or Animals_with_Attributes2 itself.
    split : "train" (the classes of trainclasses.txt), "test" (those of testclasses.txt, never seen in training) or
        "all". With `xlsa17` also the proposed split: "train_seen", "test_seen", "test_unseen".
    size, how : see `pixels.Fit`.
    xlsa17 : where the archive xlsa17.zip was extracted; None looks for it inside `folder` and beside it.
    matrix : "continuous", how strongly people link class and attribute, 0 to 1, or "binary", 0 or 1.
    unknown : what stands for a pair that nobody judged, -1 in the file: 0 takes it as absent; float("nan") marks it.

    Returns
    -------
    Labelled, with class_attributes (50, 85) and seen: the classes of "train_seen" with xlsa17, else those of
    trainclasses.txt. names : "class folder/file". There is nothing about a single image: attributes is None.

    Raises
    ------
    ValueError : an unknown split or matrix, or a file that does not fit.  FileNotFoundError : a file that is missing.
    """
    fit = Fit(size, how)
    if matrix not in MATRICES:
        raise ValueError(f"matrix must be 'continuous' or 'binary', got {matrix!r}")
    root = official.inside(folder, ("Animals_with_Attributes2", ""), "classes.txt", NAME)
    zero_shot = official.proposed_beside(folder, xlsa17, "AWA2")
    official.choose(split, SPLITS if zero_shot is None else (*SPLITS, *official.PROPOSED))

    classes = official.names(root / "classes.txt", NAME)
    attributes = official.names(root / "predicates.txt", NAME)
    files = _files(root, split, classes, zero_shot)
    number = {name: n for n, name in enumerate(classes)}
    seen = _listed(root / "trainclasses.txt", classes) if zero_shot is None else zero_shot.seen
    return Labelled(
        images=pictures([root / "JPEGImages" / file for file in files], fit),
        labels=torch.tensor([number[file.split("/")[0]] for file in files], dtype=torch.long),
        class_names=tuple(name.replace("+", " ") for name in classes),
        attribute_names=attributes,
        class_attributes=_matrix(root, matrix, len(classes), len(attributes), unknown),
        seen=torch.tensor([name in seen for name in classes]),
        names=tuple(files),
    )


def _files(root: Path, split: str, classes: tuple[str, ...], zero_shot: official.Proposed | None) -> list[str]:
    """ "class folder/file" of every image of the split, in a fixed order."""
    wanted = set(classes)
    if split in ("train", "test"):
        wanted = _listed(root / f"{split}classes.txt", classes)
    found = []
    for name in sorted(wanted):
        place = official.present(root / "JPEGImages" / name, NAME)
        found += [f"{name}/{path.name}" for path in sorted(place.glob("[!.]*.jpg"))]
    if split in SPLITS:
        return found
    missing = set(zero_shot.rows[split]) - set(found)
    if missing:
        raise ValueError(f"{len(missing)} images of {split} are not in {root / 'JPEGImages'}; one: {min(missing)}")
    return list(zero_shot.rows[split])


def _listed(path: Path, classes: tuple[str, ...]) -> set[str]:
    """The classes that a file lists, one a line."""
    found = official.lines(path, NAME)
    for number, name in found:
        if name not in classes:
            raise ValueError(f"{path}, line {number}: {name!r} is no class of classes.txt")
    return {name for _, name in found}


def _matrix(root: Path, kind: str, classes: int, attributes: int, unknown: float) -> Tensor:
    """(classes, attributes) in [0, 1]; the continuous file holds 0 to 100 and -1 where nobody judged."""
    path = root / f"predicate-matrix-{kind}.txt"
    found = official.table(path, attributes, NAME)
    if len(found) != classes:
        raise ValueError(f"{path} must have a line for each of the {classes} classes, it has {len(found)}")
    if kind == "binary":
        official.check(path, np.isin(found, (0, 1)).all(1), "expected zeros and ones")
        return torch.from_numpy(found).float()
    missing = found == -1
    official.check(path, (missing | (found >= 0) & (found <= 100)).all(1), "expected 0 to 100, or -1")
    return torch.from_numpy(np.where(missing, unknown, found / 100)).float()
