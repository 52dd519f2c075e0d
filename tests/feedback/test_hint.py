"""HINT, its rivals and controls: hand-computed values, gradients through gradients, and the faults of the releases."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lessons_lib.explain.gradcam import grad_cam
from lessons_lib.feedback.hint import (
    CUES,
    answer_loss,
    answer_score,
    attention_supervision_loss,
    cues,
    hint_loss,
    human_scores,
    influence_loss,
    influential_box,
    pool_over_boxes,
    proposal_importance,
    ranking_loss,
    score_gradient,
    self_critical_loss,
    top_boxes,
    zero_out_loss,
)
from lessons_lib.models.small import SmallCNN

B, R, D, A = 5, 6, 4, 3


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class RegionAnswerer(nn.Module):
    """Attention over regions by the question, and a product of both, as in an Up-Down model."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(3)
            self.see, self.ask, self.look = nn.Linear(D, 8), nn.Linear(2, 8), nn.Linear(8, 1)
            self.what, self.out = nn.Linear(D, 8), nn.Linear(8, A)
        self.double()

    def attend(self, features, questions):
        return self.look(torch.tanh(self.see(features) + self.ask(questions)[:, None]))[..., 0].softmax(1)

    def forward(self, features, questions):
        seen = torch.tanh(self.what((self.attend(features, questions)[..., None] * features).sum(1)))
        return self.out(seen * torch.tanh(self.ask(questions)))


FEATURES, QUESTIONS, LABELS = drawn(B, R, D, seed=1), drawn(B, 2, seed=2), torch.tensor([0, 2, 1, 1, 0])
HUMAN = drawn(B, R, seed=4).sigmoid()


def region_importances(network, *, times_feature: bool = False) -> torch.Tensor:
    features = FEATURES.clone().requires_grad_()
    return proposal_importance(
        answer_score(network(features, QUESTIONS), LABELS), features, times_feature=times_feature
    )


IMAGES = drawn(B, 3, 24, 24, seed=5).sigmoid()
BOXES = torch.tensor(
    [[0, 0, 12, 12], [12, 0, 24, 12], [0, 12, 12, 24], [12, 12, 24, 24], [6, 6, 18, 18], [3, 0, 9, 24]]
)
BOXES = BOXES.double().expand(B, -1, -1)


def pooled_cam(network) -> torch.Tensor:
    maps = grad_cam(network, IMAGES, LABELS, "features.relu3", create_graph=True, relu=False)
    return pool_over_boxes(maps, BOXES, (24, 24))


def small_cnn() -> nn.Module:
    return SmallCNN(A, head="flatten", width=3, seed=1).double().eval()


WAYS = {
    "gradient": (RegionAnswerer, region_importances),
    "gradient x feature": (RegionAnswerer, lambda network: region_importances(network, times_feature=True)),
    "Grad-CAM over boxes": (small_cnn, pooled_cam),
}
LOSSES = {
    "ranking": lambda values: ranking_loss(values, HUMAN),
    "ranking with ties": lambda values: ranking_loss(values, (HUMAN > 0.5).double(), ties=True),
    "influence": lambda values: influence_loss(values, top_boxes(HUMAN, 2)),
}


def slopes(loss, network, step: float = 1e-6) -> tuple[float, float]:
    """The slope of the loss along a direction of all weights: by autograd and by finite differences."""
    weights = list(network.parameters())
    ways = [drawn(*weight.shape, seed=50 + n) for n, weight in enumerate(weights)]
    found = torch.autograd.grad(loss(), weights, allow_unused=True)
    by_graph = sum((one * way).sum().item() for one, way in zip(found, ways) if one is not None)
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            for weight, way in zip(weights, ways):
                weight += sign * step * way
        values.append(loss().item())
        with torch.no_grad():
            for weight, way in zip(weights, ways):
                weight -= sign * step * way
    return by_graph, (values[0] - values[1]) / (2 * step)


