"""Fine-tuning on a reasoning question, a sub-question and an irrelevant question about one picture, with SOrT's ranking."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from data_fetch.fields import QA, Questions
from lessons_lib.feedback.hint import answer_loss, answer_score
from lessons_lib.feedback.sort import importance_vector, sort_loss
from lessons_lib.models.updown import UpDown
from lessons_lib.training.reasoning import Progress, Triples, known_pairs, tuned
from lessons_lib.training.steps import Batch

HALVES = ("contrast", "attraction")
MOST = 4  # irrelevant questions of a reasoning question


@dataclass(frozen=True)
class Aim:
    """What an arm trains with; every answer's cross-entropy weighs 1/3, as in the release.

    weight : of the term on importance vectors; 0 leaves it out.  margin : of the hinge, 0 to 2.
    half : "contrast", the hinge; "attraction", the distance of main and sub alone, which the release trains.
    swapped : the irrelevant question is drawn near and the sub-question driven away.
    irrelevant : the irrelevant question is answered as well; needed wherever it is ranked.
    """

    weight: float = 0.0
    margin: float = 0.0
    half: str = "contrast"
    swapped: bool = False
    irrelevant: bool = True

    def __post_init__(self) -> None:
        if self.half not in HALVES:
            raise ValueError(f"half must be one of {', '.join(HALVES)}, got {self.half!r}")
        if self.weight < 0 or not 0 <= self.margin <= 2:
            raise ValueError(f"weight must be >= 0 and margin within 0 to 2, got {self.weight} and {self.margin}")
        if self.weight and not self.irrelevant:
            raise ValueError(
                "a term on importance vectors is trained with all three questions: irrelevant must be True"
            )


def known_triples(data: Triples) -> Tensor:
    """(P,) bool: the pairs that have an irrelevant question, with all three answers known."""
    return known_pairs(data) & (data.other_answer >= 0) & (data.other != 0).any(1)


def rank_tune(
    start: UpDown,
    features: Tensor,
    data: Triples,
    aim: Aim,
    *,
    epochs: int = 5,
    lr: float = 1e-2,
    batch_size: int = 64,
    seed: int,
    progress: Progress = None,
) -> UpDown:
    """A copy of `start` that went on learning from `known_triples`, the same rows in the same order whatever the aim.

    features (N, R, D) : of the regions of the pictures.

    Raises
    ------
    ValueError : no triple is left.
    """
    data = data[known_triples(data)]
    if not len(data):
        raise ValueError("no pair has an irrelevant question and three answers that the model knows")

    def loss(model: UpDown, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        return triple_loss(model, features[batch["picture"]], batch, aim)

    return tuned(start, data, loss, epochs=epochs, lr=lr, batch_size=batch_size, seed=seed, progress=progress)


def triple_loss(model: UpDown, seen: Tensor, batch: Batch, aim: Aim) -> tuple[Tensor, dict[str, float]]:
    """`sort_loss` of a batch of triples; seen (B, R, D) the regions of their pictures.

    All questions go through the network together. The importance vectors are those of the same forward pass as the
    answers, dropout included: each question has its own mask, so the ranking has to hold with units missing.
    """
    asked = ("main", "sub", "other") if aim.irrelevant else ("main", "sub")
    if aim.swapped:
        asked = ("main", "other", "sub")
    longest = max(batch[name].shape[1] for name in asked)
    tokens = torch.cat([F.pad(batch[name], (0, longest - batch[name].shape[1])) for name in asked])
    joint, _ = model.fuse(seen.repeat(len(asked), 1, 1), tokens)
    fused = joint.chunk(len(asked))
    logits, targets = [model.out(one) for one in fused], [batch[f"{name}_answer"] for name in asked]
    if not aim.weight:
        answers = sum(answer_loss(x, t) for x, t in zip(logits, targets))
        return answers / 3, {"answers": float(answers.detach())}
    return sort_loss(
        logits, targets, fused,
        contrast_weight=aim.weight, margin=aim.margin, attraction_only=aim.half == "attraction",
    )  # fmt: skip


def question_vectors(model: UpDown, features: Tensor, tokens: Tensor, answers: Tensor, *, rows: int = 4096) -> Tensor:
    """Importance vectors (B, H) of questions, of their true answers, without dropout and without a graph.

    features (B, R, D), tokens (B, L), answers (B,) int64 >= 0.  rows : so many at a time.

    Raises
    ------
    ValueError : an answer that the model does not know.
    """
    if len(answers) and int(answers.min()) < 0:
        raise ValueError("importance vectors are those of the true answer: leave out questions whose answer is unknown")
    training, found = model.training, []
    model.eval()
    try:
        for part in torch.arange(len(tokens)).split(rows):
            with torch.no_grad():
                joint = model.fuse(features[part], tokens[part])[0]
            joint.requires_grad_()
            scores = answer_score(model.out(joint), answers[part])
            found.append(importance_vector(scores, joint, create_graph=False).detach())
    finally:
        model.train(training)
    return torch.cat(found)


def with_irrelevant(asked: Questions, most: int = MOST) -> Questions:
    """The set with up to `most` irrelevant questions each: sub-questions of other reasoning questions on the same picture.

    For VQA-Introspect, which lists none. What a reasoning question has as a sub-question itself is left out.

    Raises
    ------
    ValueError : a set without sub-questions.
    """
    if asked.perception is None:
        raise ValueError("the questions have no sub-questions to take irrelevant ones from")
    about: dict[int, dict[str, QA]] = {}
    for n, subs in zip(asked.image_index.tolist(), asked.perception):
        for qa in subs:
            about.setdefault(n, {}).setdefault(_plain(qa.question), qa)
    found = []
    for n, subs in zip(asked.image_index.tolist(), asked.perception):
        own = {_plain(qa.question) for qa in subs}
        found.append(tuple([qa for text, qa in about.get(n, {}).items() if text not in own][:most]))
    return dataclasses.replace(asked, irrelevant=tuple(found))


def _plain(question: str) -> str:
    return " ".join(question.lower().rstrip(" ?").split())
