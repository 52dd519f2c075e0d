"""Checks of the exercises of lessons 01, 02 and 04."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lessons_lib.checks.core import fail, same, tensor


def _case(seed: int, batch: int = 2, channels: int = 5, side: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.rand(batch, channels, side, side + 1, generator=generator, dtype=torch.float64)
    gradients = torch.randn(batch, channels, side, side + 1, generator=generator, dtype=torch.float64)
    return features, gradients


def _map_check(function: Callable[[Tensor, Tensor], Tensor], sign: float, what: str) -> None:
    features, gradients = _case(4)  # both maps have evidence of both signs
    before = features.clone(), gradients.clone()
    shape = (2, 4, 5)
    found = tensor(
        function(features, gradients),
        shape,
        "your map",
        {
            (2, 5, 4, 5): "sum over the channels, axis 1",
            (2, 1, 4, 5): "did you keep the channel axis?",
            (2, 5): "average the gradient over positions, but keep the positions of the features",
            (4, 5): "one map an image: keep the batch axis",
            (1, 4, 5): "one map an image: do not sum over the batch",
        },
    )
    if not (torch.equal(before[0], features) and torch.equal(before[1], gradients)):
        fail("your function changed its inputs: do not use in-place operations such as relu_ or *=")
    alpha = sign * gradients.mean((2, 3), keepdim=True)
    right = (alpha * features).sum(1).relu()
    if same(right, found):
        zero = tensor(function(features, -sign * gradients.abs()), shape, "your map of evidence against only")
        if zero.any():
            fail("with evidence against only, the map must be zero everywhere")
        print(f"{what} passed: shape, formula, ReLU, zero map, inputs left alone")
        return
    guesses = {
        "the sign of the gradient is the other way round": (-alpha * features).sum(1).relu(),
        "the ReLU is missing: evidence of the other sign must be cut off": (alpha * features).sum(1),
        "the ReLU must come after the sum over channels, not before": (alpha * features).relu().sum(1),
        "the gradient is not averaged over positions first (that is gradient x activation)": (
            (sign * gradients * features).sum(1).relu()
        ),
        "average the gradient over positions, do not sum it: alpha has the factor 1/Z": (
            (sign * gradients.sum((2, 3), keepdim=True) * features).sum(1).relu()
        ),
        "sum over channels, do not average": (alpha * features).mean(1).relu(),
        "do not normalise: the map is in units of the score": right / right.amax((1, 2), keepdim=True),
        "average over positions (axes 2 and 3), not over channels": (
            (sign * gradients.mean(1, keepdim=True) * features).sum(1).relu()
        ),
    }
    for diagnosis, wrong in guesses.items():
        if same(wrong, found):
            fail(f"the shape is right, the values are not: {diagnosis}")
    fail(f"the shape is right, the values are not: expected a maximum of {right.max():.4f}, yours is {found.max():.4f}")


def check_grad_cam_weights(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """function(features (B, K, h, w), gradients (B, K, h, w)) -> Grad-CAM map (B, h, w)."""
    _map_check(function, 1.0, "Grad-CAM")


def check_counterfactual(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """function(features (B, K, h, w), gradients (B, K, h, w)) -> counterfactual map (B, h, w)."""
    _map_check(function, -1.0, "The counterfactual map")


def check_guided_relu(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """function(gradient at the output, z the input) -> what guided backprop passes on; all of one shape."""
    for seed in (0, 1):
        generator = torch.Generator().manual_seed(seed)
        gradient = torch.randn(3, 4, 2, generator=generator, dtype=torch.float64)
        z = torch.randn(3, 4, 2, generator=generator, dtype=torch.float64)
        z[0, 0, 0] = 0.0
        found = tensor(function(gradient, z), (3, 4, 2), "what your ReLU passes on")
        right = gradient * (z > 0) * (gradient > 0)
        if same(right, found, 1e-9):
            continue
        guesses = {
            "that is the rule of plain backprop: the gradient must be positive, too": gradient * (z > 0),
            "that is the deconvnet's rule: the input z must be positive, too": gradient * (gradient > 0),
            "that is the forward pass: return the gradient where both are positive": z.relu(),
            "return the gradient's value, not a mask of ones": ((z > 0) & (gradient > 0)).to(gradient.dtype),
            "at z = 0 a ReLU passes nothing on: use z > 0, not z >= 0": gradient * (z >= 0) * (gradient > 0),
            "both must be positive, one of them is not enough": gradient * ((z > 0) | (gradient > 0)),
        }
        for diagnosis, wrong in guesses.items():
            if same(wrong, found, 1e-9):
                fail(diagnosis)
        i = int((right - found).abs().argmax())
        fail(
            f"for z = {z.flatten()[i]:.2f} and gradient {gradient.flatten()[i]:.2f} your ReLU passes on "
            f"{found.flatten()[i]:.2f}, expected {right.flatten()[i]:.2f}"
        )
    print("The guided ReLU passed: all four sign cases, zero included")


def check_integrated_gradients(function: Callable[[Callable[[Tensor], Tensor], Tensor, Tensor, int], Tensor]) -> None:
    """function(gradient_function, x, baseline, steps) -> attributions shaped like x, by the midpoint rule."""
    generator = torch.Generator().manual_seed(0)
    x, baseline, w = (torch.randn(6, generator=generator, dtype=torch.float64) for _ in range(3))

    def linear(_point: Tensor) -> Tensor:
        return w

    found = tensor(function(linear, x, baseline, 1), (6,), "your attributions")
    if not same((x - baseline) * w, found):
        if same(w, found):
            fail("you return the mean gradient: multiply it by (x - baseline)")
        if same(x * w, found):
            fail("multiply by (x - baseline), not by x: at x = baseline the attribution must be 0")
        fail("for a linear function one step must give (x - baseline) * gradient exactly")
    asked: list[Tensor] = []

    def cubic(point: Tensor) -> Tensor:
        asked.append(point.detach().clone())
        return 3 * point**2

    steps = 8
    found = tensor(function(cubic, x, baseline, steps), (6,), "your attributions")
    if len(asked) != steps:
        fail(f"the gradient was asked for {len(asked)} times, expected once a step: {steps} times")
    points = [(i + 0.5) / steps for i in range(steps)]
    right = (x - baseline) * sum(3 * (baseline + t * (x - baseline)) ** 2 for t in points) / steps
    if not same(right, found):
        if same(right * steps, found):
            fail("you add the gradients up: divide by the number of steps")
        for name, shift in (("left ends", 0.0), ("right ends", 1.0)):
            other = [(i + shift) / steps for i in range(steps)]
            if same((x - baseline) * sum(3 * (baseline + t * (x - baseline)) ** 2 for t in other) / steps, found):
                fail(f"you use the {name} of the pieces, expected are their midpoints, t = (i + 0.5) / steps")
        fail("along the path baseline + t * (x - baseline) the values are not right: which t do you use?")
    total = tensor(function(cubic, x, baseline, 200), (6,), "your attributions").sum()
    gap = (total - (x**3 - baseline**3).sum()).abs().item()
    if gap > 1e-3:
        fail(f"completeness fails: with 200 steps the sum misses F(x) - F(baseline) by {gap:.4f}")
    print(f"Integrated Gradients passed: linear case, midpoints, completeness (error {gap:.0e} with 200 steps)")


def _maps_and_masks(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(3, 6, 7, generator=generator, dtype=torch.float64)
    masks = torch.zeros(3, 6, 7, dtype=torch.bool)
    masks[0, :2], masks[1, 3:5, 2:6], masks[2, :, 3] = True, True, True
    return maps, masks


def check_energy_pointing(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """function(maps (B, H, W) >= 0, masks bool (B, H, W)) -> share of the heat inside, (B,)."""
    maps, masks = _maps_and_masks(0)
    hint = {(): "one number an image, not one for the batch: sum over axes 1 and 2"}
    found = tensor(function(maps, masks), (3,), "your energy", hint)
    right = (maps * masks).sum((1, 2)) / maps.sum((1, 2))
    if not same(right, found):
        if same((maps * masks).sum((1, 2)), found):
            fail("you return the heat inside: divide it by the heat of the whole map")
        if same((maps * masks).sum((1, 2)) / masks.sum((1, 2)), found):
            fail("you divide by the mask's area (that is a mean): divide by the heat of the whole map")
        if same((maps * ~masks).sum((1, 2)) / maps.sum((1, 2)), found):
            fail("that is the share outside the mask")
        fail(f"expected {[round(v, 3) for v in right.tolist()]}, got {[round(v, 3) for v in found.tolist()]}")
    uniform = tensor(function(torch.ones_like(maps), masks), (3,), "the energy of a uniform map")
    if not same(masks.double().mean((1, 2)), uniform):
        fail("a uniform map must score the mask's share of the area")
    if not same(right, tensor(function(1000 * maps, masks), (3,), "your energy")):
        fail("scaling a map must change nothing")
    empty = tensor(function(torch.zeros_like(maps), masks), (3,), "the energy of an empty map")
    if empty.any():
        fail("an empty map has no heat inside: its energy is 0")
    print("The energy passed: values, uniform map, scale, empty map")


def check_pointing_game(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """function(maps (B, H, W), masks bool (B, H, W)) -> share of each map's maxima inside its mask, (B,)."""
    maps, masks = _maps_and_masks(1)
    maps[0, 0, 0], maps[1, 0, 0], maps[2, 5, 3] = 2.0, 2.0, 2.0
    hint = {(): "one number an image, not one for the batch"}
    found = tensor(function(maps, masks), (3,), "your score", hint)
    if not same(torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64), found):
        energy = (maps * masks).sum((1, 2)) / maps.sum((1, 2))
        if same(energy, found):
            fail("that is the energy inside the mask; the pointing game looks at the maximum alone")
        fail(f"three maps with one clear maximum: inside, outside, inside. Expected [1, 0, 1], got {found.tolist()}")
    tied = torch.zeros_like(maps)
    tied[0, 1, 1] = tied[0, 4, 4] = tied[0, 5, 5] = 3.0
    tied[1, 4, 4] = tied[1, 0, 0] = 1.0
    tied[2] = 0.5
    found = tensor(function(tied, masks), (3,), "your score of maps with ties")
    right = torch.tensor([1 / 3, 1 / 2, float(masks[2].double().mean())], dtype=torch.float64)
    if not same(right, found):
        fail(
            "maps with several equal maxima: count the share of them that lies inside, "
            f"expected {[round(v, 3) for v in right.tolist()]}, got {[round(v, 3) for v in found.tolist()]}. "
            "argmax takes whichever comes first"
        )
    print("The pointing game passed: hits, misses, ties, a constant map")


