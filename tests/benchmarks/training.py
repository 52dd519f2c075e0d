"""Table D: a training step with a loss on the Grad-CAM map, over the plain step."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial

import torch
import torch.nn.functional as F
from captum.attr import LayerGradCam
from report import Settings, Table
from subjects import load
from timing import interleave
from torch import Tensor, nn

from lessons_lib.explain import grad_cam, to_mass

BUDGETS = {"layer4": 1.15, "layer3": 1.25}


def outside(maps: Tensor) -> Tensor:
    """The share of the map's mass outside the left half: a loss that says where to look."""
    mass = to_mass(maps)
    return mass[..., maps.shape[-1] // 2 :].sum((1, 2)).mean()


def plain_loss(model: nn.Module, images: Tensor, labels: Tensor, layer: str) -> Tensor:
    return F.cross_entropy(model(images), labels)


def shared_loss(model: nn.Module, images: Tensor, labels: Tensor, layer: str) -> Tensor:
    """Ours: the map comes out of the step's own forward pass."""
    maps, logits = grad_cam(model, images, labels, layer, create_graph=True, return_output=True)
    return F.cross_entropy(logits, labels) + outside(maps)


def captum_loss(model: nn.Module, images: Tensor, labels: Tensor, layer: str) -> Tensor:
    """captum runs its own forward pass; only with this option does the gradient reach the head's weights."""
    method = LayerGradCam(model, model.get_submodule(layer))
    options = {"relu_attributions": True, "grad_kwargs": {"create_graph": True}}
    maps = method.attribute(images, target=labels, **options)[:, 0]
    return F.cross_entropy(model(images), labels) + outside(maps)


def naive_loss(model: nn.Module, images: Tensor, labels: Tensor, layer: str) -> Tensor:
    """A second forward pass, and a gradient with a graph for everything, as `score.backward(create_graph=True)`."""
    kept: list[Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(lambda _m, _a, output: kept.append(output))
    scores = model(images).gather(1, labels[:, None]).sum()
    handle.remove()
    wanted = [kept[0], *model.parameters()]
    grad = torch.autograd.grad(scores, wanted, create_graph=True)[0]
    maps = (grad.mean((2, 3), keepdim=True) * kept[0]).sum(1).relu()
    return F.cross_entropy(model(images), labels) + outside(maps)


LOSSES = {"ours": shared_loss, "captum": captum_loss, "naive": naive_loss}


def step(loss: Callable, model: nn.Module, optimiser: torch.optim.Optimizer, *args: object) -> None:
    optimiser.zero_grad()
    loss(model, *args).backward()
    optimiser.step()


def training_step(settings: Settings) -> Table:
    """D. Forward, backward and update of ResNet-18 in training mode."""
    batch, side = (4, 112) if settings.quick else (16, 224)
    table = Table(
        "d",
        f"D. A training step with a Grad-CAM loss, ResNet-18, batch {batch}, {side} px",
        "x the plain step; <= budget",
    )
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(batch, 3, side, side, generator=generator)
    labels = torch.randint(1000, (batch,), generator=generator)
    model = load("resnet18").train()
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    for layer, budget in BUDGETS.items():
        if settings.late:
            table.note(layer, "ours", "not run: out of time")
            continue
        check_equal_losses(model, images, labels, layer)
        calls = {who: partial(step, loss, model, optimiser, images, labels, layer) for who, loss in LOSSES.items()}
        plain = partial(step, plain_loss, model, optimiser, images, labels, layer)
        found = interleave(
            plain, calls, seed=settings.seed, seconds=5 * settings.seconds, deadline=settings.deadline, least=4
        )
        for who, timing in found.items():
            table.time(layer, who, timing, budget if who == "ours" else None)
    return table


def check_equal_losses(model: nn.Module, images: Tensor, labels: Tensor, layer: str) -> None:
    """The same work is compared: one loss, and one gradient of the classifier's weights."""
    found = {}
    for who, loss in LOSSES.items():
        copy = deepcopy(model)
        value = loss(copy, images, labels, layer)
        value.backward()
        found[who] = (value.detach(), copy.fc.weight.grad)
    for who in LOSSES:
        for got, want in zip(found[who], found["ours"]):
            torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-5, msg=f"{who} computes another loss")
