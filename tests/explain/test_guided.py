"""Deconvnet, guided backprop, Guided Grad-CAM: the three rules by hand, every way to write a ReLU, and captum."""

from __future__ import annotations

import copy

import captum.attr as captum
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lessons_lib.explain.gradcam import grad_cam
from lessons_lib.explain.gradients import backprop
from lessons_lib.explain.guided import deconvnet, guided_backprop, guided_grad_cam

SEEDS = (0, 1, 2)
RULES = {"guided": guided_backprop, "deconvnet": deconvnet}
each_rule = pytest.mark.parametrize("rule", RULES)
INF = float("inf")


def pictures(seed: int, batch: int = 3, size: int = 12) -> Tensor:
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(seed))


class Net(nn.Module):
    """Two convolutions with a skip, a max-pooling and two linear layers; one activation, written in any way."""

    def __init__(self, seed: int, activation, scale: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(8 * 36, 16), nn.Linear(16, 4)
        self.act, self.scale = activation, scale

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.scale * self.conv1(x))
        x = self.act(self.scale * self.conv2(x) + x)
        x = F.max_pool2d(x, 2)
        return self.fc2(self.act(self.fc1(x.flatten(1))))


class ByHand(torch.autograd.Function):
    """min(max(z, 0), high) with a rule's backward pass, written from the table of the papers."""

    @staticmethod
    def forward(ctx, z: Tensor, rule: str, high: float) -> Tensor:
        ctx.save_for_backward(z)
        ctx.rule, ctx.high = rule, high
        return z.clamp(0, high)

    @staticmethod
    def backward(ctx, g: Tensor):
        (z,) = ctx.saved_tensors
        if ctx.rule == "guided":
            g = torch.where((z > 0) & (z < ctx.high), g, 0)
        return torch.where(g > 0, g, 0), None, None


def by_hand(net: Net, x: Tensor, target, rule: str, high: float = INF) -> Tensor:
    """The rule's signed picture from a copy of `net` whose activation is the hand-written function."""
    twin = copy.deepcopy(net)
    twin._modules.pop("act", None)
    twin.act = lambda z: ByHand.apply(z, rule, high)
    return backprop(twin, x, target, reduce=None)


def ignore_result(function):
    """In place, with the return value thrown away: z itself must have changed."""

    def act(z: Tensor) -> Tensor:
        function(z)
        return z

    return act


def on_views(z: Tensor) -> Tensor:
    z = z * 1
    z[:, :3].relu_()
    F.relu(z[:, 3:5], inplace=True)
    F.threshold(z.flatten(1)[:, 5 * (z[0, 0].numel()) :], 0.0, 0.0, True)
    return z


def on_a_flat_view(z: Tensor) -> Tensor:
    flat = (z + 0).view(len(z), -1)
    return torch.clamp_min_(flat, 0).view_as(z)


RELUS = {
    "module": nn.ReLU(),
    "module in place": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "F.relu in place": ignore_result(lambda z: F.relu(z, inplace=True)),
    "F.relu in place by position": ignore_result(lambda z: F.relu(z, True)),
    "F.relu_": F.relu_,
    "torch.relu": torch.relu,
    "torch.relu_": ignore_result(torch.relu_),
    "Tensor.relu": Tensor.relu,
    "Tensor.relu_": ignore_result(Tensor.relu_),
    "clamp(min=0)": lambda z: z.clamp(min=0),
    "torch.clamp by position": lambda z: torch.clamp(z, 0),
    "clamp_": ignore_result(lambda z: z.clamp_(min=0)),
    "clip": lambda z: torch.clip(z, 0.0),
    "clamp_min": lambda z: z.clamp_min(0),
    "clamp_min_": ignore_result(lambda z: z.clamp_min_(0)),
    "clamp with a tensor": lambda z: torch.clamp(z, min=torch.zeros(())),
    "F.threshold": lambda z: F.threshold(z, 0.0, 0.0),
    "nn.Threshold in place": nn.Threshold(0.0, 0.0, inplace=True),
    "aten": torch.ops.aten.relu.default,
    "slices in place": on_views,
    "a flat view in place": on_a_flat_view,
    "checkpointed": lambda z: checkpoint(F.relu, z, use_reentrant=False) if torch.is_grad_enabled() else z.relu(),
    "keyword input": lambda z: F.relu(input=z),
}
RELU6S = {
    "module": nn.ReLU6(),
    "module in place": nn.ReLU6(inplace=True),
    "F.relu6": F.relu6,
    "F.relu6 in place": ignore_result(lambda z: F.relu6(z, inplace=True)),
    "nn.Hardtanh": nn.Hardtanh(0.0, 6.0),
    "F.hardtanh by keyword": lambda z: F.hardtanh(z, max_val=6.0, min_val=0.0),
    "F.hardtanh_": ignore_result(lambda z: F.hardtanh_(z, 0.0, 6.0)),
    "clamp": lambda z: z.clamp(0, 6),
    "clip_": ignore_result(lambda z: z.clip_(min=0, max=6)),
    "clamp with tensors": lambda z: torch.clamp(z, torch.zeros(()), torch.tensor(6.0)),
    "in place on a view": ignore_result(lambda z: F.relu6(z.view(-1), inplace=True)),
}


