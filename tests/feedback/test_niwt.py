"""NIWT's losses: hand-computed values, gradients that reach the weights, and the closed form against the optimiser."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from lessons_lib.feedback.niwt import (
    closed_form_rows,
    importance_jacobian,
    importance_loss,
    importances_of_rows,
    neuron_importance,
    seen_centred_rows,
    transfer_loss,
)
from lessons_lib.models.small import SmallCNN


def below_and_above(network, images):
    """Activations of the third layer with their graph, and the pooled features above them."""
    names = [name for name, _ in network.features.named_children()]
    cut = names.index("relu3") + 1
    activations = network.features[:cut]((images - 0.5) / 0.25)
    return activations, network.features[cut:](activations).mean((2, 3))


@pytest.fixture
def seeing():
    network = SmallCNN(5, width=3, seed=1).eval()
    images = torch.rand(4, 3, 24, 24, generator=torch.Generator().manual_seed(2))
    return network, images


# ---------------------------------------- importance of neurons
def test_importance_of_a_score_by_hand():
    """s = sum_ij (2 A^0_ij + i A^1_ij): the gradients sum to 2 * 6 and to 3 * (0 + 1)."""
    activations = torch.ones(1, 2, 2, 3, requires_grad=True)
    ramp = torch.tensor([[0.0], [1.0]])
    scores = (2 * activations[:, 0] + ramp * activations[:, 1]).sum((1, 2))
    assert neuron_importance(scores, activations).tolist() == [[12.0, 3.0]]


def test_importance_behind_a_pooled_linear_head_is_the_row_whatever_the_image(seeing):
    network, images = seeing
    features = network.features((images - 0.5) / 0.25)
    logits = network.head(features.mean((2, 3)))
    found = neuron_importance(logits[:, 3], features)
    torch.testing.assert_close(found, network.head.weight[3].detach().expand(4, -1))


def test_the_jacobian_serves_every_class(seeing):
    network, images = seeing
    activations, features = below_and_above(network, images)
    jacobian = importance_jacobian(features, activations)
    assert jacobian.shape == (4, 12, 12) and not jacobian.requires_grad
    every = importances_of_rows(network.head.weight, jacobian)
    for label in range(5):
        activations, features = below_and_above(network, images)
        one = neuron_importance(network.head(features)[:, label], activations)
        torch.testing.assert_close(every[:, label], one, rtol=1e-4, atol=1e-5)


def test_a_graph_of_the_importances_reaches_the_row(seeing):
    network, images = seeing
    activations, features = below_and_above(network, images)
    row = torch.zeros(12, requires_grad=True)
    found = neuron_importance(features @ row, activations, create_graph=True)
    found.sum().backward()
    assert row.grad.abs().sum() > 0
    activations, features = below_and_above(network, images)
    assert not neuron_importance(features @ row, activations).requires_grad


# ---------------------------------------- the cosine loss
def test_cosine_loss_is_0_for_the_same_direction_and_by_hand():
    wanted = torch.tensor([[1.0, 0.0], [3.0, 4.0]])
    assert importance_loss(wanted, 7 * wanted).item() == pytest.approx(0, abs=1e-6)
    assert importance_loss(wanted, -wanted).item() == pytest.approx(2)
    # cosines 0 and 4 / 5
    assert importance_loss(wanted, torch.tensor([[0.0, 2.0], [0.0, 1.0]])).item() == pytest.approx((1 + 0.2) / 2)
    assert importance_loss(wanted[0], wanted).item() == pytest.approx(
        (0 + 0.4) / 2
    )  # broadcasts: cos (1, 0), (3, 4) is 0.6


def test_cosine_loss_trains_a_map_and_one_step_lowers_it():
    generator = torch.Generator().manual_seed(0)
    described, importances = torch.rand(6, 4, generator=generator), torch.randn(6, 3, generator=generator)
    weights = torch.randn(4, 3, generator=generator).requires_grad_()
    loss = importance_loss(described @ weights, importances)
    (gradient,) = torch.autograd.grad(loss, weights)
    assert gradient.abs().sum() > 0
    assert importance_loss(described @ (weights - 0.1 * gradient), importances) < loss


# ---------------------------------------- the objective of new rows
def objective(rows, jacobian, wanted, mean, weight):
    return transfer_loss(wanted, importances_of_rows(rows, jacobian), rows, mean, weight)


def test_transfer_loss_by_hand():
    """One row (3, 4), identity jacobian: cosine with (1, 0) is 0.6; half the squared distance to (3, 0) is 8."""
    rows, wanted, mean = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([3.0, 0.0])
    found = objective(rows, torch.eye(2)[None], wanted, mean, 0.25)
    assert found.item() == pytest.approx(0.4 + 0.25 * 8)
    assert objective(rows, torch.eye(2)[None], 5 * rows, rows[0], 3.0).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("weight", [0.0, 0.1])
def test_transfer_loss_reaches_the_rows_and_one_step_lowers_it(seeing, weight):
    network, images = seeing
    jacobian = importance_jacobian(*reversed(below_and_above(network, images)))
    rows = seen_centred_rows(network.head.weight.detach(), 2, torch.Generator().manual_seed(3)).requires_grad_()
    wanted, mean = torch.randn(2, 12, generator=torch.Generator().manual_seed(4)), network.head.weight.detach().mean(0)
    loss = objective(rows, jacobian, wanted, mean, weight)
    (gradient,) = torch.autograd.grad(loss, rows)
    assert (gradient.abs().sum(1) > 0).all()
    assert objective(rows - 1e-3 * gradient, jacobian, wanted, mean, weight) < loss


def test_a_huge_weight_returns_the_mean_of_the_seen_rows():
    mean, wanted = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    torch.testing.assert_close(closed_form_rows(wanted, mean, 1e6), mean.expand(2, -1), rtol=1e-3, atol=1e-3)


def test_without_a_pull_the_closed_form_is_the_wanted_direction():
    wanted, mean = torch.tensor([[3.0, 4.0]]), torch.tensor([1.0, 0.0])
    torch.testing.assert_close(closed_form_rows(wanted, mean, 0.0), torch.tensor([[0.36, 0.48]]))  # 0.6 of (0.6, 0.8)


@pytest.mark.parametrize("weight", [0.05, 0.5, 3.0])
def test_the_closed_form_is_where_the_optimiser_arrives(weight):
    generator = torch.Generator().manual_seed(5)
    mean = torch.rand(6, generator=generator, dtype=torch.float64)
    wanted = torch.rand(3, 6, generator=generator, dtype=torch.float64)
    identity = torch.eye(6, dtype=torch.float64)[None]  # a pooled layer that goes straight into the head
    best = closed_form_rows(wanted, mean, weight)
    rows = (best + 0.3 * torch.randn(3, 6, generator=generator, dtype=torch.float64)).requires_grad_()
    steps = torch.optim.LBFGS(
        [rows], max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def closure():
        steps.zero_grad()
        loss = objective(rows, identity, wanted, mean, weight)
        loss.backward()
        return loss

    steps.step(closure)
    torch.testing.assert_close(rows.detach(), best, rtol=1e-4, atol=1e-4)


# ---------------------------------------- where rows begin
def test_rows_begin_with_mean_and_spread_of_the_seen_rows():
    seen = torch.tensor([[1.0, 10.0], [3.0, 10.0]])  # standard deviations sqrt(2) and 0
    found = seen_centred_rows(seen, 4000, torch.Generator().manual_seed(6))
    assert found[:, 0].mean().item() == pytest.approx(2, abs=0.1)
    assert found[:, 0].std().item() == pytest.approx(math.sqrt(2), abs=0.1)
    assert (found[:, 1] == 10).all()
    again = seen_centred_rows(seen, 4000, torch.Generator().manual_seed(6))
    assert torch.equal(found, again)


# ---------------------------------------- what does not fit
@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: importance_loss(torch.ones(2, 3), torch.ones(2, 4)), "same number of neurons"),
        (lambda: importance_loss(torch.ones(2, 3), torch.ones(5, 3)), "broadcast"),
        (lambda: neuron_importance(torch.ones(3), torch.ones(2, 4, 5, 5)), r"\(B, K, H, W\)"),
        (lambda: neuron_importance(torch.ones(2), torch.ones(2, 4, 5, 5)), "no gradient"),
        (lambda: importance_jacobian(torch.ones(2), torch.ones(2, 4, 5, 5)), r"features \(B, D\)"),
        (lambda: importances_of_rows(torch.ones(2, 3), torch.ones(1, 4, 5)), "jacobian"),
        (
            lambda: transfer_loss(torch.ones(2, 3), torch.ones(1, 2, 3), torch.ones(2, 4), torch.ones(5), 0.1),
            "mean_row",
        ),
        (lambda: transfer_loss(torch.ones(3, 3), torch.ones(1, 2, 3), torch.ones(2, 4), torch.ones(4), 0.1), "wanted"),
        (lambda: transfer_loss(torch.ones(2, 3), torch.ones(1, 2, 3), torch.ones(2, 4), torch.ones(4), -1), "weight"),
        (lambda: closed_form_rows(torch.ones(2, 3), torch.ones(4), 0.1), "mean_row"),
        (lambda: closed_form_rows(-torch.ones(2, 3), torch.ones(3), 0.1), "points away"),
        (lambda: seen_centred_rows(torch.ones(1, 3), 2), "seen"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_scores_of_another_forward_pass_are_refused(seeing):
    network, images = seeing
    activations, _ = below_and_above(network, images)
    _, features = below_and_above(network, images)
    with pytest.raises(ValueError, match="same forward pass"):
        neuron_importance(F.relu(features).sum(1), activations)
