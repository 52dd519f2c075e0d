"""The score's gradient at the pixels: Backprop, Gradient x input, SmoothGrad, Integrated Gradients.

References
----------
Simonyan, Vedaldi, Zisserman, "Deep Inside Convolutional Networks", arXiv 1312.6034 (Backprop).
Smilkov et al., "SmoothGrad: removing noise by adding noise", arXiv 1706.03825.
Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", arXiv 1703.01365 (Integrated Gradients).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral

import numpy as np
import torch
from torch import Tensor, nn

from lessons_lib.explain.inputs import (
    Target,
    check_differentiable,
    check_images,
    check_mode,
    target_indices,
    target_scores,
)
from lessons_lib.explain.maps import over_channels


def backprop(model: nn.Module, images: Tensor, target: Target = None, *, reduce: str | None = "max_abs") -> Tensor:
    """Backprop (saliency): the largest |d score / d pixel| over the colour channels (Simonyan et al. 2013).

    One forward and one backward pass (T backward passes for T targets an image). Frozen parameters and a
    surrounding `torch.no_grad()` or `torch.inference_mode()` are fine; parameters' and images' `.grad` are
    left alone.

    Parameters
    ----------
    model : the network, no BatchNorm of it in training mode.
    images : (B, C, H, W), floating point.
    target : None (the predicted class), a class for all images, classes (B,) or (B, T), or a function from
        the model's output to scores (B,) or (B, T). Take logits: a softmax probability also rises when
        others fall.
    reduce : how the channels become one map, see `over_channels`; None keeps the signed gradient.

    Returns
    -------
    maps (B, H, W), or (B, T, H, W) for T targets; >= 0, in units of the score per unit of pixel value. With
    reduce=None (B, C, H, W) or (B, T, C, H, W), signed.

    Raises
    ------
    ValueError, TypeError : what is wrong with images, target, mode or reduce; a score that has no gradient.
    """
    check_reduce(reduce)
    return over_channels(pixel_gradients(model, images, target), reduce)


def gradient_x_input(model: nn.Module, images: Tensor, target: Target = None, *, reduce: str | None = "sum") -> Tensor:
    """Gradient times input, signed, in units of the score: a black pixel gets 0 whatever its gradient.

    In a network of ReLUs and max-poolings without biases it sums to the score. Parameters, shapes and errors
    as in `backprop`.
    """
    check_reduce(reduce)
    gradients = pixel_gradients(model, images, target)
    pixels = images.detach()
    return over_channels(gradients * (pixels[:, None] if gradients.ndim == 5 else pixels), reduce)


def smoothgrad(
    model: nn.Module,
    images: Tensor,
    target: Target = None,
    *,
    samples: int = 20,
    noise: float = 0.15,
    reduce: str | None = "max_abs",
    generator: torch.Generator | None = None,
    batch_size: int = 16,
) -> Tensor:
    """The mean of the gradient over noisy copies of each image (Smilkov et al. 2017).

    The mean is taken of the signed gradient; only then are channels reduced (a mean of absolute values would
    keep the noise that is to cancel). With target None the class predicted on the clean image is explained
    in every copy.

    Parameters
    ----------
    model, images, target : as in `backprop`.
    samples : number of noisy copies an image.
    noise : standard deviation of the Gaussian noise, as a share of each image's own range max - min.
    reduce : as in `backprop`, applied to the mean.
    generator : source of the noise, on any device; None takes a new one seeded with 0. One noise picture a
        sample is drawn and scaled for each image, so that an image's map does not depend on the rest of its
        batch.
    batch_size : noisy copies in the model at once, but at least one of every image; it does not change the
        result.

    Returns
    -------
    As `backprop`; at least float32.
    """
    check_reduce(reduce)
    _check_count("samples", samples, 1)
    if not 0 <= noise < math.inf:
        raise ValueError(f"noise must be a share of the images' range, 0 or more, got {noise}")
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    with torch.inference_mode(False), torch.no_grad():
        path = _Copies(model, images, target, batch_size)
        clean = path.images
        flat = clean.flatten(1)
        spread = (noise * (flat.amax(1) - flat.amin(1))).view(-1, 1, 1, 1)
        dtype = torch.promote_types(clean.dtype, torch.float32)

        def noisy(copies: int) -> Tensor:  # drawn one by one: batch_size must not change what is drawn
            draws = [
                torch.randn(clean.shape[1:], generator=generator, device=generator.device, dtype=dtype)
                for _ in range(copies)
            ]
            return clean + spread * torch.stack(draws)[:, None].to(clean)

        mean = path.weighted_gradients(noisy, [1 / samples] * samples)
    return over_channels(mean, reduce)


def integrated_gradients(
    model: nn.Module,
    images: Tensor,
    target: Target = None,
    *,
    baseline: Tensor | float | None = None,
    steps: int = 50,
    rule: str = "gauss_legendre",
    reduce: str | None = "sum",
    batch_size: int = 16,
    return_error: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """IG_i = (x_i - x'_i) * integral over t in [0, 1] of dF(x' + t (x - x')) / dx_i (Sundararajan et al.
    2017).

    F is the score, x' the baseline. Completeness: over all pixels and channels IG sums to F(x) - F(x'), up to
    the error of the numerical integral. F is whatever `target` names: a logit for a class index, a
    probability for `lambda output: output.softmax(1)[:, c]`.

    Parameters
    ----------
    model, images, target : as in `backprop`. With None the class predicted on x is explained along the whole
        path.
    baseline : x'. None is the black image; a number, or a tensor that broadcasts to the images' shape.
    steps, rule : how many gradients are taken along the path, and where; see `path_rule`.
    reduce : as in `backprop`; "sum" keeps completeness.
    batch_size : points of the path in the model at once, but at least one of every image.
    return_error : also return sum IG - (F(x) - F(x')), shape (B,) or (B, T), in units of the score.

    Returns
    -------
    maps as in `backprop`, but signed and in units of the score; at least float32. With `return_error` (maps,
    error).

    Raises
    ------
    ValueError, TypeError : as `backprop`; a baseline that does not fit, too few steps, an unknown rule.
    """
    check_reduce(reduce)
    positions, weights = path_rule(rule, steps)
    with torch.inference_mode(False), torch.no_grad():
        path = _Copies(model, images, target, batch_size)
        start = _baseline(baseline, path.images)
        difference = path.images - start
        rest = iter(positions)

        def points(copies: int) -> Tensor:
            t = [next(rest) for _ in range(copies)]
            t = torch.tensor(t, dtype=difference.dtype, device=difference.device)
            return start + t.view(-1, 1, 1, 1, 1) * difference

        mean = path.weighted_gradients(points, weights)
        attributions = mean * (difference[:, None] if mean.ndim == 5 else difference)
        maps = over_channels(attributions, reduce)
        if not return_error:
            return maps
        change = path.clean_scores() - target_scores(model(start.clone()), path.target)
    return maps, attributions.flatten(-3).sum(-1) - change


def path_rule(rule: str, steps: int) -> tuple[list[float], list[float]]:
    """Positions in [0, 1] and weights, which sum to 1, of a quadrature rule with `steps` points.

    rule : "gauss_legendre" (exact for polynomials up to degree 2 steps - 1), "midpoint", or "trapezoid",
        whose points include both ends and which therefore needs two steps.
    """
    _check_count("steps", steps, 2 if rule == "trapezoid" else 1)
    if rule == "gauss_legendre":
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        return ((nodes + 1) / 2).tolist(), (weights / 2).tolist()
    if rule == "midpoint":
        return [(step + 0.5) / steps for step in range(steps)], [1 / steps] * steps
    if rule == "trapezoid":
        inner = [1 / (steps - 1)] * (steps - 2)
        return [step / (steps - 1) for step in range(steps)], [0.5 / (steps - 1), *inner, 0.5 / (steps - 1)]
    raise ValueError(f"rule must be 'gauss_legendre', 'midpoint' or 'trapezoid', not {rule!r}")


def pixel_gradients(model: nn.Module, images: Tensor, target: Target = None) -> Tensor:
    """d score / d image: (B, C, H, W), or (B, T, C, H, W) for T targets an image."""
    with torch.inference_mode(False), torch.enable_grad():
        return gradients_at(*scores_from_pixels(model, images, target))


def scores_from_pixels(model: nn.Module, images: Tensor, target: Target) -> tuple[Tensor, Tensor]:
    """(leaf, scores): the images as a leaf of the graph, and the scores (B,) or (B, T) computed from it."""
    check_images(images)
    check_mode(model)
    leaf = (images.clone() if images.is_inference() else images).detach().requires_grad_()
    scores = target_scores(model(leaf.clone()), target)  # a clone: the model's first layer may work in place
    check_differentiable(scores)
    return leaf, scores


def gradients_at(leaf: Tensor, scores: Tensor) -> Tensor:
    """The gradient of every column of `scores` at `leaf`, one backward pass each; it frees the graph."""
    # Images do not mix: one sum serves them all.
    columns = scores.sum(0) if scores.ndim == 2 else scores.sum()[None]
    gradients = []
    for number, column in enumerate(columns, start=1):
        keep = number < len(columns)
        (gradient,) = torch.autograd.grad(column, leaf, retain_graph=keep, allow_unused=True)
        if gradient is None:
            raise ValueError("the score does not depend on the images: no gradient reaches a pixel")
        gradients.append(gradient)
    return torch.stack(gradients, 1) if scores.ndim == 2 else gradients[0]


class _Copies:
    """Changed copies of the images through the model, for one target that is fixed on the images."""

    def __init__(self, model: nn.Module, images: Tensor, target: Target, batch_size: int) -> None:
        check_images(images)
        check_mode(model)
        _check_count("batch_size", batch_size, 1)
        self.model = model
        self.images = images.clone() if images.is_inference() else images.detach()
        self.output = model(self.images.clone())
        self.target = target if callable(target) else target_indices(self.output, target)
        # A function may count on one row an image, in order: it sees one copy of the batch at a time.
        whole = not callable(target) or isinstance(self.output, Tensor)
        self.copies = max(1, batch_size // len(images)) if whole else 1

    def clean_scores(self) -> Tensor:
        return target_scores(self.output, self.target)

    def weighted_gradients(self, changed: Callable[[int], Tensor], weights: list[float]) -> Tensor:
        """sum_k weights_k gradient(copy k); changed(n) gives the next n copies, shape (n, B, C, H, W)."""
        total = None
        for first in range(0, len(weights), self.copies):
            part = weights[first : first + self.copies]
            copies = changed(len(part)).flatten(0, 1)
            gradients = pixel_gradients(self.model, copies, self._target_of(len(part)))
            gradients = gradients.to(torch.promote_types(gradients.dtype, torch.float32))
            by_copy = gradients.unflatten(0, (len(part), len(self.images)))
            factors = torch.tensor(part, dtype=by_copy.dtype, device=by_copy.device)
            part_sum = torch.tensordot(factors, by_copy, dims=1)
            total = part_sum if total is None else total + part_sum
        return total

    def _target_of(self, copies: int) -> Target:
        if not callable(self.target):
            return self.target.repeat(copies, *[1] * (self.target.ndim - 1))
        if copies == 1:
            return self.target
        return lambda output: torch.cat([target_scores(part, self.target) for part in output.chunk(copies)])


def _baseline(baseline: Tensor | float | None, images: Tensor) -> Tensor:
    """The baseline as a tensor of the images' shape, or an error that says why it cannot be one."""
    if baseline is None:
        return torch.zeros_like(images)
    if isinstance(baseline, bool) or not isinstance(baseline, int | float | Tensor):
        raise TypeError(f"baseline must be None, a number or a tensor, not {type(baseline).__name__}")
    baseline = baseline.detach() if isinstance(baseline, Tensor) else float(baseline)
    start = torch.as_tensor(baseline, dtype=images.dtype, device=images.device)
    if not torch.isfinite(start).all():
        raise ValueError("the baseline contains NaN or infinite values")
    try:
        return start.expand_as(images)
    except RuntimeError as error:
        raise ValueError(
            f"a baseline of shape {tuple(start.shape)} does not broadcast to images of shape {tuple(images.shape)}"
        ) from error


def _check_count(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be a whole number, {least} or more, got {value!r}")


def check_reduce(reduce: str | None) -> None:
    """Fail before the work is done, not after it."""
    over_channels(torch.zeros(1, 1, 1), reduce)