# --- the rules -------------------------------------------------------------------------------------


def tiny(first: list[list[float]], last: list[float]) -> nn.Sequential:
    """score = last . relu(first x) on images with one channel and as many pixels as `first` has columns."""
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(len(first[0]), len(first), bias=False), nn.ReLU(), nn.Linear(len(last), 1)
    )
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor(first))
        net[3].weight.copy_(torch.tensor([last]))
    return net


def test_three_rules_by_hand():
    """x = (1, 2), z = (3, -1, 1, -4), g = (2, 3, -5, -7): every combination of signs once."""
    net = tiny([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [0.0, -2.0]], [2.0, 3.0, -5.0, -7.0])
    x = torch.tensor([1.0, 2.0]).view(1, 1, 1, 2)
    plain = backprop(net, x, 0, reduce=None).flatten()  # 2 (1, 1) - 5 (-1, 1)
    assert plain.tolist() == [7.0, -3.0]
    assert deconvnet(net, x, 0, reduce=None).flatten().tolist() == [5.0, -1.0]  # 2 (1, 1) + 3 (1, -1)
    assert guided_backprop(net, x, 0, reduce=None).flatten().tolist() == [2.0, 2.0]  # 2 (1, 1)


def test_one_layer_where_all_signs_agree_gives_the_same_by_all_rules():
    x = torch.tensor([1.0, 2.0]).view(1, 1, 1, 2)
    positive = tiny([[1.0, 1.0], [3.0, -1.0]], [2.0, 4.0])
    expected = backprop(positive, x, 0, reduce=None)
    assert torch.equal(guided_backprop(positive, x, 0, reduce=None), expected)
    assert torch.equal(deconvnet(positive, x, 0, reduce=None), expected)
    both_off = tiny([[1.0, 1.0], [-3.0, 1.0]], [2.0, -4.0])  # the second ReLU: z < 0 and g < 0
    expected = backprop(both_off, x, 0, reduce=None)
    assert torch.equal(guided_backprop(both_off, x, 0, reduce=None), expected)
    assert torch.equal(deconvnet(both_off, x, 0, reduce=None), expected)


@each_rule
@pytest.mark.parametrize("seed", SEEDS)
def test_signal_that_leaves_a_relu_is_not_negative(rule, seed):
    seen: list[Tensor] = []

    def act(z: Tensor) -> Tensor:
        if z.requires_grad:
            z.register_hook(lambda gradient: seen.append(gradient))
        return F.relu(z)

    net = Net(seed, act).eval()
    RULES[rule](net, pictures(seed), 1)
    assert len(seen) == 3 and all((signal >= 0).all() and signal.any() for signal in seen)
    seen.clear()
    backprop(net, pictures(seed), 1)
    assert any((signal < 0).any() for signal in seen), "the plain gradient has both signs"


