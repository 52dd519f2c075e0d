"""Attention of vision transformers, attention rollout, and Grad-CAM on their tokens."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from lessons_lib.explain.attention import attention_rollout, rollout, vit_attention
from lessons_lib.explain.gradcam import grad_cam
from lessons_lib.explain.layers import default_layer
from lessons_lib.explain.maps import upsample

SEEDS = (0, 1, 2)


def pictures(seed: int, batch: int = 2, height: int = 32, width: int = 32) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def torchvision_vit(seed: int, dropout: float = 0.0) -> nn.Module:
    """16 patches and a class token, three blocks of four heads. Its head, zeros at first in torchvision, is random."""
    torch.manual_seed(seed)
    net = torchvision.models.VisionTransformer(32, 8, 3, 4, 16, 32, num_classes=5, attention_dropout=dropout)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(std=0.3)
    return net.eval()


class HandWritten(nn.Module):
    """Three layers of attention with two heads, written in one of several styles; `expected` holds the weights."""

    def __init__(self, seed: int = 0, style: str = "Tensor.softmax", prefix: int = 1, fixed: Tensor | None = None):
        super().__init__()
        torch.manual_seed(seed)
        self.patches = nn.Conv2d(3, 16, 8, stride=8)
        self.prefix = nn.Parameter(torch.randn(1, prefix, 16))
        self.qkv = nn.ModuleList(nn.Linear(16, 48) for _ in range(3))
        self.fc, self.style, self.fixed = nn.Linear(16, 5), style, fixed
        self.expected: list[Tensor] = []

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        if self.fixed is not None:
            scores = self.fixed.log().expand_as(scores)
        self.expected.append((scores.exp() / scores.exp().sum(-1, keepdim=True)).detach())
        if self.style == "F.scaled_dot_product_attention":
            return F.scaled_dot_product_attention(q, k, v)
        return STYLES[self.style](scores) @ v

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.prefix.expand(len(x), -1, -1), x], 1)
        for qkv in self.qkv:
            q, k, v = qkv(x).unflatten(2, (3, 2, 8)).permute(2, 0, 3, 1, 4)
            x = x + self.attend(q, k, v).transpose(1, 2).flatten(2)
        return self.fc(x.softmax(-1).mean(1))


STYLES = {
    "Tensor.softmax": lambda scores: scores.softmax(-1),
    "torch.softmax": lambda scores: torch.softmax(scores, dim=3),
    "F.softmax": lambda scores: F.softmax(scores, -1, dtype=torch.float32),
    "nn.Softmax": nn.Softmax(dim=-1),
    "F.scaled_dot_product_attention": None,
}


class Encoder(nn.Module):
    """torch's own transformer encoder, which has a fused path for evaluation."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, 16, 8, stride=8)
        self.body = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.patches(x).flatten(2).transpose(1, 2)).mean(1)


