"""Run a lesson's experiment over seeds: every arm of every seed, stored after each seed, with its claims at
the end.
"""

from __future__ import annotations

import inspect
import json
import math
import os
import platform
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from lessons_lib import experiments
from lessons_lib.evidence.statistics import Claim
from lessons_lib.runtime import PROFILES

Results = dict[str, object]


@dataclass(frozen=True)
class Progress:
    """Where a run is: `arm` of `seed` has just been measured; `done` of `total` arms in `seconds`."""

    lesson: str
    seed: int
    arm: str
    done: int
    total: int
    seconds: float


def run(
    lesson: str | ModuleType,
    seeds: Sequence[int],
    profile: str = "quick",
    data: str | None = None,
    arms: Sequence[str] | None = None,
    *,
    out: str | os.PathLike | None = None,
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Results:
    """Train and measure every arm of an experiment for every seed, and judge its claims.

    Parameters
    ----------
    lesson : name of an experiment, or the module itself.
    seeds : they decide the world, the initial weights and the order of the batches, and nothing else does.
    profile : "quick" or "full".
    data : one of the experiment's `DATA`; default: the first, a rendered world.
    arms : some of its `ARMS`; default: all. Claims about arms that were not run are left out.
    out : a JSON file, written after every seed. Where it exists with the same settings, only the seeds that
        it lacks are run. With other settings it is refused, unless `overwrite`.
    progress : called after each arm.

    Returns
    -------
    {"lesson", "profile", "data", "seeds", "seconds", "versions", "arms": {arm: {metric: [one a seed]}},
    "timings": as "arms", for what differs from run to run, "extra": {metric: [one a seed]}, "claims": [dict]}

    Raises
    ------
    ValueError : unknown lesson, profile, data or arm; no seeds or the same one twice; `out` holds another
        run; a metric that is NaN or infinite.
    """
    module, settings, seeds, path, records, before = check(lesson, seeds, profile, data, arms, out, overwrite)
    todo = [seed for seed in seeds if seed not in records]
    total, started = len(todo) * len(settings["arms"]), time.perf_counter()
    for number, seed in enumerate(todo):

        def tell(arm: str, place: int, number: int = number, seed: int = seed) -> None:
            done = number * len(settings["arms"]) + place + 1
            if progress is not None:
                progress(Progress(module.LESSON, seed, arm, done, total, time.perf_counter() - started))

        records[seed] = _one_seed(module, settings, seed, tell)
        if path:
            partial = [s for s in seeds if s in records]
            write_json(path, _assemble(settings, records, partial, before + time.perf_counter() - started))
    results = _assemble(settings, records, seeds, before + time.perf_counter() - started)
    results["claims"] = [claim.as_dict() for claim in module.claims(results)]
    if path:
        write_json(path, results)
    return results


def check(lesson, seeds, profile, data=None, arms=None, out=None, overwrite=False) -> tuple:
    """What `run` does first: look at its arguments and at `out`, and raise what it would raise, in no time.

    Returns
    -------
    (module, settings, seeds, path, records of the seeds already done, seconds that they took).
    """
    module = experiments.load(lesson) if isinstance(lesson, str) else lesson
    settings = _settings(module, profile, data, arms)
    seeds = _checked_seeds(seeds)
    if out is None:
        return module, settings, seeds, None, {}, 0.0
    path = Path(out)
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    records, before = ({}, 0.0) if overwrite else _stored(path, settings, seeds)
    return module, settings, seeds, path, records, before


def difference(
    results: Results,
    id: str,
    text: str,
    metric: str,
    arm: str,
    other: str,
    *,
    threshold: float | None = 0.0,
    direction: str = ">",
) -> list[Claim]:
    """The claim that `metric` of `arm` less that of `other`, paired by seed, lies beyond `threshold`; None: it is reported.

    A list, empty when one of the two arms was not run: claims of an experiment are the sum of such lists.
    """
    arms = results["arms"]
    if arm not in arms or other not in arms:
        return []
    a, b = arms[arm][metric], arms[other][metric]
    return [Claim.difference(id, text, a, b, threshold=threshold, direction=direction)]


def value(
    results: Results, id: str, text: str, metric: str, arm: str, *, threshold: float, direction: str = ">"
) -> list[Claim]:
    """The claim that `metric` of `arm` lies beyond `threshold`; an empty list when the arm was not run."""
    if arm not in results["arms"]:
        return []
    values = results["arms"][arm][metric]
    return [Claim.value(id, text, values, threshold=threshold, direction=direction)]


def device_for(profile: str) -> torch.device:
    """The GPU for the profile "full" where there is one; else the CPU, on which a seed repeats to the last
    bit.
    """
    return torch.device("cuda" if profile == "full" and torch.cuda.is_available() else "cpu")


def write_json(path: Path, results: Mapping[str, object]) -> None:
    """Write atomically: whoever reads the file meets the old one or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(_pretty(results))
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _pretty(results: Mapping[str, object]) -> str:
    """JSON with the values of one metric on one line: a diff of two runs can be read."""
    text = json.dumps(results, indent=1, allow_nan=False, ensure_ascii=False)
    joined = re.sub(r"\[\n\s+([^\[\]{}]*?)\n\s*\]", lambda m: "[" + re.sub(r",\n +", ", ", m[1]) + "]", text)
    return joined + "\n"


def _settings(module: ModuleType, profile: str, data: str | None, arms: Iterable[str] | None) -> Results:
    choices = getattr(module, "DATA", ("world",))
    data = choices[0] if data is None else data
    if profile not in PROFILES:
        raise ValueError(f"profile must be one of {PROFILES}, got {profile!r}")
    if data not in choices:
        raise ValueError(f"{module.LESSON} has no data {data!r}; choose one of {', '.join(choices)}")
    wanted = list(module.ARMS if arms is None else arms)
    unknown = [arm for arm in wanted if arm not in module.ARMS]
    if unknown or not wanted:
        raise ValueError(f"{module.LESSON} has no arm {unknown or 'of that name'}; its arms are {list(module.ARMS)}")
    versions = {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
    return {
        "lesson": module.LESSON,
        "profile": profile,
        "data": data,
        "arms": [arm for arm in module.ARMS if arm in wanted],
        "versions": versions,
    }


def _checked_seeds(seeds: Sequence[int]) -> list[int]:
    seeds = [int(seed) for seed in seeds]
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise ValueError(f"seeds must be different whole numbers >= 0, at least one, got {seeds}")
    return seeds


def _takes(function: Callable, name: str) -> bool:
    return name in inspect.signature(function).parameters


def _one_seed(module: ModuleType, settings: Results, seed: int, tell: Callable[[str, int], None]) -> Results:
    """{"arms": {arm: {metric: number}}, "timings": the same, "extra": {metric: number}} of one seed."""
    profile = settings["profile"]
    options = {"data": settings["data"]} if _takes(module.world, "data") else {}
    world = module.world(seed, profile, **options)
    timed = set(getattr(module, "TIMINGS", ()))
    record: Results = {"arms": {}, "timings": {}, "extra": {}}
    for place, arm in enumerate(settings["arms"]):
        started = time.perf_counter()
        model = module.train(world, arm, seed, profile)
        options = {"arm": arm} if _takes(module.measure, "arm") else {}
        metrics = _finite(module.measure(model, world, **options), f"arm {arm!r}, seed {seed}")
        seconds = round(time.perf_counter() - started, 2)
        record["arms"][arm] = {name: number for name, number in metrics.items() if name not in timed}
        record["timings"][arm] = {name: number for name, number in metrics.items() if name in timed}
        record["timings"][arm]["seconds"] = seconds
        tell(arm, place)
    if hasattr(module, "extra"):
        record["extra"] = _finite(module.extra(world, seed, profile), f"extra, seed {seed}")
    return record


def _finite(metrics: Mapping[str, float], where: str) -> dict[str, float]:
    numbers = {name: float(number) for name, number in metrics.items()}
    bad = [name for name, number in numbers.items() if not math.isfinite(number)]
    if bad:
        raise ValueError(f"{where}: {bad} are NaN or infinite; a run that failed is no measurement")
    return numbers


def _assemble(settings: Results, records: dict[int, Results], seeds: list[int], seconds: float) -> Results:
    first = records[seeds[0]]

    def columns(part: str) -> dict[str, dict[str, list[float]]]:
        return {
            arm: {name: [records[seed][part][arm][name] for seed in seeds] for name in metrics}
            for arm, metrics in first[part].items()
        }

    extra = {name: [records[seed]["extra"][name] for seed in seeds] for name in first["extra"]}
    return {
        "lesson": settings["lesson"],
        "profile": settings["profile"],
        "data": settings["data"],
        "seeds": seeds,
        "seconds": round(seconds, 1),
        "versions": settings["versions"],
        "arms": columns("arms"),
        "extra": extra,
        "timings": columns("timings"),
        "claims": [],
    }


def _stored(path: Path, settings: Results, seeds: list[int]) -> tuple[dict[int, Results], float]:
    """The seeds that `path` already holds, and how many seconds they took; raises when it is of another
    run.
    """
    if not path.exists():
        return {}, 0.0
    advice = "use another --out, or --overwrite to replace it"
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
        theirs = {name: old[name] for name in ("lesson", "profile", "data", "versions")}
        theirs["arms"] = list(old["arms"])
        done = list(old["seeds"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a result of this program ({error}): {advice}") from error
    different = [
        f"{name}: {theirs[name]} there, {settings[name]} here" for name in theirs if theirs[name] != settings[name]
    ]
    if not set(done) <= set(seeds):
        different.append(f"seeds: {done} there, {seeds} here")
    if different:
        raise ValueError(f"{path} holds a run with other settings ({'; '.join(different)}): {advice}")
    records: dict[int, Results] = {}
    for i, seed in enumerate(done):
        records[seed] = {
            part: {arm: {name: v[i] for name, v in metrics.items()} for arm, metrics in old[part].items()}
            for part in ("arms", "timings")
        }
        records[seed]["extra"] = {name: v[i] for name, v in old["extra"].items()}
    return records, float(old["seconds"])
