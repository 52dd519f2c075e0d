"""Pre-train an encoder without labels: MoCo, MoCo with constrained crops, and CAST.

Selvaraju, Desai, Johnson, Naik, "CASTing Your Model: Learning to Localize Improves Self-Supervised Representations",
arXiv 2012.04630. A step draws all of its crops and colours from its own number, so that a training that was stopped and
resumed from its checkpoint is the same to the last bit.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lessons_lib.explain import grad_cam
from lessons_lib.feedback.cast import (
    attention_loss,
    cast_loss,
    crop_boxes,
    crop_resize,
    enqueue,
    info_nce,
    mask_background,
    new_queue,
    query_similarity,
)
from lessons_lib.models.moco import Encoder, MoCo
from lessons_lib.training.fit import fit
from lessons_lib.training.steps import Batch, History, StepReport

Progress = Callable[[StepReport], None] | None
FILL = 0.0  # of the masked key's background: black; 0.5, the mean that `Encoder` takes off, was tried on seeds 1000 to 1002


@dataclass(frozen=True)
class Terms:
    """What an arm trains with.

    cover : share of the saliency that each crop holds at least; 0: crops as in MoCo, wherever they fall.
    attention : weight of the attention loss against 1 for the contrast; 0: none.
    size : side of the crops.  scale : their area as a share of the picture, low and high.
    temperature : of the contrast and of the explained score.  jitter : strength of the colour changes.
    """

    cover: float = 0.0
    attention: float = 0.0
    size: int = 32
    scale: tuple[float, float] = (0.2, 1.0)
    temperature: float = 0.15
    jitter: float = 0.4

    def __post_init__(self) -> None:
        if not 0 <= self.cover <= 1 or self.attention < 0 or self.size < 8 or self.temperature <= 0 or self.jitter < 0:
            raise ValueError(
                "cover must lie in [0, 1], attention and jitter be at least 0, temperature above 0 and size at least 8, "
                f"got {self}"
            )


def new_model(*, width: int, dimension: int = 32, length: int = 1024, decay: float = 0.99, seed: int) -> MoCo:
    """A network before its training; the seed decides its weights and the first keys of its queue (length, dimension)."""
    encoder = Encoder(width=width, dimension=dimension, seed=seed)
    return MoCo(encoder, new_queue(length, dimension, torch.Generator().manual_seed(seed)), decay=decay)


def pretrain(
    model: MoCo,
    images: Tensor,
    masks: Tensor,
    terms: Terms,
    *,
    epochs: int = 10,
    lr: float = 3e-3,
    batch_size: int = 64,
    seed: int,
    progress: Progress = None,
    checkpoint: str | os.PathLike | None = None,
    **options: object,
) -> History:
    """Train `model` in place on images (N, 3, S, S) with saliency masks (N, S, S) bool; the course of its terms.

    checkpoint, and options such as `checkpoint_every` : see `fit`.  Encoder, momentum encoder and queue are in it.

    Raises
    ------
    ValueError : masks that do not fit the images.  CheckpointError : one of another training.
    """
    if masks.dtype != torch.bool or masks.shape != (len(images), *images.shape[2:]):
        raise ValueError(f"masks must be bool (N, H, W) of the images, got {masks.dtype} {tuple(masks.shape)}")

    def loss(model: nn.Module, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        return objective(model, batch["images"], batch["masks"], terms, generator)

    loss.__qualname__ = f"cast {terms}"  # a checkpoint belongs to these terms
    settings = {"epochs": epochs, "lr": lr, "batch_size": batch_size, "seed": seed, "loss": loss}
    data = {"images": images, "masks": masks}
    return fit(model, data, progress=progress, checkpoint=checkpoint, schedule="cosine", **settings, **options)


def objective(
    model: MoCo, images: Tensor, masks: Tensor, terms: Terms, generator: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    """The loss of one batch and its terms; the queue and the momentum encoder move on.

    Order of one step: the momentum encoder embeds key crops and masked key crops, the queue is contrasted as it was,
    then `update`, once. In the authors' program the momentum encoder moves before the keys are made.
    """
    (queries, seen), (others, theirs) = (view(images, masks, terms, generator) for _ in range(2))
    keys = model.keys(others)
    if not terms.attention:
        contrast = info_nce(model.encoder(queries), keys, model.queue, temperature=terms.temperature)
        model.update(enqueue(model.queue, keys))
        return contrast, {"contrast": float(contrast.detach())}
    target = query_similarity(model.keys(mask_background(others, theirs, fill=FILL)), temperature=terms.temperature)
    maps, embedded = grad_cam(
        model.encoder, queries, target, model.encoder.explain_layer, create_graph=True, return_output=True
    )
    contrast = info_nce(embedded, keys, model.queue, temperature=terms.temperature)
    total, values = cast_loss(contrast, attention_loss(maps, seen), alpha=terms.attention)
    model.update(enqueue(model.queue, keys))
    return total, values


def view(images: Tensor, masks: Tensor, terms: Terms, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(crops (B, 3, size, size) with other colours, their masks (B, size, size)) of images and masks."""
    boxes = (
        crop_boxes(masks, generator, cover=terms.cover, scale=terms.scale)
        if terms.cover
        else random_boxes(len(images), tuple(images.shape[2:]), generator, scale=terms.scale).to(images.device)
    )
    flip = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)
    size = (terms.size, terms.size)
    crops = crop_resize(images, boxes, size, flip=flip)
    return recolour(crops, generator, terms.jitter), crop_resize(masks, boxes, size, flip=flip)


