"""Accuracy over tasks by hand, and maps that drift."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.evidence.forgetting import average_accuracy, backward_transfer, forgetting, map_drift

NAN = float("nan")
MATRIX = torch.tensor([[0.9, NAN, NAN], [0.95, 0.8, NAN], [0.5, 0.6, 1.0]])


def test_measures_by_hand_ignore_what_was_not_learned_yet():
    assert average_accuracy(MATRIX) == pytest.approx(0.7)
    assert backward_transfer(MATRIX) == pytest.approx((0.5 - 0.9 + 0.6 - 0.8) / 2)
    assert forgetting(MATRIX) == pytest.approx((0.95 - 0.5 + 0.8 - 0.6) / 2)  # from the best, not from the first
    better = MATRIX.clone()
    better[2, :2] = 0.99
    assert forgetting(better) < 0 < backward_transfer(better)
    full = MATRIX.nan_to_num(nan=7.0)
    assert forgetting(full) == forgetting(MATRIX) and backward_transfer(full) == backward_transfer(MATRIX)


def test_one_task_forgets_nothing():
    assert forgetting(torch.tensor([[0.4]])) == backward_transfer(torch.tensor([[0.4]])) == 0


@pytest.mark.parametrize("function", [average_accuracy, backward_transfer, forgetting])
def test_matrices_that_are_none(function):
    with pytest.raises(ValueError, match=r"\(T, T\), got \(2, 3\)"):
        function(torch.ones(2, 3))
    with pytest.raises(ValueError, match="below the diagonal must be finite"):
        function(MATRIX.masked_fill(torch.tensor([[False] * 3, [False] * 3, [True, False, False]]), NAN))


def test_drift_is_of_direction_alone_and_zero_maps_have_none():
    kept = torch.zeros(5, 2, 2)
    kept[:4, 0, 0] = 1
    now = kept.clone()
    now[0] *= 3
    now[1] = torch.tensor([[0.0, 2.0], [0, 0]])
    now[2, 0, 1] = 1
    now[3] = 0
    expected = torch.tensor([0.0, 1, 1 - 0.5**0.5, 1, 0])
    torch.testing.assert_close(map_drift(now, kept), expected, atol=1e-6, rtol=0)
    assert map_drift(torch.zeros(1, 2, 2), kept[:1]) == 1
    with pytest.raises(ValueError, match="the same shape"):
        map_drift(now, kept[:1])
