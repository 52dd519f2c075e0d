"""Texts cut into words: one simple rule for reviews, captions and answers."""

from __future__ import annotations

import re

_WORD = re.compile(
    r"'(?:s|re|ve|d|ll|m)\b"  # endings that a corpus has already cut off: it 's
    r"|\w+(?:['’-]\w+)*"  # don't, well-made
    r"|([^\w\s])\1*"  # one sign, or the same sign repeated: ... !!
)


def words(text: str) -> tuple[str, ...]:
    """Words and signs of a text, in order and with their case; joined, they give the text without its spaces.

    A word is a run of letters, digits and underscores; apostrophes and hyphens inside a word belong to it
    ("don't", "well-made"), so a possessive is one word ("film's"). Other signs stand alone, the same sign repeated
    is one entry ("...").
    """
    return tuple(match.group() for match in _WORD.finditer(text))
