"""Grad-CAM and CAM: the identities of the papers, agreement with other libraries, and the cases where those go wrong."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from lessons_lib.explain import cam, default_layer, grad_cam
from lessons_lib.explain.gradcam import channel_weights
from lessons_lib.explain.layers import watch

SEEDS = (0, 1, 2)


def gap_net(seed: int, classes: int = 5, bias: bool = True) -> nn.Sequential:
    """conv - BN - ReLU - conv - ReLU - GAP - linear, with BatchNorm statistics that are not trivial."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, classes, bias=bias),
    )
    with torch.no_grad():
        net[1].running_mean.normal_()
        net[1].running_var.uniform_(0.5, 2)
    return net.eval()


class DeepHead(nn.Module):
    """A head of several linear layers after a max-pool: no closed form."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.fc1, self.fc2 = nn.Linear(6 * 4 * 4, 20), nn.Linear(20, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(self.relu(self.conv(x)), 2)
        return self.fc2(self.relu(self.fc1(x.flatten(1))))


def by_the_formula(features: torch.Tensor, score: torch.Tensor) -> torch.Tensor:
    """Equations 1 and 2 of the paper for one image, written out."""
    (gradient,) = torch.autograd.grad(score, features, retain_graph=True)
    alpha = gradient.mean((2, 3))
    return sum(alpha[:, k, None, None] * features[:, k] for k in range(features.shape[1])).relu()


def images(seed: int, batch: int = 3, size: int = 16, **kwargs: object) -> torch.Tensor:
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(seed), **kwargs)


# --- identities -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_equals_the_formula(seed):
    net, x = DeepHead(seed).eval(), images(seed, size=8)
    ours = grad_cam(net, x, [1, 2, 6], "conv")
    features = net.conv(x)
    logits = net.fc2(net.fc1(F.max_pool2d(features.relu(), 2).flatten(1)).relu())
    for i, c in enumerate([1, 2, 6]):
        torch.testing.assert_close(ours[i], by_the_formula(features, logits[i, c])[i].detach(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_generalises_cam(seed):
    """On GAP + linear, Grad-CAM before its ReLU is CAM / Z, and CAM's mean is the logit less its bias."""
    net, x = gap_net(seed), images(seed)
    raw, maps, logits = grad_cam(net, x, [0, 1, 2], "4", relu=False), cam(net, x, [0, 1, 2], "4"), net(x)
    positions = raw[0].numel()
    torch.testing.assert_close(raw, maps / positions, atol=1e-7, rtol=1e-5)
    expected = logits[range(3), [0, 1, 2]] - net[-1].bias[:3]
    torch.testing.assert_close(maps.mean((1, 2)), expected.detach(), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(raw.sum((1, 2)), expected.detach(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_closed_form_equals_the_gradient(seed, bias):
    """The shortcut for GAP + linear heads gives what autograd gives; a function target never takes the shortcut."""
    net, x = gap_net(seed, bias=bias), images(seed)
    classes = torch.tensor([[0, 3], [1, 1], [4, 2]])
    shortcut = grad_cam(net, x, classes, "4", relu=False)
    autograd = grad_cam(net, x, lambda logits: logits.gather(1, classes), "4", relu=False)
    torch.testing.assert_close(shortcut, autograd, atol=1e-7, rtol=1e-5)


class GapHead(nn.Module):
    """conv, an activation, mean over `dims`, linear."""

    def __init__(self, activation, dims=(2, 3)):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc, self.activation, self.dims = (
            nn.Conv2d(3, 6, 3, padding=1),
            nn.Linear(6, 3),
            activation,
            dims,
        )

    def forward(self, x):
        return self.fc(self.activation(self.conv(x)).mean(self.dims))


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize(
    "activation", [nn.ReLU, nn.ReLU6, nn.SiLU, nn.ELU, nn.LeakyReLU, nn.Hardswish, lambda inplace: nn.GELU()]
)
def test_an_activation_after_the_layer_brings_its_derivative(activation, inplace):
    """Also in place, where autograd replaces the node of the layer's output: reading that one gave a wrong map."""
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        activation(inplace=inplace),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 4),
    ).eval()
    x = 3 * images(0, size=6)
    expected = grad_cam(net, x, lambda y: y[:, 2], "0", relu=False)
    assert expected.any()
    torch.testing.assert_close(grad_cam(net, x, 2, "0", relu=False), expected, atol=1e-6, rtol=1e-5)
    with pytest.raises(ValueError, match="CAM needs a head"):
        cam(net, x, 2, "0")


@pytest.mark.parametrize("dims", [(2, 3), (-1, -2), (1, 2), (1, 3)])
def test_only_a_mean_over_positions_is_a_global_average_pool(dims):
    net, x = (
        GapHead(nn.Identity(), dims).eval(),
        images(0, size=6),
    )  # 6 channels, 6 rows, 6 columns: shapes tell nothing
    expected = grad_cam(net, x, lambda y: y[:, 1], "conv", relu=False)
    torch.testing.assert_close(grad_cam(net, x, 1, "conv", relu=False), expected, atol=1e-6, rtol=1e-5)


def test_closed_form_is_not_taken_where_it_would_be_wrong():
    """A ReLU6, a flatten or a scale between layer and linear layer: the graph is read, so none is mistaken for GAP."""

    class Odd(nn.Module):
        def __init__(self, middle):
            super().__init__()
            self.conv, self.fc, self.middle = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3), middle

        def forward(self, x):
            return self.fc(self.middle(self.conv(x)))

    torch.manual_seed(0)
    x = images(0, size=6)
    for middle in (
        lambda a: F.relu6(a).mean((2, 3)),
        lambda a: a.mean((2, 3)) * 2,
        lambda a: a.amax((2, 3)),
        lambda a: a.square().mean((2, 3)),
        lambda a: a[:, :, :3].mean((2, 3)),
    ):
        net = Odd(middle).eval()
        features = net.conv(x)
        expected = by_the_formula(features, net.fc(middle(features))[:, 1].sum())
        torch.testing.assert_close(grad_cam(net, x, 1, "conv"), expected.detach(), atol=1e-6, rtol=1e-4)
        with pytest.raises(ValueError, match="CAM needs a head"):
            cam(net, x, 1, "conv")


