"""Where in the picture does each word look? Word-level Grad-CAM on the cross-attention of vision-language transformers.

The same call serves the course's own model, BLIP and any other model whose cross-attention is a softmax over
(batch, heads, text tokens, image tokens) or `F.scaled_dot_product_attention`.

References
----------
Li et al., "Align before Fuse: Vision and Language Representation Learning with Momentum Distillation", arXiv 2107.07651
(the map: cross-attention times its positive gradient).
Abnar, Zuidema, "Quantifying Attention Flow in Transformers", arXiv 2005.00928 (rollout).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lessons_lib.explain.guided import check_not_compiled
from lessons_lib.explain.inputs import check_differentiable, check_images, check_mode
from lessons_lib.explain.layers import find_layer, token_grid
from lessons_lib.explain.maps import upsample

MAPS = ("product", "attention", "gradient")
Inputs = Sequence[Tensor] | Mapping[str, object]
Score = Callable[[object], Tensor]


def word_maps(
    model: nn.Module,
    inputs: Inputs,
    layer: str | nn.Module | None = None,
    *,
    target: Score | None = None,
    kind: str = "product",
    mask: Tensor | None = None,
    grid: tuple[int, int] | None = None,
    size: tuple[int, int] | str | None = None,
    return_output: bool = False,
) -> Tensor | tuple[Tensor, object]:
    """One map for every token of the text: mean over heads of A * ReLU(d s / d A), A a cross-attention's probabilities.

    s is the logit of "they match", before any softmax and not a cross-entropy: once the model is sure, the gradient of
    the cross-entropy vanishes and with it the map. The columns of the image's class token are left out. Row i belongs
    to token i, so row 0 is [CLS] and word j of a text that begins with [CLS] is row j + 1; no row is a mean.

    In the last fusion layer only the row of the token that the score is read from has a gradient: choose a layer below.

    Parameters
    ----------
    model : in eval mode. It is called once and not changed.
    inputs : what the model takes, in order, or by name: (images, tokens), or what a Hugging Face processor returns.
    layer : the cross-attention, a module or its name such as "fusion.1.cross" or
        "text_encoder.encoder.layer.6.crossattention"; default: the model's attribute `explain_cross`.
    target : from the model's output to scores (B,); default: `matching_logit`.
    kind : "product"; "attention", A alone, the same for every score; "gradient", ReLU(d s / d A) alone.
    mask : (B, L), true for tokens that are part of the text; the maps of the others are set to 0. Default: the input
        "attention_mask" where the inputs have names and one is among them.
    grid : (h, w) of the image's tokens; default: the grid with the aspect ratio of the only image among the inputs.
    size : None for the tokens' own grid, (H, W), or "images"; bilinear, align_corners=False.
    return_output : also return the model's output of the same forward pass.

    Returns
    -------
    maps (B, L, h, w), or (B, L, H, W) with `size`, >= 0, not normalised; with `return_output` also the output.

    Raises
    ------
    ValueError, TypeError : naming what was wrong: an unknown layer or kind; a layer that did not run, runs several
        attentions or attends within one sequence; a score without a gradient; tokens that form no grid; training mode.
    """
    if kind not in MAPS:
        raise ValueError(f"kind must be one of {', '.join(MAPS)}, got {kind!r}")
    probabilities, gradients, output = cross_attention(
        model, inputs, layer, target=target, gradient=kind != "attention"
    )
    weights = probabilities if kind == "attention" else gradients.clamp(min=0)
    if kind == "product":
        weights = weights * probabilities
    maps = _folded(weights.mean(1), inputs, grid, size, _mask(mask, inputs))
    return (maps, output) if return_output else maps


def cross_attention(
    model: nn.Module,
    inputs: Inputs,
    layer: str | nn.Module | None = None,
    *,
    target: Score | None = None,
    gradient: bool = True,
) -> tuple[Tensor, Tensor | None, object]:
    """The probabilities A of one cross-attention, d s / d A, and the model's output. Arguments as in `word_maps`.

    The model below the layer runs without a graph: what A comes from does not matter for the gradient with respect to A.

    Returns
    -------
    A (B, heads, L, N), rows sum to 1; its gradient (B, heads, L, N), None without `gradient`; the output.
    """
    check_mode(model)
    check_not_compiled(model)
    name = getattr(model, "explain_cross", None) if layer is None else layer
    if name is None:
        raise ValueError(f"name the cross-attention with layer=...; modules that look like one: {_candidates(model)}")
    with torch.inference_mode(False), torch.no_grad():
        with watch_attention(find_layer(model, name), attach=gradient) as seen:
            output = _call(model, inputs)
        kept = seen.single(name)
        if not gradient:
            return kept, None, output
        with torch.enable_grad():
            scores = matching_logit(output) if target is None else target(output)
            if not isinstance(scores, Tensor) or scores.ndim != 1 or len(scores) != len(kept):
                got = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
                raise ValueError(f"the target must give one score a pair, ({len(kept)},), it gave {got}")
            check_differentiable(scores)
            (grads,) = torch.autograd.grad(scores.sum(), kept, allow_unused=True)
    if grads is None:
        raise ValueError(f"the score does not depend on the attention of {name!r}")
    return kept.detach(), grads, output


def matching_logit(output: object) -> Tensor:
    """The logit (B,) of "picture and text match": column 1 of the matching head's two logits.

    output : a tensor (B, 2), or an object with `match` (the course's model) or `itm_score` (Hugging Face's BLIP).
    """
    logits = output if isinstance(output, Tensor) else getattr(output, "match", getattr(output, "itm_score", None))
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[1] != 2:
        raise ValueError(
            "the output has no matching head with two logits: give target=, from the output to scores (B,)"
        )
    return logits[:, 1]


def sentence_map(maps: Tensor, mask: Tensor | None = None) -> Tensor:
    """The mean over a text's tokens of maps (B, L, h, w): (B, h, w). mask (B, L): the tokens that count; default all."""
    if maps.ndim != 4 or (mask is not None and mask.shape != maps.shape[:2]):
        got = None if mask is None else tuple(mask.shape)
        raise ValueError(f"maps (B, L, h, w) and a mask (B, L) are needed, got {tuple(maps.shape)} and {got}")
    if mask is None:
        return maps.mean(1)
    mask = mask.to(maps.dtype)
    return torch.einsum("blhw,bl->bhw", maps, mask) / mask.sum(1).clamp(min=1)[:, None, None]


