"""Quadrants and consistency by hand, and shares of attention."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.evidence.quadrants import mean_quadrants, quadrants, share_on


def test_shares_and_consistency_of_ten_pairs():
    main = torch.tensor([1, 1, 1, 1, 1, 0, 0, 0, 0, 0]).bool()
    sub = torch.tensor([1, 1, 1, 1, 0, 1, 1, 0, 0, 0]).bool()
    found = quadrants(main, sub)
    assert (found.both_right, found.main_only, found.sub_only, found.neither) == pytest.approx((0.4, 0.1, 0.2, 0.3))
    assert found.consistency == pytest.approx(0.8)
    assert quadrants(sub, main).consistency == pytest.approx(0.4 / 0.6)


def test_the_mean_of_the_batches_ratios_is_another_number():
    main, sub = torch.tensor([1, 0, 0, 1, 1, 1]).bool(), torch.tensor([1, 0, 0, 0, 0, 1]).bool()
    batches = [quadrants(a, b).consistency for a, b in zip(main.split(3), sub.split(3))]
    assert quadrants(main, sub).consistency == pytest.approx(0.5) and sum(batches) / 2 == pytest.approx(2 / 3)


def test_consistency_is_zero_where_nothing_is_right():
    nothing = torch.zeros(3).bool()
    assert quadrants(nothing, ~nothing).consistency == 0 and quadrants(nothing, ~nothing).sub_only == 1


def test_means_over_seeds_sum_to_one():
    seeds = {"both_right": [0.4, 0.6], "main_only": [0.1, 0.1], "sub_only": [0.3, 0.1], "neither": [0.2, 0.2]}
    found = mean_quadrants({**seeds, "consistency": [0.8, 0.857]})
    assert (found.both_right, found.main_only, found.sub_only, found.neither) == pytest.approx((0.5, 0.1, 0.2, 0.2))
    assert found.consistency == pytest.approx(0.5 / 0.6)


def test_quadrants_refuse_what_does_not_fit():
    right = torch.ones(3).bool()
    with pytest.raises(ValueError, match=r"\(P,\).*\(3,\) and \(2,\)"):
        quadrants(right, right[:2])
    with pytest.raises(ValueError, match="bool"):
        quadrants(right, right.float())
    with pytest.raises(ValueError, match="at least one pair"):
        quadrants(right[:0], right[:0])


def test_share_of_attention_leaves_rows_without_a_mark_out():
    attention = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [1.0, 0.0, 0.0]])
    marked = torch.tensor([[True, False, True], [False, False, True], [False, False, False]])
    assert share_on(attention, marked) == pytest.approx((0.75 + 0.7) / 2)
    with pytest.raises(ValueError, match=r"\(P, R\)"):
        share_on(attention, marked[:2])
    with pytest.raises(ValueError, match="no region is marked"):
        share_on(attention, torch.zeros(3, 3).bool())
