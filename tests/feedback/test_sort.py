"""SOrT's losses: hand-computed values, both halves of the contrast, the collapse, and gradients through gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lessons_lib.feedback.hint import answer_loss, answer_score, score_gradient
from lessons_lib.feedback.sort import (
    attraction_loss,
    contrastive_loss,
    cosine_distance,
    importance_vector,
    sort_loss,
)

B, P, D, A = 6, 5, 7, 3


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Fuser(nn.Module):
    """Picture times question, and a classifier that is not linear, so that gradients depend on what they are taken at."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(3)
            self.picture, self.question = nn.Linear(P, D), nn.Linear(4, D)
            self.between, self.out = nn.Linear(D, 8), nn.Linear(8, A)
        self.double()

    def forward(self, pictures, questions):
        fused = torch.tanh(self.picture(pictures)) * torch.tanh(self.question(questions))
        return self.out(torch.tanh(2 * self.between(fused))), fused


PICTURES, QUESTIONS = drawn(B, P, seed=1), [drawn(B, 4, seed=seed) for seed in (2, 3, 4)]
LABELS = [torch.tensor(one) for one in ([0, 2, 1, 1, 0, 2], [1, 0, 1, 2, 2, 0], [2, 2, 0, 1, 0, 1])]


def vectors(network, create_graph: bool = True) -> list[torch.Tensor]:
    found = []
    for questions, labels in zip(QUESTIONS, LABELS):
        logits, fused = network(PICTURES, questions)
        found.append(importance_vector(answer_score(logits, labels), fused, create_graph=create_graph))
    return found


LOSSES = {
    "attraction": lambda main, sub, other: attraction_loss(main, sub),
    "contrast": contrastive_loss,
    "contrast with a margin": lambda *three: contrastive_loss(*three, margin=0.5),
    "contrast of means": lambda *three: contrastive_loss(*three, margin=2.0, batch_means=True),
}


def slope_by_differences(loss, network, ways, step: float = 1e-6) -> float:
    values = []
    for sign in (1, -2):
        with torch.no_grad():
            for weight, way in zip(network.parameters(), ways):
                weight += sign * step * way
        values.append(loss().item())
    with torch.no_grad():
        for weight, way in zip(network.parameters(), ways):
            weight += step * way
    return (values[0] - values[1]) / (2 * step)


def step_against(loss, network, size: float) -> None:
    """One step of plain descent of this length along the loss's own gradient."""
    weights = list(network.parameters())
    found = torch.autograd.grad(loss, weights, allow_unused=True)
    norm = sum(one.square().sum() for one in found if one is not None).sqrt()
    with torch.no_grad():
        for weight, one in zip(weights, found):
            if one is not None:
                weight -= size / norm * one


# ---------------------------------------- importance vectors
def test_vector_of_a_linear_classifier_is_its_row_times_the_fused_vector():
    fused, rows = drawn(B, D).requires_grad_(), drawn(A, D, seed=1)
    logits = fused @ rows.T
    found = importance_vector(answer_score(logits, LABELS[0]), fused)
    torch.testing.assert_close(found, rows[LABELS[0]] * fused)
    torch.testing.assert_close(found.sum(1), logits.gather(1, LABELS[0][:, None])[:, 0])  # it shares the logit out
    assert found.requires_grad


def test_the_true_answer_is_explained_and_not_the_predicted_one():
    fused, rows = drawn(B, D).requires_grad_(), drawn(A, D, seed=1)
    logits = fused @ rows.T
    wrong = (logits.argmax(1) + 1) % A
    torch.testing.assert_close(importance_vector(answer_score(logits, wrong), fused), rows[wrong] * fused)


# ---------------------------------------- the distance
def test_distance_by_hand():
    first = torch.tensor([[1.0, 0.0], [3.0, 4.0], [1.0, 1.0], [-3.0, -4.0]])
    second = torch.tensor([[5.0, 0.0], [0.0, 2.0], [-2.0, 2.0], [3.0, 4.0]])
    torch.testing.assert_close(cosine_distance(first, second), torch.tensor([0.0, 0.2, 1.0, 2.0]))
    torch.testing.assert_close(cosine_distance(second, first), cosine_distance(first, second))


def test_distance_knows_no_scale_even_a_tiny_one():
    first, second = drawn(B, D).float(), drawn(B, D, seed=1).float()
    for scale in (1e-30, 1e30):
        torch.testing.assert_close(cosine_distance(scale * first, second), cosine_distance(first, second))
    maps = drawn(B, 3, 4), drawn(B, 3, 4, seed=1)
    torch.testing.assert_close(cosine_distance(*maps), cosine_distance(*(m.flatten(1) for m in maps)))


def test_distance_has_the_gradient_of_torchs_cosine():
    first, second = drawn(B, D).requires_grad_(), drawn(B, D, seed=1).requires_grad_()
    mine = torch.autograd.grad(cosine_distance(first, second).sum(), [first, second])
    theirs = torch.autograd.grad((1 - torch.cosine_similarity(first, second)).sum(), [first, second])
    for one, other in zip(mine, theirs):
        torch.testing.assert_close(one, other)
    assert torch.autograd.gradgradcheck(cosine_distance, (first, second))


