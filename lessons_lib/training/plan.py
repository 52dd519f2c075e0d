"""What a training is asked to do: its data by name, its settings, and the order of its batches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass

import torch
from torch import Tensor, nn

from lessons_lib.training.steps import Batch

OPTIMISERS = ("adamw", "sgd")
SCHEDULES = ("onecycle", "cosine", "constant")


def as_columns(data: object) -> Batch:
    """The tensors of `data` by name: a mapping, a dataclass with tensor fields, or a pair (images, labels).

    Raises
    ------
    TypeError : none of these.  ValueError : tensors of different lengths, or no rows at all.
    """
    if isinstance(data, Mapping):
        columns = {name: value for name, value in data.items() if isinstance(value, Tensor)}
    elif is_dataclass(data):
        columns = {f.name: getattr(data, f.name) for f in fields(data)}
        columns = {name: value for name, value in columns.items() if isinstance(value, Tensor)}
    elif isinstance(data, tuple | list) and len(data) == 2 and all(isinstance(x, Tensor) for x in data):
        columns = {"images": data[0], "labels": data[1]}
    else:
        raise TypeError(
            f"data must be (images, labels), a mapping of tensors or a world with tensors, not {type(data).__name__}"
        )
    lengths = {name: len(value) for name, value in columns.items()}
    if len(set(lengths.values())) != 1 or not next(iter(lengths.values())):
        raise ValueError(f"data needs tensors with as many rows each, at least one; it has {lengths or 'none'}")
    return columns


@dataclass(frozen=True)
class Plan:
    """The settings of a training that decide its outcome: what a checkpoint must agree with."""

    epochs: int
    lr: float
    batch_size: int
    seed: int
    optimiser: str
    schedule: str
    weight_decay: float
    rows: int

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2:
            raise ValueError(f"epochs >= 1 and batch_size >= 2 are needed, got {self.epochs} and {self.batch_size}")
        if not 0 < self.lr < math.inf or self.weight_decay < 0:
            raise ValueError(f"lr > 0 and weight_decay >= 0 are needed, got {self.lr} and {self.weight_decay}")
        if self.optimiser not in OPTIMISERS or self.schedule not in SCHEDULES:
            raise ValueError(
                f"optimiser must be one of {OPTIMISERS} and schedule one of {SCHEDULES}, got "
                f"{self.optimiser!r} and {self.schedule!r}"
            )

    @property
    def steps_an_epoch(self) -> int:
        """A last batch of one image is left out: BatchNorm has no variance there."""
        full, rest = divmod(self.rows, self.batch_size)
        return full + (rest > 1 or full == 0)

    @property
    def steps(self) -> int:
        return self.epochs * self.steps_an_epoch

    def batches(self, columns: Batch, first: int) -> Iterator[Batch]:
        """The batches from step `first` on. Each epoch's order follows from the seed and the epoch alone."""
        device = next(iter(columns.values())).device
        for epoch in range(first // self.steps_an_epoch, self.epochs):
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            order = torch.randperm(self.rows, generator=generator).to(device)
            skip = first % self.steps_an_epoch if epoch == first // self.steps_an_epoch else 0
            for start in range(skip, self.steps_an_epoch):
                rows = order[start * self.batch_size : (start + 1) * self.batch_size]
                yield {name: values[rows] for name, values in columns.items()}

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """A fresh optimizer over the model's parameters."""
        if self.optimiser == "sgd":
            return torch.optim.SGD(
                model.parameters(), self.lr, momentum=0.9, nesterov=True, weight_decay=self.weight_decay
            )
        return torch.optim.AdamW(model.parameters(), self.lr, weight_decay=self.weight_decay)
