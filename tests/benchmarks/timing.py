"""Calls timed in turn, in shuffled order, each against the plain call of its own round."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of a few numbers."""

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        if len(values) == 1:
            return cls(values[0], values[0], values[0], 1)
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high, len(values))


@dataclass(frozen=True)
class Timing:
    """A call's time as a multiple of the plain call's, and both in seconds (medians)."""

    ratio: Spread
    seconds: float
    plain_seconds: float


def timed(call: Callable[[], object]) -> float:
    """Seconds that the call takes; freeing its result is not part of it."""
    start = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - start
    del result
    return seconds


def interleave(
    plain: Callable[[], object],
    calls: dict[str, Callable[[], object]],
    *,
    seed: int,
    seconds: float,
    deadline: float,
    least: int = 3,
    most: int = 21,
    once: Collection[str] = (),
    after: Callable[[], None] | None = None,
) -> dict[str, Timing]:
    """Time `calls` against `plain`, one of each a round.

    A shared machine is slow for a while and then fast again, so a call is compared with the plain call of the
    same round, and the order within a round is shuffled. The first run of each is a warm-up; it also says how
    many rounds the call gets: about `seconds` worth, at least `least` and at most `most`. The calls named in
    `once` are slow: they run a single time, without a warm-up. Garbage is collected between rounds and never
    during one. `after` runs, untimed, after every call. No round starts after `deadline` (time.perf_counter)
    once each call has been timed.
    """
    order = random.Random(seed)
    everything = {"": plain, **calls}
    wanted = {}
    for name, call in everything.items():
        if name in once:
            wanted[name] = 1
            continue
        duration = timed(call)
        wanted[name] = min(most, max(least, int(seconds / duration)))
        if after is not None:
            after()
    rounds = max(wanted[name] for name in calls)
    wanted[""] = rounds
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    plain_times = []
    for turn in range(rounds):
        if turn and time.perf_counter() > deadline and all(times.values()):
            break
        due = [n for n, k in wanted.items() if (turn * k) // rounds < ((turn + 1) * k) // rounds or turn == 0]
        order.shuffle(due)
        gc.collect()
        gc.disable()
        try:
            found = {}
            for name in due:
                found[name] = timed(everything[name])
                if after is not None:
                    after()
        finally:
            gc.enable()
        plain_times.append(found.pop(""))
        for name, duration in found.items():
            times[name].append((duration, plain_times[-1]))
    return {
        name: Timing(
            Spread.of([duration / base for duration, base in pairs]),
            statistics.median(duration for duration, _ in pairs),
            statistics.median(plain_times),
        )
        for name, pairs in times.items()
    }
