"""The reviews of a set, with the words that carry the sentiment and the clauses that decide."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import torch
from torch import Tensor

from data_fetch.fields import ROW, Texts
from data_fetch.worlds.reviews.rule import Clause

PerWord = tuple[tuple[bool, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Reviews(Texts):
    """Reviews with the truth about them; for the fields that are not named here see `Texts`.

    labels : 0 negative, 1 positive.  words : with punctuation marks, cut by `data_fetch.words.split_words`.
    evidence : for each word whether it belongs to an expression of the label's side, negator, intensifier and hedge
    included.  decisive : those of them that decide, by `rule.decide`.  opposing : words of the other side.
    shortcut : the city that is tied to the label, where it stands; False everywhere without `tied="city"`.
    clauses : for each review its clauses in the order of the text.
    domains (N,) int64, numbers of `domain_names`.  spurious (N,) int64 : 0 or 1, the label that the tied city or domain
    goes with; -1 where nothing is tied.
    tie, tied, expressions : as asked for.
    """

    decisive: PerWord = field(metadata=ROW)
    opposing: PerWord = field(metadata=ROW)
    shortcut: PerWord = field(metadata=ROW)
    clauses: tuple[tuple[Clause, ...], ...] = field(metadata=ROW)
    domains: Tensor = field(metadata=ROW)
    spurious: Tensor = field(metadata=ROW)
    domain_names: tuple[str, ...]
    tie: float | None
    tied: str
    expressions: str

    @property
    def neutral(self) -> PerWord:
        """For each word whether it carries no sentiment of either side."""
        pairs = zip(self.evidence, self.opposing, strict=True)
        return tuple(tuple(not (e or o) for e, o in zip(*pair, strict=True)) for pair in pairs)

    @property
    def has_negation(self) -> Tensor:
        """(N,) bool: a negator turns an expression around."""
        return torch.tensor([any(c.negated for c in found) for found in self.clauses], dtype=torch.bool)

    @property
    def has_contrast(self) -> Tensor:
        """(N,) bool: something is conceded, by "but", "although", "despite" ..."""
        return torch.tensor([any(c.conceded for c in found) for found in self.clauses], dtype=torch.bool)

    @property
    def is_mixed(self) -> Tensor:
        """(N,) bool: some opinion that is not conceded has the other sign; a verdict or a stronger word decides."""
        signs = (2 * self.labels - 1).tolist()
        return torch.tensor(
            [any(c.polarity == -s and not c.conceded for c in found) for s, found in zip(signs, self.clauses)],
            dtype=torch.bool,
        )

    def card(self) -> dict[str, object]:
        """What is in the set: counts, shares of each construction, lengths, vocabulary, and the tie that is reached."""
        lower = [word.lower() for words in self.words for word in words]
        lengths = [len(words) for words in self.words]
        reached = float((self.spurious == self.labels).float().mean()) if self.tie is not None and len(self) else None
        domains = Counter(self.domains.tolist())
        return {
            "reviews": len(self),
            "class_counts": {name: int((self.labels == k).sum()) for k, name in enumerate(self.class_names)},
            "domain_counts": {name: domains[k] for k, name in enumerate(self.domain_names)},
            "share_with_negation": _share(self.has_negation),
            "share_with_contrast": _share(self.has_contrast),
            "share_mixed": _share(self.is_mixed),
            "mean_words": round(sum(lengths) / max(len(lengths), 1), 2),
            "longest": max(lengths, default=0),
            "vocabulary": len(set(lower)),
            "share_evidence": round(sum(map(sum, self.evidence)) / max(len(lower), 1), 4),
            "repeats": len(self) - len(set(self.texts)),
            "expressions": self.expressions,
            "tied": self.tied if self.tie is not None else None,
            "tie_asked": self.tie,
            "tie_reached": None if reached is None else round(reached, 4),
        }


def _share(flags: Tensor) -> float:
    return round(float(flags.float().mean()), 4) if len(flags) else 0.0
