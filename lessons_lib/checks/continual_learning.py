"""Checks of the exercises of lesson 15: what forgetting is, the loss on the maps, and reasons that must vanish."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lessons_lib.checks.core import fail, same, tensor

NAN = float("nan")


def check_forgetting(function: Callable[[Tensor], tuple[float, float]]) -> None:
    """`function(matrix (T, T))`: (average accuracy at the end, forgetting); NaN above the diagonal."""
    matrix = torch.tensor([[0.9, NAN, NAN, NAN], [1.0, 0.8, NAN, NAN], [0.6, 0.9, 1.0, NAN], [0.4, 0.5, 0.6, 0.9]])
    result = function(matrix.clone())
    if result is None:
        fail("your function returns None: does it return something?")
    if not isinstance(result, tuple | list) or len(result) != 2:
        fail(f"two numbers are expected, average accuracy and forgetting; got {result!r}")
    mean, lost = (float(number) for number in result)
    if mean != mean or lost != lost:
        fail("NaN: what lies above the diagonal was not learned yet, leave it out")
    if abs(mean - 0.6) > 1e-5:
        means = {0.9: "that is the diagonal, each task right after it was learned", 0.725: "that is the first column"}
        hint = next((text for value, text in means.items() if abs(mean - value) < 1e-5), "")
        fail(f"the mean of the last row is 0.6, yours is {mean:.4g}{': ' + hint if hint else ''}")
    right = (0.6 + 0.4 + 0.4) / 3
    hints = {
        (0.5 + 0.3 + 0.4) / 3: "this is taken from the diagonal; a task may be at its best later than that",
        -(0.5 + 0.3 + 0.4) / 3: "this is backward transfer; asked is best less last",
        -right: "the sign: best less last, so that what is lost is positive",
        1.4 / 4: "the last task cannot have been forgotten yet: divide by T - 1",
    }
    if abs(lost - right) > 1e-5:
        hint = next((text for value, text in hints.items() if abs(lost - value) < 1e-5), "")
        fail(f"forgetting of the small case is {right:.4f}, yours is {lost:.4f}{': ' + hint if hint else ''}")
    print("passed: the best each task ever reached, less what is left of it")


def check_map_loss(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """`function(maps (B, h, w), kept (B, h, w))`: mean over images of the L1 distance of the maps, each scaled to sum 1."""
    generator = torch.Generator().manual_seed(15)
    maps, kept = (torch.rand(3, 4, 4, generator=generator, dtype=torch.float64) + 0.05 for _ in range(2))
    one, other = (m / m.sum((1, 2), keepdim=True) for m in (maps, kept))
    leaf, constant = maps.clone().requires_grad_(), kept.clone().requires_grad_()
    result = function(leaf, constant)
    hints = {(3,): "take the mean over images, too", (3, 4, 4): "add the cells up and take the mean over images"}
    found, apart = tensor(result, (), "your loss", hints), one - other
    right = apart.abs().sum((1, 2)).mean()
    if not same(right, found, 1e-4):
        _wrong_value(found, apart, maps, kept)
        fail(f"for the small case of this check the loss is {right:.4f}, yours is {found:.4f}")
    scaled = tensor(function(7 * maps, kept), (), "your loss")
    if not same(right, scaled, 1e-4):
        fail("seven times the map is the same evidence: scale both maps to the sum 1")
    if not result.requires_grad:
        fail("the value is right, but no gradient leads back to today's map: the loss would train nothing")
    toward, away = torch.autograd.grad(result, (leaf, constant), allow_unused=True)
    if toward is None or not toward.abs().sum():
        fail("no gradient reaches today's map: the loss would train nothing")
    if away is not None and away.abs().sum():
        fail("the kept map is a constant: detach it")
    empty = tensor(function(torch.zeros_like(maps), kept), (), "your loss for a map that is zero everywhere")
    if not same(torch.ones((), dtype=torch.float64), empty, 1e-3):
        fail(f"a map without any evidence has nothing in common with the kept one, the loss is 1; yours is {empty:.4f}")
    print("passed: 0 for the same evidence, whatever its scale; 2 where it has moved altogether")


def _wrong_value(found: Tensor, apart: Tensor, maps: Tensor, kept: Tensor) -> None:
    if same(apart.abs().mean(), found, 1e-4):
        fail("you took the mean over the cells, too; add them up, so that the loss does not depend on their number")
    if same(apart.abs().sum(), found, 1e-4):
        fail("you added the images up; take their mean")
    if same(apart.square().sum((1, 2)).mean(), found, 1e-4):
        fail("this is the square; take the absolute value")
    if same(apart.sum((1, 2)).mean(), found, 1e-6):
        fail("the absolute value is missing: both maps sum to 1, so that plain differences cancel to 0")
    if same((maps - kept).abs().sum((1, 2)).mean(), found, 1e-4) or same((maps - kept).abs().mean(), found, 1e-4):
        fail("scale both maps to the sum 1 first: a raw map also grows with the score")


def check_right_reasons(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """`function(gradients (B, C, H, W), irrelevant bool (B, H, W))`: mean over images of the squared gradients in the mask."""
    generator = torch.Generator().manual_seed(17)
    gradients = torch.randn(2, 3, 4, 4, generator=generator, dtype=torch.float64)
    irrelevant = torch.rand(2, 4, 4, generator=generator) > 0.5
    leaf = gradients.clone().requires_grad_()
    result = function(leaf, irrelevant.clone())
    found = tensor(result, (), "your loss", {(2,): "take the mean over images, too"})
    inside = gradients * irrelevant[:, None]
    right = inside.square().sum((1, 2, 3)).mean()
    if not same(right, found):
        if same((gradients * ~irrelevant[:, None]).square().sum((1, 2, 3)).mean(), found):
            fail("you punish what is relevant: `irrelevant` marks the pixels that must not matter")
        if same(inside.square().mean(), found):
            fail("add pixels and colours up, and take the mean over images only")
        if same(inside.square().sum(), found):
            fail("you added the images up; take their mean")
        if same(inside.abs().sum((1, 2, 3)).mean(), found):
            fail("square the gradients: Ross et al. do")
        fail(f"for the small case of this check the loss is {right:.4f}, yours is {found:.4f}")
    if not result.requires_grad:
        fail("the value is right, but no gradient leads back: stay with torch operations on the gradients")
    none = tensor(function(gradients, torch.zeros_like(irrelevant)), (), "your loss")
    if float(none):
        fail("nothing is marked: the loss must be 0")
    print("passed: 0 where nothing is marked; a gradient on a marked pixel costs its square")
