"""Lesson 14 in pictures: two crops of one picture, and how much of the object each holds."""

from __future__ import annotations

import torch
from torch import Tensor

from lessons_lib.feedback.cast import covered_share, crop_boxes, crop_resize
from lessons_lib.show import overlay as colouring
from lessons_lib.show.picture import Picture
from lessons_lib.show.sheet import Panel, lay_out, mark
from lessons_lib.training.cast import random_boxes


def draw_boxes(
    masks: Tensor, cover: float, seed: int = 0, *, scale: tuple[float, float] = (0.2, 1.0)
) -> tuple[Tensor, Tensor]:
    """Two crops (N, 4) a picture: at random where cover is 0, else with that share of the mask (N, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    if not cover:
        return tuple(random_boxes(len(masks), tuple(masks.shape[1:]), generator, scale=scale) for _ in range(2))
    return tuple(crop_boxes(masks, generator, cover=cover, scale=scale) for _ in range(2))


def show_crops(images: Tensor, masks: Tensor, boxes: tuple[Tensor, Tensor], *, size: int = 32) -> Picture:
    """Pictures (N, 3, H, W) with both crops' boxes, and below each the query and the key; objects (N, H, W) are outlined.

    Above each crop stands the share of the object that it holds.

    Raises
    ------
    ValueError : not two sets of boxes, or numbers that differ.
    """
    if len(boxes) != 2 or any(len(part) != len(images) for part in (masks, *boxes)):
        raise ValueError(f"{len(images)} images need as many masks and two times as many boxes")
    count, texts = len(images), []
    panels = [Panel(colouring.as_picture(image), f"picture {n + 1}") for n, image in enumerate(images)]
    for name, one in zip(("query", "key"), boxes):
        shares = covered_share(masks, one).tolist()
        crops = crop_resize(images, one, (size, size)).clamp(0, 1)
        panels += [Panel(colouring.as_picture(c), name, f"{s:.0%} of the object") for c, s in zip(crops, shares)]
        texts.append(f"The {name} crops hold {', '.join(f'{share:.0%}' for share in shares)} of the object.")
    figure = lay_out(panels, count)
    for n, axes in enumerate(figure.axes[:count]):
        mark(axes, [one[n].tolist() for one in boxes], masks[n], images.shape[-2:])
    figure.alt = f"{count} pictures with two crops each. {' '.join(texts)}"
    return figure
