"""Figures of generalised zero-shot learning: by hand, and against the plain way of computing them."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.evidence.zero_shot import (
    harmonic_mean,
    naming,
    neuron_focus,
    per_class_accuracy,
    stacking_curve,
    top_precision,
    zero_shot_accuracy,
)


def test_per_class_accuracy_weighs_classes_not_images():
    labels = torch.tensor([0, 0, 0, 0, 7])
    assert per_class_accuracy(torch.tensor([0, 0, 0, 0, 1]), labels) == pytest.approx(0.5)  # of images it is 0.8
    assert per_class_accuracy(torch.tensor([0, 1, 1, 1, 7]), labels) == pytest.approx((0.25 + 1) / 2)


def test_harmonic_mean_by_hand_and_with_a_zero():
    assert harmonic_mean(0.8, 0.2) == pytest.approx(0.32)
    assert harmonic_mean(0.9, 0.0) == harmonic_mean(0.0, 0.9) == harmonic_mean(0.0, 0.0) == 0
    assert harmonic_mean(0.388, 0.423) == pytest.approx(0.405, abs=0.001)


@pytest.fixture
def scored():
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(6).repeat(30)[torch.randperm(180, generator=generator)][:170]
    scores = torch.randn(170, 6, generator=generator) + 1.5 * torch.eye(6)[labels]
    return scores, labels, torch.tensor([True, True, True, True, False, False])


def test_the_curve_is_what_taking_gamma_off_gives(scored):
    scores, labels, seen = scored
    curve = stacking_curve(scores, labels, seen)
    mine = seen[labels]
    for gamma in (-9.0, -1.3, 0.0, 0.4, 2.2, 9.0):
        best = (scores - gamma * seen).argmax(1)
        s, u, h = curve.at(gamma)
        assert s == pytest.approx(per_class_accuracy(best[mine], labels[mine]))
        assert u == pytest.approx(per_class_accuracy(best[~mine], labels[~mine]))
        assert h == pytest.approx(harmonic_mean(s, u))


def test_gamma_moves_seen_and_unseen_in_opposite_directions(scored):
    curve = stacking_curve(*scored)
    assert (curve.seen.diff() <= 1e-12).all() and (curve.unseen.diff() >= -1e-12).all()
    assert curve.seen[-1] == 0 and curve.unseen[0] == 0
    gamma, s, u, h = curve.best
    assert h >= curve.at(0.0)[2] and curve.at(gamma) == pytest.approx((s, u, h))
    assert 0 < curve.area < 1


def test_area_by_hand():
    """One image a class, both right among their own: the curve goes from (1, 0) over (1, 1) or (0, 0) to (0, 1)."""
    seen, labels = torch.tensor([True, False]), torch.tensor([0, 1])
    assert stacking_curve(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), labels, seen).area == pytest.approx(1)
    assert stacking_curve(torch.tensor([[0.0, 2.0], [1.0, 0.0]]), labels, seen).area == pytest.approx(0)


def test_accuracies_of_perfect_and_of_biased_scores(scored):
    _, labels, seen = scored
    perfect = zero_shot_accuracy(torch.eye(6)[labels], labels, seen)
    assert all(value == pytest.approx(1) for value in perfect.values())
    biased = zero_shot_accuracy(torch.eye(6)[labels] + 5.0 * seen, labels, seen)
    assert biased["unseen_accuracy"] == biased["harmonic_mean"] == 0
    assert all(biased[name] == pytest.approx(1) for name in ("seen_accuracy", "among_unseen", "area"))


def test_top_precision_by_hand():
    scores = torch.tensor([[0.9, 0.8, 0.1, 0.0], [0.0, 0.1, 0.8, 0.9]])
    true = torch.tensor([[True, False, True, False], [False, False, True, True]])
    assert top_precision(scores, true, 2).tolist() == [0.5, 1.0]
    assert top_precision(scores, true, 4).tolist() == [0.5, 0.5]


def test_neurons_are_called_after_what_they_go_with():
    """Neuron 0 matters to classes with attribute 1 and neuron 1 to those with attribute 0; scale and sign count."""
    described = torch.tensor([[1.0, 0], [0, 1], [1, 1], [0, 0]])
    importances = torch.stack([described[:, 1] - 0.5, described[:, 0] - 0.5, 0.5 - described[:, 0]], 1)
    found = naming(importances, torch.arange(4), described)
    torch.testing.assert_close(found, torch.tensor([[0.0, 1.0], [1.0, 0.0], [-1.0, 0.0]]), atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="S > 2"):
        naming(importances[:2], torch.arange(2), described[:2])


def test_neuron_focus_by_hand():
    """Two neurons, two pictures, two parts; neuron 0 is called after attribute 0 (part 0), neuron 1 after 1 (no part)."""
    activations = torch.zeros(2, 2, 2, 2)
    activations[0, 0, 0, 0] = 1.0  # in picture 0, which has attribute 0, neuron 0 fires on part 0
    activations[0, 1, 1, 1] = 1.0  # and neuron 1 elsewhere
    activations[1, 1, 0, 1] = 3.0
    masks = torch.zeros(2, 2, 2, 2, dtype=torch.bool)
    masks[:, 0, 0, 0], masks[:, 1, 1, 1] = True, True
    attributes = torch.tensor([[True, False], [False, True]])
    found = neuron_focus(activations, torch.tensor([0, 1]), attributes, masks, torch.tensor([0, -1]))
    assert found == {"pointing": 1.0, "pointing_chance": 0.25, "pointing_others": 0.5, "response": 1.0}
    swapped = neuron_focus(activations.flip(1), torch.tensor([0, 1]), attributes, masks, torch.tensor([0, -1]))
    assert swapped["pointing"] == 0.0 and swapped["response"] == 0.0


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: per_class_accuracy(torch.ones(2), torch.ones(3)), r"\(N,\)"),
        (lambda: per_class_accuracy(torch.ones(0), torch.ones(0)), "N > 0"),
        (lambda: harmonic_mean(40, 0.2), "in \\[0, 1\\]"),
        (lambda: stacking_curve(torch.ones(2, 3), torch.tensor([0, 1]), torch.ones(2, dtype=torch.bool)), "seen"),
        (lambda: stacking_curve(torch.ones(2, 2), torch.tensor([0, 0]), torch.tensor([True, False])), "unseen classes"),
        (
            lambda: neuron_focus(
                torch.ones(2, 3, 4, 4), torch.ones(2), torch.ones(2, 5), torch.ones(2, 1, 8, 8), torch.ones(5)
            ),
            "names",
        ),
        (lambda: top_precision(torch.ones(2, 3), torch.ones(2, 4, dtype=torch.bool)), r"\(N, A\)"),
        (lambda: top_precision(torch.ones(2, 3), torch.ones(2, 3, dtype=torch.bool), 4), "count"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
