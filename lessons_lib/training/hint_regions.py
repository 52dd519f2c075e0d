"""Eyes for region proposals: one network a seed learns what regions show, is frozen, and gives every arm its features."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from data_fetch.worlds.scenes import Scenes
from data_fetch.worlds.scenes.priors import BACKGROUND, STATES, UNSURE, RegionLabels, region_labels
from data_fetch.worlds.scenes.vocabulary import COLOUR_NAMES
from lessons_lib.models.updown import RegionEyes, crops
from lessons_lib.training.fit import fit
from lessons_lib.training.steps import Batch, StepReport

Progress = Callable[[StepReport], None] | None
NAMED = ("kind", "colour", "state")  # what the first three heads of `RegionEyes` learn


def train_eyes(
    pictures: Scenes, *, epochs: int = 4, width: int = 16, seed: int, lr: float = 5e-3, progress: Progress = None
) -> RegionEyes:
    """Eyes that learned kind, colour and state from the proposals of training pictures, as the detector of Up-Down did.

    Regions that show part of a thing are left out, and of those that show none half as many are taken as show one.

    Raises
    ------
    ValueError : pictures without proposals, or with none that shows a thing.
    """
    labels = region_labels(pictures)
    shown, empty = (torch.nonzero(mask) for mask in (labels.slot >= 0, labels.kind == BACKGROUND))
    if not len(shown):
        raise ValueError("no proposal shows a thing: there is nothing to learn")
    order = torch.randperm(len(empty), generator=torch.Generator().manual_seed(seed))[: len(shown) // 2]
    row, region = torch.cat([shown, empty[order]]).unbind(1)
    eyes = RegionEyes(BACKGROUND + 1, len(COLOUR_NAMES), len(STATES), width=width, seed=seed).to(pictures.images.device)
    return fit_eyes(eyes, pictures, labels, row, region, epochs=epochs, lr=lr, seed=seed, progress=progress)


def fit_eyes(
    eyes: RegionEyes,
    pictures: Scenes,
    labels: RegionLabels,
    row: Tensor,
    region: Tensor,
    *,
    grounds: Tensor | None = None,
    epochs: int,
    lr: float,
    seed: int,
    progress: Progress = None,
) -> RegionEyes:
    """The eyes, trained in place on regions (n,) of the pictures in rows (n,), and frozen.

    labels : of `region_labels`.  grounds (n, G) of 0 and 1 : what the fourth head of `SceneEyes` learns.
    """
    images, boxes = pictures.images, pictures.proposals
    cut = [crops(images[r], boxes[r, g][:, None]) for r, g in zip(row.split(512), region.split(512))]
    columns = {name: getattr(labels, name)[row, region] for name in NAMED} | {"crops": torch.cat(cut)}
    if grounds is not None:
        columns["ground"] = grounds

    def loss(model: RegionEyes, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        found = model(batch["crops"])
        parts = [
            F.cross_entropy(logits, batch[name], ignore_index=UNSURE, reduction="sum")
            for logits, name in zip(found, NAMED)
        ]
        if grounds is not None:
            parts.append(F.binary_cross_entropy_with_logits(found[len(NAMED)], batch["ground"], reduction="sum"))
        return sum(parts) / len(batch["crops"]), {}

    fit(eyes, columns, epochs=epochs, lr=lr, batch_size=64, seed=seed, loss=loss, progress=progress)
    return eyes.requires_grad_(False)


def region_accuracy(eyes: RegionEyes, pictures: Scenes) -> dict[str, float]:
    """Share of the regions that show a thing whose kind, colour and state (where there is one) the eyes name rightly."""
    labels = region_labels(pictures)
    row, region = torch.nonzero(labels.slot >= 0).unbind(1)
    with torch.no_grad():
        found = [
            [logits.argmax(1).cpu() for logits in eyes(crops(pictures.images[r], pictures.proposals[r, g][:, None]))]
            for r, g in zip(row.split(512), region.split(512))
        ]
    result = {}
    for name, guesses in zip(NAMED, zip(*found)):
        truth = getattr(labels, name)[row, region]
        known = truth >= 0
        result[name] = float((torch.cat(guesses)[known] == truth[known]).float().mean()) if known.any() else 0.0
    return result
