"""Learn one task after another: replay, replay with maps (RRR), and the baselines, in one loop that can be resumed.

Single head, class-incremental: the logits of all classes seen so far compete, and no task's number is given at test time.
BatchNorm keeps the statistics of the start: a task of three classes would bend them. New pictures and replayed ones
go through the network together, uncropped, so that a kept map belongs to the very picture that is replayed.

Maps are compared after scaling each to the sum 1. The authors' program compares raw maps, in a pass of its own with an
optimiser of its own. In one loss with the cross-entropy a raw map also holds the score where it was, and answers
suffer: at weights that keep maps in place, old classes lose to new ones.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from data_fetch.worlds.birds.tasks import Tasks
from lessons_lib.explain import to_mass
from lessons_lib.feedback.rrr import ReplayBuffer, Samples, rrr_loss, saliency_loss
from lessons_lib.training.checkpoint import restore, save, settings_of
from lessons_lib.training.continual_baselines import distillation_loss, ewc_penalty
from lessons_lib.training.continual_maps import KINDS, maps_and_logits, pixel_maps
from lessons_lib.training.continual_memory import Memory, restored
from lessons_lib.training.steps import StepReport, learning_rate

PIXEL_ROWS = 10  # replayed pictures a step whose pixel gradients are held: they cost passes of their own


@dataclass(frozen=True)
class Method:
    """How forgetting is fought; the defaults are fine-tuning, which does nothing about it.

    keep : pictures kept of each class, for replay.  keep_first : of each class of the first task; None: as many.
    explain : kind of map kept with each, see `KINDS`; None: no map.  weight : of the loss on the maps.
    shuffled : control, each picture is held to the map of another one.
    extra_bytes : further pictures for so many bytes a kept one, rounded up: what its map would take.
    ewc, lwf : weights of the two baselines.  joint : all tasks at once, at the end: no forgetting can occur.
    sgd : SGD (Nesterov momentum 0.9, gradients clipped to length 5) instead of AdamW.
    """

    keep: int = 0
    keep_first: int | None = None
    explain: str | None = None
    weight: float = 0.0
    shuffled: bool = False
    extra_bytes: int = 0
    ewc: float = 0.0
    lwf: float = 0.0
    joint: bool = False
    sgd: bool = False

    def __post_init__(self) -> None:
        if self.explain is not None and (self.explain not in KINDS or self.keep < 1):
            raise ValueError(
                f"maps need kept pictures and a kind out of {', '.join(KINDS)}, got keep {self.keep} and {self.explain!r}"
            )
        if min(self.keep, self.keep_first or 0, self.weight, self.extra_bytes, self.ewc, self.lwf) < 0:
            raise ValueError(f"numbers and weights must not be negative, got {self}")


@dataclass(frozen=True)
class Pace:
    """epochs : over each task's new pictures.  lr : its peak.  batch : new pictures a step.  replay : kept ones a step."""

    epochs: int
    lr: float
    batch: int = 12
    replay: int = 24

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch, self.replay) < 1 or not self.lr > 0:
            raise ValueError(f"epochs, batch and replay must be at least 1 and lr positive, got {self}")


@dataclass
class Course:
    """What came out. records : what `look` returned after each task.  buffer : the memory at the end."""

    model: nn.Module
    buffer: ReplayBuffer
    records: list[dict[str, Tensor]] = field(default_factory=list)


Look = Callable[[nn.Module, int, ReplayBuffer, list], dict[str, Tensor]]


def learn_tasks(
    model: nn.Module,
    tasks: Tasks,
    method: Method,
    pace: Pace,
    *,
    seed: int,
    known: int = 0,
    look: Look | None = None,
    progress: Callable[[StepReport], None] | None = None,
    checkpoint: str | os.PathLike | None = None,
) -> Course:
    """Learn the tasks in their order; the model is changed in place and left in eval mode.

    Parameters
    ----------
    model : logits of all classes of all tasks; `explain_layer` names the layer of Grad-CAM.
    seed : decides the order of the pictures and which are kept, and nothing else does.
    known : so many tasks were learned before; pictures and maps of them are kept, but nothing is trained.
    look : (model, task, buffer, earlier records) -> tensors to record, after each task (joint: after the last).
    checkpoint : a file that holds everything after each task; a run that finds it goes on behind the last finished
        task and ends with the same numbers as one that was never stopped.

    Raises
    ------
    CheckpointError : the file is damaged, or of another run.  ValueError : `known` out of range.
    FloatingPointError : a loss that is NaN or infinite.
    """
    if not 0 <= known < len(tasks):
        raise ValueError(f"known must be 0 to {len(tasks) - 1}, got {known}")
    model.eval()
    memory, path = Memory(method, tasks), None if checkpoint is None else Path(checkpoint)
    course, done = Course(model, memory.buffer), 0
    stateless = torch.optim.SGD(model.parameters(), lr=1.0)  # every task has an optimiser of its own: none is stored
    if path is not None:
        columns = {"labels": tasks.labels, "first pictures": tasks.images[list(range(min(64, len(tasks.labels))))]}
        columns |= {f"start {name}": value for name, value in list(model.named_parameters())[:1]}
        plan = {"seed": seed, "known": known, "tasks": tasks.task_of.tolist(), **asdict(pace), **asdict(method)}
        settings = settings_of(model, columns, plan)
        done, past = restore(path, settings=settings, model=model, optimizer=stateless)
        memory.load(past, next(model.parameters()).device)
        course.records = past.get("records", [])
    for task in range(done, len(tasks)):
        last = task == len(tasks) - 1
        if task >= known and (not method.joint or last):
            _learn(model, tasks, task, memory, method, pace, seed, progress)
        if not method.joint:
            memory.after(model, task, seed)
        if look is not None and (not method.joint or last):
            course.records.append(look(model, task, memory.buffer, course.records))
        if path is not None:
            history = {"records": course.records, **memory.state()}
            save(path, settings=settings, step=task + 1, model=model, optimizer=stateless, history=history)
    course.buffer = memory.buffer
    return course


