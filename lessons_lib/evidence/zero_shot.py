"""Generalised zero-shot learning in figures: seen and unseen classes compete, and both must be recognised.

References
----------
Xian, Lampert, Schiele, Akata, "Zero-Shot Learning: A Comprehensive Evaluation of the Good, the Bad and the Ugly",
arXiv 1707.00600: per-class accuracy, the harmonic mean.
Chao, Changpinyo, Gong, Sha, "An Empirical Study and Analysis of Generalized Zero-Shot Learning for Object Recognition
in the Wild", arXiv 1605.04253: calibrated stacking and the area under the seen-unseen curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


def per_class_accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Accuracy (in [0, 1]) of each class that occurs in `labels` (N,), averaged over these classes.

    Raises
    ------
    ValueError : no labels, or shapes that differ.
    """
    if labels.ndim != 1 or predicted.shape != labels.shape or not len(labels):
        raise ValueError(
            f"predicted and labels must be (N,), N > 0, got {tuple(predicted.shape)}, {tuple(labels.shape)}"
        )
    right = (predicted == labels).double()
    classes, place = labels.unique(return_inverse=True)
    zeros = right.new_zeros(len(classes))
    return float((zeros.index_add(0, place, right) / torch.bincount(place, minlength=len(classes))).mean())


def harmonic_mean(seen: float, unseen: float) -> float:
    """2 S U / (S + U) of two accuracies; 0 where either is 0.

    Raises
    ------
    ValueError : a number outside [0, 1].
    """
    if not (0 <= seen <= 1 and 0 <= unseen <= 1):
        raise ValueError(f"accuracies must lie in [0, 1], got {seen} and {unseen}")
    return 2 * seen * unseen / (seen + unseen) if seen and unseen else 0.0


@dataclass(frozen=True)
class Stacking:
    """How seen and unseen accuracy trade when gamma is taken off every seen class's score.

    gamma (P,) ascending; seen, unseen (P,) per-class accuracies with each gamma: seen falls, unseen rises.
    """

    gamma: Tensor
    seen: Tensor
    unseen: Tensor

    @property
    def area(self) -> float:
        """Area under unseen over seen accuracy, in [0, 1]: no gamma has to be chosen for it."""
        return float(torch.trapezoid(self.unseen.flip(0), self.seen.flip(0)))

    @property
    def best(self) -> tuple[float, float, float, float]:
        """(gamma, seen, unseen, harmonic mean) of the largest harmonic mean. On test images this is an upper bound."""
        each = [harmonic_mean(s, u) for s, u in zip(self.seen.tolist(), self.unseen.tolist())]
        n = max(range(len(each)), key=each.__getitem__)
        return float(self.gamma[n]), float(self.seen[n]), float(self.unseen[n]), each[n]

    def at(self, gamma: float) -> tuple[float, float, float]:
        """(seen, unseen, harmonic mean) with one gamma."""
        n = max(
            0, int(torch.searchsorted(self.gamma, torch.tensor(float(gamma), dtype=self.gamma.dtype), right=True)) - 1
        )
        seen, unseen = float(self.seen[n]), float(self.unseen[n])
        return seen, unseen, harmonic_mean(seen, unseen)


def stacking_curve(scores: Tensor, labels: Tensor, seen: Tensor) -> Stacking:
    """Calibrated stacking for every gamma at which anything changes, from scores (N, C) of images of all C classes.

    seen (C,) bool. An image is given to a seen class while the best seen score less gamma is above the best unseen
    one, so each image changes sides at one gamma: the curve is exact. Its first point lies below the smallest of them.

    Raises
    ------
    ValueError : shapes that do not fit; no images of seen, or of unseen, classes.
    """
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or seen.shape != scores.shape[1:]:
        raise ValueError(
            f"scores must be (N, C), labels (N,) and seen (C,), got {tuple(scores.shape)}, {tuple(labels.shape)} and "
            f"{tuple(seen.shape)}"
        )
    of_seen = seen[labels]
    if not of_seen.any() or of_seen.all():
        raise ValueError("images of seen and of unseen classes are needed")
    inside = torch.where(seen, scores, -torch.inf).max(1)
    outside = torch.where(seen, -torch.inf, scores).max(1)
    margin = (inside.values - outside.values).double()
    every = torch.cat([margin.min()[None] - 1, margin.unique()])
    right_seen, right_unseen = inside.indices == labels, outside.indices == labels
    share = 1 / torch.bincount(labels, minlength=scores.shape[1])[labels].double()  # of its class
    lost = torch.searchsorted(every, margin)  # the number of the first gamma with which an image is given to unseen
    steps = {}
    for name, which in (("seen", of_seen & right_seen), ("unseen", ~of_seen & right_unseen)):
        classes = int(labels[of_seen if name == "seen" else ~of_seen].unique().numel())
        gained = torch.zeros_like(every).index_add(0, lost[which], share[which]).cumsum(0) / classes
        steps[name] = (gained[-1] - gained if name == "seen" else gained).clamp(0, 1)
    return Stacking(every, steps["seen"], steps["unseen"])


