"""Deconvnet, guided backprop and Guided Grad-CAM: other rules at the rectifiers, however those were written.

With z the input of a ReLU and g the gradient that arrives at its output, the ReLU passes on

    backprop          g where z > 0
    deconvnet         g where g > 0                (Zeiler & Fergus, arXiv 1311.2901)
    guided backprop   g where z > 0 and g > 0      (Springenberg et al., arXiv 1412.6806)

The rule is put on the autograd graph of this one forward pass, at its rectifier nodes, and vanishes with the
graph. So modules, functions, methods, in-place variants and a module that is called many times are all
served, ReLU6 and clamp(min=0) too, and the model itself is neither hooked nor changed.
"""

from __future__ import annotations

from collections import defaultdict, deque

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction
from torch.overrides import TorchFunctionMode

from lessons_lib.explain.gradcam import grad_cam
from lessons_lib.explain.gradients import check_reduce, gradients_at, scores_from_pixels
from lessons_lib.explain.inputs import Target, target_indices
from lessons_lib.explain.maps import over_channels

# Other activations that hold a rectifier's place, by the name of their node in the graph.
_OTHERS = {
    "Gelu": "GELU", "Silu": "SiLU", "Hardswish": "Hardswish", "Elu": "ELU or SELU", "Celu": "CELU",
    "Mish": "Mish", "LeakyRelu": "LeakyReLU", "PreluKernel": "PReLU", "RreluWithNoise": "RReLU",
    "Softplus": "Softplus", "LogSigmoid": "LogSigmoid",
}  # fmt: skip
_NAMES = {"guided": "guided backprop", "deconvnet": "deconvnet"}
_WITH_IN_PLACE = {
    "relu", "relu6", "hardtanh", "threshold", "clamp", "clip", "clamp_min", "elu", "selu", "celu", "silu",
    "mish", "hardswish", "leaky_relu", "rrelu", "gelu",
}  # fmt: skip


def guided_backprop(
    model: nn.Module,
    images: Tensor,
    target: Target = None,
    *,
    reduce: str | None = "max_abs",
    strict: bool = True,
) -> Tensor:
    """Guided backprop: a ReLU passes on what is positive, where its own input was (Springenberg et al. 2014).

    The picture is sharp, but it is not class-discriminative and hardly changes when upper layers are
    randomised.

    Parameters
    ----------
    model, images, target : as in `backprop`.
    reduce : how the channels become one map, see `over_channels`; None gives the signed picture.
    strict : refuse models with other activations than ReLU in a rectifier's place (GELU, SiLU, Hardswish,
        ELU, LeakyReLU, Softplus ..., custom autograd functions), for which the rule is not defined. False
        lets these pass their ordinary gradient. Sigmoid, tanh and softmax always do.

    Returns
    -------
    maps (B, H, W), or (B, T, H, W) for T targets; with reduce=None (B, C, H, W) or (B, T, C, H, W).

    Raises
    ------
    ValueError : no rectifier between images and score (the result would be the plain gradient; torch.where
        and torch.maximum are not recognised as one); another activation, with `strict`; TorchScript or
        compiled code, in which rectifiers cannot be told apart. And everything that `backprop` raises.
    """
    check_reduce(reduce)
    return over_channels(_by_rule("guided", model, images, target, strict), reduce)


def deconvnet(
    model: nn.Module,
    images: Tensor,
    target: Target = None,
    *,
    reduce: str | None = "max_abs",
    strict: bool = True,
) -> Tensor:
    """Deconvnet: a ReLU passes on what is positive, wherever its input was (Zeiler & Fergus 2014).

    Max-pooling passes the gradient to where its maximum was. Parameters, shapes and errors as in
    `guided_backprop`.
    """
    check_reduce(reduce)
    return over_channels(_by_rule("deconvnet", model, images, target, strict), reduce)


def guided_grad_cam(
    model: nn.Module,
    images: Tensor,
    target: Target = None,
    layer: str | nn.Module | None = None,
    *,
    reduce: str | None = "max_abs",
    strict: bool = True,
) -> Tensor:
    """Guided backprop times the bilinearly upsampled Grad-CAM map, on every channel (arXiv 1610.02391).

    Parameters
    ----------
    model, images, target, reduce, strict : as in `guided_backprop`.
    layer : where Grad-CAM is taken, as in `grad_cam`.

    Returns
    -------
    As `guided_backprop`; zero wherever the Grad-CAM map is. Neither factor is normalised.
    """
    check_reduce(reduce)
    coarse, output = grad_cam(model, images, target, layer, size="images", return_output=True)
    if target is None:  # both factors must explain the same class
        target = target_indices(output, None)
    fine = _by_rule("guided", model, images, target, strict)
    return over_channels(fine * coarse.unsqueeze(-3), reduce)


def check_not_compiled(model: nn.Module) -> None:
    """Raise when a part of `model` is TorchScript or compiled: its single steps cannot be observed."""
    for name, module in model.named_modules():
        scripted = isinstance(module, torch.jit.ScriptModule)
        compiled = hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
        if scripted or compiled:
            kind = "TorchScript" if scripted else "compiled by torch.compile"
            raise ValueError(
                f"{name or type(module).__name__!r} is {kind}: the steps inside cannot be observed. Pass the "
                "original model with the same weights"
            )