@pytest.mark.parametrize("net", [gap_net(0), DeepHead(0).eval()], ids=["gap", "deep"])
def test_several_targets_share_one_trunk_pass_and_equal_single_ones(net):
    x = images(1, size=8)
    calls = []
    handle = net.register_forward_hook(lambda *_: calls.append(1))
    classes = torch.tensor([[0, 1, 4], [2, 2, 3], [4, 0, 1]])
    layer = "4" if isinstance(net, nn.Sequential) else "conv"
    several = grad_cam(net, x, classes, layer)
    assert len(calls) == 1
    handle.remove()
    for t in range(3):
        torch.testing.assert_close(several[:, t], grad_cam(net, x, classes[:, t], layer), atol=1e-7, rtol=1e-5)


def test_counterfactual_is_the_negative_part():
    """Grad-CAM - counterfactual = the map before its ReLU."""
    net, x = DeepHead(3).eval(), images(3, size=8)
    plus, minus = grad_cam(net, x, 2, "conv"), grad_cam(net, x, 2, "conv", counterfactual=True)
    torch.testing.assert_close(plus - minus, grad_cam(net, x, 2, "conv", relu=False), atol=1e-7, rtol=1e-5)
    assert (plus >= 0).all() and (minus >= 0).all() and minus.any()


def test_scaling_shifting_and_other_classes():
    net, x = gap_net(2), images(2)
    base = grad_cam(net, x, 1, "4")
    torch.testing.assert_close(grad_cam(net, x, lambda y: 3 * y[:, 1] + 10, "4"), 3 * base, atol=1e-6, rtol=1e-5)
    with torch.no_grad():
        net[-1].weight[2:] += 5
    torch.testing.assert_close(grad_cam(net, x, 1, "4"), base)


def test_zero_map_has_no_nan():
    net, x = gap_net(0), images(0)
    with torch.no_grad():
        net[-1].weight[3] = -net[-1].weight[3].abs()
    maps = grad_cam(net, x, 3, "4", size="images")
    assert torch.equal(maps, torch.zeros_like(maps))


