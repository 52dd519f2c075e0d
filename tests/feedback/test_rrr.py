"""RRR, both of them: maps held to what they were, a buffer that keeps pairs together, input gradients that must vanish."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lessons_lib.explain import grad_cam
from lessons_lib.feedback.rrr import (
    ReplayBuffer,
    Samples,
    input_gradients,
    replayed_views,
    right_for_the_right_reasons_loss,
    right_reasons_loss,
    rrr_loss,
    saliency_loss,
)
from lessons_lib.models.small import SmallCNN


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def samples(labels, *, side=8, start=0):
    """Samples that can be told apart: image, map and class of number n are all filled with n."""
    numbers = torch.arange(start, start + len(labels), dtype=torch.float32)
    return Samples(
        numbers.view(-1, 1, 1, 1).expand(-1, 3, side, side), torch.tensor(labels),
        numbers.view(-1, 1, 1).expand(-1, side // 4, side // 4), numbers.long(),
    )  # fmt: skip


@pytest.fixture
def seeing():
    network = SmallCNN(3, head="flatten", width=3, seed=1).double().eval()
    images = torch.rand(4, 3, 16, 16, generator=gen(2), dtype=torch.float64)
    earlier = SmallCNN(3, head="flatten", width=3, seed=8).double().eval()
    predicted = earlier(images).argmax(1)
    return network, images, grad_cam(earlier, images, predicted), predicted


def saliency(network, images, kept, predicted, create_graph=True):
    return saliency_loss(grad_cam(network, images, predicted, create_graph=create_graph), kept)


def reasons(network, images, kept, predicted, create_graph=True):
    images = images.clone().requires_grad_()
    irrelevant = torch.zeros(4, 16, 16, dtype=torch.bool)
    irrelevant[:, :6, :6] = True
    return right_reasons_loss(input_gradients(network(images), images, create_graph=create_graph), irrelevant)


LOSSES = {"saliency": saliency, "reasons": reasons}


# ---------------------------------------- every loss trains
@pytest.mark.parametrize("name", LOSSES)
def test_own_gradient_equals_finite_differences(seeing, name, step=1e-6):
    network, *rest = seeing
    weights = list(network.parameters())
    ways = [torch.randn(w.shape, generator=gen(7 + i), dtype=w.dtype) for i, w in enumerate(weights)]
    slopes = torch.autograd.grad(LOSSES[name](network, *rest), weights, allow_unused=True)
    values = []
    for sign in (1, -2):
        with torch.no_grad():
            for weight, way in zip(weights, ways):
                weight.add_(way, alpha=sign * step)
        values.append(LOSSES[name](network, *rest).item())
    slope = sum((s * w).sum().item() for s, w in zip(slopes, ways) if s is not None)
    assert abs(slope) > 1e-4 and slope == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_reaches_the_weights_and_one_step_lowers_it(seeing, name):
    network, *rest = seeing
    before = LOSSES[name](network, *rest)
    before.backward()
    assert network.features.conv1.weight.grad.any() and network.head[2].weight.grad.any()
    torch.optim.SGD(network.parameters(), lr=1e-4).step()
    assert LOSSES[name](network, *rest) < before


@pytest.mark.parametrize("name", LOSSES)
def test_without_a_graph_the_same_value_trains_nothing(seeing, name):
    constant = LOSSES[name](*seeing, create_graph=False)
    assert constant.item() == pytest.approx(LOSSES[name](*seeing).item()) and not constant.requires_grad


def test_the_guard_of_the_release_takes_no_step_at_all(seeing):
    """It sets requires_grad on the loss itself and goes on to the next batch where that raises: here it always does."""
    network, *rest = seeing
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3)
    for guarded in (True, False):
        loss = saliency(network, *rest)
        if guarded:  # the fault: only a leaf may change the flag, and a loss that trains is none
            with pytest.raises(RuntimeError, match="leaf"):
                loss.requires_grad = True
        else:
            loss.backward()
            optimiser.step()
        moved = any(not torch.equal(weight, before[name]) for name, weight in network.state_dict().items())
        assert moved is not guarded


def test_a_map_read_from_a_gradient_buffer_moves_no_weight(seeing):
    """The release's pixel gradients: a clone of .grad is a constant. Its loss goes backward, and no weight changes."""
    network, images, *_ = seeing
    leaf = images.clone().requires_grad_()
    network(leaf)[:, 0].sum().backward()
    buffered = leaf.grad.clone()
    network.zero_grad()
    loss = saliency_loss(buffered, torch.zeros_like(buffered))
    loss.requires_grad = True  # allowed: the loss is a leaf
    loss.backward()
    assert all(weight.grad is None or not weight.grad.any() for weight in network.parameters())
    leaf = images.clone().requires_grad_()
    (live,) = torch.autograd.grad(network(leaf)[:, 0].sum(), leaf, create_graph=True)
    assert live.equal(buffered)
    saliency_loss(live, torch.zeros_like(live)).backward()
    assert network.features.conv1.weight.grad.any()


