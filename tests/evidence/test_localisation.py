"""Localisation measures: closed forms, ties, hand-counted boxes, and clear errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from lessons_lib.evidence import (
    box_iou,
    box_of_map,
    boxes_of_masks,
    energy_pointing,
    inside_outside,
    largest_component,
    mask_iou,
    masks_from_boxes,
    pointing_game,
    threshold,
)
from lessons_lib.evidence.localisation import check_maps

SEEDS = (0, 1, 2)


def random_maps(seed: int, batch: int = 6, height: int = 13, width: int = 17) -> torch.Tensor:
    return torch.randn(batch, height, width, generator=torch.Generator().manual_seed(seed))


def random_masks(seed: int, share: float = 0.2) -> torch.Tensor:
    return torch.rand(6, 13, 17, generator=torch.Generator().manual_seed(seed + 100)) < share


def distances(mask: torch.Tensor) -> np.ndarray:
    """Euclidean distance of each pixel to the mask, by SciPy."""
    return ndimage.distance_transform_edt(~mask.numpy())


# --- pointing game


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("tolerance", [0, 0.9, 1, 1.5, 2.9, 3, 5, 100])
def test_pointing_game_is_a_distance_test_at_the_argmax(seed, tolerance):
    maps, masks = random_maps(seed), random_masks(seed, share=0.01)
    masks[:, 4, 5] = True
    hits = pointing_game(maps, masks, tolerance=tolerance)
    for one, mask, hit in zip(maps, masks, hits):
        place = np.unravel_index(one.numpy().argmax(), one.shape)
        assert float(hit) == float(distances(mask)[place] <= tolerance)


def test_tied_maxima_share_the_hit_and_no_corner_is_favoured():
    maps = torch.zeros(2, 4, 4)
    maps[:, 0, 0] = maps[:, 3, 3] = maps[:, 0, 3] = maps[:, 3, 0] = 1
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[0, 0, 0] = True  # what argmax would have chosen
    masks[1, 3, 3] = masks[1, 3, 0] = True
    assert pointing_game(maps, masks).tolist() == [0.25, 0.5]


@pytest.mark.parametrize("value", [0.0, -2.5, 3.0])
def test_a_constant_map_scores_the_share_of_the_area(value):
    masks = random_masks(0)
    expected = masks.float().mean((1, 2))
    assert torch.allclose(pointing_game(torch.full(masks.shape, value), masks), expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_pointing_is_invariant_to_rising_functions(seed):
    maps, masks = random_maps(seed), random_masks(seed)
    assert torch.equal(pointing_game(maps, masks), pointing_game(maps.mul(3).add(1).exp(), masks))


# --- energy


@pytest.mark.parametrize("seed", SEEDS)
def test_energy_of_a_uniform_map_is_the_share_of_the_area(seed):
    masks = random_masks(seed)
    energy = energy_pointing(torch.full(masks.shape, 0.37), masks)
    assert torch.allclose(energy, masks.float().mean((1, 2)), atol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 7.0, 1e30])
def test_energy_is_scale_invariant_and_ignores_negative_relevance(scale):
    maps, masks = random_maps(3), random_masks(3)
    positive = maps.clamp(min=0)
    expected = (positive * masks).sum((1, 2)) / positive.sum((1, 2))
    assert torch.allclose(energy_pointing(maps * scale, masks), expected, atol=1e-6)


def test_energy_inside_outside_and_of_nothing():
    masks = torch.zeros(3, 5, 5, dtype=torch.bool)
    masks[:, 1:3, 1:3] = True
    maps = torch.stack([masks[0].float(), (~masks[0]).float(), -masks[0].float()])
    assert energy_pointing(maps, masks).tolist() == [1, 0, 0]


def test_energy_of_complementary_tiles_sums_to_one():
    """Focus on a mosaic: the four tiles' shares are all of the relevance."""
    maps = random_maps(1, height=12, width=12).half()
    tiles = torch.zeros(4, 6, 12, 12, dtype=torch.bool)
    for i in range(4):
        tiles[i, :, (i // 2) * 6 : (i // 2) * 6 + 6, (i % 2) * 6 : (i % 2) * 6 + 6] = True
    assert torch.allclose(sum(energy_pointing(maps, tile) for tile in tiles), torch.ones(6), atol=1e-5)


# --- thresholds, segments, boxes


def test_threshold_keeps_what_reaches_the_share_and_is_positive():
    maps = torch.tensor([[[1.0, 0.15], [0.149, -1.0]], [[0.0, 0.0], [0.0, 0.0]], [[-1.0, -2.0], [-3.0, 0.0]]])
    assert threshold(maps, 0.15).tolist() == [
        [[True, True], [False, False]],
        [[False, False], [False, False]],
        [[False, False], [False, False]],
    ]
    assert threshold(maps, 0.0)[0].tolist() == [[True, True], [True, False]]


def two_blobs() -> torch.Tensor:
    """A 2 x 3 blob at rows 1-2, columns 1-3, a 3 x 3 one at rows 5-7, columns 6-8, with a stronger lone pixel."""
    maps = torch.zeros(1, 10, 12)
    maps[0, 1:3, 1:4] = 1.0
    maps[0, 5:8, 6:9] = 0.2
    maps[0, 9, 0] = 1.1
    return maps


def test_the_box_is_drawn_around_the_largest_segment_not_the_strongest():
    assert box_of_map(two_blobs()).tolist() == [[6, 5, 9, 8]]
    assert box_of_map(two_blobs(), share=0.5).tolist() == [[1, 1, 4, 3]]  # the 3 x 3 blob is below half of 1.1
    assert box_of_map(two_blobs(), share=1.0).tolist() == [[0, 9, 1, 10]]
    assert box_of_map(torch.zeros(1, 10, 12)).tolist() == [[0, 0, 0, 0]]


def test_corners_connect_with_8_neighbours_and_not_with_4():
    masks = torch.zeros(1, 6, 6, dtype=torch.bool)
    masks[0, 0, 0] = masks[0, 1, 1] = masks[0, 2, 2] = True
    masks[0, 4, 3:5] = True
    assert boxes_of_masks(largest_component(masks)).tolist() == [[0, 0, 3, 3]]
    assert boxes_of_masks(largest_component(masks, connectivity=4)).tolist() == [[3, 4, 5, 5]]
    assert not largest_component(torch.zeros_like(masks)).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_largest_component_against_a_flood_fill(seed):
    masks = random_masks(seed, share=0.4)
    for mask, kept in zip(masks, largest_component(masks)):
        left, sizes = {tuple(p) for p in mask.nonzero().tolist()}, []
        while left:
            front, size = [left.pop()], 0
            while front:
                y, x = front.pop()
                size += 1
                near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
                left -= near
                front += near
            sizes.append(size)
        assert int(kept.sum()) == max(sizes)
        assert not (kept & ~mask).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_boxes_and_masks_are_each_others_inverse(seed):
    generator = torch.Generator().manual_seed(seed)
    low = torch.randint(0, 6, (20, 2), generator=generator)
    high = low + torch.randint(1, 6, (20, 2), generator=generator)
    boxes = torch.cat([low, high], 1)
    masks = masks_from_boxes(boxes, (13, 12))
    assert masks.shape == (20, 13, 12)
    assert torch.equal(boxes_of_masks(masks), boxes)
    assert torch.equal(masks.sum((1, 2)), (high - low).prod(1))


def test_fractional_boxes_take_the_pixels_whose_centre_they_hold_and_are_cut_at_the_border():
    masks = masks_from_boxes(torch.tensor([[0.6, -3.0, 2.5, 1.0], [3.0, 3.0, 3.0, 9.0]]), (4, 5))
    assert masks[0].nonzero().tolist() == [[0, 1]]
    assert not masks[1].any()


def test_box_iou_by_hand():
    boxes = torch.tensor([[0, 0, 4, 4], [0, 0, 2, 2], [0, 0, 2, 2], [1, 1, 1, 1], [0, 0, 0, 0]])
    others = torch.tensor([[2, 2, 6, 6], [2, 0, 4, 2], [0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 0, 0]])
    assert torch.allclose(box_iou(boxes, others), torch.tensor([4 / 28, 0, 1, 0, 0]))


@pytest.mark.parametrize("seed", SEEDS)
def test_box_iou_is_the_iou_of_the_masks(seed):
    draws = torch.randint(0, 9, (2, 30, 2, 2), generator=torch.Generator().manual_seed(seed)).sort(2).values
    boxes, others = draws.flatten(2)
    first, second = masks_from_boxes(boxes, (9, 9)), masks_from_boxes(others, (9, 9))
    expected = (first & second).sum((1, 2)) / (first | second).sum((1, 2)).clamp(min=1)
    assert torch.allclose(box_iou(boxes, others), expected)


def test_mask_iou_by_hand():
    maps = torch.zeros(3, 4, 4)
    maps[0, :2, :2] = 1.0  # 4 pixels
    maps[0, 3, 3] = 0.1  # below the threshold
    masks = torch.zeros(3, 4, 4, dtype=torch.bool)
    masks[0, 1:3, :2] = True  # 4 pixels, 2 of them shared: 2 / 6
    masks[1, 0, 0] = True
    assert torch.allclose(mask_iou(maps, masks), torch.tensor([2 / 6, 0, 0]))
    assert torch.allclose(mask_iou(maps, masks, share=0.05)[0], torch.tensor(2 / 7))


# --- errors


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_maps_that_are_not_finite_are_refused(bad):
    maps, masks = random_maps(0), random_masks(0)
    maps[2, 3, 4] = bad
    for call in (pointing_game, energy_pointing, mask_iou):
        with pytest.raises(ValueError, match="NaN or infinite"):
            call(maps, masks)
    with pytest.raises(ValueError, match="NaN or infinite"):
        box_of_map(maps)


@pytest.mark.parametrize("call", [pointing_game, energy_pointing, mask_iou])
def test_bad_shapes_and_types_are_named(call):
    maps, masks = random_maps(0), random_masks(0)
    with pytest.raises(ValueError, match=r"\(6, 13, 16\) do not fit"):
        call(maps, masks[..., :-1])
    with pytest.raises(ValueError, match=r"maps\[None\]"):
        call(maps[0], masks)
    with pytest.raises(ValueError, match=r"flatten\(0, 1\)"):
        call(maps[None], masks)
    with pytest.raises(TypeError, match="bool"):
        call(maps, masks.float())
    with pytest.raises(TypeError, match="floating point"):
        call(masks, masks)
    with pytest.raises(TypeError, match="ndarray"):
        call(maps.numpy(), masks)


@pytest.mark.parametrize("call", [pointing_game, energy_pointing])
def test_an_empty_mask_is_refused_by_index(call):
    masks = random_masks(0)
    masks[4] = False
    with pytest.raises(ValueError, match=r"\[4\] mark no pixel"):
        call(random_maps(0), masks)


def test_other_errors():
    maps, masks = random_maps(0), random_masks(0)
    with pytest.raises(ValueError, match="tolerance"):
        pointing_game(maps, masks, tolerance=-1)
    with pytest.raises(ValueError, match="share"):
        threshold(maps, 15)
    with pytest.raises(ValueError, match="connectivity"):
        largest_component(masks, connectivity=6)
    with pytest.raises(ValueError, match="width, height"):
        masks_from_boxes(torch.tensor([[5, 5, 3, 3]]), (8, 8))
    with pytest.raises(ValueError, match=r"\(B, 4\)"):
        box_iou(torch.zeros(4), torch.zeros(4))
    with pytest.raises(ValueError, match="pair up"):
        box_iou(torch.zeros(2, 4), torch.zeros(3, 4))
    with pytest.raises(ValueError, match="empty"):
        check_maps(torch.zeros(0, 3, 3))


def test_maps_keep_their_graph_and_values():
    maps = random_maps(0).requires_grad_()
    before = maps.detach().clone()
    assert not energy_pointing(maps, random_masks(0)).requires_grad
    assert torch.equal(maps.detach(), before) and maps.grad is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_same_on_a_gpu():
    maps, masks = random_maps(0), random_masks(0)
    for call in (pointing_game, energy_pointing, mask_iou):
        result = call(maps.cuda(), masks.cuda())
        assert result.is_cuda and torch.allclose(result.cpu(), call(maps, masks), atol=1e-6)
    assert torch.equal(box_of_map(maps.cuda()).cpu(), box_of_map(maps))


# --- inside and outside


def test_inside_outside_by_hand_and_independent_of_scale():
    maps = torch.tensor([[[4.0, 0.0], [1.0, -3.0]]])
    masks = torch.tensor([[[True, False], [False, False]]])
    inside, outside = inside_outside(maps, masks)  # mean of the positive map: 5 / 4
    assert inside.item() == pytest.approx(4 / 1.25) and outside.item() == pytest.approx((1 / 3) / 1.25)
    again = inside_outside(1000 * maps, masks)
    torch.testing.assert_close(again[0], inside)
    torch.testing.assert_close(again[1], outside)


def test_inside_outside_of_a_uniform_and_of_an_empty_map_is_one():
    masks = random_masks(3)
    for maps in (torch.full((6, 13, 17), 0.3), torch.zeros(6, 13, 17), torch.full((6, 13, 17), -1.0)):
        for value in inside_outside(maps, masks):
            torch.testing.assert_close(value, torch.ones(6))


@pytest.mark.parametrize("seed", SEEDS)
def test_inside_and_outside_average_to_one(seed):
    masks = random_masks(seed)
    inside, outside = inside_outside(random_maps(seed), masks)
    share = masks.float().mean((1, 2))
    torch.testing.assert_close(share * inside + (1 - share) * outside, torch.ones(6))


def test_inside_outside_refuses_masks_without_an_outside_or_an_inside():
    with pytest.raises(ValueError, match="no outside"):
        inside_outside(torch.rand(1, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool))
    with pytest.raises(ValueError):
        inside_outside(torch.rand(1, 2, 2), torch.zeros(1, 2, 2, dtype=torch.bool))