@each_rule
@pytest.mark.parametrize("seed", SEEDS)
def test_every_way_to_write_a_relu_follows_the_rule(rule, seed):
    x = pictures(seed)
    expected = by_hand(Net(seed, F.relu), x, 2, rule)
    plain = backprop(Net(seed, F.relu), x, 2, reduce=None)
    assert (expected - plain).abs().max() > 0.1 * plain.abs().max()
    for name, act in RELUS.items():
        net = Net(seed, act).eval()
        torch.testing.assert_close(net(x), Net(seed, F.relu)(x), msg=name)
        ours = RULES[rule](net, x, 2, reduce=None)
        torch.testing.assert_close(ours, expected, atol=1e-7, rtol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


@each_rule
@pytest.mark.parametrize("seed", SEEDS)
def test_every_way_to_write_a_relu6_follows_the_rule(rule, seed):
    x = pictures(seed)
    reference = Net(seed, F.relu6, scale=30.0)
    z = 30 * reference.conv1(x)
    assert (z > 6).float().mean() > 0.05 and (z < 0).float().mean() > 0.05, "both ends must be met"
    expected = by_hand(reference, x, 2, rule, high=6.0)
    for name, act in RELU6S.items():
        net = Net(seed, act, scale=30.0).eval()
        torch.testing.assert_close(net(x), reference(x), msg=name)
        ours = RULES[rule](net, x, 2, reduce=None)
        torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("name", ["clamp(min=0)", "clamp_min_", "F.threshold", "clamp with a tensor"])
def test_a_relu_at_exactly_zero_is_closed_however_it_is_written(name):
    net = Net(0, RELUS[name])
    with torch.no_grad():
        net.conv1.bias.zero_()
    x = torch.zeros(1, 3, 12, 12)  # a black image and no bias: every input of the first ReLU is 0
    assert not guided_backprop(net, x, 0, reduce=None).any()
    assert deconvnet(net, x, 0, reduce=None).any()


@pytest.mark.parametrize("name", ["clamp", "clip_", "clamp with tensors", "F.relu6"])
def test_a_relu6_at_exactly_six_is_closed_however_it_is_written(name):
    net = Net(0, RELU6S[name])
    with torch.no_grad():
        net.conv1.bias.fill_(6)
    x = torch.zeros(1, 3, 12, 12)
    assert not guided_backprop(net, x, 0, reduce=None).any()
    assert deconvnet(net, x, 0, reduce=None).any()


@each_rule
def test_residual_network_with_shared_in_place_modules(rule):
    torch.manual_seed(0)
    net = torchvision.models.resnet18(num_classes=7).eval()
    x = pictures(0, batch=2, size=64)
    twin = copy.deepcopy(net)

    class Act(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return ByHand.apply(z, rule, INF)

    for module in [m for m in twin.modules() if isinstance(getattr(m, "relu", None), nn.ReLU)]:
        module.relu = Act()
    expected = backprop(twin, x, [3, 5], reduce=None)
    ours = RULES[rule](net, x, [3, 5], reduce=None)
    torch.testing.assert_close(ours, expected, atol=1e-6 * expected.abs().max().item(), rtol=1e-4)


# --- captum ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_agrees_with_captum_on_relu_modules(seed):
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 6, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(54, 10), nn.ReLU(), nn.Linear(10, 4),
    ).eval()  # fmt: skip
    x, classes = pictures(seed), torch.tensor([1, 3, 0])
    ask = {"target": classes}
    torch.testing.assert_close(
        guided_backprop(net, x, classes, reduce=None), captum.GuidedBackprop(net).attribute(x.clone(), **ask)
    )
    torch.testing.assert_close(
        deconvnet(net, x, classes, reduce=None), captum.Deconvolution(net).attribute(x.clone(), **ask)
    )
    theirs = captum.GuidedGradCam(net, net[4]).attribute(x.clone(), interpolate_mode="bilinear", **ask)
    assert theirs.any()
    torch.testing.assert_close(guided_grad_cam(net, x, classes, "4", reduce=None), theirs, atol=1e-7, rtol=1e-5)


# --- Guided Grad-CAM -------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [None, 1, [0, 3, 2], torch.tensor([[0, 1], [3, 3], [2, 0]]), lambda out: out[:, 1]])
def test_guided_grad_cam_is_the_product_of_its_factors(target):
    net, x = Net(0, F.relu).eval(), pictures(0)
    ours = guided_grad_cam(net, x, target, "conv2", reduce=None)
    coarse = grad_cam(net, x, target, "conv2", size="images")
    fine = guided_backprop(net, x, target, reduce=None)
    assert ours.shape == fine.shape and coarse.any()
    torch.testing.assert_close(ours, fine * coarse.unsqueeze(-3))
    assert not ours.abs().sum(-3)[coarse == 0].any()
    torch.testing.assert_close(guided_grad_cam(net, x, target, "conv2"), ours.abs().amax(-3))


# --- several targets, batches, modes ---------------------------------------------------------------

METHODS = {**RULES, "guided_grad_cam": lambda net, x, target=None, **k: guided_grad_cam(net, x, target, "conv2", **k)}
each_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


@each_method
def test_several_targets_batches_and_the_predicted_class(method):
    net, x = Net(1, nn.ReLU6()).eval(), pictures(1)
    targets = torch.tensor([[1, 0], [2, 2], [0, 3]])
    both = method(net, x, targets)
    assert both.shape == (3, 2, 12, 12)
    for t in range(2):
        torch.testing.assert_close(both[:, t], method(net, x, targets[:, t]))
    for row in range(3):
        torch.testing.assert_close(both[row : row + 1], method(net, x[row : row + 1], targets[row : row + 1]))
    assert torch.equal(method(net, x), method(net, x, net(x).argmax(1)))
    assert torch.equal(method(net, x, reduce=None).abs().amax(1), method(net, x))


@each_method
def test_frozen_parameters_no_grad_and_inference_mode(method):
    net, x = Net(0, nn.ReLU(inplace=True)).eval(), pictures(0)
    expected = method(net, x, 1)
    net.requires_grad_(False)
    assert torch.equal(method(net, x, 1), expected)
    with torch.no_grad():
        assert torch.equal(method(net, x, 1), expected)
    with torch.inference_mode():
        assert torch.equal(method(net, x * 1, 1), expected)


@each_method
@pytest.mark.parametrize("fails", [False, True])
def test_nothing_of_the_callers_is_touched(method, fails):
    def act(z: Tensor) -> Tensor:
        if fails and z.ndim == 2:
            raise RuntimeError("out of order")
        return z.relu_()

    net, x = Net(0, act).eval(), pictures(0).requires_grad_()
    net.conv1.weight.requires_grad_(False)
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 3.0) if parameter.requires_grad else None
    before = {name: value.clone() for name, value in net.state_dict().items()}
    clean, pixels, rng = backprop(Net(0, F.relu), x, 1), x.detach().clone(), torch.get_rng_state()
    if fails:
        with pytest.raises(RuntimeError, match="out of order"):
            method(net, x, 1)
    else:
        method(net, x, 1)
    assert torch.is_grad_enabled() and torch.equal(rng, torch.get_rng_state())
    assert x.grad is None and x.requires_grad and torch.equal(x.detach(), pixels)
    assert not net.conv1.weight.requires_grad and not net.training
    assert all((p.grad == 3).all() for p in net.parameters() if p.requires_grad)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(m._forward_hooks or m._backward_hooks or m._forward_pre_hooks for m in net.modules())
    fails = False
    assert torch.equal(backprop(net, x, 1), clean), "the ordinary gradient of the same model must be what it was"


