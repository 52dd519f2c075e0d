"""Train a network: the settings, the data and the checkpoint come together here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from lessons_lib.training.checkpoint import restore, save, settings_of
from lessons_lib.training.plan import Plan, as_columns
from lessons_lib.training.steps import (
    History,
    Loss,
    StepReport,
    cross_entropy,
    learning_rate,
    training_steps,
)


def fit_steps(
    model: nn.Module,
    data: object,
    *,
    epochs: int,
    lr: float,
    batch_size: int,
    seed: int,
    loss: Loss | None = None,
    checkpoint: str | os.PathLike | None = None,
    checkpoint_every: int = 100,
    resume: bool = True,
    device: torch.device | str | None = None,
    optimiser: str = "adamw",
    schedule: str = "onecycle",
    weight_decay: float = 0.01,
    history: History | None = None,
) -> Iterator[StepReport]:
    """`fit` as a generator: one optimiser step each `next()`. Arguments and errors as there.

    history : filled as the steps go by; on resuming it starts with the steps of the earlier run.
    """
    columns = as_columns(data)
    if loss is None and not {"images", "labels"} <= set(columns):
        raise ValueError(f"the default loss needs 'images' and 'labels', the data has {sorted(columns)}; pass loss=")
    rows = len(next(iter(columns.values())))
    plan = Plan(epochs, lr, batch_size, seed, optimiser, schedule, weight_decay, rows)
    history = History() if history is None else history
    settings = settings_of(model, columns, {**asdict(plan), "loss": _name(loss or cross_entropy)})
    if device is not None:
        model.to(device)
    if all(parameter.ndim < 5 for parameter in model.parameters()):
        model.to(memory_format=torch.channels_last)  # 2-D convolutions are faster so, on CPUs and GPUs
    device = next(model.parameters()).device
    columns = {name: _channels_last(values.to(device)) for name, values in columns.items()}
    optimizer = plan.optimizer(model)
    path, first = (None if checkpoint is None else Path(checkpoint)), 0
    if path is not None and resume:
        first, past = restore(path, settings=settings, model=model, optimizer=optimizer)
        history.__dict__.update(past)
    model.eval()

    def store(step: int) -> None:
        if path is not None:
            save(path, settings=settings, step=step, model=model, optimizer=optimizer, history=asdict(history))

    def generate() -> Iterator[StepReport]:
        reports = training_steps(
            model,
            plan.batches(columns, first),
            loss or cross_entropy,
            optimizer,
            lr_at=lambda step: learning_rate(step, plan.steps, lr, schedule),
            seed=seed,
            first=first,
            steps=plan.steps,
            epoch_of=lambda step: step // plan.steps_an_epoch,
        )
        for report in reports:
            history.add(report)
            stored = report.step % checkpoint_every == 0 or report.step == plan.steps
            if stored:
                store(report.step)
            try:
                yield report
            except GeneratorExit:  # stopped between two steps: the state is whole, so keep it
                if not stored:
                    store(report.step)
                raise

    return generate()


def fit(
    model: nn.Module,
    data: object,
    *,
    epochs: int,
    lr: float,
    batch_size: int,
    seed: int,
    loss: Loss | None = None,
    progress: Callable[[StepReport], None] | None = None,
    **options: object,
) -> History:
    """Train `model` in place and return the course of the training; the model is left in eval mode.

    Parameters
    ----------
    model : any network that takes `batch["images"]`; moved to `device` and to channels-last memory.
    data : (images (N, C, H, W), labels (N,)), a mapping of tensors with N rows each, or a world such as
        `Shapes`. Every tensor is cut into batches under its name, so that a loss can use masks too.
    epochs, lr (its peak), batch_size : as usual.
    seed : decides the order of the batches and what dropout draws; nothing else does.
    loss : (model, batch, step) -> (loss, {name: value}); default: `cross_entropy`. A loss that draws random
        numbers makes its own generator from `step`.
    progress : called with each `StepReport`.
    checkpoint : a file that the state is written to every `checkpoint_every` steps and at the end,
        atomically.
    resume : go on from that file where it exists (a finished training is then only loaded).
    device : default: where the model is.
    optimiser : "adamw" or "sgd" (Nesterov momentum 0.9).  schedule : see `learning_rate`.  weight_decay.

    Returns
    -------
    History of every step, those before an interruption included.

    Raises
    ------
    TypeError, ValueError : data or settings that do not fit.  CheckpointError : a damaged checkpoint, or one
        of another model, data or settings.  FloatingPointError : the loss is NaN or infinite.
    """
    history = History()
    settings = dict(epochs=epochs, lr=lr, batch_size=batch_size, seed=seed, loss=loss, history=history)
    with closing(fit_steps(model, data, **settings, **options)) as reports:  # closing stores an interrupted state
        for report in reports:
            if progress is not None:
                progress(report)
    return history


def _channels_last(values: Tensor) -> Tensor:
    return values.contiguous(memory_format=torch.channels_last) if values.ndim == 4 else values


def _name(loss: Loss) -> str:
    return getattr(loss, "__qualname__", type(loss).__name__)
