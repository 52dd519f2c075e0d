"""Eyes for region proposals: one network a seed learns what regions show, is frozen, and gives every arm its features."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from data_fetch.worlds.scenes import Scenes
from data_fetch.worlds.scenes.priors import BACKGROUND, STATES, UNSURE, region_labels
from data_fetch.worlds.scenes.vocabulary import COLOUR_NAMES
from lessons_lib.models.updown import RegionEyes, crops
from lessons_lib.training.fit import fit
from lessons_lib.training.steps import Batch, StepReport

Progress = Callable[[StepReport], None] | None


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
    images, boxes = pictures.images, pictures.proposals
    cut = torch.cat([crops(images[r], boxes[r, g][:, None]) for r, g in zip(row.split(512), region.split(512))])
    eyes = RegionEyes(BACKGROUND + 1, len(COLOUR_NAMES), len(STATES), width=width, seed=seed).to(images.device)

    def loss(model: RegionEyes, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        parts = [
            F.cross_entropy(logits, batch[name], ignore_index=UNSURE, reduction="sum")
            for logits, name in zip(model(batch["crops"]), ("kind", "colour", "state"))
        ]
        return sum(parts) / len(batch["crops"]), {}

    columns = {name: getattr(labels, name)[row, region] for name in ("kind", "colour", "state")}
    fit(eyes, {"crops": cut, **columns}, epochs=epochs, lr=lr, batch_size=64, seed=seed, loss=loss, progress=progress)
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
    for name, guesses in zip(("kind", "colour", "state"), zip(*found)):
        truth = getattr(labels, name)[row, region]
        known = truth >= 0
        result[name] = float((torch.cat(guesses)[known] == truth[known]).float().mean()) if known.any() else 0.0
    return result
