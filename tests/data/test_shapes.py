"""The shapes world: the truth that it hands out is the truth of its pixels."""

from __future__ import annotations

import json
import time

import pytest
import torch

from data_fetch.worlds.shapes import CLASSES, COLOURS, GROUNDS, shapes

seeds = pytest.mark.parametrize("seed", [0, 1, 7])


@seeds
def test_fields_have_their_shapes_and_ranges(seed):
    world = shapes(40, size=32, seed=seed)
    assert world.images.shape == (40, 3, 32, 32) and world.images.dtype == torch.float32
    assert 0 <= float(world.images.min()) and float(world.images.max()) <= 1
    assert world.masks.shape == (40, 32, 32) and world.masks.dtype == torch.bool
    assert set(world.labels.tolist()) <= set(range(len(CLASSES)))
    assert set(world.grounds.tolist()) <= set(range(len(GROUNDS)))
    assert set(world.colours.tolist()) <= set(range(len(COLOURS)))
    assert world.other_labels is None and world.other_masks is None and len(world) == 40


@seeds
def test_same_seed_same_pixels_other_seed_other_pixels(seed):
    first, again = shapes(12, size=32, seed=seed), shapes(12, size=32, seed=seed)
    assert torch.equal(first.images, again.images) and torch.equal(first.masks, again.masks)
    assert not torch.equal(first.images, shapes(12, size=32, seed=seed + 100).images)


def test_global_random_state_is_left_alone():
    before = torch.random.get_rng_state()
    shapes(3, size=32, seed=5)
    assert torch.equal(before, torch.random.get_rng_state())


@seeds
def test_classes_and_tied_grounds_have_exact_shares(seed):
    world = shapes(200, size=24, seed=seed, classes=CLASSES[:2], grounds=GROUNDS[:2], correlation=0.95)
    card = world.card()
    assert set(card["class_counts"].values()) == {100}
    assert card["share_on_tied_ground"] == 0.95 and card["class_by_ground"] == [[95, 5], [5, 95]]
    free = shapes(8 * 8 * 4, size=24, seed=seed).card()
    assert free["share_on_tied_ground"] == free["share_if_independent"] == 0.125
    assert all(row == [4] * 8 for row in free["class_by_ground"])
    json.dumps(card)


@pytest.mark.parametrize("correlation", [0.0, 1.0])
def test_correlation_reaches_both_ends(correlation):
    world = shapes(60, size=24, grounds=GROUNDS[:3], correlation=correlation)
    assert float((world.grounds == world.tied_grounds()).float().mean()) == correlation


@seeds
def test_mask_is_where_the_object_is(seed):
    """Other grounds change every pixel outside the masks' rim and none well inside."""
    world = shapes(32, size=48, seed=seed, noise=0.0)
    other = world.with_grounds((world.grounds + 3) % 8)
    changed = (world.images - other.images).abs().amax(1) > 1e-6
    grown = torch.nn.functional.max_pool2d(world.masks.float()[:, None], 3, 1, 1)[:, 0] > 0
    core = -torch.nn.functional.max_pool2d(-world.masks.float()[:, None], 5, 1, 2)[:, 0] > 0
    assert core.sum() > 200 and not changed[core].any()
    assert changed[~grown].float().mean() > 0.98
    assert torch.equal(world.masks, other.masks) and torch.equal(world.labels, other.labels)


@pytest.mark.parametrize("name", CLASSES)
def test_each_outline_fills_a_plausible_area_inside_the_image(name):
    world = shapes(24, size=64, classes=(name,), radius=(0.2, 0.2), seed=2)
    share = world.masks.float().mean((1, 2)) / 0.2**2
    assert float(share.std()) < 0.12, "an object's area must not depend on its angle or place"
    assert 0.9 < float(share.mean()) < 3.2, float(share.mean())
    edges = world.masks[:, [0, -1]].any() | world.masks[:, :, [0, -1]].any()
    assert not edges, "an object touches the border"


