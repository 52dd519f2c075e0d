"""The checks of lesson 06 accept the right answer and name each wrong one."""

from __future__ import annotations

import pytest
import torch

from lessons_lib import checks
from lessons_lib.checks.core import CheckFailed


def word_map(attention, gradient):
    return (attention * gradient.clamp(min=0)).mean(0)[:, 1:]


def chances(similarity, true):
    return similarity.masked_fill(true, -torch.inf).softmax(1)


def test_the_right_answers_pass(capsys):
    checks.check_word_map(word_map)
    checks.check_hard_negative_weights(chances)
    assert capsys.readouterr().out.count("passed") == 2


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda a, g: (a * g.clamp(min=0)).mean(0), "class token"),
        (lambda a, g: (a * g.clamp(min=0))[..., 1:], "average over the heads"),
        (lambda a, g: (a * g.clamp(min=0)).mean(1)[:, 1:], "averaged over the words"),
        (lambda a, g: (a * g.clamp(min=0)).sum(0)[:, 1:], "summed"),
        (lambda a, g: (a * g).mean(0)[:, 1:].clamp(min=0), "clamp the gradient"),
        (lambda a, g: (a * g.abs()).mean(0)[:, 1:], "negative gradients"),
        (lambda a, g: (a.mean(0) * g.mean(0).clamp(min=0))[:, 1:], "within each head"),
        (lambda a, g: (a * g.clamp(min=0)).mean(0)[:, :-1], "last patch"),
        (lambda a, g: a.mean(0)[:, 1:], "begins with"),
    ],
)
def test_wrong_word_maps_are_named(wrong, says):
    with pytest.raises(CheckFailed, match=says):
        checks.check_word_map(wrong)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda s, t: s.softmax(1), "own text"),
        (lambda s, t: s.masked_fill(torch.eye(4, dtype=torch.bool), -torch.inf).softmax(1), "true of picture 2"),
        (lambda s, t: (~t).double() / (~t).sum(1, keepdim=True), "drawn evenly"),
        (lambda s, t: s.softmax(1).masked_fill(t, 0), "add up to"),
        (lambda s, t: (-s).masked_fill(t, -torch.inf).softmax(1), "row 0"),
        (lambda s, t: chances(s, t)[0], "every picture"),
    ],
)
def test_wrong_chances_are_named(wrong, says):
    with pytest.raises(CheckFailed, match=says):
        checks.check_hard_negative_weights(wrong)