def cross_rollout(
    model: nn.Module,
    inputs: Inputs,
    *,
    mask: Tensor | None = None,
    grid: tuple[int, int] | None = None,
    size: tuple[int, int] | str | None = None,
) -> Tensor:
    """Attention rollout across both modalities: what each word takes from each image token through all layers.

    Text and image are one graph. Every attention, its heads averaged, is mixed half and half with the identity that
    stands for the residual connection: self-attention within the image and within the text, and cross-attention, by
    which a word's state becomes half its own and half that of the image tokens it attends to. The layers are multiplied
    in the order in which they ran. A word's row over text tokens and image tokens sums to 1; its part over the image
    is the map. It uses attention alone, so it is the same for every score.

    Arguments and returned maps as in `word_maps`.

    Raises
    ------
    ValueError : no cross-attention ran, text and image have equally many tokens (the layers cannot be told apart), or
        two texts or images of different lengths ran.
    """
    check_mode(model)
    check_not_compiled(model)
    with torch.inference_mode(False), torch.no_grad(), watch_attention(model, attach=False) as seen:
        _call(model, inputs)
    rows = roll_out([layer.mean(1) for layer in seen.probabilities])
    return _folded(rows, inputs, grid, size, _mask(mask, inputs))


def roll_out(layers: Sequence[Tensor]) -> Tensor:
    """`cross_rollout` of attention matrices in the order in which they ran: (B, L, N).

    layers : (B, L, L) over the text, (B, N, N) over the image, (B, L, N) from text to image, rows summing to 1.
    """
    shapes = {tuple(layer.shape[1:]) for layer in layers}
    cross = [shape for shape in shapes if shape[0] != shape[1]]
    if len(cross) != 1 or not shapes <= {cross[0], (cross[0][0],) * 2, (cross[0][1],) * 2}:
        raise ValueError(
            "rollout needs one text of L and one image of N tokens, L and N different, and attention of L x L, N x N and "
            f"L x N between them; the attentions that ran are {sorted(shapes)}"
        )
    (length, tokens) = cross[0]
    like = layers[0]
    image = torch.eye(tokens, dtype=like.dtype, device=like.device).expand(len(like), -1, -1)
    text = torch.eye(length, dtype=like.dtype, device=like.device).expand(len(like), -1, -1)
    seen = like.new_zeros(len(like), length, tokens)  # a word's row is [text | seen]: it sums to 1 at every step
    for layer in layers:
        if layer.shape[1:] == (tokens, tokens):
            image = 0.5 * image + 0.5 * layer @ image
        elif layer.shape[1:] == (length, length):
            text, seen = 0.5 * text + 0.5 * layer @ text, 0.5 * seen + 0.5 * layer @ seen
        else:
            text, seen = 0.5 * text, 0.5 * seen + 0.5 * layer @ image
    return seen


