"""Tables A to C: Grad-CAM's whole call, what it adds after the trunk, and its memory."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable
from functools import partial

from report import Settings, Table
from subjects import OURS, PEERS, Subject, check_agreement, load, subject
from timing import Spread, interleave

from lessons_lib.evidence.cost import peak_memory

AFTER_TRUNK = {"resnet50": 0.03, "resnet18": 0.03, "vgg16": 0.09, "efficientnet_lite0": 0.03}
MEMORY = 1.1


def whole_call(settings: Settings) -> Table:
    """A. From images to maps of 224 x 224, for 1, 10 and 100 classes an image."""
    table = Table("a", "A. Grad-CAM, whole call, maps at 224 x 224")
    for name in settings.models:
        if settings.late:
            table.note(name, "ours", "not run: out of time")
            continue
        model = load(name)
        check_agreement(subject(name, model, 2))
        for batch in settings.batches:
            _one_batch(table, settings, subject(name, model, batch))
    return table


def _one_batch(table: Table, settings: Settings, what: Subject) -> None:
    single: dict[str, float] = {}  # seconds that one class takes
    for count in settings.classes:
        row = _row(what, count)
        if settings.late:
            table.note(row, "ours", "not run: out of time")
            continue
        calls, once = {}, []
        for who, call in (OURS | PEERS).items():
            expected = _expected(who, single, count)
            if expected > settings.limit:
                table.note(row, who, f"not run: some {expected:.0f} s")
                continue
            calls[who] = partial(call, what, what.classes(count))
            if expected > settings.seconds:
                once.append(who)
        found = interleave(
            what.plain, calls, seed=settings.seed, seconds=settings.seconds, deadline=settings.deadline,
            once=once, after=what.forget_gradients,
        )  # fmt: skip
        for who, timing in found.items():
            table.time(row, who, timing)
            single.setdefault(who, timing.seconds)


def _expected(who: str, single: dict[str, float], count: int) -> float:
    """Seconds that `count` classes will take a peer: it runs a forward pass for each, torchcam one for all."""
    if who in OURS or count == 1:
        return 0.0
    return single[who] * (1 + count / 10 if who == "torchcam" else count)


def _row(what: Subject, count: int) -> str:
    return f"{what.name}, batch {len(what.images)}, {count} class{'es' if count > 1 else ''}"


def after_trunk(settings: Settings) -> Table:
    """B. From the layer's output being ready to the finished maps, less the plain head's own time.

    A hook that is registered before the explanation's own takes the time when the layer is done, in a
    complete forward pass each, so caches are as full as they are in use. Plain and explained passes
    alternate; each pair gives one difference, as a share of that pair's plain forward.
    """
    table = Table("b", "B. What Grad-CAM adds after the trunk, one class", "share of the plain forward; <= budget")
    for name in settings.models:
        model = load(name)
        for batch in settings.batches:
            row = f"{name}, batch {batch}"
            if settings.late:
                table.note(row, "ours", "not run: out of time")
                continue
            what = subject(name, model, batch)
            call = partial(OURS["ours"], what, what.classes(1))
            shares, micro, forward = _pairs(what, call, settings)
            median = Spread.of(micro).median
            table.spread(row, "ours", Spread.of(shares), AFTER_TRUNK[name], added_microseconds=median)
            table.spread(row, "microseconds", Spread.of(micro))
            table.spread(row, "plain forward, ms", Spread.of(forward))
    return table


def _pairs(
    what: Subject, call: Callable[[], object], settings: Settings
) -> tuple[list[float], list[float], list[float]]:
    """Of each pair: the share of the plain forward, the microseconds, and the plain forward in milliseconds."""
    ready = []
    handle = what.layer.register_forward_hook(lambda *_: ready.append(time.perf_counter()))

    def tail(function: Callable[[], object]) -> tuple[float, float]:
        start = time.perf_counter()
        result = function()
        end = time.perf_counter()
        del result
        return end - ready[-1], end - start

    try:
        tail(call)
        _, duration = tail(what.plain)
        rounds = min(101, max(9, int(2 * settings.seconds / duration)))
        order = random.Random(settings.seed)
        gc.collect()
        gc.disable()
        shares, micro, forward = [], [], []
        for _ in range(rounds):
            found = {}
            for function in order.sample([what.plain, call], 2):
                found[function is call] = tail(function)
            added = found[True][0] - found[False][0]
            shares.append(added / found[False][1])
            micro.append(added * 1e6)
            forward.append(found[False][1] * 1e3)
    finally:
        handle.remove()
        gc.enable()
    return shares, micro, forward


def memory(settings: Settings) -> Table:
    """C. The most that tensors hold at one time, over the plain forward's: exact, the same in every run."""
    table = Table("c", "C. Peak memory of Grad-CAM, maps at 224 x 224", "x the plain forward's peak; <= budget")
    for name in settings.models:
        model = load(name)
        for batch in settings.batches:
            what = subject(name, model, batch)
            plain = peak_memory(what.plain)
            for count in (1, 10):
                row = _row(what, count)
                for who, call in (OURS | PEERS).items():
                    if who in PEERS and count > 1:
                        continue
                    if who in PEERS and settings.late:
                        table.note(row, who, "not run: out of time")
                        continue
                    call(what, what.classes(1))  # what a library keeps from call to call is there before
                    what.forget_gradients()
                    peak = peak_memory(partial(call, what, what.classes(count)))
                    what.forget_gradients()
                    budget = MEMORY if who == "ours" and count == 1 else None
                    table.spread(row, who, Spread.of([peak / plain]), budget, bytes=peak, plain_bytes=plain)
    return table
