"""What regions show, for questions about things and places: eyes for rendered scenes, a grid of ImageNet features else."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_fetch.fields import Column
from data_fetch.worlds.scenes import Scenes
from data_fetch.worlds.scenes.places import REGIONS
from data_fetch.worlds.scenes.priors import BACKGROUND, STATES, region_labels
from data_fetch.worlds.scenes.vocabulary import COLOUR_NAMES
from lessons_lib.feedback.hint import pool_over_boxes
from lessons_lib.models import imagenet
from lessons_lib.models.updown import PLACE, RegionEyes
from lessons_lib.training.hint_regions import fit_eyes
from lessons_lib.training.steps import StepReport

Progress = Callable[[StepReport], None] | None
GROUNDS = ("water", "sand", "snow", "bed", "sky", "grass", "road", "trees", "buildings", "mountains")
SHOWS = 0.15  # share of a region that a ground fills where it is seen there
GRID = 4  # cells a side of the grid over photographs


class SceneEyes(RegionEyes):
    """`RegionEyes` that learn as well which of `GROUNDS` a region shows: a place is in no box of a thing."""

    def __init__(self, *, width: int = 16, seed: int = 0) -> None:
        super().__init__(BACKGROUND + 1, len(COLOUR_NAMES), len(STATES), width=width, seed=seed)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed + 1)
            self.heads.append(nn.Linear(4 * width, len(GROUNDS)))


def ground_shares(pictures: Scenes) -> Tensor:
    """(N, R, G): the share of each proposal that each of `GROUNDS` fills.

    Raises
    ------
    ValueError : a set without proposals.
    """
    if pictures.proposals is None:
        raise ValueError("the set has no proposals: make them with with_proposals()")
    place, size = pictures.owner == 0, (pictures.size, pictures.size)
    seen = [(place & (pictures.region == REGIONS.index(name))).float() for name in GROUNDS]
    return torch.stack([pool_over_boxes(one, pictures.proposals.to(one), size) for one in seen], -1)


def train_scene_eyes(
    pictures: Scenes, *, epochs: int = 3, width: int = 16, seed: int, lr: float = 5e-3, progress: Progress = None
) -> SceneEyes:
    """Eyes that learned kind, colour, state and ground from the proposals of training pictures, and learn no more.

    Of regions that show no thing as many are taken as show one.

    Raises
    ------
    ValueError : pictures without proposals, or with none that shows a thing.
    """
    labels, grounds = region_labels(pictures), (ground_shares(pictures) > SHOWS).float()
    shown, empty = (torch.nonzero(mask) for mask in (labels.slot >= 0, labels.slot < 0))
    if not len(shown):
        raise ValueError("no proposal shows a thing: there is nothing to learn")
    order = torch.randperm(len(empty), generator=torch.Generator().manual_seed(seed))[: len(shown)]
    row, region = torch.cat([shown, empty[order]]).unbind(1)
    eyes = SceneEyes(width=width, seed=seed).to(pictures.images.device)
    shares = grounds[row.to(grounds.device), region.to(grounds.device)]
    return fit_eyes(
        eyes, pictures, labels, row, region, grounds=shares, epochs=epochs, lr=lr, seed=seed, progress=progress
    )


@torch.no_grad()
def grid_features(
    images: Column, *, name: str = "resnet18", weights: str | None = "imagenet", batch: int = 64, device="cpu"
) -> Tensor:
    """(N, GRID * GRID, D + PLACE) of photographs (N, 3, S, S): the last convolution of a network trained on ImageNet.

    weights : of `imagenet.load`; None: initial ones, for trying out.  The last numbers say where a cell lies.
    """
    model = imagenet.load(name, weights=weights, device=device)
    found: list[Tensor] = []
    handle = model.get_submodule(model.explain_layer).register_forward_hook(lambda *call: found.append(call[2]))
    try:
        for first in range(0, len(images), batch):
            model(images[list(range(first, min(first + batch, len(images))))].to(device))
    finally:
        handle.remove()
    cells = torch.cat([F.adaptive_avg_pool2d(one, GRID).flatten(2).mT for one in found])
    edge = torch.arange(GRID, device=cells.device) / GRID
    y, x = torch.meshgrid(edge, edge, indexing="ij")
    place = torch.stack([x, y, x + 1 / GRID, y + 1 / GRID, torch.full_like(x, 1 / GRID**2)], -1).view(-1, PLACE)
    return torch.cat([cells, place.expand(len(cells), -1, -1)], -1)