def test_rows_do_not_depend_on_their_batch():
    net, x = DeepHead(1).eval(), images(5, batch=4, size=8)
    together = grad_cam(net, x, [0, 1, 2, 3], "conv")
    alone = torch.cat([grad_cam(net, x[i : i + 1], [i], "conv") for i in range(4)])
    torch.testing.assert_close(together, alone, atol=1e-7, rtol=1e-5)


def test_predicted_class_is_the_default_and_the_output_comes_along():
    net, x = gap_net(1), images(1)
    maps, logits = grad_cam(net, x, layer="4", return_output=True)
    torch.testing.assert_close(logits, net(x).detach())
    assert not logits.requires_grad
    torch.testing.assert_close(maps, grad_cam(net, x, logits.argmax(1), "4"))


def test_size_upsamples_like_interpolate():
    net, x = DeepHead(0).eval(), images(0, size=8)
    low = grad_cam(net, x, 1, "conv")
    for size in ("images", (13, 31)):
        wanted = (8, 8) if size == "images" else size
        expected = F.interpolate(low[:, None], wanted, mode="bilinear", align_corners=False)[:, 0]
        torch.testing.assert_close(grad_cam(net, x, 1, "conv", size=size), expected, atol=1e-6, rtol=1e-5)


# --- other libraries ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(0)
    net = torchvision.models.resnet18()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval()


@pytest.mark.parametrize("layer", ["layer4", "layer3"])
def test_agrees_with_captum_torchcam_and_pytorch_grad_cam(resnet, layer):
    from captum.attr import LayerGradCam
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    from torchcam.methods import GradCAM as TorchCam

    x, classes = images(0, batch=2, size=64), [3, 70]
    module = getattr(resnet, layer)
    ours = grad_cam(resnet, x, classes, layer)
    scale = ours.amax((1, 2), keepdim=True)
    captum = LayerGradCam(resnet, module).attribute(x, classes, relu_attributions=True)[:, 0].detach()
    torch.testing.assert_close(ours / scale, captum / scale, atol=1e-5, rtol=0)
    with TorchCam(resnet, layer) as extractor:
        theirs = extractor(classes, resnet(x), normalized=False)[0]
    torch.testing.assert_close(ours / scale, theirs / scale, atol=1e-5, rtol=0)
    with GradCAM(resnet, [module]) as extractor:
        extractor.activations_and_grads.reshape_transform = None
        unit = torch.as_tensor(extractor(x, [ClassifierOutputTarget(c) for c in classes]))

    def to_range(maps):  # that library scales its maps to 0..1 before and after resizing
        maps = maps - maps.amin((1, 2), keepdim=True)
        return maps / maps.amax((1, 2), keepdim=True)

    wide = to_range(F.interpolate(to_range(ours)[:, None], (64, 64), mode="bilinear", align_corners=False)[:, 0])
    assert (wide - unit).abs().max() < 1e-5


def test_default_layer_is_the_usual_one(resnet):
    x = images(0, batch=1, size=64)
    assert default_layer(resnet, x) == "layer4"
    assert default_layer(torchvision.models.vgg16().eval(), x) == "features.29"
    assert default_layer(gap_net(0), x) == "4"
    named = gap_net(0)
    named.explain_layer = "2"
    assert default_layer(named, x) == "2"


# --- where other libraries are silently wrong -----------------------------------------------------------------


def test_module_used_twice_is_explained_at_its_last_call():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b, self.act = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 5, 3, padding=1), nn.ReLU6(True)
            self.fc = nn.Linear(5, 4)

        def forward(self, x):
            return self.fc(self.act(self.b(self.act(self.a(x)))).square().mean((2, 3)))

    net, x = Shared().eval(), images(0, size=8)
    last = F.relu6(net.b(F.relu6(net.a(x))))
    expected = by_the_formula(last, net.fc(last.square().mean((2, 3)))[:, 2].sum())
    torch.testing.assert_close(grad_cam(net, x, 2, "act"), expected.detach(), atol=1e-6, rtol=1e-5)
    trained = grad_cam(net, x, 2, "act", create_graph=True)
    torch.testing.assert_close(trained.detach(), expected.detach(), atol=1e-6, rtol=1e-5)


