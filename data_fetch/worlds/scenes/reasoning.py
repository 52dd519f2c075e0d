"""Reasoning questions: their answer follows from answers to perception questions, which come with them.

In the manner of VQA-Introspect (Selvaraju et al., arXiv 2001.06927): a reasoning question needs knowledge on top of what
is seen; its perception sub-questions can be answered by looking. Each rule below is one such piece of knowledge.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from data_fetch.worlds.scenes import asking
from data_fetch.worlds.scenes.asking import Asked, perception
from data_fetch.worlds.scenes.facts import Facts


@dataclass(frozen=True)
class Reasoned:
    """A reasoning question and the perception questions that its answer follows from."""

    asked: Asked
    perception: tuple[Asked, ...]


def reasoned(known: Facts) -> list[Reasoned]:
    """Every reasoning question that the scene allows."""
    found = []
    for name, rule in RULES.items():
        for question, answer, subs in rule(known):
            slots = tuple(dict.fromkeys(slot for sub in subs for slot in sub.slots))
            region = next((sub.region for sub in subs if sub.region), "")
            asked = Asked(question, answer, name, slots, region, everywhere=not slots and not region)
            found.append(Reasoned(asked, tuple(subs)))
    return found


def irrelevant(known: Facts, reason: Reasoned, most: int = 4) -> tuple[Asked, ...]:
    """Up to `most` perception questions about other things in the picture, on which the answer does not rest."""
    words = {sub.question for sub in reason.perception}
    kinds = {sub.kind for sub in reason.perception} if reason.asked.region else set()
    others = [
        other
        for other in perception(known)
        if other.slots
        and not set(other.slots) & set(reason.asked.slots)
        and other.question not in words
        and other.kind not in kinds
    ]
    chance = random.Random(known.seed + 101 * list(RULES).index(reason.asked.kind))
    return tuple(chance.sample(others, min(most, len(others))))


def _yes(true: bool) -> str:
    return "yes" if true else "no"


def _pick(questions: list[Asked], text: str) -> list[Asked]:
    return [asked for asked in questions if asked.question == text]


def _fact(known: Facts, fact: str) -> list[Asked]:
    return [
        asked for asked in asking.place_fact(known) if asked.question in (f"Is there {fact}?", f"Is there a {fact}?")
    ]


def _there(known: Facts, name: str) -> Asked:
    """ "Is there a dog?", whether there is one or not."""
    slots = tuple(item.slot for item in known.of(name))
    text = f"Is there {asking.THINGS[name].article}?"
    return Asked(text, _yes(bool(slots)), "exists", slots, everywhere=not slots)


def _one(known: Facts, name: str):
    items = known.of(name)
    return items[0] if len(items) == 1 else None


def skiing_day(known):
    if known.place.indoor:
        return []
    return [("Is it a good day for skiing?", _yes("snow" in known.place.facts), _fact(known, "snow"))]


def swim(known):
    return [("Could somebody swim here?", _yes("water" in known.place.facts), _fact(known, "water"))]


def sandcastle(known):
    return [("Could a child build a sandcastle here?", _yes("sand" in known.place.facts), _fact(known, "sand"))]


def sleep(known):
    subs = [*_fact(known, "bed"), _there(known, "tent")]
    return [("Is there a place to sleep?", _yes("bed" in known.place.facts or bool(known.of("tent"))), subs)]


def rain(known):
    if known.person is None or not asking.doing(known):
        return []
    dry = known.place.indoor or known.person.activity.name == "holding an umbrella"
    subs = [*_pick(asking.indoors(known), "Is this indoors?"), *asking.doing(known)]
    return [("Would the person get wet in the rain?", _yes(not dry), subs)]


SPORTS = ("riding a snowboard", "skiing", "surfing", "playing tennis", "riding a bicycle", "riding a horse",
          "kicking a ball")  # fmt: skip


def sport(known):
    subs = asking.doing(known)
    return [("Is the person doing a sport?", _yes(known.person.activity.name in SPORTS), subs)] if subs else []


def wheels(known):
    subs = asking.doing(known)
    answer = known.person is not None and known.person.activity.name == "riding a bicycle"
    return [("Is the person moving on wheels?", _yes(answer), subs)] if subs else []


def hands(known):
    subs = asking.using(known)
    busy = known.person is not None and known.person.activity.pose not in ("ride", "kick")
    return [("Does the person need their hands for this?", _yes(busy), subs)] if subs else []


def drive_on(known):
    light = _one(known, "traffic light")
    if light is None:
        return []
    subs = _pick(asking.colour(known), "What color is the traffic light?")
    return [("Are the cars allowed to go?", _yes(light.colour == "green"), subs)]


def ripe(known):
    banana = _one(known, "banana")
    if banana is None:
        return []
    subs = _pick(asking.colour(known), "What color is the banana?")
    return [("Is the banana ripe?", _yes(banana.colour == "yellow"), subs)]


def snack(known):
    food = known.group("food")
    if food:
        return [("Could a hungry child find a snack here?", "yes", [_there(known, food[0].name)])]
    return [
        (
            "Could a hungry child find a snack here?",
            "no",
            [_there(known, n) for n in ("banana", "apple", "cake", "pizza")],
        )
    ]


def night(known):
    lamp = _one(known, "lamp")
    if lamp is None:
        return []
    subs = [asked for asked in asking.state(known) if asked.question == "Is the lamp on?"]
    return [("Is somebody wasting electricity?", _yes(lamp.state == "on"), subs)]


def typing(known):
    laptop = _one(known, "laptop")
    if laptop is None:
        return []
    subs = _pick(asking.state(known), "Is the laptop open?")
    return [("Could somebody type on the laptop now?", _yes(laptop.state == "open"), subs)]


def seats(known):
    chairs = known.of("chair")
    if not chairs:
        return []
    subs = _pick(asking.count(known), "How many chairs are there?")
    return [("Could two people sit on chairs?", _yes(len(chairs) >= 2), subs)]


def sail(known):
    if not known.of("boat"):
        return []
    return [("Could the boat sail away?", _yes("water" in known.place.facts), _fact(known, "water"))]


def milk(known):
    subs = asking.animal(known)
    if not subs:
        return []
    return [("Does the animal give milk that people drink?", _yes(subs[0].answer == "cow"), subs)]


def feathers(known):
    subs = asking.animal(known)
    return [("Does the animal have feathers?", _yes(subs[0].answer == "duck"), subs)] if subs else []


def more_animals(known):
    animals = known.group("animal")
    names = {item.name for item in animals}
    if len(names) != 1:
        return []
    people = int(known.person is not None)
    plural = animals[0].thing.plural
    subs = [*_pick(asking.count(known), f"How many {plural} are there?")]
    subs += _pick(asking.exists(known), "Is there a person?")
    return [("Are there more animals than people?", _yes(len(animals) > people), subs)]


def same_colour(known):
    found = []
    for a, b in combinations(known.single, 2):
        if "skis" in (a.name, b.name):
            continue
        subs = [q for q in asking.colour(known) if q.slots in ((a.slot,), (b.slot,))]
        question = f"Do the {a.name} and the {b.name} have the same color?"
        found.append((question, _yes(a.colour == b.colour), subs))
    return found


def clothes_match(known):
    if known.person is None:
        return []
    found = []
    for item in known.single:
        if item.name == "skis":
            continue
        subs = [*asking.clothes(known), *_pick(asking.colour(known), f"What color is the {item.name}?")]
        question = f"Do the person's clothes match the {item.name}?"
        found.append((question, _yes(known.person.colour == item.colour), subs))
    return found


def far_sides(known):
    found = []
    for a, b in combinations(known.single, 2):
        subs = [q for q in asking.side(known) if q.slots in ((a.slot,), (b.slot,))]
        if len(subs) == 2:
            question = f"Are the {a.name} and the {b.name} on opposite sides?"
            found.append((question, _yes(a.side != b.side), subs))
    return found


RULES: dict[str, Callable[[Facts], list[tuple[str, str, Sequence[Asked]]]]] = {
    function.__name__: function
    for function in (
        skiing_day, swim, sandcastle, sleep, rain, sport, wheels, hands, drive_on, ripe, snack, night, typing, seats,
        sail, milk, feathers, more_animals, same_colour, clothes_match, far_sides,
    )
}  # fmt: skip
