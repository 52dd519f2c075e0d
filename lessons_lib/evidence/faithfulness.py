"""Does the score follow the map? Deletion and insertion curves, and rank correlation with occlusion.

References
----------
Petsiuk, Das, Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", 2018 (deletion,
insertion; start images and blur as in the released code, eclique/RISE evaluation.py).
Selvaraju et al., "Grad-CAM", arXiv 1610.02391 (rank correlation with occlusion maps).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lessons_lib.evidence.localisation import check_maps
from lessons_lib.explain.inputs import Target, check_images, check_mode, target_indices, target_scores

Baseline = float | Tensor | str


@dataclass(frozen=True)
class Curve:
    """The score while pixels change, most relevant first.

    shares : (steps + 1,), share of the pixels changed so far, 0 to 1.
    scores : (B, steps + 1), the target's score.
    auc : (B,), area under the curve by the trapezoid rule, in units of the score.
    """

    shares: Tensor
    scores: Tensor
    auc: Tensor


def deletion(
    model: nn.Module,
    images: Tensor,
    maps: Tensor,
    target: Target = None,
    *,
    steps: int = 50,
    baseline: Baseline = 0.0,
    score: str = "probability",
    batch_size: int = 64,
    seed: int = 0,
) -> Curve:
    """Deletion: replace the most relevant pixels first. The earlier the score falls (low AUC), the better.

    One pixel mask serves all channels. The target is fixed on the whole image. Pixels of equal relevance come
    in a random order: in reading order a map with many zeros (a ReLU leaves them) would be scored by where
    the object happens to lie. That order depends on `seed` and the image size alone, so an image's curve does
    not depend on its batch.

    Parameters
    ----------
    model : in eval mode; called (steps + 1) times an image without a graph, and once more to fix the target.
    images : (B, C, H, W).  maps : (B, H, W), higher is more relevant; negative values come last.
    target : None (the predicted class), a class, classes (B,), or a function from the model's output to
        scores (B,). A function sees all B images at once, in order, and its scores are used as they are.
    steps : number of equal steps, 1 to H * W.
    baseline : what pixels are replaced by: a float, "mean" (the image's own mean colour), "blur" (see `blur`)
        or a tensor: colour (C,), image (C, H, W) or images (B, C, H, W). The released code uses the data
        set's mean colour: pass it as a tensor (C,).
    score : "probability" (softmax over the classes, as in the paper) or "logit"; for class targets only.
    batch_size : images a forward pass.
    seed : of the order among ties.

    Returns
    -------
    Curve, on the images' device.

    Raises
    ------
    ValueError, TypeError : shapes that do not fit, NaN, BatchNorm in training mode, steps, baseline or score
        unknown, a class out of range, several targets an image, "probability" for a model with a single
        output.
    """
    check_images(images)
    return _curve(model, images, maps, target, images, _replacement(images, baseline), steps, score, batch_size, seed)


def insertion(
    model: nn.Module,
    images: Tensor,
    maps: Tensor,
    target: Target = None,
    *,
    steps: int = 50,
    baseline: Baseline = "blur",
    score: str = "probability",
    batch_size: int = 64,
    seed: int = 0,
) -> Curve:
    """Insertion: start from a blurred image and bring back the most relevant pixels first. High AUC is good.

    Parameters and errors as in `deletion`; `baseline` is the start image, by default the image blurred by a
    Gaussian of 11 x 11 pixels and sigma 5. The last score is the one of the whole image.
    """
    check_images(images)
    return _curve(model, images, maps, target, _replacement(images, baseline), images, steps, score, batch_size, seed)


def _curve(
    model: nn.Module,
    images: Tensor,
    maps: Tensor,
    target: Target,
    start: Tensor,
    end: Tensor,
    steps: int,
    score: str,
    batch_size: int,
    seed: int,
) -> Curve:
    check_mode(model)
    maps = check_maps(maps)
    batch, _, height, width = images.shape
    if maps.shape != (batch, height, width):
        raise ValueError(
            f"maps of shape {tuple(maps.shape)} do not fit images of shape {tuple(images.shape)}: one value "
            "a pixel is needed, see lessons_lib.explain.upsample"
        )
    if not 1 <= steps <= height * width or batch_size < 1:
        raise ValueError(f"1 <= steps <= H * W and batch_size >= 1 are needed, got {steps} and {batch_size}")
    turns = torch.arange(steps + 1, device=images.device)
    changed = (turns * height * width + steps // 2) // steps  # pixels changed so far, rounded
    rank = _ranks(maps.to(images.device), seed)
    with torch.no_grad():
        read = _reader(model, images, target, score, batch_size)
        # step by step through all images: with a function as target each pass holds the whole batch in order
        jobs = torch.arange((steps + 1) * batch, device=images.device)
        values = []
        for job in jobs.split(batch if callable(target) else batch_size):
            which = job % batch
            done = rank[which] < changed[job // batch, None, None]
            values.append(read(model(torch.where(done[:, None], end[which], start[which])), which))
    scores = torch.cat(values).view(steps + 1, batch).t().contiguous()
    shares = (changed.double() / (height * width)).to(scores.dtype)
    return Curve(shares, scores, torch.trapezoid(scores, shares, dim=1))


def _ranks(maps: Tensor, seed: int) -> Tensor:
    """Each pixel's place in the order of falling relevance, (B, H, W) integers; ties in a random order."""
    pixels = maps[0].numel()
    shuffle = torch.randperm(pixels, generator=torch.Generator().manual_seed(seed)).to(maps.device)
    order = shuffle[maps.flatten(1)[:, shuffle].argsort(dim=1, descending=True, stable=True)]
    places = torch.arange(pixels, device=maps.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places).view(maps.shape)


def _reader(
    model: nn.Module, images: Tensor, target: Target, score: str, batch_size: int
) -> Callable[[object, Tensor], Tensor]:
    """A function (output, which images) -> their scores, with the target fixed on the whole images."""
    if score not in ("probability", "logit"):
        raise ValueError(f"score must be 'probability' or 'logit', got {score!r}")
    if callable(target):
        return lambda output, _which: _one_each(target_scores(output, target))
    logits = [model(part) for part in images.split(batch_size)]
    for part in logits:
        target_indices(part, None)  # raises when the output is not logits (B, K)
    indices = target_indices(torch.cat(logits), target)
    _one_each(indices)
    if score == "probability" and logits[0].shape[1] < 2:
        raise ValueError("the softmax over a single output is always 1: use score='logit' or a function")

    def read(output: Tensor, which: Tensor) -> Tensor:
        exact = output.to(torch.promote_types(output.dtype, torch.float32))
        return (exact.softmax(1) if score == "probability" else exact).gather(1, indices[which, None])[:, 0]

    return read


def _one_each(values: Tensor) -> Tensor:
    if values.ndim != 1:
        got = tuple(values.shape)
        raise ValueError(f"one target an image is needed, got shape {got}: call once for each target")
    return values


def _replacement(images: Tensor, baseline: Baseline) -> Tensor:
    """The images (B, C, H, W) that pixels come from, or go to."""
    if isinstance(baseline, str):
        if baseline == "mean":
            return images.mean((2, 3), keepdim=True).expand_as(images)
        if baseline == "blur":
            return blur(images)
        raise ValueError(f"baseline must be a number, a tensor, 'mean' or 'blur', got {baseline!r}")
    value = torch.as_tensor(baseline, dtype=images.dtype, device=images.device)
    shape = tuple(value.shape)
    if shape not in ((), tuple(images.shape[1:2]), tuple(images.shape[1:]), tuple(images.shape)):
        raise ValueError(
            f"baseline of shape {shape} does not fit images of shape {tuple(images.shape)}: give a number, a "
            "colour (C,), an image (C, H, W) or images (B, C, H, W)"
        )
    if not torch.isfinite(value).all():
        raise ValueError("baseline contains NaN or infinite values")
    return (value[:, None, None] if value.ndim == 1 else value).expand_as(images)


def blur(images: Tensor, kernel: int = 11, sigma: float = 5.0) -> Tensor:
    """Images (B, C, H, W) blurred by a Gaussian of `kernel` x `kernel` pixels.

    Border pixels are repeated outwards: padding with zeros would darken the borders and show the model a
    frame.
    """
    if kernel < 1 or kernel % 2 == 0 or not sigma > 0:
        raise ValueError(f"kernel must be odd and sigma positive, got {kernel} and {sigma}")
    reach = kernel // 2
    places = torch.arange(-reach, reach + 1, device=images.device, dtype=torch.float64)
    weights = torch.exp(-0.5 * (places / sigma) ** 2)
    weights = (weights / weights.sum()).to(images.dtype)
    batch, channels, height, width = images.shape
    padded = F.pad(images, (reach, reach, reach, reach), mode="replicate").flatten(0, 1)[:, None]
    blurred = F.conv2d(F.conv2d(padded, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
    return blurred.view(batch, channels, height, width)


def average_ranks(values: Tensor) -> Tensor:
    """Ranks 1 to N along the last axis, (B, N) float64; equal values share the mean of their places."""
    ordered, order = values.sort(dim=1)
    new = torch.cat([torch.zeros_like(order[:, :1]), (ordered[:, 1:] != ordered[:, :-1]).long()], 1)
    group = new.cumsum(1)
    count = torch.zeros(values.shape, dtype=torch.float64, device=values.device)
    count.scatter_add_(1, group, torch.ones_like(count))
    mean_place = count.cumsum(1) - (count - 1) / 2
    return torch.empty_like(count).scatter_(1, order, mean_place.gather(1, group))


def rank_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Spearman's rank correlation of each pair of maps, (B,), in [-1, 1]; ties get average ranks.

    A strictly rising function of the map changes nothing. For a constant map the correlation is undefined; 0
    is returned (no association was shown).

    Parameters
    ----------
    a, b : floating point, the same shape (B, H, W) with at least 2 pixels.

    Raises
    ------
    TypeError, ValueError : not floating point, NaN or infinite, different shapes, a single pixel.
    """
    a, b = check_maps(a, "a"), check_maps(b, "b")
    if a.shape != b.shape or a[0].numel() < 2:
        got = f"{tuple(a.shape)} and {tuple(b.shape)}"
        raise ValueError(f"maps of one shape, 2 pixels or more, are needed: got {got}")
    return pearson(average_ranks(a.flatten(1)), average_ranks(b.to(a.device).flatten(1))).to(a.dtype)


def pearson(a: Tensor, b: Tensor) -> Tensor:
    """Pearson correlation of rows (B, N) with rows (B, N): (B,); 0 where a row is constant (undefined)."""
    a, b = _centred(a.double()), _centred(b.double())
    norm = a.norm(dim=1) * b.norm(dim=1)
    return ((a * b).sum(1) / torch.where(norm > 0, norm, torch.ones_like(norm))).clamp(-1, 1)


def _centred(rows: Tensor) -> Tensor:
    low, high = rows.aminmax(dim=1, keepdim=True)
    # a constant row's mean may be rounded: what is left would correlate with anything
    return torch.where(low == high, 0.0, rows - rows.mean(1, keepdim=True))


def area_mean(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (B, H, W) resampled to (B, h, w): the mean over the area of each cell, which may split pixels."""
    maps = check_maps(maps)
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size must be (h, w), got {size!r}")
    sides = []
    for source, cells in zip(maps.shape[1:], size):
        edges = torch.arange(cells + 1, dtype=torch.float64, device=maps.device) * (source / cells)
        pixel = torch.arange(source, dtype=torch.float64, device=maps.device)
        shared = torch.minimum(edges[1:, None], pixel + 1) - torch.maximum(edges[:-1, None], pixel)
        sides.append(shared.clamp(min=0) * (cells / source))
    # in double precision: rounding must not make different ranks out of equal cells
    return (sides[0] @ maps.double() @ sides[1].t()).to(maps.dtype)


def occlusion_correlation(maps: Tensor, occlusion_grid: Tensor) -> Tensor:
    """Spearman correlation of maps with occlusion maps, (B,): are regions ranked as occlusion ranks them?

    Parameters
    ----------
    maps : (B, H, W); brought to the grid by the mean over each cell's area.
    occlusion_grid : (B, h, w), the drop of the score when a patch there is covered.

    Raises
    ------
    TypeError, ValueError : as `rank_correlation`.
    """
    occlusion_grid = check_maps(occlusion_grid, "occlusion_grid")
    if len(maps) != len(occlusion_grid):
        raise ValueError(f"{len(maps)} maps do not pair with {len(occlusion_grid)} occlusion grids")
    return rank_correlation(area_mean(maps, tuple(occlusion_grid.shape[1:])), occlusion_grid)
