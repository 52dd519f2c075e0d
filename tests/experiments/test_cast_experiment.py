"""Lesson 14's experiment at a small size: its world and arms, what is measured, and claims that follow from the numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from lessons_lib.evidence.representation import bg_gap
from lessons_lib.experiments import cast

SMALL = {"train": 64, "probe": 96, "test": 80, "size": 32, "epochs": 1, "width": 4, "queue": 64}


@pytest.fixture(scope="module")
def small():
    old = cast.SIZES["quick"]
    cast.SIZES["quick"] = SMALL
    try:
        yield cast.world(1300)
    finally:
        cast.SIZES["quick"] = old


@pytest.fixture(scope="module")
def trained(small):
    return {arm: cast.train(small, arm, 1300) for arm in cast.ARMS}


def test_every_arm_starts_from_one_network_and_repeats(small, trained):
    weights = {arm: model.encoder.features.conv4.weight for arm, model in trained.items()}
    assert torch.equal(weights["random"], cast.start(small).encoder.features.conv4.weight)
    for arm, weight in weights.items():
        same = [other for other, theirs in weights.items() if other != arm and torch.equal(weight, theirs)]
        assert not same, f"{arm} is the same model as {same}"
    again = cast.train(small, "cast", 1300)
    assert torch.equal(weights["cast"], again.encoder.features.conv4.weight) and torch.equal(
        trained["cast"].queue, again.queue
    )


def test_arms_take_as_many_steps_and_same_compute_half_as_many_again(small):
    steps = {}

    def progress(what):
        return lambda report: steps.__setitem__(what, report.steps)

    old = cast.SIZES["quick"]["epochs"]
    cast.SIZES["quick"]["epochs"] = 2
    for arm in ("supervised", "moco", "cast", "same_compute"):
        cast.train(small, arm, 1300, progress=progress)
    cast.SIZES["quick"]["epochs"] = old
    assert steps["supervised"] == steps["moco"] == steps["cast"] == 4 and steps["same_compute"] == 6


def test_sets_are_apart_and_tied_as_promised(small):
    sets = [small.train.images, small.probe.images, small.test.images, small.challenge_train.images]
    for n, one in enumerate(sets):
        for other in sets[n + 1 :]:
            assert torch.cdist(one.flatten(1), other.flatten(1)).min() > 0.5
    assert list(small.challenge) == ["original", "mixed_same", "mixed_rand", "mixed_next", "only_fg", "only_bg"]
    for part in small.challenge.values():
        assert torch.equal(part.labels, small.challenge["original"].labels)


def test_what_each_arm_takes_for_salient(small):
    assert torch.equal(cast.guides(small, "cast"), small.saliency)
    assert torch.equal(cast.guides(small, "cast_exact"), small.train.masks)
    shuffled = cast.guides(small, "cast_shuffled")
    assert torch.equal(shuffled[1:], small.saliency[:-1]) and not torch.equal(shuffled, small.saliency)
    disc = cast.guides(small, "cast_centred")
    assert torch.equal(disc[0], disc[5]) and disc[0, 16, 16] and not disc[0, 0, 0]
    assert float(disc[0].sum()) == pytest.approx(float(small.saliency.float().sum((1, 2)).mean()), rel=0.2)


def test_measures_follow_from_the_model(small, trained):
    found = cast.measure(trained["cast"], small)
    assert found["bg_gap"] == pytest.approx(bg_gap(found))
    assert all(0 <= number <= 1 for name, number in found.items() if name != "bg_gap")
    assert found == cast.measure(trained["cast"], small)
    assert {"pointing", "pointing_masked_key", "segmentation", "knn", *small.challenge} <= set(found)
    extra = cast.extra(small, 1300)
    assert 0 < extra["object_area"] < 0.2 and extra["saliency_iou"] > 0.4
    assert 0 <= extra["crops_show_none"] <= 1 - extra["crops_share_object"] <= 1


# ---------------------------------------- real data
def coco(folder):
    for split, count in (("train", 10), ("val", 6)):
        images, things = [], []
        (folder / f"{split}2017").mkdir(parents=True)
        for n in range(count):
            pixels = np.full((40, 40, 3), 60 + 9 * n, np.uint8)
            side = 10 + n
            pixels[5 : 5 + side, 5 : 5 + side, n % 3] = 250
            Image.fromarray(pixels).save(folder / f"{split}2017" / f"{n + 1:012d}.jpg")
            images.append({"id": n + 1, "file_name": f"{n + 1:012d}.jpg", "width": 40, "height": 40})
            outline = [[5, 5, 5 + side, 5, 5 + side, 5 + side, 5, 5 + side]]
            things.append({"id": n + 1, "image_id": n + 1, "category_id": 1 + 2 * (n % 2), "bbox": [5, 5, side, side],
                           "segmentation": outline, "iscrowd": 0, "area": side * side})  # fmt: skip
        content = {
            "images": images,
            "annotations": things,
            "categories": [{"id": 1, "name": "a"}, {"id": 3, "name": "b"}],
        }
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(content))


def test_coco_in_its_official_layout(tmp_path, monkeypatch):
    pytest.importorskip("pycocotools")
    coco(tmp_path)
    monkeypatch.setitem(cast.SIZES, "quick", SMALL)
    monkeypatch.setattr(cast, "_NEIGHBOURS", 3)
    world = cast.world(3, data="coco2017", folder=tmp_path, size=32)
    assert len(world.train) == 10 and len(world.test) == 6 and world.classes == 2 and not world.challenge
    assert (
        world.train.masks[0, 8, 8]
        and not world.train.masks[0, 30, 30]
        and world.saliency.shape == world.train.masks.shape
    )
    arms = {}
    for arm in ("moco", "cast", "cast_exact"):
        found = cast.measure(cast.train(world, arm, 3), world)
        arms[arm] = {name: [number, number] for name, number in found.items()}
    ids = {claim.id for claim in cast.claims({"arms": arms})}
    assert {"cast.linear_probe", "cast.pointing", "cast.segmentation"} <= ids
    assert not ids & {"cast.mixed_rand", "cast.only_fg", "cast.shuffled_control"}


def challenge(folder, masks):
    names = ("00_dog", "01_bird", "02_wheeled vehicle", "03_reptile", "04_carnivore", "05_insect",
             "06_musical instrument", "07_primate", "08_fish")  # fmt: skip
    for variant in ("original", "mixed_same", "mixed_rand", "mixed_next", "only_fg", "only_bg_t", *["fg_mask"] * masks):
        for label, name in enumerate(names):
            place = folder / "bg_challenge" / variant / "val" / name
            place.mkdir(parents=True)
            for n in range(4):
                own = f"n0{label}_{n}"
                mask = np.zeros((32, 32), np.uint8)
                mask[8:20, 8 + n : 20 + n] = 1
                if variant == "fg_mask":
                    np.save(place / f"{own}.npy", mask)
                    continue
                pixels = np.full((32, 32, 3), 40 + 20 * label, np.uint8)
                pixels[mask > 0] = 230 - 20 * label
                file = f"fg_{own}_bg_n9_{n}.JPEG" if variant.startswith("mixed") else f"{own}.JPEG"
                Image.fromarray(pixels).save(place / file, format="JPEG")


@pytest.mark.parametrize("masks", [True, False])
def test_in9_in_its_official_layout(tmp_path, monkeypatch, masks):
    challenge(tmp_path, masks)
    monkeypatch.setitem(cast.SIZES, "quick", SMALL)
    monkeypatch.setattr(cast, "_NEIGHBOURS", 3)
    world = cast.world(3, data="in9", folder=tmp_path, size=32)
    assert len(world.train) == 18 and len(world.test) == 18 and world.classes == 9
    assert list(world.challenge) == ["original", "mixed_same", "mixed_rand", "mixed_next", "only_fg", "only_bg"]
    found = cast.measure(cast.train(world, "cast", 3), world)
    assert ("pointing" in found) == masks and found["bg_gap"] == pytest.approx(bg_gap(found))
    if not masks:
        with pytest.raises(ValueError, match="no exact masks"):
            cast.train(world, "cast_exact", 3)
        assert "saliency_area" in cast.extra(world, 3)


@pytest.mark.parametrize("data", ["coco2017", "in9"])
def test_missing_data_say_how_to_get_them(tmp_path, monkeypatch, data):
    monkeypatch.setenv("LESSONS_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"get {data}"):
        cast.world(3, data=data)


# ---------------------------------------- claims
def test_claims_follow_from_the_numbers():
    names = ("linear_probe", "knn", "mixed_rand", "only_fg", "pointing", "segmentation")
    arms = {arm: {name: [0.4, 0.402] for name in names} for arm in cast.ARMS}
    arms["cast"] = {name: [0.6, 0.604] for name in names}
    found = {claim.id: claim for claim in cast.claims({"arms": arms})}
    reported = {"cast.crops_alone", "cast.against_random", "cast.exact_masks"}
    assert all(claim.holds for name, claim in found.items() if name not in reported)
    assert all(found[name].holds is None for name in reported) and len(found) == 13
    arms["cast"]["only_fg"], arms["cast_shuffled"]["linear_probe"] = [0.3, 0.304], [0.6, 0.605]
    found = {claim.id: claim.holds for claim in cast.claims({"arms": arms})}
    assert not found["cast.only_fg"] and not found["cast.shuffled_control"] and found["cast.mixed_rand"]
    assert cast.claims({"arms": {"moco": arms["moco"]}}) == []
