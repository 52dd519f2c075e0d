"""What the arms of lesson 09 share: two rendered sets (or Pascal VOC), and the classifiers that every arm starts from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from data_fetch.readers import read
from data_fetch.worlds.scenes.offcontext import KINDS, off_context
from data_fetch.worlds.scenes.single import Objects, objects
from lessons_lib.feedback.gain import classification_loss
from lessons_lib.models.small import SmallCNN
from lessons_lib.training.fit import fit
from lessons_lib.training.gain import FILL, Annotated
from lessons_lib.training.steps import Batch

SIZES = {  # training and test pictures of each set, side, epochs of the classifier and of an arm, width of the network
    "quick": {"parts": 720, "context": 720, "test": 400, "size": 48, "start": 8, "epochs": 4, "width": 16},
    "full": {"parts": 4000, "context": 4000, "test": 1000, "size": 64, "start": 12, "epochs": 8, "width": 32},
}
REAL_SIZES = {  # photographs to train and to test on (None: all), side, epochs of the classifier and of an arm
    "quick": {"train": 120, "test": 60, "size": 112, "start": 2, "epochs": 1, "lr": 1e-4},
    "full": {"train": None, "test": None, "size": 224, "start": 10, "epochs": 5, "lr": 1e-4},
}
LR = 5e-3  # of an arm; 1e-2 for the classifiers
ANIMALS = ("dog", "cat", "horse", "cow")  # alike but for some parts, in the same three colours
COLOURS = ("brown", "black", "white")
SHARES = (0.01, 0.05, 0.1)  # of the training pictures that have a mask


@dataclass(frozen=True)
class Part:
    """Pictures, what they show, and where.

    images (N, C, S, S); labels (N,), or (N, T) with -1 where a picture has fewer.
    rows (R,), classes (R,), masks (R, S, S) bool : the pixels of a class in picture rows[r].
    """

    images: Tensor
    labels: Tensor
    rows: Tensor
    classes: Tensor
    masks: Tensor
    class_names: tuple[str, ...]

    @classmethod
    def of(cls, drawn: Objects) -> Part:
        """One thing a picture, as rendered."""
        rows = torch.arange(len(drawn), device=drawn.labels.device)
        return cls(drawn.images, drawn.labels, rows, drawn.labels, drawn.masks, drawn.class_names)


@dataclass
class World:
    """Sets by name, {"parts": {"train", "in_context"}, "context": {"train", *KINDS}}, and what is computed once a seed.

    parts : animals that differ in some parts, any place. context : things that come with their place; VOC has only this
    one, without the tests off context.
    """

    seed: int
    profile: str
    data: str
    sets: dict[str, dict[str, Part]]
    cache: dict = field(default_factory=dict)

    @property
    def real(self) -> bool:
        return self.data == "voc2012"

    @property
    def device(self) -> torch.device:
        return self.sets["context"]["train"].labels.device

    @property
    def training(self) -> dict[str, object]:
        """epochs, lr, batch_size and fill of an arm."""
        if not self.real:
            return {"epochs": SIZES[self.profile]["epochs"], "lr": LR}
        sizes = REAL_SIZES[self.profile]
        return {"epochs": sizes["epochs"], "lr": sizes["lr"], "batch_size": 16, "fill": fill_of(self)}


def rendered(seed: int, profile: str, device: torch.device | str = "cpu") -> World:
    """Both rendered sets of a seed; no picture depends on anything else."""
    sizes, first = SIZES[profile], 100 * seed
    options = {"size": sizes["size"], "reach": (0.25, 0.36)}
    context = {"train": off_context(sizes["context"], seed=first, **options)}
    for n, kind in enumerate(KINDS, start=1):
        context[kind] = off_context(sizes["test"], kind, seed=first + 10 * n, **options)
    options = {"things": ANIMALS, "home": None, "colours": {name: COLOURS for name in ("dog", "horse", "cow")}}
    options |= {"size": sizes["size"], "reach": (0.36, 0.44)}
    parts = {
        "train": objects(sizes["parts"], seed=first + 50, **options),
        "in_context": objects(sizes["test"], seed=first + 60, **options),
    }
    named = {"parts": parts, "context": context}
    sets = {name: {kind: Part.of(one.to(device)) for kind, one in each.items()} for name, each in named.items()}
    return World(seed, profile, "scenes", sets)


def photographs(seed: int, profile: str, device: torch.device | str = "cpu") -> World:
    """Pascal VOC 2012: seg_train to learn from, by its image labels and a share of its masks, and seg_val to be tested on.

    Raises
    ------
    FileNotFoundError : it is not there; the message has the command that gets it.
    """
    sizes = REAL_SIZES[profile]
    train, test = (_voc(split, seed, sizes[kind], sizes["size"], device) for split, kind in
                   (("seg_train", "train"), ("seg_val", "test")))  # fmt: skip
    return World(seed, profile, "voc2012", {"context": {"train": train, "in_context": test}})


def _voc(split: str, seed: int, count: int | None, size: int, device: torch.device | str) -> Part:
    every = read("voc2012", split, size=size)
    order = torch.randperm(len(every), generator=torch.Generator().manual_seed(seed))
    shown = every.labels
    order = order[shown[order].any(1)][:count]  # some pictures show nothing but objects marked difficult
    data, shown = every[order], shown[order]
    if not len(order):
        raise ValueError(f"no picture of VOC's {split} shows an object that counts")
    labels = torch.full((len(data), int(shown.sum(1).max())), -1)
    rows, classes, masks = [], [], []
    for n, row in enumerate(shown):
        found = torch.nonzero(row)[:, 0]
        labels[n, : len(found)] = found
        where = data.segmentation[n]
        for number in found.tolist():
            if bool((where == number + 1).any()):
                rows.append(n), classes.append(number), masks.append(where == number + 1)
    return Part(
        data.images[:].to(device), labels.to(device), torch.tensor(rows, device=device),
        torch.tensor(classes, device=device), torch.stack(masks).to(device), data.class_names,
    )  # fmt: skip


# ---------------------------------------- what the arms share
def start(world: World, name: str, *, progress: Callable | None = None) -> nn.Module:
    """The classifier of the set "parts" or "context" that every arm goes on from; the first call trains it."""

    def make() -> nn.Module:
        train = world.sets[name]["train"]
        if world.real:
            model, sizes, options = _backbone(len(train.class_names)), REAL_SIZES[world.profile], {"lr": 1e-4}
        else:
            sizes, options = SIZES[world.profile], {"lr": 1e-2}
            model = SmallCNN(len(train.class_names), width=sizes["width"], seed=world.seed)
        columns = {"images": train.images, "labels": train.labels}
        options |= {"epochs": sizes["start"], "batch_size": 32, "seed": world.seed, "loss": _task, "progress": progress}
        fit(model.to(world.device), columns, **options)
        return model

    return kept(world, f"start {name}", make)


def _task(model: nn.Module, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
    logits = model(batch["images"])
    return classification_loss(logits, batch["labels"]), {}


def _backbone(classes: int) -> nn.Module:
    """VGG-16 as ImageNet taught it, with a new last layer."""
    from lessons_lib.models import imagenet

    model = imagenet.load("vgg16")
    for weight in model.parameters():
        weight.requires_grad_(True)
    model.network.classifier[6] = nn.Linear(model.network.classifier[6].in_features, classes)
    return model


def annotated(world: World, share: float, *, shuffled: bool = False) -> Annotated:
    """Masks for this share of the training pictures of "context", the smaller share's among the larger one's.

    shuffled : each mask is handed to another of these pictures.

    Raises
    ------
    ValueError : a share that is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share}")
    train = world.sets["context"]["train"]
    order = torch.randperm(len(train.rows), generator=torch.Generator().manual_seed(world.seed + 5))
    chosen = order[: max(2 if shuffled else 1, round(share * len(order)))].to(train.rows.device)
    masks = train.masks[chosen]
    return train.images[train.rows[chosen]], masks.roll(1, 0) if shuffled else masks, train.classes[chosen]


def fill_of(world: World) -> Tensor | float:
    """The colour of erased pixels: the networks' mean colour."""
    return start(world, "context").mean if world.real else FILL


def kept(world: World, name: str, make: Callable[[], object]) -> object:
    if name not in world.cache:
        world.cache[name] = make()
    return world.cache[name]
