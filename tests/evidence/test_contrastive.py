"""Maps of the query, frozen features, and what pairs of crops share."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.evidence.contrastive import crop_keys, pooled, positions, query_maps, shared_crops
from lessons_lib.training.cast import new_model


def test_shared_crops_by_hand():
    masks = torch.zeros(3, 8, 8, dtype=torch.bool)
    masks[:, 2:4, 2:4] = True
    hit, miss = torch.tensor([0, 0, 5, 5]), torch.tensor([5, 5, 8, 8])
    found = shared_crops(masks, (torch.stack([hit, hit, miss]), torch.stack([hit, miss, miss])))
    assert found == {"both": pytest.approx(1 / 3), "one": pytest.approx(1 / 3), "none": pytest.approx(1 / 3)}


def test_features_do_not_depend_on_the_batches_and_maps_follow_the_key():
    model = new_model(width=4, dimension=8, length=8, seed=0).eval()
    images = torch.rand(5, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    where = positions(model, images, batch=2)
    assert where.shape == (5, 16, 6, 6)
    torch.testing.assert_close(pooled(model, images), where.mean((2, 3)))
    keys = crop_keys(model, images, seed=1)
    assert torch.equal(keys, crop_keys(model, images, seed=1)) and not torch.equal(
        keys, crop_keys(model, images, seed=2)
    )
    maps = query_maps(model, images, keys, batch=2)
    assert maps.shape == (5, 24, 24) and maps.min() >= 0
    torch.testing.assert_close(maps[3:4], query_maps(model, images[3:4], keys[3:4]))
    assert not torch.allclose(maps, query_maps(model, images, -keys))
