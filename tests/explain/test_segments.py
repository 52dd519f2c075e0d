"""Superpixels, checks of somebody's own segments, and what stands in for a covered region."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lime.wrappers.scikit_image import SegmentationAlgorithm

from lessons_lib.explain.segments import (
    check_segments,
    fill_values,
    hide_segments,
    relabel,
    segment_counts,
    segment_means,
    segments_to_map,
    superpixels,
)


def pictures(batch=2, channels=3, height=48, width=40, seed=0):
    """Smooth random pictures in [0, 1]."""
    small = torch.rand(batch, channels, 6, 5, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(small, size=(height, width), mode="bilinear").clamp(0, 1)


@pytest.mark.parametrize("kind", ["slic", "quickshift", "grid"])
@pytest.mark.parametrize("channels", [1, 3])
def test_labels_have_no_gaps_and_rows_do_not_depend_on_each_other(kind, channels):
    images = pictures(3, channels)
    segments = superpixels(images, kind=kind, count=20)
    assert segments.shape == (3, 48, 40) and segments.dtype == torch.int64
    for one, count in zip(segments, segment_counts(segments)):
        assert one.unique().tolist() == list(range(int(count)))
    assert torch.equal(segments[1:2], superpixels(images[1:2], kind=kind, count=20))
    assert torch.equal(check_segments(segments, images), segments)


@pytest.mark.parametrize("kind", ["slic", "grid"])
@pytest.mark.parametrize("count", [12, 24, 60])
def test_count_is_about_what_was_asked_for(kind, count):
    counts = segment_counts(superpixels(pictures(), kind=kind, count=count))
    assert (counts >= 0.6 * count).all() and (counts <= 1.5 * count).all(), counts


def test_grid_is_made_of_equal_rectangles():
    segments = superpixels(pictures(1, height=12, width=8), kind="grid", count=6)[0]
    assert segment_counts(segments[None]).item() == 6
    assert torch.bincount(segments.flatten()).tolist() == [16] * 6
    assert segments[0, 0] == 0 and segments[-1, -1] == 5


@pytest.mark.parametrize("kind", ["slic", "quickshift"])
def test_superpixels_follow_a_sharp_edge(kind):
    images = torch.zeros(1, 3, 40, 40)
    images[:, 0, :, 17:] = 1.0
    segments = superpixels(images, kind=kind, count=12, max_dist=20)[0]
    left, right = set(segments[:, :17].flatten().tolist()), set(segments[:, 17:].flatten().tolist())
    assert not left & right


@pytest.mark.parametrize("seed", [0, 7])
def test_quickshift_is_the_one_of_the_lime_package(seed):
    images = pictures(1, height=130, width=130, seed=seed)
    theirs = SegmentationAlgorithm("quickshift", kernel_size=4, max_dist=200, ratio=0.2, rng=seed)
    expected = theirs(images[0].permute(1, 2, 0).double().numpy())
    ours = superpixels(images, kind="quickshift", seed=seed)
    assert torch.equal(ours, relabel(torch.from_numpy(expected)[None]))


def test_superpixels_leave_the_random_state_and_the_images_alone():
    images = pictures().requires_grad_()
    before, state = images.detach().clone(), torch.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    for kind in ("slic", "quickshift", "grid"):
        superpixels(images, kind=kind)
    assert torch.equal(images, before) and torch.equal(state, torch.get_rng_state())
    assert (numpy_state == np.random.get_state()[1]).all()  # noqa: NPY002


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "felzenszwalb"}, "kind must be one of"),
        ({"count": 0}, "count must be"),
        ({"count": 2.5}, "count must be"),
        ({"count": 10**6}, "1920 pixels"),
    ],
)
def test_bad_options_of_superpixels(options, message):
    with pytest.raises(ValueError, match=message):
        superpixels(pictures(), **options)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s: s.float(), TypeError, "integer labels"),
        (lambda s: s > 0, TypeError, "integer labels"),
        (lambda s: s.tolist(), TypeError, "tensor or array"),
        (lambda s: s[:, :-1], ValueError, r"shape \(2, 48, 40\)"),
        (lambda s: s[:1], ValueError, r"shape \(2, 48, 40\)"),
        (lambda s: s - 1, ValueError, "start at 0, got -1"),
        (lambda s: torch.stack([s[0], s[1] + (s[1] > 2)]), ValueError, "image 1 have gaps"),
        (lambda s: s + 10**9, ValueError, "image 0 have gaps"),
    ],
)
def test_bad_segments_are_named(change, error, message):
    images = pictures()
    segments = superpixels(images, kind="grid", count=12)
    with pytest.raises(error, match=message):
        check_segments(change(segments), images)


def test_segments_for_all_images_and_from_numpy():
    images = pictures()
    segments = superpixels(images, kind="grid", count=12)
    assert torch.equal(check_segments(segments[0], images), segments)
    assert torch.equal(check_segments(segments.numpy().astype(np.int32), images), segments)


def test_relabel_keeps_the_order():
    odd = torch.tensor([[[-5, 70], [3, 70]], [[9, 9], [9, 9]]])
    assert relabel(odd).tolist() == [[[0, 2], [1, 2]], [[0, 0], [0, 0]]]
    with pytest.raises(ValueError, match=r"\(B, H, W\)"):
        relabel(odd[0])


def test_values_are_painted_on_their_segments():
    segments = torch.tensor([[[0, 1], [2, 1]], [[0, 0], [0, 1]]])
    values = torch.tensor([[10.0, 20.0, 30.0], [1.0, 2.0, 99.0]])
    assert segments_to_map(values, segments).tolist() == [[[10, 20], [30, 20]], [[1, 1], [1, 2]]]
    several = torch.stack([values, -values], 1)  # (B, T, M)
    maps = segments_to_map(several, segments)
    assert maps.shape == (2, 2, 2, 2) and torch.equal(maps[:, 1], -segments_to_map(values, segments))
    with pytest.raises(ValueError, match="up to label 2"):
        segments_to_map(values[:, :2], segments)
    with pytest.raises(ValueError, match=r"\(B, M\)"):
        segments_to_map(values[0], segments)


@pytest.mark.parametrize("seed", [0, 1])
def test_segment_means_against_a_loop(seed):
    images = pictures(seed=seed)
    segments = superpixels(images, kind="slic", count=15)
    means = segment_means(images, segments)
    for b in range(2):
        for m in range(int(segments[b].max()) + 1):
            expected = images[b, :, segments[b] == m].mean(1)
            assert torch.allclose(means[b, :, m], expected, atol=1e-6)


def test_fills_broadcast_to_the_images():
    images = pictures()
    colour = torch.tensor([0.1, 0.2, 0.3])
    assert torch.equal(fill_values(images, 0.5).expand_as(images), torch.full_like(images, 0.5))
    assert torch.equal(fill_values(images, colour).expand_as(images)[:, 1], torch.full_like(images[:, 1], 0.2))
    assert torch.allclose(fill_values(images, "mean")[:, :, 0, 0], images.mean((2, 3)))
    assert torch.equal(fill_values(images, images.flip(3)), images.flip(3))
    assert torch.equal(fill_values(images, images[0]), images[:1].expand_as(images))


@pytest.mark.parametrize(
    ("fill", "error"),
    [("grey", ValueError), (True, TypeError), (None, TypeError), (float("nan"), ValueError),
     (torch.zeros(4), ValueError), (torch.zeros(5, 3, 48, 40), ValueError), (torch.zeros(2, 2), ValueError)],
)  # fmt: skip
def test_bad_fills(fill, error):
    with pytest.raises(error, match="fill"):
        fill_values(pictures(), fill)


def test_only_the_coalition_stays_visible():
    images = pictures()
    segments = superpixels(images, kind="grid", count=4)
    coalitions = [torch.tensor([[True, False, False, True], [True] * 4]), torch.tensor([[False] * 4])]
    change, variants = hide_segments(images, segments, coalitions, 0.25)
    assert variants == 2
    shown = change(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0]))
    kept = (segments[0] == 0) | (segments[0] == 3)
    assert torch.equal(shown[0], torch.where(kept, images[0], torch.tensor(0.25)))
    assert torch.equal(shown[1], images[0]) and (shown[2] == 0.25).all()
