"""What a review says, clause by clause, and the rule that gives its label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

HEDGED, PLAIN, INTENSIFIED = 1, 2, 3  # weight of an expression: after "fairly", alone or negated, after "very"


@dataclass(frozen=True)
class Clause:
    """A clause of a review.

    Attributes
    ----------
    kind : "fact" (no sentiment), "opinion", or "verdict" (a sentence that opens with "All in all", "Overall", ...).
    polarity : 1 or -1 with its negator counted in; 0 for a fact.
    weight : 1 hedged ("fairly good"), 2 plain or negated, 3 intensified ("very good"); 0 for a fact.
    negated : whether a negator turns its expression around.
    conceded : whether it is what a contrast gives in: before "but", after "although" and "despite".
    decisive : whether it decides the label, by `decide`.
    start, end : its words are words[start:end] of the review.
    marked : numbers of the words that carry the sentiment: expression, negator, intensifier or hedge.
    """

    kind: str
    polarity: int
    weight: int
    negated: bool
    conceded: bool
    decisive: bool
    start: int
    end: int
    marked: tuple[int, ...]


def decide(clauses: Sequence[Clause]) -> tuple[int, tuple[bool, ...]]:
    """The label (0 negative, 1 positive) and, for each clause, whether it decides it.

    1. A conceded clause does not count.
    2. A verdict decides alone; where there is none, all opinions count.
    3. The sign of the sum of polarity x weight is the label; the clauses that count and have this sign are decisive.

    Raises
    ------
    ValueError : nothing counts, or the sum is 0.
    """
    counted = [c.kind == "verdict" for c in clauses]
    if not any(counted):
        counted = [c.kind == "opinion" and not c.conceded for c in clauses]
    total = sum(c.polarity * c.weight for c, counts in zip(clauses, counted, strict=True) if counts)
    if total == 0:
        raise ValueError(f"no clause tips the balance in {clauses}")
    sign = 1 if total > 0 else -1
    return int(sign > 0), tuple(counts and c.polarity == sign for c, counts in zip(clauses, counted, strict=True))
