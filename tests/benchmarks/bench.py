"""Time and memory of the explanations against other libraries, and of the rendered worlds, side by side, on the CPU.

    python tests/benchmarks/bench.py [--quick] [--models resnet18,vgg16] [--batches 1,8] [--tables abcdef]
                                     [--json build/bench.json]

Every figure is a ratio to the plain forward pass (or training step) of the same model and batch, measured in
turn with it in one process: see timing.interleave. Before Grad-CAM is timed, the libraries' maps and losses are
compared: they do the same work. Table f is about rendering. About eleven minutes on two cores, `--quick` about
two; rows that the time did not reach say so. On cores that others use too, `--threads 1` is steadier: threads
that wait for each other lose more than they gain.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import torch
from explanations import after_trunk, memory, whole_call
from methods import other_methods
from report import Settings, Table, machine
from subjects import LAYERS
from training import training_step
from worlds import worlds

# table: (function, seconds it may take, seconds it may take with --quick)
TABLES = {
    "a": (whole_call, 380, 40),
    "b": (after_trunk, 70, 12),
    "c": (memory, 60, 15),
    "d": (training_step, 130, 18),
    "e": (other_methods, 140, 25),
    "f": (worlds, 120, 40),
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two models, batch 1, few repeats")
    parser.add_argument("--models", default="", help=f"some of {','.join(LAYERS)}")
    parser.add_argument("--batches", default="", help="batch sizes (default 1,8)")
    parser.add_argument("--tables", default="".join(TABLES), help="some of abcdef")
    parser.add_argument("--limit", type=float, default=10.0, help="leave out calls expected to take more seconds")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads (default: one a core)")
    parser.add_argument("--seed", type=int, default=0, help="of the order within each round")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"))
    options = parser.parse_args()
    names = options.models.split(",") if options.models else []
    unknown = [name for name in names if name not in LAYERS] + [t for t in options.tables if t not in TABLES]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; models are {', '.join(LAYERS)}, tables abcdef")
    options.models = names or (["resnet18", "efficientnet_lite0"] if options.quick else list(LAYERS))
    options.batches = [int(n) for n in options.batches.split(",") if n] or ([1] if options.quick else [1, 8])
    return options


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main() -> None:
    options = parse()
    threads = options.threads or cores()
    torch.set_num_threads(threads)
    settings = Settings(
        models=options.models, batches=options.batches, classes=[1, 10] if options.quick else [1, 10, 100],
        quick=options.quick, seed=options.seed, limit=options.limit,
    )  # fmt: skip
    start, tables = time.perf_counter(), []
    print(f"{threads} threads, torch {torch.__version__}, models {', '.join(settings.models)}", flush=True)
    for key in options.tables:
        function, full, quick = TABLES[key]
        settings.deadline = time.perf_counter() + (quick if options.quick else full)
        tables.append(function(settings))
        print(tables[-1].text(), flush=True)
    print(f"\n{time.perf_counter() - start:.0f} s in all", end="")
    write(options.json, tables, settings, threads)
    print(f"; {options.json}")


def write(path: Path, tables: list[Table], settings: Settings, threads: int) -> None:
    found = {table.key: {"title": table.title, "unit": table.unit, "rows": table.rows} for table in tables}
    asked = {key: value for key, value in vars(settings).items() if key != "deadline"}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(threads), "settings": asked, "tables": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
