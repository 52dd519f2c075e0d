"""VQA-HAT: where people look for the answer to a VQA question, as maps attached to the questions.

Layout: vqahat_train/ and vqahat_val/ with grey PNGs named <VQA v1 question id>_<annotator>.png; val has several
annotators a question. People uncovered parts of a blurred picture until they could answer: it is no eye tracking.
VQA v1's question files (OpenEnded_mscoco_train2014_questions.json, and val) say which questions these are. v2 numbers
its questions otherwise, so it is given the maps of the same text on the same picture.

References
----------
Das, Agrawal, Zitnick, Parikh, Batra, "Human Attention in Visual Question Answering", EMNLP 2016 (arXiv 1606.03556).
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from data_fetch.fields import Questions
from data_fetch.readers import official, records, vqa
from data_fetch.readers.pixels import Fit, column, open_picture

SPLITS = ("train", "val")
_QUESTIONS = "vqahat --only questions"  # gets VQA v1's questions


def read(
    folder: Path | str,
    split: str = "train",
    *,
    size: int = 224,
    how: str = "squash",
    version: int = 2,
    v1: Path | str | None = None,
    v2: Path | str | None = None,
    images: Path | str | None = None,
    keep_all: bool = False,
    limit: int | None = None,
) -> Questions:
    """Questions with the mean of the annotators' maps as `attention`, in VQA's order; else the fields of `vqa.read`.

    Parameters
    ----------
    folder : holds vqahat_train and vqahat_val.
    split : "train" or "val": of the maps and of the questions.
    size, how : see `pixels.Fit`.
    version : whose questions and answers to attach the maps to. 2: by the same text on the same picture. 1: by number.
    v1 : the folder of VQA v1's questions (for version 1 also its annotations); None takes `folder`, which the download
        puts them in, or vqa1 beside it.
    v2 : the folder of VQA v2; None takes vqa2 beside `folder`. Not needed for version 1.
    images : the folder of COCO with train2014 and val2014; None takes coco2014 beside `folder`.
    keep_all : also the questions without a map; their attention is zero and has_attention False.
    limit : the first so many questions only.

    Returns
    -------
    Questions. attention (N, S, S) is 0 for black and 1 for white; no map is stretched to its own range, so a map
    that is dark everywhere stays dark, and one that is black has no largest value to divide by.

    Raises
    ------
    ValueError : unknown split or version, a file with another kind of name, maps of which none belongs to a question.
    FileNotFoundError : a missing file.
    """
    official.choose(split, SPLITS)
    records.check_limit(limit)
    if version not in vqa.NAMES:
        raise ValueError(f"there is no version {version!r} of VQA; there are 1 and 2")
    folder = Path(folder)
    maps = _maps(folder / f"vqahat_{split}")
    asked = vqa.load(_first(folder, v1, split), split, 1, answers=version == 1, name=_QUESTIONS)
    files = {one.number: maps[one.number] for one in asked if one.number in maps}
    if version == 2:
        second = vqa.load(folder.parent / "vqa2" if v2 is None else Path(v2), split, 2)
        asked, files = second, _carried(asked, second, files)
    if not files:
        raise ValueError(f"none of the {len(maps)} maps in {folder / f'vqahat_{split}'} belongs to a question of VQA")
    asked = [one for one in asked if keep_all or one.number in files][:limit]
    fit, images = Fit(size, how), vqa.beside(folder, images)
    rows = [(files.get(one.number, ()), one.part, one.image) for one in asked]
    return vqa.as_questions(
        asked,
        images,
        fit,
        attention=column(partial(_mean, fit, images), rows),
        has_attention=torch.tensor([one.number in files for one in asked]),
    )


def _first(folder: Path, v1: Path | str | None, split: str) -> Path:
    """Where VQA v1's questions are."""
    if v1 is not None:
        return Path(v1)
    file = f"OpenEnded_mscoco_{vqa.SPLITS[split]}_questions.json"
    return official.inside(folder, ("", "../vqa1"), file, _QUESTIONS)


def _maps(folder: Path) -> dict[int, tuple[Path, ...]]:
    """{v1 question: the maps of its annotators}, both in the order of their numbers."""
    found = defaultdict(list)
    for path in official.present(folder, "vqahat").glob("*.png"):
        name = re.fullmatch(r"([0-9]+)_([0-9]+)", path.stem)
        if name is None:
            raise ValueError(f"{path} should be named by a question and an annotator, such as 1500070_1.png")
        found[int(name[1])].append((int(name[2]), path))
    if not found:
        raise ValueError(f"{folder} holds no map (*.png)")
    return {number: tuple(path for _, path in sorted(found[number])) for number in sorted(found)}


def _carried(
    first: list[vqa.Asked], second: list[vqa.Asked], files: dict[int, tuple[Path, ...]]
) -> dict[int, tuple[Path, ...]]:
    """{v2 question: the maps of the v1 questions with the same text about the same picture}."""
    known = defaultdict(tuple)
    for one in first:
        known[one.part, one.image, one.question] += files.get(one.number, ())
    found = {one.number: known.get((one.part, one.image, one.question), ()) for one in second}
    return {number: paths for number, paths in found.items() if paths}


def _mean(fit: Fit, images: Path, row: tuple[tuple[Path, ...], str, int]) -> Tensor:
    paths, part, image = row
    if not paths:
        return torch.zeros(fit.size, fit.size)
    extent = None
    if fit.how == "crop":  # the map may have another shape than its picture; a crop must cut the same part of both
        extent = tuple(official.sizes([images / part / f"COCO_{part}_{image:012d}.jpg"])[0].tolist())
    return torch.stack([fit.heat(_grey(path, extent)) for path in paths]).mean(0)


def _grey(path: Path, extent: tuple[int, int] | None) -> np.ndarray:
    """(H, W) float32, 0 for black and 1 for white."""
    picture = open_picture(path)
    white = 65535 if picture.mode.startswith("I") else 255
    grey = np.asarray(picture if white == 65535 else picture.convert("L"), np.float32) / white
    if extent is not None and grey.shape != extent[::-1]:
        grey = np.asarray(Image.fromarray(grey).resize(extent, Image.Resampling.BILINEAR))
    return grey
