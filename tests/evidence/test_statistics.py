"""Intervals against SciPy and by simulation; claims that hold, fail, or need more seeds."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from scipy import stats

from lessons_lib.evidence import Claim, Interval, paired_interval, t_interval

SEEDS = (0, 1, 2)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n", [2, 3, 5, 30])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_t_interval_agrees_with_scipy(seed, n, level):
    values = np.random.default_rng(seed).normal(3, 2, n)
    interval = t_interval(values, level)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(level)
    assert interval.n == n
    assert np.allclose([interval.mean, interval.low, interval.high], [values.mean(), low, high], rtol=1e-10)


@pytest.mark.parametrize("seed", SEEDS)
def test_paired_interval_agrees_with_scipy_and_is_narrower_than_unpaired_when_seeds_matter(seed):
    rng = np.random.default_rng(seed)
    world = rng.normal(0, 5, 8)
    a, b = world + 1 + rng.normal(0, 0.1, 8), world + rng.normal(0, 0.1, 8)
    paired = paired_interval(a, b)
    low, high = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert np.allclose([paired.low, paired.high], [low, high], rtol=1e-9)
    assert paired.high - paired.low < 0.2 * (t_interval(a).high - t_interval(a).low)


def test_by_hand():
    """1, 2, 3: s = 1, standard error 1 / sqrt(3), t(0.975, 2) = 4.302653."""
    half = 4.302652729911275 / math.sqrt(3)
    interval = t_interval([1, 2, 3])
    assert interval == Interval(2.0, pytest.approx(2 - half), pytest.approx(2 + half), 3)


@pytest.mark.parametrize("n", [3, 5])
def test_coverage_on_simulated_normals(n):
    """A 95 % interval misses the mean in 5 % of 4,000 experiments: standard error 0.34 points."""
    draws = np.random.default_rng(7).normal(1.5, 2.0, (4000, n))
    intervals = [t_interval(row) for row in draws]
    covered = np.mean([interval.low <= 1.5 <= interval.high for interval in intervals])
    assert 0.937 < covered < 0.963


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, -7.3])
@pytest.mark.parametrize("n", [2, 3, 7])
def test_equal_values_have_no_spread(value, n):
    assert t_interval([value] * n) == Interval(value, value, value, n)


def test_lists_arrays_and_tensors_are_all_read():
    expected = t_interval([1.0, 2.0, 4.0])
    assert t_interval(np.array([1, 2, 4])) == expected
    assert t_interval(torch.tensor([1.0, 2.0, 4.0], requires_grad=True)) == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "at least 2"),
        ([1.0], "at least 2"),
        ([1.0, math.nan, 2.0], r"position\(s\) \[1\]"),
        ([math.inf, 1.0], "infinite"),
        ([[1.0, 2.0]], "flat list"),
        (3.0, "flat list"),
    ],
)
def test_t_interval_refuses(values, message):
    with pytest.raises(ValueError, match=message):
        t_interval(values)


def test_paired_interval_refuses_lists_that_do_not_pair_up_and_levels_outside_0_1():
    with pytest.raises(ValueError, match="3 and 2"):
        paired_interval([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="level"):
        t_interval([1, 2], level=95)


# --- claims

HIGH, LOW = [0.80, 0.82, 0.81, 0.83, 0.80], [0.70, 0.71, 0.72, 0.70, 0.69]


def test_a_claim_holds_when_the_whole_interval_lies_beyond_the_threshold():
    claim = Claim.difference("hint.shifted", "HINT helps on the shifted set", HIGH, LOW)
    interval = paired_interval(HIGH, LOW)
    assert claim.holds is True
    assert claim.estimate == interval.mean and claim.ci95 == (interval.low, interval.high)
    assert claim.threshold == 0.0 and claim.direction == ">"
    assert Claim.difference("x", "t", LOW, HIGH).holds is False
    assert Claim.difference("x", "t", LOW, HIGH, direction="<").holds is True
    assert Claim.difference("x", "t", HIGH, LOW, threshold=0.11).holds is False  # inside the interval
    assert Claim.difference("x", "t", HIGH, LOW, threshold=0.5, direction="<").holds is True


def test_an_estimate_beyond_the_threshold_is_not_enough():
    claim = Claim.value("v", "t", [0.1, 0.9, 0.8], threshold=0.5)
    assert claim.estimate > 0.5 and claim.holds is False


@pytest.mark.parametrize("direction", [">", "<"])
def test_an_interval_that_touches_the_threshold_does_not_hold(direction):
    assert Claim.value("v", "t", [0.5, 0.5, 0.5], threshold=0.5, direction=direction).holds is False
    assert Claim.difference("v", "t", [1, 2], [1, 2], direction=direction).holds is False


def test_zero_variance_is_fine():
    claim = Claim.value("v", "t", [0.9, 0.9], threshold=0.5)
    assert claim.ci95 == (0.9, 0.9) and claim.holds is True


@pytest.mark.parametrize("maker", ["value", "difference"])
def test_one_seed_gives_no_verdict(maker):
    claim = (
        Claim.value("v", "t", [0.9], threshold=0.5) if maker == "value" else Claim.difference("v", "t", [0.9], [0.4])
    )
    assert claim.holds is None and claim.ci95 is None
    assert claim.estimate == pytest.approx(0.9 if maker == "value" else 0.5)
    assert str(claim).endswith("needs more seeds")


def test_without_a_threshold_a_number_is_reported_whichever_way_it_falls():
    for a, b in ((HIGH, LOW), (LOW, HIGH)):
        claim = Claim.difference("hint.minus", "right cues less random ones", a, b, threshold=None)
        assert claim.holds is None and claim.ci95 is not None and claim.verdict == "reported"
        assert str(claim).endswith("reported") and "asked" not in str(claim)
        assert Claim.from_dict(claim.as_dict()) == claim
    with pytest.raises(ValueError, match="contradicts"):
        Claim("a", "t", 0.1, (0.0, 0.2), None, holds=True)


def test_one_readable_line():
    line = str(Claim.difference("hint.shifted", "HINT helps", HIGH, LOW))
    assert line == "hint.shifted: HINT helps: 0.108 (95 % CI 0.08958 to 0.1264; asked > 0): holds"
    assert str(Claim.value("v", "t", [0.1, 0.9], threshold=0.5)).endswith("does not hold")


@pytest.mark.parametrize(
    "claim",
    [
        Claim.difference("a", "t", HIGH, LOW),
        Claim.value("b", "t", np.float32([1, 2, 3]), threshold=np.float64(5), direction="<"),
        Claim.value("c", "t", [1], threshold=5),
    ],
    ids=lambda claim: claim.id,
)
def test_json_round_trip(claim):
    text = json.dumps(claim.as_dict(), allow_nan=False)
    assert Claim.from_dict(json.loads(text)) == claim
    assert set(json.loads(text)) == {"id", "text", "estimate", "ci95", "threshold", "direction", "holds"}


@pytest.mark.parametrize("values", [[0.1, math.nan, 0.3], [math.nan], [math.inf, 1.0], []])
def test_values_that_are_no_measurement_name_the_claim(values):
    with pytest.raises(ValueError, match="gain.grounding"):
        Claim.value("gain.grounding", "t", values, threshold=0)
    with pytest.raises(ValueError, match="gain.grounding"):
        Claim.difference("gain.grounding", "t", values, values)


def test_claims_cannot_contradict_themselves():
    record = Claim.difference("a", "t", LOW, HIGH).as_dict()
    with pytest.raises(ValueError, match="contradicts"):
        Claim.from_dict({**record, "holds": True})
    with pytest.raises(ValueError, match="contradicts"):
        Claim("a", "t", 1.0, None, 0.0, ">", True)
    with pytest.raises(ValueError, match="direction"):
        Claim.value("a", "t", [1, 2], threshold=0, direction=">=")
    with pytest.raises(ValueError, match="low <= high"):
        Claim("a", "t", 1.0, (2.0, 1.0))
    with pytest.raises(ValueError, match="finite"):
        Claim("a", "t", 1.0, (0.5, 1.5), math.nan)
    with pytest.raises(ValueError, match="fields"):
        Claim.from_dict({"id": "a"})
    with pytest.raises(AttributeError):
        Claim("a", "t", 1.0, (0.5, 1.5)).holds = False
    assert Claim("a", "t", 1.0, (0.5, 1.5)).holds is True  # left out, it follows from the interval
