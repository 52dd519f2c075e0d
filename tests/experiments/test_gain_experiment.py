"""The experiment of lesson 09 on small worlds: what its arms are, and claims that follow from numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from lessons_lib.experiments import gain
from lessons_lib.models.small import SmallCNN
from lessons_lib.training import gain_world

SMALL = {"parts": 24, "context": 36, "test": 12, "size": 24, "start": 1, "epochs": 1, "width": 4}


@pytest.fixture(scope="module")
def small():
    old = gain_world.SIZES["quick"]
    gain_world.SIZES["quick"] = SMALL
    try:
        yield gain.world(1200)
    finally:
        gain_world.SIZES["quick"] = old


def test_arms_and_recipes_name_the_same(small):
    assert list(gain.RECIPES) == list(gain.ARMS) and set(gain.SEGMENTED) <= set(gain.ARMS)
    assert gain.RECIPES["gain_ext_10"].terms == gain.RECIPES["gain_ext_shuffled"].terms
    assert {name: list(each) for name, each in small.sets.items()} == {
        "parts": ["train", "in_context"],
        "context": ["train", "in_context", "thing_without_context", "context_without_thing"],
    }


@pytest.mark.parametrize("arm", ["classifier", "gain_map_only", "gain_ext_10", "random_erasing"])
def test_measures_are_shares_and_a_seed_repeats(small, arm):
    model = gain.train(small, arm, 1200)
    assert tuple(model.models) == gain.RECIPES[arm].sets
    found = gain.measure(model, small, arm)
    assert all(0 <= number <= 1 for number in found.values())
    assert ("parts_iou" in found) == ("parts" in model.models) and ("off_context" in found) == (
        "context" in model.models
    )
    assert ("segmentation" in found) == (arm in gain.SEGMENTED)
    assert gain.measure(gain.train(small, arm, 1200), small, arm) == found


def test_every_arm_goes_on_from_one_classifier(small):
    before = gain_world.start(small, "context")
    weights = before.head.weight.clone()
    model = gain.train(small, "same_compute", 1200)
    assert gain_world.start(small, "context") is before and torch.equal(before.head.weight, weights)
    usual = gain.train(small, "classifier", 1200, sets=("context",))
    assert len(model.courses["context"].loss) == 3 * len(usual.courses["context"].loss)


def test_masks_of_a_share_are_among_those_of_a_larger_one_and_shuffled_ones_are_moved(small):
    few, many = (gain_world.annotated(small, share) for share in (0.1, 0.5))
    assert (len(few[0]), len(many[0])) == (4, 18) and torch.equal(few[0], many[0][:4])
    images, masks, labels = gain_world.annotated(small, 0.5, shuffled=True)
    assert torch.equal(images, many[0]) and torch.equal(labels, many[2])
    assert torch.equal(masks, many[1].roll(1, 0)) and not torch.equal(masks, many[1])
    with pytest.raises(ValueError, match="share must be"):
        gain_world.annotated(small, 0.0)


def test_extra_says_what_chance_is(small):
    found = gain.extra(small, 1200)
    assert (found["masks_1"], found["masks_10"]) == (1, 4)
    area = small.sets["parts"]["in_context"].masks.float().mean()
    assert found["parts_object_area"] == pytest.approx(float(area))


def test_a_set_can_be_left_out(small):
    assert tuple(gain.train(small, "gain", 1200, sets=("parts",)).models) == ("parts",)


# ---------------------------------------- Pascal VOC
def layout_of_voc(folder, count=4):
    """VOC 2012 as its archive is laid out: a dog on the left of each picture, and on some a boat on the right."""
    root = folder / "voc2012" / "VOCdevkit" / "VOC2012"
    for name in ("ImageSets/Segmentation", "JPEGImages", "Annotations", "SegmentationClass", "SegmentationObject"):
        (root / name).mkdir(parents=True)
    names = [f"2012_{n:06d}" for n in range(2 * count)]
    lists = {"train": names[:count], "val": names[count:]}
    for split, chosen in lists.items():
        (root / f"ImageSets/Segmentation/{split}.txt").write_text("\n".join(chosen) + "\n")
    for n, name in enumerate(names):
        things = [("dog", 12, (3, 5, 14, 20)), *([("boat", 4, (20, 5, 30, 20))] if n % 2 else [])]
        classes, objects = np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8)
        text = "<annotation><size><width>32</width><height>32</height></size>"
        for k, (kind, number, (x0, y0, x1, y1)) in enumerate(things, start=1):
            classes[y0:y1, x0:x1], objects[y0:y1, x0:x1] = number, k
            corners = f"<xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
            text += f"<object><name>{kind}</name><difficult>0</difficult><bndbox>{corners}</bndbox></object>"
        (root / f"Annotations/{name}.xml").write_text(text + "</annotation>")
        Image.fromarray(np.repeat(classes[..., None] * 20, 3, 2)).save(root / f"JPEGImages/{name}.jpg")
        for kind, plane in (("Class", classes), ("Object", objects)):
            picture = Image.fromarray(plane)
            picture.putpalette([(k * step) % 256 for k in range(256) for step in (128, 64, 192)])
            picture.save(root / f"Segmentation{kind}/{name}.png")


def test_voc_runs_the_same_arms(tmp_path, monkeypatch):
    layout_of_voc(tmp_path)

    def backbone(classes):
        model = SmallCNN(classes, width=3, seed=1)
        model.mean = torch.full((1, 3, 1, 1), 0.5)
        return model

    monkeypatch.setenv("LESSONS_DATA", str(tmp_path))
    monkeypatch.setattr(gain_world, "_backbone", backbone)
    sizes = {"train": None, "test": None, "size": 24, "start": 1, "epochs": 1, "lr": 1e-3}
    monkeypatch.setitem(gain_world.REAL_SIZES, "quick", sizes)
    world = gain.world(1200, data="voc2012")
    learn = world.sets["context"]["train"]
    assert learn.images.shape == (4, 3, 24, 24) and learn.labels.shape == (4, 2) and len(learn.rows) == 6
    boats = learn.masks[learn.classes == 3]
    assert len(boats) == 2 and not boats[..., :12].any() and boats[..., 16:].any()
    for arm in ("classifier", "gain", "gain_ext_10"):
        found = gain.measure(gain.train(world, arm, 1200), world, arm)
        assert "off_context" not in found and all(0 <= number <= 1 for number in found.values())
    assert gain.extra(world, 1200)["masks_10"] == 1


def test_missing_voc_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("LESSONS_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="data_fetch get voc2012"):
        gain.world(1200, data="voc2012")


# ---------------------------------------- claims
OFF = {"gain_ext_1": 0.15, "gain_ext_5": 0.25, "gain_ext_10": 0.35, "gain_ext_shuffled": 0.12}


def numbers(**changed):
    """Two seeds on which everything that is claimed is so; `changed` is {arm: {metric: value}}."""
    arms = {}
    for arm in gain.ARMS:
        metrics = {"parts_iou": 0.2, "parts_coverage": 0.3, "context_iou": 0.1, "segmentation": 0.2}
        metrics["off_context"] = OFF.get(arm, 0.1)
        if arm == "gain":
            metrics |= {"parts_iou": 0.3, "parts_coverage": 0.4, "segmentation": 0.3}
        if arm == "gain_ext_10":
            metrics |= {"context_iou": 0.4, "segmentation": 0.5}
        metrics |= changed.get(arm, {})
        arms[arm] = {name: [value, value + 0.01 + 0.001 * value] for name, value in metrics.items()}
    return {"arms": arms}


def test_claims_follow_from_the_numbers():
    found = {claim.id: claim for claim in gain.claims(numbers())}
    assert {claim.id: claim.holds for claim in found.values()} == dict.fromkeys(found, True)
    assert found["gain_ext.off_context"].threshold == 0.1
    assert found["gain_ext.off_context"].estimate == pytest.approx(0.25, abs=0.01)
    assert {"gain.localisation", "gain.coverage", "gain_ext.shuffled_control", "gain_ext.more_labels_5_to_10"} <= set(
        found
    )


@pytest.mark.parametrize(
    "changed, fails",
    [
        ({"gain": {"parts_iou": 0.2}}, "gain.localisation"),
        ({"gain_detached": {"parts_iou": 0.31}}, "gain.localisation_detached"),
        ({"gain": {"parts_coverage": 0.29}}, "gain.coverage"),
        ({"gain_ext_10": {"off_context": 0.19}}, "gain_ext.off_context"),
        ({"same_compute": {"off_context": 0.3}}, "gain_ext.off_context_same_compute"),
        ({"gain_ext_5": {"off_context": 0.1}}, "gain_ext.more_labels_1_to_5"),
        ({"gain_ext_shuffled": {"off_context": 0.36}}, "gain_ext.shuffled_control"),
        ({"gain": {"segmentation": 0.1}}, "gain.segmentation"),
    ],
)
def test_a_number_that_contradicts_a_claim_refutes_it(changed, fails):
    assert not {claim.id: claim.holds for claim in gain.claims(numbers(**changed))}[fails]


def test_claims_need_their_arms():
    arms = numbers()["arms"]
    assert gain.claims({"arms": {"gain": arms["gain"]}}) == []
    found = gain.claims({"arms": {name: arms[name] for name in ("classifier", "gain")}})
    assert {claim.id for claim in found} == {"gain.localisation", "gain.coverage"}
