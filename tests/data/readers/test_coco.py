"""COCO in its official layout: categories with gaps, polygons, three kinds of run lengths, crowds, bare pictures."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest
import torch
from layouts import coco_photo, dump, photo
from pycocotools import mask as rle

from data_fetch.readers.coco import photographs, read
from data_fetch.readers.pixels import Fit

W, H = 40, 20
PERSON, BOAT, DOG = 1, 9, 18  # the official numbers have gaps


def runs(mask: np.ndarray) -> list[int]:
    """Run lengths down the columns, beginning with how many zeros there are."""
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *edges.tolist(), flat.size]).tolist()
    return [0, *lengths] if flat[0] else lengths


def block(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((H, W), np.uint8)
    mask[y0:y1, x0:x1] = 1
    return mask


def thing(image: int, category: int, outline, box, crowd: int = 0, **more) -> dict:
    return {"image_id": image, "category_id": category, "segmentation": outline, "bbox": box, "iscrowd": crowd, **more}


def content() -> tuple[dict, dict]:
    images = [
        {"id": n, "file_name": f"COCO_train2014_{n:012d}.jpg", "width": W, "height": H, "license": 1} for n in (9, 5, 7)
    ]
    packed = rle.encode(np.asfortranarray(block(0, 0, 10, 10)))
    things = [
        thing(9, DOG, [[4, 2, 12, 2, 12, 10, 4, 10]], [4, 2, 8, 8]),
        thing(7, PERSON, {"counts": runs(block(20, 0, 40, 20)), "size": [H, W]}, [20, 0, 20, 20], 1),
        thing(9, PERSON, [[20, 0, 30, 0, 30, 20, 20, 20], [34, 4, 38, 4, 38, 8, 34, 8]], [20.0, 0.0, 18.0, 20.0]),
        thing(9, BOAT, {"counts": packed["counts"].decode(), "size": [H, W]}, [0, 0, 10, 10]),
        thing(7, BOAT, [[1, 1, 5, 5]], [1, 1, 4, 0]),  # two points: covers nothing, and is no box either
    ]
    categories = [{"id": n, "name": name} for n, name in ((PERSON, "person"), (BOAT, "boat"), (DOG, "dog"))]
    said = [(7, " A crowd. "), (9, "A dog."), (9, "A person, a dog and a boat.")]
    captions = [{"id": n, "image_id": image, "caption": text} for n, (image, text) in enumerate(said)]
    return {"images": images, "annotations": things, "categories": categories}, {
        "images": images,
        "annotations": captions,
    }


@pytest.fixture
def folder(tmp_path):
    instances, captions = content()
    write(tmp_path, instances, captions)
    for number in (9, 5, 7):
        coco_photo(tmp_path, "train2014", number, width=W, height=H, grey=10 * number)
    return tmp_path


def write(folder, instances, captions):
    dump(folder / "annotations/instances_train2014.json", instances)
    dump(folder / "annotations/captions_train2014.json", captions)
    (folder / "train2014").mkdir(exist_ok=True)


def test_pictures_captions_and_classes(folder):
    data = read(folder, size=40)
    assert data.class_names == ("person", "boat", "dog")
    assert data.names == tuple(f"COCO_train2014_{n:012d}.jpg" for n in (9, 5, 7))
    assert data.captions == (("A dog.", "A person, a dog and a boat."), (), ("A crowd.",))
    assert data.images[:].shape == (3, 3, 40, 40)
    assert [round(float(x) * 255) for x in data.images[:].mean((1, 2, 3))] == [90, 50, 70]
    assert data.labels.tolist() == [[True, True, True], [False] * 3, [False, True, False]], "a crowd is no label"


def test_boxes_are_corners_in_the_square(folder):
    data = read(folder, size=40)  # width stays, height doubles
    assert data.box_labels[0].tolist() == [2, 0, 1] and data.box_labels[2].tolist() == [0, 1]
    assert data.boxes[0].tolist() == [[4, 4, 12, 20], [20, 0, 38, 40], [0, 0, 10, 20]]
    assert [x.tolist() for x in data.ignored] == [[False] * 3, [], [True, False]]
    assert data.boxes[1].shape == (0, 4) and data.object_masks[1].shape == (0, 40, 40)


@pytest.mark.parametrize("n, first", [(0, block(4, 2, 12, 10)), (2, block(20, 0, 40, 20))])
def test_masks_are_the_outlines(folder, n, first):
    masks = read(folder, size=40).object_masks[n]
    assert torch.equal(masks[0], torch.from_numpy(first).repeat_interleave(2, 0).bool())


def test_every_kind_of_segmentation(folder):
    data = read(folder, size=40)
    person, boat = data.object_masks[0][1:].numpy()
    both = block(20, 0, 30, 20) | block(34, 4, 38, 8)  # two polygons of one object
    assert np.array_equal(person, both.repeat(2, 0)) and np.array_equal(boat, block(0, 0, 10, 10).repeat(2, 0))
    assert not data.object_masks[2][1].any(), "a polygon of two points was drawn as a box"
    assert torch.equal(data.mask_of("person")[0], torch.from_numpy(person))
    assert not data.mask_of("person")[2].any(), "a crowd is no person mask"


@pytest.mark.parametrize("n", range(6))
def test_random_run_lengths_and_packed_strings_agree(folder, n):
    mask = (np.random.default_rng(n).random((H, W)) < 0.4).astype(np.uint8)
    packed = rle.encode(np.asfortranarray(mask))["counts"].decode()
    instances, captions = content()
    for number, counts in ((7, packed), (5, runs(mask))):
        instances["annotations"].append(thing(number, DOG, {"counts": counts, "size": [H, W]}, [0, 0, W, H]))
    write(folder, instances, captions)
    data = read(folder, size=40)
    wanted = torch.from_numpy(mask).repeat_interleave(2, 0).bool()
    assert torch.equal(data.object_masks[1][0], wanted) and torch.equal(data.object_masks[2][2], wanted)


def test_a_crop_takes_boxes_and_masks_along_and_drops_what_it_cuts_off(folder):
    data = read(folder, size=20, how="crop")  # columns 10 to 30 remain
    assert data.box_labels[0].tolist() == [2, 0], "the boat at the left border is outside"
    assert data.boxes[0].tolist() == [[0, 2, 2, 10], [10, 0, 20, 20]]
    assert len(data.object_masks[0]) == 2
    assert torch.equal(data.object_masks[0][1], torch.from_numpy(block(20, 0, 30, 20)[:, 10:30]).bool())


def test_options(folder):
    assert len(read(folder, limit=2)) == 2 and len(read(folder, keep_empty=False)) == 2
    bare = read(folder, objects=False)
    assert bare.boxes is None and bare.object_masks is None and bare.captions[0][0] == "A dog."
    assert read(folder, captions=False).captions is None
    part = read(folder, size=40)[[2]]
    assert part.captions == (("A crowd.",),) and part.object_masks[0].shape == (2, 40, 40)
    assert pickle.loads(pickle.dumps(part.object_masks))[0].shape == (2, 40, 40), "workers need picklable columns"


def test_2017_has_other_names(tmp_path):
    photo(tmp_path / "val2017/000000000042.jpg")
    images = [{"id": 42, "file_name": "000000000042.jpg", "width": 40, "height": 20}]
    dump(tmp_path / "annotations/captions_val2017.json", {"images": images, "annotations": []})
    data = read(tmp_path, "val", year=2017, objects=False)
    assert data.names == ("000000000042.jpg",) and data.images[:1].shape == (1, 3, 224, 224)


def test_captions_need_no_pycocotools_but_masks_say_what_is_missing(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    data = read(folder)
    assert len(data.boxes[0]) == 3
    with pytest.raises(ImportError, match="pip install pycocotools"):
        data.object_masks[0]


@pytest.mark.parametrize(
    "change, word",
    [
        ({"category_id": 2}, "category"),
        ({"bbox": [1, 2, 3]}, "box of 4"),
        ({"bbox": [1, 2, -3, 4]}, "negative"),
        ({"bbox": [1, 2, None, 4]}, "finite"),
        ({"image_id": 77}, "no picture 77"),
        ({"image_id": "9"}, "image_id"),
        ({"segmentation": None}, "segmentation"),
    ],
)
def test_broken_objects_are_named(folder, change, word):
    instances, captions = content()
    instances["annotations"][1].update(change)
    write(folder, instances, captions)
    with pytest.raises(ValueError, match=word):
        read(folder)


@pytest.mark.parametrize(
    "outline, word",
    [
        ({"counts": [3, 40], "size": [H, W]}, "add up"),
        ({"counts": [800], "size": [W, H]}, "run lengths for"),
        ({"counts": "", "size": [H, W]}, "add up"),
        ({"counts": "oooo", "size": [H, W]}, "cut short"),
        ({"counts": "zz", "size": [H, W]}, "strange"),
        ({"counts": 5, "size": [H, W]}, "int"),
        ({"size": [H, W]}, "counts"),
        ([[1, 2, 3, 4, 5, 6, 7]], "odd"),
    ],
)
def test_broken_segmentations_are_named_with_their_picture(folder, outline, word):
    instances, captions = content()
    instances["annotations"][0]["segmentation"] = outline
    write(folder, instances, captions)
    with pytest.raises(ValueError, match=f"000000000009.jpg.*{word}"):
        read(folder).object_masks[0]


def test_broken_and_missing_files(folder):
    path = folder / "annotations/captions_train2014.json"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(ValueError, match="captions_train2014.json is not JSON"):
        read(folder)
    path.write_text("[]")
    with pytest.raises(ValueError, match="should hold a dict"):
        read(folder)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="captions_train2014.json is missing.*data_fetch get coco2014"):
        read(folder)
    with pytest.raises(FileNotFoundError, match="train2017 is missing.*data_fetch get coco2017"):
        read(folder, year=2017)


def test_bad_arguments_and_names_that_leave_the_folder(folder):
    with pytest.raises(ValueError, match="train, val"):
        read(folder, "test")
    with pytest.raises(ValueError, match="year"):
        read(folder, year=2015)
    with pytest.raises(ValueError, match="captions, objects"):
        read(folder, captions=False, objects=False)
    instances, captions = content()
    captions["images"][0]["file_name"] = "../secret.jpg"
    write(folder, instances, captions)
    with pytest.raises(ValueError, match="without folders"):
        read(folder)


def test_photographs_name_parts_and_numbers(folder):
    data = photographs(folder, [("train2014", 7), ("train2014", 9)], Fit(8))
    assert [round(float(x) * 255) for x in data.images[:].mean((1, 2, 3))] == [70, 90]
    with pytest.raises(FileNotFoundError, match="val2014 is missing"):
        photographs(folder, [("val2014", 7)], Fit(8))
