"""Training on two domains: what each arm's loss consists of, and what it leaves alone."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from data_fetch.worlds.scenes.domains import alone, cluttered
from lessons_lib.models.small import SmallCNN
from lessons_lib.training.attnbn import (
    Bridged,
    Judge,
    Weights,
    looked_at,
    one_of,
    padded,
    train_bridged,
    turns,
    two_domain_loss,
)

LAYER = "features.relu4"
FULL = Weights(target=4.0, foreground=3.0, bridge=0.5)


@pytest.fixture(scope="module")
def domains():
    return alone(16, size=24, seed=1000, style="flat"), cluttered(12, size=24, seed=1001)


def trained(domains, weights, steps=3, seed=5):
    network = SmallCNN(8, width=4, seed=1)
    return train_bridged(network, *domains, weights, layer=LAYER, steps=steps, batch=4, seed=seed)


def one_step(domains, weights, progress=0.5):
    source, target = domains
    model = Bridged(SmallCNN(8, width=4, seed=1), Judge(16, 8, seed=2))
    images, own = torch.cat([source.images[:4], target.images[:4]]), source.single()[:4]
    masks = source.segmentation[:4] > 0
    total, terms = two_domain_loss(model, images, own, target.labels[:4], masks, weights, LAYER, progress, 7)
    return model, total, terms


def test_all_four_terms_are_there_and_weighed(domains):
    _, total, terms = one_step(domains, FULL)
    expected = terms["source"] + 4 * terms["target"] + 3 * terms["foreground"] + 0.5 * terms["bridge"]
    assert float(total.detach()) == pytest.approx(expected, rel=1e-5) and min(terms.values()) > 0


@pytest.mark.parametrize("weights, zero", [(Weights(), ("foreground", "bridge")), (Weights(foreground=1), ("bridge",)),
                                           (Weights(bridge=1, whole_picture=True), ("foreground",))])  # fmt: skip
def test_what_an_arm_does_not_ask_for_is_not_there(domains, weights, zero):
    _, _, terms = one_step(domains, weights)
    assert {name for name, value in terms.items() if value == 0} == set(zero)


def test_the_judge_and_the_network_pull_apart(domains):
    """With strength 0, at the start, the network gets no gradient of the bridge and the judge does."""
    only = dataclasses.replace(FULL, foreground=0.0, bridge=1e4)
    gradients = {}
    for progress in (0.0, 1.0):
        model, total, _ = one_step(domains, only, progress)
        total.backward()
        gradients[progress] = (
            float(model.network.features.conv1.weight.grad.norm()),
            float(model.judge.layers[0].weight.grad.norm()),
        )
    assert gradients[0.0][0] < 0.01 * gradients[1.0][0]
    assert gradients[0.0][1] == pytest.approx(gradients[1.0][1], rel=1e-4)


def test_the_foreground_of_the_source_alone_counts(domains):
    source, target = domains
    blank = dataclasses.replace(target, segmentation=torch.zeros_like(target.segmentation))
    a, b = trained((source, target), FULL), trained((source, blank), FULL)
    assert torch.equal(a.network.head.weight, b.network.head.weight)
    other = dataclasses.replace(source, segmentation=source.segmentation.flip(2))
    assert not torch.equal(a.network.head.weight, trained((other, target), FULL).network.head.weight)


def test_target_only_never_looks_at_the_source(domains):
    source, target = domains
    dark = dataclasses.replace(source, images=torch.zeros_like(source.images))
    a, b = (trained((first, target), Weights(source=False)) for first in (source, dark))
    assert torch.equal(a.network.head.weight, b.network.head.weight) and set(a.history.metrics) == {"target"}


def test_shuffled_masks_and_whole_pictures_train_otherwise(domains):
    heads = [trained(domains, dataclasses.replace(FULL, **change)).network.head.weight for change in
             ({}, {"shuffled": True}, {"whole_picture": True})]  # fmt: skip
    assert not torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])
    assert torch.equal(heads[0], trained(domains, FULL).network.head.weight)


def test_judge_ignores_the_length_of_features():
    judge = Judge(6, 3, seed=0)
    features, hot = torch.rand(5, 6), torch.eye(3)[[0, 1, 2, 0, 1]]
    a, b = (judge(torch.cat([scale * features, hot], 1)) for scale in (1.0, 9.0))
    assert a.shape == (5, 1)
    torch.testing.assert_close(a, b)


def test_helpers_keep_to_true_classes():
    labels = torch.tensor([[True, False, True], [False, True, False]])
    assert padded(labels).tolist() == [[0, -1, 2], [-1, 1, -1]]
    drawn = torch.stack([one_of(labels, seed) for seed in range(20)])
    assert set(drawn[:, 0].tolist()) == {0, 2} and set(drawn[:, 1].tolist()) == {1}
    order = turns(4, 10, 3).tolist()
    assert sorted(order[:4]) == [0, 1, 2, 3] == sorted(order[4:8]) and len(order) == 10


def test_maps_and_logits_are_of_one_pass(domains):
    network = SmallCNN(8, width=4, seed=1).eval()
    activations, logits = looked_at(network, domains[0].images[:3], LAYER)
    torch.testing.assert_close(network.head(activations.mean((2, 3))), logits)


def test_refuses(domains):
    source, target = domains
    with pytest.raises(ValueError, match="same classes"):
        trained((source, dataclasses.replace(target, class_names=target.class_names[::-1])), FULL)
    with pytest.raises(ValueError, match="one class"):
        trained((target, target), FULL)
    with pytest.raises(ValueError, match="at least 1"):
        trained(domains, FULL, steps=0)
