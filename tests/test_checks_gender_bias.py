"""The checks of lesson 07 accept the right solution and name what is wrong with typical wrong ones."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.checks import gender_bias as checks
from lessons_lib.checks.core import CheckFailed


def union(tokens, words):
    mask = torch.zeros_like(tokens, dtype=torch.bool)
    for word in words:
        mask |= tokens == word
    return mask


def intersection(tokens, words):
    mask = torch.ones_like(tokens, dtype=torch.bool)
    for word in words:
        mask &= tokens == word
    return mask


def last(tokens, words):
    for word in words:
        mask = tokens == word
    return mask


def gap(p, women, men):
    return p[..., list(women)].sum(-1) - p[..., list(men)].sum(-1)


def confusion(p, mask, women, men):
    return (gap(p, women, men).abs() * mask).sum() / len(p)


def quotient(p, tokens, women, men, up=False, both=True, mean=True):
    woman, man = p[..., list(women)].sum(-1), p[..., list(men)].sum(-1)
    if up:
        woman, man = man, woman
    total = (man / (woman + 1e-5) * union(tokens, women)).sum()
    if both:
        total = total + (woman / (man + 1e-5) * union(tokens, men)).sum()
    return total / len(p) if mean else total


def everywhere(p, tokens, women, men):
    woman, man = p[..., list(women)].sum(-1), p[..., list(men)].sum(-1)
    return (man / (woman + 1e-5) + woman / (man + 1e-5)).sum() / len(p)


def test_right_solutions_pass(capsys):
    checks.check_token_mask(union)
    checks.check_appearance_confusion(confusion)
    checks.check_confident_quotient(quotient)
    assert capsys.readouterr().out.count("passed") == 3


MISTAKES = [
    ("check_token_mask", intersection, "you intersect"),
    ("check_token_mask", last, "only one of the words"),
    ("check_token_mask", lambda t, w: ~union(t, w), "all the other words"),
    ("check_token_mask", lambda t, w: union(t, w).float(), "torch.bool"),
    ("check_token_mask", lambda t, w: union(t, w).any(1), "one value a place"),
    ("check_token_mask", lambda t, w: union(t, w[:3]), "should be True"),
    ("check_token_mask", lambda t, w: None, "return"),
    ("check_appearance_confusion", lambda p, m, w, n: (gap(p, w, n) * m).sum() / len(p), "absolute value is missing"),
    ("check_appearance_confusion", lambda p, m, w, n: (gap(p, w, n) * m).sum().abs() / len(p), "absolute value"),
    ("check_appearance_confusion", lambda p, m, w, n: gap(p, w, n).abs().sum() / len(p), "every place"),
    ("check_appearance_confusion", lambda p, m, w, n: confusion(p, m, w, n) * len(p), "sum over the captions"),
    ("check_appearance_confusion", lambda p, m, w, n: (gap(p, w, n).abs() * m).sum() / m.sum(), "marked places"),
    ("check_appearance_confusion", lambda p, m, w, n: gap(p, w, n).abs() * m, "sum over the places"),
    (
        "check_appearance_confusion",
        lambda p, m, w, n: ((p[..., w[0]] - p[..., n[0]]).abs() * m).sum() / len(p),
        "one word of each set",
    ),
    (
        "check_appearance_confusion",
        lambda p, m, w, n: ((p[..., list(w)] - p[..., list(n)]).abs().sum(-1) * m).sum() / len(p),
        "word with word",
    ),
    ("check_appearance_confusion", lambda p, m, w, n: p.sum() * 0, "the loss is"),
    ("check_confident_quotient", lambda *a: quotient(*a, up=True), "upside down"),
    ("check_confident_quotient", lambda *a: quotient(*a, both=False), "only one of the two sets"),
    ("check_confident_quotient", lambda *a: quotient(*a, mean=False), "sum over the captions"),
    ("check_confident_quotient", everywhere, "decided by the true word"),
    ("check_confident_quotient", lambda p, *a: p.sum() * 0, "the loss is"),
]


@pytest.mark.parametrize("name, wrong, message", MISTAKES)
def test_typical_mistakes_are_named(name, wrong, message):
    with pytest.raises(CheckFailed, match=message):
        getattr(checks, name)(wrong)


def test_an_untouched_exercise_passes_through():
    def untouched(*_):
        raise NotImplementedError

    for name in ("check_token_mask", "check_appearance_confusion", "check_confident_quotient"):
        with pytest.raises(NotImplementedError):
            getattr(checks, name)(untouched)
