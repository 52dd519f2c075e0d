"""HINT for captions: the regions that matter to a word are ranked as the pixels of what it names say (lesson 11)."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from data_fetch.words import Vocabulary
from data_fetch.worlds.scenes import Scenes
from data_fetch.worlds.scenes.attention import evidence_mask
from data_fetch.worlds.scenes.priors import RegionLabels
from lessons_lib.feedback.hint import cues, human_scores, proposal_importance, ranking_loss
from lessons_lib.models.captioner import END, caption_vocabulary
from lessons_lib.models.updown import RegionCaptioner
from lessons_lib.training.fit import fit
from lessons_lib.training.hint import Recipe
from lessons_lib.training.steps import Batch, StepReport

Progress = Callable[[StepReport], None] | None
ROLES = ("person", "thing")  # of the words that name something with a place in the picture


@dataclass(frozen=True)
class Told:
    """Captions as a model takes them, and the words in them that name things.

    features (M, R, D); tokens (M, C, L) int64, C sentences a picture.
    words (W, 3) int64 : picture, sentence and place of each word that names a person or things.
    slots : for each of these words the things it names, numbers of the picture's scene graph.
    """

    features: Tensor
    tokens: Tensor
    words: Tensor
    slots: tuple[tuple[int, ...], ...]

    def sentences(self, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features (n, R, D), tokens (n, L) and places (n,) of the words with these numbers."""
        row, sentence, place = self.words[numbers].unbind(1)
        return self.features[row], self.tokens[row, sentence], place


def caption_words(pictures: Scenes, features: Tensor, vocabulary: Vocabulary | None = None) -> tuple[Told, Vocabulary]:
    """All sentences about the pictures, and their vocabulary unless one is given."""
    every = [pictures.annotated_captions(n) for n in range(len(pictures))]
    texts = [(*caption.words, END) for captions in every for caption in captions]
    vocabulary = vocabulary or caption_vocabulary(texts)
    tokens = vocabulary.encode(texts)[0].view(len(every), len(every[0]), -1)
    words, slots = [], []
    for n, captions in enumerate(every):
        for c, caption in enumerate(captions):
            for mention in caption.mentions:
                if mention.role in ROLES and mention.slots:
                    words.append((n, c, mention.end - 1))
                    slots.append(mention.slots)
    device = features.device
    return Told(features, tokens.to(device), torch.tensor(words, device=device), tuple(slots)), vocabulary


