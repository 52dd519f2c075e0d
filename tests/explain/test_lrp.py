"""Layer-wise relevance propagation: the identities of the literature, conservation on deep networks, other libraries."""

from __future__ import annotations

import contextlib
import copy
import io

import captum.attr
import pytest
import torch
import torch.nn.functional as F
import torchvision
import zennit.attribution
import zennit.canonizers
import zennit.composites
import zennit.torchvision
from torch import Tensor, nn

from lessons_lib.explain.lrp import COMPOSITES, Composite, lrp
from lessons_lib.explain.lrp_trace import Trace

SEEDS = (0, 1, 2)
NAMES = sorted(COMPOSITES)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def vgg_like(seed: int, *, bias: bool = True, norm: bool = False, inplace: bool = False) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 8), (8, 12), (12, 12)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)]
        layers += [nn.BatchNorm2d(outputs)] if norm else []
        layers += [nn.ReLU(inplace), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(48, 16, bias=bias), nn.ReLU(inplace), nn.Dropout(), nn.Linear(16, 5, bias=bias)]
    return random_statistics(nn.Sequential(*layers), seed).double().eval()


def random_statistics(model: nn.Module, seed: int, like: Tensor | None = None) -> nn.Module:
    """BatchNorm with statistics of its input (when `like` is given), then moved at random; random biases."""
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if like is not None:
        for module in norms:
            module.momentum = None
        with torch.no_grad():
            model.train()(like)
    random = torch.Generator().manual_seed(seed)
    draw = lambda t: torch.randn(t.shape, generator=random, dtype=t.dtype)  # noqa: E731
    for module in norms:
        module.running_mean += 0.3 * draw(module.running_mean) * module.running_var.sqrt()
        module.running_var *= torch.exp(0.3 * draw(module.running_var))
        module.weight.data *= torch.exp(0.3 * draw(module.weight))
        module.bias.data += 0.3 * draw(module.bias)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            module.bias.data += 0.1 * draw(module.bias)
    return model.eval()


def pictures(seed: int, batch: int = 2, size: int = 16, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def scores(model: nn.Module, images: Tensor, classes: Tensor | int) -> Tensor:
    with torch.no_grad():
        return model(images)[torch.arange(len(images)), classes]


class Residual(nn.Module):
    """One residual block with a gate, written with modules and with functions alone."""

    def __init__(self, seed: int, *, functional: bool = False, bias: bool = True) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.functional = functional
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1))
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=bias), nn.BatchNorm2d(8)
        self.conv, self.norm2 = nn.Conv2d(8, 8, 3, padding=1, groups=2, bias=bias), nn.BatchNorm2d(8)
        self.squeeze, self.relu, self.head = nn.Conv2d(8, 8, 1), nn.ReLU(True), nn.Linear(8, 5, bias=bias)
        random_statistics(self, seed)
        if not bias:
            for norm in (self.norm, self.norm2):
                norm.bias.data.zero_()
                norm.running_mean.zero_()
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        if self.functional:
            x = F.conv2d((x - self.mean) / 0.25, self.stem.weight, self.stem.bias, padding=1)
            x = F.relu(self.as_norm(x, self.norm), inplace=True)
            y = torch.conv2d(F.pad(x, (1, 1, 1, 1)), self.conv.weight, self.conv.bias, groups=2)
            y = self.as_norm(y, self.norm2)
            gate = F.conv2d(y.mean((2, 3), keepdim=True), self.squeeze.weight, self.squeeze.bias).sigmoid()
            y = (y.mul_(gate) + x).clamp_(min=0)
            return F.adaptive_avg_pool2d(y, 1).flatten(1) @ self.head.weight.T + (0 if self.head.bias is None else self.head.bias)
        x = self.relu(self.norm(self.stem(x.sub(self.mean).div(0.25))))
        y = self.norm2(self.conv(x))
        y = torch.sigmoid(self.squeeze(F.adaptive_avg_pool2d(y, 1))) * y
        y += x
        return self.head(self.relu(y).mean((2, 3)))

    @staticmethod
    def as_norm(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
        scale = (norm.weight * (norm.running_var + norm.eps).rsqrt())[None, :, None, None]
        return x * scale + (norm.bias[None, :, None, None] - norm.running_mean[None, :, None, None] * scale)


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
@pytest.mark.parametrize("bias", ["share", "absorb", "ignore"])
def test_alpha1_beta0_keeps_relevance_non_negative(seed: int, bias: str) -> None:
    model, images = vgg_like(seed, norm=True), pictures(seed)
    composite = Composite("alpha1_beta0", "z_plus")
    best = model(images).argmax(1)
    assert (scores(model, images, best) > 0).all()
    relevance = lrp(model, images, composite=composite, bias=bias, reduce=None)
    assert relevance.min() >= 0 and relevance.max() > 0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("composite", ["epsilon", "epsilon_plus", "epsilon_alpha2_beta1"])
def test_zero_pixels_get_nothing(seed: int, composite: str) -> None:
    model, images = vgg_like(seed), pictures(seed)
    images[:, :, 3:6, 2:9] = 0
    relevance = lrp(model, images, 0, composite=composite, reduce=None)
    assert (relevance[:, :, 3:6, 2:9] == 0).sum() >= 2 * 3 * 5  # inside: receptive fields reach over the edge
    absorbing = lrp(model, images, 0, composite=composite, bias="absorb", reduce=None)
    assert (absorbing[:, :, 3:6, 2:9] == 0).all() and absorbing.abs().max() > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_z_box_conserves_and_respects_the_bounds(seed: int) -> None:
    model, images = vgg_like(seed), pictures(seed)
    best = model(images).argmax(1)
    composite = Composite("z_plus", "z_plus", first="z_box")
    relevance = lrp(model, images, composite=composite, bounds=(-0.5, 1.25), reduce=None)
    torch.testing.assert_close(relevance.sum((1, 2, 3)), scores(model, images, best))
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
    for model in (vgg_like(seed, norm=True), Residual(seed, functional=bool(seed % 2))):
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
        assert any(cause == "epsilon" and amount.abs().max() > 1e-3 for (_, cause), amount in balance.absorbed.items())
        if bias == "absorb":
            assert any(cause == "bias" for _, cause in balance.absorbed)
