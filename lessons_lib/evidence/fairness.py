"""Does a captioner treat women and men alike? Outcomes of its gender words, their ratio and how far outcomes differ.

The measures are those of Hendricks et al., "Women also Snowboard", ECCV 2018 (arXiv 1803.09797). Their labels are words
that annotators wrote about how somebody looks. They are nobody's identity, and "person" is a right answer.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

OUTCOMES = ("correct", "wrong", "other")


def gender_of_caption(words: Sequence[str] | str, women: Collection[str], men: Collection[str]) -> str:
    """ "woman" or "man" where the caption has words of exactly one set; "other" for none, or words of both.

    words : the caption, cut into lower-case words, or a sentence that is cut at spaces and stripped of . and ,.
    """
    if isinstance(words, str):
        words = [word.strip(".,") for word in words.lower().split()]
    found = set(words)
    hits = bool(found & set(women)), bool(found & set(men))
    return {(True, False): "woman", (False, True): "man"}.get(hits, "other")


@dataclass(frozen=True)
class Outcomes:
    """What became of the women and of the men: counts of (correct, wrong, other) captions, each with at least one.

    wrong : the caption has the other set's word.  other : it has none, or words of both.
    """

    women: tuple[float, float, float]
    men: tuple[float, float, float]

    def __post_init__(self) -> None:
        for name in ("women", "men"):
            counts = getattr(self, name)
            if len(counts) != 3 or min(counts) < 0 or not sum(counts) > 0 or not all(map(math.isfinite, counts)):
                raise ValueError(f"{name} must be three counts >= 0, {', '.join(OUTCOMES)}, not all 0; got {counts}")

    @classmethod
    def of(cls, said: Sequence[str], truth: Sequence[str]) -> Outcomes:
        """From what each caption says ("woman", "man", "other") and the word that is true ("woman" or "man").

        Raises
        ------
        ValueError : lists of different lengths, an unknown word, or no woman or no man among `truth`.
        """
        if len(said) != len(truth):
            raise ValueError(f"one caption for each truth is needed, got {len(said)} and {len(truth)}")
        for name, given, known in (("said", said, ("woman", "man", "other")), ("truth", truth, ("woman", "man"))):
            strange = sorted(set(given) - set(known))
            if strange:
                raise ValueError(f"{name} must be {', '.join(known)}; got {strange}")
        counts = {}
        for word, other in (("woman", "man"), ("man", "woman")):
            mine = [caption for caption, true in zip(said, truth) if true == word]
            counts[word] = tuple(float(mine.count(outcome)) for outcome in (word, other, "other"))
        return cls(counts["woman"], counts["man"])

    @property
    def shares(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Shares of (correct, wrong, other) among the women and among the men; each adds up to 1."""
        return tuple(tuple(count / sum(counts) for count in counts) for counts in (self.women, self.men))

    @property
    def error_rate(self) -> float:
        """Women called men and men called women, as a share of all pictures, in [0, 1]; "other" is no error."""
        return (self.women[1] + self.men[1]) / (sum(self.women) + sum(self.men))

    @property
    def gender_ratio(self) -> float:
        """Captions with a woman's word over captions with a man's word, >= 0; infinite without any man's word."""
        said = (self.women[0] + self.men[1], self.men[0] + self.women[1])
        return said[0] / said[1] if said[1] else math.inf

    @property
    def true_ratio(self) -> float:
        """Women over men in the pictures."""
        return sum(self.women) / sum(self.men)

    @property
    def ratio_distance(self) -> float:
        """|true ratio - predicted ratio|, the paper's delta without its sign, >= 0.

        A model that names nobody has no ratio: its distance is the true ratio, as if it had said 0. One that says
        only women's words would have an infinite one: half a caption is then counted for the men.
        """
        said = (self.women[0] + self.men[1], self.men[0] + self.women[1])
        predicted = said[0] / max(said[1], 0.5)
        return abs(self.true_ratio - predicted)

    @property
    def share_distance(self) -> float:
        """|share of women among the captions with a gender word - share of women in the pictures|, in [0, 1].

        Unlike a ratio it treats both words alike. Without any gender word the share said is that of a coin, 1/2.
        """
        said = (self.women[0] + self.men[1], self.men[0] + self.women[1])
        share = said[0] / sum(said) if sum(said) else 0.5
        return abs(share - sum(self.women) / (sum(self.women) + sum(self.men)))

    @property
    def divergence(self) -> float:
        """Jensen-Shannon divergence, base 2, between the outcomes of women and of men, in [0, 1]: 0 is equal treatment."""
        return jensen_shannon(*self.shares)


def jensen_shannon(first: Sequence[float], second: Sequence[float]) -> float:
    """Jensen-Shannon divergence in bits of two distributions: 0 where they are the same, 1 where they never overlap.

    Raises
    ------
    ValueError : different lengths, negative entries, or one that sums to 0; both are scaled to sum 1.
    """
    p, q = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if p.ndim != 1 or p.shape != q.shape or not len(p):
        raise ValueError(f"two flat distributions of one length are needed, got shapes {p.shape} and {q.shape}")
    if min(p.min(), q.min()) < 0 or not (p.sum() > 0 and q.sum() > 0) or not np.isfinite(p + q).all():
        raise ValueError(f"shares must be finite, >= 0 and not all 0, got {p.tolist()} and {q.tolist()}")
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2

    def bits(a: np.ndarray) -> float:
        some = a > 0
        return float((a[some] * np.log2(a[some] / middle[some])).sum())

    return max(0.0, (bits(p) + bits(q)) / 2)
