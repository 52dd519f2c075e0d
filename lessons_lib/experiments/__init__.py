"""One file a lesson, all of one shape; `runner` runs any of them over several seeds.

An experiment is a module with

    LESSON   its name on the command line          ARMS     the arms, the first one the baseline or the method
    DATA     names of its data, the first the default (optional)
    TIMINGS  metrics that are times: kept apart, because they differ from run to run (optional)
    world(seed, profile[, data]) -> data with ground truth
    train(world, arm, seed, profile) -> model
    measure(model, world[, arm]) -> {metric: number}
    extra(world, seed, profile) -> {metric: number} that belong to no arm (optional)
    claims(results) -> [Claim]
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

_TOOLS = {"runner", "report"}


def names() -> list[str]:
    """Names of the experiments, in the order of the alphabet."""
    return sorted(info.name for info in pkgutil.iter_modules(__path__) if info.name not in _TOOLS)


def load(name: str) -> ModuleType:
    """The experiment called `name`.

    Raises
    ------
    ValueError : there is none of that name (the message lists them).
    """
    if name not in names():
        raise ValueError(f"there is no experiment {name!r}; choose one of {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name}")