def test_no_hook_stays_after_three_calls(seeing):
    for _ in range(3):
        saliency(*seeing)
    assert not any(module._forward_hooks or module._backward_hooks for module in seeing[0].modules())


# ---------------------------------------- the saliency term
def test_saliency_by_hand():
    maps, kept = torch.tensor([[[1.0, 2.0]], [[0.0, 4.0]]]), torch.tensor([[[1.0, 0.0]], [[3.0, 4.0]]])
    assert saliency_loss(maps, kept) == (2 + 3) / 4 and saliency_loss(maps, kept, reduction="sum") == 5
    assert saliency_loss(kept, kept) == 0 and saliency_loss(3 * maps, 3 * kept) == 3.75
    assert saliency_loss(maps[:0], kept[:0]) == 0


def test_kept_maps_are_constants_and_equal_ones_have_no_nan():
    maps, kept = torch.ones(2, 3, 3, requires_grad=True), torch.ones(2, 3, 3, requires_grad=True)
    saliency_loss(maps, kept).backward()
    assert kept.grad is None and not maps.grad.any()


def test_twenty_unaveraged_maps_are_refused():
    """The release's SmoothGrad gives its 20 maps as they are; they would broadcast against one kept map an image."""
    kept, stack = torch.rand(20, 8, 8, generator=gen()), torch.rand(20, 20, 8, 8, generator=gen(1))
    assert (stack - kept).shape == stack.shape  # the fault goes unnoticed
    with pytest.raises(ValueError, match="same shape"):
        saliency_loss(stack, kept)
    with pytest.raises(ValueError, match="same shape"):
        saliency_loss(kept[:, None], kept)


def test_the_map_is_of_the_class_that_was_predicted_then(seeing):
    network, images, _, predicted = seeing
    now = grad_cam(network, images, predicted)
    assert saliency_loss(now, now) == 0
    other = grad_cam(network, images, (predicted + 1) % 3)
    assert saliency_loss(other, now) > 0


def test_total_adds_up():
    logits, labels = torch.randn(5, 3, generator=gen()), torch.tensor([0, 1, 2, 0, 1])
    task = F.cross_entropy(logits, labels)
    assert rrr_loss(logits, labels) == (task, {"task": pytest.approx(task.item())})
    total, parts = rrr_loss(logits, labels, torch.tensor(0.02))
    assert total.item() == pytest.approx(task.item() + 100 * 0.02) and parts["saliency"] == pytest.approx(0.02)
    assert rrr_loss(logits, labels, torch.tensor(0.02), weight=0)[0] == task


# ---------------------------------------- maps that follow the crop
def explain(images):
    """An explanation that moves with the picture: brightness, pooled to a quarter of the side."""
    return F.avg_pool2d(images.mean(1), 4)