def train_captioner(
    told: Told,
    vocabulary: Vocabulary,
    *,
    epochs: int,
    lr: float = 5e-3,
    hidden: int = 96,
    seed: int,
    progress: Progress = None,
) -> RegionCaptioner:
    """A captioner of regions that learned from all sentences, one of each picture an epoch."""
    model = RegionCaptioner(vocabulary, told.features.shape[2], hidden=hidden, seed=seed).to(told.features.device)

    def loss(model: RegionCaptioner, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        return sentence_loss(model, told.features[batch["rows"]], batch["tokens"][:, step % told.tokens.shape[1]]), {}

    data = {"rows": torch.arange(len(told.features), device=told.features.device), "tokens": told.tokens}
    fit(model, data, epochs=epochs, lr=lr, batch_size=64, seed=seed, loss=loss, progress=progress)
    return model


def sentence_loss(model: RegionCaptioner, features: Tensor, tokens: Tensor) -> Tensor:
    """Mean cross-entropy of the words of sentences (B, L)."""
    tokens = tokens[:, : max(1, int((tokens != 0).sum(1).max()))]
    return F.cross_entropy(model(features, tokens).flatten(0, 1), tokens.flatten(), ignore_index=0)


def word_scores(told: Told, pictures: Scenes, numbers: Tensor) -> Tensor:
    """Human importance (n, R) of the regions for words: from the visible pixels of what each of them names."""
    masks = []
    for number in numbers.tolist():
        row = int(told.words[number, 0])
        masks.append(evidence_mask(pictures.owner[row], pictures.region[row], told.slots[number]).float())
    rows = told.words[numbers, 0].to(pictures.proposals.device)
    return human_scores(torch.stack(masks), pictures.proposals[rows].to(masks[0]))


def fine_tune_captioner(
    model: RegionCaptioner,
    told: Told,
    human: Tensor,
    known: Tensor,
    recipe: Recipe,
    *,
    steps: int,
    lr: float = 1e-3,
    batch_size: int = 64,
    seed: int,
    progress: Progress = None,
) -> RegionCaptioner:
    """A copy of the captioner that went on learning from the sentences of the marked words.

    human : (K, R) scores for K words.  known : (K,) which of `told.words` these are.  recipe : its ranking, cue, fresh
    and answer (here the weight of the sentences' cross-entropy) count.

    Raises
    ------
    ValueError : shapes that do not fit.
    """
    if human.ndim != 2 or known.shape != human.shape[:1] or human.shape[1] != told.features.shape[1]:
        raise ValueError(
            f"human must be (K, {told.features.shape[1]}) and known (K,), got {tuple(human.shape)}, {tuple(known.shape)}"
        )
    model = deepcopy(model)
    given = cues(human, recipe.cue, torch.Generator().manual_seed(seed + 17)).to(told.features)

    def loss(model: RegionCaptioner, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        features, tokens, place = told.sentences(batch["known"])
        if not recipe.ranking:
            return recipe.answer * sentence_loss(model, features, tokens), {}
        hint = batch["human"]
        if recipe.fresh:
            hint = cues(hint, recipe.cue, torch.Generator().manual_seed(1_000_003 * (seed + 17) + step))
        importance, logits, tokens = _importance(model, features, tokens, place, create_graph=True)
        ranking = ranking_loss(importance, hint)
        told_well = F.cross_entropy(logits.flatten(0, 1), tokens.flatten(), ignore_index=0)
        return recipe.answer * told_well + recipe.ranking * ranking, {"ranking": float(ranking.detach())}

    order = torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))
    turns = order.repeat(-(-steps * batch_size // len(known)))[: steps * batch_size]
    data = {"known": known.to(told.words.device)[turns], "human": given[turns]}
    fit(model, data, epochs=1, lr=lr, batch_size=batch_size, seed=seed, loss=loss, progress=progress)
    return model


def word_importances(model: RegionCaptioner, told: Told, numbers: Tensor) -> Tensor:
    """(n, R): importance of the regions for words with these numbers, each at its place in its own sentence."""
    model.eval()
    return torch.cat(
        [_importance(model, *told.sentences(some), create_graph=False)[0].detach() for some in numbers.split(256)]
    )


def word_pointing(model: RegionCaptioner, told: Told, labels: RegionLabels, *, sentences: int = 1) -> float:
    """Share of the words whose most important region shows what they name; of the first sentences of each picture.

    Words of which no region shows the thing are left out.  labels : of `region_labels` of the pictures.

    Raises
    ------
    ValueError : there is no such word.
    """
    chosen = torch.nonzero(told.words[:, 1] < sentences)[:, 0]
    rows = told.words[chosen, 0].cpu()
    named = torch.stack(
        [torch.isin(labels.slot[row], torch.tensor(told.slots[n])) for row, n in zip(rows.tolist(), chosen.tolist())]
    )
    seen = named.any(1)
    if not seen.any():
        raise ValueError("no region shows anything that the captions name")
    found = word_importances(model, told, chosen[seen.to(chosen.device)]).argmax(1).cpu()
    return float(named[seen].gather(1, found[:, None]).float().mean())


@torch.no_grad()
def word_accuracy(model: RegionCaptioner, told: Told) -> float:
    """Share of the words of each picture's first sentence that are the captioner's own, given those before them."""
    model.eval()
    right = known = 0
    for features, tokens in zip(told.features.split(256), told.tokens[:, 0].split(256)):
        hit = (model(features, tokens).argmax(2) == tokens)[tokens != 0]
        right, known = right + int(hit.sum()), known + len(hit)
    return right / known


def _importance(
    model: RegionCaptioner, features: Tensor, tokens: Tensor, place: Tensor, *, create_graph: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Importances (n, R) for the word at each place, the logits, and the tokens cut to the longest sentence."""
    tokens = tokens[:, : max(1, int((tokens != 0).sum(1).max()))]
    features = features.detach().requires_grad_()
    logits = model(features, tokens)
    every = torch.arange(len(tokens), device=tokens.device)
    score = logits[every, place, tokens[every, place]]
    return proposal_importance(score, features, create_graph=create_graph), logits, tokens
