"""Minimum barrier distance against a slow exact one, Otsu's threshold against scikit-image, masks against the truth."""

from __future__ import annotations

import heapq

import numpy as np
import pytest
import torch
from skimage.filters import threshold_otsu

from data_fetch.worlds.backgrounds import object_scenes
from lessons_lib.explain.saliency import minimum_barrier, otsu, salient_masks


def exact(image: np.ndarray) -> np.ndarray:
    """The true minimum barrier distance of one channel: for every lower bound, the smallest reachable maximum."""
    height, width = image.shape
    best = np.full((height, width), np.inf)
    border = [(y, x) for y in range(height) for x in range(width) if y in (0, height - 1) or x in (0, width - 1)]
    for low in np.unique(image):
        high = np.full((height, width), np.inf)
        heap = [(image[p], p) for p in border if image[p] >= low]
        for value, p in heap:
            high[p] = value
        heapq.heapify(heap)
        while heap:
            value, (y, x) = heapq.heappop(heap)
            if value > high[y, x]:
                continue
            for p in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= p[0] < height and 0 <= p[1] < width and image[p] >= low and max(value, image[p]) < high[p]:
                    high[p] = max(value, image[p])
                    heapq.heappush(heap, (high[p], p))
        best = np.minimum(best, high - low)
    for p in border:
        best[p] = 0
    return best


def test_never_below_the_exact_distance_and_mostly_equal():
    image = torch.rand(1, 1, 9, 11, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    true = torch.from_numpy(exact(image[0, 0].double().numpy())).float()
    found = minimum_barrier(image, passes=6)[0]
    assert (found >= true - 1e-5).all()
    assert ((found - true).abs() < 1e-5).float().mean() > 0.8


def test_a_flat_object_stands_out_by_its_contrast_and_a_ramp_does_not():
    image = torch.full((1, 1, 12, 12), 0.2)
    image[0, 0, 4:8, 4:9] = 0.9
    found = minimum_barrier(image)[0]
    expected = torch.zeros(12, 12)
    expected[4:8, 4:9] = 0.7
    torch.testing.assert_close(found, expected)
    ramp = torch.linspace(0, 1, 12).expand(1, 1, 12, 12)
    assert minimum_barrier(ramp).max() < 1e-6  # every pixel has a path of its own value to the border


def test_channels_add_up_and_pictures_do_not_mix():
    images = torch.rand(5, 3, 10, 10, generator=torch.Generator().manual_seed(1))
    whole = minimum_barrier(images, batch=2)
    torch.testing.assert_close(whole, sum(minimum_barrier(images[:, c : c + 1]) for c in range(3)))
    torch.testing.assert_close(whole[3:4], minimum_barrier(images[3:4]))


def test_otsu_agrees_with_scikit_image():
    generator = torch.Generator().manual_seed(2)
    low, high = torch.rand(4, 200, generator=generator) * 0.4, 0.7 + 0.3 * torch.rand(4, 56, generator=generator)
    values = torch.cat([low, high], 1).view(4, 16, 16)
    ours = otsu(values, bins=64)
    for one, cut in zip(values, ours.tolist()):
        theirs = threshold_otsu(one.numpy(), nbins=64)
        assert (
            abs(cut - theirs) <= 1.01 * float(one.max() - one.min()) / 64
        )  # it gives a bin's middle, ours its upper end


def test_masks_fit_the_objects_of_the_scenes():
    some = object_scenes(200, seed=9)
    found = salient_masks(some.images)
    shared = (found & some.masks).sum((1, 2)) / (found | some.masks).sum((1, 2))
    assert found.flatten(1).any(1).all() and shared.mean() > 0.5
    assert salient_masks(torch.zeros(2, 3, 8, 8)).flatten(1).any(1).all()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="images must"):
        minimum_barrier(torch.rand(3, 8, 8))
    with pytest.raises(ValueError, match="passes"):
        minimum_barrier(torch.rand(1, 3, 8, 8), passes=0)
    with pytest.raises(ValueError, match="odd"):
        salient_masks(torch.rand(1, 3, 8, 8), smooth=2)
    with pytest.raises(ValueError, match="values must"):
        otsu(torch.rand(8, 8))
