"""The checks of lesson 08 accept the right solution and name what is wrong with typical wrong ones."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lessons_lib.checks import CheckFailed
from lessons_lib.checks import zero_shot as checks
from lessons_lib.evidence.zero_shot import harmonic_mean, per_class_accuracy
from lessons_lib.feedback.niwt import importance_loss, transfer_loss


def accuracy(scores, labels, seen):
    best, mine = scores.argmax(1), seen[labels]
    s, u = per_class_accuracy(best[mine], labels[mine]), per_class_accuracy(best[~mine], labels[~mine])
    return s, u, harmonic_mean(s, u)


def by_image(scores, labels, seen):
    right, mine = (scores.argmax(1) == labels).float(), seen[labels]
    s, u = right[mine].mean(), right[~mine].mean()
    return s, u, 2 * s * u / (s + u)


def apart(scores, labels, seen):
    mine = seen[labels]
    s = per_class_accuracy(scores[mine].argmax(1), labels[mine])
    u = per_class_accuracy(scores[~mine][:, ~seen].argmax(1) + 2, labels[~mine])
    return s, u, harmonic_mean(s, u)


def pulled(to=1.0, half=0.5, weigh=True, reduce=torch.mean, squared=True):
    def loss(wanted, importances, rows, mean, weight):
        distance = (rows - to * mean).square().sum(1)
        distance = distance if squared else distance.sqrt()
        return importance_loss(wanted, importances) + (weight if weigh else 1) * half * reduce(distance)

    return loss


def test_right_solutions_pass(capsys):
    checks.check_importance_loss(importance_loss)
    checks.check_transfer_loss(transfer_loss)
    checks.check_generalised_accuracy(accuracy)
    assert capsys.readouterr().out.count("passed") == 3


cosine = F.cosine_similarity


@pytest.mark.parametrize(
    "name, wrong, message",
    [
        ("importance_loss", lambda a, b: cosine(a, b, dim=-1).mean(), "cosine itself"),
        ("importance_loss", lambda a, b: -cosine(a, b, dim=-1).mean(), "1 - cosine"),
        ("importance_loss", lambda a, b: 1 - (a * b).sum(-1).mean(), "scalar product"),
        ("importance_loss", lambda a, b: (a - b).square().mean(), "squared distance"),
        ("importance_loss", lambda a, b: (1 - cosine(a.expand_as(b), b, dim=1)).mean(), "wrong axis"),
        ("importance_loss", lambda a, b: 1 - cosine(a, b, dim=-1), "one number"),
        ("importance_loss", lambda a, b: importance_loss(a, b.detach()), "no gradient"),
        ("importance_loss", lambda a, b: torch.tensor(0.5), "the loss is"),
        ("importance_loss", lambda a, b: None, "return"),
        ("transfer_loss", lambda a, b, r, m, w: importance_loss(a, b), "pull"),
        ("transfer_loss", pulled(half=1.0), "one half"),
        ("transfer_loss", pulled(weigh=False), "weight is missing"),
        ("transfer_loss", pulled(reduce=torch.sum), "average"),
        ("transfer_loss", pulled(to=0.0), "pull to 0"),
        ("transfer_loss", pulled(squared=False), "square"),
        (
            "transfer_loss",
            lambda a, b, r, m, w: importance_loss(a, b) + w * 0.5 * (r - m).square().mean(),
            "dimensions",
        ),
        ("transfer_loss", lambda a, b, r, m, w: transfer_loss(a, b, r.detach(), m, w), "no gradient"),
        ("transfer_loss", pulled(half=3.0), "the loss is"),
        ("generalised_accuracy", by_image, "over images"),
        ("generalised_accuracy", apart, "compete"),
        ("generalised_accuracy", lambda *a: (0.375, 0.75, 0.5625), "arithmetic"),
        ("generalised_accuracy", lambda *a: (0.75, 0.375, 0.5), "exchanged"),
        ("generalised_accuracy", lambda *a: (0.375, 0.75, 0.25), "harmonic mean 2"),
        ("generalised_accuracy", lambda *a: 0.5, "three numbers"),
        ("generalised_accuracy", lambda *a: (0.1, 0.2, 0.3), "small case"),
    ],
)
def test_typical_mistakes_are_named(name, wrong, message):
    with pytest.raises(CheckFailed, match=message):
        getattr(checks, f"check_{name}")(wrong)


def test_an_untouched_exercise_passes_through():
    def untouched(*_):
        raise NotImplementedError

    for name in ("check_importance_loss", "check_transfer_loss", "check_generalised_accuracy"):
        with pytest.raises(NotImplementedError):
            getattr(checks, name)(untouched)
