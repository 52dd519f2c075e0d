"""CAST: crops that hold their mask, the contrast with a queue, and the attention loss with the faults of its release."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import nn

from lessons_lib.explain import grad_cam
from lessons_lib.feedback.cast import (
    _truncated_gaussian,
    attention_loss,
    cast_loss,
    covered_share,
    crop_boxes,
    crop_resize,
    enqueue,
    info_nce,
    mask_background,
    new_queue,
    query_similarity,
)
from lessons_lib.models.small import SmallCNN
from lessons_lib.models.vision_language_losses import follow


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def masks_at(*corners, side=6, size=32):
    masks = torch.zeros(len(corners), size, size, dtype=torch.bool)
    for mask, (x, y) in zip(masks, corners):
        mask[y : y + side, x : x + side] = True
    return masks


# ---------------------------------------- crops
def test_every_crop_holds_its_share_of_the_mask_and_keeps_to_area_and_aspect():
    masks = masks_at((3, 4), (13, 13), (26, 26)).repeat_interleave(300, 0)
    boxes = crop_boxes(masks, gen(), cover=0.4)
    wide, high = (boxes[:, 2:] - boxes[:, :2]).double().unbind(1)
    assert (boxes >= 0).all() and (boxes <= 32).all()
    assert (covered_share(masks, boxes) >= 0.4).all()
    assert (
        wide * high >= 0.2 * 32 * 32 * 0.9
    ).double().mean() > 0.97  # sides are rounded; the rare way out may be smaller
    assert (wide / high).min() > 3 / 4 * 0.93 and (wide / high).max() < 4 / 3 * 1.07
    assert (wide * high / 1024).std() > 0.15  # all areas occur


def test_crops_without_the_constraint_lose_the_object():
    masks = masks_at((26, 26)).repeat(400, 1, 1)
    free, bound = crop_boxes(masks, gen(1), cover=0.0), crop_boxes(masks, gen(1), cover=0.2)
    assert (covered_share(masks, free) < 0.2).double().mean() > 0.2
    assert (covered_share(masks, bound) >= 0.2).all()


def test_crops_are_the_generators_alone_and_lean_to_the_centroid():
    masks = masks_at((0, 0), (26, 26)).repeat_interleave(400, 0)
    boxes = crop_boxes(masks, gen(2), cover=0.0)
    assert torch.equal(boxes, crop_boxes(masks, gen(2), cover=0.0))
    centres = (boxes[:, :2] + boxes[:, 2:]).double().mean(1) / 2
    assert centres[:400].mean() < centres[400:].mean()


def test_centres_are_a_truncated_gaussians():
    """Against scipy: deviation is the side, cut where a crop with this margin would leave the image."""
    drawn = torch.linspace(0, 1, 11, dtype=torch.float64)
    for mean, margin in ((5.0, 8.0), (16.0, 4.0), (30.0, 12.0)):
        expected = stats.truncnorm.ppf(
            drawn.numpy(), (margin - mean) / 32, (32 - margin - mean) / 32, loc=mean, scale=32
        )
        found = _truncated_gaussian(torch.tensor(mean).double(), 32, torch.tensor(margin).double(), drawn)
        torch.testing.assert_close(found, torch.as_tensor(expected))


def test_the_way_out_encloses_the_mask_whatever_its_shape():
    masks = torch.zeros(4, 32, 32, dtype=torch.bool)
    masks[0, 5, 7] = True
    masks[1, 3, 1:31] = True  # wider than any allowed aspect
    masks[2, 1:31, 30] = True
    masks[3, 4:9, 8:12] = True
    masks = masks.repeat(100, 1, 1)
    boxes = crop_boxes(masks, gen(3), cover=1.0, scale=(0.003, 0.004), tries=1)  # a try has 3 or 4 pixels
    wide, high = (boxes[:, 2:] - boxes[:, :2]).unbind(1)
    way_out = wide * high > 6
    assert (boxes >= 0).all() and (boxes <= 32).all() and (way_out.view(100, 4).sum(0) > 30).all()
    assert (covered_share(masks, boxes)[way_out] == 1).all()
    aspect = (wide / high).view(100, 4)[:, [0, 3]][way_out.view(100, 4)[:, [0, 3]]]
    assert aspect.min() > 0.6 and aspect.max() < 4 / 3 + 1e-6  # sides are whole pixels
    assert len(boxes[0::4][way_out[0::4]].unique(dim=0)) > 20  # every image has its own
    full = crop_boxes(masks, gen(4), cover=1.0, scale=(1.0, 1.0))  # the smallest crop is the whole image
    assert (covered_share(masks, full) == 1).all()


def test_masks_too_large_or_empty_still_get_a_crop():
    masks = torch.stack([torch.ones(32, 32, dtype=torch.bool), torch.zeros(32, 32, dtype=torch.bool)]).repeat(50, 1, 1)
    boxes = crop_boxes(masks, gen(5), cover=1.0)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    assert (areas > 0).all() and areas[0::2].float().std() > 50 and areas[1::2].float().std() > 50
    assert covered_share(masks, boxes)[1::2].tolist() == [0.0] * 50


def test_a_whole_box_is_an_exact_cut_and_masks_stay_masks():
    images, masks = torch.rand(2, 3, 10, 12, generator=gen()), masks_at((2, 1), (4, 3), side=4, size=12)[:, :10]
    boxes = torch.tensor([[2, 1, 8, 5], [0, 0, 6, 4]])
    cut, cut_masks = crop_resize(images, boxes, (4, 6)), crop_resize(masks, boxes, (4, 6))
    for i, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        torch.testing.assert_close(cut[i], images[i, :, y0:y1, x0:x1])
        assert torch.equal(cut_masks[i], masks[i, y0:y1, x0:x1]) and cut_masks.dtype == torch.bool
    turned = crop_resize(images, boxes, (4, 6), flip=torch.tensor([True, False]))
    torch.testing.assert_close(turned[0], cut[0].flip(-1))
    torch.testing.assert_close(turned[1], cut[1])
    whole = torch.tensor([[0, 0, 12, 10]] * 2)
    torch.testing.assert_close(
        crop_resize(images, whole, (20, 30)), F.interpolate(images, (20, 30), mode="bilinear", align_corners=False)
    )


def test_masked_key_keeps_the_object_and_its_gradient_only():
    images, masks = torch.rand(1, 3, 8, 8, generator=gen()).requires_grad_(), masks_at((2, 2), side=3, size=8)
    found = mask_background(images, masks, fill=0.5)
    assert torch.equal(found[:, :, 2:5, 2:5], images[:, :, 2:5, 2:5]) and (found[:, :, ~masks[0]] == 0.5).all()
    found.sum().backward()
    assert torch.equal(images.grad[0, 0] == 1, masks[0])


# ---------------------------------------- momentum contrast
def test_info_nce_by_hand():
    queries, keys = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.5, 0.0]])
    queue = torch.tensor([[0.0, 1.0], [0.6, 0.8]])
    near, others = math.exp(1 / 0.5), math.exp(0) + math.exp(0.6 / 0.5)
    assert info_nce(queries, keys, queue, temperature=0.5) == pytest.approx(-math.log(near / (near + others)))
    alike = F.normalize(torch.ones(7, 2), dim=1)
    assert info_nce(torch.ones(3, 2), torch.ones(3, 2), alike) == pytest.approx(math.log(1 + 7), rel=1e-5)
    assert info_nce(queries, keys, -queue[:1] * 0 + torch.tensor([[-1.0, 0.0]]), temperature=0.05) < 1e-6


def test_info_nce_is_torchs_cross_entropy_and_moves_the_queries_alone():
    queries, keys, queue = (torch.randn(n, 5, generator=gen(n)).requires_grad_() for n in (3, 3, 8))
    queue = F.normalize(queue, dim=1)
    keys = torch.randn(3, 5, generator=gen(9)).requires_grad_()
    loss = info_nce(queries, keys, queue)
    loss.backward()
    assert queries.grad.any() and keys.grad is None
    again = info_nce(queries - 0.01 * queries.grad, keys, queue)
    assert again < loss
    torch.testing.assert_close(info_nce(7 * queries, 3 * keys, queue), loss)


def test_queue_is_first_in_first_out_and_never_changed_in_place():
    queue = new_queue(5, 3, gen())
    torch.testing.assert_close(queue.norm(dim=1), torch.ones(5))
    before, keys = queue.clone(), torch.randn(2, 3, generator=gen(1)).requires_grad_()
    after = enqueue(queue, keys)
    assert torch.equal(queue, before) and torch.equal(after[:3], queue[2:]) and not after.requires_grad
    torch.testing.assert_close(after[3:], F.normalize(keys.detach(), dim=1))
    assert len(enqueue(queue, torch.randn(9, 3))) == 5
    loss = info_nce(keys, keys, queue)
    enqueue(queue, keys)
    loss.backward()  # nothing that the graph needs was overwritten


def test_following_once_and_twice_a_step_are_told_apart():
    """The release's second forward pass moves the momentum encoder again: 0.9 old + 0.1 new becomes 0.81 and 0.19."""
    encoder, momentum = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        encoder.weight.fill_(1.0)
        momentum.weight.fill_(0.0)
    once, twice = copy.deepcopy(momentum), copy.deepcopy(momentum)
    follow(once, encoder, 0.9)
    for _ in range(2):
        follow(twice, encoder, 0.9)
    assert torch.allclose(once.weight, torch.tensor(0.1)) and torch.allclose(twice.weight, torch.tensor(0.19))


