"""What a vision transformer attends to: the attention of every layer, and attention rollout.

References
----------
Abnar, Zuidema, "Quantifying Attention Flow in Transformers", arXiv 2005.00928 (attention rollout).
"""

from __future__ import annotations

import inspect
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lessons_lib.explain.guided import check_not_compiled
from lessons_lib.explain.inputs import check_images, check_mode
from lessons_lib.explain.layers import token_grid
from lessons_lib.explain.maps import upsample

_FUSIONS = ("mean", "max", "min")


def attention_rollout(
    model: nn.Module,
    images: Tensor,
    *,
    head_fusion: str = "mean",
    discard_ratio: float = 0.0,
    size: tuple[int, int] | str | None = "images",
) -> Tensor:
    """Attention rollout: what the class token takes from each patch through all layers (Abnar, Zuidema 2020).

    Each layer's attention A, its heads fused, is mixed with the identity that stands for the residual
    connection, 0.5 A + 0.5 I, its rows scaled to sum to 1; the layers are multiplied, later ones from the
    left. It looks at attention alone, not at values, MLPs or the classifier: one map an image, the same for
    every class. That is why it takes no target.

    Parameters
    ----------
    model : a vision transformer; see `vit_attention`.
    images : (B, C, H, W).
    head_fusion : "mean", "max" or "min" over the heads.
    discard_ratio : share, 0 to below 1, of each layer's fused weights that is set to 0 beforehand, the
        smallest ones of each image. Not part of the paper.
    size : "images" for the images' size, (H, W), or None for the grid of patches; bilinear.

    Returns
    -------
    maps (B, H, W), or (B, h, w) patches with size=None: the class token's row, >= 0. Over the patches it
    sums to at most 1; the rest is held by the class and register tokens. Without such tokens: the mean row.

    Raises
    ------
    ValueError, TypeError : as `vit_attention`; an unknown fusion, a ratio outside [0, 1), layers whose
        numbers of tokens differ, tokens that form no grid.
    """
    if head_fusion not in _FUSIONS:
        raise ValueError(f"head_fusion must be one of {', '.join(_FUSIONS)}, not {head_fusion!r}")
    if not 0 <= discard_ratio < 1:
        raise ValueError(f"discard_ratio must be at least 0 and below 1, got {discard_ratio}")
    layers = vit_attention(model, images)
    tokens = sorted({layer.shape[-1] for layer in layers})
    if len(tokens) > 1:
        raise ValueError(f"the number of tokens changes between layers, {tokens}: rollout needs one and the same")
    rolled = rollout([_fuse(layer, head_fusion, discard_ratio) for layer in layers])
    image_size = tuple(images.shape[-2:])
    prefix, h, w = token_grid(tokens[0], image_size)
    row = rolled[:, 0] if prefix else rolled.mean(1)
    maps = row[:, prefix:].unflatten(1, (h, w))
    if size == "images":
        size = image_size
    return maps if size is None else upsample(maps, size)


def rollout(layers: list[Tensor]) -> Tensor:
    """The product of all layers' 0.5 A + 0.5 I, rows scaled to sum to 1: (B, N, N), (B, N, N) a layer."""
    identity = torch.eye(layers[0].shape[-1], dtype=layers[0].dtype, device=layers[0].device)
    rolled = identity.expand_as(layers[0])
    for attention in layers:
        mixed = 0.5 * attention + 0.5 * identity
        rolled = (mixed / mixed.sum(-1, keepdim=True)) @ rolled
    return rolled


