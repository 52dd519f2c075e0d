"""Animals with Attributes 2 in its official layout, with its quirks and with broken files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from data_fetch.readers.awa2 import read

CLASSES = ("antelope", "grizzly+bear", "killer+whale", "bat")
FILES = tuple(f"{name}/{name}_{10001 + n}.jpg" for name in CLASSES for n in range(2))
TEXTS = {
    "classes.txt": "".join(f"{n:8d}\t{name}\n" for n, name in enumerate(CLASSES, 1)),
    "predicates.txt": "       1\tblack\n       2\tnew world\n       3\tdomestic\n",
    "trainclasses.txt": "grizzly+bear\nantelope\n",
    "testclasses.txt": "bat\nkiller+whale",
    "predicate-matrix-continuous.txt": "   -1.00    0.00  12.50\n  100.00 -1.00  7.00\n 1.00 2.00   3.00\n4 5 6\n",
    "predicate-matrix-binary.txt": "0 0 1\n1 0 0\n0 1 1\n1 1 1\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "Animals_with_Attributes2"
    for n, file in enumerate(FILES):
        path = root / "JPEGImages" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20 + n, 30, 3), 20 * n, np.uint8)).save(path)
    for name, text in TEXTS.items():
        (root / name).write_text(text)
    for place in ("bat/.DS_Store", "bat/._bat_10001.jpg", "bat/Thumbs.db", "readme.txt"):
        (root / "JPEGImages" / place).write_text("no picture")
    return tmp_path


def add_xlsa17(folder: Path, **changes) -> Path:
    place = folder / "xlsa17/data/AWA2"
    place.mkdir(parents=True)
    files = np.empty((len(FILES), 1), object)
    files[:, 0] = [f"/BS/Deep/MSc/Animals_with_Attributes2//JPEGImages/{file}" for file in reversed(FILES)]
    splits = {"trainval_loc": [[8], [3]], "test_seen_loc": [[7], [4]], "test_unseen_loc": [[1], [6]], **changes}
    savemat(place / "res101.mat", {"image_files": files})
    savemat(place / "att_splits.mat", {key: np.array(value) for key, value in splits.items()})
    return place


@pytest.mark.parametrize("inner", ["", "Animals_with_Attributes2"])
@pytest.mark.parametrize("split, labels", [("train", [0, 0, 1, 1]), ("test", [3, 3, 2, 2]), ("all", None)])
def test_splits_by_class(folder, inner, split, labels):
    data = read(folder / inner, split, size=8)
    assert data.labels.tolist() == (labels or [0, 0, 3, 3, 1, 1, 2, 2]) and data.labels.dtype == torch.long
    assert data.class_names == ("antelope", "grizzly bear", "killer whale", "bat")
    assert data.attribute_names == ("black", "new world", "domestic")
    assert data.seen.tolist() == [True, True, False, False]
    assert all(name.split("/")[0] == CLASSES[label] for name, label in zip(data.names, data.labels.tolist()))
    levels = [20 * FILES.index(name) for name in data.names]
    assert (data.images[:].mean((1, 2, 3)) * 255).round().tolist() == levels
    assert data.attributes is None and data.boxes is None and data.masks is None


def test_continuous_attributes_and_what_nobody_judged(folder):
    rest = [[1.0, None, 0.07], [0.01, 0.02, 0.03], [0.04, 0.05, 0.06]]
    for unknown in (0.0, 0.5, math.nan):
        found = read(folder, unknown=unknown).class_attributes
        expected = torch.tensor([[unknown if v is None else v for v in row] for row in [[None, 0.0, 0.125], *rest]])
        assert torch.allclose(found, expected, equal_nan=True)
    assert read(folder).class_attributes[0].tolist() == [0, 0, 0.125]


def test_binary_attributes(folder):
    found = read(folder, matrix="binary").class_attributes
    assert found.dtype == torch.float32 and found.tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 1], [1, 1, 1]]
    with pytest.raises(ValueError, match="'continuous' or 'binary', got 'both'"):
        read(folder, matrix="both")


@pytest.mark.parametrize("given", [True, False])
def test_proposed_split(folder, given):
    place = add_xlsa17(folder)
    more = {"xlsa17": place} if given else {}
    names = list(reversed(FILES))
    for split, rows in (("train_seen", [7, 2]), ("test_seen", [6, 3]), ("test_unseen", [0, 5])):
        data = read(folder, split, size=8, **more)
        assert data.names == tuple(names[n] for n in rows)
        assert data.seen.tolist() == [True, False, True, False]
        assert [CLASSES[n] for n in data.labels.tolist()] == [name.split("/")[0] for name in data.names]
        assert data.images[:].shape == (2, 3, 8, 8)


def test_proposed_split_must_fit_the_images(folder):
    place = add_xlsa17(folder, trainval_loc=[[0]])
    with pytest.raises(ValueError, match="trainval_loc must hold numbers 1 to 8, got 0"):
        read(folder, "train_seen")
    (place / "res101.mat").unlink()
    with pytest.raises(FileNotFoundError, match="res101.mat is missing.*get xlsa17"):
        read(folder, "train_seen")


def test_images_of_the_proposed_split_must_be_there(folder):
    add_xlsa17(folder)
    (folder / "Animals_with_Attributes2/JPEGImages" / FILES[7]).unlink()
    with pytest.raises(ValueError, match=r"1 images of test_unseen are not in .*; one: bat/bat_10002.jpg"):
        read(folder, "test_unseen")
    assert len(read(folder, "train_seen")) == 2


def test_unknown_splits_are_listed(folder):
    with pytest.raises(ValueError, match="no split 'test_seen'; there are train, test, all$"):
        read(folder, "test_seen")


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("classes.txt", "1\tantelope\n1\tbat\n", r"classes.txt, line 2: expected a new number"),
        ("classes.txt", "\n", r"classes.txt is empty"),
        ("trainclasses.txt", "antelope\nunicorn\n", r"trainclasses.txt, line 2: 'unicorn' is no class"),
        ("predicate-matrix-continuous.txt", "1 2 3\n1 2\n", r"continuous.txt, line 2: expected 3 numbers, got '1 2'"),
        ("predicate-matrix-continuous.txt", "1 2 3\n1 2 3\n1 2 3\n1 2 -2\n", r"line 4: expected 0 to 100, or -1"),
        ("predicate-matrix-continuous.txt", "1 2 3\n1 2 nan\n1 2 3\n1 2 3\n", r"line 2: expected finite numbers"),
        ("predicate-matrix-continuous.txt", "1 2 3\n", r"a line for each of the 4 classes, it has 1"),
    ],
)
def test_broken_files_are_named(folder, name, text, message):
    (folder / "Animals_with_Attributes2" / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read(folder)


def test_a_binary_matrix_holds_zeros_and_ones(folder):
    (folder / "Animals_with_Attributes2/predicate-matrix-binary.txt").write_text("0 0 1\n1 0 2\n0 1 1\n1 1 1\n")
    with pytest.raises(ValueError, match="binary.txt, line 2: expected zeros and ones"):
        read(folder, matrix="binary")


@pytest.mark.parametrize(
    "name", ["classes.txt", "predicates.txt", "trainclasses.txt", "predicate-matrix-continuous.txt"]
)
def test_missing_files_are_named_with_the_command(folder, name):
    (folder / "Animals_with_Attributes2" / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name} is missing; .*python -m data_fetch get awa2"):
        read(folder)


def test_missing_class_folder(folder):
    (folder / "Animals_with_Attributes2/JPEGImages/bat").rename(folder / "bat")
    with pytest.raises(FileNotFoundError, match="bat is missing"):
        read(folder, "test")
    assert len(read(folder, "train")) == 4
