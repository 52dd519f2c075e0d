"""Mosaics of photographs, and on them the course's first criterion: does Grad-CAM find the right tile?"""

from __future__ import annotations

import pytest
import torch

from data_fetch import photos
from data_fetch.mosaics import mosaics, tile_masks
from lessons_lib.explain.gradcam import grad_cam
from lessons_lib.models import imagenet


@pytest.fixture(scope="module")
def lite() -> imagenet.ImageNetModel:
    return imagenet.load()


def localisation(model: torch.nn.Module, seed: int, count: int, layer: str | None = None) -> tuple[float, float, int]:
    """Mean Focus, pointing game, and how many passes of the network it took."""
    batch = mosaics(count, seed)
    passes = []
    handle = model.register_forward_hook(lambda *_: passes.append(1))
    maps = grad_cam(model, batch.images, batch.classes, layer, size="images")  # (N, 4, H, W)
    handle.remove()
    assert maps.shape == batch.masks.shape
    focus = (maps * batch.masks).sum((2, 3)) / maps.sum((2, 3)).clamp(min=1e-12)
    hit = batch.masks.flatten(2).gather(2, maps.flatten(2).argmax(2, keepdim=True))
    return float(focus.mean()), float(hit.float().mean()), len(passes)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_grad_cam_finds_the_tile_of_each_class(lite, seed):
    focus, pointing, passes = localisation(lite, seed, count=24)
    assert focus >= 0.75
    assert pointing >= 0.95
    assert passes == 1  # all four classes of all mosaics


def test_the_criterion_can_be_failed(lite):
    """An untrained network, and a layer of the trained one that is not semantic yet, stay near chance (1 / 4)."""
    untrained = imagenet.load(weights=None, seed=0)
    assert localisation(untrained, seed=1, count=8)[0] < 0.4
    assert localisation(lite, 1, 8, "network._blocks.10")[0] < 0.5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_tiles_show_four_classes_in_their_places(seed):
    batch = mosaics(6, seed, jitter=0)
    assert len(batch) == 6 and batch.images.shape == (6, 3, 224, 224)
    assert batch.masks.shape == (6, 4, 224, 224) and batch.masks.dtype == torch.bool
    assert batch.classes.shape == (6, 4) and batch.classes.dtype == torch.int64
    assert 0 <= batch.images.min() and batch.images.max() <= 1
    for image, masks, classes, names in zip(batch.images, batch.masks, batch.classes, batch.names):
        assert len(set(classes.tolist())) == 4
        for mask, index, name in zip(masks, classes, names):
            photo = photos.photo(name)
            assert photo.suitable and photo.index == index
            alone = imagenet.prepare(photos.load(name), 112)[0]
            difference = (image[:, mask].view(3, 112, 112) - alone).abs()
            assert difference.max() < 0.04 and difference.mean() < 0.005  # Pillow works on whole numbers


def test_masks_share_the_picture_out():
    masks = tile_masks(10)
    assert (masks.sum(0) == 1).all() and (masks.flatten(1).sum(1) == 25).all()
    first = masks.flatten(1).float().argmax(1)
    assert first.tolist() == [0, 5, 50, 55]  # top left, top right, bottom left, bottom right


def test_the_seed_decides_everything():
    one, same, other = mosaics(4, 7, 64), mosaics(4, 7, 64), mosaics(4, 8, 64)
    assert torch.equal(one.images, same.images) and one.names == same.names
    assert not torch.equal(one.images, other.images)
    before = torch.get_rng_state()
    mosaics(1, 0, 32)
    assert torch.equal(before, torch.get_rng_state())


def test_jitter_varies_the_tiles_of_one_photograph():
    plain, varied = mosaics(12, 0, 64, jitter=0), mosaics(12, 0, 64, jitter=0.3)

    def tiles(batch, name: str) -> list[torch.Tensor]:
        return [
            image[:, mask]
            for image, masks, names in zip(batch.images, batch.masks, batch.names)
            for mask, shown in zip(masks, names)
            if shown == name
        ]

    assert all(torch.equal(tiles(plain, "chelsea")[0], tile) for tile in tiles(plain, "chelsea"))
    found = tiles(varied, "chelsea")
    assert len(found) > 3 and all(not torch.equal(found[0], tile) for tile in found[1:])


def test_every_suitable_class_comes_up_in_every_place():
    batch = mosaics(60, 0, 16)
    suitable = {photos.photo(name).index for name in photos.names(suitable_only=True)}
    assert len(suitable) >= 5
    for place in range(4):
        assert set(batch.classes[:, place].tolist()) == suitable
    assert {name for names in batch.names for name in names} == set(photos.names(suitable_only=True))


def test_a_choice_of_photographs():
    chosen = ["chelsea", "rocket", "china", "clock_motion"]
    batch = mosaics(5, 0, 32, photos=chosen)
    assert all(sorted(names) == sorted(chosen) for names in batch.names)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"count": 0}, "count must be"),
        ({"size": 33}, "even number"),
        ({"size": 0}, "even number"),
        ({"jitter": 0.6}, "jitter must be"),
        ({"jitter": -0.1}, "jitter must be"),
        ({"photos": ["chelsea", "coffee", "camera"]}, "at least four"),
        ({"photos": ["motorcycle_left", "motorcycle_right", "coffee", "camera"]}, "at least four"),
        ({"photos": ["grass", "chelsea", "coffee", "camera"]}, "no ImageNet class fits the photo 'grass'"),
        ({"photos": ["nothing"]}, "there is no photo"),
    ],
)
def test_bad_options(options, said):
    with pytest.raises(ValueError, match=said):
        mosaics(**{"count": 1, "seed": 0, **options})