class Call(nn.Module):
    """A model that is one call of F.scaled_dot_product_attention with given arguments."""

    def __init__(self, *args: Tensor, **kwargs: object) -> None:
        super().__init__()
        self.args, self.kwargs = args, kwargs

    def forward(self, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(*self.args, **self.kwargs)


# --- the weights ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_weights_of_torchvisions_transformer_by_hand(seed):
    net, x = torchvision_vit(seed), pictures(seed)
    inputs: list[Tensor] = []
    blocks = list(net.encoder.layers)
    handles = [b.ln_1.register_forward_hook(lambda m, a, out: inputs.append(out.detach())) for b in blocks]
    layers = vit_attention(net, x)
    for handle in handles:
        handle.remove()
    assert len(layers) == len(inputs) == 3
    for layer, tokens, block in zip(layers, inputs, blocks):
        attention = block.self_attention
        q, k, _ = (tokens @ attention.in_proj_weight.T + attention.in_proj_bias).split(16, -1)
        q, k = (part.unflatten(2, (4, 4)).transpose(1, 2) for part in (q, k))
        expected = (q @ k.transpose(2, 3) / 2).softmax(-1).detach()
        torch.testing.assert_close(layer, expected, atol=1e-6, rtol=1e-5)
        assert layer.shape == (2, 4, 17, 17) and not layer.requires_grad
        torch.testing.assert_close(layer.sum(-1), torch.ones(2, 4, 17))


@pytest.mark.parametrize("style", STYLES)
def test_weights_of_hand_written_transformers(style):
    net, x = HandWritten(1, style).eval(), pictures(1)
    layers = vit_attention(net, x)
    assert len(layers) == 3
    for layer, expected in zip(layers, net.expected):
        torch.testing.assert_close(layer, expected)


def test_weights_of_torchs_encoder():
    net, x = Encoder().eval(), pictures(0)
    layers = vit_attention(net, x)
    assert [tuple(layer.shape) for layer in layers] == [(2, 2, 16, 16)] * 2
    first = net.body.layers[0].self_attn
    tokens = net.patches(x).flatten(2).transpose(1, 2)
    expected = first(tokens, tokens, tokens, average_attn_weights=False)[1]
    torch.testing.assert_close(layers[0], expected.detach())


def _qkv(seed: int, *shape: int, keys: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(*shape, 6, 4, generator=generator)
    k = torch.randn(*(shape if keys is None else (*shape[:-1], keys)), 6, 4, generator=generator)
    return q, k, torch.eye(6).expand(*k.shape[:-1], 6)  # values that are the identity: the output is the weights


@pytest.mark.parametrize(
    ("args", "options"),
    [
        (_qkv(0, 2, 3), {}),
        (_qkv(1, 2), {}),
        (_qkv(2, 2, 3), {"scale": 0.3}),
        (_qkv(3, 2, 3), {"is_causal": True}),
        (_qkv(4, 2, 3), {"attn_mask": torch.rand(6, 6, generator=torch.Generator().manual_seed(0)) > 0.3}),
        (_qkv(5, 2, 3), {"attn_mask": torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(1))}),
        (_qkv(6, 2), {"attn_mask": torch.randn(2, 6, 6, generator=torch.Generator().manual_seed(2))}),
        (_qkv(7, 2, 4, keys=2), {"enable_gqa": True}),
    ],
    ids=["plain", "no heads", "scale", "causal", "bool mask", "float mask", "mask without heads", "grouped"],
)
def test_every_option_of_scaled_dot_product_attention(args, options):
    net = Call(*args, **options)
    (layer,) = vit_attention(net, pictures(0))
    output = net(pictures(0))
    torch.testing.assert_close(layer, output if output.ndim == 4 else output[:, None])


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("averaged", [True, False])
def test_what_the_model_computes_stays_the_same(wanted, averaged):
    seen: list[object] = []

    class Once(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            x = x.flatten(1).unflatten(1, (192, 16))
            seen.append(self.attention(x, x, x, need_weights=wanted, average_attn_weights=averaged))
            return seen[-1][0]

    net, x = Once().eval(), pictures(0)
    vit_attention(net, x)
    with torch.no_grad():
        net(x)
    watched, plain = seen
    torch.testing.assert_close(watched[0], plain[0], atol=1e-6, rtol=1e-5)
    if wanted:
        torch.testing.assert_close(watched[1], plain[1])
    else:
        assert watched[1] is None and plain[1] is None


def test_attention_between_sequences_of_different_length_is_left_out():
    class Crossed(HandWritten):
        def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            queries, keys = q.transpose(1, 2).flatten(2), k[:, :, :5].transpose(1, 2).flatten(2)
            F.scaled_dot_product_attention(q, k[:, :, :5], v[:, :, :5])
            nn.MultiheadAttention(16, 2, batch_first=True)(queries, keys, keys)
            return super().attend(q, k, v)

    assert [layer.shape[-2:] for layer in vit_attention(Crossed().eval(), pictures(0))] == [(17, 17)] * 3


# --- rollout ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head_fusion", ["mean", "max", "min"])
@pytest.mark.parametrize("seed", SEEDS)
def test_rollout_by_the_formula(head_fusion, seed):
    net, x = torchvision_vit(seed), pictures(seed)
    layers = vit_attention(net, x)
    ours = attention_rollout(net, x, head_fusion=head_fusion, size=None)
    for row in range(2):
        total = torch.eye(17)
        for layer in layers:
            heads = layer[row]
            fused = {"mean": heads.mean(0), "max": heads.max(0).values, "min": heads.min(0).values}[head_fusion]
            mixed = 0.5 * fused + 0.5 * torch.eye(17)
            total = (mixed / mixed.sum(1)[:, None]) @ total
        torch.testing.assert_close(ours[row], total[0, 1:].view(4, 4))
    assert (ours >= 0).all() and (ours.sum((1, 2)) < 1).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_of_the_rollout_sum_to_one(seed):
    layers = torch.rand(3, 2, 9, 9, generator=torch.Generator().manual_seed(seed)).unbind(0)
    torch.testing.assert_close(rollout(list(layers)).sum(-1), torch.ones(2, 9))


def test_identity_attention_keeps_the_identity():
    identity = torch.eye(9).expand(2, -1, -1)
    assert torch.equal(rollout([identity] * 4), identity)
    net = HandWritten(fixed=torch.eye(17)).eval()
    assert not attention_rollout(net, pictures(0)).any(), "a class token that only sees itself holds no patch"
    without = HandWritten(prefix=0, fixed=torch.eye(16)).eval()
    torch.testing.assert_close(attention_rollout(without, pictures(0)), torch.full((2, 32, 32), 1 / 16))


@pytest.mark.parametrize("prefix", [0, 1, 4])
def test_uniform_attention_gives_a_uniform_map(prefix):
    tokens = 16 + prefix
    net = HandWritten(prefix=prefix, fixed=torch.full((tokens, tokens), 1 / tokens)).eval()
    maps = attention_rollout(net, pictures(0))
    per_patch = 1 / 16 if prefix == 0 else (1 - 0.5**3) / tokens  # half of itself stays with the class token thrice
    torch.testing.assert_close(maps, torch.full((2, 32, 32), per_patch))


@pytest.mark.parametrize("prefix", [0, 1])
@pytest.mark.parametrize("patch", [0, 5, 11, 23])
def test_a_token_that_all_look_at_is_found_where_it_is(prefix, patch):
    """Four rows of six patches, so that rows and columns cannot be taken for each other."""
    fixed = torch.full((24 + prefix, 24 + prefix), 0.01)
    fixed[:, patch + prefix] = 1
    net = HandWritten(prefix=prefix, fixed=fixed / fixed.sum(1, keepdim=True)).eval()
    x = pictures(0, height=32, width=48)
    grid = attention_rollout(net, x, size=None)
    assert grid.shape == (2, 4, 6) and (grid.flatten(1).argmax(1) == patch).all()
    maps = attention_rollout(net, x)
    row, column = divmod(patch, 6)
    assert maps.shape == (2, 32, 48)
    assert (maps[:, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8].amax((1, 2)) == maps.amax((1, 2))).all()
    torch.testing.assert_close(maps, upsample(grid, (32, 48)))
    torch.testing.assert_close(attention_rollout(net, x, size=(8, 12)), upsample(grid, (8, 12)))


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
def test_discard_ratio_drops_the_smallest_weights_of_each_image(ratio):
    net, x = torchvision_vit(0), pictures(0)
    ours = attention_rollout(net, x, discard_ratio=ratio, size=None)
    layers = []
    for layer in vit_attention(net, x):
        fused = layer.mean(1)
        for image in fused:
            dropped = sorted(image.flatten().tolist())[: int(ratio * 289)]
            image[image <= dropped[-1]] = 0
            assert (image == 0).sum() == len(dropped)
        layers.append(fused)
    torch.testing.assert_close(ours, rollout(layers)[:, 0, 1:].view(2, 4, 4))
    assert not torch.allclose(ours, attention_rollout(net, x, size=None))


def test_rollout_is_the_same_for_every_class():
    net, x = torchvision_vit(0), pictures(0)
    before = attention_rollout(net, x)
    with torch.no_grad():
        net.heads.head.weight.normal_()
    assert torch.equal(attention_rollout(net, x), before)
    assert "target" not in inspect.signature(attention_rollout).parameters


def test_rollout_of_an_image_does_not_depend_on_its_batch():
    net, x = torchvision_vit(1), pictures(1, batch=3)
    together = attention_rollout(net, x, discard_ratio=0.3)
    for row in range(3):
        torch.testing.assert_close(attention_rollout(net, x[row : row + 1], discard_ratio=0.3)[0], together[row])


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_of_the_callers_is_touched(fails):
    net, x = torchvision_vit(0), pictures(0).requires_grad_()
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    pixels, rng, plain = x.detach().clone(), torch.get_rng_state(), net(x)

    def fail(*_: object) -> None:
        raise RuntimeError("out of order")

    if fails:
        handle = net.heads.register_forward_hook(fail)
        with pytest.raises(RuntimeError, match="out of order"):
            attention_rollout(net, x)
        handle.remove()
    else:
        attention_rollout(net, x)
    assert torch._C._len_torch_function_stack() == 0 and torch.is_grad_enabled()
    assert torch.equal(rng, torch.get_rng_state()) and torch.equal(x.detach(), pixels) and x.grad is None
    assert all((p.grad == 3).all() and p.requires_grad for p in net.parameters()) and not net.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert torch.equal(net(x), plain)
    with torch.inference_mode():
        assert attention_rollout(net, x * 1).shape == (2, 32, 32)


@pytest.mark.filterwarnings("ignore")
def test_errors():
    vit, x = torchvision_vit(0), pictures(0)
    conv = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3600, 2)).eval()
    with pytest.raises(ValueError, match="no self-attention ran in this model"):
        attention_rollout(conv, x)
    windows = torchvision.models.SwinTransformer([4, 4], 12, [2], [2], [4, 4], num_classes=3).eval()
    with pytest.raises(ValueError, match=r"attention of shape \(8, 2, 16, 16\) for 2 images: it stays within windows"):
        attention_rollout(windows, x)
    with pytest.raises(ValueError, match=r"dropout is active: call model\.eval\(\)"):
        vit_attention(torchvision_vit(0, dropout=0.2).train(), x)
    with pytest.raises(ValueError, match="is TorchScript"):
        attention_rollout(torch.jit.trace(vit, x, check_trace=False), x)
    with pytest.raises(ValueError, match=r"torch\.compile"):
        attention_rollout(torch.compile(vit, backend="eager"), x)
    for options, message in (
        ({"head_fusion": "sum"}, "head_fusion must be one of mean, max, min, not 'sum'"),
        ({"discard_ratio": 1.0}, "discard_ratio must be at least 0 and below 1"),
        ({"discard_ratio": -0.1}, "discard_ratio"),
    ):
        with pytest.raises(ValueError, match=message):
            attention_rollout(vit, x, **options)
    with pytest.raises(ValueError, match="add the batch axis"):
        attention_rollout(vit, x[0])

    class Shrinking(HandWritten):
        def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            super().attend(q[:, :, ::2], k[:, :, ::2], v[:, :, ::2])
            return super().attend(q, k, v)

    with pytest.raises(ValueError, match=r"number of tokens changes between layers, \[9, 17\]"):
        attention_rollout(Shrinking().eval(), x)


