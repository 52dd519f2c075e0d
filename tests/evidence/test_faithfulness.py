"""Deletion, insertion and rank correlation: closed forms on toy models, invariances, and agreement with SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, ndimage, stats
from torch import nn

from lessons_lib.evidence import (
    area_mean,
    blur,
    deletion,
    insertion,
    occlusion_correlation,
    rank_correlation,
)
from lessons_lib.evidence.faithfulness import pearson

SEEDS = (0, 1, 2)
SIZE = 8
PIXELS = SIZE * SIZE


class ShareOfRelevant(nn.Module):
    """Logits (s, 0): s is the share of the relevant pixels that still hold 1."""

    def __init__(self, relevant: torch.Tensor) -> None:
        super().__init__()
        self.relevant = relevant
        self.calls: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls.append(len(images))
        share = (images[:, 0] * self.relevant).sum((1, 2)) / self.relevant.sum()
        return torch.stack([share, torch.zeros_like(share)], 1)


class Constant(nn.Module):
    """The same logits for every image."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[0.3, 1.1, -0.4]]).expand(len(images), -1)


def relevant_pixels(seed: int, count: int = 16) -> torch.Tensor:
    chosen = torch.randperm(PIXELS, generator=torch.Generator().manual_seed(seed))[:count]
    return torch.zeros(PIXELS).index_fill_(0, chosen, 1.0).view(SIZE, SIZE)


def small_net(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()


def noise(seed: int, batch: int = 3, size: int = SIZE) -> torch.Tensor:
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(seed))


def noise_maps(seed: int, batch: int = 3) -> torch.Tensor:
    return torch.randn(batch, SIZE, SIZE, generator=torch.Generator().manual_seed(seed + 50))


# --- closed forms


@pytest.mark.parametrize("score", ["probability", "logit"])
@pytest.mark.parametrize("method", [deletion, insertion])
def test_a_constant_curve_has_its_constant_as_auc(method, score):
    curve = method(Constant(), noise(0), noise_maps(0), target=[0, 1, 2], steps=7, score=score)
    logits = torch.tensor([0.3, 1.1, -0.4])
    expected = logits.softmax(0) if score == "probability" else logits
    assert torch.allclose(curve.auc, expected)
    assert torch.allclose(curve.scores, expected[:, None].expand(3, 8))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("count", [4, 16, 40])
