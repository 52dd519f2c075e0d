"""What goes into an explanation, checked once and in one place: the images, the model's mode, the target."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Target = int | Sequence | Tensor | Callable[[Tensor], Tensor] | None


def check_images(images: Tensor, *, any_shape: bool = False) -> None:
    """Raise when `images` is not a finite floating-point batch.

    Parameters
    ----------
    images : Tensor (B, C, H, W), floating point.
    any_shape : allow other shapes too (video, text), for callers that were told the layout.

    Raises
    ------
    TypeError : not a floating-point tensor.  ValueError : wrong number of axes, empty, NaN or infinite.
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a torch.Tensor of shape (B, C, H, W), not {type(images).__name__}")
    if not any_shape and images.ndim != 4:
        hint = "; add the batch axis with images[None]" if images.ndim == 3 else ""
        raise ValueError(f"images must have 4 axes (B, C, H, W), got shape {tuple(images.shape)}{hint}")
    if any_shape and not images.is_floating_point():
        return
    if not images.is_floating_point():
        raise TypeError(f"images must be floating point, got {images.dtype}; use images.float() / 255")
    if images.numel() == 0:
        raise ValueError(f"images is empty: shape {tuple(images.shape)}")
    if not torch.isfinite(images.detach().sum(dtype=torch.float32)):
        if not torch.isfinite(images).all():
            raise ValueError("images contain NaN or infinite values; every explanation of them would be NaN too")


def check_mode(model: nn.Module) -> None:
    """Raise when a BatchNorm of `model` is in training mode: it would mix the images and change its statistics."""
    for name, module in model.named_modules():
        if module.training and isinstance(module, _BatchNorm):
            raise ValueError(
                f"BatchNorm {name!r} is in training mode: each map would depend on the other images of the batch and "
                "the running statistics would change. Call model.eval() first (for a loss inside a training step "
                "use create_graph=True, which shares that step's own forward pass)"
            )


def target_indices(output: Tensor, target: Target) -> Tensor | None:
    """The class indices that `target` names, as a LongTensor (B,) or (B, T); None when it is a function.

    `None` stands for the predicted class, an int for that class in every image, a sequence or tensor of shape
    (B,) for one class an image and of shape (B, T) for T classes an image.
    """
    if callable(target):
        return None
    if not isinstance(output, Tensor) or output.ndim != 2:
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(
            f"a class index needs logits of shape (B, K), but the model returned {got}; give the target as a "
            "function that takes the model's output and returns one score an image, shape (B,) or (B, T)"
        )
    batch, classes = output.shape
    if target is None:
        return output.detach().argmax(1)
    if type(target) is int and 0 <= target < classes:  # the usual case, without a detour over tensors
        return torch.full((batch,), target, device=output.device)
    if isinstance(target, bool | str) or (isinstance(target, Tensor | np.ndarray) and target.dtype in _NOT_INDEX):
        raise TypeError(f"target must be a class index, indices or a function, not {target!r}")
    try:
        indices = torch.as_tensor(target, device=output.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"target must be a class index, indices of shape (B,) or (B, T), or a function, not {target!r}"
        ) from error
    if indices.is_floating_point() or indices.is_complex() or indices.dtype == torch.bool:
        raise TypeError(f"class indices must be integers, got {indices.dtype}")
    indices = indices.long()
    if indices.ndim == 0:
        indices = indices.expand(batch)
    if indices.ndim > 2 or indices.shape[0] != batch or indices.numel() == 0:
        several = f" For several classes of one image pass shape (1, {indices.numel()})." if batch == 1 else ""
        raise ValueError(
            f"target of shape {tuple(indices.shape)} does not fit {batch} images: give one class for all (an int), one an "
            f"image, shape ({batch},), or T an image, shape ({batch}, T).{several}"
        )
    low, high = (int(bound) for bound in indices.aminmax())
    if low < 0 or high >= classes:
        raise ValueError(f"class {low if low < 0 else high} is out of range: the model has classes 0 to {classes - 1}")
    return indices


_NOT_INDEX = (torch.bool, np.dtype(bool))


def target_scores(output: Tensor, target: Target) -> Tensor:
    """The scalar(s) to explain, one row an image.

    Parameters
    ----------
    output : whatever the model returned; logits (B, K) unless `target` is a function.
    target : None (predicted class), int, indices (B,) or (B, T), or a function output -> scores (B,) or (B, T):
        anything that yields a scalar can be explained (a caption's log-probability, an answer, a match score).

    Returns
    -------
    Tensor (B,) or (B, T), pre-softmax when the output is.
    """
    indices = target_indices(output, target)
    if indices is not None:
        if indices.ndim == 1:
            return output.gather(1, indices[:, None])[:, 0]
        return output.gather(1, indices)
    scores = target(output)
    if not isinstance(scores, Tensor) or scores.ndim not in (1, 2):
        got = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(f"the target function must return scores of shape (B,) or (B, T), it returned {got}")
    if isinstance(output, Tensor) and output.ndim and scores.shape[0] != output.shape[0]:
        raise ValueError(
            f"the target function returned {scores.shape[0]} rows for a batch of {output.shape[0]}: one row an image"
        )
    return scores


def check_differentiable(scores: Tensor) -> None:
    """Raise when no gradient can flow from `scores`."""
    if not scores.requires_grad:
        raise ValueError(
            "no gradient can flow from this target: the score is detached, an integer (argmax), computed under a "
            "no_grad of the model's own, or does not depend on the layer. Return a differentiable score, such as a logit"
        )
