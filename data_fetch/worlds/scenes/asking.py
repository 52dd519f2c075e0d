"""Everything that can be asked of a scene, with the answer and the things that decide it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from data_fetch.fields import QA
from data_fetch.worlds.scenes.facts import Facts, Item
from data_fetch.worlds.scenes.vocabulary import THINGS

# kind of question: (question type as VQA names it, answer type)
KINDS = {
    "colour": ("what color is the", "other"),
    "clothes": ("what color are the", "other"),
    "is_colour": ("is the", "yes/no"),
    "state": ("is the", "yes/no"),
    "exists": ("is there a", "yes/no"),
    "place_fact": ("is there", "yes/no"),
    "count": ("how many", "number"),
    "side": ("where is the", "other"),
    "beside": ("what is to the", "other"),
    "place": ("what place is this", "other"),
    "indoors": ("is this", "yes/no"),
    "doing": ("what is the person", "other"),
    "using": ("what is the person", "other"),
    "animal": ("what animal is", "other"),
}
_FACTS = {"sky": "sky", "water": "water", "sand": "sand", "snow": "snow", "grass": "grass", "road": "a road",
          "trees": "a tree", "buildings": "a building", "mountains": "a mountain", "bed": "a bed"}  # fmt: skip
_USING = {
    "riding a snowboard": "riding", "playing tennis": "holding", "flying a kite": "flying",
    "cooking": "holding", "drinking from a cup": "holding", "eating a banana": "eating", "using a laptop": "using",
    "reading a book": "reading", "talking on the phone": "holding", "holding an umbrella": "holding",
    "riding a bicycle": "riding", "riding a horse": "riding", "walking a dog": "walking", "kicking a ball": "kicking",
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A question with its answer.

    kind : a key of `KINDS`, or the name of a rule.  slots : the things that decide the answer, looked at by anyone who
    answers; empty where the place decides.  region : the part of the place that decides, or "".  everywhere : nothing
    particular decides ("Is there a dog?" where there is none): one looks at everything.
    """

    question: str
    answer: str
    kind: str
    slots: tuple[int, ...] = ()
    region: str = ""
    everywhere: bool = False

    @property
    def qa(self) -> QA:
        return QA(self.question, self.answer, self.kind)


def perception(known: Facts, kinds: tuple[str, ...] = tuple(KINDS)) -> list[Asked]:
    """Every question of these kinds that has one right answer.

    Only of things of which there is one are colour, state and side asked. Questions about absent things take a few
    absent things, chosen by the scene's seed: one usual here, others not.
    """
    found = []
    for kind in kinds:
        found += _ASK[kind](known)
    return found


def _once(ask: Callable[[Facts], list[Asked]]) -> Callable[[Facts], tuple[Asked, ...]]:
    """Questions are asked again and again about one picture: the last few pictures' lists are kept."""

    @lru_cache(maxsize=8)
    def asked(known: Facts) -> tuple[Asked, ...]:
        return tuple(ask(known))

    return asked


def _yes(true: bool) -> str:
    return "yes" if true else "no"


def _plain(item: Item) -> bool:
    return item.name != "skis"


def _be(item: Item) -> str:
    return "is" if _plain(item) else "are"


@_once
def colour(known: Facts) -> list[Asked]:
    return [
        Asked(f"What color {_be(item)} the {item.name}?", item.colour, "colour", (item.slot,)) for item in known.single
    ]


@_once
def clothes(known: Facts) -> list[Asked]:
    if known.person is None:
        return []
    return [Asked("What color are the person's clothes?", known.person.colour, "clothes", (0,))]


@_once
def is_colour(known: Facts) -> list[Asked]:
    chance, found = random.Random(known.seed + 11), []
    for item in known.single:
        other = chance.choice([c for c in item.thing.colours if c != item.colour] or ["purple"])
        for word in (item.colour, other):
            question = f"{_be(item).capitalize()} the {item.name} {word}?"
            found.append(Asked(question, _yes(word == item.colour), "is_colour", (item.slot,)))
    return found


@_once
def state(known: Facts) -> list[Asked]:
    return [
        Asked(f"Is the {item.name} {word}?", _yes(item.state == word), "state", (item.slot,))
        for item in known.single
        for word in item.thing.states
    ]


