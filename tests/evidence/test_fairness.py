"""Measures of gender words: hand-computed values, and the outcomes of Hendricks et al. (ECCV 2018), Table 2."""

from __future__ import annotations

import math

import pytest

from lessons_lib.evidence.fairness import Outcomes, gender_of_caption, jensen_shannon

# % correct / wrong / other of women and of men on COCO-Bias; divergence of Table 2, error (%) of Table 1
TABLE_2 = {
    "baseline_ft": ((46.28, 34.11, 19.61), (75.05, 4.23, 20.72), 0.121, 12.83),
    "balanced": ((47.67, 33.80, 18.54), (75.89, 4.38, 19.72), 0.116, 12.85),
    "upweight": ((60.59, 29.82, 9.58), (87.84, 6.98, 5.17), 0.078, 13.56),
    "without_acl": ((56.18, 16.02, 27.81), (67.58, 4.15, 28.26), 0.031, 7.57),
    "without_confident": ((46.03, 24.84, 29.13), (61.11, 3.47, 35.42), 0.075, 9.62),
    "equalizer": ((57.38, 12.99, 29.63), (59.02, 4.61, 36.37), 0.018, 7.02),
}
WOMEN_ON_COCO_BIAS = 0.288  # the one share of women that turns all outcomes into all errors


@pytest.mark.parametrize("name", TABLE_2)
def test_divergence_and_error_of_the_paper_are_reproduced(name):
    women, men, divergence, error = TABLE_2[name]
    weighted = Outcomes(
        tuple(WOMEN_ON_COCO_BIAS * share for share in women), tuple((1 - WOMEN_ON_COCO_BIAS) * share for share in men)
    )
    assert weighted.divergence == pytest.approx(divergence, abs=0.0005)
    assert 100 * weighted.error_rate == pytest.approx(error, abs=0.02)
    assert weighted.true_ratio == pytest.approx(0.404, abs=0.001)


def test_upweight_row_gives_its_ratio():
    women, men, _, _ = TABLE_2["upweight"]
    found = Outcomes(tuple(0.288 * share for share in women), tuple(0.712 * share for share in men))
    assert found.ratio_distance == pytest.approx(0.089, abs=0.002)


def test_outcomes_by_hand():
    truth = ["woman"] * 4 + ["man"] * 6
    said = ["woman", "woman", "man", "other", "man", "man", "man", "woman", "other", "other"]
    found = Outcomes.of(said, truth)
    assert found.women == (2, 1, 1) and found.men == (3, 1, 2)
    assert found.error_rate == pytest.approx(0.2)
    assert found.gender_ratio == pytest.approx(3 / 4) and found.true_ratio == pytest.approx(4 / 6)
    assert found.ratio_distance == pytest.approx(3 / 4 - 4 / 6)
    assert found.share_distance == pytest.approx(3 / 7 - 4 / 10)
    assert found.shares == ((0.5, 0.25, 0.25), (0.5, pytest.approx(1 / 6), pytest.approx(1 / 3)))


def test_equal_treatment_has_no_divergence_and_opposite_treatment_one_bit():
    assert Outcomes((3, 1, 1), (6, 2, 2)).divergence == pytest.approx(0, abs=1e-12)
    assert Outcomes((0, 4, 0), (4, 0, 0)).divergence == pytest.approx(1)
    assert jensen_shannon((1, 1), (2, 2)) == 0 and jensen_shannon((1, 0), (0, 5)) == pytest.approx(1)
    other = (0.5 * math.log2(0.5 / 0.75) + 0.5 * math.log2(0.5 / 0.25) + math.log2(1 / 0.75)) / 2
    assert jensen_shannon((0.5, 0.5), (1, 0)) == pytest.approx(other)
    assert jensen_shannon((1, 0), (0.5, 0.5)) == pytest.approx(other)


def test_who_names_nobody_errs_never_and_has_the_ratio_zero():
    found = Outcomes.of(["other", "other"], ["woman", "man"])
    assert found.error_rate == 0 and found.ratio_distance == 1 and math.isinf(found.gender_ratio)
    only = Outcomes.of(["woman", "woman"], ["woman", "man"])
    assert found.share_distance == 0 and only.share_distance == 0.5
    assert only.ratio_distance == 3 and math.isinf(only.gender_ratio)


@pytest.mark.parametrize(
    "caption, expected",
    [
        ("A woman riding a snowboard.", "woman"),
        (("a", "guy", "on", "skis"), "man"),
        ("A person with a dog.", "other"),
        ("A man and a woman.", "other"),
        ("A lady and a woman.", "woman"),
        ("A manly chair.", "other"),
        ((), "other"),
    ],
)
def test_gender_of_a_caption(caption, expected):
    assert gender_of_caption(caption, {"woman", "lady"}, {"man", "guy"}) == expected


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="three counts"):
        Outcomes((1, 2, -1), (1, 0, 0))
    with pytest.raises(ValueError, match="women must be"):
        Outcomes.of(["man"], ["man"])
    with pytest.raises(ValueError, match="one caption for each truth"):
        Outcomes.of(["man"], ["man", "woman"])
    with pytest.raises(ValueError, match="said must be"):
        Outcomes.of(["person", "man"], ["woman", "man"])
    with pytest.raises(ValueError, match="one length"):
        jensen_shannon((1, 2), (1, 2, 3))
    with pytest.raises(ValueError, match="not all 0"):
        jensen_shannon((0, 0), (1, 1))
