"""Backprop, Gradient x input, SmoothGrad, Integrated Gradients: identities, captum, what they leave alone."""

from __future__ import annotations

import captum.attr as captum
import pytest
import torch
from torch import Tensor, nn

from lessons_lib.explain.gradients import (
    backprop,
    gradient_x_input,
    integrated_gradients,
    path_rule,
    smoothgrad,
)
from lessons_lib.explain.inputs import target_scores

SEEDS = (0, 1, 2)
METHODS = {
    "backprop": backprop,
    "gradient_x_input": gradient_x_input,
    "smoothgrad": lambda *a, **k: smoothgrad(*a, samples=3, **k),
    "integrated_gradients": lambda *a, **k: integrated_gradients(*a, steps=4, **k),
}
each_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def pictures(seed: int, batch: int = 3, size: int = 12, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def relu_net(seed: int, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=bias),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, bias=bias),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 4 * 4, 5, bias=bias),
    ).eval()


def smooth_net(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2),
        nn.BatchNorm2d(4),
        nn.Tanh(),
        nn.Conv2d(4, 5, 3),
        nn.Sigmoid(),
        nn.Flatten(),
        nn.Linear(45, 4),
    )
    net[1].running_mean.normal_(std=0.2)
    net[1].running_var.uniform_(0.5, 1.5)
    return net.double().eval()


def linear_net(seed: int, size: int = 12) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, 4)).eval()


class Polynomial(nn.Module):
    """One score: the sum of (w x)^power over all pixels, so that IG gives a pixel exactly (w x)^power."""

    def __init__(self, seed: int, power: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(3, 12, 12, generator=generator, dtype=torch.float64))
        self.power = power

    def forward(self, x: Tensor) -> Tensor:
        return ((self.weight * x) ** self.power).sum((1, 2, 3))[:, None]


