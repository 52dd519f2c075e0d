"""The small network: seeded, with the heads that the lessons need."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lessons_lib.explain import cam, grad_cam
from lessons_lib.models.small import SmallCNN

heads = pytest.mark.parametrize("head", ["gap", "flatten"])


@heads
@pytest.mark.parametrize("size", [32, 48, 64])
def test_logits_and_map_size(head, size):
    model = SmallCNN(5, head=head).eval()
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    assert model(images).shape == (2, 5)
    assert grad_cam(model, images).shape == (2, size // 4, size // 4)


@heads
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_seed_decides_the_weights_and_nothing_else_does(head, seed):
    before = torch.random.get_rng_state()
    first, again, other = (SmallCNN(3, head=head, seed=s) for s in (seed, seed, seed + 1))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters()))
    assert not torch.equal(first.features.conv1.weight, other.features.conv1.weight)


def test_cam_applies_to_the_gap_head_alone():
    images = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    model = SmallCNN(4, seed=1).eval()
    maps = cam(model, images, target=2)
    scores = model(images)[:, 2] - model.head.bias[2]
    assert torch.allclose(maps.mean((1, 2)), scores, atol=1e-5)
    assert torch.allclose(maps / maps[0].numel(), grad_cam(model, images, target=2, relu=False), atol=1e-6)
    with pytest.raises(ValueError, match="global average pool"):
        cam(SmallCNN(4, head="flatten").eval(), images, target=2)


@heads
def test_relus_can_be_followed(head):
    """Each ReLU is a module of its own, used once and not in place."""
    model, calls = SmallCNN(3, head=head).eval(), []
    for name, module in model.named_modules():
        if isinstance(module, nn.ReLU):
            assert not module.inplace
            module.register_forward_hook(lambda *_, name=name: calls.append(name))
    model(torch.rand(1, 3, 32, 32))
    assert len(calls) == len(set(calls)) == (4 if head == "gap" else 5)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="head"):
        SmallCNN(3, head="max")
    with pytest.raises(ValueError, match="2 classes"):
        SmallCNN(1)
