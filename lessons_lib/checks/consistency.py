"""Checks of the exercises of lesson 13: importance vectors, SOrT's hinge and the ranking metrics."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lessons_lib.checks.core import fail, same, tensor


def check_importance_vector(function: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> None:
    """`function(out, joint (B, D), answer (B,))`: gradient of the answer's logit times the fused vector, and its graph."""
    generator = torch.Generator().manual_seed(13)
    first, second = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((6, 4), (3, 6)))
    joint = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    answer = torch.tensor([0, 2, 1, 1, 0])
    first.requires_grad_()
    seen = joint.clone().requires_grad_()

    def out(values: Tensor) -> Tensor:
        return torch.tanh(values @ first.T) @ second.T

    result = function(out, seen, answer)
    found = tensor(result, (5, 4), "your vectors", {(4,): "keep one vector a question", (5,): "do not sum over D"})
    logits = out(seen)
    (gradient,) = torch.autograd.grad(logits[torch.arange(5), answer].sum(), seen)
    right = (gradient * joint).detach()
    if not same(right, found):
        (top,) = torch.autograd.grad(out(seen).amax(1).sum(), seen)
        (whole,) = torch.autograd.grad(out(seen).sum(), seen)
        (chance,) = torch.autograd.grad(out(seen).softmax(1)[torch.arange(5), answer].sum(), seen)
        hints = (
            (gradient, "this is the gradient alone; multiply it by the fused vector, entry by entry"),
            (right.clamp(min=0), "there is no ReLU here: evidence against the answer counts too"),
            (top * joint, "this explains the predicted answer; the true answer's logit is asked"),
            (whole * joint, "you summed over all answers; take each question's own"),
            (chance * joint, "take the logit, not the probability: its gradient vanishes where the network is sure"),
            (right / 5, "sum the logits of the batch, do not average: a vector must not depend on the batch's size"),
        )
        for wrong, text in hints:
            if same(wrong, found):
                fail(text)
        fail(f"for the small case the first vector is {_numbers(right[0])}, yours is {_numbers(found[0])}")
    if not result.requires_grad:
        fail("the values are right, but a loss on them could train nothing: keep the graph with create_graph=True")
    (reached,) = torch.autograd.grad(result.square().sum(), first, allow_unused=True)
    if reached is None or not reached.abs().sum():
        fail("no gradient reaches the weights through your vectors: keep the graph with create_graph=True")
    print("passed: gradient times activation, and a loss on it reaches the weights")


