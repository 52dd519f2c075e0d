"""CAM and Grad-CAM: any layer, any scalar, several targets an image in one trunk pass, differentiable on request.

References
----------
Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", arXiv 1610.02391.
Zhou et al., "Learning Deep Features for Discriminative Localization", arXiv 1512.04150 (CAM).
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from lessons_lib.explain import kernels
from lessons_lib.explain.inputs import (
    Target,
    check_differentiable,
    check_images,
    check_mode,
    target_indices,
    target_scores,
)
from lessons_lib.explain.layers import Features, default_layer, find_layer, watch

_CHUNK = 2**26  # elements of a layer's gradient that may be alive at once: 256 MB in float32


def grad_cam(
    model: nn.Module,
    images: Tensor,
    target: Target = None,
    layer: str | nn.Module | None = None,
    *,
    create_graph: bool = False,
    relu: bool = True,
    counterfactual: bool = False,
    size: tuple[int, int] | str | None = None,
    layout: str = "auto",
    return_output: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Grad-CAM maps: L = ReLU(sum_k alpha_k A^k), alpha_k the mean over positions of d score / d A^k (eqs. 1 and 2).

    The trunk below `layer` runs without a graph and the gradient is taken with respect to the layer's output alone.
    Several targets share that one pass. Parameters' `.grad`, the train/eval mode and BatchNorm statistics are left
    alone; frozen parameters and a surrounding `torch.no_grad()` are fine.

    Parameters
    ----------
    model : the network, in eval mode (in training mode only with `create_graph`).
    images : (B, C, H, W), what the model takes. With an explicit `layout`, anything that the model takes.
    target : None (the predicted class), a class for all images, classes (B,) or (B, T), or a function from the
        model's output to scores (B,) or (B, T).
    layer : module or name; default: the last layer that still has positions (`default_layer`). When a module is
        called more than once in a forward pass, its last call is explained.
    create_graph : keep the graph through trunk, gradient and map, so that a loss on the map trains the network. The
        map then belongs to this very forward pass: ask for its output with `return_output` and pay for one pass.
    relu : keep only the evidence in favour (eq. 2). False gives the signed map.
    counterfactual : negate the gradient: regions whose removal would raise the score (section 3.2 of the paper).
    size : None for the layer's own resolution, (H, W), or "images"; bilinear, align_corners=False.
    layout : "auto", "channels_first" (B, C, ...), "channels_last" (B, ..., C) or "tokens" (B, N, C), where the class
        token is left out and the patches are folded back into their grid.
    return_output : also return the model's output of the same forward pass.

    Returns
    -------
    maps (B, h, w) for one target an image, (B, T, h, w) for T; >= 0 with `relu`, in units of the score, not
    normalised: see `to_unit` and `to_mass`. A map may be zero everywhere (no evidence in favour).

    Raises
    ------
    ValueError, TypeError : naming what was wrong (shapes, class out of range, unknown layer, training mode, NaN, a
        layer that the score does not depend on, a score without a gradient) and what to do.
    """
    check_images(images, any_shape=layout != "auto")
    if not create_graph:
        check_mode(model)
    if layer is None:
        layer = default_layer(model, images)
    module = find_layer(model, layer)
    image_size = tuple(images.shape[-2:]) if images.is_floating_point() else None
    with torch.inference_mode(False), torch.set_grad_enabled(create_graph):
        if images.is_inference():
            images = images.clone()
        with watch(module, image_size, layout=layout, attach=create_graph) as features:
            with (
                sdpa_kernel(SDPBackend.MATH) if create_graph else nullcontext()
            ):  # the fused ones lack a 2nd derivative
                output = model(images)
            if features.value is None:
                raise ValueError(f"layer {layer!r} was not called in the model's forward pass; choose another one")
            with torch.enable_grad():
                weights, several = channel_weights(features, output, target, create_graph=create_graph)
        if counterfactual:
            weights = -weights
        if size == "images":
            size = image_size
        maps = kernels.cam_map(features.value, weights, relu=relu, size=size)
    maps = maps if several else maps[:, 0]
    if not create_graph and isinstance(output, Tensor):
        output = output.detach()
    return (maps, output) if return_output else maps