# ---------------------------------------- maps over boxes
def test_human_scores_by_hand():
    """A map that is 1 in the left half of 4 x 4."""
    maps = torch.zeros(1, 4, 4)
    maps[:, :, :2] = 1
    boxes = torch.tensor([[[0, 0, 2, 4], [2, 0, 4, 4], [0, 0, 4, 2], [0, 0, 1, 4], [0, 0, 4, 4], [0.5, 0, 1.5, 4]]])
    # the fourth: 1 inside, 4 of 12 outside; the last: 1 inside, 4 of 12 outside, though it covers half pixels
    expected = torch.tensor([[1.0, 0.0, 0.5, 0.75, 0.5, 0.75]])
    torch.testing.assert_close(human_scores(maps, boxes), expected)
    torch.testing.assert_close(human_scores(7 * maps, boxes), expected)
    assert (human_scores(torch.zeros(1, 4, 4), boxes) == 0.5).all()


def test_means_over_boxes_by_hand_and_at_any_resolution():
    maps = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    boxes = torch.tensor([[[0, 0, 8, 8], [4, 0, 8, 4], [2, 0, 6, 4], [0, 3, 4, 5], [3, 3, 3, 5], [9, 9, 12, 12]]])
    expected = torch.tensor([[2.5, 2.0, 1.5, 2.0, 0.0, 0.0]])  # the last two have no area inside the picture
    torch.testing.assert_close(pool_over_boxes(maps, boxes, (8, 8)), expected)
    large = maps.repeat_interleave(4, 1).repeat_interleave(4, 2)
    torch.testing.assert_close(pool_over_boxes(large, boxes, (8, 8)), expected)
    wide = torch.tensor([[[1.0, 2.0, 3.0]]])  # h, w and H, W are not exchanged
    assert pool_over_boxes(wide, torch.tensor([[[4.0, 0.0, 6.0, 2.0]]]), (2, 6)).item() == 3


def test_means_over_boxes_have_the_gradient_of_a_mean():
    maps = drawn(2, 3, 4).requires_grad_()
    boxes = torch.tensor([[[0.5, 0.2, 3.1, 2.9], [1.0, 1.0, 1.0, 2.0]]]).expand(2, -1, -1)
    assert torch.autograd.gradcheck(lambda m: pool_over_boxes(m, boxes, (3, 4)), maps)


# ---------------------------------------- importances
def test_importances_of_a_linear_model_are_its_weights():
    weights, features = drawn(R, D, A), FEATURES.clone().requires_grad_()
    logits = torch.einsum("brd,rda->ba", features, weights)
    plain = proposal_importance(answer_score(logits, LABELS), features)
    torch.testing.assert_close(plain, weights.sum(1).T[LABELS])
    product = proposal_importance(answer_score(logits, LABELS), features, times_feature=True)
    torch.testing.assert_close(
        product.sum(1), logits.gather(1, LABELS[:, None])[:, 0]
    )  # complete: they sum to the logit


def test_soft_targets_count_every_answer_that_somebody_gave():
    logits = torch.tensor([[1.0, 2.0, 4.0]])
    assert answer_score(logits, torch.tensor([[0.3, 0.0, 1.0]])).item() == 5
    assert answer_score(logits, torch.tensor([1])).item() == 2


def test_importance_of_a_probability_vanishes_where_the_network_is_sure():
    weights, features = 40 * drawn(R, D, A).abs().cumsum(2), FEATURES.abs().requires_grad_()
    logits = torch.einsum("brd,rda->ba", features, weights)
    sure = torch.full((B,), A - 1)
    assert proposal_importance(answer_score(logits, sure), features).abs().min() > 1
    assert proposal_importance(answer_score(logits.softmax(1), sure), features).abs().max() < 1e-12


# ---------------------------------------- the ranking loss
def test_ranking_by_hand():
    """h = 3, 2, 1 and alpha = 1, 2, 4: the pairs cost 1, 3 and 2; 6 over B R = 3."""
    human = torch.tensor([[3.0, 2.0, 1.0]])
    assert ranking_loss(torch.tensor([[1.0, 2.0, 4.0]]), human).item() == 2
    assert ranking_loss(torch.tensor([[1e-6, 0.0, -4.0]]), human) == 0  # in order, however near
    both = ranking_loss(torch.tensor([[1.0, 2.0, 4.0], [3.0, 2.0, 1.0]]), human.expand(2, 3))
    assert both.item() == 1


