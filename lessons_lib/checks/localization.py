"""Checks of the exercises of lesson 09: soft mask, attention mining, external supervision."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lessons_lib.checks.core import fail, same, tensor
from lessons_lib.feedback.gain import unit_range


def check_soft_mask(function: Callable[[Tensor, float, float], Tensor]) -> None:
    """`function(maps (B, H, W), sigma, omega)`: the sigmoid mask of maps scaled to [0, 1]; a flat map masks next to nothing."""
    maps = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(9), dtype=torch.float64) * 7 + 0.5
    maps[2] = 0.0
    given = maps.clone().requires_grad_()
    result = function(given, 0.6, 8.0)
    found = tensor(result, (3, 4, 5), "your mask", {(4, 5): "keep the batch axis"})
    right = torch.sigmoid(8.0 * (unit_range(maps) - 0.6))
    if same(right, found):
        if not result.requires_grad:
            fail("the values are right, but no gradient leads back to the map: then the loss cannot move it")
        print("passed: near 1 where the network looks, near 0 elsewhere, and differentiable")
        return
    if same(torch.sigmoid(8.0 * (maps - 0.6)), found):
        fail("scale each map to [0, 1] first: sigma is a share of its range")
    if same((unit_range(maps) > 0.6).double(), found):
        fail("this is a hard mask: its gradient is 0 everywhere; use the sigmoid")
    if same(torch.sigmoid(-8.0 * (unit_range(maps) - 0.6)), found) or same(1 - right, found):
        fail("turned round: T must be near 1 where the map is large, for that is what is erased")
    if same(torch.sigmoid(unit_range(maps) - 0.6), found):
        fail("omega is missing: without it the mask hardly differs between attended and other pixels")
    low, high = maps.min(), maps.max()
    if same(torch.sigmoid(8.0 * ((maps - low) / (high - low) - 0.6)), found):
        fail("you scaled the whole batch at once; each map has a range of its own")
    fail(f"for the small case of this check the first value is {right[0, 0, 0]:.4f}, yours is {found[0, 0, 0]:.4f}")


def check_mining_loss(function: Callable[[Callable, Tensor, Tensor, Tensor], Tensor]) -> None:
    """`function(model, images (B, C, H, W), masks (B, H, W), labels (B,))`: the mean probability (sigmoid) of the true class
    on the erased pictures; erased pixels become 0."""
    generator = torch.Generator().manual_seed(10)
    images = torch.randn(3, 2, 4, 4, generator=generator, dtype=torch.float64)
    masks = torch.rand(3, 4, 4, generator=generator, dtype=torch.float64)
    weights = torch.randn(2 * 16, 4, generator=generator, dtype=torch.float64)
    labels = torch.tensor([1, 3, 0])
    given = masks.clone().requires_grad_()

    def model(batch: Tensor) -> Tensor:
        return batch.reshape(len(batch), -1) @ weights

    result = function(model, images.clone(), given, labels.clone())
    found = tensor(result, (), "your loss", {(3,): "take the mean over the pictures: one number"})
    rows = torch.arange(3)
    logits = model(images * (1 - masks[:, None]))
    right = logits.sigmoid()[rows, labels].mean()
    if same(right, found):
        if not result.requires_grad or torch.autograd.grad(result, given)[0].abs().max() == 0:
            fail(
                "the value is right, but no gradient leads back to the mask: do not detach it, for through it the map learns"
            )
        print("passed: the loss is low when nothing is left that the class could be seen by")
        return
    wrong = {
        "these are pictures of what was attended; erase it: I - T I":
            model(images * masks[:, None]).sigmoid()[rows, labels].mean(),
        "you looked at the whole pictures; erase what was attended first": model(images).sigmoid()[rows, labels].mean(),
        "take the score of each picture's own class alone": logits.sigmoid().mean(),
        "put the logit through the sigmoid: a logit has no lower end, and one class would fall for ever":
            logits[rows, labels].mean(),
        "the sign is turned: the score on the erased picture must become small": -right,
        "each class is judged by itself here: sigmoid, not softmax": logits.softmax(1)[rows, labels].mean(),
        "take the mean over the pictures, not the sum": 3 * right,
    }  # fmt: skip
    for message, value in wrong.items():
        if same(value, found):
            fail(message)
    fail(f"for the small case of this check the loss is {right:.4f}, yours is {found:.4f}")


def check_external_loss(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """`function(maps (B, H, W), masks (B, H, W) bool)`: mean squared difference of scaled maps and masks."""
    generator = torch.Generator().manual_seed(11)
    maps = torch.rand(3, 4, 5, generator=generator, dtype=torch.float64) * 3 + 0.2
    masks = torch.rand(3, 4, 5, generator=generator) > 0.6
    given = maps.clone().requires_grad_()
    result = function(given, masks.clone())
    found = tensor(result, (), "your loss", {(3,): "take the mean over the maps: one number"})
    unit, wanted = unit_range(maps), masks.double()
    right = (unit - wanted).square().mean()
    if same(right, found):
        if not result.requires_grad:
            fail("the value is right, but no gradient leads back to the maps")
        print("passed: 0 where the map is the mask, whatever its unit")
        return
    if same((maps - wanted).square().mean(), found):
        fail("a mask has no unit: scale each map to [0, 1] before you compare")
    if same((unit - wanted).abs().mean(), found):
        fail("square the difference")
    if same((unit - wanted).square().sum((1, 2)).mean(), found):
        fail("take the mean over the pixels, too; otherwise the loss grows with the picture's size")
    if same(((unit - wanted).square() * masks).sum() / masks.sum(), found):
        fail("you compared inside the masks alone: a map that is large everywhere would be perfect")
    fail(f"for the small case of this check the loss is {right:.4f}, yours is {found:.4f}")
