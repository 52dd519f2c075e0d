"""The photographs inside other packages: files, descriptions, boxes."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from PIL import Image

from data_fetch import photos
from lessons_lib.models import imagenet

BOXED = [name for name in photos.names() if photos.photo(name).objects]


def test_what_is_there():
    assert len(photos.names()) == len(set(photos.names())) >= 20
    assert len(photos.names(photos_only=True)) >= 12
    assert sum(len(photos.photo(name).objects) >= 2 for name in photos.names(photos_only=True)) >= 9
    assert len(BOXED) >= 14
    assert {photos.photo(name).kind for name in photos.names()} == {
        "photograph", "astronomy", "medical", "texture", "text", "drawing"
    }  # fmt: skip
    assert set(photos.names(suitable_only=True)) <= set(photos.names(photos_only=True))


@pytest.mark.parametrize("name", photos.names())
def test_every_picture_loads_as_described(name):
    image, photo = photos.load(name), photos.photo(name)
    assert image.mode == "RGB" and image.size == photo.size
    assert len(set(image.resize((32, 32)).tobytes())) > 1
    assert photo.name == name and photo.caption.endswith(".") and ";" in photo.licence
    assert photos.path(name).name == photo.file
    for label, index, (x0, y0, x1, y1) in photo.objects:
        assert label and (index is None or 0 <= index < 1000)
        assert 0 <= x0 < x1 <= image.width and 0 <= y0 < y1 <= image.height


def test_classes_go_by_the_networks_own_names():
    for name in photos.names():
        photo = photos.photo(name)
        assert (photo.category is None) == (photo.index is None)
        if photo.index is not None:
            assert imagenet.CATEGORIES[photo.index] == photo.category
    named = {thing.label: imagenet.CATEGORIES[thing.index]
             for name in BOXED for thing in photos.boxes(name) if thing.index is not None}  # fmt: skip
    assert named["tripod"] == "tripod" and named["cup"] == "cup" and named["espresso"] == "espresso"
    assert named["model of a space shuttle"] == "space shuttle" and named["uniform jacket"] == "military uniform"
    assert named["rocket"] == "missile" and named["clock"] == "wall clock" and named["coat"] == "trench coat"


def test_suitable_means_what_the_network_recognises():
    """The rule that `Photo.suitable` states, applied to every photograph that has a class."""
    model = imagenet.load()
    names = [name for name in photos.names(photos_only=True) if photos.photo(name).category]
    with torch.no_grad():
        probabilities = model(torch.cat([imagenet.prepare(photos.load(name)) for name in names])).softmax(1)
    for name, row in zip(names, probabilities):
        index = photos.photo(name).index
        recognised = int(row.argmax()) == index and float(row[index]) >= 0.3
        assert photos.photo(name).suitable == recognised, name
    assert not any(photos.photo(name).suitable for name in photos.names() if name not in names)


@pytest.mark.parametrize("name", BOXED)
@pytest.mark.parametrize("size", [224, 7])
def test_boxes_are_scaled_with_the_squashed_picture(name, size):
    width, height = photos.photo(name).size
    for (label, index, box), (same, also, scaled) in zip(photos.boxes(name), photos.boxes(name, size), strict=True):
        assert (label, index) == (same, also)
        assert np.allclose(np.array(scaled) * (width, height, width, height) / size, box)


def test_the_boxes_of_bright_things_hold_them():
    """Where a thing differs in colour from all around it, the box can be checked without eyes."""
    cases = {
        "horse": ("horse", lambda p: p.max(-1) < 128),
        "cell": ("cell", lambda p: p[..., 0] > 140),
        "flower": ("dahlia", lambda p: (p[..., 0] > 150) & (np.arange(len(p))[:, None] < 365)),
    }
    for name, (label, is_thing) in cases.items():
        pixels = np.asarray(photos.load(name)).astype(int)
        rows, columns = np.nonzero(is_thing(pixels))
        low, high = np.percentile(columns, [0.2, 99.8]), np.percentile(rows, [0.2, 99.8])
        (box,) = [thing.box for thing in photos.boxes(name) if thing.label == label]
        assert np.allclose(box, (low[0], high[0], low[1], high[1]), atol=12), name


def test_table_has_a_row_for_every_picture():
    table = photos.table()
    assert [row["name"] for row in table] == photos.names()
    assert all(isinstance(value, str) for row in table for value in row.values())
    row = next(row for row in table if row["name"] == "coins")
    assert row["objects"] == "coin" and row["package"] == "scikit-image"


def test_unknown_names_and_sizes():
    with pytest.raises(ValueError, match="did you mean camera"):
        photos.load("camra")
    with pytest.raises(ValueError, match="choose one of astronaut"):
        photos.photo("zzzz")
    with pytest.raises(ValueError, match="positive"):
        photos.boxes("camera", 0)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install scikit-learn"):
        photos.load("china")


def test_a_missing_or_different_file_is_named(monkeypatch, tmp_path):
    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: Spec)
    with pytest.raises(FileNotFoundError, match="without its sample pictures"):
        photos.load("camera")
    (tmp_path / "data").mkdir()
    Image.new("L", (256, 256)).save(tmp_path / "data" / "camera.png")
    with pytest.raises(ValueError, match="another picture"):
        photos.load("camera")
