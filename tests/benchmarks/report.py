"""Rows of measurements, printed table by table and kept for the JSON file."""

from __future__ import annotations

import platform
import sys
import time
from dataclasses import dataclass, field
from importlib.metadata import version

import torch
from timing import Spread, Timing

PACKAGES = ("torch", "torchvision", "numpy", "captum", "grad-cam", "torchcam", "zennit")


@dataclass
class Settings:
    """What the command line asked for."""

    models: list[str]
    batches: list[int]
    classes: list[int]
    quick: bool
    seed: int
    limit: float  # seconds: calls that are expected to take longer are left out
    deadline: float = 0.0  # time.perf_counter() at which the present table should end

    @property
    def seconds(self) -> float:
        """How long each call of a row is repeated."""
        return 0.6 if self.quick else 1.5

    @property
    def late(self) -> bool:
        return time.perf_counter() > self.deadline


@dataclass
class Table:
    """One table: every row is a setting, every column somebody's way of doing it."""

    key: str
    title: str
    unit: str = "x the plain forward"
    rows: dict[str, dict[str, dict]] = field(default_factory=dict)

    def time(self, row: str, column: str, timing: Timing, budget: float | None = None) -> None:
        seconds = {"seconds": timing.seconds, "plain_seconds": timing.plain_seconds}
        self.spread(row, column, timing.ratio, budget, **seconds)

    def spread(self, row: str, column: str, spread: Spread, budget: float | None = None, **more: object) -> None:
        cell = {"median": spread.median, "quartiles": [spread.low, spread.high], "rounds": spread.rounds, **more}
        if budget is not None:
            cell |= {"budget": budget, "within_budget": spread.median <= budget}
        self.rows.setdefault(row, {})[column] = cell

    def note(self, row: str, column: str, note: str) -> None:
        self.rows.setdefault(row, {})[column] = {"note": note}

    def text(self) -> str:
        columns = list(dict.fromkeys(name for row in self.rows.values() for name in row))
        head = [self.key.upper(), *columns]
        body = [[name, *(_cell(row.get(column)) for column in columns)] for name, row in self.rows.items()]
        widths = [max(map(len, column)) for column in zip(head, *body)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)) for line in (head, *body)]
        return "\n".join([f"\n{self.title}", f"({self.unit}; median [quartiles])", *map(str.rstrip, lines)])


def _cell(cell: dict | None) -> str:
    if cell is None:
        return ""
    if "note" in cell:
        return cell["note"]
    digits = 1 if cell["median"] >= 10 else 2 if cell["median"] >= 0.2 else 4
    low, high = cell["quartiles"]
    text = f"{cell['median']:.{digits}f}"
    if cell["rounds"] > 1:
        text += f" [{low:.{digits}f}, {high:.{digits}f}]"
    if "budget" in cell:
        text += f" {'<=' if cell['within_budget'] else '> '} {cell['budget']:g}"
    return text


def machine(threads: int) -> dict:
    """Versions and threads: what the numbers depend on besides the code."""
    return {
        "python": platform.python_version(),
        "system": f"{sys.platform} {platform.machine()}",
        "threads": threads,
        "device": "cpu",
        "capability": torch.backends.cpu.get_cpu_capability(),
        "versions": {name: version(name) for name in PACKAGES},
    }
