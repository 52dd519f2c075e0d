"""The network for texts: padding changes no score, pooling is what it says, and only the seed decides the weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lessons_lib.models.text import TextCNN, lengths, ngrams

poolings = pytest.mark.parametrize("pooling", ["max", "mean"])
TEXTS = torch.tensor([[5, 3, 7, 2, 9, 4], [6, 8, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0], [2, 2, 2, 5, 1, 0]])


def network(**options) -> TextCNN:
    return TextCNN(12, 3, **{"channels": 5, "embedding": 6, "seed": 1, **options}).eval()


@poolings
@pytest.mark.parametrize("kernel_sizes", [(2, 3, 4), (1, 3), (5,)])
def test_padding_changes_no_score(pooling, kernel_sizes):
    model = network(pooling=pooling, kernel_sizes=kernel_sizes)
    scores = model(TEXTS)
    assert scores.shape == (4, 3)
    for more in (1, 7, 40):
        torch.testing.assert_close(model(F.pad(TEXTS, (0, more))), scores, rtol=1e-5, atol=1e-6)
    for text, score in zip(TEXTS, scores):
        torch.testing.assert_close(model(text[text != 0][None])[0], score, rtol=1e-5, atol=1e-6)
    assert (scores[0] - scores[1]).abs().max() > 1e-3, "texts must differ for this test to mean anything"


@poolings
def test_scores_by_hand(pooling):
    """One filter that sees the bigram (3, 5), or half of it: its features are known, and so is the score."""
    model = TextCNN(8, 2, kernel_sizes=(2,), channels=1, embedding=8, pooling=pooling).eval()
    with torch.no_grad():
        model.embedding.weight.copy_(torch.eye(8))
        model.conv2.weight.zero_()
        model.conv2.weight[0, 3, 0], model.conv2.weight[0, 5, 1] = 2.0, 1.0
        model.conv2.bias.fill_(-0.5)
        model.head.weight.copy_(torch.tensor([[1.0], [-2.0]]))
        model.head.bias.copy_(torch.tensor([0.25, 0.0]))
    tokens = torch.tensor([[3, 5, 4, 5, 0, 0], [3, 4, 0, 0, 0, 0]])
    features = model.ngram_features(model.embedding(tokens))[2][:, 0]
    assert features[0, :3].tolist() == [2.5, 0.0, 0.5] and features[1, 0] == 1.5
    pooled = {"max": [2.5, 1.5], "mean": [1.0, 1.5]}[pooling]
    wanted = torch.tensor([[f + 0.25, -2 * f] for f in pooled])
    torch.testing.assert_close(model(tokens), wanted)


def test_ngrams_with_padding_do_not_count_unless_there_is_no_other():
    assert lengths(TEXTS).tolist() == [6, 2, 1, 5]
    assert ngrams(TEXTS, 3, 4).tolist() == [[True] * 4, [True, False, False, False], [True, False, False, False],
                                            [True, True, True, False]]  # fmt: skip


@pytest.mark.parametrize("seed", [0, 3])
def test_seed_decides_the_weights_and_nothing_else_does(seed):
    before = torch.random.get_rng_state()
    first, again, other = (network(seed=s) for s in (seed, seed, seed + 1))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters()))
    assert not torch.equal(first.conv2.weight, other.conv2.weight)


def test_padding_has_a_vector_of_zeros_that_training_leaves_alone():
    model = network().train()
    optimiser = torch.optim.AdamW(model.parameters(), 0.1)
    for _ in range(3):
        optimiser.zero_grad()
        F.cross_entropy(model(TEXTS), torch.tensor([0, 1, 2, 0])).backward()
        optimiser.step()
    assert not model.embedding.weight[0].any() and model.embedding.weight[1].any()


@pytest.mark.parametrize(
    "options, word",
    [
        ({"pooling": "sum"}, "pooling"),
        ({"kernel_sizes": ()}, "kernel_sizes"),
        ({"kernel_sizes": (2, 2)}, "kernel_sizes"),
        ({"kernel_sizes": (0,)}, "kernel_sizes"),
    ],
)
def test_bad_arguments_are_named(options, word):
    with pytest.raises(ValueError, match=word):
        network(**options)
    with pytest.raises(ValueError, match="3 words"):
        TextCNN(2)


@pytest.mark.parametrize(
    "tokens, error, word",
    [
        (TEXTS.float(), TypeError, "int64"),
        (TEXTS[0], ValueError, r"tokens\[None\]"),
        (TEXTS[:0], ValueError, "empty"),
        (torch.tensor([[12]]), ValueError, "number 12.*0 to 11"),
        (torch.tensor([[-1, 2]]), ValueError, "number -1"),
        (torch.tensor([[0, 2]]), ValueError, "padding"),
    ],
)
def test_bad_tokens_are_named(tokens, error, word):
    with pytest.raises(error, match=word):
        network()(tokens)
