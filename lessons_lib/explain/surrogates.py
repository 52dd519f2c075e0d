"""LIME and SHAP: a linear model of the score over superpixels that are switched on and off.

References
----------
Ribeiro, Singh and Guestrin, "Why Should I Trust You? Explaining the Predictions of Any Classifier",
arXiv 1602.04938.
Lundberg and Lee, "A Unified Approach to Interpreting Model Predictions", arXiv 1705.07874.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from lessons_lib.explain.inputs import Target, check_images
from lessons_lib.explain.perturbation import Progress, Score, ask, check_count
from lessons_lib.explain.segments import (
    check_segments,
    hide_segments,
    segment_counts,
    segments_to_map,
    superpixels,
)

SetFunction = Callable[[Tensor], Tensor]
FEWEST_SEGMENTS = 5  # a default segmentation with fewer gives way to a grid
MOST_PLAYERS = 16  # exact enumeration: 2^16 = 65,536 values


@dataclass(frozen=True)
class SegmentExplanation:
    """What LIME or KernelSHAP found, beside the map. M: most segments of an image; no axis T for one target.

    segments : (B, H, W) labels.
    values : (B, T, M), float64: LIME's coefficients or the Shapley values; 0 beyond an image's own segments.
    intercept : (B, T): LIME's intercept, or for SHAP the score with every segment off.
    clean : (B, T): the score of the whole image.
    fit : (B, T): weighted R^2 of the linear model on its samples, 1 for a perfect fit.
    coalitions : for each image bool (N, M): which segments were on.
    scores : for each image (N, T), the scores of those.
    """

    segments: Tensor
    values: Tensor
    intercept: Tensor
    clean: Tensor
    fit: Tensor
    coalitions: list[Tensor]
    scores: list[Tensor]


def lime(
    model: nn.Module,
    images: Tensor,
    target: Target = None,
    *,
    segments: Tensor | None = None,
    samples: int = 1000,
    kernel_width: float = 0.25,
    alpha: float = 1.0,
    fill: float | str | Tensor = "segment_mean",
    score: Score = "probability",
    seed: int = 0,
    batch_size: int = 64,
    progress: Progress = None,
    return_details: bool = False,
) -> Tensor | tuple[Tensor, SegmentExplanation]:
    """LIME for images: weighted ridge regression of the score on which superpixels are on (arXiv 1602.04938).

    The settings are those of the official code for images: sample 0 has everything on, in the others each
    superpixel is on with probability 0.5; weight sqrt(exp(-d^2 / kernel_width^2)), d the cosine distance to
    sample 0; ridge regression with an intercept. A map does not depend on the rest of the batch, but it does
    depend on the seed: look at several.

    Parameters
    ----------
    model, images, target, score, batch_size, progress : see `perturbation.ask`.
    segments : own labels (B, H, W) or (H, W); default: quickshift as in the official code, but slic with 50
        for images with a side under 128 pixels, which quickshift leaves in a handful of pieces or in one. An
        image in which that finds fewer than 5 (noise, say) is cut into a grid of about 50 rectangles.
    samples : N, each one forward pass of an image.
    kernel_width : of the weights.  alpha : ridge penalty; 0 for none (smallest solution if several fit).
    fill : what an off superpixel shows: "segment_mean", its own mean colour; "mean", the image's; a number, a
        colour (C,) or a tensor.
    seed : for the samples and for quickshift.
    return_details : also return a `SegmentExplanation`.

    Returns
    -------
    maps (B, H, W) or (B, T, H, W): each pixel its superpixel's coefficient, in units of the score, signed.

    Raises
    ------
    TypeError, ValueError : bad segments, fill or numbers; see also `perturbation.ask`.
    """
    check_images(images)
    check_count("samples", samples, 2)
    if not (kernel_width > 0 and alpha >= 0):
        raise ValueError(f"kernel_width must be positive and alpha at least 0, not {kernel_width!r}, {alpha!r}")
    if segments is None:
        segments = _default_segments(images, "quickshift" if min(images.shape[-2:]) >= 128 else "slic", seed)
    segments = check_segments(segments, images)
    drawn = [lime_samples(int(count), samples, seed, kernel_width) for count in segment_counts(segments)]
    fit = partial(weighted_ridge, alpha=alpha)
    options = {"score": score, "batch_size": batch_size, "progress": progress}
    return _explain(model, images, target, segments, drawn, fill, fit, options, return_details)


def _default_segments(images: Tensor, kind: str, seed: int) -> Tensor:
    count = min(50, images[0, 0].numel())
    segments = superpixels(images, kind=kind, count=count, seed=seed)
    # slic merges a noisy picture into one piece, whose map would be constant: equal rectangles explain more
    few = segment_counts(segments) < min(FEWEST_SEGMENTS, count)
    return torch.where(few[:, None, None], superpixels(images, kind="grid", count=count), segments)


def lime_samples(players: int, samples: int, seed: int, kernel_width: float = 0.25) -> tuple[Tensor, Tensor]:
    """Which superpixels are on, bool (N, M), each with probability 0.5, row 0 all; and weights (N,).

    Weight sqrt(exp(-d^2 / width^2)), d the cosine distance to row 0, and 1 for a row with nothing on.
    """
    on = torch.randint(2, (samples, players), generator=torch.Generator().manual_seed(seed)).bool()
    on[0] = True
    distance = 1 - on.double().mean(1).sqrt()  # the cosine of k ones among M with M ones: k / sqrt(k M)
    return on, (-(distance**2) / kernel_width**2).exp().sqrt()


def weighted_ridge(coalitions: Tensor, weights: Tensor, scores: Tensor, alpha: float = 1.0) -> tuple[Tensor, Tensor]:
    """Weighted ridge regression, free intercept c: minimise sum_n w_n (y_n - c - z_n b)^2 + alpha |b|^2.

    coalitions (N, M), weights (N,), scores (N, T).  Returns coefficients (T, M) and intercepts (T,), float64.
    """
    z, y, w = coalitions.double(), scores.double(), weights.double()[:, None]
    z_mean, y_mean = (w * z).sum(0) / w.sum(), (w * y).sum(0) / w.sum()
    z, y, root = z - z_mean, y - y_mean, w.sqrt()
    if alpha > 0:
        gram = z.t() @ (w * z) + alpha * torch.eye(z.shape[1], dtype=z.dtype)
        solution = torch.linalg.solve(gram, z.t() @ (w * y))
    else:
        solution = torch.linalg.lstsq(root * z, root * y, driver="gelsd").solution
    return solution.t(), y_mean - z_mean @ solution


def kernel_shap(
    model: nn.Module,
    images: Tensor,
    target: Target = None,
    *,
    segments: Tensor | None = None,
    samples: int = 1000,
    fill: float | str | Tensor = 0.5,
    score: Score = "logit",
    seed: int = 0,
    batch_size: int = 64,
    progress: Progress = None,
    return_details: bool = False,
) -> Tensor | tuple[Tensor, SegmentExplanation]:
    """KernelSHAP over superpixels: Shapley values of 'this superpixel is visible' (arXiv 1705.07874).

    They add up to the score of the whole image less that of the covered one, whatever the number of samples.

    Parameters
    ----------
    model, images, target, score, batch_size, progress : see `perturbation.ask`.
    segments : own labels (B, H, W) or (H, W); default: slic with about 50, or a grid as in `lime`.
    samples, seed : as in `kernel_shap_values`: exact where 2^M <= samples, at 1,000 for up to 9 segments.
    fill : what an off superpixel shows: grey 0.5, another number, "mean" (the image's mean colour),
        "segment_mean" (the superpixel's own), a colour (C,) or a tensor. Shapley values depend on it.
    return_details : also return a `SegmentExplanation`.

    Returns
    -------
    maps (B, H, W) or (B, T, H, W): each pixel its superpixel's Shapley value, in units of the score, signed.

    Raises
    ------
    TypeError, ValueError : bad segments, fill or numbers; see also `perturbation.ask`.
    """
    check_images(images)
    segments = _default_segments(images, "slic", seed) if segments is None else segments
    segments = check_segments(segments, images)
    drawn = [shap_coalitions(int(count), samples, seed) for count in segment_counts(segments)]
    options = {"score": score, "batch_size": batch_size, "progress": progress}
    return _explain(model, images, target, segments, drawn, fill, _shap_fit, options, return_details)


def kernel_shap_values(value: SetFunction, players: int, samples: int = 1000, seed: int = 0) -> Tensor:
    """Shapley values of any set function by weighted least squares with the Shapley kernel.

    The sum of the values is held at v(all) - v(none) as a constraint, not by a large weight.

    Parameters
    ----------
    value : bool (N, M) -> (N,) or (N, T), tensor or array; called once, row 0 none, row 1 all players.
    players : M.
    samples : at most so many rows. All 2^M coalitions where they fit, then the values are exact; otherwise
        pairs of a coalition and its complement, sizes drawn with the kernel's probability, repeats as weight.
    seed : for the draws.

    Returns
    -------
    (M,) or (T, M), float64.
    """
    coalitions, weights = shap_coalitions(players, samples, seed)
    scores, several = _set_values(value, coalitions)
    values = _shap_fit(coalitions, weights, scores)[0]
    return values if several else values[0]


def shap_coalitions(players: int, samples: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Coalitions bool (N, M), N <= samples, row 0 none, row 1 all; weights (N,), 0 for these two."""
    check_count("players", players)
    check_count("samples", samples, 4)
    ends = torch.stack([torch.zeros(players), torch.ones(players)]).bool()
    if 2**players <= samples:
        inner = _all_coalitions(players)[1:-1]
        sizes = inner.sum(1).double()
        each = torch.tensor([math.comb(players, k) for k in range(players + 1)], dtype=torch.float64)
        weights = (players - 1) / (each[sizes.long()] * sizes * (players - sizes))
    else:
        generator = torch.Generator().manual_seed(seed)
        sizes = torch.arange(1, players, dtype=torch.float64)
        pairs = (samples - 2) // 2
        chance = 1 / (sizes * (players - sizes))
        size = 1 + torch.multinomial(chance, pairs, replacement=True, generator=generator)
        rank = torch.rand(pairs, players, generator=generator).argsort(1).argsort(1)
        half = rank < size[:, None]
        inner, weights = torch.unique(torch.cat([half, ~half]).byte(), dim=0, return_counts=True)
    return torch.cat([ends, inner.bool()]), torch.cat([torch.zeros(2).double(), weights.double()])


def _all_coalitions(players: int) -> Tensor:
    """All 2^M rows, row n with the bits of n: bool."""
    return ((torch.arange(2**players)[:, None] >> torch.arange(players)) & 1).bool()


def _set_values(value: SetFunction, coalitions: Tensor) -> tuple[Tensor, bool]:
    scores = torch.as_tensor(value(coalitions)).detach().cpu().double()
    if scores.ndim not in (1, 2) or len(scores) != len(coalitions):
        raise ValueError(
            f"the value function must return ({len(coalitions)},) or ({len(coalitions)}, T) for coalitions "
            f"{tuple(coalitions.shape)}, it returned {tuple(scores.shape)}"
        )
    return scores.reshape(len(coalitions), -1), scores.ndim == 2


def _shap_fit(coalitions: Tensor, weights: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Values (T, M): minimise sum_S w (v(S) - v(none) - sum_{i in S} phi_i)^2, sum phi = v(all) - v(none).

    With phi = equal share + rest, the rest sums to 0. The rows of z less their means span that space, so the
    smallest least-squares solution lies in it, also where the samples are too few to determine it.
    """
    z, scores, root = coalitions.double(), scores.double(), weights.sqrt()[:, None]
    share = (scores[1] - scores[0]) / z.shape[1]
    centred = z - z.mean(1, keepdim=True)
    left = scores - scores[0] - z.sum(1, keepdim=True) * share
    rest = torch.linalg.lstsq(root * centred, root * left, driver="gelsd").solution  # (M, T)
    return (rest - rest.mean(0) + share).t(), scores[0]


def shapley(value: SetFunction, players: int) -> Tensor:
    """Exact Shapley values: phi_i = sum_S |S|! (M - |S| - 1)! / M! (v(S + i) - v(S)) over all S without i.

    value : bool (2^M, M) -> (2^M,) or (2^M, T), called once.  players : M, at most 16.
    Returns (M,) or (T, M), float64.
    """
    check_count("players", players)
    if players > MOST_PLAYERS:
        raise ValueError(f"{players} players have 2^{players} coalitions; beyond {MOST_PLAYERS} use kernel_shap_values")
    coalitions = _all_coalitions(players)
    scores, several = _set_values(value, coalitions)
    share = [1 / (players * math.comb(players - 1, size)) for size in range(players)]
    share = torch.tensor(share, dtype=torch.float64)[:, None]
    values = []
    for player in range(players):
        without = (~coalitions[:, player]).nonzero()[:, 0]
        gain = scores[without + 2**player] - scores[without]
        values.append((share[coalitions[without].sum(1)] * gain).sum(0))
    values = torch.stack(values, 1)  # (T, M)
    return values if several else values[0]


def _explain(
    model: nn.Module,
    images: Tensor,
    target: Target,
    segments: Tensor,
    drawn: list[tuple[Tensor, Tensor]],
    fill: float | str | Tensor,
    fit: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]],
    options: dict,
    return_details: bool,
) -> Tensor | tuple[Tensor, SegmentExplanation]:
    """Ask about every image's coalitions, fit one linear model an image and target, paint the map."""
    change, variants = hide_segments(images.detach(), segments, [rows for rows, _ in drawn], fill)
    answers = ask(model, images, target, change, variants, **options)
    scores = [own[: len(rows)].cpu() for own, (rows, _) in zip(answers.scores, drawn)]
    values = torch.zeros(*answers.clean.shape, int(segments.max()) + 1, dtype=torch.float64)
    intercepts, fits = values.new_zeros(2, *answers.clean.shape)
    for i, ((rows, weights), own) in enumerate(zip(drawn, scores)):
        coefficients, intercepts[i] = fit(rows, weights, own)
        values[i, :, : rows.shape[1]] = coefficients
        fits[i] = _r_squared(own.double(), intercepts[i] + rows.double() @ coefficients.t(), weights)
    values, intercepts, fits = (answers.squeeze(t.to(images.device)) for t in (values, intercepts, fits))
    maps = segments_to_map(values.to(answers.scores.dtype), segments)
    if not return_details:
        return maps
    scores = scores if answers.several else [own[:, 0] for own in scores]
    found = (values, intercepts, answers.squeeze(answers.clean), fits)
    return maps, SegmentExplanation(segments, *found, [rows for rows, _ in drawn], scores)


def _r_squared(scores: Tensor, predicted: Tensor, weights: Tensor) -> Tensor:
    """Weighted R^2 over samples, (T,); 1 where nothing varies and the fit is perfect, else 0."""
    w = weights.double()[:, None]
    if not w.any():
        return torch.ones_like(scores[0])
    spread = (w * (scores - (w * scores).sum(0) / w.sum()) ** 2).sum(0)
    wrong = (w * (scores - predicted) ** 2).sum(0)
    return torch.where(spread > 0, 1 - wrong / spread.clamp(min=1e-300), (wrong == 0).double())
