"""Lesson 12: a model that answers reasoning questions rightly and the questions they rest on wrongly, and SQuINT.

After Selvaraju et al., "SQuINTing at VQA Models", CVPR 2020 (arXiv 2001.06927). In training pictures with a person mostly
have the answer "yes", whatever is asked; in the balanced test set a person says nothing. Every arm goes on from the seed's
one model, which learned reasoning and perception questions, with as many optimiser steps as the others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field

import torch
from torch import Tensor

from data_fetch.fields import Questions
from data_fetch.worlds.scenes.introspection import STRENGTH, reasoning_sets
from data_fetch.worlds.scenes.priors import region_labels
from data_fetch.worlds.scenes.questions import SceneQuestions
from lessons_lib.evidence import Claim
from lessons_lib.evidence.quadrants import quadrants, share_on
from lessons_lib.experiments.runner import Results, device_for, difference
from lessons_lib.feedback.hint import pool_over_boxes
from lessons_lib.feedback.squint import attention_distances
from lessons_lib.models.updown import UpDown
from lessons_lib.training.reasoning import Triples, Weights, fine_tune, learn, new_model, triples
from lessons_lib.training.reasoning_eyes import grid_features, train_scene_eyes
from lessons_lib.training.reasoning_sets import introspect_sets

LESSON = "squint"
DATA = ("scenes", "vqa_introspect")
ARMS = {
    "baseline": "goes on with the questions of the pretraining",
    "subquestions": "pairs of a reasoning question and a sub-question, without the attention term",
    "squint": "pairs, with the attention term; both attentions move",
    "squint_detached": "the same with the sub-question's attention as a constant target",
    "squint_random_question": "control: the attention of an irrelevant question about the same picture",
    "squint_other_image": "control: the attention of a sub-question about another picture",
    "same_compute": "control: the baseline with twice the steps, so as many passes as with pairs",
}
# weights of the sub-question's cross-entropy and of the attention term; tried on seeds 1000 to 1002: 1 to 10 and 5 to 60
SUB, ATTENTION = 4.0, 20.0
WEIGHTS = {
    "subquestions": Weights(sub=SUB),
    "squint": Weights(ATTENTION, SUB),
    "squint_detached": Weights(ATTENTION, SUB, detach=True),
    "squint_random_question": Weights(ATTENTION, SUB, pairing="random_question"),
    "squint_other_image": Weights(ATTENTION, SUB, pairing="other_image"),
}
RATE, BATCH = 1e-2, 64  # of all arms: peak learning rate, rows a step
SIZES = {  # pictures; side; width of the eyes; length of the model's vectors; epochs of eyes, start, arms
    "quick": {"train": 1600, "test": 600, "size": 48, "width": 16, "hidden": 64, "epochs": (3, 18, 5)},
    "full": {"train": 8000, "test": 2000, "size": 64, "width": 32, "hidden": 128, "epochs": (8, 18, 5)},
}
LIMITS = {"quick": (3000, 1500), "full": (20_000, 10_000)}  # reasoning questions of VQA-Introspect, train and val
_EVIDENCE = 0.25  # share of a region that evidence fills where it counts as evidence


@dataclass
class Tested:
    """A test set with what its regions are: columns a reasoning question.

    evidence (Q, R) bool : regions that show what decides.  person (Q, R) bool : that show a person. None on real data.
    """

    asked: Questions
    features: Tensor
    evidence: Tensor | None = None
    person: Tensor | None = None


@dataclass
class World:
    """train : reasoning questions with sub-questions.  perception : others, for the pretraining.

    features (N, R, D) : of the training pictures' regions.  tests : the first is the one that is reported, "balanced"
    or "val"; "same" has the training's answers.  cache : the seed's start and columns.
    """

    seed: int
    profile: str
    data: str
    train: Questions
    perception: Questions
    features: Tensor
    tests: dict[str, Tested]
    cache: dict = field(default_factory=dict)


Tell = Callable[[str], Callable]


def world(
    seed: int,
    profile: str = "quick",
    data: str = "scenes",
    *,
    strength: float = STRENGTH,
    progress: Tell = lambda what: None,
    **options,
) -> World:
    """Questions about rendered scenes, or VQA-Introspect, and features of the pictures' regions.

    strength : share of the training answers that go with a person, see `introspection.primed`.
    progress : from the name of a model to a callback for its training.  options : of `real_world`.
    """
    if data == "vqa_introspect":
        return real_world(seed, profile, **options)
    sizes, device = SIZES[profile], device_for(profile)
    options = {name: sizes[name] for name in ("train", "test", "size")}
    sets = reasoning_sets(seed, strength=strength, device=device, **options)
    pictures = sets.train.pictures
    eyes = train_scene_eyes(
        pictures, epochs=sizes["epochs"][0], width=sizes["width"], seed=seed, progress=progress("eyes")
    )
    seen = [eyes.regions(some.images, some.proposals) for some in (pictures, sets.balanced.pictures)]
    tests = {name: tested(getattr(sets, name), seen[1]) for name in ("balanced", "same")}
    return World(seed, profile, data, sets.train, sets.perception, seen[0], tests)


def tested(asked: SceneQuestions, features: Tensor) -> Tested:
    """The test set with the regions that show the evidence, and those that show a person."""
    boxes, index = asked.pictures.proposals, asked.image_index
    masks = asked.evidence_masks[range(len(asked))].float()
    evidence = pool_over_boxes(masks, boxes[index].to(masks), tuple(masks.shape[1:])) > _EVIDENCE
    person = region_labels(asked.pictures).slot == 0
    return Tested(asked, features, evidence, person.to(evidence.device)[index])


def real_world(seed: int, profile: str, *, folder=None, images=None, weights: str | None = "imagenet") -> World:
    """VQA-Introspect by `introspect_sets`, with a grid of cells over each photograph.

    folder, images : of the reader; None: where `python -m data_fetch get introspect` and `get coco2014` put them.
    weights : of `grid_features`.

    Raises
    ------
    FileNotFoundError : the files are not there; the message has the command that gets them.
    """
    device = device_for(profile)
    train, perception, val = introspect_sets(seed, limits=LIMITS[profile], folder=folder, images=images)
    seen = [grid_features(some.pictures.images, weights=weights, device=device) for some in (train, val)]
    return World(seed, profile, "vqa_introspect", train, perception, seen[0], {"val": Tested(val, seen[1])})


# ---------------------------------------- training
def start(world: World, *, progress: Tell = lambda what: None) -> UpDown:
    """The model from which all arms go on; the first call trains it on reasoning and perception questions alike."""
    if "start" not in world.cache:
        sizes, sets = SIZES[world.profile], (world.train, world.perception)
        model = new_model(sets, world.features.shape[2], hidden=sizes["hidden"], seed=world.seed)
        options = {"epochs": sizes["epochs"][1], "seed": world.seed, "progress": progress("start")}
        world.cache["start"] = learn(model.to(world.features.device), world.features, sets, **options)
        world.cache["pairs"] = triples(world.train, model)
    return world.cache["start"]


def train(
    world: World,
    arm: str,
    seed: int,
    profile: str = "quick",
    *,
    weights: Weights | None = None,
    progress: Tell = lambda what: None,
) -> UpDown:
    """The seed's model, trained on as the arm says.  weights : others than the arm's `WEIGHTS`."""
    model, epochs = start(world, progress=progress), SIZES[profile]["epochs"][2]
    pairs = world.cache["pairs"]
    if arm in WEIGHTS:
        weights = WEIGHTS[arm] if weights is None else weights
        options = {"epochs": epochs, "lr": RATE, "batch_size": BATCH, "seed": seed, "progress": progress(arm)}
        return fine_tune(model, world.features, pairs, weights, **options)
    rows = len(pairs) * epochs * (2 if arm == "same_compute" else 1)
    options = {"rows": rows, "lr": RATE, "batch_size": BATCH, "seed": seed, "progress": progress(arm)}
    return learn(deepcopy(model), world.features, (world.train, world.perception), **options)


# ---------------------------------------- evidence
@dataclass(frozen=True)
class Replies:
    """What a model says to the P pairs of a test set.

    data : the pairs.  main, sub (P,) int64 : answers.  main_right, sub_right (P,) bool.
    main_attention, sub_attention (P, R).  answers : the model's, by number.
    """

    data: Triples
    main: Tensor
    sub: Tensor
    main_attention: Tensor
    sub_attention: Tensor
    answers: tuple[str, ...]

    @property
    def main_right(self) -> Tensor:
        return self.main == self.data.main_answer

    @property
    def sub_right(self) -> Tensor:
        return self.sub == self.data.sub_answer


@torch.no_grad()
def replies(model: UpDown, test: Tested) -> Replies:
    """The model's answers to all pairs of a test set; an answer that it does not know counts as wrong."""
    data, found = triples(test.asked, model), []
    for rows in torch.arange(len(data)).split(2048):
        seen = test.features[data.picture[rows]]
        for tokens in (data.main[rows], data.sub[rows]):
            logits, attention = model.reply(seen, tokens)
            found.append((logits.argmax(1), attention))
    main, sub = found[::2], found[1::2]
    columns = [torch.cat([one[k] for one in part]) for k in (0, 1) for part in (main, sub)]
    return Replies(data, *columns, model.answers)


