"""Lesson 15: a network that learns one group of birds after another, forgets, and remembers for the right reasons (RRR).

After Ebrahimi et al., "Remembering for the Right Reasons", ICLR 2021 (arXiv 2010.01528). Two settings share one start a
seed, which learned 30 species. "regular": ten tasks of three other species, many pictures each. "few_shot": the start's
species are the base session, then five sessions of three species with five pictures each. One head, no task number.
Settings were tuned on seeds 1000 to 1002.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from data_fetch.folder import data_folder
from data_fetch.worlds.birds.tasks import Tasks, bird_tasks
from lessons_lib.evidence import Claim
from lessons_lib.evidence.forgetting import average_accuracy, backward_transfer, forgetting
from lessons_lib.evidence.remembering import Looking
from lessons_lib.experiments.runner import Results, device_for, difference
from lessons_lib.models.small import SmallCNN
from lessons_lib.training.continual import Course, Method, Pace, learn_tasks
from lessons_lib.training.continual_real import PROTOCOLS, network_for, real_tasks
from lessons_lib.training.continual_start import learned, with_head

LESSON = "rrr"
DATA = ("birds", "cifar100", "cub200")
SETTINGS = ("regular", "few_shot")
TIMINGS = ("learning_seconds",)
ARMS = {
    "finetuning": "nothing is done about forgetting",
    "ewc": "weights that mattered are held where they were",
    "lwf": "answers to new pictures are held to those of the model before the task",
    "replay": "kept pictures are trained on again",
    "rrr_gradcam": "replay, and the kept pictures' Grad-CAM is held to the kept map",
    "rrr_backprop": "the same with pixel gradients",
    "rrr_smoothgrad": "the same with SmoothGrad",
    "replay_features": "control: replay, and as many activations are held as Grad-CAM has cells",
    "replay_more_images": "control: the bytes of Grad-CAM's maps spent on further pictures",
    "rrr_shuffled": "control: each kept picture's Grad-CAM is held to another one's map",
    "joint": "upper bound: all tasks at once",
}
KEEP = 2  # pictures kept of a class
# loss weights, tried on seeds 1000 to 1002: Grad-CAM 0.1 to 10, pixel gradients 1 and 3, activations 1 and 10,
# EWC 10 to 1e3, LwF 1 and 10
WEIGHT, PIXELS, ACTIVATIONS, SPRINGS, ANSWERS = 10.0, 1.0, 10.0, 1e3, 10.0
MAP_BYTES = 8 * 8 * 4  # of a Grad-CAM map at a quarter of 32 pixels, as float32
_REPLAY = Method(keep=KEEP, sgd=True)
_RRR = replace(_REPLAY, explain="grad_cam", weight=WEIGHT)
METHODS = {
    "finetuning": Method(sgd=True),
    "ewc": Method(ewc=SPRINGS, sgd=True),
    "lwf": Method(lwf=ANSWERS, sgd=True),
    "replay": _REPLAY,
    "rrr_gradcam": _RRR,
    "rrr_backprop": replace(_RRR, explain="backprop", weight=PIXELS),
    "rrr_smoothgrad": replace(_RRR, explain="smoothgrad", weight=PIXELS),
    "replay_features": replace(_RRR, explain="features", weight=ACTIVATIONS),
    "replay_more_images": replace(_REPLAY, extra_bytes=MAP_BYTES),
    "rrr_shuffled": replace(_RRR, shuffled=True),
    "joint": Method(joint=True, sgd=True),
}
SIZES = {  # species of the base session, of a task or session; tasks, sessions; pictures of a species; side, width, epochs
    "quick": {"base": 30, "ways": 3, "tasks": 10, "sessions": 5, "train": 40, "shots": 5, "test": 20, "size": 32,
              "width": 8, "epochs": 10},
    "full": {"base": 30, "ways": 3, "tasks": 10, "sessions": 5, "train": 120, "shots": 5, "test": 60, "size": 32,
             "width": 32, "epochs": 16},
}  # fmt: skip
# chosen by the accuracy of plain replay on seeds 1000 and 1001, as was SGD before AdamW
PACES = {"regular": Pace(2, 0.02, 6, 30), "few_shot": Pace(20, 0.03, 5, 30)}
REAL_PACES = {"cifar100": Pace(10, 0.02, 32, 96), "cub200": Pace(20, 0.003, 10, 30)}  # not tuned


@dataclass
class World:
    """settings : name -> its tasks.  cache : the seed's start."""

    seed: int
    profile: str
    data: str
    settings: dict[str, Tasks]
    cache: dict = field(default_factory=dict)

    @property
    def real(self) -> bool:
        """Photographs instead of rendered birds."""
        return self.data != "birds"


@dataclass
class Learner:
    """courses : setting -> what came out.  seconds : setting -> time of its training, without measuring."""

    courses: dict[str, Course]
    seconds: dict[str, float]


Tell = Callable[[str], Callable]


