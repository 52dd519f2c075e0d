"""Lesson 06: where a vision-language transformer looks for each word of a caption or question.

Every arm explains the same model, a small one that aligns before it fuses. Words: nouns that name things, and colours with
their noun, in true captions of pictures that the model has not seen. Foils: the same captions, false in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from data_fetch.worlds.scenes import SceneQuestions, Scenes, ask, scenes
from data_fetch.worlds.scenes.pairs import ROLES, Captioned, captioned
from data_fetch.worlds.scenes.spoken import Noun, Told, absent_things, nouns_of, of_another, with_absent
from lessons_lib.evidence import (
    Claim,
    boxes_of_masks,
    centre_gaussian,
    energy_pointing,
    grounding_accuracy,
    masks_from_boxes,
    pointing_game,
)
from lessons_lib.experiments.runner import Results, device_for, difference
from lessons_lib.explain import cross_rollout, sentence_map, word_maps
from lessons_lib.explain.maps import upsample
from lessons_lib.models.vision_language import VisionLanguageTransformer
from lessons_lib.training.vision_language import Pretrained, Pretraining, pretrain, question_words

LESSON = "transformer"
ARMS = {
    "product": "cross-attention times the positive part of its gradient from the matching logit, heads averaged",
    "attention": "the same cross-attention alone, heads averaged",
    "gradient": "the positive part of the gradient alone",
    "rollout": "attention rollout through all layers, both modalities in one graph",
    "sentence": "control: the product's mean over the sentence, whatever the word",
    "absent_word": "control: the product for a thing that is not there, put in the noun's place",
    "other_caption": "control: the product for a thing that is not there, in a caption of another picture",
    "random_weights": "control: the product of a model that never learned",
    "centre": "control: a blob in the middle, which sees neither picture nor model",
    "uniform": "control: the same everywhere; its pointing is the boxes' share of the area",
}
WORLD = {
    "style": "flat",
    "places": ("street", "field", "water", "snow"),
    "things": ("dog", "horse", "car", "bus", "bicycle", "boat", "umbrella", "tent", "surfboard"),
    "people": 0.5,
    "objects": (1, 2),
    "repeat": 0.0,
    "home": None,
}
QUESTIONS = ("colour", "beside", "exists")
SIZES = {
    "quick": {
        "train": 6000, "test": 400, "size": 48, "epochs": (2, 2), "keep": 0.5,
        "build": {"strides": (2, 2, 1), "image_blocks": 1, "text_blocks": 1, "fusion_blocks": 2},
    },
    "full": {
        "train": 40_000, "test": 1500, "size": 64, "epochs": (4, 8), "keep": 0.5,
        "build": {"strides": (2, 2, 1), "width": 96, "image_blocks": 2, "text_blocks": 2, "fusion_blocks": 4},
    },
}  # fmt: skip


@dataclass
class World:
    """train, test : scenes.  pairs, test_pairs : their captions with foils.  asked, asked_test : questions."""

    seed: int
    profile: str
    train: Scenes
    test: Scenes
    pairs: list[Captioned]
    test_pairs: list[Captioned]
    asked: SceneQuestions
    asked_test: SceneQuestions
    cache: dict = field(default_factory=dict)

    @property
    def images(self) -> Tensor:
        """The pictures (N, 3, S, S) of `test_pairs`."""
        rows = torch.tensor([pair.row for pair in self.test_pairs])
        return kept(self, "images", lambda: self.test.images[rows.to(self.test.images.device)])


def world(seed: int, profile: str = "quick") -> World:
    """Scenes to learn from and others to be asked about; sub-seeds of one seed never meet those of another."""
    sizes, device = SIZES[profile], device_for(profile)
    train = scenes(sizes["train"], seed=3 * seed, size=sizes["size"], **WORLD).to(device)
    test = scenes(sizes["test"], seed=3 * seed + 1, size=sizes["size"], **WORLD).to(device)
    return World(
        seed,
        profile,
        train,
        test,
        captioned(train, seed=3 * seed),
        captioned(test, seed=3 * seed + 1),
        ask(train, per_image=3, kinds=QUESTIONS, attention=0.0, seed=seed),
        ask(test, per_image=3, kinds=QUESTIONS, attention=0.0, seed=seed + 1),
    )


def train(
    world: World,
    arm: str,
    seed: int,
    profile: str = "quick",
    *,
    progress: Callable[[str], Callable] = lambda what: None,
) -> Pretrained:
    """The seed's model, the same for every arm; it is trained when the first arm asks for it."""

    def learn() -> Pretrained:
        sizes = SIZES[profile]
        options = {"epochs": sizes["epochs"], "keep": sizes["keep"], "seed": seed, "progress": progress}
        return pretrain(world.pairs, world.asked, world.train, **options, **sizes["build"])

    return kept(world, "model", learn)


