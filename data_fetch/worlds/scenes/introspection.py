"""Reasoning questions whose training answers go with a person in the picture, with their perception sub-questions.

In the manner of VQA-Introspect (Selvaraju et al., arXiv 2001.06927) with a known wrong reason: people ask about what they
see, so that in training most pictures with a person have the answer "yes", whatever is asked. No rule here is about people.
"""

from __future__ import annotations

import dataclasses
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data_fetch.fields import Questions
from data_fetch.worlds.scenes.questions import SceneQuestions, ask, reason
from data_fetch.worlds.scenes.reasoning import RULES as ALL_RULES
from data_fetch.worlds.scenes.world import Scenes, scenes

RULES = (
    "skiing_day", "swim", "sandcastle", "sleep", "drive_on", "ripe", "snack", "night", "typing", "seats", "sail", "milk",
    "feathers", "same_colour",
)  # fmt: skip
THINGS = (
    "cow", "horse", "dog", "duck", "boat", "traffic light", "tent", "banana", "apple", "cake", "laptop", "lamp", "chair",
)  # fmt: skip
PERCEPTION = ("colour", "state", "exists", "place_fact", "count", "animal")
STRENGTH = 0.9  # share of the training answers that go with the person
COLUMNS, LINES = 2, 3  # cells of the grid that stand beside the proposals: a place is in no box


@dataclass(frozen=True)
class ReasoningSets:
    """Questions about pictures with proposals and a grid of cells.

    train : reasoning; answers go with a person in the picture.  perception : other questions about the same pictures,
    whose answers do not.  same : as train, about test pictures.  balanced : about test pictures, where a person says
    nothing about the answer.
    """

    train: SceneQuestions
    perception: SceneQuestions
    same: SceneQuestions
    balanced: SceneQuestions


@dataclass(frozen=True)
class Pairs:
    """P pairs of a reasoning question with one of its sub-questions.

    row (P,) int64 : the reasoning question's row in the set.  questions, answers : of the sub-questions.
    """

    row: Tensor
    questions: tuple[str, ...]
    answers: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.row)


def reasoning_sets(
    seed: int,
    *,
    train: int,
    test: int,
    per_image: float = 3,
    perception: int = 4,
    strength: float = STRENGTH,
    rules: Sequence[str] = RULES,
    proposals: int = 8,
    size: int = 48,
    device: torch.device | str = "cpu",
    **knobs,
) -> ReasoningSets:
    """`train` and `test` pictures and the questions about them; sub-seeds of one seed never meet those of another.

    Parameters
    ----------
    per_image : reasoning questions a picture, on average at most.  perception : of the others.
    strength : share of the training answers that go with a person, see `primed`.
    rules : names of reasoning rules.  proposals : boxes a picture beside the grid.  size, knobs : see `scenes`.

    Raises
    ------
    ValueError : as `scenes`, `ask`, `reason` and `primed`; a rule that asks about people.
    """
    about = [name for name in rules if name in ALL_RULES and name not in RULES]
    if about:
        raise ValueError(f"these rules ask about people, who are the wrong reason here: {', '.join(about)}")
    asked_for = {"things": THINGS, "people": 0.5, "home": 0.5, "objects": (2, 4)} | knobs
    worlds = [
        with_grid(scenes(count, seed=2 * seed + n, size=size, **asked_for).with_proposals(proposals, seed=2 * seed + n))
        for n, count in enumerate((train, test))
    ]
    worlds = [world.to(device) for world in worlds]
    pools = [reason(world, per_image=40, rules=rules, seed=2 * seed + n) for n, world in enumerate(worlds)]
    most = [round(per_image * count) for count in (train, test)]
    return ReasoningSets(
        pools[0][primed(pools[0], strength, most[0], 2 * seed)],
        ask(worlds[0], per_image=perception, kinds=PERCEPTION, seed=2 * seed),
        pools[1][primed(pools[1], strength, most[1], 2 * seed + 1)],
        pools[1][primed(pools[1], 0.5, most[1], 2 * seed + 1)],
    )


def primed(asked: SceneQuestions, strength: float, most: int, seed: int = 0) -> Tensor:
    """Rows of reasoning questions, at most so many, whose answers go with a person: "yes" where one is seen, "no" elsewhere.

    strength : share of such answers of every rule; 0.5 : a person says nothing. For every rule "yes" is as often right as
    "no". Rules are asked about equally often, as far as the pictures allow.

    Raises
    ------
    ValueError : a strength that is no share of 0.5 to 1; no row that fits.
    """
    if not 0.5 <= strength <= 1:
        raise ValueError(f"strength must be 0.5 (a person says nothing) to 1 (no exception), got {strength}")
    cells: dict[str, dict[tuple[bool, bool], list[int]]] = defaultdict(lambda: defaultdict(list))
    there = person(asked).tolist()
    for n, (kind, answer) in enumerate(zip(asked.kinds, asked.answers)):
        cells[kind][answer == "yes", there[n]].append(n)
    shares = {
        (yes, seen): (strength if yes == seen else 1 - strength) / 2 for yes in (True, False) for seen in (True, False)
    }
    room = {
        kind: min(int(len(pool[cell]) / share) for cell, share in shares.items() if share > 0)
        for kind, pool in cells.items()
    }
    chance, rows, left = random.Random(seed), [], most
    for place, kind in enumerate(sorted(room, key=lambda kind: (room[kind], kind))):  # the scarcest first
        quota = min(room[kind], left // (len(room) - place))
        left -= quota
        for cell, share in shares.items():
            rows += chance.sample(cells[kind][cell], min(round(share * quota), len(cells[kind][cell])))
    if not rows:
        raise ValueError("no rule has answers of both kinds with and without a person")
    return torch.tensor(sorted(rows))


def person(asked: SceneQuestions) -> Tensor:
    """(Q,) bool: whether a person is seen in the picture of each question."""
    world = asked.pictures
    return ((world.graph.appearance >= 0) & world.seen[:, 0]).cpu()[asked.image_index.cpu()]


def pairs(asked: Questions) -> Pairs:
    """Every reasoning question with each of its sub-questions.

    Raises
    ------
    ValueError : a set without sub-questions.
    """
    if asked.perception is None or not any(asked.perception):
        raise ValueError("the questions have no sub-questions")
    found = [(n, sub) for n, subs in enumerate(asked.perception) for sub in subs]
    rows, subs = zip(*found)
    return Pairs(torch.tensor(rows), tuple(sub.question for sub in subs), tuple(sub.answer for sub in subs))


def with_grid(world: Scenes) -> Scenes:
    """The set with the cells of a grid behind its proposals, (N, R + COLUMNS * LINES, 4)."""
    if world.proposals is None:
        raise ValueError("the set has no proposals: make them with with_proposals()")
    wide, high = world.size / COLUMNS, world.size / LINES
    cells = torch.tensor(
        [[c * wide, r * high, (c + 1) * wide, (r + 1) * high] for r in range(LINES) for c in range(COLUMNS)]
    )
    both = torch.cat([world.proposals, cells.to(world.proposals).expand(len(world), -1, -1)], 1)
    return dataclasses.replace(world, proposals=both)
