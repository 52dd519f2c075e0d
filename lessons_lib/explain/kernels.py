"""From features and channel weights to a finished map, in one call, by plain torch or by fused Triton
kernels.

Both ways compute the same numbers (1e-5 relative, forward and backward, in float32). `LESSONS_KERNELS`
decides:

- `auto` (the default): Triton for CUDA tensors where it is installed and works, plain torch everywhere else;
- `torch`: never Triton;
- `triton`: always Triton, an error where it cannot run (on a CPU it runs under Triton's interpreter,
  `TRITON_INTERPRET=1`, which is how the tests check the kernels without a GPU).

Triton is imported when it is first needed and not before.
"""

from __future__ import annotations

import importlib.util
import os
import warnings
from functools import lru_cache
from types import ModuleType

import torch
from torch import Tensor

from lessons_lib.explain.maps import upsample

EPS = 1e-8  # keeps the mass of a zero map at zero, as in maps.to_mass
_CHOICES = ("auto", "torch", "triton")
_TRITON_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def cam_map(
    features: Tensor,
    weights: Tensor,
    *,
    relu: bool = True,
    normalise: str | None = None,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """ReLU(sum_k weights_k features^k), normalised on request, then bilinear upsampling
    (align_corners=False).

    Differentiable, also twice, with respect to `features` and `weights`. Half-precision input is summed in
    float32, under autocast too.

    Parameters
    ----------
    features : (B, C, *positions), floating point, any strides.
    weights : (B, T, C), the weight of each channel for each of T targets an image.
    relu : keep only what speaks in favour.
    normalise : None; "unit", each map divided by its maximum; "mass", each map divided by its sum + 1e-8. It
        acts before the upsampling and needs `relu` (a signed map has neither mass nor a peak to speak of). A
        map that is zero everywhere stays zero. size : None, or (H, W) for maps with two axes of positions.

    Returns
    -------
    maps (B, T, *positions), or (B, T, H, W) with `size`; float32, or float64 when an input is float64.

    Raises
    ------
    ValueError : shapes that do not fit, an unknown `normalise` or `LESSONS_KERNELS`.
    RuntimeError : `LESSONS_KERNELS=triton` where Triton cannot run.
    """
    _check(features, weights, relu, normalise, size)
    module = _triton_module(features, weights)
    if module is not None:
        return module.cam_map(features, weights, relu, normalise, size)
    if torch.is_autocast_enabled(features.device.type):  # autocast would multiply in half precision
        with torch.autocast(features.device.type, enabled=False):
            return torch_cam_map(features, weights, relu, normalise, size)
    return torch_cam_map(features, weights, relu, normalise, size)


def torch_cam_map(
    features: Tensor, weights: Tensor, relu: bool, normalise: str | None, size: tuple[int, int] | None
) -> Tensor:
    """`cam_map` in plain torch: the reference that the Triton kernels are held to."""
    dtype = torch.promote_types(torch.promote_types(features.dtype, weights.dtype), torch.float32)
    maps = torch.bmm(weights.to(dtype), features.to(dtype).flatten(2))  # (B, T, positions)
    if relu:
        maps = maps.relu()
    if normalise == "unit":
        peak = maps.amax(2, keepdim=True)
        maps = maps / torch.where(peak > 0, peak, 1.0)
    elif normalise == "mass":
        maps = maps / (maps.sum(2, keepdim=True) + EPS)
    maps = maps.view(*maps.shape[:2], *features.shape[2:])
    return maps if size is None else upsample(maps, size)


def _check(features: Tensor, weights: Tensor, relu: bool, normalise: str | None, size: tuple[int, int] | None) -> None:
    shape, weights_shape = features.shape, weights.shape
    if len(shape) < 3 or len(weights_shape) != 3 or shape[:2] != (weights_shape[0], weights_shape[2]):
        raise ValueError(
            "features (B, C, *positions) and weights (B, T, C) are needed, got shapes "
            f"{tuple(shape)} and {tuple(weights_shape)}"
        )
    if 0 in shape or 0 in weights_shape:
        raise ValueError(f"features or weights are empty: shapes {tuple(shape)} and {tuple(weights_shape)}")
    if normalise is not None:
        if normalise not in ("unit", "mass"):
            raise ValueError(f"normalise must be None, 'unit' or 'mass', not {normalise!r}")
        if not relu:
            raise ValueError(f"normalise={normalise!r} needs relu=True: a signed map has no mass and no one sign")
    if size is not None and (len(shape) != 4 or len(size) != 2 or min(size) < 1):
        raise ValueError(
            f"size (H, W) needs features (B, C, h, w) and two positive numbers, got {tuple(shape)} and {size}"
        )


def _triton_module(features: Tensor, weights: Tensor) -> ModuleType | None:
    """The Triton kernels where they are to be used for these tensors; None for plain torch."""
    choice = os.environ.get("LESSONS_KERNELS", "auto")
    if choice == "torch" or (choice == "auto" and not features.is_cuda):
        return None
    if choice not in _CHOICES:
        raise ValueError(f"the environment variable LESSONS_KERNELS must be one of {_CHOICES}, not {choice!r}")
    suits = features.ndim == 4 and features.dtype in _TRITON_DTYPES and weights.dtype in _TRITON_DTYPES
    if choice == "triton":
        if not features.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
            raise RuntimeError("LESSONS_KERNELS=triton needs CUDA tensors, or TRITON_INTERPRET=1 to interpret")
        return _load() if suits else None
    return _load() if suits and _works_on(features.device) else None


def _load() -> ModuleType:
    if importlib.util.find_spec("triton") is None:
        raise RuntimeError("LESSONS_KERNELS=triton, but Triton is not installed; unset it to use plain torch")
    from lessons_lib.explain import triton_kernels

    return triton_kernels


@lru_cache(maxsize=16)
def _works_on(device: torch.device) -> bool:
    """Whether Triton compiles and runs on this device: one tiny map, once a process. Warns when it fails."""
    if importlib.util.find_spec("triton") is None:
        return False
    try:
        _load().cam_map(torch.ones(1, 2, 2, 2, device=device), torch.ones(1, 1, 2, device=device), True, None, None)
    except Exception as error:  # a missing C compiler, an unsupported GPU ...: each raises something else
        warnings.warn(f"Triton is installed but fails on {device} ({error}); using plain torch", stacklevel=4)
        return False
    return True