def test_outlines_differ_from_each_other():
    """Templates of one class are closer to themselves than to any other class's."""
    world = shapes(64, size=48, radius=(0.3, 0.3), seed=3)
    inner = [world.masks[world.labels == k].float().sum((1, 2)).mean() for k in range(8)]
    assert len({round(float(area)) for area in inner}) == 8


@seeds
def test_pairs_hold_two_classes_apart(seed):
    world = shapes(128, size=24, seed=seed, style="pairs", radius=(0.24, 0.24))
    assert (world.labels != world.other_labels).all()
    assert not (world.masks & world.other_masks).any()
    assert bool(world.masks.flatten(1).any(1).all())
    assert bool(world.other_masks.flatten(1).any(1).all())
    assert len(set(zip(world.labels.tolist(), world.other_labels.tolist()))) > 30


def test_part_of_a_set_renders_as_in_the_whole():
    world = shapes(100, size=32, seed=4)
    part = world[torch.tensor([3, 70, 99])]
    assert len(part) == 3 and torch.equal(part.images, world.images[[3, 70, 99]])
    assert torch.equal(part.with_grounds(part.grounds).images, part.images)
    assert len(world[world.labels == 2]) == int((world.labels == 2).sum())
    with pytest.raises(TypeError, match="world\\[5:6\\]"):
        world[5]


def test_joined_sets_keep_every_field():
    first, second = shapes(5, size=32, seed=1, style="pairs"), shapes(3, size=32, seed=2, style="pairs")
    both = first.join(second)
    assert len(both) == 8 and torch.equal(both[5:].images, second.images)
    assert torch.equal(both[:5].other_masks, first.other_masks)
    assert torch.equal(both.with_grounds(both.grounds).images, both.images)
    with pytest.raises(ValueError, match="one kind"):
        first.join(shapes(3, size=32, style="single"))


def test_noise_and_opacity_do_what_they_say():
    plain, noisy = shapes(16, size=48, seed=1, noise=0.0), shapes(16, size=48, seed=1, noise=0.1)
    middle = (plain.images > 0.35) & (plain.images < 0.65)  # where nothing is clipped
    assert abs(float((noisy.images - plain.images)[middle].std()) - 0.1) < 0.005
    faint = shapes(16, size=48, seed=1, noise=0.0, opacity=0.3)
    swapped = faint.with_grounds((faint.grounds + 1) % 8)
    inside = faint.masks[:, None].expand_as(faint.images)
    assert float((faint.images - swapped.images).abs()[inside].mean()) > 0.05, "the ground shines through"


@pytest.mark.parametrize(
    "arguments, word",
    [
        ({"count": 0}, "count"),
        ({"size": 8}, "size"),
        ({"classes": ("star", "star")}, "classes"),
        ({"grounds": ("lava",)}, "grounds"),
        ({"correlation": 1.2}, "correlation"),
        ({"style": "triples"}, "style"),
        ({"style": "pairs", "classes": ("star",)}, "pairs"),
        ({"style": "pairs", "radius": (0.1, 0.4)}, "radius"),
        ({"opacity": 0.0}, "opacity"),
        ({"noise": -0.1}, "noise"),
    ],
)
def test_bad_arguments_are_named(arguments, word):
    with pytest.raises(ValueError, match=word):
        shapes(**{"count": 4, "size": 32, **arguments})


def test_bad_grounds_are_named():
    world = shapes(4, size=32)
    with pytest.raises(ValueError, match="shape"):
        world.with_grounds(torch.zeros(3))
    with pytest.raises(ValueError, match="0 to 7"):
        world.with_grounds(torch.full((4,), 8))


def test_rendering_is_fast():
    """2,000 images a second are asked for on two cores; this allows for a busy machine."""
    shapes(128, seed=0)
    start = time.perf_counter()
    shapes(512, seed=1)
    assert 512 / (time.perf_counter() - start) > 400


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_same_world_on_a_gpu():
    here, there = shapes(64, seed=3), shapes(64, seed=3, device="cuda")
    assert there.images.is_cuda and float((here.images - there.images.cpu()).abs().max()) < 1e-3
    assert float((here.masks != there.masks.cpu()).float().mean()) < 1e-4
