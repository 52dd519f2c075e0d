"""Lesson 02: every explanation method on pictures whose relevant pixels are known, beside controls that see no network.

One network a seed serves all arms. Each test picture holds two objects; the network is asked for the class of each in
turn, so that a map must tell the two apart. With `--data photos` the ImageNet network explains mosaics of photographs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_fetch.mosaics import mosaics
from data_fetch.worlds.shapes import Shapes, shapes
from lessons_lib import evidence as ev
from lessons_lib.evidence import Claim, centre_gaussian
from lessons_lib.experiments.runner import device_for, difference, value
from lessons_lib.explain import explain, occlusion
from lessons_lib.models.small import SmallCNN
from lessons_lib.training import fit

LESSON = "judging"
DATA = ("shapes", "photos")
TIMINGS = ("time_ratio",)
METHODS = (
    "grad_cam", "cam", "guided_grad_cam", "guided_backprop", "deconvnet", "backprop", "smoothgrad", "lrp",
    "integrated_gradients", "gradient_x_input", "occlusion", "rise", "lime", "kernel_shap",
)  # fmt: skip
CONTROLS = ("random_map", "centre_gaussian", "edges")  # maps that never see the network
ARMS = (*METHODS, *CONTROLS)
CLASSES = ("star", "ring", "arrow", "gear")
GROUNDS = ("grass", "sand", "water", "brick")
LEARNING_RATE = {
    "gap": 5e-3,
    "flatten": 2e-3,
}  # the better of the two for each head, by accuracy on seeds 1000 and 1001
SIZES = {  # train images, epochs, picture size, test pictures, samples of RISE, LIME and SHAP
    "quick": {"train": 2400, "epochs": 8, "size": 40, "test": 60, "samples": 300},
    "full": {"train": 8000, "epochs": 20, "size": 64, "test": 200, "samples": 1000},
}
PHOTO_SIZES = {  # test pictures and samples: a pass of the ImageNet network costs a hundred of the small one's
    "quick": {"test": 4, "samples": 100},
    "full": {"test": 40, "samples": 1000},
}


@dataclass
class World:
    """What the arms share: pictures with the masks of what is asked for, and the seed's network once it is trained.

    images (N, 3, S, S); targets (N, T) class indices; masks bool (N, T, S, S).
    test : the shapes behind the images (None for photographs).
    """

    seed: int
    profile: str
    data: str
    train: Shapes | None
    check: Shapes | None
    test: Shapes | None
    images: Tensor
    targets: Tensor
    masks: Tensor
    cache: dict = field(default_factory=dict)


def world(seed: int, profile: str = "quick", data: str = "shapes") -> World:
    """Pictures of two objects with both masks, and single objects to train on; grounds say nothing about classes."""
    sizes, device = SIZES[profile], device_for(profile)
    if data == "photos":
        scene = mosaics(PHOTO_SIZES[profile]["test"], seed=seed)
        tensors = (tensor.to(device) for tensor in (scene.images, scene.classes, scene.masks))
        return World(seed, profile, data, None, None, None, *tensors)
    options = {"size": sizes["size"], "classes": CLASSES, "grounds": GROUNDS, "radius": (0.17, 0.24)}
    single = shapes(sizes["train"] + 800, seed=3 * seed, **options).to(device)
    pairs = shapes(4 * sizes["test"], seed=3 * seed + 1, style="pairs", **options).to(device)
    targets = torch.stack([pairs.labels, pairs.other_labels], 1)
    masks = torch.stack([pairs.masks, pairs.other_masks], 1)
    return World(
        seed, profile, data, single[: sizes["train"]], single[sizes["train"] :], pairs, pairs.images, targets, masks
    )


def _fit(world: World, head: str, epochs: int) -> SmallCNN:
    network = SmallCNN(len(CLASSES), head=head, seed=world.seed).to(world.images.device)
    columns = {"images": world.train.images, "labels": world.train.labels}
    fit(network, columns, epochs=epochs, lr=LEARNING_RATE[head], batch_size=64, seed=world.seed)
    return network.eval()


def train(world: World, arm: str, seed: int, profile: str = "quick") -> nn.Module:
    """The seed's one network: every arm explains the same one. Training it the first time takes a few seconds.

    Only pictures are kept for the measurement in which the network ranks the two objects' classes first, so that it has
    seen both; the first of them are taken, as many as the profile says.
    """
    if "network" not in world.cache:
        if world.data == "photos":
            from lessons_lib.models import imagenet

            world.cache["network"] = imagenet.load().to(world.images.device)
        else:
            network = _fit(world, "gap", SIZES[profile]["epochs"])
            with torch.no_grad():
                top = network(world.images).topk(2, dim=1).indices.sort(1).values
            seen = (top == world.targets.sort(1).values).all(1).nonzero()[:, 0][: SIZES[profile]["test"]]
            if len(seen) < 4:
                raise RuntimeError(f"seed {seed}: the network recognises only {len(seen)} of the test pictures")
            world.images, world.targets, world.masks = world.images[seen], world.targets[seen], world.masks[seen]
            world.test = world.test[seen]
            world.cache["network"] = network
    return world.cache["network"]


def train_weaker(world: World, seed: int, profile: str = "quick") -> nn.Module:
    """A network of the same kind, trained for a quarter of the time: the weaker one of the trust study."""
    return _fit(world, "gap", max(1, SIZES[profile]["epochs"] // 4))


def maps_of(arm: str, network: nn.Module, world: World, images: Tensor, targets: Tensor) -> Tensor:
    """The arm's maps (N, T, S, S) for every target of every picture."""
    if arm in CONTROLS:
        shape = (*targets.shape, *images.shape[-2:])
        return _control(arm, images, world.seed)[:, None].expand(shape).contiguous()
    options: dict[str, object] = {}
    samples = (PHOTO_SIZES if world.data == "photos" else SIZES)[world.profile]["samples"]
    if arm == "cam" and world.data == "photos":
        options = {"layer": "network._swish"}  # CAM wants the very input of the pooling: after the last ReLU6
    elif arm == "rise":
        options = {"masks": samples}
    elif arm in ("lime", "kernel_shap"):
        options = {"samples": samples, "segments": _segments(images)}
    elif arm == "occlusion":
        options = {"window": images.shape[-1] // 5, "stride": max(1, images.shape[-1] // 10)}
    return explain(network, images, targets, arm, seed=world.seed, **options)


def _segments(images: Tensor) -> Tensor:
    """An even grid of 5 x 5 segments: the same for LIME and SHAP, and independent of the picture."""
    side = images.shape[-1]
    place = torch.arange(side, device=images.device) * 5 // side
    return (place[:, None] * 5 + place).expand(len(images), side, side)


def _control(arm: str, images: Tensor, seed: int) -> Tensor:
    batch, _, height, width = images.shape
    if arm == "random_map":
        return torch.rand(batch, height, width, generator=torch.Generator().manual_seed(seed)).to(images.device)
    if arm == "centre_gaussian":
        return centre_gaussian(height, width).expand(batch, height, width).to(images.device)
    sobel = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]], device=images.device)
    grey = F.pad(images.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    return F.conv2d(grey, torch.stack([sobel, sobel.t()])[:, None]).norm(dim=1)


def measure(network: nn.Module, world: World, arm: str) -> dict[str, float]:
    """The four properties of one method as numbers.

    pointing, energy_inside : interpretable: is the class that was asked for singled out (chance: the objects' area)?
    deletion_auc (low is good), insertion_auc (high), occlusion_correlation : faithful, for the first target.
    sanity_similarity : rank correlation of |map| with the map after the top third of the layers was randomised.
    forward_passes, memory_ratio, time_ratio : inexpensive, for one picture and one class.
    """
    maps = maps_of(arm, network, world, world.images, world.targets)
    flat, masks = maps.flatten(0, 1), world.masks.flatten(0, 1)
    first, target = maps[:, 0], world.targets[:, 0]
    grid = _kept(world, "occlusion", lambda: _occlusion_grid(network, world))
    broken = _kept(world, "broken", lambda: next(_cascade(network, world))[1])
    again = maps_of(arm, broken, world, world.images, world.targets[:, :1])[:, 0]
    one = world.images[:1], world.targets[:1, :1]
    price = ev.cost(lambda: maps_of(arm, network, world, *one), network, one[0], repeats=3)
    return {
        "pointing": ev.pointing_game(flat, masks).mean().item(),
        "energy_inside": ev.energy_pointing(flat, masks).mean().item(),
        "deletion_auc": ev.deletion(network, world.images, first, target, steps=20, baseline="mean").auc.mean().item(),
        "insertion_auc": ev.insertion(network, world.images, first, target, steps=20).auc.mean().item(),
        "occlusion_correlation": ev.occlusion_correlation(first, grid).mean().item(),
        "sanity_similarity": ev.map_similarity(first, again)["spearman_abs"].mean().item(),
        "forward_passes": price.forward_passes,
        "memory_ratio": price.memory_ratio,
        "time_ratio": price.seconds_ratio,
    }


def _kept(world: World, name: str, make: Callable[[], object]) -> object:
    if name not in world.cache:
        world.cache[name] = make()
    return world.cache[name]


def _cascade(network: nn.Module, world: World):
    return ev.cascading_randomisation(network, world.images[:1], seed=world.seed, stages=3)


def _occlusion_grid(network: nn.Module, world: World) -> Tensor:
    side = world.images.shape[-1]
    return occlusion(network, world.images, world.targets[:, 0], window=side // 5, stride=max(1, side // 10), size=None)


def extra(world: World, seed: int, profile: str = "quick") -> dict[str, float]:
    """Maintaining performance: accuracy with the head that CAM needs, and with two linear layers instead.

    Empty for photographs, where no network is trained.
    """
    if world.data == "photos":
        return {}
    networks = {"gap": world.cache["network"], "flatten": _fit(world, "flatten", SIZES[profile]["epochs"])}
    with torch.no_grad():
        right = {
            name: (network(world.check.images).argmax(1) == world.check.labels).float().mean().item()
            for name, network in networks.items()
        }
    return {f"accuracy_{name}_head": accuracy for name, accuracy in right.items()}


def claims(results: dict) -> list[Claim]:
    """What the lesson asserts. Thresholds were fixed before the first run on the seeds that are reported.

    After that run the test pictures were raised from 24 to 60 for narrower intervals; "class_discriminative" held with
    24 and does not with 60. The larger measurement stands.
    """
    found = [
        *difference(results, "judging.points_better_than_edges", "Grad-CAM points at the class asked for more often than "
                    "the picture's edges do", "pointing", "grad_cam", "edges", threshold=0.1),
        *difference(results, "judging.points_better_than_centre", "Grad-CAM points at the class asked for more often than "
                    "a blob in the centre does",
                    "pointing", "grad_cam", "centre_gaussian", threshold=0.1),
        *difference(results, "judging.class_discriminative", "Grad-CAM points at the class asked for more often than guided "
                    "backprop does",
                    "pointing", "grad_cam", "guided_backprop"),
        *difference(results, "judging.guided_grad_cam", "Guided Grad-CAM points better than guided backprop alone",
                    "pointing", "guided_grad_cam", "guided_backprop"),
        *difference(results, "judging.deletion", "Deleting by Grad-CAM lowers the score sooner than at random",
                    "deletion_auc", "grad_cam", "random_map", direction="<"),
        *difference(results, "judging.insertion", "Inserting by Grad-CAM raises the score sooner than by edges",
                    "insertion_auc", "grad_cam", "edges"),
        *difference(results, "judging.occlusion", "Grad-CAM ranks regions more like occlusion than guided backprop does",
                    "occlusion_correlation", "grad_cam", "guided_backprop"),
        *difference(results, "judging.sanity", "Grad-CAM's maps change more than guided backprop's when the upper layers "
                    "are random", "sanity_similarity", "grad_cam", "guided_backprop", direction="<"),
        *value(results, "judging.one_pass", "Grad-CAM takes one forward pass", "forward_passes", "grad_cam",
               threshold=1.01, direction="<"),
        *value(results, "judging.hundreds", "RISE takes more than a hundred", "forward_passes", "rise", threshold=100),
    ]  # fmt: skip
    accuracy = results.get("extra", {})
    if "accuracy_gap_head" in accuracy:
        found.append(
            Claim.difference(
                "judging.cam_head", "The head that CAM needs costs less than two points of accuracy",
                accuracy["accuracy_gap_head"], accuracy["accuracy_flatten_head"], threshold=-0.02,
            )
        )  # fmt: skip
    return found
