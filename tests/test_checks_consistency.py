"""The checks of lesson 13 accept the right solution and name what is wrong with typical wrong ones."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lessons_lib.checks import consistency as checks
from lessons_lib.checks.core import CheckFailed


def vector(out, joint, answer, pick=None, graph=True):
    joint = joint.detach().requires_grad_()
    logits = out(joint)
    score = logits.gather(1, answer[:, None]).sum() if pick is None else pick(logits, answer)
    return torch.autograd.grad(score, joint, create_graph=graph)[0] * joint


def gradient(out, joint, answer):
    joint = joint.detach().requires_grad_()
    return torch.autograd.grad(out(joint).gather(1, answer[:, None]).sum(), joint, create_graph=True)[0]


def gap(main, sub, other):
    return F.cosine_similarity(main, other, dim=1) - F.cosine_similarity(main, sub, dim=1)


def hinge(main, sub, other, margin):
    return F.relu(margin + gap(main, sub, other)).mean()


def metrics(similarity, relevant, start=1):
    kinds = relevant[similarity.argsort(descending=True)].tolist()
    return float(kinds[0]), 1 / (kinds.index(True) + start), float(kinds == sorted(kinds, reverse=True))


def test_right_solutions_pass(capsys):
    checks.check_importance_vector(vector)
    checks.check_ranking_hinge(hinge)
    checks.check_ranking_metrics(metrics)
    assert capsys.readouterr().out.count("passed") == 3


@pytest.mark.parametrize(
    "name, wrong, message",
    [
        ("importance_vector", lambda o, j, a: None, "return something"),
        ("importance_vector", lambda o, j, a: vector(o, j, a).sum(1), "do not sum over D"),
        ("importance_vector", gradient, "gradient alone"),
        ("importance_vector", lambda o, j, a: vector(o, j, a).relu(), "no ReLU"),
        ("importance_vector", lambda o, j, a: vector(o, j, a, lambda x, t: x.amax(1).sum()), "predicted answer"),
        ("importance_vector", lambda o, j, a: vector(o, j, a, lambda x, t: x.sum()), "all answers"),
        (
            "importance_vector",
            lambda o, j, a: vector(o, j, a, lambda x, t: x.softmax(1).gather(1, t[:, None]).sum()),
            "not the probability",
        ),
        (
            "importance_vector",
            lambda o, j, a: vector(o, j, a, lambda x, t: x.gather(1, t[:, None]).mean()),
            "do not average",
        ),
        ("importance_vector", lambda o, j, a: vector(o, j, a) + 1, "first vector"),
        ("importance_vector", lambda o, j, a: vector(o, j, a, graph=False).detach(), "create_graph"),
        ("importance_vector", lambda o, j, a: vector(o, j, a, graph=False), "create_graph"),
        ("ranking_hinge", lambda m, s, o, d: F.relu(d + gap(m, s, o)), "over the batch"),
        ("ranking_hinge", lambda m, s, o, d: hinge(m, o, s, d), "exchanged"),
        ("ranking_hinge", lambda m, s, o, d: F.relu(d + gap(m, s, o).mean()), "batch's means"),
        ("ranking_hinge", lambda m, s, o, d: hinge(m, s, o, 0), "margin is missing"),
        ("ranking_hinge", lambda m, s, o, d: hinge(m, s, o, -d), "wrong sign"),
        ("ranking_hinge", lambda m, s, o, d: (1 - F.cosine_similarity(m, s, dim=1)).mean(), "attractive half"),
        ("ranking_hinge", lambda m, s, o, d: (d + gap(m, s, o)).mean(), "hinge is missing"),
        ("ranking_hinge", lambda m, s, o, d: F.relu(d + gap(m, s, o)).sum(), "not the sum"),
        (
            "ranking_hinge",
            lambda m, s, o, d: F.relu(d + (m - s).norm(dim=1) - (m - o).norm(dim=1)).mean(),
            "Euclidean",
        ),
        ("ranking_hinge", lambda m, s, o, d: F.relu(d + 2 * gap(m, s, o)).mean(), "squared distances"),
        ("ranking_hinge", lambda m, s, o, d: hinge(m, s, o, d) + 1, "yours is"),
        ("ranking_hinge", lambda m, s, o, d: hinge(m, s, o, d).detach(), "no gradient"),
        ("ranking_hinge", lambda m, s, o, d: hinge(m.detach(), s, o, d), "reaches the reasoning question"),
        ("ranking_metrics", lambda s, r: None, "return"),
        ("ranking_metrics", lambda s, r: 1.0, "three numbers"),
        ("ranking_metrics", lambda s, r: metrics(-s, r), "precision at 1"),
        ("ranking_metrics", lambda s, r: (*metrics(s, r)[:1], metrics(s, r)[1] + 1, 0.0), "ranks start at 1"),
        ("ranking_metrics", lambda s, r: (*metrics(s, r)[:2], metrics(s, r)[0]), "ranking accuracy"),
    ],
)
def test_typical_mistakes_are_named(name, wrong, message):
    with pytest.raises(CheckFailed, match=message):
        getattr(checks, f"check_{name}")(wrong)


def test_an_untouched_exercise_passes_through():
    def untouched(*_):
        raise NotImplementedError

    for name in ("check_importance_vector", "check_ranking_hinge", "check_ranking_metrics"):
        with pytest.raises(NotImplementedError):
            getattr(checks, name)(untouched)
