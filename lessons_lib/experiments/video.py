"""Lesson 05, video: which pixels, at which time, tell an action from its reverse?

The classes are three pairs of actions that show the same frames in opposite order: opening and closing, covering and
uncovering, moving towards the camera and away from it. In these pairs the thing itself changes its shape or size, so
that it can be told from the thing which order a clip has. In other pairs (pushing, moving up, putting into) only its
place changes; the network then reads the motion at its edge, hand and shadow, and the maximum seldom lies on the thing
itself (13 % and 24 % in two such sets, development seed 1000). `world(classes=...)` makes them.

One network a seed serves all arms. Grad-CAM is drawn at a layer that keeps every frame, in cells of two pixels, so the
pointing game needs no tolerance: a hit is a maximum on a visible pixel of the moving thing in that very frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_fetch.worlds.clips import PAIRS, ClipsWorld, clips
from lessons_lib import evidence as ev
from lessons_lib.evidence import Claim
from lessons_lib.experiments.runner import Results, device_for, difference, value
from lessons_lib.explain.video import (
    background_difference,
    frame_difference,
    grad_cam_video,
    gradient_video,
    occlusion_video,
    order_score,
)
from lessons_lib.models.video import FrameCNN, VideoCNN
from lessons_lib.training import fit

LESSON = "video"
ARMS = {
    "grad_cam_pooled": "Grad-CAM, one weight a channel for the whole clip",
    "grad_cam_per_time": "Grad-CAM, a weight for each channel and time step",
    "gradient": "saliency of every frame",
    "occlusion": "blocks of 3 frames and 8 x 8 pixels made grey (on fewer clips)",
    "random_weights": "control: Grad-CAM per time step of an untrained network",
    "frame_difference": "control: motion between neighbouring frames, no network",
    "background_difference": "control: difference from the clip's median, no network",
    "centre": "control: a blob in the middle",
}
_FIRST = ("Opening", "Covering", "Moving [something] towards the camera")
CLASSES = tuple(name for pair in PAIRS if pair[0].startswith(_FIRST) for name in pair)
SIZES = {  # clips to train on, test clips, clips for occlusion, pixels, width, epochs
    "quick": {"train": 1500, "test": 300, "occluded": 32, "size": 32, "width": 20, "epochs": 6},
    "full": {"train": 8000, "test": 1000, "occluded": 300, "size": 48, "width": 48, "epochs": 12},
}
FRAMES = 9  # odd: the middle frame of a clip is that of its reversal
_CHUNK = 100  # clips in a forward pass


@dataclass
class World:
    """`train` and `test` clips, and the seed's networks once they are trained."""

    seed: int
    profile: str
    train: ClipsWorld
    test: ClipsWorld
    cache: dict = field(default_factory=dict)


def world(seed: int, profile: str = "quick", *, classes: Sequence[str] = CLASSES) -> World:
    """Clips of pairs of actions; nothing but the order of the frames says which of a pair a clip shows.

    classes : pairs of classes that are each other's reverse, names out of `data_fetch.worlds.clips.CLASSES`.
    """
    sizes, device = SIZES[profile], device_for(profile)
    options = {"frames": FRAMES, "size": sizes["size"], "classes": classes, "device": device}
    train, test = (clips(sizes[part], seed=2 * seed + k, **options) for k, part in enumerate(("train", "test")))
    if (test.opposite < 0).any():
        raise ValueError(f"every class needs its reverse among the classes, got {tuple(classes)}")
    return World(seed, profile, train, test)


def clip_loss(model: nn.Module, batch: dict[str, Tensor], step: int) -> tuple[Tensor, dict[str, float]]:
    """Cross entropy of clips that are stored as bytes; reports the batch's accuracy."""
    logits = model(batch["frames"].float() / 255)
    accuracy = (logits.detach().argmax(1) == batch["labels"]).float().mean()
    return F.cross_entropy(logits, batch["labels"]), {"accuracy": float(accuracy)}


def train(world: World, arm: str, seed: int, profile: str = "quick") -> VideoCNN:
    """The seed's one network, which every arm but "random_weights" explains; trained the first time it is asked for."""
    if arm == "random_weights":
        return _new(world, seed + 1).eval()
    if "network" not in world.cache:
        network = _new(world, seed)
        _fit(network, world, world.train.frames.values, SIZES[profile]["epochs"])
        world.cache["network"] = network
    return world.cache["network"]


