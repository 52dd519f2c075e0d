"""The vision-language transformer and its losses: shapes, what may depend on what, and hand-computed values."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from lessons_lib.models import vision_language_losses as losses
from lessons_lib.models.vision_language import VisionLanguageTransformer, tokenise, vocabulary_of
from lessons_lib.models.vision_language_parts import stem


@pytest.fixture(scope="module")
def model() -> VisionLanguageTransformer:
    return VisionLanguageTransformer(20, answers=3, size=24, width=16, heads=2, longest=8, seed=2).eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))


def test_padding_changes_nothing(model, images):
    tokens = torch.tensor([[2, 5, 6], [2, 9, 10]])
    with torch.no_grad():
        short, long = model(images, tokens), model(images, F.pad(tokens, (0, 4)))
    torch.testing.assert_close(short.match, long.match)
    torch.testing.assert_close(short.states, long.states[:, :3])


def test_pairs_do_not_mix_and_rows_choose_the_picture(model, images):
    tokens = torch.tensor([[2, 5, 6], [2, 9, 10], [2, 5, 6]])
    with torch.no_grad():
        seen, read = model.encode_images(images), model.encode_texts(tokens)
        fused = model.fuse(seen, read, tokens, rows=torch.tensor([0, 1, 1]))
        alone = model(images[1:], tokens[2:])
    torch.testing.assert_close(fused.match[2:], alone.match)
    assert not torch.allclose(fused.match[0], fused.match[2])  # the same text, another picture
    with pytest.raises(ValueError, match="say with rows"):
        model.fuse(seen, read, tokens)


def test_seed_decides_the_weights_and_the_global_state_is_left_alone():
    before = torch.random.get_rng_state()
    one, two, other = (VisionLanguageTransformer(9, size=24, width=16, heads=2, seed=s) for s in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(one.embed.weight, two.embed.weight) and not torch.equal(one.embed.weight, other.embed.weight)


def test_the_stem_is_centred_on_its_patches():
    """The gradient of one token reaches as far to the left of its patch as to the right of it."""
    net = stem(4, (2, 3)).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):  # no ReLU is shut then, whatever the initial weights were
            torch.nn.init.constant_(module.weight, 0.1)
    pixels = torch.rand(1, 3, 36, 36, generator=torch.Generator().manual_seed(1), requires_grad=True)
    out = net(pixels)
    assert out.shape[-2:] == (6, 6)
    out[0, :, 2, 2].sum().backward()
    touched = pixels.grad.abs().sum((0, 1)).sum(0).nonzero()[:, 0]
    assert (touched.min() + touched.max()).item() == 12 + 17  # the patch has pixels 12 to 17


def test_words_become_numbers_behind_cls():
    vocabulary = vocabulary_of([("a", "dog"), ("a", "red", "dog")])
    tokens = tokenise(vocabulary, [("a", "dog"), ("a", "red", "zebra")])
    assert tokens.shape == (2, 4) and (tokens[:, 0] == 2).all() and tokens[0, 3] == 0 and tokens[1, 3] == 1
    with pytest.raises(ValueError, match="more than the length"):
        tokenise(vocabulary, [("a", "red", "dog")], length=3)


def test_bad_input_is_named(model, images):
    with pytest.raises(ValueError, match="do not divide"):
        VisionLanguageTransformer(9, size=25)
    with pytest.raises(ValueError, match="multiple of the number of heads"):
        VisionLanguageTransformer(9, width=10, heads=4)
    with pytest.raises(ValueError, match=r"\(B, 3, 24, 24\)"):
        model.encode_images(images[..., :12])
    with pytest.raises(ValueError, match="at most 8"):
        model.encode_texts(torch.zeros(1, 9, dtype=torch.long))


# ---- losses


def unit(*rows):
    return F.normalize(torch.tensor(rows, dtype=torch.float32), dim=1)


def test_contrast_by_hand_and_without_false_negatives():
    images, texts = unit([1, 0], [0, 1]), unit([1, 0], [0, 1])
    eye = torch.eye(2, dtype=torch.bool)
    found = losses.contrastive_loss(images, texts, 0.5, eye)
    assert found.item() == pytest.approx(math.log(1 + math.exp(-2)), rel=1e-5)
    everything = torch.ones(2, 2, dtype=torch.bool)  # each text is true of both pictures: there is no negative
    assert losses.contrastive_loss(images, texts, 0.5, everything).item() == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="diagonal"):
        losses.contrastive_loss(images, texts, 0.5, ~eye)


def test_momentum_targets_mix_and_carry_no_gradient():
    images, texts = (unit([1, 0.2], [0.1, 1]).requires_grad_() for _ in range(2))
    other = unit([1, 1], [1, 1]).requires_grad_()
    eye = torch.eye(2, dtype=torch.bool)
    plain = losses.contrastive_loss(images, texts, 0.5, eye)
    soft = losses.contrastive_loss(images, texts, 0.5, eye, momentum=(other, other), alpha=0.4)
    scores = (images @ texts.t() / 0.5).log_softmax(1)
    backward = (images @ texts.t() / 0.5).t().log_softmax(1)
    target = torch.tensor([[0.8, 0.2], [0.2, 0.8]])  # 0.4 x even + 0.6 x one-hot
    expected = -0.5 * ((target * scores).sum(1).mean() + (target * backward).sum(1).mean())
    torch.testing.assert_close(soft, expected)
    soft.backward()
    assert other.grad is None and images.grad is not None and plain < soft


def test_hard_negatives_are_false_and_follow_the_similarity():
    generator = torch.Generator().manual_seed(0)
    similarity = torch.tensor([[9.0, 8.0, 0.0], [0.0, 9.0, 8.0], [0.0, 0.0, 9.0]])
    true = torch.eye(3, dtype=torch.bool)
    true[0, 1] = True  # the most similar text of picture 0 is true of it, too
    drawn = [losses.hard_negatives(similarity, true, generator) for _ in range(60)]
    texts, images = (torch.stack(part) for part in zip(*drawn))
    assert (texts[:, 0] == 2).all()  # the only false one
    assert (texts[:, 1] == 2).float().mean() > 0.9  # similar and false
    assert not any(true[images[n, j], j] for n in range(60) for j in range(3))
    all_true = torch.ones(2, 2, dtype=torch.bool)
    assert losses.hard_negatives(torch.zeros(2, 2), all_true, generator)[0].tolist() == [0, 1]


def test_matching_weighs_both_labels_alike():
    logits = torch.tensor([[0.0, 2.0], [0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    labels = torch.tensor([1, 0, 0, 0])
    negatives = (2 * math.log(2) + math.log(1 + math.exp(-1))) / 3
    expected = 0.5 * (math.log(1 + math.exp(-2)) + negatives)
    assert losses.matching_loss(logits, labels).item() == pytest.approx(expected, rel=1e-5)


def test_masking_spares_special_tokens_and_reaches_its_share():
    tokens = torch.randint(0, 50, (200, 20), generator=torch.Generator().manual_seed(0))
    shown, chosen = losses.mask_words(tokens, 3, torch.Generator().manual_seed(1), share=0.3)
    assert not chosen[tokens < 4].any() and (shown[chosen] == 3).all() and torch.equal(shown[~chosen], tokens[~chosen])
    assert chosen[tokens >= 4].float().mean() == pytest.approx(0.3, abs=0.03)


def test_replaced_words_by_hand():
    tokens, truth = torch.tensor([[2, 5, 9, 0]]), torch.tensor([[2, 5, 6, 0]])
    logits = torch.tensor([[7.0, 0.0, 0.0, 7.0]])  # special tokens do not count
    expected = (math.log(2) + 4 * math.log(2)) / 2
    assert losses.replaced_word_loss(logits, tokens, truth).item() == pytest.approx(expected, rel=1e-5)


def test_the_momentum_model_follows():
    one, two = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    expected = 0.9 * one.weight.detach() + 0.1 * two.weight.detach()
    losses.follow(one, two, decay=0.9)
    torch.testing.assert_close(one.weight.detach(), expected)


def test_every_loss_reaches_the_weights(model, images):
    """The traps of public releases: a loss term whose gradient goes nowhere."""
    tokens = torch.tensor([[2, 5, 6, 7], [2, 9, 10, 0]])
    true = torch.eye(2, dtype=torch.bool)

    def reached(loss, *names):
        gradients = torch.autograd.grad(loss, [model.get_parameter(n) for n in names], allow_unused=True)
        assert all(g is not None and g.abs().sum() > 0 for g in gradients), names

    seen, read = model.encode_images(images), model.encode_texts(tokens)
    contrast = losses.contrastive_loss(model.embed_images(seen), model.embed_texts(read), model.temperature, true)
    reached(contrast, "image_shared.weight", "text_shared.weight", "embed.weight", "stem.0.weight", "log_temperature")
    fused = model(images, tokens)
    reached(
        losses.matching_loss(fused.match, torch.tensor([1, 0])),
        "match_head.weight",
        "stem.0.weight",
        "fusion.0.cross.query.weight",
    )
    fused = model(images, tokens)
    reached(losses.masked_word_loss(model.words(fused.states[:, 1]), tokens[:, 1]), "word_head.weight", "stem.0.weight")