def check_deletion_auc(function: Callable[[Tensor], Tensor]) -> None:
    """function(scores (B, n + 1) at equal steps from 0 to 1) -> area under each curve, (B,)."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(3, 9, generator=generator, dtype=torch.float64)
    hint = {(): "one area a curve, not one for the batch: sum over axis 1"}
    found = tensor(function(scores), (3,), "your area", hint)
    right = torch.trapezoid(scores, dx=1 / 8, dim=1)
    if not same(right, found):
        if same(scores.mean(1), found):
            fail("that is the mean: the two end points count half in the trapezoid rule")
        if same(right * 8, found):
            fail("divide by the number of steps: the axis runs from 0 to 1")
        if same(right * 8 / 9, found):
            fail("9 scores make 8 steps: divide by n, not by n + 1")
        if same(scores[:, :-1].mean(1), found) or same(scores[:, 1:].mean(1), found):
            fail("you leave one end point out: count both, half each")
        fail(f"expected {[round(v, 3) for v in right.tolist()]}, got {[round(v, 3) for v in found.tolist()]}")
    flat = tensor(function(torch.full((2, 5), 0.7, dtype=torch.float64)), (2,), "the area of a constant curve")
    if not same(torch.full((2,), 0.7, dtype=torch.float64), flat):
        fail("a constant curve of 0.7 must have the area 0.7")
    print("The area passed: trapezoid rule, constant curve")


def check_rebalance(function: Callable[[Tensor, Tensor, torch.Generator], Tensor]) -> None:
    """function(labels (N,), grounds (N,), generator) -> indices, equally many from each (label, ground) cell."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (600,), generator=generator)
    tied = torch.rand(600, generator=generator) < 0.8
    grounds = torch.where(tied, labels, torch.randint(3, (600,), generator=generator))
    chosen = function(labels, grounds, torch.Generator().manual_seed(1))
    if not isinstance(chosen, Tensor) or chosen.ndim != 1 or chosen.is_floating_point():
        got = (
            f"a {type(chosen).__name__}" if not isinstance(chosen, Tensor) else f"{chosen.dtype} {tuple(chosen.shape)}"
        )
        fail(f"a one-dimensional tensor of integer indices is expected, got {got}")
    if chosen.dtype == torch.bool:
        fail("a mask is not a list of indices: use mask.nonzero()[:, 0]")
    if len(chosen) == 0 or int(chosen.min()) < 0 or int(chosen.max()) >= len(labels):
        fail(f"indices must lie between 0 and {len(labels) - 1} and not be empty")
    if len(chosen.unique()) != len(chosen):
        fail("some indices occur twice: draw without repetition")
    counts = torch.bincount(labels * 3 + grounds, minlength=9)
    taken = torch.bincount(labels[chosen] * 3 + grounds[chosen], minlength=9)
    if int(taken.max()) != int(taken.min()):
        fail(f"cells (label x ground) are taken {taken.view(3, 3).tolist()} times: equally many of each are expected")
    if int(taken.min()) != int(counts.min()):
        fail(f"each cell is taken {int(taken.min())} times, the rarest cell would allow {int(counts.min())}")
    again = function(labels, grounds, torch.Generator().manual_seed(1))
    other = function(labels, grounds, torch.Generator().manual_seed(2))
    if not torch.equal(chosen.sort().values, again.sort().values):
        fail("two calls with the same generator seed differ: draw with the generator that you are given")
    if torch.equal(chosen.sort().values, other.sort().values):
        fail("another seed gives the same images: draw at random within a cell, not the first ones")
    print(f"Re-balancing passed: {len(chosen)} images, {int(taken.min())} from each of {len(taken)} cells")