def test_zeros_have_no_direction_and_no_nan():
    first = drawn(B, D)
    first[2] = 0
    first.requires_grad_()
    second = drawn(B, D, seed=1).requires_grad_()
    found = cosine_distance(first, second)
    gradients = torch.autograd.grad(found.sum(), [first, second])
    assert found[2] == 1
    assert all(one.isfinite().all() and not one[2].any() and one[0].any() for one in gradients)
    zeros = torch.zeros(B, D, requires_grad=True)
    (gradient,) = torch.autograd.grad(contrastive_loss(zeros, zeros, zeros, margin=0.3), zeros)
    assert not gradient.any()


def test_dividing_by_the_largest_entry_is_nothing_or_a_wrong_sign():
    """What the release does before its cosine."""
    first, second = torch.tensor([[1.0, -2.0], [-1.0, -2.0]]), torch.tensor([[2.0, 1.0], [3.0, 1.0]])
    divided = cosine_distance(first / first.amax(1, keepdim=True), second / second.amax(1, keepdim=True))
    whole = cosine_distance(first, second)
    torch.testing.assert_close(divided[0], whole[0])  # a largest entry of 1
    torch.testing.assert_close(divided[1], 2 - whole[1])  # a largest entry of -1


# ---------------------------------------- the losses
def test_contrast_by_hand():
    main = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    sub, other = torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    # distances to the sub-question 1 and 0, to the other 0.4 and 1
    assert attraction_loss(main, sub).item() == pytest.approx(0.5)
    assert contrastive_loss(main, sub, other).item() == pytest.approx((0.6 + 0) / 2)
    assert contrastive_loss(main, sub, other, margin=1.5).item() == pytest.approx((2.1 + 0.5) / 2)
    assert contrastive_loss(main, main, -main) == 0
    assert contrastive_loss(main, -main, main, margin=2).item() == pytest.approx(4)


def test_means_of_the_batch_let_one_row_pay_for_another():
    """The release's hinge (commented out there) is taken of the batch's means."""
    main = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    sub, other = torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    assert contrastive_loss(main, sub, other, batch_means=True) == 0  # 0.5 against 0.7
    assert contrastive_loss(main, sub, other) > 0  # though the first row is ranked wrongly


def test_both_halves_move_and_only_where_the_order_is_wrong():
    main, sub, other = (drawn(B, D, seed=seed).requires_grad_() for seed in range(3))
    loss = contrastive_loss(main, sub, other)
    wrong = cosine_distance(main, sub) > cosine_distance(main, other)
    assert 0 < wrong.sum() < B
    for one in torch.autograd.grad(loss, [main, sub, other], retain_graph=True):
        assert one[wrong].any(1).all() and not one[~wrong].any()
    for_sub, for_other = torch.autograd.grad(loss, [sub, other])
    with torch.no_grad():
        nearer, further = sub - 0.1 * for_sub, other - 0.1 * for_other
        assert (cosine_distance(main, nearer) < cosine_distance(main, sub))[wrong].all()
        assert (cosine_distance(main, further) > cosine_distance(main, other))[wrong].all()
    assert torch.autograd.grad(attraction_loss(main, sub), other, allow_unused=True)[0] is None  # one half alone


def test_the_collapse_is_the_optimum_of_attraction_and_costs_the_margin():
    one = drawn(1, D).expand(B, -1)
    scale = drawn(B, 1, seed=1).abs()
    parallel = one, scale * one, (scale + 1) * one
    assert attraction_loss(*parallel[:2]).item() == pytest.approx(0, abs=1e-12)
    assert contrastive_loss(*parallel).item() == pytest.approx(0, abs=1e-12)  # without a margin it is allowed
    assert contrastive_loss(*parallel, margin=0.3).item() == pytest.approx(0.3)


def test_attraction_alone_draws_the_irrelevant_question_near_and_the_contrast_does_not():
    """The release trains the first half only: distances to both kinds of questions fall together."""
    gaps, near = {}, {}
    for name in ("attraction", "contrast with a margin"):
        network = Fuser()
        optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
        for _ in range(60):
            optimiser.zero_grad()
            LOSSES[name](*vectors(network)).backward()
            optimiser.step()
        main, sub, other = vectors(network, create_graph=False)
        near[name] = cosine_distance(main, other).mean().item()
        gaps[name] = near[name] - cosine_distance(main, sub).mean().item()
    main, sub, other = vectors(Fuser(), create_graph=False)
    start = cosine_distance(main, other).mean().item()
    assert near["attraction"] < start - 0.1
    assert gaps["contrast with a margin"] > gaps["attraction"] + 0.1


