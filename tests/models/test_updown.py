"""Small Up-Down models of region proposals."""

from __future__ import annotations

import pytest
import torch

from data_fetch.words import Vocabulary
from lessons_lib.feedback.hint import proposal_importance
from lessons_lib.models.captioner import caption_vocabulary
from lessons_lib.models.updown import CROP, PLACE, RegionAttention, RegionCaptioner, RegionEyes, UpDown, crops

WORDS = Vocabulary.of([("is", "it", "red"), ("what", "is", "it")])


def answerer(**options):
    return UpDown(WORDS, ("no", "yes", "dog"), 6, hidden=8, seed=3, **options).eval()


def some(count=4, regions=5, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, regions, 6, generator=generator), torch.tensor(
        [[2, 3, 4, 0], [2, 3, 0, 0], [4, 0, 0, 0], [3, 2, 2, 2]]
    )


def test_logits_and_attention():
    features, tokens = some()
    logits, attention = answerer().reply(features, tokens)
    assert logits.shape == (4, 3) and attention.shape == (4, 5)
    torch.testing.assert_close(attention.sum(1), torch.ones(4))
    assert torch.equal(answerer()(features, tokens), logits)


def test_the_answer_is_made_from_the_fused_vector_alone():
    features, tokens = some()
    model = answerer()
    joint, attention = model.fuse(features, tokens)
    assert joint.shape == (4, 8) and joint.min() >= 0 and joint.max() > 0
    assert torch.equal(model.out(joint), model(features, tokens))
    assert torch.equal(attention, model.reply(features, tokens)[1])
    other = some(seed=2)[0]
    assert not torch.allclose(model.fuse(other, tokens)[0], joint)
    blind = answerer(blind=True)
    assert torch.equal(blind.fuse(other, tokens)[0], blind.fuse(features, tokens)[0])
    with pytest.raises(ValueError, match="features must be"):
        model.fuse(features, tokens[:2])


def test_padding_and_the_order_of_regions_change_nothing():
    features, tokens = some()
    model = answerer()
    longer = torch.cat([tokens, torch.zeros(4, 3, dtype=torch.long)], 1)
    torch.testing.assert_close(model(features, longer), model(features, tokens))
    turn = torch.tensor([3, 0, 4, 1, 2])
    logits, attention = model.reply(features, tokens)
    turned, its = model.reply(features[:, turn], tokens)
    torch.testing.assert_close(turned, logits)
    torch.testing.assert_close(its, attention[:, turn])


def test_a_blind_model_sees_no_region_and_the_other_does():
    features, tokens = some()
    other = some(seed=2)[0]
    assert torch.equal(answerer(blind=True)(features, tokens), answerer(blind=True)(other, tokens))
    assert not torch.allclose(answerer()(features, tokens), answerer()(other, tokens))


def test_importance_can_be_differentiated_again():
    features, tokens = some()
    features.requires_grad_()
    model = answerer()
    alpha = proposal_importance(model(features, tokens)[:, 0], features)
    (alpha * torch.arange(5.0)).sum().backward()
    moved = [name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert {"look.region.weight", "picture.weight", "words.weight"} <= set(moved)


def test_seed_decides_the_weights_and_leaves_the_global_state_alone():
    before = torch.random.get_rng_state()
    a, b = answerer(), answerer()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters()))


def test_attention_of_many_queries_is_that_of_each():
    torch.manual_seed(0)
    look, features = RegionAttention(6, 8), some()[0]
    queries = torch.rand(4, 3, 8)
    together = look(features, queries)
    assert together.shape == (4, 3, 5)
    torch.testing.assert_close(together[:, 1], look(features, queries[:, 1]))


def test_captioner_knows_only_the_words_before():
    vocabulary = caption_vocabulary([("a", "red", "dog"), ("a", "dog")])
    model = RegionCaptioner(vocabulary, 6, hidden=8, seed=1).eval()
    features = some(2)[0]
    tokens = torch.tensor([[4, 5, 6], [4, 6, 5]])
    logits = model(features, tokens)
    assert logits.shape == (2, 3, len(vocabulary))
    changed = tokens.clone()
    changed[:, 2] = 4
    torch.testing.assert_close(model(features, changed), logits)
    changed[:, 0] = 6
    assert not torch.allclose(model(features, changed)[:, 1:], logits[:, 1:])


def test_eyes_see_crops_and_where_they_lie():
    eyes = RegionEyes(4, 3, 2, width=4, seed=2).eval()
    images = (torch.arange(48) / 48).expand(2, 3, 48, 48).contiguous()
    boxes = torch.tensor([[[0.0, 0, 48, 48], [12, 12, 36, 36]]] * 2)
    cut = crops(images, boxes)
    assert cut.shape == (4, 3, CROP, CROP)
    torch.testing.assert_close(cut[1], images[0, :, 12:36, 12:36])
    assert [tuple(logits.shape) for logits in eyes(cut)] == [(4, 4), (4, 3), (4, 2)]
    found = eyes.regions(images, boxes)
    assert found.shape == (2, 2, 16 + PLACE) and not found.requires_grad
    torch.testing.assert_close(found[0, 0, -PLACE:], torch.tensor([-2.0, -2, 2, 2, 2]))
    torch.testing.assert_close(found[:, :, :16].flatten(0, 1), eyes.look(cut).detach())


def test_bad_shapes_are_named():
    features, tokens = some()
    with pytest.raises(ValueError, match=r"features must be \(B, R, D\)"):
        answerer()(features[0], tokens)
    with pytest.raises(ValueError, match="tokens"):
        answerer()(features, tokens[:2])
    with pytest.raises(ValueError, match="two different answers"):
        UpDown(WORDS, ("yes", "yes"), 6)
    with pytest.raises(ValueError, match="caption_vocabulary"):
        RegionCaptioner(WORDS, 6)
    with pytest.raises(ValueError, match="features must be"):
        RegionCaptioner(caption_vocabulary([("a",)]), 6)(features, tokens[:1])
    with pytest.raises(ValueError, match=r"boxes \(B, R, 4\)"):
        crops(torch.rand(1, 3, 8, 8), torch.rand(2, 3, 4))
