"""Word maps from cross-attention, against the same numbers computed another way, for three kinds of models."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lessons_lib.explain.cross_attention import (
    cross_attention,
    cross_rollout,
    matching_logit,
    roll_out,
    sentence_map,
    word_maps,
)
from lessons_lib.models.vision_language import VisionLanguageTransformer


@pytest.fixture(scope="module")
def model() -> VisionLanguageTransformer:
    options = {"size": (24, 36), "strides": (2, 3), "width": 16, "heads": 2, "longest": 8, "seed": 2}
    return VisionLanguageTransformer(20, answers=3, image_blocks=1, text_blocks=1, fusion_blocks=3, **options).eval()


@pytest.fixture(scope="module")
def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.rand(2, 3, 24, 36, generator=torch.Generator().manual_seed(0))
    return images, torch.tensor([[2, 5, 6, 7, 8], [2, 9, 10, 0, 0]])


def by_hand(model, images, tokens, name, score):
    """A and its gradient from a forward pass whose probabilities are kept by a patched softmax-times-V."""
    layer = model.get_submodule(name)
    kept = {}

    def forward(states, others=None, blocked=None, rows=None):
        query, key, value = (
            layer._split(f(x)) for f, x in ((layer.query, states), (layer.key, others), (layer.value, others))
        )
        kept["A"] = torch.softmax(query @ key.transpose(2, 3) / query.shape[-1] ** 0.5, -1)
        return layer.out((kept["A"] @ value).transpose(1, 2).flatten(2))

    layer.forward, old = forward, layer.forward
    try:
        scores = score(model(images, tokens))
        (gradient,) = torch.autograd.grad(scores.sum(), kept["A"])
    finally:
        layer.forward = old
    return kept["A"].detach(), gradient


@pytest.mark.parametrize("name", ["fusion.0.cross", "fusion.1.cross"])
def test_maps_are_attention_times_its_positive_gradient_averaged_over_heads(model, inputs, name):
    attention, gradient = by_hand(model, *inputs, name, lambda out: out.match[:, 1])
    expected = (attention * gradient.clamp(min=0)).mean(1)[:, :, 1:].unflatten(2, (4, 6))  # the class token is dropped
    torch.testing.assert_close(word_maps(model, inputs, name), expected)
    expected = gradient.clamp(min=0).mean(1)[:, :, 1:].unflatten(2, (4, 6))
    torch.testing.assert_close(word_maps(model, inputs, name, kind="gradient"), expected)
    expected = attention.mean(1)[:, :, 1:].unflatten(2, (4, 6))
    torch.testing.assert_close(word_maps(model, inputs, name, kind="attention"), expected)


def test_any_scalar_is_a_target(model, inputs):
    answer = lambda out: out.answers[:, 2]  # noqa: E731
    attention, gradient = by_hand(model, *inputs, "fusion.1.cross", answer)
    expected = (attention * gradient.clamp(min=0)).mean(1)[:, :, 1:].unflatten(2, (4, 6))
    torch.testing.assert_close(word_maps(model, inputs, "fusion.1.cross", target=answer), expected)
    assert not torch.allclose(expected, word_maps(model, inputs, "fusion.1.cross"))


def test_attention_rows_sum_to_one_and_do_not_depend_on_the_score(model, inputs):
    attention, gradient, output = cross_attention(model, inputs, gradient=False)
    assert gradient is None and attention.shape == (2, 2, 5, 25)
    torch.testing.assert_close(attention.sum(3), torch.ones(2, 2, 5))
    other = word_maps(model, inputs, kind="attention", target=lambda out: out.answers[:, 0])
    torch.testing.assert_close(other, word_maps(model, inputs, kind="attention"))
    assert output.match.shape == (2, 2)


def test_in_the_last_layer_only_the_row_of_cls_has_a_gradient(model, inputs):
    maps = word_maps(model, inputs, "fusion.2.cross")
    assert maps[:, 0].any() and not maps[:, 1:].any()
    assert word_maps(model, inputs, "fusion.1.cross")[0, 1:].flatten(1).any(1).all()


def test_the_model_says_the_same_and_is_left_alone(model, inputs):
    with torch.no_grad():
        before = model(*inputs)
    maps, output = word_maps(model, inputs, return_output=True)
    torch.testing.assert_close(output.match.detach(), before.match)
    assert all(p.grad is None for p in model.parameters()) and not maps.requires_grad
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_padding_is_masked_and_sizes_are_upsampled(model, inputs):
    mask = inputs[1] != 0
    maps = word_maps(model, inputs, mask=mask, size="images")
    assert maps.shape == (2, 5, 24, 36) and not maps[1, 3:].any() and maps[0].flatten(1).any(1).all()
    coarse = word_maps(model, inputs, mask=mask)
    expected = F.interpolate(coarse, (24, 36), mode="bilinear", align_corners=False)
    torch.testing.assert_close(maps, expected)


def test_the_sentences_map_is_the_mean_over_its_tokens(model, inputs):
    maps, mask = word_maps(model, inputs), inputs[1] != 0
    found = sentence_map(maps, mask)
    torch.testing.assert_close(found[1], maps[1, :3].mean(0))
    torch.testing.assert_close(sentence_map(maps)[0], maps[0].mean(0))
    with pytest.raises(ValueError, match="mask"):
        sentence_map(maps, mask[:, :2])


def test_rollout_by_hand():
    cross = torch.tensor([[[0.2, 0.3, 0.5], [1.0, 0, 0]]])
    torch.testing.assert_close(roll_out([cross]), cross / 2)  # half of a word's state is its own
    swap = torch.tensor([[[0.0, 1, 0], [1, 0, 0], [0, 0, 1]]])
    mixed = 0.5 * (torch.eye(3) + swap[0])
    torch.testing.assert_close(roll_out([swap, cross]), cross @ mixed / 2)
    text = torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])  # both words look at the second
    rows = roll_out([cross, text])
    torch.testing.assert_close(rows[0, 0], 0.25 * (cross[0, 0] + cross[0, 1]))
    with pytest.raises(ValueError, match="different"):
        roll_out([torch.eye(3)[None]])


def test_rollout_through_the_model_keeps_its_mass(model, inputs):
    maps = cross_rollout(model, inputs)
    assert maps.shape == (2, 5, 4, 6) and (maps > 0).all() and (maps.sum((2, 3)) < 1).all()


class Fusion(nn.Module):
    """A text that looks at an image, by PyTorch's own attention in three ways of writing it."""

    def __init__(self, way: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cross, self.head, self.way = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 2), way

    def forward(self, text, image):
        return self.head(self.cross(text, image, image, need_weights=self.way == "weights")[0].sum(1))


