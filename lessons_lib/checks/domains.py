"""Checks of the exercises of lesson 10: a bridge of attention between two domains."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lessons_lib.checks.core import fail, same, tensor


def check_foreground_loss(function: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """`function(maps (B, H, W), foregrounds (B, H, W) bool, source (B,) bool)`: (A - H)^2 of the source's scaled maps."""
    generator = torch.Generator().manual_seed(10)
    maps = (3 * torch.rand(5, 4, 4, generator=generator, dtype=torch.float64) + 0.5).requires_grad_()
    masks = torch.rand(5, 4, 4, generator=generator) > 0.6
    source = torch.tensor([True, False, True, True, False])
    result = function(maps, masks.clone(), source.clone())
    hints = {
        (4, 4): "take the mean over pixels, too: one number",
        (3,): "take the mean over the source's pictures, too",
        (5,): "leave target pictures out, then take the mean over pictures",
    }
    found = tensor(result, (), "your loss", hints)
    low, high = maps.detach().amin((1, 2), keepdim=True), maps.detach().amax((1, 2), keepdim=True)
    unit = (maps.detach() - low) / (high - low)
    wrong = (unit - masks.double()).square().mean((1, 2))
    right = wrong[source].mean()
    if same(right, found):
        if not result.requires_grad:
            fail("the value is right, but no gradient leads back to the maps: stay with torch operations on them")
        (gradient,) = torch.autograd.grad(result, maps)
        if bool(gradient[~source].any()):
            fail("the value is right, but a gradient reaches target pictures: nobody drew their foreground")
        print("passed: only source pictures are taught where to look")
        return
    raw = (maps.detach() - masks.double()).square().mean((1, 2))
    if same(wrong.mean(), found):
        fail("target pictures count, too, but nobody drew their foreground: take source pictures alone")
    if same(wrong[~source].mean(), found):
        fail("source and target are exchanged: `source` is True where the foreground is known")
    if same(raw[source].mean(), found):
        fail("scale each map to [0, 1] first: a mask has no unit, and a map does")
    if same((maps.detach() / high - masks.double()).square().mean((1, 2))[source].mean(), found):
        fail("move each map's smallest value to 0 as well as its largest to 1")
    if same(wrong[source].sum() / len(source), found):
        fail("divide by the number of source pictures, not of all")
    if same((unit - masks.double()).abs().mean((1, 2))[source].mean(), found):
        fail("square the difference")
    fail(f"for the small case of this check the loss is {right:.4f}, yours is {found:.4f}")


def check_attended_features(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """`function(activations (B, K, h, w), maps (B, h, w) >= 0)`: the mean of the activations under the map, (B, K)."""
    generator = torch.Generator().manual_seed(11)
    activations = torch.randn(3, 5, 2, 4, generator=generator, dtype=torch.float64)
    maps = (torch.rand(3, 2, 4, generator=generator, dtype=torch.float64) + 0.1).requires_grad_()
    result = function(activations.clone(), maps)
    hints = {
        (3,): "keep the channels: (B, K)",
        (3, 5, 2, 4): "sum over the positions",
        (5,): "keep the pictures: (B, K)",
    }
    found = tensor(result, (3, 5), "your features", hints)
    given = maps.detach()[:, None]
    total = (activations * given).sum((2, 3))
    right = total / given.sum((2, 3))
    if same(right, found):
        if not result.requires_grad:
            fail("the values are right, but no gradient leads back to the maps: the bridge must move attention, too")
        print("passed: the features of this class, here")
        return
    if same(activations.mean((2, 3)), found):
        fail("this is the plain mean over the picture; weigh each position with the map")
    if same(total, found):
        fail("divide by the sum of the map: otherwise a judge may go by how large the map is")
    if same(total / 8, found):
        fail("divide by the sum of the map, not by the number of positions")
    if same(total / given.amax((2, 3)), found):
        fail("divide by the sum of the map, not by its maximum")
    fail("for the small case of this check the features are others: sum of map times activation, over sum of the map")


def check_reverse_gradient(function: Callable[[Tensor, float], Tensor]) -> None:
    """`function(values, strength)`: the same values forward, the gradient times -strength backward."""
    values = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64, requires_grad=True)
    upstream = torch.tensor([[1.0, 2.0], [-1.0, 0.5]], dtype=torch.float64)
    result = function(values, 0.5)
    found = tensor(result, (2, 2), "your output")
    if same(-0.5 * values.detach(), found):
        fail("you reverse the values; only the gradient is reversed, the values pass as they are")
    if not same(values.detach(), found):
        fail(f"the values must pass as they are: {values.tolist()} became {found.tolist()}")
    if not result.requires_grad:
        fail("no gradient leads back through your function: a detached part must stand beside one that is not")
    (gradient,) = torch.autograd.grad((result * upstream).sum(), values)
    if same(-0.5 * upstream, gradient):
        print("passed: the judge learns to tell the domains apart, the network to keep them alike")
        return
    if same(upstream, gradient):
        fail("the gradient passes unchanged: then judge and network pull in the same direction")
    if same(0.5 * upstream, gradient):
        fail("the sign is missing: the gradient must be multiplied by -strength")
    if same(-upstream, gradient):
        fail("the strength is missing: multiply by -strength, not by -1")
    if same(-1.5 * upstream, gradient):
        fail("the factors must sum to -strength: x - (1 + strength) x gives -strength, so look at what you detach")
    fail(f"for strength 0.5 and the gradient {upstream.tolist()} yours is {gradient.tolist()}")
