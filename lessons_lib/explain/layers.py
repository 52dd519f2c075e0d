"""Finding a layer, watching it during one forward pass, and always letting go of it again."""

from __future__ import annotations

import difflib
import math
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

LAYOUTS = ("auto", "channels_first", "channels_last", "tokens")


def find_layer(model: nn.Module, layer: str | nn.Module) -> nn.Module:
    """The module that `layer` names: a module of `model`, its full dotted name, or a unique ending of one.

    Raises
    ------
    ValueError : no such layer (the message lists candidates), an ambiguous ending, or a module of another model.
    TypeError : neither a name nor a module.
    """
    if isinstance(layer, nn.Module):
        if any(layer is module for module in model.modules()):
            return layer
        raise ValueError(f"the layer {type(layer).__name__} is not a module of this model")
    if not isinstance(layer, str):
        raise TypeError(f"layer must be a module or its name, not {type(layer).__name__}")
    try:
        if layer:
            return model.get_submodule(layer)
    except AttributeError:
        pass  # not a full name: look for it among the endings
    named = dict(model.named_modules())
    named.pop("", None)
    endings = [name for name in named if name.endswith("." + layer)]
    if len(endings) == 1:
        return named[endings[0]]
    if endings:
        raise ValueError(f"layer {layer!r} is ambiguous, write one of {endings[:12]}")
    close = difflib.get_close_matches(layer, named, n=6, cutoff=0.4)
    top = [name for name, _ in model.named_children()]
    raise ValueError(f"the model has no layer {layer!r}. Close names: {close}. Top-level layers: {top[:30]}")


@dataclass
class Features:
    """What a watched layer put out in its last call.

    value : the layer's output; channel-first (B, C, *positions).
    probe : zeros (B, C) that were added to every position: d score / d probe is the gradient summed over positions.
    output : the tensor that the rest of the network went on with.
    origin : the autograd node of `output` as it left the layer (an in-place activation after it gives `output` a
        new one).
    """

    value: Tensor | None = None
    probe: Tensor | None = None
    output: Tensor | None = None
    origin: torch.autograd.graph.Node | None = None


