"""The results of an experiment as text: a table of arms, and the claims."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from lessons_lib.evidence.statistics import Claim, t_interval

WIDTH = 118  # characters of a line; metrics that do not fit go into a second table below


def table(results: Mapping[str, object]) -> str:
    """Mean and half the width of the 95 % t-interval of every metric of every arm, one arm a line."""
    seeds = results["seeds"]
    head = f"{results['lesson']}: profile {results['profile']}, data {results['data']}, seeds {_listed(seeds)}"
    note = "mean ± half of the 95 % t-interval over seeds" if len(seeds) > 1 else "one seed: no interval"
    parts = [f"{head} ({note}; {results['seconds']:.0f} s)"]
    parts += _blocks("arm", results["arms"])
    if results["extra"]:
        parts += _blocks("", {"of no arm": results["extra"]})
    times = {arm: {k: v for k, v in m.items() if k != "seconds"} for arm, m in results["timings"].items()}
    if any(times.values()):
        parts.append("Times, which differ from run to run:")
        parts += _blocks("arm", times)
    return "\n\n".join(parts)


def claims(results: Mapping[str, object]) -> str:
    """One paragraph a claim: its verdict, its number with interval, and what was asked of it."""
    if not results["claims"]:
        return "No claims about these arms."
    lines = []
    for record in results["claims"]:
        claim = Claim.from_dict(record)
        interval = "" if claim.ci95 is None else f" [{claim.ci95[0]:.4g}, {claim.ci95[1]:.4g}]"
        asked = "" if claim.threshold is None else f", asked: {claim.direction} {claim.threshold:.4g}"
        lines.append(f"{claim.verdict.upper():13s}  {claim.id}: {claim.estimate:.4g}{interval}{asked}")
        lines.append(textwrap.fill(claim.text, WIDTH, initial_indent=" " * 15, subsequent_indent=" " * 15))
    return "\n".join(lines)


def _listed(seeds: Sequence[int]) -> str:
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def _cell(values: Sequence[float] | None) -> str:
    if values is None:
        return ""
    if len(values) < 2:
        return _number(values[0])
    interval = t_interval(values)
    return f"{_number(interval.mean)} ± {_number(interval.mean - interval.low)}"


def _number(number: float) -> str:
    return f"{number:.3f}" if abs(number) < 100 else f"{number:.0f}"


def _blocks(corner: str, rows: Mapping[str, Mapping[str, Sequence[float]]]) -> list[str]:
    metrics = list(dict.fromkeys(name for metrics in rows.values() for name in metrics))
    first = [corner, *rows]
    columns = [[name, *(_cell(row.get(name)) for row in rows.values())] for name in metrics]
    blocks, current = [], [first]
    for column in columns:
        if len(current) > 1 and _width([*current, column]) > WIDTH:
            blocks.append(current)
            current = [first]
        current.append(column)
    return [_text(block) for block in [*blocks, current] if len(block) > 1]


def _width(columns: list[list[str]]) -> int:
    return sum(max(map(len, column)) + 2 for column in columns)


def _text(columns: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in columns]
    rows = zip(*columns)
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in rows)


def load(lesson: str) -> dict[str, object]:
    """The stored results of a lesson's experiment, as `python -m lessons_lib LESSON --out FILE` wrote them.

    Raises
    ------
    FileNotFoundError : nothing is stored for this lesson; the message says how to make it.
    """
    here = Path(__file__).resolve()
    places = (here.parents[2] / "notebooks" / "results", here.parents[1] / "stored")  # a clone; an installed package
    for folder in places:
        path = folder / f"{lesson}.json"
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
    raise FileNotFoundError(
        f"no results of {lesson!r} are stored; make them: python -m lessons_lib {lesson} --out {lesson}.json"
    )


def claims_of(results: Mapping[str, object]) -> list[Claim]:
    """The claims of stored results as `Claim`s, to print or to plot."""
    return [Claim.from_dict(record) for record in results["claims"]]


def means(results: Mapping[str, object]) -> dict[str, dict[str, float]]:
    """{arm: {metric: mean over seeds}} of stored results, times included."""
    merged: dict[str, dict[str, float]] = {}
    for part in ("arms", "timings"):
        for arm, metrics in results[part].items():
            for name, values in metrics.items():
                merged.setdefault(arm, {})[name] = sum(values) / len(values)
    return merged


def rows(results: Mapping[str, object], metrics: Sequence[str] | None = None) -> list[dict[str, str]]:
    """One row an arm with 'mean ± half of the 95 % t-interval' of each metric, for `lessons_lib.show.table`."""
    found = []
    for arm, columns in results["arms"].items():
        chosen = list(columns) if metrics is None else metrics
        found.append(
            {"arm": arm.replace("_", " "), **{name.replace("_", " "): _cell(columns[name]) for name in chosen}}
        )
    return found
