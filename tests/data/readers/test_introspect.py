"""VQA-Introspect in its official layout: empty lists, workers who repeat or contradict each other, invalid questions."""

from __future__ import annotations

import pytest
from layouts import annotation, coco_photo, dump, question, write_vqa

from data_fetch.fields import QA
from data_fetch.readers.introspect import read


def worker(*pairs: tuple[str, str], kind: str = "reasoning") -> dict:
    return {"sub_qa": [{"sub_question": q, "sub_answer": a} for q, a in pairs], "pred_q_type": kind}


def entry(*workers: dict, image: int = 9, question: str = "Is the dog safe?", answer: str = "no") -> dict:
    fields = {"image_id": image, "reasoning_question": question, "reasoning_answer_most_common": answer}
    return {**fields, "introspect": list(workers)}


CONTENT = {
    "9001": entry(
        worker(("Is the dog  on the road?", "Yes"), ("What colour is it?", "brown")),
        worker(("is the dog on the road ?", "yes"), ("How many cars are there?", "2")),
        worker(("Is there a cat?", "yes"), kind="invalid"),
    ),
    "5000": entry(image=5, question="Is it summer?", answer="yes"),
    "9002": entry(worker(kind="perception"), worker(), question="Is it late?"),
}


@pytest.fixture
def folder(tmp_path):
    dump(tmp_path / "introspect/VQAIntrospect_trainv1.0.json", CONTENT)
    for number in (5, 9):
        coco_photo(tmp_path / "coco2014", "train2014", number, grey=10 * number)
    return tmp_path / "introspect"


def perception(folder, *workers: dict) -> tuple[QA, ...]:
    dump(folder / "VQAIntrospect_trainv1.0.json", {"9001": entry(*workers)})
    return read(folder).perception[0]


def test_questions_answers_and_pictures(folder):
    data = read(folder, size=8)
    assert data.ids == (9001, 5000, 9002) and data.answers == ("no", "yes", "no")
    assert data.questions == ("Is the dog safe?", "Is it summer?", "Is it late?")
    assert data.image_index.tolist() == [0, 1, 0] and data.votes is None and data.question_types is None
    assert [round(float(x) * 255) for x in data.images[:].mean((1, 2, 3))] == [90, 50, 90]


def test_sub_questions_of_all_workers_once_each(folder):
    assert read(folder).perception == (
        (
            QA("Is the dog on the road?", "yes", "perception"),
            QA("What colour is it?", "brown", "perception"),
            QA("How many cars are there?", "2", "perception"),
        ),
        (),
        (),
    )
    assert read(folder, keep_empty=False).ids == (9001,)
    assert read(folder, limit=2).ids == (9001, 5000)


def test_most_workers_decide_and_a_tie_drops_the_sub_question(folder):
    yes, no = worker(("Is it wet?", "yes")), worker(("Is it wet?", "no"))
    assert perception(folder, no, yes, yes) == (QA("Is it wet?", "yes", "perception"),)
    assert perception(folder, yes, no) == ()
    assert perception(folder, yes, worker(("Is it wet?", "yea"))) == (QA("Is it wet?", "yes", "perception"),)
    shouting = worker(("Is it wet?", "no"), ("is it wet", "No "))
    assert perception(folder, shouting, yes) == (), "who repeats himself has one vote"
    invalid = worker(("Is it wet?", "no"), kind="invalid")
    assert perception(folder, yes, invalid, invalid) == (QA("Is it wet?", "yes", "perception"),)
    assert perception(folder, worker(("?", "yes"), ("Is it wet?", " "))) == (), "an empty text is no question"


def test_votes_come_from_vqa_by_number_or_by_text(folder, tmp_path):
    rows = [(9001, 9, "Is the dog safe?"), (5000, 5, "Another one?"), (5003, 5, "is it summer?")]
    votes = {9001: ["no"] * 10, 5000: ["red"] * 10, 5003: ["yes"] * 10}
    write_vqa(
        tmp_path / "vqa2", [question(*row) for row in rows], [annotation(*row[:2], votes[row[0]]) for row in rows]
    )
    data = read(folder, answers_of=tmp_path / "vqa2")
    assert data.votes == (("no",) * 10, ("yes",) * 10, ()), "the same number must also be the same question"
    assert data.answer_types == ("yes/no", "yes/no", "") and data.ids == (9001, 5000, 9002)


@pytest.mark.parametrize(
    "content, word",
    [
        ({"x1": CONTENT["9001"]}, "'x1'"),
        ({"1": {**CONTENT["9001"], "image_id": "9"}}, "image_id"),
        ({"1": {**CONTENT["9001"], "introspect": {}}}, "introspect"),
        ({"1": entry({"sub_qa": [{"sub_question": "Is it?"}], "pred_q_type": "reasoning"})}, "sub_answer"),
        ({"1": entry({"sub_qa": []})}, "pred_q_type"),
        ({"1": entry(question=" ")}, "question and an answer"),
        ({"1": []}, "image_id"),
        ({}, "no question is left"),
        ([], "should hold a dict"),
    ],
)
def test_broken_records_are_named(folder, content, word):
    dump(folder / "VQAIntrospect_trainv1.0.json", content)
    with pytest.raises(ValueError, match=word):
        read(folder)


def test_bad_split_and_missing_file(folder):
    with pytest.raises(ValueError, match="train, val"):
        read(folder, "test")
    with pytest.raises(FileNotFoundError, match="VQAIntrospect_valv1.0.json is missing.*get introspect"):
        read(folder, "val")
