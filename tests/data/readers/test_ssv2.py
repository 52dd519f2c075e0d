"""Something-Something v2 in its official layout: bracketed templates, real WebM clips, order-reversed pairs."""

from __future__ import annotations

import sys

import av
import numpy as np
import pytest
import torch
from layouts import dump

from data_fetch.readers.ssv2 import OPPOSITES, middles, read

CLASSES = [
    "Closing something",
    "Opening something",
    "Pushing something from left to right",
    "Pushing something from right to left",
    "Something falling like a rock",
    "Touching (without moving) part of something",
    "Folding something",  # its opposite is not among these classes
]
RECORDS = [
    ("12", "pushing cup from left to right", "Pushing [something] from left to right", ["cup"]),
    ("7", "rock falling like a rock", "[Something] falling like a rock", ["rock"]),
    ("9", "touching (without moving) lid of jar", "Touching (without moving) [part] of [something]", ["lid", "jar"]),
]


def record(number, label, template, placeholders) -> dict:
    return {"id": number, "label": label, "template": template, "placeholders": placeholders}


def film(path, levels: list[int], width: int = 64, height: int = 48) -> None:
    """A WebM clip in VP9, one grey level a frame, with a white stripe on the left edge."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as video:
        stream = video.add_stream("libvpx-vp9", rate=12, options={"cpu-used": "8", "deadline": "realtime"})
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", 2_000_000
        for level in levels:
            picture = np.full((height, width, 3), level, np.uint8)
            picture[:, : width // 8] = 255
            video.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        video.mux(stream.encode())


@pytest.fixture
def folder(tmp_path):
    # numbers are texts, and the order of the file is not their order
    dump(tmp_path / "labels/labels.json", {name: str(n) for n, name in reversed(list(enumerate(CLASSES)))})
    dump(tmp_path / "labels/train.json", [record(*row) for row in RECORDS])
    dump(tmp_path / "labels/test.json", [{"id": "9"}, {"id": "7"}])
    (tmp_path / "20bn-something-something-v2").mkdir()
    return tmp_path


def test_labels_texts_and_classes(folder):
    data = read(folder)
    assert data.class_names == tuple(CLASSES) and data.labels.tolist() == [2, 4, 5]
    assert data.texts == tuple(row[1] for row in RECORDS) and data.names == ("12.webm", "7.webm", "9.webm")
    assert data.masks is None and len(read(folder, limit=2)) == 2


def test_opposites_lead_back(folder):
    opposite = read(folder).opposite
    assert opposite.tolist() == [1, 0, 3, 2, -1, -1, -1]
    dump(folder / "labels/labels.json", {name: str(n) for n, name in enumerate([*sum(OPPOSITES, ()), CLASSES[4]])})
    dump(folder / "labels/train.json", [record(*RECORDS[1])])
    opposite = read(folder).opposite
    assert int(opposite[-1]) == -1 and (opposite[:-1] >= 0).all() and len(opposite) == 2 * len(OPPOSITES) + 1
    assert torch.equal(opposite[opposite[:-1]], torch.arange(len(opposite) - 1))


def test_frames_are_the_middles_of_equal_stretches(folder):
    levels = [20 + 10 * n for n in range(16)]
    film(folder / "20bn-something-something-v2/12.webm", levels)
    data = read(folder, size=24, frames=4, limit=1)
    frames = data.frames[:]
    assert frames.shape == (1, 4, 3, 24, 24) and 0 <= float(frames.min()) and float(frames.max()) <= 1
    found = frames[0, :, :, :, 12:].mean((1, 2, 3)) * 255
    assert found.tolist() == pytest.approx([levels[n] for n in (2, 6, 10, 14)], abs=4)
    assert float(frames[..., :2].mean()) > 0.9, "left must stay left"
    cropped = read(folder, size=24, frames=4, how="crop", limit=1).frames[0]
    assert float(cropped[:, :, :, 0].max()) < 0.75, "the crop cuts the stripe off"


def test_short_clips_repeat_frames(folder):
    film(folder / "20bn-something-something-v2/12.webm", [50, 150])
    frames = read(folder, size=8, frames=6, limit=1).frames[0][..., 4:].mean((1, 2, 3)) * 255
    assert frames.tolist() == pytest.approx([50] * 3 + [150] * 3, abs=4)


@pytest.mark.parametrize("length", [1, 3, 8, 37])
@pytest.mark.parametrize("count", [1, 5, 8])
def test_middles_are_even_and_symmetric(length, count):
    found = middles(length, count)
    assert len(found) == count and found == sorted(found) and 0 <= found[0] and found[-1] < length
    steps = np.diff(found)
    assert count == 1 or steps.max() - steps.min() <= 1
    assert abs(found[0] + found[-1] - (length - 1)) <= 1


def test_test_has_labels_only_with_the_answers(folder):
    data = read(folder, "test")
    assert data.labels.tolist() == [-1, -1] and data.texts is None and data.names == ("9.webm", "7.webm")
    path = folder / "labels/test-answers.csv"
    path.write_text("7;Opening something\n9;Closing something\n")
    assert read(folder, "test").labels.tolist() == [0, 1]
    path.write_text("7;Opening something\n")
    with pytest.raises(ValueError, match="no answer for clip 9"):
        read(folder, "test")
    path.write_text("7;Opening nothing\n")
    with pytest.raises(ValueError, match="line 1"):
        read(folder, "test")


def test_older_names_beside_the_clips(folder):
    for path in (folder / "labels").iterdir():
        path.rename(folder / f"something-something-v2-{path.name}")
    assert read(folder).labels.tolist() == [2, 4, 5]


@pytest.mark.parametrize(
    "change, word",
    [
        ({"template": "Eating [something]"}, "no class 'Eating something'"),
        ({"template": None}, "template"),
        ({"label": 3}, "label"),
        ({"id": "../7"}, "should be a number"),
        ({"id": 12}, "id"),
        ({"id": "7"}, "each of them once"),
    ],
)
def test_broken_records_are_named(folder, change, word):
    rows = [record(*row) for row in RECORDS]
    dump(folder / "labels/train.json", [{**rows[0], **change}, *rows[1:]])
    with pytest.raises(ValueError, match=word):
        read(folder)


@pytest.mark.parametrize("content", [{"Closing something": "1"}, {"a": "0", "b": "0"}, {"a": None}, {}])
def test_class_numbers_must_be_complete(folder, content):
    dump(folder / "labels/labels.json", content)
    with pytest.raises(ValueError, match="number its classes"):
        read(folder)


def test_missing_and_broken_clips(folder):
    data = read(folder)
    with pytest.raises(FileNotFoundError, match="12.webm is missing"):
        data.frames[0]
    (folder / "20bn-something-something-v2/12.webm").write_bytes(b"no clip at all" * 50)
    with pytest.raises(ValueError, match="12.webm"):
        data.frames[0]
    with pytest.raises(FileNotFoundError, match="validation.json is missing.*data_fetch get ssv2"):
        read(folder, "val")


def test_pyav_is_asked_for(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match="pip install av"):
        read(folder)


def test_bad_arguments_are_named(folder):
    for arguments, word in (
        ({"split": "validation"}, "train, val, test"),
        ({"frames": 0}, "frames"),
        ({"limit": 0}, "limit"),
    ):
        with pytest.raises(ValueError, match=word):
            read(folder, **arguments)