@pytest.mark.parametrize("steps", [PIXELS, PIXELS // 4])
def test_auc_of_the_best_and_the_worst_order_in_closed_form(seed, count, steps):
    """k of N pixels matter. Best order: the score falls to 0 over the share k / N, a triangle of area k / 2N."""
    relevant = relevant_pixels(seed, count)
    model, images = ShareOfRelevant(relevant), torch.ones(1, 3, SIZE, SIZE)
    options = {"target": 0, "steps": steps, "baseline": 0.0, "score": "logit"}
    small = count / (2 * PIXELS)
    for maps, fall, rise in ((relevant, small, 1 - small), (-relevant, 1 - small, small)):
        assert deletion(model, images, maps[None], **options).auc.item() == pytest.approx(fall, abs=1e-6)
        assert insertion(model, images, maps[None], **options).auc.item() == pytest.approx(rise, abs=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_reversing_the_order_swaps_deletion_and_insertion(seed):
    """Deleting in one order passes through the pictures that inserting in the other order does, backwards."""
    model, images, maps = small_net(seed), noise(seed), noise_maps(seed)
    options = {"target": 1, "steps": 16, "baseline": 0.2}
    falling, rising = deletion(model, images, maps, **options), insertion(model, images, -maps, **options)
    assert torch.allclose(falling.scores, rising.scores.flip(1), atol=1e-6)
    assert torch.allclose(falling.auc, rising.auc, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_ends_of_the_curves(seed):
    model, images, maps = small_net(seed), noise(seed), noise_maps(seed)
    with torch.no_grad():
        whole, black, blurred = (model(x).softmax(1) for x in (images, 0 * images, blur(images)))
    chosen = whole.argmax(1)[:, None]
    falling, rising = deletion(model, images, maps, steps=9), insertion(model, images, maps, steps=9)
    for scores, first, last in ((falling.scores, whole, black), (rising.scores, blurred, whole)):
        assert torch.allclose(scores[:, 0], first.gather(1, chosen)[:, 0], atol=1e-6)
        assert torch.allclose(scores[:, -1], last.gather(1, chosen)[:, 0], atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("steps", [1, 5, 7, PIXELS])
def test_every_step_against_a_plain_loop(seed, steps):
    """Also with steps that do not divide the number of pixels: the trapezoids then differ in width."""
    model, images, maps = small_net(seed), noise(seed, 2), noise_maps(seed, 2)
    curve = deletion(model, images, maps, target=[2, 4], steps=steps, baseline=0.5)
    for image, one, target, scores, auc in zip(images, maps, (2, 4), curve.scores, curve.auc):
        order, values, shares = one.flatten().argsort(descending=True), [], []
        for step in range(steps + 1):
            changed = math.floor(step * PIXELS / steps + 0.5)
            picture = image.clone()
            picture.view(3, -1)[:, order[:changed]] = 0.5
            values.append(model(picture[None]).softmax(1)[0, target].item())
            shares.append(changed / PIXELS)
        assert np.allclose(scores, values, atol=1e-6)
        assert np.allclose(curve.shares, shares)
        assert auc.item() == pytest.approx(integrate.trapezoid(values, shares), abs=1e-6)


def test_with_equal_steps_the_auc_is_the_released_codes_formula():
    scores = deletion(small_net(0), noise(0), noise_maps(0), steps=16).scores
    expected = (scores.sum(1) - scores[:, 0] / 2 - scores[:, -1] / 2) / 16
    auc = deletion(small_net(0), noise(0), noise_maps(0), steps=16).auc
    assert torch.allclose(auc, expected, atol=1e-6)


# --- ties


@pytest.mark.parametrize("corner", [(0, 0), (0, 4), (4, 0), (4, 4)])
def test_a_map_without_information_scores_chance_wherever_the_object_is(corner):
    """In reading order a zero map would score 0.22 with the object at the top left and 0.78 at the bottom right."""
    relevant = torch.zeros(SIZE, SIZE)
    relevant[corner[0] : corner[0] + 4, corner[1] : corner[1] + 4] = 1
    aucs = [
        deletion(
            ShareOfRelevant(relevant), torch.ones(1, 3, SIZE, SIZE), torch.zeros(1, SIZE, SIZE),
            target=0, steps=PIXELS, score="logit", seed=seed,
        ).auc.item()
        for seed in range(40)
    ]  # fmt: skip
    assert np.mean(aucs) == pytest.approx(0.5, abs=0.04)
    assert len(set(aucs)) > 30


def test_the_order_among_ties_follows_the_seed_and_not_the_batch():
    model, images = small_net(0), noise(0, 4)
    maps = noise_maps(0, 4).relu().round()
    curve = deletion(model, images, maps, target=0)
    assert torch.equal(curve.scores, deletion(model, images, maps, target=0).scores)
    assert not torch.equal(curve.scores, deletion(model, images, maps, target=0, seed=1).scores)
    alone = deletion(model, images[2:3], maps[2:3], target=0)
    assert torch.allclose(alone.scores, curve.scores[2:3], atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_only_the_order_of_the_map_counts(seed):
    model, images, maps = small_net(seed), noise(seed), noise_maps(seed)
    first = deletion(model, images, maps, steps=10)
    assert torch.equal(first.scores, deletion(model, images, maps.mul(2).exp(), steps=10).scores)


# --- targets, batches, baselines


@pytest.mark.parametrize("batch_size", [1, 2, 5, 1000])
def test_the_size_of_the_batches_changes_nothing(batch_size):
    model, images, maps = small_net(1), noise(1), noise_maps(1)
    expected = insertion(model, images, maps, steps=6)
    result = insertion(model, images, maps, steps=6, batch_size=batch_size)
    assert torch.allclose(result.scores, expected.scores, atol=1e-6)


def test_passes_are_batched_and_stay_within_the_batch_size():
    model = ShareOfRelevant(relevant_pixels(0))
    deletion(model, torch.ones(3, 3, SIZE, SIZE), noise_maps(0), target=0, steps=20, batch_size=30)
    assert sum(model.calls) == 3 * 21 + 3 and max(model.calls) <= 30
    assert len(model.calls) == math.ceil(63 / 30) + 1


def test_the_target_is_fixed_on_the_whole_image():
    """The predicted class changes on the way; the curve stays with the first one."""
    relevant = relevant_pixels(0)

    class Switching(ShareOfRelevant):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images) * 4 - torch.tensor([2.0, 0.0])

    curve = deletion(Switching(relevant), torch.ones(1, 3, SIZE, SIZE), relevant[None], steps=PIXELS)
    assert curve.scores[0, 0] == pytest.approx(1 / (1 + math.exp(-2)), abs=1e-6)
    assert curve.scores[0, -1] == pytest.approx(1 / (1 + math.exp(2)), abs=1e-6)


def test_a_function_as_target_sees_the_whole_batch_in_order():
    model, images, maps = small_net(2), noise(2), noise_maps(2)
    classes = torch.tensor([3, 0, 2])

    def score(output: torch.Tensor) -> torch.Tensor:
        assert len(output) == 3
        return output.gather(1, classes[:, None])[:, 0]

    by_function = deletion(model, images, maps, score, steps=8, batch_size=2)
    by_index = deletion(model, images, maps, classes, steps=8, score="logit")
    assert torch.allclose(by_function.scores, by_index.scores, atol=1e-6)


@pytest.mark.parametrize(
    ("baseline", "last"),
    [
        (0.25, lambda x: torch.full_like(x, 0.25)),
        ("mean", lambda x: x.mean((2, 3), keepdim=True).expand_as(x)),
        ("blur", blur),
        (torch.tensor([0.485, 0.456, 0.406]), lambda x: torch.tensor([0.485, 0.456, 0.406])[:, None, None] + 0 * x),
        (noise(8, 1)[0], lambda x: noise(8, 1).expand_as(x)),
        (noise(9), lambda x: noise(9)),
    ],
    ids=["number", "mean", "blur", "colour", "image", "images"],
)  # fmt: skip
def test_baselines(baseline, last):
    model, images = small_net(0), noise(0)
    curve = deletion(model, images, noise_maps(0), target=2, steps=4, baseline=baseline, score="logit")
    with torch.no_grad():
        assert torch.allclose(curve.scores[:, -1], model(last(images))[:, 2], atol=1e-6)


@pytest.mark.parametrize(("kernel", "sigma"), [(11, 5.0), (5, 1.0), (1, 3.0)])
def test_blur_agrees_with_scipy(kernel, sigma):
    images = noise(0, 2, 20)
    expected = ndimage.gaussian_filter(
        images.numpy().astype(np.float64), (0, 0, sigma, sigma), mode="nearest", radius=(0, 0, *[kernel // 2] * 2)
    )  # fmt: skip
    assert np.allclose(blur(images, kernel, sigma), expected, atol=1e-6)


def test_blur_leaves_flat_images_and_small_ones():
    assert torch.allclose(blur(torch.full((1, 3, 9, 4), 0.6)), torch.full((1, 3, 9, 4), 0.6))


def test_the_caller_is_left_alone():
    model, images, maps = small_net(0), noise(0).requires_grad_(), noise_maps(0).requires_grad_()
    before, state = images.detach().clone(), torch.get_rng_state()
    curve = deletion(model, images, maps)
    assert not curve.auc.requires_grad
    assert torch.equal(images, before) and torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


# --- errors


@pytest.mark.parametrize("method", [deletion, insertion])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"maps": torch.zeros(3, 4, 4)}, "upsample"),
        ({"maps": torch.zeros(2, SIZE, SIZE)}, "do not fit images"),
        ({"maps": torch.full((3, SIZE, SIZE), math.nan)}, "NaN"),
        ({"images": noise(0)[0]}, r"images\[None\]"),
        ({"target": 5}, "out of range"),
        ({"target": [[0, 1], [1, 2], [2, 3]]}, "one target an image"),
        ({"target": lambda output: output}, "one target an image"),
        ({"steps": 0}, "steps"),
        ({"steps": PIXELS + 1}, "steps"),
        ({"batch_size": 0}, "batch_size"),
        ({"score": "softmax"}, "'probability' or 'logit'"),
        ({"baseline": "grey"}, "baseline"),
        ({"baseline": torch.zeros(4)}, r"\(4,\)"),
        ({"baseline": math.nan}, "NaN"),
    ],
    ids=lambda value: str(next(iter(value))) if isinstance(value, dict) else None,
)
def test_bad_input_is_named(method, change, message):
    call = {"model": small_net(0), "images": noise(0), "maps": noise_maps(0), **change}
    with pytest.raises(ValueError, match=message):
        method(**call)


def test_models_that_cannot_be_scored_are_named():
    one = nn.Sequential(nn.Flatten(), nn.Linear(3 * PIXELS, 1))
    with pytest.raises(ValueError, match="always 1"):
        deletion(one, noise(0), noise_maps(0))
    assert deletion(one, noise(0), noise_maps(0), score="logit").auc.shape == (3,)
    training = nn.Sequential(nn.BatchNorm2d(3), small_net(0)).train()
    with pytest.raises(ValueError, match="training mode"):
        deletion(training, noise(0), noise_maps(0))
    with pytest.raises(ValueError, match="function"):
        deletion(nn.Conv2d(3, 2, 1), noise(0), noise_maps(0))


# --- rank correlation


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("levels", [None, 3, 10])
def test_rank_correlation_agrees_with_scipy(seed, levels):
    a, b = noise_maps(seed, 5), noise_maps(seed + 1, 5) + noise_maps(seed, 5)
    if levels:  # many ties
        a, b = (a * levels / 4).round(), (b * levels / 4).round()
    expected = [stats.spearmanr(x.flatten(), y.flatten()).statistic for x, y in zip(a, b)]
    assert np.allclose(rank_correlation(a, b), expected, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_rank_correlation_is_invariant_to_rising_functions_and_symmetric(seed):
    a, b = noise_maps(seed).double(), noise_maps(seed + 9).double()
    expected = rank_correlation(a, b)
    assert torch.equal(rank_correlation(a.exp(), b.mul(5).sub(3)), expected)
    assert torch.allclose(rank_correlation(-a, b), -expected)
    assert torch.allclose(rank_correlation(b, a), expected)
    assert torch.allclose(rank_correlation(a, a), torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("value", [0.0, 0.1, -3.3])
def test_a_constant_map_correlates_with_nothing(value):
    flat = torch.full((3, SIZE, SIZE), value)
    assert rank_correlation(flat, noise_maps(0)).tolist() == [0, 0, 0]
    assert rank_correlation(flat, flat).tolist() == [0, 0, 0]


def test_pearson_agrees_with_scipy_and_is_0_for_constant_rows():
    a, b = noise_maps(0).flatten(1), noise_maps(1).flatten(1) + noise_maps(0).flatten(1)
    expected = [stats.pearsonr(x, y).statistic for x, y in zip(a, b)]
    assert np.allclose(pearson(a, b), expected, atol=1e-6)
    for value in (0.1, 0.7, 1e6):  # the mean of 0.1 or 0.7 over 7 entries is rounded: two such rows look alike
        row = torch.full((1, 7), value, dtype=torch.float64)
        assert pearson(row, 2 * row).item() == pearson(row, torch.arange(7.0)[None]).item() == 0


def test_area_mean_whole_cells_and_parts_of_pixels():
    maps = noise_maps(0)
    expected = maps.view(3, 4, 2, 2, 4).mean((2, 4))
    assert torch.allclose(area_mean(maps, (4, 2)), expected, atol=1e-6)
    line = torch.tensor([[[1.0, 2.0, 6.0]]])  # two cells of 1.5 pixels
    assert torch.allclose(area_mean(line, (1, 2)), torch.tensor([[[2 / 1.5, 7 / 1.5]]]))
    assert torch.allclose(area_mean(line, (2, 6))[0, 1], torch.tensor([1.0, 1, 2, 2, 6, 6]))


@pytest.mark.parametrize("size", [(3, 5), (7, 7), (1, 1), (11, 2)])
def test_area_mean_keeps_the_mean_and_constant_maps_constant(size):
    maps = noise_maps(1)
    assert torch.allclose(area_mean(maps, size).mean((1, 2)), maps.mean((1, 2)), atol=1e-6)
    assert area_mean(torch.full((1, SIZE, SIZE), 0.1), size).unique().numel() == 1


def test_occlusion_correlation():
    grid = torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(0))
    blocks = grid.repeat_interleave(3, 1).repeat_interleave(3, 2)  # a map that is the grid, enlarged
    assert torch.allclose(occlusion_correlation(blocks, grid), torch.ones(2))
    assert torch.allclose(occlusion_correlation(-blocks, grid), -torch.ones(2))
    assert torch.allclose(occlusion_correlation(blocks.exp(), grid), torch.ones(2))
    other = noise_maps(0, 2)
    expected = [
        stats.spearmanr(m.view(4, 2, 4, 2).mean((1, 3)).flatten(), g.flatten()).statistic for m, g in zip(other, grid)
    ]
    assert np.allclose(occlusion_correlation(other, grid), expected, atol=1e-6)


def test_correlation_errors():
    maps = noise_maps(0)
    with pytest.raises(ValueError, match="one shape"):
        rank_correlation(maps, maps[:, :4])
    with pytest.raises(ValueError, match="NaN"):
        rank_correlation(maps, maps / 0 * 0)
    with pytest.raises(ValueError, match="2 pixels"):
        rank_correlation(torch.ones(2, 1, 1), torch.ones(2, 1, 1))
    with pytest.raises(ValueError, match="3 maps do not pair with 2"):
        occlusion_correlation(maps, maps[:2])
    with pytest.raises(ValueError, match=r"\(h, w\)"):
        area_mean(maps, (0, 3))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_same_on_a_gpu():
    model, images, maps = small_net(0), noise(0), noise_maps(0).relu()
    expected = insertion(model, images, maps)
    result = insertion(model.cuda(), images.cuda(), maps.cuda())
    assert result.auc.is_cuda and torch.allclose(result.scores.cpu(), expected.scores, atol=1e-4)
    assert torch.allclose(
        rank_correlation(maps.cuda(), images[:, 0].cuda()).cpu(), rank_correlation(maps, images[:, 0])
    )