@_once
def exists(known: Facts) -> list[Asked]:
    chance = random.Random(known.seed + 13)
    found = [
        Asked(f"Is there {THINGS[name].article}?", "yes", "exists", tuple(item.slot for item in known.of(name)))
        for name in known.counts
    ]
    here = known.place.name
    absent = [name for name in THINGS if not known.counts[name]]
    usual = [name for name in absent if here in THINGS[name].homes]
    chosen = {*chance.sample(usual, min(1, len(usual))), *chance.sample(absent, 2)}
    found += [
        Asked(f"Is there {THINGS[name].article}?", "no", "exists", everywhere=True) for name in THINGS if name in chosen
    ]
    person = known.person is not None
    return [*found, Asked("Is there a person?", _yes(person), "exists", (0,) if person else (), everywhere=not person)]


@_once
def place_fact(known: Facts) -> list[Asked]:
    found = []
    for fact, words in _FACTS.items():
        there = fact in known.place.facts
        region = fact if there else ""
        found.append(Asked(f"Is there {words}?", _yes(there), "place_fact", region=region, everywhere=not there))
    return found


@_once
def count(known: Facts) -> list[Asked]:
    found = [
        Asked(f"How many {THINGS[name].plural} are there?", str(number), "count", tuple(i.slot for i in known.of(name)))
        for name, number in known.counts.items()
        if name != "skis"
    ]
    absent = [name for name in THINGS if not known.counts[name] and name != "skis"]
    name = random.Random(known.seed + 17).choice(absent)
    return [*found, Asked(f"How many {THINGS[name].plural} are there?", "0", "count", everywhere=True)]


@_once
def side(known: Facts) -> list[Asked]:
    found = [
        Asked(f"Where is the {item.name}, left or right?", item.side, "side", (item.slot,))
        for item in known.single
        if item.side != "middle" and _plain(item)
    ]
    person = known.person
    if person is not None and person.side != "middle":
        found.append(Asked("Where is the person, left or right?", person.side, "side", (0,)))
    return found


@_once
def beside(known: Facts) -> list[Asked]:
    """The only other thing on that side of a thing, clearly apart from it; what a person holds is left out."""
    free = [item for item in known.items if known.held is None or item.slot != known.held.slot]
    found = []
    for item in known.single:
        if item not in free or not _plain(item):
            continue
        for word, sign in (("left", -1), ("right", 1)):
            there = [other for other in free if sign * (other.x - item.x) > 0]
            if len(there) == 1 and abs(there[0].x - item.x) > 0.12:
                question = f"What is to the {word} of the {item.name}?"
                found.append(Asked(question, there[0].name, "beside", (item.slot, there[0].slot)))
    return found


@_once
def place(known: Facts) -> list[Asked]:
    return [Asked("What place is this?", known.place.noun, "place", region="*")]


@_once
def indoors(known: Facts) -> list[Asked]:
    return [
        Asked("Is this indoors?", _yes(known.place.indoor), "indoors", region="*"),
        Asked("Is this outdoors?", _yes(not known.place.indoor), "indoors", region="*"),
    ]


@_once
def doing(known: Facts) -> list[Asked]:
    if known.person is None or (known.held is None and known.person.activity.thing is not None):
        return []
    slots = (0,) if known.held is None else (0, known.held.slot)
    return [Asked("What is the person doing?", known.person.activity.name, "doing", slots)]


@_once
def using(known: Facts) -> list[Asked]:
    if known.held is None or known.person.activity.name not in _USING:
        return []
    verb = _USING[known.person.activity.name]
    return [Asked(f"What is the person {verb}?", known.held.name, "using", (0, known.held.slot))]


@_once
def animal(known: Facts) -> list[Asked]:
    animals = known.group("animal")
    if len({item.name for item in animals}) != 1:
        return []
    slots = tuple(item.slot for item in animals)
    return [Asked("What animal is in the picture?", animals[0].name, "animal", slots)]


_ASK = {
    "colour": colour, "clothes": clothes, "is_colour": is_colour, "state": state, "exists": exists,
    "place_fact": place_fact, "count": count, "side": side, "beside": beside, "place": place, "indoors": indoors,
    "doing": doing, "using": using, "animal": animal,
}  # fmt: skip
