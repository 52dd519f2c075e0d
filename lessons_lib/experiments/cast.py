"""Lesson 14: features learned without labels look at the background until crops and attention are tied to the object.

After Selvaraju, Desai, Johnson, Naik, "CASTing Your Model", CVPR 2021 (arXiv 2012.04630). Pictures have a small object and a
background that no other picture has: MoCo can tell pictures apart by the background alone. Every arm starts from the seed's one
encoder and sees the same pictures for the same number of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from data_fetch.worlds.backgrounds import VARIANTS, object_scenes
from lessons_lib.evidence import Claim
from lessons_lib.evidence.contrastive import crop_keys, pooled, positions, query_maps, shared_crops
from lessons_lib.evidence.localisation import pointing_game
from lessons_lib.evidence.representation import bg_gap, knn_accuracy, linear_probe, segment_features
from lessons_lib.evidence.sanity import centre_gaussian
from lessons_lib.experiments.runner import Results, device_for, difference
from lessons_lib.explain.saliency import salient_masks
from lessons_lib.feedback.cast import mask_background
from lessons_lib.models.moco import MoCo
from lessons_lib.training.cast import FILL, Classifier, Terms, new_model, pretrain, random_boxes, supervise
from lessons_lib.training.cast_real import Part, coco_parts, in9_parts

LESSON = "cast"
DATA = ("scenes", "coco2017", "in9")
ARMS = {
    "random": "the encoder before any training",
    "supervised": "trained with the labels on the same pictures: an upper reference",
    "moco": "momentum contrast, crops wherever they fall",
    "moco_crops": "both crops hold a share of the saliency",
    "cast": "and the attention loss: the query's Grad-CAM lies on the saliency; saliency without labels or training",
    "cast_exact": "the same with the exact masks of the objects: the upper bound of the saliency",
    "cast_shuffled": "control: each picture gets another picture's saliency",
    "cast_centred": "control: every picture gets one disc in the middle, as large as the objects are on average",
    "same_compute": "control: moco with half as many steps again, for the passes that cast needs more",
}
TIE = 0.7  # probability that a class's background has its pattern, in pre-training and in the challenge
# tried on seed 1000: cover 0.2 and 0.4, attention 1 and 3; for MoCo rates of 1e-3 and 3e-3, temperatures of 0.07 and 0.2,
# decays of 0.95 and 0.99, crops of 0.1 to 0.6 and of 0.2 to 1 of the area
COVER, ATTENTION = 0.4, 3.0
PLAIN = Terms(scale=(0.1, 0.6), temperature=0.07)
WHOLE = Terms(scale=(0.4, 1.0))  # for labels: crops that mostly show the object, as large as in the tests
CROPS = replace(PLAIN, cover=COVER)
CAST = replace(CROPS, attention=ATTENTION)
TERMS = {
    "supervised": WHOLE,
    "moco": PLAIN,
    "moco_crops": CROPS,
    "cast": CAST,
    "cast_exact": CAST,
    "cast_shuffled": CAST,
    "cast_centred": CAST,
    "same_compute": PLAIN,
}
LR, BATCH, DECAY = 1e-3, 32, 0.99
LR_LABELS = 3e-3
SIZES = {  # pictures to pre-train on, of each probe's training and test; side; epochs; width; queue
    "quick": {"train": 2400, "probe": 1600, "test": 1200, "size": 48, "epochs": 4, "width": 12, "queue": 1024},
    "full": {"train": 20_000, "probe": 5000, "test": 5000, "size": 48, "epochs": 20, "width": 32, "queue": 4096},
}
LIMITS = {"quick": (1000, 500), "full": (20_000, 5000)}  # pictures of COCO, train and val
_NEIGHBOURS = 20
_SEGMENTED, _POINTED = (400, 600), 500  # pictures: to learn and to test the segmentation head; of the pointing game


@dataclass
class World:
    """What every arm sees and is asked.

    train : pictures to pre-train on; their labels serve `supervised` alone.  saliency (N, S, S) bool : unsupervised.
    probe, test : labels to learn and to test the probes, in the scenes independent of the background.
    challenge_train, challenge : to learn, and the variants by name, in the scenes tied to the background; {}: there is none.
    """

    seed: int
    profile: str
    data: str
    classes: int
    train: Part
    saliency: Tensor
    probe: Part
    test: Part
    challenge_train: Part | None = None
    challenge: dict[str, Part] = field(default_factory=dict)


Tell = Callable[[str], Callable]


def world(seed: int, profile: str = "quick", data: str = "scenes", *, tie: float = TIE, **options) -> World:
    """Rendered scenes, or photographs with the same parts.

    tie : see `object_scenes`.  options : of `coco_parts` or `in9_parts`, such as folder.

    Raises
    ------
    FileNotFoundError : the data set is not there; the message has the command that gets it.
    """
    sizes, device = SIZES[profile], device_for(profile)
    if data != "scenes":
        parts = coco_parts(LIMITS[profile], **options) if data == "coco2017" else in9_parts(seed, **options)
    else:
        size = sizes["size"]
        kinds = {"train": (sizes["train"], tie), "probe": (sizes["probe"], None), "test": (sizes["test"], None),
                 "challenge_train": (sizes["probe"], tie), "challenge": (sizes["test"], tie)}  # fmt: skip
        drawn = {
            name: object_scenes(count, size=size, seed=10 * seed + place, tie=how)
            for place, (name, (count, how)) in enumerate(kinds.items())
        }
        parts = {name: Part.of(some) for name, some in drawn.items() if name != "challenge"}
        parts["challenge"] = {v: Part.of(drawn["challenge"].recombine(v, seed=seed)) for v in VARIANTS}
        parts["classes"] = len(drawn["train"].class_names)
    classes = parts.pop("classes")
    variants = {name: part.to(device) for name, part in parts.pop("challenge", {}).items()}
    moved = {name: part.to(device) for name, part in parts.items()}
    saliency = salient_masks(moved["train"].images)
    return World(seed, profile, data, classes, saliency=saliency, challenge=variants, **moved)


def start(world: World) -> MoCo:
    """A new network of the seed: the same for all arms."""
    sizes = SIZES[world.profile]
    model = new_model(width=sizes["width"], length=sizes["queue"], decay=DECAY, seed=world.seed)
    return model.to(world.train.images.device)


def guides(world: World, arm: str) -> Tensor:
    """(N, S, S) bool: what the arm takes for the salient part of each picture.

    Raises
    ------
    ValueError : exact masks are asked for, and the data have none.
    """
    if arm == "cast_exact":
        if world.train.masks is None:
            raise ValueError(f"{world.data} has no exact masks of these pictures")
        return world.train.masks
    if arm == "cast_shuffled":
        return world.saliency.roll(1, 0)
    if arm == "cast_centred":
        side = world.saliency.shape[-1]
        blob = centre_gaussian(side, side).to(world.saliency.device)
        area = round(float(world.saliency.float().sum((1, 2)).mean()))
        return (blob >= blob.flatten().topk(area).values[-1]).expand_as(world.saliency)
    return world.saliency


def train(
    world: World,
    arm: str,
    seed: int,
    profile: str = "quick",
    *,
    terms: Terms | None = None,
    progress: Tell = lambda what: None,
    checkpoint=None,
) -> MoCo:
    """The seed's network after the arm's training, in eval mode.  terms : others than the arm's `TERMS`.

    checkpoint : a file to store the state in and to go on from, see `fit`.
    """
    model = start(world).eval()
    if arm == "random":
        return model
    terms = TERMS[arm] if terms is None else terms
    epochs = SIZES[profile]["epochs"]
    options = {"lr": LR, "batch_size": BATCH, "seed": seed, "progress": progress(arm), "checkpoint": checkpoint}
    images, masks = world.train.images, guides(world, arm)
    if arm == "supervised":
        classifier = Classifier(model.encoder, world.classes, seed=seed).to(images.device)
        supervise(classifier, images, masks, world.train.labels, terms, epochs=epochs, **options | {"lr": LR_LABELS})
        model.momentum = deepcopy(model.encoder)
        return model
    epochs = round(1.5 * epochs) if arm == "same_compute" else epochs
    pretrain(model, images, masks, terms, epochs=epochs, **options)
    return model


# ---------------------------------------- evidence
def measure(model: MoCo, world: World) -> dict[str, float]:
    """Probes, the challenge, and where the query looks.

    linear_probe, knn : accuracy; labels independent of the background in the scenes.
    original ... only_bg : accuracy of a linear probe that learned tied labels; bg_gap : mixed_same less mixed_rand.
    free_mixed_rand, free_only_fg : of the probe that learned independent labels.
    pointing : the query's Grad-CAM for a key that is another crop; pointing_masked_key : for the object alone.
    segmentation : mean IoU of a linear head over the frozen features of each position.
    """
    known, asked = pooled(model, world.probe.images), pooled(model, world.test.images)
    free = linear_probe(known, world.probe.labels, world.classes)
    found = {
        "linear_probe": free.accuracy(asked, world.test.labels),
        "knn": knn_accuracy(known, world.probe.labels, asked, world.test.labels, neighbours=_NEIGHBOURS),
    }
    if world.challenge:
        own = world.challenge_train
        tied = linear_probe(pooled(model, own.images), own.labels, world.classes)
        for name, part in world.challenge.items():
            seen = pooled(model, part.images)
            found[name] = tied.accuracy(seen, part.labels)
            if name in ("mixed_rand", "only_fg"):
                found[f"free_{name}"] = free.accuracy(seen, part.labels)
        found["bg_gap"] = bg_gap(found)
    if world.test.masks is not None and world.probe.masks is not None:
        found |= _localisation(model, world)
    return found


def _localisation(model: MoCo, world: World) -> dict[str, float]:
    some = world.test.first(_POINTED)
    keys = {
        "pointing": crop_keys(model, some.images, world.seed),
        "pointing_masked_key": model.keys(mask_background(some.images, some.masks, fill=FILL)),
    }
    found = {
        name: float(pointing_game(query_maps(model, some.images, key), some.masks).mean()) for name, key in keys.items()
    }
    learn, test = (part.first(n) for part, n in zip((world.probe, world.test), _SEGMENTED))
    found["segmentation"] = segment_features(
        *(positions(model, part.images) for part in (learn, test)),
        *((part.labels[:, None, None] + 1) * part.masks for part in (learn, test)),
        world.classes + 1,
    )
    return found


def extra(world: World, seed: int, profile: str = "quick") -> dict[str, float]:
    """The saliency's overlap with the exact masks, the object's share of a picture, and what pairs of crops share."""
    masks = world.train.masks
    if masks is None:
        return {"saliency_area": float(world.saliency.float().mean())}
    shared = (world.saliency & masks).sum((1, 2)) / (world.saliency | masks).sum((1, 2)).clamp(min=1)
    side, generator = tuple(masks.shape[1:]), torch.Generator().manual_seed(seed)
    pairs = tuple(random_boxes(len(masks), side, generator, scale=PLAIN.scale).to(masks.device) for _ in range(2))
    crops = shared_crops(masks, pairs)
    return {
        "saliency_iou": float(shared.mean()),
        "object_area": float(masks.float().mean()),
        "crops_share_object": crops["both"],
        "crops_show_none": crops["none"],
    }


# ---------------------------------------- claims
def claims(results: Results) -> list[Claim]:
    """What the paper says, with thresholds fixed before the first run on reported seeds."""

    def more(
        id: str, text: str, metric: str, other: str, *, threshold: float | None = 0.0, arm: str = "cast"
    ) -> list[Claim]:
        arms: Mapping[str, Mapping[str, list[float]]] = results["arms"]
        if any(metric not in arms.get(name, {metric: 0}) for name in (arm, other)):
            return []  # real data without masks or without a challenge
        return difference(results, f"cast.{id}", text, metric, arm, other, threshold=threshold)

    return [
        *more("linear_probe", "A linear probe on CAST's features is better than on MoCo's", "linear_probe", "moco"),
        *more("mixed_rand", "The probe is better where the background says nothing about the class: mixed_rand",
              "mixed_rand", "moco"),
        *more("only_fg", "The probe is better on the object alone, on black: only_fg", "only_fg", "moco"),
        *more("pointing", "The query's map peaks on the object more often", "pointing", "moco"),
        *more("segmentation", "A linear segmentation head on frozen features is better", "segmentation", "moco"),
        *more("crops_alone", "Constrained crops alone, against MoCo: linear probe (reported)", "linear_probe", "moco",
              threshold=None, arm="moco_crops"),
        *more("attention_beyond_crops", "The attention loss adds to constrained crops: linear probe", "linear_probe",
              "moco_crops"),
        *more("shuffled_control", "Control: with the saliency of other pictures the linear probe is worse", "linear_probe",
              "cast_shuffled"),
        *more("centred_control", "Control: with a disc in the middle the linear probe is worse", "linear_probe",
              "cast_centred"),
        *more("same_compute", "Control: MoCo with half as many steps again is worse: linear probe", "linear_probe",
              "same_compute"),
        *more("knn", "Nearest neighbours agree: CAST above MoCo", "knn", "moco"),
        *more("against_random", "CAST's features against those of the untrained encoder: linear probe (reported)",
              "linear_probe", "random", threshold=None),
        *more("exact_masks", "Exact masks against unsupervised saliency: linear probe (reported)", "linear_probe", "cast",
              threshold=None, arm="cast_exact"),
    ]  # fmt: skip
