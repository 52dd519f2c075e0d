"""One thing a picture: balance, ties to places, and the backgrounds that are exchanged."""

from __future__ import annotations

import json
from collections import Counter

import pytest
import torch
import torch.nn.functional as F

from data_fetch.worlds.scenes import objects
from data_fetch.worlds.scenes.single import VARIANTS
from data_fetch.worlds.scenes.vocabulary import PLACE_NAMES, THINGS

seeds = pytest.mark.parametrize("seed", [0, 3, 29])


def grown(masks, pixels=1):
    return F.max_pool2d(masks.float()[:, None], 2 * pixels + 1, 1, pixels)[:, 0] > 0


def shrunk(masks, pixels=1):
    return ~grown(~masks, pixels)


@seeds
@pytest.mark.parametrize("home", [0.0, 0.9, 1.0, None])
def test_classes_are_balanced_and_tied_as_asked(seed, home):
    data = objects(450, size=24, seed=seed, home=home)
    assert set(torch.bincount(data.labels).tolist()) == {50}
    at_home = [
        PLACE_NAMES[p] in THINGS[data.class_names[k]].homes for k, p in zip(data.labels.tolist(), data.places.tolist())
    ]
    if home is None:
        counts = Counter(zip(data.labels.tolist(), data.places.tolist()))
        assert set(counts.values()) == {5}
    else:
        assert abs(sum(at_home) / 450 - home) < 1e-9 and data.card()["share_at_home"] == home
    json.dumps(data.card())


@seeds
def test_the_mask_is_the_thing_and_fills_its_share(seed):
    data = objects(90, size=48, seed=seed, things=tuple(THINGS)[:9], reach=(0.25, 0.3))
    assert bool(data.masks.flatten(1).any(1).all())
    for n in range(90):
        rows, columns = torch.nonzero(data.masks[n], as_tuple=True)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert data.boxes[n].tolist() == [float(v) for v in box]
        width, height = data.boxes[n, 2] - data.boxes[n, 0], data.boxes[n, 3] - data.boxes[n, 1]
        assert 0.35 * 48 <= max(width, height) <= 0.68 * 48


@seeds
def test_recombined_pictures_are_made_of_the_right_layers(seed):
    data = objects(90, size=48, seed=seed, style="flat", noise=0.0)
    inside, outside = shrunk(data.masks), ~grown(data.masks, 4)
    assert inside.sum() > 3000
    for variant in VARIANTS:
        other = data.recombine(variant, seed)
        assert torch.equal(other.labels, data.labels) and torch.equal(other.masks, data.masks)
        change = (other.images - data.images).abs().amax(1)
        if variant in ("original", "mixed_same", "mixed_rand", "mixed_next", "only_fg"):
            assert float((change[inside] < 1e-4).float().mean()) > 0.97, variant
        if variant in ("original", "only_bg_b", "only_bg_t", "no_fg"):
            still = outside & (change < 1e-5) if variant == "only_bg_b" else change[outside] < 1e-5
            share = float(still.sum() / outside.sum())
            assert share > (0.6 if variant == "only_bg_b" else 0.97), (variant, share)
        if variant.startswith("mixed"):
            assert float((change[outside] > 1e-3).float().mean()) > 0.6, variant


@seeds
def test_black_parts_are_black(seed):
    data = objects(45, size=32, seed=seed)
    assert not data.recombine("only_fg").images.amax(1)[~data.masks].any()
    assert not data.recombine("no_fg").images.amax(1)[data.masks].any()
    boxed = data.recombine("only_bg_b").images.amax(1)
    for n, (x0, y0, x1, y1) in enumerate(data.boxes.long().tolist()):
        assert not boxed[n, y0:y1, x0:x1].any() and boxed[n].any()
    assert (data.recombine("only_fg").places == -1).all()


@seeds
def test_donors_come_from_the_class_that_the_variant_names(seed):
    data = objects(180, size=24, seed=seed)
    by_look = {int(s): n for n, s in enumerate(data.graph.seeds)}
    for variant in ("mixed_same", "mixed_next", "mixed_rand"):
        donors = data._donors(variant, seed)
        assert not (donors == torch.arange(180)).any()
        classes = data.labels[donors]
        if variant == "mixed_same":
            assert torch.equal(classes, data.labels)
        elif variant == "mixed_next":
            assert torch.equal(classes, (data.labels + 1) % 9)
        else:
            assert len(set(zip(data.labels.tolist(), classes.tolist()))) > 40
        assert torch.equal(data.recombine(variant, seed).places, data.graph.place[donors])
    assert len(by_look) == 180


@seeds
def test_counterfactual_places(seed):
    data = objects(30, size=32, seed=seed, things=("boat", "car"), context={"boat": 1.0})
    moved = data.in_places(torch.full((30,), PLACE_NAMES.index("street")))
    assert set(moved.places.tolist()) == {PLACE_NAMES.index("street")} and torch.equal(moved.masks, data.masks)
    assert not torch.equal(moved.images, data.images)
    with pytest.raises(ValueError, match="places must be 30 numbers"):
        data.in_places([0, 1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"things": ("dog", "unicorn")}, "unknown: \\['unicorn'\\]"),
        ({"reach": (0.3, 0.2)}, "reach must be"),
        ({"home": 1.5}, "home is a share"),
        ({"size": 8}, "size must be at least 24"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        objects(9, **arguments)


def test_bad_variants_are_named():
    data = objects(9, size=24)
    with pytest.raises(ValueError, match="variant must be one of"):
        data.recombine("mixed_up")
    with pytest.raises(ValueError, match="recombine the original"):
        data.recombine("no_fg").recombine("only_fg")
    with pytest.raises(ValueError, match="at least two classes"):
        objects(4, size=24, things=("dog",)).recombine("mixed_next")
