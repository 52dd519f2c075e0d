"""Things move as their class says, and as things move: smoothly by hand, ever faster when they fall."""

from __future__ import annotations

import math
from functools import lru_cache

import pytest
import torch
from torch import Tensor

from data_fetch.worlds.clips import PAIRS, ClipsWorld, clips
from data_fetch.worlds.clips.actions import CLASSES, KINDS
from data_fetch.worlds.clips.motion import Poses, ease
from data_fetch.worlds.clips.moves import GRAVITY
from data_fetch.worlds.clips.things import EXTENTS

SIZE, JITTER = 32, 2.0  # the camera sways by a pixel to each side


@lru_cache(maxsize=40)
def _shown(name: str, frames: int = 9) -> tuple[ClipsWorld, Poses]:
    data = clips(16, frames=frames, size=SIZE, seed=CLASSES.index(name), classes=[name])
    return data, data.casting.poses(frames)


def _visible_centre(masks: Tensor) -> Tensor:
    """(N, T, 2) mean x and y of the visible pixels; nan where there are none."""
    axis = torch.arange(masks.shape[-1]) + 0.5
    area = masks.sum((-1, -2)).float()
    return torch.stack([(masks.sum(-2) * axis).sum(-1) / area, (masks.sum(-1) * axis).sum(-1) / area], -1)


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [
        ("Pushing [something] from left to right", 0, 1),
        ("Pulling [something] from left to right", 0, 1),
        ("Pushing [something] from right to left", 0, -1),
        ("Pulling [something] from right to left", 0, -1),
        ("Moving [something] up", 1, -1),
        ("Moving [something] down", 1, 1),
        ("Lifting [something] up completely without letting it drop down", 1, -1),
        ("Putting [something] on a surface", 1, 1),
        ("Dropping [something] next to [something]", 1, 1),
    ],
)
def test_the_mask_moves_in_the_labelled_direction_in_every_clip(name, axis, sign):
    data, _ = _shown(name)
    for path in (_visible_centre(data.masks), data.centres):
        way = sign * (path[:, -1, axis] - path[:, 0, axis])
        assert (way > 0.12 * SIZE).all(), f"{name}: {way.tolist()}"
    steps = sign * (data.centres[:, 1:, axis] - data.centres[:, :-1, axis])
    assert (steps > -JITTER - 0.05 * SIZE).all(), "it never goes back by more than the camera sways"


@pytest.mark.parametrize(("verb", "side"), [("Pushing", -1), ("Pulling", 1)])
@pytest.mark.parametrize(("way", "sign"), [("from left to right", 1), ("from right to left", -1)])
def test_who_pushes_is_behind_and_who_pulls_is_ahead(verb, side, way, sign):
    _, poses = _shown(f"{verb} [something] {way}")
    middle = poses.x.shape[1] // 2
    assert ((poses.hand_x - poses.x)[:, middle] * side * sign > 0).all()


def test_the_hand_holds_what_it_moves():
    for name in ("Moving [something] up", "Pushing [something] from left to right"):
        data, poses = _shown(name)
        reach = EXTENTS[data.things].norm(dim=1)[:, None] * poses.scale
        distance = (poses.hand_x - poses.x).hypot(poses.hand_y - poses.y)
        moving = torch.zeros_like(distance, dtype=torch.bool)
        moving[:, 1:] = (poses.x.diff(dim=1).abs() + poses.lifted.diff(dim=1).abs()) > 0.02
        assert moving.any(1).all() and (distance < reach)[moving].all()


@pytest.mark.parametrize(("name", "grows"), [(PAIRS[8][0], True), (PAIRS[8][1], False)])
def test_what_comes_closer_to_the_camera_grows(name, grows):
    data, _ = _shown(name)
    area = data.masks.sum((-1, -2)).float()
    ratio = area[:, -1] / area[:, 0] if grows else area[:, 0] / area[:, -1]
    assert (ratio > 1.5).all(), ratio


@pytest.mark.parametrize(("name", "sign"), [("Opening [something]", 1), ("Closing [something]", -1)])
def test_opening_shows_more_and_closing_less(name, sign):
    data, poses = _shown(name)
    assert (sign * (poses.opening[:, -1] - poses.opening[:, 0]) == 1).all()
    assert (sign * poses.opening.diff(dim=1) >= 0).all()
    area = data.masks.sum((-1, -2)).float()
    assert (sign * (area[:, -1] - area[:, 0]) > 0.2 * area[:, 0].minimum(area[:, -1])).all()


@pytest.mark.parametrize(
    ("name", "sign"),
    [("Moving [something] closer to [something]", -1), ("Moving [something] away from [something]", 1)],
)
def test_the_gap_to_the_other_thing_changes_as_the_label_says(name, sign):
    data, poses = _shown(name)
    gap = (poses.x - poses.other_x[:, None]).abs()
    assert (sign * (gap[:, -1] - gap[:, 0]) > 0.15).all()
    closest = gap.amin(1) - EXTENTS[data.others][:, 0] * poses.other_scale
    assert (closest > 0).all(), "they do not run into each other"