# --- models that cannot be served ------------------------------------------------------------------

OTHERS = {
    "GELU": F.gelu, "SiLU": nn.SiLU(inplace=True), "Hardswish": F.hardswish, "ELU or SELU": nn.SELU(), "CELU": F.celu,
    "LeakyReLU": nn.LeakyReLU(0.1, inplace=True), "PReLU": nn.PReLU(), "Mish": F.mish, "Softplus": F.softplus,
    "RReLU": F.rrelu, "LogSigmoid": F.logsigmoid, "a threshold at 0.01": lambda z: F.threshold(z, 0.01, 0.0),
}  # fmt: skip


class Mixed(nn.Module):
    """conv, ReLU, conv, another activation (on a view, where it may work in place), linear."""

    def __init__(self, other, first=F.relu) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.conv2, self.fc = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(512, 4)
        self.first, self.other = first, other

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.other(self.conv2(self.first(self.conv1(x))).flatten(1)))


@each_method
@pytest.mark.parametrize("name", OTHERS)
def test_other_activations_are_named_or_pass_their_ordinary_gradient(method, name):
    net, x = Mixed(OTHERS[name]).eval(), pictures(0)
    with pytest.raises(ValueError, match=f"the model uses {name}, but .*strict=False"):
        method(net, x, 1)
    assert method(net, x, 1, strict=False).any()


