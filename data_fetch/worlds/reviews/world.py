"""A world of short reviews: which words carry the sentiment, and why the label is what it is, are known exactly."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from data_fetch.words import join_words
from data_fetch.worlds.reviews.data import Reviews
from data_fetch.worlds.reviews.domains import CITIES, DOMAIN_NAMES, DOMAINS
from data_fetch.worlds.reviews.grammar import SHORTCUT, Word
from data_fetch.worlds.reviews.lexicon import PARTS
from data_fetch.worlds.reviews.plan import Order, least_sentences, write
from data_fetch.worlds.reviews.rule import Clause

CLASSES = ("negative", "positive")
TIES = ("city", "domain")
TIED_CITIES = CITIES[:2]  # the city that goes with a negative and with a positive review
_TRIES = 50  # how often a review that is there already is written anew

Written = tuple[list[Word], tuple[Clause, ...]]


def reviews(
    count: int,
    *,
    seed: int = 0,
    domains: Sequence[str] = DOMAIN_NAMES,
    negation: float = 0.3,
    contrast: float = 0.25,
    mixed: float = 0.15,
    length: tuple[int, int] = (1, 4),
    tie: float | None = None,
    tied: str = "city",
    expressions: str = "all",
) -> Reviews:
    """Write `count` reviews; the same arguments give the same reviews.

    Labels are balanced to within one, and the shares below are reached to within one review of each label, so that
    none of them says anything about the label. The rule of the label is `rule.decide`.

    Parameters
    ----------
    domains : names out of `DOMAIN_NAMES`, equally often with each label.
    negation : share of the reviews in which a negator turns an expression around ("never boring").
    contrast : share in which something is conceded ("The soup was bland, but the waiters won me over.").
    mixed : share in which opinions that are not conceded go both ways: a verdict ("All in all, ...") goes against
        the two opinions before it, or a stronger word outweighs a weaker one ("very rude", "fairly tasty").
    length : fewest and most sentences, 1 to 6; reviews that need more than the fewest get them.
    tie : share of each label's reviews in which the spurious feature goes with the label, reached exactly up to
        rounding: 1 always, 0.5 as often as not, 0 never. None: there is no such feature.
    tied : the spurious feature, without meaning for the sentiment. "city": every review names one of two cities in a
        neutral sentence, `TIED_CITIES[0]` goes with negative. "domain": `domains` at even places go with negative.
    expressions : the part of the lexicon in use: "all", "common" (a smaller one, quicker to learn), or "seen" and
        "unseen", which share no expression.

    Raises
    ------
    ValueError : naming the argument that is out of range.
    """
    shares = {"negation": negation, "contrast": contrast, "mixed": mixed}
    _check(count, domains, shares, length, tie, tied, expressions)
    rng = random.Random(f"reviews {seed}")
    labels = [n % 2 for n in range(count)]
    rng.shuffle(labels)
    flags = [_flags(labels, share, rng) for share in shares.values()]
    goes = [None] * count if tie is None else _flags(labels, tie, rng)
    spurious = [-1 if g is None else label if g else 1 - label for g, label in zip(goes, labels, strict=True)]
    chosen = _domains(labels, spurious if tied == "domain" else [-1] * count, len(domains), rng)
    orders = []
    for n, (negated, conceding, both) in enumerate(zip(*flags, strict=True)):
        city = TIED_CITIES[spurious[n]] if tie is not None and tied == "city" else None
        low = max(length[0], least_sentences(mixed=both, city=city is not None))
        size, domain = rng.randint(low, length[1]), DOMAINS[domains[chosen[n]]]
        orders.append(Order(2 * labels[n] - 1, negated, conceding, both, size, domain, city, expressions))
    written = _write_all(orders, seed)
    return Reviews(
        texts=tuple(join_words(word for word, _ in words) for words, _ in written),
        words=tuple(tuple(word for word, _ in words) for words, _ in written),
        labels=torch.tensor(labels, dtype=torch.long),
        class_names=CLASSES,
        names=tuple(f"reviews/{seed}/{n}" for n in range(count)),
        clauses=tuple(clauses for _, clauses in written),
        domains=torch.tensor(chosen, dtype=torch.long),
        spurious=torch.tensor(spurious, dtype=torch.long),
        domain_names=tuple(domains),
        tie=tie,
        tied=tied,
        expressions=expressions,
        **_marks(written, labels),
    )


def _check(count, domains, shares, length, tie, tied, expressions) -> None:
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    if not domains or isinstance(domains, str) or len(set(domains)) != len(domains) or not set(domains) <= set(DOMAINS):
        raise ValueError(f"domains must be different names out of {DOMAIN_NAMES}, got {domains!r}")
    for name, share in (*shares.items(), ("tie", 0.5 if tie is None else tie)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name} is a share of the reviews, 0 to 1, got {share}")
    if tied not in TIES or (tied == "domain" and tie is not None and len(domains) < 2):
        raise ValueError(f"tied must be one of {TIES}, and 'domain' needs at least two domains, got {tied!r}")
    if expressions not in PARTS:
        raise ValueError(f"expressions must be one of {PARTS}, got {expressions!r}")
    least = least_sentences(mixed=shares["mixed"] > 0, city=tie is not None and tied == "city")
    if not (1 <= length[0] <= length[1] <= 6 and least <= length[1]):
        raise ValueError(
            f"length must be (fewest, most) sentences, 1 to 6 and here most at least {least}, got {length}"
        )


def _flags(labels: Sequence[int], share: float, rng: random.Random) -> list[bool]:
    """True for `share` of all rows, to within one, and equally often with both labels."""
    flags, given = [False] * len(labels), 0
    for label in (0, 1):
        where = [n for n, found in enumerate(labels) if found == label]
        rng.shuffle(where)
        wanted = round(share * len(where)) if label == 0 else round(share * len(labels)) - given
        for n in where[: max(wanted, 0)]:
            flags[n] = True
        given += wanted
    return flags


def _domains(labels: Sequence[int], tied: Sequence[int], count: int, rng: random.Random) -> list[int]:
    """A domain for each row, all equally often with each label; of those at even or odd places where `tied` is 0, 1."""
    chosen = [0] * len(labels)
    for key in sorted(set(zip(labels, tied, strict=True))):
        where = [n for n, found in enumerate(zip(labels, tied, strict=True)) if found == key]
        rng.shuffle(where)
        allowed = range(count) if key[1] < 0 else range(key[1], count, 2)
        for place, n in enumerate(where):
            chosen[n] = allowed[place % len(allowed)]
    return chosen


def _write_all(orders: Sequence[Order], seed: int) -> list[Written]:
    """All reviews, each drawn from a stream of its own; one that repeats another is written anew, if that helps."""
    written, seen = [], set()
    for n, order in enumerate(orders):
        rng = random.Random(f"review {seed} {n}")
        for _ in range(_TRIES):
            review = write(order, rng)
            key = tuple(word for word, _ in review[0])
            if key not in seen:
                break
        seen.add(key)
        written.append(review)
    return written


def _marks(written: Sequence[Written], labels: Sequence[int]) -> dict[str, tuple[tuple[bool, ...], ...]]:
    """The fields of `Reviews` that hold a mark for each word."""
    rows: dict[str, list] = {"evidence": [], "decisive": [], "opposing": [], "shortcut": []}
    for (words, clauses), label in zip(written, labels, strict=True):
        sign = 2 * label - 1
        sets = {
            "evidence": {n for c in clauses if c.polarity == sign for n in c.marked},
            "decisive": {n for c in clauses if c.decisive for n in c.marked},
            "opposing": {n for c in clauses if c.polarity == -sign for n in c.marked},
            "shortcut": {n for n, (_, mark) in enumerate(words) if mark == SHORTCUT},
        }
        for name, found in sets.items():
            rows[name].append(tuple(n in found for n in range(len(words))))
    return {name: tuple(found) for name, found in rows.items()}
