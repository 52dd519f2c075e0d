"""Which torch call is what to layer-wise relevance propagation: a layer with a rule, a step that passes relevance
through, a route that keeps its derivative, or a gate. One handler a kind; see `lrp_trace`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from lessons_lib.explain.lrp_rules import Layer
from lessons_lib.explain.lrp_trace import Trace, gate_of, refuse, swap, tracked


def evaluate(func: Callable, args: tuple, kwargs: dict) -> tuple[Tensor, Tensor | None]:
    """The value of a call, and the tensor that the call would have changed in place (it is left alone here)."""
    name = func.__name__
    by_name = name.startswith("__i") if name.startswith("__") else name.endswith("_")
    with torch.no_grad():
        if not by_name and not kwargs.get("inplace") and not any(argument is True for argument in args):
            return func(*args, **kwargs), None
        copy = args[0].detach().clone()
        value = func(*swap(args, lambda t: copy if t is args[0] else t), **kwargs)
    return value, args[0] if value is copy else None


def convolution(trace: Trace, func: Callable, name: str, args: tuple, kwargs: dict) -> Tensor:
    """conv1d to conv3d and their transposes."""
    spatial = int(name[-2])
    weight, bias, rest, more = _weight_and_bias(name, args, kwargs)
    axes = (-1 - spatial, 0)
    if "transpose" in name:
        groups = rest[3] if len(rest) > 3 else more.get("groups", 1)
        axes = (-1 - spatial, 1) if groups == 1 else None
    bias = None if bias is None else bias.detach().view(-1, *[1] * spatial)
    layer = Layer(trace.name(name, weight), "conv", lambda w, a: func(a, w, None, *rest, **more), weight.detach(), bias)
    return _weighted(trace, layer, func, args, kwargs, axes)


def linear(trace: Trace, func: Callable, name: str, args: tuple, kwargs: dict) -> Tensor:
    weight, bias, _, _ = _weight_and_bias(name, args, kwargs)
    bias = None if bias is None else bias.detach()
    layer = Layer(trace.name(name, weight), "linear", lambda w, a: func(a, w, None), weight.detach(), bias)
    return _weighted(trace, layer, func, args, kwargs, (-1, 0) if weight.ndim == 2 else None)


def product(trace: Trace, func: Callable, name: str, args: tuple, kwargs: dict) -> Tensor:
    """x @ W or W @ x with a constant W."""
    x, weight = args if tracked(args[0]) else args[::-1]
    if tracked(weight):
        refuse(f"{name} of two activations")
    before = x is args[0]
    op = (lambda w, a: func(a, w)) if before else (lambda w, a: func(w, a))
    layer = Layer(trace.name(name, weight), "linear", op, weight.detach())
    axes = (-1, 1) if before and weight.ndim == 2 else None
    return _weighted(trace, layer, func, (x, weight) if before else (weight, x), kwargs, axes, x)


def _weight_and_bias(name: str, args: tuple, kwargs: dict) -> tuple[Tensor, Tensor | None, tuple, dict]:
    weight = args[1] if len(args) > 1 else kwargs["weight"]
    bias = args[2] if len(args) > 2 else kwargs.get("bias")
    if tracked(weight) or tracked(bias):
        refuse(f"{name} with weights that depend on the images")
    return weight, bias, args[3:], {key: value for key, value in kwargs.items() if key not in ("weight", "bias")}


def _weighted(
    trace: Trace, layer: Layer, func: Callable, args: tuple, kwargs: dict, axes: tuple | None, x: Tensor | None = None
) -> Tensor:
    x = args[0] if x is None else x
    with torch.no_grad():
        value = func(*args, **kwargs)
    tag = trace.look(x)
    layer.inside, layer.low, layer.high = tag.inside, tag.low, tag.high
    return trace.run(layer, value, (x,), axes=axes)


def batch_norm(trace: Trace, func: Callable, name: str, args: tuple, kwargs: dict) -> Tensor:
    """Folded into the layer right before it; elsewhere (DenseNet) relevance passes through."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    given = dict(zip(names, args)) | kwargs
    mean, var, weight, bias = (given.get(key) for key in ("running_mean", "running_var", "weight", "bias"))
    if given.get("training", False) or mean is None or var is None:
        raise ValueError("LRP needs BatchNorm in eval mode, with running statistics: call model.eval() first")
    with torch.no_grad():
        value = func(*args, **kwargs)
        scale = (var + given.get("eps", 1e-5)).rsqrt() * (1 if weight is None else weight)
        shift = (0 if bias is None else bias) - mean * scale
    shape = (-1, *[1] * (value.ndim - 2))
    again = lambda bound: func(bound, *args[1:], **kwargs)  # noqa: E731
    label = trace.name(name, weight)
    return _affine(trace, label, args[0], value, scale.view(shape), shift.view(shape), None, again)