def measure(model: UpDown, world: World) -> dict[str, float]:
    """The quadrants of the first test set and what stands behind them; same_... of the set with the training's answers.

    both_right, main_only, sub_only, neither, consistency : see `Quadrants`.  reasoning : accuracy, each reasoning
    question once.  sub_accuracy : over pairs.  attention_distance : of a pair, summed over regions, 0 to 2.
    main_on_evidence, sub_on_evidence, main_on_person : shares of attention, where such a region is there.
    """
    found = {}
    for name, test in world.tests.items():
        prefix = "same_" if name == "same" else ""
        found |= {prefix + key: number for key, number in _of_set(replies(model, test), test).items()}
    return found


def _of_set(said: Replies, test: Tested) -> dict[str, float]:
    cells, row = quadrants(said.main_right, said.sub_right), said.data.row
    once = torch.ones_like(row, dtype=torch.bool)
    once[1:] = row[1:] != row[:-1]
    found = dataclasses.asdict(cells) | {
        "consistency": cells.consistency,
        "reasoning": float(said.main_right[once].float().mean()),
        "sub_accuracy": float(said.sub_right.float().mean()),
        "attention_distance": said.main_attention.shape[1]
        * float(attention_distances(said.main_attention, said.sub_attention).mean()),
    }
    if test.evidence is None:
        return found
    evidence, person = test.evidence[row], test.person[row]
    return found | {
        "main_on_evidence": share_on(said.main_attention, evidence),
        "sub_on_evidence": share_on(said.sub_attention, evidence),
        "main_on_person": share_on(said.main_attention, person),
    }