def test_fewer_targets_than_images_is_an_error():
    with pytest.raises(ValueError, match=r"target of shape \(1,\) does not fit 3 images"):
        grad_cam(gap_net(0), images(0), [1], "4")
    with pytest.raises(ValueError, match=r"pass shape \(1, 2\)"):
        grad_cam(gap_net(0), images(0, batch=1), [1, 2], "4")


def test_frozen_parameters_no_grad_and_inference_mode():
    x = images(0, size=8)
    for net, layer in ((gap_net(0), "4"), (DeepHead(0).eval(), "conv")):
        expected = grad_cam(net, x, 1, layer)
        net.requires_grad_(False)
        assert torch.equal(grad_cam(net, x, 1, layer), expected)
        with torch.no_grad():
            torch.testing.assert_close(grad_cam(net, x, 1, layer), expected)
            assert not torch.is_grad_enabled()
        with torch.inference_mode():
            torch.testing.assert_close(grad_cam(net, images(0, size=8), 1, layer), expected)


def test_nothing_of_the_callers_is_touched():
    net, x = gap_net(0), images(0).requires_grad_()
    net.train()
    net[1].eval()
    net(x).sum().backward()
    before = [p.grad.clone() for p in net.parameters()], x.grad.clone(), net[1].running_mean.clone()
    modes, state = [m.training for m in net.modules()], torch.get_rng_state()
    grad_cam(net, x, 1, "4")
    grad_cam(net, x, 1, "4", create_graph=True)
    assert all(torch.equal(a, p.grad) for a, p in zip(before[0], net.parameters()))
    assert torch.equal(before[1], x.grad) and torch.equal(before[2], net[1].running_mean)
    assert modes == [m.training for m in net.modules()] and torch.equal(state, torch.get_rng_state())
    assert torch.is_grad_enabled()


def test_hooks_never_leak_also_after_errors():
    class Breaks(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, x):
            self.conv(x)
            raise RuntimeError("broken on purpose")

    def hooks(net):
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in net.modules())

    net = gap_net(0)
    for call in (
        lambda: grad_cam(net, images(0), 1, "4"),
        lambda: grad_cam(net, images(0), 99, "4"),
        lambda: grad_cam(net, images(0), lambda y: y.argmax(1).float(), "4"),
        lambda: cam(net, images(0), 99, "4"),
        lambda: default_layer(net, images(0)),
    ):
        try:
            call()
        except ValueError:
            assert torch.is_grad_enabled()
        assert hooks(net) == 0
    broken = Breaks().eval()
    for call in (lambda: grad_cam(broken, images(0), 0, "conv"), lambda: default_layer(broken, images(0))):
        with pytest.raises(RuntimeError, match="on purpose"):
            call()
        assert hooks(broken) == 0 and torch.is_grad_enabled()


def test_in_place_activation_after_the_layer():
    """An in-place ReLU right after the layer must not change the features that the map is made of."""
    twin_a, twin_b = DeepHead(4).eval(), DeepHead(4).eval()
    twin_b.relu = nn.ReLU(inplace=False)
    x = images(4, size=8)
    for options in ({}, {"create_graph": True}):
        a, b = (grad_cam(net, x, 3, "conv", relu=False, **options) for net in (twin_a, twin_b))
        torch.testing.assert_close(a, b)


def test_tokens_of_a_transformer_need_no_reshape():
    torch.manual_seed(0)
    net = torchvision.models.VisionTransformer(32, 8, 3, 4, 24, 48, num_classes=5)
    nn.init.normal_(net.heads[0].weight)
    net.eval()
    x = images(0, batch=2, size=32)
    name = default_layer(net, x)
    assert name == "encoder.layers.encoder_layer_2.ln_1"
    maps = grad_cam(net, x, [1, 2])
    assert maps.shape == (2, 4, 4) and maps.any()
    kept = {}
    handle = net.get_submodule(name).register_forward_hook(lambda m, i, o: kept.update(tokens=o))
    logits = net(x)
    handle.remove()
    for i, c in enumerate([1, 2]):
        (gradient,) = torch.autograd.grad(logits[i, c], kept["tokens"], retain_graph=True)
        patches, alpha = kept["tokens"][i, 1:], gradient[i, 1:].mean(0)
        torch.testing.assert_close(maps[i], (patches @ alpha).relu().view(4, 4).detach(), atol=1e-6, rtol=1e-4)
    with pytest.raises(ValueError, match="does not depend on the patch tokens"):
        grad_cam(net, x, 1, "encoder_layer_2")
    grad_cam(net, x, 1, create_graph=True).sum().backward()
    assert net.conv_proj.weight.grad.any()