def arithmetic(trace: Trace, func: Callable, name: str, args: tuple, kwargs: dict) -> Tensor:
    """+, -, * and / of a tensor and a constant, the sum of two tensors, and gating."""
    kind, (a, b), times = ARITHMETIC[name], (*args, -1)[:2], kwargs.get("alpha", 1)
    if kwargs.get("rounding_mode"):
        refuse(f"{name} with rounding")
    value, dirty = evaluate(func, args, kwargs)
    if kind == "rsub":
        a, b, kind = b, a, "sub"
    if tracked(a) and tracked(b):
        return _of_two(trace, kind, value, dirty, a, b, -times if kind == "sub" else times)
    x, constant = (a, b) if tracked(a) else (b, a)
    gate = gate_of(constant)
    if kind == "div" and x is b:
        refuse("division by an activation")
    if gate and (kind != "mul" or gate.source is x):
        refuse(f"x * {gate.gate}(x), SiLU" if kind == "mul" else gate.gate)
    again = lambda bound: func(*swap(args, lambda t: bound if t is x else t), **kwargs)  # noqa: E731
    if gate:  # it differs from image to image: nothing to fold
        return trace.through(value, x, dirty)
    if kind == "mul":
        scale, shift = constant, 0
    elif kind == "div":
        scale, shift = 1 / constant, 0
    else:
        sign = -times if kind == "sub" else times
        scale, shift = (1, sign * constant) if x is a else (sign, constant)
    return _affine(trace, trace.name(kind), x, value, scale, shift, dirty, again)


def _of_two(trace: Trace, kind: str, value: Tensor, dirty: Tensor | None, a: Tensor, b: Tensor, times: float) -> Tensor:
    if kind == "mul" and a.numel() != b.numel():  # squeeze-excite without a sigmoid: one factor a channel is the gate
        signal = a if a.numel() > b.numel() else b
        return trace.through(value, signal, dirty)
    if kind in ("mul", "div"):
        refuse(f"{kind} of two activations")
    if times < 0:
        b = trace.through(-b.detach(), b)
    layer = Layer(trace.name("add"), "add", lambda _, u, v: torch.add(u, v, alpha=abs(times)))
    return trace.run(layer, value, (a, b), dirty=dirty)


def _affine(
    trace: Trace,
    label: str,
    x: Tensor,
    value: Tensor,
    scale: Tensor | float,
    shift: Tensor | float,
    dirty: Tensor | None,
    again: Callable[[Tensor], Tensor],
) -> Tensor:
    """value = scale x + shift with constants: folded into the layer that made x; a layer of its own if there is none and
    the composite has a rule for those, else (and on pixels) relevance passes through."""
    tag = trace.look(x)
    if tag.layer is not None:
        scales, shifts = (_per_channel(constant, x, tag.axes[0]) for constant in (scale, shift))
        if scales is not None and shifts is not None:
            old, shape = tag.layer, [1] * tag.layer.weight.ndim
            shape[tag.axes[1]] = -1
            bias = shifts if old.bias is None else old.bias * scales + shifts
            layer = replace(old, weight=old.weight * scales.reshape(shape), bias=bias)
            return trace.run(layer, value, tag.inputs, axes=tag.axes, dirty=dirty)
    scale, shift = (torch.as_tensor(constant, dtype=x.dtype, device=x.device) for constant in (scale, shift))
    layer = Layer(label, "affine", lambda w, a: a * w, scale.detach(), shift.detach())
    if tag.low is None and trace.rule_for(layer) is not None:
        return trace.run(layer, value, (x,), dirty=dirty)
    return trace.through(value, x, dirty, again)


def _per_channel(constant: Tensor | float, x: Tensor, axis: int) -> Tensor | None:
    """`constant` as one number a channel of x, broadcasting against x; None when it differs between positions."""
    constant = torch.as_tensor(constant, dtype=x.dtype, device=x.device).detach()
    sizes = [1] * (x.ndim - constant.ndim) + list(constant.shape)
    channels = sizes.pop(axis)
    if constant.ndim > x.ndim or max(sizes, default=1) > 1 or channels not in (1, x.shape[axis]):
        return None
    return constant.reshape(channels, *[1] * (-axis - 1)).expand(x.shape[axis], *[1] * (-axis - 1))


