"""Objects on backgrounds of their own: layers, variants of the challenge, ties between class and pattern."""

from __future__ import annotations

import pytest
import torch

from data_fetch.worlds.backgrounds import PATTERNS, VARIANTS, object_scenes


@pytest.fixture(scope="module")
def some():
    return object_scenes(400, seed=3, tie=0.6)


def test_the_same_seed_gives_the_same_pictures(some):
    again = object_scenes(400, seed=3, tie=0.6)
    assert torch.equal(some.images, again.images) and torch.equal(some.labels, again.labels)
    assert not torch.equal(some.images, object_scenes(400, seed=4, tie=0.6).images)
    assert some.images.min() >= 0 and some.images.max() <= 1 and some.images.shape == (400, 3, 48, 48)


def test_classes_are_balanced_and_tied_as_asked(some):
    counts = torch.bincount(some.labels, minlength=8)
    assert counts.max() - counts.min() <= 1
    assert 0.58 < some.card()["share_on_tied_pattern"] < 0.72  # 0.6 and an eighth of the others
    free = object_scenes(800, seed=3).card()["share_on_tied_pattern"]
    assert abs(free - 1 / 8) < 0.05


def test_no_two_backgrounds_are_alike(some):
    small = torch.nn.functional.avg_pool2d(some.backgrounds, 4).flatten(1)
    gaps = torch.cdist(small, small) + 99 * torch.eye(len(small))
    assert gaps.min() > 0.05


def test_the_object_covers_its_mask_alone(some):
    alone = some.recombine("only_bg")
    changed = (some.images - alone.images).abs().amax(1) > 0.25
    near = torch.nn.functional.max_pool2d(some.masks[:, None].float(), 5, 1, 2)[:, 0] > 0
    assert not (changed & ~near).any()
    x0, y0, x1, y1 = some.boxes[7].tolist()
    assert some.masks[7, y0:y1, x0:x1].sum() == some.masks[7].sum()
    assert some.masks[7, y0].any() and some.masks[7, :, x1 - 1].any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_keep_labels_and_masks(some, variant):
    other = some.recombine(variant, seed=1)
    assert torch.equal(other.labels, some.labels) and torch.equal(other.masks, some.masks)
    inner = torch.nn.functional.avg_pool2d(some.masks[:, None].float(), 3, 1, 1)[:, 0] > 0.999
    if variant != "only_bg":
        gap = (other.images - some.images).abs() * inner[:, None]
        assert gap.max() < 1e-5  # the object's inside stays, noise included
    if variant in ("only_fg",):
        assert not (other.images * ~some.masks[:, None]).any()
    if variant.startswith("mixed"):
        assert (other.images != some.images).flatten(1).any(1).float().mean() > 0.98


def test_whose_background_a_mixed_picture_has(some):
    same, following, anyone = (some.recombine(v) for v in ("mixed_same", "mixed_next", "mixed_rand"))
    tied = lambda part, shift: float((part.patterns == (some.labels + shift) % len(PATTERNS)).float().mean())  # noqa: E731
    assert torch.equal(same.patterns.bincount(), some.patterns.bincount())
    assert tied(same, 0) > 0.55 and tied(following, 1) > 0.55 and tied(following, 0) < 0.2
    assert abs(tied(anyone, 0) - 1 / 8) < 0.06


def test_bad_arguments_are_named(some):
    for options, message in (
        ({"count": 0}, "count"), ({"size": 8}, "size"), ({"classes": ("star",)}, "classes"), ({"tie": 1.5}, "tie"),
        ({"radius": (0.3, 0.1)}, "radius"), ({"noise": -1.0}, "noise"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            object_scenes(**({"count": 8} | options))
    with pytest.raises(ValueError, match="one of"):
        some.recombine("mixed")
    with pytest.raises(ValueError, match="recombine the original"):
        some.recombine("only_fg").recombine("only_bg")
