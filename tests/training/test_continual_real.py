"""CIFAR-100 and CUB in their official layouts, as tasks, down to a measured run; and what is said when they are missing."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from lessons_lib.experiments import rrr
from lessons_lib.training.continual import Pace
from lessons_lib.training.continual_real import PROTOCOLS, network_for, real_tasks


def cifar(folder, classes=6, a_class=4):
    root = folder / "cifar100" / "cifar-100-python"
    root.mkdir(parents=True)
    rng = np.random.default_rng(3)
    for split, count in (("train", a_class), ("test", 2)):
        labels = [n % classes for n in range(classes * count)]
        content = {
            "data": rng.integers(0, 256, (len(labels), 3072)).astype(np.uint8),
            "fine_labels": labels,
            "coarse_labels": labels,
            "filenames": [f"{split}_{n}.png" for n in range(len(labels))],
        }
        (root / split).write_bytes(pickle.dumps(content, protocol=2))
    names = [f"thing_{n}" for n in range(classes)]
    (root / "meta").write_bytes(pickle.dumps({"fine_label_names": names, "coarse_label_names": names}, protocol=2))
    return folder / "cifar100"


def cub(folder, classes=4, a_class=5):
    root = folder / "cub200" / "CUB_200_2011"
    for inner in ("parts", "attributes"):
        (root / inner).mkdir(parents=True)
    every = range(1, classes * a_class + 1)
    names = [f"{k + 1:03d}.Bird_{k}" for k in range(classes)]
    files = [f"{names[n % classes]}/bird_{n}.jpg" for n in range(len(every))]
    training = [int(n // classes < a_class - 2) for n in range(len(every))]
    texts = {
        "images.txt": [f"{n} {file}" for n, file in zip(every, files)],
        "classes.txt": [f"{k + 1} {name}" for k, name in enumerate(names)],
        "image_class_labels.txt": [f"{n} {(n - 1) % classes + 1}" for n in every],
        "train_test_split.txt": [f"{n} {use}" for n, use in zip(every, training)],
        "bounding_boxes.txt": [f"{n} 4.0 4.0 20.0 20.0" for n in every],
        "parts/parts.txt": ["1 back"],
        "parts/part_locs.txt": [f"{n} 1 8.0 8.0 1" for n in every],
        "attributes/image_attribute_labels.txt": [f"{n} 1 1 4 1.0" for n in every],
        "attributes/class_attribute_labels_continuous.txt": ["50"] * classes,
        "../attributes.txt": ["1 has_wing::blue"],
    }
    for name, lines in texts.items():
        (root / name).write_text("\n".join(lines) + "\n")
    for n, file in enumerate(files):
        pixels = np.full((40, 40, 3), 40 * (n % classes), np.uint8)
        mask = np.zeros((40, 40), np.uint8)
        mask[4:24, 4:24] = 255
        for place, picture in (("images", pixels), ("../segmentations", mask)):
            path = root / place / file
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path if place == "images" else path.with_suffix(".png"))
    return folder / "cub200"


@pytest.fixture
def small(monkeypatch):
    first = replace(PROTOCOLS["cifar100", "quick"], sizes=(2, 2, 2), shots=(None, 3, 3), test=1, epochs=1, keep=1)
    second = replace(PROTOCOLS["cub200", "quick"], sizes=(2, 1, 1), shots=(None, 2, 2), test=None, size=64, epochs=1,
                     keep_first=2)  # fmt: skip
    monkeypatch.setitem(PROTOCOLS, ("cifar100", "quick"), first)
    monkeypatch.setitem(PROTOCOLS, ("cub200", "quick"), second)
    for name in rrr.REAL_PACES:
        monkeypatch.setitem(rrr.REAL_PACES, name, Pace(1, 1e-3, 2, 2))


def test_cifar_in_tasks_and_measured(tmp_path, monkeypatch, small, capfd):
    monkeypatch.setenv("LESSONS_DATA", str(tmp_path))
    world = rrr.world(5, data="cifar100", folder=cifar(tmp_path))
    tasks = world.settings["regular"]
    assert list(world.settings) == ["regular"] and tasks.seen == [2, 4, 6]
    assert torch.bincount(tasks.labels).tolist() == [4, 4, 3, 3, 3, 3] and len(tasks.test_labels) == 6
    assert tasks.images[[0, 1]].shape == (2, 3, 32, 32) and tasks.test_masks is None
    found = rrr.measure(rrr.train(world, "rrr_gradcam", 5), world)
    assert 0 <= found["average_accuracy"] <= 1 and "pointing" not in found and found["map_bytes"] == 8 * 256
    told = capfd.readouterr().err
    assert "rrr_gradcam, regular: task 1 of 3" in told and "task 3 of 3, average accuracy" in told
    stored = [file.name for file in (tmp_path / "checkpoints" / "rrr").iterdir()]
    assert stored == ["cifar100-quick-5-rrr_gradcam-regular.pt"]
    again = rrr.measure(rrr.train(world, "rrr_gradcam", 5), world)
    assert again["average_accuracy"] == found["average_accuracy"]  # read from the checkpoint
    arms = {arm: {name: [value, value] for name, value in found.items()} for arm in rrr.ARMS}
    claims = {claim.id for claim in rrr.claims({"arms": arms})}
    assert "rrr.average_accuracy" in claims and not claims & {"rrr.pointing", "rrr.average_accuracy_few_shot"}


def test_cub_by_the_few_shot_protocol(tmp_path, monkeypatch, small):
    monkeypatch.setenv("LESSONS_DATA", str(tmp_path))
    world = rrr.world(5, data="cub200", folder=cub(tmp_path))
    tasks = world.settings["few_shot"]
    assert list(world.settings) == ["few_shot"] and torch.bincount(tasks.labels).tolist() == [3, 3, 2, 2]
    assert tasks.test_masks[[0]].any() and all(name.startswith("Bird") for name in tasks.class_names)
    rrr.start(world, "few_shot", weights=None)  # without ImageNet's weights, which a test must not download
    learner = rrr.train(world, "rrr_gradcam", 5)
    assert torch.bincount(learner.courses["few_shot"].buffer.kept.labels).tolist() == [2, 2, 1, 1]
    found = rrr.measure(learner, world)
    assert 0 <= found["pointing"] <= 1 and found["map_bytes"] == 6 * 4 * 4
    more = rrr.method_on(world, "replay_more_images")
    assert more.extra_bytes == 16 and (more.keep, more.keep_first) == (1, 2)
    assert rrr.method_on(world, "finetuning") == rrr.METHODS["finetuning"]


def test_the_papers_protocol_is_the_full_one():
    protocol = PROTOCOLS["cub200", "full"]
    assert protocol.sizes == (100, *[10] * 10) and protocol.shots == (None, *[5] * 10)
    assert 100 * protocol.keep_first + 100 * protocol.keep == 500
    assert 100 * PROTOCOLS["cifar100", "full"].keep == 2000


@pytest.mark.parametrize("name", ["cifar100", "cub200"])
def test_missing_data_say_how_to_get_them(tmp_path, monkeypatch, name):
    monkeypatch.setenv("LESSONS_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"get {name}"):
        rrr.world(3, data=name)


def test_what_a_data_set_cannot_give(tmp_path):
    folder = cifar(tmp_path, classes=3)
    with pytest.raises(ValueError, match="4 classes are asked for, cifar100 has 3"):
        real_tasks("cifar100", 0, replace(PROTOCOLS["cifar100", "quick"], sizes=(2, 2), shots=(1, 1)), folder=folder)
    assert network_for("cub200", 7, 1, weights=None)(torch.rand(1, 3, 64, 64)).shape == (1, 7)
