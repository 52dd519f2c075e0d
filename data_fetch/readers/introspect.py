"""VQA-Introspect: reasoning questions, each with the perception questions that its answer rests on.

Layout: VQAIntrospect_trainv1.0.json and VQAIntrospect_valv1.0.json. Each is a dict: the number of a reasoning
question, as text, -> image_id, reasoning_question, reasoning_answer_most_common and introspect, a list with one entry
for each worker: pred_q_type ("reasoning", "perception" or "invalid") and sub_qa, a list of sub_question and
sub_answer, often empty. Several workers wrote the same sub-question, and not always with the same answer.

References
----------
Selvaraju et al., "SQuINTing at VQA Models", CVPR 2020 (arXiv 2001.06927).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

from data_fetch.fields import QA, Questions
from data_fetch.readers import official, records, vqa
from data_fetch.readers.pixels import Fit

SPLITS = ("train", "val")


def read(
    folder: Path | str,
    split: str = "train",
    *,
    size: int = 224,
    how: str = "squash",
    keep_empty: bool = True,
    answers_of: Path | str | None = None,
    version: int = 2,
    images: Path | str | None = None,
    limit: int | None = None,
) -> Questions:
    """Reasoning questions with their answers, pictures and, in `perception`, their sub-questions.

    Sub-questions of a worker who called the question invalid are left out. The same text (but for case, spaces and
    the question mark) is one sub-question, with the answer that most workers gave. Where two answers are equally
    frequent, nothing says which is right, and the sub-question is dropped.

    Parameters
    ----------
    folder : holds the two files.
    split : "train" or "val", with pictures of COCO's train2014 or val2014.
    size, how : see `pixels.Fit`.
    keep_empty : False leaves out questions without any sub-question.
    answers_of : the folder of VQA, for ten votes and the types of each question: looked up by number, and by the text
        on the same picture where the number is not the same question. Questions that it lacks have no votes and "".
    version : of VQA in `answers_of`.
    images : the folder of COCO with train2014 and val2014; None takes coco2014 beside `folder`.
    limit : the first so many questions only.

    Returns
    -------
    Questions; ids are the file's own, which have the form of VQA v2's (picture * 1000 + n; v1's are picture * 10 +
    n). votes and types are None without `answers_of`.

    Raises
    ------
    ValueError : unknown split, a file that is not JSON, a broken record.  FileNotFoundError : a missing file.
    """
    official.choose(split, SPLITS)
    records.check_limit(limit)
    path = Path(folder) / f"VQAIntrospect_{split}v1.0.json"
    asked, perception = [], []
    for key, entry in records.load(path, "introspect").items():
        one, found = _question(f"{path}, {key!r}", key, entry, f"{split}2014"), _perception(f"{path}, {key!r}", entry)
        if found or keep_empty:
            asked.append(one)
            perception.append(found)
    asked, perception = asked[:limit], tuple(perception[:limit])
    if answers_of is not None:
        asked = _with_votes(asked, vqa.load(Path(answers_of), split, version))
    fit, images = Fit(size, how), vqa.beside(folder, images)
    return vqa.as_questions(asked, images, fit, answered=answers_of is not None, perception=perception)


def _question(where: str, key: str, entry: object, part: str) -> vqa.Asked:
    image = records.value(entry, "image_id", int, where)
    texts = ("reasoning_question", "reasoning_answer_most_common")
    question, answer = (records.value(entry, field, str, where).strip() for field in texts)
    if not key.isdecimal() or not question or not answer:
        raise ValueError(f"{where}: expected a number with a question and an answer, got {question!r} and {answer!r}")
    return vqa.Asked(int(key), part, image, question, answer)


def _perception(where: str, entry: dict) -> tuple[QA, ...]:
    """Sub-questions in the order of their first appearance, each with its most common answer."""
    texts: dict[str, str] = {}
    answers: dict[str, Counter] = defaultdict(Counter)
    for spot, worker in records.listed(entry, "introspect", where):
        said = set()  # who repeats himself has one vote
        for place, pair in records.listed(worker, "sub_qa", spot):
            question, answer = (records.value(pair, f"sub_{what}", str, place) for what in ("question", "answer"))
            question, answer = " ".join(question.split()), " ".join(answer.lower().split())
            said.add((question.rstrip(" ?").lower(), "yes" if answer == "yea" else answer))
            texts.setdefault(question.rstrip(" ?").lower(), question)
        if records.value(worker, "pred_q_type", str, spot) != "invalid":
            for question, answer in said:
                answers[question][answer] += 1
    best = {question: answers[question].most_common(2) for question in texts if question and answers[question]}
    sure = {question: top[0][0] for question, top in best.items() if len(top) == 1 or top[0][1] > top[1][1]}
    return tuple(QA(texts[question], answer, "perception") for question, answer in sure.items() if answer)


def _with_votes(asked: list[vqa.Asked], known: list[vqa.Asked]) -> list[vqa.Asked]:
    """The questions with the votes and types of the same question (number, or text, and picture) in VQA."""
    numbers = {(one.number, one.image, one.question.lower()): one for one in known}
    texts = {(one.image, one.question.lower()): one for one in known}
    found = []
    for one in asked:
        key = one.image, one.question.lower()
        same = numbers.get((one.number, *key)) or texts.get(key) or one
        found.append(
            vqa.Asked(
                one.number,
                one.part,
                one.image,
                one.question,
                one.answer,
                same.votes,
                same.question_type,
                same.answer_type,
            )
        )
    return found
