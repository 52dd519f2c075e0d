"""Ranking metrics of questions: hand-computed groups, ties, one-kind groups, and what chance gives."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.evidence.question_ranking import RankingScores, random_scores, ranking_scores

GROUP = torch.tensor([4, 4, 4, 9, 9, 9, 9, 2, 2])
SIMILARITY = torch.tensor([0.9, 0.5, 0.1, 0.8, 0.6, 0.3, -0.2, 0.4, 0.7])
RELEVANT = torch.tensor([True, True, False, False, True, False, True, True, False])


def test_scores_of_three_groups_by_hand():
    found = ranking_scores(GROUP, SIMILARITY, RELEVANT)
    # group 4 is right. Group 9 reads N S N S, right is S S N N: ranks 1 and 4 are wrong, |.8 - .6| and |-.2 - .3|.
    # Group 2 reads N S: both ranks are wrong, |.7 - .4| twice.
    assert found.mpr == pytest.approx(1 / 3) and found.ranking_accuracy == pytest.approx(1 / 3)
    assert found.mrr == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)
    assert found.wpr == pytest.approx(((0.2 + 0.5) + (0.3 + 0.3)) / 2)
    assert found.as_dict() == {"mpr": found.mpr, "ranking_accuracy": found.ranking_accuracy, "mrr": found.mrr,
                               "wpr": found.wpr}  # fmt: skip


def test_order_of_rows_and_numbers_of_groups_say_nothing():
    turn = torch.randperm(len(GROUP), generator=torch.Generator().manual_seed(1))
    assert ranking_scores(10 * GROUP[turn], SIMILARITY[turn], RELEVANT[turn]) == ranking_scores(
        GROUP, SIMILARITY, RELEVANT
    )


def test_agrees_with_a_plain_loop_on_random_groups():
    generator = torch.Generator().manual_seed(2)
    group = torch.arange(40).repeat_interleave(5)
    similarity = torch.rand(200, generator=generator)
    relevant = torch.tensor([True, False, True, False, False]).repeat(40)
    hits, exact, reciprocal, losses = 0, 0, 0.0, []
    for g in range(40):
        rows = sorted(torch.nonzero(group == g)[:, 0].tolist(), key=lambda n: -float(similarity[n]))
        kinds = [bool(relevant[n]) for n in rows]
        right = sorted(rows, key=lambda n: (not relevant[n], -float(similarity[n])))
        hits, exact = hits + kinds[0], exact + (kinds == sorted(kinds, reverse=True))
        reciprocal += 1 / (1 + kinds.index(True))
        apart = [
            float((similarity[a] - similarity[b]).abs()) for a, b in zip(rows, right) if relevant[a] != relevant[b]
        ]
        losses += [sum(apart)] if apart else []
    found = ranking_scores(group, similarity, relevant)
    assert (found.mpr, found.ranking_accuracy) == (pytest.approx(hits / 40), pytest.approx(exact / 40))
    assert found.mrr == pytest.approx(reciprocal / 40) and found.wpr == pytest.approx(sum(losses) / len(losses))


def test_ties_count_against_the_model_and_a_shrunken_scale_lowers_only_wpr():
    flat = ranking_scores(GROUP, torch.full((9,), 0.5), RELEVANT)
    assert flat.mpr == flat.ranking_accuracy == flat.wpr == 0
    full, small = (ranking_scores(GROUP, scale * SIMILARITY, RELEVANT) for scale in (1.0, 0.01))
    assert (small.mpr, small.mrr) == (full.mpr, full.mrr) and small.wpr == pytest.approx(0.01 * full.wpr)


def test_without_a_mistake_wpr_is_zero():
    assert ranking_scores(GROUP, RELEVANT + 0.1 * SIMILARITY, RELEVANT) == RankingScores(1.0, 1.0, 1.0, 0.0)


def test_chance_and_a_lead():
    group = torch.arange(200).repeat_interleave(4)
    relevant = torch.tensor([True, False, False, False]).repeat(200)
    found = random_scores(group, relevant)
    assert found.mpr == pytest.approx(0.25, abs=0.01) and found.ranking_accuracy == found.mpr
    assert found.mrr == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4, abs=0.01)
    assert random_scores(group, relevant, relevant, rounds=2).mpr == 1
    assert random_scores(group, relevant) == found


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"must be \(C,\)"):
        ranking_scores(GROUP, SIMILARITY[:3], RELEVANT)
    with pytest.raises(ValueError, match="at least one candidate"):
        ranking_scores(GROUP[:0], SIMILARITY[:0], RELEVANT[:0])
    with pytest.raises(ValueError, match="bool"):
        ranking_scores(GROUP, SIMILARITY, RELEVANT.float())
    with pytest.raises(ValueError, match="finite"):
        ranking_scores(GROUP, SIMILARITY * float("nan"), RELEVANT)
    with pytest.raises(ValueError, match="group 4 has candidates of one kind"):
        ranking_scores(GROUP, SIMILARITY, RELEVANT | (GROUP == 4))
