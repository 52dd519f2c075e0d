"""Small files in official layouts, for the tests of several readers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

ANSWERS = ["yes"] * 7 + ["no"] * 2 + ["maybe"]


def dump(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def photo(path: Path, width: int = 40, height: int = 20, grey: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width, 3), grey, np.uint8)).save(path)
    return path


def coco_photo(folder: Path, part: str, number: int, **more) -> Path:
    return photo(folder / part / f"COCO_{part}_{number:012d}.jpg", **more)


def question(number: int, image: int, text: str, **more) -> dict:
    return {"question_id": number, "image_id": image, "question": text, **more}


def annotation(number: int, image: int, answers: list[str] = ANSWERS, **more) -> dict:
    votes = [{"answer": a, "answer_confidence": "yes", "answer_id": n} for n, a in enumerate(answers, 1)]
    fixed = {"question_type": "is the", "answer_type": "yes/no", "multiple_choice_answer": answers[0]}
    return {"question_id": number, "image_id": image, "answers": votes, **fixed, **more}


def write_vqa(folder: Path, questions: list[dict], annotations: list[dict], part: str = "train2014", version: int = 2):
    prefix = "v2_" if version == 2 else ""
    about = {"info": {}, "license": {}, "data_type": "mscoco", "data_subtype": part}
    dump(folder / f"{prefix}OpenEnded_mscoco_{part}_questions.json", {**about, "questions": questions})
    dump(folder / f"{prefix}mscoco_{part}_annotations.json", {**about, "annotations": annotations})
