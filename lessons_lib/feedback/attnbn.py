"""AttnBN: attention as a bridge between domains. A reconstruction.

Li, Zhang, Li, Li, Fu, "Attention Bridging Network for Knowledge Transfer", ICCV 2019, pp. 5197-5206.

Known, from the abstract: gradient-based attention is the bridge, because objects of one category look alike across
domains; the network's weights are shared; the foreground prior of a simple single-label source set guides the response to
the shared categories in a complex multi-label target set; the transfer is helped by domain-adversarial training.

Reconstructed here: every equation. The foreground loss is GAIN's external supervision, the attended features are a mean
under the map, the adversary is the gradient reversal of Ganin, Lempitsky, "Unsupervised Domain Adaptation by
Backpropagation", arXiv 1409.7495. Layers, weights and the source set are not known, and no program is public.

Shapes: maps (B, h, w) or (B, T, h, w) of `lessons_lib.explain.grad_cam(..., create_graph=True)`; activations (B, K, h, w)
of the same layer; source (B,) bool says which images are of the source domain.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from lessons_lib.feedback.gain import classification_loss, external_supervision_loss


def foreground_loss(maps: Tensor, foregrounds: Tensor, source: Tensor) -> Tensor:
    """(A - H)^2 on source images: the map of an image's one label must be its foreground; within [0, 1]. Reconstructed.

    maps (B, h, w), foregrounds (B, H, W) bool. What stands in `foregrounds` for target images does not count. The mean over
    source images, 0 where there is none. Nothing of the map is detached.

    Raises
    ------
    ValueError : shapes that do not fit.
    """
    _check_source(source, len(maps))
    if maps.ndim != 3 or foregrounds.ndim != 3:
        raise ValueError(
            f"maps must be (B, h, w) and foregrounds (B, H, W), got {tuple(maps.shape)} and {tuple(foregrounds.shape)}"
        )
    return external_supervision_loss(maps, foregrounds, source[:, None, None].expand(foregrounds.shape))


def attended_features(activations: Tensor, maps: Tensor) -> Tensor:
    """The mean of the activations under the map, (B, K), or (B, T, K) for T maps an image. Reconstructed.

    F_k = sum_ij A_ij f_kij / sum_ij A_ij: the features of "this category, here". The scale of the map does not count;
    negative values are cut to 0; a map without any evidence gives the plain mean. Nothing is detached, so that the
    adversary changes features and attention.

    Raises
    ------
    ValueError : shapes that do not fit.
    """
    fits = activations.ndim == 4 and maps.ndim in (3, 4)
    if not fits or (len(maps), *maps.shape[-2:]) != (len(activations), *activations.shape[-2:]):
        raise ValueError(
            f"activations must be (B, K, h, w) and maps (B, h, w) or (B, T, h, w), got {tuple(activations.shape)} and "
            f"{tuple(maps.shape)}"
        )
    weights = maps.clamp(min=0).flatten(-2)
    peak = weights.amax(-1, keepdim=True).detach()  # a constant factor cancels; it keeps tiny maps from underflow
    seen = peak > 0
    weights = torch.where(seen, weights / torch.where(seen, peak, torch.ones_like(peak)), torch.ones_like(weights))
    shares = weights / weights.sum(-1, keepdim=True)
    pooled = torch.einsum("bkp,btp->btk", activations.flatten(2), shares if maps.ndim == 4 else shares[:, None])
    return pooled if maps.ndim == 4 else pooled[:, 0]


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return values.view_as(values)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradient, None


def reverse_gradient(values: Tensor, strength: float = 1.0) -> Tensor:
    """The same values forward, the gradient times -strength backward (Ganin and Lempitsky).

    Behind it a domain classifier learns to tell the domains apart, while what lies before it learns to keep them alike.

    Raises
    ------
    ValueError : a negative strength, with which both would learn to tell them apart.
    """
    if not 0 <= strength < math.inf:
        raise ValueError(f"strength must be a number >= 0, got {strength}")
    return _Reversed.apply(values, float(strength))


def reversal_strength(progress: float, gamma: float = 10.0) -> float:
    """2 / (1 + exp(-gamma p)) - 1 for progress p in [0, 1]: from 0 towards 1, so that an untrained judge does not lead.

    Raises
    ------
    ValueError : progress outside [0, 1].
    """
    if not 0 <= progress <= 1:
        raise ValueError(f"progress must lie in [0, 1], got {progress}")
    return 2 / (1 + math.exp(-gamma * progress)) - 1


def domain_loss(logits: Tensor, source: Tensor, counted: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of "this is of the source domain", both domains weighing one half; >= 0. Reconstructed.

    log 2 for a judge that always says one half, whatever the number of images of each domain.

    Parameters
    ----------
    logits : (B,), or (B, T) for T categories an image.
    source : (B,) bool.
    counted : bool like `logits`: the categories that an image has; default all.

    Raises
    ------
    ValueError : shapes that do not fit; a domain that is missing.
    """
    _check_source(source, len(logits))
    if logits.ndim not in (1, 2) or (counted is not None and counted.shape != logits.shape):
        raise ValueError(
            f"logits must be (B,) or (B, T) and counted the same, got {tuple(logits.shape)} and "
            f"{None if counted is None else tuple(counted.shape)}"
        )
    truth = source.view(-1, *[1] * (logits.ndim - 1)).expand(logits.shape)
    each = F.binary_cross_entropy_with_logits(logits, truth.to(logits.dtype), reduction="none")
    counted = torch.ones_like(truth) if counted is None else counted
    halves = [truth & counted, ~truth & counted]
    if not all(bool(half.any()) for half in halves):
        raise ValueError("a batch needs images of both domains: one of them has none that counts")
    return sum((each * half).sum() / half.sum() for half in halves) / 2


