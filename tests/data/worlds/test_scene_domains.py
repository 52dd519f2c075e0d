"""Two domains of the scenes world: what they show, where, and what they refuse."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from data_fetch.worlds.scenes.domains import CLASSES, alone, cluttered


@pytest.fixture(scope="module")
def several():
    return cluttered(60, size=32, seed=1000)


def test_alone_shows_one_class_with_its_foreground():
    found = alone(16, size=32, seed=1000, style="flat")
    assert found.images.shape == (16, 3, 32, 32) and found.size == 32 and found.style == "flat"
    assert found.single().bincount().tolist() == [2] * 8
    for labels, segmentation in zip(found.labels, found.segmentation):
        assert set(segmentation.unique().tolist()) == {0, int(labels.long().argmax()) + 1}


def test_cluttered_shows_several_classes_where_its_labels_say(several):
    assert len(several) == 60 and several.class_names == CLASSES
    assert several.labels.any(1).all() and several.labels.sum(1).float().mean() > 1.8
    for labels, segmentation in zip(several.labels, several.segmentation):
        shown = segmentation.unique()
        shown = shown[(shown > 0) & (shown < 255)].long() - 1
        assert shown.tolist() == torch.nonzero(labels)[:, 0].tolist()


def test_things_of_one_place_come_together():
    labels = cluttered(300, size=24, seed=1001).labels.float()
    car, bicycle, boat = (CLASSES.index(name) for name in ("car", "bicycle", "boat"))
    given_car = labels[labels[:, car] == 1].mean(0)
    assert given_car[bicycle] > 3 * given_car[boat]


def test_same_seed_same_pictures_and_another_style_only_looks_different(several):
    again = cluttered(60, size=32, seed=1000)
    assert torch.equal(several.images, again.images) and torch.equal(several.segmentation, again.segmentation)
    day = cluttered(60, size=32, seed=1000, style="photo")
    assert torch.equal(day.segmentation, several.segmentation)
    assert day.images.mean() > several.images.mean() + 0.1


def test_a_part_of_a_domain_is_a_domain(several):
    part = several[torch.tensor([3, 5])]
    assert len(part) == 2 and torch.equal(part.labels, several.labels[[3, 5]])


def test_single_refuses_several(several):
    with pytest.raises(ValueError, match="one class"):
        several.single()
    none = dataclasses.replace(several, labels=torch.zeros_like(several.labels))
    with pytest.raises(ValueError, match="none or several"):
        none.single()


def test_cluttered_needs_things():
    with pytest.raises(ValueError, match="more things a picture"):
        cluttered(40, size=24, seed=1, people=1.0, things=(0, 1), classes=("laptop",), places=("water",))
    with pytest.raises(ValueError, match="unknown"):
        cluttered(4, classes=("dragon",))
