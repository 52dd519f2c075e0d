"""SQuINT's losses: hand-computed values, which question moves, and what weights and pairs do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lessons_lib.feedback.hint import answer_loss
from lessons_lib.feedback.squint import attention_distances, attention_loss, gradient_norms, squint_loss

B, N, D, A = 6, 5, 4, 3


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Attender(nn.Module):
    """Attention over regions by the question, and answers from what it sees."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(3)
            self.see, self.ask, self.look = nn.Linear(D, 8), nn.Linear(2, 8), nn.Linear(8, 1)
            self.out = nn.Linear(D, A)
        self.double()

    def scores(self, features, questions):
        return 3 * self.look(torch.tanh(self.see(features) + self.ask(questions)[:, None]))[..., 0]

    def forward(self, features, questions):
        attention = self.scores(features, questions).softmax(1)
        return self.out((attention[..., None] * features).sum(1)), attention


FEATURES, MAIN, SUB = drawn(B, N, D, seed=1), drawn(B, 2, seed=2), drawn(B, 2, seed=3)
MAIN_LABELS, SUB_LABELS = torch.tensor([0, 2, 1, 1, 0, 2]), torch.tensor([1, 0, 1, 2, 2, 0])


def both(network, **options) -> torch.Tensor:
    (_, main), (_, sub) = network(FEATURES, MAIN), network(FEATURES, SUB)
    return attention_loss(main, sub, **options)


def slope_by_differences(loss, network, ways, step: float = 1e-6) -> float:
    """The slope of the loss along `ways`, one tensor a weight."""
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


# ---------------------------------------- values
def test_distance_by_hand():
    main = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]])
    sub = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]])
    assert attention_distances(main, sub).tolist() == [0.5, 0.0]  # 2 / N, the most that attention can differ
    assert attention_loss(main, sub).item() == 0.25
    assert attention_loss(main, main) == 0


def test_grids_glimpses_and_several_sub_questions_are_the_same_mean():
    main, subs = drawn(B, 2, 3, 4), drawn(B, 3, 2, 3, 4, seed=1)
    found = attention_distances(main, subs)
    assert found.shape == (B, 3)
    for s in range(3):
        one = attention_distances(main, subs[:, s])
        torch.testing.assert_close(found[:, s], one)
        torch.testing.assert_close(one, (main - subs[:, s]).flatten(1).square().mean(1))
    assert attention_loss(main[:, 0], subs[:, :, 0]).ndim == 0


def test_it_is_symmetric_and_blind_to_the_order_of_regions():
    main, sub, turn = drawn(B, N).softmax(1), drawn(B, N, seed=1).softmax(1), torch.tensor([2, 0, 4, 1, 3])
    loss = attention_loss(main, sub)
    assert 0 < loss <= 2 / N
    torch.testing.assert_close(attention_loss(sub, main), loss)
    torch.testing.assert_close(attention_loss(main[:, turn], sub[:, turn]), loss)


def test_pairs_that_do_not_exist_cost_and_move_nothing():
    main, sub = drawn(B, N).requires_grad_(), drawn(B, 2, N, seed=1)
    pairs = torch.tensor([[True, False]] * 2 + [[False, False]] * 3 + [[True, True]])
    sub[~pairs] = torch.nan  # padding may be anything
    sub.requires_grad_()
    loss = attention_loss(main, sub, pairs=pairs)
    expected = [(main[b] - sub[b, s]).square().mean() for b, s in ((0, 0), (1, 0), (5, 0), (5, 1))]
    torch.testing.assert_close(loss, sum(expected) / 4)
    for_main, for_sub = torch.autograd.grad(loss, [main, sub])
    assert for_main[[0, 1, 5]].all() and not for_main[2:5].any()
    assert for_sub[pairs].all() and not for_sub[~pairs].any()


def test_no_pair_at_all_is_zero_and_not_nan():
    main, sub = drawn(B, N).requires_grad_(), drawn(B, N, seed=1)
    loss = attention_loss(main, sub, pairs=torch.zeros(B, dtype=torch.bool))
    (gradient,) = torch.autograd.grad(loss, main)
    assert loss == 0 and not gradient.any()


def test_the_mean_of_batches_is_not_the_mean_over_pairs():
    """Batches of different numbers of pairs: keep the distances and average once."""
    main, sub = torch.zeros(4, 2), torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    batches = [attention_loss(main[:1], sub[:1]), attention_loss(main[1:], sub[1:])]
    assert sum(batches).item() / 2 == 0.5
    assert attention_distances(main, sub).mean().item() == 0.25