def pool(trace: Trace, func: Callable, name: str, args: tuple, kwargs: dict) -> Tensor:
    """Average pooling, means and sums over axes, interpolation."""
    if kwargs.get("mode") == "bicubic":
        refuse("bicubic interpolation")  # it has negative weights
    with torch.no_grad():
        value = func(*args, **kwargs)
    layer = Layer(trace.name(name), "pool", lambda _, a: func(a, *args[1:], **kwargs))
    return trace.run(layer, value, (args[0],))


def activation(trace: Trace, func: Callable, name: str, args: tuple, kwargs: dict) -> Tensor:
    """Relevance passes through a function of single values."""
    if sum(map(tracked, args)) != 1 or not tracked(args[0]):
        refuse(f"{name} of two activations")
    value, dirty = evaluate(func, args, kwargs)
    if value is args[0]:  # dropout in eval mode
        return value
    return trace.through(value, args[0], dirty, lambda bound: func(bound, *args[1:], **kwargs))


def gate(trace: Trace, func: Callable, name: str, args: tuple, kwargs: dict) -> Tensor:
    """A sigmoid is covered as a factor only: it is a constant to the signal that it multiplies."""
    value, dirty = evaluate(func, args, kwargs)
    if dirty is not None:
        refuse(f"in-place {name}")
    return trace.tag(value, gate=name, source=args[0])


def pad(trace: Trace, func: Callable, name: str, args: tuple, kwargs: dict) -> Tensor:
    """Padding with a constant: relevance that a rule gives to the padding is lost, and entered into the account."""
    mode = args[2] if len(args) > 2 else kwargs.get("mode", "constant")
    if mode != "constant":
        return trace.route(func, args, kwargs)
    with torch.no_grad():
        value = func(*args, **kwargs)
    widths = args[1] if len(args) > 1 else kwargs["pad"]
    label = trace.name(name)

    def back(relevance: Tensor, saved: tuple[Tensor, ...]) -> tuple[Tensor]:
        kept = torch.nn.functional.pad(relevance, [-width for width in widths])
        if trace.settings.record is not None:
            inside = torch.nn.functional.pad(kept, list(widths))
            trace.settings.record(label, "padding", relevance - inside)
        return (kept,)

    tag = trace.look(args[0])
    ones = torch.ones_like(args[0]) if tag.inside is None else tag.inside
    result = trace.step(value, (args[0],), back)
    low, high = (None if bound is None else func(bound, *args[1:], **kwargs) for bound in (tag.low, tag.high))
    return trace.tag(result, low=low, high=high, inside=torch.nn.functional.pad(ones, list(widths)))


_DIMS = ("1d", "2d", "3d")
ARITHMETIC = {
    "add": "add", "__radd__": "add", "sub": "sub", "subtract": "sub", "rsub": "rsub", "__rsub__": "rsub",
    "mul": "mul", "multiply": "mul", "__rmul__": "mul", "div": "div", "divide": "div", "true_divide": "div", "neg": "mul",
}  # fmt: skip
_KINDS = {
    convolution: [kind + dim for kind in ("conv", "conv_transpose") for dim in _DIMS],
    linear: ["linear"],
    product: ["matmul", "mm", "__matmul__", "__rmatmul__"],
    batch_norm: ["batch_norm"],
    arithmetic: list(ARITHMETIC),
    pool: ["avg_pool" + dim for dim in _DIMS] + ["adaptive_avg_pool" + dim for dim in _DIMS]
    + ["mean", "sum", "interpolate"],
    activation: ["relu", "relu6", "hardtanh", "clamp", "clamp_min", "clamp_max", "threshold", "leaky_relu", "prelu",
                 "rrelu", "elu", "selu", "celu", "tanh", "dropout", "alpha_dropout", "feature_alpha_dropout"]
    + ["dropout" + dim for dim in _DIMS],
    gate: ["sigmoid", "hardsigmoid"],
    pad: ["pad"],
}  # fmt: skip
HANDLERS = {name: handler for handler, names in _KINDS.items() for name in names}
_POOLED = ("max_pool", "adaptive_max_pool")
ROUTES = frozenset(
    "view view_as reshape reshape_as flatten unflatten squeeze unsqueeze permute transpose movedim moveaxis swapaxes "
    "swapdims t contiguous clone to type_as type float double half bfloat16 cpu cuda cat concat concatenate stack split "
    "chunk tensor_split unbind narrow select index_select gather take_along_dim __getitem__ expand expand_as repeat tile "
    "broadcast_to roll flip unfold pixel_shuffle pixel_unshuffle channel_shuffle amax max maximum".split()
) | {name + dim + ending for name in _POOLED for dim in _DIMS for ending in ("", "_with_indices")}
KEEPS_GATE = frozenset(ARITHMETIC) - {"neg"}
