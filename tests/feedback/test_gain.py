"""GAIN's losses: hand-computed values, both orders of gradient against finite differences, and the faults seen in public."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from lessons_lib.evidence.localisation import masks_from_boxes
from lessons_lib.explain import grad_cam
from lessons_lib.feedback.gain import (
    SCORES,
    attention_maps,
    attention_mining_loss,
    classification_loss,
    erase,
    external_supervision_loss,
    frozen_batchnorm,
    gain_loss,
    mask_area,
    soft_mask,
    unit_range,
)
from lessons_lib.models.small import SmallCNN

SIZE = (16, 16)


@pytest.fixture
def seeing():
    network = SmallCNN(3, head="flatten", width=3, seed=1).double().eval()
    images = torch.rand(4, 3, *SIZE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return network, images, torch.tensor([0, 1, 2, 1])


def maps_of(network, images, labels, order=2):
    activations = network.features((images - 0.5) / 0.25)
    logits = network.head(activations)
    return attention_maps(logits.gather(1, labels[:, None])[:, 0], activations, order=order), logits


def mining(network, images, labels, order=2):
    maps, _ = maps_of(network, images, labels, order)
    return attention_mining_loss(network(erase(images, soft_mask(maps, SIZE), fill=0.5)), labels)


def external(network, images, labels, order=2):
    wanted = torch.zeros(4, *SIZE, dtype=torch.bool)
    wanted[:, 4:12, 2:9] = True
    return external_supervision_loss(maps_of(network, images, labels, order)[0], wanted)


LOSSES = {"mining": mining, "external": external}


def slope_and_difference(network, loss, step=1e-6):
    """The derivative of loss() in a random direction of all weights: by its own gradient, and by central differences."""
    weights, generator = list(network.parameters()), torch.Generator().manual_seed(3)
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


# ---------------------------------------- the map and its orders
def test_map_by_hand():
    """s = 2 sum f_0 - 4 sum f_1 over 2 x 2 cells: alpha = (2, -4); the map is ReLU(2 f_0 - 4 f_1)."""
    f = torch.tensor([[[[1.0, 2.0], [0.0, 1.0]], [[0.0, 0.5], [1.0, 0.5]]]], requires_grad=True)
    scores = 2 * f[:, 0].sum((1, 2)) - 4 * f[:, 1].sum((1, 2))
    assert attention_maps(scores, f).tolist() == [[[2.0, 2.0], [0.0, 0.0]]]


def test_order_2_is_the_librarys_grad_cam(seeing):
    network, images, labels = seeing
    for order in (0, 1, 2):
        torch.testing.assert_close(
            maps_of(network, images, labels, order)[0].detach(), grad_cam(network, images, labels)
        )
    ours, theirs = (
        torch.autograd.grad(maps.square().sum(), list(network.parameters()), allow_unused=True)
        for maps in (maps_of(network, images, labels)[0], grad_cam(network, images, labels, create_graph=True))
    )
    for one, other in zip(ours, theirs):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", LOSSES)
def test_own_gradient_equals_finite_differences(seeing, name):
    slope, difference = slope_and_difference(seeing[0], lambda: LOSSES[name](*seeing))
    assert abs(difference) > 1e-4 and slope == pytest.approx(difference, rel=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_a_constant_alpha_fails_the_finite_differences(seeing, name):
    """The fault of hooks after an ordinary backward pass: the value is the same, the gradient is not."""
    network, *rest = seeing
    assert LOSSES[name](network, *rest, order=1).item() == pytest.approx(LOSSES[name](network, *rest).item())
    slope, difference = slope_and_difference(network, lambda: LOSSES[name](network, *rest, order=1))
    assert slope != pytest.approx(difference, rel=1e-2)


def test_a_detached_map_trains_nothing(seeing):
    assert not external(*seeing, order=0).requires_grad
    whole, without = (
        torch.autograd.grad(mining(*seeing, order=order), seeing[0].head[2].weight)[0] for order in (2, 0)
    )
    assert not torch.allclose(whole, without, rtol=1e-3)  # the second pass alone still has a gradient, another one


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_reaches_the_weights_and_one_step_lowers_it(seeing, name):
    network, *rest = seeing
    before = LOSSES[name](network, *rest)
    before.backward()
    reached = [key for key, weight in network.named_parameters() if weight.grad is not None and weight.grad.any()]
    assert {"features.conv1.weight", "features.conv4.weight", "head.2.weight", "head.4.weight"} <= set(reached)
    torch.optim.SGD(network.parameters(), lr=1e-4).step()
    assert LOSSES[name](network, *rest) < before


def test_a_probability_of_which_the_network_is_sure_has_no_map(seeing):
    """Softmax instead of the logit: the gradient of a saturated probability vanishes, whatever the picture shows."""
    network, images, labels = seeing
    activations = network.features((images - 0.5) / 0.25)
    logits = network.head(activations).gather(1, labels[:, None])[:, 0]
    sure = torch.sigmoid(logits * 0 + 40 + logits)
    assert attention_maps(logits, activations).amax() > 1e6 * attention_maps(sure, activations).amax()


# ---------------------------------------- soft mask and erasing
def test_soft_mask_by_hand_and_without_a_scale():
    maps = torch.tensor([[[0.0, 1.0], [2.0, 1.0]]], dtype=torch.float64)
    found = soft_mask(maps, (2, 2))
    ends = [1 / (1 + math.exp(5)), 0.5, 1 / (1 + math.exp(-5))]  # 0.0067, 0.5, 0.9933
    torch.testing.assert_close(found, torch.tensor([[[ends[0], ends[1]], [ends[2], ends[1]]]], dtype=torch.float64))
    torch.testing.assert_close(soft_mask(1e-6 * maps, (2, 2)), found)
    assert soft_mask(maps, (8, 6)).shape == (1, 8, 6) and soft_mask(maps[:, None], (8, 6)).shape == (1, 1, 8, 6)


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_flat_map_masks_nothing_and_has_no_nan(value):
    maps = torch.full((2, 4, 4), value, requires_grad=True)
    mask = soft_mask(maps, (8, 8))
    assert torch.allclose(mask, torch.full_like(mask, 1 / (1 + math.exp(5))))
    loss = mask.square().sum() + external_supervision_loss(maps, torch.ones(2, 8, 8, dtype=torch.bool))
    loss.backward()
    assert torch.isfinite(maps.grad).all()


def test_the_usual_min_max_is_nan_on_a_flat_map():
    maps = torch.zeros(1, 2, 2)
    assert torch.isnan((maps - maps.min()) / (maps.max() - maps.min())).all()  # the fault
    assert not unit_range(maps).any()


def test_ties_share_their_gradient_and_stay_finite():
    maps = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]], requires_grad=True)
    soft_mask(maps, (2, 2)).sum().backward()
    assert torch.isfinite(maps.grad).all()


def test_erase_by_hand():
    images = torch.full((1, 3, 1, 2), 0.8)
    mask = torch.tensor([[[1.0, 0.25]]])
    torch.testing.assert_close(erase(images, mask)[0, 0], torch.tensor([[0.0, 0.6]]))
    torch.testing.assert_close(erase(images, mask, fill=0.4)[0, 2], torch.tensor([[0.4, 0.7]]))
    colour = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)
    assert torch.allclose(erase(images, torch.ones(1, 1, 2), fill=colour)[0, :, 0, 0], colour.flatten())
    several = erase(images, torch.stack([mask, 0 * mask], 1))
    assert several.shape == (1, 2, 3, 1, 2) and torch.equal(several[:, 1], images)


def test_a_mask_over_everything_is_seen_by_its_area(seeing):
    """The cheat: nothing is left of any picture, so every picture scores alike, and the loss cannot tell."""
    network, images, labels = seeing
    everything = torch.ones(4, *SIZE, dtype=torch.float64)
    blank = network(erase(images, everything, fill=0.5))
    assert torch.allclose(blank, blank[:1].expand_as(blank))
    assert mask_area(everything).tolist() == [1.0] * 4
    maps, _ = maps_of(network, images, labels)
    assert (mask_area(soft_mask(maps, SIZE)) < 0.9).all() and not mask_area(soft_mask(maps, SIZE)).requires_grad


# ---------------------------------------- attention mining and classification
def test_mining_by_hand():
    logits = torch.tensor([[0.0, 5.0], [math.log(3), 0.0]])
    labels = torch.tensor([0, 0])
    assert attention_mining_loss(logits, labels) == pytest.approx((0.5 + 0.75) / 2)
    assert attention_mining_loss(logits, labels, scores="logit") == pytest.approx(math.log(3) / 2)
    expected = (1 / (1 + math.exp(5)) + 0.75) / 2
    assert attention_mining_loss(logits, labels, scores="softmax") == pytest.approx(expected)
    assert attention_mining_loss(torch.full((2, 2), -50.0), labels) == pytest.approx(0, abs=1e-9)


def test_mining_is_the_mean_over_an_images_labels():
    logits = torch.zeros(2, 2, 3)
    logits[0, 0, 1] = math.log(3)  # label 1 on its own erased picture: 0.75
    logits[0, 1, 2] = -50.0  # label 2 on its own: 0
    logits[1, 1, 0] = 9.0  # no label stands there
    labels = torch.tensor([[1, 2], [0, -1]])
    assert attention_mining_loss(logits, labels) == pytest.approx(((0.75 + 0) / 2 + 0.5) / 2)
    assert attention_mining_loss(logits[1:], torch.tensor([[-1, -1]])) == 0
    assert attention_mining_loss(logits, torch.tensor([[1, 2], [-1, -1]])) == pytest.approx(0.375)
    for scores in ("sigmoid", "softmax"):
        x = 9 * torch.randn(5, 2, 4, generator=torch.Generator().manual_seed(0))
        assert 0 <= attention_mining_loss(x, torch.ones(5, 2, dtype=torch.long), scores=scores) <= 1


def test_classification_is_torchs():
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    hot = torch.tensor([[0.0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]])
    labels = torch.tensor([[1, 3], [0, -1], [-1, -1]])
    assert classification_loss(x, labels) == pytest.approx(F.multilabel_soft_margin_loss(x, hot).item())
    single = torch.tensor([1, 0, 3])
    assert classification_loss(x, single, scores="softmax") == pytest.approx(F.cross_entropy(x, single).item())


# ---------------------------------------- external supervision
def test_external_by_hand():
    maps = torch.tensor([[[0.0, 2.0], [1.0, 4.0]]])
    wanted = torch.tensor([[[False, True], [False, True]]])
    assert external_supervision_loss(maps, wanted) == pytest.approx((0 + 0.25 + 0.0625 + 0) / 4)
    assert external_supervision_loss(3 * wanted.float(), wanted) == 0
    assert external_supervision_loss(1 - wanted.float(), wanted) == 1


def test_scribbles_and_boxes_ask_only_where_they_are_known():
    maps = torch.tensor([[[0.0, 2.0], [1.0, 4.0]]])
    inside, outside = torch.tensor([[[False, True], [False, False]]]), torch.tensor([[[False, False], [True, False]]])
    assert external_supervision_loss(maps, inside, inside | outside) == pytest.approx((0.25 + 0.0625) / 2)
    box = masks_from_boxes(torch.tensor([[1, 0, 2, 2]]), (2, 2))  # the right column
    assert external_supervision_loss(maps, box, ~box) == pytest.approx((0 + 0.0625) / 2)
    two = external_supervision_loss(
        maps.expand(2, -1, -1), box.expand(2, -1, -1), torch.stack([~box[0], 0 * box[0] > 0])
    )
    assert two == pytest.approx((0 + 0.0625) / 2)  # an image nobody annotated does not thin the mean out
    assert external_supervision_loss(maps, box, torch.zeros_like(box)) == 0


def test_external_takes_masks_at_image_size_and_several_labels(seeing):
    network, images, _ = seeing
    labels = torch.tensor([[0, 1], [1, 2], [2, 0], [1, 0]])
    maps = grad_cam(network, images, labels, create_graph=True)
    wanted = torch.rand(4, 2, *SIZE, generator=torch.Generator().manual_seed(5)) > 0.5
    known = torch.ones_like(wanted)
    known[1:, :] = False
    found = external_supervision_loss(maps, wanted, known)
    assert found.item() == pytest.approx(external_supervision_loss(maps[0], wanted[0]).item())


# ---------------------------------------- the total, and BatchNorm
def test_total_reduces_to_classification_and_adds_up(seeing):
    network, images, labels = seeing
    logits, erased = network(images), network(1 - images)
    assert gain_loss(logits, erased, labels, alpha=0)[0] == classification_loss(logits, labels)
    total, parts = gain_loss(logits, erased, labels, external=torch.tensor(0.3), alpha=2, scores="softmax")
    assert total.item() == pytest.approx(parts["classification"] + 2 * parts["mining"] + 10 * 0.3)
    assert set(gain_loss(logits, erased, labels)[1]) == {"classification", "mining"}


def test_erased_pictures_leave_the_batch_statistics_alone(seeing):
    network, images, _ = seeing
    network.train()
    before = {name: value.clone() for name, value in network.named_buffers()}
    with frozen_batchnorm(network):
        network(torch.zeros_like(images))
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())
    assert all(module.training for module in network.modules())
    network(torch.zeros_like(images))  # the fault: an ordinary second pass moves them
    assert any(not torch.equal(value, before[name]) for name, value in network.named_buffers())
    network.eval()
    with pytest.raises(KeyError), frozen_batchnorm(network):
        raise KeyError
    assert not any(module.training for module in network.modules())


# ---------------------------------------- what does not fit
MASKS = torch.zeros(2, 4, 4, dtype=torch.bool)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: attention_maps(torch.ones(3), torch.ones(2, 4, 5, 5)), r"scores \(B,\)"),
        (lambda: attention_maps(torch.ones(2), torch.ones(2, 4, 5, 5)), "no gradient"),
        (lambda: attention_maps(torch.ones(2), torch.ones(2, 4, 5, 5), order=3), "order"),
        (lambda: soft_mask(torch.ones(4, 4), (8, 8)), "maps must be"),
        (lambda: soft_mask(torch.ones(1, 4, 4), (8, 8), omega=0), "omega"),
        (lambda: erase(torch.ones(2, 3, 4, 4), torch.ones(2, 4, 5)), r"masks \(B, H, W\)"),
        (lambda: erase(torch.ones(2, 3, 4, 4), torch.ones(1, 4, 4)), r"masks \(B, H, W\)"),
        (lambda: attention_mining_loss(torch.ones(2, 3), torch.tensor([[0], [1]])), "labels.shape"),
        (lambda: attention_mining_loss(torch.ones(2, 3), torch.tensor([0, 3])), "or -1"),
        (lambda: attention_mining_loss(torch.ones(2, 3), torch.tensor([0, 1]), scores="probability"), SCORES[0]),
        (lambda: attention_mining_loss(torch.ones(2, 3), torch.tensor([0.0, 1.0])), "int64"),
        (lambda: classification_loss(torch.ones(2, 3), torch.tensor([0, 1, 2])), "rows of labels"),
        (lambda: classification_loss(torch.ones(2, 3), torch.tensor([[0], [1]]), scores="softmax"), "one label"),
        (lambda: external_supervision_loss(torch.ones(2, 3, 3), MASKS[:1]), "at image size"),
        (lambda: external_supervision_loss(torch.ones(2, 3, 3), MASKS, MASKS[:, 1:]), "known"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