@pytest.mark.parametrize("boxes, flip", [([0, 0, 16, 16], True), ([4, 8, 12, 16], False), ([0, 4, 8, 12], True)])
def test_a_map_kept_for_another_view_fails_and_one_that_follows_does_not(boxes, flip):
    images = torch.rand(2, 3, 16, 16, generator=gen(4))
    coarse = images.unfold(2, 4, 4).unfold(3, 4, 4).mean((-2, -1))
    images = coarse.repeat_interleave(4, 2).repeat_interleave(4, 3)  # even within a cell, so that a cut is exact
    before = Samples(images, torch.tensor([0, 1]), explain(images), torch.tensor([0, 1]))
    side = boxes[2] - boxes[0]
    views = replayed_views(before, torch.tensor([boxes] * 2), flip=torch.tensor([flip] * 2), size=(side, side))
    cells = side // 4
    followed = views.maps if cells == 4 else F.interpolate(views.maps[:, None], cells, mode="area")[:, 0]
    now = explain(views.images)
    assert saliency_loss(now, followed) < 0.3 * saliency_loss(now, before.maps[:, :cells, :cells])
    if cells == 4:
        assert saliency_loss(now, followed) < 1e-6
    assert torch.equal(views.predicted, before.predicted) and views.maps.shape == before.maps.shape


def test_the_whole_view_changes_nothing():
    images = torch.rand(2, 3, 16, 16, generator=gen(5))
    before = Samples(images, torch.tensor([0, 1]), explain(images), torch.tensor([1, 1]))
    views = replayed_views(before, torch.tensor([[0, 0, 16, 16]] * 2))
    torch.testing.assert_close(views.images, images)
    torch.testing.assert_close(views.maps, before.maps)


# ---------------------------------------- the buffer
def test_buffer_shares_its_budget_among_the_classes_and_keeps_pairs_together():
    empty = ReplayBuffer(6)
    first = empty.add(samples([0, 0, 1, 0, 1, 0]))
    assert len(empty) == 0 and len(first) == 5  # 3 a class: four of class 0 came
    assert first.kept.labels.tolist() == [0, 0, 1, 0, 1]
    second = first.add(samples([2, 2, 2], start=10))
    assert second.kept.labels.tolist() == [0, 0, 1, 1, 2, 2]  # 2 a class
    assert second.kept.predicted.tolist() == [0, 1, 2, 4, 10, 11] and len(first) == 5
    for part in (second.kept.images[:, 0, 0, 0], second.kept.maps[:, 0, 0]):
        assert part.tolist() == second.kept.predicted.tolist()


def test_cutting_the_list_of_maps_from_the_front_fails_this_check():
    """The release makes the images of a task anew, fewer a class, and keeps the first so many of its list of maps."""
    buffer = ReplayBuffer(4).add(samples([0, 0, 1, 1]))
    later = buffer.add(samples([2, 3], start=10))
    released = buffer.kept.maps[:2, 0, 0]  # two images remain of the task
    assert released.tolist() == [0.0, 1.0] and later.kept.images[:2, 0, 0, 0].tolist() == [0.0, 2.0]
    assert later.kept.maps[:2, 0, 0].tolist() == [0.0, 2.0]


def test_what_is_kept_has_no_graph_and_shares_no_memory():
    given = Samples(
        torch.rand(2, 3, 8, 8), torch.tensor([0, 1]), torch.ones(2, 2, 2, requires_grad=True) * 2, torch.tensor([0, 1])
    )
    buffer = ReplayBuffer(2).add(given)
    given.images.zero_()
    assert not buffer.kept.maps.requires_grad and buffer.kept.images.any()
    assert buffer.bytes == {"images": 2 * 3 * 64 * 4, "maps": 2 * 4 * 4}
    assert ReplayBuffer(2).bytes == {"images": 0, "maps": 0}


def test_drawing_is_without_repeats_and_the_generators_alone():
    buffer = ReplayBuffer(8).add(samples([0, 0, 1, 1, 2, 2]))
    drawn = buffer.sample(4, gen(3))
    assert len(drawn) == 4 and len(set(drawn.predicted.tolist())) == 4
    assert torch.equal(drawn.maps[:, 0, 0].long(), drawn.predicted)
    assert torch.equal(drawn.predicted, buffer.sample(4, gen(3)).predicted) and len(buffer.sample(99, gen())) == 6


def test_the_control_gives_everybody_anothers_map():
    buffer = ReplayBuffer(8).add(samples([0, 0, 1, 1, 2, 2]))
    for seed in range(5):
        other = buffer.with_other_maps(gen(seed)).kept
        assert (other.maps[:, 0, 0].long() != other.predicted).all()
        assert sorted(other.maps[:, 0, 0].tolist()) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
        assert torch.equal(other.images, buffer.kept.images)


