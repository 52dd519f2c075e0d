"""Randomisation leaves the caller's model alone and changes what it names; similarity measures on known maps."""

from __future__ import annotations

import math

import pytest
import torch
import torchvision
from scipy import stats
from torch import nn

from lessons_lib.evidence import (
    cascading_randomisation,
    centre_gaussian,
    independent_randomisation,
    layers_top_down,
    map_similarity,
    permute_labels,
    randomise,
)

SEEDS = (0, 1, 2)


class Net(nn.Module):
    """Attributes in another order than execution, a block, a BatchNorm, a parameter of its own, an unused layer."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.head = nn.Linear(6, 4)
        self.unused = nn.Linear(3, 3)
        self.block = nn.Sequential(nn.Conv2d(5, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
        self.stem = nn.Conv2d(3, 5, 3)
        self.shift = nn.Parameter(torch.randn(3, 1, 1) + 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.block(self.stem(x + self.shift)).mean((2, 3)))


def trained(seed: int = 0) -> Net:
    """A net whose every parameter and statistic is far from a fresh one."""
    net = Net(seed).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.rand_like(parameter) + 1)
        net.block[1].running_mean.normal_()
        net.block[1].running_var.uniform_(0.5, 2)
        net.block[1].num_batches_tracked.fill_(77)
    return net


def sample(size: int = 10) -> torch.Tensor:
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))


def changed(one: nn.Module, other: nn.Module) -> set[str]:
    """Names of the parameters and buffers that differ."""
    second = other.state_dict()
    return {name for name, value in one.state_dict().items() if not torch.equal(value, second[name])}


ORDER = ["head", "block.1", "block.0", "stem", ""]
HEAD = {"head.weight", "head.bias"}
BATCHNORM = {f"block.1.{n}" for n in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}


# --- the order of the layers


def test_layers_come_in_the_order_of_execution_and_without_unused_ones():
    assert layers_top_down(trained(), sample()) == ORDER


def test_the_order_of_a_residual_network():
    names = layers_top_down(torchvision.models.resnet18(num_classes=7), sample(32))
    assert names[0] == "fc" and names[-1] == "conv1" and names[-2] == "bn1"
    assert names[1:4] == ["layer4.1.bn2", "layer4.1.conv2", "layer4.1.bn1"]
    assert len(names) == len(set(names)) == 41  # 20 convolutions, 20 BatchNorms, 1 linear layer


def test_a_transformers_attention_is_found_although_its_projection_is_never_called():
    torch.manual_seed(0)
    net = torchvision.models.VisionTransformer(16, 8, 2, 2, 8, 16, num_classes=3)
    names = layers_top_down(net, sample(16))
    assert names[:2] == ["heads.head", "encoder.ln"]
    first = "encoder.layers.encoder_layer_0"
    tail = names[names.index(f"{first}.ln_2") :]
    assert tail == [f"{first}.ln_2", f"{first}.self_attention.out_proj", f"{first}.self_attention",
                    f"{first}.ln_1", "encoder", "conv_proj", ""]  # fmt: skip


def test_a_layer_called_twice_counts_by_its_last_call():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.a(self.b(self.a(x)))

    assert layers_top_down(Twice(), torch.ones(1, 4)) == ["a", "b"]


def test_outputs_in_dictionaries_and_frozen_or_training_models():
    class Dictionary(Net):
        def forward(self, x: torch.Tensor) -> dict:
            return {"logits": super().forward(x), "ids": (torch.arange(3), None)}

    net = Dictionary().train().requires_grad_(False)
    before, state = {k: v.clone() for k, v in net.state_dict().items()}, torch.get_rng_state()
    with torch.inference_mode():
        assert layers_top_down(net, sample()) == ORDER
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert net.training and not any(p.requires_grad for p in net.parameters())
    assert not any(m._forward_pre_hooks for m in net.modules())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_model_without_a_differentiable_output_is_refused():
    class Hard(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).argmax(1)

    for model in (Hard(), nn.ReLU()):
        with pytest.raises(ValueError, match="differentiable"):
            layers_top_down(model, sample())


# --- randomise


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("head", HEAD),
        (["block.1"], BATCHNORM),
        (["stem", "head"], HEAD | {"stem.weight", "stem.bias"}),
        ("block", BATCHNORM | {"block.0.weight", "block.0.bias"}),
        ("", {"shift"}),
        ([], set()),
    ],
    ids=["one", "batchnorm", "two", "block", "own-parameter", "none"],
)
def test_only_the_named_layers_change_and_the_original_does_not(names, expected):
    net = trained()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    copy = randomise(net, names, seed=0)
    assert changed(net, copy) == expected
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not {p.data_ptr() for p in net.parameters()} & {p.data_ptr() for p in copy.parameters()}
    assert not copy.training


def test_a_randomised_batchnorm_is_a_fresh_one():
    fresh = nn.BatchNorm2d(6).state_dict()
    copy = randomise(trained(), "block.1", seed=0).block[1].state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in copy.items())


@pytest.mark.parametrize("seed", SEEDS)
def test_weights_have_the_distribution_of_a_fresh_layer(seed):
    net = nn.Sequential(nn.Linear(400, 300)).eval()
    with torch.no_grad():
        net[0].weight.fill_(9.0)
    weight = randomise(net, "0", seed=seed)[0].weight
    bound = 1 / math.sqrt(400)  # nn.Linear's default: uniform in +-1/sqrt(inputs)
    assert float(weight.detach().abs().max()) <= bound
    assert float(weight.detach().std()) == pytest.approx(bound / math.sqrt(3), rel=0.02)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_parameter_of_ones_own_keeps_its_mean_and_spread(seed):
    class Token(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.scale = nn.Parameter(torch.randn(20000) * 3 + 5), nn.Parameter(torch.full((4,), 0.1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.scale.sum() + self.token.sum()

    net = Token()
    copy = randomise(net, "", seed=seed)
    assert float(copy.token.detach().mean()) == pytest.approx(float(net.token.detach().mean()), abs=0.1)
    assert float(copy.token.detach().std()) == pytest.approx(float(net.token.detach().std()), rel=0.03)
    assert abs(torch.corrcoef(torch.stack([copy.token, net.token]).detach())[0, 1]) < 0.05
    assert torch.equal(copy.scale, net.scale)  # no spread to draw from


def test_a_weight_that_reset_parameters_does_not_reach_is_drawn_all_the_same():
    torch.manual_seed(0)
    net = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(5, 4)))
    names = layers_top_down(net, torch.rand(2, 5))
    assert "0.parametrizations.weight" in names
    copy = randomise(net, names, seed=0)
    assert not torch.equal(net[0].weight, copy[0].weight)


def test_a_reset_that_reaches_into_its_children_is_kept_to_its_own_parameters():
    class Greedy(Net):
        def reset_parameters(self) -> None:
            for module in self.children():
                for part in module.modules():
                    if hasattr(part, "reset_parameters"):
                        part.reset_parameters()
            nn.init.zeros_(self.shift)

    net = Greedy().eval()
    with torch.no_grad():
        net.block[1].running_mean.fill_(3.0)
    assert changed(net, randomise(net, "", seed=0)) == {"shift"}


def test_seeds_decide_and_the_global_state_is_left_alone():
    net = trained()
    torch.manual_seed(123)
    expected = torch.rand(3)
    torch.manual_seed(123)
    first, again, other = (randomise(net, ORDER, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert not changed(first, again)
    assert changed(first, other) >= {"head.weight", "stem.weight", "block.0.weight", "shift"}
    assert changed(first, randomise(net, list(reversed(ORDER)), seed=0)) == set()


def test_layers_of_one_shape_get_different_weights():
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    copy = randomise(net, ["0", "1"], seed=0)
    assert not torch.equal(copy[0].weight, copy[1].weight)


def test_half_precision_frozen_layers_and_inference_mode():
    net = trained().half().requires_grad_(False)
    with torch.inference_mode():
        copy = randomise(net, ORDER, seed=0)
    assert all(p.dtype == torch.float16 and not p.requires_grad for p in copy.parameters())
    assert not any(p.is_inference() for p in copy.parameters())
    assert changed(net, copy) >= {"head.weight", "shift"}


def test_unknown_names_and_layers_without_parameters_are_named():
    with pytest.raises(ValueError, match="heed"):
        randomise(trained(), "heed", seed=0)
    with pytest.raises(ValueError, match="ReLU without parameters"):
        randomise(trained(), "block.2", seed=0)
    with pytest.raises(TypeError, match="int"):
        randomise(trained(), [3], seed=0)


# --- cascades


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cascade_goes_down_layer_by_layer(seed):
    net = trained()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    seen, previous = [], net
    for name, copy in cascading_randomisation(net, sample(), seed=seed):
        own = {f"{name}.{key}".strip(".") for key, _ in net.get_submodule(name).named_parameters(recurse=False)}
        step = changed(previous, copy)
        assert own <= step and step - own <= BATCHNORM  # this layer and nothing else since the last copy
        seen.append(name)
        previous = copy
    assert seen == ORDER
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_independent_randomisation_changes_one_layer_with_the_cascades_draws():
    net = trained()
    cascade = dict(cascading_randomisation(net, sample(), seed=3))
    for name, copy in independent_randomisation(net, sample(), seed=3):
        own = {f"{name}.{key}".strip(".") for key, _ in net.get_submodule(name).named_parameters(recurse=False)}
        assert own <= changed(net, copy) <= own | BATCHNORM
        for key in own:
            assert torch.equal(copy.get_parameter(key), cascade[name].get_parameter(key))


def test_stages_group_layers_or_name_them():
    net = trained()
    grouped = list(cascading_randomisation(net, sample(), seed=0, stages=2))
    assert [name for name, _ in grouped] == ["block.1", ""]
    assert changed(net, grouped[0][1]) == HEAD | BATCHNORM
    named = list(cascading_randomisation(net, sample(), seed=0, stages=["head", "block"]))
    assert [name for name, _ in named] == ["head", "block"]
    assert changed(net, named[1][1]) == HEAD | BATCHNORM | {"block.0.weight", "block.0.bias"}
    for bad in (0, 6):
        with pytest.raises(ValueError, match="5 layers"):
            next(cascading_randomisation(net, sample(), seed=0, stages=bad))
    with pytest.raises(TypeError, match="list of names"):
        next(independent_randomisation(net, sample(), seed=0, stages="head"))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_gradient_passes_the_check_and_a_map_of_the_input_fails_it(seed):
    """End to end: the gradient depends on the head, the edges of the input do not."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 14 * 14, 3)).eval()
    images = sample(16)

    def gradient(model: nn.Module) -> torch.Tensor:
        inputs = images.clone().requires_grad_()
        return torch.autograd.grad(model(inputs)[:, 0].sum(), inputs)[0].sum(1)

    def edges(model: nn.Module) -> torch.Tensor:
        assert model(images).shape == (2, 3)
        return torch.nn.functional.pad(images.mean(1).diff(dim=2).abs(), (0, 1))

    name, copy = next(cascading_randomisation(net, images, seed=seed))
    assert name == "3"
    assert map_similarity(gradient(net), gradient(copy))["spearman"].abs().max() < 0.4
    assert map_similarity(edges(net), edges(copy))["spearman"].min() > 0.999


