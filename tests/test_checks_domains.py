"""The checks of lesson 10 pass what is right and name what is wrong."""

from __future__ import annotations

import pytest

from lessons_lib.checks.core import CheckFailed
from lessons_lib.checks.domains import check_attended_features, check_foreground_loss, check_reverse_gradient
from lessons_lib.feedback.attnbn import attended_features, foreground_loss, reverse_gradient


def unit(maps):
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low)


def by_hand(maps, masks, source):
    return (unit(maps) - masks.to(maps.dtype)).square().mean((1, 2))[source].mean()


@pytest.mark.parametrize("right", [foreground_loss, by_hand])
def test_foreground_loss_passes(right, capsys):
    check_foreground_loss(right)
    assert "passed" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong, words",
    [
        (lambda m, h, s: None, "return something"),
        (lambda m, h, s: (unit(m) - h.double()).square().mean((1, 2))[s], "mean over the source's pictures"),
        (lambda m, h, s: (unit(m) - h.double()).square().mean(), "target pictures count"),
        (lambda m, h, s: by_hand(m, h, ~s), "exchanged"),
        (lambda m, h, s: (m - h.double()).square().mean((1, 2))[s].mean(), "scale each map"),
        (lambda m, h, s: (m / m.amax((1, 2), keepdim=True) - h.double()).square().mean((1, 2))[s].mean(), "smallest"),
        (lambda m, h, s: by_hand(m, h, s) * 3 / 5, "number of source pictures"),
        (lambda m, h, s: (unit(m) - h.double()).abs().mean((1, 2))[s].mean(), "square"),
        (lambda m, h, s: by_hand(m.detach(), h, s), "no gradient"),
        (lambda m, h, s: by_hand(m, h, s) + 0 * m.square().sum(), None),
        (lambda m, h, s: by_hand(m, h, s) + m.sum() - m.sum().detach(), "reaches target"),
        (lambda m, h, s: m.sum(), "for the small case"),
    ],
)
def test_foreground_loss_names_the_fault(wrong, words):
    if words is None:
        check_foreground_loss(wrong)
        return
    with pytest.raises(CheckFailed, match=words):
        check_foreground_loss(wrong)


def test_attended_features_passes(capsys):
    check_attended_features(attended_features)
    check_attended_features(lambda f, m: (f * m[:, None]).sum((2, 3)) / m.sum((1, 2))[:, None])
    assert capsys.readouterr().out.count("passed") == 2


@pytest.mark.parametrize(
    "wrong, words",
    [
        (lambda f, m: f * m[:, None], "sum over the positions"),
        (lambda f, m: f.mean((2, 3)), "plain mean"),
        (lambda f, m: (f * m[:, None]).sum((2, 3)), "sum of the map"),
        (lambda f, m: (f * m[:, None]).mean((2, 3)), "number of positions"),
        (lambda f, m: (f * m[:, None]).sum((2, 3)) / m.amax((1, 2))[:, None], "maximum"),
        (lambda f, m: attended_features(f, m.detach()), "no gradient"),
        (lambda f, m: f.sum((2, 3)), "are others"),
    ],
)
def test_attended_features_names_the_fault(wrong, words):
    with pytest.raises(CheckFailed, match=words):
        check_attended_features(wrong)


def test_reverse_gradient_passes(capsys):
    check_reverse_gradient(reverse_gradient)
    check_reverse_gradient(lambda x, s: (1 + s) * x.detach() - s * x)
    assert capsys.readouterr().out.count("passed") == 2


@pytest.mark.parametrize(
    "wrong, words",
    [
        (lambda x, s: -s * x, "reverse the values"),
        (lambda x, s: 2 * x, "pass as they are"),
        (lambda x, s: x.detach(), "no gradient"),
        (lambda x, s: x * 1, "same direction"),
        (lambda x, s: (1 - s) * x.detach() + s * x, "sign"),
        (lambda x, s: 2 * x.detach() - x, "strength is missing"),
        (lambda x, s: (2 + s) * x.detach() - (1 + s) * x, "what you detach"),
        (lambda x, s: 4 * x.detach() - 3 * x, "yours is"),
    ],
)
def test_reverse_gradient_names_the_fault(wrong, words):
    with pytest.raises(CheckFailed, match=words):
        check_reverse_gradient(wrong)
