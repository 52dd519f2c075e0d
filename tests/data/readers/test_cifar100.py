"""CIFAR-100 in its official layout, as Python 2 and as Python 3 pickle it, and pickles that mean harm."""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from data_fetch.fields import batches
from data_fetch.readers.cifar100 import read

FINE = [f"fine_{n}" for n in range(100)]
COARSE = [f"coarse_{n}" for n in range(20)]


def old_pickle(value: object) -> bytes:
    """`value` in the opcodes that Python 2 used for the archive: text and the bytes of arrays are byte strings."""
    if isinstance(value, dict):
        return b"}(" + b"".join(old_pickle(k) + old_pickle(v) for k, v in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(old_pickle, value)) + b"e"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, str):
        return b"U" + bytes([len(value)]) + value.encode("latin1")
    shape = b"(" + b"".join(map(old_pickle, value.shape)) + b"t"
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
    kind = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    raw = value.tobytes()
    return empty + b"(K\x01" + shape + kind + b"\x89" + b"T" + struct.pack("<i", len(raw)) + raw + b"tb"


def content(count: int, seed: int) -> dict:
    rng = np.random.default_rng(seed)
    return {
        "data": rng.integers(0, 256, (count, 3072)).astype(np.uint8),
        "fine_labels": rng.integers(0, 100, count).tolist(),
        "coarse_labels": rng.integers(0, 20, count).tolist(),
        "filenames": [f"taurus_s_{n:06d}.png" for n in range(count)],
        "batch_label": f"part {seed}",
    }


WRITERS = {
    "python 2": lambda value: b"\x80\x02" + old_pickle(value) + b".",
    "python 3": lambda value: pickle.dumps(value, protocol=2),
    "protocol 4": lambda value: pickle.dumps(value, protocol=4),
}


def make(folder: Path, write=WRITERS["python 2"]) -> Path:
    root = folder / "cifar-100-python"
    root.mkdir()
    (root / "train").write_bytes(write(content(12, 1)))
    (root / "test").write_bytes(write(content(5, 2)))
    (root / "meta").write_bytes(write({"fine_label_names": FINE, "coarse_label_names": COARSE}))
    (root / "file.txt~").write_bytes(b"")
    return root


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("split, count, seed", [("train", 12, 1), ("test", 5, 2)])
def test_pictures_and_both_kinds_of_labels(tmp_path, writer, split, count, seed):
    root, expected = make(tmp_path, WRITERS[writer]), content(count, seed)
    data = read(tmp_path, split)
    assert data.images[:].shape == (count, 3, 32, 32) and data.images[:].dtype == torch.float32
    assert np.array_equal((data.images[:] * 255).round().numpy(), expected["data"].reshape(-1, 3, 32, 32))
    assert data.labels.tolist() == expected["fine_labels"] and data.labels.dtype == torch.int64
    assert data.names == tuple(expected["filenames"]) and data.class_names[:2] == ("fine 0", "fine 1")
    groups = read(root, split, coarse=True)
    assert groups.labels.tolist() == expected["coarse_labels"] and groups.class_names[19] == "coarse 19"
    assert torch.equal(groups.images[:], data.images[:]) and data.masks is None and data.boxes is None


def test_colour_planes_and_rows_are_in_order(tmp_path):
    root, pictures = make(tmp_path), np.zeros((1, 3, 32, 32), np.uint8)
    pictures[0, 0], pictures[0, 1, 3], pictures[0, 2, :, 5] = 10, 20, 30
    made = {**content(1, 0), "data": pictures.reshape(1, 3072)}
    (root / "test").write_bytes(WRITERS["python 2"](made))
    red, green, blue = read(tmp_path, "test").images[0] * 255
    assert red.unique().tolist() == [10] and torch.nonzero(green)[:, 0].unique().tolist() == [3]
    assert torch.nonzero(blue)[:, 1].unique().tolist() == [5]


@pytest.mark.parametrize("size", [8, 48])
def test_other_sizes(tmp_path, size):
    make(tmp_path)
    small, whole = read(tmp_path, size=size).images[:], read(tmp_path).images[:]
    assert small.shape == (12, 3, size, size) and 0 <= small.min() and small.max() <= 1
    assert torch.allclose(small.mean((2, 3)), whole.mean((2, 3)), atol=0.02)