# --- Backprop and Gradient x input -----------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_gradient_agrees_with_finite_differences(seed):
    net, x = smooth_net(seed), pictures(seed, batch=2, dtype=torch.float64)
    gradient = backprop(net, x, 1, reduce=None)
    pixels = torch.randperm(3 * 12 * 12, generator=torch.Generator().manual_seed(seed))[:30]
    for pixel in pixels.tolist():
        step = torch.zeros(3 * 12 * 12, dtype=torch.float64)
        step[pixel] = 1e-5
        step = step.view(3, 12, 12)
        with torch.no_grad():
            slope = (net(x + step) - net(x - step))[:, 1] / 2e-5
        torch.testing.assert_close(gradient.flatten(1)[:, pixel], slope, atol=1e-9, rtol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_linear_model_gives_the_largest_weight_over_the_channels(seed):
    net, x = linear_net(seed), pictures(seed)
    weight = net[1].weight.detach().view(4, 3, 12, 12)
    torch.testing.assert_close(backprop(net, x, [2, 0, 3]), weight[[2, 0, 3]].abs().amax(1))
    torch.testing.assert_close(backprop(net, x, 2, reduce="sum"), weight[2].sum(0).expand(3, -1, -1))


@pytest.mark.parametrize("seed", SEEDS)
def test_scaling_the_score_scales_the_map_and_a_constant_changes_nothing(seed):
    net, x = relu_net(seed), pictures(seed)
    plain = backprop(net, x, 3)
    torch.testing.assert_close(backprop(net, x, lambda out: 2.5 * out[:, 3]), 2.5 * plain)
    assert torch.equal(backprop(net, x, lambda out: out[:, 3] + 7), plain)
    with torch.no_grad():
        net[-1].bias.add_(11)
    assert torch.equal(backprop(net, x, 3), plain)


@pytest.mark.parametrize("seed", SEEDS)
def test_gradient_x_input_sums_to_the_score_of_a_network_without_biases(seed):
    net, x = relu_net(seed, bias=False).double(), pictures(seed, dtype=torch.float64)
    maps = gradient_x_input(net, x, torch.tensor([[0, 4]] * 3))
    torch.testing.assert_close(maps.sum((-2, -1)), net(x)[:, [0, 4]].detach())
    with_bias = gradient_x_input(relu_net(seed).double(), x, 0).sum((1, 2))
    assert (with_bias - relu_net(seed).double()(x)[:, 0]).abs().min() > 1e-4


def test_gradient_x_input_is_zero_where_the_picture_is_black():
    net, x = relu_net(0), pictures(0)
    x[:, :, 3:6, 2:7] = 0
    maps = gradient_x_input(net, x, 1)
    assert not maps[:, 3:6, 2:7].any() and maps[:, 7:].all()


# --- SmoothGrad ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_smoothgrad_without_noise_is_the_gradient_however_many_samples(seed):
    net, x = relu_net(seed), pictures(seed)
    for samples in (1, 7):  # a sum instead of a mean would grow with the number of samples
        torch.testing.assert_close(smoothgrad(net, x, 1, samples=samples, noise=0), backprop(net, x, 1))


def test_smoothgrad_of_a_linear_model_is_its_weight_whatever_the_noise():
    net, x = linear_net(0), pictures(0)
    torch.testing.assert_close(smoothgrad(net, x, 1, samples=5, noise=3.0), backprop(net, x, 1))


@pytest.mark.parametrize("seed", SEEDS)
def test_smoothgrad_is_the_mean_of_signed_gradients_with_noise_scaled_to_each_images_range(seed):
    net, x = relu_net(seed).double(), pictures(seed, dtype=torch.float64)
    x[1] = 0.2 + 0.1 * x[1]
    generator = torch.Generator().manual_seed(seed)
    mean = torch.zeros_like(x)
    for _ in range(6):
        draw = torch.randn(3, 12, 12, generator=generator, dtype=torch.float64)
        for row in range(3):
            noisy = x[row] + 0.3 * (x[row].max() - x[row].min()) * draw
            mean[row] += backprop(net, noisy[None], 2, reduce=None)[0] / 6
    options = {"samples": 6, "noise": 0.3}
    ours = smoothgrad(net, x, 2, reduce=None, generator=torch.Generator().manual_seed(seed), **options)
    torch.testing.assert_close(ours, mean)
    reduced = smoothgrad(net, x, 2, generator=torch.Generator().manual_seed(seed), **options)
    torch.testing.assert_close(reduced, mean.abs().amax(1))


def test_smoothgrad_explains_the_class_predicted_on_the_clean_image():
    net, x = relu_net(1), pictures(1, batch=4)
    predicted = net(x).argmax(1)
    noisy = x + torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    assert (net(noisy).argmax(1) != predicted).any(), "the noise must change a prediction for this test to say anything"
    assert torch.equal(smoothgrad(net, x, noise=1.0), smoothgrad(net, x, predicted, noise=1.0))


def test_smoothgrad_draws_from_its_generator_only():
    net, x = relu_net(0), pictures(0)
    a, b = smoothgrad(net, x, 1, samples=2), smoothgrad(net, x, 1, samples=2)
    c = smoothgrad(net, x, 1, samples=2, generator=torch.Generator().manual_seed(9))
    assert torch.equal(a, b) and not torch.equal(a, c)


# --- Integrated Gradients --------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["midpoint", "trapezoid", "gauss_legendre"])
@pytest.mark.parametrize("seed", SEEDS)
def test_completeness_error_falls_with_the_number_of_steps(rule, seed):
    net, x = smooth_net(seed), 4 * pictures(seed, dtype=torch.float64) - 2
    errors = []
    for steps in (2, 8, 32):
        maps, error = integrated_gradients(net, x, 1, rule=rule, steps=steps, return_error=True)
        with torch.no_grad():
            change = net(x)[:, 1] - net(torch.zeros_like(x))[:, 1]
        torch.testing.assert_close(error, maps.sum((1, 2)) - change)
        errors.append(error.abs().max().item())
    assert errors[0] > errors[1] > errors[2] and errors[2] < 1e-2 * errors[0]


@pytest.mark.parametrize("rule", ["midpoint", "gauss_legendre"])
def test_one_step_is_exact_for_a_linear_score(rule):
    net, x = linear_net(0).double(), pictures(0, dtype=torch.float64)
    maps, error = integrated_gradients(net, x, 1, rule=rule, steps=1, return_error=True, reduce=None)
    torch.testing.assert_close(maps, net[1].weight[1].view(3, 12, 12) * x)
    assert error.abs().max() < 1e-12


@pytest.mark.parametrize(("power", "steps"), [(4, 2), (6, 3)])
def test_gauss_legendre_is_exact_for_a_polynomial_of_twice_the_steps(power, steps):
    net, x = Polynomial(0, power), pictures(0, dtype=torch.float64)
    maps, error = integrated_gradients(net, x, 0, steps=steps, return_error=True, reduce=None)
    torch.testing.assert_close(maps, (net.weight * x).detach() ** power)
    assert error.abs().max() < 1e-10
    assert integrated_gradients(net, x, 0, steps=steps - 1, return_error=True)[1].abs().min() > 1e-3


@pytest.mark.parametrize("seed", SEEDS)
def test_pixels_that_equal_the_baseline_get_nothing(seed):
    net, x = relu_net(seed), pictures(seed)
    baseline = pictures(seed + 10)
    baseline[:, :, 2:5] = x[:, :, 2:5]
    maps = integrated_gradients(net, x, 1, baseline=baseline, steps=5)
    assert not maps[:, 2:5].any() and maps[:, 6:].any()


def test_linear_in_the_score_and_symmetric_in_the_pixels():
    net, x = smooth_net(0), pictures(0, dtype=torch.float64)
    one, two = (integrated_gradients(net, x, c, steps=5) for c in (1, 3))
    both = integrated_gradients(net, x, lambda out: 2 * out[:, 1] - 0.5 * out[:, 3], steps=5)
    torch.testing.assert_close(both, 2 * one - 0.5 * two)

    class Symmetric(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(x[:, :, 0, 0].sum(1) * x[:, :, 5, 7].sum(1))[:, None]

    x[:, :, 5, 7] = x[:, :, 0, 0]
    maps = integrated_gradients(Symmetric(), x, 0, steps=5)
    torch.testing.assert_close(maps[:, 0, 0], maps[:, 5, 7])
    assert maps[:, 0, 0].all() and maps.count_nonzero() == 6


def test_baselines():
    net, x = smooth_net(1), pictures(1, dtype=torch.float64)
    black = integrated_gradients(net, x, 1, steps=4)
    assert torch.equal(black, integrated_gradients(net, x, 1, steps=4, baseline=0))
    grey = integrated_gradients(net, x, 1, steps=4, baseline=0.5)
    assert torch.equal(grey, integrated_gradients(net, x, 1, steps=4, baseline=torch.tensor([0.5] * 3).view(3, 1, 1)))
    assert not torch.allclose(grey, black)
    assert not integrated_gradients(net, x, 1, steps=4, baseline=x).any()


@pytest.mark.parametrize("rule", ["midpoint", "trapezoid", "gauss_legendre"])
def test_path_rules(rule):
    positions, weights = (torch.tensor(v, dtype=torch.float64) for v in path_rule(rule, 6))
    assert len(positions) == len(weights) == 6 and abs(weights.sum() - 1) < 1e-12
    assert positions.min() >= 0 and positions.max() <= 1 and (positions.diff() > 0).all()
    assert abs((weights * (3 * positions + 1)).sum() - 2.5) < 1e-12, "exact for straight lines"


# --- all four --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_agrees_with_captum(seed):
    net, x = relu_net(seed), pictures(seed)
    classes = torch.tensor([1, 4, 0])
    close = {"atol": 1e-5, "rtol": 1e-4}
    theirs = captum.Saliency(net).attribute(x.clone(), target=classes)
    torch.testing.assert_close(backprop(net, x, classes, reduce=None).abs(), theirs, **close)
    theirs = captum.InputXGradient(net).attribute(x.clone(), target=classes)
    torch.testing.assert_close(gradient_x_input(net, x, classes, reduce=None), theirs, **close)
    base = pictures(seed + 5, batch=1)
    for n_steps in (5, 50):
        theirs, delta = captum.IntegratedGradients(net).attribute(
            x.clone(), base, target=classes, n_steps=n_steps, return_convergence_delta=True
        )
        ours, error = integrated_gradients(
            net, x, classes, baseline=base, steps=n_steps, reduce=None, return_error=True
        )
        torch.testing.assert_close(ours, theirs.float(), **close)
        torch.testing.assert_close(error, delta.float(), **close)


@each_method
def test_several_targets_are_the_single_ones_in_one_forward_pass_a_round(method):
    net, x = relu_net(0), pictures(0)
    targets = torch.tensor([[1, 0], [2, 2], [4, 3]])
    both = method(net, x, targets)
    assert both.shape == (3, 2, 12, 12)
    for t in range(2):
        torch.testing.assert_close(both[:, t], method(net, x, targets[:, t]), atol=1e-6, rtol=1e-5)
    assert method(net, x, targets, reduce=None).shape == (3, 2, 3, 12, 12)
    as_function = method(net, x, lambda out: target_scores(out, targets))
    torch.testing.assert_close(as_function, both, atol=1e-6, rtol=1e-5)


def test_number_of_forward_passes():
    net, x = relu_net(0), pictures(0)
    sizes: list[int] = []
    net.register_forward_hook(lambda module, args, output: sizes.append(len(args[0])))
    backprop(net, x, torch.tensor([[0, 1, 2, 3]] * 3))
    assert sizes == [3]
    sizes.clear()
    integrated_gradients(net, x, 1, steps=7, batch_size=9)
    assert sizes == [3, 9, 9, 3]


@each_method
def test_maps_of_an_image_do_not_depend_on_its_batch(method):
    net, x = relu_net(2), pictures(2, batch=4)
    together = method(net, x)
    for row in range(4):
        torch.testing.assert_close(method(net, x[row : row + 1]), together[row : row + 1], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("method", [smoothgrad, integrated_gradients])
@pytest.mark.parametrize("target", [None, 2, [0, 3, 4], lambda out: out[torch.arange(3), [0, 3, 4]]])
def test_batch_size_changes_nothing(method, target):
    net, x = relu_net(1), pictures(1)
    reference = method(net, x, target, batch_size=1)
    for batch_size in (6, 7, 100):
        torch.testing.assert_close(method(net, x, target, batch_size=batch_size), reference, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("method", [smoothgrad, integrated_gradients])
def test_model_that_returns_a_dict(method):
    net, x = relu_net(1), pictures(1)

    class Wrapped(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"logits": net(x)}

    maps = method(Wrapped(), x, lambda out: out["logits"][torch.arange(3), [0, 3, 4]])
    torch.testing.assert_close(maps, method(net, x, [0, 3, 4]), atol=1e-6, rtol=1e-5)


@each_method
def test_frozen_parameters_no_grad_and_inference_mode(method):
    net, x = relu_net(0), pictures(0)
    expected = method(net, x, 1)
    net.requires_grad_(False)
    assert torch.equal(method(net, x, 1), expected)
    with torch.no_grad():
        assert torch.equal(method(net, x, 1), expected)
    with torch.inference_mode():
        assert torch.equal(method(net, x * 1, 1), expected)
    assert not expected.requires_grad and not expected.is_inference()


class Fragile(nn.Module):
    """A network with BatchNorm and Dropout that changes its input in place and fails when told to."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(),
            nn.Linear(400, 3),
        )  # fmt: skip
        self.body[1].weight.requires_grad_(False)
        self.calls, self.fails_at = 0, None

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        logits = self.body(x.sub_(0.5))
        if self.calls == self.fails_at:
            raise RuntimeError("out of order")
        return logits


@each_method
@pytest.mark.parametrize("fails_at", [None, 1, 2])
def test_nothing_of_the_callers_is_touched(method, fails_at):
    net, x = Fragile().eval(), pictures(0).requires_grad_()
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 3.0) if parameter.requires_grad else None
    before = {name: value.clone() for name, value in net.state_dict().items()}
    wanted = [p.requires_grad for p in net.parameters()]
    copy, rng = x.detach().clone(), torch.get_rng_state()
    net.fails_at = fails_at
    if fails_at == 1 or (fails_at == 2 and method in list(METHODS.values())[2:]):
        with pytest.raises(RuntimeError, match="out of order"):
            method(net, x, 1)
    else:
        method(net, x, 1)
    assert torch.is_grad_enabled() and torch.equal(rng, torch.get_rng_state())
    assert x.grad is None and x.requires_grad and torch.equal(x.detach(), copy)
    assert [p.requires_grad for p in net.parameters()] == wanted and not any(m.training for m in net.modules())
    assert all((p.grad == 3).all() for p in net.parameters() if p.requires_grad)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(m._forward_hooks or m._backward_hooks or m._forward_pre_hooks for m in net.modules())


# --- errors ----------------------------------------------------------------------------------------


@each_method
def test_errors_that_all_share(method):
    net, x = relu_net(0), pictures(0)
    with pytest.raises(ValueError, match=r"4 axes .* add the batch axis"):
        method(net, x[0])
    with pytest.raises(TypeError, match="floating point"):
        method(net, (255 * x).byte())
    with pytest.raises(ValueError, match="NaN"):
        method(net, x / 0 * 0)
    with pytest.raises(ValueError, match="class 5 is out of range"):
        method(net, x, 5)
    with pytest.raises(ValueError, match="does not fit 3 images"):
        method(net, x, [0, 1])
    with pytest.raises(ValueError, match="no gradient can flow"):
        method(net, x, lambda out: out.detach()[:, 0])
    with pytest.raises(ValueError, match="does not depend on the images"):
        method(net, x, lambda out: net[-1].bias[:1].expand(len(out)))
    with pytest.raises(ValueError, match=r"BatchNorm 'body.2' is in training mode"):
        method(Fragile().train(), x, 0)
    calls = Fragile().eval()
    with pytest.raises(ValueError, match="reduce must be"):
        method(calls, x, 0, reduce="mean")
    assert calls.calls == 0, "a wrong option must be found before any work is done"


def test_errors_of_smoothgrad_and_integrated_gradients():
    net, x = relu_net(0), pictures(0)
    for options, message in (
        ({"samples": 0}, "samples must be a whole number, 1 or more, got 0"),
        ({"samples": 2.5}, "samples must be a whole number"),
        ({"noise": -0.1}, "noise must be a share"),
        ({"noise": float("nan")}, "noise must be a share"),
        ({"batch_size": 0}, "batch_size must be a whole number"),
    ):
        with pytest.raises(ValueError, match=message):
            smoothgrad(net, x, 1, **options)
    for options, message in (
        ({"steps": 0}, "steps must be a whole number, 1 or more"),
        ({"steps": 1, "rule": "trapezoid"}, "steps must be a whole number, 2 or more"),
        ({"rule": "simpson"}, "rule must be 'gauss_legendre'"),
        ({"baseline": torch.zeros(3, 5, 5)}, r"baseline of shape \(3, 5, 5\) does not broadcast"),
        ({"baseline": torch.zeros(2, 3, 3, 12, 12)}, "does not broadcast"),
        ({"baseline": float("nan")}, "baseline contains NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            integrated_gradients(net, x, 1, **options)
    with pytest.raises(TypeError, match="baseline must be None, a number or a tensor, not str"):
        integrated_gradients(net, x, 1, baseline="black")
