"""PASCAL VOC in its official layout: 1-based boxes, palette masks, parts, difficult objects, SBD's masks."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from data_fetch.readers.voc import CLASSES, read

W, H = 60, 40
# class, (xmin, ymin, xmax, ymax) as VOC counts them, difficult, number in SegmentationObject or None
THINGS = {
    "2007_000001": [
        ("dog", (11, 6, 20, 15), 0, 2),  # numbers in another order than the annotation's
        ("dog", (31, 6, 45, 25), 0, 1),
        ("person", (21, 21, 30, 40), 1, 3),
    ],
    "2007_000002": [("boat", (1, 1, 60, 40), 0, 1), ("bird", (41, 31, 50, 40), 0, None)],
    "2008_000003": [("cat", (2, 3, 9, 30), 0, 1), ("cat", (21, 11, 40, 30), 0, 4)],
    "2008_000004": [],
    "2008_000005": [("sofa", (5, 5, 30, 30), 1, None)],
}
SETS = {
    "Main": {"train": ["2007_000001", "2008_000005"], "val": ["2007_000002", "2008_000003", "2008_000004"]},
    "Segmentation": {"train": ["2007_000001", "2008_000003"], "val": ["2007_000002"]},
}


def xml(things: list) -> str:
    objects = ""
    for name, box, difficult, _ in things:
        corners = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box))
        part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></part>"
        part = part if name == "person" else ""
        objects += (
            f"<object>{part}<name>{name}</name><difficult>{difficult}</difficult><bndbox>{corners}</bndbox></object>"
        )
    return f"<annotation><size><width>{W}</width><height>{H}</height><depth>3</depth></size>{objects}</annotation>"


def maps(things: list) -> tuple[np.ndarray, np.ndarray]:
    """Class and object map; every object has a border of void, one pixel wide, inside its box."""
    classes, objects = np.zeros((H, W), np.uint8), np.zeros((H, W), np.uint8)
    for name, (x0, y0, x1, y1), _, number in things:
        if number is not None:
            for plane, value in ((classes, CLASSES.index(name) + 1), (objects, number)):
                plane[y0 - 1 : y1, x0 - 1 : x1] = 255
                plane[y0 : y1 - 1, x0 : x1 - 1] = value
    return classes, objects


def save_palette(path: Path, numbers: np.ndarray) -> None:
    picture = Image.fromarray(numbers)
    picture.putpalette([(n * step) % 256 for n in range(256) for step in (128, 64, 192)])
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def make(devkit: Path, year: int, extra: dict[str, list[str]] | None = None) -> Path:
    root = devkit / f"VOC{year}"
    for kind, sets in SETS.items():
        (root / "ImageSets" / kind).mkdir(parents=True)
        for split, names in {**sets, "trainval": sets["train"] + sets["val"], **(extra or {})}.items():
            (root / f"ImageSets/{kind}/{split}.txt").write_text("".join(f"{name}\n" for name in names))
    (root / "JPEGImages").mkdir()
    (root / "Annotations").mkdir()
    for n, (name, things) in enumerate(THINGS.items()):
        Image.fromarray(np.full((H, W, 3), 40 * n + 20, np.uint8)).save(root / f"JPEGImages/{name}.jpg")
        (root / f"Annotations/{name}.xml").write_text(xml(things))
        if any(number is not None for *_, number in things):
            classes, objects = maps(things)
            save_palette(root / f"SegmentationClass/{name}.png", classes)
            save_palette(root / f"SegmentationObject/{name}.png", objects)
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make(tmp_path / "VOCdevkit", 2012)
    return tmp_path


def add_sbd(folder: Path) -> Path:
    root = folder / "benchmark_RELEASE/dataset"
    (root / "cls").mkdir(parents=True)
    lists = {"train": ["2008_000005", "2007_000001"], "val": ["2007_000002", "2008_000004"]}
    for split, names in lists.items():
        (root / f"{split}.txt").write_text("\n".join(names))
        for name in names:
            numbers = np.zeros((H, W), np.uint8)
            numbers[4:30, 4:30] = 18 if name == "2008_000005" else 7
            savemat(root / f"cls/{name}.mat", {"GTcls": {"Segmentation": numbers, "CategoriesPresent": [[18]]}})
    return folder / "benchmark_RELEASE"


@pytest.mark.parametrize("split", ["train", "val", "trainval", "seg_train", "seg_val", "seg_trainval"])
def test_splits(folder, split):
    data = read(folder, split, size=20)
    sets = SETS["Segmentation" if split.startswith("seg_") else "Main"]
    wanted = split.removeprefix("seg_")
    names = sets["train"] + sets["val"] if wanted == "trainval" else sets[wanted]
    assert data.names == tuple(names) and data.class_names == CLASSES and len(CLASSES) == 20
    levels = (data.images[:].mean((1, 2, 3)) * 255).round().tolist()
    assert levels == pytest.approx([40 * list(THINGS).index(name) + 20 for name in names], abs=1)
    assert (data.segmentation is not None) == (data.object_masks is not None) == split.startswith("seg_")


@pytest.mark.parametrize("size", [60, 120])
def test_boxes_count_from_zero_and_end_just_outside(folder, size):
    data = read(folder, "trainval", size=size)
    for name, boxes, labels, ignored in zip(data.names, data.boxes, data.box_labels, data.ignored, strict=True):
        things = THINGS[name]
        scale = torch.tensor([size / W, size / H] * 2)
        expected = [torch.tensor([x0 - 1, y0 - 1, x1, y1]) * scale for _, (x0, y0, x1, y1), *_ in things]
        assert boxes.shape == (len(things), 4) and labels.dtype == torch.int64 and ignored.dtype == torch.bool
        assert all(torch.allclose(box, place) for box, place in zip(boxes, expected, strict=True))
        assert [CLASSES[n] for n in labels.tolist()] == [thing[0] for thing in things]
        assert ignored.tolist() == [thing[2] == 1 for thing in things]


def test_classes_of_a_picture_leave_difficult_objects_out(folder):
    labels = read(folder, "trainval", size=8).labels
    found = [{CLASSES[k] for k in torch.nonzero(row)[:, 0].tolist()} for row in labels]
    assert found == [{"dog"}, set(), {"boat", "bird"}, {"cat"}, set()]


def test_segmentation_keeps_the_indices(folder):
    data = read(folder, "seg_trainval", size=120)
    assert data.segmentation[:].shape == (3, 120, 120) and data.segmentation[:].dtype == torch.uint8
    for n, name in enumerate(data.names):
        classes, _ = maps(THINGS[name])
        assert np.array_equal(data.segmentation[n].numpy(), classes.repeat(3, 0).repeat(2, 1))
    assert set(data.segmentation[0].unique().tolist()) == {0, 12, 15, 255}


def test_each_box_gets_its_own_mask(folder):
    data = read(folder, "seg_trainval", size=120)
    for n, name in enumerate(data.names):
        _, objects = maps(THINGS[name])
        masks = data.object_masks[n]
        assert masks.shape == (len(THINGS[name]), 120, 120) and masks.dtype == torch.bool
        for mask, (*_, number) in zip(masks, THINGS[name], strict=True):
            expected = np.zeros((H, W), bool) if number is None else objects == number
            assert np.array_equal(mask.numpy(), expected.repeat(3, 0).repeat(2, 1))
    dogs = data.mask_of("dog")[0]
    assert torch.equal(dogs, data.object_masks[0][:2].any(0)) and not data.mask_of("person")[0].any()


def test_a_mask_goes_to_a_box_of_its_class_even_if_another_box_fits_better(folder):
    root, name = folder / "VOCdevkit/VOC2012", "2007_000002"
    boat = ("boat", (11, 6, 30, 25), 0, 1)
    for kind, numbers in zip(("SegmentationClass", "SegmentationObject"), maps([boat])):
        save_palette(root / kind / f"{name}.png", numbers)
    things = [("bird", (11, 6, 30, 25), 0, None), ("boat", (1, 1, 60, 40), 0, 1), ("cat", (1, 1, 9, 9), 0, None)]
    (root / f"Annotations/{name}.xml").write_text(xml(things))
    assert read(folder, "seg_val", size=60).object_masks[0].any(2).any(1).tolist() == [False, True, False]


def test_a_crop_drops_what_it_cuts_off_and_keeps_masks_in_step(folder):
    data = read(folder, "seg_trainval", size=40, how="crop")  # the window is 10 to 50
    assert [CLASSES[k] for k in data.box_labels[1].tolist()] == ["cat"]
    assert data.boxes[1].tolist() == [[10, 10, 30, 30]] and data.ignored[1].tolist() == [False]
    assert data.object_masks[1].shape == (1, 40, 40) and int(data.object_masks[1].sum()) == 18 * 18
    assert data.boxes[2].tolist() == [[0, 0, 40, 40], [30, 30, 40, 40]]


def test_another_process_can_be_handed_the_set(folder):
    data = read(folder, "seg_train", size=16)
    there = pickle.loads(pickle.dumps(data))
    assert torch.equal(there.segmentation[:], data.segmentation[:])
    assert torch.equal(there.object_masks[1], data.object_masks[1]) and torch.equal(there.labels, data.labels)


def test_numbers_that_are_not_whole_and_objects_without_difficult(folder):
    path = folder / "VOCdevkit/VOC2012/Annotations/2008_000005.xml"
    text = xml(THINGS["2008_000005"]).replace("<difficult>1</difficult>", "").replace(">5<", ">5.5<")
    path.write_text(text)
    data = read(folder, "train", size=60)
    assert data.ignored[1].tolist() == [False]
    assert torch.allclose(data.boxes[1], torch.tensor([[4.5, 4.5 * 1.5, 30, 45]]))


@pytest.mark.parametrize("where", ["given", "inside", "beside"])
def test_augmented_split(folder, where):
    place = add_sbd(folder / "sbd" if where == "beside" else folder)
    more = {"sbd": place} if where == "given" else {}
    if where == "beside":  # each data set in a folder of its own
        (folder / "voc2012").mkdir()
        (folder / "VOCdevkit").rename(folder / "voc2012/VOCdevkit")
        folder = folder / "voc2012"
    data = read(folder, "train_aug", size=60, **more)
    assert data.names == ("2007_000001", "2008_000003", "2008_000004", "2008_000005") and data.object_masks is None
    own, _ = maps(THINGS["2007_000001"])
    assert set(data.segmentation[0].unique().tolist()) == set(np.unique(own).tolist())
    assert set(data.segmentation[3].unique().tolist()) == {0, 18} and int((data.segmentation[3] == 18).sum()) == 26 * 39
    assert len(data.boxes[3]) == 1 and len(data.boxes[2]) == 0


def test_augmented_split_needs_sbd_and_readable_masks(folder):
    with pytest.raises(FileNotFoundError, match="cls is missing; .*python -m data_fetch get sbd"):
        read(folder, "train_aug")
    add_sbd(folder)
    path = folder / "benchmark_RELEASE/dataset/cls/2008_000005.mat"
    savemat(path, {"GTinst": {"Segmentation": np.zeros((H, W))}})
    with pytest.raises(ValueError, match=r"2008_000005.mat does not hold GTcls.Segmentation"):
        read(folder, "train_aug").segmentation[3]
    path.write_bytes(b"nothing of the kind" * 20)
    with pytest.raises(ValueError, match=r"2008_000005.mat does not hold"):
        read(folder, "train_aug").segmentation[3]


@pytest.mark.parametrize("place", ["", "VOCdevkit", "VOCdevkit/VOC2007"])
def test_2007_has_a_test_set(tmp_path, place):
    make(tmp_path / "VOCdevkit", 2007, {"test": ["2008_000003"]})
    for split in ("test", "seg_test"):
        assert read(tmp_path / place, split, size=8).names == ("2008_000003",)
    with pytest.raises(ValueError, match="no split 'train_aug'; there are train, val, trainval, test, seg_train"):
        read(tmp_path / place, "train_aug")


def test_the_year_must_be_clear(folder):
    with pytest.raises(ValueError, match="no split 'test'; there are .*train_aug"):
        read(folder, "test")
    with pytest.raises(FileNotFoundError, match="VOC2007/ImageSets is missing; .*python -m data_fetch get voc2007"):
        read(folder, year=2007)
    make(folder / "VOCdevkit", 2007)
    with pytest.raises(ValueError, match="say which one with year="):
        read(folder)
    assert len(read(folder, year=2007, size=8)) == len(read(folder / "VOCdevkit/VOC2012", size=8)) == 2
    with pytest.raises(ValueError, match="year must be 2007 or 2012, got 2010"):
        read(folder, year=2010)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("</size>", "\n</sise>", r"2008_000005.xml, line 2: no XML"),
        ("<xmin>5</xmin>", "", r"2008_000005.xml: <object> needs a number in bndbox/xmin, got None"),
        ("<xmin>5</xmin>", "<xmin>five</xmin>", r"needs a number in bndbox/xmin, got 'five'"),
        ("<xmin>5</xmin>", "<xmin>31</xmin>", r"2008_000005.xml: object 1 has a box without area"),
        (">sofa<", ">couch<", r"2008_000005.xml: 'couch' is none of the 20 classes"),
        (f"<width>{W}</width>", "", r"<annotation> needs a number in size/width"),
        (f"<width>{W}</width>", "<width>0</width>", r"a size of at least 1 x 1, got 0 x 40"),
    ],
)
def test_broken_annotations_are_named(folder, old, new, message):
    path = folder / "VOCdevkit/VOC2012/Annotations/2008_000005.xml"
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=message):
        read(folder, "train")
    assert len(read(folder, "val")) == 3


def test_broken_lists_and_missing_files_are_named(folder):
    root = folder / "VOCdevkit/VOC2012"
    (root / "ImageSets/Main/train.txt").write_text("2007_000001\n2008_000005  1\n")
    with pytest.raises(ValueError, match="train.txt, line 2: expected the name of one picture"):
        read(folder)
    (root / "ImageSets/Main/train.txt").unlink()
    with pytest.raises(FileNotFoundError, match="train.txt is missing; .*python -m data_fetch get voc2012"):
        read(folder)
    (root / "Annotations/2008_000004.xml").unlink()
    with pytest.raises(FileNotFoundError, match="2008_000004.xml is missing; .*get voc2012"):
        read(folder, "val")


def test_masks_that_do_not_fit_are_named(folder):
    root, name = folder / "VOCdevkit/VOC2012", "2007_000002"
    data, path = read(folder, "seg_val", size=20), root / f"SegmentationClass/{name}.png"
    save_palette(path, np.full((H, W), 21, np.uint8))
    with pytest.raises(ValueError, match="2007_000002.png: a class must be 0 to 20 or 255, got 21"):
        data.segmentation[0]
    save_palette(path, np.zeros((H, W + 1), np.uint8))
    with pytest.raises(ValueError, match="PNG of 2007_000002 differ in size"):
        data.object_masks[0]
    Image.new("RGB", (W, H)).save(path)
    with pytest.raises(ValueError, match="must be a palette image whose indices are numbers, its mode is RGB"):
        data.segmentation[0]
    path.unlink()
    with pytest.raises(FileNotFoundError, match="not complete"):
        data.segmentation[0]
