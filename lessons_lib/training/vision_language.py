"""Pre-train a vision-language transformer on pictures with captions, foils and questions.

Two stages. First the eyes and the words' embeddings, on nothing but which words were said of which picture: a patch names
a word when its state points the way of the word's embedding. Then everything together: contrast, matching with foils and
hard negatives, masked words, replaced words, questions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_fetch.words import Vocabulary, split_words
from data_fetch.worlds.scenes import SceneQuestions, Scenes
from data_fetch.worlds.scenes.pairs import Captioned, asserted, shown
from lessons_lib.models.captioner import check_known
from lessons_lib.models.vision_language import MASK, VisionLanguageTransformer, tokenise, vocabulary_of
from lessons_lib.models.vision_language_losses import (
    contrastive_loss,
    hard_negatives,
    mask_words,
    masked_word_loss,
    matching_loss,
    naming_loss,
    replaced_word_loss,
)
from lessons_lib.training.fit import fit
from lessons_lib.training.steps import Batch, StepReport

Progress = Callable[[StepReport], None] | None
LENGTH = 12  # tokens of a text with its [CLS]
_EACH = 3  # captions and questions a picture; of those that have fewer, some come twice
_FOILS = 2  # of each caption


@dataclass(frozen=True)
class Pretrained:
    """A trained model with the words and answers that it knows.

    heads : the module that was trained; `model` is in it, the others only serve the training.
    """

    heads: Pretraining
    vocabulary: Vocabulary
    answers: tuple[str, ...]

    @property
    def model(self) -> VisionLanguageTransformer:
        return self.heads.model

    def tokens(self, texts: Sequence[Sequence[str]]) -> Tensor:
        """Numbers (N, 12) of texts cut into words, on the model's device.

        Raises
        ------
        ValueError : no words, words that the model does not know (the message names them and close ones), or a text
            of more than 11 words.
        """
        for text in texts:
            check_known(text, self.vocabulary)
        return tokenise(self.vocabulary, texts, LENGTH).to(self.model.image_class.device)


def question_words(question: str) -> tuple[str, ...]:
    """The words of a question, lower-case, without marks."""
    return split_words(question.lower().replace("'s", "").rstrip("? "))


class Pretraining(nn.Module):
    """The transformer with the two heads that only its training needs.

    replaced : is this word of the caption false?  bias : how often each word is said, for the naming of patches.

    The cross-attention's keys begin as twice its queries: whatever a word's state and a patch's state have in common
    then makes the word look at the patch. Without this start the short training of lesson 06 tells 82 % of captions and
    foils apart on one seed, with it 95 %.
    """

    def __init__(self, model: VisionLanguageTransformer, words: int, *, seed: int = 0) -> None:
        super().__init__()
        self.model = model
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.replaced = nn.Linear(model.fusion_norm.normalized_shape[0], 1)
        self.bias = nn.Parameter(torch.zeros(words))
        with torch.no_grad():
            model.embed.weight.mul_(0.15)  # as large as the other parts of a word's state
            for block in model.fusion:
                block.cross.key.weight.copy_(2 * block.cross.query.weight)
                block.cross.query.weight.mul_(2)

    def name(self, image_states: Tensor) -> Tensor:
        """Logits (B, V): how far the eight patches that fit each word best do fit it."""
        scores = image_states[:, 1:] @ self.model.embed.weight.t()
        return scores.topk(8, 1).values.mean(1) + self.bias


def columns(
    pictures: Sequence[Captioned],
    asked: SceneQuestions,
    vocabulary: Vocabulary,
    answers: Sequence[str],
    images: Tensor,
) -> dict[str, Tensor]:
    """What the losses read, one row a picture that has questions.

    images (N, 3, S, S); captions (N, 3, L) and foils (N, 3, 2, L) int64; asserted (N, 3, A) and shown (N, A) uint8:
    statements; questions (N, 3, L), answers (N, 3) int64; named (N, V) uint8: the words of the picture's captions.
    """
    of_row: dict[int, list[int]] = {}
    for number, row in enumerate(asked.image_index.tolist()):
        of_row.setdefault(row, []).append(number)
    pictures = [picture for picture in pictures if picture.row in of_row]
    true = [shown(picture.facts) for picture in pictures]
    statements = {statement: n for n, statement in enumerate(sorted(set().union(*true), key=str))}
    numbers = {answer: n for n, answer in enumerate(answers)}
    count = len(pictures)
    captions = [picture.captions[k % len(picture.captions)] for picture in pictures for k in range(_EACH)]
    foils = [picture.foils[k % len(picture.foils)] for picture in pictures for k in range(_EACH)]
    questions = [of_row[p.row][k % len(of_row[p.row])] for p in pictures for k in range(_EACH)]
    said = torch.zeros(count * _EACH, len(statements), dtype=torch.uint8)
    for n, caption in enumerate(captions):
        said[n, [statements[s] for s in asserted(caption, pictures[n // _EACH].facts)]] = 1
    holds = torch.zeros(count, len(statements), dtype=torch.uint8)
    for n, found in enumerate(true):
        holds[n, [statements[s] for s in found]] = 1
    tokens = tokenise(vocabulary, [caption.words for caption in captions], LENGTH).view(count, _EACH, -1)
    false = [each[k % len(each)].words for each in foils for k in range(_FOILS)]
    put = tokenise(vocabulary, [question_words(asked.questions[n]) for n in questions], LENGTH)
    right = torch.tensor([numbers.get(asked.answers[n], 0) for n in questions])
    return {
        "images": images[torch.tensor([picture.row for picture in pictures])],
        "captions": tokens,
        "foils": tokenise(vocabulary, false, LENGTH).view(count, _EACH, _FOILS, -1),
        "asserted": said.view(count, _EACH, -1),
        "shown": holds,
        "questions": put.view(count, _EACH, -1),
        "answers": right.view(count, _EACH),
        "named": torch.zeros(count, len(vocabulary), dtype=torch.uint8).scatter_(1, tokens.flatten(1), 1),
    }


def pretrain(
    pictures: Sequence[Captioned],
    asked: SceneQuestions,
    world: Scenes,
    *,
    epochs: tuple[int, int] = (2, 2),
    keep: float = 0.5,
    seed: int,
    progress: Callable[[str], Progress] = lambda what: None,
    **build: object,
) -> Pretrained:
    """A model that was trained on the world's pictures with captions, foils and questions.

    Parameters
    ----------
    pictures : of `captioned(world)`.  asked : questions about the world.
    epochs : passes over the pictures in the two stages.
    keep : share of the patches that are encoded in the second stage, drawn anew at every step; in use all of them are.
    progress : from the name of a stage, "eyes" or "language", to a callback for its training.
    build : arguments of `VisionLanguageTransformer`.
    """
    texts = [caption.words for picture in pictures for caption in picture.captions]
    texts += [false.words for picture in pictures for each in picture.foils for false in each]
    vocabulary = vocabulary_of([*texts, *map(question_words, asked.questions)])
    answers = tuple(sorted(set(asked.answers)))
    data = columns(pictures, asked, vocabulary, answers, world.images)
    model = VisionLanguageTransformer(
        len(vocabulary), answers=len(answers), size=world.size, longest=LENGTH, seed=seed, **build
    )
    heads = Pretraining(model, len(vocabulary), seed=seed).to(world.images.device)
    often = data["named"].float().mean(0)
    counted = ((often > 0.004) & (often < 0.6)).to(world.images.device)  # neither rare words nor "a"
    with torch.no_grad():
        heads.bias.copy_(torch.logit(often.clamp(0.002, 0.99)) - 1)
    options = {"seed": seed, "weight_decay": 0.02}
    eyes = {"images": data["images"], "named": data["named"]}
    fit(
        heads,
        eyes,
        epochs=epochs[0],
        lr=4e-3,
        batch_size=16,
        loss=_eyes_loss(counted),
        progress=progress("eyes"),
        **options,
    )
    language = _language_loss(vocabulary.numbers[MASK], keep, seed)
    fit(heads, data, epochs=epochs[1], lr=2e-3, batch_size=32, loss=language, progress=progress("language"), **options)
    return Pretrained(heads.eval(), vocabulary, answers)


def _eyes_loss(counted: Tensor) -> Callable:
    def eyes(heads: Pretraining, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        return naming_loss(heads.name(heads.model.encode_images(batch["images"])), batch["named"].bool(), counted), {}

    return eyes


def _language_loss(mask_number: int, keep: float, seed: int) -> Callable:
    def language(heads: Pretraining, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        return pretraining_loss(heads, batch, mask_number, generator, keep=keep)

    return language


def pretraining_loss(
    heads: Pretraining, batch: Batch, mask_number: int, generator: torch.Generator, *, keep: float = 1.0
) -> tuple[Tensor, dict[str, float]]:
    """The sum of the second stage's losses for a batch of `columns`, and each of them by name.

    For each picture one caption, one of its foils and one question are drawn. Texts of five kinds look at pictures in
    one pass: captions, foils, captions with masked words, questions, and captions of the hard negatives. Of each
    picture the share `keep` of the patches is encoded, as in FLIP (Li et al., arXiv 2212.00794).
    """
    model, count = heads.model, len(batch["images"])
    device = batch["images"].device
    here = torch.arange(count, device=device)

    def draw(options: int) -> Tensor:
        return torch.randint(options, (count,), generator=generator).to(device)

    one = draw(batch["captions"].shape[1])
    captions, foils = batch["captions"][here, one], batch["foils"][here, one, draw(batch["foils"].shape[2])]
    masked, chosen = mask_words(captions, mask_number, generator, share=0.3)
    two = draw(batch["questions"].shape[1])
    questions, answers = batch["questions"][here, two], batch["answers"][here, two]
    missing = batch["asserted"][here, one].float() @ (1 - batch["shown"].float()).t()  # captions by pictures
    true = (missing == 0).t()

    image_states = model.encode_images(batch["images"], some_patches(model, count, keep, generator))
    texts = torch.cat([captions, foils, masked, questions])
    states = model.encode_texts(texts)
    images, sentences = model.embed_images(image_states), model.embed_texts(states[:count])
    contrast = contrastive_loss(images, sentences, model.temperature, true)
    with torch.no_grad():
        wrong_text, wrong_image = hard_negatives(images @ sentences.t() / model.temperature, true, generator)

    rows = torch.cat([here, here, here, here, here, wrong_image])
    which = torch.cat([torch.arange(4 * count, device=device), wrong_text, here])
    fused = model.fuse(image_states, states[which], texts[which], rows)
    own, false, hard = fused.match[:count], fused.match[count : 2 * count], fused.match[4 * count :]
    agrees = torch.cat([true[here, wrong_text], true[wrong_image, here]])  # where every caption of the batch is true
    labels = torch.cat([torch.ones(count), torch.zeros(count)]).long().to(device)
    matching = 0.5 * matching_loss(torch.cat([own, false]), labels)
    matching = matching + 0.5 * matching_loss(torch.cat([own, hard]), torch.cat([labels[:count], agrees.long()]))
    words = masked_word_loss(model.words(fused.states[2 * count : 3 * count][chosen]), captions[chosen])
    both = torch.cat([captions, foils])
    replaced = replaced_word_loss(heads.replaced(fused.states[: 2 * count])[..., 0], both, captions.repeat(2, 1))
    question = F.cross_entropy(fused.answers[3 * count : 4 * count], answers)
    right = 0.5 * ((own[:, 1] > own[:, 0]).float().mean() + (false[:, 1] < false[:, 0]).float().mean())
    parts = {
        "contrast": contrast,
        "matching": matching,
        "words": words,
        "replaced": replaced,
        "questions": 0.5 * question,
    }
    reported = {name: float(part.detach()) for name, part in parts.items()}
    return sum(parts.values()), {**reported, "foils_told": float(right)}


def some_patches(
    model: VisionLanguageTransformer, count: int, keep: float, generator: torch.Generator
) -> Tensor | None:
    """Numbers (count, n) int64 of a share `keep` of the patches, drawn at random for each picture; None for all.

    Raises
    ------
    ValueError : a share that keeps no patch, or more than all.
    """
    patches = model.grid[0] * model.grid[1]
    kept = round(keep * patches)
    if not 1 <= kept <= patches:
        raise ValueError(f"keep must be a share of the {patches} patches, at least one of them, got {keep}")
    if kept == patches:
        return None
    return torch.rand(count, patches, generator=generator).argsort(1)[:, :kept].to(model.image_class.device)
