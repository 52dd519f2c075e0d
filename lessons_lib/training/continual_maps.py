"""Maps that a continual learner keeps and is held to: each kind can be had with a graph, so that a loss on it trains."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lessons_lib.explain import grad_cam, over_channels, target_scores
from lessons_lib.explain.layers import find_layer, watch

KINDS = {  # kind: what it is
    "grad_cam": "Grad-CAM at the last convolution, neither normalised nor enlarged",
    "backprop": "largest |d score / d pixel| over the colours",
    "smoothgrad": "the same of the mean gradient over noisy copies; the noise is the same at every call",
    "features": "no explanation: activations of the last convolution, mean over channels, as large as Grad-CAM's map",
}
SAMPLES, NOISE = 4, 0.15  # of SmoothGrad; the noise as a share of each image's range


def maps_and_logits(
    model: nn.Module,
    images: Tensor,
    classes: Tensor,
    kind: str = "grad_cam",
    *,
    layer: str | None = None,
    create_graph: bool = False,
) -> tuple[Tensor, Tensor]:
    """(maps (B, h, w), logits (B, K)) of images (B, C, H, W), each map for the score of its image's class (B,).

    Maps are in units of the score (pixel gradients: per unit of pixel value); `features` ignores the classes. grad_cam
    and features share the logits' forward pass; the others need passes of their own.

    Parameters
    ----------
    layer : of grad_cam and features; default `model.explain_layer`.
    create_graph : keep the graph through the map: without it a loss on the map trains nothing.

    Raises
    ------
    ValueError : an unknown kind; what `grad_cam` raises.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    layer = model.explain_layer if layer is None else layer
    if kind == "grad_cam":
        return grad_cam(model, images, classes, layer, create_graph=create_graph, return_output=True)
    if kind == "features":
        with torch.set_grad_enabled(create_graph):
            with watch(find_layer(model, layer), tuple(images.shape[-2:]), attach=create_graph) as seen:
                logits = model(images)
            return seen.value.mean(1), logits
    with torch.set_grad_enabled(create_graph):
        logits = model(images)
    return pixel_maps(model, images, classes, smooth=kind == "smoothgrad", create_graph=create_graph), logits


def pixel_maps(
    model: nn.Module, images: Tensor, classes: Tensor, *, smooth: bool = False, create_graph: bool = False
) -> Tensor:
    """(B, H, W): Backprop or, with `smooth`, SmoothGrad of SAMPLES copies, as `explain.backprop` and `explain.smoothgrad`
    give them, but differentiable on request: the gradient of this map is a second derivative."""
    copies = images[None]
    if smooth:
        flat = images.flatten(1)
        spread = (NOISE * (flat.amax(1) - flat.amin(1))).view(-1, 1, 1, 1)
        generator = torch.Generator().manual_seed(0)  # drawn one by one, as `smoothgrad` does
        draws = [torch.randn(images.shape[1:], generator=generator) for _ in range(SAMPLES)]
        copies = images + spread * torch.stack(draws)[:, None].to(images)
    leaf = copies.flatten(0, 1).detach().requires_grad_()
    with torch.enable_grad():
        scores = target_scores(model(leaf), classes.repeat(len(copies)))
        (gradient,) = torch.autograd.grad(scores.sum(), leaf, create_graph=create_graph)
        mean = gradient.unflatten(0, (len(copies), len(images))).mean(0)
        return over_channels(mean, "max_abs")