def vit_attention(model: nn.Module, images: Tensor) -> list[Tensor]:
    """The attention weights of every self-attention layer, in the order in which they ran.

    Served are `nn.MultiheadAttention` (torchvision's VisionTransformer, `nn.TransformerEncoder`), models
    that call `F.scaled_dot_product_attention`, and models that write attention out as a softmax over (B,
    heads, N, N). The model is not changed; its forward pass runs once, without a graph. Attention between
    sequences of different length is left out.

    Parameters
    ----------
    model : in eval mode.
    images : (B, C, H, W).

    Returns
    -------
    a list of (B, heads, N, N), N tokens, at least float32; row i holds what token i takes from each token,
    >= 0, sum 1.

    Raises
    ------
    ValueError : no self-attention ran; attention within windows of the image; dropout that is active;
        TorchScript or compiled models; and what `check_images` and `check_mode` raise.
    """
    check_images(images)
    check_mode(model)
    check_not_compiled(model)
    with torch.inference_mode(False), torch.no_grad():
        watch = _WatchAttention()
        inputs = images.clone()
        with watch:
            model(inputs)
    if not watch.layers:
        raise ValueError(
            "no self-attention ran in this model: attention rollout explains transformers only. For other "
            "networks use grad_cam"
        )
    for layer in watch.layers:
        if layer.ndim != 4 or len(layer) != len(images):
            raise ValueError(
                f"attention of shape {tuple(layer.shape)} for {len(images)} images: it stays within windows "
                "or mixes images; attention between all tokens of one image is needed"
            )
    return watch.layers


def _fuse(attention: Tensor, head_fusion: str, discard_ratio: float) -> Tensor:
    """(B, heads, N, N) -> (B, N, N), the smallest weights set to 0."""
    fused = attention.mean(1) if head_fusion == "mean" else getattr(attention, f"a{head_fusion}")(1)
    flat = fused.flatten(1)
    smallest = flat.topk(int(flat.shape[1] * discard_ratio), largest=False).indices
    return flat.scatter(1, smallest, 0.0).view_as(fused)


class _WatchAttention(TorchFunctionMode):
    """Keeps the weights of every self-attention that runs; what the model computes stays the same."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: list[Tensor] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is F.multi_head_attention_forward:
            return self._multi_head(func, args, kwargs)
        if func is F.scaled_dot_product_attention:
            self._keep(_weights(*args, **kwargs))
            return func(*args, **kwargs)
        output = func(*args, **kwargs)
        if func in _SOFTMAX and isinstance(output, Tensor) and output.ndim == 4 and _axis(args, kwargs) in (-1, 3):
            self._keep(output)
        return output

    def _keep(self, weights: Tensor | None) -> None:
        if weights is not None and weights.shape[-1] == weights.shape[-2]:
            self.layers.append(weights.to(torch.promote_types(weights.dtype, torch.float32)))

    def _multi_head(self, func, args: tuple, kwargs: dict):
        call = _MULTI_HEAD.bind(*args, **kwargs)
        call.apply_defaults()
        given = call.arguments
        if given["training"] and given["dropout_p"] > 0:
            raise ValueError("the attention's dropout is active: call model.eval() first")
        wanted, averaged = given["need_weights"], given["average_attn_weights"]
        given["need_weights"], given["average_attn_weights"] = True, False
        output, weights = func(*call.args, **call.kwargs)
        self._keep(weights)
        if not wanted:
            return output, None
        return output, weights.mean(-3) if averaged else weights


_MULTI_HEAD = inspect.signature(F.multi_head_attention_forward)
_SOFTMAX = (F.softmax, torch.softmax, Tensor.softmax)


def _axis(args: tuple, kwargs: dict) -> int | None:
    return kwargs.get("dim", args[1] if len(args) > 1 else None)


def _weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor | None:
    """softmax(scale Q K^T + mask), the weights that `F.scaled_dot_product_attention` applies and does not
    return."""
    if query.shape[-2] != key.shape[-2]:
        return None
    if query.ndim == 3:
        query, key = query[:, None], key[:, None]
        attn_mask = attn_mask[:, None] if attn_mask is not None and attn_mask.ndim == 3 else attn_mask
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
    dtype = torch.promote_types(query.dtype, torch.float32)
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = factor * query.to(dtype) @ key.to(dtype).transpose(-2, -1)
    if is_causal:
        scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -math.inf)
    if attn_mask is not None:
        allowed = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, -math.inf) if allowed else scores + attn_mask
    return scores.softmax(-1)
