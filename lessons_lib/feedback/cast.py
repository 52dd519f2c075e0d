"""CAST: contrastive learning whose crops hold the object, and whose query must look at it.

Selvaraju, Desai, Johnson, Naik, "CASTing Your Model: Learning to Localize Improves Self-Supervised Representations",
CVPR 2021, arXiv 2012.04630; the authors' program is salesforce/CAST. The contrast is MoCo's: He, Fan, Wu, Xie, Girshick,
arXiv 1911.05722.

One step: `crop_boxes` twice, `crop_resize` of images and masks; keys k of the momentum encoder, which
`lessons_lib.models.vision_language_losses.follow` moves once a step; `info_nce`; maps of
`lessons_lib.explain.grad_cam(encoder, queries, query_similarity(masked_keys), create_graph=True)`; `attention_loss`.

Shapes: images (B, C, H, W), masks (B, H, W) bool, boxes (B, 4) as x0, y0, x1, y1 in pixels with x1 and y1 exclusive,
maps (B, h, w), embeddings (B, D).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


# ---------------------------------------- saliency-constrained random cropping
def crop_boxes(
    masks: Tensor,
    generator: torch.Generator | None = None,
    *,
    cover: float = 0.2,
    scale: tuple[float, float] = (0.2, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    tries: int = 10,
) -> Tensor:
    """Random crops, int64 (B, 4), that hold at least the share `cover` of their mask's area.

    As in the authors' program: area and aspect as in a random resized crop, the centre from a Gaussian around the mask's
    centroid with the image's side as its deviation, cut off where the crop would leave the image; the first of `tries`
    that holds enough, else a random crop around the whole mask, trimmed to the aspect limits as far as the mask allows.
    Of a mask too large for that, less is asked, and of an empty one nothing (the program draws another image instead).

    Raises
    ------
    ValueError : masks that are not bool (B, H, W); cover, scale or ratio out of range.
    """
    _check_masks(masks)
    height, width = masks.shape[1:]
    if not 0 <= cover <= 1 or not 0 < scale[0] <= scale[1] <= 1 or not 0 < ratio[0] <= ratio[1] or tries < 1:
        given = (cover, scale, ratio, tries)
        raise ValueError(f"cover and scale must lie in [0, 1], ratio and tries above 0, low before high; got {given}")
    drawn = torch.rand(4, len(masks), tries + 1, generator=generator, device=_device(generator), dtype=torch.float64)
    drawn, sides = drawn.to(masks.device).split([tries, 1], 2)
    area = (scale[0] + (scale[1] - scale[0]) * drawn[0]) * height * width
    aspect = torch.exp(math.log(ratio[0]) + math.log(ratio[1] / ratio[0]) * drawn[1])
    high, wide = (area / aspect).sqrt().round(), (area * aspect).sqrt().round()
    fits = (high >= 1) & (high <= height) & (wide >= 1) & (wide <= width)
    high, wide = high.clamp(1, height), wide.clamp(1, width)
    marked = masks.flatten(1).sum(1)[:, None].double()
    rows, columns = (_centroid(masks, axis)[:, None] for axis in (1, 2))
    top = (_truncated_gaussian(rows, height, high / 2, drawn[2]) - high / 2).floor().clamp(min=0)
    left = (_truncated_gaussian(columns, width, wide / 2, drawn[3]) - wide / 2).floor().clamp(min=0)
    boxes = torch.stack([left, top, left + wide, top + high], -1).long()
    least = (scale[0] * height * width / marked.clamp(min=1)).clamp(max=cover)
    good = fits & (_area_inside(masks, boxes) >= least * marked)
    first = boxes[torch.arange(len(masks), device=masks.device), good.float().argmax(1)]
    return torch.where(good.any(1, keepdim=True), first, _enclosing(masks, sides[..., 0], ratio))


def covered_share(masks: Tensor, boxes: Tensor) -> Tensor:
    """(B,) in [0, 1]: the share of each mask's area that lies in its box; 0 for an empty mask.

    Raises
    ------
    ValueError : shapes that do not fit, masks that are not bool.
    """
    _check_masks(masks)
    _check_boxes(boxes, len(masks))
    return _area_inside(masks, boxes[:, None])[:, 0] / masks.flatten(1).sum(1).clamp(min=1)


def crop_resize(
    values: Tensor,
    boxes: Tensor,
    size: tuple[int, int],
    *,
    frame: tuple[int, int] | None = None,
    flip: Tensor | None = None,
) -> Tensor:
    """Images (B, C, H, W), maps (B, H, W) or bool masks (B, H, W) cut to their boxes and brought to `size`.

    Bilinear, align_corners=False, differentiable, without a mean where it shrinks; bool masks stay bool (at least one
    half). A box of whole pixels at its own size is an exact cut.

    Parameters
    ----------
    frame : (H, W) in which the boxes are given, where that is not the size of `values`: a map that belongs to an image
        is cut by the image's box.
    flip : bool (B,), which are mirrored left to right.

    Raises
    ------
    ValueError : shapes that do not fit, a box without area.
    """
    _check_boxes(boxes, len(values))
    if values.ndim not in (3, 4) or (flip is not None and flip.shape != values.shape[:1]):
        raise ValueError(f"values must be (B, C, H, W) or (B, H, W) and flip (B,), got {tuple(values.shape)}")
    planes = (values if values.ndim == 4 else values[:, None]) * 1.0
    height, width = frame or values.shape[-2:]
    box = boxes.to(planes.dtype)
    down, right = ((torch.arange(n, device=planes.device, dtype=planes.dtype) + 0.5) / n for n in size)
    right = right.expand(len(values), -1)
    if flip is not None:
        right = torch.where(flip[:, None], 1 - right, right)
    x = 2 * (box[:, 0:1] + right * (box[:, 2] - box[:, 0])[:, None]) / width - 1
    y = 2 * (box[:, 1:2] + down * (box[:, 3] - box[:, 1])[:, None]) / height - 1
    grid = torch.stack([x[:, None, :].expand(-1, size[0], -1), y[:, :, None].expand(-1, -1, size[1])], -1)
    cut = F.grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=False)
    cut = cut.view(*values.shape[:-2], *size)
    return cut >= 0.5 if values.dtype == torch.bool else cut


def mask_background(images: Tensor, masks: Tensor, *, fill: Tensor | float = 0.0) -> Tensor:
    """The masked key: images (B, C, H, W) with `fill` wherever the mask (B, H, W) is not; gradients reach what is left.

    The program multiplies pictures whose mean colour is 0 with the mask; give the mean colour where it is not 0.

    Raises
    ------
    ValueError : shapes that do not fit.
    """
    _check_masks(masks)
    if images.ndim != 4 or masks.shape != (len(images), *images.shape[2:]):
        raise ValueError(
            f"images must be (B, C, H, W) and masks (B, H, W), got {tuple(images.shape)} and {tuple(masks.shape)}"
        )
    return torch.where(masks[:, None], images, torch.as_tensor(fill, dtype=images.dtype, device=images.device))


# ---------------------------------------- momentum contrast
def new_queue(length: int, dimension: int, generator: torch.Generator | None = None) -> Tensor:
    """(length, dimension) random unit vectors: the keys that a queue begins with."""
    if length < 1 or dimension < 1:
        raise ValueError(f"a queue needs a length and a dimension of at least 1, got {length} and {dimension}")
    return F.normalize(torch.randn(length, dimension, generator=generator, device=_device(generator)), dim=1)


def enqueue(queue: Tensor, keys: Tensor) -> Tensor:
    """A new queue (K, D): keys (B, D) joined at its end as unit vectors, the oldest gone; the old queue is not changed.

    Nothing of the keys' graph is kept. Masked keys do not belong here: they are no other images' views.

    Raises
    ------
    ValueError : shapes that do not fit.
    """
    if queue.ndim != 2 or keys.ndim != 2 or keys.shape[1] != queue.shape[1]:
        raise ValueError(f"queue must be (K, D) and keys (B, D), got {tuple(queue.shape)} and {tuple(keys.shape)}")
    return torch.cat([queue, F.normalize(keys.detach(), dim=1).to(queue)])[-len(queue) :]


def info_nce(queries: Tensor, keys: Tensor, queue: Tensor, *, temperature: float = 0.07) -> Tensor:
    """-log exp(q k+ / t) / (exp(q k+ / t) + sum_j exp(q k_j / t)), the mean over queries; >= 0 (MoCo).

    q and k+ are brought to length 1; queue (K, D) holds unit vectors of other images. log(1 + K) where all are equally
    near. Only the queries move: keys and queue are detached, the momentum encoder follows by itself.

    Raises
    ------
    ValueError : shapes that do not fit, a temperature not above 0.
    """
    if queries.ndim != 2 or keys.shape != queries.shape or queue.ndim != 2 or queue.shape[1] != queries.shape[1]:
        shapes = tuple(queries.shape), tuple(keys.shape), tuple(queue.shape)
        raise ValueError(f"queries and keys must be (B, D) and the queue (K, D), got {shapes}")
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    queries, keys = F.normalize(queries, dim=1), F.normalize(keys.detach(), dim=1)
    logits = torch.cat([(queries * keys).sum(1, keepdim=True), queries @ queue.detach().t()], 1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))


# ---------------------------------------- the attention loss
def query_similarity(keys: Tensor, *, temperature: float = 0.07) -> Callable[[Tensor], Tensor]:
    """The score that CAST explains, as a target for `grad_cam`: embeddings (B, D) of queries -> q k / t, shape (B,).

    keys (B, D) are those of the masked key crops; detached. The negatives have no part in it, nor has any label.

    Raises
    ------
    ValueError : when called on embeddings of another shape.
    """
    fixed = F.normalize(keys.detach(), dim=1)

    def score(queries: Tensor) -> Tensor:
        if queries.shape != fixed.shape:
            raise ValueError(f"embeddings must be {tuple(fixed.shape)} like the keys, got {tuple(queries.shape)}")
        return (F.normalize(queries, dim=1) * fixed).sum(1) / temperature

    return score


def attention_loss(maps: Tensor, masks: Tensor) -> Tensor:
    """1 - cos(G, M) for every image, then their mean; within [0, 1] for maps >= 0.

    M is the mask's share of each cell of the map, so that a thin object never vanishes (the program takes point samples).
    The cosine is taken per image: over the flattened batch, as in the program, an image weighs by the norm of its map and
    an empty mask goes unseen. Images with an empty mask do not count; 0 where all are empty. The scale of the map does
    not matter, its ReLU does (the default of `grad_cam`). The map is not detached, the mask is a constant; a map of zeros
    has the cosine 0, and its shut ReLU lets no gradient through.

    Raises
    ------
    ValueError : shapes that do not fit.
    """
    if maps.ndim != 3 or masks.ndim != 3 or len(maps) != len(masks):
        raise ValueError(
            f"maps must be (B, h, w) and masks (B, H, W), got {tuple(maps.shape)} and {tuple(masks.shape)}"
        )
    wanted = F.adaptive_avg_pool2d(masks.detach().to(maps.dtype)[:, None], maps.shape[1:]).flatten(1)
    there = wanted.amax(1) > 0
    peak = maps.detach().abs().amax((1, 2), keepdim=True)  # a constant positive factor: no tiny map underflows
    shown = (maps / torch.where(peak > 0, peak, torch.ones_like(peak))).flatten(1)
    lengths = [values.square().sum(1) for values in (shown, wanted)]
    product = torch.where((lengths[0] > 0) & there, lengths[0] * lengths[1], torch.ones_like(lengths[0])).sqrt()
    return ((1 - (shown * wanted).sum(1) / product) * there).sum() / there.sum().clamp(min=1)


def cast_loss(
    contrast: Tensor, attention: Tensor, *, alpha: float = 3.0, beta: float = 1.0
) -> tuple[Tensor, dict[str, float]]:
    """beta / (beta + alpha) L_InfoNCE + alpha / (beta + alpha) L_att; alpha 3 is the command in the program's README.

    Returns
    -------
    (the total, {"contrast", "attention": its terms before their weights}).

    Raises
    ------
    ValueError : a negative weight, or both 0.
    """
    if min(alpha, beta) < 0 or alpha + beta == 0:
        raise ValueError(f"alpha and beta must be at least 0 and not both 0, got {alpha} and {beta}")
    total = (beta * contrast + alpha * attention) / (beta + alpha)
    return total, {"contrast": float(contrast.detach()), "attention": float(attention.detach())}


# ---------------------------------------- what the crops share
def _device(generator: torch.Generator | None) -> torch.device | str:
    return "cpu" if generator is None else generator.device


def _centroid(masks: Tensor, axis: int) -> Tensor:
    """(B,) float64: the mean position along `axis` (1: rows, 2: columns), pixel edges at whole numbers; empty: the middle."""
    counts = masks.sum(3 - axis).double() + 1e-9  # an even count, however small, puts an empty mask in the middle
    places = torch.arange(masks.shape[axis], device=masks.device, dtype=torch.float64) + 0.5
    return (counts @ places) / counts.sum(1)


def _truncated_gaussian(mean: Tensor, side: int, margin: Tensor, drawn: Tensor) -> Tensor:
    """Gaussian(mean, side) cut to [margin, side - margin], from uniform numbers `drawn` by its inverse distribution."""
    low, high = (torch.special.ndtr((edge - mean) / side) for edge in (margin, side - margin))
    value = mean + side * torch.special.ndtri(low + (high - low) * drawn)
    return torch.minimum(torch.maximum(value, margin), side - margin)


def _area_inside(masks: Tensor, boxes: Tensor) -> Tensor:
    """(B, N): how many pixels of mask b lie in each of its N boxes (B, N, 4), by an integral image."""
    height, width = masks.shape[1:]
    integral = F.pad(masks.long().cumsum(1).cumsum(2), (1, 0, 1, 0))
    x0, x1 = (boxes[..., i].clamp(0, width).long() for i in (0, 2))
    y0, y1 = (boxes[..., i].clamp(0, height).long() for i in (1, 3))
    row = torch.arange(len(masks), device=masks.device)[:, None]
    return integral[row, y1, x1] - integral[row, y0, x1] - integral[row, y1, x0] + integral[row, y0, x0]


def _enclosing(masks: Tensor, drawn: Tensor, ratio: tuple[float, float]) -> Tensor:
    """Random boxes (B, 4) around whole masks, from four uniform numbers (4, B) each: one a side."""
    sides = []
    for axis, first, second in ((2, drawn[0], drawn[1]), (1, drawn[2], drawn[3])):
        length, taken = masks.shape[axis], masks.any(3 - axis)
        taken = taken | ~taken.any(1, keepdim=True)  # an empty mask: the whole image
        low, high = taken.long().argmax(1), length - taken.flip(1).long().argmax(1)
        sides.append((low, high, low - (first * (low + 1)).long(), high + (second * (length - high + 1)).long()))
    (left, right, x0, x1), (upper, lower, y0, y1) = sides
    wide = torch.minimum(x1 - x0, torch.maximum(((y1 - y0) * ratio[1]).long(), right - left))
    x0 = torch.maximum(x0, right - wide)  # trimmed on the right, but not into the mask
    tall = torch.minimum(y1 - y0, torch.maximum((wide / ratio[0]).long(), lower - upper))
    y0 = torch.maximum(y0, lower - tall)
    return torch.stack([x0, y0, x0 + wide, y0 + tall], 1)


def _check_masks(masks: Tensor) -> None:
    if masks.ndim != 3 or masks.dtype != torch.bool or not masks.numel():
        raise ValueError(f"masks must be bool (B, H, W), got {masks.dtype} {tuple(masks.shape)}")


def _check_boxes(boxes: Tensor, batch: int) -> None:
    if boxes.shape != (batch, 4):
        raise ValueError(f"boxes must be ({batch}, 4) of x0, y0, x1, y1, got {tuple(boxes.shape)}")
    if not bool((boxes[:, 2:] > boxes[:, :2]).all()):
        raise ValueError("a box has no area: x1 must be above x0 and y1 above y0")
