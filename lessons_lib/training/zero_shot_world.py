"""What the arms of the zero-shot experiment share, computed once a seed: the network, its importances, the maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lessons_lib.models.small import SmallCNN
from lessons_lib.training.fit import fit
from lessons_lib.training.zero_shot import (
    CosineMap,
    Course,
    Importances,
    by_gradient,
    by_jacobian,
    features_of,
    fit_map,
    importances_of,
    jacobian_of,
)
from lessons_lib.training.zero_shot_sets import ZeroShotSet

SIZES = {  # training pictures a class, test pictures a class, side, epochs, width of the network
    "quick": {"per_class": 40, "test": 12, "size": 48, "epochs": 7, "width": 16},
    "full": {"per_class": 120, "test": 40, "size": 64, "epochs": 16, "width": 32},
}
REAL_SIZES = {  # photographs a class to train the head on and to test on (None: all), side, epochs of the head
    "quick": {"per_class": 6, "test": 3, "size": 224, "epochs": 20},
    "full": {"per_class": None, "test": None, "size": 224, "epochs": 30},
}
LAYER, LAST, HEAD = "features.relu3", "features.relu4", "head"
VGG = ("network.features.29", "network.features.29", "network.classifier.6")  # conv5_3 after its ReLU, as in the paper
DROPOUT = 0.3  # share of the description that a training step leaves out; 0, 0.3, 0.5, 0.7 were tried there
IMAGES = 96  # the rows are found on so many
VALIDATION = 6  # seen classes left out to find when a map should stop


@dataclass
class World:
    """What the arms share: the classes with their pictures and descriptions, and what is computed once a seed.

    layer : where importances are taken.  last : where Grad-CAM is drawn.  head : the last linear layer.
    """

    seed: int
    profile: str
    data: str
    task: ZeroShotSet
    layer: str = LAYER
    last: str = LAST
    head: str = HEAD
    cache: dict = field(default_factory=dict)

    @property
    def real(self) -> bool:
        """Photographs, and a network that ImageNet taught, instead of rendered birds."""
        return self.data in ("cub200", "awa2")

    @property
    def batch(self) -> int:
        """How many pictures go through the network at a time where nothing is trained."""
        return 32 if self.real else 200


def network(world: World, *, progress: Callable | None = None) -> nn.Module:
    """The seed's classifier of seen species; the first call trains it, which takes most of the time of a seed.

    For photographs it is VGG-16 as ImageNet taught it, with a head of its own for the seen classes.
    """

    def make() -> nn.Module:
        if world.real:
            return _with_head(world, _backbone().to(world.task.labels.device), progress)
        sizes, data = SIZES[world.profile], world.task
        model = SmallCNN(data.shown, width=sizes["width"], seed=world.seed).to(data.labels.device)
        columns = {"images": data.images, "labels": data.labels}
        fit(model, columns, epochs=sizes["epochs"], lr=1e-2, batch_size=32, seed=world.seed, progress=progress)
        return model

    return kept(world, "network", make)


def _backbone() -> nn.Module:
    from lessons_lib.models import imagenet

    return imagenet.load("vgg16")


def _with_head(world: World, backbone: nn.Module, progress: Callable | None) -> nn.Module:
    """The backbone, frozen, with a new last layer that learned the seen classes on its features."""
    data = world.task
    features = features_of(backbone, data.images, world.head, world.batch)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(world.seed)
        head = nn.Linear(features.shape[1], data.shown).to(features.device)
    columns = {"images": features, "labels": data.labels}
    epochs = REAL_SIZES[world.profile]["epochs"]
    fit(head, columns, epochs=epochs, lr=1e-3, batch_size=64, seed=world.seed, progress=progress)
    parent, _, name = world.head.rpartition(".")
    setattr(backbone.get_submodule(parent) if parent else backbone, name, head)
    return backbone.eval()


def importances(world: World) -> Tensor:
    """(N, K): what each neuron matters to each training picture's own class."""
    data = world.task
    return kept(
        world,
        "importances",
        lambda: importances_of(network(world), data.images, data.labels, world.layer, world.head, world.batch),
    )


def pictures(world: World, kind: str = "seen") -> Tensor:
    """(L, 3, H, W) on which rows are found: "seen" training pictures, "unrelated" ones, or Gaussian "noise"."""
    data, generator = world.task, torch.Generator().manual_seed(world.seed)
    if kind == "seen":
        return data.images[torch.randperm(len(data.labels), generator=generator)[:IMAGES]]
    if kind == "unrelated":
        return data.unrelated[:IMAGES]
    shape = (IMAGES, *data.unrelated.shape[1:])
    return (0.5 + 0.25 * torch.randn(shape, generator=generator)).clamp(0, 1)


def jacobian(world: World, kind: str = "seen") -> Tensor:
    """(L, D, K) of `pictures`: small enough to be kept for the rendered birds' network."""
    make = lambda: jacobian_of(network(world), pictures(world, kind), world.layer, world.head)  # noqa: E731
    return kept(world, f"jacobian {kind}", make)


def row_importances(world: World, kind: str = "seen") -> tuple[Importances, int]:
    """How the importances of rows are had on `pictures`, and how many these are."""
    if not world.real:
        found = jacobian(world, kind)
        return by_jacobian(found), len(found)
    images = pictures(world, kind)
    return by_gradient(network(world), images, world.layer, world.head), len(images)


def domain_map(
    world: World, described: Tensor, *, hidden: int | None = None, relu: bool = True, validate: bool = True
) -> tuple[CosineMap, Course]:
    """(map, course): from descriptions (C, A) to importances, learned on the seen classes among them."""
    data = world.task
    known = described[data.seen]

    def make() -> CosineMap:
        sizes = {"hidden": hidden, "relu": relu, "dropout": DROPOUT, "centre": known.mean(0)}
        return CosineMap(known.shape[1], importances(world).shape[1], seed=world.seed, **sizes)

    lr = 1e-2 if hidden is None or not relu else 3e-3
    held_out = VALIDATION if validate else 0
    return fit_map(make, known, importances(world), data.labels, held_out=held_out, lr=lr, seed=world.seed)


def inverse_map(world: World) -> CosineMap:
    """From importances to attributes, both by their direction; attributes less their mean over the seen classes."""

    def make() -> CosineMap:
        data = world.task
        known = data.attributes[data.seen]
        given, wanted = F.normalize(importances(world), dim=1), (known - known.mean(0))[data.labels]
        start = lambda: CosineMap(given.shape[1], wanted.shape[1], seed=world.seed)  # noqa: E731
        return fit_map(start, given, wanted, data.labels, held_out=VALIDATION, seed=world.seed)[0]

    return kept(world, "inverse", make)


def head_of(world: World) -> nn.Linear:
    return network(world).get_submodule(world.head)


def train_features(world: World) -> Tensor:
    """(N, D) of the training pictures."""
    return kept(
        world, "train features", lambda: features_of(network(world), world.task.images, world.head, world.batch)
    )


def test_features(world: World) -> Tensor:
    """(M, D) of the test pictures."""
    return kept(
        world, "test features", lambda: features_of(network(world), world.task.test.images, world.head, world.batch)
    )


def kept(world: World, name: str, make: Callable[[], object]) -> object:
    if name not in world.cache:
        world.cache[name] = make()
    return world.cache[name]
