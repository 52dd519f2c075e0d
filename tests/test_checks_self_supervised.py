"""The checks of lesson 14 accept the right solution and name what is wrong with typical wrong ones."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lessons_lib.checks import self_supervised as checks
from lessons_lib.checks.core import CheckFailed


def counts(masks, boxes):
    return torch.stack([mask[y0:y1, x0:x1].sum() for mask, (x0, y0, x1, y1) in zip(masks, boxes.tolist())]).double()


def covered(masks, boxes):
    return counts(masks, boxes) / masks.flatten(1).sum(1).clamp(min=1)


def logits(q, k, queue):
    return torch.cat([(q * k).sum(1, keepdim=True), q @ queue.t()], 1)


def contrast(values, place=0, **options):
    return F.cross_entropy(values, torch.full((len(values),), place), **options)


def nce(q, k, queue, t):
    return contrast(logits(q, k.detach(), queue) / t)


def attention(maps, wanted):
    return (1 - F.cosine_similarity(maps.flatten(1), wanted.flatten(1), dim=1)).mean()


def test_right_solutions_pass(capsys):
    checks.check_covered(covered)
    checks.check_info_nce(nce)
    checks.check_attention_loss(attention)
    assert capsys.readouterr().out.count("passed") == 3


@pytest.mark.parametrize(
    "name, wrong, message",
    [
        ("covered", lambda m, b: None, "return"),
        ("covered", counts, "counts"),
        ("covered", lambda m, b: counts(m, b) / m.flatten(1).sum(1), "empty mask"),
        ("covered", lambda m, b: counts(m, b) / 48, "picture's area"),
        ("covered", lambda m, b: counts(m, b) / ((b[:, 2:] - b[:, :2]).prod(1)), "box's area"),
        ("covered", lambda m, b: counts(m, b) * 0 + 0.5, "small case"),
        ("covered", lambda m, b: counts(m, b) * 0 + 2, "above 1"),
        ("info_nce", lambda q, k, n, t: contrast(logits(q, k, n)), "temperature is missing"),
        ("info_nce", lambda q, k, n, t: contrast(logits(q, k, n) * t), "divide"),
        ("info_nce", lambda q, k, n, t: contrast(q @ n.t() / t), "own key is not"),
        ("info_nce", lambda q, k, n, t: contrast(torch.cat([q @ k.t(), q @ n.t()], 1) / t), "keys\\[b\\] alone"),
        ("info_nce", lambda q, k, n, t: contrast(logits(q, k, n).roll(-1, 1) / t), "stands last"),
        ("info_nce", lambda q, k, n, t: contrast(logits(q, k, n) / t, reduction="sum"), "mean over the queries"),
        ("info_nce", lambda q, k, n, t: contrast(logits(q, k, n) / t, reduction="none"), "take the mean"),
        ("info_nce", lambda q, k, n, t: nce(q, k, n, t) + 1, "yours is"),
        ("info_nce", lambda q, k, n, t: contrast(logits(q, k, n) / t), "reaches the keys"),
        ("info_nce", lambda q, k, n, t: nce(q.detach(), k, n, t) + 0 * q.sum(), "no gradient reaches the queries"),
        ("attention_loss", lambda m, w: 1 - F.cosine_similarity(m.flatten(), w.flatten(), dim=0), "whole batch"),
        ("attention_loss", lambda m, w: 1 - attention(m, w), "subtract it from 1"),
        ("attention_loss", lambda m, w: attention(m, w) - 1, "add 1"),
        ("attention_loss", lambda m, w: 3 * attention(m, w), "not the sum"),
        ("attention_loss", lambda m, w: (1 - F.cosine_similarity(m, w, dim=2)).mean(), "flatten each map"),
        ("attention_loss", lambda m, w: (m - w).square().mean(), "squared distance"),
        ("attention_loss", lambda m, w: attention(m, w) + 2, "yours is"),
        ("attention_loss", lambda m, w: attention(m.detach(), w), "no gradient"),
    ],
)
def test_wrong_solutions_are_told_what_is_wrong(name, wrong, message):
    with pytest.raises(CheckFailed, match=message):
        getattr(checks, f"check_{name}")(wrong)