def _by_rule(rule: str, model: nn.Module, images: Tensor, target: Target, strict: bool) -> Tensor:
    check_not_compiled(model)
    with torch.inference_mode(False), torch.enable_grad():
        with _InPlaceOnViews():
            leaf, scores = scores_from_pixels(model, images, target)
        rectifiers, others = _activations(scores, leaf)
        if others and strict:
            raise ValueError(
                f"the model uses {', '.join(sorted(others))}, but {_NAMES[rule]} is defined for ReLU: use "
                "backprop, integrated_gradients or grad_cam, or strict=False for their own gradient"
            )
        if not rectifiers:
            raise ValueError(
                f"no ReLU between images and score: {_NAMES[rule]} would be the plain gradient. Use backprop"
            )
        for node, is_open in rectifiers:
            node.register_hook(_deconvnet if rule == "deconvnet" else _guided(is_open))
        return gradients_at(leaf, scores)


def _positive(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else gradient.clamp(min=0)


def _deconvnet(gradients_in: tuple, gradients_out: tuple) -> tuple:
    return (_positive(gradients_out[0]), *gradients_in[1:])


def _guided(is_open: Tensor | None):
    def hook(gradients_in: tuple, _gradients_out: tuple) -> tuple:
        first = gradients_in[0]
        if first is not None and is_open is not None:
            first = first * is_open
        return (_positive(first), *gradients_in[1:])

    return hook


def _activations(
    scores: Tensor, leaf: Tensor
) -> tuple[list[tuple[torch.autograd.graph.Node, Tensor | None]], set[str]]:
    """The rectifier nodes on the way from `leaf` to `scores`, and the names of other activations there."""
    rectifiers, others = [], set()
    for node in _nodes_between(leaf, scores):
        name = node.name()
        if "torch::jit" in name or name.startswith("CompiledFunction"):
            raise ValueError("a function of the model is compiled: the steps inside cannot be observed")
        kind = name.rstrip("0123456789").removesuffix("Backward")
        is_rectifier, is_open = _rectifier(node, kind)
        if is_rectifier:
            rectifiers.append((node, is_open))
        elif kind in _OTHERS:
            others.add(_OTHERS[kind])
        elif kind == "Threshold":
            others.add(f"a threshold at {node._saved_threshold}")
        elif isinstance(node, BackwardCFunction):
            others.add(f"the custom autograd function {kind}")
    return rectifiers, others


def _rectifier(node: torch.autograd.graph.Node, kind: str) -> tuple[bool, Tensor | None]:
    """Is the node min(max(z, 0), c)? And where is 0 < z < c, if its own backward pass takes other bounds."""
    if kind == "Relu":
        return True, None
    if kind == "Threshold":
        return node._saved_threshold == 0, None
    if kind == "Hardtanh":
        return node._saved_min_val == 0 and node._saved_max_val > 0, None
    if kind in ("Clamp", "ClampMin"):
        low, high = node._saved_min, getattr(node, "_saved_max", None)
        if low is None or not (bool((low == 0).all()) if isinstance(low, Tensor) else low == 0):
            return False, None
        z = node._saved_self
        is_open = z > 0  # clamp's own gradient is 1 at the bounds too, a ReLU's and a ReLU6's is 0
        return True, is_open if high is None else is_open & (z < high)
    return False, None


def _nodes_between(leaf: Tensor, scores: Tensor) -> list[torch.autograd.graph.Node]:
    """The nodes of the graph through which the gradient of `scores` flows to `leaf`."""
    users: dict = defaultdict(list)  # node -> the nodes that hand their gradient to it
    seen, queue = {scores.grad_fn}, deque([scores.grad_fn])
    source = None
    while queue:
        node = queue.popleft()
        if getattr(node, "variable", None) is leaf:
            source = node
        for used, _ in node.next_functions:
            if used is not None:
                users[used].append(node)
                if used not in seen:
                    seen.add(used)
                    queue.append(used)
    if source is None:
        raise ValueError("the score does not depend on the images: no gradient reaches a pixel")
    path, queue = {source: None}, deque([source])
    while queue:
        for node in users[queue.popleft()]:
            if node not in path:
                path[node] = None
                queue.append(node)
    return list(path)


class _InPlaceOnViews(TorchFunctionMode):
    """Activations in place on a view, written as 'compute, then copy back'.

    Autograd records an in-place change of a view as one node that hides what was computed. The values, and
    what the tensor and its base hold afterwards, are the same.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").split(".")[0]
        z = args[0] if args else kwargs.get("input")
        if name.strip("_") not in _WITH_IN_PLACE or not isinstance(z, Tensor) or not z._is_view():
            return func(*args, **kwargs)
        if not (name.endswith("_") or kwargs.get("inplace") or any(value is True for value in args[1:])):
            return func(*args, **kwargs)
        if args:
            return z.copy_(func(z.clone(), *args[1:], **kwargs))
        return z.copy_(func(**{**kwargs, "input": z.clone()}))
