"""Fine-tune a captioner so that its gender word comes from the person: the arms of lesson 07, from one pretrained start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from data_fetch.worlds.scenes.portraits import Portraits
from lessons_lib.feedback.equalizer import (
    caption_loss,
    confident_loss,
    equalizer_loss,
    token_mask,
)
from lessons_lib.models.captioner import START, Captioner
from lessons_lib.models.namer import GRID, Namer
from lessons_lib.training.fit import fit
from lessons_lib.training.steps import Batch, StepReport

Progress = Callable[[StepReport], None] | None
_LOW = 11  # layers of `SmallCNN.features` that stay as they are: all before the last convolution


@dataclass(frozen=True)
class Weights:
    """What an arm trains with.

    alpha, beta, mu, masked : weights of `equalizer_loss`; with beta and masked 0 no masked picture is looked at.
    form : of the Confident Loss.  upweight : weight of the gender words in the cross-entropy.
    balanced : as many women as men in every epoch.
    """

    alpha: float = 1.0
    beta: float = 0.0
    mu: float = 0.0
    masked: float = 0.0
    form: str = "quotient"
    upweight: float = 1.0
    balanced: bool = False

    @property
    def masks(self) -> bool:
        """Whether masked pictures are looked at."""
        return bool(self.beta or self.masked)


def train_eyes(data: Portraits, *, epochs: int = 3, seed: int, width: int = 16, progress: Progress = None) -> Namer:
    """A `Namer` of what `data.names` lists; every other batch it sees mirrored pictures.

    Small batches and a high rate: hair is a few pixels, and many steps tell it better than many pictures a step.
    """
    namer = Namer(data.names, width=width, seed=seed).to(data.images.device)

    def loss(model: Namer, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        images = batch["images"].flip(3) if step % 2 else batch["images"]
        each = F.binary_cross_entropy_with_logits(model(images), batch["shown"], reduction="none")
        return each.sum(1).mean() / 10, {}

    columns = {"images": data.images, "shown": data.shown.float()}
    fit(namer, columns, epochs=epochs, lr=1e-2, batch_size=32, seed=seed, loss=loss, progress=progress)
    return namer


def fine_tune(
    captioner: Captioner,
    images: Tensor,
    masked: Tensor,
    tokens: Tensor,
    women: Sequence[int],
    men: Sequence[int],
    weights: Weights,
    *,
    epochs: int = 6,
    lr: float = 1e-2,
    batch_size: int = 48,
    seed: int,
    progress: Progress = None,
) -> Captioner:
    """A copy of the captioner that went on learning what it reads from the picture: the eyes' last convolution, the
    scores of the names, and the layer that makes the picture's vector of them. How sentences are made stays.

    Where the layer that chooses words learns too, the losses on masked pictures are lowered by making a set of words rare
    everywhere: the shortest way, and no evidence moves.

    Parameters
    ----------
    images, masked : (N, 3, S, S), the pictures and the same without their persons.
    tokens : (N, C, L) int64, C sentences a picture, padded with 0.
    women, men : numbers of the two sets of words in the captioner's vocabulary.

    Raises
    ------
    ValueError : shapes that do not fit; no picture with a word of each set where `balanced` needs both.
    """
    if masked.shape != images.shape or tokens.ndim != 3 or len(tokens) != len(images):
        raise ValueError(
            "images and masked must have one shape and tokens be (N, C, L), got "
            f"{tuple(images.shape)}, {tuple(masked.shape)} and {tuple(tokens.shape)}"
        )
    model = deepcopy(captioner).requires_grad_(False)
    for part in (model.namer.features[_LOW:], model.namer.score, model.picture):
        part.requires_grad_(True)
    seen = _low(model.namer, images)
    seen_masked = _low(model.namer, masked) if weights.masks else seen
    rows = _rows(tokens, women, men, weights.balanced, epochs, seed).to(images.device)

    def loss(model: Captioner, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        model.namer.eval()  # BatchNorm keeps the statistics of the pretraining: masked pictures must not change them
        here = batch["rows"]
        words = tokens[here, step % tokens.shape[1]]
        words = words[:, : int((words != 0).sum(1).max())]
        each = 1 + (weights.upweight - 1) * token_mask(words, (*women, *men)).float()
        if not weights.masks:
            logits = tell(model, summary(model.namer, seen[here]), words)
            loss = weights.alpha * caption_loss(logits, words, weights=each)
            return loss + weights.mu * confident_loss(logits, words, women, men, form=weights.form), {}
        both = summary(model.namer, torch.cat([seen[here], seen_masked[here]]))  # one pass for pictures and masked ones
        logits, hidden = tell(model, both, words.repeat(2, 1)).chunk(2)
        return equalizer_loss(
            logits, hidden, words, women, men, alpha=weights.alpha, beta=weights.beta, mu=weights.mu,
            masked=weights.masked, form=weights.form,
        )  # fmt: skip

    fit(model, {"rows": rows}, epochs=1, lr=lr, batch_size=batch_size, seed=seed, loss=loss, progress=progress)
    return model


def tell(captioner: Captioner, seen: Tensor, tokens: Tensor) -> Tensor:
    """`Captioner.tell` with all words of the sentences in one call, half the time a step; its dropout draws differ."""
    picture = torch.tanh(captioner.picture(seen))
    state = [part[None] for part in captioner.cell(captioner.dropout(picture))]
    start = tokens.new_full((len(tokens), 1), captioner.vocabulary.numbers[START])
    words = captioner.words(torch.cat([start, tokens[:, :-1]], 1)) + picture[:, None]
    weights = [getattr(captioner.cell, name) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    states = torch.lstm(words, state, weights, True, 1, 0.0, captioner.training, False, True)[0]
    return captioner.out(captioner.dropout(states))


def summary(namer: Namer, low: Tensor) -> Tensor:
    """`Captioner.look` from the layers that do not learn on, (B, names * 9)."""
    scores = namer.score(namer.features[_LOW:](low))
    return F.adaptive_max_pool2d(namer.concepts((scores + 3) / 4), GRID).flatten(1)


@torch.no_grad()
def _low(namer: Namer, images: Tensor) -> Tensor:
    """What the layers that do not learn make of the pictures: one look at each is enough."""
    namer.eval()
    return torch.cat([namer.features[:_LOW]((part - 0.5) / 0.25) for part in images.split(256)])


def _rows(tokens: Tensor, women: Sequence[int], men: Sequence[int], balanced: bool, epochs: int, seed: int) -> Tensor:
    """Numbers of the pictures of all epochs, one epoch after another; balanced: half of each with a woman's word."""
    count, generator = len(tokens), torch.Generator().manual_seed(seed)
    if not balanced:
        return torch.arange(count).repeat(epochs)
    flat = tokens.flatten(1)
    more = token_mask(flat, women).sum(1).cpu() > token_mask(flat, men).sum(1).cpu()
    halves = [torch.nonzero(group)[:, 0] for group in (more, ~more)]
    if min(map(len, halves)) == 0:
        raise ValueError("balanced needs pictures of which a woman's word is said and others")
    need = epochs * count // 2
    drawn = []
    for half in halves:
        turns = [half[torch.randperm(len(half), generator=generator)] for _ in range(-(-need // len(half)))]
        drawn.append(torch.cat(turns)[:need])
    return torch.cat(drawn)
