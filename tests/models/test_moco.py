"""Encoder, momentum encoder and queue in one module: what moves, what does not, what a state holds."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.feedback.cast import enqueue, info_nce, new_queue
from lessons_lib.models.moco import Encoder, MoCo


def new(seed=3):
    queue = new_queue(12, 8, torch.Generator().manual_seed(seed))
    return MoCo(Encoder(width=4, dimension=8, seed=seed), queue, decay=0.9)


@pytest.fixture
def model():
    return new()


def test_shapes_and_where_it_is_explained(model):
    images = torch.rand(5, 3, 32, 32)
    assert model(images).shape == (5, 8) and model.encoder.positions(images).shape == (5, 16, 8, 8)
    assert isinstance(model.encoder.get_submodule(model.encoder.explain_layer), torch.nn.ReLU)


def test_one_seed_is_one_network_and_leaves_the_global_state_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, two = Encoder(width=4, seed=1), Encoder(width=4, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters()))
    assert not torch.equal(one.project[0].weight, Encoder(width=4, seed=2).project[0].weight)


def test_pictures_of_a_batch_do_not_meet(model):
    images = torch.rand(6, 3, 32, 32)
    torch.testing.assert_close(model.train()(images)[2:3], model(images[2:3]))


def test_an_update_moves_the_momentum_encoder_once_and_the_queue_by_a_batch(model):
    with torch.no_grad():
        for weight in model.encoder.parameters():
            weight += 1.0
    before = [weight.clone() for weight in model.momentum.parameters()]
    old, keys = model.queue.clone(), torch.randn(5, 8)
    model.update(enqueue(model.queue, keys))
    for weight, was in zip(model.momentum.parameters(), before):
        torch.testing.assert_close(weight, was + 0.1)
    assert torch.equal(model.queue[:7], old[5:])
    torch.testing.assert_close(model.queue[7:], torch.nn.functional.normalize(keys, dim=1))


def test_gradients_reach_the_encoder_alone_although_the_queue_moves_before_the_backward_pass(model):
    images = torch.rand(4, 3, 32, 32)
    keys = model.keys(images.flip(3))
    loss = info_nce(model(images), keys, model.queue)
    model.update(enqueue(model.queue, keys))
    loss.backward()
    assert all(weight.grad is not None for weight in model.encoder.parameters())
    assert all(weight.grad is None for weight in model.momentum.parameters())


def test_the_state_holds_all_three(model):
    names = set(model.state_dict())
    assert "queue" in names and {n.split(".")[0] for n in names} == {"encoder", "momentum", "queue"}
    other = new(seed=4)
    model.update(enqueue(model.queue, torch.randn(3, 8)))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.queue, model.queue)


def test_bad_arguments_are_named():
    encoder, queue = Encoder(width=4), torch.zeros(4, 32)
    with pytest.raises(ValueError, match="decay"):
        MoCo(encoder, queue, decay=1.0)
    with pytest.raises(ValueError, match="length"):
        MoCo(encoder, queue[0])
    with pytest.raises(ValueError, match="stay"):
        MoCo(encoder, queue).update(queue[:2])
    with pytest.raises(ValueError, match="width"):
        Encoder(width=0)