# --- Grad-CAM on tokens -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_grad_cam_on_tokens_needs_no_reshape_from_the_user(seed):
    net, x = torchvision_vit(seed), pictures(seed)
    assert default_layer(net, x) == "encoder.layers.encoder_layer_2.ln_1"
    targets = torch.tensor([[1, 4], [0, 2]])
    for name in (
        "encoder.layers.encoder_layer_2.ln_1",
        "encoder.layers.encoder_layer_1",
        "encoder.layers.encoder_layer_0",
    ):
        kept: list[Tensor] = []
        handle = net.get_submodule(name).register_forward_hook(lambda m, a, out, kept=kept: kept.append(out))
        output = net(x)
        handle.remove()
        ours = grad_cam(net, x, targets, None if name.endswith("ln_1") else name)
        assert ours.shape == (2, 2, 4, 4)
        for row in range(2):
            for t in range(2):
                (gradient,) = torch.autograd.grad(output[row, targets[row, t]], kept[0], retain_graph=True)
                alpha = gradient[row, 1:].mean(0)  # over the 16 patches; the class token is no place
                expected = (kept[0][row, 1:] @ alpha).relu().view(4, 4)
                torch.testing.assert_close(ours[row, t], expected.detach(), atol=1e-6, rtol=1e-4)
    assert grad_cam(net, x, 1, size="images").shape == (2, 32, 32)


def test_grad_cam_after_the_last_attention_says_why_it_cannot_work():
    net, x = torchvision_vit(0), pictures(0)
    for name in ("encoder.layers.encoder_layer_2", "encoder.ln", "encoder.layers.encoder_layer_2.ln_2"):
        with pytest.raises(ValueError, match="only the class token reaches the classifier"):
            grad_cam(net, x, 1, name)
