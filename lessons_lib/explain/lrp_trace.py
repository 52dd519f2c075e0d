"""Watching one forward pass of a network call by call, so that relevance can travel back through it.

A `TorchFunctionMode` sees every torch function, whether a module or the model's own forward calls it. Each call on a
tensor that depends on the images is replaced by a `Step`, whose backward pass propagates relevance instead of a
gradient; calls that only move or pick values (views, concatenation, max-pooling) keep their ordinary derivative,
which is their relevance rule. What is neither raises. `lrp_calls` says which call is what.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lessons_lib.explain.lrp_rules import Layer, Rule, Settings

Back = Callable[[Tensor, tuple[Tensor, ...]], tuple[Tensor, ...]]


class Step(torch.autograd.Function):
    """A value computed elsewhere, with a backward pass of its own from that value's relevance to that of `inputs`.

    box : a list that holds the value.  back : None when relevance passes through unchanged.
    dirty : the tensor that the call changed in place, or None.
    """

    @staticmethod
    def forward(ctx, box: list[Tensor], back: Back | None, dirty: Tensor | None, *inputs: Tensor) -> Tensor:
        ctx.back, ctx.shapes = back, [a.shape for a in inputs]
        if back is not None:  # an in-place call overwrites what it read
            ctx.save_for_backward(*(a.clone() if a is dirty else a for a in inputs))
        value = box.pop()  # as an input it would come back as a view, which forbids in-place calls later on
        if dirty is None:
            return value
        dirty.copy_(value)
        ctx.mark_dirty(dirty)
        return dirty

    @staticmethod
    def backward(ctx, relevance: Tensor) -> tuple[Tensor | None, ...]:
        shares = (relevance,) if ctx.back is None else ctx.back(relevance, ctx.saved_tensors)
        return None, None, None, *(share.sum_to_size(shape) for share, shape in zip(shares, ctx.shapes))


@dataclass
class Tag:
    """What is known of a tensor that depends on the images.

    low, high : its bounds, while it is an affine or monotone function of single pixels.
    inside : 1 at true positions and 0 in explicit padding, right after padding.
    layer, inputs, axes : the weighted layer that made it, as long as constants can be folded into that: its inputs and
        the axis of the channels in the output and in the weight.
    gate, source : it came out of the sigmoid called `gate`, applied to `source`.
    version : of the tensor, when this was written down; an in-place change through an alias makes the rest void.
    """

    low: Tensor | None = None
    high: Tensor | None = None
    inside: Tensor | None = None
    layer: Layer | None = None
    inputs: tuple[Tensor, ...] = ()
    axes: tuple[int, int] | None = None
    gate: str | None = None
    source: Tensor | None = None
    version: int = 0


def tensors_in(tree: object) -> list[Tensor]:
    """All tensors of nested tuples, lists and dicts."""
    if isinstance(tree, Tensor):
        return [tree]
    branches = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, tuple | list) else ()
    return [tensor for branch in branches for tensor in tensors_in(branch)]


def swap(tree: object, change: Callable[[Tensor], object]) -> object:
    """Nested tuples, lists and dicts with every tensor changed."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, dict):
        changed = copy(tree)
        changed.update({key: swap(branch, change) for key, branch in tree.items()})
        return changed
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(swap(branch, change) for branch in tree))
    return type(tree)(swap(branch, change) for branch in tree) if type(tree) in (tuple, list) else tree


def tracked(value: object) -> bool:
    """Whether it is a tensor that depends on the images: what does not is computed without a graph."""
    return isinstance(value, Tensor) and value.requires_grad and not value.is_leaf


def gate_of(value: object) -> Tag | None:
    """The tag of a tensor that came out of a sigmoid, else None."""
    tag = getattr(value, "_lrp", None) if isinstance(value, Tensor) else None
    return tag if tag is not None and tag.gate else None


def refuse(what: str) -> None:
    raise ValueError(
        f"LRP's rules here do not cover {what!r} on the way from the images to the score. They cover convolutions, linear "
        "layers, BatchNorm in eval mode, ReLU-like activations, pooling, sums, concatenation and gates (x * sigmoid(...)); "
        "attention, LayerNorm, GELU, SiLU and products of activations need rules of their own: use another method"
    )


