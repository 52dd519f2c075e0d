"""From numbers of several seeds to a claim that can fail: t-intervals and verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import stdtrit

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval: low <= mean <= high, from n values."""

    mean: float
    low: float
    high: float
    n: int


def _values(values: Sequence[float], least: int, what: str) -> np.ndarray:
    array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{what} must be a flat list of numbers, one a seed, got shape {array.shape}")
    if len(array) < least:
        raise ValueError(f"{what}: at least {least} value(s) are needed, got {len(array)}")
    if not np.isfinite(array).all():
        bad = np.flatnonzero(~np.isfinite(array)).tolist()
        raise ValueError(f"{what}: NaN or infinite at position(s) {bad}; a run that failed is no measurement")
    return array


def t_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Student's t-interval of the mean: mean -+ t((1 + level) / 2, n - 1) * s / sqrt(n), s with n - 1.

    It covers the true mean with probability `level` when the values are independent and normal. Equal values
    give an interval of width 0.

    Parameters
    ----------
    values : flat sequence, array or tensor of at least 2 finite numbers, one a seed.
    level : confidence in (0, 1).

    Raises
    ------
    ValueError : fewer than 2 values, NaN or infinity, more than one axis, a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level!r}")
    array = _values(values, 2, "t_interval")
    # summed from the first value on: equal values have exactly that mean, and no spread from rounding
    mean = array[0] + math.fsum(array - array[0]) / len(array)
    spread = math.sqrt(math.fsum((array - mean) ** 2) / (len(array) - 1) / len(array))
    half = float(stdtrit(len(array) - 1, (1 + level) / 2)) * spread
    return Interval(float(mean), float(mean - half), float(mean + half), len(array))


def paired_interval(a: Sequence[float], b: Sequence[float], level: float = LEVEL) -> Interval:
    """t-interval of the mean of a - b, where a[i] and b[i] share a seed.

    Pairing takes out what the seed does to both (the world, the initial weights), which is usually most of
    the spread.
    """
    return t_interval(_differences(a, b, 2, "paired_interval"), level)


def _differences(a: Sequence[float], b: Sequence[float], least: int, what: str) -> np.ndarray:
    first, second = _values(a, least, what), _values(b, least, what)
    if len(first) != len(second):
        lengths = f"{len(first)} and {len(second)}"
        raise ValueError(f"{what}: the two lists must pair up seed by seed, got {lengths} values")
    return first - second


def _verdict(ci95: tuple[float, float] | None, threshold: float | None, direction: str) -> bool | None:
    if ci95 is None or threshold is None:
        return None
    return ci95[0] > threshold if direction == ">" else ci95[1] < threshold


@dataclass(frozen=True)
class Claim:
    """A statement with a number, an interval and a verdict that follows from them.

    id : short name such as "hint.shifted_accuracy".  text : the statement in words.
    estimate : mean over seeds.  ci95 : (low, high), 95 % t-interval over seeds; None with fewer than 2 seeds.
    threshold, direction : what the estimate must lie beyond: ">" above, "<" below. With threshold None nothing is asked: the
        number is reported, whichever way it falls.
    holds : True when the whole interval lies beyond the threshold, else False; None without interval or threshold. It
        follows from the other fields: left out it is filled in, and a verdict that contradicts them raises a
        ValueError. An interval that reaches the threshold exactly does not hold.
    """

    id: str
    text: str
    estimate: float
    ci95: tuple[float, float] | None
    threshold: float | None = 0.0
    direction: str = ">"
    holds: bool | None = None

    def __post_init__(self) -> None:
        if self.direction not in (">", "<"):
            raise ValueError(f"claim {self.id!r}: direction must be '>' or '<', got {self.direction!r}")
        if self.ci95 is not None and (len(self.ci95) != 2 or not self.ci95[0] <= self.ci95[1]):
            raise ValueError(f"claim {self.id!r}: ci95 must be (low, high), low <= high, got {self.ci95!r}")
        plain = {
            "estimate": float(self.estimate),
            "ci95": None if self.ci95 is None else (float(self.ci95[0]), float(self.ci95[1])),
            "threshold": None if self.threshold is None else float(self.threshold),
        }
        if not all(map(math.isfinite, (plain["estimate"], plain["threshold"] or 0.0, *(plain["ci95"] or ())))):
            raise ValueError(f"claim {self.id!r}: estimate, interval and threshold must be finite numbers")
        plain["holds"] = _verdict(plain["ci95"], plain["threshold"], self.direction)
        if self.holds is not None and self.holds != plain["holds"]:
            raise ValueError(
                f"claim {self.id!r}: holds={self.holds} contradicts the interval {plain['ci95']} against "
                f"{self.direction} {self.threshold}, which gives {plain['holds']}"
            )
        for field, value in plain.items():
            object.__setattr__(self, field, value)  # frozen from here on

    @property
    def verdict(self) -> str:
        """ "holds", "does not hold", "reported" where nothing was asked, or "needs more seeds"."""
        if self.threshold is None:
            return "reported"
        return {True: "holds", False: "does not hold", None: "needs more seeds"}[self.holds]

    @classmethod
    def value(
        cls, id: str, text: str, values: Sequence[float], *, threshold: float | None, direction: str = ">"
    ) -> Claim:
        """The mean of `values`, one a seed, lies beyond `threshold`; None: it is reported.

        Raises
        ------
        ValueError : no value, NaN or infinity among them (the message names the claim), an unknown direction.
        """
        array = _values(values, 1, f"claim {id!r}")
        if len(array) < 2:
            return cls(id, text, float(array[0]), None, threshold, direction)
        interval = t_interval(array)
        return cls(id, text, interval.mean, (interval.low, interval.high), threshold, direction)

    @classmethod
    def difference(
        cls,
        id: str,
        text: str,
        a: Sequence[float],
        b: Sequence[float],
        *,
        threshold: float | None = 0.0,
        direction: str = ">",
    ) -> Claim:
        """The mean of a - b, paired seed by seed, lies beyond `threshold`; None: it is reported.

        Raises
        ------
        ValueError : as `value`, and for lists of different lengths.
        """
        differences = _differences(a, b, 1, f"claim {id!r}")
        return cls.value(id, text, differences, threshold=threshold, direction=direction)

    def as_dict(self) -> dict:
        """Plain JSON values: finite floats, strings, booleans, None; ci95 a list."""
        record = asdict(self)
        record["ci95"] = None if self.ci95 is None else list(self.ci95)
        return record

    @classmethod
    def from_dict(cls, record: Mapping) -> Claim:
        """The claim that `as_dict` wrote; a verdict that contradicts its interval is refused."""
        fields = set(cls.__dataclass_fields__)
        if set(record) != fields:
            raise ValueError(f"a claim has the fields {sorted(fields)}, got {sorted(record)}")
        ci95 = record["ci95"]
        return cls(**{**record, "ci95": None if ci95 is None else tuple(ci95)})

    def __str__(self) -> str:
        interval = "no interval" if self.ci95 is None else f"95 % CI {self.ci95[0]:.4g} to {self.ci95[1]:.4g}"
        asked = "" if self.threshold is None else f"; asked {self.direction} {self.threshold:.4g}"
        return f"{self.id}: {self.text}: {self.estimate:.4g} ({interval}{asked}): {self.verdict}"