def token_grid(tokens: int, image_size: tuple[int, int]) -> tuple[int, int, int]:
    """(prefix, h, w) of a transformer's tokens: prefix (class, register) tokens first, then an h x w grid.

    The grid has the image's aspect ratio, with the fewest prefix tokens that allow it.
    """
    height, width = image_size
    for prefix in range(0, 17):
        patches = tokens - prefix
        h = math.isqrt(max(patches, 0) * height // width)
        for rows in (h, h + 1):
            if rows > 0 and patches > 0 and patches % rows == 0 and rows * width == patches // rows * height:
                return prefix, rows, patches // rows
    raise ValueError(
        f"{tokens} tokens do not form a grid of a {height} x {width} image with up to 16 class or register tokens"
    )


@contextmanager
def watch(
    module: nn.Module, image_size: tuple[int, int] | None, *, layout: str = "auto", attach: bool = False
) -> Iterator[Features]:
    """Watch `module`: keep the output of its last call, and open a gradient path from there to the score.

    Without `attach` the trunk below the layer runs without a graph (call the model under `torch.no_grad()`; the
    graph starts at the layer's output). With `attach` the layer's output keeps its history, so that a loss on the
    map reaches the weights. A probe of zeros is added to the output, which changes no number, survives in-place
    activations after the layer and makes the gradient arrive already summed over positions.
    """
    features = Features()

    def hook(_module: nn.Module, _args: tuple, output: object) -> object:
        tensor = output[0] if isinstance(output, tuple | list) and len(output) else output
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            raise ValueError(f"layer {type(module).__name__} puts out {type(tensor).__name__}, not feature maps")
        if not attach:
            tensor = tensor.detach()
            torch.set_grad_enabled(True)  # the caller's no_grad block restores the mode
        features.value, features.probe, features.output = _add_probe(tensor, image_size, layout, module)
        features.origin = features.output.grad_fn
        if isinstance(output, tuple):
            return (features.output, *output[1:])
        return [features.output, *output[1:]] if isinstance(output, list) else features.output

    handle = module.register_forward_hook(hook)
    try:
        yield features
    finally:
        handle.remove()


def _add_probe(
    tensor: Tensor, image_size: tuple[int, int] | None, layout: str, module: nn.Module
) -> tuple[Tensor, Tensor, Tensor]:
    if layout == "auto":
        layout = "tokens" if tensor.ndim == 3 and image_size is not None else "channels_first"
    batch = tensor.shape[0] if tensor.ndim else 0
    if layout == "channels_first" and tensor.ndim >= 3:
        probe = tensor.new_zeros(tensor.shape[:2], requires_grad=True)
        return tensor, probe, tensor + probe.view(*probe.shape, *[1] * (tensor.ndim - 2))
    if layout == "channels_last" and tensor.ndim >= 3:
        probe = tensor.new_zeros(batch, tensor.shape[-1], requires_grad=True)
        output = tensor + probe.view(batch, *[1] * (tensor.ndim - 2), -1)
        return tensor.movedim(-1, 1), probe, output
    if layout == "tokens" and tensor.ndim == 3:
        prefix, h, w = token_grid(tensor.shape[1], image_size)
        probe = tensor.new_zeros(batch, tensor.shape[-1], requires_grad=True)
        spread = torch.cat([probe.new_zeros(batch, prefix, probe.shape[1]), probe[:, None].expand(-1, h * w, -1)], 1)
        grid = tensor[:, prefix:].transpose(1, 2).unflatten(2, (h, w))
        return grid, probe, tensor + spread
    raise ValueError(
        f"layer {type(module).__name__} puts out shape {tuple(tensor.shape)}, which has no positions to draw a map on "
        f"(layout {layout!r}); choose a layer before the pooling and the classifier"
    )


_POOLING = (
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d,
    nn.AdaptiveMaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d,
    nn.Dropout, nn.Dropout2d, nn.Identity,
)  # fmt: skip
_DEFAULT: weakref.WeakKeyDictionary[nn.Module, str] = weakref.WeakKeyDictionary()


def default_layer(model: nn.Module, images: Tensor) -> str:
    """The name of the layer that Grad-CAM is usually drawn at.

    It is the attribute `explain_layer` of the model where it has one; otherwise the last module that puts out
    feature maps and is not a pooling (Grad-CAM, section 3: the last convolutional layer is the best compromise
    between semantics and spatial detail); in a vision transformer the first LayerNorm of the last block. It is found
    with one extra forward pass of one image and remembered for the model.
    """
    named = getattr(model, "explain_layer", None)
    if isinstance(named, str):
        return named
    if model in _DEFAULT:
        return _DEFAULT[model]
    calls: list[tuple[str, nn.Module, Tensor]] = []
    handles = []

    def keep(name: str):
        def hook(module: nn.Module, _args: tuple, output: object) -> None:
            if isinstance(output, Tensor) and output.is_floating_point():
                calls.append((name, module, output))

        return hook

    try:
        for name, module in model.named_modules():
            if name:
                handles.append(module.register_forward_hook(keep(name)))
        with torch.no_grad():
            model(images[:1])
    finally:
        for handle in handles:
            handle.remove()
    pooled = [id(output) for _, module, output in calls if isinstance(module, _POOLING)]
    spatial = [
        name for name, _, out in calls if out.ndim == 4 and out.shape[2] * out.shape[3] > 1 and id(out) not in pooled
    ]
    tokens = [name for name, module, out in calls if out.ndim == 3 and isinstance(module, nn.LayerNorm)]
    if len(tokens) >= 2 and isinstance(model.get_submodule(tokens[-1]), nn.LayerNorm):
        blocks = [name for name in tokens if name.rsplit(".", 1)[0] == tokens[-2].rsplit(".", 1)[0]]
        name = blocks[0]  # the norm before the last attention: later tokens do not reach a class token's score
    elif spatial:
        name = spatial[-1]
    else:
        raise ValueError("no layer of this model puts out feature maps; name one with layer=...")
    _DEFAULT[model] = name
    return name
