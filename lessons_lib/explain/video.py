"""Where in a clip, and when? Grad-CAM over space and time, and baselines that give maps of the same shape.

References
----------
Selvaraju et al., "Grad-CAM", arXiv 1610.02391.
Goyal et al., "The Something Something video database", arXiv 1706.04261; its authors' baseline (TwentyBN,
`grad_cam_videos.py`) averages the gradient over time, height and width.
mmaction2 and SlowFast (`gradcam_utils`) average it over height and width, at each time step.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lessons_lib.explain import kernels
from lessons_lib.explain.inputs import (
    Target,
    check_differentiable,
    check_images,
    check_mode,
    target_indices,
    target_scores,
)
from lessons_lib.explain.layers import Features, find_layer, watch
from lessons_lib.explain.maps import interpolation_matrix, over_channels, upsample


def grad_cam_video(
    model: nn.Module,
    clips: Tensor,
    target: Target = None,
    layer: str | nn.Module | None = None,
    *,
    pool_time: bool = True,
    relu: bool = True,
    size: tuple[int, int, int] | str | None = "clips",
) -> Tensor:
    """Grad-CAM of a 3-D convolutional network: L_t = ReLU(sum_k alpha_k A^k_t), for every time step t.

    With `pool_time` alpha_k is the mean of d score / d A^k over time, height and width: one weight a channel for the
    whole clip. Without it alpha_k,t is the mean over height and width at each time step: a channel may speak for the
    class early and against it late.

    A head that averages over time, height and width before a linear layer has the same gradient w_k / (T' h w)
    everywhere, so both ways give one map. They differ where the head weights time. If such a head is linear in the
    means over height and width, the signed maps per time step (relu=False) sum to the logit less its bias,
    and their sum at a time step is what that step contributes to the logit; pooled maps have no such property.

    The map is summed from zero. The public baseline of Something-Something (TwentyBN) starts it from an array of
    ones, which adds 1 before the ReLU, so that evidence against the class down to -1 stays visible.

    Parameters
    ----------
    model : the network, in eval mode; it takes `clips` and its `layer` puts out (B, C, T', h, w).
    clips : (B, T, 3, H, W), floating point.
    target : None (the predicted class), a class for all clips, classes (B,) or (B, K), or a function from the
        model's output to scores (B,) or (B, K), such as a logit less another one.
    layer : module or name; default: the model's attribute `explain_layer`.
    pool_time : see above.
    relu : keep only the evidence in favour; False gives the signed map.
    size : "clips" for (T, H, W), None for the layer's own (T', h, w), or three numbers; trilinear,
        align_corners=False, as `F.interpolate` does it.

    Returns
    -------
    maps (B, T, H, W), or (B, K, T, H, W) for K targets a clip; >= 0 with `relu`, in units of the score.

    Raises
    ------
    ValueError, TypeError : naming what was wrong: shapes, a class out of range, a layer that is not known, not called
        or not of that shape, training mode, NaN, or a score without a gradient.
    """
    _check_clips(clips)
    check_mode(model)
    name = getattr(model, "explain_layer", None) if layer is None else layer
    if name is None:
        raise ValueError("the model names no explain_layer: choose a layer with layer=...")
    module = find_layer(model, name)
    with torch.inference_mode(False), torch.no_grad():
        if clips.is_inference():
            clips = clips.clone()
        with watch(module, None, layout="channels_first") as features:
            output = model(clips)
        if features.value is None:
            raise ValueError(f"layer {name!r} was not called in the model's forward pass; choose another one")
        if features.value.ndim != 5:
            shape = tuple(features.value.shape)
            raise ValueError(f"layer {name!r} puts out shape {shape}; a map over time needs (B, C, T', h, w)")
        alpha, several = _alpha(features, output, target, pool_time)
        maps = _weighted(features.value, alpha, relu)
    maps = _resized(maps, tuple(clips.shape[i] for i in (1, 3, 4)) if size == "clips" else size)
    return maps if several else maps[:, 0]


def order_score(labels: Tensor, opposites: Tensor) -> Callable[[Tensor], Tensor]:
    """A target for clips: the logit of each clip's class in `labels` (B,) less that of its reverse in `opposites` (B,).

    It asks why this order and not the other; what both orders share cancels out.
    """
    return lambda logits: (logits.gather(1, labels[:, None]) - logits.gather(1, opposites[:, None]))[:, 0]


def _alpha(features: Features, output: Tensor, target: Target, pool_time: bool) -> tuple[Tensor, bool]:
    """(alpha (B, K, C, T'), whether the target named K scores a clip); pooled ones are the same at each time."""
    with torch.enable_grad():
        scores = target_scores(output, target)
        check_differentiable(scores)
        columns = scores.sum(0) if scores.ndim == 2 else scores.sum()[None]  # clips do not mix: one sum serves all
    grads = []
    for column in columns:
        (grad,) = torch.autograd.grad(column, features.output, retain_graph=True, allow_unused=True)
        if grad is None:
            raise ValueError("the score does not depend on this layer's output: choose a layer on the path to it")
        grads.append(grad.mean((3, 4)))
    alpha = torch.stack(grads, 1)
    if pool_time:
        alpha = alpha.mean(3, keepdim=True).expand_as(alpha)
    return alpha, scores.ndim == 2


def _weighted(values: Tensor, alpha: Tensor, relu: bool) -> Tensor:
    """Maps (B, K, T', h, w) of features (B, C, T', h, w): each time step is a picture with weights of its own."""
    pictures, weights = values.transpose(1, 2).flatten(0, 1), alpha.permute(0, 3, 1, 2).flatten(0, 1)
    maps = kernels.cam_map(pictures, weights, relu=relu)  # (B T', K, h, w)
    return maps.unflatten(0, (len(values), values.shape[2])).transpose(1, 2)


def _resized(maps: Tensor, size: tuple[int, int, int] | str | None) -> Tensor:
    """Trilinear: along time by one small matrix, in space by `upsample`."""
    if size is None:
        return maps
    if isinstance(size, str) or len(size) != 3 or min(size) < 1:
        raise ValueError(f'size must be "clips", None or (T, H, W), got {size!r}')
    if maps.shape[-3] != size[0]:
        steps = interpolation_matrix(maps.shape[-3], size[0], device=maps.device, dtype=maps.dtype)
        maps = torch.einsum("st,...thw->...shw", steps, maps)
    return upsample(maps, tuple(size[1:]))


def gradient_video(model: nn.Module, clips: Tensor, target: Target = None, *, reduce: str | None = "max_abs") -> Tensor:
    """Saliency in every frame: the largest |d score / d pixel| over the colour channels (Simonyan et al. 2013).

    Parameters
    ----------
    model, clips, target : as in `grad_cam_video`.
    reduce : how the channels become one map, see `over_channels`; None keeps (..., T, 3, H, W).

    Returns
    -------
    maps (B, T, H, W), or (B, K, T, H, W) for K targets; >= 0 with "max_abs", in units of the score per pixel value.
    """
    _check_clips(clips)
    check_mode(model)
    with torch.inference_mode(False), torch.enable_grad():
        leaf = (clips.clone() if clips.is_inference() else clips).detach().requires_grad_()
        scores = target_scores(model(leaf), target)
        check_differentiable(scores)
        columns = scores.sum(0) if scores.ndim == 2 else scores.sum()[None]
        grads = torch.stack([torch.autograd.grad(column, leaf, retain_graph=True)[0] for column in columns], 1)
    maps = over_channels(grads, reduce)
    return maps if scores.ndim == 2 else maps[:, 0]


def occlusion_video(
    model: nn.Module, clips: Tensor, target: Target = None, *, block: tuple[int, int, int] = (3, 8, 8)
) -> Tensor:
    """How far the score falls when a block of space and time is replaced by the clip's mean colour.

    The blocks stand side by side (smaller ones at the far borders), so a clip costs ceil(T / t) ceil(H / h)
    ceil(W / w) forward passes, in batches of the clips given.

    Parameters
    ----------
    model, clips : as in `grad_cam_video`.
    target : as there; None is decided on the whole clip. A function is handed the outputs of the B clips.
    block : (t, h, w), in frames and pixels.

    Returns
    -------
    maps (B, T, H, W), or (B, K, T, H, W) for K targets; signed, constant in each block, in units of the score.
    """
    _check_clips(clips)
    check_mode(model)
    sides = tuple(clips.shape[i] for i in (1, 3, 4))
    if len(block) != 3 or any(not 1 <= b <= s for b, s in zip(block, sides)):
        raise ValueError(f"block must be (t, h, w) between 1 and the clip's {sides}, got {block!r}")
    with torch.no_grad():
        output = model(clips)
        target = target if callable(target) else target_indices(output, target)
        clean = target_scores(output, target)
        grey = clips.mean((1, 3, 4), keepdim=True)
        maps = clean.new_zeros(*clean.shape, *sides)
        for t, y, x in _corners(sides, block):
            part = (slice(t, t + block[0]), slice(y, y + block[1]), slice(x, x + block[2]))
            changed = clips.clone()
            changed[:, part[0], :, part[1], part[2]] = grey
            maps[(..., *part)] = (clean - target_scores(model(changed), target))[..., None, None, None]
    return maps


def _corners(sides: tuple[int, ...], block: tuple[int, ...]) -> list[list[int]]:
    starts = [torch.arange(0, side, step) for side, step in zip(sides, block)]
    return torch.cartesian_prod(*starts).tolist()


def frame_difference(model: nn.Module | None, clips: Tensor, target: Target = None) -> Tensor:
    """Motion energy, a control that sees no network: the mean change of a pixel to the frames before and after.

    Parameters
    ----------
    model, target : not looked at; they make the signature that of the explanations.
    clips : (B, T, 3, H, W), T >= 2.

    Returns
    -------
    maps (B, T, H, W), >= 0, in units of pixel values; the mean over the colour channels.
    """
    _check_clips(clips)
    if clips.shape[1] < 2:
        raise ValueError("a difference needs at least 2 frames, the clips have 1")
    steps = (clips[:, 1:] - clips[:, :-1]).abs().mean(2)
    maps = F.pad(steps, (0, 0, 0, 0, 1, 0)) + F.pad(steps, (0, 0, 0, 0, 0, 1))
    maps[:, 1:-1] /= 2  # frames in the middle have two neighbours
    return maps


def background_difference(model: nn.Module | None, clips: Tensor, target: Target = None) -> Tensor:
    """The second control without a network: how far a pixel is from its median over the clip, (B, T, H, W), >= 0.

    It finds what does not belong to the still background, also in frames where it rests. Arguments as in
    `frame_difference`.
    """
    _check_clips(clips)
    return (clips - clips.median(1, keepdim=True).values).abs().mean(2)


def _check_clips(clips: Tensor) -> None:
    if not isinstance(clips, Tensor) or not clips.is_floating_point():
        got = clips.dtype if isinstance(clips, Tensor) else type(clips).__name__
        raise TypeError(f"clips must be a floating-point tensor (B, T, 3, H, W), got {got}; use clips.float() / 255")
    if clips.ndim != 5:
        hint = "; add the batch axis with clips[None]" if clips.ndim == 4 else ""
        raise ValueError(f"clips must have 5 axes (B, T, 3, H, W), got shape {tuple(clips.shape)}{hint}")
    check_images(clips, any_shape=True)