# ---------------------------------------- it trains
@pytest.mark.parametrize("name", LOSSES)
def test_own_gradient_reaches_the_weights_and_equals_finite_differences(name):
    network = Fuser()

    def loss():
        return LOSSES[name](*vectors(network))

    weights = list(network.parameters())
    found = torch.autograd.grad(loss(), weights, allow_unused=True)
    assert all(found[n].abs().max() > 1e-4 for n in (0, 2, 4, 6))  # weights of all four layers
    ways = [drawn(*weight.shape, seed=50 + n) for n, weight in enumerate(weights)]
    by_graph = sum((one * way).sum().item() for one, way in zip(found, ways) if one is not None)
    assert by_graph == pytest.approx(slope_by_differences(loss, network, ways), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_one_step_on_it_alone_lowers_it(name):
    network = Fuser()
    before = LOSSES[name](*vectors(network))
    step_against(before, network, 1e-3)
    assert LOSSES[name](*vectors(network)) < before


@pytest.mark.parametrize("name", LOSSES)
def test_a_detached_gradient_trains_something_else(name):
    network, whole, cut = Fuser(), [], []
    for questions, labels in zip(QUESTIONS, LABELS):
        logits, fused = network(PICTURES, questions)
        gradient = score_gradient(answer_score(logits, labels), fused)
        whole.append(gradient * fused)
        cut.append(gradient.detach() * fused)
    losses = LOSSES[name](*whole), LOSSES[name](*cut)
    assert losses[0].item() == pytest.approx(losses[1].item())
    below = [torch.autograd.grad(one, network.picture.weight, retain_graph=True)[0] for one in losses]
    assert not torch.allclose(*below, rtol=0.05)
    above = [torch.autograd.grad(one, network.out.weight, allow_unused=True, retain_graph=True)[0] for one in losses]
    assert above[0].any() and above[1] is None


def test_a_gradient_without_its_graph_is_a_constant():
    network = Fuser()
    logits, fused = network(PICTURES, QUESTIONS[0])
    score = answer_score(logits, LABELS[0])
    assert not score_gradient(score, fused, create_graph=False).requires_grad
    assert score_gradient(score, fused).requires_grad


def test_swapped_questions_teach_the_reverse():
    """The control: relevant and irrelevant exchanged."""
    main, sub, other = vectors(Fuser(), create_graph=False)
    gap = cosine_distance(main, sub) - cosine_distance(main, other)
    both = contrastive_loss(main, sub, other) - contrastive_loss(main, other, sub)
    torch.testing.assert_close(both, gap.mean())  # max(0, x) - max(0, -x) = x


# ---------------------------------------- the sum of the terms
@pytest.mark.parametrize("attraction_only", [False, True])
def test_the_total_by_its_terms(attraction_only):
    network = Fuser()
    logits, fused = zip(*(network(PICTURES, questions) for questions in QUESTIONS))
    options = {"margin": 0.2, "attraction_only": attraction_only}
    total, parts = sort_loss(logits, LABELS, fused, answer_weight=0.5, contrast_weight=4.0, **options)
    assert total.item() == pytest.approx(0.5 * parts["answers"] + 4 * parts["contrast"])
    assert parts["answers"] == pytest.approx(sum(answer_loss(x, t).item() for x, t in zip(logits, LABELS)))
    three = vectors(Fuser())
    expected = attraction_loss(*three[:2]) if attraction_only else contrastive_loss(*three, margin=0.2)
    assert parts["contrast"] == pytest.approx(expected.item())
    total.backward()
    assert network.out.weight.grad.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_precision_follows_the_inputs(dtype):
    three = [drawn(B, D, seed=seed).to(dtype) for seed in range(3)]
    assert contrastive_loss(*three, margin=0.1).dtype == attraction_loss(*three[:2]).dtype == dtype


# ---------------------------------------- what does not fit
@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: importance_vector(torch.ones(2), torch.ones(2, 3, 4)), r"fused must be \(B, D\)"),
        (lambda: importance_vector(torch.ones(3), torch.ones(2, 3)), r"scores must be \(B,\)"),
        (lambda: importance_vector(torch.ones(2), torch.ones(2, 3)), "no gradient leads"),
        (lambda: cosine_distance(torch.ones(2, 3), torch.ones(2, 4)), "one shape"),
        (lambda: cosine_distance(torch.ones(2), torch.ones(2)), "one shape"),
        (lambda: attraction_loss(torch.ones(2, 3), torch.ones(1, 3)), "one shape"),
        (lambda: contrastive_loss(torch.ones(2, 3), torch.ones(2, 3), torch.ones(2, 4)), "one shape"),
        (lambda: contrastive_loss(*[torch.ones(2, 3)] * 3, margin=-0.1), "margin"),
        (lambda: sort_loss([torch.ones(2, 3)] * 2, [torch.ones(2)] * 3, [torch.ones(2, 3)] * 3), "three questions"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_scores_of_another_forward_pass_are_refused():
    network = Fuser()
    logits, _ = network(PICTURES, QUESTIONS[0])
    _, fused = network(PICTURES, QUESTIONS[0])
    with pytest.raises(ValueError, match="same forward pass"):
        importance_vector(answer_score(logits, LABELS[0]), fused)