def world(seed: int, profile: str = "quick", data: str = "birds", *, folder: Path | None = None) -> World:
    """The tasks of both settings, or those of CIFAR-100 ("regular") or CUB ("few_shot").

    folder : of the reader of real data; None: where `python -m data_fetch get NAME` put it.
    """
    if data != "birds":
        protocol = PROTOCOLS[data, profile]
        return World(seed, profile, data, {protocol.setting: real_tasks(data, seed, protocol, folder=folder)})
    s = SIZES[profile]
    options = {"test": s["test"], "size": s["size"], "device": device_for(profile)}
    sessions = s["sessions"]
    sizes, shots = (s["base"], *[s["ways"]] * sessions), (s["train"], *[s["shots"]] * sessions)
    few = bird_tasks(seed, sizes, shots, **options)
    tasks = s["tasks"]
    regular = bird_tasks(seed, [s["ways"]] * tasks, [s["train"]] * tasks, skip=sum(sizes), **options)
    return World(seed, profile, data, {"regular": regular, "few_shot": few})


def shortened(world: World, tasks: int, setting: str = "regular") -> World:
    """The same with the first tasks of one setting alone; the start is shared."""
    start(world, setting)
    return replace(world, settings={setting: world.settings[setting].first(tasks)})


# ---------------------------------------- training
def start(
    world: World, setting: str, *, weights: str | None = "imagenet", progress: Tell = lambda what: None
) -> nn.Module:
    """A fresh copy of the seed's start, with a head for all classes of the setting; the first call trains it.

    Birds: it knows the base session, which is the first task of "few_shot" and no task of "regular". Real data: it knows the
    first task.  weights : of `network_for`.
    """
    if "start" not in world.cache:
        device, seed = device_for(world.profile), world.seed
        if world.real:
            protocol, tasks = PROTOCOLS[world.data, world.profile], world.settings[setting]
            model = network_for(world.data, len(tasks.class_names), seed, weights=weights)
            epochs, rate = protocol.epochs, protocol.rate
        else:
            s, tasks = SIZES[world.profile], world.settings["few_shot"]
            model, epochs, rate = SmallCNN(s["base"], width=s["width"], seed=seed), s["epochs"], 1e-2
        options = {"epochs": epochs, "rate": rate, "seed": seed, "progress": progress("start")}
        world.cache["start"] = learned(model.to(device), tasks, **options)
    classes = len(world.settings[setting].class_names)
    head = PROTOCOLS[world.data, world.profile].head if world.real else "head"
    return with_head(world.cache["start"], classes, keep=world.real or setting == "few_shot", head=head)


def train(
    world: World,
    arm: str,
    seed: int,
    profile: str = "quick",
    *,
    method: Method | None = None,
    settings: Sequence[str] | None = None,
    paces: Mapping[str, Pace] | None = None,
    checkpoints: Path | None = None,
    progress: Tell = lambda what: None,
) -> Learner:
    """Learn the tasks of every setting as the arm says.

    method, paces : others than the arm's.  settings : some of the world's; None: all.
    checkpoints : a folder for the state after each task; None: the data folder's for real data and the profile "full",
        none for the quick one. A run that was killed goes on there when it is started again; it tells each task's end.
    """
    courses, seconds, long = {}, {}, world.real or profile == "full"
    for setting in settings or world.settings:
        tasks, look = world.settings[setting], Looking(world.settings[setting])
        model = start(world, setting, progress=progress)
        chosen = method or (method_on(world, arm) if world.real else METHODS[arm])
        pace = (paces or (PACES if not world.real else {setting: REAL_PACES[world.data]}))[setting]
        if long and checkpoints is None:
            checkpoints = data_folder() / "checkpoints" / LESSON
        name = f"{world.data}-{profile}-{seed}-{arm}-{setting}.pt"
        path = None if checkpoints is None else Path(checkpoints) / name
        known = int(not chosen.joint and (world.real or setting == "few_shot"))
        look.tell = partial(_tell, f"{arm}, {setting}", len(tasks)) if long else None
        began = time.perf_counter()
        courses[setting] = learn_tasks(
            model, tasks, chosen, pace, seed=seed, known=known, look=look, checkpoint=path,
            progress=progress(arm if len(world.settings) == 1 else f"{arm}, {setting}"),
        )  # fmt: skip
        seconds[setting] = time.perf_counter() - began - look.seconds
    return Learner(courses, seconds)


def _tell(what: str, tasks: int, task: int, accuracy: float) -> None:
    print(
        f"[{LESSON}] {what}: task {task + 1} of {tasks}, average accuracy {accuracy:.3f}", file=sys.stderr, flush=True
    )


