"""Table E: the other explanation methods on one image, beside captum's and zennit's."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import captum.attr
import torch
import zennit.composites
import zennit.torchvision
from report import Settings, Table
from subjects import SIDE, Subject, load, subject
from timing import interleave
from torch import Tensor

from lessons_lib import explain

WINDOW, CELLS = 32, 7
Call = Callable[[], Tensor]


@dataclass(frozen=True)
class Sizes:
    """How much work the methods with a choice do, the same for every library."""

    samples: int  # of RISE, LIME and KernelSHAP
    noisy: int  # copies in SmoothGrad
    steps: int  # of Integrated Gradients
    stride: int  # of occlusion


def ours(what: Subject, target: int, sizes: Sizes, grid: Tensor) -> dict[str, Call]:
    model, images, samples = what.model, what.images, sizes.samples
    return {
        "backprop": lambda: explain.backprop(model, images, target),
        "guided backprop": lambda: explain.guided_backprop(model, images, target),
        "Guided Grad-CAM": lambda: explain.guided_grad_cam(model, images, target, what.layer),
        "LRP": lambda: explain.lrp(model, images, target),
        f"SmoothGrad, {sizes.noisy}": lambda: explain.smoothgrad(model, images, target, samples=sizes.noisy),
        f"Integrated Gradients, {sizes.steps}": lambda: explain.integrated_gradients(
            model, images, target, steps=sizes.steps
        ),
        f"occlusion, stride {sizes.stride}": lambda: explain.occlusion(
            model, images, target, window=WINDOW, stride=sizes.stride
        ),
        f"RISE, {samples}": lambda: explain.rise(model, images, target, masks=samples),
        f"LIME, {samples}": lambda: explain.lime(model, images, target, segments=grid, samples=samples),
        f"KernelSHAP, {samples}": lambda: explain.kernel_shap(model, images, target, segments=grid, samples=samples),
    }


def captums(what: Subject, target: int, sizes: Sizes, grid: Tensor) -> dict[str, Call]:
    """Its LRP is left out: it does not follow residual additions, so it would not be the same work."""
    attr, model, images, samples = captum.attr, what.model, what.images, sizes.samples
    mask = grid.expand(1, 3, SIDE, SIDE)
    many = {"perturbations_per_eval": 64}
    surrogate = {"target": target, "feature_mask": mask, "n_samples": samples, **many}
    window = {"sliding_window_shapes": (3, WINDOW, WINDOW), "strides": (3, sizes.stride, sizes.stride), **many}
    noise = {"nt_samples": sizes.noisy, "stdevs": 0.15, "target": target}
    return {
        "backprop": lambda: attr.Saliency(model).attribute(images, target=target),
        "guided backprop": lambda: attr.GuidedBackprop(model).attribute(images, target=target),
        "Guided Grad-CAM": lambda: attr.GuidedGradCam(model, what.layer).attribute(images, target=target),
        f"SmoothGrad, {sizes.noisy}": lambda: attr.NoiseTunnel(attr.Saliency(model)).attribute(images, **noise),
        f"Integrated Gradients, {sizes.steps}": lambda: attr.IntegratedGradients(model).attribute(
            images, target=target, n_steps=sizes.steps, internal_batch_size=16
        ),
        f"occlusion, stride {sizes.stride}": lambda: attr.Occlusion(model).attribute(images, target=target, **window),
        f"LIME, {samples}": lambda: attr.Lime(model).attribute(images, **surrogate),
        f"KernelSHAP, {samples}": lambda: attr.KernelShap(model).attribute(images, **surrogate),
    }


def zennits(what: Subject, target: int) -> dict[str, Call]:
    def relevance() -> Tensor:
        canonizers = [zennit.torchvision.ResNetCanonizer()]
        composite = zennit.composites.EpsilonPlusFlat(canonizers=canonizers)
        leaf = what.images.clone().requires_grad_()
        with composite.context(what.model) as modified:
            score = modified(leaf)[:, target].sum()
            return torch.autograd.grad(score, leaf)[0]

    return {"LRP": relevance}


def other_methods(settings: Settings) -> Table:
    """E. ResNet-18, one image, one class; each library at the batch sizes that suit it."""
    table = Table("e", "E. Other methods, ResNet-18, batch 1")
    what = subject("resnet18", load("resnet18"), 1)
    sizes = Sizes(20, 4, 10, 32) if settings.quick else Sizes(100, 20, 50, 16)
    target = 7
    side = torch.arange(SIDE) * CELLS // SIDE
    grid = side[:, None] * CELLS + side  # 49 squares: what superpixels cost is not the question here
    columns = {
        "ours": ours(what, target, sizes, grid),
        "captum": captums(what, target, sizes, grid),
        "zennit": zennits(what, target),
    }
    for row in columns["ours"]:
        if settings.late:
            table.note(row, "ours", "not run: out of time")
            continue
        calls = {who: found[row] for who, found in columns.items() if row in found}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # captum's, about the hooks that it sets
            found = interleave(
                what.plain, calls, seed=settings.seed, seconds=settings.seconds, deadline=settings.deadline,
                least=1 if settings.quick else 2, after=what.forget_gradients,
            )  # fmt: skip
        for who, timing in found.items():
            table.time(row, who, timing)
    return table
