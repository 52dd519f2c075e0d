"""Clauses and sentences: frames with slots, filled with words of which each knows what it is there for.

Frames of a kind stand in one string, cut at " | ": {x} is the expression, {y} a second one, <not> a negator, other
braces are neutral. A frame is chosen before anybody looks at the polarity, so that it says nothing about it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from data_fetch.words import split_words
from data_fetch.worlds.reviews.domains import PARTICIPLES, SLOTS, Aspect, Domain
from data_fetch.worlds.reviews.lexicon import STRONG, WEAK, Expression, pool
from data_fetch.worlds.reviews.rule import HEDGED, INTENSIFIED, PLAIN

Word = tuple[str, str]  # a word and what it is: "sentiment", "shortcut" or "" for neutral
SENTIMENT, SHORTCUT, NEUTRAL = "sentiment", "shortcut", ""

_FRAMES = {
    "adjective": "{subject} {was} {x} | {subject} {was} {x} | I found {subject} {x} | {subject} seemed {x} to me | "
    "{subject} turned out to be {x} | {friend} thought that {subject} {was} {x} | {subject} {was} {x} and {y} | "
    "what I remember is how {x} {subject} {was} | {friend} called {subject} {x} | we all found {subject} {x}",
    "noun": "{subject} {was} {x} | {subject} turned out to be {x} | I would call {subject} {x} | "
    "for me {subject} {was} {x}",
    "phrase": "{subject} {was} {x} | I thought {subject} {was} {x} | {friend} said that {subject} {was} {x}",
    "verb": "{subject} {x} | {subject} {x} | in fact {subject} {x}",
    "liking": "I {x} {subject} | we {x} {subject} | {friend} {x} {subject}",
    "feeling": "I was {x} {subject} | we were {x} {subject} | {friend} was {x} {subject}",
    "adverb": "{subject} {was} {x} {participle} | I thought {subject} {was} {x} {participle}",
    "would": "I would {x} | I will {x} | we would {x} | my friends would {x}",
}
_NEGATED = {
    "adjective": "{subject} {was} <not> {x} | {subject} <{was}n't> {x} | {subject} {was} <never> {x} | "
    "{subject} {was} <hardly> {x} | {subject} {was} <far from> {x} | {subject} {was} <not at all> {x} | "
    "{subject} {was} <by no means> {x} | I did <not> find {subject} {x} | I would <not> call {subject} {x} | "
    "<nobody> could call {subject} {x} | I <can't> say that {subject} {was} {x} | "
    "{subject} {was} <neither> {x} <nor> {y} | there was <nothing> {x} about {subject} | "
    "I <never> found {subject} {x} | {subject} <didn't> seem {x} to me | I <don't> think that {subject} {was} {x} | "
    "{friend} did <not> think that {subject} {was} {x}",
    "noun": "{subject} {was} <not> {x} | {subject} {was} <hardly> {x} | {subject} <{was}n't> {x} | "
    "{subject} {was} <far from> {x} | I would <not> call {subject} {x} | <nobody> would call {subject} {x} | "
    "I <don't> think that {subject} {was} {x}",
    "phrase": "{subject} {was} <not> {x} | {subject} <{was}n't> {x} | {subject} {was} <hardly> {x} | "
    "I <can't> say that {subject} {was} {x}",
    "verb": "{subject} did <not> {base} | {subject} <didn't> {base} | {subject} <never> {x} | {subject} <hardly> {x}",
    "liking": "I did <not> {base} {subject} | I <didn't> {base} {subject} | we <never> {x} {subject} | "
    "<nobody> in our group {x} {subject} | I <can't> say that I {x} {subject}",
    "feeling": "I was <not> {x} {subject} | I <wasn't> {x} {subject} | we were <never> {x} {subject} | "
    "<nobody> in our group was {x} {subject} | I <can't> say that I was {x} {subject}",
    "adverb": "{subject} {was} <not> {x} {participle} | {subject} <{was}n't> {x} {participle} | "
    "I <don't> think that {subject} {was} {x} {participle}",
    "would": "I would <not> {x} | I <wouldn't> {x} | I will <never> {x} | <nobody> I know would {x}",
}
_FRIENDS = ("my sister", "my brother", "my wife", "my husband", "my cousin", "my father", "everyone in our group")
_SHARES = {  # how often a clause is of a kind, by its weight
    2: {"adjective": 8, "noun": 3, "phrase": 3, "verb": 4, "liking": 3, "feeling": 3, "adverb": 2, "would": 0},
    3: {"adjective": 8, "noun": 3, "verb": 2, "liking": 2, "feeling": 2},
    1: {"adjective": 1},
}
_VERDICT_SHARES = {**_SHARES[2], "adverb": 0, "would": 6}
_VOWEL = re.compile(r"(?i)(?!one\b|once|uni|use|euro)[aeiou]|hour|honest")


@dataclass(frozen=True)
class Wish:
    """What a clause is to say.

    polarity : 1 or -1 as the reader understands it.  weight : as in `rule.Clause`.  negated : by a negator.
    verdict : of the whole thing, not of an aspect.  part : of the lexicon, see `lexicon.pool`.
    """

    polarity: int
    weight: int = PLAIN
    negated: bool = False
    verdict: bool = False
    part: str = "all"


def clause(wish: Wish, domain: Domain, aspect: Aspect, rng: random.Random) -> list[Word]:
    """The words of one clause; it starts in lower case unless with "I" or a name."""
    shares = dict(_VERDICT_SHARES if wish.verdict and wish.weight == PLAIN else _SHARES[wish.weight])
    if aspect.group == "price" and not wish.verdict:  # "the price blew me away" could mean anything
        shares = {"adjective": 1}
    kind = rng.choices(list(shares), list(shares.values()))[0]
    group = "general" if wish.verdict else aspect.group
    frames = (_NEGATED if wish.negated else _FRAMES)[kind].split(" | ")
    frame = rng.choice([f for f in frames if wish.weight == PLAIN or "how {x}" not in f])
    options = pool(
        kind,
        group,
        -wish.polarity if wish.negated else wish.polarity,
        part=wish.part,
        negatable=wish.negated,
        gradable=wish.weight == HEDGED,
    )
    chosen = _pick(options, group, rng)
    other = _pick([e for e in options if e is not chosen], group, rng) if "{y}" in frame else chosen
    values = {
        "x": _weighed(chosen, chosen.text, wish.weight, rng),
        "base": chosen.base,
        "y": other.text,
        "was": "was" if wish.verdict else aspect.was,
        "subject": rng.choice(("it", f"the {rng.choice(domain.items)}"))
        if wish.verdict
        else _named(aspect, domain, rng),
        "friend": rng.choice(_FRIENDS),
        "participle": rng.choice(PARTICIPLES.get(group, ("made",))),
    }
    return fill(frame, values, marked=("x", "y", "base"))


def conceded_noun(wish: Wish, domain: Domain, aspect: Aspect, rng: random.Random) -> list[Word]:
    """The words of "the bland soup", for "Despite the bland soup, ..."."""
    chosen = _pick(pool("adjective", aspect.group, wish.polarity, part=wish.part), aspect.group, rng)
    return fill("the {x} {aspect}", {"x": chosen.text, "aspect": aspect.name}, marked=("x",))


def fact(template: str, domain: Domain, rng: random.Random, *, city: str | None = None) -> list[Word]:
    """The words of a neutral sentence without its full stop; `city`, if given, is marked as the shortcut."""

    def drawn(match: re.Match) -> str:
        name = match[1]
        if name == "city" and city is not None:
            return "{city}"
        return rng.choice(domain.slots.get(name) or SLOTS[name])

    text = re.sub(r"\{(\w+)\}", drawn, template.rstrip("."))
    return fill(text, {"city": city or ""}, marked=("city",), mark=SHORTCUT)


def fill(frame: str, values: dict[str, str], *, marked: Sequence[str], mark: str = SENTIMENT) -> list[Word]:
    """The words of a frame: those of the slots `marked` and those in <> carry the mark."""
    words: list[Word] = []
    for piece in re.split(r"(<[^>]*>|\{\w+\})", frame):
        slot = piece[1:-1]
        if piece.startswith("<"):
            words += [(word, mark) for word in split_words(slot.format(**values))]
        elif piece.startswith("{"):
            words += [(word, mark if slot in marked else NEUTRAL) for word in split_words(values[slot])]
        else:
            words += [(word, NEUTRAL) for word in split_words(piece)]
    return words


def sentence(words: Sequence[Word], end: str = ".") -> list[Word]:
    """The words with a capital at the start, "an" before a vowel, and the mark that ends the sentence."""
    spelled = []
    for n, (word, mark) in enumerate(words):
        if word in ("a", "A") and n + 1 < len(words) and _VOWEL.match(words[n + 1][0]):
            word += "n"
        spelled.append((word[0].upper() + word[1:] if n == 0 else word, mark))
    return [*spelled, (end, NEUTRAL)]


def _pick(options: Sequence[Expression], group: str, rng: random.Random) -> Expression:
    """One of them, more often of the group than a general one."""
    own = [e for e in options if e.group == group]
    return rng.choice(own if own and rng.random() < 0.6 else options)


def _weighed(expression: Expression, text: str, weight: int, rng: random.Random) -> str:
    """The expression with an intensifier or a hedge, by its weight."""
    if weight == HEDGED:
        return f"{rng.choice(WEAK)} {text}"
    if weight != INTENSIFIED:
        return text
    if expression.kind == "noun":
        return f"a {rng.choice(STRONG['noun'])} {text.split(' ', 1)[1]}"
    how = "verb" if expression.kind != "adjective" else "extreme" if expression.extreme else "gradable"
    return f"{rng.choice(STRONG[how])} {text}"


def _named(aspect: Aspect, domain: Domain, rng: random.Random) -> str:
    """ "the soup", at times with a detail: "the soup at lunch"."""
    if aspect.group == "price" or rng.random() < 0.75:
        return f"the {aspect.name}"
    detail = rng.choice(domain.details)
    return f"the {aspect.name} " + re.sub(r"\{(\w+)\}", lambda m: rng.choice(SLOTS[m[1]]), detail)
