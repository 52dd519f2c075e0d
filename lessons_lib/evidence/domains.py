"""Measures across domains: mean average precision, localisation of every class shown, can features tell the domain?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from sklearn.metrics import average_precision_score
from torch import Tensor, nn

from data_fetch.worlds.scenes.domains import Domain
from lessons_lib.evidence.localisation import energy_pointing, mask_iou, pointing_game
from lessons_lib.explain.gradcam import grad_cam
from lessons_lib.explain.layers import find_layer, watch
from lessons_lib.explain.maps import upsample
from lessons_lib.feedback.attnbn import attended_features

SHARES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)  # of the maximum, where maps are cut


@dataclass(frozen=True)
class Shown:
    """Every class that a picture shows, one row each, P in all, and the logits of the N pictures.

    maps (P, S, S) : its Grad-CAM map at the pictures' size.  masks (P, S, S) bool.  classes, pictures (P,) int64.
    features (P, K) : the activations averaged under the map.  logits (N, C).  labels (N, C) bool.
    """

    maps: Tensor
    masks: Tensor
    classes: Tensor
    pictures: Tensor
    features: Tensor
    logits: Tensor
    labels: Tensor


def shown_classes(network: nn.Module, data: Domain, layer: str, *, batch: int = 100) -> Shown:
    """Maps, masks and attended features of every class that a picture of `data` shows; the network in eval mode."""
    device, found = next(network.parameters()).device, []
    for start in range(0, len(data), batch):
        part = data[slice(start, start + batch)]
        images, masks = part.images[:].to(device), part.segmentation[:].to(device)
        rows, classes = torch.nonzero(part.labels.to(device), as_tuple=True)
        every = torch.arange(part.labels.shape[1], device=device).expand(len(part), -1)
        with watch(find_layer(network, layer), tuple(images.shape[-2:])) as seen:
            maps, logits = grad_cam(network, images, every, layer, return_output=True)
        with torch.no_grad():
            features = attended_features(seen.output.detach(), maps)[rows, classes]
            large = upsample(maps[rows, classes], tuple(images.shape[-2:]))
        mask = masks[rows] == (classes + 1)[:, None, None].to(torch.uint8)
        found.append((large, mask, classes, rows + start, features, logits))
    return Shown(*map(torch.cat, zip(*found)), data.labels.to(device))


def transfer_scores(shown: Shown) -> dict[str, float]:
    """How well the classes shown are recognised and found, each a mean over classes, in [0, 1].

    map : multi-label mean average precision.  miou : the largest value of `iou_curve`, at the share `cut` of the maximum.
    pointing : the map's maximum lies on the class's thing.  energy : the share of the map that does.
    """
    curve = iou_curve(shown.maps, shown.masks, shown.classes)
    best = int(curve.argmax())
    return {
        "map": mean_average_precision(shown.logits, shown.labels),
        "miou": float(curve[best]),
        "cut": SHARES[best],
        "pointing": float(class_means(pointing_game(shown.maps, shown.masks).float(), shown.classes).mean()),
        "energy": float(class_means(energy_pointing(shown.maps, shown.masks), shown.classes).mean()),
    }


def average_precision(scores: Tensor, truth: Tensor) -> Tensor:
    """(C,): of scores (N, C) and truth (N, C) bool, the mean of the precision at every true item; NaN where there is none.

    By scikit-learn: items of equal score count as one step, so that their order does not matter.

    Raises
    ------
    ValueError : shapes that do not fit, truth that is not bool, a score that is NaN.
    """
    if scores.ndim != 2 or scores.shape != truth.shape or truth.dtype != torch.bool:
        raise ValueError(
            f"scores (N, C) and truth (N, C) bool are needed, got {tuple(scores.shape)} and {truth.dtype} "
            f"{tuple(truth.shape)}"
        )
    if bool(scores.isnan().any()):
        raise ValueError("a score is NaN; a model that failed has no precision")
    shown = truth.any(0)
    found = torch.full((scores.shape[1],), torch.nan, dtype=torch.float64)
    for column in torch.nonzero(shown)[:, 0].tolist():
        both = (values[:, column].detach().cpu().numpy() for values in (truth, scores.double()))
        found[column] = average_precision_score(*both)
    return found.to(scores.device)


def mean_average_precision(scores: Tensor, truth: Tensor) -> float:
    """mAP in [0, 1]: the mean of `average_precision` over the classes that are shown at least once.

    Raises
    ------
    ValueError : as `average_precision`, and where no class is shown.
    """
    each = average_precision(scores, truth)
    shown = truth.any(0)
    if not bool(shown.any()):
        raise ValueError("truth shows no class at all")
    return float(each[shown].mean())


def class_means(values: Tensor, classes: Tensor) -> Tensor:
    """(C',): the mean of values (P,) over each class that is among classes (P,), in order.

    Raises
    ------
    ValueError : different lengths, or nothing at all.
    """
    if values.shape != classes.shape or values.ndim != 1 or not len(values):
        raise ValueError(
            f"values and classes must be (P,), P > 0, got {tuple(values.shape)} and {tuple(classes.shape)}"
        )
    return torch.stack([values[classes == number].mean() for number in classes.unique()])


def iou_curve(maps: Tensor, masks: Tensor, classes: Tensor, shares: Sequence[float] = SHARES) -> Tensor:
    """(len(shares),): mean over classes of the IoU of maps (P, H, W), cut at each share of their maximum, with masks.

    masks (P, H, W) bool; classes (P,) : of each map. The largest value is what the best cut common to all classes gives: it
    does not favour a loss that pushes maps towards 0 and 1.
    """
    return torch.stack([class_means(mask_iou(maps, masks, share).double(), classes).mean() for share in shares])


def domain_accuracy(
    features: Tensor, classes: Tensor, source: Tensor, *, seed: int = 0, steps: int = 300, weight_decay: float = 1e-3
) -> float:
    """How often a fresh linear classifier tells the domain of features (P, K) that it was not fitted on; 0.5 is chance.

    Matched: of each class as many of the source as of the target, so that the class itself tells nothing. Half of each is for
    fitting (logistic regression on standardised features), half for judging; then the halves change places, and the mean is
    returned. source (P,) bool.

    Raises
    ------
    ValueError : shapes that do not fit; no class with at least two of each domain.
    """
    if features.ndim != 2 or not len(features) == len(classes) == len(source) or source.dtype != torch.bool:
        raise ValueError(
            f"features (P, K), classes (P,) and source (P,) bool are needed, got {tuple(features.shape)}, "
            f"{tuple(classes.shape)} and {source.dtype} {tuple(source.shape)}"
        )
    generator, halves = torch.Generator().manual_seed(seed), ([], [])
    for number in classes.unique().tolist():
        both = [torch.nonzero((classes == number) & side)[:, 0].cpu() for side in (source, ~source)]
        few = min(map(len, both)) // 2
        for rows in both:
            order = rows[torch.randperm(len(rows), generator=generator)]
            halves[0].append(order[:few])
            halves[1].append(order[few : 2 * few])
    first, second = (torch.cat(rows) for rows in halves)
    if not len(first):
        raise ValueError("no class has two items of each domain: there is nothing to match")
    found = []
    for fitted, judged in ((first, second), (second, first)):
        weights = _logistic(features[fitted], source[fitted], steps, weight_decay)
        found.append(((weights(features[judged]) > 0) == source[judged]).float().mean())
    return float(sum(found)) / 2


def _logistic(features: Tensor, truth: Tensor, steps: int, weight_decay: float) -> Callable[[Tensor], Tensor]:
    """Logistic regression by L-BFGS; a function from features to logits."""
    features = features.detach().double()
    mean, spread = features.mean(0), features.std(0).clamp(min=1e-6)
    given, truth = (features - mean) / spread, truth.double()
    weights = torch.zeros(features.shape[1] + 1, dtype=torch.float64, device=features.device, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        logits = given @ weights[:-1] + weights[-1]
        loss = F.binary_cross_entropy_with_logits(logits, truth)
        loss = loss + weight_decay * weights[:-1].square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    found = weights.detach()
    return lambda new: ((new.detach().double() - mean) / spread) @ found[:-1] + found[-1]
