"""Explanations over words: every value is counted n times, nothing lands on padding, and the identities hold."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lessons_lib.explain import words
from lessons_lib.models.text import TextCNN, lengths, ngrams

TEXTS = torch.tensor(
    [[5, 3, 7, 2, 9, 4, 8, 3], [6, 8, 4, 4, 11, 0, 0, 0], [2, 2, 10, 5, 1, 3, 0, 0], [3, 9, 0, 0, 0, 0, 0, 0]]
)
LONG = TEXTS[:3]  # at least as many words as the largest kernel
TARGETS = torch.tensor([0, 2, 1, 1])
methods = pytest.mark.parametrize("name", list(words.METHODS))
poolings = pytest.mark.parametrize("pooling", ["max", "mean"])


def network(pooling: str = "max", *, biases: bool = True, **options) -> TextCNN:
    settings = {"channels": 6, "embedding": 5, "seed": 3, "kernel_sizes": (2, 3, 4), **options}
    model = TextCNN(12, 3, pooling=pooling, **settings).double().eval()
    if not biases:
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.zeros_(parameter)
    return model


def features_of(model: TextCNN, tokens: torch.Tensor) -> dict[int, torch.Tensor]:
    with torch.no_grad():
        return model.ngram_features(model.embedding(tokens))


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_spread_counts_each_value_n_times_and_on_its_own_words_alone(n):
    tokens = torch.ones(1, 7, dtype=torch.long)
    for position in range(8 - n):
        values = torch.zeros(1, 8 - n)
        values[0, position] = 2.0
        wanted = [2.0 if position <= word < position + n else 0.0 for word in range(7)]
        assert words.spread(values, n, tokens)[0].tolist() == wanted
    values = torch.arange(1.0, 9 - n)[None]
    assert words.spread(values, n, tokens).sum() == n * values.sum()


def test_spread_by_hand_and_on_a_text_below_n_words():
    tokens = torch.tensor([[4, 4, 4, 4, 0], [4, 4, 0, 0, 0]])
    values = torch.tensor([[1.0, 10.0, 0.0], [5.0, 0.0, 0.0]])
    assert words.spread(values, 3, tokens).tolist() == [[1.0, 11.0, 11.0, 10.0, 0.0], [5.0, 5.0, 0.0, 0.0, 0.0]]


@pytest.mark.parametrize("n, length", [(2, 8), (3, 5), (4, 4), (4, 2)])
def test_resize_is_bilinear_interpolation_of_each_text(n, length):
    generator = torch.Generator().manual_seed(n)
    tokens = F.pad(torch.ones(1, length, dtype=torch.long), (0, 9 - length))
    values = torch.rand(1, 10 - n, generator=generator, dtype=torch.float64)
    own = values[:, : max(length - n + 1, 1)]
    wanted = F.interpolate(own[:, None], size=length, mode="linear", align_corners=False)[:, 0]
    close(words.resize_words(values, n, tokens), F.pad(wanted, (0, 9 - length)))


def test_resize_misplaces_a_word_by_up_to_n_minus_1_and_spread_does_not():
    """A detector that fires on its last word alone, at the start of the text; on its first word, at the end."""
    n, tokens = 4, torch.ones(2, 12, dtype=torch.long)
    values = torch.zeros(2, 9)
    values[0, 0], values[1, 8] = 1.0, 1.0  # the words that matter are 3 and 8
    resized, own = words.resize_words(values, n, tokens), words.spread(values, n, tokens)
    assert (resized.argmax(1) - torch.tensor([3, 8])).abs().tolist() == [n - 1, n - 1]
    assert resized[0, 3] == 0 and resized[1, 8] == 0 and own[0, 3] == 1 and own[1, 8] == 1


@poolings
@pytest.mark.parametrize("relu", [True, False])
def test_map_is_relu_of_weighted_features_with_alpha_from_the_gradient(pooling, relu):
    """Against the definition, written out: autograd at every feature, the mean over the text's own n-grams."""
    model = network(pooling)
    found = words.ngram_maps(model, TEXTS, TARGETS, relu=relu)
    with torch.enable_grad():
        features = {n: f.requires_grad_() for n, f in features_of(model, TEXTS).items()}
        logits = model.head(model.pool(features, TEXTS))
        grads = torch.autograd.grad(logits.gather(1, TARGETS[:, None]).sum(), list(features.values()))
    total = torch.zeros(TEXTS.shape, dtype=torch.float64)
    for (n, values), grad in zip(features.items(), grads):
        real = ngrams(TEXTS, n, values.shape[2])
        alpha = (grad * real[:, None]).sum(2) / real.sum(1, keepdim=True)
        wanted = (alpha[:, :, None] * values.detach()).sum(1) * real
        close(found[n], wanted.relu() if relu else wanted)
        total += words.spread(found[n], n, TEXTS)
    close(words.grad_cam_words(model, TEXTS, TARGETS, relu=relu), total)
    assert total.any()


@poolings
def test_grad_cam_is_cam_over_z(pooling):
    model = network(pooling)
    weights = model.head.weight.detach()[TARGETS].split(model.channels, 1)
    for (n, values), w in zip(features_of(model, TEXTS).items(), weights):
        real = ngrams(TEXTS, n, values.shape[2])
        wanted = (w[:, :, None] * values).sum(1).relu() * real / real.sum(1, keepdim=True)
        close(words.ngram_maps(model, TEXTS, TARGETS)[n], wanted)


