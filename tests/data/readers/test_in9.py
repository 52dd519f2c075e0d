"""The Backgrounds Challenge in its official layout: folder names with spaces, masks as numpy files."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data_fetch.readers.in9 import CLASSES, VARIANTS, read

FOLDERS = (
    "00_dog", "01_bird", "02_wheeled vehicle", "03_reptile", "04_carnivore", "05_insect", "06_musical instrument",
    "07_primate", "08_fish",
)  # fmt: skip
MIXED = ("mixed_same", "mixed_rand", "mixed_next")
SIDE = 28


def foreground(label: int, n: int) -> str:
    return f"n0{2000000 + 77 * label}_{100 * (2 - n) + label}"


def level(label: int, n: int) -> int:
    return 20 + 20 * label + 10 * n


def mask(label: int, n: int) -> np.ndarray:
    made = np.zeros((SIDE, SIDE), np.uint8)
    made[label : label + 12, 4 * n + 2 : 4 * n + 16] = 1
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for variant in VARIANTS:
        for label, name in enumerate(FOLDERS):
            place = tmp_path / "bg_challenge" / variant / "val" / name
            place.mkdir(parents=True)
            (place / ".DS_Store").write_bytes(b"junk")
            for n in range(3):
                fg = foreground(label, n)
                if variant == "fg_mask":
                    np.save(place / f"{fg}.npy", mask(label, n).astype(bool if n else np.uint8))
                    continue
                file = f"fg_{fg}_bg_n0{3000000 - n}_{label}.JPEG" if variant in MIXED else f"{fg}.JPEG"
                image = np.full((SIDE, SIDE, 3), level(label, n), np.uint8)
                Image.fromarray(image).save(place / file, format="JPEG")
            (place / f"._{foreground(label, 0)}.JPEG").write_bytes(b"junk")
        (tmp_path / "bg_challenge" / variant / "val" / ".DS_Store").write_bytes(b"junk")
    (tmp_path / "bg_challenge/.DS_Store").write_bytes(b"junk")
    (tmp_path / "bg_challenge/original/val/.ipynb_checkpoints").mkdir()
    return tmp_path


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_has_the_same_rows(folder, variant):
    data, original = read(folder, variant=variant, size=14), read(folder, size=14)
    assert len(data) == 27 and data.names == original.names and torch.equal(data.labels, original.labels)
    assert data.class_names == CLASSES and data.class_names[2] == "wheeled vehicle"
    assert data.labels.tolist() == [n // 3 for n in range(27)]
    assert all(name.startswith(FOLDERS[label] + "/n0") for name, label in zip(data.names, data.labels.tolist()))
    assert torch.equal(data.masks[:], original.masks[:])
    if variant != "fg_mask":
        assert torch.allclose(data.images[:], original.images[:], atol=2 / 255)


def test_rows_images_and_masks_belong_together(folder):
    data = read(folder, variant="mixed_next", size=SIDE)
    for label in range(9):
        for n in range(3):
            row = data.names.index(f"{FOLDERS[label]}/{foreground(label, n)}")
            assert int(data.labels[row]) == label
            assert abs(float(data.images[row].mean()) * 255 - level(label, n)) < 2
            assert np.array_equal(data.masks[row].numpy(), mask(label, n) == 1)


def test_masks_themselves_as_images(folder):
    data = read(folder / "bg_challenge", variant="fg_mask", size=14)
    assert data.images[:].shape == (27, 3, 14, 14) and data.images[:].dtype == torch.float32
    assert torch.equal(data.images[:] == 1, data.masks[:][:, None].expand(-1, 3, -1, -1))
    assert set(data.images[:].unique().tolist()) == {0, 1}


def test_another_process_can_be_handed_the_set(folder):
    data = read(folder, variant="fg_mask", size=14)
    there = pickle.loads(pickle.dumps(data))
    assert torch.equal(there.images[:3], data.images[:3]) and torch.equal(there.masks[[5]], data.masks[[5]])


def test_without_the_masks(folder):
    shutil.rmtree(folder / "bg_challenge/fg_mask")
    assert read(folder).masks is None
    with pytest.raises(FileNotFoundError, match="fg_mask is missing; .*python -m data_fetch get in9"):
        read(folder, variant="fg_mask")


def test_a_training_set_of_the_same_layout(folder):
    with pytest.raises(FileNotFoundError, match="train is missing; .*python -m data_fetch get in9"):
        read(folder, "train")
    shutil.copytree(folder / "bg_challenge/only_fg/val", folder / "bg_challenge/only_fg/train")
    data = read(folder, "train", variant="only_fg")
    assert len(data) == 27 and data.masks is None


def test_unknown_names_are_listed(folder):
    with pytest.raises(ValueError, match="no split 'test'; there are val, train"):
        read(folder, "test")
    with pytest.raises(ValueError, match="no variant 'mixed'; there are original, mixed_same"):
        read(folder, variant="mixed")
    with pytest.raises(FileNotFoundError, match="bg_challenge/original is missing"):
        read(folder / "bg_challenge/original")


def test_strange_missing_and_empty_class_folders(folder):
    place = folder / "bg_challenge/no_fg/val"
    (place / "02_wheeled vehicle").rename(place / "02_wheeled_vehicle")
    with pytest.raises(
        ValueError, match="02_wheeled_vehicle is none of the class folders 00_dog, 01_bird, 02_wheeled v"
    ):
        read(folder, variant="no_fg")
    shutil.rmtree(place / "02_wheeled_vehicle")
    with pytest.raises(FileNotFoundError, match="02_wheeled vehicle is missing"):
        read(folder, variant="no_fg")
    for name in FOLDERS:
        shutil.rmtree(place / name, ignore_errors=True)
        (place / name).mkdir()
    with pytest.raises(ValueError, match=r"val holds no file that ends in .jpeg or .jpg or .png"):
        read(folder, variant="no_fg")


def test_masks_that_cannot_be_read_are_named(folder):
    path = folder / "bg_challenge/fg_mask/val/00_dog" / f"{foreground(0, 0)}.npy"
    data = read(folder, size=14)
    row = data.names.index(f"00_dog/{foreground(0, 0)}")
    np.save(path, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="is no numpy file that can be read"):
        data.masks[row]
    for wrong in (np.zeros((4, 4, 3)), np.full((4, 4), 2)):
        np.save(path, wrong)
        with pytest.raises(ValueError, match=r"must hold a mask \(H, W\) of 0 and 1"):
            data.masks[row]
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="is no numpy file"):
        data.masks[row]
    path.unlink()
    with pytest.raises(FileNotFoundError, match=f"{path.name} is missing"):
        data.masks[row]
    assert data.masks[[(row + 1) % 27]].shape == (1, 14, 14)
