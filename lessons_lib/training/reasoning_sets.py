"""VQA-Introspect as sets to learn from and to be tested on."""

from __future__ import annotations

from pathlib import Path

import torch

from data_fetch.fields import Questions
from data_fetch.readers import read


def introspect_sets(
    seed: int,
    *,
    limits: tuple[int, int],
    size: int = 224,
    folder: Path | str | None = None,
    images: Path | str | None = None,
) -> tuple[Questions, Questions, Questions]:
    """(train, perception, val): reasoning questions to train pairs on, perception questions, reasoning questions to test on.

    A third of the training questions, drawn by the seed, gives its sub-questions to `perception` and is left out of
    `train`, so that no sub-question is met twice. `train` and `perception` have the same pictures.

    Parameters
    ----------
    limits : most reasoning questions of "train" and "val".  folder, images, size : of the reader; None: where
        `python -m data_fetch get introspect` and `get coco2014` put them.

    Raises
    ------
    FileNotFoundError : the files are not there; the message has the command that gets them.
    """
    options = {"folder": folder, "images": images, "size": size, "keep_empty": False}
    train, val = (read("introspect", split, limit=most, **options) for split, most in zip(("train", "val"), limits))
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    apart, kept = train[order[: len(train) // 3]], train[order[len(train) // 3 :]]
    rows = [(n, qa) for n, subs in zip(apart.image_index.tolist(), apart.perception) for qa in subs]
    perception = Questions(
        pictures=train.pictures,
        image_index=torch.tensor([n for n, _ in rows]),
        questions=tuple(qa.question for _, qa in rows),
        answers=tuple(qa.answer for _, qa in rows),
    )
    return kept, perception, val
