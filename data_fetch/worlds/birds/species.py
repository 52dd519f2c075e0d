"""Eighty invented species: what each of them looks like, how much it varies, and which are seen in training.

They come out of one fixed generator: a species gets a few colours that go together, a build with a bill that goes with
it, and a name after something that is true of it. Of many candidates the one is kept that is far from all others and
uses the values that are still rare.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from data_fetch.worlds.birds.names import name_all, named_groups
from data_fetch.worlds.birds.vocabulary import ATTRIBUTE_NAMES, GROUP_NAMES, GROUPS, binary, spread

COUNT, UNSEEN = 80, 24
APART = 9  # two species differ in at least so many of the 19 groups
_CANDIDATES = 60
_FIXED = ("has_shape",)  # never varies within a species; nor does what its name says
_STEADY = ("has_bill_shape", "has_tail_shape", "has_size")  # varies half as often

_BILLS = {  # the bills that go with a build
    "perching-like": ("all-purpose", "cone", "dagger", "hooked", "curved"),
    "duck-like": ("spatulate", "dagger", "hooked", "cone"),
    "long-legged-like": ("dagger", "curved", "spatulate", "all-purpose"),
    "owl-like": ("hooked", "all-purpose"),
    "upland-ground-like": ("cone", "all-purpose", "hooked", "curved"),
}
_BUILDS = (*_BILLS, "perching-like", "perching-like", "duck-like", "perching-like", "long-legged-like", "perching-like")


@dataclass(frozen=True)
class Species:
    """All species: names; values (80, groups) int64, the usual value of each group; others (80, groups) int64, the
    value that the rest of the individuals has; weights (80, groups) float, 0 to 2 with mean about 1: how readily a
    group varies; seen (80,) bool."""

    names: tuple[str, ...]
    values: Tensor
    others: Tensor
    weights: Tensor
    seen: Tensor

    def rates(self, variation: float) -> Tensor:
        """(80, groups): the share of a species' individuals that do not have its usual value."""
        return self.weights * variation

    def frequencies(self, variation: float) -> Tensor:
        """(80, A) in [0, 1]: the share of a species' individuals for which each attribute holds."""
        rates = self.rates(variation)
        found = torch.zeros(len(self.values), len(ATTRIBUTE_NAMES))
        spread(1 - rates, self.values, found)
        return spread(rates, self.others, found)


@lru_cache(maxsize=1)
def species() -> Species:
    """The species, the same ones on every machine."""
    dice = random.Random(3)
    rows: list[dict[str, str]] = []
    for count in (UNSEEN, COUNT - UNSEEN):  # each share of the split on its own covers the values
        used = {group: dict.fromkeys(values, 0) for group, values in GROUPS.items()}
        for n in range(count):
            build = _BUILDS[n % len(_BUILDS)]
            bill = _BILLS[build][n % len(_BILLS[build])]
            rows.append(_next(rows, used, count, dice, {"has_shape": build, "has_bill_shape": bill}))
            for group, value in rows[-1].items():
                used[group][value] += 1
    names = name_all(rows)
    order = sorted(range(COUNT), key=lambda n: names[n].split()[::-1])  # warblers stand together, as in a field guide
    values = torch.tensor([[GROUPS[g].index(rows[n][g]) for g in GROUP_NAMES] for n in order])
    others, weights = _variation(values, [names[n] for n in order], dice)
    seen = torch.tensor([n >= UNSEEN for n in order])
    return Species(tuple(names[n] for n in order), values, others, weights, seen)


def least_distance() -> tuple[int, int]:
    """(groups, attributes) in which the two most similar species differ: the smallest Hamming distance."""
    values = species().values
    apart = (values[:, None] != values[None]).sum(-1) + len(GROUPS) * torch.eye(COUNT, dtype=torch.long)
    bits = binary(values)
    differ = (bits[:, None] != bits[None]).sum(-1) + len(ATTRIBUTE_NAMES) * torch.eye(COUNT, dtype=torch.long)
    return int(apart.min()), int(differ.min())


def _pick(dice: random.Random, items: tuple | list) -> str:
    return items[int(dice.random() * len(items))]


def _next(
    rows: list[dict[str, str]], used: dict, count: int, dice: random.Random, build: dict[str, str]
) -> dict[str, str]:
    """The candidate that is far enough from all rows and serves the values that are rare so far."""
    best, most = None, -1.0
    while best is None:
        for _ in range(_CANDIDATES):
            found = _candidate(dice, build)
            if any(sum(found[g] != row[g] for g in GROUPS) < APART for row in rows):
                continue
            score = sum(_wanted(used[g][v], len(GROUPS[g]), count) for g, v in found.items())
            if score > most:
                best, most = found, score
    return best


def _wanted(times: int, values: int, count: int) -> float:
    """How welcome one more use of a value is: the less its share of the group is reached."""
    return max(0.0, 1 - times * values / count) ** 2 + (2.0 if times < 2 else 0.0) * values / 10


def _candidate(dice: random.Random, build: dict[str, str]) -> dict[str, str]:
    """A species whose colours go together: upper parts, under parts, an accent, a head that may stand out."""
    upper = _pick(dice, GROUPS["has_back_color"])
    under = _pick(dice, GROUPS["has_belly_color"])
    accent = _pick(dice, GROUPS["has_throat_color"])
    head = _pick(dice, (upper, accent, _pick(dice, GROUPS["has_crown_color"])))
    dark = _pick(dice, ("black", "brown", "grey"))
    bird = {
        **build,
        "has_crown_color": head,
        "has_nape_color": _of(dice, "has_nape_color", (upper, upper, head, dark)),
        "has_throat_color": _pick(dice, (accent, accent, under, head, dark)),
        "has_breast_color": _pick(dice, (under, accent, _pick(dice, GROUPS["has_breast_color"]))),
        "has_belly_color": under,
        "has_back_color": upper,
        "has_wing_color": _pick(dice, (upper, dark, accent, _pick(dice, GROUPS["has_wing_color"]))),
        "has_upper_tail_color": _of(dice, "has_upper_tail_color", (upper, dark, accent)),
    }
    rest = {g: _pick(dice, values) for g, values in GROUPS.items() if g not in bird}
    bird.update(rest)
    return {g: bird[g] for g in GROUPS}


def _of(dice: random.Random, group: str, wanted: tuple[str, ...]) -> str:
    """One of the wanted colours that the group has, else any of the group's."""
    known = [colour for colour in wanted if colour in GROUPS[group]]
    return _pick(dice, known or GROUPS[group])


def _variation(values: Tensor, names: list[str], dice: random.Random) -> tuple[Tensor, Tensor]:
    """The other value of each group and how readily it is taken."""
    others, weights = torch.zeros_like(values), torch.zeros(values.shape)
    for n, name in enumerate(names):
        steady = {*_FIXED, *named_groups(name)}
        for k, group in enumerate(GROUP_NAMES):
            size = len(GROUPS[group])
            others[n, k] = (int(values[n, k]) + 1 + int(dice.random() * (size - 1))) % size
            weights[n, k] = 0.0 if group in steady else 2 * dice.random() * (0.5 if group in _STEADY else 1.0)
    return others, weights
