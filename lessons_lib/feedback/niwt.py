"""NIWT: a classifier for a class that was never seen, from the importance that its neurons should have.

Selvaraju, Chattopadhyay, Elhoseiny, Sharma, Batra, Parikh, Lee, "Choose Your Neuron: Incorporating Domain Knowledge
through Neuron-Importance", ECCV 2018, arXiv 1808.02861. The authors' program is ramprs/neuron-importance-zsl.

Shapes: activations (B, K, H, W) of K neurons at a layer; importances (..., K); rows (C, D) of a linear classifier on D
features; a jacobian (B, D, K) of the features with respect to the neurons, summed over positions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def neuron_importance(scores: Tensor, activations: Tensor, *, create_graph: bool = False) -> Tensor:
    """Importance (B, K) of every neuron for each image's score (B,): sum_ij d score / d A^k_ij, of either sign.

    The sum of Grad-CAM's gradients; the mean has another scale only, and a cosine does not see scales. The score is a
    logit before the softmax, whose gradient would vanish for a class of which the network is sure.

    create_graph : keep the graph, so that a loss on the importances reaches the weights (a gradient of a gradient).

    Raises
    ------
    ValueError : shapes that do not fit; scores that do not depend on the activations.
    """
    if activations.ndim != 4 or scores.shape != activations.shape[:1]:
        raise ValueError(
            f"activations must be (B, K, H, W) and scores (B,), got {tuple(activations.shape)} and {tuple(scores.shape)}"
        )
    return _summed_gradient(scores.sum(), activations, create_graph)


def importance_jacobian(features: Tensor, activations: Tensor) -> Tensor:
    """(B, D, K): sum_ij d f_d / d A^k_ij, detached. With a linear classifier on f the importances of class c are w_c J.

    One backward pass a feature serves every class there is or will be: importances are linear in the classifier's row.

    Raises
    ------
    ValueError : shapes that do not fit; features that do not depend on the activations.
    """
    if activations.ndim != 4 or features.ndim != 2 or len(features) != len(activations):
        raise ValueError(
            f"activations must be (B, K, H, W) and features (B, D), got {tuple(activations.shape)} and "
            f"{tuple(features.shape)}"
        )
    last = features.shape[1] - 1
    every = [_summed_gradient(f.sum(), activations, keep=d < last) for d, f in enumerate(features.unbind(1))]
    return torch.stack(every, 1).detach()


def importances_of_rows(rows: Tensor, jacobian: Tensor) -> Tensor:
    """(B, C, K): the importances of C classifier rows (C, D) on B images with the jacobian (B, D, K).

    Raises
    ------
    ValueError : shapes that do not fit.
    """
    if rows.ndim != 2 or jacobian.ndim != 3 or rows.shape[1] != jacobian.shape[1]:
        raise ValueError(
            f"rows must be (C, D) and the jacobian (B, D, K), got {tuple(rows.shape)} and {tuple(jacobian.shape)}"
        )
    return rows @ jacobian


def importance_loss(wanted: Tensor, importances: Tensor) -> Tensor:
    """The mean of 1 - cos(wanted, importances) over all vectors, in [0, 2]; 0 where they differ by a positive factor only.

    It teaches the map from descriptions to importances (`wanted` moves, `importances` are the network's, detached by
    whoever took them) and the new rows (`importances` move, `wanted` is what the map says, detached). Shapes (..., K)
    broadcast against each other. A vector of zeros has the cosine 0.

    Raises
    ------
    ValueError : shapes that do not fit.
    """
    if not wanted.ndim or not importances.ndim or wanted.shape[-1] != importances.shape[-1]:
        raise ValueError(
            f"both need the same number of neurons on their last axis, got {tuple(wanted.shape)} and "
            f"{tuple(importances.shape)}"
        )
    try:
        torch.broadcast_shapes(wanted.shape, importances.shape)
    except RuntimeError:
        raise ValueError(f"shapes {tuple(wanted.shape)} and {tuple(importances.shape)} do not broadcast") from None
    return (1 - F.cosine_similarity(wanted, importances, dim=-1)).mean()


def transfer_loss(wanted: Tensor, importances: Tensor, rows: Tensor, mean_row: Tensor, weight: float) -> Tensor:
    """What new rows minimise: `importance_loss` + weight * mean_c 1/2 |w_c - mean_row|^2; >= 0.

    The cosine leaves a row's length free, yet rows of old and new classes compete by their logits; the pull to the
    mean of the seen rows settles it. wanted (C, K) and mean_row (D,) are given; only the rows (C, D) move, directly
    and through the importances (B, C, K).

    Raises
    ------
    ValueError : shapes that do not fit, or a weight below 0.
    """
    if weight < 0:
        raise ValueError(f"weight must be at least 0, got {weight}")
    if rows.ndim != 2 or mean_row.shape != rows.shape[1:]:
        raise ValueError(f"rows must be (C, D) and mean_row (D,), got {tuple(rows.shape)} and {tuple(mean_row.shape)}")
    if wanted.shape[:-1] != (len(rows),) or importances.ndim != 3 or importances.shape[1] != len(rows):
        raise ValueError(
            f"for {len(rows)} rows wanted must be ({len(rows)}, K) and importances (B, {len(rows)}, K), got "
            f"{tuple(wanted.shape)} and {tuple(importances.shape)}"
        )
    pull = 0.5 * (rows - mean_row).square().sum(1).mean()
    return importance_loss(wanted, importances) + weight * pull


def seen_centred_rows(seen: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """(count, D) rows to begin with: Gaussian in each dimension, with mean and standard deviation of the seen rows (S, D).

    Raises
    ------
    ValueError : fewer than two seen rows, or no row wanted.
    """
    if seen.ndim != 2 or len(seen) < 2 or count < 1:
        raise ValueError(f"seen must be (S, D) with S > 1 and count at least 1, got {tuple(seen.shape)} and {count}")
    noise = torch.randn(count, seen.shape[1], generator=generator, dtype=seen.dtype).to(seen.device)
    return seen.mean(0) + noise * seen.std(0)


def closed_form_rows(wanted: Tensor, mean_row: Tensor, weight: float, *, steps: int = 200) -> Tensor:
    """The rows (C, D) that minimise `transfer_loss` when the layer is pooled and goes straight into the classifier.

    Then d o_c / d A^k_ij = w_ck / Z at each of Z positions: importances are the row itself, whatever the image, and
    no step is needed. For w = r u with |u| = 1 the objective is 1 - a.u + weight / 2 |r u - m|^2, where a is the wanted
    direction and m = mean_row. Given r, the best u points along a + weight r m; given u, the best r is m.u. The two are
    alternated; without a pull the direction is a and the length m.a.

    Raises
    ------
    ValueError : shapes that do not fit; a wanted direction that points away from mean_row, for which the best length
        is 0 and there is no direction: choose a length yourself, such as that of the seen rows.
    """
    if wanted.ndim != 2 or mean_row.shape != wanted.shape[1:] or weight < 0:
        raise ValueError(
            f"wanted must be (C, D), mean_row (D,) and weight >= 0, got {tuple(wanted.shape)}, "
            f"{tuple(mean_row.shape)} and {weight}"
        )
    aim = F.normalize(wanted, dim=1)
    length = aim @ mean_row
    if (length <= 0).any():
        away = torch.nonzero(length <= 0)[:, 0].tolist()
        raise ValueError(f"rows {away}: the wanted direction points away from mean_row, so the best length is 0")
    for _ in range(steps):
        direction = F.normalize(aim + weight * length[:, None] * mean_row, dim=1)
        length = direction @ mean_row
    return length[:, None] * direction


def _summed_gradient(score: Tensor, activations: Tensor, create_graph: bool = False, keep: bool = False) -> Tensor:
    try:
        (gradient,) = torch.autograd.grad(
            score, activations, create_graph=create_graph, retain_graph=create_graph or keep, allow_unused=True
        )
    except RuntimeError as error:
        raise ValueError(f"no gradient leads from the scores to the activations ({error})") from error
    if gradient is None:
        raise ValueError("the scores do not depend on the activations: take them from the same forward pass")
    return gradient.sum((2, 3))
