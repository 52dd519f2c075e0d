"""Shares of small groups: right in sum, and within one in every group."""

from __future__ import annotations

import random

import pytest

from data_fetch.worlds.birds import birds
from data_fetch.worlds.clips import CLASSES, clips
from data_fetch.worlds.scenes import objects
from data_fetch.worlds.shares import Shares


@pytest.mark.parametrize("seed", range(5))
def test_the_sum_is_right_and_each_group_is_near(seed):
    dice = random.Random(seed)
    share, sizes, shares = dice.random(), [dice.randint(0, 12) for _ in range(60)], Shares()
    found = [shares.of(share, size) for size in sizes]
    assert abs(sum(found) - share * sum(sizes)) <= 0.5 + 1e-9
    assert all(0 <= n <= size and abs(n - share * size) <= 1 for n, size in zip(found, sizes))


def test_all_and_none_stay_all_and_none():
    shares = Shares()
    assert shares.of(0.5, 3) == 2
    assert [shares.of(1.0, n) for n in (1, 4, 7)] == [1, 4, 7] and [shares.of(0.0, n) for n in (1, 4)] == [0, 0]


@pytest.mark.parametrize("seed", [0, 1, 9101])
def test_worlds_with_few_images_a_class_reach_what_was_asked(seed):
    assert abs(birds(400, size=24, seed=seed, correlation=0.9).card()["share_at_home"] - 0.9) < 0.5 / 400 + 1e-4
    assert abs(objects(47, size=24, seed=seed, home=0.7).card()["share_at_home"] - 0.7) < 0.5 / 47 + 1e-4
    count = 3 * len(CLASSES)
    tied = clips(count, size=24, frames=2, seed=seed, tie=0.7).card()["share_of_tied_thing"]
    assert abs(tied - 0.7) < 0.5 / count + 1e-4