@dataclass
class Attended:
    """The attention probabilities (B, heads, L, N) that a watched module computed, in order."""

    probabilities: list[Tensor] = field(default_factory=list)

    def single(self, name: str | nn.Module) -> Tensor:
        """The only one, from one sequence to another; raises when there is none, or more than one."""
        name = name if isinstance(name, str) else type(name).__name__
        if not self.probabilities:
            raise ValueError(
                f"no attention ran in {name!r} in this forward pass: is it a cross-attention, and was it used?"
            )
        if len(self.probabilities) > 1:
            raise ValueError(f"{len(self.probabilities)} attentions ran in {name!r}: name a module that holds one")
        return self.probabilities[0]


@contextmanager
def watch_attention(module: nn.Module, *, attach: bool = True) -> Iterator[Attended]:
    """Keep the probabilities of every attention that runs inside `module` while the block lasts.

    Whatever computes them is served: a softmax over (B, heads, L, N), `F.scaled_dot_product_attention` (which keeps its
    probabilities to itself: here it is computed as written) and `nn.MultiheadAttention`. What the model computes stays
    the same up to rounding. All hooks are removed at the end, also when the model raises.

    attach : make each of them the start of a graph, so that scores computed from it have a gradient with respect to it;
        call the model under `torch.no_grad()`, and what runs before it builds no graph.
    """
    watch = _Watch(attach)
    handles = [
        module.register_forward_pre_hook(lambda *_: watch.enter()),
        module.register_forward_hook(lambda *_: watch.leave()),
    ]
    try:
        with watch:
            yield watch.seen
    finally:
        for handle in handles:
            handle.remove()


_SOFTMAX = (F.softmax, torch.softmax, Tensor.softmax)


