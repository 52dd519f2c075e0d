"""PASCAL VOC as two domains: pictures of one class with their masks, and pictures of several with labels alone."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from data_fetch.fields import Column, Loaded, Pictures
from data_fetch.readers import read
from data_fetch.worlds.scenes.domains import VOID, Domain


def voc_domains(*, size: int = 224, folder: Path | str | None = None) -> dict[str, Domain]:
    """VOC 2012 as {"source", "target", "source_test", "test", "third"}; pictures are read when they are asked for.

    Of `seg_train` the pictures of one class are the source and those of several the target, of which masks are not used; the
    tests are made of `seg_val` in the same way, and the third style is its target in shades of grey. A picture shows what its
    segmentation shows.

    folder : where it lies; None: where `python -m data_fetch get voc2012` put it.

    Raises
    ------
    FileNotFoundError, ValueError : it is not there, or a split has no picture of one class or none of several.
    """
    found = {}
    for split, (alone, several) in {"seg_train": ("source", "target"), "seg_val": ("source_test", "test")}.items():
        whole = domain_of(read("voc2012", split, size=size, folder=folder), "photograph")
        counts = whole.labels.sum(1)
        for name, rows in ((alone, counts == 1), (several, counts > 1)):
            if not bool(rows.any()):
                raise ValueError(f"{split} has no picture of {'one class' if name == alone else 'several classes'}")
            found[name] = whole[rows]
    test = found["test"]
    found["third"] = dataclasses.replace(
        test, images=Loaded(partial(_grey, test.images), len(test)), style="grey photograph"
    )
    return found


def domain_of(pictures: Pictures, style: str) -> Domain:
    """Pictures with a segmentation as a domain; their masks are read once to see which classes they show."""
    labels = torch.zeros(len(pictures), len(pictures.class_names), dtype=torch.bool)
    for n in range(len(pictures)):
        values = pictures.segmentation[n].unique().long()
        labels[n, values[(values > 0) & (values != VOID)] - 1] = True
    return Domain(
        images=pictures.images, labels=labels, segmentation=pictures.segmentation, class_names=pictures.class_names,
        style=style,
    )  # fmt: skip


def _grey(images: Column, n: int) -> Tensor:
    return images[n].mean(0, keepdim=True).expand(3, -1, -1)
