"""A network that names what is in a picture, learned from names alone: what captioner and answerer see with.

Every position of the last features scores every name; a name's score for the picture is a smooth maximum over
positions (log-sum-exp pooling, Pinheiro and Collobert, arXiv 1411.6228), so that a small thing is not averaged away.
Fang et al. (arXiv 1411.4952) trained the eyes of their captioner in this way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lessons_lib.models.small import SmallCNN

GRID = 3  # cells a side of the summary that goes to the language models


class Namer(nn.Module):
    """The convolutions of `SmallCNN`, and one score a name at each position.

    Parameters
    ----------
    names : what may be in a picture ("dog", "red car", "beach"), one score each.
    width : channels of the first convolution.
    seed : decides the initial weights; the global random state is left alone.

    Attributes
    ----------
    explain_layer : the last features, a quarter of the picture's side (12 x 12 at 48 pixels).
    """

    explain_layer = "concepts"

    def __init__(self, names: Sequence[str], *, width: int = 16, seed: int = 0) -> None:
        super().__init__()
        if len(set(names)) != len(names) or not names:
            raise ValueError(f"names must be different, at least one, got {list(names)[:5]}")
        self.names, self.width = tuple(names), width
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.features = SmallCNN(2, width=width, seed=seed).features
            self.score = nn.Conv2d(4 * width, len(names), 1)
            self.concepts = nn.ReLU()
            nn.init.constant_(self.score.bias, -3.0)  # most names are absent from most pictures

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, N) of the names, each for itself, of images (B, 3, H, W) in [0, 1]; H and W at least 12."""
        scores = self.score(self.features((images - 0.5) / 0.25)).flatten(2)
        return scores.logsumexp(2) - math.log(scores.shape[2])

    def summary(self, images: Tensor) -> Tensor:
        """How far each name stands out in each cell of a 3 x 3 division of the picture, (B, N, 9), >= 0.

        Per position it is 0 for what is clearly absent (a score below -3) and grows by 1 each 4 logits; a cell has its
        largest value.
        """
        scores = self.score(self.features((images - 0.5) / 0.25))
        return F.adaptive_max_pool2d(self.concepts((scores + 3) / 4), GRID).flatten(2)
