"""CUB-200-2011 in its official layout, with its quirks and with broken files."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from data_fetch.readers.cub200 import read

IDS = (1, 2, 2275, 9364, 9365, 9366)
CLASSES = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Chuck_will_Widow")
LABELS = (0, 0, 1, 1, 2, 2)
TRAINING = (1, 0, 1, 0, 1, 0)
SIZES = ((60, 40), (40, 60), (50, 50), (80, 32), (33, 47), (64, 64))
BOXES = ((12, 6, 30, 20), (8, 14, 16, 30), (5, 5, 40, 40), (30, 4, 20, 24), (3, 20, 22, 11), (0, 0, 64, 64))
PARTS = ("back", "beak", "left eye")
ATTRIBUTES = ("has_bill_shape::dagger", "has_wing_color::blue", "has_crown_color::buff (pale)", "has_size::tiny")
FILES = tuple(f"{CLASSES[k]}/{CLASSES[k][4:]}_{n:04d}_{n}.jpg" for k, n in zip(LABELS, IDS))
rng = np.random.default_rng(5)
PRESENT, CERTAINTY = rng.integers(0, 2, (6, 4)), rng.integers(1, 5, (6, 4))
POINTS = np.array([[[x + 2, y + 3], [x + w / 2, y + h / 2], [0, 0]] for x, y, w, h in BOXES], float)
POINTS[3, 0] = 70, 10  # a crop of this picture leaves it out


def rows(*columns) -> str:
    return "".join(" ".join(map(str, row)) + "\n" for row in zip(*columns, strict=True))


def attribute_lines() -> str:
    lines = []
    for n, number in enumerate(IDS):
        for a in range(4):
            extra = " 0" if number in (2275, 9364) and a == 1 else ""
            lines.append(f"{number} {a + 1} {PRESENT[n, a]} {CERTAINTY[n, a]}{extra} {1.5 * a + 0.25}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "CUB_200_2011"
    (root / "parts").mkdir(parents=True)
    (root / "attributes").mkdir()
    numbers = range(1, 4)
    texts = {
        "images.txt": rows(IDS, FILES),
        "classes.txt": rows(numbers, CLASSES),
        "image_class_labels.txt": rows(IDS, [k + 1 for k in LABELS]),
        "train_test_split.txt": rows(IDS, TRAINING),
        "bounding_boxes.txt": rows(IDS, *(map(float, column) for column in zip(*BOXES))),
        "parts/parts.txt": rows(numbers, PARTS),
        "parts/part_locs.txt": "".join(
            f"{number} {p + 1} {POINTS[n, p, 0]} {POINTS[n, p, 1]} {int(p < 2)}\n"
            for n, number in enumerate(IDS)
            for p in range(3)
        ),
        "attributes/image_attribute_labels.txt": attribute_lines(),
        "attributes/class_attribute_labels_continuous.txt": "0.0 50 100 12.5\n25 0 0 0\n1e1 2 3 4\n",
        "../attributes.txt": rows(range(1, 5), ATTRIBUTES),
    }
    for name, text in texts.items():
        (root / name).write_text(text)
    for file, (width, height), (x, y, w, h) in zip(FILES, SIZES, BOXES):
        grey = np.zeros((height, width), np.uint8)
        grey[y : y + h, x : x + w] = 255
        for place, picture in (("images", Image.fromarray(grey)), ("../segmentations", Image.fromarray(grey))):
            path = root / place / file
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path if place == "images" else path.with_suffix(".png"))
    return tmp_path


def add_xlsa17(folder: Path, **changes) -> Path:
    """xlsa17 as its authors wrote it: foreign paths in another order, rows from 1."""
    place = folder / "xlsa17/data/CUB"
    place.mkdir(parents=True)
    files = np.empty((6, 1), object)
    for row, n in enumerate((5, 4, 3, 2, 1, 0)):
        files[row, 0] = f"/BS/Deep/MSc/CUB_200_2011/CUB_200_2011//images/{FILES[n]}"
    splits = {"trainval_loc": [[4], [6]], "test_seen_loc": [[5], [3]], "test_unseen_loc": [[1], [2]], **changes}
    savemat(place / "res101.mat", {"image_files": files, "features": np.zeros((3, 6)), "labels": np.ones((6, 1))})
    savemat(place / "att_splits.mat", {key: np.array(value) for key, value in splits.items()})
    return folder / "xlsa17"


@pytest.mark.parametrize("split, chosen", [("train", [0, 2, 4]), ("test", [1, 3, 5]), ("all", range(6))])
def test_splits_and_what_each_image_has(folder, split, chosen):
    data, chosen = read(folder, split, size=16), list(chosen)
    assert data.names == tuple(FILES[n] for n in chosen) and data.labels.tolist() == [LABELS[n] for n in chosen]
    assert data.class_names == ("Black footed Albatross", "Laysan Albatross", "Chuck will Widow")
    assert data.attribute_names == ATTRIBUTES and data.part_names == PARTS
    assert data.images[:].shape == (len(chosen), 3, 16, 16) and data.images[:].dtype == torch.float32
    assert data.attributes.dtype == torch.bool and torch.equal(data.attributes, torch.tensor(PRESENT[chosen] == 1))
    assert data.certainty.dtype == torch.uint8 and data.certainty.tolist() == CERTAINTY[chosen].tolist()
    assert data.seen is None and data.descriptions is None and data.part_masks is None


def test_class_attributes_are_shares(folder):
    expected = torch.tensor([[0, 0.5, 1, 0.125], [0.25, 0, 0, 0], [0.1, 0.02, 0.03, 0.04]])
    assert torch.allclose(read(folder).class_attributes, expected)


@pytest.mark.parametrize("how", ["squash", "crop"])
def test_boxes_masks_and_points_follow_the_pixels(folder, how):
    data = read(folder, "all", size=64, how=how)
    assert data.boxes.shape == (6, 4) and data.masks[:].shape == (6, 64, 64) and data.masks[:].dtype == torch.bool
    bright = data.images[:].mean(1) > 0.5
    assert (bright != data.masks[:]).float().mean() < 0.03
    for n in range(6):
        ys, xs = torch.nonzero(data.masks[n].any(1)), torch.nonzero(data.masks[n].any(0))
        extent = torch.stack([xs[0, 0], ys[0, 0], xs[-1, 0] + 1, ys[-1, 0] + 1])
        assert (extent - data.boxes[n]).abs().max() <= 1.5, (n, extent, data.boxes[n])
        left, top, side_x, side_y = 0, 0, *SIZES[n]
        if how == "crop":
            side_x = side_y = min(SIZES[n])
            left, top = (SIZES[n][0] - side_x) / 2, (SIZES[n][1] - side_y) / 2
        for p in range(2):
            x, y, visible = data.part_points[n, p].tolist()
            expected = (POINTS[n, p, 0] - left) / side_x * 64, (POINTS[n, p, 1] - top) / side_y * 64
            assert (x, y) == pytest.approx(expected, abs=1e-3)
            assert visible == float(0 <= x <= 64 and 0 <= y <= 64)
        assert data.part_points[n, 2].tolist() == [0, 0, 0]
    assert (data.part_points[:, :2, 2] == 0).any() == (how == "crop")


def test_more_than_half_of_the_annotators_make_a_mask(folder):
    path = (folder / "segmentations" / FILES[0]).with_suffix(".png")
    grey = np.repeat(np.array([0, 51, 102, 127, 128, 153, 204, 255], np.uint8)[None], 8, 0)
    for picture in (Image.fromarray(grey), Image.fromarray(np.stack([grey, 255 - grey], -1))):
        picture.save(path)
        assert read(folder, size=8).masks[0].tolist() == [[False] * 4 + [True] * 4] * 8


def test_segmentations_may_be_missing_or_lie_inside(folder):
    expected = read(folder, size=16).masks[:]
    (folder / "segmentations").rename(folder / "CUB_200_2011/segmentations")
    assert torch.equal(read(folder, size=16).masks[:], expected)
    (folder / "CUB_200_2011/segmentations").rename(folder / "elsewhere")
    assert read(folder).masks is None


@pytest.mark.parametrize("place", ["CUB_200_2011/attributes/attributes.txt", "CUB_200_2011/attributes.txt"])
def test_inner_folder_and_other_places_of_the_names(folder, place):
    (folder / "attributes.txt").rename(folder / place)
    data = read(folder / "CUB_200_2011", "test", size=16)
    assert data.attribute_names == ATTRIBUTES and len(data) == 3 and data.masks is not None


def test_pairs_without_an_answer_are_unknown(folder):
    path = folder / "CUB_200_2011/attributes/image_attribute_labels.txt"
    path.write_text("\n".join(line for line in attribute_lines().splitlines() if not line.startswith("1 3 ")))
    data = read(folder)
    assert data.certainty[0].tolist() == [*CERTAINTY[0, :2], 0, CERTAINTY[0, 3]] and not data.attributes[0, 2]


def test_images_are_read_late(folder):
    data = read(folder, "all", size=16)
    (folder / "CUB_200_2011/images" / FILES[3]).unlink()
    assert data.images[[0, 5]].shape == (2, 3, 16, 16) and data[[1]].images[0].shape == (3, 16, 16)
    with pytest.raises(FileNotFoundError, match="not complete"):
        data.images[3]


@pytest.mark.parametrize("where", ["given", "inside", "beside"])
def test_zero_shot_split(folder, where):
    more = {"xlsa17": add_xlsa17(folder)} if where == "given" else {}
    if where == "inside":
        add_xlsa17(folder)
    if where == "beside":  # each data set in a folder of its own
        (folder / "cub200").mkdir()
        for name in ("CUB_200_2011", "segmentations", "attributes.txt"):
            (folder / name).rename(folder / "cub200" / name)
        add_xlsa17(folder / "xlsa17")
        folder = folder / "cub200"
    found = {split: read(folder, split, size=16, **more) for split in ("train_seen", "test_seen", "test_unseen")}
    assert found["train_seen"].names == (FILES[2], FILES[0])
    assert found["test_seen"].names == (FILES[1], FILES[3])
    assert found["test_unseen"].names == (FILES[5], FILES[4])
    assert all(data.seen.tolist() == [True, True, False] for data in found.values())
    assert found["test_seen"].labels.tolist() == [0, 1] and found["test_seen"].certainty[0].tolist() == [*CERTAINTY[1]]
    assert len(read(folder, "all", **more)) == 6


@pytest.mark.parametrize("inner", ["", "data", "data/CUB"])
def test_any_level_of_xlsa17_will_do(folder, tmp_path_factory, inner):
    place = add_xlsa17(tmp_path_factory.mktemp("other"))
    assert len(read(folder, "test_unseen", xlsa17=place / inner)) == 2


def test_another_process_can_be_handed_the_set(folder):
    data = read(folder, size=16)
    there = pickle.loads(pickle.dumps(data))
    assert torch.equal(there.images[:], data.images[:]) and torch.equal(there.masks[[2]], data.masks[[2]])


def test_zero_shot_splits_that_do_not_fit(folder, tmp_path_factory):
    far = tmp_path_factory.mktemp("far")
    with pytest.raises(FileNotFoundError, match="att_splits.mat is missing.*python -m data_fetch get xlsa17"):
        read(folder, "train_seen", xlsa17=far)
    place = add_xlsa17(far, test_seen_loc=[[7]])
    with pytest.raises(ValueError, match="test_seen_loc must hold numbers 1 to 6, got 7"):
        read(folder, "train_seen", xlsa17=place)
    savemat(place / "data/CUB/att_splits.mat", {"trainval_loc": [[1]]})
    with pytest.raises(ValueError, match="has no variable test_seen_loc"):
        read(folder, "train_seen", xlsa17=place)
    (place / "data/CUB/res101.mat").write_bytes(b"no matlab " * 40)
    with pytest.raises(ValueError, match="res101.mat is no MATLAB file"):
        read(folder, "train_seen", xlsa17=place)


def test_images_of_a_zero_shot_split_must_be_there(folder):
    add_xlsa17(folder)
    path = folder / "CUB_200_2011/images.txt"
    path.write_text(path.read_text().replace("Laysan_Albatross_2275", "Laysan_Albatross_9999"))
    with pytest.raises(ValueError, match=r"1 images of train_seen are not in .*images.txt; the first: 002"):
        read(folder, "train_seen")


def test_unknown_splits_are_listed(folder):
    with pytest.raises(ValueError, match="no split 'val'; there are train, test, all$"):
        read(folder, "val")
    with pytest.raises(ValueError, match="no split 'train_seen'"):
        read(folder, "train_seen")
    add_xlsa17(folder)
    with pytest.raises(ValueError, match="train, test, all, train_seen, test_seen, test_unseen"):
        read(folder, "unseen")


@pytest.mark.parametrize(
    "name, old, new, message",
    [
        ("images.txt", "2 001", "two 001", r"images.txt, line 2: expected a new number"),
        ("images.txt", "2 001", "1 001", r"images.txt, line 2: expected a new number"),
        ("classes.txt", "3 003", "4 003", r"classes.txt must number its lines 1 to 3"),
        ("image_class_labels.txt", "2275 2", "2275 4", r"labels.txt, line 3: the second number must be 1 to 3"),
        ("image_class_labels.txt", "2275 2", "2276 2", r"labels.txt, line 3: images.txt has no image"),
        ("image_class_labels.txt", "2275 2\n", "", r"labels.txt must have one line for each of the 6 images"),
        ("train_test_split.txt", "9364 0", "9364 yes", r"split.txt, line 4: expected 2 numbers, got '9364 yes'"),
        ("bounding_boxes.txt", "8.0 14.0", "8.0 14.0 7.0", r"boxes.txt, line 2: expected 5 numbers"),
        ("bounding_boxes.txt", "8.0 14.0", "8.0 nan", r"boxes.txt, line 2: expected finite numbers"),
        ("bounding_boxes.txt", "30.0 20.0", "30.0 -20.0", r"boxes.txt, line 1: width and height must be positive"),
        ("parts/part_locs.txt", "1 3 0.0 0.0 0", "1 4 0.0 0.0 0", r"part_locs.txt, line 3: the part must be 1 to 3"),
        ("parts/part_locs.txt", "1 3 0.0 0.0 0", "\n1 3 0.0 0.0 2", r"part_locs.txt, line 4: the last number"),
        ("attributes/image_attribute_labels.txt", "2 4 ", "2 5 ", r"labels.txt, line 8: the attribute must be 1 to 4"),
        ("attributes/image_attribute_labels.txt", "2 4 ", "x 4 ", r"labels.txt, line 8: expected 4 numbers"),
        ("attributes/image_attribute_labels.txt", "2 4 ", "2\n2 4 ", r"labels.txt, line 8: expected 4 numbers"),
        ("attributes/image_attribute_labels.txt", "2 4 ", "3 4 ", r"labels.txt, line 8: images.txt has no image"),
        ("attributes/image_attribute_labels.txt", "2 4 ", "2 4 5 ", r"labels.txt, line 8: the third number must"),
        ("attributes/class_attribute_labels_continuous.txt", "25", "125", r"line 2: percentages must be 0 to 100"),
        ("attributes/class_attribute_labels_continuous.txt", "25 0 0 0\n", "", r"a line for each of the 3 classes"),
    ],
)
def test_broken_lines_are_named(folder, name, old, new, message):
    path = folder / "CUB_200_2011" / name
    text = path.read_text()
    start = text.index("\n" + old) + 1 if "\n" + old in text else text.index(old)
    path.write_text(text[:start] + new + text[start + len(old) :])
    with pytest.raises(ValueError, match=message):
        read(folder, "train")


@pytest.mark.parametrize(
    "name",
    [
        "images.txt", "classes.txt", "image_class_labels.txt", "train_test_split.txt", "bounding_boxes.txt",
        "parts/parts.txt", "parts/part_locs.txt", "attributes/image_attribute_labels.txt",
        "attributes/class_attribute_labels_continuous.txt", "../attributes.txt",
    ],
)  # fmt: skip
def test_missing_files_are_named_with_the_command(folder, name):
    (folder / "CUB_200_2011" / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{Path(name).name} is missing; .*python -m data_fetch get cub200"):
        read(folder)


def test_missing_and_empty_pictures_and_tables(folder):
    (folder / "CUB_200_2011/images" / FILES[0]).write_bytes(b"")
    with pytest.raises(ValueError, match="is no picture"):
        read(folder)
    (folder / "CUB_200_2011/images" / FILES[0]).unlink()
    with pytest.raises(FileNotFoundError, match="not complete"):
        read(folder)
    (folder / "CUB_200_2011/bounding_boxes.txt").write_text("")
    with pytest.raises(ValueError, match="bounding_boxes.txt is empty"):
        read(folder, "test")
