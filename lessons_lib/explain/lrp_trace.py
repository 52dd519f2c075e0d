"""Watching one forward pass of a network call by call, so that relevance can travel back through it.

A `TorchFunctionMode` sees every torch function, whether a module or the model's own forward calls it. Operations that
only move values about (views, padding, concatenation, max-pooling) keep their ordinary derivative, which is
their relevance rule. All others are replaced by a `_Step` whose backward pass propagates relevance instead of a gradient.
What has no rule raises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lessons_lib.explain.lrp_rules import Layer, Settings

Rule = Callable[[Layer, Tensor, Settings], tuple[Tensor, ...]]

CONVOLUTIONS = {"conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
PRODUCTS = {"matmul", "mm", "bmm", "__matmul__"}
POOLS = {
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
    "mean", "sum", "interpolate", "upsample",
}  # fmt: skip
ACTIVATIONS = {
    "relu", "relu6", "hardtanh", "clamp", "clamp_min", "threshold", "leaky_relu", "prelu", "rrelu", "elu", "selu",
    "celu", "tanh", "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout",
}  # fmt: skip
GATES = {"sigmoid", "hardsigmoid"}
ARITHMETIC = {
    "add": "add", "__add__": "add", "__radd__": "add", "__iadd__": "add",
    "sub": "sub", "subtract": "sub", "__sub__": "sub", "__isub__": "sub", "__rsub__": "rsub", "rsub": "rsub",
    "mul": "mul", "multiply": "mul", "__mul__": "mul", "__rmul__": "mul", "__imul__": "mul",
    "div": "div", "divide": "div", "true_divide": "div", "__truediv__": "div", "__itruediv__": "div", "neg": "neg",
}  # fmt: skip
ROUTES = {
    "view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose",
    "movedim", "moveaxis", "swapaxes", "swapdims", "t", "contiguous", "clone", "to", "type_as", "float", "double",
    "half", "bfloat16", "cat", "concat", "concatenate", "stack", "split", "chunk", "tensor_split", "unbind", "narrow",
    "select", "index_select", "gather", "take_along_dim", "__getitem__", "expand", "expand_as", "repeat", "tile",
    "roll", "flip", "unfold", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "broadcast_to",
    "max_pool1d", "max_pool2d", "max_pool3d", "max_pool1d_with_indices", "max_pool2d_with_indices",
    "max_pool3d_with_indices", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d",
    "adaptive_max_pool1d_with_indices", "adaptive_max_pool2d_with_indices", "adaptive_max_pool3d_with_indices",
    "amax", "max", "maximum", "cpu", "cuda", "type",
}  # fmt: skip


class _Step(torch.autograd.Function):
    """A value computed elsewhere, with a backward pass of our own from its relevance to that of `inputs`."""

    @staticmethod
    def forward(ctx, box: list, back: Callable | None, dirty: Tensor | None, *inputs: Tensor) -> Tensor:
        ctx.back, ctx.shapes = back, [a.shape for a in inputs]
        if back is not None:
            ctx.save_for_backward(*(a.clone() if a is dirty else a for a in inputs))
        if dirty is None:
            return box.pop()
        dirty.copy_(box.pop())
        ctx.mark_dirty(dirty)
        return dirty

    @staticmethod
    def backward(ctx, relevance: Tensor):
        shares = (relevance,) if ctx.back is None else ctx.back(relevance, ctx.saved_tensors)
        return None, None, None, *(r.sum_to_size(shape) for r, shape in zip(shares, ctx.shapes))


@dataclass
class _Tag:
    """What is known of a tensor that depends on the images.

    low, high : its bounds, while it is an affine or monotone image of the pixels.
    inside : 1 at true positions and 0 in explicit padding, right after padding.
    layer, inputs : the weighted layer that made it, while constants may still be folded into that.
    gate, source : it came out of the sigmoid called `gate`, applied to `source`.
    version : the tensor's version when this was written down; an in-place change makes the rest void.
    """

    version: int = 0
    low: Tensor | None = None
    high: Tensor | None = None
    inside: Tensor | None = None
    layer: Layer | None = None
    inputs: tuple[Tensor, ...] = ()
    gate: str | None = None
    source: Tensor | None = None


def _tensors(tree: object) -> list[Tensor]:
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, tuple | list):
        return []
    return [tensor for branch in tree for tensor in _tensors(branch)]


def _swap(tree: object, change: Callable[[Tensor], object]) -> object:
    """`tree` (nested tuples, lists, dicts) with every tensor changed."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, dict):
        return {key: _swap(branch, change) for key, branch in tree.items()}
    if type(tree) in (tuple, list):
        return type(tree)(_swap(branch, change) for branch in tree)
    return tree