# ---------------------------------------- attention, not scores
def test_scores_before_the_softmax_tell_equal_attention_apart():
    network, lifted = Attender(), 7.0
    scores = network.scores(FEATURES, MAIN).detach()
    assert attention_loss(scores.softmax(1), (scores + lifted).softmax(1)) < 1e-30
    assert attention_loss(scores, scores + lifted).item() == pytest.approx(lifted**2)


# ---------------------------------------- it trains, and both questions move unless told otherwise
@pytest.mark.parametrize("several", [False, True])
def test_own_gradient_reaches_the_weights_and_equals_finite_differences(several):
    network = Attender()

    def loss():
        if not several:
            return both(network)
        subs = torch.stack([network(FEATURES, one)[1] for one in (SUB, SUB.flip(0))], 1)
        return attention_loss(network(FEATURES, MAIN)[1], subs)

    weights = list(network.parameters())
    found = torch.autograd.grad(loss(), weights, allow_unused=True)
    assert all(found[n].abs().max() > 1e-5 for n in (0, 2, 4))  # weights of see, ask and look
    assert found[6] is None  # what answers are made of does not learn from attention
    ways = [drawn(*weight.shape, seed=50 + n) for n, weight in enumerate(weights)]
    by_graph = sum((one * way).sum().item() for one, way in zip(found, ways) if one is not None)
    assert by_graph == pytest.approx(slope_by_differences(loss, network, ways), rel=1e-6)


def test_one_step_on_it_alone_lowers_it():
    for options in ({}, {"detach_sub": True}, {"pairs": torch.arange(B) < 3}):
        network = Attender()
        before = both(network, **options)
        before.backward()
        torch.optim.SGD(network.parameters(), lr=0.05).step()
        assert both(network, **options) < before


def test_detaching_keeps_the_value_and_changes_who_moves():
    main, sub = drawn(B, N).softmax(1).requires_grad_(), drawn(B, N, seed=1).softmax(1).requires_grad_()
    free, fixed = attention_loss(main, sub), attention_loss(main, sub, detach_sub=True)
    assert free == fixed
    for_main, for_sub = torch.autograd.grad(free, [main, sub])
    torch.testing.assert_close(for_main, -for_sub)  # they meet half-way
    alone = torch.autograd.grad(fixed, [main, sub], allow_unused=True)
    torch.testing.assert_close(alone[0], for_main)
    assert alone[1] is None
    network = Attender()
    slopes = [torch.autograd.grad(both(network, detach_sub=how), network.ask.weight)[0] for how in (False, True)]
    assert not torch.allclose(*slopes, rtol=0.05)


def test_attention_that_was_cut_from_the_weights_trains_nothing():
    network = Attender()
    (_, main), (_, sub) = network(FEATURES, MAIN), network(FEATURES, SUB)
    terms = {"whole": attention_loss(main, sub), "cut": attention_loss(main.detach(), sub.detach())}
    norms = gradient_norms(terms, list(network.parameters()))
    assert norms["whole"] > 1e-4 and norms["cut"] == 0


def test_mismatched_pairs_ask_for_something_else():
    """The control: with the sub-question of another picture the attention loss teaches another attention."""
    network = Attender()
    (_, main), (_, sub) = network(FEATURES, MAIN), network(FEATURES, SUB)
    right, wrong = attention_loss(main, sub, detach_sub=True), attention_loss(main, sub.roll(1, 0), detach_sub=True)
    slopes = [torch.autograd.grad(one, network.see.weight, retain_graph=True)[0].flatten() for one in (right, wrong)]
    assert torch.cosine_similarity(*slopes, dim=0) < 0.95


# ---------------------------------------- the sum of the terms and its balance
def test_the_total_by_its_terms():
    network = Attender()
    (main, looked), (sub, looked_sub) = network(FEATURES, MAIN), network(FEATURES, SUB)
    given = (main, MAIN_LABELS, sub, SUB_LABELS, looked, looked_sub)
    total, parts = squint_loss(*given, attention_weight=10, sub_weight=0.5)
    assert total.item() == pytest.approx(parts["main"] + 10 * parts["attention"] + 0.5 * parts["sub"])
    assert parts["main"] == pytest.approx(answer_loss(main, MAIN_LABELS).item())
    assert parts["attention"] == pytest.approx(both(network).item())
    baseline, _ = squint_loss(*given, attention_weight=0)  # fine-tuned on sub-questions alone
    assert baseline.item() == pytest.approx((answer_loss(main, MAIN_LABELS) + answer_loss(sub, SUB_LABELS)).item())
    twice, _ = squint_loss(*given[:4], [looked, looked], [looked_sub, looked_sub])
    assert twice.item() == pytest.approx(parts["main"] + 2 * parts["attention"] + parts["sub"])


