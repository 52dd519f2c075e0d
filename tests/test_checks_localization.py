"""The checks of lesson 09: a right answer passes, and each usual mistake is told by name."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.checks.core import CheckFailed
from lessons_lib.checks.localization import check_external_loss, check_mining_loss, check_soft_mask
from lessons_lib.feedback.gain import (
    attention_mining_loss,
    erase,
    external_supervision_loss,
    soft_mask,
    unit_range,
)


def test_the_course_itself_passes(capsys):
    check_soft_mask(lambda maps, sigma, omega: soft_mask(maps, tuple(maps.shape[1:]), sigma=sigma, omega=omega))
    check_mining_loss(lambda model, images, masks, labels: attention_mining_loss(model(erase(images, masks)), labels))
    check_external_loss(external_supervision_loss)
    assert capsys.readouterr().out.count("passed") == 3


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda a, s, w: torch.sigmoid(w * (a - s)), "scale each map"),
        (lambda a, s, w: (unit_range(a) > s).double(), "hard mask"),
        (lambda a, s, w: torch.sigmoid(w * (s - unit_range(a))), "turned round"),
        (lambda a, s, w: torch.sigmoid(unit_range(a) - s), "omega is missing"),
        (lambda a, s, w: torch.sigmoid(w * ((a - a.min()) / (a.max() - a.min()) - s)), "whole batch"),
        (lambda a, s, w: torch.sigmoid(w * (unit_range(a) - s)).detach(), "no gradient"),
        (lambda a, s, w: torch.sigmoid(w * (unit_range(a) - s)) ** 2, "first value"),
        (
            lambda a, s, w: torch.sigmoid(
                w
                * (
                    (a - a.amin((1, 2), keepdim=True)) / (a.amax((1, 2), keepdim=True) - a.amin((1, 2), keepdim=True))
                    - s
                )
            ),
            "NaN",
        ),
        (lambda a, s, w: None, "None"),
    ],
)
def test_soft_mask_mistakes(function, message):
    with pytest.raises(CheckFailed, match=message):
        check_soft_mask(function)


def own(scores, labels):
    return scores[torch.arange(len(labels)), labels]


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda f, x, m, y: own(f(x * m[:, None]).sigmoid(), y).mean(), "erase it"),
        (lambda f, x, m, y: own(f(x).sigmoid(), y).mean(), "whole pictures"),
        (lambda f, x, m, y: f(erase(x, m)).sigmoid().mean(), "own class alone"),
        (lambda f, x, m, y: own(f(erase(x, m)), y).mean(), "through the sigmoid"),
        (lambda f, x, m, y: -own(f(erase(x, m)).sigmoid(), y).mean(), "sign"),
        (lambda f, x, m, y: own(f(erase(x, m)).softmax(1), y).mean(), "not softmax"),
        (lambda f, x, m, y: own(f(erase(x, m)).sigmoid(), y).sum(), "not the sum"),
        (lambda f, x, m, y: own(f(erase(x, m)).sigmoid(), y), "one number"),
        (lambda f, x, m, y: own(f(erase(x, m.detach())).sigmoid(), y).mean(), "no gradient"),
        (lambda f, x, m, y: own(f(erase(x, m)).sigmoid(), y).mean() + 1, "small case"),
    ],
)
def test_mining_loss_mistakes(function, message):
    with pytest.raises(CheckFailed, match=message):
        check_mining_loss(function)


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda a, h: (a - h.double()).square().mean(), "no unit"),
        (lambda a, h: (unit_range(a) - h.double()).abs().mean(), "square"),
        (lambda a, h: (unit_range(a) - h.double()).square().sum((1, 2)).mean(), "mean over the pixels"),
        (lambda a, h: ((unit_range(a) - h.double()).square() * h).sum() / h.sum(), "inside the masks alone"),
        (lambda a, h: (unit_range(a) - h.double()).square().mean().detach(), "no gradient"),
        (lambda a, h: (unit_range(a) - h.double()).square().mean() * 2, "small case"),
    ],
)
def test_external_loss_mistakes(function, message):
    with pytest.raises(CheckFailed, match=message):
        check_external_loss(function)
