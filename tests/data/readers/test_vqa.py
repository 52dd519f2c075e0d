"""VQA in its official layout, and its score against values worked out by hand."""

from __future__ import annotations

import random

import pytest
from layouts import ANSWERS, annotation, coco_photo, question, write_vqa

from data_fetch.readers.vqa import normalise, read, soft_score


def rows() -> tuple[list[dict], list[dict]]:
    questions = [question(9001, 9, "Is it red? "), question(5000, 5, "How many?"), question(9000, 9, "Is it blue?")]
    annotations = [
        annotation(9000, 9),
        annotation(9001, 9, ["no"] * 10),
        annotation(5000, 5, ["2"] * 6 + ["two"] * 4, question_type="how many", answer_type="number"),
    ]
    return questions, annotations  # the two files are in different order


@pytest.fixture
def folder(tmp_path):
    write_vqa(tmp_path / "vqa2", *rows())
    for number in (5, 7, 9):  # nobody asks about 7
        coco_photo(tmp_path / "coco2014", "train2014", number, grey=10 * number)
    return tmp_path / "vqa2"


def test_questions_answers_and_pictures(folder):
    data = read(folder, size=8)
    assert data.ids == (9001, 5000, 9000) and data.questions == ("Is it red?", "How many?", "Is it blue?")
    assert data.answers == ("no", "2", "yes") and data.votes[2] == tuple(ANSWERS)
    assert data.question_types == ("is the", "how many", "is the")
    assert data.answer_types == ("yes/no", "number", "yes/no")
    assert data.image_index.tolist() == [0, 1, 0] and len(data.pictures) == 2
    assert [round(float(x) * 255) for x in data.images[:].mean((1, 2, 3))] == [90, 50, 90]
    assert data[[1]].images[:].shape == (1, 3, 8, 8)


def test_limit_also_limits_the_pictures(folder):
    data = read(folder, limit=1)
    assert len(data) == 1 and data.pictures.names == ("COCO_train2014_000000000009.jpg",)


def test_version_1_and_another_place_of_the_pictures(folder, tmp_path):
    write_vqa(tmp_path / "old", [question(90, 9, "Why?")], [annotation(90, 9)], version=1)
    data = read(tmp_path / "old", version=1, images=tmp_path / "coco2014", size=8)
    assert data.ids == (90,) and data.images[:].shape == (1, 3, 8, 8)
    with pytest.raises(FileNotFoundError, match="v2_OpenEnded.*data_fetch get vqa2"):
        read(tmp_path / "old", images=tmp_path / "coco2014")


@pytest.mark.parametrize("split, part", [("test", "test2015"), ("test-dev", "test-dev2015")])
def test_test_questions_have_no_answers_but_pictures(folder, tmp_path, split, part):
    coco_photo(tmp_path / "coco2014", "test2015", 3)
    write_vqa(folder, [question(3000, 3, "What is it?")], [], part)
    (folder / f"v2_mscoco_{part}_annotations.json").unlink()
    data = read(folder, split, size=8)
    assert data.answers == ("",) and data.votes is None and data.question_types is None
    assert data.pictures.names == ("COCO_test2015_000000000003.jpg",) and data.images[:].shape == (1, 3, 8, 8)


def test_missing_pictures_are_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="train2014 is missing.*get coco2014"):
        read(folder, images=tmp_path / "nowhere")


def broken(kind: str, n: int, **change):
    questions, annotations = rows()
    {"q": questions, "a": annotations}[kind][n].update(change)
    return questions, annotations


@pytest.mark.parametrize(
    "change, word",
    [
        (broken("q", 2, question_id=9001), "two questions 9001"),
        (broken("q", 0, question_id="9001"), "question_id"),
        (broken("q", 0, question=None), "question"),
        (broken("q", 0, question_id=1), "1 has no annotation"),
        (broken("a", 0, question_id=9001), "two annotations"),
        (broken("a", 0, image_id=5), "picture 9"),
        (broken("a", 0, answers=[{"answer": "yes"}] * 9), "ten answers, got 9"),
        (broken("a", 0, answers=[{"answer": 1}] * 10), "answers\\[0\\]"),
        (broken("a", 0, multiple_choice_answer=None), "multiple_choice_answer"),
        ((rows()[0][:2], rows()[1]), "no question 9000"),
        (([], []), "no question is left"),
    ],
)
def test_broken_records_are_named(folder, change, word):
    write_vqa(folder, *change)
    with pytest.raises(ValueError, match=word):
        read(folder)


def test_bad_arguments_are_named(folder):
    with pytest.raises(ValueError, match="train, val, test, test-dev"):
        read(folder, "validation")
    with pytest.raises(ValueError, match="version 3"):
        read(folder, version=3)
    with pytest.raises(ValueError, match="limit"):
        read(folder, limit=-1)


@pytest.mark.parametrize(
    "answer, wanted",
    [
        ("The Dog.", "dog"),
        ("a  red an apple", "red apple"),
        ("100,978", "100978"),
        ("red, blue", "red blue"),
        ("2:50 p.m.", "2:50 pm"),
        ("3.5", "3.5"),
        ("girl's", "girl's"),
        ("T-shirt/top!", "t shirt top"),
        ('"stop" (red) [a]=b; <c> {d}+e\\f_g@h`', "stop red b c d e f g h"),
        ("$5 & 50%", "$5 & 50%"),
        ("Two", "2"),
        ("none", "0"),
        ("ten", "10"),
        ("eleven", "eleven"),
        ("dont", "don't"),
        ("its were well", "its were well"),
        ("8 oclock", "8 o'clock"),
        ("\tyes\n", "yes"),
    ],
)
def test_answers_are_made_comparable(answer, wanted):
    assert normalise(answer) == wanted and normalise(wanted) == wanted


@pytest.mark.parametrize("count, wanted", [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_score_of_ten_votes(count, wanted):
    """By hand: of the ten subsets, `count` have one match fewer; for 3 matches (3 * 2/3 + 7 * 1) / 10 = 0.9."""
    assert soft_score("Yes.", ["yes"] * count + ["no"] * (10 - count)) == pytest.approx(wanted)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_score_is_the_mean_over_the_subsets(seed):
    votes = random.Random(seed).choices(["red", "the red", "blue", "two", "2"], k=10)
    same = {"red": {"red", "the red"}, "2": {"two", "2"}, "blue": {"blue"}}
    for answer, group in same.items():
        subsets = [votes[:n] + votes[n + 1 :] for n in range(10)]
        wanted = sum(min(1, sum(vote in group for vote in part) / 3) for part in subsets) / 10
        assert soft_score(answer, votes) == pytest.approx(wanted)


def test_score_of_one_vote_and_of_none():
    assert soft_score("A dog", ["dog"]) == 1 and soft_score("cat", ["dog"]) == 0
    with pytest.raises(ValueError, match="no vote"):
        soft_score("cat", [])