def test_rows_without_a_sub_question_count_in_the_main_term_alone():
    network, pairs = Attender(), torch.tensor([True, False, True, False, False, True])
    (main, looked), (sub, looked_sub) = network(FEATURES, MAIN), network(FEATURES, SUB)
    _, parts = squint_loss(main, MAIN_LABELS, sub, SUB_LABELS, looked, looked_sub, pairs=pairs)
    assert parts["main"] == pytest.approx(answer_loss(main, MAIN_LABELS).item())
    assert parts["sub"] == pytest.approx(answer_loss(sub[pairs], SUB_LABELS[pairs]).item())
    assert parts["attention"] == pytest.approx(attention_distances(looked, looked_sub)[pairs].mean().item())
    total, _ = squint_loss(main, MAIN_LABELS, sub, SUB_LABELS, looked, looked_sub, pairs=torch.zeros_like(pairs))
    assert total.item() == pytest.approx(parts["main"])


def test_gradient_norms_by_hand_and_without_a_trace():
    weight, other = nn.Parameter(torch.tensor([3.0, 4.0])), nn.Parameter(torch.tensor(1.0))
    terms = {"half square": 0.5 * weight.square().sum(), "five": 5 * weight[0] + 12 * other, "constant": torch.ones(())}
    assert gradient_norms(terms, [weight, other]) == pytest.approx({"half square": 5.0, "five": 13.0, "constant": 0.0})
    assert weight.grad is None
    terms["five"].backward()  # the graph is still there


def test_more_positions_make_the_attention_term_smaller():
    """A mean over positions: the same attention on a grid twice as fine costs a sixteenth, so weights do not carry over."""
    main, sub = drawn(B, 4, 4).flatten(1).softmax(1).view(B, 4, 4), drawn(B, 16, seed=1).softmax(1).view(B, 4, 4)
    fine = [one.repeat_interleave(2, 1).repeat_interleave(2, 2) / 4 for one in (main, sub)]
    torch.testing.assert_close(fine[0].sum((1, 2)), torch.ones(B).double())
    torch.testing.assert_close(attention_loss(*fine), attention_loss(main, sub) / 16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_precision_follows_the_inputs(dtype):
    main, sub, pairs = drawn(B, N).to(dtype), drawn(B, 2, N, seed=1).to(dtype), torch.ones(B, 2, dtype=torch.bool)
    assert attention_loss(main, sub, pairs=pairs).dtype == attention_loss(main, sub).dtype == dtype


# ---------------------------------------- what does not fit
@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: attention_loss(torch.ones(2, 3), torch.ones(2, 4)), r"\(B, \*P\)"),
        (lambda: attention_loss(torch.ones(2, 3), torch.ones(3, 3)), r"\(2, 3\) and \(3, 3\)"),
        (lambda: attention_loss(torch.ones(2), torch.ones(2)), r"\(B, \*P\)"),
        (lambda: attention_loss(torch.ones(2, 3, 3), torch.ones(2, 3)), r"\(2, 3, 3\) and \(2, 3\)"),
        (lambda: attention_loss(torch.ones(2, 3), torch.ones(2, 3), pairs=torch.ones(2)), "bool"),
        (
            lambda: attention_loss(torch.ones(2, 3), torch.ones(2, 4, 3), pairs=torch.ones(2, dtype=torch.bool)),
            r"pairs must be bool \(2, 4\)",
        ),
        (
            lambda: squint_loss(
                *[torch.zeros(2, 3), torch.zeros(2, dtype=torch.long)] * 2, torch.ones(2, 4), [torch.ones(2, 4)] * 2
            ),
            "as many attentions",
        ),
        (
            lambda: squint_loss(
                torch.zeros(2, 3), torch.zeros(2, dtype=torch.long), torch.zeros(3, 3), torch.zeros(3, dtype=torch.long),
                torch.ones(2, 4), torch.ones(2, 4),
            ),
            "sub_logits must be",
        ),
        (lambda: gradient_norms({"a": torch.ones(2)}, [nn.Parameter(torch.ones(2))]), "single number"),
        (lambda: gradient_norms({"a": torch.ones(())}, []), "parameter"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
