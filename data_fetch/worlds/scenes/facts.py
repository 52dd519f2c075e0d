"""What can be said of a scene, read from its graph: one `Facts` a picture, in words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from data_fetch.worlds.scenes.graph import Graph
from data_fetch.worlds.scenes.vocabulary import (
    ACTIVITIES,
    ACTIVITY_NAMES,
    APPEARANCES,
    CLOTHES,
    COLOUR_NAMES,
    HAIR,
    KINDS,
    PLACE_NAMES,
    PLACES,
    THINGS,
    Activity,
    Place,
    Thing,
)

_LEFT, _RIGHT = 0.4, 0.6  # of the width: what lies between is neither on the left nor on the right


@dataclass(frozen=True)
class Item:
    """One thing that is seen: its slot, kind, colour word, state word ("" where it has none) and centre."""

    slot: int
    thing: Thing
    colour: str
    state: str
    x: float
    y: float

    @property
    def name(self) -> str:
        return self.thing.name

    @property
    def side(self) -> str:
        return "left" if self.x < _LEFT else "right" if self.x > _RIGHT else "middle"


@dataclass(frozen=True)
class Person:
    """The person: the word for the looks, the number of cues that tell, what they do, colour of the clothes, x."""

    appearance: str
    cues: int
    activity: Activity
    colour: str
    x: float

    @property
    def side(self) -> str:
        return "left" if self.x < _LEFT else "right" if self.x > _RIGHT else "middle"


@dataclass(frozen=True, eq=False)  # compared by identity: what is derived from it can be kept beside it
class Facts:
    """What a picture shows: its place, its person or None, and the things that are seen, from left to right."""

    place: Place
    person: Person | None
    items: tuple[Item, ...]
    seed: int

    @cached_property
    def counts(self) -> Counter[str]:
        """How many of each kind of thing are seen."""
        return Counter(item.name for item in self.items)

    @cached_property
    def single(self) -> tuple[Item, ...]:
        """The things of which there is one: "the dog" is clear."""
        return tuple(item for item in self.items if self.counts[item.name] == 1)

    @cached_property
    def held(self) -> Item | None:
        """The thing with which the person does something."""
        if self.person is None or self.person.activity.thing is None:
            return None
        return next((item for item in self.items if item.slot == 1), None)

    def of(self, name: str) -> tuple[Item, ...]:
        """The things of one kind."""
        return tuple(item for item in self.items if item.name == name)

    def group(self, group: str) -> tuple[Item, ...]:
        """The things of one group: "animal", "food", ..."""
        return tuple(item for item in self.items if item.thing.group == group)

    @property
    def slots(self) -> tuple[int, ...]:
        """The slots of everything that is seen."""
        return (*((0,) if self.person else ()), *(item.slot for item in self.items))


def facts(graph: Graph, seen: Tensor, n: int) -> Facts:
    """The facts of row n; seen (N, K) bool says which slots anybody would speak of."""
    kinds, shown = graph.kind[n].tolist(), seen[n].tolist()
    colours, states = graph.colour[n].tolist(), graph.state[n].tolist()
    xs, ys = graph.x[n].tolist(), graph.y[n].tolist()
    items = []
    for slot in range(1, len(kinds)):
        if kinds[slot] > 0 and shown[slot]:
            thing = THINGS[KINDS[kinds[slot]]]
            state = thing.states[states[slot]] if thing.states else ""
            items.append(Item(slot, thing, COLOUR_NAMES[colours[slot]], state, xs[slot], ys[slot]))
    person = None
    if kinds[0] == 0 and shown[0]:
        activity = ACTIVITIES[ACTIVITY_NAMES[int(graph.activity[n])]]
        word = APPEARANCES[int(graph.appearance[n])]
        person = Person(word, _cues(graph, n), activity, COLOUR_NAMES[colours[0]], xs[0])
    items.sort(key=lambda item: item.x)
    return Facts(PLACES[PLACE_NAMES[int(graph.place[n])]], person, tuple(items), int(graph.seeds[n]))


def all_facts(graph: Graph, seen: Tensor) -> list[Facts]:
    """The facts of every row."""
    graph, seen = graph.to("cpu"), seen.cpu()
    return [facts(graph, seen, n) for n in range(len(graph))]


def _cues(graph: Graph, n: int) -> int:
    """How many things about the person tell an annotator which word to use."""
    hair, clothes = HAIR[int(graph.hair[n])], CLOTHES[int(graph.clothes[n])]
    beard = bool(graph.beard[n]) and not bool(graph.back[n])
    word = APPEARANCES[int(graph.appearance[n])]
    if word == "woman":
        return (hair in ("long", "bun")) + (clothes in ("dress", "skirt"))
    return (hair in ("short", "bald")) + beard if word == "man" else 0
