"""Who plays in which clip: exact class balance, exact share of tied things, everything else independent of the class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from data_fetch.worlds.clips.actions import KINDS, SCRIPT_NAMES, SCRIPTS, script_of
from data_fetch.worlds.clips.casting import Casting
from data_fetch.worlds.clips.tables import TABLE_NAMES
from data_fetch.worlds.clips.things import PALETTES
from data_fetch.worlds.shares import Shares


def possible_things(class_name: str, things: Sequence[str]) -> tuple[str, ...]:
    """Those of the things that the action can be done to."""
    known = SCRIPTS[SCRIPT_NAMES[script_of(class_name)[0]]].things
    return tuple(name for name in things if name in known)


def tied_thing(label: int, class_names: Sequence[str], things: Sequence[str]) -> int:
    """The thing that is tied to a class, a number of `KINDS`: neighbours in the list of classes get different ones."""
    found = possible_things(class_names[label], things)
    return KINDS.index(found[label % len(found)])


def sample_casting(
    count: int, class_names: Sequence[str], things: Sequence[str], tie: float | None, generator: torch.Generator
) -> tuple[Casting, Tensor]:
    """The clips' casting on the CPU, and their labels (N,)."""
    labels = (torch.arange(count) % len(class_names))[torch.randperm(count, generator=generator)]
    played = [script_of(name) for name in class_names]
    coins = torch.rand(count, generator=generator) < 0.5
    scripts = torch.tensor([number for number, _ in played])[labels]
    backward = torch.tensor([back for _, back in played])[labels]
    alike = torch.tensor([s.forward == s.backward for s in SCRIPTS.values()])[scripts]
    chosen = _things(labels, class_names, things, tie, generator)
    others = _others(scripts, chosen, generator)
    return Casting(
        scripts=scripts,
        backward=torch.where(alike, coins, backward),
        things=chosen,
        colours=_colours(chosen, generator),
        others=others,
        other_colours=_colours(others.clamp(min=0), generator),
        tables=torch.randint(len(TABLE_NAMES), (count,), generator=generator),
        seeds=torch.randint(2**54, (count,), generator=generator),
    ), labels


def _things(
    labels: Tensor, class_names: Sequence[str], things: Sequence[str], tie: float | None, generator: torch.Generator
) -> Tensor:
    """For each class its share `tie` of the tied thing and the others in turn, in random order."""
    chosen, shares = torch.empty_like(labels), Shares()
    for label, name in enumerate(class_names):
        where = torch.nonzero(labels == label)[:, 0]
        where = where[torch.randperm(len(where), generator=generator)]
        found = torch.tensor([KINDS.index(thing) for thing in possible_things(name, things)])
        start = int(torch.randint(len(found), (1,), generator=generator))
        if tie is None:
            chosen[where] = found[(torch.arange(len(where)) + start) % len(found)]
            continue
        favourite, tied = tied_thing(label, class_names, things), shares.of(tie, len(where))
        chosen[where[:tied]] = favourite
        rest = found[found != favourite]
        if tied < len(where):
            chosen[where[tied:]] = rest[(torch.arange(len(where) - tied) + start) % len(rest)]
    return chosen


def _others(scripts: Tensor, things: Tensor, generator: torch.Generator) -> Tensor:
    """The second thing, another than the first; -1 where the sentence has none."""
    draws = torch.randint(2**31, scripts.shape, generator=generator)
    found = torch.full_like(scripts, -1)
    for n, (script, thing, draw) in enumerate(zip(scripts.tolist(), things.tolist(), draws.tolist(), strict=True)):
        names = [name for name in SCRIPTS[SCRIPT_NAMES[script]].others if name != KINDS[thing]]
        if names:
            found[n] = KINDS.index(names[draw % len(names)])
    return found


def _colours(kinds: Tensor, generator: torch.Generator) -> Tensor:
    draws = torch.randint(2**31, kinds.shape, generator=generator)
    palettes = [PALETTES[name] for name in KINDS]
    return torch.tensor(
        [palettes[k][d % len(palettes[k])] for k, d in zip(kinds.tolist(), draws.tolist(), strict=True)]
    )
