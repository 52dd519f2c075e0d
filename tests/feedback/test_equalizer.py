"""Equalizer's losses: hand-computed values, gradients that arrive, and the mask that must be a union."""

from __future__ import annotations

import math

import pytest
import torch

from lessons_lib.feedback.equalizer import (
    FORMS,
    appearance_confusion_loss,
    caption_loss,
    confident_loss,
    equalizer_loss,
    mask_persons,
    masked_caption_loss,
    token_mask,
)

# vocabulary: 0 padding, 1 end, 2 a, 3 woman, 4 man, 5 person, 6 lady, 7 guy
WOMEN, MEN = (3, 6), (4, 7)
TOKENS = torch.tensor([[2, 3, 1, 0], [2, 7, 1, 0], [2, 5, 1, 0]])


def logits_of(*chances: dict[int, float]) -> torch.Tensor:
    """(1, L, 8) logits whose softmax has these chances; what is not named shares the rest."""
    rows = []
    for given in chances:
        rest = (1 - sum(given.values())) / (8 - len(given))
        rows.append([math.log(given.get(word, rest)) for word in range(8)])
    return torch.tensor([rows], dtype=torch.float64)


def batch(seed: int = 0) -> torch.Tensor:
    return torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


LOSSES = {
    "confusion": lambda x: appearance_confusion_loss(x, TOKENS, WOMEN, MEN),
    "masked_caption": lambda x: masked_caption_loss(x, TOKENS, WOMEN, MEN),
    **{form: lambda x, form=form: confident_loss(x, TOKENS, WOMEN, MEN, form=form) for form in FORMS},
    "total": lambda x: equalizer_loss(x, x.flip(0), TOKENS, WOMEN, MEN)[0],
}


# ---------------------------------------- the union, and the trap
def test_mask_is_the_union_over_words():
    assert token_mask(TOKENS, (*WOMEN, *MEN)).tolist() == [[False, True, False, False], [False, True, False, False],
                                                           [False] * 4]  # fmt: skip


def test_masking_one_word_after_another_is_empty_and_trains_nothing():
    """What the released program does: each word's mask is applied to what the last one left."""
    left = torch.ones_like(TOKENS, dtype=torch.bool)
    for word in (*MEN, *WOMEN):
        left &= TOKENS == word
    assert not left.any()
    assert token_mask(TOKENS, (*MEN, *WOMEN)).sum() == 2
    x = batch().requires_grad_()
    chances = x.softmax(-1)
    ((chances[..., list(WOMEN)].sum(-1) - chances[..., list(MEN)].sum(-1)).abs() * left).sum().backward()
    assert not x.grad.any()


# ---------------------------------------- Appearance Confusion Loss
def test_confusion_by_hand():
    tokens = torch.tensor([[2, 3]])
    even = logits_of({2: 0.9}, {3: 0.2, 6: 0.1, 4: 0.25, 7: 0.05})
    assert appearance_confusion_loss(even, tokens, WOMEN, MEN) == pytest.approx(0, abs=1e-12)
    odd = logits_of({3: 0.9, 4: 0.05}, {3: 0.1, 6: 0.05, 4: 0.5, 7: 0.1})
    assert appearance_confusion_loss(odd, tokens, WOMEN, MEN) == pytest.approx(0.45)  # the first place does not count
    both = torch.cat([even, odd])
    assert appearance_confusion_loss(both, tokens.expand(2, 2), WOMEN, MEN) == pytest.approx(0.45 / 2)


def test_confusion_is_at_most_one_a_place_and_zero_without_gender_words():
    x = 50 * batch(1)
    assert 0 <= appearance_confusion_loss(x, TOKENS, WOMEN, MEN) <= 2 / 3 + 1e-12
    assert appearance_confusion_loss(x, torch.full((3, 4), 5), WOMEN, MEN) == 0


# ---------------------------------------- Confident Loss
@pytest.mark.parametrize(
    "form, truth, expected",
    [
        ("quotient", 3, 0.6 / (0.15 + 1e-5)),
        ("quotient", 7, 0.15 / (0.6 + 1e-5)),
        ("subtraction", 3, 1 - (0.15 - 0.6)),
        ("subtraction", 4, 1 - (0.6 - 0.15)),
        ("hinge", 3, 0.6 - 0.15 + 0.1),
        ("hinge", 4, 0.0),
        ("quotient", 5, 0.0),
    ],
)
def test_confident_by_hand(form, truth, expected):
    x = logits_of({3: 0.1, 6: 0.05, 4: 0.5, 7: 0.1})
    assert confident_loss(x, torch.tensor([[truth]]), WOMEN, MEN, form=form) == pytest.approx(expected, abs=1e-9)


def test_quotient_is_one_at_equality_vanishes_when_right_and_pushes_the_wrong_set_down():
    truth = torch.tensor([[3]])
    assert confident_loss(logits_of({3: 0.4, 6: 0.0001, 4: 0.4, 7: 0.0001}), truth, WOMEN, MEN) == pytest.approx(
        1, 1e-3
    )
    assert confident_loss(logits_of({3: 0.9999, 4: 1e-8, 7: 1e-8}), truth, WOMEN, MEN) < 1e-7
    x = logits_of({3: 0.3, 4: 0.3}).requires_grad_()
    confident_loss(x, truth, WOMEN, MEN).backward()
    assert x.grad[0, 0, 4] > 0 > x.grad[0, 0, 3]  # a step against the gradient takes from "man"
    assert x.grad[0, 0, 5] == pytest.approx(0, abs=1e-5)  # "person" is neither rewarded nor punished


