"""From descriptions to classifiers: NIWT's three trainings, and the baselines that know the same.

1. `fit_map` learns from seen classes which neurons matter to a class that is described so (and, with its two sides
   exchanged, what it means that a neuron matters).  2. `fit_rows` finds the classifier rows whose neurons matter as the
   map says.  3. Nothing else is trained: backbone and old rows stay. After Choose Your Neuron (arXiv 1808.02861); where
   a number differs from the authors' program, the docstring says so.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lessons_lib.explain.layers import find_layer, watch
from lessons_lib.feedback.niwt import (
    importance_jacobian,
    importance_loss,
    importances_of_rows,
    neuron_importance,
    seen_centred_rows,
    transfer_loss,
)


# ---------------------------------------- what the network says
def look(network: nn.Module, images: Tensor, layer: str, head: str = "head") -> tuple[Tensor, Tensor, Tensor]:
    """(activations (B, K, h, w) at `layer`, features (B, D) that go into the linear layer `head`, logits (B, S)).

    The graph begins at the activations: what lies below runs without one.

    Raises
    ------
    ValueError : no such layer; a head that is not linear.
    """
    last, kept = find_layer(network, head), {}
    if not isinstance(last, nn.Linear):
        raise ValueError(f"head must be the last linear layer, {head!r} is a {type(last).__name__}")
    handle = last.register_forward_pre_hook(lambda module, inputs: kept.update(features=inputs[0]))
    images = images.to(last.weight.device)
    try:
        with torch.no_grad(), watch(find_layer(network, layer), tuple(images.shape[-2:])) as seen:
            logits = network(images)
    finally:
        handle.remove()
    return seen.output, kept["features"], logits


def features_of(network: nn.Module, images: Tensor, head: str = "head", batch: int = 200) -> Tensor:
    """(N, D): what goes into the linear layer `head`, without a graph."""
    found, last = [], find_layer(network, head)
    handle = last.register_forward_pre_hook(lambda module, inputs: found.append(inputs[0]))
    try:
        with torch.no_grad():
            for start in range(0, len(images), batch):
                network(images[start : start + batch].to(last.weight.device))
    finally:
        handle.remove()
    return torch.cat(found)


def importances_of(
    network: nn.Module, images: Tensor, labels: Tensor, layer: str, head: str = "head", batch: int = 200
) -> Tensor:
    """(N, K): the importances of the neurons at `layer` for each image's own class (N,), detached."""
    found = []
    for start in range(0, len(images), batch):
        activations, _, logits = look(network, images[start : start + batch], layer, head)
        mine = labels[start : start + batch, None]
        found.append(neuron_importance(logits.gather(1, mine)[:, 0], activations))
    return torch.cat(found).detach()


def jacobian_of(network: nn.Module, images: Tensor, layer: str, head: str = "head") -> Tensor:
    """(N, D, K): `importance_jacobian` of images; D backward passes for all of them together."""
    activations, features, _ = look(network, images, layer, head)
    return importance_jacobian(features, activations)


# ---------------------------------------- maps between descriptions and importances
class CosineMap(nn.Module):
    """A map whose outputs count by their direction: linear, or with one hidden layer.

    Parameters
    ----------
    inputs, outputs : widths.
    hidden : width of a hidden layer; None for a linear map.  relu : False leaves the hidden layer linear: with an input a
        word its columns are word embeddings, of which a text is the mean.
    dropout : share of the inputs that is left out at each training step: a map from few classes otherwise learns them by heart.
    centre : (inputs,) taken off every input, such as the mean of the seen classes.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        hidden: int | None = None,
        relu: bool = True,
        dropout: float = 0.0,
        centre: Tensor | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.register_buffer("centre", torch.zeros(inputs) if centre is None else centre.detach().clone())
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            if hidden is None:
                self.layers = nn.Sequential(nn.Linear(inputs, outputs))
            else:
                first = nn.Linear(inputs, hidden, bias=relu)
                self.layers = nn.Sequential(first, nn.ReLU() if relu else nn.Identity(), nn.Linear(hidden, outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., outputs) of (..., inputs)."""
        return self.layers(F.dropout(inputs - self.centre, self.dropout, self.training))


@dataclass
class Course:
    """How a fit went: training loss a step, and {step: loss on held-out classes}."""

    loss: list[float] = field(default_factory=list)
    held_out: dict[int, float] = field(default_factory=dict)

    @property
    def best(self) -> int:
        """The number of steps with the lowest loss on the held-out classes."""
        return min(self.held_out, key=self.held_out.__getitem__)


def fit_map(
    make: Callable[[], CosineMap],
    inputs: Tensor,
    targets: Tensor,
    labels: Tensor,
    *,
    held_out: int = 6,
    steps: int = 600,
    lr: float = 1e-2,
    batch: int = 128,
    seed: int = 0,
    decay: float = 0.0,
) -> tuple[CosineMap, Course]:
    """A `CosineMap` from inputs (N, I) to targets (N, T) by Adam on `importance_loss`, validated on classes left out.

    First `held_out` classes, drawn by the seed, are left out, and the number of steps with the lowest loss on them is
    taken; then a map of the same start learns from all classes for that many steps. (The authors' program keeps the
    validated map itself; with few classes the left-out ones are missed.) held_out = 0: all steps, no validation.

    Parameters
    ----------
    make : gives a map with its initial weights, the same at each call.
    inputs : (N, I), or (C, I) rows that `labels` number: descriptions of classes.  labels : (N,) int64, of seen classes.

    Raises
    ------
    ValueError : sizes that do not fit, or too few classes to leave some out.
    """
    classes = labels.unique()
    if len(targets) != len(labels) or len(inputs) not in (len(labels), int(classes.max()) + 1):
        raise ValueError(
            f"targets and labels need a row an image, inputs one an image or a class; got {len(targets)}, {len(labels)} "
            f"and {len(inputs)}"
        )
    if not 0 <= held_out < len(classes):
        raise ValueError(f"held_out must be 0 to {len(classes) - 1}, got {held_out}")
    if len(inputs) != len(labels):
        inputs = inputs[labels]
    course = Course()
    if held_out:
        drawn = torch.randperm(len(classes), generator=torch.Generator().manual_seed(seed))[:held_out]
        away = torch.isin(labels, classes[drawn.to(classes.device)])
        train, check = (inputs[~away], targets[~away]), (inputs[away], targets[away])
        _descend(make(), train, steps, lr, batch, seed, decay, course, check)
        steps = course.best
    fitted = make()
    _descend(fitted, (inputs, targets), steps, lr, batch, seed, decay, course, None)
    return fitted, course