@pytest.mark.parametrize("ties", [False, True])
def test_ranking_equals_its_definition(ties):
    values, human = drawn(B, R, seed=6), (4 * HUMAN).round()
    expected = 0.0
    for b, i, j in itertools.product(range(B), range(R), range(R)):
        if human[b, i] > human[b, j] or (ties and human[b, i] == human[b, j]):
            expected += max(0.0, float(values[b, j] - values[b, i]))
    assert ranking_loss(values, human, ties=ties).item() == pytest.approx(expected / (B * R))


def test_ranking_knows_the_order_alone_and_has_no_scale():
    values, turn = drawn(B, R, seed=6), torch.tensor([3, 1, 5, 0, 4, 2])
    loss = ranking_loss(values, HUMAN)
    torch.testing.assert_close(ranking_loss(values + 5, HUMAN), loss)
    torch.testing.assert_close(ranking_loss(values, torch.exp(9 * HUMAN)), loss)
    torch.testing.assert_close(ranking_loss(values[:, turn], HUMAN[:, turn]), loss)
    torch.testing.assert_close(ranking_loss(0.01 * values, HUMAN), 0.01 * loss)  # shrinking is a legal way down


def test_questions_without_a_cue_and_regions_that_do_not_exist_cost_and_move_nothing():
    values = drawn(B, R, seed=6)
    has_cue, valid = torch.tensor([True, False, True, False, False]), torch.ones(B, R, dtype=torch.bool)
    valid[:, 4:] = False
    values[:, 4:] = torch.nan
    values.requires_grad_()
    loss = ranking_loss(values, HUMAN, has_cue=has_cue, valid=valid)
    alone = ranking_loss(values.detach()[has_cue, :4], HUMAN[has_cue, :4])
    assert loss.item() == pytest.approx(alone.item() * (2 * 4) / (B * R))
    (gradient,) = torch.autograd.grad(loss, values)
    assert gradient[:, :4][has_cue].any() and not gradient[~has_cue].any() and not gradient[:, 4:].any()
    assert ranking_loss(values, HUMAN, has_cue=torch.zeros(B, dtype=torch.bool)) == 0


def test_equal_values_have_no_gradient_and_no_nan():
    for values in (torch.zeros(B, R), torch.full((B, R), -2.0)):
        values.requires_grad_()
        loss = ranking_loss(values, HUMAN)
        (gradient,) = torch.autograd.grad(loss, values)
        assert loss == 0 and not gradient.any()


def test_the_tie_trap():
    """4 marked regions and 32 others: with >= most of the loss comes from pairs of which people said nothing."""
    human = torch.zeros(20, 36, dtype=torch.float64)
    human[:, :4] = 1
    values = drawn(20, 36, seed=7)
    assert ranking_loss(values, human, ties=True) > 5 * ranking_loss(values, human)
    ordered = values + 100 * human
    assert ranking_loss(ordered, human) == 0 and ranking_loss(ordered, human, ties=True) > 1
    distinct = human + 1e-3 * drawn(20, 36, seed=8)
    torch.testing.assert_close(ranking_loss(values, distinct, ties=True), ranking_loss(values, distinct))


# ---------------------------------------- it trains
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", LOSSES)
def test_own_gradient_reaches_the_weights_and_equals_finite_differences(way, name):
    make, importances = WAYS[way]
    network, loss = make(), LOSSES[name]
    assert importances(network).requires_grad
    found = torch.autograd.grad(loss(importances(network)), list(network.parameters()), allow_unused=True)
    assert sum(one.abs().sum() for one in found if one is not None) > 1e-6
    by_graph, by_differences = slopes(lambda: loss(importances(network)), network)
    assert by_graph == pytest.approx(by_differences, rel=1e-4, abs=1e-9) and abs(by_graph) > 1e-7


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", LOSSES)
def test_one_step_on_it_alone_lowers_it(way, name):
    make, importances = WAYS[way]
    network, loss = make(), LOSSES[name]
    before = loss(importances(network))
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    found = torch.autograd.grad(before, weights, allow_unused=True)
    size = math.sqrt(sum(one.square().sum().item() for one in found if one is not None))
    with torch.no_grad():
        for weight, one in zip(weights, found):
            if one is not None:
                weight -= 1e-3 / size * one
    assert loss(importances(network)) < before


