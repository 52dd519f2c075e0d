"""Explanations find a biased data set before it does harm, and re-balancing it mends the model.

The setting follows the doctor and nurse case of the Grad-CAM paper (Selvaraju et al., arXiv 1610.02391,
section on bias): there most doctors in the training images were men and most nurses women, maps showed a
network that looked at faces and hair, and re-balancing at equal set size raised the accuracy on a balanced
test from 82 % to 90 %. Here the classes are star and cross, and nine in ten stars lie on brick, nine in ten
crosses on wood.

Nothing is selected: every arm trains by the same fixed schedule, and the test on independent grounds
("shifted") is looked at once. What reveals the bias, the share of Grad-CAM's mass on the object, is measured
on images drawn as the biased training set was.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from data_fetch.worlds.shapes import Shapes, shapes
from lessons_lib.evidence import Claim, energy_pointing
from lessons_lib.experiments.runner import Results, device_for, difference, value
from lessons_lib.explain import grad_cam
from lessons_lib.models.small import SmallCNN
from lessons_lib.training import fit

LESSON = "failure_modes"
ARMS = {
    "biased": "nine in ten images on the class's usual ground",
    "balanced": "as many images, every class as often on every ground",
    "biased_redrawn": "control: as many new images, biased as before",
    "balanced_by_colour": "control: every class as often in every colour, grounds biased as before",
}
CLASSES, GROUNDS = ("star", "cross"), ("brick", "wood")
CORRELATION = 0.9
_SIZES = {  # images in a training set, pixels, width of the network, epochs
    "quick": (1440, 32, 16, 12),
    "full": (5760, 64, 32, 20),
}
_GAIN = 0.04  # half of the 8 points that the paper reports: less would not be the same finding


@dataclass(frozen=True)
class World:
    """`sets` by name: a training set of equal size for each arm, and

    validation, in_distribution_test : drawn as "biased".
    shifted_test : the ground says nothing about the class.
    swapped_test : the first images of shifted_test, each on the other ground.
    """

    sets: dict[str, Shapes]


def draw(count: int, seed: int, size: int, correlation: float | None) -> Shapes:
    """Stars and crosses on brick and wood; `correlation` None makes the ground independent of the class."""
    return shapes(
        count,
        seed=seed,
        size=size,
        classes=CLASSES,
        grounds=GROUNDS,
        correlation=correlation,
        radius=(0.22, 0.32),
        noise=0.04,
    )


def rebalance(labels: Tensor, groups: Tensor, generator: torch.Generator, count: int | None = None) -> Tensor:
    """Indices of `count` images with as many of every class in every group, in random order, none twice.

    Parameters
    ----------
    labels, groups : (N,) integers. Every pair of a class and a group that are in them is a cell.
    count : how many in all; default: as many as the smallest cell allows.

    Returns
    -------
    LongTensor: count // cells of each cell.

    Raises
    ------
    ValueError : different lengths, or a cell with too few images (the message names it).
    """
    if labels.shape != groups.shape or labels.ndim != 1:
        raise ValueError(f"labels and groups must be (N,) both, got {tuple(labels.shape)} and {tuple(groups.shape)}")
    pairs = [(k, g) for k in labels.unique().tolist() for g in groups.unique().tolist()]
    cells = {pair: torch.nonzero((labels == pair[0]) & (groups == pair[1]))[:, 0] for pair in pairs}
    smallest = min(cells, key=lambda pair: len(cells[pair]))
    each = len(cells[smallest]) if count is None else count // len(cells)
    if each < 1 or each > len(cells[smallest]):
        raise ValueError(
            f"{each} images of each class and group are needed, but class {smallest[0]} in group "
            f"{smallest[1]} has {len(cells[smallest])}: add images of that kind"
        )
    chosen = [rows[torch.randperm(len(rows), generator=generator)[:each]] for rows in cells.values()]
    chosen = torch.cat(chosen)
    return chosen[torch.randperm(len(chosen), generator=generator)]


def world(seed: int, profile: str = "quick", *, correlation: float = CORRELATION) -> World:
    """Training sets of equal size for all arms, and tests; no image depends on anything but `seed`.

    correlation : share of the biased sets' images that lie on the usual ground of their class.
    """
    count, size, _, _ = _SIZES[profile]
    tests = 800 if profile == "quick" else 3200
    first = 100 * seed  # sub-seeds of one seed never meet those of another
    biased, redrawn = (draw(count, first + k, size, correlation) for k in (0, 1))
    pool, same = biased.join(draw(count, first + 2, size, None)), biased.join(redrawn)
    generator = torch.Generator().manual_seed(first + 3)
    shifted = draw(2 * tests, first + 6, size, None)
    swapped = shifted[: tests // 2]
    sets = {
        "biased": biased,
        "balanced": pool[rebalance(pool.labels, pool.grounds, generator, count)],
        "biased_redrawn": redrawn,
        "balanced_by_colour": same[rebalance(same.labels, same.colours, generator, count)],
        "validation": draw(tests // 2, first + 4, size, correlation),
        "in_distribution_test": draw(tests, first + 5, size, correlation),
        "shifted_test": shifted,
        "swapped_test": swapped.with_grounds(1 - swapped.grounds),
    }
    return World(sets)


def train(world: World, arm: str, seed: int, profile: str) -> SmallCNN:
    """The same network, initial weights and schedule for every arm; only the images differ."""
    _, _, width, epochs = _SIZES[profile]
    data = world.sets[arm]
    model = SmallCNN(len(CLASSES), width=width, seed=seed).to(device_for(profile))
    fit(model, (data.images, data.labels), epochs=epochs, lr=5e-3, batch_size=64, seed=seed)
    return model


def measure(model: SmallCNN, world: World) -> dict[str, float]:
    """Accuracy with and without the usual grounds, and what the model looks at.

    energy_on_object : share of Grad-CAM's mass (for the predicted class) inside the object, on validation
        images drawn as the biased set: needs no image of the shifted test.
    ground_reliance : share of the shifted test's predictions that change when only the ground is swapped.
    worst_group_accuracy : the lowest accuracy of a class on a ground in the shifted test.
    """
    test, usual, validation = (world.sets[name] for name in ("shifted_test", "in_distribution_test", "validation"))
    predicted = predict(model, test.images)
    right = (predicted == test.labels).float()
    groups = [right[(test.labels == k) & (test.grounds == g)].mean() for k in range(2) for g in range(2)]
    maps = [grad_cam(model, part, size="images").cpu() for part in _batches(model, validation.images)]
    swapped = predict(model, world.sets["swapped_test"].images)
    return {
        "shifted_accuracy": float(right.mean()),
        "worst_group_accuracy": float(min(groups)),
        "in_distribution_accuracy": float((predict(model, usual.images) == usual.labels).float().mean()),
        "energy_on_object": float(energy_pointing(torch.cat(maps), validation.masks).mean()),
        "ground_reliance": float((swapped != predicted[: len(swapped)]).float().mean()),
    }


def predict(model: SmallCNN, images: Tensor) -> Tensor:
    """The predicted class of every image, (N,) on the CPU."""
    with torch.no_grad():
        return torch.cat([model(part).argmax(1).cpu() for part in _batches(model, images)])


def claims(results: Results) -> list[Claim]:
    """What the talk says of the doctor and nurse case, and what the controls could have refuted."""
    return [
        *value(
            results, "failure_modes.usual_test_is_blind",
            "On images drawn as the training set was, the biased model looks fine: accuracy above 0.9",
            "in_distribution_accuracy", "biased", threshold=0.9,
        ),
        *difference(
            results, "failure_modes.explanation_shows_the_bias",
            "Grad-CAM puts less of its mass on the object in the biased model than in the balanced one, on "
            "images drawn as the biased set",
            "energy_on_object", "biased", "balanced", direction="<",
        ),
        *difference(
            results, "failure_modes.balanced_beats_biased",
            "Re-balancing at equal set size raises the accuracy on independent grounds by more than 4 points",
            "shifted_accuracy", "balanced", "biased", threshold=_GAIN,
        ),
        *difference(
            results, "failure_modes.balanced_helps_the_worst_group",
            "Re-balancing raises the accuracy of the worst class on its worst ground by more than 4 points",
            "worst_group_accuracy", "balanced", "biased", threshold=_GAIN,
        ),
        *difference(
            results, "failure_modes.balanced_ignores_the_ground",
            "After re-balancing fewer predictions change when only the ground is swapped",
            "ground_reliance", "balanced", "biased", direction="<",
        ),
        *_less_than_half(results, "biased_redrawn", "Control: as many new images with the old bias"),
        *_less_than_half(results, "balanced_by_colour", "Control: re-balancing the colours, which do not matter,"),
        *difference(
            results, "failure_modes.price",
            "On images drawn as the biased set, re-balancing costs less than 5 points of accuracy",
            "in_distribution_accuracy", "balanced", "biased", threshold=-0.05,
        ),
    ]  # fmt: skip


def _less_than_half(results: Results, control: str, words: str) -> list[Claim]:
    """A control's gain less half of the real gain, seed by seed, is below 0."""
    arms = results["arms"]
    if not {control, "balanced", "biased"} <= set(arms):
        return []
    start, real, other = (arms[arm]["shifted_accuracy"] for arm in ("biased", "balanced", control))
    values = [(c - b) - 0.5 * (r - b) for b, r, c in zip(start, real, other)]
    text = f"{words} gain less than half as much on independent grounds (their gain less half of the real one)"
    return [Claim.value(f"failure_modes.{control}_does_not", text, values, threshold=0.0, direction="<")]


def _batches(model: SmallCNN, images: Tensor) -> list[Tensor]:
    device = next(model.parameters()).device
    return [part.to(device) for part in images.split(200)]