def extra(world: World, seed: int, profile: str = "quick") -> dict[str, float]:
    """The start, before any arm: its consistency, quadrants and accuracies."""
    kept = ("both_right", "main_only", "consistency", "reasoning", "sub_accuracy", "same_reasoning", "same_consistency")
    found: Mapping[str, float] = measure(start(world), world)
    return {f"start_{name}": found[name] for name in kept if name in found}


def claims(results: Results) -> list[Claim]:
    """What the lesson asserts, of the balanced test set; the thresholds were fixed before the first run on reported seeds."""

    def more(id: str, text: str, metric: str, other: str, threshold: float = 0.0, arm: str = "squint") -> list[Claim]:
        if metric not in results["arms"].get(arm, {metric: 0}):
            return []  # real data: the set that the metric is of is not there
        return difference(results, f"squint.{id}", text, metric, arm, other, threshold=threshold)

    return [
        *more("consistency", "Consistency rises by 5 points or more", "consistency", "baseline", 0.05),
        *more("consistency_beyond_subquestions", "... and beyond fine-tuning on sub-questions alone", "consistency",
              "subquestions"),
        *more("quadrants", "More pairs are right for the right reason than with sub-questions alone", "both_right",
              "subquestions"),
        *difference(results, "squint.wrong_reasons", "Fewer pairs are right for a wrong reason than in the baseline",
                    "main_only", "squint", "baseline", direction="<"),
        *more("reasoning_kept", "Reasoning accuracy is not lower by more than 1 point", "reasoning", "baseline", -0.01),
        *more("reasoning_kept_same", "... nor where a person tells the answer as in training", "same_reasoning",
              "baseline", -0.01),
        *more("attention", "Reasoning questions look more at the evidence than with sub-questions alone",
              "main_on_evidence", "subquestions"),
        *more("wrong_pairs_control", "Control: with the attention of an irrelevant question fewer pairs are right for the "
              "right reason", "both_right", "squint_random_question"),
        *more("wrong_pairs_control_other_image", "Control: ... and with that of a sub-question about another picture",
              "both_right", "squint_other_image"),
        *more("wrong_pairs_consistency", "Control: with the attention of an irrelevant question consistency is lower",
              "consistency", "squint_random_question"),
        *more("same_compute", "Control: a baseline with as many passes is less consistent by 5 points or more",
              "consistency", "same_compute", 0.05),
        *more("detached", "A constant target makes more pairs right for the right reason than one that moves",
              "both_right", "squint", arm="squint_detached"),
    ]  # fmt: skip
