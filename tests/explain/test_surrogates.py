"""LIME and SHAP: exact recovery, the Shapley axioms, agreement with lime, shap and captum, and the caller's state."""

from __future__ import annotations

import numpy as np
import pytest
import shap
import torch
from captum.attr import KernelShap, ShapleyValues
from lime.lime_base import LimeBase
from lime.lime_image import LimeImageExplainer
from sklearn.linear_model import Ridge
from torch import nn

from lessons_lib.explain.perturbation import ask
from lessons_lib.explain.segments import segment_counts, segment_means, segments_to_map, superpixels
from lessons_lib.explain.surrogates import (
    kernel_shap,
    kernel_shap_values,
    lime,
    lime_samples,
    shap_coalitions,
    shapley,
    weighted_ridge,
)

SEEDS = [0, 1, 2]
METHODS = {"lime": lime, "kernel_shap": kernel_shap}


class Small(nn.Module):
    """A small network with BatchNorm; counts its calls and the images they carried."""

    def __init__(self, seed=0, classes=4):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.body = nn.Sequential(
                nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Tanh(), nn.AvgPool2d(4), nn.Flatten(),
                nn.Linear(8 * 3 * 4, 16), nn.Tanh(), nn.Linear(16, classes),
            )  # fmt: skip
            for layer in (self.body[5], self.body[7]):
                nn.init.normal_(layer.weight, std=0.7)
        self.sizes = []
        self.eval()

    def forward(self, images):
        self.sizes.append(len(images))
        return self.body(images)


class Linear(nn.Module):
    """Logits linear in the pixels."""

    def __init__(self, seed=0, classes=3):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, 3, 12, 16, generator=torch.Generator().manual_seed(seed)))

    def forward(self, images):
        return torch.einsum("bchw,kchw->bk", images, self.weight) + 0.5


def pictures(batch=2, seed=0):
    return torch.rand(batch, 3, 12, 16, generator=torch.Generator().manual_seed(seed))


def uneven(images, count=8, seed=0):
    """Segments of unequal shapes and sizes, all `count` of them in every image: nearest of random points.

    Not superpixels: slic merges noise into one piece, and one coefficient would prove nothing.
    """
    draw = torch.Generator().manual_seed(seed)
    height, width = images.shape[-2:]
    places = torch.cartesian_prod(torch.arange(height), torch.arange(width))
    rows = []
    for _ in images:
        points = places[torch.randperm(len(places), generator=draw)[:count]]
        rows.append(torch.cdist(places.double(), points.double()).argmin(1).reshape(height, width))
    segments = torch.stack(rows)
    assert segment_counts(segments).tolist() == [count] * len(images)
    return segments


def grid(images, count=6):
    return superpixels(images, kind="grid", count=count)


def random_game(players, seed, columns=None):
    """A set function with one random value a coalition, looked up by its bits."""
    draw = np.random.default_rng(seed)
    table = torch.from_numpy(draw.normal(size=(2**players, columns) if columns else 2**players))
    return lambda rows: table[(torch.as_tensor(rows).long() * 2 ** torch.arange(players)).sum(-1)]


