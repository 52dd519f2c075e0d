"""Each exercise's check accepts the right solution and names what is wrong with typical wrong ones."""

from __future__ import annotations

import pytest
import torch

from lessons_lib import checks


def grad_cam(features, gradients):
    return (gradients.mean((2, 3), keepdim=True) * features).sum(1).relu()


def counterfactual(features, gradients):
    return (-gradients.mean((2, 3), keepdim=True) * features).sum(1).relu()


def integrated(gradient, x, baseline, steps, shift=0.5, factor=1.0, start=True):
    total = sum(gradient(baseline + (i + shift) / steps * (x - baseline)) for i in range(steps))
    return ((x - baseline) if start else x) * total / steps * factor


def rebalance(labels, grounds, generator, shuffle=True, extra=0):
    cells = labels * (grounds.max() + 1) + grounds
    kinds, counts = cells.unique(return_counts=True)
    chosen = []
    for kind in kinds:
        members = (cells == kind).nonzero()[:, 0]
        order = torch.randperm(len(members), generator=generator) if shuffle else torch.arange(len(members))
        chosen.append(members[order[: counts.min() - extra]])
    return torch.cat(chosen)


def pointing(maps, masks):
    maxima = maps == maps.amax((1, 2), keepdim=True)
    return (maxima & masks).sum((1, 2)) / maxima.sum((1, 2))


def first_maximum(maps, masks):
    return masks.flatten(1).gather(1, maps.flatten(1).argmax(1, keepdim=True))[:, 0].double()


RIGHT = {
    "check_grad_cam_weights": grad_cam,
    "check_counterfactual": counterfactual,
    "check_guided_relu": lambda g, z: g * (z > 0) * (g > 0),
    "check_integrated_gradients": integrated,
    "check_energy_pointing": lambda m, k: (m * k).sum((1, 2)) / m.sum((1, 2)).clamp(min=1e-12),
    "check_pointing_game": pointing,
    "check_deletion_auc": lambda s: (s.sum(1) - (s[:, 0] + s[:, -1]) / 2) / (s.shape[1] - 1),
    "check_rebalance": rebalance,
}