# ---------------------------------------- the attention loss
def test_attention_by_hand_and_without_a_scale():
    maps = torch.tensor([[[3.0, 4.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]]])
    masks = torch.tensor([[[True, False], [False, False]], [[False, False], [True, False]]])
    assert attention_loss(maps, masks) == pytest.approx((1 - 0.6 + 0) / 2)
    assert attention_loss(maps * torch.tensor([1e-30, 1e9])[:, None, None], masks) == pytest.approx(0.2, rel=1e-5)
    assert attention_loss((~masks).float(), masks) == 1
    fine = masks.repeat_interleave(4, 1).repeat_interleave(4, 2)  # at image size: the mask's share of every cell
    assert attention_loss(maps, fine) == pytest.approx(0.2)
    partly = torch.tensor([[[True, True, True, False]] * 2])  # shares 1 and 1/2 of two cells
    assert attention_loss(torch.tensor([[[2.0, 1.0]]]), partly) == pytest.approx(0, abs=1e-6)
    assert 0 <= attention_loss(torch.rand(5, 7, 7, generator=gen()), torch.rand(5, 28, 28, generator=gen(1)) > 0.5) <= 1


def test_zero_maps_empty_masks_and_ties_have_no_nan():
    maps = torch.zeros(3, 4, 4, dtype=torch.float64)
    maps[1] = 1.0
    maps.requires_grad_()
    masks = masks_at((0, 0), (2, 2), (1, 1), side=2, size=8)
    masks[2] = False
    loss = attention_loss(maps, masks)
    loss.backward()
    assert torch.isfinite(maps.grad).all() and not maps.grad[2].any() and maps.grad[1].any()
    assert loss.item() == pytest.approx(
        (1 + 1 - 0.25) / 2
    )  # map 0 is zero, map 1 even: cos = 1 / sqrt(16); mask 2 is empty
    assert attention_loss(maps, torch.zeros_like(masks)) == 0


