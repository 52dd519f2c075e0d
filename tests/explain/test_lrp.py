"""Layer-wise relevance propagation: the identities of the literature, the account, the way through a network, manners."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
import torchvision
from lrp_cases import NAMES, SEEDS, ManyCalls, Residual, pictures, random_statistics, scores, vgg_like
from torch import Tensor, nn

from lessons_lib.explain.relevance import Composite, lrp

# Identities


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("composite", NAMES)
def test_relevance_is_conserved_without_biases(seed: int, composite: str) -> None:
    model, images = vgg_like(seed, bias=False), pictures(seed)
    relevance = lrp(model, images, 2, composite=composite, epsilon=0)
    torch.testing.assert_close(relevance.sum((1, 2)), scores(model, images, 2), rtol=1e-6, atol=0)
    assert relevance.shape == (2, 16, 16)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("build", [vgg_like, Residual])
def test_rule_0_and_small_epsilon_are_gradient_x_input_without_biases(seed: int, build) -> None:
    model, images = build(seed, bias=False), pictures(seed)
    if build is Residual:  # at the gate relevance is no gradient; the rest of the block, on unshifted pixels
        model.squeeze.weight.data.zero_()
        model.mean.zero_()
    images.requires_grad_()
    (gradient,) = torch.autograd.grad(model(images)[:, 1].sum(), images)
    expected = (gradient * images).detach()
    for composite, epsilon in (("zero", 0.0), ("epsilon", 1e-13)):
        relevance = lrp(model, images.detach(), 1, composite=composite, epsilon=epsilon, reduce=None)
        torch.testing.assert_close(relevance, expected, rtol=1e-4, atol=1e-9)
    assert (lrp(model, images.detach(), 1, composite="epsilon", epsilon=0.5, reduce=None) - expected).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_rule_0_is_gradient_x_input_with_biases_that_absorb(name: str) -> None:
    model = random_statistics(getattr(torchvision.models, name)(), 0, pictures(0, 4, 32, torch.float32)).double()
    images = pictures(1, 1, 32).requires_grad_()
    (gradient,) = torch.autograd.grad(model(images)[:, 7].sum(), images)
    relevance, balance = lrp(model, images.detach(), 7, composite="zero", reduce=None, return_balance=True)
    torch.testing.assert_close(relevance, gradient * images.detach(), rtol=1e-5, atol=1e-8)
    assert balance.error.abs().max() < 1e-9


@pytest.mark.parametrize("seed", SEEDS)
def test_every_call_finds_its_way(seed: int) -> None:
    """Gradient x input is what LRP-0 must give through any call: a wrong rule, fold or order of arguments shows."""
    model, images = ManyCalls(seed), pictures(seed).requires_grad_()
    (gradient,) = torch.autograd.grad(model(images)[:, 2].sum(), images)
    relevance = lrp(model, images, 2, composite="zero", reduce=None)
    torch.testing.assert_close(relevance, gradient * images.detach(), rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("bias", ["share", "absorb", "ignore"])
def test_alpha1_beta0_keeps_relevance_non_negative(seed: int, bias: str) -> None:
    model, images = vgg_like(seed, norm=True), pictures(seed)
    composite = Composite("alpha1_beta0", "z_plus")
    relevance = lrp(model, images, lambda logits: logits.abs().amax(1), composite=composite, bias=bias, reduce=None)
    assert relevance.min() >= 0 and (relevance.max() > 0 or bias != "share")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("composite", ["epsilon", "epsilon_plus", "epsilon_alpha2_beta1"])
def test_zero_pixels_get_nothing(seed: int, composite: str) -> None:
    images = pictures(seed)
    images[:, :, 3:6, 2:9] = 0
    for model, bias in ((vgg_like(seed), "absorb"), (vgg_like(seed, bias=False), None)):
        relevance = lrp(model, images, 0, composite=composite, bias=bias, reduce=None)
        assert (relevance[:, :, 3:6, 2:9] == 0).all() and relevance.abs().max() > 0


def test_a_unit_that_its_bias_alone_holds_up_shares_evenly() -> None:
    model = nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(3, 1, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 1, bias=False))
    nn.init.ones_(model[1].bias)
    black = torch.zeros(1, 3, 2, 2)
    relevance, balance = lrp(model, black, 0, reduce=None, return_balance=True)
    torch.testing.assert_close(relevance, (model(black)[0] / 12).detach().expand(1, 3, 2, 2))  # none to the padding
    assert {cause for _, cause in balance.absorbed} <= {"epsilon"}
    relevance, balance = lrp(model, black, 0, bias="absorb", return_balance=True)
    assert not relevance.any() and {"bias"} == {cause for _, cause in balance.absorbed} - {"epsilon"}


@pytest.mark.parametrize("seed", SEEDS)
def test_z_box_conserves_and_respects_the_bounds(seed: int) -> None:
    model, images = vgg_like(seed), pictures(seed)
    composite, size = Composite("z_plus", "z_plus", first="z_box"), lambda logits: logits[:, 1].abs()
    relevance = lrp(model, images, size, composite=composite, bounds=(-0.5, 1.25), reduce=None)
    torch.testing.assert_close(relevance.sum((1, 2, 3)), scores(model, images, 1).abs())
    assert relevance.min() >= 0
    with pytest.raises(ValueError, match="within the bounds"):
        lrp(model, images, composite=composite, bounds=(0.0, 0.5))
    linear = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).double()  # by hand, on one layer
    pixels, low, high = pictures(seed, 1, 2), -0.5, 1.25
    weight = linear[1].weight[1].detach()
    shares = pixels.flatten() * weight - low * weight.clamp(min=0) - high * weight.clamp(max=0)
    expected = (shares / shares.sum()).view(1, 3, 2, 2) * scores(linear, pixels, 1)
    found = lrp(linear, pixels, 1, composite="epsilon_gamma_box", bounds=(low, high), reduce=None)
    torch.testing.assert_close(found, expected)


def test_bounds_go_through_the_normalisation_of_the_input() -> None:
    class Normalised(nn.Module):
        def __init__(self, inner: nn.Module, inverted: bool) -> None:
            super().__init__()
            self.inner, self.inverted = inner, inverted

        def forward(self, x: Tensor) -> Tensor:
            return self.inner((0.3 - x) / 0.25 if self.inverted else (x - 0.3) * 4)

    for inverted, bounds in ((False, (-1.2, 2.8)), (True, (-2.8, 1.2))):
        inner, images = vgg_like(0), pictures(0)
        moved = (0.3 - images) / 0.25 if inverted else (images - 0.3) * 4
        expected = lrp(inner, moved, 1, composite="epsilon_gamma_box", bounds=bounds)
        found = lrp(Normalised(inner, inverted), images, 1, composite="epsilon_gamma_box")
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("bias", ["share", "absorb", "ignore"])
@pytest.mark.parametrize("composite", [*NAMES, Composite("gamma", first="w_square", affine="epsilon")])
def test_the_account_adds_up(seed: int, bias: str, composite: str | Composite) -> None:
    for model in (vgg_like(seed, norm=True), Residual(seed, functional=bool(seed % 2)), ManyCalls(seed)):
        images = pictures(seed)
        images[:, :, :6] = 0  # units that only their bias holds up
        relevance, balance = lrp(
            model, images, [[0, 3], [1, 2]], composite=composite, bias=bias, epsilon=0.25, return_balance=True
        )
        expected = torch.stack([scores(model, images, torch.tensor(t)) for t in ([0, 1], [3, 2])], 1)
        torch.testing.assert_close(balance.score, expected)
        torch.testing.assert_close(relevance.sum((2, 3)), balance.relevance)
        size = relevance.abs().sum() + sum(amount.abs().sum() for amount in balance.absorbed.values())
        assert balance.error.abs().max() < 1e-11 * size
        stabilised = [
            amount.abs().max() > 1e-3 for (_, cause), amount in balance.absorbed.items() if cause == "epsilon"
        ]
        assert any(stabilised) == (composite != "zero")
        if bias == "absorb":
            assert any(cause == "bias" for _, cause in balance.absorbed)


# The way through the network


@pytest.mark.parametrize("composite", NAMES)
@pytest.mark.parametrize("seed", SEEDS)
def test_functional_twin_in_place_calls_and_gate(composite: str, seed: int) -> None:
    images = pictures(seed)
    modules, functions = Residual(seed), Residual(seed, functional=True)
    torch.testing.assert_close(modules(images), functions(images))
    ours = [lrp(model, images, 2, composite=composite) for model in (modules, functions)]
    torch.testing.assert_close(*ours)
    in_place, plain = vgg_like(seed, inplace=True), vgg_like(seed)
    torch.testing.assert_close(*(lrp(model, images, 2, composite=composite) for model in (in_place, plain)))


def test_in_place_calls_reach_aliases() -> None:
    class Aliased(nn.Module):
        def __init__(self, inplace: bool) -> None:
            super().__init__()
            self.conv, self.inplace = copy.deepcopy(conv), inplace

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            y = x
            flat = x.view(len(x), -1)
            if self.inplace:
                x *= 2
                torch.relu_(flat)  # the result is not used: x and y see it
                x += y
            else:
                y = x = (x * 2).relu()
                x = x + y
            return x.flatten(1)[:, :4] + x.flatten(1)[:, -4:]

    torch.manual_seed(0)
    conv, images = nn.Conv2d(3, 4, 3).double(), pictures(0)
    for composite in ("zero", "epsilon_plus"):
        maps = [lrp(Aliased(inplace), images, 1, composite=composite) for inplace in (False, True)]
        torch.testing.assert_close(*maps)
        assert maps[0].abs().max() > 0


def test_a_module_may_be_used_twice() -> None:
    torch.manual_seed(0)
    conv, relu, head = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(), nn.Linear(3 * 64, 4)
    shared = nn.Sequential(conv, relu, conv, relu, nn.MaxPool2d(2), nn.Flatten(), head).double()
    apart = copy.deepcopy(shared)
    apart[2], apart[3] = copy.deepcopy(apart[0]), nn.ReLU()
    images = pictures(0)
    relevance, balance = lrp(shared, images, 1, bias="absorb", return_balance=True)
    torch.testing.assert_close(relevance, lrp(apart, images, 1, bias="absorb"))
    assert {("0", "bias"), ("0 #2", "bias")} <= set(balance.absorbed)


def test_composites_are_mappings() -> None:
    model, images = vgg_like(0), pictures(0)
    asked = []

    def rule(layer, relevance: Tensor, settings) -> tuple[Tensor]:
        asked.append((layer.name, layer.kind, layer.first))
        return (torch.full_like(layer.inputs[0], 1.0) * (relevance.sum() / layer.inputs[0].numel()),)

    own = Composite(rule, "epsilon", named={"features": "z_plus", "features.3": rule, "classifier.0": rule})
    lrp(model, images, composite=own)
    assert asked == [("classifier.0", "linear", False), ("features.3", "conv", False)]


# Manners


def test_nothing_of_the_caller_is_touched() -> None:
    model, images = Residual(0), pictures(0).requires_grad_()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    expected = lrp(model, images, 1)
    assert not expected.requires_grad and images.grad is None
    assert all((parameter.grad == 1).all() for parameter in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    frozen = copy.deepcopy(model).requires_grad_(False)
    with torch.no_grad():
        torch.testing.assert_close(lrp(frozen, images, 1), expected)
    with torch.inference_mode():
        torch.testing.assert_close(lrp(model, images.clone(), 1), expected)


def test_the_mode_is_gone_after_an_error() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            self.inner = F.relu(x)
            raise KeyError("broken")

    depth = torch._C._len_torch_function_stack()
    with pytest.raises(KeyError, match="broken"):
        lrp(Broken(), pictures(0))
    assert torch._C._len_torch_function_stack() == depth
    assert not hasattr(F.relu(torch.ones(1, requires_grad=True) * 2), "_lrp")


class Wrap(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x * 2).flatten(1)


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x**3

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return grad


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (F.silu, "silu"),
        (lambda x: F.silu(x, inplace=True), "silu"),
        (lambda x: x * x.sigmoid(), "SiLU"),
        (F.gelu, "gelu"),
        (lambda x: x.softmax(1), "softmax"),
        (lambda x: F.layer_norm(x, x.shape[1:]), "layer_norm"),
        (lambda x: x * x, "mul of two activations"),
        (lambda x: x.flatten(2) @ x.flatten(2).mT, "matmul of two activations"),
        (lambda x: x.sigmoid() + x, "sigmoid"),
        (lambda x: x.sigmoid(), "sigmoid"),
        (lambda x: x.exp_(), "exp_"),
        (lambda x: x**2, "pow"),
        (lambda x: Cube.apply(x) + x, "cannot see"),
        (lambda x: F.batch_norm(x, None, None, training=True), "model.eval"),
        (lambda x: torch.zeros(2, 3, 16, 16).double().index_put((torch.arange(2),), x), "index_put"),
    ],
)
def test_what_has_no_rule_is_refused_by_name(function, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        lrp(Wrap(function), pictures(0), 0)


def test_errors_name_what_is_wrong() -> None:
    images, model = pictures(0, 1, 32, torch.float32), vgg_like(0)
    vit = torchvision.models.VisionTransformer(32, 8, 1, 2, 16, 32).eval()
    with pytest.raises(ValueError, match="layer_norm"):
        lrp(vit, images)
    with pytest.raises(ValueError, match="training mode"):
        lrp(torchvision.models.resnet18().train(), images)
    for options, error in (
        ({"composite": "epsilon_minus"}, ValueError),
        ({"composite": Composite("z_minus")}, ValueError),
        ({"composite": Composite("z_box")}, ValueError),
        ({"composite": 3}, TypeError),
        ({"bias": "keep"}, ValueError),
        ({"epsilon": -1.0}, ValueError),
        ({"bounds": (1.0, 0.0)}, ValueError),
        ({"reduce": "mean"}, ValueError),
        ({"target": 9}, ValueError),
    ):
        with pytest.raises(error):
            lrp(model, pictures(0), **options)
