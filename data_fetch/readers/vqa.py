"""VQA v1 and v2: questions about COCO pictures, ten answers each, and the official score of an answer.

Layout: (v2_)OpenEnded_mscoco_train2014_questions.json with questions (image_id, question, question_id), and
(v2_)mscoco_train2014_annotations.json with annotations (question_id, image_id, question_type, answer_type,
multiple_choice_answer, answers); likewise val2014. v1 has no prefix. The test sets, test2015 and test-dev2015, have
questions alone.

References
----------
Antol et al., "VQA: Visual Question Answering", ICCV 2015.
Goyal, Khot, Summers-Stay, Batra, Parikh, "Making the V in VQA Matter", CVPR 2017 (v2).
visualqa.org/evaluation: how answers are made comparable, and the score.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from data_fetch.fields import Questions
from data_fetch.readers import coco, official, records
from data_fetch.readers.pixels import Fit

SPLITS = {"train": "train2014", "val": "val2014", "test": "test2015", "test-dev": "test-dev2015"}
NAMES = {1: "vqa1", 2: "vqa2"}  # of the data sets, by version
_NUMBERS = {word: str(n) for n, word in enumerate("zero one two three four five six seven eight nine ten".split())}
_NUMBERS["none"] = "0"
_SIGNS = re.compile(r"[;/\[\]\"{}()=+\\_<>@`,?!-]")


@dataclass(frozen=True)
class Asked:
    """One question: its number, the part of COCO ("train2014") and number of its picture, and what was answered."""

    number: int
    part: str
    image: int
    question: str
    answer: str = ""
    votes: tuple[str, ...] = ()
    question_type: str = ""
    answer_type: str = ""


def read(
    folder: Path | str,
    split: str = "train",
    *,
    size: int = 224,
    how: str = "squash",
    version: int = 2,
    images: Path | str | None = None,
    limit: int | None = None,
) -> Questions:
    """Questions in the official order, with the pictures that they are about.

    Parameters
    ----------
    folder : where the archives of questions and annotations were extracted.
    split : "train", "val", "test" or "test-dev". The last two have no answers: every answer is "" and votes and types
        are None.
    size, how : see `pixels.Fit`.
    version : 1 or 2.
    images : the folder of COCO with train2014, val2014 and test2015; None takes coco2014 beside `folder`.
    limit : the first so many questions only.

    Returns
    -------
    Questions with ids; votes, the ten answers as written; answers, the most common one; question and answer types.

    Raises
    ------
    ValueError : unknown split or version, a file that is not JSON, a broken record, a question without annotation.
    FileNotFoundError : a missing file.
    """
    records.check_limit(limit)
    asked = load(Path(folder), split, version)[:limit]
    return as_questions(asked, beside(folder, images), Fit(size, how), answered=not split.startswith("test"))


def beside(folder: Path | str, images: Path | str | None) -> Path:
    """The folder of the COCO pictures."""
    return Path(folder).parent / "coco2014" if images is None else Path(images)


def load(folder: Path, split: str, version: int, *, answers: bool = True, name: str | None = None) -> list[Asked]:
    """Every question of a split, without pictures.

    answers : False leaves the annotations unread.  name : the data set that a message about a missing file names.
    """
    official.choose(split, list(SPLITS))
    if version not in NAMES:
        raise ValueError(f"there is no version {version!r} of VQA; there are 1 and 2")
    prefix, part, name = "v2_" if version == 2 else "", SPLITS[split], name or NAMES[version]
    path = folder / f"{prefix}OpenEnded_mscoco_{part}_questions.json"
    questions = list(records.listed(records.load(path, name), "questions", path))
    annotations = None
    if answers and not split.startswith("test"):
        path = folder / f"{prefix}mscoco_{part}_annotations.json"
        annotations = records.listed(records.load(path, name), "annotations", path)
    return join(questions, annotations, "test2015" if split.startswith("test") else part)


def join(
    questions: Iterable[tuple[str, dict]], annotations: Iterable[tuple[str, dict]] | None, part: str | None
) -> list[Asked]:
    """Questions with their annotations, both as (where, record); part None: every record says its coco_split."""
    answered = {}
    for where, entry in annotations or ():
        number = records.value(entry, "question_id", int, where)
        if number in answered:
            raise ValueError(f"{where}: question {number} has two annotations")
        answered[number] = where, entry
    asked: dict[int, Asked] = {}
    for where, entry in questions:
        number, image = records.value(entry, "question_id", int, where), records.value(entry, "image_id", int, where)
        if number in asked:
            raise ValueError(f"{where}: there are two questions {number}")
        here = part or records.value(entry, "coco_split", str, where)
        if here not in ("train2014", "val2014", "test2015"):
            raise ValueError(f"{where}: coco_split should be train2014 or val2014, got {here!r}")
        text = records.value(entry, "question", str, where).strip()
        if annotations is not None and number not in answered:
            raise ValueError(f"{where}: question {number} has no annotation")
        more = {} if annotations is None else _answered(*answered[number], image)
        asked[number] = Asked(number, here, image, text, **more)
    if len(answered) > len(asked):
        left = next(number for number in answered if number not in asked)
        raise ValueError(f"{answered[left][0]}: there is no question {left}")
    return list(asked.values())


def _answered(where: str, entry: dict, image: int) -> dict[str, object]:
    if records.value(entry, "image_id", int, where) != image:
        raise ValueError(f"{where}: the question is about picture {image}, the annotation about {entry['image_id']}")
    votes = tuple(records.value(vote, "answer", str, spot) for spot, vote in records.listed(entry, "answers", where))
    if len(votes) != 10:
        raise ValueError(f"{where}: expected ten answers, got {len(votes)}")
    texts = ("multiple_choice_answer", "question_type", "answer_type")
    answer, question_type, answer_type = (records.value(entry, key, str, where) for key in texts)
    return {"answer": answer, "votes": votes, "question_type": question_type, "answer_type": answer_type}


def as_questions(asked: Sequence[Asked], images: Path, fit: Fit, *, answered: bool = True, **more) -> Questions:
    """The questions as a set; only pictures that have a question are in it. more : further fields of `Questions`."""
    if not asked:
        raise ValueError("no question is left")
    places = {key: n for n, key in enumerate(dict.fromkeys((one.part, one.image) for one in asked))}
    if answered:
        more = {
            "votes": tuple(one.votes for one in asked),
            "question_types": tuple(one.question_type for one in asked),
            "answer_types": tuple(one.answer_type for one in asked),
        } | more
    return Questions(
        pictures=coco.photographs(images, list(places), fit),
        image_index=torch.tensor([places[one.part, one.image] for one in asked], dtype=torch.long),
        questions=tuple(one.question for one in asked),
        answers=tuple(one.answer for one in asked),
        ids=tuple(one.number for one in asked),
        **more,
    )


def _contractions() -> dict[str, str]:
    """{contraction without its apostrophe: with it}; left out are those that are words as well (its, were, well)."""
    endings = {
        "n't": "ai are ca could did does do had has have is might must need ought sha should was were wo would",
        "'d": "he how it there they where who you someone something",
        "'ll": "how it they what who why you someone somebody something",
        "'re": "there they what why you",
        "'s": "he how somebody someone that there what when where who why",
        "'ve": "could might must should they we what where who would you",
    }
    whole = ["ma'am", "o'clock", "'twas", "y'all"]
    whole += [start + end for end, starts in endings.items() for start in starts.split()]
    return {word.replace("'", ""): word for word in whole}


_CONTRACTIONS = _contractions()


def normalise(answer: str) -> str:
    """An answer made comparable, by the steps that visualqa.org/evaluation lists.

    Lower case; no periods but decimal points; no commas between digits; other punctuation becomes a space, save
    apostrophes, colons and what the official script does not count as punctuation ($, %, &, #); number words to ten
    become digits ("none" is 0, as in that script); no articles; missing apostrophes of contractions put back.
    """
    text = re.sub(r"(?<=\d),(?=\d)|\.(?!\d)", "", answer.lower())
    kept = [_NUMBERS.get(word, word) for word in _SIGNS.sub(" ", text).split()]
    return " ".join(_CONTRACTIONS.get(word, word) for word in kept if word not in ("a", "an", "the"))


def soft_score(answer: str, votes: Sequence[str]) -> float:
    """Score from 0 to 1 of an answer: min(1, matches / 3), averaged over the subsets that leave out one vote each.

    With ten votes: 0.3 for one match, 0.6 for two, 0.9 for three, 1 from four on. A single vote, as the rendered
    worlds have, gives 1 or 0. Both sides are normalised; the official script leaves votes that are all the same as
    they are, which differs where they hold an article or punctuation.
    """
    if not votes:
        raise ValueError("there is no vote to compare the answer with")
    said = normalise(answer)
    hits = [normalise(vote) == said for vote in votes]
    if len(hits) == 1:
        return float(hits[0])
    return sum(min(1.0, (sum(hits) - hit) / 3) for hit in hits) / len(hits)
