"""What the arms of lesson 15 share: a network that knows the first classes, and how it gets a head for those to come."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from data_fetch.worlds.birds.tasks import Tasks
from lessons_lib.explain.layers import find_layer
from lessons_lib.training.fit import fit


def learned(
    model: nn.Module, tasks: Tasks, *, epochs: int, seed: int, rate: float = 1e-2, progress=None, batch: int = 32
) -> nn.Module:
    """The model, trained on the first task with a one-cycle rate; here alone BatchNorm learns its statistics."""
    rows = tasks.rows(0)
    data = (tasks.images[rows], tasks.labels[rows])
    fit(model, data, epochs=epochs, lr=rate, batch_size=batch, seed=seed, progress=progress)
    return model


def with_head(model: nn.Module, classes: int, *, keep: bool, head: str = "head") -> nn.Module:
    """A copy whose last layer has so many rows: the old ones first, where they are kept, and zeros.

    Raises
    ------
    ValueError : `head` is not linear; fewer classes than rows that shall be kept.
    """
    whole = copy.deepcopy(model)
    old = find_layer(whole, head)
    if not isinstance(old, nn.Linear) or (keep and old.out_features > classes):
        raise ValueError(f"{head!r} must be a linear layer of at most {classes} rows, it is {old}")
    new = nn.utils.skip_init(nn.Linear, old.in_features, classes, device=old.weight.device)  # draws nothing
    with torch.no_grad():
        for name, values in (("weight", old.weight), ("bias", old.bias)):
            fresh: Tensor = getattr(new, name)
            fresh.zero_()
            if keep:
                fresh[: len(values)] = values
    parent, _, name = head.rpartition(".")
    setattr(whole.get_submodule(parent) if parent else whole, name, new)
    return whole.eval()
