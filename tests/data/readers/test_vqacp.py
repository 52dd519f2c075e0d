"""VQA-CP in its official layout: lists without a wrapper, pictures of both parts of COCO, a carved validation split."""

from __future__ import annotations

import pytest
from layouts import annotation, coco_photo, dump, question

from data_fetch.readers.vqacp import read

PICTURES = [(part, number) for number in range(1, 11) for part in ("train2014", "val2014")]


def write(folder, split="train", version=2, questions=None, annotations=None):
    if questions is None:
        rows = [(1000 * n + k, part, number) for n, (part, number) in enumerate(PICTURES) for k in range(3)]
        questions = [question(q, number, f"Question {q}?", coco_split=part) for q, part, number in rows]
        annotations = [annotation(q, number, coco_split=part) for q, part, number in rows]
    dump(folder / f"vqacp_v{version}_{split}_questions.json", questions)
    dump(folder / f"vqacp_v{version}_{split}_annotations.json", annotations)


@pytest.fixture
def folder(tmp_path):
    for part in ("train2014", "val2014"):
        coco_photo(tmp_path / "coco2014", part, 1, grey=200 if part == "val2014" else 50)
    write(tmp_path / "vqacp2")
    return tmp_path / "vqacp2"


def test_pictures_come_from_the_part_that_the_record_names(folder):
    data = read(folder, validation=0, size=8)
    assert len(data) == 60 and len(data.pictures) == 20
    assert data.pictures.names[:2] == tuple(f"COCO_{part}_000000000001.jpg" for part in ("train2014", "val2014"))
    assert [round(float(x) * 255) for x in data.images[[0, 3]].mean((1, 2, 3))] == [50, 200]
    assert data.answers[0] == "yes" and len(data.votes[0]) == 10


@pytest.mark.parametrize("seed", [0, 1, 7])
@pytest.mark.parametrize("share, count", [(0.1, 2), (0.5, 10)])
def test_validation_is_carved_by_picture(folder, seed, share, count):
    train, val = (read(folder, split, validation=share, seed=seed) for split in ("train", "val"))
    assert len(val.pictures) == count and len(train.pictures) == 20 - count
    assert not set(train.pictures.names) & set(val.pictures.names)
    assert sorted(train.ids + val.ids) == sorted(read(folder, validation=0).ids)
    assert read(folder, "val", validation=share, seed=seed).ids == val.ids


def test_other_seeds_carve_other_pictures(folder):
    assert len({read(folder, "val", validation=0.2, seed=seed).ids for seed in range(6)}) > 1


def test_test_is_left_whole_and_version_1_has_its_own_files(folder):
    write(folder, "test", version=1)
    assert len(read(folder, "test", version=1)) == 60
    with pytest.raises(FileNotFoundError, match="vqacp_v2_test_questions.json is missing.*get vqacp2"):
        read(folder, "test")


@pytest.mark.parametrize("part, word", [("test2014", "coco_split"), (None, "coco_split"), (3, "coco_split")])
def test_a_record_without_a_good_part_is_named(folder, part, word):
    write(folder, questions=[question(1, 1, "Why?", coco_split=part)], annotations=[annotation(1, 1)])
    with pytest.raises(ValueError, match=rf"vqacp_v2_train_questions.json\[0\].*{word}"):
        read(folder)


def test_a_wrapper_and_bad_arguments_are_named(folder):
    for arguments, word in (
        ({"split": "validation"}, "train, val, test"),
        ({"validation": 1.0}, "validation"),
        ({"version": 3}, "version"),
        ({"split": "val", "validation": 0}, "leaves no picture"),
    ):
        with pytest.raises(ValueError, match=word):
            read(folder, **arguments)
    dump(folder / "vqacp_v2_train_questions.json", {"questions": []})
    with pytest.raises(ValueError, match="should hold a list"):
        read(folder)
