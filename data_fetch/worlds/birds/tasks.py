"""Birds that come in tasks, a few species at a time: class-incremental learning with all truth known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data_fetch.fields import Column
from data_fetch.worlds.birds.species import species
from data_fetch.worlds.birds.world import birds


@dataclass(frozen=True)
class Tasks:
    """T tasks of classes that nobody saw before. Classes are numbered in the order in which they come.

    class_names (C,).  task_of (C,) int64 : the task that brings each class, 0 to T - 1.
    images (N, 3, S, S) in [0, 1], labels (N,) int64 : training pictures, of all tasks.
    test_images (M, 3, S, S), test_labels (M,), test_masks bool (M, S, S) : the same for the test; masks are None where
    nobody drew any.
    """

    class_names: tuple[str, ...]
    task_of: Tensor
    images: Column
    labels: Tensor
    test_images: Column
    test_labels: Tensor
    test_masks: Column | None = None

    def __post_init__(self) -> None:
        steps = self.task_of.diff()
        if not len(self.task_of) or int(self.task_of[0]) or not bool(((steps == 0) | (steps == 1)).all()):
            raise ValueError("classes must be numbered in the order of their tasks, the first task is 0")
        if len(self.class_names) != len(self.task_of):
            raise ValueError(f"{len(self.class_names)} names do not fit {len(self.task_of)} classes")

    def __len__(self) -> int:
        """T, the number of tasks."""
        return int(self.task_of[-1]) + 1

    @property
    def seen(self) -> list[int]:
        """Number of classes known after each task."""
        return torch.bincount(self.task_of).cumsum(0).tolist()

    def first(self, count: int) -> Tasks:
        """The first tasks alone.

        Raises
        ------
        ValueError : fewer than one, or more than there are.
        """
        if not 1 <= count <= len(self):
            raise ValueError(f"count must be 1 to {len(self)}, got {count}")
        kept = self.seen[count - 1]
        train, test = (torch.nonzero(labels < kept)[:, 0] for labels in (self.labels, self.test_labels))
        masks = None if self.test_masks is None else self.test_masks[test]
        return Tasks(self.class_names[:kept], self.task_of[:kept], self.images[train], self.labels[train],
                     self.test_images[test], self.test_labels[test], masks)  # fmt: skip

    def rows(self, task: int, *, test: bool = False) -> Tensor:
        """Rows of the pictures of a task, among those to train on or to test on."""
        if not 0 <= task < len(self):
            raise ValueError(f"tasks are 0 to {len(self) - 1}, got {task}")
        labels = self.test_labels if test else self.labels
        return torch.nonzero(self.task_of[labels] == task)[:, 0]


def bird_tasks(
    seed: int,
    sizes: Sequence[int],
    shots: Sequence[int],
    *,
    test: int = 20,
    size: int = 32,
    skip: int = 0,
    correlation: float | None = None,
    device: torch.device | str = "cpu",
) -> Tasks:
    """Species drawn by the seed, `sizes[t]` new ones in task t with `shots[t]` training pictures of each.

    test : test pictures of each species; in them the habitat says nothing about it.
    skip : so many of the seed's species are left out: those of another call with the same seed.
    correlation : of habitats in training, see `birds`.

    Raises
    ------
    ValueError : other numbers of sizes and shots, more classes than there are species, a number below 1.
    """
    known = len(species().names)
    if len(sizes) != len(shots) or not sizes or min(*sizes, *shots, test) < 1:
        raise ValueError(f"sizes and shots need one number >= 1 a task, test one >= 1; got {sizes}, {shots} and {test}")
    if skip < 0 or skip + sum(sizes) > known:
        raise ValueError(f"{sum(sizes)} classes behind {skip} others are asked for, there are {known} species")
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(known, generator=generator)[skip : skip + sum(sizes)]
    number = torch.full((known,), -1)
    number[chosen] = torch.arange(len(chosen))
    ends = torch.tensor(sizes).cumsum(0).tolist()
    options = {"size": size, "device": device}
    images, labels = [], []
    for task, (end, count, shot) in enumerate(zip(ends, sizes, shots)):
        now = chosen[end - count : end].tolist()
        made = birds(count * shot, seed=1000 * seed + skip + task, classes=now, correlation=correlation, **options)
        images.append(made.images)
        labels.append(number.to(made.labels.device)[made.labels])
    held = birds(len(chosen) * test, seed=1000 * seed + 900 + skip, classes=chosen.tolist(), **options)
    return Tasks(
        class_names=tuple(species().names[n] for n in chosen.tolist()),
        task_of=torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes)).to(device),
        images=torch.cat(images),
        labels=torch.cat(labels),
        test_images=held.images,
        test_labels=number.to(held.labels.device)[held.labels],
        test_masks=held.masks,
    )
