"""Train a model of region proposals, then fine-tune it with HINT, its rivals or the critique's controls (lesson 11)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor

from data_fetch.words import Vocabulary, split_words
from lessons_lib.feedback.hint import (
    answer_loss,
    answer_score,
    attention_supervision_loss,
    cues,
    proposal_importance,
    ranking_loss,
    zero_out_loss,
)
from lessons_lib.models.updown import UpDown
from lessons_lib.training.fit import fit
from lessons_lib.training.steps import Batch, StepReport

Progress = Callable[[StepReport], None] | None


@dataclass(frozen=True)
class Recipe:
    """What an arm trains with, besides the answer loss.

    ranking, attention, zero_out : weights of `ranking_loss`, `attention_supervision_loss` and `zero_out_loss`; 0 leaves a
    loss out.  cue : of `cues`.  fresh : random cues are drawn for every batch and not once.
    answer : weight of the answer loss.  everywhere : train on all questions, not only on those with a cue.
    passes : as many times the steps.
    """

    ranking: float = 0.0
    attention: float = 0.0
    zero_out: float = 0.0
    cue: str = "relevant"
    fresh: bool = False
    answer: float = 1.0
    everywhere: bool = False
    passes: int = 1


@dataclass(frozen=True)
class Asked:
    """Questions as a model takes them.

    features (M, R, D) of the regions of M pictures; rows (Q,) the picture of each question; tokens (Q, L);
    labels (Q,) int64, the answer, -1 for one that the model does not have.
    """

    features: Tensor
    rows: Tensor
    tokens: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def __post_init__(self) -> None:
        if not len(self.rows) == len(self.tokens) == len(self.labels):
            got = (len(self.rows), len(self.tokens), len(self.labels))
            raise ValueError(f"as many rows, tokens and labels are needed, got {got}")


def start_model(
    questions: Sequence[str],
    answers: Sequence[str],
    features: int,
    *,
    hidden: int = 128,
    blind: bool = False,
    seed: int,
) -> UpDown:
    """An untrained model with the words of the questions and the answers that were given."""
    vocabulary = Vocabulary.of([split_words(question) for question in questions])
    return UpDown(vocabulary, sorted(set(answers)), features, hidden=hidden, blind=blind, seed=seed)


def as_asked(model: UpDown, features: Tensor, rows: Tensor, questions: Sequence[str], answers: Sequence[str]) -> Asked:
    """Questions in the numbers of the model."""
    device = features.device
    return Asked(features, rows.to(device), model.tokens(questions).to(device), model.numbers_of(answers).to(device))


def pretrain(
    model: UpDown,
    asked: Asked,
    *,
    epochs: int,
    lr: float = 3e-3,
    batch_size: int = 128,
    seed: int,
    progress: Progress = None,
) -> UpDown:
    """The model, trained in place on all questions with the answer loss."""

    def loss(model: UpDown, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        logits = model(asked.features[batch["rows"]], _cut(batch["tokens"]))
        return answer_loss(logits, batch["labels"]), {"accuracy": _right(logits, batch["labels"])}

    data = {"rows": asked.rows, "tokens": asked.tokens, "labels": asked.labels}
    fit(model, data, epochs=epochs, lr=lr, batch_size=batch_size, seed=seed, loss=loss, progress=progress)
    return model


def fine_tune(
    model: UpDown,
    asked: Asked,
    human: Tensor,
    known: Tensor,
    recipe: Recipe,
    *,
    steps: int,
    lr: float = 1e-3,
    batch_size: int = 128,
    seed: int,
    progress: Progress = None,
) -> UpDown:
    """A copy of the model that went on learning as the recipe says, for `steps` steps of the optimiser.

    Parameters
    ----------
    human : (K, R) scores of the regions for the K questions that a person marked.  known : (K,) int64, which these are.

    Raises
    ------
    ValueError : shapes that do not fit, fewer than 2 marked questions, an unknown kind of cue, or a recipe that wants
    cues everywhere.
    """
    if human.ndim != 2 or known.shape != human.shape[:1] or human.shape[1] != asked.features.shape[1]:
        raise ValueError(
            f"human must be (K, {asked.features.shape[1]}) and known (K,), got {tuple(human.shape)}, {tuple(known.shape)}"
        )
    if len(known) < 2:
        raise ValueError(f"at least 2 questions with a cue are needed, got {len(known)}")
    if recipe.everywhere and (recipe.ranking or recipe.attention):
        raise ValueError("everywhere is for recipes without a cue: questions that nobody marked have no ranking")
    model = deepcopy(model)
    given = cues(human, recipe.cue, torch.Generator().manual_seed(seed + 17)).to(asked.features)
    rows = torch.arange(len(asked), device=asked.rows.device) if recipe.everywhere else known.to(asked.rows.device)
    scores = torch.zeros(len(asked), human.shape[1], dtype=asked.features.dtype, device=asked.features.device)
    scores[known] = given

    def loss(model: UpDown, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        here = batch["rows"]
        hint = scores[here]
        if recipe.fresh:
            hint = cues(hint, recipe.cue, torch.Generator().manual_seed(1_000_003 * (seed + 17) + step))
        return recipe_loss(model, asked, here, hint, recipe)

    total = steps * recipe.passes
    data = {"rows": _turns(rows, total * batch_size, seed)}
    fit(model, data, epochs=1, lr=lr, batch_size=batch_size, seed=seed, loss=loss, progress=progress)
    return model


def recipe_loss(
    model: UpDown, asked: Asked, rows: Tensor, hint: Tensor, recipe: Recipe
) -> tuple[Tensor, dict[str, float]]:
    """The arm's loss on some questions, rows (B,), with scores hint (B, R) for their regions, and its terms."""
    features, labels = asked.features[asked.rows[rows]], asked.labels[rows]
    if recipe.ranking:
        features = features.detach().requires_grad_()
    logits, attention = model.reply(features, _cut(asked.tokens[rows]))
    terms = {"answer": answer_loss(logits, labels)}
    total = recipe.answer * terms["answer"]
    if recipe.ranking:
        terms["ranking"] = ranking_loss(proposal_importance(answer_score(logits, labels), features), hint)
        total = total + recipe.ranking * terms["ranking"]
    if recipe.attention:
        terms["attention"] = attention_supervision_loss(attention, hint)
        total = total + recipe.attention * terms["attention"]
    if recipe.zero_out:
        terms["zero_out"] = zero_out_loss(logits)
        total = total + recipe.zero_out * terms["zero_out"]
    return total, {name: float(term.detach()) for name, term in terms.items()}