# --- similarity


def noise(seed: int, size: tuple[int, int] = (24, 30)) -> torch.Tensor:
    return torch.randn(3, *size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(7, 7), (14, 14), (24, 30), (64, 40)])
def test_a_map_is_like_itself_and_like_its_multiples(size):
    maps = noise(0, size)
    for other in (maps, maps * 1e-4, maps * 50):
        for name, values in map_similarity(maps, other).items():
            assert values.shape == (3,) and torch.allclose(values, torch.ones(3), atol=1e-4), name


@pytest.mark.parametrize("seed", SEEDS)
def test_unrelated_maps_are_unlike(seed):
    similarity = map_similarity(noise(seed), noise(seed + 10))
    assert set(similarity) == {"spearman", "spearman_abs", "ssim", "hog"}
    for name, values in similarity.items():
        assert float(values.mean().abs()) < 0.25, name


def test_the_sign_counts_in_one_rank_correlation_and_not_in_the_other():
    maps = noise(4)
    similarity = map_similarity(maps, -maps)
    assert torch.allclose(similarity["spearman"], -torch.ones(3))
    assert torch.allclose(similarity["spearman_abs"], torch.ones(3))
    assert float(similarity["ssim"].max()) < -0.5


def test_ranks_agree_with_scipy():
    a, b = noise(1), noise(1) + noise(2)
    similarity = map_similarity(a, b)
    for i in range(3):
        x, y = a[i].flatten(), b[i].flatten()
        assert float(similarity["spearman"][i]) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-5)
        expected = stats.spearmanr(x.abs(), y.abs()).statistic
        assert float(similarity["spearman_abs"][i]) == pytest.approx(expected, abs=1e-5)


