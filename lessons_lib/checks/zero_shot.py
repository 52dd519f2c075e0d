"""Checks of the exercises of lesson 08: zero-shot classifiers from descriptions."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from lessons_lib.checks.core import fail, same, tensor


def check_importance_loss(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """`function(wanted (C, K), importances (B, C, K))`: the mean of 1 - cosine, a single number."""
    generator = torch.Generator().manual_seed(8)
    wanted = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    given = torch.randn(4, 3, 5, generator=generator, dtype=torch.float64).requires_grad_()
    result = function(wanted.clone(), given)
    hints = {
        (4, 3): "take the mean over images and classes: one number",
        (4,): "take the mean over images, too",
        (3,): "take the mean over classes, too",
    }
    found = tensor(result, (), "your loss", hints)
    cosine = F.cosine_similarity(wanted, given.detach(), dim=-1)
    right = (1 - cosine).mean()
    if same(right, found):
        if not result.requires_grad:
            fail(
                "the value is right, but no gradient leads back to the importances: stay with torch operations on them"
            )
        print("passed: 0 for the same direction, whatever the length")
        return
    if same(cosine.mean(), found):
        fail("this is the cosine itself; a loss must fall when the two agree better: take 1 - cosine")
    if same(-cosine.mean(), found):
        fail("take 1 - cosine: then the loss is 0 where the two agree")
    if same(1 - (wanted * given.detach()).sum(-1).mean(), found):
        fail("this is the scalar product; divide by both lengths: how large an importance is depends on the layer")
    if same((wanted - given.detach()).square().mean(), found):
        fail("a squared distance also asks for the right length, which nobody knows for a class never seen")
    if same((1 - F.cosine_similarity(wanted.expand(4, -1, -1), given.detach(), dim=1)).mean(), found):
        fail("the cosine is taken over the wrong axis: compare over neurons, the last one")
    fail(f"for the small case of this check the loss is {right:.4f}, yours is {found:.4f}")


def check_transfer_loss(function: Callable[[Tensor, Tensor, Tensor, Tensor, float], Tensor]) -> None:
    """`function(wanted (C, K), importances (B, C, K), rows (C, D), mean_row (D,), weight)`: cosine loss and pull."""
    generator = torch.Generator().manual_seed(9)
    wanted = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    given = torch.randn(4, 3, 5, generator=generator, dtype=torch.float64)
    rows = torch.randn(3, 6, generator=generator, dtype=torch.float64).requires_grad_()
    mean, weight = torch.randn(6, generator=generator, dtype=torch.float64), 0.3
    result = function(wanted.clone(), given.clone(), rows, mean.clone(), weight)
    found = tensor(result, (), "your loss", {(3,): "average the pull over the classes: one number"})
    cosine = (1 - F.cosine_similarity(wanted, given, dim=-1)).mean()
    apart = (rows.detach() - mean).square().sum(1)
    right = cosine + weight * 0.5 * apart.mean()
    if same(right, found):
        if not result.requires_grad:
            fail("the value is right, but no gradient leads back to the rows: stay with torch operations on them")
        print("passed: right direction, and a length that can compete")
        return
    if same(cosine, found):
        fail("the pull to the mean row is missing: the cosine leaves the length of a row free")
    if same(cosine + weight * apart.mean(), found):
        fail("the one half is missing: weight / 2 times the squared distance")
    if same(cosine + 0.5 * apart.mean(), found):
        fail("the weight is missing in front of the pull")
    if same(cosine + weight * 0.5 * apart.sum(), found):
        fail("average the squared distances over the classes; otherwise the pull grows with their number")
    if same(cosine + weight * 0.5 * rows.detach().square().sum(1).mean(), found):
        fail("you pull to 0; pull to the mean of the seen rows, with which the new ones compete")
    if same(cosine + weight * 0.5 * apart.sqrt().mean(), found):
        fail("square the distance")
    if same(cosine + weight * 0.5 * apart.mean() / rows.shape[1], found):
        fail("sum the squares over the dimensions of a row; average over the classes alone")
    fail(f"for the small case of this check the loss is {right:.4f}, yours is {found:.4f}")


def check_generalised_accuracy(function: Callable[[Tensor, Tensor, Tensor], tuple[float, float, float]]) -> None:
    """`function(scores (N, C), labels (N,), seen (C,) bool)`: (seen, unseen, harmonic) accuracy, per class, all competing."""
    labels = torch.tensor([0, 0, 0, 0, 1, 2, 2, 3, 3])
    chosen = torch.tensor([0, 0, 0, 1, 0, 2, 0, 3, 3])  # classes 0 and 1 seen: 3/4 and 0; 2 and 3 unseen: 1/2 and 1
    scores = torch.eye(4)[chosen] + 0.1 * torch.eye(4)[labels]
    seen = torch.tensor([True, True, False, False])
    result = function(scores.clone(), labels.clone(), seen.clone())
    if not isinstance(result, tuple | list) or len(result) != 3:
        fail("return three numbers: accuracy of seen classes, of unseen classes, and their harmonic mean")
    s, u, h = (float(v) for v in result)
    right = (0.375, 0.75, 0.5)
    if all(abs(a - b) < 1e-5 for a, b in zip((s, u, h), right)):
        print("passed: both kinds of class must be recognised")
        return
    if abs(s - 0.6) < 1e-5:
        fail("you averaged over images; average the accuracy of each class first: classes count alike")
    if abs(u - 1) < 1e-5:
        fail("unseen images were compared among unseen classes only; let all classes compete for every image")
    if abs(h - (s + u) / 2) < 1e-5:
        fail("this is the arithmetic mean: it would be 0.5 for a model that never names an unseen class")
    if abs(s - 0.75) < 1e-5 and abs(u - 0.375) < 1e-5:
        fail("seen and unseen are exchanged")
    if abs(s - right[0]) < 1e-5 and abs(u - right[1]) < 1e-5:
        fail(f"seen and unseen accuracy are right; their harmonic mean 2 S U / (S + U) is {right[2]}, yours is {h:.3f}")
    fail(f"for the small case of this check the three are {right}, yours are ({s:.3f}, {u:.3f}, {h:.3f})")
