"""The checks of lesson 03 accept the right solution and name what is wrong with typical wrong ones."""

from __future__ import annotations

import pytest

from lessons_lib import checks


def ratio(maps, boxes):
    even = maps / maps.mean((1, 2), keepdim=True)
    inside, outside = ((even * b).sum((1, 2)) / b.sum((1, 2)) for b in (boxes, ~boxes))
    return (inside.mean() / outside.mean()).item()


def unscaled(maps, boxes):
    inside, outside = ((maps * b).sum((1, 2)) / b.sum((1, 2)) for b in (boxes, ~boxes))
    return (inside.mean() / outside.mean()).item()


def sums(maps, boxes):
    even = maps / maps.mean((1, 2), keepdim=True)
    return ((even * boxes).sum() / (even * ~boxes).sum()).item()


def each(maps, boxes):
    inside, outside = ((maps * b).sum((1, 2)) / b.sum((1, 2)) for b in (boxes, ~boxes))
    return (inside / outside).mean().item()


def test_right_solutions_pass(capsys):
    checks.check_caption_score(lambda p, end: p[:, :end].sum(1))
    checks.check_inside_outside(ratio)
    assert capsys.readouterr().out.count("passed") == 2


@pytest.mark.parametrize(
    "name, wrong, message",
    [
        ("check_caption_score", lambda p, end: p.sum(1), "also counted"),
        ("check_caption_score", lambda p, end: p[:, :end].mean(1), "mean"),
        ("check_caption_score", lambda p, end: p[:, :end].exp().prod(1), "logarithm"),
        ("check_caption_score", lambda p, end: -p[:, :end].sum(1), "sign"),
        ("check_caption_score", lambda p, end: p[:, :end], "sum over the words"),
        ("check_caption_score", lambda p, end: p[:, :end].sum(), "batch axis"),
        ("check_caption_score", lambda p, end: p[:, 0], "the score is"),
        ("check_caption_score", lambda p, end: None, "return"),
        ("check_inside_outside", each, "finite number"),
        ("check_inside_outside", sums, "sums"),
        ("check_inside_outside", lambda m, b: 1 / ratio(m, b), "outside by inside"),
        ("check_inside_outside", lambda m, b: 1.0, "the ratio is"),
        ("check_inside_outside", unscaled, "mean of 1"),
    ],
)
def test_typical_mistakes_are_named(name, wrong, message):
    with pytest.raises(checks.CheckFailed, match=message):
        getattr(checks, name)(wrong)


def test_an_untouched_exercise_passes_through():
    def untouched(*_):
        raise NotImplementedError

    for name in ("check_caption_score", "check_inside_outside"):
        with pytest.raises(NotImplementedError):
            getattr(checks, name)(untouched)
