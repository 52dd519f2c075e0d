"""Checks of the exercises of lesson 05: text and video."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from lessons_lib.checks.core import fail, same, tensor


def check_spread_ngrams(function: Callable[[Tensor, int], Tensor]) -> None:
    """`function(values (B, P), n)`: every n-gram's value added to each of its n words, (B, P + n - 1)."""
    values = torch.tensor([[1.0, 10.0, 0.0, 4.0], [0.0, 0.0, 0.0, 2.0]], dtype=torch.float64)
    n, given = 3, values.clone()
    found = tensor(
        function(given, n),
        (2, 6),
        "your result",
        {
            (2, 4): "that is one score an n-gram; a text of P n-grams has P + n - 1 words",
            (6,): "keep the batch axis: one row a text",
        },
    )
    if not torch.equal(given, values):
        fail("your function changed its inputs: add to a new tensor")
    shifted = torch.stack([F.pad(values, (k, n - 1 - k)) for k in range(n)])
    right = shifted.sum(0)
    if same(right, found):
        alone = tensor(function(values.clone(), 1), (2, 4), "your result for n = 1")
        if not same(values, alone):
            fail("with n = 1 an n-gram is a word: the values should come back as they are")
        print("passed: every value is counted n times, and nothing lands beside its n-gram")
        return
    if same(right / n, found):
        fail("you divided by n; here each of the n words gets the whole value")
    if same(right / F.pad(torch.ones_like(values), (n - 1, n - 1)).unfold(1, n, 1).sum(2), found):
        fail("you took the mean over a word's n-grams; add their values")
    if same(shifted.amax(0), found):
        fail("you took the largest value that covers a word; add them up")
    for k, where in enumerate(("first", "middle", "last")):
        if same(shifted[k], found):
            fail(f"you gave each value to its n-gram's {where} word alone; all n words get it")
    stretched = F.interpolate(values[:, None], size=6, mode="linear", align_corners=False)[:, 0]
    if same(stretched, found):
        fail("you resized the values as if they were pixels; that puts them beside their words")
    if same(right.flip(1), found):
        fail("your words run backwards")
    fail(f"for the values 1, 10, 0, 4 and n = 3 the words get {right[0].tolist()}, yours get "
         f"{[round(v, 3) for v in found[0].tolist()]}")  # fmt: skip


def check_time_weights(function: Callable[[Tensor, bool], Tensor]) -> None:
    """`function(gradients (B, C, T, h, w), pool_time)`: the weights (B, C, T)."""
    generator = torch.Generator().manual_seed(5)
    gradients = torch.randn(2, 3, 4, 5, 6, generator=generator, dtype=torch.float64)
    each = gradients.mean((3, 4))
    pooled = each.mean(2, keepdim=True).expand_as(each)
    hints = {
        (2, 3): "one weight for the whole clip: repeat it for every time step, also when time is pooled",
        (2, 3, 1): "the time axis has length 1: expand it to T steps",
        (2, 3, 4, 1, 1): "drop the axes of height and width",
        (2, 4, 5, 6): "keep the channels: every channel has weights of its own",
    }
    kept, averaged = (
        tensor(function(gradients.clone(), pool_time), (2, 3, 4), f"your alpha with pool_time={pool_time}", hints)
        for pool_time in (False, True)
    )
    for pool_time, found, right in ((False, kept, each), (True, averaged, pooled)):
        if same(right, found):
            continue
        start = f"with pool_time={pool_time} "
        if same(pooled if right is each else each, found):
            other = "averages over time" if right is each else "still has a weight for every time step"
            fail(f"{start}your alpha {other}")
        if same(right * 30, found) or same(right * 120, found):
            fail(f"{start}you summed over positions; alpha is the mean")
        if same(right.relu(), found):
            fail(f"{start}you dropped negative weights; the ReLU comes after the sum over channels")
        if same(right.abs(), found):
            fail(f"{start}you took absolute values; a channel may speak against the class")
        fail(f"{start}the first channel's weights are {[round(v, 3) for v in right[0, 0].tolist()]}, yours are "
             f"{[round(v, 3) for v in found[0, 0].tolist()]}")  # fmt: skip
    print("passed: one weight a time step, or the same one at all times")


def check_order_score(function: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """`function(logits (B, K), labels (B,), reverse (K,))`: each label's logit less that of its reverse, (B,)."""
    logits = torch.tensor([[3.0, 1, 0, 7], [2, 5, 1, 0], [0, 4, 9, 6]], dtype=torch.float64)
    labels, reverse = torch.tensor([0, 1, 3]), torch.tensor([1, 0, 3, 2])
    given = logits.clone().requires_grad_()
    result = function(given, labels.clone(), reverse.clone())
    found = tensor(
        result,
        (3,),
        "your score",
        {
            (3, 3): "logits[:, labels] pairs every clip with every label; take one entry a row",
            (3, 1): "drop the last axis",
            (): "keep the batch axis: one score a clip",
        },
    )
    rows = torch.arange(3)
    own, other = logits[rows, labels], logits[rows, reverse[labels]]
    if same(own - other, found):
        if not result.requires_grad:
            fail("the numbers are right, but no gradient can flow back: do not detach, and stay in torch")
        print("passed: what the class and its reverse share cancels")
        return
    if same(other - own, found):
        fail("the sign is wrong: the class comes first, its reverse is subtracted")
    if same(own, found):
        fail("that is the class's logit alone; subtract that of its reverse")
    if same(own - logits[rows, reverse[:3]], found):
        fail("reverse has one entry a class, not a clip: look it up with reverse[labels]")
    if same(own - logits.masked_fill(F.one_hot(labels, 4).bool(), -torch.inf).amax(1), found):
        fail("you subtracted the strongest other class; here it is always the class's reverse")
    for scale in (logits.softmax(1), logits.sigmoid()):
        if same(scale[rows, labels] - scale[rows, reverse[labels]], found):
            fail("you compared probabilities; differences of logits are not squeezed by the other classes")
    fail(f"for the logits {logits[0].tolist()}, class 0 and its reverse 1 the score is {own[0] - other[0]:.1f}, "
         f"yours is {found[0]:.3f}")  # fmt: skip
