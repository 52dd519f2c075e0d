"""Checks of the exercises of lesson 06: vision-language transformers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lessons_lib.checks.core import fail, same, tensor


def check_word_map(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """`function(attention (H, L, 1 + N), gradient (H, L, 1 + N))`: the words' maps (L, N), image class token left out."""
    generator = torch.Generator().manual_seed(6)
    attention = torch.rand(3, 4, 10, generator=generator, dtype=torch.float64).softmax(2)
    gradient = torch.randn(3, 4, 10, generator=generator, dtype=torch.float64)
    found = tensor(
        function(attention.clone(), gradient.clone()),
        (4, 9),
        "your maps",
        {
            (4, 10): "the first column is the image's class token, which is nowhere in the picture: leave it out",
            (3, 4, 9): "one map a word is needed: average over the heads",
            (3, 9): "you averaged over the words; average over the heads, the first axis",
        },
    )
    product = attention * gradient.clamp(min=0)
    right = product.mean(0)[:, 1:]
    if same(right, found):
        print("passed: attention times the positive part of its gradient, heads averaged")
        return
    if same(product.sum(0)[:, 1:], found):
        fail("you summed over the heads; the recipe takes their mean")
    if same((attention * gradient).mean(0)[:, 1:], found) or same(
        (attention * gradient).mean(0)[:, 1:].clamp(min=0), found
    ):
        fail(
            "clamp the gradient at 0 before you multiply: else a head that speaks against the match cancels one for it"
        )
    if same((attention * gradient.abs()).mean(0)[:, 1:], found):
        fail("negative gradients count as evidence in your map; their positive part is needed")
    if same((attention.mean(0) * gradient.mean(0).clamp(min=0))[:, 1:], found):
        fail("you averaged attention and gradient over the heads first; multiply within each head, then average")
    if same(product.mean(0)[:, :-1], found):
        fail("you left out the last patch; the image's class token is the first column")
    fail(f"the map of word 0 begins with {right[0, 0]:.4f}, yours with {found[0, 0]:.4f}")


def check_hard_negative_weights(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """`function(similarity (B, B), true bool (B, B))`: with which chance each text is drawn as a picture's negative."""
    similarity = torch.tensor([[4.0, 3.0, 0.0, 1.0], [1.0, 5.0, 2.0, 2.0], [0.0, 0.0, 3.0, 3.0], [2.0, 1.0, 0.0, 6.0]])
    true = torch.eye(4, dtype=torch.bool)
    true[2, 3] = True  # the fourth text is true of the third picture, too
    found = tensor(
        function(similarity.double(), true.clone()),
        (4, 4),
        "your chances",
        {(4,): "a row of chances for every picture is needed, one entry a text"},
    )
    if (found < 0).any() or not same(found.sum(1), torch.ones(4, dtype=torch.float64)):
        fail(f"the chances of each row must be at least 0 and add up to 1; your rows add up to {found.sum(1).tolist()}")
    right = similarity.double().masked_fill(true, -torch.inf).softmax(1)
    if same(right, found):
        print("passed: the closest texts that are not true of the picture are drawn most often")
        return
    if (found.diagonal() > 0).any():
        fail("a picture's own text can be drawn as its negative: give the pairs in `true` no chance")
    if found[2, 3] > 0:
        fail(
            "text 3 is true of picture 2, too: as a negative it would teach something false; use `true`, not the diagonal"
        )
    if same((~true).double() / (~true).sum(1, keepdim=True), found):
        fail("your negatives are drawn evenly; hard ones are drawn in proportion to the softmax of the similarity")
    fail(
        f"row 0 should be {[round(v, 3) for v in right[0].tolist()]}, yours is {[round(v, 3) for v in found[0].tolist()]}"
    )
