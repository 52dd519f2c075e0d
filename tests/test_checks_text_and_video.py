"""The checks of lesson 05 accept the right solution and name what is wrong with typical wrong ones."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lessons_lib.checks import CheckFailed
from lessons_lib.checks import text_and_video as checks


def spread(values, n):
    scores = values.new_zeros(values.shape[0], values.shape[1] + n - 1)
    for offset in range(n):
        scores[:, offset : offset + values.shape[1]] += values
    return scores


def copies(values, n):
    return torch.stack([F.pad(values, (k, n - 1 - k)) for k in range(n)])


def covered_mean(values, n):
    return spread(values, n) / spread(torch.ones_like(values), n)


def resized(values, n):
    return F.interpolate(values[:, None], size=values.shape[1] + n - 1, mode="linear", align_corners=False)[:, 0]


def weights(gradients, pool_time):
    alpha = gradients.mean((3, 4))
    return alpha.mean(2, keepdim=True).expand_as(alpha) if pool_time else alpha


def order(logits, labels, reverse):
    rows = torch.arange(len(logits))
    return logits[rows, labels] - logits[rows, reverse[labels]]


def strongest_other(logits, labels, reverse):
    rest = logits.masked_fill(F.one_hot(labels, logits.shape[1]).bool(), -torch.inf)
    return logits.gather(1, labels[:, None])[:, 0] - rest.amax(1)


RIGHT = {"check_spread_ngrams": spread, "check_time_weights": weights, "check_order_score": order}
WRONG = [
    ("check_spread_ngrams", lambda v, n: v, "words"),
    ("check_spread_ngrams", lambda v, n: spread(v, n)[0], "batch axis"),
    ("check_spread_ngrams", lambda v, n: spread(v, n) / n, "divided by n"),
    ("check_spread_ngrams", covered_mean, "mean over a word's n-grams"),
    ("check_spread_ngrams", lambda v, n: copies(v, n).amax(0), "largest"),
    ("check_spread_ngrams", lambda v, n: copies(v, n)[0], "first word alone"),
    ("check_spread_ngrams", lambda v, n: copies(v, n)[1], "middle word alone"),
    ("check_spread_ngrams", lambda v, n: copies(v, n)[2], "last word alone"),
    ("check_spread_ngrams", resized, "as if they were pixels"),
    ("check_spread_ngrams", lambda v, n: spread(v, n).flip(1), "backwards"),
    ("check_spread_ngrams", lambda v, n: spread(v.mul_(2), n), "changed its inputs"),
    ("check_spread_ngrams", lambda v, n: spread(v, n) + 1, "the words get"),
    ("check_spread_ngrams", lambda v, n: spread(v, n) if n > 1 else 2 * v, "an n-gram is a word"),
    ("check_spread_ngrams", lambda v, n: None, "is None"),
    ("check_time_weights", lambda g, pool: g.mean((2, 3, 4)) if pool else g.mean((3, 4)), "repeat it"),
    ("check_time_weights", lambda g, pool: weights(g, pool)[:, :, :1] if pool else weights(g, pool), "expand it"),
    ("check_time_weights", lambda g, pool: g.mean((3, 4), keepdim=True), "drop the axes"),
    ("check_time_weights", lambda g, pool: g.mean(1), "keep the channels"),
    ("check_time_weights", lambda g, pool: weights(g, False), "still has a weight for every"),
    ("check_time_weights", lambda g, pool: weights(g, True), "averages over time"),
    ("check_time_weights", lambda g, pool: weights(g, not pool), "averages over time"),
    ("check_time_weights", lambda g, pool: weights(g, pool) * 30, "summed over positions"),
    ("check_time_weights", lambda g, pool: weights(g, pool) * (120 if pool else 1), "summed over positions"),
    ("check_time_weights", lambda g, pool: weights(g, pool).relu(), "negative weights"),
    ("check_time_weights", lambda g, pool: weights(g, pool).abs(), "absolute"),
    ("check_time_weights", lambda g, pool: weights(g, pool) + 1, "weights are"),
    ("check_order_score", lambda z, y, r: z[:, y] - z[:, r[y]], "every clip with every label"),
    ("check_order_score", lambda z, y, r: order(z, y, r)[:, None], "last axis"),
    ("check_order_score", lambda z, y, r: order(z, y, r).sum(), "batch axis"),
    ("check_order_score", lambda z, y, r: -order(z, y, r), "sign"),
    ("check_order_score", lambda z, y, r: z.gather(1, y[:, None])[:, 0], "alone"),
    ("check_order_score", lambda z, y, r: z[range(3), y] - z[range(3), r[:3]], "one entry a class"),
    ("check_order_score", strongest_other, "strongest other"),
    ("check_order_score", lambda z, y, r: order(z.softmax(1), y, r), "probabilities"),
    ("check_order_score", lambda z, y, r: order(z.sigmoid(), y, r), "probabilities"),
    ("check_order_score", lambda z, y, r: order(z.detach(), y, r), "no gradient"),
    ("check_order_score", lambda z, y, r: order(z, y, r) + 1, "the score is"),
]


@pytest.mark.parametrize("name", RIGHT)
def test_right_solution_passes_and_says_what_was_checked(name, capsys):
    getattr(checks, name)(RIGHT[name])
    assert "passed: " in capsys.readouterr().out


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_wrong_solution_is_diagnosed(number):
    name, function, diagnosis = WRONG[number]
    with pytest.raises(CheckFailed, match=diagnosis):
        getattr(checks, name)(function)


@pytest.mark.parametrize("name", RIGHT)
def test_untouched_exercise_says_that_it_is_your_turn(name):
    def untouched(*_):
        raise NotImplementedError("your turn")

    with pytest.raises(NotImplementedError, match="your turn"):
        getattr(checks, name)(untouched)