def test_a_gradient_without_its_graph_trains_nothing_or_something_else():
    network, features = RegionAnswerer(), FEATURES.clone().requires_grad_()
    score = answer_score(network(features, QUESTIONS), LABELS)
    assert not proposal_importance(score, features, create_graph=False).requires_grad
    trunk = nn.Linear(D, D).double()  # features that are learnt: the product keeps a path through them
    seen = trunk(FEATURES)
    score = answer_score(network(seen, QUESTIONS), LABELS)
    whole = ranking_loss(proposal_importance(score, seen, times_feature=True), HUMAN)
    cut = ranking_loss((score_gradient(score, seen).detach() * seen).sum(2), HUMAN)
    assert whole.item() == pytest.approx(cut.item())
    for_trunk = [torch.autograd.grad(loss, trunk.weight, retain_graph=True)[0] for loss in (whole, cut)]
    assert for_trunk[1].any() and not torch.allclose(*for_trunk, rtol=0.05)
    (above,) = torch.autograd.grad(cut, network.out.weight, allow_unused=True, retain_graph=True)
    assert above is None  # the answers' weights learn from the whole gradient alone
    assert torch.autograd.grad(whole, network.out.weight)[0].any()


def test_maps_whose_channel_weights_are_constant_train_something_else():
    network = small_cnn()
    maps, detached = [], []
    activations = network.features[:11]((IMAGES - 0.5) / 0.25)  # up to relu3
    logits = network.head(network.features[11:](activations))
    gradient = score_gradient(answer_score(logits, LABELS), activations)
    for weights, into in ((gradient, maps), (gradient.detach(), detached)):
        into.append((weights.mean((2, 3), keepdim=True) * activations).sum(1))
    torch.testing.assert_close(pool_over_boxes(maps[0], BOXES, (24, 24)), pooled_cam(network))
    slope = [
        torch.autograd.grad(
            ranking_loss(pool_over_boxes(m, BOXES, (24, 24)), HUMAN),
            network.head[2].weight,
            allow_unused=True,
            retain_graph=True,
        )[0]
        for m in (maps[0], detached[0])
    ]
    assert slope[0].any() and slope[1] is None


def test_shuffled_cues_teach_another_order():
    """The control run: the same steps with shuffled cues bring importances far less into the people's order."""
    after = {}
    for kind in ("relevant", "shuffled"):
        network, told = RegionAnswerer(), cues(HUMAN, kind, torch.Generator().manual_seed(9))
        before = ranking_loss(region_importances(network), HUMAN).item()
        optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
        for _ in range(40):
            optimiser.zero_grad()
            ranking_loss(region_importances(network), told).backward()
            optimiser.step()
        values = region_importances(network).detach()
        pairs = (HUMAN[:, :, None] > HUMAN[:, None]) & (values[:, :, None] > values[:, None])
        after[kind] = pairs.sum().item() / (B * R * (R - 1) / 2)
        assert before > 0
    assert after["relevant"] > after["shuffled"] + 0.1


def test_the_total_is_the_weighted_sum_and_its_answer_term_torchs():
    network, features = RegionAnswerer(), FEATURES.clone().requires_grad_()
    logits = network(features, QUESTIONS)
    total, parts = hint_loss(logits, LABELS, features, HUMAN, weight=3.0)
    assert total.item() == pytest.approx(parts["answer"] + 3 * parts["ranking"])
    hot = F.one_hot(LABELS, A).double()
    assert parts["answer"] == pytest.approx(A * F.binary_cross_entropy_with_logits(logits, hot).item())
    assert answer_loss(logits, hot) == answer_loss(logits, LABELS)
    assert parts["ranking"] == pytest.approx(ranking_loss(region_importances(network), HUMAN).item())
    alone, _ = hint_loss(logits, LABELS, features, HUMAN, has_cue=torch.zeros(B, dtype=torch.bool))
    assert alone.item() == pytest.approx(parts["answer"])


