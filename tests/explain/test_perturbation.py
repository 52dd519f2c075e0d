"""Occlusion and RISE: closed forms, agreement with captum, and a caller's state that stays as it was."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from captum.attr import Occlusion
from torch import nn

from lessons_lib.explain.perturbation import ask, occlusion, rise, rise_grids, rise_masks, window_starts

SEEDS = [0, 1, 2]
METHODS = {"occlusion": (occlusion, {"window": 6}), "rise": (rise, {"masks": 20, "cells": 4})}


class Small(nn.Module):
    """A small network with BatchNorm and dropout; counts its calls and the images they carried."""

    def __init__(self, seed=0, classes=5):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.body = nn.Sequential(
                nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(),
                nn.Dropout(0.5), nn.LazyLinear(classes),
            )  # fmt: skip
            self.body(torch.rand(2, 3, 16, 20))
            nn.init.normal_(self.body[-1].weight)
        self.sizes = []
        self.eval()

    def forward(self, images):
        self.sizes.append(len(images))
        return self.body(images)


class Linear(nn.Module):
    """Scores that are linear in the pixels: logits_k = sum w_k * x + b_k."""

    def __init__(self, shape, classes=2, seed=0):
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(classes, *shape, generator=draw))
        self.bias = nn.Parameter(torch.randn(classes, generator=draw))

    def forward(self, images):
        return torch.einsum("bchw,kchw->bk", images, self.weight) + self.bias


def pictures(batch=3, height=16, width=20, seed=0):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("window", "stride"),
    [((4, 4), (4, 4)), ((4, 8), (2, 4)), ((7, 5), (3, 5)), ((16, 20), (1, 1)), ((1, 20), (1, 9))],
)
@pytest.mark.parametrize("fill", [0.5, 0.0])
def test_occlusion_agrees_with_captum(window, stride, fill):
    """captum, too, gives each pixel the mean over the patches that cover it.

    The strides end at the border here. Where they do not, captum cuts its last patch off; ours moves back.
    """
    images, model, classes = pictures(), Small(), torch.tensor([0, 3, 1])
    expected = Occlusion(model).attribute(images, (3, *window), (3, *stride), baselines=fill, target=classes)
    maps = occlusion(model, images, classes, window=window, stride=stride, fill=fill)
    assert maps.std() > 1e-3 or window == (16, 20)
    assert torch.allclose(maps, expected[:, 0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_occlusion_of_a_linear_model_in_closed_form(seed):
    """Covering a patch of a linear model lowers it by exactly sum over the patch of w (x - fill)."""
    images, model = pictures(2, 9, 11, seed), Linear((3, 9, 11), seed=seed).double()
    images = images.double()
    grid = occlusion(model, images, 1, window=(3, 4), stride=2, fill=0.3, size=None)
    tops, lefts = window_starts(9, 3, 2), window_starts(11, 4, 2)
    assert grid.shape == (2, len(tops), len(lefts))
    gain = (model.weight[1] * (images - 0.3)).sum(1).detach()  # (B, H, W)
    total, cover = torch.zeros(2, 9, 11).double(), torch.zeros(9, 11).double()
    for i, top in enumerate(tops):
        for j, left in enumerate(lefts):
            drop = gain[:, top : top + 3, left : left + 4].sum((1, 2))
            assert torch.allclose(grid[:, i, j], drop, rtol=0, atol=1e-12)
            total[:, top : top + 3, left : left + 4] += drop[:, None, None]
            cover[top : top + 3, left : left + 4] += 1
    assert (cover > 0).all()
    maps = occlusion(model, images, 1, window=(3, 4), stride=2, fill=0.3)
    assert torch.allclose(maps, total / cover, rtol=0, atol=1e-12)


def test_windows_end_at_the_border():
    assert window_starts(10, 4, 4) == [0, 4, 6]
    assert window_starts(12, 4, 4) == [0, 4, 8]
    assert window_starts(4, 4, 1) == [0]


@pytest.mark.parametrize(("top", "left"), [(0, 0), (8, 12), (24, 24)])
def test_occlusion_and_rise_find_the_one_relevant_square(top, left):
    square = torch.zeros(32, 32)
    square[top : top + 8, left : left + 8] = 1

    class Square(nn.Module):
        def forward(self, x):
            shown = (x.mean(1) * square).sum((1, 2)) / 64
            return torch.stack([shown, -shown], 1)

    images = torch.ones(1, 3, 32, 32)
    drop = occlusion(Square(), images, 0, window=4, stride=4, fill=0.0)[0]
    assert torch.allclose(drop, square * 16 / 64)  # a patch of 16 of the square's 64 pixels, nothing elsewhere
    saliency = rise(Square(), images, 0, masks=800, cells=4, score="logit")[0]
    peak = saliency.argmax().item()
    assert square[peak // 32, peak % 32] == 1
    assert saliency[square.bool()].mean() > saliency[~square.bool()].mean() + 0.05


def test_default_window_is_a_seventh_and_stride_half_of_it():
    images, model = pictures(1, 16, 20), Small()
    assert torch.equal(occlusion(model, images, 0), occlusion(model, images, 0, window=(2, 3), stride=(1, 1)))
    sizes = []
    occlusion(nn.Sequential(nn.AvgPool2d(224), nn.Flatten()), torch.rand(1, 3, 224, 224), 0,
              progress=lambda done, total: sizes.append(total))  # fmt: skip
    assert sizes[0] == 13 * 13  # 32 pixels, step 16


@pytest.mark.parametrize("name", METHODS)
def test_the_class_is_fixed_on_the_clean_image(name):
    method, options = METHODS[name]
    images, model = pictures(), Small(seed=3)
    predicted = model(images).argmax(1)
    assert torch.equal(method(model, images, **options), method(model, images, predicted, **options))


@pytest.mark.parametrize("name", METHODS)
def test_targets_share_the_forward_passes(name):
    method, options = METHODS[name]
    images, model = pictures(), Small()
    one = method(model, images, 2, **options)
    single, model.sizes = sum(model.sizes), []
    classes = torch.tensor([[2, 0], [2, 1], [2, 2]])
    several = method(model, images, classes, **options)
    assert sum(model.sizes) == single and several.shape == (3, 2, 16, 20)
    assert torch.allclose(several[:, 0], one, atol=1e-6)
    assert torch.allclose(several[1, 1], method(model, images[1:2], 1, **options)[0], atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("batch_size", [1, 2, 7, 500])
def test_maps_do_not_depend_on_the_batch_size(name, batch_size):
    method, options = METHODS[name]
    images, model = pictures(), Small()
    expected = method(model, images, [1, 2, 3], **options)
    model.sizes = []
    maps = method(model, images, [1, 2, 3], batch_size=batch_size, **options)
    assert torch.allclose(maps, expected, atol=1e-5) and max(model.sizes) <= batch_size
    own = method(model, images, lambda output: output[torch.arange(3), [1, 2, 3]], batch_size=batch_size, **options)
    logits = method(model, images, [1, 2, 3], score="logit", **options)
    assert torch.allclose(own, logits, atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_a_target_function_may_read_any_output(name):
    method, options = METHODS[name]
    images, model = pictures(), Small()

    class Answers(nn.Module):
        def forward(self, x):
            return {"answers": model(x)}

    expected = method(model, images, [[0, 1]] * 3, score="logit", **options)
    maps = method(Answers(), images, lambda output: output["answers"][:, :2], **options)
    assert torch.allclose(maps, expected, atol=1e-5)
    with pytest.raises(ValueError, match="target as a function"):
        method(Answers(), images, 0, **options)


@pytest.mark.parametrize("name", METHODS)
def test_score_is_logit_probability_or_own_function(name):
    method, options = METHODS[name]
    images, model = pictures(), Small()
    for score, own in (
        ("probability", lambda o: o.softmax(1)[:, 1]),
        (torch.sigmoid, lambda o: o[:, 1].sigmoid()),
    ):
        maps = method(model, images, 1, score=score, **options)
        assert torch.allclose(maps, method(model, images, own, **options), atol=1e-6)
    logit = method(model, images, 1, score="logit", **options)
    assert torch.allclose(logit, method(model, images, lambda o: o[:, 1], **options), atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_the_callers_state_is_left_alone(name):
    method, options = METHODS[name]
    images, model = pictures().requires_grad_(), Small()
    model.body[2].train()  # a mode that an eval() would undo
    model.body[0].weight.requires_grad_(False)
    model.body[0].bias.grad = torch.ones(8)
    modes = [m.training for m in model.modules()]
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state, pixels = torch.get_rng_state(), images.detach().clone()
    maps = method(model, images, **options)
    assert not maps.requires_grad and torch.is_grad_enabled()
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(model.body[0].bias.grad, torch.ones(8)) and model.body[1].weight.grad is None
    assert not model.body[0].weight.requires_grad and images.grad is None and images.requires_grad
    assert torch.equal(images, pixels) and torch.equal(torch.get_rng_state(), state)
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            assert torch.equal(method(model, images, **options), maps)


def test_progress_counts_changed_images():
    seen = []
    occlusion(Small(), pictures(), window=8, stride=8, batch_size=5, progress=lambda *step: seen.append(step))
    assert seen == [(5, 18), (10, 18), (15, 18), (18, 18)]  # 2 x 3 patches, 3 images


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"batch_size": 2.0}, TypeError, "batch_size must be a whole number"),
        ({"score": "softmax"}, ValueError, "score must be"),
        ({"score": lambda logits: logits.sum(1)}, ValueError, "as many scores"),
        ({"score": lambda logits: logits / 0}, ValueError, "NaN or infinite"),
        ({"fill": "grey"}, ValueError, "fill must be"),
        ({"target": 5}, ValueError, "out of range"),
        ({"target": [0, 1]}, ValueError, "does not fit 3 images"),
        ({"images": pictures()[0]}, ValueError, "add the batch axis"),
        ({"images": torch.full((1, 3, 16, 20), math.nan)}, ValueError, "NaN"),
    ],
)
def test_bad_input_of_both(name, change, error, message):
    method, options = METHODS[name]
    with pytest.raises(error, match=message):
        method(Small(), **{"images": pictures(), **options, **change})


@pytest.mark.parametrize(
    ("method", "options", "error", "message"),
    [
        (occlusion, {"window": 17}, ValueError, "larger than the image"),
        (occlusion, {"window": (4, 4, 4)}, TypeError, "pair"),
        (occlusion, {"window": 2.5}, TypeError, "pair"),
        (occlusion, {"window": 0}, ValueError, "at least 1"),
        (occlusion, {"window": 4, "stride": 5}, ValueError, "larger than the window"),
        (occlusion, {"size": (8, 8)}, ValueError, "size must be"),
        (rise, {"masks": 0}, ValueError, "masks must be at least 1"),
        (rise, {"cells": 0}, ValueError, "cells must be at least 1"),
        (rise, {"keep": 0.0}, ValueError, "keep must be"),
        (rise, {"keep": 1.5}, ValueError, "keep must be"),
    ],
)
def test_bad_options(method, options, error, message):
    with pytest.raises(error, match=message):
        method(Small(), pictures(), **options)


def test_batchnorm_in_training_mode_is_refused():
    model = Small().train()
    for method, options in METHODS.values():
        with pytest.raises(ValueError, match="training mode"):
            method(model, pictures(), **options)


def masks_of(count, size, seed=0, cells=7, keep=0.5):
    grids, shifts = rise_grids(count, size, cells=cells, keep=keep, generator=torch.Generator().manual_seed(seed))
    return grids, shifts, rise_masks(grids, shifts, size)


@pytest.mark.parametrize(("size", "cells"), [((16, 20), 4), ((30, 30), 7), ((9, 33), 8)])
def test_rise_masks_are_cropped_bilinear_enlargements(size, cells):
    grids, shifts, masks = masks_of(40, size, cells=cells)
    cell = [math.ceil(side / cells) for side in size]
    assert masks.shape == (40, *size) and (shifts >= 0).all() and (shifts < torch.tensor(cell)).all()
    for grid, (down, across), mask in zip(grids, shifts.tolist(), masks):
        large = F.interpolate(grid[None, None], size=[(cells + 1) * c for c in cell], mode="bilinear")[0, 0]
        assert torch.allclose(mask, large[down : down + size[0], across : across + size[1]], atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.8])
def test_rise_masks_lie_in_the_unit_interval_and_have_mean_p(seed, keep):
    grids, _, masks = masks_of(4000, (14, 14), seed, keep=keep)
    assert masks.min() >= 0 and masks.max() <= 1 + 1e-6 and set(grids.unique().tolist()) == {0.0, 1.0}
    spread = (keep * (1 - keep) / 4000) ** 0.5
    assert (masks.mean(0) - keep).abs().max() < 5 * spread  # each pixel's variance is at most p (1 - p)


@pytest.mark.parametrize("seed", SEEDS)
def test_rise_is_its_formula(seed):
    images, model = pictures(2), Small(seed)
    masks = masks_of(30, (16, 20), seed, cells=5, keep=0.4)[2]
    with torch.no_grad():
        shares = torch.stack([model(images * mask).softmax(1)[:, [4, 0]] for mask in masks])  # (N, B, T)
    expected = torch.einsum("nbt,nhw->bthw", shares, masks) / (30 * 0.4)
    maps = rise(model, images, [[4, 0], [4, 0]], masks=30, cells=5, keep=0.4, seed=seed)
    assert torch.allclose(maps, expected, atol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_rise_of_a_linear_model_meets_its_expectation(seed):
    """For f = w x + b: E[Sal_j] = b + sum_i w_i x_i E[M_i M_j] / p, and the masks' second moments are known.

    M = A g with g Bernoulli(p) cells, so E[M M'] = p^2 + p (1 - p) E[A A'] over the crops.
    """
    side, cells, keep, count = 8, 3, 0.4, 40_000
    cell = math.ceil(side / cells)
    basis = torch.eye(cells * cells).reshape(-1, 1, cells, cells)
    large = F.interpolate(basis, size=[(cells + 1) * cell] * 2, mode="bilinear")[:, 0]  # (s^2, ., .)
    crops = [large[:, i : i + side, j : j + side].flatten(1) for i in range(cell) for j in range(cell)]
    moment = keep**2 + keep * (1 - keep) * sum(a.t() @ a for a in crops) / len(crops)  # (HW, HW)
    images, model = pictures(1, side, side, seed), Linear((3, side, side), seed=seed)
    gain = (model.weight[0] * images[0]).sum(0).flatten().detach()
    expected = (model.bias[0].detach() + moment @ gain / keep).reshape(side, side)
    parts = torch.stack([  # independent batches of masks give the standard error
        rise(model, images, 0, masks=count // 20, cells=cells, keep=keep, score="logit", seed=20 * seed + i,
             batch_size=2000)[0] for i in range(20)
    ])  # fmt: skip
    error = (parts.mean(0) - expected) / (parts.std(0) / 20**0.5)
    assert error.abs().max() < 5  # pixels go up and down together, so the largest says as much as all of them
    assert (parts.mean(0) - expected).abs().max() < 0.3 * expected.std()
    drawn = masks_of(count, (side, side), seed, cells=cells, keep=keep)[2].flatten(1)
    assert torch.allclose(drawn.t() @ drawn / count, moment, atol=0.01)


def test_rise_with_everything_kept_is_the_score_itself():
    images, model = pictures(), Small()
    maps = rise(model, images, 3, masks=5, keep=1.0)
    expected = model(images).softmax(1)[:, 3].detach()
    assert torch.allclose(maps, expected[:, None, None].expand_as(maps), atol=1e-5)


def test_rise_towards_the_mean_colour_is_masking_of_normalised_images():
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.3, 0.4])
    images, inner = pictures(), Small()
    normalised = (images - mean[:, None, None]) / std[:, None, None]

    class Normalising(nn.Module):
        def forward(self, x):
            return inner((x - mean[:, None, None]) / std[:, None, None])

    expected = rise(inner, normalised, 0, masks=10)
    assert torch.allclose(rise(Normalising(), images, 0, masks=10, fill=mean), expected, atol=1e-5)


def test_rise_is_a_function_of_its_seed_and_uses_the_same_masks_for_all_images():
    images, model = pictures(1).expand(2, -1, -1, -1), Small()
    maps = rise(model, images, 0, masks=25, seed=1)
    assert torch.allclose(maps[0], maps[1], atol=1e-6)
    assert torch.equal(maps, rise(model, images, 0, masks=25, seed=1))
    assert torch.equal(maps, rise(model, images, 0, masks=25, generator=torch.Generator().manual_seed(1)))
    assert not torch.allclose(maps, rise(model, images, 0, masks=25, seed=2), atol=1e-3)


def test_ask_returns_every_variant_of_every_image():
    images, model = pictures(), Small()
    levels = torch.tensor([1.0, 0.5, 0.0, 0.25])
    answers = ask(model, images, 1, lambda rows, which: images[rows] * levels[which].view(-1, 1, 1, 1), 4, batch_size=5)
    assert answers.scores.shape == (3, 4, 1) and not answers.several
    for v, level in enumerate(levels):
        assert torch.allclose(answers.scores[:, v, 0], model(images * level)[:, 1], atol=1e-5)
    assert torch.allclose(answers.clean[:, 0], answers.scores[:, 0, 0], atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_maps_on_a_gpu_are_those_of_the_cpu():
    images, model = pictures(), Small()
    for method, options in METHODS.values():
        expected = method(model.cpu(), images, [[0, 1]] * 3, **options)
        maps = method(model.cuda(), images.cuda(), [[0, 1]] * 3, **options)
        assert maps.is_cuda and torch.allclose(maps.cpu(), expected, atol=1e-3)