def test_channels_last_and_video_layouts():
    torch.manual_seed(0)
    conv = nn.Conv3d(2, 4, 3, padding=1)
    net = nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    video = torch.rand(2, 2, 3, 5, 6)
    maps = grad_cam(net, video, 1, "0", layout="channels_first")
    features = conv(video)
    (gradient,) = torch.autograd.grad(net[1:](features)[:, 1].sum(), features)
    expected = (gradient.mean((2, 3, 4), keepdim=True) * features).sum(1).relu()
    assert maps.shape == (2, 3, 5, 6)
    torch.testing.assert_close(maps, expected.detach(), atol=1e-6, rtol=1e-4)

    class Last(nn.Module):
        def forward(self, x):
            return x.permute(0, 2, 3, 1).contiguous()

    head = nn.Sequential(nn.Conv2d(3, 4, 3), Last(), nn.Flatten(), nn.Linear(4 * 36, 3)).eval()
    x = images(0, size=8)
    torch.testing.assert_close(grad_cam(head, x, 1, "1", layout="channels_last"), grad_cam(head, x, 1, "0"))


# --- in a loss ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("several", [False, True])
def test_gradient_of_a_loss_on_the_map_equals_finite_differences(several):
    """The whole derivative, through alpha and through the features; a library that detaches alpha fails here."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.Softplus(), nn.Conv2d(4, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 16, 6),
        nn.Tanh(), nn.Linear(6, 3),
    ).double()  # fmt: skip
    x = images(0, batch=2, size=6, dtype=torch.float64)
    target = torch.tensor([[0, 1], [2, 1]]) if several else torch.tensor([0, 2])
    pattern = torch.randn(1, 6, 6, dtype=torch.float64)

    def loss():
        return (grad_cam(net, x, target, "0", create_graph=True, relu=False) * pattern).square().sum()

    value = loss()
    for parameter in (net[0].weight, net[2].weight, net[5].weight, net[7].weight):
        (gradient,) = torch.autograd.grad(loss(), parameter)
        direction = torch.randn_like(parameter)
        step = 1e-5
        with torch.no_grad():
            parameter += step * direction
            up = loss().item()
            parameter -= 2 * step * direction
            down = loss().item()
            parameter += step * direction
        numeric = (up - down) / (2 * step)
        assert abs(numeric - (gradient * direction).sum().item()) < 1e-5 * max(1, abs(numeric)), parameter.shape
    assert value > 0


def test_training_step_shares_the_forward_and_reaches_trunk_and_head():
    net, x = gap_net(0), images(0)
    net.train()
    calls = []
    handle = net.register_forward_hook(lambda *_: calls.append(1))
    maps, logits = grad_cam(net, x, [0, 1, 2], "4", create_graph=True, return_output=True)
    (F.cross_entropy(logits, torch.tensor([0, 1, 2])) + maps.mean()).backward()
    handle.remove()
    assert len(calls) == 1
    grads = dict(net.named_parameters())
    assert all(p.grad is not None and p.grad.any() for n, p in grads.items() if n != "0.bias")
    net.zero_grad()
    grad_cam(net, x, [0, 1, 2], "4", create_graph=True).mean().backward()
    assert net[0].weight.grad.any() and net[-1].weight.grad.any()


@pytest.mark.parametrize("seed", SEEDS)
def test_one_step_on_the_map_alone_lowers_its_loss(seed):
    net, x = DeepHead(seed).eval(), images(seed, size=8)
    mask = torch.zeros(8, 8)
    mask[:, :4] = 1
    optimiser = torch.optim.SGD(net.parameters(), lr=0.05)

    def outside():
        maps = grad_cam(net, x, [0, 1, 2], "conv", create_graph=True)
        return (maps * (1 - mask)).sum() / (maps.sum() + 1e-8)

    before = outside()
    before.backward()
    optimiser.step()
    assert outside() < before


def test_half_precision_features_are_combined_in_float32():
    net, x = gap_net(0).to(torch.bfloat16), images(0).to(torch.bfloat16)
    assert grad_cam(net, x, 1, "4").dtype == torch.float32


# --- bad input ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"layer": "layer9"}, ValueError, "no layer 'layer9'.*Top-level layers"),
        ({"layer": 4}, TypeError, "layer must be a module or its name"),
        ({"layer": nn.ReLU()}, ValueError, "not a module of this model"),
        ({"layer": "7"}, ValueError, "no positions to draw a map on"),
        ({"target": 5}, ValueError, "class 5 is out of range: the model has classes 0 to 4"),
        ({"target": -1}, ValueError, "class -1 is out of range"),
        ({"target": 1.5}, TypeError, "class indices must be integers"),
        ({"target": True}, TypeError, "target must be a class index"),
        ({"target": "cat"}, TypeError, "target must be a class index"),
        ({"target": lambda y: y.sum()}, ValueError, r"scores of shape \(B,\) or \(B, T\)"),
        ({"target": lambda y: y[:2, 0]}, ValueError, "2 rows for a batch of 3"),
        ({"target": lambda y: y.argmax(1).float()}, ValueError, "no gradient can flow"),
        ({"target": lambda y: y[:, 0].detach()}, ValueError, "no gradient can flow"),
        ({"images": torch.rand(3, 16, 16)}, ValueError, r"4 axes.*images\[None\]"),
        ({"images": torch.rand(1, 1, 3, 16, 16)}, ValueError, "4 axes"),
        ({"images": torch.zeros(1, 3, 16, 16, dtype=torch.uint8)}, TypeError, "floating point"),
        ({"images": [[1.0]]}, TypeError, "must be a torch.Tensor"),
        ({"images": torch.full((1, 3, 16, 16), float("nan")), "target": 0}, ValueError, "NaN or infinite"),
        ({"images": torch.rand(0, 3, 16, 16)}, ValueError, "empty"),
        ({"layout": "sideways"}, ValueError, "layout 'sideways'"),
    ],
)
def test_bad_input_says_what_to_do(change, error, message):
    call = {"images": images(0), "target": 1, "layer": "4"} | change
    with pytest.raises(error, match=message):
        grad_cam(gap_net(0), call.pop("images"), call.pop("target"), call.pop("layer"), **call)


def test_training_mode_with_batchnorm_is_refused_and_statistics_stay():
    net = gap_net(0).train()
    mean = net[1].running_mean.clone()
    for method in (grad_cam, cam):
        with pytest.raises(ValueError, match=r"'1' is in training mode.*model.eval\(\)"):
            method(net, images(0), 1, "4")
    assert torch.equal(mean, net[1].running_mean)


def test_layer_beside_the_path():
    class Beside(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.beside, self.never = (nn.Conv2d(3, 2, 3) for _ in range(3))

        def forward(self, x):
            self.beside(x)
            return self.used(x).mean((2, 3))

    net = Beside().eval()
    with pytest.raises(ValueError, match="does not depend on this layer's output|no gradient can flow"):
        grad_cam(net, images(0), 1, "beside")
    with pytest.raises(ValueError, match="does not depend on this layer's output|no gradient can flow"):
        grad_cam(net, images(0), 1, "beside", create_graph=True)
    with pytest.raises(ValueError, match="'never' was not called"):
        grad_cam(net, images(0), 1, "never")


def test_watch_and_channel_weights_serve_a_step_written_by_hand():
    """The pieces that a training step of one's own uses: one forward, the map's weights, the same numbers."""
    net, x = gap_net(0), images(0)
    with watch(net[4], (16, 16), attach=True) as features:
        logits = net(x)
        weights, several = channel_weights(features, logits, [0, 1, 2], create_graph=True)
    maps = torch.einsum("btc,bchw->bthw", weights, features.value).relu()[:, 0]
    assert not several and maps.requires_grad
    torch.testing.assert_close(maps, grad_cam(net, x, [0, 1, 2], "4", create_graph=True))
