"""Models that are trained once on this machine and kept: for the demo, and for whoever wants to explain right away."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import torch

from data_fetch.folder import data_folder
from data_fetch.words import Vocabulary
from data_fetch.worlds.scenes import ask, scenes
from data_fetch.worlds.scenes.names import names
from lessons_lib.models.answerer import Answerer
from lessons_lib.models.captioner import Captioner
from lessons_lib.models.namer import Namer
from lessons_lib.training.language import train_answerer, train_captioner, train_namer

Progress = Callable[[int, int], object] | None
WORLD = {  # what the models of lesson 03 and of the demo have seen; the place says nothing about the thing
    "places": ("beach", "street", "field", "kitchen"),
    "things": ("dog", "horse", "car", "bicycle", "boat", "umbrella", "kite", "surfboard", "banana", "cup"),
    "people": 0.5,
    "objects": (1, 3),
    "home": None,
    "repeat": 0.1,
}
KINDS = ("colour", "is_colour", "exists", "side", "beside", "doing", "animal", "using", "clothes")
SEED, PICTURES, SIZE = 20_001, 6000, 48
EPOCHS = {"namer": 4, "captioner": 6, "answerer": 6}
_LOCK = threading.Lock()  # two threads that ask at once: the second waits and finds what the first has made
_FORMAT = 1  # raise it when a change of models or world makes what is kept useless


def captioner(progress: Progress = None) -> Captioner:
    """A captioner of rendered scenes (`WORLD`). The first call trains it; later calls read it from the data folder.

    progress : called as progress(done, total), in optimiser steps, while it trains.
    """
    return _models(progress)[0]


def answerer(progress: Progress = None) -> Answerer:
    """A model that answers questions about rendered scenes; see `captioner`, with which it is trained."""
    return _models(progress)[1]


def kept_at() -> Path:
    """The file in which the two models are kept."""
    return data_folder() / "models" / f"scenes-{_FORMAT}.pt"


def _models(progress: Progress) -> tuple[Captioner, Answerer]:
    with _LOCK:
        return _found_or_made(kept_at(), progress)


def _found_or_made(path: Path, progress: Progress) -> tuple[Captioner, Answerer]:
    try:
        return _rebuild(torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError:
        pass
    except Exception:  # damaged, or of an older version: it is made anew, and nothing is lost
        path.unlink(missing_ok=True)
    state = _train(progress)
    _keep(path, state)
    return _rebuild(state)


def _train(progress: Progress, pictures: int = PICTURES) -> dict[str, object]:
    world = scenes(pictures, size=SIZE, seed=SEED, **WORLD)
    asked = ask(world, per_image=3, kinds=KINDS, seed=SEED, attention=0.0)
    steps = [EPOCHS["namer"] * -(-pictures // 64), EPOCHS["captioner"] * -(-pictures // 64)]
    steps.append(EPOCHS["answerer"] * -(-len(asked) // 128))

    def tell(before: int) -> Callable:
        return lambda report: progress and progress(min(before + report.step, sum(steps)), sum(steps))

    known, shown = names(world, least=6)
    namer = train_namer(world.images, known, shown, epochs=EPOCHS["namer"], seed=SEED, progress=tell(0))
    captions = [world.captions[n] for n in range(len(world))]
    options = {"seed": SEED, "progress": tell(steps[0]), "epochs": EPOCHS["captioner"]}
    speaks = train_captioner(namer, world.images, captions, **options)
    rows = (asked.questions, asked.answers, asked.image_index)
    options = {"seed": SEED, "progress": tell(steps[0] + steps[1]), "epochs": EPOCHS["answerer"]}
    answers = train_answerer(namer, world.images, *rows, **options)
    return {
        "names": list(known),
        "caption_words": list(speaks.vocabulary.words),
        "question_words": list(answers.vocabulary.words),
        "answers": list(answers.answers),
        "captioner": speaks.state_dict(),
        "answerer": answers.state_dict(),
    }


def _rebuild(state: dict) -> tuple[Captioner, Answerer]:
    namer = Namer(state["names"])
    speaks = Captioner(Vocabulary(tuple(state["caption_words"])), namer, size=SIZE)
    speaks.load_state_dict(state["captioner"])
    answers = Answerer(Vocabulary(tuple(state["question_words"])), state["answers"], namer, size=SIZE)
    answers.load_state_dict(state["answerer"])
    return speaks.eval(), answers.eval()


def _keep(path: Path, state: dict) -> None:
    """Write atomically: another program meets the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(state, file)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
