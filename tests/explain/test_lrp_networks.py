"""Layer-wise relevance propagation on deep networks and next to zennit and captum."""

from __future__ import annotations

import copy

import captum.attr
import pytest
import torch
import torchvision
import zennit.attribution
import zennit.canonizers
import zennit.composites
import zennit.torchvision
from lrp_cases import NAMES, SEEDS, ManyCalls, Residual, efficientnet, pictures, random_statistics, vgg_like
from torch import Tensor, nn

from lessons_lib.explain.relevance import COMPOSITES, lrp


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    built = {"efficientnet_lite0": efficientnet()}
    for name in ("resnet18", "resnet50", "vgg16", "mobilenet_v2"):
        torch.manual_seed(0)
        built[name] = random_statistics(getattr(torchvision.models, name)(), 0, pictures(0, 4, 32, torch.float32))
    return built


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg16", "mobilenet_v2", "efficientnet_lite0"])
def test_deep_networks_conserve(networks: dict[str, nn.Module], name: str) -> None:
    model, images = networks[name], pictures(1, 2, 64, torch.float32)
    relevance, balance = lrp(model, images, [[3, 5], [7, 9]], reduce=None, return_balance=True)
    ratio = balance.relevance / balance.score
    assert (ratio - 1).abs().max() < 1e-3, ratio
    assert (relevance.abs().sum((2, 3, 4)) / balance.score.abs()).max() < 3  # signs hardly cancel
    with torch.no_grad():
        torch.testing.assert_close(balance.score[0], model(images)[0, [3, 5]])


def test_every_composite_stays_bounded_on_real_weights(networks: dict[str, nn.Module]) -> None:
    model, images = networks["efficientnet_lite0"], pictures(1, 2, 64, torch.float32)
    for composite in NAMES:
        relevance, balance = lrp(model, images, composite=composite, reduce=None, return_balance=True)
        size = relevance.abs().sum() + sum(amount.abs().sum() for amount in balance.absorbed.values())
        assert balance.error.abs().max() < 1e-5 * size
        assert relevance.abs().sum() < 1e5 * balance.score.abs().sum()
        if COMPOSITES[composite].bias == "share":
            torch.testing.assert_close(balance.relevance, balance.score, rtol=1e-4, atol=0)
    with pytest.warns(RuntimeWarning, match="rounding noise"):
        lrp(model, images, composite="epsilon", bias="share")


def test_rows_of_a_batch_and_targets_are_independent(networks: dict[str, nn.Module]) -> None:
    model, images = networks["efficientnet_lite0"], pictures(2, 2, 64, torch.float32)
    both = lrp(model, images, [[3, 7, 3], [5, 1, 2]], reduce=None)
    assert both.shape == (2, 3, 3, 64, 64)
    torch.testing.assert_close(both[:, 0], lrp(model, images, [3, 5], reduce=None), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(both[1:], lrp(model, images[1:], [[5, 1, 2]], reduce=None), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(both[0, 0], both[0, 2])


# Other libraries


def zennit_relevance(model: nn.Module, images: Tensor, unit: int, composite: zennit.composites.Composite) -> Tensor:
    def start(output: Tensor) -> Tensor:
        mask = torch.zeros_like(output)
        mask[:, unit] = 1
        return output * mask

    with zennit.attribution.Gradient(copy.deepcopy(model), composite) as attributor:
        return attributor(images, start)[1]


_PAIRS = [
    ("epsilon_plus", zennit.composites.EpsilonPlus),
    ("epsilon_plus_flat", zennit.composites.EpsilonPlusFlat),
    ("epsilon_alpha2_beta1", zennit.composites.EpsilonAlpha2Beta1),
    ("epsilon_gamma_box", zennit.composites.EpsilonGammaBox),
]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("name", "theirs", "bias"),  # without its bias the sign of a unit is another in their gamma rule
    [
        (*pair, bias)
        for pair in _PAIRS
        for bias in ("absorb", "ignore")
        if (pair[0], bias) != ("epsilon_gamma_box", "ignore")
    ],
)
def test_agrees_with_zennit_on_a_vgg(seed: int, name: str, theirs: type, bias: str) -> None:
    model, images = vgg_like(seed, norm=True), pictures(seed)
    options = {"epsilon": 1e-6, "stabilizer": 1e-15, "canonizers": [zennit.canonizers.SequentialMergeBatchNorm()]}
    if name == "epsilon_gamma_box":
        options |= {"low": torch.zeros(1, 3, 1, 1), "high": torch.ones(1, 3, 1, 1), "stabilizer": 1e-6}
    if bias == "ignore":
        options["zero_params"] = ["bias"]
    ours = lrp(model, images, 3, composite=name, bias=bias, reduce=None)
    expected = zennit_relevance(model, images, 3, theirs(**options))
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize(("name", "theirs"), _PAIRS[:3])
def test_agrees_with_zennit_on_resnet18(networks: dict[str, nn.Module], name: str, theirs: type) -> None:
    model, images = copy.deepcopy(networks["resnet18"]).double(), pictures(3, 1, 64)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0
    canonizers = [zennit.torchvision.ResNetCanonizer()]
    expected = zennit_relevance(model, images, 4, theirs(epsilon=1e-6, stabilizer=1e-15, canonizers=canonizers))
    ours = lrp(model, images, 4, composite=name, bias="absorb", reduce=None)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("seed", SEEDS)
def test_agrees_with_captum_on_a_vgg(seed: int) -> None:
    model, images = vgg_like(seed), pictures(seed)
    theirs = copy.deepcopy(model)
    for module in theirs.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.MaxPool2d):  # there max-pooling has an epsilon too
            module.rule = captum.attr._utils.lrp_rules.EpsilonRule(1e-15)
    expected = captum.attr.LRP(theirs).attribute(images.clone(), target=3).detach()
    ours = lrp(model, images, 3, composite="epsilon", epsilon=1e-15, reduce=None)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-7 * float(expected.abs().max()))


def test_folding_leaves_the_logits_and_takes_the_batch_norm_in(networks: dict[str, nn.Module]) -> None:
    model, images = networks["resnet18"], pictures(0, 2, 64, torch.float32)
    seen = []
    handle = model.register_forward_hook(lambda _m, _i, output: seen.append(output.detach().clone()))
    lrp(model, images)
    handle.remove()
    with torch.no_grad():
        torch.testing.assert_close(seen[0], model(images), rtol=1e-5, atol=1e-5)
    normed, images = vgg_like(0, norm=True), pictures(0)
    folded = zennit.canonizers.SequentialMergeBatchNorm().apply(copied := copy.deepcopy(normed))
    for composite in NAMES:
        torch.testing.assert_close(*(lrp(net, images, 0, composite=composite) for net in (normed, copied)))
    assert len(folded) == 3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("composite", NAMES)
def test_cuda_agrees_with_the_cpu(composite: str) -> None:
    for model in (vgg_like(0, norm=True), Residual(0), ManyCalls(0)):
        images = pictures(0)
        images[:, :, :6] = 0
        here = lrp(model, images, [[1, 2], [3, 4]], composite=composite)
        there = lrp(copy.deepcopy(model).cuda(), images.cuda(), [[1, 2], [3, 4]], composite=composite)
        torch.testing.assert_close(there.cpu(), here, rtol=1e-6, atol=1e-9 * float(here.abs().max()))
