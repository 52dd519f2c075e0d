"""Checks of the exercises of lesson 14: what a crop holds, the contrast with a queue, and CAST's attention loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from lessons_lib.checks.core import fail, same, tensor


def check_covered(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """`function(masks (B, H, W) bool, boxes (B, 4))`: the share of each mask's area that lies in its box, (B,)."""
    masks = torch.zeros(4, 6, 8, dtype=torch.bool)
    masks[0, 1:5, 2:6] = True  # 16 pixels
    masks[1, 0:2, 0:8] = True  # 16 pixels
    masks[2, 3, 3] = True
    boxes = torch.tensor([[4, 0, 8, 3], [0, 1, 4, 6], [3, 3, 4, 4], [0, 0, 8, 6]])
    right = torch.tensor([0.25, 0.25, 1.0, 0.0], dtype=torch.float64)
    result = function(masks.clone(), boxes.clone())
    if isinstance(result, Tensor) and result.shape == (4,) and bool(result.isnan()[3]) and not result[:3].isnan().any():
        fail("an empty mask gives 0 / 0 = NaN: divide by at least 1, so that its share is 0")
    found = tensor(result, (4,), "your shares")
    if same(right, found):
        print("passed: half-open boxes, areas of the mask, 0 for an empty one")
        return
    inside = torch.tensor([4.0, 4.0, 1.0, 0.0], dtype=torch.float64)
    areas = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).double()
    hints = (
        (inside, "these are counts; divide by the mask's area"),
        (inside / areas, "you divided by the box's area: asked is the share of the mask"),
        (inside / 48, "you divided by the picture's area: asked is the share of the mask"),
    )
    for value, text in hints:
        if same(value, found):
            fail(text)
    if float(found.max()) > 1 + 1e-6:
        fail(f"a share cannot be above 1, yours are {found.tolist()}")
    if same(torch.tensor([0.125, 0.25, 1.0, 0.0], dtype=torch.float64), found):
        fail("x and y seem to be exchanged: a box is x0, y0, x1, y1, a mask is indexed [y, x]")
    fail(f"the shares of the small case are {right.tolist()}, yours are {[round(n, 4) for n in found.tolist()]}; x1 and y1 "
         "are exclusive, and masks are indexed [y, x]")  # fmt: skip


def check_info_nce(function: Callable[[Tensor, Tensor, Tensor, float], Tensor]) -> None:
    """`function(queries (B, D), keys (B, D), queue (K, D), temperature)`: MoCo's loss, one number; unit vectors are given."""
    generator = torch.Generator().manual_seed(14)
    draw = (torch.randn(n, 5, generator=generator, dtype=torch.float64) for n in (4, 4, 7))
    queries, keys, queue = (F.normalize(one, dim=1) for one in draw)
    right = _contrast(queries, keys, queue, 0.5)
    found = tensor(
        function(queries.clone(), keys.clone(), queue.clone(), 0.5), (), "your loss", {(4,): "take the mean"}
    )
    if not same(right, found):
        positive, negative = (queries * keys).sum(1, keepdim=True), queries @ queue.t()
        hints = (
            (_contrast(queries, keys, queue, 1.0), "the temperature is missing: divide all similarities by it"),
            (_contrast(queries, keys, queue, 2.0), "you multiplied by the temperature; divide"),
            (_cross(negative / 0.5, 0), "the own key is not among the logits: it is the class that is right"),
            (
                _cross(torch.cat([negative, positive], 1) / 0.5, 0),
                "the own key stands last, but class 0 is taken for right",
            ),
            (_cross(torch.cat([queries @ keys.t(), negative], 1) / 0.5, 0), "the own key of query b is keys[b] alone"),
            (right * 4, "take the mean over the queries, not the sum"),
        )
        for value, text in hints:
            if same(value, found):
                fail(text)
        fail(f"for the small case of this check the loss is {float(right):.4f}, yours is {float(found):.4f}")
    queries.requires_grad_()
    keys.requires_grad_()
    loss = function(queries, keys, queue, 0.5)
    toward, away = torch.autograd.grad(loss, (queries, keys), allow_unused=True)
    if toward is None or not toward.abs().sum():
        fail("the value is right, but no gradient reaches the queries")
    if away is not None and bool(away.abs().sum()):
        fail("a gradient reaches the keys: they come from the momentum encoder; detach them")
    print("passed: the own key against the queue; only the queries learn")


def _contrast(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    return _cross(torch.cat([(queries * keys).sum(1, keepdim=True), queries @ queue.t()], 1) / temperature, 0)


def _cross(logits: Tensor, right: int) -> Tensor:
    return F.cross_entropy(logits, torch.full((len(logits),), right))


def check_attention_loss(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """`function(maps (B, h, w), wanted (B, h, w))`: 1 - cos per image, then the mean; a gradient reaches the maps."""
    generator = torch.Generator().manual_seed(41)
    scale = torch.tensor([1.0, 30.0, 0.1], dtype=torch.float64)[:, None, None]
    maps = torch.rand(3, 4, 4, generator=generator, dtype=torch.float64) * scale
    wanted = (torch.rand(3, 4, 4, generator=generator, dtype=torch.float64) > 0.6).double()
    cosines = F.cosine_similarity(maps.flatten(1), wanted.flatten(1), dim=1)
    right = (1 - cosines).mean()
    found = tensor(function(maps.clone(), wanted.clone()), (), "your loss", {(3,): "take the mean over the pictures"})
    if not same(right, found):
        whole = F.cosine_similarity(maps.flatten(), wanted.flatten(), dim=0)
        hints = (
            (1 - whole, "this is one cosine over the whole batch: a picture with a strong map drowns the others; per picture"),
            (cosines.mean(), "this is the cosine: subtract it from 1, so that less is better"),
            (-cosines.mean(), "add 1, so that a perfect map has the loss 0"),
            ((1 - cosines).sum(), "take the mean over the pictures, not the sum"),
            ((1 - F.cosine_similarity(maps, wanted, dim=2)).mean(), "flatten each map: the cosine is over all positions, "
             "not over each row"),
            ((maps - wanted).square().mean(), "this is a squared distance: it depends on the scale of the map"),
        )  # fmt: skip
        for value, text in hints:
            if same(value, found):
                fail(text)
        fail(f"for the small case of this check the loss is {float(right):.4f}, yours is {float(found):.4f}")
    maps.requires_grad_()
    loss = function(maps, wanted)
    if not loss.requires_grad:
        fail("the value is right, but no gradient leads back to the map: stay with torch operations, do not detach")
    if not torch.autograd.grad(loss, maps)[0].abs().sum():
        fail("the value is right, but the gradient on the map is 0")
    print("passed: one cosine a picture, whatever the scale of its map")