# ---------------------------------------- the critique's controls
def test_cues_by_kind():
    human = torch.tensor([[0.9, 0.2, 0.2, 0.5]])
    assert cues(human, "relevant") is human
    torch.testing.assert_close(cues(human, "irrelevant"), torch.tensor([[0.1, 0.8, 0.8, 0.5]]))
    many = human.expand(400, -1)
    shuffled = cues(many, "shuffled", torch.Generator().manual_seed(0))
    assert torch.equal(shuffled.sort(1).values, many.sort(1).values)
    assert shuffled[:, 0].mean().item() == pytest.approx(0.45, abs=0.05)  # the mean of all: the place says nothing
    random = cues(many, "random", torch.Generator().manual_seed(0))
    assert 0 <= random.min() and random.max() < 1 and random.mean().item() == pytest.approx(0.5, abs=0.05)


def test_random_cues_are_fixed_when_drawn_once_and_fresh_when_drawn_again():
    """Drawing inside the loop over batches gives fresh cues each time a question comes, whatever an option's name says."""
    generator = torch.Generator().manual_seed(3)
    first, second = cues(HUMAN, "random", generator), cues(HUMAN, "random", generator)
    assert not torch.equal(first, second)
    assert torch.equal(first, cues(HUMAN, "random", torch.Generator().manual_seed(3)))


def test_inverted_cues_ask_for_the_reverse_order():
    values = drawn(B, R, seed=6)
    torch.testing.assert_close(ranking_loss(values, cues(HUMAN, "irrelevant")), ranking_loss(-values, HUMAN))


def test_zero_out_by_hand_and_one_step():
    assert zero_out_loss(torch.zeros(4, 7)).item() == pytest.approx(7 * math.log(2))
    logits = drawn(4, 7).requires_grad_()
    loss = zero_out_loss(logits)
    torch.testing.assert_close(loss, answer_loss(logits, torch.zeros(4, 7)))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient > 0).all()  # every answer is pushed down, the true one too
    assert zero_out_loss(logits - 0.1 * gradient) < loss
    assert zero_out_loss(torch.zeros(0, 7)) == 0


def test_supervised_attention_by_hand_and_on_a_network():
    human = torch.tensor([[1.0, 3.0], [0.0, 0.0]])
    assert attention_supervision_loss(torch.tensor([[0.25, 0.75], [0.9, 0.1]]), human) == 0  # no cue in the second
    assert attention_supervision_loss(torch.tensor([[1.0, 0.0], [0.9, 0.1]]), human).item() == pytest.approx(1.125 / 2)
    network, has_cue = RegionAnswerer(), torch.tensor([True, True, False, True, True])

    def loss():
        return attention_supervision_loss(network.attend(FEATURES, QUESTIONS), HUMAN, has_cue=has_cue)

    by_graph, by_differences = slopes(loss, network)
    assert by_graph == pytest.approx(by_differences, rel=1e-5)
    before = loss()
    found = torch.autograd.grad(before, list(network.parameters()), allow_unused=True)
    assert found[0].any() and found[-1] is None  # the attention learns; how the answer uses what is seen does not
    with torch.no_grad():
        for weight, one in zip(network.parameters(), found):
            if one is not None:
                weight -= 0.1 * one
    assert loss() < before


# ---------------------------------------- SCR
def test_proposals_are_the_top_regions_without_ties_at_the_border():
    human = torch.tensor([[0.9, 0.1, 0.8, 0.3], [0.5, 0.5, 0.5, 0.5], [0.7, 0.2, 0.2, 0.2]])
    assert top_boxes(human, 2).tolist() == [[True, False, True, False], [False] * 4, [True, False, False, False]]


