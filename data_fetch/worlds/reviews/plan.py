"""From a plan (how many sentences, which of them decides) to the words and clauses of one review.

What is drawn here depends on the label through one thing alone: the polarity that is asked of each clause.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from data_fetch.worlds.reviews.domains import CITY_FACTS, Aspect, Domain, facts
from data_fetch.worlds.reviews.grammar import NEUTRAL, SENTIMENT, Wish, Word, clause, conceded_noun, fact, sentence
from data_fetch.worlds.reviews.rule import HEDGED, INTENSIFIED, PLAIN, Clause, decide

OPENINGS = (
    "all in all", "overall", "in the end", "to sum up", "in short", "on the whole", "when all is said and done",
    "in conclusion", "my verdict", "to cut a long story short",
)  # fmt: skip
CONTRASTS = (  # A is conceded and B stays
    "{A} , but {B}", "{A} , but {B}", "{A} ; however , {B}", "{A} , yet {B}", "although {A} , {B}", "even though {A} , {B}",
    "{B} , although {A}", "{B} , even though {A}", "despite {A} , {B}",
)  # fmt: skip
_LINKS = ("also ,", "to be honest ,", "for the record ,", "by the way ,", "as it happens ,", "I must say that")
_WHOLE = Aspect("it", "general", False)


@dataclass(frozen=True)
class Order:
    """What one review must be: label 1 or -1, whether it has a negation, a contrast, opinions both ways; its length."""

    sign: int
    negation: bool
    contrast: bool
    mixed: bool
    sentences: int
    domain: Domain
    city: str | None = None  # named in a sentence of its own and marked as the shortcut
    part: str = "all"


@dataclass
class _Plan:
    """A sentence before it has words. `wishes`: one opinion, two joined by "and", or conceded and final."""

    kind: str  # "fact", "city", "opinion", "contrast" or "verdict"
    wishes: list[Wish] = field(default_factory=list)
    fixed: bool = False  # the weights matter for the label: they stay as they are


def least_sentences(*, mixed: bool, city: bool) -> int:
    """The fewest sentences that such a review needs."""
    return 1 + mixed + city


def write(order: Order, rng: random.Random) -> tuple[list[Word], tuple[Clause, ...]]:
    """The words of a review, with their marks, and its clauses."""
    plans = _plans(order, rng)
    _negate(order, plans, rng)
    words: list[Word] = []
    clauses: list[Clause] = []
    used: set[str] = set()
    for plan in plans:
        parts, frame = _parts(plan, order, used, rng)
        _append(plan, frame, parts, words, clauses)
    decided = decide(clauses)[1]
    return words, tuple(replace(c, decisive=d) for c, d in zip(clauses, decided, strict=True))


def _plans(order: Order, rng: random.Random) -> list[_Plan]:
    room = order.sentences - (order.city is not None)
    sign, verdict = order.sign, None
    opinions: list[_Plan] = []
    if order.mixed and (room < 3 or rng.random() < 0.5):  # the stronger word decides
        pairs = [(INTENSIFIED, PLAIN), (PLAIN, HEDGED)] + [(INTENSIFIED, HEDGED)] * (not order.negation)
        for polarity, weight in zip((sign, -sign), rng.choice(pairs), strict=True):
            opinions.append(_Plan("opinion", [Wish(polarity, weight, part=order.part)], fixed=True))
    elif order.mixed:  # the verdict decides
        opinions = [_Plan("opinion", [Wish(-sign, part=order.part)]) for _ in range(2)]
        verdict = _Plan("verdict", [Wish(sign, verdict=True, part=order.part)])
    else:
        opinions = [_Plan("opinion", [Wish(sign, part=order.part)])]
        if room > 1 and rng.random() < 0.3:
            verdict = _Plan("verdict", [Wish(sign, verdict=True, part=order.part)])
    if order.contrast:
        turned = rng.choice(opinions)
        turned.kind = "contrast"
        turned.wishes.insert(0, Wish(-turned.wishes[0].polarity, part=order.part))
    for _ in range(room - len(opinions) - (verdict is not None)):
        agrees = not order.mixed and rng.random() < 0.4
        opinions.append(_Plan("opinion", [Wish(sign, part=order.part)]) if agrees else _Plan("fact"))
    opinions += [_Plan("city")] * (order.city is not None)
    rng.shuffle(opinions)
    if rng.random() < 0.5:
        opinions.sort(key=lambda plan: plan.kind not in ("fact", "city"))
    for plan in opinions:
        _vary(plan, rng)
    if verdict is None:
        return opinions
    return [*opinions, verdict] if rng.random() < 0.85 else [verdict, *opinions]


def _vary(plan: _Plan, rng: random.Random) -> None:
    """Where it does not matter for the label: two clauses joined by "and", hedges and intensifiers."""
    if plan.fixed or not plan.wishes:
        return
    if plan.kind == "opinion" and rng.random() < 0.15:
        plan.wishes = [plan.wishes[0], replace(plan.wishes[0])]
    weights = rng.choices((PLAIN, HEDGED, INTENSIFIED), (7, 1, 2), k=len(plan.wishes))
    plan.wishes = [replace(wish, weight=weight) for wish, weight in zip(plan.wishes, weights, strict=True)]


def _negate(order: Order, plans: Sequence[_Plan], rng: random.Random) -> None:
    """Negate at least one clause of a review that is to have a negation, three times out of four one that counts."""
    if not order.negation:
        return
    places = [
        (plan, n)
        for plan in plans
        for n, wish in enumerate(plan.wishes)
        if wish.weight == PLAIN or not (plan.fixed and n == len(plan.wishes) - 1)
    ]
    final = [(plan, n) for plan, n in places if n == len(plan.wishes) - 1 and plan.wishes[n].polarity == order.sign]
    chosen = rng.choice(final if final and rng.random() < 0.75 else places)
    for plan, n in places:
        if (plan is chosen[0] and n == chosen[1]) or rng.random() < 0.15:
            plan.wishes[n] = replace(plan.wishes[n], negated=True, weight=PLAIN)


def _parts(
    plan: _Plan, order: Order, used: set[str], rng: random.Random
) -> tuple[list[tuple[str, Wish | None, list[Word]]], str]:
    """For each clause of a sentence its kind, wish and words; and the frame {A} ... {B} that joins them."""
    domain = order.domain
    if plan.kind == "fact":
        choices = [f for f in facts(domain, cities=order.city is None) if f not in used]
        template = rng.choice(choices)
        used.add(template)
        return [("fact", None, fact(template, domain, rng))], "{A}"
    if plan.kind == "city":
        return [("fact", None, fact(rng.choice(CITY_FACTS), domain, rng, city=order.city))], "{A}"
    if plan.kind == "verdict":
        opening = rng.choice(OPENINGS)
        words = clause(plan.wishes[0], domain, _WHOLE, rng)
        return [("verdict", plan.wishes[0], words)], f"{opening} {':' if opening == 'my verdict' else ','} {{A}}"
    frame = "{A} , and {B}" if len(plan.wishes) == 2 else rng.choice(("{A}",) * 4 + (f"{rng.choice(_LINKS)} {{A}}",))
    if plan.kind == "contrast":
        allowed = [f for f in CONTRASTS if "despite" not in f or not plan.wishes[0].negated]
        frame = rng.choice(allowed)
    parts = []
    for n, wish in enumerate(plan.wishes):
        aspect = rng.choice([a for a in domain.aspects if a.name not in used])
        used.add(aspect.name)
        if frame.startswith("despite") and n == 0:
            wish = replace(wish, weight=PLAIN)
        make = conceded_noun if frame.startswith("despite") and n == 0 else clause
        parts.append(("opinion", wish, make(wish, domain, aspect, rng)))
    return parts, frame


def _append(plan: _Plan, frame: str, parts: Sequence, words: list[Word], clauses: list[Clause]) -> None:
    """Put a sentence at the end of `words`, and its clauses at the end of `clauses`, in the order of the text."""
    flat: list[Word] = []
    for token in frame.split():
        if token not in ("{A}", "{B}"):
            flat.append((token, NEUTRAL))
            continue
        kind, wish, made = parts["AB".index(token[1])]
        start = len(words) + len(flat)
        flat += made
        clauses.append(
            Clause(
                kind=kind,
                polarity=wish.polarity if wish else 0,
                weight=wish.weight if wish else 0,
                negated=bool(wish and wish.negated),
                conceded=plan.kind == "contrast" and token == "{A}",
                decisive=False,
                start=start,
                end=start + len(made),
                marked=tuple(start + n for n, (_, mark) in enumerate(made) if mark == SENTIMENT),
            )
        )
    words += sentence(flat)