def test_a_batch_wide_cosine_is_another_loss():
    """The release flattens the batch: the image with the larger map decides alone, and an empty mask goes unseen."""
    masks = torch.tensor([[[True, False]], [[True, False]]])
    maps = torch.tensor([[[100.0, 0.0]], [[0.0, 1.0]]])
    released = 1 - F.cosine_similarity(maps.view(1, -1), masks.float().view(1, -1))
    assert attention_loss(maps, masks) == pytest.approx(0.5)
    assert released.item() == pytest.approx(1 - 100 / math.sqrt(10001 * 2))
    swapped = maps * torch.tensor([0.01, 100.0])[:, None, None]
    assert attention_loss(swapped, masks) == pytest.approx(0.5)
    assert abs((1 - F.cosine_similarity(swapped.view(1, -1), masks.float().view(1, -1))).item() - released.item()) > 0.2


def test_dividing_by_the_maximum_would_turn_a_negative_map_around():
    maps, masks = torch.tensor([[[-4.0, -1.0]]]), torch.tensor([[[True, False]]])
    turned = maps / maps.amax((1, 2), keepdim=True)  # the fault: positive now
    assert attention_loss(maps, masks) > 1 > attention_loss(turned, masks)
    torch.testing.assert_close(attention_loss(1e-30 * maps, masks), attention_loss(maps, masks))