def method_on(world: World, arm: str) -> Method:
    """The arm's method with the kept pictures of a real protocol; the bytes of a map follow from its network."""
    protocol, method = PROTOCOLS[world.data, world.profile], METHODS[arm]
    if not method.keep:
        return method
    cells = (protocol.size // (4 if world.data == "cifar100" else 32)) ** 2
    extra = 4 * cells if method.extra_bytes else 0
    return replace(method, keep=protocol.keep, keep_first=protocol.keep_first, extra_bytes=extra)


# ---------------------------------------- evidence
def matrix(course: Course, name: str = "accuracy") -> Tensor:
    """(T, T) of what was recorded after each task: accuracy, drift or pointing; (1, T) for joint training."""
    return torch.stack([record[name] for record in course.records])


def measure(model: Learner, world: World) -> dict[str, float]:
    """What is left at the end; few_shot_... of that setting where the world has both.

    average_accuracy, forgetting, bwt : see `evidence.forgetting`.  first, last : accuracy on the first and the last task.
    drift : 1 - cosine of Grad-CAM to that at the end of the picture's own task, for the class predicted then; test pictures
    of all tasks but the last.  kept_drift : the same of kept pictures of earlier tasks.
    pointing : the largest value of the true class's Grad-CAM lies on the bird; test pictures of all tasks but the last.
    image_bytes, map_bytes : of the memory.
    """
    found = {}
    for setting, course in model.courses.items():
        prefix = "few_shot_" if setting == "few_shot" and len(model.courses) > 1 else ""
        found |= {prefix + name: number for name, number in _of_course(course).items()}
    return found | {"learning_seconds": sum(model.seconds.values())}


def _of_course(course: Course) -> dict[str, float]:
    rows, last = matrix(course), course.records[-1]
    found = {"average_accuracy": float(rows[-1].mean()), "first": float(rows[-1, 0]), "last": float(rows[-1, -1])}
    if len(rows) == rows.shape[1]:
        found |= {"average_accuracy": average_accuracy(rows), "forgetting": forgetting(rows)}
        found |= {"bwt": backward_transfer(rows), "drift": float(last["drift"][:-1].mean())}
    if not last["pointing"].isnan().any():
        found["pointing"] = float(last["pointing"][:-1].mean())
    if "kept_drift" in last:
        found["kept_drift"] = float(last["kept_drift"])
        found |= {f"{name[:-1]}_bytes": float(count) for name, count in course.buffer.bytes.items()}
    return found


def claims(results: Results) -> list[Claim]:
    """What the lesson asserts; the thresholds are those that were asked for before the first run.

    "At equal memory": plain replay spends the bytes of the maps on further pictures. Claims about a metric or a setting that
    real data do not have are left out.
    """

    def than(other: str, id: str, text: str, metric: str, *, arm: str = "rrr_gradcam", direction: str = ">",
             threshold: float | None = 0.0) -> list[Claim]:  # fmt: skip
        if any(metric not in results["arms"].get(name, {}) for name in (arm, other)):
            return []
        return difference(results, f"rrr.{id}", text, metric, arm, other, direction=direction, threshold=threshold)

    more, shuffled, features, plain = "replay_more_images", "rrr_shuffled", "replay_features", "replay"
    found = [
        *than(more, "average_accuracy", "Average accuracy is higher than with replay at equal memory", "average_accuracy"),
        *than(more, "forgetting", "Less is forgotten than with replay at equal memory", "forgetting", direction="<"),
        *than(more, "average_accuracy_few_shot", "Few-shot: average accuracy is higher than with replay at equal memory",
              "few_shot_average_accuracy"),
        *than(more, "forgetting_few_shot", "Few-shot: less is forgotten than with replay at equal memory",
              "few_shot_forgetting", direction="<"),
        *than(plain, "drift", "Maps of old tasks' test pictures drift less than with replay", "drift", direction="<"),
        *than(plain, "drift_few_shot", "Few-shot: they drift less, too", "few_shot_drift", direction="<"),
        *than(plain, "pointing", "At the end maps of old tasks point at the bird more often than with replay", "pointing"),
        *than(plain, "pointing_few_shot", "Few-shot: they point at it more often, too", "few_shot_pointing"),
        *than("rrr_backprop", "gradcam_cheapest", "Bytes of Grad-CAM's maps, less those of pixel gradients'", "map_bytes",
              direction="<"),
        *than("rrr_smoothgrad", "gradcam_cheapest_smoothgrad", "... less those of SmoothGrad's", "map_bytes", direction="<"),
        *than(shuffled, "shuffled_control", "Control: with another picture's map average accuracy is lower",
              "average_accuracy"),
        *than(shuffled, "shuffled_control_few_shot", "Control, few-shot: it is lower, too", "few_shot_average_accuracy"),
        *than(features, "features_control", "Control: held to activations, not explanations, average accuracy is lower",
              "average_accuracy"),
        *than(features, "features_control_few_shot", "Control, few-shot: it is lower, too", "few_shot_average_accuracy"),
        *than(plain, "same_pictures", "Average accuracy less that of replay with as many pictures", "average_accuracy",
              threshold=None),
        *than(plain, "same_pictures_few_shot", "Few-shot: the same", "few_shot_average_accuracy", threshold=None),
        *than("rrr_backprop", "gradcam_accuracy", "Average accuracy less that with pixel gradients", "average_accuracy",
              threshold=None),
        *than("rrr_smoothgrad", "gradcam_accuracy_smoothgrad", "Average accuracy less that with SmoothGrad",
              "average_accuracy", threshold=None),
    ]  # fmt: skip
    return found
