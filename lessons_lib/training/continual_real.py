"""CIFAR-100 and CUB-200-2011 as tasks, and the networks that lesson 15 starts from on them.

CIFAR-100: regular class-incremental, 10 tasks of 10 classes. CUB: the few-shot protocol of the paper, 100 classes with all
their training pictures, then 10 sessions of 10 classes with 5 pictures each. Which classes come when is drawn by the seed;
the authors' lists are not used. Pictures are not augmented, so that a kept map belongs to the picture that is replayed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from data_fetch.fields import Column, Labelled, Loaded
from data_fetch.readers import read
from data_fetch.worlds.birds.tasks import Tasks
from lessons_lib.models import imagenet
from lessons_lib.models.small import SmallCNN


@dataclass(frozen=True)
class Protocol:
    """How a data set is cut: classes, and training pictures a class (None: all), in each task.

    test : pictures a class to test on; None: all.  size : side in pixels.  epochs, rate : of the start, on the first task.
    keep, keep_first : kept pictures of a class, and of one of the first task.  head : the network's last layer.
    """

    setting: str
    sizes: tuple[int, ...]
    shots: tuple[int | None, ...]
    test: int | None
    size: int
    epochs: int
    rate: float
    keep: int
    keep_first: int
    head: str


PROTOCOLS = {
    ("cifar100", "full"): Protocol("regular", (10,) * 10, (None,) * 10, None, 32, 30, 1e-2, 20, 20, "head"),
    ("cifar100", "quick"): Protocol("regular", (10,) * 10, (30,) * 10, 10, 32, 8, 1e-2, 2, 2, "head"),
    ("cub200", "full"): Protocol("few_shot", (100,) + (10,) * 10, (None,) + (5,) * 10, None, 224, 30, 1e-3, 1, 4, "network.fc"),
    ("cub200", "quick"): Protocol("few_shot", (20,) + (5,) * 4, (10,) + (5,) * 4, 6, 112, 4, 1e-3, 1, 2, "network.fc"),
}  # fmt: skip


def real_tasks(name: str, seed: int, protocol: Protocol, *, folder: str | os.PathLike | None = None) -> Tasks:
    """The data set cut into tasks; pictures are read when they are asked for.

    folder : of the reader; None: where `python -m data_fetch get NAME` put it.

    Raises
    ------
    FileNotFoundError : it is not there; the message has the command that gets it.
    ValueError : it has fewer classes than the protocol asks for, or a class has no picture.
    """
    parts = [read(name, split, size=protocol.size, folder=folder) for split in ("train", "test")]
    names = parts[0].class_names
    if sum(protocol.sizes) > len(names):
        raise ValueError(f"{sum(protocol.sizes)} classes are asked for, {name} has {len(names)}")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(names), generator=generator)[: sum(protocol.sizes)]
    task_of = torch.repeat_interleave(torch.arange(len(protocol.sizes)), torch.tensor(protocol.sizes))
    limits = ([protocol.shots[task] for task in task_of.tolist()], [protocol.test] * len(order))
    chosen = [_chosen(part, order, limit, generator) for part, limit in zip(parts, limits)]
    (images, labels), (test_images, test_labels) = (
        (_column(part.images, rows), numbers) for part, (rows, numbers) in zip(parts, chosen)
    )
    masks = None if parts[1].masks is None else _column(parts[1].masks, chosen[1][0])
    return Tasks(tuple(names[n] for n in order.tolist()), task_of, images, labels, test_images, test_labels, masks)


def _chosen(
    part: Labelled, order: Tensor, limits: Sequence[int | None], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Rows of the part, and their labels in the new numbers."""
    shuffled = torch.randperm(len(part.labels), generator=generator)
    rows, numbers = [], []
    for number, (label, limit) in enumerate(zip(order.tolist(), limits)):
        mine = shuffled[part.labels[shuffled] == label][:limit]
        if not len(mine):
            raise ValueError(f"no picture of the class {part.class_names[label]!r}: is the archive complete?")
        rows.append(mine)
        numbers.append(torch.full((len(mine),), number))
    return torch.cat(rows), torch.cat(numbers)


def _column(column: Column, rows: Tensor) -> Loaded:
    return Loaded(partial(_row, column, rows.tolist()), len(rows))


def _row(column: Column, rows: list[int], n: int) -> Tensor:
    return column[[rows[n]]][0]


def network_for(name: str, classes: int, seed: int, *, weights: str | None = "imagenet") -> nn.Module:
    """The network before the first task: for CIFAR-100 a `SmallCNN` of width 64, for CUB a ResNet-18.

    The paper's ResNet-18 has no average pool and reads all 7 x 7 cells; ours keeps the pool.

    weights : of `imagenet.load` for the ResNet; None: initial ones, for trying out.
    """
    if name == "cifar100":
        return SmallCNN(classes, width=64, seed=seed)
    model = imagenet.load("resnet18", weights=weights, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model.network.fc = nn.Linear(model.network.fc.in_features, classes)
    return model
