"""Fine-tune a classifier whose own attention map is part of the loss: the arms of lesson 09, from one pretrained start."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from lessons_lib.explain import grad_cam
from lessons_lib.feedback.gain import (
    attention_mining_loss,
    classification_loss,
    erase,
    external_supervision_loss,
    frozen_batchnorm,
    mask_area,
    soft_mask,
)
from lessons_lib.training.fit import fit
from lessons_lib.training.steps import Batch, History, StepReport

Progress = Callable[[StepReport], None] | None
Annotated = tuple[Tensor, Tensor, Tensor]  # images (M, C, H, W), masks (M, H, W) bool, the masks' classes (M,)
PATHS = ("both", "network", "map")
FILL = 0.5  # of erased pixels: `SmallCNN` takes 0.5 off its images, so it is their 0
SIGMA, SLOPE = 0.6, 10.0  # of the soft mask; sigma 0.3 to 0.8 were tried, on one to three of seeds 1000 to 1002


@dataclass(frozen=True)
class Terms:
    """What an arm trains with.

    alpha : weight of the mining loss.  omega : weight of the external supervision.
    path : on which way the mining loss reaches the weights. "both" as in the paper; "network": the map is detached, as in
        several re-implementations; "map": the weights of the second pass are held, so that only another map helps.
    hide : share of the cells of a 4 x 4 grid that each picture loses at random (Hide-and-Seek); 0 hides nothing.
    """

    alpha: float = 0.0
    omega: float = 0.0
    path: str = "both"
    hide: float = 0.0

    def __post_init__(self) -> None:
        if self.path not in PATHS:
            raise ValueError(f"path must be one of {', '.join(PATHS)}, got {self.path!r}")
        if min(self.alpha, self.omega) < 0 or not 0 <= self.hide < 1:
            raise ValueError(f"alpha and omega must be at least 0 and hide at least 0 and below 1, got {self}")


def fine_tune(
    classifier: nn.Module,
    images: Tensor,
    labels: Tensor,
    terms: Terms,
    *,
    annotated: Annotated | None = None,
    epochs: int = 4,
    lr: float = 5e-3,
    batch_size: int = 32,
    external_batch: int = 16,
    fill: Tensor | float = FILL,
    sigma: float = SIGMA,
    slope: float = SLOPE,
    seed: int,
    progress: Progress = None,
) -> tuple[nn.Module, History]:
    """A copy of the classifier that went on learning, and the course of its terms. BatchNorm keeps its statistics.

    Parameters
    ----------
    images (N, C, H, W), labels (N,), or (N, T) with -1 where a picture has fewer: its map is then that of one of them,
        drawn anew each step.
    annotated : the external stream, `external_batch` of them a step; needed where omega is above 0.
    fill : colour of erased pixels, see `erase`.  sigma, slope : of the soft mask.

    Raises
    ------
    ValueError : omega above 0 without annotated images; a model without `explain_layer`; shapes that do not fit.
    """
    if terms.omega and (annotated is None or not len(annotated[0])):
        raise ValueError("omega is above 0, but there are no annotated images for the external supervision")
    if not hasattr(classifier, "explain_layer"):
        raise ValueError("the classifier needs an attribute explain_layer, the name of the layer of its map")
    model, generator = deepcopy(classifier), torch.Generator().manual_seed(seed + 1)

    def drawn() -> Annotated | None:
        if not terms.omega:
            return None
        rows = torch.randint(len(annotated[0]), (external_batch,), generator=generator)
        return tuple(column[rows.to(column.device)] for column in annotated)

    def loss(model: nn.Module, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        seen = hide_cells(batch["images"], terms.hide, generator, fill=fill) if terms.hide else batch["images"]
        theirs = batch["labels"]
        one = theirs if theirs.ndim == 1 else _one_of(theirs, generator)
        with frozen_batchnorm(model):  # erased pictures must not move the statistics
            return objective(model, seen, theirs, one, terms, drawn(), fill=fill, sigma=sigma, slope=slope)

    columns, options = {"images": images, "labels": labels}, {"epochs": epochs, "lr": lr, "batch_size": batch_size}
    history = fit(model, columns, seed=seed, loss=loss, progress=progress, **options)
    return model, history


def objective(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    one: Tensor,
    terms: Terms,
    annotated: Annotated | None,
    *,
    fill: Tensor | float = FILL,
    sigma: float = SIGMA,
    slope: float = SLOPE,
) -> tuple[Tensor, dict[str, float]]:
    """L_cl + alpha L_am + omega L_e of one batch, and its terms with the area that the soft mask hides.

    labels : all that a picture shows, for L_cl.  one (B,) : the label whose map is taken, for L_am.
    """
    layer, values = model.explain_layer, {}
    if terms.alpha:
        maps, logits = grad_cam(model, images, one, layer, create_graph=True, return_output=True)
        hidden = soft_mask(maps, tuple(images.shape[-2:]), sigma=sigma, omega=slope)
        erased = erase(images, hidden.detach() if terms.path == "network" else hidden, fill=fill)
        held = {name: weight.detach() for name, weight in model.named_parameters()} if terms.path == "map" else None
        mining = attention_mining_loss(functional_call(model, held, (erased,)) if held else model(erased), one)
        total = classification_loss(logits, labels) + terms.alpha * mining
        values |= {"mining": float(mining.detach()), "masked area": float(mask_area(hidden).mean())}
    else:
        total = classification_loss(model(images), labels)
    values["classification"] = float(total.detach()) - terms.alpha * values.get("mining", 0.0)
    if terms.omega:
        seen, masks, theirs = annotated
        external = external_supervision_loss(grad_cam(model, seen, theirs, layer, create_graph=True), masks)
        total = total + terms.omega * external
        values["external"] = float(external.detach())
    return total, values


def hide_cells(
    images: Tensor, share: float, generator: torch.Generator, *, cells: int = 4, fill: Tensor | float = FILL
) -> Tensor:
    """Hide-and-Seek: each cell of a grid is filled with probability `share`, anew for each picture (B, C, H, W)."""
    keep = (torch.rand(len(images), 1, cells, cells, generator=generator) >= share).to(images)
    keep = F.interpolate(keep, size=images.shape[-2:], mode="nearest")
    return fill + keep * (images - fill)


def _one_of(labels: Tensor, generator: torch.Generator) -> Tensor:
    """(B,): one of each picture's labels (B, T) at random; -1 would be no class, so each needs one."""
    if bool((labels < 0).all(1).any()):
        raise ValueError("a picture has no label at all: leave it out")
    chance = torch.rand(labels.shape, generator=generator).to(labels.device).masked_fill(labels < 0, -1.0)
    return labels.gather(1, chance.argmax(1, keepdim=True))[:, 0]
