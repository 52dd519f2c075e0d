"""Shares of small groups that add up: how many of each class are tied to something."""

from __future__ import annotations

import math


class Shares:
    """Whole numbers out of one group after the other. Their sum is right to within a half.

    Rounding each group on its own would be off in the same direction every time: 90 % of 5 would be 4 in each of 80
    classes, 80 % in all. Here what one group got too little the next one gets more.
    """

    def __init__(self):
        self._owed = 0.0

    def of(self, share: float, count: int) -> int:
        """About `share` of a group of `count`: exactly 0 for a share of 0, and all of them for a share of 1."""
        exact = share * count + self._owed
        found = min(max(math.floor(exact + 0.5), 0), count) if 0 < share < 1 else round(share * count)
        self._owed += share * count - found
        return found
