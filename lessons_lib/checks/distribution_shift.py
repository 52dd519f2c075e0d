"""Checks of the exercises of lesson 11: what people look at, what the network relies on, and what no cue can do."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from lessons_lib.checks.core import fail, same, tensor
from lessons_lib.feedback.hint import ranking_loss


def check_box_score(function: Callable[[Tensor, tuple[int, int, int, int]], Tensor]) -> None:
    """`function(human map (H, W), box (x0, y0, x1, y1))`: mean inside / (mean inside + mean outside)."""
    heat = torch.rand(6, 8, generator=torch.Generator().manual_seed(11), dtype=torch.float64)
    box = (1, 2, 5, 4)
    found = tensor(function(heat.clone(), box), (), "your score", {})
    mask = torch.zeros(6, 8, dtype=torch.bool)
    mask[2:4, 1:5] = True
    inside, outside = heat[mask].mean(), heat[~mask].mean()
    if same(inside / (inside + outside), found):
        flat = tensor(function(torch.ones_like(heat), box), (), "your score of a flat map", {})
        if same(torch.tensor(0.5, dtype=torch.float64), flat):
            print("passed: 0.5 says as hot as the rest, whatever the size of the box")
            return
        fail(f"a map that is the same everywhere must give 0.5, yours gives {float(flat):.4f}")
    if same(heat[mask].sum() / heat.sum(), found):
        fail("this is the share of the heat inside: large boxes would win by their size; take means")
    if same(inside / outside, found):
        fail("this is the ratio of the means; divide by their sum, so that it lies in 0 to 1")
    if same(inside / (inside + heat.mean()), found):
        fail("the second mean is over the pixels outside the box, not over all")
    turned = heat[1:5, 2:4].mean()
    if same(turned / (turned + (heat.sum() - heat[1:5, 2:4].sum()) / (48 - 8)), found):
        fail("the box is (x0, y0, x1, y1): rows are y, columns are x")
    fail(
        f"for the small case of this check the score is {inside / (inside + outside):.4f}, yours is {float(found):.4f}"
    )


def check_ranking_loss(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """`function(importances (B, R), human (B, R))`: what pairs cost that the network orders against the person."""
    generator = torch.Generator().manual_seed(12)
    alpha = torch.randn(3, 5, generator=generator, dtype=torch.float64).requires_grad_()
    human = torch.tensor([[0.9, 0.5, 0.5, 0.2, 0.2], [0.1, 0.3, 0.8, 0.8, 0.6], [0.7, 0.2, 0.4, 0.2, 0.2]]).double()
    result = function(alpha, human.clone())
    hints = {(3,): "add up the pairs and divide by B R: one number", (3, 5, 5): "add up all pairs: one number"}
    found = tensor(result, (), "your loss", hints)
    right = ranking_loss(alpha.detach(), human)
    if same(right, found):
        if not result.requires_grad:
            fail("the value is right, but no gradient leads back to the importances: nothing would be trained")
        print("passed: ordered pairs are free, tied ones too")
        return
    if same(ranking_loss(alpha.detach(), human, ties=True), found):
        fail(
            "this also counts pairs that the person scores alike (>=): they are pulled together from both sides; use >"
        )
    if same(ranking_loss(-alpha.detach(), human), found) or same(ranking_loss(alpha.detach(), -human), found):
        fail("the sign is turned: a pair costs where h_i > h_j and alpha_j > alpha_i")
    if same(right * alpha.numel(), found):
        fail("divide by B R, the number of regions in the batch")
    if same(right * alpha.shape[1], found):
        fail("divide by R, too")
    if same(right * len(alpha), found):
        fail("average over the batch, too")
    more = alpha.detach()[:, None, :] - alpha.detach()[:, :, None]
    if same((more * (human[:, :, None] > human[:, None, :])).sum() / alpha.numel(), found):
        fail("pairs in the right order must cost 0, not less: take max(0, .) of each pair")
    fail(f"for the small case of this check the loss is {float(right):.4f}, yours is {float(found):.4f}")


def check_zero_out(function: Callable[[Tensor], Tensor]) -> None:
    """`function(logits (B, A))`: binary cross-entropy against targets of 0, summed over answers, averaged over B."""
    logits = torch.randn(4, 6, generator=torch.Generator().manual_seed(13), dtype=torch.float64).requires_grad_()
    result = function(logits)
    found = tensor(result, (), "your loss", {(4,): "average over the batch: one number", (4, 6): "add up and average"})
    each = F.softplus(logits.detach())
    if same(each.sum() / 4, found):
        if not result.requires_grad:
            fail("the value is right, but no gradient leads back to the logits")
        print("passed: it knows of no region")
        return
    if same(each.mean(), found):
        fail("add up over the answers, as the answer loss does, and average over the batch alone")
    if same(F.softplus(-logits.detach()).sum() / 4, found):
        fail("this asks every answer to be likely: the target is 0")
    if same(each.sum(), found):
        fail("average over the batch")
    fail(f"for the small case of this check the loss is {float(each.sum() / 4):.4f}, yours is {float(found):.4f}")
