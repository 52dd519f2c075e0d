"""The experiment of lesson 08 on a small world: what its arms are, and claims that follow from numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.io import savemat

from lessons_lib.experiments import niwt
from lessons_lib.models.small import SmallCNN
from lessons_lib.training import zero_shot_world

SMALL = {"per_class": 4, "test": 2, "size": 32, "epochs": 3, "width": 4}


@pytest.fixture(scope="module")
def small():
    old, deals = niwt.SIZES["quick"], niwt.DEALS
    niwt.SIZES["quick"], niwt.DEALS = SMALL, 2
    try:
        world = niwt.world(1200)
        niwt.network(world)
        yield world
    finally:
        niwt.SIZES["quick"], niwt.DEALS = old, deals


def test_every_arm_asks_one_network_that_learned_seen_species_only(small):
    network = niwt.network(small)
    assert network.classes == 56 and niwt.network(small) is network
    assert not set(small.task.labels.tolist()) & set(range(56, 80))


def test_new_rows_leave_the_seen_logits_as_they_were(small):
    model = niwt.train(small, "niwt", 1200)
    features = niwt.test_features(small)
    with torch.no_grad():
        seen = niwt.network(small).head(features)
    scores = model.scores(features)
    assert scores.shape == (160, 80) and model.rows.shape == (24, 16) and model.wanted.shape == (24, 16)
    torch.testing.assert_close(scores[:, :56], seen)


def test_the_rows_importances_come_to_what_was_wanted(small):
    model = niwt.train(small, "niwt", 1200)
    found = model.rows @ zero_shot_world.jacobian(small)
    assert F.cosine_similarity(found, model.wanted[None], dim=2).mean() > 0.8
    assert model.course.loss[-1] < 0.5 * model.course.loss[0]


def test_images_decide_the_rows_at_the_third_layer_and_not_in_the_closed_form(small):
    rows = {arm: niwt.train(small, arm, 1200).rows for arm in ("niwt", "niwt_noise_images", "closed_form")}
    assert not torch.allclose(rows["niwt"], rows["niwt_noise_images"])
    lengths = rows["closed_form"].norm(dim=1)
    expected = niwt.LENGTH * niwt.network(small).head.weight.norm(dim=1).mean()
    torch.testing.assert_close(lengths, expected.detach().expand(24))


def test_a_larger_weight_pulls_the_rows_to_the_mean_of_the_seen_ones(small):
    mean = niwt.network(small).head.weight.detach().mean(0)
    away = [(niwt.train(small, "niwt", 1200, weight=w).rows - mean).norm(dim=1).mean() for w in (0.0, 0.01, 1.0)]
    assert away[0] > away[1] > away[2]


def test_dealt_descriptions_are_nobodys_own():
    for seed in range(5):
        dealt = niwt._dealt(80, seed)
        assert sorted(dealt.tolist()) == list(range(80)) and (dealt != torch.arange(80)).all()


@pytest.mark.parametrize("arm", ["niwt_sentences", "eszsl", "shuffled_attributes"])
def test_measures_are_shares(small, arm):
    model = niwt.train(small, arm, 1200)
    found = niwt.measure(model, small, arm)
    assert all(0 <= number <= 1 for number in found.values())
    assert ("names_precision" in found) == (arm != "eszsl")
    if arm == "shuffled_attributes":
        assert len(model.deals) == 2
    s, u = found["seen_accuracy"], found["unseen_accuracy"]
    if arm != "shuffled_attributes":
        assert found["harmonic_mean"] == pytest.approx(2 * s * u / (s + u) if s * u else 0)


def test_extra_names_neurons_and_chance(small):
    found = niwt.extra(small, 1200)
    assert found["chance"] == pytest.approx(1 / 80) and found["chance_among_unseen"] == pytest.approx(1 / 24)
    assert 0 < found["pointing_chance"] < 0.05 and 0 <= found["pointing"] <= 1


def test_tuning_world_has_none_of_the_unseen_species(small):
    world = niwt.world(1200, data="tuning")
    assert set(world.task.class_names) == set(small.task.class_names[:56])


# ---------------------------------------- official layouts
def layout_of_cub(folder, seen=5, unseen=3, each=4):
    """CUB-200-2011 and xlsa17 as their archives are laid out, with squares whose grey is the class."""
    root, count = folder / "cub200" / "CUB_200_2011", seen + unseen
    classes = [f"{n + 1:03d}.Bird_{n}" for n in range(count)]
    files = [f"{name}/{name[4:]}_{k}.jpg" for name in classes for k in range(each)]
    labels = [n for n in range(count) for _ in range(each)]
    bits = six_bits(count)
    names = [f"has_{part}_color::{colour}" for part in ("throat", "wing", "tail") for colour in ("black", "blue")]
    numbers = range(1, len(files) + 1)
    texts = {
        "images.txt": [f"{n} {file}" for n, file in zip(numbers, files)],
        "classes.txt": [f"{n + 1} {name}" for n, name in enumerate(classes)],
        "image_class_labels.txt": [f"{n} {label + 1}" for n, label in zip(numbers, labels)],
        "train_test_split.txt": [f"{n} {n % 2}" for n in numbers],
        "bounding_boxes.txt": [f"{n} 4 4 20 20" for n in numbers],
        "parts/parts.txt": ["1 throat"],
        "parts/part_locs.txt": [f"{n} 1 9 9 1" for n in numbers],
        "attributes/image_attribute_labels.txt": [
            f"{n} {a + 1} {bits[label][a]} 4 1.0" for n, label in zip(numbers, labels) for a in range(6)
        ],
        "attributes/class_attribute_labels_continuous.txt": [" ".join(str(90 * b) for b in row) for row in bits],
        "../attributes.txt": [f"{a + 1} {name}" for a, name in enumerate(names)],
    }
    for name, lines in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("\n".join(lines) + "\n")
    for file, label in zip(files, labels):
        save_square(root / "images" / file, label, count)
    write_split(folder / "cub200" / "xlsa17" / "data" / "CUB", files, labels, seen)


def layout_of_awa2(folder, seen=5, unseen=3, each=4):
    root, count = folder / "awa2" / "Animals_with_Attributes2", seen + unseen
    classes = [f"beast+{n}" for n in range(count)]
    files = [f"{name}/{name}_{k}.jpg" for name in classes for k in range(each)]
    bits = six_bits(count)
    texts = {
        "classes.txt": [f"{n + 1}\t{name}" for n, name in enumerate(classes)],
        "predicates.txt": [
            f"{a + 1}\t{name}" for a, name in enumerate(("black", "new world", "furry", "big", "fast", "shy"))
        ],
        "trainclasses.txt": classes[:seen],
        "testclasses.txt": classes[seen:],
        "predicate-matrix-continuous.txt": [" ".join(str(90.0 * b) for b in row) for row in bits],
        "predicate-matrix-binary.txt": [" ".join(map(str, row)) for row in bits],
    }
    root.mkdir(parents=True)
    for name, lines in texts.items():
        (root / name).write_text("\n".join(lines) + "\n")
    labels = [n for n in range(count) for _ in range(each)]
    for file, label in zip(files, labels):
        save_square(root / "JPEGImages" / file, label, count)
    write_split(folder / "awa2" / "xlsa17" / "data" / "AWA2", files, labels, seen)


def six_bits(count):
    """Six attributes of each class: three bits of its number and their opposites."""
    return [[bit for a in range(3) for bit in ((n >> a) & 1, 1 - ((n >> a) & 1))] for n in range(count)]


def save_square(path, label, count):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.full((32, 32, 3), 40, np.uint8)
    picture[4:24, 4:24] = 255 * (label + 1) // count
    Image.fromarray(picture).save(path)


def write_split(place, files, labels, seen):
    place.mkdir(parents=True)
    cells = np.empty((len(files), 1), object)
    cells[:, 0] = [f"/BS/Deep/MSc/images/{file}" for file in files]
    rows = {"trainval_loc": [], "test_seen_loc": [], "test_unseen_loc": []}
    for n, label in enumerate(labels):
        last = n + 1 == len(labels) or labels[n + 1] != label
        rows["test_unseen_loc" if label >= seen else "test_seen_loc" if last else "trainval_loc"].append([n + 1])
    savemat(place / "res101.mat", {"image_files": cells})
    savemat(place / "att_splits.mat", {name: np.array(found) for name, found in rows.items()})


@pytest.mark.parametrize("data, layout", [("cub200", layout_of_cub), ("awa2", layout_of_awa2)])
def test_real_layouts_run_the_same_arms(tmp_path, monkeypatch, data, layout):
    layout(tmp_path)
    monkeypatch.setenv("LESSONS_DATA", str(tmp_path))
    monkeypatch.setattr(niwt, "VGG", ("features.relu3", "features.relu4", "head"))
    monkeypatch.setattr(zero_shot_world, "_backbone", lambda: SmallCNN(10, width=3, seed=1).eval())
    monkeypatch.setitem(niwt.REAL_SIZES, "quick", {"per_class": 2, "test": 2, "size": 24, "epochs": 2})
    monkeypatch.setattr(zero_shot_world, "IMAGES", 4)
    monkeypatch.setattr(niwt, "STEPS", 4)
    monkeypatch.setattr(niwt, "VALIDATION", 2)
    monkeypatch.setattr(zero_shot_world, "VALIDATION", 2)
    world = niwt.world(1200, data=data)
    task = world.task
    assert task.shown == 5 and len(task.seen) == 8 and len(task.labels) == 10
    assert len(task.test_labels) == 5 * 1 + 3 * 2 and set(task.test_labels.tolist()) == set(range(8))
    assert ("black throat" in task.phrases) == (data == "cub200")
    for arm in ("niwt", "niwt_sentences", "regression", "shuffled_attributes"):
        found = niwt.measure(niwt.train(world, arm, 1200), world, arm)
        assert all(0 <= number <= 1 for number in found.values())
    assert niwt.network(world).head.out_features == 5
    assert set(niwt.extra(world, 1200)) == {"chance", "chance_among_unseen", "seen_only_accuracy"}
    assert niwt.train(world, "niwt", 1200).scores(niwt.test_features(world)).shape == (11, 8)


def test_missing_data_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("LESSONS_DATA", str(tmp_path))
    (tmp_path / "cub200").mkdir()
    with pytest.raises(FileNotFoundError, match="data_fetch get cub200"):
        niwt.world(1200, data="cub200")


# ---------------------------------------- claims
def numbers(**changed):
    metrics = {"unseen_accuracy": 0.02, "harmonic_mean": 0.1, "among_unseen": 0.04, "names_precision": 0.2,
               "names_base": 0.16}  # fmt: skip
    arms = {arm: {name: [v, v + 0.01] for name, v in metrics.items()} for arm in niwt.ARMS}
    for name, values in changed.items():
        arms["niwt"][name] = values
    extra = {"chance": [1 / 80] * 2, "chance_among_unseen": [1 / 24] * 2, "pointing": [0.1, 0.11],
             "pointing_chance": [0.01, 0.02], "pointing_others": [0.1, 0.12]}  # fmt: skip
    return {"arms": arms, "extra": extra}


def test_claims_follow_from_the_numbers():
    good = numbers(unseen_accuracy=[0.35, 0.36], harmonic_mean=[0.5, 0.51], names_precision=[0.5, 0.51])
    found = {claim.id: claim for claim in niwt.claims(good)}
    assert found["niwt.unseen_accuracy"].holds and found["niwt.unseen_accuracy"].threshold == pytest.approx(3 / 80)
    assert found["niwt.shuffled_control"].threshold == pytest.approx(2 / 24)
    assert found["niwt.harmonic_mean"].estimate == pytest.approx(0.4) and found["niwt.harmonic_mean"].holds
    assert found["niwt.names_precision"].holds and found["niwt.pointing"].holds
    assert not found["niwt.pointing_above_others"].holds and not found["niwt.any_images"].holds
    poor = {claim.id: claim.holds for claim in niwt.claims(numbers())}
    assert not poor["niwt.unseen_accuracy"] and not poor["niwt.harmonic_mean"] and not poor["niwt.names_precision"]
    assert not poor["niwt.above_shuffled"]


def test_one_baseline_that_is_better_refutes_the_harmonic_mean():
    found = numbers(harmonic_mean=[0.5, 0.51])
    found["arms"]["eszsl"]["harmonic_mean"] = [0.6, 0.5]
    assert not {claim.id: claim.holds for claim in niwt.claims(found)}["niwt.harmonic_mean"]


def test_claims_need_their_arms():
    found = niwt.claims({"arms": {"niwt": numbers()["arms"]["niwt"]}, "extra": {}})
    assert {claim.id for claim in found} == {"niwt.unseen_accuracy", "niwt.names_precision"}
