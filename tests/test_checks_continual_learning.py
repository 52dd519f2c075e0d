"""The checks of lesson 15 accept right solutions and name typical mistakes."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.checks import continual_learning as checks
from lessons_lib.checks.core import CheckFailed


def forgetting(matrix, start=None, sign=1.0, count=None):
    known = matrix.tril().nan_to_num()
    best = (known[:-1].amax(0) if start is None else start(known))[:-1]
    lost = sign * (best - known[-1, :-1])
    return known[-1].mean().item(), lost.sum().item() / (count or len(lost))


def scaled(maps):
    return maps / (maps.sum((1, 2), keepdim=True) + 1e-8)


def map_loss(maps, kept):
    return (scaled(maps) - scaled(kept).detach()).abs().sum((1, 2)).mean()


def reasons(gradients, irrelevant):
    return (gradients * irrelevant[:, None]).square().sum() / len(gradients)


def test_right_solutions_pass(capsys):
    checks.check_forgetting(forgetting)
    checks.check_map_loss(map_loss)
    checks.check_right_reasons(reasons)
    assert capsys.readouterr().out.count("passed") == 3


@pytest.mark.parametrize(
    "name, wrong, message",
    [
        ("forgetting", lambda m: None, "return"),
        ("forgetting", lambda m: 0.6, "two numbers"),
        ("forgetting", lambda m: (m.mean().item(), 0.4), "NaN"),
        ("forgetting", lambda m: (m.diagonal().mean().item(), 0.4), "diagonal, each task"),
        ("forgetting", lambda m: (m[:, 0].mean().item(), 0.4), "first column"),
        ("forgetting", lambda m: forgetting(m, start=lambda k: k.diagonal()), "at its best later"),
        ("forgetting", lambda m: forgetting(m, start=lambda k: k.diagonal(), sign=-1), "backward transfer"),
        ("forgetting", lambda m: forgetting(m, sign=-1), "the sign"),
        ("forgetting", lambda m: forgetting(m, count=4), "divide by T - 1"),
        ("forgetting", lambda m: (0.6, 0.1), "yours is 0.1"),
        ("map_loss", lambda m, k: (scaled(m) - scaled(k)).abs().sum((1, 2)), "mean over images, too"),
        ("map_loss", lambda m, k: (scaled(m) - scaled(k)).abs().mean(), "over the cells, too"),
        ("map_loss", lambda m, k: (scaled(m) - scaled(k)).abs().sum(), "added the images up"),
        ("map_loss", lambda m, k: (scaled(m) - scaled(k)).square().sum((1, 2)).mean(), "square"),
        ("map_loss", lambda m, k: (scaled(m) - scaled(k)).sum((1, 2)).mean(), "absolute value is missing"),
        ("map_loss", lambda m, k: (m - k).abs().sum((1, 2)).mean(), "grows with the score"),
        ("map_loss", lambda m, k: (m - k).abs().mean(), "grows with the score"),
        ("map_loss", lambda m, k: map_loss(m, k) + 1, "yours is"),
        ("map_loss", lambda m, k: map_loss(m, k).detach(), "no gradient leads back"),
        ("map_loss", lambda m, k: map_loss(m.detach(), scaled(k)) + 0 * m.sum(), "no gradient reaches"),
        ("map_loss", lambda m, k: (scaled(m) - scaled(k)).abs().sum((1, 2)).mean(), "detach it"),
        ("map_loss", lambda m, k: (m / m.sum((1, 2), True) - scaled(k).detach()).abs().sum((1, 2)).mean(), "NaN"),
        ("right_reasons", lambda g, a: (g * a[:, None]).square().sum((1, 2, 3)), "mean over images, too"),
        ("right_reasons", lambda g, a: reasons(g, ~a), "must not matter"),
        ("right_reasons", lambda g, a: (g * a[:, None]).square().mean(), "colours up"),
        ("right_reasons", lambda g, a: (g * a[:, None]).square().sum(), "added the images up"),
        ("right_reasons", lambda g, a: (g * a[:, None]).abs().sum() / len(g), "square the gradients"),
        ("right_reasons", lambda g, a: reasons(g, a) + 1, "yours is"),
        ("right_reasons", lambda g, a: reasons(g.detach(), a), "no gradient leads back"),
    ],
)
def test_typical_mistakes_are_named(name, wrong, message):
    with pytest.raises(CheckFailed, match=message):
        getattr(checks, f"check_{name}")(wrong)


def test_the_loss_where_nothing_is_marked():
    def mean_of_marked(gradients, irrelevant):
        return reasons(gradients, irrelevant) if irrelevant.any() else gradients.square().mean()

    with pytest.raises(CheckFailed, match="nothing is marked"):
        checks.check_right_reasons(mean_of_marked)
    assert torch.isfinite(map_loss(torch.zeros(1, 2, 2), torch.ones(1, 2, 2)))


def test_an_untouched_exercise_passes_through():
    def untouched(*_):
        raise NotImplementedError

    for name in ("check_forgetting", "check_map_loss", "check_right_reasons"):
        with pytest.raises(NotImplementedError):
            getattr(checks, name)(untouched)
