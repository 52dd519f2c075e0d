"""Weakly supervised segmentation: what the map holds for the object teaches a network that names pixels.

The paper hands its maps to SEC (Kolesnikov and Lampert 2016) with background from a saliency network. Here the seeds alone
teach a small network, and background is where the map is lowest.
"""

from __future__ import annotations

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lessons_lib.explain.maps import to_unit, upsample
from lessons_lib.models.small import SmallCNN
from lessons_lib.training.fit import fit
from lessons_lib.training.steps import Batch

VOID = 255


class Segmenter(nn.Module):
    """Logits (B, 1 + classes, H, W), 0 for background, from the features of a `SmallCNN` and a 1 x 1 convolution."""

    def __init__(self, classifier: SmallCNN, *, seed: int = 0) -> None:
        super().__init__()
        self.features = deepcopy(classifier.features)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.score = nn.Conv2d(classifier.head.in_features, 1 + classifier.classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        return upsample(self.score(self.features((images - 0.5) / 0.25)), tuple(images.shape[-2:]))


def seeds_of(maps: Tensor, labels: Tensor, *, share: float = 0.2, background: float = 0.05) -> Tensor:
    """(N, H, W) int64 from maps (N, H, W) of the labels (N,): label + 1 above `share` of a map's maximum (the paper's
    20 %), 0 below `background` of it, 255 in between.

    Raises
    ------
    ValueError : shapes that do not fit; shares out of order.
    """
    if maps.ndim != 3 or labels.shape != maps.shape[:1]:
        raise ValueError(f"maps must be (N, H, W) and labels (N,), got {tuple(maps.shape)} and {tuple(labels.shape)}")
    if not 0 <= background <= share <= 1:
        raise ValueError(f"0 <= background <= share <= 1 is needed, got {background} and {share}")
    unit = to_unit(maps)
    seeds = torch.full(maps.shape, VOID, dtype=torch.int64, device=maps.device)
    seeds[unit <= background] = 0
    strong = (unit > share) & (unit > 0)
    return torch.where(strong, (labels + 1)[:, None, None], seeds)


def fit_segmenter(
    classifier: SmallCNN, images: Tensor, seeds: Tensor, *, epochs: int = 2, lr: float = 5e-3, seed: int
) -> Segmenter:
    """A network that learned the seeds (N, H, W) of the images; both kinds of pixel, things and background, count alike.

    classifier : whose features it starts from.
    """
    model = Segmenter(classifier, seed=seed)

    def loss(model: nn.Module, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        theirs = batch["seeds"]
        each = F.cross_entropy(model(batch["images"]), theirs, ignore_index=VOID, reduction="none")
        things, ground = (theirs != VOID) & (theirs > 0), theirs == 0
        parts = [(each * kind).sum() / kind.sum().clamp(min=1) for kind in (things, ground)]
        return (parts[0] + parts[1]) / 2, {}

    fit(model, {"images": images, "seeds": seeds}, epochs=epochs, lr=lr, batch_size=32, seed=seed, loss=loss)
    return model


@torch.no_grad()
def segment(model: Segmenter, images: Tensor, batch: int = 100) -> Tensor:
    """(N, H, W): the class of every pixel, 0 for background, k + 1 for class k."""
    return torch.cat([model(part).argmax(1) for part in images.split(batch)])
