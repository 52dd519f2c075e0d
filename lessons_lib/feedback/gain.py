"""GAIN: the network's own attention map becomes a part of its training.

Li, Wu, Peng, Ernst, Fu, "Tell Me Where to Look: Guided Attention Inference Network", CVPR 2018, arXiv 1802.10171. No
program of the authors is known. Their text leaves open sigma and omega of the soft mask, whether the map is scaled
before it, and whether a score is a logit or a probability; what is taken here is said at each function.

One step: maps and logits of `lessons_lib.explain.grad_cam(model, images, labels, create_graph=True, return_output=True)`,
then `soft_mask`, `erase`, the erased pictures through the same network under `frozen_batchnorm`, and `gain_loss`.

Shapes: maps (B, h, w), or (B, T, h, w) for T labels an image; labels (B,) or (B, T) int64, -1 where an image has fewer;
images (B, C, H, W); logits (B, K) of K classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lessons_lib.explain.maps import upsample

SCORES = ("sigmoid", "softmax", "logit")
FLAT = 1e-12  # a map whose values differ by less has no shape that could be scaled


def attention_maps(scores: Tensor, activations: Tensor, *, order: int = 2) -> Tensor:
    """Grad-CAM maps A = ReLU(sum_k alpha_k f_k), alpha_k the mean over positions of d score / d f_k, shape (B, h, w), >= 0.

    scores (B,) are logits of the true class, activations (B, K, h, w) the layer they were computed from. `order` says
    which paths a loss on the map has to the weights; `grad_cam(..., create_graph=True)` is order 2 for any network.

    2 : through the activations and through alpha, which is a gradient itself: nothing is detached.
    1 : through the activations alone; alpha is a constant, as where a hook reads it after an ordinary backward pass.
    0 : none; a loss on the map trains nothing.

    Raises
    ------
    ValueError : shapes that do not fit, an unknown order, scores that do not depend on the activations.
    """
    if activations.ndim != 4 or scores.shape != activations.shape[:1]:
        raise ValueError(
            f"activations must be (B, K, h, w) and scores (B,), got {tuple(activations.shape)} and {tuple(scores.shape)}"
        )
    if order not in (0, 1, 2):
        raise ValueError(f"order must be 0, 1 or 2, got {order!r}")
    try:
        (gradient,) = torch.autograd.grad(scores.sum(), activations, create_graph=order == 2, retain_graph=True)
    except RuntimeError as error:
        raise ValueError(f"no gradient leads from the scores to the activations ({error})") from error
    maps = torch.einsum("bk,bkhw->bhw", gradient.mean((2, 3)), activations).relu()
    return maps if order else maps.detach()


def unit_range(maps: Tensor) -> Tensor:
    """Maps (..., h, w) with each one's smallest value moved to 0 and its largest to 1. A flat map becomes 0, without NaN.

    Differentiable; nothing is detached, the gradient also flows through the smallest and the largest value.
    """
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    span = high - low
    return (maps - low) / torch.where(span > FLAT, span, torch.ones_like(span))


def soft_mask(maps: Tensor, size: tuple[int, int], *, sigma: float = 0.5, omega: float = 10.0) -> Tensor:
    """T(A) = 1 / (1 + exp(-omega (A - sigma))) at image size (H, W), with A upsampled and scaled to [0, 1].

    The scaling, sigma and omega are those of public re-implementations. T is then within 0.0067 (where the network
    does not look) and 0.9933 (where it looks most), 0.5 at A = sigma; a flat map masks nothing. Nothing is detached.

    Raises
    ------
    ValueError : maps of another shape, omega not above 0.
    """
    if maps.ndim not in (3, 4):
        raise ValueError(f"maps must be (B, h, w) or (B, T, h, w), got {tuple(maps.shape)}")
    if omega <= 0:
        raise ValueError(f"omega must be above 0, got {omega}")
    return torch.sigmoid(omega * (unit_range(upsample(maps, size)) - sigma))


def erase(images: Tensor, masks: Tensor, *, fill: Tensor | float = 0.0) -> Tensor:
    """I* = I - T(A) I: the images without what was attended, (B, C, H, W), or (B, T, C, H, W) for masks (B, T, H, W).

    fill : what is put in its place, a number or something that broadcasts against (C, H, W). The paper's 0 is the mean
        colour where images come with their mean subtracted; give the mean colour where they do not.

    Raises
    ------
    ValueError : shapes that do not fit.
    """
    fits = masks.ndim in (3, 4) and images.ndim == 4
    if not fits or (len(masks), *masks.shape[-2:]) != (len(images), *images.shape[-2:]):
        raise ValueError(
            f"images must be (B, C, H, W) and masks (B, H, W) or (B, T, H, W), got {tuple(images.shape)} and "
            f"{tuple(masks.shape)}"
        )
    images = images[:, None] if masks.ndim == 4 else images
    return images - masks.unsqueeze(-3) * (images - fill)


def mask_area(masks: Tensor) -> Tensor:
    """The share of the picture that each soft mask (..., H, W) hides, in [0, 1]; detached, a figure to watch.

    A mask that hides everything also makes the attention mining loss small, without any better map.
    """
    return masks.detach().mean((-2, -1))


@contextmanager
def frozen_batchnorm(model: nn.Module) -> Iterator[None]:
    """BatchNorm in evaluation mode inside the block: erased pictures neither use nor move the batch statistics."""
    layers = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.training]
    try:
        for layer in layers:
            layer.eval()
        yield
    finally:
        for layer in layers:
            layer.train()


# ---------------------------------------- the losses
def attention_mining_loss(erased_logits: Tensor, labels: Tensor, *, scores: str = "sigmoid") -> Tensor:
    """L_am = 1/n sum_c s^c(I*^c): on the picture without what class c attended, class c must not be seen any more.

    n labels an image, each with its own erased picture: erased_logits (B, K) with labels (B,), or (B, T, K) with labels
    (B, T). The mean over the images that have a label; 0 where none has. s^c is within [0, 1] for "sigmoid" (classes that
    do not exclude each other, as the paper's) and "softmax" (where one class must fall, another must rise); for "logit" it
    has no lower end. Nothing is detached: the gradient reaches the weights through the second pass and through the mask.

    Raises
    ------
    ValueError : shapes that do not fit, an unknown kind of score, a label out of range.
    """
    _check_labels(erased_logits, labels, scores)
    if erased_logits.shape[:-1] != labels.shape:
        raise ValueError(
            f"erased_logits must be (*labels.shape, K), got {tuple(erased_logits.shape)} and {tuple(labels.shape)}"
        )
    kinds = {"sigmoid": torch.sigmoid, "softmax": lambda x: x.softmax(-1), "logit": lambda x: x}
    counted = (labels >= 0).to(erased_logits.dtype).view(len(labels), -1)
    own = kinds[scores](erased_logits).gather(-1, labels.clamp(min=0)[..., None]).view(len(labels), -1)
    each = (own * counted).sum(1) / counted.sum(1).clamp(min=1)
    return each.sum() / counted.any(1).sum().clamp(min=1)


def classification_loss(logits: Tensor, labels: Tensor, *, scores: str = "sigmoid") -> Tensor:
    """L_cl: the multi-label soft margin loss of the paper, or cross-entropy for "softmax" and labels (B,); >= 0.

    Raises
    ------
    ValueError : shapes that do not fit, an unknown kind of score, a label out of range, several labels for "softmax".
    """
    _check_labels(logits, labels, scores)
    if logits.ndim != 2 or len(logits) != len(labels):
        raise ValueError(f"logits must be (B, K) for {len(labels)} rows of labels, got {tuple(logits.shape)}")
    if scores == "softmax":
        if labels.ndim != 1:
            raise ValueError(f"softmax has one label an image, shape (B,), got {tuple(labels.shape)}")
        return F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum") / (labels >= 0).sum().clamp(min=1)
    rows = labels.view(len(labels), -1)
    hot = F.one_hot(rows.clamp(min=0), logits.shape[1]) * (rows >= 0)[..., None]
    return F.multilabel_soft_margin_loss(logits, hot.amax(1).to(logits.dtype))


def external_supervision_loss(maps: Tensor, wanted: Tensor, known: Tensor | None = None) -> Tensor:
    """L_e = 1/n sum_c (A^c - H^c)^2, the mean over known pixels and then over maps that have one; within [0, 1].

    A is upsampled to the size of `wanted` and scaled to [0, 1], because a mask has no unit. 0 where A is a positive
    multiple of H. Nothing of A is detached. A map that is 0 everywhere has no gradient (its ReLU is shut).

    Parameters
    ----------
    maps : (B, h, w) or (B, T, h, w).
    wanted : (B, H, W) or (B, T, H, W), bool or within [0, 1]: a mask, or a filled box as the paper also allows.
    known : bool like `wanted`, the pixels that count; default all. A scribble: what was painted, as evidence or as none.
        A box as a bound: its outside, so that nothing is asked inside. False everywhere: an image nobody annotated.
        A class that is not there has no map that could fit, for a scaled map always reaches 1: leave it out.

    Raises
    ------
    ValueError : shapes that do not fit.
    """
    if maps.ndim not in (3, 4) or wanted.ndim != maps.ndim or wanted.shape[:-2] != maps.shape[:-2]:
        raise ValueError(
            f"maps must be (B, h, w) or (B, T, h, w) and wanted the same at image size, got {tuple(maps.shape)} and "
            f"{tuple(wanted.shape)}"
        )
    if known is not None and known.shape != wanted.shape:
        raise ValueError(f"known must be {tuple(wanted.shape)} like wanted, got {tuple(known.shape)}")
    scaled = unit_range(upsample(maps, tuple(wanted.shape[-2:])))
    counted = torch.ones_like(scaled) if known is None else known.to(scaled.dtype)
    wrong = ((scaled - wanted.to(scaled.dtype)).square() * counted).sum((-2, -1))
    pixels = counted.sum((-2, -1))
    return (wrong / pixels.clamp(min=1)).sum() / (pixels > 0).sum().clamp(min=1)


def gain_loss(
    logits: Tensor,
    erased_logits: Tensor,
    labels: Tensor,
    *,
    external: Tensor | None = None,
    alpha: float = 1.0,
    omega: float = 10.0,
    scores: str = "sigmoid",
) -> tuple[Tensor, dict[str, float]]:
    """L_self = L_cl + alpha L_am, and with external supervision L_ext = L_cl + alpha L_am + omega L_e; the paper's weights.

    This omega is the weight of L_e; the soft mask has another one of the same name.

    Returns
    -------
    (the total, {"classification", "mining", "external": its terms before their weights; the last where it is given}).
    """
    terms = {
        "classification": (1.0, classification_loss(logits, labels, scores=scores)),
        "mining": (alpha, attention_mining_loss(erased_logits, labels, scores=scores)),
    }
    if external is not None:
        terms["external"] = (omega, external)
    total = sum(weight * term for weight, term in terms.values() if weight)
    return total, {name: float(term.detach()) for name, (_, term) in terms.items()}


def _check_labels(logits: Tensor, labels: Tensor, scores: str) -> None:
    if scores not in SCORES:
        raise ValueError(f"scores must be one of {', '.join(SCORES)}, got {scores!r}")
    if labels.ndim not in (1, 2) or labels.dtype != torch.int64:
        raise ValueError(f"labels must be int64 (B,) or (B, T), got {labels.dtype} {tuple(labels.shape)}")
    if logits.ndim < 2 or (labels.numel() and not -1 <= int(labels.min()) <= int(labels.max()) < logits.shape[-1]):
        raise ValueError(
            f"labels must be classes of the logits {tuple(logits.shape)}, or -1 for none; got {labels.tolist()}"
        )
