"""How things and hands move in each script: for each clip and frame the places, turns and sizes that are drawn."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields

import torch
from torch import Tensor

from data_fetch.worlds.clips.actions import KINDS, SCRIPT_NAMES
from data_fetch.worlds.clips.motion import Poses, Take, ease
from data_fetch.worlds.clips.things import FRONTS, lid_tip

GRAVITY = 7.0  # image sides for the square of a clip's length


def _push(take: Take, side: float) -> None:
    """side -1: the hand is on the left and moves the thing to the right."""
    take.side = torch.full_like(take.side, side)
    start, way = take.draw(0.27, 0.36), take.draw(0.28, 0.38)
    take.x = 0.5 - side * (start + way * take.progress() - 0.5)
    take.arm_from = (0.5 + take.side * 1.1, take.draw(0.5, 0.8))


def _raise(take: Take) -> None:
    take.x = take.x + take.draw(-0.12, 0.12)
    start, way = take.draw(0.06, 0.1), take.draw(0.24, 0.34)
    take.lifted = start + way * take.progress(take.begin - 0.1, take.end)
    take.away = torch.zeros_like(take.time)


def _lift(take: Take) -> None:
    take.x = take.x + take.draw(-0.14, 0.14)
    take.lifted = take.draw(0.24, 0.36) * take.progress()
    take.away = take.visit(goes=False)


def _open(take: Take) -> None:
    take.unit = take.unit * 1.2
    take.opening = take.progress()
    take.x = (
        take.x + take.draw(-0.06, 0.06) + torch.where(take.moved == KINDS.index("book"), 0.13, 0.0)[:, None]
    )  # a book opens leftwards
    take.arm_from = (0.5 + take.side * 0.9, take.draw(-0.4, 0.1))
    take.contact = take.point(*lid_tip(take.moved, take.opening))


def _put(take: Take) -> None:
    take.unit, take.other_unit = take.unit * 0.78, take.other_unit * 1.1
    take.other_x = 0.5 - take.side * take.draw(0.16, 0.22)
    start = 0.5 + take.side * take.draw(0.24, 0.3)
    take.x, done = _carry(take, start, take.other_x, 0.34)
    front = take.other_unit * FRONTS[take.other][:, None]
    inside = (front - 0.4 * take.half()[1]).clamp(min=0.02)
    take.lifted = take.lifted + done * inside
    take.arm_from = (0.5 + take.side * 0.9, take.draw(-0.5, 0.0))


def _carry(take: Take, start: Tensor, goal: Tensor, height: float) -> tuple[Tensor, Tensor]:
    """Up, across and down again: x, and how much of the way down is done; `lifted` is set."""
    at = (take.time - take.begin) / (take.end - take.begin)
    up, across, down = ease(at / 0.4), ease((at - 0.15) / 0.7), ease((at - 0.6) / 0.4)
    take.lifted = height * (up - down)
    return start + (goal - start) * across, down


def _cover(take: Take) -> None:
    take.unit, take.other_unit = take.unit * 1.25, take.other_unit * 0.82
    take.other_x = 0.5 - take.side * take.draw(0.17, 0.23)
    take.x, done = _carry(take, 0.5 + take.side * take.draw(0.28, 0.34), take.other_x, 0.2)
    at = (take.time - take.begin) / (take.end - take.begin)
    take.opening = ease(at / 0.4)
    take.arm_from = (0.5 + take.side * 0.9, take.draw(-0.5, 0.0))
    take.contact = take.point(torch.zeros_like(done), -0.9 + (0.35 + 1.3 * take.opening))


def _near(take: Take) -> None:
    take.unit, take.other_unit = take.unit * 0.88, take.other_unit * 0.88
    take.other_x = 0.5 - take.side * take.draw(0.2, 0.26)
    gap = take.half()[0] + take.other_extents[:, :1] * take.other_unit + take.draw(0.01, 0.03)
    far = 0.5 + take.side * take.draw(0.26, 0.32)
    far = take.other_x + take.side * torch.maximum((far - take.other_x).abs(), gap[:, :1] + 0.16)
    goal = take.other_x + take.side * gap
    take.x = far + (goal - far) * take.progress()
    take.arm_from = (take.x + take.draw(-0.35, 0.35), torch.full_like(take.begin, -0.8))


def _camera(take: Take) -> None:
    done = take.progress()
    take.x = take.x + take.draw(-0.1, 0.1)
    take.ground = take.draw(0.56, 0.62) + take.draw(0.3, 0.36) * done
    take.grow = 0.72 + take.draw(0.5, 0.66) * done
    take.arm_from = (0.5 + take.side * 1.1, take.draw(0.2, 0.6))


def _lay(take: Take) -> None:
    done = take.progress()
    take.turn = take.side * (math.pi / 2 - take.tilt * take.side) * done
    start = 0.5 + take.side * take.draw(0.08, 0.14)
    take.x = start - take.side * take.draw(0.14, 0.2) * done
    take.arm_from = (0.5 + take.side * 1.0, take.draw(-0.2, 0.2))
    take.contact = take.point(torch.zeros_like(done), 0.6 * take.extents[:, 1:] + 0 * done)


def _turn(take: Take) -> None:
    done = take.progress()
    take.x = take.x + take.draw(-0.1, 0.1)
    take.turn = take.side * math.pi * done
    take.lifted = take.draw(0.1, 0.16) * torch.sin(math.pi * done)


def _throw(take: Take) -> None:
    height = take.draw(0.3, 0.38)
    long = 2 * (2 * height / GRAVITY).sqrt()
    flight = (take.time - 0.5 - take.draw(-0.06, 0.06)) / long + 0.5
    air = 4 * flight.clamp(0, 1) * (1 - flight.clamp(0, 1))
    hold = take.draw(0.02, 0.06)
    take.unit = take.unit * 0.85
    dip = 0.05 * (torch.exp(-((flight + 0.15) / 0.2).square()) + torch.exp(-((flight - 1.15) / 0.2).square()))
    take.x = take.x + take.draw(-0.1, 0.1)
    take.lifted = hold + height * air - torch.where(air > 0, torch.zeros_like(dip), dip * 0.6)
    y = take.ground - take.half()[1] - hold
    take.arm_from = (0.5 + take.side * 1.0, take.draw(1.0, 1.2))
    take.away = torch.zeros_like(take.time)
    toward = (take.side + 0 * y, 0.55 + 0 * y)
    take.contact = (take.x + 0.5 * take.half()[0] * toward[0], y + 0.75 * take.half()[1] + dip * 0.6)


def _tap(take: Take) -> None:
    take.x = take.x - take.side * take.draw(0.0, 0.18)
    middle, touch = take.draw(0.4, 0.6), take.draw(0.06, 0.1)
    zero = torch.zeros_like(middle)
    take.away = 1 - take.progress(zero, middle - touch) + take.progress(middle + touch, zero + 1)
    _finger(take)


def _finger(take: Take) -> None:
    take.arm_from = (0.5 + take.side * 1.1, take.draw(0.45, 0.8))
    take.contact_share, take.reach = 0.96, 0.5


def _nudge(take: Take) -> None:
    start = 0.5 + take.side * take.draw(-0.08, 0.1)
    touch = take.draw(0.32, 0.45)
    slide = ((take.time - touch) / 0.35).clamp(0, 1)
    way = take.draw(0.11, 0.17)
    take.x = start - take.side * way * slide * (2 - slide)  # friction slows it evenly
    take.away = 1 - take.progress(torch.zeros_like(touch), touch) + take.progress(touch + 0.1, touch + 0.55)
    _finger(take)
    take.contact = take.touch(start.expand_as(take.time), take.centre()[1])
    take.contact = (take.contact[0] - take.side * 0.04 * ease(slide * 3), take.contact[1])


def _fall(take: Take, height: Tensor, since: Tensor) -> Tensor:
    """Height above the ground: an evenly accelerated fall, one small bounce, rest."""
    passed = (take.time - since).clamp(min=0)
    landing = (2 * height / GRAVITY).sqrt()
    bounce, rebound = passed - landing, 0.28 * GRAVITY * landing  # 0.28: what is left of the speed
    hop = (rebound * bounce - GRAVITY / 2 * bounce.square()).clamp(min=0)
    return torch.where(passed < landing, height - GRAVITY / 2 * passed.square(), hop)


def _drop(take: Take) -> None:
    take.x = take.x + take.draw(-0.14, 0.14)
    take.begin = take.draw(0.12, 0.24)
    height, top = take.draw(0.28, 0.36), take.draw(0.5, 0.56)
    rising = height * take.progress(take.begin, top)
    take.lifted = torch.where(take.time < top + 0.04, rising, _fall(take, height, top + 0.04))
    _let_go(take, height, top + 0.04, take.visit(goes=False))
    raised = torch.where(take.time < top + 0.04, rising, height)
    take.contact = (take.contact[0], take.contact[1] + height - raised)


def _let_go(take: Take, height: Tensor, since: Tensor, away: Tensor) -> None:
    """The hand stays up where it held the thing, opens, and draws back a little."""
    x, y = take.x, take.ground - take.half()[1] - height
    take.contact = take.touch(x, y)
    take.away = away + 0.3 * ease((take.time - since) / 0.25)


def _drop_near(take: Take) -> None:
    take.unit, take.other_unit = take.unit * 0.85, take.other_unit * 0.9
    take.other_x = 0.5 - take.side * take.draw(0.2, 0.26)
    gap = take.half()[0] + take.other_extents[:, :1] * take.other_unit + take.draw(0.02, 0.06)
    take.x = take.other_x + take.side * gap
    height, since = take.draw(0.3, 0.38), take.draw(0.2, 0.5)
    take.lifted = _fall(take, height, since)
    _let_go(take, height, since, torch.zeros_like(take.time))


def _pretend(take: Take) -> None:
    take.x = take.x + take.draw(-0.14, 0.14)
    take.away = take.visit(goes=False)
    take.hand_up = take.draw(0.3, 0.4) * take.progress(take.begin + 0.1, take.end)


_MOVES: dict[str, Callable[[Take], None]] = {
    "push_right": lambda take: _push(take, -1.0), "push_left": lambda take: _push(take, 1.0), "raise": _raise,
    "lift": _lift, "open": _open, "put": _put, "cover": _cover, "near": _near, "camera": _camera, "lay": _lay,
    "turn": _turn, "throw": _throw, "tap": _tap, "nudge": _nudge, "drop": _drop, "drop_near": _drop_near,
    "pretend": _pretend,
}  # fmt: skip


def poses(scripts: Tensor, backward: Tensor, moved: Tensor, still: Tensor, seeds: Tensor, frames: int) -> Poses:
    """The poses of n clips.

    Parameters
    ----------
    scripts (n,) : numbers of `SCRIPTS`.  backward (n,) bool : played in reversed order.
    moved, still (n,) : numbers of `KINDS`, the thing that moves and the one beside it (any where there is none).
    seeds (n,) int64 : what the movement is drawn from; a clip's poses depend on its own numbers alone.
    """
    found: list[tuple[Tensor, Poses]] = []
    for number in scripts.unique().tolist():
        rows = torch.nonzero(scripts == number)[:, 0]
        take = Take(seeds[rows], frames, moved[rows], still[rows])
        _MOVES[SCRIPT_NAMES[number]](take)
        found.append((rows, take.poses()))
    order = torch.cat([rows for rows, _ in found]).argsort()
    merged = {f.name: torch.cat([getattr(p, f.name) for _, p in found])[order] for f in fields(Poses)}
    flip = backward[:, None]
    return Poses(**{k: torch.where(flip, v.flip(1), v) if v.ndim == 2 else v for k, v in merged.items()})
