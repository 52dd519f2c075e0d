"""Descriptions of maps: the figures in them are recomputed by hand for maps whose answer is plain."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from lessons_lib.show import describe, summarise


def spot(size, row, column):
    values = torch.zeros(size)
    values[row, column] = 3.0
    return values


@pytest.mark.parametrize(
    "row, column, quarter",
    [
        (1, 1, "upper left quarter"),
        (1, 18, "upper right quarter"),
        (8, 1, "lower left quarter"),
        (8, 18, "lower right quarter"),
    ],
)
def test_the_quarter_and_the_peak_of_a_single_spot(row, column, quarter):
    text = describe(spot((10, 20), row, column), label="Grad-CAM for 'tabby'")
    assert text.startswith(f"Grad-CAM for 'tabby': 100 % of the heat lies in the {quarter}; ")
    left, top = (int(number) for number in re.search(r"at (\d+) % from the left and (\d+) %", text).groups())
    assert left == round(100 * (column + 0.5) / 20)
    assert top == round(100 * (row + 0.5) / 10)


def test_shares_agree_with_sums_on_random_maps():
    values = torch.rand(8, 12, generator=torch.Generator().manual_seed(3)) ** 6
    values[:4, :6] *= 20
    mask = torch.zeros(8, 12, dtype=torch.bool)
    mask[1:6, 2:9] = True
    summary = summarise(values, mask=mask)
    total = float(values.sum())
    assert summary.region == "upper left quarter"
    assert summary.region_share == pytest.approx(float(values[:4, :6].sum()) / total, rel=1e-5)
    assert summary.inside == pytest.approx(float(values[mask].sum()) / total, rel=1e-5)
    assert summary.mask_area == pytest.approx(35 / 96)
    ordered = values.flatten().sort(descending=True).values.cumsum(0)
    fewest = int((ordered < total / 2).sum()) + 1
    assert summary.half_area == pytest.approx(fewest / 96)
    text = describe(values, mask=mask)
    assert f"{100 * summary.inside:.0f} % of it is inside the marked object, which covers 36 % of the picture" in text


def test_a_row_on_the_border_between_halves_counts_half_for_each():
    values = torch.zeros(3, 4)
    values[1, 0] = 1.0
    assert summarise(values).region == "left half"
    values[1, :] = 1.0
    spread = summarise(values)  # either half of the picture has half of it
    assert (spread.region, spread.region_share) == ("", pytest.approx(0.5))


def test_half_of_the_heat():
    values = torch.zeros(10, 10)
    values[0, :4] = 1.0
    assert summarise(values).half_area == pytest.approx(0.02)


def test_heat_that_is_spread_names_no_place():
    values = torch.ones(8, 8)
    values[0, 0] = 1.5
    text = describe(values)
    assert "spread: no half of the picture holds more than 50 %" in text
    assert "quarter" not in text


def test_zero_constant_and_negative_maps():
    assert describe(torch.zeros(7, 7), label="RISE") == "RISE: the map is zero everywhere, it shows no evidence."
    assert "same value everywhere" in describe(torch.full((7, 7), 0.4))
    assert "no value of the map is positive" in describe(torch.full((7, 7), -0.4))
    assert describe(torch.zeros(7, 7), mask=torch.ones(7, 7, dtype=torch.bool)).startswith("the map is zero")


def test_signed_maps_give_the_share_of_either_sign():
    values = torch.zeros(6, 6)
    values[0, 0], values[5, 5] = 3.0, -1.0
    text = describe(values, signed=True)
    assert text.startswith("75 % of the map's total is positive and 25 % negative")
    assert "100 % of the positive part lies in the upper left quarter" in text
    assert "negative values (25 % of the total) left aside" in describe(values)


def test_a_plateau_is_not_called_a_peak():
    values = torch.zeros(10, 10)
    values[2:6, 2:4] = 1.0
    text = describe(values)
    assert "its largest value covers 8 % of the picture, around 30 % from the left and 40 % from the top" in text
    values[9, 9] = 1.0
    values[2:6, 2:4] = 0.0
    values[0, 0] = 1.0
    assert "its largest value, in several places, covers 2 % of the picture" in describe(values)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_scale_does_not_matter(scale):
    values = torch.rand(7, 7, generator=torch.Generator().manual_seed(0))
    assert describe(values * scale) == describe(values)


def test_a_coarse_map_is_resampled_to_the_mask():
    values = torch.zeros(4, 4)
    values[0, 0] = 1.0
    mask = np.zeros((64, 64), bool)
    mask[:32, :32] = True
    assert summarise(values, mask=mask).inside == pytest.approx(1.0)
    assert summarise(torch.rand(64, 64), mask=mask[::16, ::16]).mask_area == 0.25


def test_colour_pictures_count_by_magnitude():
    picture = torch.zeros(3, 8, 8)
    picture[:, 6, 6] = torch.tensor([-1.0, 2.0, -1.0])
    assert "100 % of the heat lies in the lower right quarter" in describe(picture)


@pytest.mark.parametrize("bad", [torch.zeros(5), torch.zeros(2, 5, 5), torch.zeros(0, 5)])
def test_wrong_shapes_are_refused(bad):
    with pytest.raises(ValueError, match=r"shape \(H, W\)"):
        describe(bad)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(value):
    with pytest.raises(ValueError, match="NaN or infinite"):
        describe(torch.full((3, 3), value))


def test_the_callers_map_is_left_alone():
    values = torch.randn(6, 6, requires_grad=True)
    before = values.detach().clone()
    describe(values, signed=True)
    assert torch.equal(values.detach(), before) and values.grad is None