def released_map(weighted):
    """The release's order: a view is min-max normalised in place before the ReLU, which then has nothing to cut."""
    raw = weighted.clone()
    view = raw.view(len(raw), -1)
    view -= view.min(1, keepdim=True)[0]
    view /= view.max(1, keepdim=True)[0] + 1e-7
    shown = raw.relu().view(len(raw), -1)
    shown -= shown.min(1, keepdim=True)[0]
    return shown.view_as(weighted)


def test_a_relu_that_never_bites_fails_this_check():
    weighted = torch.randn(6, 7, 7, generator=gen(3))
    masks = torch.rand(6, 28, 28, generator=gen(4)) > 0.5
    intended = weighted.relu()
    assert (intended == 0).sum() > 80 and (released_map(weighted) == 0).sum() == 6  # each map's own minimum
    assert attention_loss(released_map(weighted), masks) != pytest.approx(
        attention_loss(intended, masks).item(), rel=0.05
    )


def test_an_in_place_edit_of_what_the_relu_keeps_cannot_be_trained():
    weighted = torch.randn(6, 7, 7, generator=gen(3)).requires_grad_()
    masks = torch.rand(6, 28, 28, generator=gen(4)) > 0.5
    with pytest.raises(RuntimeError, match="inplace operation"):
        attention_loss(released_map(weighted), masks).backward()
    attention_loss(weighted.relu(), masks).backward()
    assert weighted.grad.any()


def test_an_area_mean_keeps_what_point_samples_lose():
    """As the release shrinks a mask (bilinear, aligned corners), a thin object can vanish."""
    masks = torch.zeros(1, 28, 28, dtype=torch.bool)
    masks[0, :, 2] = True
    assert not F.interpolate(masks[:, None].float(), 7, mode="bilinear", align_corners=True).any()
    maps = torch.zeros(1, 7, 7)
    maps[0, :, 0] = 1
    assert attention_loss(maps, masks) == pytest.approx(0, abs=1e-6)


# ---------------------------------------- on a network
@pytest.fixture
def seeing():
    encoder = SmallCNN(5, head="flatten", width=3, seed=1).double().eval()
    images = torch.rand(3, 3, 16, 16, generator=gen(2), dtype=torch.float64)
    keys = torch.randn(3, 5, generator=gen(3), dtype=torch.float64)
    return encoder, images, keys, masks_at((1, 2), (8, 6), (4, 9), side=7, size=16)


def attention(encoder, images, keys, masks, detached=False):
    maps = grad_cam(encoder, images, query_similarity(keys), create_graph=not detached)
    return attention_loss(maps, masks)


def test_the_explained_score_is_the_positive_logit_and_knows_no_negatives(seeing):
    encoder, images, keys, _ = seeing
    queries = encoder(images)
    expected = F.cosine_similarity(queries, keys) / 0.07
    torch.testing.assert_close(query_similarity(keys)(queries), expected)
    assert not query_similarity(keys.requires_grad_())(torch.ones(3, 5, dtype=torch.float64)).requires_grad