# ---------------------------------------- cross-entropies and the total
def test_caption_loss_is_torchs_sum_over_words_and_mean_over_captions():
    x = batch(2)
    plain = torch.nn.functional.cross_entropy(x.flatten(0, 1), TOKENS.flatten(), ignore_index=0, reduction="sum")
    assert caption_loss(x, TOKENS) == pytest.approx(plain.item() / 3)
    double = caption_loss(x, TOKENS, weights=torch.full(TOKENS.shape, 2.0))
    assert double == pytest.approx(2 * plain.item() / 3)


def test_masked_caption_loss_ignores_gender_words():
    x, changed = batch(3), batch(3)
    changed[0, 1] += torch.arange(8)  # the place of "woman"
    changed[1, 1] -= 3 * torch.arange(8)  # the place of "guy"
    assert masked_caption_loss(x, TOKENS, WOMEN, MEN) == masked_caption_loss(changed, TOKENS, WOMEN, MEN)
    changed[2, 1] += torch.arange(8)  # "person" counts
    assert masked_caption_loss(x, TOKENS, WOMEN, MEN) != masked_caption_loss(changed, TOKENS, WOMEN, MEN)
    certain = 60.0 * torch.nn.functional.one_hot(TOKENS, 8).double()
    assert masked_caption_loss(certain, TOKENS, WOMEN, MEN) == pytest.approx(0, abs=1e-12)


def test_total_is_the_weighted_sum_and_reduces_to_cross_entropy():
    x, masked = batch(4), batch(5)
    total, parts = equalizer_loss(x, masked, TOKENS, WOMEN, MEN, alpha=2, beta=3, mu=5, masked=7)
    assert total == pytest.approx(
        2 * parts["caption"] + 3 * parts["confusion"] + 5 * parts["confident"] + 7 * parts["masked_caption"]
    )
    alone, _ = equalizer_loss(x, masked, TOKENS, WOMEN, MEN, beta=0, mu=0, masked=0)
    assert alone == caption_loss(x, TOKENS)
    assert parts["confusion"] == pytest.approx(float(appearance_confusion_loss(masked, TOKENS, WOMEN, MEN)))


# ---------------------------------------- every loss trains
@pytest.mark.parametrize("name", LOSSES)
def test_own_gradient_reaches_the_weights_and_one_step_lowers_it(name):
    with torch.random.fork_rng():
        torch.manual_seed(7)
        layer = torch.nn.Linear(5, 4 * 8).double()
    seen = torch.randn(3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.05)
    before = LOSSES[name](layer(seen).view(3, 4, 8))
    before.backward()
    assert layer.weight.grad.abs().sum() > 1e-4
    optimiser.step()
    assert LOSSES[name](layer(seen).view(3, 4, 8)) < before


# ---------------------------------------- what cannot be
@pytest.mark.parametrize("loss", [appearance_confusion_loss, confident_loss, masked_caption_loss])
@pytest.mark.parametrize(
    "logits, tokens, women, men, message",
    [
        (torch.zeros(3, 8), TOKENS, WOMEN, MEN, r"logits must be \(B, L, V\)"),
        (torch.zeros(3, 5, 8), TOKENS, WOMEN, MEN, r"\(3, 5, 8\) and \(3, 4\)"),
        (torch.zeros(3, 4, 8), TOKENS, (), MEN, "empty"),
        (torch.zeros(3, 4, 8), TOKENS, (3, 4), MEN, "both sets"),
        (torch.zeros(3, 4, 6), TOKENS, WOMEN, MEN, "1 to 5"),
    ],
)
def test_bad_arguments_are_named(loss, logits, tokens, women, men, message):
    with pytest.raises(ValueError, match=message):
        loss(logits, tokens, women, men)


def test_other_bad_arguments_are_named():
    with pytest.raises(ValueError, match="form must be one of"):
        confident_loss(batch(), TOKENS, WOMEN, MEN, form="ratio")
    with pytest.raises(ValueError, match="no word counts"):
        caption_loss(batch(), torch.zeros(3, 4, dtype=torch.long))
    with pytest.raises(ValueError, match="weights must be"):
        caption_loss(batch(), TOKENS, weights=torch.ones(2, 3, 4))
    with pytest.raises(ValueError, match=r"persons \(B, H, W\)"):
        mask_persons(torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="grow"):
        mask_persons(torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool), grow=-1)


# ---------------------------------------- the person masker
def test_masked_picture_is_the_original_outside_and_its_own_mean_inside():
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    persons = torch.zeros(2, 8, 8, dtype=torch.bool)
    persons[0, 2:4, 5] = True
    found = mask_persons(images, persons)
    assert torch.equal(found[1], images[1])
    assert torch.equal(found[0][:, ~persons[0]], images[0][:, ~persons[0]])
    assert torch.allclose(found[0][:, persons[0]], images[0].mean((1, 2))[:, None].expand(3, 2))
    wide = (mask_persons(images, persons, grow=1) != images).any(1)
    assert wide[0].sum() == 12 and not wide[1].any()
