"""The checks of lesson 11 accept the right solution and name what is wrong with typical wrong ones."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lessons_lib.checks import CheckFailed
from lessons_lib.checks import distribution_shift as checks
from lessons_lib.feedback.hint import human_scores, ranking_loss, zero_out_loss


def score(combine=lambda a, b, total, share: a / (a + b), turned=False):
    def function(heat, box):
        x0, y0, x1, y1 = box
        mask = torch.zeros(heat.shape, dtype=torch.bool)
        mask[(slice(x0, x1), slice(y0, y1)) if turned else (slice(y0, y1), slice(x0, x1))] = True
        return combine(heat[mask].mean(), heat[~mask].mean(), heat.mean(), heat[mask].sum() / heat.sum())

    return function


def test_right_solutions_pass(capsys):
    checks.check_box_score(score())
    checks.check_box_score(lambda heat, box: human_scores(heat[None], torch.tensor([[box]]).double())[0, 0])
    checks.check_ranking_loss(ranking_loss)
    checks.check_zero_out(zero_out_loss)
    assert capsys.readouterr().out.count("passed") == 4


def pairs(alpha, human):
    ahead = alpha[:, None, :] - alpha[:, :, None]
    return ahead * (human[:, :, None] > human[:, None, :])


@pytest.mark.parametrize(
    "name, wrong, message",
    [
        ("box_score", lambda heat, box: None, "return something"),
        ("box_score", score(lambda a, b, total, share: share), "share of the heat"),
        ("box_score", score(lambda a, b, total, share: a / b), "ratio of the means"),
        ("box_score", score(lambda a, b, total, share: a / (a + total)), "outside the box"),
        ("box_score", score(turned=True), "rows are y"),
        ("box_score", score(lambda a, b, total, share: a), "yours is"),
        ("ranking_loss", lambda a, h: ranking_loss(a, h, ties=True), "use >"),
        ("ranking_loss", lambda a, h: ranking_loss(-a, h), "sign is turned"),
        ("ranking_loss", lambda a, h: ranking_loss(a, h) * a.numel(), "divide by B R"),
        ("ranking_loss", lambda a, h: ranking_loss(a, h) * a.shape[1], "divide by R"),
        ("ranking_loss", lambda a, h: ranking_loss(a, h) * len(a), "over the batch"),
        ("ranking_loss", lambda a, h: pairs(a, h).sum() / a.numel(), "max"),
        ("ranking_loss", lambda a, h: ranking_loss(a.detach(), h), "no gradient"),
        ("ranking_loss", lambda a, h: F.relu(pairs(a, h)), "add up all pairs"),
        ("ranking_loss", lambda a, h: a.sum() * 0 + 3, "yours is"),
        ("zero_out", lambda logits: F.softplus(logits).mean(), "add up over the answers"),
        ("zero_out", lambda logits: F.softplus(-logits).sum() / len(logits), "target is 0"),
        ("zero_out", lambda logits: F.softplus(logits).sum(), "average over the batch"),
        ("zero_out", lambda logits: zero_out_loss(logits.detach()), "no gradient"),
        ("zero_out", lambda logits: F.softplus(logits).sum(1), "one number"),
    ],
)
def test_wrong_solutions_are_told_why(name, wrong, message):
    with pytest.raises(CheckFailed, match=message):
        getattr(checks, f"check_{name}")(wrong)