def _tracked(tensor: Tensor) -> bool:
    """Whether it depends on the images: everything else is computed without a graph."""
    return tensor.requires_grad and not tensor.is_leaf


class Trace(TorchFunctionMode):
    """Records the rules for the way back while the model runs; see the module's docstring.

    rule_for : Layer -> rule.  settings : shared by all rules.
    """

    def __init__(self, model: nn.Module, rule_for: Callable[[Layer], Rule], settings: Settings) -> None:
        super().__init__()
        self._owners = {id(p): name.rpartition(".")[0] or name for name, p in model.named_parameters()}
        self._calls: Counter[str] = Counter()
        self._rule_for, self._settings = rule_for, settings
        self.read_pixels: list[str] = []

    def start(self, images: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """The tensor to call the model with; `images` is a leaf that requires a gradient."""
        return self._tag(images.clone(), low=low.expand_as(images), high=high.expand_as(images))

    def __torch_function__(self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None) -> object:
        kwargs = kwargs or {}
        tensors = _tensors((args, kwargs))
        name = getattr(func, "__name__", str(func))
        plain = name if name.startswith("__") else name.rstrip("_")
        if not any(map(_tracked, tensors)):
            return self._constant(func, plain, tensors, args, kwargs)
        for tensor in tensors:
            if _tracked(tensor):
                self._known(tensor, name)
            elif self._gate(tensor) and ARITHMETIC.get(plain) != "mul":
                self._refuse(self._gate(tensor).gate)
        if plain in CONVOLUTIONS or plain == "linear" or plain in PRODUCTS:
            return self._weighted(func, plain, args, kwargs)
        if plain == "batch_norm":
            return self._batch_norm(func, args, kwargs)
        if plain in ARITHMETIC:
            return self._arithmetic(func, ARITHMETIC[plain], args, kwargs)
        if plain in POOLS:
            return self._pool(func, plain, args, kwargs)
        if plain in ACTIVATIONS:
            return self._step(func, args, kwargs)
        if plain == "pad":
            return self._pad(func, args, kwargs)
        if plain in GATES:
            with torch.no_grad():
                value = func(*args, **kwargs)
            return self._tag(value, gate=plain, source=args[0])
        return self._other(func, plain, args, kwargs)

    def _constant(self, func: Callable, plain: str, tensors: list[Tensor], args: tuple, kwargs: dict) -> object:
        """A call that no image reaches: no graph. What is made of a gate stays a gate."""
        if not tensors:
            return func(*args, **kwargs)
        with torch.no_grad():
            result = func(*args, **kwargs)
        gates = [self._gate(tensor) for tensor in tensors if self._gate(tensor)]
        if gates:
            made = [tensor for tensor in _tensors(result) if tensor.is_floating_point()]
            if made and plain not in ROUTES and plain not in ARITHMETIC:
                self._refuse(gates[0].gate)
            for tensor in made:
                self._tag(tensor, gate=gates[0].gate, source=gates[0].source)
        return result

    def _weighted(self, func: Callable, plain: str, args: tuple, kwargs: dict) -> Tensor:
        """A convolution, a linear layer or a product with a constant matrix."""
        product, bias, rest, more = plain in PRODUCTS, None, args[2:], kwargs
        x, weight = args[:2] if len(args) > 1 else (args[0], kwargs.get("other" if product else "weight"))
        if not product:
            bias, rest = (args[2], args[3:]) if len(args) > 2 else (kwargs.get("bias"), ())
            more = {key: value for key, value in kwargs.items() if key not in ("weight", "bias")}
        flipped = product and not _tracked(x)
        if flipped:
            x, weight = weight, x
        if any(t is not None and _tracked(t) for t in (weight, bias)):
            self._refuse(plain)
        if product:
            axes = (-1, 1) if weight.ndim == 2 and not flipped else None
            op = (lambda w, a: func(w, a)) if flipped else (lambda w, a: func(a, w))
        elif plain == "linear":
            axes, op = (-1, 0), lambda w, a: func(a, w, None)
        else:
            axes, op = (-1 - int(plain[-2]), 0), lambda w, a: func(a, w, None, *rest, **more)
            if "transpose" in plain:
                groups = rest[3] if len(rest) > 3 else more.get("groups", 1)
                axes = (axes[0], 1) if groups == 1 else None
            bias = None if bias is None else bias.view(-1, *[1] * int(plain[-2]))
        with torch.no_grad():
            value = func(*args, **kwargs)
        tag = self._look(x)
        layer = Layer(self._name(plain, weight), "conv" if plain in CONVOLUTIONS else "linear", op, weight.detach())
        layer.bias = None if bias is None else bias.detach()
        layer.inside, layer.low, layer.high = tag.inside, tag.low, tag.high
        return self._run(layer, value, (x,), axes=axes)

    def _run(
        self,
        layer: Layer,
        value: Tensor,
        inputs: tuple[Tensor, ...],
        axes: tuple[int, int] | None = None,
        dirty: Tensor | None = None,
    ) -> Tensor:
        """The step that stands for `layer`: its rule on the way back."""
        rule = self._rule_for(layer)
        settings = self._settings

        def back(relevance: Tensor, saved: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            layer.inputs = saved
            try:
                return rule(layer, relevance, settings) or tuple(torch.zeros_like(a) for a in saved)
            finally:
                if not settings.keep:
                    layer.release()

        if layer.first and layer.name not in self.read_pixels:
            self.read_pixels.append(layer.name)
        result = _Step.apply([value], back, dirty, *inputs)
        return self._tag(result, layer=layer if axes else None, inputs=inputs if axes else (), axes=axes)

    def _batch_norm(self, func: Callable, args: tuple, kwargs: dict) -> Tensor:
        names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
        given = dict(zip(names, args)) | kwargs
        mean, var = given.get("running_mean"), given.get("running_var")
        if given.get("training", False) or mean is None or var is None:
            raise ValueError("LRP needs BatchNorm in eval mode, with running statistics: call model.eval() first")
        with torch.no_grad():
            value = func(*args, **kwargs)
            scale = (var + given.get("eps", 1e-5)).rsqrt()
            scale = scale if given.get("weight") is None else scale * given["weight"]
            shift = -mean * scale if given.get("bias") is None else given["bias"] - mean * scale
        shape = (-1, *[1] * (value.ndim - 2))
        bounds = lambda bound: func(bound, *args[1:], **kwargs)  # noqa: E731
        return self._affine(args[0], value, scale.view(shape), shift.view(shape), None, bounds)

    def _arithmetic(self, func: Callable, kind: str, args: tuple, kwargs: dict) -> Tensor:
        """Sums, differences, products and quotients, of two tensors that depend on the images or of one and a constant."""
        if "rounding_mode" in kwargs:
            self._refuse(f"{kind} with rounding_mode")
        kwargs = dict(kwargs)
        a, b = args[0], args[1] if len(args) > 1 else kwargs.pop("other", None)
        times = kwargs.get("alpha", args[2] if len(args) > 2 else 1)
        value, dirty = self._evaluate(func, args, kwargs | ({} if len(args) > 1 or b is None else {"other": b}))
        if kind == "rsub":
            a, b, kind = b, a, "sub"
        live = [isinstance(t, Tensor) and _tracked(t) for t in (a, b)]
        if not all(live):
            x, c = (a, b) if live[0] else (b, a)
            scale, shift = _affine_terms(kind, c, times, live[0])
            if scale is None or (isinstance(c, Tensor) and self._gate(c) and self._gate(c).source is x):
                self._refuse("silu" if scale is not None else kind)
            fold = not (isinstance(c, Tensor) and self._gate(c))
            bounds = lambda bound: func(*_swap(args, lambda t: bound if t is x else t), **kwargs)  # noqa: E731
            return self._affine(x, value, scale if fold else None, shift, dirty, bounds)
        if kind == "mul" and a.shape != b.shape and a is not b:
            signal, gate = (a, b) if a.numel() >= b.numel() else (b, a)  # squeeze-excite: one number a channel
            del gate
            return self._tag(_Step.apply([value], None, dirty, signal))
        if kind not in ("add", "sub"):
            self._refuse(f"{kind} of two activations")
        times = -times if kind == "sub" else times
        if times < 0:
            b = self._tag(_Step.apply([-b.detach()], None, None, b))
        layer = Layer(self._name("add"), "add", lambda w, u, v: torch.add(u, v, alpha=abs(times)))
        return self._run(layer, value, (a, b), dirty=dirty)

    def _affine(
        self,
        x: Tensor,
        value: Tensor,
        scale: Tensor | float | None,
        shift: Tensor | float,
        dirty: Tensor | None,
        bounds: Callable[[Tensor], Tensor],
    ) -> Tensor:
        """value = scale x + shift with constants: folded into the layer that made x, or relevance passes through."""
        tag = self._look(x)
        if tag.layer is not None and scale is not None:
            scale, shift = (_per_channel(c, x, tag.axes[0]) for c in (scale, shift))
            if scale is not None and shift is not None:
                old, width = tag.layer, [1] * tag.layer.weight.ndim
                width[tag.axes[1]] = -1
                bias = shift if old.bias is None else old.bias * scale + shift
                layer = replace(old, weight=old.weight * scale.reshape(width), bias=bias)
                return self._run(layer, value, tag.inputs, axes=tag.axes, dirty=dirty)
        low, high = self._bounds(tag, bounds)
        return self._tag(_Step.apply([value], None, dirty, x), low=low, high=high)
