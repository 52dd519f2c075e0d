"""What every check is made of: a failure that says what is wrong, and a careful look at shapes."""

from __future__ import annotations

import torch
from torch import Tensor


class CheckFailed(AssertionError):
    """An exercise's function is not right yet; the message says in which way."""


def fail(message: str) -> None:
    """Raise `CheckFailed`."""
    raise CheckFailed(message)


def tensor(
    result: object, shape: tuple[int, ...], what: str, hints: dict[tuple[int, ...], str] | None = None
) -> Tensor:
    """The result as a tensor of the wanted shape, or a diagnosis."""
    if result is None:
        fail(f"{what} is None: does your function return something?")
    if not isinstance(result, Tensor):
        fail(f"{what} is a {type(result).__name__}, a torch.Tensor of shape {shape} is expected")
    if tuple(result.shape) != shape:
        hint = (hints or {}).get(tuple(result.shape), "")
        fail(f"{what} has shape {tuple(result.shape)}, expected {shape}{': ' + hint if hint else ''}")
    if not torch.isfinite(result).all():
        fail(f"{what} contains NaN or infinite values: do you divide by zero somewhere?")
    return result.detach().to(torch.float64)


def same(ours: Tensor, theirs: Tensor, tolerance: float = 1e-5) -> bool:
    """Whether two tensors agree, up to a share of the first one's largest value."""
    return bool((ours - theirs).abs().max() <= tolerance * (1 + ours.abs().max()))