def train_frames(world: World, view: str) -> FrameCNN:
    """The network without time: of the same width, and trained at less than half the cost of the one with time."""
    network = FrameCNN(len(world.train.class_names), view=view, width=SIZES[world.profile]["width"], seed=world.seed)
    frames, epochs = world.train.frames.values, SIZES[world.profile]["epochs"]
    if view == "middle":
        middle = frames.shape[1] // 2
        frames, epochs = frames[:, middle : middle + 1], 4 * epochs
    _fit(network.to(frames.device), world, frames, max(1, epochs // 2))
    return network


def _new(world: World, seed: int) -> VideoCNN:
    width, device = SIZES[world.profile]["width"], world.train.labels.device
    return VideoCNN(len(world.train.class_names), frames=FRAMES, width=width, seed=seed).to(device)


def _fit(network: nn.Module, world: World, frames: Tensor, epochs: int) -> None:
    columns = {"frames": frames, "labels": world.train.labels}
    fit(network, columns, epochs=epochs, lr=1e-2, batch_size=16, seed=world.seed, loss=clip_loss)


def maps_of(arm: str, network: nn.Module, frames: Tensor, labels: Tensor, against: Tensor | None = None) -> Tensor:
    """The arm's maps (N, T, S, S) of clips (N, T, 3, S, S) for the logit of `labels` (N,), less that of `against`."""
    found = []
    for rows in torch.arange(len(frames), device=frames.device).split(_CHUNK):
        target = labels[rows] if against is None else order_score(labels[rows], against[rows])
        found.append(_METHODS[arm](network, frames[rows], target))
    return torch.cat(found)


def _centre(network: nn.Module, frames: Tensor, target: object) -> Tensor:
    y, x = (((torch.arange(n, device=frames.device) + 0.5) / n - 0.5) ** 2 for n in frames.shape[-2:])
    return torch.exp(-(y[:, None] + x) / (2 * 0.2**2)).expand_as(frames[:, :, 0]).contiguous()


_METHODS = {
    "grad_cam_pooled": partial(grad_cam_video, pool_time=True),
    "grad_cam_per_time": partial(grad_cam_video, pool_time=False),
    "random_weights": partial(grad_cam_video, pool_time=False),
    "gradient": gradient_video,
    "occlusion": occlusion_video,
    "frame_difference": frame_difference,
    "background_difference": background_difference,
    "centre": _centre,
}


def measure(network: VideoCNN, world: World, arm: str) -> dict[str, float]:
    """What a method's maps show, as means over the test clips.

    The target is `order_score`, the clip's class against its reverse, and the class's logit where noted.

    pointing : the maximum over space and time lies on a visible pixel of the moving thing (chance: `area_thing`).
    pointing_half_cell : the same with one pixel around it. pointing_with_hand : on thing, hand or arm.
    pointing_open, ... : `pointing` for the clips of each pair. pointing_class : with the class's logit as target.
    energy_on_thing, energy_on_hand : share of the map's mass (chance: `area_thing`, `area_hand`).
    time_with_motion : rank correlation of the map's mass in a frame with how much the thing moves there.
    reversed_similarity : rank correlation with the time-flipped map of the reversed clip for its class.
    opposites_similarity : of the maps for the logits of the class and of its reverse, on the same clip.
    phase : two versions of each clip, in which only its first or only its second half happens; share of clips for
        which the map of the class's logit has more of its mass early in the first than in the second (chance: 0.5).
    """
    test = world.test[: SIZES[world.profile]["occluded"]] if arm == "occlusion" else world.test
    frames, labels, opposites = test.frames[:], test.labels, _opposites(test)
    things, hands = test.masks, test.hand_masks
    maps, of_class = (maps_of(arm, network, frames, labels, against) for against in (opposites, None))
    turned = maps_of(arm, network, frames.flip(1), opposites, labels).flip(1)
    hits = pointing(maps, things)
    near = F.max_pool2d(things.float(), 3, stride=1, padding=1) > 0
    mass, movement = (m.clamp(min=0).sum((2, 3)) for m in (maps, frame_difference(None, things[:, :, None].float())))
    scripts = {test.script_names[k]: test.scripts == k for k in test.scripts.unique().tolist()}
    return {
        "pointing": float(hits.mean()),
        "pointing_half_cell": float(pointing(maps, near).mean()),
        "pointing_with_hand": float(pointing(maps, things | hands).mean()),
        **{f"pointing_{name}": float(hits[rows].mean()) for name, rows in scripts.items()},
        "pointing_class": float(pointing(of_class, things).mean()),
        "energy_on_thing": _energy(maps, things),
        "energy_on_hand": _energy(maps, hands),
        "time_with_motion": float(ev.rank_correlation(mass[:, None], movement[:, None]).mean()),
        "reversed_similarity": _alike(maps, turned),
        "opposites_similarity": _alike(of_class, maps_of(arm, network, frames, opposites)),
        "phase": float(phase(arm, network, frames, labels).mean()),
    }


def _opposites(test: ClipsWorld) -> Tensor:
    """(N,) the class that each clip shows when it is reversed."""
    return test.opposite.to(test.labels.device)[test.labels]


def pointing(maps: Tensor, masks: Tensor) -> Tensor:
    """The pointing game over space and time: maps and masks (N, T, H, W), hits (N,) in [0, 1]."""
    return ev.pointing_game(maps.flatten(1, 2), masks.flatten(1, 2))


def halves(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Clips (N, T, ...), T odd, in which only the first half happens, or only the second; the rest stands still."""
    middle = frames.shape[1] // 2
    steps = torch.arange(frames.shape[1], device=frames.device)
    return frames[:, steps.clamp(max=middle)], frames[:, steps.clamp(min=middle)]


def phase(arm: str, network: nn.Module, frames: Tensor, labels: Tensor) -> Tensor:
    """(N,) 1 where the map tells which of a clip's two `halves` happens early, 0 where it does not, 0.5 for a tie."""
    middle, early = frames.shape[1] // 2, []
    for half in halves(frames):
        mass = maps_of(arm, network, half, labels).clamp(min=0).sum((2, 3))
        total = mass.sum(1).clamp(min=torch.finfo(mass.dtype).tiny)
        early.append((mass[:, :middle].sum(1) - mass[:, middle + 1 :].sum(1)) / total)
    return (early[0] - early[1]).sign() / 2 + 0.5


def _energy(maps: Tensor, masks: Tensor) -> float:
    """Mean share of the positive mass on the masks, over the clips in which they mark anything."""
    seen = masks.flatten(1).any(1)
    return float(ev.energy_pointing(maps[seen].flatten(1, 2), masks[seen].flatten(1, 2)).mean())


def _alike(maps: Tensor, others: Tensor) -> float:
    """Mean rank correlation of maps (N, T, H, W), looked at in every second row and column."""
    a, b = (m[:, :, ::2, ::2].flatten(1, 2) for m in (maps, others))
    return float(ev.rank_correlation(a, b).mean())


@torch.no_grad()
def predict(network: nn.Module, frames: Tensor) -> Tensor:
    """Logits (N, classes) of clips (N, T, 3, S, S), in batches."""
    return torch.cat([network(part) for part in frames.split(_CHUNK)])


def extra(world: World, seed: int, profile: str = "quick") -> dict[str, float]:
    """Accuracy with and without time, on clips and on reversed clips, and the areas that chance would hit.

    accuracy : among all classes. pair_accuracy : between the clip's class and its reverse.
    *_single_frame, *_frame_set : of the networks that see the middle frame, or all frames without their order.
    reversed_accuracy : reversed clips get the class that they now show. reversed_unchanged : they keep the old one.
    """
    test = world.test
    frames, labels, opposites = test.frames[:], test.labels, _opposites(test)
    networks = {
        "": train(world, "grad_cam_per_time", seed, profile),
        "_single_frame": train_frames(world, "middle"),
        "_frame_set": train_frames(world, "all"),
    }
    found = {}
    for name, network in networks.items():
        logits = predict(network, frames)
        found[f"accuracy{name}"] = float((logits.argmax(1) == labels).float().mean())
        score = order_score(labels, opposites)(logits)
        found[f"pair_accuracy{name}"] = float((score.sign() / 2 + 0.5).mean())
    turned = predict(networks[""], frames.flip(1)).argmax(1)
    return {
        **found,
        "reversed_accuracy": float((turned == opposites).float().mean()),
        "reversed_unchanged": float((turned == labels).float().mean()),
        "area_thing": float(test.masks.float().mean()),
        "area_hand": float(test.hand_masks.float().mean()),
    }


_CONTROLS = {
    "frame_difference": "motion between frames does",
    "background_difference": "the difference from the still background does",
    "centre": "a blob in the middle does",
    "random_weights": "the map of an untrained network does",
}


def claims(results: Results) -> list[Claim]:
    """What the lesson asserts, and the controls that could have refuted it."""
    per_time, pooled = "grad_cam_per_time", "grad_cam_pooled"
    found = [
        *value(results, "video.pointing", "The moving thing, which changes its shape or size, holds the maximum of "
               "Grad-CAM in at least 70 % of clips",
               "pointing", per_time, threshold=0.7),
        *difference(results, "video.time_place", "Pooling Grad-CAM's weights over time loses the place: the moving thing "
                    "holds the maximum less often", "pointing", pooled, per_time, threshold=-0.1, direction="<"),
        *difference(results, "video.time_phases", "Weights per time step tell which half of a clip happens, more often "
                    "than pooled ones", "phase", per_time, pooled, threshold=0.2),
        *difference(results, "video.time_opposites", "Pooled maps of an action and of its reverse are more alike than "
                    "maps with weights per time step", "opposites_similarity", pooled, per_time, threshold=0.5),
    ]  # fmt: skip
    for control, words in _CONTROLS.items():
        text = f"Grad-CAM points at the moving thing more often than {words}"
        found += difference(results, f"video.above_{control}", text, "pointing", per_time, control, threshold=0.1)
    numbers = results.get("extra", {})
    if "pair_accuracy" in numbers:
        found += [
            Claim.difference("video.accuracy", "A network with time tells an action from its reverse more often than one "
                             "that sees the middle frame", numbers["pair_accuracy"],
                             numbers["pair_accuracy_single_frame"], threshold=0.1),
            Claim.value("video.order_decides", "Control: all frames without their order tell it in less than 60 % of "
                        "clips", numbers["pair_accuracy_frame_set"], threshold=0.6, direction="<"),
            Claim.value("video.reversed", "Reversed clips get the class that they now show in more than 80 % of clips",
                        numbers["reversed_accuracy"], threshold=0.8),
            Claim.value("video.not_unchanged", "Reversed clips keep the old class in less than 10 % of clips",
                        numbers["reversed_unchanged"], threshold=0.1, direction="<"),
        ]  # fmt: skip
    return found
