"""The reconstruction of AttnBN: attended features by hand, the reversed gradient, and a judge at chance."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from lessons_lib.feedback.attnbn import (
    attended_features,
    attnbn_loss,
    bridge_loss,
    domain_loss,
    foreground_loss,
    reversal_strength,
    reverse_gradient,
)
from lessons_lib.feedback.gain import attention_maps, classification_loss, external_supervision_loss, gain_loss
from lessons_lib.models.small import SmallCNN

SOURCE = torch.tensor([True, False, True, False])
LABELS = torch.tensor([0, 1, 2, 1])


def doubles(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def seeing():
    network = SmallCNN(3, head="flatten", width=3, seed=1).double().eval()
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        judge = torch.nn.Sequential(torch.nn.Linear(12, 6), torch.nn.Tanh(), torch.nn.Linear(6, 1)).double()
    return network, images, judge


def maps_and_features(network, images, order=2):
    activations = network.features((images - 0.5) / 0.25)
    scores = network.head(activations).gather(1, LABELS[:, None])[:, 0]
    maps = attention_maps(scores, activations, order=order)
    return maps, attended_features(activations, maps)


def foreground(network, images, judge, order=2):
    foregrounds = torch.zeros(4, 16, 16, dtype=torch.bool)
    foregrounds[:, 3:9, 5:14] = True
    return foreground_loss(maps_and_features(network, images, order)[0], foregrounds, SOURCE)


def plain_bridge(network, images, judge, order=2):
    """What the judge minimises, without the reversal: the function whose finite differences are taken."""
    return domain_loss(judge(maps_and_features(network, images, order)[1])[:, 0], SOURCE)


LOSSES = {"foreground": foreground, "bridge": plain_bridge}


def slope_and_difference(weights, loss, step=1e-6):
    """The derivative of loss() in a random direction of the weights: by its own gradient, and by central differences."""
    generator = torch.Generator().manual_seed(3)
    ways = [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in weights]
    slopes = torch.autograd.grad(loss(), weights, allow_unused=True)
    values = []
    for sign in (1, -2):
        with torch.no_grad():
            for weight, way in zip(weights, ways):
                weight.add_(way, alpha=sign * step)
        values.append(loss().item())
    with torch.no_grad():
        for weight, way in zip(weights, ways):
            weight.add_(way, alpha=step)
    return sum((s * w).sum().item() for s, w in zip(slopes, ways) if s is not None), (values[0] - values[1]) / (
        2 * step
    )


# ---------------------------------------- every loss trains
@pytest.mark.parametrize("name", LOSSES)
def test_own_gradient_equals_finite_differences_and_differs_from_a_constant_alpha(seeing, name):
    weights = list(seeing[0].parameters())
    slope, difference = slope_and_difference(weights, lambda: LOSSES[name](*seeing))
    assert abs(difference) > 1e-5 and slope == pytest.approx(difference, rel=1e-4)
    slope, difference = slope_and_difference(weights, lambda: LOSSES[name](*seeing, order=1))
    assert slope != pytest.approx(difference, rel=1e-2)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_reaches_the_weights_and_one_step_lowers_it(seeing, name):
    network, _, judge = seeing
    before = LOSSES[name](*seeing)
    before.backward()
    assert network.features.conv1.weight.grad.any() and network.head[2].weight.grad.any()
    torch.optim.SGD([*network.parameters(), *judge.parameters()], lr=0.01).step()
    assert LOSSES[name](*seeing) < before


def test_detached_maps_train_no_foreground(seeing):
    assert not foreground(*seeing, order=0).requires_grad


# ---------------------------------------- the foreground prior
def test_foreground_touches_source_images_only():
    maps, foregrounds = doubles(4, 3, 3).abs().requires_grad_(), doubles(4, 6, 6, seed=1) > 0
    loss = foreground_loss(maps, foregrounds, SOURCE)
    alone = external_supervision_loss(maps[SOURCE], foregrounds[SOURCE])
    assert loss.item() == pytest.approx(alone.item())
    loss.backward()
    assert maps.grad[SOURCE].any((1, 2)).all() and not maps.grad[~SOURCE].any()
    changed = foregrounds ^ ~SOURCE[:, None, None]
    assert foreground_loss(maps, changed, SOURCE) == loss
    assert foreground_loss(maps, foregrounds, torch.zeros(4, dtype=torch.bool)) == 0


def test_foreground_is_0_where_the_map_is_the_mask_and_1_where_it_is_the_rest():
    foregrounds = torch.tensor([[[True, False], [False, False]]] * 4)
    assert foreground_loss(7 * foregrounds.float(), foregrounds, SOURCE) == 0
    assert foreground_loss((~foregrounds).float(), foregrounds, SOURCE) == 1


# ---------------------------------------- attended features
def test_attended_features_by_hand():
    activations = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 8.0], [0.0, 0.0]]]])
    maps = torch.tensor([[[0.0, 1.0], [3.0, -5.0]]])  # shares 0, 1/4, 3/4, 0
    assert attended_features(activations, maps).tolist() == [[0.25 * 2 + 0.75 * 3, 2.0]]
    torch.testing.assert_close(attended_features(activations, 1e-30 * maps), attended_features(activations, maps))
    several = attended_features(activations, torch.stack([maps, 0 * maps], 1))
    assert several.shape == (1, 2, 2) and several[0, 1].tolist() == [2.5, 2.0]  # no evidence: the plain mean


def test_attended_features_have_no_nan_at_zero():
    activations, maps = (
        doubles(2, 3, 4, 4).requires_grad_(),
        torch.zeros(2, 4, 4, dtype=torch.float64, requires_grad=True),
    )
    attended_features(activations, maps).square().sum().backward()
    assert torch.isfinite(maps.grad).all() and torch.isfinite(activations.grad).all() and activations.grad.any()


# ---------------------------------------- the adversary
def test_reversal_is_the_identity_forward_and_a_negative_factor_backward():
    x = doubles(3, 2).requires_grad_()
    reversed_ = reverse_gradient(x, 0.3)
    assert torch.equal(reversed_, x)
    (reversed_ * doubles(3, 2, seed=1)).sum().backward()
    torch.testing.assert_close(x.grad, -0.3 * doubles(3, 2, seed=1))
    (first,) = torch.autograd.grad((reverse_gradient(x, 2.0) ** 3).sum(), x, create_graph=True)
    assert first.requires_grad  # a gradient of a gradient passes, too


def test_bridge_turns_the_networks_gradient_and_leaves_the_judges(seeing):
    network, images, judge = seeing
    weights = {"network": list(network.features.parameters()), "judge": list(judge.parameters())}
    plain, loss = plain_bridge(*seeing), bridge_loss(maps_and_features(network, images)[1], SOURCE, judge, strength=0.5)
    assert loss == plain
    for who, factor in (("network", -0.5), ("judge", 1.0)):
        straight = torch.autograd.grad(plain, weights[who], retain_graph=True)
        turned = torch.autograd.grad(loss, weights[who], retain_graph=True)
        assert straight[0].any()
        for one, other in zip(straight, turned):
            torch.testing.assert_close(other, factor * one)


def test_a_step_of_the_network_raises_the_bridge_and_a_step_of_the_judge_lowers_it(seeing):
    network, images, judge = seeing
    start = {name: weight.clone() for name, weight in network.state_dict().items()}
    before = bridge_loss(maps_and_features(network, images)[1], SOURCE, judge)
    before.backward()
    torch.optim.SGD(network.parameters(), lr=0.01).step()
    assert plain_bridge(*seeing) > before
    network.load_state_dict(start)
    torch.optim.SGD(judge.parameters(), lr=0.01).step()
    assert plain_bridge(*seeing) < before


def test_a_missing_reversal_fails_this_check(seeing):
    """The fault: the network helps the judge, and a step on the loss lowers it for both."""
    network, images, judge = seeing
    before = domain_loss(judge(maps_and_features(network, images)[1])[:, 0], SOURCE)
    before.backward()
    torch.optim.SGD(network.parameters(), lr=0.01).step()
    assert plain_bridge(*seeing) < before


def test_the_judge_is_at_chance_on_matched_features():
    """The same features in both domains: whatever the judge says, it cannot be better than log 2."""
    features = doubles(2, 5).repeat_interleave(2, 0)  # rows of source and target in turn
    for seed in range(5):
        row = doubles(5, seed=10 + seed)
        assert domain_loss(features @ row, SOURCE) >= math.log(2)
    assert domain_loss(torch.zeros(4), SOURCE) == pytest.approx(math.log(2))


def test_domain_loss_by_hand_and_balanced():
    logits, source = torch.tensor([math.log(3), 0.0, -math.log(3)]), torch.tensor([True, True, False])
    expected = ((-math.log(0.75) + math.log(2)) / 2 - math.log(0.75)) / 2
    assert domain_loss(logits, source) == pytest.approx(expected)
    several = torch.stack([logits, torch.full((3,), 9.0)], 1)
    counted = torch.tensor([[True, False]] * 3)
    assert domain_loss(several, source, counted) == pytest.approx(expected)
    assert domain_loss(50 * (2 * SOURCE.float() - 1), SOURCE) == pytest.approx(0, abs=1e-9)


def test_reversal_strength_rises_from_0():
    found = [reversal_strength(p) for p in (0.0, 0.1, 0.5, 1.0)]
    assert found[0] == 0 and found == sorted(found) and found[1] == pytest.approx(2 / (1 + math.exp(-1)) - 1)
    assert found[-1] == pytest.approx(1, abs=1e-3)


# ---------------------------------------- the total
def test_without_an_adversary_it_is_gain_with_external_supervision_and_no_mining():
    source_logits, target_logits = doubles(2, 3), doubles(2, 3, seed=1)
    source_labels, target_labels = torch.tensor([0, 2]), torch.tensor([[1, 2], [0, -1]])
    supervised, adversary = torch.tensor(0.4), torch.tensor(0.7)
    total, parts = attnbn_loss(
        source_logits, source_labels, target_logits, target_labels, supervised, adversary,
        foreground_weight=10, bridge_weight=0,
    )  # fmt: skip
    ours, _ = gain_loss(
        source_logits, source_logits, source_labels, external=supervised, alpha=0, omega=10, scores="softmax"
    )
    assert total.item() == pytest.approx(ours.item() + classification_loss(target_logits, target_labels).item())
    assert parts["source"] == pytest.approx(F.cross_entropy(source_logits, source_labels).item())
    both, parts = attnbn_loss(source_logits, source_labels, target_logits, target_labels, supervised, adversary)
    assert both.item() == pytest.approx(sum(parts.values())) and parts["bridge"] == pytest.approx(0.7)


# ---------------------------------------- what does not fit
@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: foreground_loss(torch.ones(4, 2, 2), torch.ones(4, 4, 4), SOURCE[:3]), "source must be bool"),
        (lambda: foreground_loss(torch.ones(4, 2, 2), torch.ones(4, 4, 4), SOURCE.long()), "source must be bool"),
        (lambda: foreground_loss(torch.ones(4, 1, 2, 2), torch.ones(4, 4, 4), SOURCE), r"maps must be \(B, h, w\)"),
        (lambda: attended_features(torch.ones(2, 3, 4, 4), torch.ones(2, 4, 5)), "activations must be"),
        (lambda: reverse_gradient(torch.ones(2), -1.0), "strength"),
        (lambda: reversal_strength(1.5), "progress"),
        (lambda: domain_loss(torch.ones(4), torch.ones(4, dtype=torch.bool)), "both domains"),
        (lambda: domain_loss(torch.ones(4, 2), SOURCE, torch.ones(4, dtype=torch.bool)), "counted"),
        (lambda: domain_loss(torch.ones(3), SOURCE), "source must be bool"),
        (lambda: bridge_loss(torch.ones(4, 5), SOURCE, lambda x: x), "one logit"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
