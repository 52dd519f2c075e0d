"""One optimiser step after another, with a report of each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Batch = dict[str, Tensor]
Loss = Callable[[nn.Module, Batch, int], tuple[Tensor, dict[str, float]]]


@dataclass(frozen=True)
class StepReport:
    """What one optimiser step did: its number (from 1) of `steps`, epoch (from 0), loss, ..."""

    step: int
    steps: int
    epoch: int
    loss: float
    lr: float
    metrics: dict[str, float]
    seconds: float


@dataclass
class History:
    """The course of a training, one entry a step. `metrics` maps a name to its values."""

    loss: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, report: StepReport) -> None:
        self.loss.append(report.loss)
        self.lr.append(report.lr)
        for name, value in report.metrics.items():
            self.metrics.setdefault(name, []).append(value)
        self.seconds += report.seconds

    def recent(self, name: str = "loss", steps: int = 20) -> float:
        """Mean of the last `steps` values of the loss or of a metric."""
        values = self.loss if name == "loss" else self.metrics[name]
        return sum(values[-steps:]) / max(1, len(values[-steps:]))


def cross_entropy(model: nn.Module, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
    """The default loss: cross entropy of the images' logits with the labels; reports the batch's accuracy."""
    logits = model(batch["images"])
    accuracy = (logits.detach().argmax(1) == batch["labels"]).float().mean()
    return F.cross_entropy(logits, batch["labels"]), {"accuracy": float(accuracy)}


def learning_rate(step: int, steps: int, peak: float, schedule: str = "onecycle") -> float:
    """The learning rate of step `step` (from 0) of `steps`: a function of the step alone, so it needs no
    state.

    "onecycle": a linear rise from peak / 10 over the first quarter, then half a cosine down to 0; "cosine":
    half a cosine from the peak to 0; "constant".
    """
    if schedule == "constant":
        return peak
    rise = steps // 4 if schedule == "onecycle" else 0
    if step < rise:
        return peak * (0.1 + 0.9 * step / rise)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


@contextmanager
def _own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Layers that draw from the global generators (dropout) draw from `seed` here; the caller's state is
    kept.
    """
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def training_steps(
    model: nn.Module,
    batches: Iterable[Batch],
    loss_fn: Loss,
    optimizer: torch.optim.Optimizer,
    *,
    lr_at: Callable[[int], float] | None = None,
    seed: int = 0,
    first: int = 0,
    steps: int = 0,
    epoch_of: Callable[[int], int] = lambda step: 0,
) -> Iterator[StepReport]:
    """One optimiser step for each batch, and a report after each.

    The model is in training mode during a step and in eval mode between steps, so that whoever looks at it
    after a report (a live explanation, say) neither meets nor changes training-mode BatchNorm.

    Parameters
    ----------
    model, optimizer : changed in place.
    batches : mappings of names to tensors, on the model's device.
    loss_fn : (model, batch, step) -> (loss, {name: value to report}); `step` counts from 0.
    lr_at : step -> learning rate; None leaves the optimizer's own.
    seed : decides what dropout draws; the global random state is left alone.
    first : number of the first step, for a training that is resumed.
    steps, epoch_of : only for the reports.

    Raises
    ------
    TypeError : the loss function does not return (loss, metrics).  FloatingPointError : the loss is NaN or
        infinite.
    """
    device = next(model.parameters()).device
    for step, batch in enumerate(batches, start=first):
        started = time.perf_counter()
        if lr_at is not None:
            for group in optimizer.param_groups:
                group["lr"] = lr_at(step)
        model.train()
        try:
            with torch.enable_grad(), _own_randomness(seed * 1_000_003 + step, device):
                loss, value, metrics = _checked(loss_fn(model, batch, step), step)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
            optimizer.step()
        finally:
            model.eval()
        lr = optimizer.param_groups[0]["lr"]
        seconds = time.perf_counter() - started
        yield StepReport(step + 1, steps, epoch_of(step), value, lr, metrics, seconds)


def _checked(result: object, step: int) -> tuple[Tensor, float, dict[str, float]]:
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[1], Mapping):
        raise TypeError(
            "a loss must return (loss, {name: value}), for example (F.cross_entropy(logits, labels), {}); it "
            f"returned {type(result).__name__}"
        )
    loss, metrics = result
    if not isinstance(loss, Tensor) or loss.ndim != 0:
        got = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise TypeError(f"the loss must be a tensor with a single value, got {got}; take its mean over the batch")
    value = float(loss.detach())
    if not math.isfinite(value):
        raise FloatingPointError(
            f"the loss is {value} at step {step}: lower the learning rate, or look for a division by zero in the loss"
        )
    return loss, value, {name: float(number) for name, number in metrics.items()}
