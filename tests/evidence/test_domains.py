"""Measures across domains, against hand-made cases and scikit-learn."""

from __future__ import annotations

import pytest
import torch

from data_fetch.worlds.scenes.domains import cluttered
from lessons_lib.evidence.domains import (
    SHARES,
    average_precision,
    class_means,
    domain_accuracy,
    iou_curve,
    mean_average_precision,
    shown_classes,
    transfer_scores,
)
from lessons_lib.explain import grad_cam
from lessons_lib.models.small import SmallCNN


def test_average_precision_by_hand():
    scores = torch.tensor([[0.9], [0.8], [0.7], [0.1]])
    truth = torch.tensor([[True], [False], [True], [False]])
    assert average_precision(scores, truth)[0] == pytest.approx((1 + 2 / 3) / 2)


def test_ties_count_as_one_step_whatever_their_order():
    truth = torch.tensor([[True, False], [False, False], [False, True], [False, False]])
    found = average_precision(torch.full((4, 2), 0.3), truth)
    torch.testing.assert_close(found, torch.tensor([0.25, 0.25], dtype=torch.float64))


def test_map_leaves_out_what_is_never_shown():
    scores = torch.tensor([[0.9, 0.5], [0.1, 0.6]])
    truth = torch.tensor([[True, False], [False, False]])
    assert average_precision(scores, truth)[1].isnan() and mean_average_precision(scores, truth) == 1
    with pytest.raises(ValueError, match="no class"):
        mean_average_precision(scores, torch.zeros_like(truth))


@pytest.mark.parametrize(
    "scores, truth, words",
    [
        (torch.rand(3, 2), torch.rand(3, 2), "bool"),
        (torch.rand(3, 2), torch.ones(2, 2, dtype=torch.bool), r"\(3, 2\)"),
        (torch.tensor([[float("nan")]]), torch.ones(1, 1, dtype=torch.bool), "NaN"),
    ],
)
def test_average_precision_refuses(scores, truth, words):
    with pytest.raises(ValueError, match=words):
        average_precision(scores, truth)


def test_classes_count_alike():
    values, classes = torch.tensor([1.0, 0.0, 0.5, 0.5]), torch.tensor([2, 2, 2, 0])
    assert class_means(values, classes).tolist() == [0.5, 0.5]
    with pytest.raises(ValueError, match="P > 0"):
        class_means(values, classes[:2])


def test_iou_curve_finds_the_best_cut():
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[:, :2] = True
    maps = torch.full((2, 4, 4), 0.42)
    maps[:, :2] = 1.0
    curve = iou_curve(maps, masks, torch.tensor([0, 3]))
    assert len(curve) == len(SHARES)
    assert curve[0] == pytest.approx(0.5) and curve[-1] == 1
    assert torch.equal(curve, iou_curve(0.001 * maps, masks, torch.tensor([0, 3])))


def test_a_fresh_classifier_tells_a_shift_and_nothing_where_there_is_none():
    generator = torch.Generator().manual_seed(1)
    features, classes = torch.randn(400, 6, generator=generator), torch.arange(400) % 4
    source = torch.arange(400) < 200
    assert 0.4 < domain_accuracy(features, classes, source) < 0.6
    moved = features + 6 * source[:, None] * torch.tensor([1.0, 0, 0, 0, 0, 0])
    assert domain_accuracy(moved, classes, source) > 0.95


def test_the_class_tells_nothing_because_classes_are_matched():
    """Class 0 is rare in the source; features hold the class alone, so that unmatched shares would give it away."""
    classes = torch.cat([torch.arange(200) % 10 == 0, torch.arange(200) % 10 > 0]).long()
    source = torch.arange(400) < 200
    features = torch.nn.functional.one_hot(classes, 2).float()
    assert domain_accuracy(features, classes, source) == pytest.approx(0.5, abs=0.15)


def test_domain_accuracy_refuses():
    features, classes = torch.rand(4, 2), torch.zeros(4, dtype=torch.long)
    with pytest.raises(ValueError, match="nothing to match"):
        domain_accuracy(features, classes, torch.ones(4, dtype=torch.bool))
    with pytest.raises(ValueError, match="source"):
        domain_accuracy(features, classes, torch.ones(4))


def test_shown_classes_gives_every_class_shown_its_own_map():
    data = cluttered(12, size=32, seed=1000)
    network = SmallCNN(8, width=4, seed=1).eval()
    found = shown_classes(network, data, "features.relu4", batch=5)
    assert len(found.classes) == int(data.labels.sum()) and found.logits.shape == (12, 8)
    assert torch.equal(torch.stack([found.pictures, found.classes], 1), torch.nonzero(data.labels))
    last = len(found.classes) - 1
    n, c = int(found.pictures[last]), int(found.classes[last])
    expected = grad_cam(network, data.images[n : n + 1], c, "features.relu4", size="images")[0]
    torch.testing.assert_close(found.maps[last], expected)
    assert torch.equal(found.masks[last], data.segmentation[n] == c + 1) and found.masks.flatten(1).any(1).all()
    assert found.features.shape == (len(found.classes), 16)
    scores = transfer_scores(found)
    assert set(scores) == {"map", "miou", "cut", "pointing", "energy"} and all(0 <= v <= 1 for v in scores.values())
