"""The networks for clips: what each feature sees, and who can know the order of the frames."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.models.video import FrameCNN, VideoCNN

heads = pytest.mark.parametrize("head", ["gap", "time"])
views = pytest.mark.parametrize("view", ["middle", "all"])


def clips(seed: int = 0, batch: int = 3, frames: int = 5, size: int = 16) -> torch.Tensor:
    return torch.rand(batch, frames, 3, size, size, generator=torch.Generator().manual_seed(seed))


@heads
def test_logits_and_features(head):
    model, kept = VideoCNN(4, frames=5, head=head, width=6).eval(), []
    model.get_submodule(model.explain_layer).register_forward_hook(lambda *call: kept.append(call[2]))
    assert model(clips()).shape == (3, 4)
    assert kept[0].shape == (3, 6, 5, 8, 8), "every frame, and half the sides"


@heads
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_seed_decides_the_weights_and_nothing_else_does(head, seed):
    before = torch.random.get_rng_state()
    first, again, other = (VideoCNN(3, head=head, seed=s) for s in (seed, seed, seed + 1))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters()))
    assert not torch.equal(first.features.conv2.weight, other.features.conv2.weight)


def test_a_feature_sees_three_frames_and_eight_pixels():
    model, pixels = VideoCNN(2, frames=7, width=6).eval(), clips(frames=7, size=24, batch=1).requires_grad_()
    model.features.register_forward_hook(lambda *call: setattr(model, "kept", call[2]))
    model(pixels)
    (grad,) = torch.autograd.grad(model.kept[0, :, 3, 6, 6].sum(), pixels)
    seen = grad[0].abs().sum(1).nonzero()
    low, high = seen.amin(0).tolist(), seen.amax(0).tolist()
    assert low[0] >= 2 and high[0] <= 4, "frames 2, 3 and 4 around frame 3"
    assert all(h - l + 1 <= 8 for l, h in zip(low[1:], high[1:]))
    assert high[0] - low[0] == 2 and max(h - l + 1 for l, h in zip(low[1:], high[1:])) == 8, "and all of them"


def test_a_network_with_time_can_tell_a_clip_from_its_reversal():
    pixels = clips()
    for head in ("gap", "time"):
        model = VideoCNN(3, frames=5, head=head).eval()
        assert not torch.allclose(model(pixels), model(pixels.flip(1)), atol=1e-4)


@views
@pytest.mark.parametrize("seed", [0, 1])
def test_a_network_without_time_cannot(view, seed):
    model, pixels = FrameCNN(3, view=view, seed=seed).eval(), clips(seed)
    assert torch.allclose(model(pixels), model(pixels.flip(1)), atol=1e-6)
    order = [1, 0, 2, 4, 3]
    assert torch.allclose(model(pixels), model(pixels[:, order]), atol=1e-6), "the middle frame stays"
    assert not torch.allclose(model(pixels), model(clips(seed + 5)), atol=1e-4)


def test_middle_frame_and_all_frames_are_what_they_say():
    pixels = clips()
    middle, every = (FrameCNN(3, view=view).eval() for view in ("middle", "all"))
    assert torch.equal(middle(pixels), middle(pixels[:, 2:3]))
    each = torch.stack([every(pixels[:, t : t + 1]) for t in range(5)])
    assert torch.allclose(every(pixels), each.mean(0), atol=1e-6)


@heads
def test_clips_do_not_mix_in_eval_mode(head):
    model, pixels = VideoCNN(3, frames=5, head=head).eval(), clips()
    assert torch.allclose(model(pixels)[1:2], model(pixels[1:2]), atol=1e-6)


def test_grey_is_zero():
    """Without biases in the convolutions and before any training, centred grey gives nothing but the head's bias."""
    model = VideoCNN(3, frames=5).eval()
    assert torch.allclose(model(torch.full((1, 5, 3, 16, 16), 0.5))[0], model.head.bias)


def test_only_the_head_over_time_fixes_the_length():
    assert VideoCNN(2, frames=5, head="gap").eval()(clips(frames=8)).shape == (3, 2)
    with pytest.raises(ValueError, match="5 time steps.*8 frames"):
        VideoCNN(2, frames=5).eval()(clips(frames=8))


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="head"):
        VideoCNN(3, head="max")
    with pytest.raises(ValueError, match="2 classes"):
        VideoCNN(1)
    with pytest.raises(ValueError, match="view"):
        FrameCNN(3, view="first")
    with pytest.raises(ValueError, match="width 2"):
        FrameCNN(3, width=1)
    model = VideoCNN(2, frames=5)
    with pytest.raises(TypeError, match="255"):
        model((clips() * 255).to(torch.uint8))
    with pytest.raises(ValueError, match=r"clips\[None\]"):
        model(clips()[0])
    with pytest.raises(ValueError, match="even"):
        model(clips(size=15))
    with pytest.raises(ValueError, match="no middle one"):
        FrameCNN(2).eval()(clips(frames=4))
