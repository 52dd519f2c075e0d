"""Draws scene graphs: who does what where, with the biases that a lesson asks for, reached exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from data_fetch.worlds.scenes.graph import Graph
from data_fetch.worlds.scenes.layout import lay_out
from data_fetch.worlds.scenes.vocabulary import (
    ACTIVITIES,
    ACTIVITY_NAMES,
    APPEARANCES,
    CLOTHES,
    COLOUR_NAMES,
    HAIR,
    HAIR_COLOURS,
    KINDS,
    PLACE_NAMES,
    THING_NAMES,
    THINGS,
)
from data_fetch.worlds.shares import Shares

SLOTS = 6  # the person, the thing of the activity or the main thing, and four others


@dataclass(frozen=True)
class Knobs:
    """What a set of scenes is like.

    Attributes
    ----------
    places, things : names that may occur.
    people : share of the scenes with a person.
    women : share of women among the persons whose looks tell; the others are men.
    unclear : share of the persons whose looks do not tell.
    activity_tie : share of the women, and of the men, whose activity is of their `side`; None: looks say nothing
        about the activity.  Unclear persons do everything equally often.
    home : share of the scenes whose subject (the activity, or the main thing) is in one of its usual places; the
        others are spread over the other places, and so is a subject without a usual place among `places`. None: the
        place says nothing about the subject.
    context : for single things another share than `home`: {"boat": 1.0} never shows a boat without water. A thing
        named here is never added to a scene that is about something else.
    objects : least and most things in a scene, the person not counted; at most 5.
    repeat : share of the scenes in which a thing is there two or three times (as far as `objects` has room).
    colours : for single things fewer colours: {"banana": ("yellow",)}.
    """

    places: tuple[str, ...] = PLACE_NAMES
    things: tuple[str, ...] = THING_NAMES
    people: float = 0.6
    women: float = 0.5
    unclear: float = 0.15
    activity_tie: float | None = None
    home: float | None = 0.9
    context: Mapping[str, float] = field(default_factory=dict)
    objects: tuple[int, int] = (1, 3)
    repeat: float = 0.2
    colours: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self):
        _names("places", self.places, PLACE_NAMES)
        _names("things", self.things, THING_NAMES)
        for name in ("people", "women", "unclear", "repeat"):
            _share(name, getattr(self, name))
        for name in ("activity_tie", "home"):
            if getattr(self, name) is not None:
                _share(name, getattr(self, name))
        low, high = self.objects
        if not (isinstance(low, int) and isinstance(high, int) and 0 <= low <= high <= SLOTS - 1 and high > 0):
            raise ValueError(f"objects must be (least, most) within 0 to {SLOTS - 1}, got {self.objects}")
        for name, share in self.context.items():
            _names("context", (name,), self.things)
            _share(f"context[{name!r}]", share)
            if not set(THINGS[name].homes) & set(self.places):
                raise ValueError(f"context: none of the usual places of {name!r} {THINGS[name].homes} is in places")
        for name, colours in self.colours.items():
            _names("colours", (name,), self.things)
            _names(f"colours[{name!r}]", tuple(colours), THINGS[name].colours)

    @property
    def activities(self) -> tuple[str, ...]:
        """The activities whose thing and one of whose places may occur."""
        return tuple(
            a.name
            for a in ACTIVITIES.values()
            if (a.thing is None or a.thing in self.things) and set(a.places) & set(self.places)
        )


def _names(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown or not names or len(set(names)) != len(names):
        problem = f"unknown: {unknown}" if unknown else f"got {tuple(names)}"
        raise ValueError(f"{what} must be different names out of {', '.join(known)}; {problem}")


def _share(what: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{what} is a share, 0 to 1, got {value}")


def sample(count: int, knobs: Knobs, seed: int) -> Graph:
    """`count` scene graphs; the same arguments give the same graphs on one machine."""
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    generator = torch.Generator().manual_seed(seed)
    appearance = _appearance(count, knobs, generator)
    activity = _activity(appearance, knobs, generator)
    kind = torch.full((count, SLOTS), -1)
    kind[appearance >= 0, 0] = 0
    things = torch.tensor([-1 if a.thing is None else KINDS.index(a.thing) for a in ACTIVITIES.values()])
    kind[:, 1] = torch.where(activity >= 0, things[activity], -1)
    alone = torch.nonzero(activity < 0)[:, 0]
    kind[alone, 1] = _spread(len(alone), [KINDS.index(name) for name in knobs.things], generator)
    place = _place(activity, kind[:, 1], knobs, generator)
    _others(kind, place, activity, knobs, generator)
    colour, state = _colours_and_states(kind, activity, knobs, generator)
    looks = _looks(appearance, generator)
    seeds = torch.randint(2**62, (count,), generator=generator)
    where = lay_out(kind, activity, place, generator)
    colour[:, 0] = torch.where(appearance >= 0, looks.pop("colour"), -1)
    return Graph(
        place=place, kind=kind, colour=colour, state=state, appearance=appearance, activity=activity, seeds=seeds,
        **looks, **where,
    )  # fmt: skip


def _spread(count: int, options: Sequence[int], generator: torch.Generator) -> Tensor:
    """(count,): each option equally often, to within one, in random order."""
    order = torch.tensor(options)[torch.randperm(len(options), generator=generator)]
    return order[torch.arange(count) % len(options)][torch.randperm(count, generator=generator)]


def _appearance(count: int, knobs: Knobs, generator: torch.Generator) -> Tensor:
    persons = round(knobs.people * count) if knobs.activities else 0
    unclear = round(knobs.unclear * persons)
    women = round(knobs.women * (persons - unclear))
    counts = torch.tensor([women, persons - unclear - women, unclear, count - persons])
    found = torch.repeat_interleave(torch.tensor([0, 1, 2, -1]), counts)
    return found[torch.randperm(count, generator=generator)]


def _activity(appearance: Tensor, knobs: Knobs, generator: torch.Generator) -> Tensor:
    activity = torch.full_like(appearance, -1)
    names = knobs.activities
    numbers = [ACTIVITY_NAMES.index(name) for name in names]
    for number, word in enumerate(APPEARANCES):
        where = torch.nonzero(appearance == number)[:, 0]
        if not len(where):
            continue
        if knobs.activity_tie is None or word == "unclear":
            activity[where] = _spread(len(where), numbers, generator)
            continue
        own = [n for n, name in zip(numbers, names) if ACTIVITIES[name].side == word]
        other = [n for n in numbers if n not in own]
        if not own or not other:
            raise ValueError(f"activity_tie needs activities of both sides; these are left: {', '.join(names)}")
        tied = round(knobs.activity_tie * len(where))
        where = where[torch.randperm(len(where), generator=generator)]
        activity[where[:tied]] = _spread(tied, own, generator)
        activity[where[tied:]] = _spread(len(where) - tied, other, generator)
    return activity


def _place(activity: Tensor, main: Tensor, knobs: Knobs, generator: torch.Generator) -> Tensor:
    """A place for each scene: of every subject the share asked for in one of its usual places."""
    allowed = [PLACE_NAMES.index(name) for name in knobs.places]
    place, shares = torch.empty_like(activity), Shares()
    subjects = [(activity == n, ACTIVITIES[name].places, None) for n, name in enumerate(ACTIVITY_NAMES)]
    for name in THING_NAMES:
        subjects.append(((activity < 0) & (main == KINDS.index(name)), THINGS[name].homes, name))
    for mask, homes, name in subjects:
        where = torch.nonzero(mask)[:, 0]
        where = where[torch.randperm(len(where), generator=generator)]
        usual = [n for n in allowed if PLACE_NAMES[n] in homes]
        other = [n for n in allowed if n not in usual]
        share = knobs.context.get(name, knobs.home)
        if share is None or not usual or not other:
            place[where] = _spread(len(where), allowed if share is None else usual or other, generator)
            continue
        tied = round(share * len(where)) if name in knobs.context else shares.of(share, len(where))
        place[where[:tied]] = _spread(tied, usual, generator)
        place[where[tied:]] = _spread(len(where) - tied, other, generator)
    return place


def _others(kind: Tensor, place: Tensor, activity: Tensor, knobs: Knobs, generator: torch.Generator) -> None:
    """Fill the slots from the third on, in place: things of the place, now and then others, now and then twins."""
    count = len(kind)
    free = torch.tensor([name in knobs.things and name not in knobs.context for name in THING_NAMES])
    at_home = torch.tensor([[p in THINGS[name].homes for name in THING_NAMES] for p in PLACE_NAMES]) & free
    low, high = knobs.objects
    wanted = torch.randint(low, high + 1, (count,), generator=generator) - (kind[:, 1] >= 0).long()
    usual = torch.rand(count, SLOTS, generator=generator) < (0.5 if knobs.home is None else knobs.home)
    twins = (torch.rand(count, generator=generator) < knobs.repeat) & (wanted >= 1)
    for slot in range(2, SLOTS):
        weights = torch.where((usual[:, slot] & at_home[place].any(1))[:, None], at_home[place], free.expand(count, -1))
        weights = weights.float()
        rows, slots = torch.nonzero(kind > 0, as_tuple=True)
        weights[rows, kind[rows, slots] - 1] = 0  # a kind that is there already comes again only as a twin
        weights += 1e-6 * free  # where nothing usual is left
        drawn = torch.multinomial(weights, 1, generator=generator)[:, 0] + 1 if free.any() else kind[:, 1]
        kind[:, slot] = torch.where(slot - 2 < wanted, drawn, -1)
    pair = twins & (kind[:, 2] > 0)
    apart = activity < 0  # the person's own thing has no twin: "the dog" is the one that is walked
    like = torch.where(apart & (kind[:, 1] > 0), kind[:, 1], kind[:, 2])
    kind[:, 3] = torch.where(pair & ~apart & (wanted >= 2), like, kind[:, 3])
    kind[:, 2] = torch.where(pair & apart, like, kind[:, 2])
    third = pair & apart & (wanted >= 2) & (torch.rand(count, generator=generator) < 0.5)
    kind[:, 3] = torch.where(third, like, kind[:, 3])


def _colours_and_states(
    kind: Tensor, activity: Tensor, knobs: Knobs, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    drawn = torch.rand(*kind.shape, 2, generator=generator)
    palettes = [tuple(knobs.colours.get(name, THINGS[name].colours)) for name in THING_NAMES]
    longest = max(map(len, palettes))
    table = torch.tensor([[COLOUR_NAMES.index(p[i % len(p)]) for i in range(longest)] for p in palettes])
    lengths = torch.tensor([len(p) for p in palettes])
    thing = (kind - 1).clamp(min=0)
    colour = table[thing, (drawn[..., 0] * lengths[thing]).long()]
    state = (drawn[..., 1] * torch.tensor([max(1, len(t.states)) for t in THINGS.values()])[thing]).long()
    held = torch.tensor([a.state for a in ACTIVITIES.values()])[activity]
    state[:, 1] = torch.where(activity >= 0, held, state[:, 1])
    return torch.where(kind > 0, colour, -1), torch.where(kind > 0, state, 0)


def _looks(appearance: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """The cues that annotators go by. Each person called woman or man shows at least one, the others none."""
    count = len(appearance)
    coin = torch.rand(count, 7, generator=generator)
    shares = {  # word: shares of HAIR, shares of CLOTHES, beards, seen from behind
        "woman": ((0.15, 0.55, 0.30, 0.0, 0.0), (0.3, 0.4, 0.3, 0.0), 0.0, 0.1),
        "man": ((0.65, 0.10, 0.0, 0.25, 0.0), (0.85, 0.0, 0.0, 0.15), 0.5, 0.1),
        "unclear": ((0.0, 0.0, 0.0, 0.0, 1.0), (0.4, 0.0, 0.0, 0.6), 0.0, 0.4),
    }
    hair, clothes = torch.zeros(count, dtype=torch.long), torch.zeros(count, dtype=torch.long)
    beard, back = torch.zeros(count, dtype=torch.bool), torch.zeros(count, dtype=torch.bool)
    for number, word in enumerate(APPEARANCES):
        here = appearance == number
        hair_shares, clothes_shares, bearded, behind = shares[word]
        hair[here] = torch.bucketize(coin[here, 0], torch.tensor(hair_shares).cumsum(0), right=True).clamp(
            max=len(HAIR) - 1
        )
        found = torch.bucketize(coin[here, 1], torch.tensor(clothes_shares).cumsum(0), right=True)
        clothes[here] = found.clamp(max=len(CLOTHES) - 1)
        beard[here], back[here] = coin[here, 2] < bearded, coin[here, 3] < behind
    woman, man = appearance == 0, appearance == 1
    hair[woman & (hair == 0) & (clothes == 0)] = HAIR.index("long")
    shaggy = man & (hair == HAIR.index("long"))
    beard |= shaggy
    back &= ~shaggy
    dyes = [COLOUR_NAMES.index(n) for n in COLOUR_NAMES if n not in ("black", "brown")]
    return {
        "hair": hair,
        "hair_colour": (coin[:, 4] * len(HAIR_COLOURS)).long(),
        "clothes": clothes,
        "beard": beard,
        "back": back,
        "skin": coin[:, 5],
        "colour": torch.tensor(dyes)[(coin[:, 6] * len(dyes)).long()],
    }
