"""What a contrastive network holds and looks at: frozen features, Grad-CAM of the query, and what two crops share."""

from __future__ import annotations

import torch
from torch import Tensor

from lessons_lib.explain import grad_cam
from lessons_lib.feedback.cast import covered_share, crop_resize, query_similarity
from lessons_lib.models.moco import MoCo
from lessons_lib.training.cast import random_boxes


@torch.no_grad()
def positions(model: MoCo, images: Tensor, batch: int = 250) -> Tensor:
    """(N, channels, h, w) of images (N, 3, H, W): the frozen features at every position, before the projection."""
    return torch.cat([model.encoder.positions(part) for part in images.split(batch)])


@torch.no_grad()
def pooled(model: MoCo, images: Tensor, batch: int = 250) -> Tensor:
    """(N, channels): the mean over positions, what a probe of the whole picture gets."""
    return torch.cat([model.encoder.positions(part).mean((2, 3)) for part in images.split(batch)])


def query_maps(model: MoCo, images: Tensor, keys: Tensor, batch: int = 250) -> Tensor:
    """(N, H, W) >= 0: Grad-CAM of whole pictures as queries, for their similarity to the embedded keys (N, D)."""
    layer = model.encoder.explain_layer
    pairs = zip(images.split(batch), keys.split(batch))
    return torch.cat([grad_cam(model.encoder, part, query_similarity(k), layer, size="images") for part, k in pairs])


def crop_keys(model: MoCo, images: Tensor, seed: int = 0, *, size: int = 32) -> Tensor:
    """(N, D): keys of random crops of 0.2 to 1 of the area, at `size`, in their own colours."""
    boxes = random_boxes(len(images), tuple(images.shape[2:]), torch.Generator().manual_seed(seed)).to(images.device)
    return model.keys(crop_resize(images, boxes, (size, size)))


def shared_crops(masks: Tensor, boxes: tuple[Tensor, Tensor], *, least: float = 0.25) -> dict[str, float]:
    """Of pairs of crops: the shares in which both, one or none shows at least the share `least` of the object.

    masks (N, H, W) bool; boxes : two of (N, 4).
    """
    shown = torch.stack([covered_share(masks, one) >= least for one in boxes]).sum(0)
    return {name: float((shown == count).float().mean()) for name, count in (("both", 2), ("one", 1), ("none", 0))}