class Trace(TorchFunctionMode):
    """Lays the way back while the model runs; see the module's docstring.

    handlers : name of a call -> (trace, func, name, args, kwargs) -> its result.
    routes : names of the calls that keep their ordinary derivative.
    keeps_gate : names of the calls that make a gate out of a gate and constants.
    rule_for : Layer -> rule; None for an affine layer that lets relevance through.
    settings : shared by all rules.
    """

    def __init__(
        self,
        model: nn.Module,
        handlers: Mapping[str, Callable],
        routes: frozenset[str],
        keeps_gate: frozenset[str],
        rule_for: Callable[[Layer], Rule | None],
        settings: Settings,
    ) -> None:
        super().__init__()
        self._owners = {id(p): name.rpartition(".")[0] or name for name, p in model.named_parameters()}
        self._calls: Counter[str] = Counter()
        self._handlers, self._routes, self._keeps_gate = handlers, routes, keeps_gate
        self.rule_for, self.settings = rule_for, settings
        self.first_layers: list[str] = []

    def start(self, images: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """The tensor to call the model with; `images` is a leaf that requires a gradient."""
        return self.tag(images.clone(), low=low.expand_as(images), high=high.expand_as(images))

    def __torch_function__(self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None) -> object:
        kwargs = dict(kwargs or {})
        for name in ("input", "other"):  # the leading arguments by position
            if name in kwargs and len(args) == (name == "other"):
                args = (*args, kwargs.pop(name))
        name = getattr(func, "__name__", str(func))
        plain = name if name.startswith("__") else name.rstrip("_")
        tensors = tensors_in((args, kwargs))
        if not any(map(tracked, tensors)):
            return self._constant(func, plain, tensors, args, kwargs)
        for tensor in tensors:
            if tracked(tensor):
                self.look(tensor)
            elif gate_of(tensor) and plain not in self._keeps_gate:
                refuse(gate_of(tensor).gate)
        if plain in self._handlers:
            return self._handlers[plain](self, func, plain, args, kwargs)
        if name in self._routes or func in _PROPERTIES:
            return self.route(func, args, kwargs)
        if name == "__setitem__" or (name != plain and name != "requires_grad_"):
            refuse(name)
        before = [(tensor, tensor._version) for tensor in tensors]
        result = func(*args, **kwargs)
        for made in filter(tracked, tensors_in(result)):
            if all(made is not tensor or made._version != version for tensor, version in before):
                refuse(name)  # it made or changed a value that the score may depend on
        return result

    def _constant(self, func: Callable, plain: str, tensors: list[Tensor], args: tuple, kwargs: dict) -> object:
        """A call that no image reaches: no graph. What is made of a gate and constants stays a gate."""
        if not tensors:
            return func(*args, **kwargs)
        with torch.no_grad():
            result = func(*args, **kwargs)
        for gate in filter(None, map(gate_of, tensors)):
            made = [tensor for tensor in tensors_in(result) if tensor.is_floating_point()]
            if made and plain not in self._routes and plain not in self._keeps_gate:
                refuse(gate.gate)
            for tensor in made:
                self.tag(tensor, gate=gate.gate, source=gate.source)
        return result

    def route(self, func: Callable, args: tuple, kwargs: dict) -> object:
        """A call that moves or picks values: its derivative hands relevance on without loss."""
        result = func(*args, **kwargs)
        given = [tensor for tensor in tensors_in((args, kwargs)) if tracked(tensor)]
        made = tensors_in(result)
        tags = [self.look(tensor) for tensor in given]
        lows = highs = [None] * len(made)
        if all(tag.low is not None for tag in tags):
            lows, highs = (
                tensors_in(func(*swap(args, bounds.__getitem__), **swap(kwargs, bounds.__getitem__)))
                for bounds in (_Bounds(given, [getattr(tag, side) for tag in tags]) for side in ("low", "high"))
            )
        for tensor, low, high in zip(made, lows, highs):
            if tracked(tensor) and all(tensor is not old for old in given):
                self.tag(tensor, low=low, high=high)
        return result

    def run(
        self,
        layer: Layer,
        value: Tensor,
        inputs: tuple[Tensor, ...],
        *,
        axes: tuple[int, int] | None = None,
        dirty: Tensor | None = None,
    ) -> Tensor:
        """The step that stands for `layer`, with its rule on the way back."""
        rule, settings = self.rule_for(layer), self.settings

        def back(relevance: Tensor, saved: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            layer.inputs = saved
            try:
                return rule(layer, relevance, settings) or tuple(torch.zeros_like(a) for a in saved)
            finally:
                if not settings.keep:
                    layer.release()

        if layer.first:
            self.first_layers.append(layer.name)
        result = self.step(value, inputs, back, dirty)
        return self.tag(result, layer=layer, inputs=inputs, axes=axes) if axes else result

    def step(self, value: Tensor, inputs: tuple[Tensor, ...], back: Back | None, dirty: Tensor | None = None) -> Tensor:
        """The tensor `value` with `back` as the way from its relevance to that of `inputs`."""
        return self.tag(Step.apply([value], back, dirty, *inputs))

    def through(
        self, value: Tensor, x: Tensor, dirty: Tensor | None = None, again: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Relevance passes through unchanged. `again` repeats the call on bounds, when it is monotone in each pixel."""
        tag = self.look(x)
        result = self.step(value, (x,), None, dirty)
        if tag.low is None or again is None:
            return result
        ends = again(tag.low.clone()), again(tag.high.clone())
        return self.tag(result, low=torch.minimum(*ends), high=torch.maximum(*ends))

    def tag(self, tensor: Tensor, **facts: object) -> Tensor:
        tensor._lrp = Tag(**facts, version=tensor._version)
        return tensor

    def look(self, tensor: Tensor) -> Tag:
        """What is known of a tracked tensor."""
        tag = getattr(tensor, "_lrp", None)
        if tag is None:
            raise ValueError(
                "a tensor on the way from the images to the score came out of an operation that LRP cannot see: a custom "
                f"autograd.Function, a backward hook, TorchScript or compiled code ({type(tensor.grad_fn).__name__})"
            )
        return tag if tag.version == tensor._version else Tag()

    def name(self, call: str, weight: Tensor | None = None) -> str:
        """The path of the module that owns the weight, or the call's name; with a number from the second call on."""
        name = self._owners.get(id(weight), call)
        self._calls[name] += 1
        return name if name != call and self._calls[name] == 1 else f"{name} #{self._calls[name]}"


class _Bounds:
    """Which bound stands for which tensor; other tensors stand for themselves."""

    def __init__(self, tensors: list[Tensor], bounds: list[Tensor]) -> None:
        self._pairs = list(zip(tensors, bounds))

    def __getitem__(self, tensor: Tensor) -> Tensor:
        return next((bound for given, bound in self._pairs if given is tensor), tensor)


_PROPERTIES = frozenset({Tensor.T.__get__, Tensor.mT.__get__, Tensor.H.__get__, Tensor.mH.__get__})