def bridge_loss(
    features: Tensor,
    source: Tensor,
    judge: Callable[[Tensor], Tensor],
    *,
    strength: float = 1.0,
    counted: Tensor | None = None,
) -> Tensor:
    """`domain_loss` of a judge that sees attended features behind `reverse_gradient`: same category, which domain?

    One backward pass serves both players: the judge's weights get the gradient of its loss, the network the opposite
    one, times `strength`. The network's gain therefore is this loss's rise. Reconstructed.

    Parameters
    ----------
    features : (B, K) or (B, T, K), from `attended_features`.
    judge : a network from (..., K) to logits (...) or (..., 1).
    source, counted : as in `domain_loss`.

    Raises
    ------
    ValueError : as `domain_loss` and `reverse_gradient`.
    """
    logits = judge(reverse_gradient(features, strength))
    if logits.shape == (*features.shape[:-1], 1):
        logits = logits[..., 0]
    if logits.shape != features.shape[:-1]:
        raise ValueError(
            f"the judge must give one logit for each of {tuple(features.shape)}, got {tuple(logits.shape)}"
        )
    return domain_loss(logits, source, counted)


def attnbn_loss(
    source_logits: Tensor,
    source_labels: Tensor,
    target_logits: Tensor,
    target_labels: Tensor,
    foreground: Tensor,
    bridge: Tensor,
    *,
    foreground_weight: float = 1.0,
    bridge_weight: float = 1.0,
) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy (source, one label) + soft margin (target, several) + weighted foreground and bridge. Reconstructed.

    source_labels (B,), target_labels (B', T) with -1 for none. The paper's weights are not known. With bridge_weight 0 it
    is GAIN's external supervision on source images, without attention mining.

    Returns
    -------
    (the total, {"source", "target", "foreground", "bridge": its terms before their weights}).

    Raises
    ------
    ValueError : shapes that do not fit.
    """
    terms = {
        "source": (1.0, classification_loss(source_logits, source_labels, scores="softmax")),
        "target": (1.0, classification_loss(target_logits, target_labels)),
        "foreground": (foreground_weight, foreground),
        "bridge": (bridge_weight, bridge),
    }
    total = sum(weight * term for weight, term in terms.values() if weight)
    return total, {name: float(term.detach()) for name, (_, term) in terms.items()}


def _check_source(source: Tensor, batch: int) -> None:
    if source.dtype != torch.bool or source.shape != (batch,):
        raise ValueError(f"source must be bool ({batch},), one an image, got {source.dtype} {tuple(source.shape)}")
