"""Grounding by proposals, against hand-computed choices."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.evidence import chosen_proposals, grounding_accuracy

PROPOSALS = torch.tensor([[[0.0, 0.0, 8.0, 8.0], [0.0, 0.0, 2.0, 2.0], [4.0, 4.0, 8.0, 8.0]]])


def one_map():
    maps = torch.zeros(1, 8, 8)
    maps[0, :2, :2] = 1.0  # 4 in the small box
    maps[0, 4:, 4:] = 0.5  # 8 in the middle one
    return maps


@pytest.mark.parametrize(("alpha", "choice"), [(0.0, 0), (0.5, 1), (1.0, 1)])
def test_alpha_weighs_content_against_area(alpha, choice):
    # contents 12, 4, 8; areas 64, 4, 16: alpha 0.5 gives 1.5, 2, 2 (the first of the equal ones); alpha 1 gives .19, 1, .5
    assert int(chosen_proposals(one_map(), PROPOSALS, alpha=alpha)) == choice


def test_accuracy_asks_for_half_an_overlap():
    maps = one_map()
    truth = torch.tensor([[0.0, 0.0, 2.0, 3.0]])  # IoU of the small box 4 / 6
    assert grounding_accuracy(maps, PROPOSALS, truth).tolist() == [1.0]
    assert grounding_accuracy(maps, PROPOSALS, truth, overlap=0.7).tolist() == [0.0]
    assert grounding_accuracy(maps, PROPOSALS, torch.tensor([[4.0, 4.0, 8.0, 8.0]])).tolist() == [0.0]


def test_a_proposal_beyond_the_picture_is_cut():
    wide = torch.tensor([[[-3.0, -3.0, 2.0, 2.0], [3.0, 3.0, 20.0, 20.0]]])
    assert int(chosen_proposals(one_map(), wide, alpha=0.0)) == 1


def test_scale_does_not_matter_and_the_sum_is_exact():
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(5, 16, 16, generator=generator)
    corner = 8 * torch.rand(5, 6, 2, generator=generator)
    boxes = torch.cat([corner, corner + 3 + 4 * torch.rand(5, 6, 2, generator=generator)], 2)
    found = chosen_proposals(maps, boxes)
    assert torch.equal(found, chosen_proposals(7 * maps, boxes))
    for row in range(5):
        scores = []
        for box in boxes[row]:
            x1, y1, x2, y2 = box.long().tolist()
            area = float((box[2] - box[0]) * (box[3] - box[1]))
            scores.append(float(maps[row, y1:y2, x1:x2].sum()) / area**0.5)
        assert int(found[row]) == max(range(6), key=scores.__getitem__)


def test_shapes_are_named():
    with pytest.raises(ValueError, match="proposals"):
        chosen_proposals(torch.rand(2, 4, 4), torch.rand(1, 3, 4))
    with pytest.raises(ValueError, match="one box a map"):
        grounding_accuracy(one_map(), PROPOSALS, torch.rand(2, 4))
