"""One table of all methods, and one call that serves any of them with maps at image size."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lessons_lib import explain as library
from lessons_lib.explain.inputs import Target


@dataclass(frozen=True)
class Method:
    """One explanation method.

    name : the function's name in `lessons_lib.explain`.  label : its name in figures.  paper : short citation.
    family : "gradient", "relevance", "activation", "perturbation" or "attention".
    signed : its maps have negative values (evidence against).
    passes : what one map costs, in words.
    defaults : options that `explain` sets so that the map has image size.
    seeded : takes a `seed`.
    """

    name: str
    label: str
    paper: str
    family: str
    signed: bool
    passes: str
    defaults: tuple[tuple[str, object], ...] = ()

    @property
    def function(self) -> Callable[..., Tensor]:
        return getattr(library, self.name)

    @property
    def takes(self) -> frozenset[str]:
        """Names of the options that the function takes."""
        return frozenset(inspect.signature(self.function).parameters) - {"model", "images", "target"}


_ALL = (
    Method("backprop", "Backprop", "Simonyan et al. 2013", "gradient", False, "1 forward, 1 backward"),
    Method("gradient_x_input", "Gradient x input", "Shrikumar et al. 2016", "gradient", True, "1 forward, 1 backward"),
    Method("smoothgrad", "SmoothGrad", "Smilkov et al. 2017", "gradient", False, "20 forward, 20 backward"),
    Method("deconvnet", "Deconvnet", "Zeiler & Fergus 2014", "gradient", False, "1 forward, 1 backward"),
    Method("guided_backprop", "Guided backprop", "Springenberg et al. 2014", "gradient", False, "1 forward, 1 backward"),
    Method("lrp", "LRP", "Bach et al. 2015", "relevance", True, "1 forward, 1 backward with rules"),
    Method(
        "integrated_gradients", "Integrated Gradients", "Sundararajan et al. 2017", "gradient", True,
        "50 forward, 50 backward",
    ),
    Method("cam", "CAM", "Zhou et al. 2015", "activation", True, "1 forward", (("size", "images"),)),
    Method("grad_cam", "Grad-CAM", "Selvaraju et al. 2017", "activation", False, "1 forward", (("size", "images"),)),
    Method(
        "guided_grad_cam", "Guided Grad-CAM", "Selvaraju et al. 2017", "activation", False, "2 forward, 1 backward"
    ),
    Method("occlusion", "Occlusion", "Zeiler & Fergus 2014", "perturbation", True, "1 forward a patch"),
    Method("rise", "RISE", "Petsiuk et al. 2018", "perturbation", False, "1,000 forward"),
    Method("lime", "LIME", "Ribeiro et al. 2016", "perturbation", True, "1,000 forward"),
    Method("kernel_shap", "KernelSHAP", "Lundberg & Lee 2017", "perturbation", True, "1,000 forward"),
    Method("attention_rollout", "Attention rollout", "Abnar & Zuidema 2020", "attention", False, "1 forward"),
)  # fmt: skip
METHODS: dict[str, Method] = {method.name: method for method in _ALL}


def explain(
    model: nn.Module,
    images: Tensor,
    target: Target = None,
    method: str = "grad_cam",
    *,
    layer: str | nn.Module | None = None,
    seed: int = 0,
    **options: object,
) -> Tensor:
    """Maps at image size by any method of `METHODS`.

    Parameters
    ----------
    model, images, target : as in `grad_cam`; images (B, C, H, W).
    method : a name of `METHODS`.
    layer : for the methods that are drawn at a layer (CAM, Grad-CAM, Guided Grad-CAM); ignored by the others.
    seed : for the methods that draw samples; ignored by the others.
    options : the method's own, passed on as they are.

    Returns
    -------
    maps (B, H, W), or (B, T, H, W) for T targets an image. Attention rollout knows no target: it returns (B, H, W).

    Raises
    ------
    ValueError : unknown method (the message lists them). TypeError : an option that the method does not take.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; choose one of {', '.join(METHODS)}")
    entry = METHODS[method]
    takes = entry.takes
    unknown = sorted(set(options) - takes)
    if unknown:
        raise TypeError(f"{method} takes no option {unknown[0]!r}; its options are {', '.join(sorted(takes))}")
    settings: dict[str, object] = dict(entry.defaults)
    if "layer" in takes:
        settings["layer"] = layer
    if "seed" in takes:
        settings["seed"] = seed
    elif "generator" in takes:
        settings["generator"] = torch.Generator(device=images.device).manual_seed(seed)
    settings.update(options)
    if "target" not in inspect.signature(entry.function).parameters:
        return entry.function(model, images, **settings)
    return entry.function(model, images, target, **settings)
