"""What a method carries from task to task: kept pictures as bytes with their maps, and the anchor of EWC."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from data_fetch.worlds.birds.tasks import Tasks
from lessons_lib.feedback.rrr import ReplayBuffer, Samples
from lessons_lib.training.continual_baselines import fisher, merged
from lessons_lib.training.continual_maps import maps_and_logits

if TYPE_CHECKING:
    from lessons_lib.training.continual import Method

_COLUMNS = ("images", "labels", "maps", "predicted")
_FISHER = 60  # pictures of a task that EWC looks at


def stored(images: Tensor) -> Tensor:
    """Pictures in [0, 1] as bytes, one a colour value: the form in which they are kept and counted."""
    return (images * 255).round().clamp(0, 255).to(torch.uint8)


def restored(images: Tensor) -> Tensor:
    """Kept bytes as pictures in [0, 1]."""
    return images.float() / 255


class Memory:
    """Buffer, anchor and importance of one run."""

    def __init__(self, method: Method, tasks: Tasks) -> None:
        self.method, self.tasks = method, tasks
        self.buffer = ReplayBuffer(len(tasks.labels) * len(tasks.class_names))  # room enough: no class is ever cut down
        self.anchor: dict[str, Tensor] = {}
        self.importance: dict[str, Tensor] = {}
        self.earned = 0  # kept pictures without the extra ones

    def after(self, model: nn.Module, task: int, seed: int) -> None:
        """At the end of a task: what is kept of it, with maps of the model of this moment."""
        tasks, method, device = self.tasks, self.method, next(model.parameters()).device
        rows = tasks.rows(task)
        generator = torch.Generator().manual_seed(7 + 1000 * seed + task)
        rows = rows[torch.randperm(len(rows), generator=generator).to(rows.device)]
        if method.ewc:
            some = rows[:_FISHER]
            images, labels = tasks.images[some].to(device), tasks.labels[some].to(device)
            self.importance = merged(self.importance, fisher(model, images, labels, tasks.seen[task]))
            self.anchor = {name: value.detach().clone() for name, value in model.named_parameters()}
        if not method.keep:
            return
        rows = self._chosen(rows, method.keep if task or method.keep_first is None else method.keep_first)
        images, labels = stored(tasks.images[rows]).to(device), tasks.labels[rows].to(device)
        self.buffer = self.buffer.add(self.explained(model, images, labels, tasks.seen[task]))

    def _chosen(self, rows: Tensor, keep: int) -> Tensor:
        """`keep` of each class, and the extra pictures that the bytes of maps pay for."""
        labels = self.tasks.labels[rows]
        own = (labels[:, None] == labels.unique()).long()
        place = (own.cumsum(0) * own).sum(1)  # from 1, within the class
        first = rows[place <= keep]
        rest = rows[place > keep][place[place > keep].argsort(stable=True)]  # one of each class before a second of any
        image, before = stored(self.tasks.images[rows[:1]]).nbytes, self.earned
        self.earned += len(first)
        extra = [math.ceil(count * self.method.extra_bytes / image) for count in (before, self.earned)]
        return torch.cat([first, rest[: extra[1] - extra[0]]])

    def explained(self, model: nn.Module, images: Tensor, labels: Tensor, classes: int) -> Samples:
        """Samples with their maps, of the predicted class; without a kind of map an empty one."""
        if self.method.explain is None:
            return Samples(images, labels, torch.zeros(len(images), 0, 0, device=images.device), labels)
        maps, predicted = [], []
        for part in images.split(64):
            with torch.no_grad():
                said = model(restored(part))[:, :classes].argmax(1)
            maps.append(maps_and_logits(model, restored(part), said, self.method.explain)[0].detach())
            predicted.append(said)
        return Samples(images, labels, torch.cat(maps), torch.cat(predicted))

    def state(self) -> dict[str, object]:
        """Everything, as what `torch.load(weights_only=True)` reads."""
        kept = self.buffer.kept
        samples = None if kept is None else {name: getattr(kept, name) for name in _COLUMNS}
        return {"kept": samples, "anchor": self.anchor, "importance": self.importance, "earned": self.earned}

    def load(self, state: dict[str, object], device: torch.device) -> None:
        """What `state` gave, onto a device; nothing for an empty dict."""
        if not state:
            return
        kept = state["kept"]
        samples = None if kept is None else Samples(**{name: value.to(device) for name, value in kept.items()})
        self.buffer = ReplayBuffer(self.buffer.budget, samples)
        self.earned = state["earned"]
        for name in ("anchor", "importance"):
            setattr(self, name, {key: value.to(device) for key, value in state[name].items()})