def check_ranking_hinge(function: Callable[[Tensor, Tensor, Tensor, float], Tensor]) -> None:
    """`function(main, sub, other (B, D), margin)`: mean max(0, margin + d(main, sub) - d(main, other)), d = 1 - cosine."""
    generator = torch.Generator().manual_seed(5)
    given = [torch.randn(6, 4, generator=generator, dtype=torch.float64) for _ in range(3)]
    for near, far, rows in ((1, 2, slice(1, 6)), (2, 1, slice(0, 1))):  # one row of six is ranked wrongly
        given[near][rows] = given[0][rows] + 0.4 * given[near][rows]
        given[far][rows] -= given[0][rows]
    main, sub, other = (one.clone().requires_grad_() for one in given)
    hints = {(6,): "take the mean over the batch", (6, 4): "a distance is one number a row"}
    result = function(main, sub, other, 0.5)
    found = tensor(result, (), "your loss", hints)
    near, far = (1 - F.cosine_similarity(given[0], one, dim=1) for one in given[1:])
    right = F.relu(0.5 + near - far).mean()
    if not same(right, found):
        unit = [F.normalize(one, dim=1) for one in given]
        cases = (
            (F.relu(0.5 + far - near).mean(), "sub-question and irrelevant question are exchanged"),
            (F.relu(0.5 + (near - far).mean()), "this is the hinge of the batch's means: a row that is right by much pays for "
             "one that is wrong. Take the mean of the rows' hinges"),
            (F.relu(near - far).mean(), "the margin is missing"),
            (F.relu(near - far - 0.5).mean(), "the margin has the wrong sign: it asks for more distance, not less"),
            (near.mean(), "this is the attractive half alone, which leaves the irrelevant question out"),
            ((0.5 + near - far).mean(), "the hinge is missing: a row that is ranked well enough must cost nothing"),
            (F.relu(0.5 + near - far).sum(), "take the mean over the batch, not the sum"),
            (F.relu(0.5 + (unit[0] - unit[1]).square().sum(1) - (unit[0] - unit[2]).square().sum(1)).mean(),
             "these are squared distances of unit vectors, twice 1 - cosine"),
            (F.relu(0.5 + (given[0] - given[1]).norm(dim=1) - (given[0] - given[2]).norm(dim=1)).mean(),
             "these are Euclidean distances; 1 - cosine does not see the vectors' lengths"),
        )  # fmt: skip
        for wrong, text in cases:
            if same(wrong, found):
                fail(text)
        fail(f"for the small case of this check the loss is {right:.4f}, yours is {found:.4f}")
    if not result.requires_grad:
        fail("the value is right, but no gradient leads back: stay with torch operations on the vectors")
    gradients = torch.autograd.grad(result, (main, sub, other), allow_unused=True)
    for name, gradient in zip(("reasoning question", "sub-question", "irrelevant question"), gradients):
        if gradient is None or not gradient.abs().sum():
            fail(f"no gradient reaches the {name}'s vector: all three have to move")
    parallel = torch.ones(2, 4, dtype=torch.float64)
    if abs(float(function(parallel, 2 * parallel, 3 * parallel, 0.5)) - 0.5) > 1e-6:
        fail("vectors that are all parallel must cost the margin, whatever their lengths")
    print("passed: a row costs until it is ranked right by the margin; parallel vectors cost the margin")


def check_ranking_metrics(function: Callable[[Tensor, Tensor], tuple[float, float, float]]) -> None:
    """`function(similarity (C,), relevant (C,))` of one group: precision at 1, reciprocal rank, all relevant ones on top."""
    cases = (
        ([0.1, 0.9, 0.5, -0.2], [True, False, True, False], (0.0, 0.5, 0.0)),
        ([0.8, 0.7, 0.1, 0.3], [True, True, False, False], (1.0, 1.0, 1.0)),
        ([0.9, 0.1, 0.5], [True, True, False], (1.0, 1.0, 0.0)),
        ([-0.9, -0.2, -0.1, -0.5], [True, False, False, False], (0.0, 0.25, 0.0)),
    )
    for similarity, relevant, right in cases:
        result = function(torch.tensor(similarity), torch.tensor(relevant))
        if result is None:
            fail("your function returns None: does it return something?")
        if not isinstance(result, tuple | list) or len(result) != 3:
            fail(f"three numbers are expected, precision at 1, reciprocal rank, ranking accuracy; got {result!r}")
        found = [float(number) for number in result]
        where = f"for similarities {similarity}, relevant {relevant}"
        if abs(found[0] - right[0]) > 1e-6:
            fail(
                f"{where} precision at 1 is {right[0]:g}, yours is {found[0]:.4g}: is the most similar candidate relevant?"
            )
        if abs(found[1] - right[1]) > 1e-6:
            hint = ": ranks start at 1" if found[1] in (float("inf"), 2 * right[1]) or found[1] > 1 else ""
            fail(
                f"{where} the reciprocal rank of the first relevant one is {right[1]:g}, yours is {found[1]:.4g}{hint}"
            )
        if abs(found[2] - right[2]) > 1e-6:
            fail(
                f"{where} ranking accuracy is {right[2]:g}, yours is {found[2]:.4g}: it is 1 only when every relevant "
                "candidate stands above every irrelevant one"
            )
    print("passed: precision looks at the top, the reciprocal rank at the first hit, ranking accuracy at every pair")


def _numbers(row: Tensor) -> list[float]:
    return [round(number, 4) for number in row.tolist()]
