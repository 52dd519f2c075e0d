"""Checks of the exercises of lesson 12: quadrants and the attention term of SQuINT."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lessons_lib.checks.core import fail, same, tensor


def check_quadrants(function: Callable[[Tensor, Tensor], tuple[float, ...]]) -> None:
    """`function(main_right (P,), sub_right (P,))`: shares of both right, main only, sub only, neither, and the consistency."""
    main = torch.tensor([True, True, True, True, True, False, False, False, False, False])
    sub = torch.tensor([True, True, True, True, False, True, True, False, False, False])
    result = function(main.clone(), sub.clone())
    if result is None:
        fail("your function returns None: does it return something?")
    if not isinstance(result, tuple | list) or len(result) != 5:
        fail(f"five numbers are expected, both right, main only, sub only, neither, consistency; got {result!r}")
    found = [float(number) for number in result]
    right = [0.4, 0.1, 0.2, 0.3, 0.8]
    close = [abs(a - b) < 1e-5 for a, b in zip(found, right)]
    if all(close):
        if not all(abs(float(n)) < 1e-6 for n in function(torch.zeros(2).bool(), torch.ones(2).bool())[3:]):
            fail("no reasoning question is right: the consistency is 0 by agreement, and no pair is wrong in both")
        print("passed: the four shares sum to 1; consistency leaves the lower two out")
        return
    if abs(sum(found[:4]) - 10) < 1e-5:
        fail("these are counts; divide by the number of pairs")
    if abs(found[1] - 0.2) < 1e-5 and abs(found[2] - 0.1) < 1e-5:
        fail("main only and sub only are exchanged: a right reasoning question comes first")
    if all(close[:4]):
        hints = {
            0.4 / 0.6: "you divided by the pairs whose sub-question is right; asked is P(sub right | main right)",
            0.7: "this is the share of pairs in which both questions fare alike: two wrong answers are no consistency",
            0.4: "this is the share of all pairs; divide by the pairs whose reasoning question is right",
        }
        hint = next((text for value, text in hints.items() if abs(found[4] - value) < 1e-5), "")
        fail(f"the consistency of the small case is 0.8, yours is {found[4]:.4g}{': ' + hint if hint else ''}")
    fail(f"for the small case the four shares are {right[:4]}, yours are {[round(n, 4) for n in found[:4]]}")


def check_attention_term(function: Callable[[Tensor, Tensor, bool], Tensor]) -> None:
    """`function(main (B, R), sub (B, R), detach)`: their mean squared difference, one number, and who gets its gradients."""
    generator = torch.Generator().manual_seed(12)
    given = [torch.randn(3, 5, generator=generator, dtype=torch.float64).softmax(1) for _ in range(2)]
    main, sub = (one.clone().requires_grad_() for one in given)
    result = function(main, sub, False)
    hints = {
        (3,): "take the mean over the pairs, too",
        (3, 5): "take the mean over regions and pairs",
        (5,): "take the mean over the regions, too",
    }
    found, apart = tensor(result, (), "your loss", hints), given[0] - given[1]
    right = apart.square().mean()
    if not same(right, found):
        _wrong_value(found, apart, given)
        fail(f"for the small case of this check the loss is {right:.4f}, yours is {found:.4f}")
    for detach in (False, True):
        main, sub = (one.clone().requires_grad_() for one in given)
        loss = function(main, sub, detach)
        if not loss.requires_grad:
            fail("the value is right, but no gradient leads back: stay with torch operations on the attentions")
        toward, away = torch.autograd.grad(loss, (main, sub), allow_unused=True)
        if toward is None or not toward.abs().sum():
            fail("no gradient reaches the reasoning question's attention: that is the one which has to move")
        reached = away is not None and bool(away.abs().sum())
        if detach and reached:
            fail("with detach the sub-question's attention is a constant: a gradient still reaches it")
        if not detach and not reached:
            fail("without detach both attentions move: no gradient reaches the sub-question's")
    print("passed: 0 where both look alike; detach decides who moves")


def _wrong_value(found: Tensor, apart: Tensor, given: list[Tensor]) -> None:
    if same(apart.square().sum(1).mean(), found):
        fail("you summed over the regions; the mean over them is asked, so that its size depends on their number")
    if same(apart.square().sum(), found):
        fail("you summed over regions and pairs; take the mean")
    if same(apart.abs().mean(), found):
        fail("this is the mean absolute difference; square it")
    if same(apart.square().mean().sqrt(), found):
        fail("leave the root out: its gradient has no limit where both look alike")
    if same(apart.mean(), found):
        fail("the square is missing: both attentions sum to 1, so that plain differences cancel to 0")
    if same(-(given[0] * given[1]).sum(1).mean(), found):
        fail("this is minus the scalar product; take the mean squared difference")


def check_other_image(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """`function(sub (B, R), picture (B,))`: the attentions dealt anew, none from a row about the same picture."""
    generator = torch.Generator().manual_seed(3)
    picture = torch.tensor([0, 0, 0, 1, 1, 2, 3, 3, 4, 5])
    sub = torch.rand(10, 4, generator=generator, dtype=torch.float64)
    found = tensor(function(sub.clone(), picture.clone()), (10, 4), "your attentions")
    gaps = (found[:, None] - sub[None]).abs().amax(2)
    if float(gaps.amin(1).max()) > 1e-9:
        fail("each row must be one of the rows that were given: move rows, do not mix or shuffle within them")
    source = gaps.argmin(1)
    if torch.equal(source, torch.arange(10)):
        fail("every row kept its own attention: nothing was dealt")
    if len(source.unique()) < 10:
        fail("every attention must be used once: then the control has the same attentions, in other places")
    kept = torch.nonzero(picture[source] == picture)[:, 0].tolist()
    if kept:
        fail(
            f"row {kept[0]} got the attention of row {int(source[kept[0]])}, which is about the same picture "
            f"{int(picture[kept[0]])}: roll by at least as many rows as the largest group of one picture has"
        )
    print("passed: every attention is used once, always for another picture")