def test_counterfactual_is_what_the_relu_cut_off():
    model, options = network(kernel_sizes=(3,)), ({}, {"counterfactual": True}, {"relu": False})
    maps = [[words.grad_cam_words(model, TEXTS, target, **option) for option in options] for target in range(3)]
    for plain, against, signed in maps:
        close(plain - against, signed)
        assert (plain >= 0).all() and (against >= 0).all()
    assert any(plain.any() for plain, _, _ in maps) and any(against.any() for _, against, _ in maps)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_winning_ngrams_count_each_filter_n_times_and_add_up_to_the_logit(n):
    model = network(kernel_sizes=(n,))
    evidence, against = (words.winning_ngrams(model, LONG, 2, against=flag) for flag in (False, True))
    close((evidence - against).sum(1) / n, model(LONG)[:, 2].detach() - model.head.bias[2].detach())


def test_winning_ngrams_land_on_the_words_of_winners_alone():
    model = network(channels=1, kernel_sizes=(3,))
    features = features_of(model, LONG)[3][:, 0]
    winner = (features * ngrams(LONG, 3, 6)).argmax(1)
    weight = model.head.weight.detach()[:, 0]
    target = int(weight.argmax())
    assert weight[target] > 0 and (features.amax(1) > 0).any()
    scores = words.winning_ngrams(model, LONG, target)
    place = torch.arange(LONG.shape[1])
    inside = (place >= winner[:, None]) & (place < winner[:, None] + 3)
    close(scores, inside * (weight[target] * features.gather(1, winner[:, None])))


@methods
@pytest.mark.parametrize("more", [1, 13])
def test_padding_and_neighbours_in_the_batch_change_nothing(name, more):
    model, method = network(), words.METHODS[name]
    scores = method(model, TEXTS, TARGETS)
    assert scores.shape == TEXTS.shape and not scores[TEXTS == 0].any() and scores.any()
    close(method(model, F.pad(TEXTS, (0, more)), TARGETS), F.pad(scores, (0, more)))
    for row, length in enumerate(lengths(TEXTS).tolist()):
        alone = method(model, TEXTS[row : row + 1, :length], int(TARGETS[row]))
        close(alone[0], scores[row, :length])


@methods
def test_forms_of_the_target_agree(name):
    model, method = network(), words.METHODS[name]
    predicted = model(TEXTS).argmax(1)
    close(method(model, TEXTS), method(model, TEXTS, predicted))
    close(method(model, TEXTS, 2), method(model, TEXTS, lambda logits: logits[:, 2]))
    close(method(model, TEXTS, 2), method(model, TEXTS, torch.full((4,), 2)))
    close(method(model, TEXTS, lambda logits: 3 * logits[:, 2]), 3 * method(model, TEXTS, 2))
    with pytest.raises(ValueError, match="one target a text"):
        method(model, TEXTS, torch.tensor([[0, 1]] * 4))


@methods
def test_model_is_left_as_it_was_and_no_grad_is_fine(name):
    model, method = network(), words.METHODS[name]
    wanted, state = method(model, TEXTS, 1), {k: v.clone() for k, v in model.state_dict().items()}
    with torch.no_grad():
        close(method(model, TEXTS, 1), wanted)
    with torch.inference_mode():
        inside = method(model, TEXTS.clone(), 1)
    close(inside.clone(), wanted)
    assert all(p.grad is None for p in model.parameters()) and not model.training
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())


@poolings
def test_gradient_agrees_with_finite_differences(pooling):
    model, step = network(pooling), 1e-6
    vectors = model.embedding(TEXTS).detach()
    found = words.gradient_words(model, TEXTS, 0)
    for word in (0, 3):
        slopes = []
        for entry in range(vectors.shape[2]):
            shift = torch.zeros_like(vectors)
            shift[:, word, entry] = step
            high, low = (model.logits(vectors + sign * shift, TEXTS)[:, 0] for sign in (1, -1))
            slopes.append((high - low).detach() / (2 * step))
        norm = torch.stack(slopes, 1).norm(dim=1) * (TEXTS[:, word] != 0)
        torch.testing.assert_close(found[:, word], norm, rtol=1e-4, atol=1e-6)


@poolings
def test_gradient_x_input_adds_up_to_the_score_without_biases(pooling):
    model = network(pooling, biases=False)
    close(words.gradient_x_input_words(model, TEXTS, 1).sum(1), model(TEXTS)[:, 1].detach())


@pytest.mark.parametrize("replace", ["unknown", "remove"])
def test_occlusion_by_hand(replace):
    model = network()
    scores = words.occlusion_words(model, TEXTS, 1, replace=replace)
    text = TEXTS[1, :5].tolist()
    for word in range(5):
        changed = [*text[:word], *([1] if replace == "unknown" else []), *text[word + 1 :]]
        fall = model(torch.tensor([text]))[0, 1] - model(torch.tensor([changed]))[0, 1]
        close(scores[1, word], fall.detach())
    assert scores[2, 4] == 0 or replace == "remove", "the unknown word is there already"


def test_bad_arguments_are_named():
    model = network()
    with pytest.raises(ValueError, match="align"):
        words.grad_cam_words(model, TEXTS, align="centre")
    with pytest.raises(ValueError, match="replace"):
        words.occlusion_words(model, TEXTS, replace="mask")
    with pytest.raises(ValueError, match="max-pooling"):
        words.winning_ngrams(network("mean"), TEXTS)
    with pytest.raises(ValueError, match=r"\(4, 6\) are needed.*got \(4, 5\)"):
        words.spread(torch.zeros(4, 5), 3, TEXTS)
    for method in words.METHODS.values():
        with pytest.raises(ValueError, match="training mode"):
            method(network().train(), TEXTS)
        with pytest.raises(TypeError, match="int64"):
            method(model, TEXTS.double())
        with pytest.raises(ValueError, match="out of range"):
            method(model, TEXTS, 3)
        if method is not words.occlusion_words:  # it needs no gradient
            with pytest.raises(ValueError, match="no gradient"):
                method(model, TEXTS, lambda logits: logits[:, 0].detach())