@each_rule
def test_without_strict_only_the_relus_follow_the_rule(rule):
    x = pictures(0)
    expected = backprop(Mixed(F.silu, first=lambda z: ByHand.apply(z, rule, INF)), x, 1, reduce=None)
    ours = RULES[rule](Mixed(F.silu), x, 1, reduce=None, strict=False)
    torch.testing.assert_close(ours, expected)


@each_rule
def test_gates_and_activations_off_the_path_are_allowed(rule):
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.fc, self.query = nn.Conv2d(3, 8, 3), nn.Linear(8, 4), nn.Parameter(torch.randn(8))

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.conv(x))
            x = x * torch.sigmoid(x.mean((2, 3), keepdim=True)) * x.flatten(2).softmax(2).view_as(x)
            return self.fc(x.sum((2, 3)) * F.gelu(self.query))  # a GELU that no pixel goes through

    assert RULES[rule](Gated(), pictures(0), 1).any()


@each_method
def test_without_a_relu_on_the_path_there_is_an_error(method):
    x = pictures(0)
    with pytest.raises(ValueError, match="no ReLU between images and score: .* would be the plain gradient"):
        method(Net(0, torch.tanh).eval(), x, 1)
    with pytest.raises(ValueError, match="no ReLU between images and score"):
        method(Net(0, F.gelu).eval(), x, 1, strict=False)
    with pytest.raises(ValueError, match="no ReLU between images and score"):
        method(Net(0, lambda z: z.clamp(-1, 1) + z.clamp(min=1e-6) + F.hardtanh(z)).eval(), x, 1)

    class Beside(Net):
        def forward(self, x: Tensor) -> Tensor:
            F.relu(x.mean())
            return super().forward(x) + F.relu(self.fc2.bias)

    with pytest.raises(ValueError, match="no ReLU between images and score"):
        method(Beside(0, torch.tanh).eval(), x, 1)


@pytest.mark.filterwarnings("ignore")
@each_rule
def test_scripted_and_compiled_models_are_refused(rule):
    method, x = RULES[rule], pictures(0)
    net = Net(0, nn.ReLU()).eval()
    with pytest.raises(ValueError, match="is TorchScript: .* Pass the original model"):
        method(torch.jit.trace(net, x), x, 1)
    part = Mixed(F.relu).eval()
    part.conv2 = torch.jit.trace(nn.Sequential(part.conv2, nn.ReLU()), torch.rand(1, 8, 10, 10))
    with pytest.raises(ValueError, match="'conv2' is TorchScript"):
        method(part, x, 1)
    with pytest.raises(ValueError, match=r"is compiled by torch\.compile"):
        method(torch.compile(net, backend="eager"), x, 1)
    net.compile(backend="eager")
    with pytest.raises(ValueError, match=r"'Net' is compiled by torch\.compile"):
        method(net, x, 1)


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_function_inside_a_model_is_found_in_its_graph():
    net = Mixed(torch.compile(lambda z: F.relu(z) * 2, backend="aot_eager"))
    for strict in (True, False):  # strict=False would silently give a compiled ReLU its ordinary gradient
        with pytest.raises(ValueError, match="a function of the model is compiled"):
            guided_backprop(net, pictures(0), 1, strict=strict)


@each_rule
def test_custom_autograd_functions_are_named(rule):
    net, x = Mixed(lambda z: ByHand.apply(z, "guided", INF)), pictures(0)
    with pytest.raises(ValueError, match="the custom autograd function ByHand"):
        RULES[rule](net, x, 1)
    assert RULES[rule](net, x, 1, strict=False).any()


def test_errors_of_the_arguments():
    net, x = Net(0, F.relu).eval(), pictures(0)
    for method in METHODS.values():
        with pytest.raises(ValueError, match="reduce must be"):
            method(net, x, 1, reduce="mean")
        with pytest.raises(ValueError, match="class 4 is out of range"):
            method(net, x, 4)
        with pytest.raises(ValueError, match="4 axes"):
            method(net, x[0], 1)
    for method in RULES.values():
        with pytest.raises(ValueError, match="does not depend on the images"):
            method(net, x, lambda out: net.fc2.bias[:1].expand(len(out)))
    with pytest.raises(ValueError, match="no layer 'conv9'"):
        guided_grad_cam(net, x, 1, "conv9")
