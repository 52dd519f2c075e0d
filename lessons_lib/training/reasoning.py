"""Reasoning questions with their sub-questions as columns; a start that learned all kinds, and what goes on from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from data_fetch.fields import Questions
from data_fetch.words import Vocabulary, split_words
from data_fetch.worlds.scenes.introspection import pairs
from lessons_lib.feedback.hint import answer_loss
from lessons_lib.feedback.squint import squint_loss
from lessons_lib.models.updown import UpDown
from lessons_lib.training.fit import fit
from lessons_lib.training.steps import Batch, Loss, StepReport

Progress = Callable[[StepReport], None] | None
PAIRINGS = ("sub_question", "random_question", "other_image")


@dataclass(frozen=True)
class Triples:
    """P pairs of a reasoning question (main) and one of its sub-questions, each with an irrelevant question (other).

    row (P,) int64 : the reasoning question's row in its set.  picture (P,) int64 : row of the picture.
    main, sub, other (P, L) int64 : words as numbers; `other` is about the same picture, all 0 where there is none.
    main_answer, sub_answer, other_answer (P,) int64 : numbers of the answers, -1 for one that the model does not know.
    """

    row: Tensor
    picture: Tensor
    main: Tensor
    sub: Tensor
    other: Tensor
    main_answer: Tensor
    sub_answer: Tensor
    other_answer: Tensor

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, index: Tensor) -> Triples:
        return Triples(*(getattr(self, field.name)[index] for field in fields(self)))


@dataclass(frozen=True)
class Weights:
    """What an arm trains with.

    attention, sub : weights in `squint_loss`.  detach : the sub-question's attention is a constant target.
    pairing : whose attention the reasoning question's is compared with: of its sub-question, of an irrelevant question
    about the same picture ("random_question"), or of a sub-question of another picture ("other_image").
    """

    attention: float = 0.0
    sub: float = 1.0
    detach: bool = False
    pairing: str = "sub_question"

    def __post_init__(self) -> None:
        if self.pairing not in PAIRINGS:
            raise ValueError(f"pairing must be one of {', '.join(PAIRINGS)}, got {self.pairing!r}")


def new_model(sets: Sequence[Questions], features: int, *, least: int = 2, hidden: int = 64, seed: int) -> UpDown:
    """An untrained model that knows the words of all questions and sub-questions, and the answers given `least` times.

    features : length of a region's vector.

    Raises
    ------
    ValueError : fewer than two answers are that frequent.
    """
    texts = [question for asked in sets for question in asked.questions]
    answers = Counter(answer for asked in sets for answer in asked.answers)
    for asked in sets:
        for column in (asked.perception, asked.irrelevant):
            texts += [qa.question for row in column or () for qa in row]
        answers.update(qa.answer for row in asked.perception or () for qa in row)
    known = sorted(answer for answer, count in answers.items() if count >= least)
    return UpDown(Vocabulary.of(map(split_words, texts)), known, features, hidden=hidden, seed=seed)


def triples(asked: Questions, model: UpDown) -> Triples:
    """Every reasoning question with each of its sub-questions, in the model's words and answers.

    Raises
    ------
    ValueError : a set without sub-questions.
    """
    found = pairs(asked)
    rows, others = found.row.tolist(), []
    for place, n in enumerate(rows):
        options = asked.irrelevant[n] if asked.irrelevant else ()
        others.append(options[place % len(options)] if options else ("", ""))
    device = model.out[0].weight.device
    columns = (
        found.row,
        asked.image_index.cpu()[found.row],
        model.tokens([asked.questions[n] for n in rows]),
        model.tokens(found.questions),
        model.tokens([other[0] for other in others]),
        model.numbers_of([asked.answers[n] for n in rows]),
        model.numbers_of(found.answers),
        model.numbers_of([other[1] for other in others]),
    )
    return Triples(*(column.to(device) for column in columns))


def learn(
    model: UpDown,
    features: Tensor,
    sets: Sequence[Questions],
    *,
    rows: int | None = None,
    epochs: int = 1,
    lr: float = 1e-2,
    batch_size: int = 128,
    seed: int,
    progress: Progress = None,
) -> UpDown:
    """The model, trained in place on the questions of all sets, one question a row; answers it does not know are left out.

    features (N, R, D) : of the regions of the sets' pictures.  rows : so many questions, in rounds over all; None: each once.
    """
    device = features.device
    columns = {
        "picture": torch.cat([asked.image_index.cpu() for asked in sets]),
        "tokens": model.tokens([question for asked in sets for question in asked.questions]),
        "answer": model.numbers_of([answer for asked in sets for answer in asked.answers]),
    }
    known = torch.nonzero(columns["answer"] >= 0)[:, 0]
    if rows is not None:
        generator = torch.Generator().manual_seed(seed)
        rounds = [torch.randperm(len(known), generator=generator) for _ in range(-(-rows // len(known)))]
        known = known[torch.cat(rounds)[:rows]]
    columns = {name: column[known].to(device) for name, column in columns.items()}

    def loss(model: UpDown, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        return answer_loss(model(features[batch["picture"]], batch["tokens"]), batch["answer"]), {}

    fit(model, columns, epochs=epochs, lr=lr, batch_size=batch_size, seed=seed, loss=loss, progress=progress)
    return model


def fine_tune(
    start: UpDown,
    features: Tensor,
    data: Triples,
    weights: Weights,
    *,
    epochs: int = 5,
    lr: float = 1e-2,
    batch_size: int = 64,
    seed: int,
    progress: Progress = None,
) -> UpDown:
    """A copy of `start` that went on learning from pairs of a reasoning question and a sub-question.

    features (N, R, D) : of the regions of the pictures. Pairs with an answer that the model does not know are left out.

    Raises
    ------
    ValueError : no pair is left.
    """
    data = data[known_pairs(data)]
    if not len(data):
        raise ValueError("the model knows the answers of no pair")

    def loss(model: UpDown, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        return pair_loss(model, features[batch["picture"]], batch, weights)

    return tuned(start, data, loss, epochs=epochs, lr=lr, batch_size=batch_size, seed=seed, progress=progress)


def tuned(start: UpDown, data: Triples, loss: Loss, **settings: object) -> UpDown:
    """A copy of `start` that `fit` went on training with the columns of `data`; settings : of `fit`."""
    model = deepcopy(start)
    fit(model, {field.name: getattr(data, field.name) for field in fields(data)}, loss=loss, **settings)
    return model


def known_pairs(data: Triples) -> Tensor:
    """(P,) bool: the pairs of which both answers are known."""
    return (data.main_answer >= 0) & (data.sub_answer >= 0)


def pair_loss(model: UpDown, seen: Tensor, batch: Batch, weights: Weights) -> tuple[Tensor, dict[str, float]]:
    """`squint_loss` of a batch of pairs; seen (B, R, D) the regions of their pictures. Every arm makes the same two passes.

    With "random_question" a third pass gives the attention, and rows without an irrelevant question have no such term.
    """
    main, looked = model.reply(seen, batch["main"])
    sub, target = model.reply(seen, batch["sub"])
    if weights.pairing == "random_question":
        there = (batch["other"] != 0).any(1)
        target = torch.where(there[:, None], model.reply(seen, batch["other"])[1], looked)
    elif weights.pairing == "other_image":
        target = target.roll(1, 0)
    return squint_loss(
        main, batch["main_answer"], sub, batch["sub_answer"], looked, target,
        attention_weight=weights.attention, sub_weight=weights.sub, detach_sub=weights.detach,
    )  # fmt: skip
