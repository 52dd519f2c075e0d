"""Checks of the exercises of lesson 03: captions and questions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lessons_lib.checks.core import fail, same, tensor


def check_caption_score(function: Callable[[Tensor, int], Tensor]) -> None:
    """`function(log_probabilities (B, L), end)`: the caption's score, without what comes from place `end` on."""
    generator = torch.Generator().manual_seed(3)
    given = -torch.rand(2, 6, generator=generator, dtype=torch.float64) - 0.1
    found = tensor(
        function(given.clone(), 4),
        (2,),
        "your score",
        {(2, 4): "one score a picture: sum over the words", (): "keep the batch axis: one score a picture"},
    )
    right = given[:, :4].sum(1)
    if same(right, found):
        print("passed: the sum of the words' log-probabilities")
        return
    if same(given.sum(1), found):
        fail("you also counted what comes from place `end` on; the end of the sentence is not a word")
    if same(given[:, :4].mean(1), found):
        fail("you took the mean; the log-probability of a caption is the sum over its words")
    if same(given[:, :4].exp().sum(1), found) or same(given[:, :4].exp().prod(1), found):
        fail("you left the logarithm; the product of probabilities vanishes, and its gradient with it: add logs")
    if same(-right, found):
        fail("the sign is wrong: this is the loss, and Grad-CAM needs what speaks for the caption")
    fail(f"for log-probabilities {[round(v, 2) for v in given[0].tolist()]} and end=4 the score is {right[0]:.3f}, "
         f"yours is {found[0]:.3f}")  # fmt: skip


def check_inside_outside(function: Callable[[Tensor, Tensor], float]) -> None:
    """`function(maps (B, H, W), boxes bool (B, H, W))`: mean inside over mean outside, of maps scaled to mean 1."""
    maps = torch.tensor([[[4.0, 0, 0], [0, 0, 0]], [[2.0, 2, 1], [1, 1, 1]]], dtype=torch.float64)
    boxes = torch.zeros(2, 2, 3, dtype=torch.bool)
    boxes[0, 0, 0] = True
    boxes[1, 0, :2] = True
    found = torch.as_tensor(function(maps.clone(), boxes.clone()), dtype=torch.float64)
    if found.ndim or not torch.isfinite(found):
        fail(f"one finite number is expected, got {found.tolist()}: average inside and outside first, then divide")
    even = maps / maps.mean((1, 2), keepdim=True)
    inside = (even * boxes).sum((1, 2)) / boxes.sum((1, 2))
    outside = (even * ~boxes).sum((1, 2)) / (~boxes).sum((1, 2))
    right = inside.mean() / outside.mean()
    if same(right, found):
        print("passed: a uniform map has the ratio 1")
        return
    raw = ((maps * boxes).sum((1, 2)) / boxes.sum((1, 2))).mean() / (
        (maps * ~boxes).sum((1, 2)) / (~boxes).sum((1, 2))
    ).mean()
    if same(raw, found):
        fail("one strong map outweighs the others: scale every map to a mean of 1 first")
    sums = (even * boxes).sum((1, 2)).mean() / (even * ~boxes).sum((1, 2)).mean()
    if same(sums, found):
        fail("you compared sums; a large box would win by its size alone: compare means")
    if same(1 / right, found):
        fail("you divided outside by inside")
    fail(f"for the two small maps of this check the ratio is {right:.3f}, yours is {found:.3f}")