def _descend(model, data, steps, lr, batch, seed, decay, course, check) -> None:
    """`steps` of Adam; with `check` the course's held-out losses, else its training losses."""
    model.to(data[0].device).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=decay)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.enable_grad(), torch.random.fork_rng(devices=[]):  # dropout draws from the global generator
        torch.default_generator.manual_seed(seed)
        for step in range(1, steps + 1):
            rows = torch.randint(len(data[0]), (batch,), generator=generator).to(data[0].device)
            loss = importance_loss(model(data[0][rows]), data[1][rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if check is None:
                course.loss.append(float(loss.detach()))
            elif step % 25 == 0 or step == steps:
                model.eval()
                with torch.no_grad():
                    course.held_out[step] = float(importance_loss(model(check[0]), check[1]))
                model.train()
    model.eval()


# ---------------------------------------- new rows
Importances = Callable[[Tensor, Tensor], Tensor]  # rows (C, D), numbers (B,) of images -> importances (B, C, K)


def by_jacobian(jacobian: Tensor) -> Importances:
    """Importances of rows by one product with the jacobian (N, D, K) of N images: exact and cheap for few neurons."""
    return lambda rows, numbers: importances_of_rows(rows, jacobian[numbers.to(jacobian.device)])


def by_gradient(network: nn.Module, images: Tensor, layer: str, head: str = "head") -> Importances:
    """The same by differentiating the rows' scores once more at each step, as for networks with thousands of neurons."""

    def importances(rows: Tensor, numbers: Tensor) -> Tensor:
        activations, features, _ = look(network, images[numbers], layer, head)
        every = [neuron_importance(features @ row, activations, create_graph=True) for row in rows]
        return torch.stack(every, 1)

    return importances


def fit_rows(
    wanted: Tensor,
    seen_rows: Tensor,
    importances: Importances,
    images: int,
    *,
    weight: float = 2.5e-3,
    steps: int = 300,
    lr: float = 0.02,
    batch: int = 32,
    seed: int = 0,
    course: Course | None = None,
) -> Tensor:
    """Classifier rows (C, D) for C new classes: Adam on `transfer_loss` from `seen_centred_rows`, never more than `steps`.

    It ends earlier when the mean loss of 40 steps is less than 1 % below that of the 40 before. Seen rows stay as they are.

    Parameters
    ----------
    wanted : (C, K) importances that the map predicts.  seen_rows : (S, D).
    importances : `by_jacobian` or `by_gradient`; images : how many images it knows. Any images will do.
    weight : lambda of the pull to the mean of the seen rows.  course : filled with the losses.

    Raises
    ------
    ValueError : shapes that do not fit.
    """
    course = Course() if course is None else course
    seen_rows, wanted = seen_rows.detach(), wanted.detach()
    generator = torch.Generator().manual_seed(seed)
    rows = seen_centred_rows(seen_rows, len(wanted), generator).requires_grad_()
    optimiser, mean = torch.optim.Adam([rows], lr=lr), seen_rows.mean(0)
    for step in range(1, steps + 1):
        chosen = torch.randint(images, (batch,), generator=generator)
        loss = transfer_loss(wanted, importances(rows, chosen), rows, mean, weight)
        optimiser.zero_grad()
        (rows.grad,) = torch.autograd.grad(loss, [rows])  # the network's own parameters get no gradient
        optimiser.step()
        course.loss.append(float(loss.detach()))
        if step % 40 == 0 and step > 40 and sum(course.loss[-40:]) > 0.99 * sum(course.loss[-80:-40]):
            break
    return rows.detach()


def extended(network: nn.Module, rows: Tensor, head: str = "head") -> nn.Module:
    """A copy of the network that also knows the classes of `rows` (C, D): its logits are the seen ones, then the new ones.

    A new class gets the mean bias of the seen ones: no importance depends on it. The seen logits stay what they were.

    Raises
    ------
    ValueError : rows of another width than the head's.
    """
    whole = copy.deepcopy(network)
    last = find_layer(whole, head)
    if rows.ndim != 2 or rows.shape[1] != last.in_features:
        raise ValueError(f"rows must be (C, {last.in_features}), got {tuple(rows.shape)}")
    wider = nn.Linear(last.in_features, last.out_features + len(rows), device=rows.device, dtype=rows.dtype)
    with torch.no_grad():
        wider.weight.copy_(torch.cat([last.weight, rows]))
        wider.bias.copy_(torch.cat([last.bias, last.bias.mean().expand(len(rows))]))
    parent, _, name = head.rpartition(".")
    setattr(whole.get_submodule(parent) if parent else whole, name, wider)
    return whole.eval()
