"""Table E: the other explanation methods on one image, beside captum's and zennit's."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import captum.attr
import torch
import zennit.composites
import zennit.torchvision
from report import Settings, Table
from subjects import SIDE, Subject, load, subject
from timing import interleave
from torch import Tensor

from lessons_lib import explain

WINDOW, STRIDE, CELLS = 32, 16, 7
Call = Callable[[], Tensor]


def ours(what: Subject, target: int, samples: int, grid: Tensor) -> dict[str, Call]:
    model, images = what.model, what.images
    return {
        "backprop": lambda: explain.backprop(model, images, target),
        "guided backprop": lambda: explain.guided_backprop(model, images, target),
        "Guided Grad-CAM": lambda: explain.guided_grad_cam(model, images, target, what.layer),
        "LRP": lambda: explain.lrp(model, images, target),
        "SmoothGrad, 20": lambda: explain.smoothgrad(model, images, target, samples=20),
        "Integrated Gradients, 50": lambda: explain.integrated_gradients(model, images, target, steps=50),
        "occlusion": lambda: explain.occlusion(model, images, target, window=WINDOW, stride=STRIDE),
        f"RISE, {samples}": lambda: explain.rise(model, images, target, masks=samples),
        f"LIME, {samples}": lambda: explain.lime(model, images, target, segments=grid, samples=samples),
        f"KernelSHAP, {samples}": lambda: explain.kernel_shap(model, images, target, segments=grid, samples=samples),
    }


def captums(what: Subject, target: int, samples: int, grid: Tensor) -> dict[str, Call]:
    """Its LRP is left out: it does not follow residual additions, so it would not be the same work."""
    attr, model, images = captum.attr, what.model, what.images
    mask = grid.expand(1, 3, SIDE, SIDE)
    many = {"perturbations_per_eval": 64}
    surrogate = {"target": target, "feature_mask": mask, "n_samples": samples, **many}
    window = {"sliding_window_shapes": (3, WINDOW, WINDOW), "strides": (3, STRIDE, STRIDE), **many}
    noise = {"nt_samples": 20, "stdevs": 0.15, "target": target}
    return {
        "backprop": lambda: attr.Saliency(model).attribute(images, target=target),
        "guided backprop": lambda: attr.GuidedBackprop(model).attribute(images, target=target),
        "Guided Grad-CAM": lambda: attr.GuidedGradCam(model, what.layer).attribute(images, target=target),
        "SmoothGrad, 20": lambda: attr.NoiseTunnel(attr.Saliency(model)).attribute(images, **noise),
        "Integrated Gradients, 50": lambda: attr.IntegratedGradients(model).attribute(
            images, target=target, n_steps=50, internal_batch_size=16
        ),
        "occlusion": lambda: attr.Occlusion(model).attribute(images, target=target, **window),
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
    samples, target = (20 if settings.quick else 100), 7
    side = torch.arange(SIDE) * CELLS // SIDE
    grid = side[:, None] * CELLS + side  # 49 squares: what superpixels cost is not the question here
    columns = {
        "ours": ours(what, target, samples, grid),
        "captum": captums(what, target, samples, grid),
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
                least=2, after=what.forget_gradients,
            )  # fmt: skip
        for who, timing in found.items():
            table.time(row, who, timing)
    return table
