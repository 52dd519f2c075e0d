"""Maps over space and time: worked by hand, and the identities that tell pooled weights from weights per time step."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lessons_lib.explain import grad_cam
from lessons_lib.explain.video import (
    background_difference,
    frame_difference,
    grad_cam_video,
    gradient_video,
    occlusion_video,
)
from lessons_lib.models.video import VideoCNN

SEEDS = (0, 1, 2)
METHODS = (grad_cam_video, gradient_video, occlusion_video)
close = partial(torch.allclose, rtol=1e-4, atol=1e-7)  # maps of a mean over 64 positions are small numbers


def clips(seed: int = 0, batch: int = 3, frames: int = 5, size: int = 16) -> torch.Tensor:
    return torch.rand(batch, frames, 3, size, size, generator=torch.Generator().manual_seed(seed))


def network(seed: int = 0, head: str = "time") -> VideoCNN:
    """Random weights, and BatchNorm statistics that are not trivial."""
    model, generator = VideoCNN(4, frames=5, head=head, width=6, seed=seed).eval(), torch.Generator().manual_seed(seed)
    for norm in (model.features.norm1, model.features.norm2):
        norm.running_mean.normal_(generator=generator)
        norm.running_var.uniform_(0.5, 2, generator=generator)
    return model


class Weighted(nn.Module):
    """The features are the colours; the logits weight their means over height and width, at each time step."""

    explain_layer = "keep"

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.keep, self.weights = nn.Identity(), nn.Parameter(weights)  # (classes, colours, T)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bct,kct->bk", self.keep(pixels.transpose(1, 2)).mean((3, 4)), self.weights)


class Strided(nn.Module):
    """Fewer time steps than frames, a head that is not linear."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.conv = nn.Conv3d(3, 4, 3, stride=(2, 4, 4), padding=1)
            self.head = nn.Linear(4 * 3, 3)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(pixels.transpose(1, 2)).relu().amax((3, 4)).flatten(1)).tanh()


def worked_example() -> tuple[Weighted, torch.Tensor]:
    """Two frames of 1 x 2 pixels, red and blue. Red speaks for the class early and against it late; blue, late."""
    pixels = torch.zeros(1, 2, 3, 1, 2)
    pixels[0, :, 0] = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])  # red: left, then right
    pixels[0, :, 2] = torch.tensor([[[0.0, 0.5]], [[0.5, 0.0]]])  # blue: right, then left
    return Weighted(torch.tensor([[[4.0, -4.0], [0.0, 0.0], [0.0, 8.0]]])), pixels