# LIME


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fill", ["segment_mean", 0.5])
def test_lime_recovers_a_score_that_is_linear_in_the_superpixels(seed, fill):
    """For f = w x + b, switching segment m on adds exactly sum over m of w (x - fill)."""
    images, model = pictures(seed=seed).double(), Linear(seed).double()
    segments = uneven(images, 8, seed)
    off = segments_to_map(segment_means(images, segments), segments) if fill == "segment_mean" else 0.5
    gain = (model.weight[2].detach() * (images - off)).sum(1)
    expected = segment_means(gain[:, None], segments)[:, 0]
    for b in range(2):  # the mean over a segment, times its size
        expected[b] *= torch.bincount(segments[b].flatten(), minlength=expected.shape[1])
    maps, details = lime(
        model, images, 2, segments=segments, samples=60, alpha=0.0, fill=fill, score="logit", return_details=True
    )
    assert torch.allclose(details.values, expected, atol=1e-8)
    assert torch.allclose(maps, segments_to_map(expected, segments), atol=1e-8)
    assert torch.allclose(details.fit, torch.ones(2).double()) and torch.allclose(
        details.intercept + details.values.sum(1), model(images)[:, 2].detach()
    )
    small = lime(model, images, 2, segments=segments, samples=60, alpha=1e-7, fill=fill, score="logit")
    assert torch.allclose(small, maps, atol=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_lime_regression_is_that_of_the_lime_package(seed):
    """The package's LimeBase, fed with our samples and scores: coefficients, intercept and R^2."""
    images, model = pictures(seed=seed), Small(seed)
    _, details = lime(model, images, segments=grid(images, 12), samples=150, seed=seed, return_details=True)
    base = LimeBase(lambda d: np.sqrt(np.exp(-(d**2) / 0.25**2)))
    for b in range(2):
        rows = details.coalitions[b].double().numpy()
        norms = np.linalg.norm(rows, axis=1)
        distances = 1 - rows.sum(1) / np.where(norms > 0, norms * np.sqrt(rows.shape[1]), 1)
        scores = details.scores[b].double().numpy()[:, None]
        intercept, pairs, fit, _ = base.explain_instance_with_data(rows, scores, distances, 0, 100_000)
        expected = torch.tensor([weight for _, weight in sorted(pairs)])
        assert torch.allclose(details.values[b], expected, atol=1e-9)
        assert abs(details.intercept[b] - intercept) < 1e-9 and abs(details.fit[b] - fit) < 1e-9


class OurDraws(np.random.RandomState):
    """Hands the lime package our own samples when it asks for them."""

    def __init__(self, rows):
        super().__init__(0)
        self.rows = rows

    def randint(self, low, high=None, size=None, dtype=int):
        return self.rows.long().numpy().ravel() if size == self.rows.numel() else super().randint(low, high, size)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fill", ["segment_mean", 0.3])
def test_lime_is_the_lime_package_from_end_to_end(seed, fill):
    images, model = pictures(1, seed).double(), Small(seed).double()
    segments = uneven(images, 10, seed)
    maps, details = lime(model, images, 1, segments=segments, samples=80, fill=fill, seed=seed, return_details=True)

    def classify(batch):
        with torch.no_grad():
            return model(torch.from_numpy(batch).permute(0, 3, 1, 2)).softmax(1).numpy()

    theirs = LimeImageExplainer(random_state=OurDraws(details.coalitions[0])).explain_instance(
        images[0].permute(1, 2, 0).numpy(), classify, labels=(1,), top_labels=None, num_samples=80,
        hide_color=None if fill == "segment_mean" else fill, segmentation_fn=lambda _: segments[0].numpy(),
    )  # fmt: skip
    expected = torch.tensor([weight for _, weight in sorted(theirs.local_exp[1])])
    assert len(expected) == 10 and expected.std() > 1e-4  # ten coefficients that differ
    assert torch.allclose(details.values[0], expected, rtol=0, atol=1e-10)
    assert torch.allclose(maps, segments_to_map(expected[None], segments), rtol=0, atol=1e-10)


def test_ridge_is_that_of_scikit_learn():
    draw = np.random.default_rng(0)
    rows, weights, scores = draw.random((40, 7)) < 0.5, draw.random(40), draw.normal(size=(40, 2))
    for alpha in (0.01, 1.0, 30.0):
        expected = Ridge(alpha=alpha).fit(rows, scores, sample_weight=weights)
        values, intercepts = weighted_ridge(*map(torch.from_numpy, (rows, weights, scores)), alpha)
        assert np.allclose(values, expected.coef_) and np.allclose(intercepts, expected.intercept_)


@pytest.mark.parametrize("seed", SEEDS)
def test_lime_samples_half_on_and_the_first_all_on(seed):
    rows, weights = lime_samples(40, 2000, seed)
    assert rows[0].all() and weights[0] == 1 and weights.min() >= 0 and (weights[1:] < 1).all()
    assert abs(rows[1:].double().mean() - 0.5) < 0.01
    more = rows.sum(1).argsort()
    assert (weights[more].diff() >= 0).all()  # nearer to the image, more weight


@pytest.mark.parametrize("score", ["probability", "logit"])
def test_limes_first_sample_is_the_image_itself(score):
    images, model = pictures(), Small()
    _, details = lime(model, images, 1, segments=grid(images), samples=20, score=score, return_details=True)
    expected = model(images).detach()
    expected = (expected.softmax(1) if score == "probability" else expected)[:, 1]
    first = torch.stack([scores[0] for scores in details.scores])
    assert torch.allclose(first, expected, atol=1e-6) and torch.allclose(details.clean, expected, atol=1e-6)


def test_lime_varies_with_the_seed_less_with_more_samples():
    images, model = pictures(1), Small()
    segments = grid(images, 12)

    def spread(samples):
        maps = [lime(model, images, 1, segments=segments, samples=samples, seed=seed)[0] for seed in range(8)]
        return torch.stack(maps).std(0).mean().item()

    few, many = spread(60), spread(600)
    assert 0 < many < 0.7 * few


def test_defaults_are_segment_mean_for_lime_and_grey_for_shap():
    images, model = pictures(), Small()
    options = {"segments": grid(images), "samples": 20}
    for method, fill, score in ((lime, "segment_mean", "probability"), (kernel_shap, 0.5, "logit")):
        maps = method(model, images, 1, **options)
        assert torch.equal(maps, method(model, images, 1, fill=fill, score=score, **options))
        assert not torch.allclose(maps, method(model, images, 1, fill="mean", score=score, **options), atol=1e-3)


def test_lime_default_superpixels():
    large, small = torch.rand(1, 3, 8, 8), pictures()
    large = nn.functional.interpolate(large, size=(128, 130), mode="bilinear")
    model = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
    details = lime(model, large, 0, samples=3, seed=4, return_details=True)[1]
    assert torch.equal(details.segments, superpixels(large, kind="quickshift", seed=4))
    for images in (small, large[..., :127, :]):  # too small for quickshift
        details = lime(model, images, 0, samples=3, return_details=True)[1]
        assert torch.equal(details.segments, superpixels(images, kind="slic", count=50))
    tiny = kernel_shap(model, torch.rand(1, 3, 5, 5), 0, samples=20)  # fewer pixels than superpixels asked for
    assert tiny.shape == (1, 5, 5)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("side", [32, 130])
def test_a_noisy_image_is_cut_into_a_grid_rather_than_left_whole(name, side):
    """slic makes one piece of it, and a map of one segment would be constant."""
    noise = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    assert segment_counts(superpixels(noise, kind="slic")).item() == 1
    model = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
    smooth = nn.functional.interpolate(noise[..., :6, :6], size=(side, side), mode="bilinear")
    images = torch.cat([noise, smooth])
    maps, details = METHODS[name](model, images, 0, samples=60, return_details=True)
    assert (segment_counts(details.segments) >= 5).all() and (maps.flatten(1).std(1) > 0).all()
    kind = "quickshift" if name == "lime" and side >= 128 else "slic"
    for image, found in zip(images, details.segments):
        own = superpixels(image[None], kind=kind)[0]
        few = own.max() < 4
        assert torch.equal(found, superpixels(image[None], kind="grid")[0] if few else own)


# Shapley values


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("players", [1, 2, 3, 6, 9])
def test_kernel_shap_on_all_coalitions_is_exact(players, seed):
    value = random_game(players, seed)
    assert torch.allclose(kernel_shap_values(value, players), shapley(value, players), atol=1e-10)
    several = random_game(players, seed, columns=3)
    expected = torch.stack([shapley(lambda rows, t=t: several(rows)[:, t], players) for t in range(3)])
    assert torch.allclose(shapley(several, players), expected, atol=1e-12)
    assert torch.allclose(kernel_shap_values(several, players), expected, atol=1e-10)


def test_shapley_by_hand():
    """The glove game: player 0 has a left glove, 1 and 2 a right one each; a pair is worth 1."""
    value = lambda rows: (rows[:, 0] & (rows[:, 1] | rows[:, 2])).double()  # noqa: E731
    assert torch.allclose(shapley(value, 3), torch.tensor([4 / 6, 1 / 6, 1 / 6]).double())


@pytest.mark.parametrize("method", ["exact", "enumerated", "sampled"])
@pytest.mark.parametrize("seed", SEEDS)
def test_axioms(method, seed):
    """Efficiency, symmetry, dummy and additivity; samples meet symmetry and dummy only in the limit."""
    players = 8
    find = {
        "exact": lambda value: shapley(value, players),
        "enumerated": lambda value: kernel_shap_values(value, players, 256),
        "sampled": lambda value: kernel_shap_values(value, players, 100, seed),
    }[method]
    one, two = random_game(players, seed), random_game(players, seed + 100)
    ends = torch.tensor([[False] * players, [True] * players])
    for value in (one, two):
        none, full = value(ends)
        assert abs(find(value).sum() - (full - none)) < 1e-9  # efficiency
    both = find(lambda rows: 2 * one(rows) - 3 * two(rows))
    assert torch.allclose(both, 2 * find(one) - 3 * find(two), atol=1e-9)  # additivity, linearity
    if method == "sampled":
        return
    swapped = [1, 0, *range(2, players)]
    symmetric = find(lambda rows: one(rows) + one(rows[:, swapped]))
    assert abs(symmetric[0] - symmetric[1]) < 1e-9
    dummy = find(lambda rows: one(torch.cat([rows[:, :5], torch.zeros_like(rows[:, 5:6]), rows[:, 6:]], 1)))
    assert abs(dummy[5]) < 1e-9 and (dummy[:5].abs() > 1e-6).all()


@pytest.mark.parametrize("players", [4, 12, 40])
@pytest.mark.parametrize("seed", SEEDS)
def test_additive_games_are_solved_exactly(players, seed):
    """v(S) = c + sum of w: phi = w; samples that determine the fit find it, too."""
    weights = torch.from_numpy(np.random.default_rng(seed).normal(size=players))
    value = lambda rows: 3 + rows.double() @ weights  # noqa: E731
    assert torch.allclose(kernel_shap_values(value, players, 300, seed), weights, atol=1e-9)
    if players <= 12:
        assert torch.allclose(shapley(value, players), weights, atol=1e-9)


def test_too_few_samples_still_add_up_and_stay_finite():
    value = lambda rows: rows[:, 0].double() + 2.0  # noqa: E731
    for samples in (4, 5, 11):
        values = kernel_shap_values(value, 60, samples)
        assert torch.isfinite(values).all() and abs(values.sum() - 1) < 1e-9


def test_samples_converge_to_the_exact_values():
    value, players = random_game(11, 5), 11
    exact = shapley(value, players)

    def error(samples):
        draws = torch.stack([kernel_shap_values(value, players, samples, seed) for seed in range(10)])
        return (draws - exact).square().mean().sqrt().item()

    few, more, most = error(60), error(400), error(2000)
    assert most < 0.6 * more < 0.6 * 0.6 * few


@pytest.mark.parametrize("seed", SEEDS)
def test_coalitions_are_paired_and_sized_by_the_kernel(seed):
    players, samples = 20, 20_000
    rows, weights = shap_coalitions(players, samples, seed)
    assert not rows[0].any() and rows[1].all() and weights[:2].tolist() == [0, 0]
    assert len(rows) <= samples and weights.sum() == samples - 2
    assert len(torch.unique(rows, dim=0)) == len(rows)
    table = {tuple(row): weight for row, weight in zip(rows.int().tolist(), weights.tolist())}
    assert all(table[tuple(1 - bit for bit in row)] == weight for row, weight in table.items())
    sizes = torch.arange(1, players)
    expected = 1 / (sizes * (players - sizes)).double()
    expected = expected / expected.sum()
    share = torch.bincount(rows.sum(1), weights=weights, minlength=players + 1)[1:-1] / weights.sum()
    assert (share - expected).abs().max() < 5 * (expected.max() / samples * 2).sqrt()
    members = (rows.double() * weights[:, None]).sum(0) / weights.sum()
    assert (members - 0.5).abs().max() < 1e-9  # pairs make it exact


def test_enumeration_carries_the_shapley_kernel():
    rows, weights = shap_coalitions(4, 16)
    assert len(rows) == 16
    kernel = {1: 3 / (4 * 1 * 3), 2: 3 / (6 * 2 * 2), 3: 3 / (4 * 3 * 1)}  # (M - 1) / (C(M, k) k (M - k))
    assert weights[2:].tolist() == pytest.approx([kernel[int(size)] for size in rows[2:].sum(1)])


@pytest.mark.parametrize("seed", SEEDS)
def test_shapley_values_are_those_of_the_shap_package(seed):
    players, value = 5, random_game(5, seed)
    theirs = shap.KernelExplainer(lambda rows: value(torch.from_numpy(rows > 0.5)).numpy(), np.zeros((1, players)))
    expected = theirs.shap_values(np.ones((1, players)), nsamples=2**players, l1_reg=0, silent=True)[0]
    assert np.allclose(shapley(value, players), expected, atol=1e-6)
    assert np.allclose(kernel_shap_values(value, players), expected, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_shapley_maps_are_those_of_captum(seed):
    """captum's ShapleyValues runs over all orders of the segments; its KernelShap is exact for an additive score."""
    images, model = pictures(seed=seed), Small(seed)
    segments, classes = grid(images, 4), torch.tensor([2, 0])
    expected = ShapleyValues(model).attribute(images, 0.5, classes, feature_mask=segments[:, None])
    assert torch.allclose(kernel_shap(model, images, classes, segments=segments), expected[:, 0], atol=1e-5)
    linear = Linear(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        expected = (
            KernelShap(linear).attribute(images[:1], 0.5, 1, feature_mask=segments[:1, None], n_samples=60).detach()
        )
    maps = kernel_shap(linear, images[:1], 1, segments=segments[:1])
    assert torch.allclose(maps, expected[:, 0], atol=1e-3 * maps.abs().max())


@pytest.mark.parametrize("count", [6, 16])
@pytest.mark.parametrize("score", ["logit", "probability"])
def test_shapley_maps_add_up(count, score):
    images, model = pictures(), Small()
    segments = grid(images, count)
    classes = [[0, 1, 2], [3, 2, 1]]
    maps, details = kernel_shap(
        model, images, classes, segments=segments, samples=100, score=score, return_details=True
    )
    empty = ask(model, torch.full_like(images, 0.5), classes, lambda rows, which: images[rows], 1, score=score).clean
    assert torch.allclose(details.values.sum(-1).float(), details.clean - empty, atol=1e-6)
    assert torch.allclose(details.intercept.float(), empty, atol=1e-6)
    sizes = torch.bincount(segments[0].flatten())
    assert torch.allclose((maps / sizes[segments][:, None]).sum((2, 3)), details.clean - empty, atol=1e-5)


def test_images_with_different_numbers_of_segments():
    images, model = pictures(), Small()
    segments = torch.stack([grid(images, 4)[0], grid(images, 12)[0]])
    together = kernel_shap(model, images, [1, 2], segments=segments, samples=64)
    for b, c in ((0, 1), (1, 2)):
        one = slice(b, b + 1)
        alone = kernel_shap(model, images[one], c, segments=segments[one], samples=64)
        assert torch.allclose(together[one], alone, atol=1e-5)
    details = lime(model, images, [1, 2], segments=segments, samples=30, return_details=True)[1]
    assert details.values.shape == (2, 12) and (details.values[0, 4:] == 0).all()
    assert [tuple(rows.shape) for rows in details.coalitions] == [(30, 4), (30, 12)]


# both


@pytest.mark.parametrize("name", METHODS)
def test_one_relevant_segment_gets_all_the_credit(name):
    images = pictures(1)
    segments = grid(images, 12)

    class Patch(nn.Module):
        def forward(self, x):
            here = (x * (segments == 7)[:, None]).flatten(1).std(1)
            return torch.stack([here, -here], 1)

    values = METHODS[name](Patch(), images, 0, segments=segments, samples=200, score="logit", return_details=True)[
        1
    ].values
    assert values[0].argmax() == 7 and values[0, torch.arange(12) != 7].abs().max() < 0.2 * values[0, 7]


@pytest.mark.parametrize("name", METHODS)
def test_same_seed_same_map_and_another_seed_another(name):
    images, model = pictures(), Small()
    options = {"segments": grid(images, 24), "samples": 80}
    maps = METHODS[name](model, images, 1, seed=3, **options)
    assert maps.shape == (2, 12, 16)
    assert torch.equal(maps, METHODS[name](model, images, 1, seed=3, **options))
    assert not torch.allclose(maps, METHODS[name](model, images, 1, seed=4, **options), atol=1e-4)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("batch_size", [1, 3, 400])
def test_maps_do_not_depend_on_batch_size_or_batch(name, batch_size):
    method, images, model = METHODS[name], pictures(), Small()
    options = {"segments": grid(images, 12), "samples": 40}
    expected = method(model, images, [2, 1], **options)
    model.sizes = []
    assert torch.allclose(method(model, images, [2, 1], batch_size=batch_size, **options), expected, atol=1e-5)
    assert max(model.sizes) <= batch_size and sum(model.sizes) <= 2 * (40 + 1)
    options["segments"] = options["segments"][1:]
    assert torch.allclose(method(model, images[1:], 1, batch_size=batch_size, **options), expected[1:], atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_targets_share_the_forward_passes(name):
    method, images, model = METHODS[name], pictures(), Small()
    options = {"segments": grid(images, 12), "samples": 40, "score": "logit"}
    one = method(model, images, **options)  # the class predicted for the whole image
    single, model.sizes = sum(model.sizes), []
    predicted = model(images).argmax(1)
    model.sizes = []
    several = method(model, images, torch.stack([(predicted + 1) % 4, predicted], 1), **options)
    assert several.shape == (2, 2, 12, 16) and sum(model.sizes) == single
    assert torch.allclose(several[:, 1], one, atol=1e-6)
    own = method(model, images, lambda output: output[torch.arange(2), predicted], **options)
    assert torch.allclose(own, one, atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_the_callers_state_is_left_alone(name):
    images, model = pictures().requires_grad_(), Small()
    model.body[2].train()
    model.body[0].weight.requires_grad_(False)
    model.body[0].bias.grad = torch.ones(8)
    modes = [m.training for m in model.modules()]
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state, pixels = torch.get_rng_state(), images.detach().clone()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    seen = []
    options = {"samples": 30, "progress": lambda done, total: seen.append((done, total))}
    maps, details = METHODS[name](model, images, return_details=True, **options)
    assert not maps.requires_grad and not details.values.requires_grad and torch.is_grad_enabled()
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(model.body[0].bias.grad, torch.ones(8)) and model.body[1].weight.grad is None
    assert not model.body[0].weight.requires_grad and images.grad is None and torch.equal(images, pixels)
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002
    assert seen[-1][0] == seen[-1][1] <= 60
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            assert torch.equal(METHODS[name](model, images, samples=30), maps)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"samples": 1}, ValueError, "samples must be at least"),
        ({"samples": 50.0}, TypeError, "samples must be a whole number"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"score": "softmax"}, ValueError, "score must be"),
        ({"fill": "blur"}, ValueError, "fill must be"),
        ({"segments": torch.zeros(2, 5, 5).long()}, ValueError, "segments must have the shape"),
        ({"segments": torch.full((2, 12, 16), 3)}, ValueError, "gaps"),
        ({"target": 9}, ValueError, "out of range"),
        ({"target": lambda output: output[:, 0] / 0}, ValueError, "NaN or infinite"),
        ({"images": pictures()[0]}, ValueError, "add the batch axis"),
    ],
)
def test_bad_input_of_both(name, change, error, message):
    with pytest.raises(error, match=message):
        METHODS[name](Small(), **{"images": pictures(), "samples": 10, **change})


def test_bad_options():
    for options in ({"kernel_width": 0.0}, {"alpha": -1.0}):
        with pytest.raises(ValueError, match="kernel_width must be positive and alpha"):
            lime(Small(), pictures(), **options)
    with pytest.raises(ValueError, match="training mode"):
        lime(Small().train(), pictures())
    with pytest.raises(ValueError, match="17 players have 2\\^17 coalitions"):
        shapley(random_game(2, 0), 17)
    with pytest.raises(ValueError, match="players must be at least 1"):
        shapley(random_game(2, 0), 0)
    for find in (shapley, kernel_shap_values):
        with pytest.raises(ValueError, match="the value function must return"):
            find(lambda rows: rows.sum().double()[None], 4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_maps_on_a_gpu_are_those_of_the_cpu():
    images, model = pictures(), Small()
    for method in METHODS.values():
        expected = method(model.cpu(), images, [[0, 1]] * 2, samples=50)
        maps = method(model.cuda(), images.cuda(), [[0, 1]] * 2, samples=50)
        assert maps.is_cuda and torch.allclose(maps.cpu(), expected, atol=1e-3)