class _Watch(TorchFunctionMode):
    def __init__(self, attach: bool) -> None:
        super().__init__()
        self.attach, self.depth, self.seen = attach, 0, Attended()

    def enter(self) -> None:
        self.depth += 1

    def leave(self) -> None:
        self.depth -= 1

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if not self.depth:
            return func(*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            return self._written_out(*args, **kwargs)
        if func is F.multi_head_attention_forward:
            return self._multi_head(*args, **kwargs)
        output = func(*args, **kwargs)
        if func in _SOFTMAX and output.ndim == 4 and kwargs.get("dim", args[1] if len(args) > 1 else None) in (-1, 3):
            return self._keep(output)
        return output

    def _multi_head(self, *args, **kwargs):
        """`F.multi_head_attention_forward`, whose inner calls no mode can see: they are exchanged while it runs."""
        heads = args[4] if len(args) > 4 else kwargs["num_heads"]
        softmax, fused = F.softmax, F.scaled_dot_product_attention

        def kept(scores: Tensor, *more, **options) -> Tensor:  # (B heads, L, N)
            return self._keep(softmax(scores, *more, **options).unflatten(0, (-1, heads))).flatten(0, 1)

        F.softmax, F.scaled_dot_product_attention = kept, self._written_out
        try:
            return F.multi_head_attention_forward(*args, **kwargs)
        finally:
            F.softmax, F.scaled_dot_product_attention = softmax, fused

    def _keep(self, probabilities: Tensor) -> Tensor:
        if self.attach:
            probabilities = probabilities.detach().requires_grad_()
            torch.set_grad_enabled(True)  # the caller's no_grad block restores the mode
        self.seen.probabilities.append(probabilities)
        return probabilities

    def _written_out(
        self, query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False
    ):
        """softmax(scale Q K^T + mask) V with the probabilities in the graph."""
        if enable_gqa:
            repeats = query.shape[-3] // key.shape[-3]
            key, value = key.repeat_interleave(repeats, -3), value.repeat_interleave(repeats, -3)
        scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
        if is_causal:
            scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -math.inf)
        if attn_mask is not None:
            allowed = attn_mask.dtype == torch.bool
            scores = scores.masked_fill(~attn_mask, -math.inf) if allowed else scores + attn_mask
        return self._keep(torch.softmax(scores.float(), -1).to(value.dtype)) @ value


def _call(model: nn.Module, inputs: Inputs) -> object:
    if isinstance(inputs, Mapping):  # a processor's BatchEncoding is one, too
        return model(**inputs)
    if isinstance(inputs, Tensor) or not isinstance(inputs, Sequence):
        raise TypeError(
            f"inputs must be a tuple such as (images, tokens), or a mapping by name, not {type(inputs).__name__}"
        )
    return model(*inputs)


def _image_size(inputs: Inputs) -> tuple[int, int] | None:
    values = inputs.values() if isinstance(inputs, Mapping) else inputs
    images = [value for value in values if isinstance(value, Tensor) and value.ndim == 4 and value.is_floating_point()]
    if len(images) != 1:
        return None
    check_images(images[0])
    return tuple(images[0].shape[-2:])


def _mask(mask: Tensor | None, inputs: Inputs) -> Tensor | None:
    return inputs.get("attention_mask") if mask is None and isinstance(inputs, Mapping) else mask


def _folded(
    rows: Tensor, inputs: Inputs, grid: tuple[int, int] | None, size: tuple[int, int] | str | None, mask: Tensor | None
) -> Tensor:
    """Rows (B, L, N) over image tokens as maps (B, L, h, w) or (B, L, H, W), at least in float32."""
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    image_size = _image_size(inputs)
    if grid is None:
        if image_size is None:
            raise ValueError("the inputs hold no image (B, C, H, W), or several: give the grid of the image's tokens")
        prefix, *grid = token_grid(rows.shape[-1], image_size)
    else:
        prefix = rows.shape[-1] - grid[0] * grid[1]
        if prefix < 0:
            raise ValueError(
                f"a grid of {grid[0]} x {grid[1]} has more places than the image has tokens, {rows.shape[-1]}"
            )
    maps = rows[..., prefix:].unflatten(-1, tuple(grid))
    if mask is not None:
        if mask.shape != maps.shape[:2]:
            raise ValueError(f"mask must be {tuple(maps.shape[:2])}, one entry a token, got {tuple(mask.shape)}")
        maps = maps * (mask != 0).to(maps)[..., None, None]
    if size is None:
        return maps
    if size == "images" and image_size is None:
        raise ValueError("the inputs hold no image (B, C, H, W), or several: give the size as (H, W)")
    return upsample(maps, image_size if size == "images" else size)


def _candidates(model: nn.Module) -> list[str]:
    return [name for name, _ in model.named_modules() if name.rsplit(".", 1)[-1].startswith("cross")][:24]