def random_boxes(
    count: int,
    side: tuple[int, int],
    generator: torch.Generator | None = None,
    *,
    scale: tuple[float, float] = (0.2, 1.0),
) -> Tensor:
    """(count, 4): the usual random resized crops, uniform over the picture (H, W); x0, y0, x1, y1 in pixels."""
    height, width = side
    drawn = torch.rand(4, count, generator=generator)
    area = (scale[0] + (scale[1] - scale[0]) * drawn[0]) * height * width
    aspect = torch.exp(math.log(3 / 4) + math.log(16 / 9) * drawn[1])
    high, wide = ((area / aspect).sqrt().round().clamp(1, height), (area * aspect).sqrt().round().clamp(1, width))
    top, left = ((height - high + 1) * drawn[2]).floor(), ((width - wide + 1) * drawn[3]).floor()
    return torch.stack([left, top, left + wide, top + high], 1).long()


def recolour(images: Tensor, generator: torch.Generator, strength: float = 0.4) -> Tensor:
    """Brightness, contrast, saturation and grey at random, each picture (B, 3, H, W) its own; within [0, 1].

    MoCo's recipe without the hue: changes by up to `strength`, for half of the pictures; grey for a fifth.
    """
    if not strength:
        return images
    drawn = torch.rand(6, len(images), 1, 1, 1, generator=generator).to(images.device)
    share = torch.where(drawn[3] < 0.5, strength, 0.0)
    bright, contrast, colour = (1 + share * (2 * drawn[i] - 1) for i in range(3))
    changed = images * bright
    middle = changed.mean((1, 2, 3), keepdim=True)
    changed = middle + contrast * (changed - middle)
    grey = (changed * changed.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    colour = torch.where(drawn[4] < 0.2, torch.zeros_like(colour), colour)
    return (grey + colour * (changed - grey)).clamp(0, 1)


# ---------------------------------------- with labels: the upper reference
class Classifier(nn.Module):
    """The same encoder with one linear layer over its pooled features."""

    def __init__(self, encoder: nn.Module, classes: int, *, seed: int = 0) -> None:
        super().__init__()
        self.encoder = encoder
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.head = nn.Linear(encoder.channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.encoder.positions(images).mean((2, 3)))


def supervise(
    model: Classifier, images: Tensor, masks: Tensor, labels: Tensor, terms: Terms, *, seed: int, **options: object
) -> History:
    """Train with labels (N,) on the same kind of crops. options : of `fit`: epochs, lr, batch_size, progress."""

    def loss(model: nn.Module, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        crops, _ = view(batch["images"], batch["masks"], terms, generator)
        value = F.cross_entropy(model(crops), batch["labels"])
        return value, {"loss": float(value.detach())}

    data = {"images": images, "masks": masks, "labels": labels}
    return fit(model, data, seed=seed, loss=loss, schedule="cosine", **options)