def zero_shot_accuracy(scores: Tensor, labels: Tensor, seen: Tensor) -> dict[str, float]:
    """Seen, unseen and harmonic accuracy by the best of all scores (N, C); "among_unseen": unseen images when only unseen
    classes may be chosen (zero-shot learning as it was before it was generalised).

    Raises
    ------
    ValueError : as `stacking_curve`.
    """
    curve = stacking_curve(scores, labels, seen)
    best, mine = scores.argmax(1), seen[labels]
    s, u = per_class_accuracy(best[mine], labels[mine]), per_class_accuracy(best[~mine], labels[~mine])
    among = torch.where(seen, -torch.inf, scores).argmax(1)
    return {
        "seen_accuracy": s,
        "unseen_accuracy": u,
        "harmonic_mean": harmonic_mean(s, u),
        "among_unseen": per_class_accuracy(among[~mine], labels[~mine]),
        "area": curve.area,
    }


def top_precision(scores: Tensor, true: Tensor, count: int = 5) -> Tensor:
    """(N,): the share of each row's `count` best-scored attributes that are true; scores (N, A), true (N, A) bool.

    Raises
    ------
    ValueError : shapes that differ, or `count` outside 1 to A.
    """
    if scores.ndim != 2 or true.shape != scores.shape:
        raise ValueError(f"scores and true must both be (N, A), got {tuple(scores.shape)} and {tuple(true.shape)}")
    if not 1 <= count <= scores.shape[1]:
        raise ValueError(f"count must be 1 to {scores.shape[1]}, got {count}")
    return true.gather(1, scores.topk(count, dim=1).indices).float().mean(1)


def naming(importances: Tensor, labels: Tensor, described: Tensor) -> Tensor:
    """(K, A) in [-1, 1]: the cosine, over seen classes, of a neuron's importance and an attribute, both less their means.

    Each neuron is asked alone. (A one-hot importance could be put through the inverse map instead; where a neuron serves many
    attributes at once, such a vector is unlike any that the map has met.) importances (N, K) count by their direction;
    labels (N,) number the rows of described (S, A).

    Raises
    ------
    ValueError : sizes that do not fit, or fewer than three classes.
    """
    if len(importances) != len(labels) or int(labels.max()) >= len(described) or len(described) < 3:
        raise ValueError(
            f"importances (N, K), labels (N,) and described (S, A), S > 2, are needed; got {tuple(importances.shape)}, "
            f"{tuple(labels.shape)} and {tuple(described.shape)}"
        )
    total = importances.new_zeros(len(described), importances.shape[1])
    total.index_add_(0, labels, F.normalize(importances, dim=1))
    found = labels.unique()
    mean, known = (
        (total / torch.bincount(labels, minlength=len(described)).clamp(min=1)[:, None])[found],
        described[found],
    )
    return F.normalize(mean - mean.mean(0), dim=0).T @ F.normalize(known - known.mean(0), dim=0)


def neuron_focus(
    activations: Tensor, names: Tensor, attributes: Tensor, part_masks: Tensor, shown_by: Tensor
) -> dict[str, float]:
    """Do neurons do what they are called after?

    Parameters
    ----------
    activations (N, K, h, w).  names (K,) int64 : the number of the attribute that each neuron is called after.
    attributes (N, A) bool : what each picture's bird has.  part_masks (N, P, H, W) bool : where its parts are.
    shown_by (A,) int64 : the part that shows each attribute; -1 for none.

    Returns
    -------
    pointing : the neuron's largest activation, upsampled, lies on the part that its name speaks of, in pictures of birds
        that have the attribute and show the part; the mean over neurons named after a part that occurs.
    pointing_chance : the part's share of the picture, averaged alike.
    pointing_others : the same for the largest activations of all neurons, in the same pictures and on the same parts.
    response : how often the neuron's mean activation is higher in a bird that has its attribute than in one that has not,
        ties half; 0.5 for a name by lot.

    Raises
    ------
    ValueError : shapes that do not fit; no neuron whose name occurs.
    """
    images, neurons = activations.shape[:2]
    if names.shape != (neurons,) or len(attributes) != images or part_masks.ndim != 4 or len(part_masks) != images:
        raise ValueError(
            f"names (K,), attributes (N, A) and part_masks (N, P, H, W) are needed for activations "
            f"{tuple(activations.shape)}, got {tuple(names.shape)}, {tuple(attributes.shape)}, {tuple(part_masks.shape)}"
        )
    top = F.interpolate(activations, size=part_masks.shape[-2:], mode="bilinear").flatten(2).argmax(2)
    parts = part_masks.flatten(2).float()
    hits = parts.gather(2, top[:, None].expand(-1, parts.shape[1], -1))  # (N, P, K)
    area, mean, places, responses = parts.mean(2), activations.mean((2, 3)), [], []
    for neuron, attribute in enumerate(names.tolist()):
        has, part = attributes[:, attribute], int(shown_by[attribute])
        if has.any() and not has.all():
            gap = mean[has, neuron][:, None] - mean[~has, neuron]
            responses.append(float(((gap > 0).float() + 0.5 * (gap == 0).float()).mean()))
        used = has & (area[:, part] > 0)
        if part >= 0 and used.any():
            places.append([float(v[used].mean()) for v in (hits[:, part, neuron], area[:, part], hits[:, part])])
    if not places or not responses:
        raise ValueError("no neuron is called after an attribute that occurs and is seen on a part")
    pointing, chance, others = (sum(column) / len(places) for column in zip(*places))
    return {
        "pointing": pointing,
        "pointing_chance": chance,
        "pointing_others": others,
        "response": sum(responses) / len(responses),
    }
