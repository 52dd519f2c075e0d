"""Text cut into words, and words as numbers for a network.

`split_words` cuts a text; `Vocabulary` numbers the words of a set and gives padded tensors. Reviews, captions and
questions use the same two.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from typing import Self

PAD, UNKNOWN = "<pad>", "<unk>"  # numbers 0 and 1 of every vocabulary
WORD = re.compile(
    r"'(?:s|re|ve|d|ll|m)\b"  # endings that a corpus has already cut off: it 's
    r"|\w+(?:['’-]\w+)*"  # don't, well-made
    r"|([^\w\s])\1*"  # one mark, or the same mark repeated: ... !!
)


def split_words(text: str) -> tuple[str, ...]:
    """The words and punctuation marks of a text, in order and as written; joined, they give it without its spaces.

    A word is a run of letters, digits and underscores; apostrophes and hyphens inside it belong to it ("couldn't",
    "first-rate", "film's"). Other marks stand alone, the same mark repeated is one entry ("..."). The rule is the
    pattern `WORD`.
    """
    return tuple(match.group() for match in WORD.finditer(text))


def join_words(words: Iterable[str]) -> str:
    """The text of words: one space between two words, none before a punctuation mark."""
    return re.sub(r" (?=[.,;:!?](?: |$))", "", " ".join(words))


@dataclass(frozen=True)
class Vocabulary:
    """The words that a network knows, each with its number.

    words : the word of every number; 0 is `PAD` and 1 is `UNKNOWN`.
    lower : whether words are lower-cased before they are looked up.
    """

    words: tuple[str, ...]
    lower: bool = True

    def __post_init__(self):
        if self.words[:2] != (PAD, UNKNOWN) or len(set(self.words)) != len(self.words):
            raise ValueError(f"words must be different and begin with {PAD!r}, {UNKNOWN!r}, got {self.words[:3]} ...")

    @classmethod
    def of(
        cls, texts: Iterable[Sequence[str]], *, least: int = 1, lower: bool = True, special: Sequence[str] = ()
    ) -> Self:
        """The vocabulary of texts that are cut into words: the most frequent word first, equal ones by the alphabet.

        Parameters
        ----------
        least : a word needs to occur that often; rarer ones become `UNKNOWN`.
        special : words of your own that get the numbers from 2 on, such as ("<start>", "<end>").

        Raises
        ------
        ValueError : `least` below 1, or a string where a sequence of words is expected.
        """
        if least < 1:
            raise ValueError(f"least is how often a word must occur, at least 1, got {least}")
        counts = Counter(word.lower() if lower else word for text in texts for word in _cut(text))
        for word in (PAD, UNKNOWN, *special):
            counts.pop(word, None)
        kept = sorted((word for word, count in counts.items() if count >= least), key=lambda w: (-counts[w], w))
        return cls((PAD, UNKNOWN, *special, *kept), lower)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of every word."""
        return {word: number for number, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return (word.lower() if self.lower else word) in self.numbers

    def encode(self, texts: Sequence[Sequence[str]], *, length: int | None = None) -> tuple[Tensor, Tensor]:
        """Numbers (N, L) int64, filled up with 0 at the end, and the lengths (N,) int64 without the filling.

        Parameters
        ----------
        texts : N texts that are cut into words.
        length : L; longer texts lose their end. None: the longest text, at least 1.

        Raises
        ------
        ValueError : `length` below 1, or a string where a sequence of words is expected.
        """
        if length is not None and length < 1:
            raise ValueError(f"length must be at least 1, got {length}")
        rows = [[self.numbers.get(w.lower() if self.lower else w, 1) for w in _cut(text)][:length] for text in texts]
        width = max([1, *map(len, rows)]) if length is None else length
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.long)
        padded = torch.tensor([row + [0] * (width - len(row)) for row in rows], dtype=torch.long)
        return padded.reshape(len(rows), width), lengths

    def decode(self, numbers: Tensor | Sequence[Sequence[int]]) -> tuple[tuple[str, ...], ...]:
        """The words of each row of numbers (N, L); padding is left out.

        Raises
        ------
        ValueError : a tensor that is not two-dimensional, or a number that no word has.
        """
        if isinstance(numbers, Tensor):
            if numbers.ndim != 2:
                raise ValueError(f"numbers must have shape (N, L), got {tuple(numbers.shape)}")
            numbers = numbers.tolist()
        wrong = [n for row in numbers for n in row if not 0 <= n < len(self)]
        if wrong:
            raise ValueError(f"there is no word with number {wrong[0]}: the vocabulary has {len(self)} words")
        return tuple(tuple(self.words[n] for n in row if n != 0) for row in numbers)


def _cut(text: Sequence[str]) -> Sequence[str]:
    if isinstance(text, str):
        raise ValueError(f"a text must be cut into words first (split_words), got the string {text[:40]!r}")
    return text
