"""Train the models that speak about pictures: the eyes first, on names alone, then the language on what they see."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from data_fetch.words import Vocabulary, split_words
from lessons_lib.models.answerer import Answerer
from lessons_lib.models.captioner import END, Captioner, caption_vocabulary
from lessons_lib.models.namer import Namer
from lessons_lib.training.fit import fit
from lessons_lib.training.steps import Batch, StepReport

Progress = Callable[[StepReport], None] | None


def train_namer(
    images: Tensor,
    names: Sequence[str],
    shown: Tensor,
    *,
    epochs: int = 4,
    seed: int,
    width: int = 16,
    progress: Progress = None,
) -> Namer:
    """A `Namer` that learned which of the names each picture shows; where they are is never told.

    Parameters
    ----------
    images : (N, 3, S, S) in [0, 1], on the device to train on.  shown : bool (N, C), C names.

    Raises
    ------
    ValueError : `shown` does not have a row a picture and a column a name.
    """
    if tuple(shown.shape) != (len(images), len(names)):
        raise ValueError(f"shown must be ({len(images)}, {len(names)}), got {tuple(shown.shape)}")
    namer = Namer(names, width=width, seed=seed).to(images.device)

    def loss(model: Namer, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        each = F.binary_cross_entropy_with_logits(model(batch["images"]), batch["shown"], reduction="none")
        return each.sum(1).mean() / 10, {}  # the sum over names: few are in a picture, and they must count

    data = {"images": images, "shown": shown.to(images.device).float()}
    fit(namer, data, epochs=epochs, lr=5e-3, batch_size=64, seed=seed, loss=loss, progress=progress)
    return namer


def cut_caption(sentence: str) -> tuple[str, ...]:
    """The words of a caption, lower-case, without the full stop."""
    return split_words(sentence.lower().rstrip(". "))


def train_captioner(
    namer: Namer,
    images: Tensor,
    captions: Sequence[Sequence[str]],
    *,
    epochs: int = 6,
    seed: int,
    progress: Progress = None,
) -> Captioner:
    """A `Captioner` that sees with the namer; step by step it reads another of each picture's sentences.

    Parameters
    ----------
    images : (N, 3, S, S).  captions : for each picture its sentences, the same number for all.
    epochs : passes over the pictures, one sentence each.

    Raises
    ------
    ValueError : not one list of sentences a picture, or lists of different lengths.
    """
    numbers = {len(sentences) for sentences in captions}
    if len(captions) != len(images) or len(numbers) != 1 or numbers == {0}:
        raise ValueError(
            f"captions must hold a list of as many sentences for each of {len(images)} pictures; got "
            f"{len(captions)} lists of lengths {sorted(numbers)}"
        )
    each = numbers.pop()
    words = [(*cut_caption(sentence), END) for sentences in captions for sentence in sentences]
    vocabulary = caption_vocabulary(words)
    captioner = Captioner(vocabulary, namer, size=images.shape[-1], seed=seed).to(images.device)
    tokens = vocabulary.encode(words)[0].view(len(images), each, -1)

    def loss(model: Captioner, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        sentence = batch["tokens"][:, step % each]
        sentence = sentence[:, : int((sentence != 0).sum(1).max())]
        logits = model.tell(batch["seen"], sentence)
        return F.cross_entropy(logits.flatten(0, 1), sentence.flatten(), ignore_index=0), {}

    data = {"seen": _looked(captioner, images), "tokens": tokens}
    fit(captioner, data, epochs=epochs, lr=5e-3, batch_size=64, seed=seed, loss=loss, progress=progress)
    return captioner


def train_answerer(
    namer: Namer,
    images: Tensor,
    questions: Sequence[str],
    answers: Sequence[str],
    rows: Tensor,
    *,
    epochs: int = 6,
    seed: int,
    blind: bool = False,
    progress: Progress = None,
) -> Answerer:
    """An `Answerer` that sees with the namer.

    Parameters
    ----------
    images : (M, 3, S, S).  questions, answers : N texts.  rows : (N,) int64, the picture of each question.
    blind : train the model that sees no picture.

    Raises
    ------
    ValueError : lists of different lengths.
    """
    if not len(questions) == len(answers) == len(rows):
        raise ValueError(
            f"as many questions, answers and rows are needed, got {len(questions)}, {len(answers)} and {len(rows)}"
        )
    vocabulary = Vocabulary.of([split_words(question) for question in questions])
    size, known = images.shape[-1], sorted(set(answers))
    answerer = Answerer(vocabulary, known, namer, size=size, blind=blind, seed=seed).to(images.device)
    seen = _looked(answerer, images)
    numbers = {answer: n for n, answer in enumerate(known)}
    data = {
        "tokens": answerer.tokens(questions),
        "labels": torch.tensor([numbers[answer] for answer in answers]),
        "rows": torch.as_tensor(rows),
    }

    def loss(model: Answerer, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        longest = int((batch["tokens"] != 0).sum(1).max())
        logits = model.reply(seen[batch["rows"]], batch["tokens"][:, :longest])
        right = (logits.detach().argmax(1) == batch["labels"]).float().mean()
        return F.cross_entropy(logits, batch["labels"]), {"accuracy": float(right)}

    fit(answerer, data, epochs=epochs, lr=3e-3, batch_size=128, seed=seed, loss=loss, progress=progress)
    return answerer


@torch.no_grad()
def _looked(model: Captioner | Answerer, images: Tensor) -> Tensor:
    """The vectors of all pictures: what sees does not learn here, so one look at each is enough."""
    model.eval()
    return torch.cat([model.look(part) for part in images.split(256)])