def test_own_gradient_equals_finite_differences(seeing, step=1e-6):
    encoder, *rest = seeing
    weights = list(encoder.parameters())
    ways = [torch.randn(w.shape, generator=gen(7 + i), dtype=w.dtype) for i, w in enumerate(weights)]
    slopes = torch.autograd.grad(attention(encoder, *rest), weights, allow_unused=True)
    values = []
    for sign in (1, -2):
        with torch.no_grad():
            for weight, way in zip(weights, ways):
                weight.add_(way, alpha=sign * step)
        values.append(attention(encoder, *rest).item())
    slope = sum((s * w).sum().item() for s, w in zip(slopes, ways) if s is not None)
    assert abs(slope) > 1e-4 and slope == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4)


def test_a_detached_map_trains_nothing(seeing):
    assert attention(*seeing, detached=True).item() == pytest.approx(attention(*seeing).item())
    assert not attention(*seeing, detached=True).requires_grad


def test_gradient_reaches_the_weights_one_step_lowers_it_and_no_hook_stays(seeing):
    encoder, *rest = seeing
    before = attention(encoder, *rest)
    before.backward()
    assert encoder.features.conv1.weight.grad.any() and encoder.head[2].weight.grad.any()
    torch.optim.SGD(encoder.parameters(), lr=1e-3).step()
    assert attention(encoder, *rest) < before
    assert not any(module._forward_hooks for module in encoder.modules())


def test_masks_of_other_images_are_another_target(seeing):
    encoder, images, keys, masks = seeing
    assert attention(encoder, images, keys, masks.roll(1, 0)).item() != pytest.approx(
        attention(*seeing).item(), rel=1e-3
    )


def test_total_is_the_weighted_mean():
    total, parts = cast_loss(torch.tensor(2.0), torch.tensor(1.0))
    assert total == pytest.approx(0.25 * 2 + 0.75) and parts == {"contrast": 2.0, "attention": 1.0}
    assert cast_loss(torch.tensor(2.0), torch.tensor(1.0), alpha=0)[0] == 2


# ---------------------------------------- what does not fit
MASKS, BOXES = torch.ones(2, 4, 4, dtype=torch.bool), torch.tensor([[0, 0, 2, 2]] * 2)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: crop_boxes(MASKS.float()), "masks must be bool"),
        (lambda: crop_boxes(MASKS, cover=1.5), "cover"),
        (lambda: crop_boxes(MASKS, scale=(0.5, 0.2)), "scale"),
        (lambda: covered_share(MASKS, BOXES[:1]), "boxes must be"),
        (lambda: crop_resize(MASKS, BOXES.flip(1), (2, 2)), "no area"),
        (lambda: crop_resize(MASKS, BOXES, (2, 2), flip=torch.tensor([True])), "flip"),
        (lambda: crop_resize(torch.ones(2, 4), BOXES, (2, 2)), "values must be"),
        (lambda: mask_background(torch.ones(2, 3, 5, 4), MASKS), "images must be"),
        (lambda: new_queue(0, 3), "queue"),
        (lambda: enqueue(torch.ones(4, 3), torch.ones(2, 5)), "queue must be"),
        (lambda: info_nce(torch.ones(2, 3), torch.ones(1, 3), torch.ones(4, 3)), "queries and keys"),
        (lambda: info_nce(torch.ones(2, 3), torch.ones(2, 3), torch.ones(4, 3), temperature=0), "temperature"),
        (lambda: query_similarity(torch.ones(2, 3))(torch.ones(2, 4)), "embeddings must be"),
        (lambda: attention_loss(torch.ones(2, 1, 4, 4), MASKS), r"maps must be \(B, h, w\)"),
        (lambda: attention_loss(torch.ones(3, 4, 4), MASKS), r"maps must be \(B, h, w\)"),
        (lambda: cast_loss(torch.ones(()), torch.ones(()), alpha=-1), "alpha and beta"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