def test_parts_and_batches(tmp_path):
    make(tmp_path)
    data = read(tmp_path)
    part = pickle.loads(pickle.dumps(data))[data.labels > 40]
    assert torch.equal(part.images[:], data.images[data.labels > 40]) and 0 < len(part) < 12
    found = list(batches(part, "images", "labels", size=3, generator=torch.Generator().manual_seed(0), workers=1))
    assert sorted(torch.cat([batch["labels"] for batch in found]).tolist()) == sorted(part.labels.tolist())


class Harm:
    """Pickles to a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("name", ["train", "meta"])
@pytest.mark.parametrize("function", [os.mkdir, eval, __import__, Path, np.load, getattr])
def test_a_pickle_that_calls_a_function_is_refused_and_the_call_not_made(tmp_path, name, function):
    root, trace = make(tmp_path), tmp_path / "trace"
    bomb = Harm(function, f"__import__('os').mkdir({str(trace)!r})" if function is eval else str(trace))
    (root / name).write_bytes(pickle.dumps({"data": bomb, "fine_label_names": bomb}, protocol=2))
    with pytest.raises(ValueError, match=f"{name} is no pickle of plain data .it asks for "):
        read(tmp_path)
    assert not trace.exists()


@pytest.mark.parametrize(
    "opcodes, message",
    [
        (b"\x80\x02cos\nsystem\n(U\x09echo harmtR.", "it asks for os.system"),
        (b"\x80\x02c__builtin__\neval\n(U\x011tR.", "it asks for __builtin__.eval"),
        (b"\x80\x02cnumpy\ndtype\n(U\x02O8K\x00K\x01tR.", "an array of 'O8', not of bytes"),
        (b"\x80\x02cnumpy\nload\n.", "it asks for numpy.load"),
        (b"\x80\x02c_codecs\nencode\n(U\x01aU\x04zliptR.", "text in the encoding 'zlip'"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.dump\x93.", "it asks for numpy.ndarray.dump"),
        (b"\x80\x02Pelsewhere\n.", ""),
        (b"\x80\x02U\x03idxQ.", "outside the file"),
        (b"\x80\x02}(U\x04data", ""),
        (b"", ""),
        (b"<html>no data</html>", ""),
    ],
)
def test_other_names_and_torn_files_are_refused(tmp_path, opcodes, message):
    (make(tmp_path) / "train").write_bytes(opcodes)
    with pytest.raises(ValueError, match=f"train is no pickle of plain data .*{message}"):
        read(tmp_path)


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("data", np.zeros((12, 3071), np.uint8), "data must be an array of bytes, 3072 for each image"),
        ("data", "no array", "data must be an array of bytes"),
        ("fine_labels", [0] * 11, "expected 12 labels, whole numbers 0 to 99"),
        ("fine_labels", [0] * 11 + [100], "expected 12 labels, whole numbers 0 to 99"),
        ("fine_labels", ["0"] * 12, "expected 12 labels"),
        ("filenames", ["a.png"], "every row needs an entry"),
        ("filenames", None, "train has no filenames"),
    ],
)
def test_files_that_hold_something_else(tmp_path, key, value, message):
    root, made = make(tmp_path), {**content(12, 1), key: value}
    if value is None:
        del made[key]
    (root / "train").write_bytes(WRITERS["python 2"](made))
    with pytest.raises(ValueError, match=message):
        read(tmp_path)


def test_an_array_whose_bytes_do_not_fit_its_shape(tmp_path):
    whole = WRITERS["python 2"](content(12, 1))
    shape = b"(" + old_pickle(12) + old_pickle(3072) + b"t"
    (make(tmp_path) / "train").write_bytes(whole.replace(shape, b"(" + old_pickle(13) + old_pickle(3072) + b"t"))
    with pytest.raises(ValueError, match="is no pickle of plain data"):
        read(tmp_path)


def test_unknown_split_and_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="meta is missing; .*python -m data_fetch get cifar100"):
        read(tmp_path)
    root = make(tmp_path)
    with pytest.raises(ValueError, match="no split 'val'; there are train, test"):
        read(tmp_path, "val")
    (root / "test").unlink()
    with pytest.raises(FileNotFoundError, match="test is missing; .*python -m data_fetch get cifar100"):
        read(tmp_path, "test")
