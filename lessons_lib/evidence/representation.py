"""How good are features that nobody trained for a task? Linear probe, nearest neighbours, BG-Gap.

All take features of a frozen encoder, computed once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lessons_lib.evidence.segmentation import mean_iou


@dataclass(frozen=True)
class LinearProbe:
    """A linear classifier over standardised features: `probe(features (..., D))` -> scores (..., classes)."""

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        return ((features - self.mean) / self.scale) @ self.weight + self.bias

    def accuracy(self, features: Tensor, labels: Tensor) -> float:
        """The share of rows (N, D) whose highest score is their label's (N,)."""
        return float((self(features).argmax(-1) == labels).float().mean())


def linear_probe(
    features: Tensor, labels: Tensor, classes: int, *, decay: float = 1e-3, steps: int = 100
) -> LinearProbe:
    """Multinomial logistic regression with a penalty of `decay` times the squared weights, by L-BFGS from zero.

    The problem is convex, so that neither a seed nor a learning rate decides the outcome.

    Raises
    ------
    ValueError : shapes that do not fit, a label out of range, a negative decay.
    """
    if features.ndim != 2 or labels.shape != features.shape[:1] or not len(features):
        raise ValueError(
            f"features must be (N, D) and labels (N,), got {tuple(features.shape)} and {tuple(labels.shape)}"
        )
    if not 0 <= int(labels.min()) <= int(labels.max()) < classes or decay < 0:
        raise ValueError(
            f"labels must be within 0 to {classes - 1} and decay at least 0, got {labels.unique().tolist()}"
        )
    features = features.detach().float()
    mean, scale = features.mean(0), features.std(0).clamp(min=1e-6)
    given = (features - mean) / scale
    weight = torch.zeros(features.shape[1], classes, device=features.device, requires_grad=True)
    bias = torch.zeros(classes, device=features.device, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=steps, history_size=20, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(given @ weight + bias, labels) + decay * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimiser.step(objective)
    return LinearProbe(mean, scale, weight.detach(), bias.detach())


def knn_accuracy(
    features: Tensor, labels: Tensor, test: Tensor, true: Tensor, *, neighbours: int = 20, temperature: float = 0.1
) -> float:
    """Accuracy of the vote of the nearest training rows by cosine, weighted by exp(cosine / temperature).

    Wu, Xiong, Yu, Lin, arXiv 1805.01978, section 3.4. features (N, D), labels (N,), test (M, D), true (M,). Features are
    centred on the training mean first: those after a ReLU all point one way.

    Raises
    ------
    ValueError : shapes that do not fit; more neighbours than rows, or none.
    """
    shapes = features.ndim == test.ndim == 2 and features.shape[1] == test.shape[1]
    if not shapes or labels.shape != features.shape[:1] or true.shape != test.shape[:1]:
        raise ValueError("features (N, D) and test (M, D) need labels (N,) and (M,)")
    if not 1 <= neighbours <= len(features):
        raise ValueError(f"neighbours must be within 1 to {len(features)}, got {neighbours}")
    middle = features.mean(0)
    known, asked = F.normalize(features - middle, dim=1), F.normalize(test - middle, dim=1)
    near, rows = (asked @ known.t()).topk(neighbours, 1)
    votes = torch.zeros(len(test), int(labels.max()) + 1, device=features.device)
    votes.scatter_add_(1, labels[rows], (near / temperature).exp())
    return float((votes.argmax(1) == true).float().mean())


def bg_gap(accuracies: Mapping[str, float]) -> float:
    """BG-Gap: accuracy on mixed_same less that on mixed_rand (Xiao et al., arXiv 2006.09994); 0: the background says nothing.

    A model that knows nothing has no gap either: read it next to the accuracies.
    """
    missing = {"mixed_same", "mixed_rand"} - set(accuracies)
    if missing:
        raise ValueError(f"the gap needs the accuracies on mixed_same and mixed_rand, missing: {sorted(missing)}")
    return float(accuracies["mixed_same"]) - float(accuracies["mixed_rand"])


def segment_features(
    features: Tensor, test: Tensor, truth: Tensor, true: Tensor, classes: int, *, rows: int = 20_000
) -> float:
    """Mean IoU of a linear head that learned the class of each position from frozen features.

    features (N, D, h, w) with truth (N, H, W), numbers below `classes`, 0 for the background; test (M, D, h, w) with
    true (M, H, W). A position's label is that of the pixel in the middle of its cell; at most `rows` positions are used,
    half of them background. Scores are brought to the pictures' size bilinearly.

    Raises
    ------
    ValueError : shapes that do not fit.
    """
    if features.ndim != 4 or truth.shape[0] != len(features) or true.shape[0] != len(test) or test.ndim != 4:
        raise ValueError("features (N, D, h, w) need truth (N, H, W), and test (M, D, h, w) needs true (M, H, W)")
    small = F.interpolate(truth[:, None].float(), size=features.shape[2:], mode="nearest-exact")[:, 0].long().flatten()
    flat = features.permute(0, 2, 3, 1).flatten(0, 2)
    generator = torch.Generator().manual_seed(0)
    kept = []
    for part in (small == 0, small > 0):
        places = part.nonzero()[:, 0]
        kept.append(places[torch.randperm(len(places), generator=generator)[: rows // 2].to(places.device)])
    head = linear_probe(flat[torch.cat(kept)], small[torch.cat(kept)], classes)
    scores = head(test.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    found = F.interpolate(scores, size=true.shape[1:], mode="bilinear", align_corners=False).argmax(1)
    return float(mean_iou(found, true.long(), classes).nanmean())
