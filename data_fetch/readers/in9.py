"""ImageNet-9 of the Backgrounds Challenge: the same foregrounds on their own, on other and on no backgrounds.

Layout: bg_challenge/<variant>/val/<00_dog ... 08_fish>/*.JPEG, 224 pixels; some folder names hold a space
("02_wheeled vehicle"). A file of the mixed variants is called fg_<foreground>_bg_<background>.JPEG, others after
their image. fg_mask holds no pictures but numpy files <image>.npy, (224, 224) of 0 and 1, as the authors' own
challenge_eval.py reads them. The authors published no masks of training images.

References
----------
Xiao, Engstrom, Ilyas, Madry, "Noise or Signal: The Role of Image Backgrounds in Object Recognition", ICLR 2021.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from data_fetch.fields import Labelled, Loaded
from data_fetch.readers import official
from data_fetch.readers.pixels import Fit, column, pictures

NAME = "in9"
CLASSES = (
    "dog",
    "bird",
    "wheeled vehicle",
    "reptile",
    "carnivore",
    "insect",
    "musical instrument",
    "primate",
    "fish",
)
VARIANTS = (
    "original",
    "mixed_same",
    "mixed_rand",
    "mixed_next",
    "only_fg",
    "only_bg_b",
    "only_bg_t",
    "no_fg",
    "fg_mask",
)
SPLITS = ("val", "train")
_PICTURES = (".jpeg", ".jpg", ".png")


class Item(NamedTuple):
    """One file: the number of its class, "class folder/foreground", and where it lies."""

    label: int
    name: str
    path: Path


def read(
    folder: Path | str, split: str = "val", *, variant: str = "original", size: int = 224, how: str = "squash"
) -> Labelled:
    """Images of one variant with the masks of their foregrounds, read when asked for.

    Parameters
    ----------
    folder : where the archive was extracted, or bg_challenge itself.
    split : "val", the images that the authors released for tests, or "train", for those who have a training set of
        the same layout (<variant>/train).
    variant : "original"; "mixed_same", "mixed_rand", "mixed_next", the foreground on the background of an image of
        the same, of a random, of the next class; "only_fg"; "only_bg_b", "only_bg_t", "no_fg", where the foreground
        is gone; "fg_mask", the masks themselves as black and white images.
    size, how : see `pixels.Fit`.

    Returns
    -------
    Labelled. names : "class folder/foreground", the same in every variant, by which the rows are sorted; row n is
    thus the same foreground wherever two variants hold the same ones. masks : of the foreground, also where the
    variant took it away; None without fg_mask/<split>.

    Raises
    ------
    ValueError : an unknown split or variant, an unknown class folder, a variant without pictures.
    FileNotFoundError : a folder that is missing, or, when a row is read, its mask.
    """
    fit = Fit(size, how)
    official.choose(split, SPLITS)
    if variant not in VARIANTS:
        raise ValueError(f"there is no variant {variant!r}; there are {', '.join(VARIANTS)}")
    root = official.inside(folder, ("bg_challenge", ""), variant, NAME)
    endings = (".npy",) if variant == "fg_mask" else _PICTURES
    items = _items(official.present(root / variant / split, NAME), endings)
    paths = [item.path for item in items]
    return Labelled(
        images=column(partial(_silhouette, fit), paths) if variant == "fg_mask" else pictures(paths, fit),
        labels=torch.tensor([item.label for item in items]),
        class_names=CLASSES,
        masks=_masks(root / "fg_mask" / split, items, fit),
        names=tuple(item.name for item in items),
    )


def _items(place: Path, endings: tuple[str, ...]) -> list[Item]:
    """The files of the nine class folders, sorted by class and foreground; hidden files are none of them."""
    folders = {path.name: path for path in place.iterdir() if path.is_dir() and not path.name.startswith(".")}
    known = {f"{number:02d}_{name}": number for number, name in enumerate(CLASSES)}
    strange = sorted(set(folders) - set(known))
    if strange:
        raise ValueError(f"{place / strange[0]} is none of the class folders {', '.join(known)}")
    found = []
    for name, number in known.items():
        for path in official.present(place / name, NAME).iterdir():
            if path.suffix.lower() in endings and not path.name.startswith("."):
                found.append(Item(number, f"{name}/{_foreground(path.stem)}", path))
    if not found:
        raise ValueError(f"{place} holds no file that ends in {' or '.join(endings)}")
    return sorted(found)


def _foreground(stem: str) -> str:
    """ "fg_n02497673_05944_bg_n02536864_02721" -> "n02497673_05944"; any other name stays."""
    front, between, _ = stem.partition("_bg_")
    return front.removeprefix("fg_") if between and stem.startswith("fg_") else stem


def _masks(place: Path, items: list[Item], fit: Fit) -> Loaded | None:
    if not place.is_dir():
        return None
    return column(partial(_mask, fit), [place / f"{item.name}.npy" for item in items])


def _mask(fit: Fit, path: Path) -> Tensor:
    """(S, S) bool of a numpy file; pickled objects are refused."""
    try:
        mask = np.load(official.present(path, NAME), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is no numpy file that can be read ({error})") from error
    if not isinstance(mask, np.ndarray) or mask.ndim != 2 or not np.isin(mask, (0, 1)).all():
        raise ValueError(f"{path} must hold a mask (H, W) of 0 and 1, its shape is {np.shape(mask)}")
    return fit.mask(mask)


def _silhouette(fit: Fit, path: Path) -> Tensor:
    return _mask(fit, path).float().expand(3, -1, -1).clone()