def _learn(model, tasks, task, memory, method, pace, seed, progress) -> None:
    """One task: a fresh optimiser with a one-cycle rate."""
    device = next(model.parameters()).device
    rows = torch.arange(len(tasks.labels)) if method.joint else tasks.rows(task)
    new, labels, classes = tasks.images[rows], tasks.labels[rows].to(device), tasks.seen[task]
    generator = torch.Generator().manual_seed(1000 * seed + task)
    optimiser = _optimiser(model, method, pace)
    held = memory.buffer
    if method.shuffled and len(held) > 1:
        held = held.with_other_maps(generator)
    before, known = (copy.deepcopy(model), tasks.seen[task - 1]) if method.lwf and task else (None, 0)
    steps, step = pace.epochs * math.ceil(len(rows) / pace.batch), 0
    for _ in range(pace.epochs):
        for part in torch.randperm(len(rows), generator=generator).split(pace.batch):
            replayed = held.sample(pace.replay, generator) if len(held) else None
            images, answers = new[part.to(new.device)].to(device), labels[part.to(device)]
            loss, parts = task_loss(model, images, answers, replayed, method, classes)
            if method.ewc and memory.anchor:
                loss = loss + method.ewc * ewc_penalty(model, memory.anchor, memory.importance)
            if before is not None:
                with torch.no_grad():
                    old = before(images)[:, :known]
                loss = loss + method.lwf * distillation_loss(model(images)[:, :known], old)
            if not torch.isfinite(loss):
                raise FloatingPointError(f"the loss of task {task} is {loss.item()}: a lower rate or weight may help")
            rate = learning_rate(step, steps, pace.lr)
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            if method.sgd:
                nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
            step += 1
            if progress is not None:
                first = 0 if method.joint else task
                whole = steps if method.joint else len(tasks) * steps
                progress(StepReport(first * steps + step, whole, task, loss.item(), rate, parts, 0.0))


def _optimiser(model: nn.Module, method: Method, pace: Pace) -> torch.optim.Optimizer:
    if method.sgd:
        return torch.optim.SGD(model.parameters(), lr=pace.lr, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(model.parameters(), lr=pace.lr, weight_decay=0.0)


def task_loss(
    model: nn.Module, images: Tensor, labels: Tensor, replayed: Samples | None, method: Method, classes: int
) -> tuple[Tensor, dict[str, float]]:
    """`rrr_loss` of one step: cross-entropy over new and replayed pictures, and the replayed ones' maps held to the kept ones.

    classes : seen so far; later logits are ignored.
    """
    if replayed is None:
        return rrr_loss(model(images)[:, :classes], labels)
    old = restored(replayed.images)
    every, truth = _channels_last(torch.cat([images, old])), torch.cat([labels, replayed.labels])
    if method.explain is None or not method.weight:
        return rrr_loss(model(every)[:, :classes], truth)
    if method.explain in ("grad_cam", "features"):  # the same forward pass
        explained = torch.cat([labels, replayed.predicted])
        maps, logits = maps_and_logits(model, every, explained, method.explain, create_graph=True)
        maps = maps[len(images) :]
        kept = replayed.maps
    else:
        logits, kept = model(every), replayed.maps[:PIXEL_ROWS]
        some, explained = _channels_last(old[:PIXEL_ROWS]), replayed.predicted[:PIXEL_ROWS]
        maps = pixel_maps(model, some, explained, smooth=method.explain == "smoothgrad", create_graph=True)
    distance = map_distance(maps, kept, method.explain)
    return rrr_loss(logits[:, :classes], truth, distance, weight=method.weight)


def map_distance(maps: Tensor, kept: Tensor, kind: str = "grad_cam") -> Tensor:
    """Mean over images of the L1 distance (`saliency_loss`) of the maps (B, h, w), each scaled to the sum 1: 0 to 2.

    Of "features": the squared distance of the activations as they are, as a share of the kept ones' squares.
    """
    if kind == "features":
        kept = kept.detach()
        apart, size = (maps - kept).square().sum((1, 2)), kept.square().sum((1, 2))
        return (apart / (size + 1e-8)).mean()
    return saliency_loss(to_mass(maps), to_mass(kept), reduction="sum") / max(1, len(maps))


def _channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)
