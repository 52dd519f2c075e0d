"""IMDB's large film review set: long reviews, negative or positive.

Layout: aclImdb/{train,test}/{neg,pos}/<number>_<rating>.txt, ratings 1 to 4 in neg and 7 to 10 in pos. Line breaks
are written as <br />. train/unsup holds reviews without a label; they are not read.

References
----------
Maas et al., "Learning Word Vectors for Sentiment Analysis", ACL 2011.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch

from data_fetch.fields import Texts
from data_fetch.readers import official, records
from data_fetch.words import split_words

SPLITS = ("train", "test")
CLASSES = ("negative", "positive")
_RATINGS = {"neg": range(1, 5), "pos": range(7, 11)}


def read(folder: Path | str, split: str = "train", *, limit: int | None = None) -> Texts:
    """Texts with their words (`split_words`) and labels, all negative ones first, each class by number.

    <br /> becomes a line break. names : "neg/12_3.txt", which ends in the rating.

    Parameters
    ----------
    folder : holds aclImdb, or is it.
    split : "train" or "test". There is no validation split.
    limit : the first so many of each class, so that a first look has both.

    Raises
    ------
    ValueError : unknown split, a file with another kind of name or a rating of the other class, an empty review.
    FileNotFoundError : a missing folder.
    """
    official.choose(split, SPLITS)
    records.check_limit(limit)
    root = official.inside(folder, ("aclImdb", ""), f"{split}/neg", "imdb") / split
    texts, labels, names = [], [], []
    for label, kind in enumerate(_RATINGS):
        for path in _reviews(root / kind, _RATINGS[kind])[:limit]:
            try:
                text = re.sub(r"(?i)\s*<br\s*/?>\s*", "\n", path.read_text(encoding="utf-8")).strip()
            except UnicodeDecodeError as error:
                raise ValueError(f"{path} is not UTF-8 text ({error})") from error
            if not text:
                raise ValueError(f"{path} is empty")
            texts.append(text)
            labels.append(label)
            names.append(f"{kind}/{path.name}")
    return Texts(
        texts=tuple(texts),
        words=tuple(split_words(text) for text in texts),
        labels=torch.tensor(labels, dtype=torch.long),
        class_names=CLASSES,
        names=tuple(names),
    )


def _reviews(folder: Path, ratings: range) -> list[Path]:
    found = {}
    for path in official.present(folder, "imdb").glob("*.txt"):
        name = re.fullmatch(r"([0-9]+)_([0-9]+)", path.stem)
        if name is None or int(name[2]) not in ratings:
            raise ValueError(
                f"{path} should be named by a number and a rating of {ratings[0]} to {ratings[-1]}, such as "
                f"12_{ratings[0]}.txt"
            )
        found[int(name[1])] = path
    if not found:
        raise ValueError(f"{folder} holds no review (*.txt)")
    return [found[number] for number in sorted(found)]
