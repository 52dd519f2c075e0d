"""VQA-CP v1 and v2: VQA's training and validation questions divided anew, so that answers shift from train to test.

Layout: vqacp_v2_train_questions.json, vqacp_v2_train_annotations.json and the same for test (v1: vqacp_v1_). Each is
a plain list of VQA's records, without VQA's wrapper; coco_split says which part of COCO holds the picture.

References
----------
Agrawal, Batra, Parikh, Kembhavi, "Don't Just Assume; Look and Answer", CVPR 2018.
"""

from __future__ import annotations

from pathlib import Path

import torch

from data_fetch.fields import Questions
from data_fetch.readers import official, records, vqa
from data_fetch.readers.pixels import Fit

SPLITS = ("train", "val", "test")


def read(
    folder: Path | str,
    split: str = "train",
    *,
    size: int = 224,
    how: str = "squash",
    version: int = 2,
    validation: float = 0.1,
    seed: int = 0,
    images: Path | str | None = None,
    limit: int | None = None,
) -> Questions:
    """Questions in the official order, with the pictures that they are about; the fields of `vqa.read`.

    The data set has no validation split, and choosing a model by its test answers would defeat the shift. So "val" is
    carved out of train: whole pictures, so that no picture is in both.

    Parameters
    ----------
    folder : holds the four files.
    split : "train" (without the validation pictures), "val" or "test".
    size, how : see `pixels.Fit`.
    version : 1 or 2.
    validation : share of the training pictures whose questions are "val"; 0 leaves train whole and "val" empty.
    seed : which pictures these are; read "train" and "val" with the same one.
    images : the folder of COCO with train2014 and val2014; None takes coco2014 beside `folder`.
    limit : the first so many questions only.

    Raises
    ------
    ValueError : unknown split or version, a share outside 0 to 1 or too small for one picture, and as `vqa.read`.
    FileNotFoundError : a missing file.
    """
    official.choose(split, SPLITS)
    records.check_limit(limit)
    if version not in (1, 2) or not 0 <= validation < 1:
        raise ValueError(f"version must be 1 or 2 and validation in [0, 1), got {version!r} and {validation!r}")
    lists = [_list(Path(folder), "test" if split == "test" else "train", kind, version) for kind in _KINDS]
    asked = vqa.join(*lists, None)
    if split != "test":
        held = _held_out(asked, validation, seed)
        asked = [one for one in asked if ((one.part, one.image) in held) == (split == "val")]
    if not asked:
        raise ValueError(f"validation={validation} leaves no picture in {split!r}")
    return vqa.as_questions(asked[:limit], vqa.beside(folder, images), Fit(size, how))


_KINDS = ("questions", "annotations")


def _list(folder: Path, split: str, kind: str, version: int) -> list[tuple[str, dict]]:
    path = folder / f"vqacp_v{version}_{split}_{kind}.json"
    if version == 1 and not path.exists():
        raise FileNotFoundError(f"{path} is missing; no address of VQA-CP v1 is known, its files are put there by hand")
    return [(f"{path}[{n}]", entry) for n, entry in enumerate(records.load(path, "vqacp2", list))]


def _held_out(asked: list[vqa.Asked], share: float, seed: int) -> set[tuple[str, int]]:
    keys = sorted({(one.part, one.image) for one in asked})
    order = torch.randperm(len(keys), generator=torch.Generator().manual_seed(seed))
    return {keys[n] for n in order[: round(share * len(keys))].tolist()}
