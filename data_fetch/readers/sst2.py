"""SST-2, from GLUE: phrases and sentences of film reviews, negative or positive.

Layout: SST-2/{train,dev,test}.tsv with a header. train and dev: sentence, label (0 or 1); test: index, sentence. The
sentences are lower case, already cut with spaces ("it 's", "do n't"); quotes in them are text, not a way of quoting.
train holds phrases of every length, dev and test whole sentences.

References
----------
Socher et al., "Recursive Deep Models for Semantic Compositionality Over a Sentiment Treebank", EMNLP 2013.
Wang et al., "GLUE: A Multi-Task Benchmark and Analysis Platform for Natural Language Understanding", ICLR 2019.
"""

from __future__ import annotations

import csv
from pathlib import Path

import torch

from data_fetch.fields import Texts
from data_fetch.readers import official, records
from data_fetch.words import split_words

SPLITS = {"train": "train.tsv", "val": "dev.tsv", "test": "test.tsv"}
CLASSES = ("negative", "positive")


def read(folder: Path | str, split: str = "train", *, limit: int | None = None) -> Texts:
    """Texts with their words (`split_words`) and labels; names are their lines in the file.

    Parameters
    ----------
    folder : holds SST-2, or is it.
    split : "train", "val" (dev.tsv) or "test", whose labels are not public: all of them are -1.
    limit : the first so many only.

    Raises
    ------
    ValueError : unknown split, another header, a row with another number of fields, an empty sentence, a label that
    is not 0 or 1.  FileNotFoundError : a missing file.
    """
    official.choose(split, list(SPLITS))
    records.check_limit(limit)
    path = official.inside(folder, ("SST-2", ""), SPLITS[split], "sst2") / SPLITS[split]
    header = ["index", "sentence"] if split == "test" else ["sentence", "label"]
    texts, labels, names = [], [], []
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        if next(rows, None) != header:
            raise ValueError(f"{path} should begin with the columns {' and '.join(header)}")
        for row in rows:
            if limit is not None and len(texts) == limit:
                break
            if len(row) != 2 or not row[header.index("sentence")].strip():
                raise ValueError(f"{path}, line {rows.line_num}: expected {' and '.join(header)}, got {row!r:.80}")
            if split != "test" and row[1] not in ("0", "1"):
                raise ValueError(f"{path}, line {rows.line_num}: the label should be 0 or 1, got {row[1]!r:.80}")
            texts.append(row[header.index("sentence")].strip())
            labels.append(-1 if split == "test" else int(row[1]))
            names.append(f"{path.name}:{rows.line_num}")
    if not texts:
        raise ValueError(f"{path} has no rows")
    return Texts(
        texts=tuple(texts),
        words=tuple(split_words(text) for text in texts),
        labels=torch.tensor(labels, dtype=torch.long),
        class_names=CLASSES,
        names=tuple(names),
    )
