"""Lesson 10 in pictures: where several arms look for one class, and attended features of two domains in a plane."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from data_fetch.worlds.scenes.domains import Domain
from lessons_lib.evidence.domains import Shown
from lessons_lib.evidence.localisation import mask_iou
from lessons_lib.show.figures import show
from lessons_lib.show.picture import FAINT, INK, OKABE_ITO, Picture, place_axes, write

METHODS = ("pca", "tsne")


def show_arms(found: Mapping[str, Shown], data: Domain, row: int, *, cut: float = 0.5) -> Picture:
    """The maps of one class shown, row `row` of every `Shown` of `data`, one an arm; the class's things are outlined.

    Under each map stands its IoU with the things where it is cut at `cut` of its maximum.

    Raises
    ------
    ValueError : no arm, a row that is not there, arms that were shown other pictures.
    """
    if not found:
        raise ValueError("show_arms needs at least one arm")
    first = next(iter(found.values()))
    if not 0 <= row < len(first.classes):
        raise ValueError(f"row must be within 0 to {len(first.classes) - 1}, got {row}")
    number, label = int(first.pictures[row]), int(first.classes[row])
    if any((int(each.pictures[row]), int(each.classes[row])) != (number, label) for each in found.values()):
        raise ValueError("the arms were shown other pictures or other classes")
    maps = {arm: each.maps[row] for arm, each in found.items()}
    scores = {
        arm: f"IoU {float(mask_iou(each.maps[row : row + 1], each.masks[row : row + 1], cut)[0]):.2f}"
        for arm, each in found.items()
    }
    title = f"where is the {data.class_names[label]}?"
    return show(data.images[number], maps, scores=scores, masks=first.masks[row], image_title=title, columns=5)


def in_plane(features: Tensor, method: str = "tsne", seed: int = 0) -> np.ndarray:
    """(P, 2) of features (P, K): the first two principal components, or t-SNE of the first 20.

    t-SNE keeps neighbours together; distances between far groups and the size of a group mean nothing.

    Raises
    ------
    ValueError : an unknown method, fewer than 10 features.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if features.ndim != 2 or len(features) < 10:
        raise ValueError(f"features must be (P, K) with P >= 10, got {tuple(features.shape)}")
    values = features.detach().double().cpu()
    values = values - values.mean(0)
    _, _, axes = torch.linalg.svd(values, full_matrices=False)
    axes = axes * torch.sign(
        axes.gather(1, axes.abs().argmax(1, keepdim=True))
    )  # a sign that does not depend on the machine
    if method == "pca":
        return (values @ axes[:2].T).numpy()
    from sklearn.manifold import TSNE

    start = (values @ axes[:20].T).numpy()
    perplexity = min(30.0, (len(start) - 1) / 3)
    return TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(start)


def feature_map(
    arms: Mapping[str, tuple[Tensor, Tensor, Tensor]],
    class_names: tuple[str, ...],
    *,
    method: str = "tsne",
    width: float = 8.0,
) -> Picture:
    """One panel an arm: attended features as points, the domain as colour and marker, each class named at its median.

    arms : name -> (features (P, K), classes (P,), source (P,) bool).

    Raises
    ------
    ValueError : as `in_plane`; no arm.
    """
    if not arms:
        raise ValueError("feature_map needs at least one arm")
    side, top = width / len(arms), 0.62
    figure = Picture(width, side + top)
    for place, (arm, (features, classes, source)) in enumerate(arms.items()):
        points = in_plane(features, method)
        axes = place_axes(figure, place * side + 0.06, top, side - 0.12, side - 0.08)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_color(FAINT)
        for domain, colour, marker in ((True, OKABE_ITO[0], "o"), (False, OKABE_ITO[1], "^")):
            here = (source == domain).cpu().numpy()
            axes.scatter(*points[here].T, s=11, c=colour, marker=marker, alpha=0.55, linewidths=0)
            for number in classes.unique().tolist():
                mine = here & (classes == number).cpu().numpy()
                if mine.any():
                    x, y = np.median(points[mine], 0)
                    box = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": colour, "alpha": 0.85}
                    axes.text(x, y, class_names[number], fontsize=7.5, ha="center", va="center", color=INK, bbox=box)
        write(figure, place * side + 0.08, top - 0.1, arm, 10, va="bottom")
    for x, colour, marker, text in ((0.2, OKABE_ITO[0], "o", "source"), (1.3, OKABE_ITO[1], "^", "target")):
        key = place_axes(figure, x - 0.1, 0.04, 0.2, 0.2)
        key.scatter([0], [0], s=26, c=colour, marker=marker)
        key.axis("off")
        write(figure, x + 0.14, 0.14, text, 9, va="center")
    shares = ", ".join(f"{arm}: {_mixed(*given):.0%}" for arm, given in arms.items())
    figure.alt = (
        f"Attended features of source and target in a plane ({'t-SNE' if method == 'tsne' else 'principal components'}), a "
        f"panel an arm. Share of the points whose nearest neighbour is of the other domain: {shares}."
    )
    return figure


def _mixed(features: Tensor, classes: Tensor, source: Tensor) -> float:
    """Share of the points whose nearest neighbour, in all dimensions, is of the other domain."""
    far = torch.cdist(features.detach().double(), features.detach().double())
    far.fill_diagonal_(float("inf"))
    return float((source[far.argmin(1)] != source).float().mean())