def test_covering_hides_the_thing_and_uncovering_shows_it():
    for name, last in (("Covering [something] with [something]", -1), ("Uncovering [something]", 0)):
        data, poses = _shown(name)
        assert {KINDS[k] for k in data.others.tolist()} <= {"cloth", "towel"}
        x, y = poses.other_x * SIZE, poses.other_y * SIZE
        for n in range(len(data)):
            covered, free = data.masks[n, last], data.masks[n, -1 - last]
            assert (covered | data.hand_masks[n, last])[int(y[n]), int(x[n])] and not free[int(y[n]), int(x[n])]


@pytest.mark.parametrize(
    ("name", "last"),
    [("Putting [something] into [something]", -1), ("Taking [something] out of [something]", 0)],
)
def test_what_is_inside_is_over_the_container_and_partly_hidden_by_it(name, last):
    data, poses = _shown(name)
    assert ((poses.x[:, last] - poses.other_x).abs() < 1e-5).all()
    area = data.masks.sum((-1, -2)).float()
    assert (area[:, last] < 0.9 * area[:, -1 - last]).float().mean() > 0.7
    assert (area[:, last] > 0.25 * area[:, -1 - last]).all(), "enough stays visible to name it"


@pytest.mark.parametrize(
    ("name", "turn"),
    [
        ("Laying [something] on the table on its side, not upright", math.pi / 2),
        ("Putting [something] upright on the table", math.pi / 2),
        ("Turning [something] upside down", math.pi),
    ],
)
def test_things_turn_as_far_as_the_label_says(name, turn):
    _, poses = _shown(name)
    assert torch.allclose((poses.angle[:, -1] - poses.angle[:, 0]).abs(), torch.tensor(turn), atol=1e-4)
    if name.startswith("Laying"):
        assert (poses.angle[:, 0].abs() < 1e-6).all(), "it stands at first"


def test_a_dropped_thing_falls_with_constant_acceleration_and_comes_to_rest():
    _, poses = _shown("Dropping [something] next to [something]", 32)
    step = 1 / 31
    for height in poses.lifted:
        falling = (height[1:-1] < height[:-2] - 1e-4) & (height[1:-1] > height[2:] + 1e-4) & (height[2:] > 0.02)
        falling[int(height.argmin()) :] = False
        falling[int(falling.int().argmax())] = False  # the fall begins between two frames
        change = height[2:] - 2 * height[1:-1] + height[:-2]
        assert falling.sum() >= 3
        assert torch.allclose(change[falling] / step**2, torch.tensor(-GRAVITY), rtol=0.03)
        assert height[-1].abs() < 1e-6 and height[0] >= 0.3 - 1e-6


def test_a_thrown_thing_flies_a_parabola_and_is_caught_where_it_was_thrown():
    _, poses = _shown("Throwing [something] in the air and catching it", 32)
    step = 1 / 31
    for height in poses.lifted:
        assert height.max() - height[0] > 0.25 and abs(float(height[-1] - height[0])) < 0.03
        top = int(height.argmax())
        change = (height[2:] - 2 * height[1:-1] + height[:-2])[top - 3 : top + 2] / step**2
        assert torch.allclose(change, torch.tensor(-GRAVITY), rtol=0.03)


def test_poking():
    _, light = _shown("Poking [something] so lightly that it doesn't or almost doesn't move")
    assert (light.x == light.x[:, :1]).all() and (light.lifted == 0).all()
    _, moved = _shown("Poking [something] so it slightly moves", 32)
    way = moved.x[:, -1] - moved.x[:, 0]
    assert ((way.abs() > 0.1) & (way.abs() < 0.18)).all()
    touched = (moved.x != moved.x[:, :1]).int().argmax(1)
    side = (moved.hand_x - moved.x)[torch.arange(len(way)), touched]
    assert (side * way < 0).all(), "it moves away from the finger"
    for path, first in zip(moved.x, touched.tolist(), strict=True):
        speed = path.diff().abs()[first:]
        assert (speed.diff() <= 1e-6).all(), "friction only slows it down"


def test_pretending_moves_the_hand_and_nothing_else():
    _, poses = _shown("Pretending to pick [something] up")
    assert (poses.x == poses.x[:, :1]).all() and (poses.y == poses.y[:, :1]).all()
    assert (poses.hand_y.amax(1) - poses.hand_y[:, -1] > 0.25).all()


def test_movements_by_hand_start_and_end_at_rest():
    share = torch.linspace(0, 1, 201, dtype=torch.float64)
    path = ease(share)
    assert path[0] == 0 and abs(float(path[-1]) - 1) < 1e-9
    speed = path.diff() * 200
    assert speed[0] < 0.01 and speed[-1] < 0.01 and abs(float(speed.max()) - 1.875) < 0.01
    assert torch.allclose(path, 1 - path.flip(0)), "the same backwards"
    _, poses = _shown(PAIRS[0][0])
    assert poses.x.diff(dim=1).ge(-1e-6).all()


def test_start_speed_and_amplitude_vary():
    _, poses = _shown(PAIRS[0][0], 32)
    moving = poses.x.diff(dim=1) > 1e-4
    start, long = moving.int().argmax(1).float(), moving.sum(1).float()
    assert start.std() > 1.5 and long.std() > 0.8 and (poses.x[:, -1] - poses.x[:, 0]).std() > 0.01
