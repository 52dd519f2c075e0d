"""The experiment of lesson 10 on a small world: arms, measures, claims that follow from numbers, VOC's layout."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from data_fetch.readers.voc import CLASSES as VOC_CLASSES
from lessons_lib.experiments import attnbn
from lessons_lib.models.small import SmallCNN
from lessons_lib.training.attnbn_sets import voc_domains

SMALL = {"source": 24, "target": 12, "test": 24, "size": 24, "width": 4, "steps": 4, "batch": 4, "lr": 5e-3}


@pytest.fixture(scope="module")
def small():
    old = attnbn.SIZES["quick"]
    attnbn.SIZES["quick"] = SMALL
    try:
        yield attnbn.world(1200)
    finally:
        attnbn.SIZES["quick"] = old


def test_styles_and_sets_differ(small):
    sets = (small.source, small.target, small.source_test, small.test, small.third)
    assert [data.style for data in sets] == ["flat", "night", "flat", "night", "photo"]
    assert [len(data) for data in sets] == [24, 12, 24, 24, 24]
    assert not torch.equal(small.test.segmentation, small.third.segmentation)
    assert torch.equal(attnbn.world(1200).target.images, small.target.images)


def test_all_arms_start_from_the_same_weights(small):
    a, b = attnbn.start(small), attnbn.start(small)
    assert torch.equal(a.head.weight, b.head.weight)


@pytest.mark.parametrize("arm", ["target_only", "attnbn", "dann"])
def test_measures_are_shares_and_a_seed_repeats_them(small, arm):
    found = attnbn.measure(attnbn.train(small, arm, 1200), small)
    assert {"target_miou", "target_map", "target_pointing", "third_miou", "third_map", "domain_accuracy"} <= set(found)
    assert all(0 <= value <= 1 for name, value in found.items() if name != "judge_loss")
    assert (found["judge_loss"] > 0) == (arm != "target_only")
    if arm == "attnbn":
        assert attnbn.measure(attnbn.train(small, arm, 1200), small) == found


def test_arms_differ_in_what_they_say():
    w = attnbn.WEIGHTS
    assert set(w) == set(attnbn.ARMS)
    assert not w["target_only"].source and w["same_compute"].twice and not w["same_compute"].source
    assert (
        w["shared"].foreground == 0 == w["shared"].bridge and w["foreground"].bridge == 0 < w["foreground"].foreground
    )
    assert w["attnbn_shuffled"].shuffled and w["attnbn_shuffled"].bridge == w["attnbn"].bridge > 0
    assert w["dann"].whole_picture and w["dann"].foreground == 0 < w["dann"].bridge
    assert len({weights.target for weights in w.values() if weights.source}) == 1


def test_matched_features_are_of_both_domains(small):
    features, classes, source = attnbn.matched(attnbn.looks(attnbn.train(small, "shared", 1200), small))
    assert int(source.sum()) == 24 and len(features) == len(classes) == 24 + int(small.test.labels.sum())
    norms = features.norm(dim=1)
    assert ((norms - 1).abs() < 1e-5).all()


# ---------------------------------------- PASCAL VOC's layout
def layout_of_voc(folder):
    """Pictures of one class and of two in each split; squares whose grey is the class."""
    root = folder / "voc2012" / "VOCdevkit" / "VOC2012"
    shown = {"a": ("dog",), "b": ("cat",), "c": ("dog", "cat"), "d": ("dog",), "e": ("cat",), "f": ("cat", "dog")}
    splits = {"train": "abc", "val": "def", "trainval": "abcdef"}
    for part in ("ImageSets/Segmentation", "JPEGImages", "Annotations", "SegmentationClass", "SegmentationObject"):
        (root / part).mkdir(parents=True)
    for split, names in splits.items():
        (root / f"ImageSets/Segmentation/{split}.txt").write_text("".join(f"{name}\n" for name in names))
    for name, things in shown.items():
        picture, classes, objects = (np.zeros((32, 32), np.uint8) for _ in range(3))
        boxes = ""
        for k, thing in enumerate(things):
            where = (slice(4, 16), slice(2 + 16 * k, 14 + 16 * k))
            classes[where], objects[where] = VOC_CLASSES.index(thing) + 1, k + 1
            picture[where] = 100 + 100 * (thing == "dog")
            corners = zip(("xmin", "ymin", "xmax", "ymax"), (3 + 16 * k, 5, 14 + 16 * k, 16))
            box = "".join(f"<{side}>{value}</{side}>" for side, value in corners)
            boxes += f"<object><name>{thing}</name><difficult>0</difficult><bndbox>{box}</bndbox></object>"
        size = "<size><width>32</width><height>32</height><depth>3</depth></size>"
        (root / f"Annotations/{name}.xml").write_text(f"<annotation>{size}{boxes}</annotation>")
        Image.fromarray(np.stack([picture] * 3, 2)).save(root / f"JPEGImages/{name}.jpg")
        for part, values in (("SegmentationClass", classes), ("SegmentationObject", objects)):
            image = Image.fromarray(values)
            image.putpalette([n % 256 for n in range(768)])
            image.save(root / f"{part}/{name}.png")
    return root


def test_voc_runs_the_same_arms(tmp_path, monkeypatch):
    layout_of_voc(tmp_path)
    monkeypatch.setenv("LESSONS_DATA", str(tmp_path))
    monkeypatch.setattr(attnbn, "VGG_LAYER", "features.relu4")
    monkeypatch.setattr(attnbn, "VGG_HEAD", "head")
    monkeypatch.setattr(attnbn, "_backbone", lambda: SmallCNN(10, width=3, seed=1).eval())
    monkeypatch.setitem(attnbn.REAL_SIZES, "quick", {"size": 32, "steps": 2, "batch": 2, "lr": 1e-3})
    world = attnbn.world(1200, data="voc2012")
    assert [len(data) for data in (world.source, world.target, world.source_test, world.test)] == [2, 1, 2, 1]
    assert world.source.class_names == VOC_CLASSES and world.third.style == "grey photograph"
    assert world.source.single().tolist() == [VOC_CLASSES.index("dog"), VOC_CLASSES.index("cat")]
    grey = world.third.images[0]
    assert torch.equal(grey[0], grey[1]) and grey.shape == (3, 32, 32)
    model = attnbn.train(world, "attnbn", 1200)
    assert model.network.head.out_features == 20
    monkeypatch.setattr(attnbn, "domain_accuracy", lambda *given, seed: 0.5)  # one picture a class: nothing to match
    found = attnbn.measure(model, world)
    assert 0 < found["target_map"] <= 1 and found["judge_loss"] > 0


def test_missing_voc_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("LESSONS_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="data_fetch get voc2012"):
        attnbn.world(1200, data="voc2012")


def test_voc_without_several_classes_is_refused(tmp_path):
    root = layout_of_voc(tmp_path)
    (root / "ImageSets/Segmentation/train.txt").write_text("a\nb\n")
    with pytest.raises(ValueError, match="none of several|no picture of several"):
        voc_domains(size=32, folder=tmp_path / "voc2012")


# ---------------------------------------- claims
def numbers(**changed):
    metrics = ("target_miou", "target_map", "target_pointing", "third_miou", "third_map", "domain_accuracy")
    arms = {arm: {name: [0.5, 0.51, 0.52] for name in metrics} for arm in attnbn.ARMS}
    for name, values in changed.items():
        arms["attnbn"][name] = values
    return {"arms": arms, "extra": {}}


def verdicts(results):
    return {claim.id.removeprefix("attnbn."): claim for claim in attnbn.claims(results)}


def test_claims_follow_from_the_numbers():
    better = [0.6, 0.61, 0.62]
    good = verdicts(numbers(target_miou=better, third_miou=better, domain_accuracy=[0.4, 0.41, 0.42]))
    for name in ("target_localisation", "target_localisation_above_shared", "shuffled_control", "third_style", "same_compute",
                 "dann", "adversary", "hidden_domain"):  # fmt: skip
        assert good[name].holds, name
    assert good["target_map"].holds and good["target_map"].threshold == -0.01 and good["target_map_above_shared"].holds
    assert not good["foreground"].holds and not good["third_style_map"].holds and not good["target_pointing"].holds
    poor = verdicts(numbers(target_map=[0.485, 0.495, 0.505]))
    assert not poor["target_map"].holds and not poor["target_localisation"].holds and not poor["hidden_domain"].holds


def test_claims_need_their_arms():
    arms = numbers()["arms"]
    found = verdicts({"arms": {name: arms[name] for name in ("attnbn", "shared")}})
    assert set(found) == {"target_localisation_above_shared", "target_pointing", "target_map_above_shared", "third_style",
                          "third_style_map"}  # fmt: skip