@pytest.mark.parametrize("way", ["weights", "fused"])
def test_pytorchs_own_attention_is_served(way):
    generator = torch.Generator().manual_seed(1)
    text, image = torch.randn(2, 3, 8, generator=generator), torch.randn(2, 6, 8, generator=generator)
    net = Fusion(way).eval()
    maps = word_maps(net, (text, image), "cross", grid=(2, 3))
    with torch.no_grad():
        weights = net.cross(text, image, image)[1]  # mean over heads
    attention = word_maps(net, (text, image), "cross", grid=(2, 3), kind="attention")
    torch.testing.assert_close(attention, weights.unflatten(2, (2, 3)))
    assert maps.shape == (2, 3, 2, 3) and maps.any()


def test_bad_input_is_named(model, inputs):
    with pytest.raises(ValueError, match="kind must be one of"):
        word_maps(model, inputs, kind="both")
    with pytest.raises(ValueError, match="no attention ran"):
        word_maps(model, inputs, "match_head")
    with pytest.raises(ValueError, match="attentions ran"):
        word_maps(model, inputs, "fusion.1")
    with pytest.raises(TypeError, match="tuple"):
        word_maps(model, inputs[0])
    with pytest.raises(ValueError, match="more places"):
        word_maps(model, inputs, grid=(9, 9))
    with pytest.raises(ValueError, match="one score a pair"):
        word_maps(model, inputs, target=lambda out: out.match)
    with pytest.raises(ValueError, match="matching head"):
        matching_logit(SimpleNamespace())
    with pytest.raises(ValueError, match="training mode"):
        word_maps(VisionLanguageTransformer(20, size=24, strides=(2, 3), width=16, heads=2).train(), inputs)


# ---- Hugging Face


@pytest.fixture(scope="module")
def blip():
    transformers = pytest.importorskip("transformers")
    text = {"vocab_size": 50, "hidden_size": 16, "encoder_hidden_size": 16, "intermediate_size": 16, "projection_dim": 8,
            "num_hidden_layers": 3, "num_attention_heads": 2, "max_position_embeddings": 16, "bos_token_id": 1,
            "eos_token_id": 2, "sep_token_id": 2, "pad_token_id": 0}  # fmt: skip
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
              "image_size": 32, "patch_size": 8}  # fmt: skip
    config = transformers.BlipConfig(text_config=text, vision_config=vision, projection_dim=8, image_text_hidden_size=8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return transformers.BlipForImageTextRetrieval(config).eval()


@pytest.fixture(scope="module")
def processed():
    generator = torch.Generator().manual_seed(3)
    tokens = torch.tensor([[1, 7, 8, 9, 2], [1, 7, 2, 0, 0]])
    images = torch.rand(2, 3, 32, 32, generator=generator)
    return {"input_ids": tokens, "pixel_values": images, "attention_mask": (tokens != 0).long()}


LAYER = "text_encoder.encoder.layer.1.crossattention"


def test_blip_has_a_map_for_every_token(blip, processed):
    maps, output = word_maps(blip, processed, LAYER, return_output=True)
    assert maps.shape == (2, 5, 4, 4) and maps[0].flatten(1).any(1).all() and not maps[1, 3:].any()
    with torch.no_grad():
        torch.testing.assert_close(output.itm_score.detach(), blip(**processed).itm_score, atol=1e-5, rtol=1e-4)


def test_blips_attention_is_the_one_that_it_computes_itself(blip, processed):
    attention, gradient, _ = cross_attention(blip, processed, LAYER)
    assert attention.shape == gradient.shape == (2, 2, 5, 17)
    torch.testing.assert_close(attention.sum(3), torch.ones(2, 2, 5))
    inner = blip.get_submodule(LAYER)
    values = {}
    spy = inner.self.value.register_forward_hook(lambda m, i, o: values.update(v=o.detach()))
    dense = inner.output.dense.register_forward_hook(lambda m, i, o: values.update(mixed=i[0].detach()))
    with torch.no_grad():
        blip(**processed)
    spy.remove()
    dense.remove()
    value = values["v"].unflatten(2, (2, 8)).transpose(1, 2)
    torch.testing.assert_close((attention @ value).transpose(1, 2).flatten(2), values["mixed"], atol=1e-5, rtol=1e-4)


def test_without_a_layer_the_candidates_are_named(blip, processed):
    with pytest.raises(ValueError, match=r"layer\.1\.crossattention"):
        word_maps(blip, processed)