def channel_weights(
    features: Features, output: Tensor, target: Target, *, create_graph: bool = False
) -> tuple[Tensor, bool]:
    """Grad-CAM's alpha (eq. 1) for every target: the mean over positions of the score's gradient.

    Returns
    -------
    (weights (B, T, C) in the features' own precision, at least float32; whether the target named T classes an image).
    """
    value, probe = features.value, features.probe
    positions = value[0, 0].numel()
    if not create_graph:
        closed = _linear_head_weights(features, output, target)
        if closed is not None:
            return closed
    scores = target_scores(output, target)
    check_differentiable(scores)
    rows = scores.sum(0) if scores.ndim == 2 else scores.sum()[None]  # images do not mix: row t holds target t of all
    tokens = features.output.ndim == 3 and value.ndim == 4
    if len(rows) == 1:
        grads = _grad(rows[0], probe, create_graph, keep=tokens)[None]  # (1, B, C)
    else:
        chunk = max(1, min(len(rows), _CHUNK // max(1, value.numel())))
        eye = torch.eye(len(rows), dtype=rows.dtype, device=rows.device)
        grads = torch.cat(
            [_grad(rows, probe, create_graph, one_hots, keep=True) for one_hots in eye.split(chunk)]
        )  # (T, B, C)
    if tokens and not grads.any():
        _check_patches_reached(features, rows)
    return grads.transpose(0, 1).to(_at_least_float32(grads)) / positions, scores.ndim == 2


def _at_least_float32(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)


def _grad(
    score: Tensor, probe: Tensor, create_graph: bool, one_hots: Tensor | None = None, keep: bool = False
) -> Tensor:
    (grad,) = torch.autograd.grad(
        score,
        probe,
        grad_outputs=one_hots,
        is_grads_batched=one_hots is not None,
        create_graph=create_graph,
        retain_graph=create_graph or keep,
        allow_unused=True,
    )
    if grad is None:
        raise ValueError(
            "the score does not depend on this layer's output: choose a layer on the path from the input to the score"
        )
    return grad


def _check_patches_reached(features: Features, rows: Tensor) -> None:
    """Raise when the score depends on the class token alone: its patch tokens' gradient is exactly zero."""
    (grad,) = torch.autograd.grad(rows.sum(), features.output, retain_graph=True)
    if grad.any():
        raise ValueError(
            "the score does not depend on the patch tokens at this layer (after the last attention only the class "
            "token reaches the classifier): choose the LayerNorm before the last attention, or an earlier block"
        )


_RESHAPES = ("ViewBackward0", "UnsafeViewBackward0", "ReshapeAliasBackward0", "SqueezeBackward0", "SqueezeBackward1",
             "SqueezeBackward2", "SqueezeBackward3", "AliasBackward0")  # fmt: skip


_POINTWISE = ("ReluBackward0", "HardtanhBackward0", "LeakyReluBackward0", "EluBackward0", "GeluBackward0",
              "SiluBackward0", "HardswishBackward0")  # fmt: skip


def _linear_head_weights(
    features: Features, output: Tensor, target: Target, *, activation: bool = True
) -> tuple[Tensor, bool] | None:
    """alpha in closed form when the graph from the layer to the logits is exactly 'mean over positions, then linear'.

    Then d y^c / d A^k_ij = w^c_k / Z, so alpha^c_k = w^c_k / Z: Grad-CAM is CAM / Z, and a hundred classes cost one
    look-up. With `activation`, one pointwise f may stand before the mean: alpha^c_k is then w^c_k / Z times the mean
    of f'(A^k), the same for all classes. The graph itself is read, so nothing is assumed about the model's code. None
    when it is anything else.
    """
    head = getattr(output, "grad_fn", None)
    if callable(target) or features.value.ndim != 4 or features.output.ndim != 4:
        return None
    if head is None or head.name() not in ("AddmmBackward0", "MmBackward0"):
        return None
    if head.name() == "AddmmBackward0" and (head._saved_alpha != 1):
        return None
    node = head.next_functions[1 if head.name() == "AddmmBackward0" else 0][0]
    while node is not None and node.name() in _RESHAPES:
        node = node.next_functions[0][0]
    if node is None or node.name() != "MeanBackward1" or {d % 4 for d in node._saved_dim} != {2, 3}:
        return None  # dims are unsigned there: -1 reads as 2^64 - 1
    node, positions = node.next_functions[0][0], features.value[0, 0].numel()
    slope: float | Tensor = 1 / positions
    if node is not features.origin:
        pointwise = activation and node is not None and node.name() in _POINTWISE
        if not pointwise or node.next_functions[0][0] is not features.origin:
            return None
        with torch.no_grad():  # the node itself is asked for its derivative
            slope = node(torch.full_like(features.value, 1 / positions**2)).sum((2, 3))[:, None]  # (B, 1, C)
    matrix = head._saved_mat2  # (C, K)
    if matrix is None or matrix.shape[0] != features.value.shape[1]:
        return None
    indices = target_indices(output, target)
    several = indices.ndim == 2
    weights = matrix.detach().t()[indices if several else indices[:, None]]  # (B, T, C)
    return weights.to(_at_least_float32(weights)) * slope, several


def cam(
    model: nn.Module,
    images: Tensor,
    target: Target = None,
    layer: str | nn.Module | None = None,
    *,
    relu: bool = False,
    size: tuple[int, int] | str | None = None,
) -> Tensor:
    """Class activation maps: CAM^c = sum_k w^c_k A^k (Zhou et al. 2015), for 'conv, global average pool, linear' only.

    The mean of a map over its positions is the class's logit less its bias. Grad-CAM before its ReLU equals CAM / Z,
    Z the number of positions.

    Parameters
    ----------
    model, images, layer, size : as in `grad_cam`; `layer` is the input of the global average pool.
    target : None, class, classes (B,) or (B, T).
    relu : the original has none; True keeps the evidence in favour.

    Returns
    -------
    maps (B, h, w) or (B, T, h, w).

    Raises
    ------
    ValueError : the model's head is not a global average pool and one linear layer (use `grad_cam`, which needs no
        such head); and everything that `grad_cam` raises.
    """
    check_images(images)
    check_mode(model)
    if callable(target):
        raise ValueError("CAM explains class logits only: give a class index; for any other score use grad_cam")
    name = default_layer(model, images) if layer is None else layer
    module = find_layer(model, name)
    image_size = tuple(images.shape[-2:])
    with torch.inference_mode(False), torch.no_grad():
        if images.is_inference():
            images = images.clone()
        with watch(module, image_size) as features:
            output = model(images)
        if features.value is None:
            raise ValueError(f"layer {name!r} was not called in the model's forward pass; choose another one")
        closed = _linear_head_weights(features, output, target, activation=False)
        if closed is None:
            raise ValueError(
                f"CAM needs a head that is a global average pool and one linear layer right after layer {name!r}; this "
                "model has another one. grad_cam explains it without changing or retraining it"
            )
        weights, several = closed
        weights = weights * features.value[0, 0].numel()
        maps = kernels.cam_map(features.value, weights, relu=relu, size=image_size if size == "images" else size)
    return maps if several else maps[:, 0]