def test_maps_worked_by_hand():
    model, pixels = worked_example()
    assert model(pixels)[0, 0] == 4 * 0.5 - 4 * 0.5 + 8 * 0.25
    # per time step: alpha of red is 4 / 2 = 2 and -2, of blue 0 and 4
    per_time = grad_cam_video(model, pixels, 0, pool_time=False, relu=False)
    assert torch.equal(per_time[0, :, 0], torch.tensor([[2.0, 0.0], [2.0, -2.0]]))
    # pooled: red's two weights cancel, blue's mean is 2
    pooled = grad_cam_video(model, pixels, 0, pool_time=True, relu=False)
    assert torch.equal(pooled[0, :, 0], torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    assert torch.equal(grad_cam_video(model, pixels, 0, pool_time=False), per_time.relu())


def test_the_map_starts_from_zero():
    """Evidence of -0.5 leaves nothing; a map that starts from ones would show it as 0.5, and a still one as 1."""
    model, pixels = worked_example()
    model.weights.data = torch.tensor([[[-1.0, -1.0], [0.0, 0.0], [0.0, 0.0]]])
    assert grad_cam_video(model, pixels, 0, relu=False)[0].unique().tolist() == [-0.5, 0.0]
    assert not grad_cam_video(model, pixels, 0).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_head_that_averages_over_time_makes_no_difference_between_the_two(seed):
    pixels, model = clips(seed), network(seed, "gap")
    pooled, per_time = (grad_cam_video(model, pixels, 1, pool_time=p, relu=False) for p in (True, False))
    assert per_time.abs().max() > 1e-3 and close(pooled, per_time)
    pooled, per_time = (grad_cam_video(network(seed), pixels, 1, pool_time=p, relu=False) for p in (True, False))
    assert (pooled - per_time).abs().max() > 0.1 * per_time.abs().max()


@pytest.mark.parametrize("seed", SEEDS)
def test_signed_maps_per_time_step_add_up_to_the_logit_and_pooled_ones_do_not(seed):
    pixels, model = clips(seed), network(seed)
    kept = []
    handle = model.features.relu2.register_forward_hook(lambda *call: kept.append(call[2].mean((3, 4))))
    logits = model(pixels).detach()
    handle.remove()
    share = (kept[0] * model.head.weight[2].view(1, 6, 5)).sum(1)  # (B, T): what each step gives to the logit
    maps = grad_cam_video(model, pixels, 2, pool_time=False, relu=False, size=None)
    assert torch.allclose(maps.sum((2, 3)), share, atol=1e-5)
    assert torch.allclose(maps.sum((1, 2, 3)), logits[:, 2] - model.head.bias[2], atol=1e-5)
    pooled = grad_cam_video(model, pixels, 2, relu=False, size=None)
    assert not torch.allclose(pooled.sum((1, 2, 3)), logits[:, 2] - model.head.bias[2], atol=1e-2)


@pytest.mark.parametrize("seed", SEEDS)
def test_pooled_maps_are_those_of_grad_cam(seed):
    for model, layer in ((network(seed), None), (Strided(seed).eval(), "conv")):
        ours = grad_cam_video(model, clips(seed), 1, layer, relu=False, size=None)
        theirs = grad_cam(model, clips(seed), 1, layer, relu=False, layout="channels_first")
        assert ours.any() and close(ours, theirs)


@pytest.mark.parametrize("size", ["clips", (4, 10, 6)])
def test_maps_are_resized_as_interpolate_does_it(size):
    model, pixels = Strided(1).eval(), clips(1)
    small = grad_cam_video(model, pixels, [[0, 2]] * 3, "conv", pool_time=False, size=None)
    assert small.shape == (3, 2, 3, 4, 4) and small.amax() > 0
    maps = grad_cam_video(model, pixels, [[0, 2]] * 3, "conv", pool_time=False, size=size)
    expected = F.interpolate(small, size=(5, 16, 16) if size == "clips" else size, mode="trilinear")
    assert maps.shape == expected.shape and close(maps, expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_mirrored_network_gives_the_reversed_clip_the_reversed_map(seed):
    model, mirrored, pixels = network(seed), network(seed), clips(seed)
    with torch.no_grad():
        mirrored.features.conv2.weight.copy_(model.features.conv2.weight.flip(2))
        mirrored.head.weight.copy_(model.head.weight.view(4, 6, 5).flip(2).flatten(1))
    for pool_time in (True, False):
        maps = grad_cam_video(model, pixels, 3, pool_time=pool_time)
        turned = grad_cam_video(mirrored, pixels.flip(1), 3, pool_time=pool_time)
        assert maps.any() and close(turned.flip(1), maps)
        assert not close(grad_cam_video(model, pixels.flip(1), 3, pool_time=pool_time).flip(1), maps)


@pytest.mark.parametrize("method", METHODS)
def test_targets(method):
    model, pixels = network(1), clips(1)
    top = model(pixels).argmax(1)
    several = method(model, pixels, [[0, 3], [1, 2], [2, 2]])
    assert several.shape == (3, 2, 5, 16, 16)
    for column, target in enumerate(([0, 1, 2], [3, 2, 2])):
        assert torch.allclose(several[:, column], method(model, pixels, target), atol=1e-5)
    assert torch.equal(method(model, pixels), method(model, pixels, top))
    assert torch.allclose(method(model, pixels, lambda z: z[:, 2]), method(model, pixels, 2), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_neighbours_in_the_batch_change_nothing_and_nothing_is_left_behind(method):
    model, pixels = network(2), clips(2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    maps = method(model, pixels, 1)
    assert torch.allclose(maps[1:2], method(model, pixels[1:2], 1), atol=1e-5)
    with torch.inference_mode():
        assert torch.allclose(method(model, pixels, 1), maps, atol=1e-6)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters()) and not pixels.requires_grad
    assert not model.features.relu2._forward_hooks


def test_a_pair_of_classes_on_request():
    """A class less another one: signed maps are linear in the target."""
    model, pixels = network(1), clips(1)
    contrast = grad_cam_video(model, pixels, lambda z: z[:, 0] - z[:, 1], pool_time=False, relu=False)
    each = grad_cam_video(model, pixels, [[0, 1]] * 3, pool_time=False, relu=False)
    assert close(contrast, each[:, 0] - each[:, 1])


def test_gradient_of_a_linear_network_is_its_weights():
    model, pixels = worked_example()
    signed = gradient_video(model, pixels, 0, reduce=None)
    assert torch.allclose(signed[0, :, :, 0, 0], model.weights[0].t() / 2)
    assert gradient_video(model, pixels, 0)[0, :, 0].tolist() == [[2.0, 2.0], [4.0, 4.0]]


def test_occlusion_of_a_linear_network_adds_up():
    """Blocks side by side: their falls add up to the score less that of the grey clip, whatever their size."""
    generator = torch.Generator().manual_seed(0)
    model, pixels = Weighted(torch.randn(2, 3, 5, generator=generator)), clips()
    grey = pixels.mean((1, 3, 4), keepdim=True).expand_as(pixels)
    fall = (model(pixels) - model(grey))[:, 1]
    for block in ((1, 16, 16), (2, 5, 7), (5, 4, 4)):
        maps = occlusion_video(model, pixels, 1, block=block)
        corners = maps[:, :: block[0], :: block[1], :: block[2]]
        assert torch.allclose(corners.sum((1, 2, 3)), fall, atol=1e-4)
        assert torch.equal(maps[:, 0, 0, 0], maps[:, 0, block[1] - 1, block[2] - 1]), "constant in a block"


def test_motion_controls_worked_by_hand():
    still = torch.full((1, 4, 3, 2, 2), 0.3)
    assert not frame_difference(None, still).any() and not background_difference(None, still).any()
    still[0, 1, :, 0, 1] = 0.9  # one pixel lights up in the second frame
    moved = frame_difference(None, still)
    assert torch.allclose(moved[0, :, 0, 1], torch.tensor([0.6, 0.6, 0.3, 0.0])) and moved[0, :, 1].sum() == 0
    apart = background_difference(None, still)
    assert torch.allclose(apart[0, :, 0, 1], torch.tensor([0.0, 0.6, 0.0, 0.0])) and apart.count_nonzero() == 1


@pytest.mark.parametrize("method", METHODS)
def test_bad_input_is_named(method):
    model, pixels = network(), clips()
    with pytest.raises(TypeError, match="255"):
        method(model, (pixels * 255).to(torch.uint8))
    with pytest.raises(ValueError, match=r"clips\[None\]"):
        method(model, pixels[0])
    with pytest.raises(ValueError, match="NaN"):
        method(model, pixels * torch.nan)
    with pytest.raises(ValueError, match="class 4 is out of range"):
        method(model, pixels, 4)
    with pytest.raises(ValueError, match="training mode"):
        method(network().train(), pixels)


def test_bad_layers_and_sizes_are_named():
    model, pixels = network(), clips()
    with pytest.raises(ValueError, match="no layer 'relu9'"):
        grad_cam_video(model, pixels, 0, "relu9")
    with pytest.raises(ValueError, match=r"\(B, C, T', h, w\)"):
        grad_cam_video(nn.Sequential(nn.Flatten(3), nn.Flatten(2), nn.Linear(768, 8), nn.Flatten()), pixels, 0, "2")
    with pytest.raises(ValueError, match="explain_layer"):
        grad_cam_video(Strided(0).eval(), pixels, 0)
    with pytest.raises(ValueError, match="size"):
        grad_cam_video(model, pixels, 0, size=(8, 8))
    with pytest.raises(ValueError, match="block"):
        occlusion_video(model, pixels, 0, block=(9, 4, 4))
    with pytest.raises(ValueError, match="gradient"):
        grad_cam_video(model, pixels, lambda logits: logits.detach()[:, 0])
    with pytest.raises(ValueError, match="2 frames"):
        frame_difference(None, pixels[:, :1])