# ---------------------------------------- Right for the Right Reasons
def test_input_gradients_by_hand():
    """Logits W x of one pixel: d/dx sum_k log p_k = sum_k w_k - K sum_k p_k w_k; at x = 0, p is even, and it is 0."""
    weights = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    images = torch.tensor([0.0, 0.0, 0.0, 1.0, 0.0, 3.0]).view(2, 3, 1, 1).requires_grad_()
    found = input_gradients(images.flatten(1) @ weights.t(), images)
    p = torch.sigmoid(torch.tensor(1.0)).item()
    assert found[0].flatten().tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert found[1].flatten().tolist() == pytest.approx([1 - 2 * p, 2 - 4 * (1 - p), 0])


def test_reasons_by_hand():
    gradients = torch.tensor([[[[1.0, 2.0]], [[0.0, 3.0]]], [[[5.0, 0.0]], [[0.0, 0.0]]]])
    irrelevant = torch.tensor([[[False, True]], [[True, False]]])
    assert right_reasons_loss(gradients, irrelevant) == (4 + 9 + 25) / 2
    assert right_reasons_loss(gradients, torch.zeros_like(irrelevant)) == 0
    assert right_reasons_loss(3 * gradients, irrelevant) == 9 * 19


def test_a_network_blind_to_the_marked_pixels_has_no_loss(seeing):
    network, images, *_ = seeing
    images = images.clone().requires_grad_()
    irrelevant = torch.zeros(4, 16, 16, dtype=torch.bool)
    irrelevant[:, :5] = True
    blind = network(torch.where(irrelevant[:, None], torch.zeros_like(images), images))
    assert right_reasons_loss(input_gradients(blind, images), irrelevant) == 0
    assert right_reasons_loss(input_gradients(network(images), images), irrelevant) > 0


def test_right_for_the_right_reasons_adds_up():
    logits, labels = torch.randn(2, 3, generator=gen()), torch.tensor([0, 2])
    gradients, irrelevant = torch.ones(2, 3, 2, 2), torch.ones(2, 2, 2, dtype=torch.bool)
    total, parts = right_for_the_right_reasons_loss(logits, labels, gradients, irrelevant, weight=0.5)
    assert parts["reasons"] == 12 and total.item() == pytest.approx(F.cross_entropy(logits, labels).item() + 6)


# ---------------------------------------- what does not fit
IMAGES = torch.ones(2, 3, 4, 4)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: saliency_loss(torch.ones(2, 3, 3), torch.ones(2, 4, 4)), "same shape"),
        (lambda: saliency_loss(torch.ones(2, 3), torch.ones(2, 3)), r"\(B, h, w\)"),
        (lambda: saliency_loss(torch.ones(2, 3, 3), torch.ones(2, 3, 3), reduction="none"), "reduction"),
        (lambda: rrr_loss(torch.ones(2, 3), torch.tensor([0])), r"labels \(B,\)"),
        (lambda: Samples(IMAGES, torch.tensor([0, 1]), torch.ones(3, 2, 2), torch.tensor([0, 1])), "pair up"),
        (lambda: Samples(IMAGES, torch.tensor([0, 1]), torch.ones(2, 1, 2, 2), torch.tensor([0, 1])), "pair up"),
        (lambda: ReplayBuffer(1).add(samples([0, 1])), "budget of 1"),
        (lambda: ReplayBuffer(9).add(samples([0])).add(samples([1], side=12)), "images must have the size"),
        (lambda: ReplayBuffer(9).sample(2), "empty"),
        (lambda: ReplayBuffer(9).add(samples([0])).with_other_maps(), "two samples"),
        (lambda: input_gradients(torch.ones(2, 3), IMAGES), "requires_grad_"),
        (lambda: input_gradients(torch.ones(1, 3), IMAGES), r"logits must be \(B, K\)"),
        (
            lambda: input_gradients(torch.ones(2, 3, requires_grad=True), IMAGES.clone().requires_grad_()),
            "same forward pass",
        ),
        (lambda: right_reasons_loss(IMAGES, torch.ones(2, 4, 5, dtype=torch.bool)), r"irrelevant \(B, H, W\)"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