WRONG = [
    ("check_grad_cam_weights", lambda a, g: (g.mean((2, 3), keepdim=True) * a).relu(), "sum over the channels"),
    ("check_grad_cam_weights", lambda a, g: grad_cam(a, g)[:, None], "keep the channel axis"),
    ("check_grad_cam_weights", lambda a, g: grad_cam(a, g).sum(0), "keep the batch axis"),
    ("check_grad_cam_weights", lambda a, g: (g * a).sum(1).relu(), "not averaged over positions"),
    ("check_grad_cam_weights", lambda a, g: grad_cam(a, g) * 20, "do not sum it"),
    ("check_grad_cam_weights", lambda a, g: (g.mean((2, 3), keepdim=True) * a).sum(1), "ReLU is missing"),
    ("check_grad_cam_weights", lambda a, g: (g.mean((2, 3), keepdim=True) * a).relu().sum(1), "after the sum"),
    ("check_grad_cam_weights", lambda a, g: grad_cam(a, g) / grad_cam(a, g).amax((1, 2), keepdim=True), "normalise"),
    ("check_grad_cam_weights", lambda a, g: grad_cam(a, g) + 1, "expected a maximum"),
    ("check_grad_cam_weights", lambda a, g: grad_cam(a.mul_(1.5), g), "changed its inputs"),
    ("check_grad_cam_weights", lambda a, g: grad_cam(a, g) / 0, "NaN or infinite"),
    ("check_grad_cam_weights", lambda a, g: None, "is None"),
    ("check_counterfactual", grad_cam, "other way round"),
    ("check_counterfactual", lambda a, g: -grad_cam(a, g), "values are not"),
    ("check_counterfactual", lambda a, g: (-g.mean((2, 3), keepdim=True) * a).sum(1), "ReLU is missing"),
    ("check_guided_relu", lambda g, z: g * (z > 0), "plain backprop"),
    ("check_guided_relu", lambda g, z: g.relu(), "deconvnet"),
    ("check_guided_relu", lambda g, z: z.relu(), "forward pass"),
    ("check_guided_relu", lambda g, z: ((z > 0) & (g > 0)).double(), "mask of ones"),
    ("check_guided_relu", lambda g, z: -g, "passes on"),
    ("check_integrated_gradients", lambda f, x, b, n: f(x), "multiply it by"),
    ("check_integrated_gradients", lambda f, x, b, n: integrated(f, x, b, n, start=False), "not by x"),
    ("check_integrated_gradients", lambda f, x, b, n: integrated(f, x, b, n, factor=n), "number of steps"),
    ("check_integrated_gradients", lambda f, x, b, n: integrated(f, x, b, n, shift=0.0), "left ends"),
    ("check_integrated_gradients", lambda f, x, b, n: integrated(f, x, b, n, shift=1.0), "right ends"),
    ("check_integrated_gradients", lambda f, x, b, n: (x - b) * f(x), "once a step"),
    ("check_energy_pointing", lambda m, k: (m * k).sum((1, 2)), "heat of the whole map"),
    ("check_energy_pointing", lambda m, k: (m * k).sum((1, 2)) / k.sum((1, 2)), "area"),
    ("check_energy_pointing", lambda m, k: (m * ~k).sum((1, 2)) / m.sum((1, 2)), "outside"),
    ("check_energy_pointing", lambda m, k: (m * k).sum() / m.sum(), "one number an image"),
    ("check_energy_pointing", lambda m, k: (m * k).sum((1, 2)) / m.sum((1, 2)), "NaN"),
    ("check_pointing_game", first_maximum, "argmax takes whichever"),
    ("check_pointing_game", lambda m, k: (m * k).sum((1, 2)) / m.sum((1, 2)), "energy inside"),
    ("check_pointing_game", lambda m, k: 1 - pointing(m, k), "one clear maximum"),
    ("check_deletion_auc", lambda s: s.mean(1), "end points count half"),
    ("check_deletion_auc", lambda s: torch.trapezoid(s, dim=1), "divide by the number of steps"),
    ("check_deletion_auc", lambda s: torch.trapezoid(s, dim=1) / s.shape[1], "8 steps"),
    ("check_deletion_auc", lambda s: s[:, :-1].mean(1), "one end point out"),
    ("check_deletion_auc", lambda s: torch.trapezoid(s, dx=1 / 8), "area 0.7"),
    ("check_rebalance", lambda y, g, r: torch.arange(len(y)), "equally many"),
    ("check_rebalance", lambda y, g, r: y == g, "indices"),
    ("check_rebalance", lambda y, g, r: torch.cat([rebalance(y, g, r)] * 2), "twice"),
    ("check_rebalance", lambda y, g, r: rebalance(y, g, r, shuffle=False), "first ones"),
    ("check_rebalance", lambda y, g, r: rebalance(y, g, r, extra=2), "rarest cell would allow"),
    ("check_rebalance", lambda y, g, r: rebalance(y, g, torch.Generator().manual_seed(r.seed())), "generator"),
    ("check_rebalance", lambda y, g, r: [1, 2], "one-dimensional tensor"),
]


@pytest.mark.parametrize("name", RIGHT)
def test_right_solution_passes_and_says_what_was_checked(name, capsys):
    getattr(checks, name)(RIGHT[name])
    assert "passed: " in capsys.readouterr().out


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_wrong_solution_is_diagnosed(number):
    name, function, diagnosis = WRONG[number]
    with pytest.raises(checks.CheckFailed, match=diagnosis):
        getattr(checks, name)(function)


@pytest.mark.parametrize("name", RIGHT)
def test_untouched_exercise_says_that_it_is_your_turn(name):
    def untouched(*_):
        raise NotImplementedError("your turn")

    with pytest.raises(NotImplementedError, match="your turn"):
        getattr(checks, name)(untouched)