def test_influence_by_hand_and_as_a_minimum():
    values = torch.tensor([[1.0, 2.0, 2.5, 0.0]], dtype=torch.float64)
    proposed = torch.tensor([[True, True, False, False]])
    assert influential_box(values, proposed).tolist() == [1]
    assert influence_loss(values, proposed, margin=0.1).item() == pytest.approx(2.5 - 2 + 0.1)
    assert influence_loss(values, ~proposed, margin=0.1) == 0  # one of them, the third, beats both others
    assert influence_loss(values, torch.zeros(1, 4, dtype=torch.bool)) == 0
    many, chosen = drawn(B, R, seed=6), top_boxes(HUMAN, 3)
    costs = F.relu(many[:, None, :] - many[:, :, None] + 0.2).masked_fill(chosen[:, None, :], 0).sum(2)
    least = costs.masked_fill(~chosen, math.inf).amin(1).mean()
    torch.testing.assert_close(influence_loss(many, chosen, margin=0.2), least)


def test_a_penalty_on_the_winner_before_the_minimum_asks_a_second_region_to_win():
    """The release adds 10,000 to regions whose cost is 0, so that a question that is settled still costs."""
    values, proposed = torch.tensor([[5.0, 1.0, 2.0]]), torch.tensor([[True, True, False]])
    costs = F.relu(values[:, None, :] - values[:, :, None]).masked_fill(proposed[:, None, :], 0).sum(2)[:, :2]
    assert costs.tolist() == [[0.0, 1.0]]
    assert (costs + 10_000 * (costs == 0)).amin(1).item() == 1
    assert influence_loss(values, proposed) == 0


def test_self_critical_by_hand():
    true = torch.tensor([[0.0, 3.0]], dtype=torch.float64, requires_grad=True)
    wrong = torch.tensor([[[9.0, 5.0], [0.0, 4.0]]], dtype=torch.float64, requires_grad=True)
    chance, lead = torch.tensor([0.2]).double().requires_grad_(), torch.tensor([1])
    chances = torch.tensor([[0.6, 0.1]]).double().requires_grad_()  # the second is less likely than the true one
    loss = self_critical_loss(true, wrong, chance, chances, lead)
    assert loss.item() == pytest.approx(0.4 * (5 - 3))
    loss.backward()
    torch.testing.assert_close(wrong.grad, torch.tensor([[[0.0, 0.4], [0.0, 0.0]]]).double())
    torch.testing.assert_close(true.grad, torch.tensor([[0.0, -0.4]]).double())
    assert chance.grad is None and chances.grad is None  # the weight is a constant
    assert self_critical_loss(true, wrong, torch.tensor([0.9]), chances, lead) == 0


def test_the_leads_rank_is_not_its_number():
    """The release finds the leading region's place in the sorted list and reads that place in the unsorted one."""
    human = torch.tensor([[0.0, 0.0, 0.0, 0.9, 0.5]])
    true, wrong = torch.tensor([[0.0, 0.0, 0.0, 4.0, 1.0]]), torch.tensor([[[2.0, 2.0, 2.0, 7.0, 2.0]]])
    proposed = top_boxes(human, 2)
    lead, chances = influential_box(true, proposed), (torch.tensor([0.1]), torch.tensor([[0.6]]))
    assert lead.item() == 3
    rank = human.argsort(1, descending=True).eq(lead[:, None]).int().argmax(1)
    assert rank.item() == 0 and not proposed[0, rank]  # region 0, which nobody marked
    assert self_critical_loss(true, wrong, *chances, lead).item() == pytest.approx(0.5 * (7 - 4))
    assert self_critical_loss(true, wrong, *chances, rank).item() != pytest.approx(0.5 * (7 - 4))


def test_self_critical_reaches_the_weights_and_one_step_lowers_it():
    network, proposed = RegionAnswerer(), top_boxes(HUMAN, 2)

    def loss():
        features = FEATURES.clone().requires_grad_()
        logits = network(features, QUESTIONS)
        others = (LABELS[:, None] + torch.tensor([1, 2])) % A
        true = proposal_importance(answer_score(logits, LABELS), features)
        wrong = torch.stack([proposal_importance(answer_score(logits, one), features) for one in others.T], 1)
        chances = torch.tensor([0.2, 0.3, 0.1, 0.4, 0.2]).double(), torch.tensor([[0.5, 0.1]]).double().expand(B, -1)
        return self_critical_loss(true, wrong, *chances, influential_box(true, proposed))

    by_graph, by_differences = slopes(loss, network)
    assert by_graph == pytest.approx(by_differences, rel=1e-4) and abs(by_graph) > 1e-6
    before = loss()
    found = torch.autograd.grad(before, list(network.parameters()), allow_unused=True)
    with torch.no_grad():
        for weight, one in zip(network.parameters(), found):
            if one is not None:
                weight -= 0.01 * one
    assert loss() < before


