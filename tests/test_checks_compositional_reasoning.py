"""The checks of lesson 12 accept the right solution and name what is wrong with typical wrong ones."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.checks import compositional_reasoning as checks
from lessons_lib.checks.core import CheckFailed


def cells(main, sub):
    parts = [(main & sub), (main & ~sub), (~main & sub), (~main & ~sub)]
    return [part.float().mean().item() for part in parts]


def quadrants(main, sub, swap=False, consistency=None):
    both, only, other, neither = cells(main, sub)
    value = both / (both + only) if both + only else 0.0
    value = value if consistency is None else consistency(both, only, other, neither)
    return (both, other, only, neither, value) if swap else (both, only, other, neither, value)


def term(main, sub, detach):
    return (main - (sub.detach() if detach else sub)).square().mean()


def other_image(sub, picture):
    return sub.roll(int(torch.bincount(picture).max()), 0)


def test_right_solutions_pass(capsys):
    checks.check_quadrants(quadrants)
    checks.check_attention_term(term)
    checks.check_other_image(other_image)
    assert capsys.readouterr().out.count("passed") == 3


@pytest.mark.parametrize(
    "name, wrong, message",
    [
        ("quadrants", lambda m, s: None, "return"),
        ("quadrants", lambda m, s: 0.8, "five numbers"),
        ("quadrants", lambda m, s: (4, 1, 2, 3, 0.8), "counts"),
        ("quadrants", lambda m, s: quadrants(m, s, swap=True), "exchanged"),
        ("quadrants", lambda m, s: quadrants(m, s, consistency=lambda b, o, t, n: b / (b + t)), "P\\(sub right"),
        ("quadrants", lambda m, s: quadrants(m, s, consistency=lambda b, o, t, n: b + n), "two wrong answers"),
        ("quadrants", lambda m, s: quadrants(m, s, consistency=lambda b, o, t, n: b), "divide by the pairs"),
        ("quadrants", lambda m, s: quadrants(m, s, consistency=lambda *_: 0.33), "yours is 0.33"),
        ("quadrants", lambda m, s: (0.25, 0.25, 0.25, 0.25, 0.5), "four shares"),
        ("attention_term", lambda m, s, d: (m - s).square().mean(1), "over the pairs"),
        ("attention_term", lambda m, s, d: (m - s).square().sum(1).mean(), "summed over the regions"),
        ("attention_term", lambda m, s, d: (m - s).square().sum(), "regions and pairs"),
        ("attention_term", lambda m, s, d: (m - s).abs().mean(), "absolute"),
        ("attention_term", lambda m, s, d: term(m, s, d).sqrt(), "root"),
        ("attention_term", lambda m, s, d: (m - s).mean(), "square is missing"),
        ("attention_term", lambda m, s, d: -(m * s).sum(1).mean(), "scalar product"),
        ("attention_term", lambda m, s, d: term(m, s, d) + 1, "yours is"),
        ("attention_term", lambda m, s, d: term(m, s, False), "is a constant"),
        ("attention_term", lambda m, s, d: term(m, s, True), "without detach"),
        ("attention_term", lambda m, s, d: term(m.detach(), s, False), "has to move"),
        ("attention_term", lambda m, s, d: term(m, s, d).detach(), "no gradient"),
        ("other_image", lambda s, p: s, "nothing was dealt"),
        ("other_image", lambda s, p: s.roll(1, 0), "same picture"),
        ("other_image", lambda s, p: s.roll(1, 1), "rows that were given"),
        ("other_image", lambda s, p: s[[9] * 10], "used once"),
        ("other_image", lambda s, p: s[:3], "shape"),
    ],
)
def test_typical_mistakes_are_named(name, wrong, message):
    with pytest.raises(CheckFailed, match=message):
        getattr(checks, f"check_{name}")(wrong)


def test_consistency_of_no_right_answer_is_zero_by_agreement():
    def never(main, sub):
        both, only, other, neither = cells(main, sub)
        return both, only, other, neither, both / (both + only) if both + only else 1.0

    with pytest.raises(CheckFailed, match="by agreement"):
        checks.check_quadrants(never)


def test_an_untouched_exercise_passes_through():
    def untouched(*_):
        raise NotImplementedError

    for name in ("check_quadrants", "check_attention_term", "check_other_image"):
        with pytest.raises(NotImplementedError):
            getattr(checks, name)(untouched)