# ---------------------------------------- what is measured
@torch.no_grad()
def replies(model: UpDown, asked: Asked) -> tuple[Tensor, Tensor]:
    """Logits (Q, A) and attention (Q, R) for all questions."""
    model.eval()
    every = torch.arange(len(asked), device=asked.rows.device)
    parts = [model.reply(asked.features[asked.rows[some]], _cut(asked.tokens[some])) for some in every.split(512)]
    logits, attention = zip(*parts)
    return torch.cat(logits), torch.cat(attention)


def importances(model: UpDown, asked: Asked, rows: Tensor | None = None) -> Tensor:
    """(Q, R): importance of each region for the true answer; for an answer that the model lacks, for its own."""
    model.eval()
    rows = torch.arange(len(asked), device=asked.rows.device) if rows is None else rows.to(asked.rows.device)
    found = []
    for some in rows.split(512):
        features = asked.features[asked.rows[some]].detach().requires_grad_()
        logits = model(features, _cut(asked.tokens[some]))
        labels = torch.where(asked.labels[some] >= 0, asked.labels[some], logits.argmax(1))
        found.append(proposal_importance(answer_score(logits, labels), features, create_graph=False).detach())
    return torch.cat(found)


def _cut(tokens: Tensor) -> Tensor:
    return tokens[:, : max(1, int((tokens != 0).sum(1).max()))]


def _right(logits: Tensor, labels: Tensor) -> float:
    return float((logits.detach().argmax(1) == labels).float().mean())


def _turns(rows: Tensor, count: int, seed: int) -> Tensor:
    """`count` of the rows, each as often as the others, to within one; `fit` shuffles them."""
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).to(rows.device)
    return rows[order].repeat(-(-count // len(rows)))[:count]