def untrained(trained: Pretrained, world: World) -> Pretrained:
    """A model of the same build with new weights everywhere."""
    build, seed = SIZES[world.profile]["build"], world.seed + 500
    words, answers, size = len(trained.vocabulary), len(trained.answers), world.test.size
    model = VisionLanguageTransformer(words, answers=answers, size=size, longest=12, seed=seed, **build)
    heads = Pretraining(model, words, seed=seed).to(world.images.device)
    return Pretrained(heads.eval(), trained.vocabulary, trained.answers)


# ---------------------------------------- matching
@torch.no_grad()
def match_scores(trained: Pretrained, images: Tensor, texts: Sequence[Sequence[str]]) -> Tensor:
    """Log-odds (N,) that text n matches image n."""
    found = []
    for pictures, tokens in zip(images.split(200), trained.tokens(texts).split(200)):
        logits = trained.model(pictures, tokens).match
        found.append(logits[:, 1] - logits[:, 0])
    return torch.cat(found)


def foil_scores(trained: Pretrained, world: World, images: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """For each role: log-odds of captions and of their foils, one of each picture and role; images[n] for pair n."""
    rows: dict[str, list[tuple[int, tuple, tuple]]] = {role: [] for role in ROLES}
    for n, pair in enumerate(world.test_pairs):
        of_role = {f.role: (c.words, f.words) for c, fs in zip(pair.captions, pair.foils) for f in fs}
        for role, (true, false) in of_role.items():
            rows[role].append((n, true, false))
    found = {}
    for role, each in rows.items():
        shown = images[torch.tensor([n for n, _, _ in each], device=images.device)]
        found[role] = tuple(match_scores(trained, shown, [texts[k] for texts in each]) for k in (1, 2))
    return found


# ---------------------------------------- words
def told(arm: str, world: World) -> list[Told]:
    """The text in which the arm explains each noun: the true caption, but for the two arms of absent things."""
    found = nouns(world)
    if arm == "absent_word":
        return [with_absent(noun.told, _absent(world, noun.row), noun.row) for noun in found]
    if arm == "other_caption":
        return [of_another(found, n, _absent(world, noun.row)) for n, noun in enumerate(found)]
    return [noun.told for noun in found]


def nouns(world: World) -> list[Noun]:
    """Every noun that names a thing in the first caption of each test picture."""
    return kept(world, "nouns", lambda: nouns_of(world.test, world.test_pairs))


def _absent(world: World, row: int) -> tuple[str, ...]:
    return absent_things(world.test_pairs[row].facts, world.test.knobs)


def noun_maps(arm: str, trained: Pretrained, world: World, layer: str | None = None) -> tuple[Tensor, Tensor]:
    """Maps (W, S, S) of every noun of `nouns`, and (P, S, S) of those with a colour: the mean of the two words' maps."""
    found, size = nouns(world), world.test.size
    coloured = [n for n, noun in enumerate(found) if noun.told.colour is not None]
    if arm in ("uniform", "centre"):
        maps = _control(arm, size, world.images.device)
        return maps.expand(len(found), -1, -1), maps.expand(len(coloured), -1, -1)
    texts = told(arm, world)
    tokens = trained.tokens([text.words for text in texts])
    rows = torch.tensor([noun.row for noun in found], device=tokens.device)
    parts = zip(rows.split(200), tokens.split(200))
    grids = torch.cat([_maps(arm, trained, world, world.images[i], t, layer) for i, t in parts])
    singles = torch.stack([grids[n, slice(*text.noun)].mean(0) for n, text in enumerate(texts)])
    pairs = torch.stack([(singles[n] + grids[n, texts[n].colour]) / 2 for n in coloured])
    return upsample(singles, (size, size)), upsample(pairs, (size, size))


def _maps(
    arm: str, trained: Pretrained, world: World, images: Tensor, tokens: Tensor, layer: str | None = None, target=None
) -> Tensor:
    """The arm's maps (R, L, h, w) of all tokens."""
    model = untrained(trained, world).model if arm == "random_weights" else trained.model
    if arm == "rollout":
        return cross_rollout(model, (images, tokens))
    kind = arm if arm in ("attention", "gradient") else "product"
    maps = word_maps(model, (images, tokens), layer, kind=kind, target=target)
    if arm == "sentence":
        maps = sentence_map(maps, tokens > 0)[:, None].expand_as(maps)
    return maps


# ---------------------------------------- questions
def colour_questions(world: World) -> tuple[SceneQuestions, list[int], Tensor]:
    """The test questions "What color is the X?", the token of X in each of them, and its box (Q, S, S) bool."""

    def choose() -> tuple[SceneQuestions, list[int], Tensor]:
        known = {pair.row for pair in world.test_pairs}
        found = zip(world.asked_test.kinds, world.asked_test.image_index.tolist())
        asked = world.asked_test[[n for n, (kind, row) in enumerate(found) if kind == "colour" and row in known]]
        places = [question_words(question).index("the") + 2 for question in asked.questions]
        return asked, places, filled_boxes(asked.evidence_masks[:].to(world.images.device))

    return kept(world, "questions", choose)


def question_maps(arm: str, trained: Pretrained, world: World) -> Tensor:
    """Maps (Q, S, S) of X in each of `colour_questions`; the score is the logit of the answer that the model gives.

    The two arms of absent things ask for the colour of a thing that is not there.
    """
    (asked, places, _), size = colour_questions(world), world.test.size
    device = world.images.device
    if arm in ("uniform", "centre"):
        return _control(arm, size, device).expand(len(asked), -1, -1)
    texts = [question_words(question) for question in asked.questions]
    if arm in ("absent_word", "other_caption"):
        rows = {pair.row: n for n, pair in enumerate(world.test_pairs)}
        for n, (row, place) in enumerate(zip(asked.image_index.tolist(), places)):
            absent = _absent(world, rows[row])
            texts[n] = (*texts[n][: place - 1], absent[n % len(absent)], *texts[n][place:])
    images, tokens = asked.images[:].to(device), trained.tokens(texts)
    parts = zip(images.split(200), tokens.split(200))
    best = lambda out: out.answers.amax(1)  # noqa: E731
    grids = torch.cat([_maps(arm, trained, world, shown, put, target=best) for shown, put in parts])
    return upsample(grids[torch.arange(len(grids)), torch.tensor(places)], (size, size))


def measure(trained: Pretrained, world: World, arm: str) -> dict[str, float]:
    """How well the arm's maps find what words speak of.

    noun_pointing, pair_pointing : the maximum lies in the box of the thing, for nouns and for colour-noun pairs.
    noun_grounding : of 12 boxes, one of them nearly the thing's, the map chooses one that overlaps the thing's by half.
    noun_energy, pair_energy : share of the map on the thing's pixels.
    question_pointing : as noun_pointing, for the thing of a question about its colour.
    """
    found = nouns(world)
    masks = torch.stack([noun.mask for noun in found])
    boxes, truth = filled_boxes(masks), boxes_of_masks(masks)
    coloured = torch.tensor([noun.told.colour is not None for noun in found], device=masks.device)
    singles, pairs = noun_maps(arm, trained, world)
    asked = question_maps(arm, trained, world)
    return {
        "noun_pointing": float(pointing_game(singles, boxes).mean()),
        "pair_pointing": float(pointing_game(pairs, boxes[coloured]).mean()),
        "noun_grounding": float(grounding_accuracy(singles, _proposals(world), truth).mean()),
        "noun_energy": float(energy_pointing(singles, masks).mean()),
        "pair_energy": float(energy_pointing(pairs, masks[coloured]).mean()),
        "question_pointing": float(pointing_game(asked, colour_questions(world)[2]).mean()),
    }


def filled_boxes(masks: Tensor) -> Tensor:
    """The bounding boxes of masks (B, S, S) as masks."""
    return masks_from_boxes(boxes_of_masks(masks), tuple(masks.shape[1:]))


def _proposals(world: World) -> Tensor:
    """Boxes (W, 12, 4) for every noun: those of everything in its picture, a little moved, and random ones."""

    def find() -> Tensor:
        boxes = world.test.with_proposals(12, seed=world.seed).proposals
        return boxes[torch.tensor([world.test_pairs[noun.row].row for noun in nouns(world)])].to(world.images.device)

    return kept(world, "proposals", find)


def extra(world: World, seed: int, profile: str = "quick") -> dict[str, float]:
    """How good the model is, on pictures that it has not seen.

    matching : share of captions accepted and of foils refused, both weighed alike, mean over what foils replace; also
    for each `ROLES`.  ranking : share of pairs whose caption has the higher score than its foil.
    ranking_elsewhere : the same with another picture, where neither is true: a foil is not given away by its words.
    accuracy : of the answers to all test questions.  absent_refused : share of captions refused once a noun names what
    is not there.  nouns : how many nouns were explained.
    """
    trained = train(world, "product", seed, profile)
    scores = foil_scores(trained, world, world.images)
    elsewhere = foil_scores(trained, world, world.images.roll(len(world.images) // 2, 0))
    right = {role: float(0.5 * ((a > 0).float().mean() + (b < 0).float().mean())) for role, (a, b) in scores.items()}
    found = nouns(world)
    images = world.images[torch.tensor([noun.row for noun in found], device=world.images.device)]
    absent = match_scores(trained, images, [text.words for text in told("absent_word", world)])
    return {
        "matching": sum(right.values()) / len(right),
        **{f"matching_{role}": share for role, share in right.items()},
        "ranking": _ranked(scores),
        "ranking_elsewhere": _ranked(elsewhere),
        "accuracy": accuracy(trained, world.asked_test),
        "absent_refused": float((absent < 0).float().mean()),
        "nouns": float(len(found)),
    }


def _ranked(scores: dict[str, tuple[Tensor, Tensor]]) -> float:
    return sum(float((a > b).float().mean()) for a, b in scores.values()) / len(scores)


@torch.no_grad()
def accuracy(trained: Pretrained, asked: SceneQuestions) -> float:
    """Share of the questions that the model answers right."""
    tokens = trained.tokens([question_words(question) for question in asked.questions])
    images, right = asked.pictures.images[asked.image_index.to(tokens.device)], 0
    for start in range(0, len(asked), 200):
        best = trained.model(images[start : start + 200], tokens[start : start + 200]).answers.argmax(1).tolist()
        right += sum(trained.answers[n] == answer for n, answer in zip(best, asked.answers[start : start + 200]))
    return right / len(asked)


def claims(results: Results) -> list[Claim]:
    """What the lesson asserts. Thresholds were fixed before the first run on the seeds that are reported.

    One claim was dropped when tuning seeds refuted it: that the product's maximum finds things more often than that of
    attention alone. In models of this size it does not, and the lesson shows the differences seed by seed. That more of
    the product lies on the thing was seen on tuning seeds and is tested here on others.
    """
    scores, found = results.get("extra", {}), []
    if "matching" in scores:
        found += [
            Claim.value("transformer.matching", "The model tells captions from foils, both weighed alike, in more than "
                         "85 %", scores["matching"], threshold=0.85),
            Claim.difference("transformer.matching_by_picture", "Control: foils are found out by the picture, not by "
                             "their words: with another picture the ranking is at least 30 points worse",
                             scores["ranking"], scores["ranking_elsewhere"], threshold=0.3),
        ]  # fmt: skip
    for kind, name in (("noun", "nouns"), ("pair", "colour and noun together")):
        found += [
            *difference(results, f"transformer.word_pointing_{kind}s", f"For {name} the product has its maximum in the box "
                        "of the thing at least 30 points more often than that of a model that never learned",
                        f"{kind}_pointing", "product", "random_weights", threshold=0.3),
            *difference(results, f"transformer.word_energy_{kind}s", f"For {name} more of the product lies on the thing's "
                        "pixels than of attention alone", f"{kind}_energy", "product", "attention"),
        ]  # fmt: skip
    found += [
        *difference(results, "transformer.not_gradient", "The product's maximum is in the box more often "
                    "than that of the gradient alone",
                    "noun_pointing", "product", "gradient"),
        *difference(results, "transformer.not_sentence", "Control: a word's map finds its thing more often than the "
                    "sentence's map", "noun_pointing", "product", "sentence"),
        *difference(results, "transformer.absent_word", "Control: with a thing in its place that is not there, less of the "
                    "map lies on what was there", "noun_energy", "absent_word", "product", direction="<"),
        *difference(results, "transformer.other_caption", "Control: less of it, too, for a noun of another "
                    "picture's caption",
                    "noun_energy", "other_caption", "product", direction="<"),
        *difference(results, "transformer.questions", "Asked for a thing's colour, the map of its noun has the maximum in "
                    "the thing's box at least 20 points more often than chance",
                    "question_pointing", "product", "uniform", threshold=0.2),
    ]  # fmt: skip
    return found


def kept(world: World, name: str, make):
    """What the arms share is made once."""
    if name not in world.cache:
        world.cache[name] = make()
    return world.cache[name]


def _control(arm: str, size: int, device: torch.device) -> Tensor:
    made = torch.ones(size, size) if arm == "uniform" else centre_gaussian(size, size)
    return made[None].to(device)