def test_similarity_falls_with_noise():
    smooth = torch.nn.functional.avg_pool2d(noise(0, (40, 40)), 9, stride=1)
    levels = [map_similarity(smooth, smooth + amount * noise(5, (32, 32))) for amount in (0.0, 0.05, 0.5)]
    for name in levels[0]:
        first, second, third = (float(level[name].mean()) for level in levels)
        assert first > second > third, name


def test_all_zero_maps_give_numbers():
    similarity = map_similarity(torch.zeros(3, 24, 30), noise(0))
    assert similarity["spearman"].tolist() == similarity["hog"].tolist() == [0, 0, 0]
    assert all(torch.isfinite(values).all() for values in similarity.values())


def test_similarity_errors():
    with pytest.raises(ValueError, match="one shape"):
        map_similarity(noise(0), noise(0)[:, :20])
    with pytest.raises(ValueError, match="7 x 7"):
        map_similarity(noise(0, (6, 9)), noise(0, (6, 9)))
    with pytest.raises(ValueError, match="NaN"):
        map_similarity(noise(0), noise(0) * math.nan)


# --- labels


@pytest.mark.parametrize("seed", SEEDS)
def test_permuted_labels_keep_their_frequencies_and_lose_their_order(seed):
    labels = torch.arange(5).repeat(200)
    permuted = permute_labels(labels, seed)
    assert torch.equal(permuted.bincount(), labels.bincount())
    assert float((permuted == labels).float().mean()) == pytest.approx(0.2, abs=0.05)
    assert torch.equal(permuted, permute_labels(labels, seed))
    assert not torch.equal(permuted, permute_labels(labels, seed + 1))
    with pytest.raises(ValueError, match=r"\(N,\)"):
        permute_labels(labels[None], seed)


def test_the_blob_is_highest_in_the_middle_and_falls_as_a_gaussian():
    blob = centre_gaussian(5, 9, spread=0.25)
    assert blob.shape == (5, 9) and blob.argmax() == 2 * 9 + 4 and blob[2, 4] == 1
    assert blob[2, 5] == pytest.approx(math.exp(-((1 / 9) ** 2) / (2 * 0.25**2)))
    torch.testing.assert_close(blob, blob.flip(0, 1))
    with pytest.raises(ValueError, match="positive"):
        centre_gaussian(4, 4, spread=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_same_on_a_gpu():
    net = trained()
    on_cpu = randomise(net, ORDER, seed=0)
    on_gpu = randomise(net.cuda(), ORDER, seed=0)
    assert all(p.is_cuda for p in on_gpu.parameters())
    assert not changed(on_cpu, on_gpu.cpu())
    for name, values in map_similarity(noise(0).cuda(), noise(1).cuda()).items():
        assert torch.allclose(values.cpu(), map_similarity(noise(0), noise(1))[name], atol=1e-5)