# ---------------------------------------- precision
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_precision_follows_the_inputs(dtype):
    values, human = drawn(B, R, seed=6).to(dtype), HUMAN.to(dtype)
    logits, boxes = drawn(B, A).to(dtype), torch.tensor([[[0, 0, 3, 3], [1, 1, 4, 4]]])
    found = [
        pool_over_boxes(drawn(1, 4, 4).to(dtype), boxes, (4, 4)),
        human_scores(drawn(1, 4, 4).abs().to(dtype), boxes),
        ranking_loss(values, human),
        answer_loss(logits, LABELS),
        zero_out_loss(logits),
        attention_supervision_loss(values, human),
        influence_loss(values, top_boxes(human, 2)),
        *(cues(human, kind, torch.Generator().manual_seed(0)) for kind in CUES),
    ]
    assert {one.dtype for one in found} == {dtype} and all(one.isfinite().all() for one in found)


# ---------------------------------------- what does not fit
@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: pool_over_boxes(torch.ones(2, 4, 4), torch.ones(2, 3, 5), (4, 4)), r"boxes \(B, R, 4\)"),
        (lambda: pool_over_boxes(torch.ones(2, 1, 4, 4), torch.ones(2, 3, 4), (4, 4)), r"maps must be \(B, h, w\)"),
        (lambda: human_scores(torch.ones(2, 4, 4), torch.ones(3, 3, 4)), r"\(2, 4, 4\), \(3, 3, 4\)"),
        (lambda: human_scores(-torch.ones(1, 4, 4), torch.ones(1, 3, 4)), "negative"),
        (lambda: answer_score(torch.ones(2, 3), torch.ones(2)), r"targets \(B,\) integers"),
        (lambda: answer_loss(torch.ones(2, 3), torch.ones(2, 4)), r"\(2, 4\)"),
        (lambda: proposal_importance(torch.ones(2), torch.ones(2, 3)), r"features must be \(B, R, D\)"),
        (lambda: proposal_importance(torch.ones(3), torch.ones(2, 3, 4)), r"scores must be \(B,\)"),
        (lambda: proposal_importance(torch.ones(2), torch.ones(2, 3, 4)), "requires_grad_"),
        (lambda: ranking_loss(torch.ones(2, 3), torch.ones(2, 4)), r"human must be \(2, 3\)"),
        (lambda: ranking_loss(torch.ones(2, 0), torch.ones(2, 0)), "not empty"),
        (lambda: ranking_loss(torch.ones(2, 3), torch.ones(2, 3), has_cue=torch.ones(2)), "bool"),
        (
            lambda: ranking_loss(torch.ones(2, 3), torch.ones(2, 3), valid=torch.ones(3, 2, dtype=torch.bool)),
            "valid must be",
        ),
        (lambda: cues(torch.ones(2, 3), "wrong"), "kind must be one of"),
        (lambda: cues(torch.ones(2, 3), "random"), "generator"),
        (lambda: zero_out_loss(torch.ones(3)), r"logits must be \(B, A\)"),
        (lambda: attention_supervision_loss(torch.ones(2, 3), torch.ones(3, 2)), "human must be"),
        (lambda: top_boxes(torch.ones(2, 3), 3), "count < R"),
        (lambda: influence_loss(torch.ones(2, 3), torch.ones(2, 3)), "bool"),
        (
            lambda: self_critical_loss(
                torch.ones(2, 3), torch.ones(2, 3), torch.ones(2), torch.ones(2, 1), torch.zeros(2, dtype=torch.long)
            ),
            r"wrong must be \(B, K, R\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_scores_of_another_forward_pass_are_refused():
    network, features = RegionAnswerer(), FEATURES.clone().requires_grad_()
    with pytest.raises(ValueError, match="same forward pass"):
        proposal_importance(answer_score(network(FEATURES, QUESTIONS), LABELS), features)
