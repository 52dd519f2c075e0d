"""VQA-HAT in its official layout: several annotators, maps carried from VQA v1 to v2, a crop that fits the picture."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from layouts import annotation, coco_photo, question, write_vqa
from PIL import Image

from data_fetch.readers.vqahat import read

TEXTS = {10: "What colour is it?", 11: "How many are there?", 20: "What colour is it?"}  # v1: picture * 10 + n


def half(level: int, width: int = 40, height: int = 20) -> np.ndarray:
    """A map whose left half is lit."""
    return np.where(np.arange(width) < width // 2, level, 0).astype(np.uint8)[None].repeat(height, 0)


def put(folder, name: str, array: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(folder / name)


@pytest.fixture
def folder(tmp_path):
    hat = tmp_path / "vqahat"
    write_vqa(hat, [question(n, n // 10, text) for n, text in TEXTS.items()], [], version=1)
    write_vqa(
        tmp_path / "vqa1",
        [question(n, n // 10, text) for n, text in TEXTS.items()],
        [annotation(n, n // 10) for n in TEXTS],
        version=1,
    )
    # v2: other numbers and another order, a new picture with the same question
    second = [(3000, 3, TEXTS[10]), (1005, 1, TEXTS[11]), (1002, 1, TEXTS[10]), (1003, 1, "A new question?")]
    write_vqa(tmp_path / "vqa2", [question(*row) for row in second], [annotation(*row[:2]) for row in second])
    for number in (1, 2, 3):
        coco_photo(tmp_path / "coco2014", "train2014", number, width=40, height=20)
    put(hat / "vqahat_train", "10_1.png", half(255))
    put(hat / "vqahat_train", "10_2.png", half(51))
    put(hat / "vqahat_train", "20_1.png", half(102, 13, 7))  # a map may have a size of its own
    return hat


def test_version_1_is_found_by_number_and_annotators_are_averaged(folder, tmp_path):
    data = read(folder, version=1, v1=tmp_path / "vqa1", size=8)
    assert data.ids == (10, 20) and data.has_attention.tolist() == [True, True]
    maps = data.attention[:]
    assert maps.shape == (2, 8, 8) and maps.dtype == torch.float32
    assert maps[0, :, 0].tolist() == pytest.approx([(1 + 0.2) / 2] * 8) and maps[0, :, -1].abs().max() == 0
    assert float(maps[1].max()) == pytest.approx(0.4), "a dim map must stay dim"


def test_version_2_is_found_by_text_on_the_same_picture(folder):
    data = read(folder, size=8)
    assert data.ids == (1002,), "the same words about another picture have no map"
    assert data.attention[0][:, 0].tolist() == pytest.approx([0.6] * 8)
    assert data.answers == ("yes",) and len(data.votes[0]) == 10


def test_keep_all_fills_up_with_zeros(folder):
    data = read(folder, keep_all=True, size=8)
    assert data.ids == (3000, 1005, 1002, 1003)
    assert data.has_attention.tolist() == [False, False, True, False]
    assert data.attention[:].amax((1, 2)).gt(0).tolist() == data.has_attention.tolist()
    assert read(folder, keep_all=True, limit=2).ids == (3000, 1005)


def test_a_crop_cuts_the_same_part_of_picture_and_map(folder, tmp_path):
    """The square in the middle of a 40 x 20 picture begins 10 pixels from the left, on any map of it."""
    for shape in ((40, 20), (20, 20), (80, 20)):
        put(folder / "vqahat_train", "10_1.png", half(255, *shape))
        put(folder / "vqahat_train", "10_2.png", half(255, *shape))
        heat = read(folder, size=20, how="crop").attention[0]
        assert float(heat.mean()) == pytest.approx(0.5, abs=0.04)
        assert float(heat[:, :8].min()) > 0.95 and float(heat[:, 12:].max()) < 0.05


def test_sixteen_bits_and_colour_are_read_too(folder):
    put(folder / "vqahat_train", "10_1.png", half(255).astype(np.uint16) * 257)
    put(folder / "vqahat_train", "10_2.png", half(255)[:, :, None].repeat(3, 2))
    assert float(read(folder, size=8).attention[0][:, 0].mean()) == pytest.approx(1.0)


def test_questions_of_the_download_or_beside_it(folder, tmp_path):
    (folder / "OpenEnded_mscoco_train2014_questions.json").unlink()
    assert read(folder).ids == (1002,), "vqa1 beside the folder"
    shutil.rmtree(tmp_path / "vqa1")
    with pytest.raises(FileNotFoundError, match="OpenEnded_mscoco_train2014.*get vqahat --only questions"):
        read(folder)


def test_missing_and_strange_maps(folder):
    with pytest.raises(FileNotFoundError, match="vqahat_val is missing.*get vqahat"):
        read(folder, "val")
    put(folder / "vqahat_train", "map.png", half(255))
    with pytest.raises(ValueError, match="map.png should be named"):
        read(folder)
    (folder / "vqahat_train/map.png").unlink()
    (folder / "vqahat_train/10_2.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="10_2.png"):
        read(folder).attention[0]
    for path in (folder / "vqahat_train").iterdir():
        path.rename(path.with_name("9" + path.name))
    with pytest.raises(ValueError, match="none of the 2 maps"):
        read(folder)


def test_bad_arguments_are_named(folder):
    with pytest.raises(ValueError, match="train, val"):
        read(folder, "test")
    with pytest.raises(ValueError, match="version 3"):
        read(folder, version=3)
