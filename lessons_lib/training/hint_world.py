"""What the arms of lesson 11 share: questions, eyes, features, pretrained models and marks, made when first asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from data_fetch.words import Vocabulary
from data_fetch.worlds.scenes.priors import PriorSets, RegionLabels, prior_sets, region_labels
from lessons_lib.feedback.hint import human_scores
from lessons_lib.models.updown import RegionCaptioner, RegionEyes, UpDown
from lessons_lib.training.hint import Asked, as_asked, pretrain, start_model
from lessons_lib.training.hint_captions import Told, caption_words, train_captioner
from lessons_lib.training.hint_real import real_features, real_sets
from lessons_lib.training.hint_regions import train_eyes

WORLD = {  # no place goes with a thing: what is at stake are priors of answers
    "places": ("beach", "street", "field", "kitchen", "office"),
    "things": ("dog", "horse", "car", "bicycle", "boat", "umbrella", "kite", "surfboard", "banana", "cup", "laptop",
               "book", "lamp", "tent"),
    "people": 0.5, "objects": (2, 4), "home": None, "repeat": 0.1,
}  # fmt: skip
SIZES = {  # training and test pictures, their side, regions; epochs of eyes, baseline, question_only, captioner
    "quick": {"train": 2500, "test": 400, "size": 48, "regions": 12, "epochs": (2, 15, 4, 5)},
    "full": {"train": 12_000, "test": 2000, "size": 64, "regions": 16, "epochs": (6, 15, 8, 10)},
}
REAL_SIZES = {  # questions to train on, held out and tested; how many answers; pixels a side
    "quick": {"train": 3000, "test": 1000, "answers": 300, "size": 224},
    "full": {"train": 200_000, "test": 40_000, "answers": 3000, "size": 224},
}
STRENGTH = 0.85  # share of favoured answers in training, and 15 % in the shifted test
MARKED = 0.06  # share of the training questions that a person marked


@dataclass
class World:
    """The questions, and in `cache` what the arms share: eyes, features, human scores, the two pretrained models."""

    seed: int
    profile: str
    sets: PriorSets
    cache: dict = field(default_factory=dict)
    real: bool = False
    device: torch.device | str = "cpu"


def make_world(seed: int, profile: str, data: str, strength: float, device: torch.device | str) -> World:
    """The questions of `data`, "scenes" or "vqacp2", on a device."""
    if data == "vqacp2":
        return World(seed, profile, real_sets(seed, **REAL_SIZES[profile]), real=True, device=device)
    sizes = SIZES[profile]
    options = {"train": sizes["train"], "test": sizes["test"], "size": sizes["size"], "proposals": sizes["regions"]}
    return World(seed, profile, prior_sets(seed, strength=strength, device=device, **options, **WORLD), device=device)


def eyes(world: World, *, progress: Callable[[str], Callable] = lambda what: None) -> RegionEyes:
    """The seed's eyes, which give every region its features."""
    epochs = SIZES[world.profile]["epochs"][0]
    return kept(
        world,
        "eyes",
        lambda: train_eyes(world.sets.train.pictures, epochs=epochs, seed=world.seed, progress=progress("eyes")),
    )


def features(world: World, part: str) -> Tensor:
    """(M, R, D) of the regions of the training pictures ("train") or of the test pictures ("test").

    Of real data the parts are "train", "same" and "shifted", whose pictures differ.
    """
    if world.real:
        questions = getattr(world.sets, part)
        return kept(world, f"features {part}", lambda: real_features(questions.pictures, world.device))
    pictures = world.sets.train.pictures if part == "train" else world.sets.same.pictures
    return kept(world, f"features {part}", lambda: eyes(world).regions(pictures.images, pictures.proposals))


def start(world: World, *, progress: Callable[[str], Callable] = lambda what: None) -> UpDown:
    """The baseline; the first call trains it."""

    def make() -> UpDown:
        if not world.real:
            eyes(world, progress=progress)
        return from_questions(
            world, blind=False, epochs=SIZES[world.profile]["epochs"][1], progress=progress("baseline")
        )

    return kept(world, "start", make)


def from_questions(world: World, *, blind: bool, epochs: int, progress: Callable | None = None) -> UpDown:
    """A model that learned from all training questions.  blind : it sees no picture."""
    train, seen = world.sets.train, features(world, "train")
    model = start_model(train.questions, train.answers, seen.shape[2], blind=blind, seed=world.seed).to(seen.device)
    return pretrain(model, _as_asked(world, model, "train"), epochs=epochs, lr=5e-3, seed=world.seed, progress=progress)


def asked(world: World, part: str) -> Asked:
    """The questions of a part, "train", "same" or "shifted", in the baseline's numbers."""
    return kept(world, f"asked {part}", lambda: _as_asked(world, start(world), part))


def _as_asked(world: World, model: UpDown, part: str) -> Asked:
    questions = getattr(world.sets, part)
    seen = features(world, part if part == "train" or world.real else "test")
    return as_asked(model, seen, questions.image_index, questions.questions, questions.answers)


def marked(world: World, share: float = MARKED) -> tuple[Tensor, Tensor]:
    """(known (K,), human (K, R)): which training questions are marked, and how people rank their regions.

    A smaller share is part of a larger one.

    Raises
    ------
    ValueError : a share outside 0 to 1, or one that gives fewer than 2 questions.
    """
    train = world.sets.train
    count = round(share * len(train))
    if not 0 < share <= 1 or count < 2:
        raise ValueError(f"share must be within 0 to 1 and give at least 2 of {len(train)} questions, got {share}")
    order = order_of(world)
    order = order[train.has_attention[order]][:count]
    return order, kept(world, f"human {share}", lambda: people(world, "train", order))


def people(world: World, part: str, rows: Tensor | None = None) -> Tensor:
    """Human scores (n, R) of the regions for questions of a part."""
    questions = getattr(world.sets, part)
    chosen = questions if rows is None else questions[rows]
    found = [
        human_scores(chosen.attention[some], chosen.pictures.proposals[chosen.image_index[some]].float())
        for some in torch.arange(len(chosen)).split(512)
    ]
    return torch.cat(found)


def captioner(world: World, *, progress: Callable[[str], Callable] = lambda what: None) -> RegionCaptioner:
    """The seed's captioner, from which the arms about captions go on."""

    def make() -> RegionCaptioner:
        sentences, vocabulary = told(world, "train")
        epochs = SIZES[world.profile]["epochs"][3]
        return train_captioner(sentences, vocabulary, epochs=epochs, seed=world.seed, progress=progress("captioner"))

    return kept(world, "captioner", make)


def told(world: World, part: str) -> tuple[Told, Vocabulary]:
    """Captions of the training or test pictures, and their vocabulary, which is that of the training ones."""

    def make() -> tuple[Told, Vocabulary]:
        pictures = world.sets.train.pictures if part == "train" else world.sets.same.pictures
        vocabulary = None if part == "train" else told(world, "train")[1]
        return caption_words(pictures, features(world, part), vocabulary)

    return kept(world, f"told {part}", make)


def labels(world: World) -> RegionLabels:
    """What the regions of the test pictures show."""
    return kept(world, "labels", lambda: region_labels(world.sets.same.pictures))


def order_of(world: World) -> Tensor:
    """Training questions in an order of their own: the first ones are marked first."""
    return torch.randperm(len(world.sets.train), generator=torch.Generator().manual_seed(world.seed))


def kept(world: World, name: str, make: Callable):
    """What `make` gave when it was first asked for."""
    if name not in world.cache:
        world.cache[name] = make()
    return world.cache[name]
