"""Overlap, coverage and mean IoU on cases that can be counted by hand."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.evidence.segmentation import THRESHOLDS, coverage, mean_iou, overlap


def test_overlap_and_coverage_by_hand():
    maps = torch.tensor([[[1.0, 0.6], [0.3, 0.0]]])
    masks = torch.tensor([[[True, True], [False, True]]])
    cuts = (0.2, 0.5, 0.9)  # 3 pixels, 2 of them on the object; 2 on it; 1 on it
    torch.testing.assert_close(overlap(maps, masks, cuts), torch.tensor([[2 / 4, 2 / 3, 1 / 3]]))
    torch.testing.assert_close(coverage(maps, masks, cuts), torch.tensor([[2 / 3, 2 / 3, 1 / 3]]))


def test_a_map_that_is_everywhere_covers_all_and_overlaps_little():
    maps, masks = torch.ones(2, 4, 4), torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[:, 0, :2] = True
    assert (coverage(maps, masks) == 1).all() and coverage(maps, masks).shape == (2, len(THRESHOLDS))
    torch.testing.assert_close(overlap(maps, masks), torch.full((2, len(THRESHOLDS)), 2 / 16))
    assert (coverage(torch.zeros(2, 4, 4), masks) == 0).all() and (overlap(torch.zeros(2, 4, 4), masks) == 0).all()


def test_the_perfect_map():
    masks = torch.rand(3, 5, 5, generator=torch.Generator().manual_seed(0)) > 0.5
    assert (overlap(masks.float(), masks) == 1).all() and (coverage(3 * masks.float(), masks) == 1).all()


def test_mean_iou_counts_over_all_pictures_and_leaves_void_out():
    true = torch.tensor([[[0, 0, 1, 255]], [[1, 1, 0, 0]]])
    found = torch.tensor([[[0, 1, 1, 1]], [[1, 0, 0, 0]]])
    each = mean_iou(found, true, 3)
    torch.testing.assert_close(each[:2], torch.tensor([3 / 5, 2 / 4]))
    assert each[2].isnan()


def test_bad_input_is_named():
    maps, masks = torch.ones(1, 2, 2), torch.ones(1, 2, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match="threshold"):
        overlap(maps, masks, ())
    with pytest.raises(ValueError, match="threshold"):
        coverage(maps, masks, ())
    with pytest.raises(ValueError, match="mark no pixel"):
        coverage(maps, ~masks)
    with pytest.raises(ValueError, match=r"\(N, H, W\)"):
        mean_iou(torch.zeros(2, 2), torch.zeros(2, 2), 2)
    with pytest.raises(ValueError, match="within 0 to 1"):
        mean_iou(torch.full((1, 1, 1), 2), torch.zeros(1, 1, 1), 2)
