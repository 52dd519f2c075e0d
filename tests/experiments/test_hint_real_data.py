"""Lesson 11 on VQA-CP v2 and VQA-HAT in their official layouts: the same arms, and what is said when files are missing."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from lessons_lib.experiments import hint
from lessons_lib.training import hint_world
from lessons_lib.training.hint_real import real_features, real_sets

PARTS = ("train2014", "val2014")
COLOURS = ("red", "blue", "grey", "odd")


def dump(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def records(numbers):
    """Two questions about each picture; picture n of a part has the colour n % 3, one of 20 an answer of its own."""
    questions, annotations = [], []
    for n in numbers:
        for k, text in enumerate(("What color is it?", "Is it red?")):
            answer = (COLOURS[3] if n == 20 else COLOURS[n % 3]) if k == 0 else ("yes", "no")[n % 3 > 0]
            fixed = {"question_id": 10 * n + k, "image_id": n, "coco_split": PARTS[n % 2]}
            questions.append({**fixed, "question": text})
            votes = [{"answer": answer, "answer_confidence": "yes", "answer_id": i} for i in range(1, 11)]
            kinds = {"question_type": text[:5], "answer_type": "yes/no" if k else "other"}
            annotations.append({**fixed, "answers": votes, "multiple_choice_answer": answer, **kinds})
    return questions, annotations


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LESSONS_DATA", str(tmp_path))
    for split, numbers in (("train", range(1, 21)), ("test", range(21, 27))):
        for kind, entries in zip(("questions", "annotations"), records(numbers)):
            dump(tmp_path / "vqacp2" / f"vqacp_v2_{split}_{kind}.json", entries)
    for number, part in enumerate(PARTS):
        mine = [n for n in range(1, 27) if n % 2 == number]
        questions, annotations = records(mine)
        about = {"info": {}, "data_type": "mscoco", "data_subtype": part}
        dump(tmp_path / "vqa2" / f"v2_OpenEnded_mscoco_{part}_questions.json", {**about, "questions": questions})
        dump(tmp_path / "vqa2" / f"v2_mscoco_{part}_annotations.json", {**about, "annotations": annotations})
        first = [{**q, "question_id": q["question_id"] + 5} for q in questions]
        dump(tmp_path / "vqahat" / f"OpenEnded_mscoco_{part}_questions.json", {**about, "questions": first})
        for n in mine:
            pixels = np.zeros((40, 40, 3), np.uint8)
            pixels[:, :20] = ((200, 20, 20), (20, 20, 200), (120, 120, 120))[n % 3]
            (tmp_path / "coco2014" / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / "coco2014" / part / f"COCO_{part}_{n:012d}.jpg")
            maps = tmp_path / "vqahat" / ("vqahat_train", "vqahat_val")[number]
            maps.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[..., 0] // 2).save(maps / f"{10 * n + 5}_1.png")  # of the first question alone
    monkeypatch.setitem(hint_world.REAL_SIZES, "quick", {"train": 32, "test": 8, "answers": 5, "size": 64})
    monkeypatch.setitem(hint.SIZES, "quick", {**hint.SIZES["quick"], "epochs": (1, 1, 1, 1)})
    monkeypatch.setattr(hint, "STEPS", 2)
    monkeypatch.setattr(hint, "MARKED", 0.2)
    return tmp_path


def test_questions_get_regions_maps_and_frequent_answers(folder):
    sets = real_sets(3, train=36, test=8, answers=5, size=64)
    assert "odd" not in sets.train.answers and len(sets.shifted) == 8
    assert sets.train.pictures.proposals.shape[1:] == (25, 4)
    has = sets.train.has_attention
    assert torch.equal(has, torch.tensor([question.startswith("What") for question in sets.train.questions]))
    heat = sets.train.attention[[int(n) for n in torch.nonzero(has)[:2, 0]]]
    assert (heat[:, :, :24].mean() > heat[:, :, 40:].mean()) and not sets.train.attention[
        [int((~has).nonzero()[0])]
    ].any()
    assert not set(sets.train.pictures.names) & set(sets.same.pictures.names)


def test_features_are_one_vector_a_region(folder):
    pictures = real_sets(3, train=8, test=4, answers=5, size=64).train.pictures
    features = real_features(pictures)
    assert features.shape[:2] == (len(pictures), 25) and features.min() >= 0
    assert features.mean() == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(real_features(pictures, batch=3), features, atol=2e-3, rtol=1e-2)


def test_the_same_arms_run(folder):
    world = hint.world(3, data="vqacp2")
    for arm in ("baseline", "question_only", "hint", "hint_fresh_random", "zero_out", "hint_100_percent"):
        found = hint.measure(hint.train(world, arm, 3), world, arm)
        assert {"train_accuracy", "same_accuracy", "shifted_accuracy", "shifted_yes_no"} <= set(found)
        assert ("grounding" in found) == (arm != "question_only") and "caption_pointing" not in found
    assert hint.extra(world, 3) == {}


def test_missing_files_say_how_to_get_them(folder):
    (folder / "vqacp2" / "vqacp_v2_test_questions.json").unlink()
    with pytest.raises(FileNotFoundError, match="vqacp2"):
        hint.world(3, data="vqacp2")


def test_without_a_map_for_any_question_it_says_so(folder):
    for path in (folder / "vqacp2").glob("*train*.json"):
        rows = json.loads(path.read_text())
        path.write_text(json.dumps([row for row in rows if row["question_id"] % 10]))
    with pytest.raises(ValueError, match="VQA-HAT"):
        hint.world(3, data="vqacp2")
