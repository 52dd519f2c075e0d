"""Table F: what a rendered image costs, against one forward and backward pass of the lessons' small network on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from report import Settings, Table
from timing import Spread, interleave

from data_fetch.worlds.birds import birds
from data_fetch.worlds.clips import clips
from data_fetch.worlds.scenes import objects, scenes
from data_fetch.worlds.shapes import shapes
from lessons_lib.models.small import SmallCNN

FRAMES = 8
_STEP = 512  # images in the training step that an image's cost is compared with
BUDGETS = {32: 250.0, 64: 667.0}  # microseconds an image: 4,000 and 1,500 images a second


@dataclass(frozen=True)
class World:
    """How `count` images of a world are rendered, and how many a call gives (the frames of a clip count)."""

    render: Callable
    frames: int = 1


WORLDS = {
    "shapes": World(shapes),
    "birds": World(birds),
    "scenes": World(scenes),
    "objects": World(objects),
    "clips": World(partial(clips, frames=FRAMES), FRAMES),
}


def worlds(settings: Settings) -> Table:
    """Rendering throughput of every world at 32 and 64 pixels: graph, drawing and masks, everything but captions."""
    table = Table(
        "f", f"Rendering an image, {torch.get_num_threads()} threads", "x a training step of SmallCNN, for each image"
    )
    count = 2048 if settings.quick else 4096  # small sets cost more an image: each kind of thing is drawn for fewer
    for size, budget in BUDGETS.items():
        step = _training_step(_STEP, size, settings.seed)
        for name, world in WORLDS.items():
            row = f"{name} {size} px"
            call = partial(world.render, count // world.frames, size=size, seed=settings.seed)
            rest = settings.deadline - time.perf_counter()
            if rest < 0 and table.rows:
                table.note(row, "render", "no time left")
                continue
            timing = interleave(
                step, {"render": call}, seed=settings.seed, seconds=settings.seconds, deadline=settings.deadline
            )["render"]
            ratios = [value * _STEP / count for value in _ends(timing.ratio)]
            micro = [1e6 * ratio * timing.plain_seconds / _STEP for ratio in ratios]
            table.spread(row, "render", Spread(*ratios, timing.ratio.rounds))
            table.spread(row, "us an image", Spread(*micro, timing.ratio.rounds), budget)
            table.note(row, "images a second", f"{1e6 / micro[0]:,.0f}")
    return table


def _ends(spread: Spread) -> tuple[float, float, float]:
    return spread.median, spread.low, spread.high


def _training_step(count: int, size: int, seed: int) -> Callable[[], torch.Tensor]:
    """Forward and backward of the small network over `count` images of the size."""
    model = SmallCNN(8, seed=seed)
    images = torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))
    labels = torch.arange(count) % 8

    def step() -> torch.Tensor:
        model.zero_grad()
        for part, truth in zip(images.split(128), labels.split(128)):
            F.cross_entropy(model(part), truth).backward()
        return images

    return step
