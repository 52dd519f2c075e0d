"""Superpixels: regions that LIME and SHAP switch on and off, what stands in for them, maps of values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from skimage.segmentation import quickshift, slic
from torch import Tensor

from lessons_lib.explain.inputs import check_images

KINDS = ("slic", "quickshift", "grid")


def superpixels(
    images: Tensor,
    *,
    kind: str = "slic",
    count: int = 50,
    compactness: float = 10.0,
    kernel_size: float = 4,
    max_dist: float = 200,
    ratio: float = 0.2,
    seed: int = 0,
) -> Tensor:
    """Cut every image into superpixels.

    Parameters
    ----------
    images : Tensor (B, C, H, W), in [0, 1]; cut one by one, so that a row does not depend on the others.
    kind : "slic" (k-means in colour and place), "quickshift" (mode seeking) or "grid" (equal rectangles that
        ignore the picture: a control for the other two).
    count : about how many superpixels, for slic and grid; quickshift finds its own number.
    compactness : slic's balance of place against colour.
    kernel_size, max_dist, ratio : quickshift's; the defaults are those of the official LIME code for images.
        They suit photographs of about 200 pixels a side; images of 32 pixels often come back in one piece.
    seed : quickshift breaks ties at random.

    Returns
    -------
    LongTensor (B, H, W) : labels 0 to M - 1 without gaps in each image; M may differ from image to image.

    Raises
    ------
    TypeError, ValueError : bad images (see `check_images`), an unknown kind, a count that does not fit.
    """
    check_images(images)
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, not {kind!r}")
    height, width = images.shape[-2:]
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= height * width:
        raise ValueError(
            f"count must be a whole number from 1 to the {height * width} pixels of an image, not {count!r}"
        )
    if kind == "grid":
        return _grid(height, width, count).to(images.device).expand(len(images), -1, -1).clone()
    pictures = images.detach().permute(0, 2, 3, 1).to("cpu", torch.float64).numpy()  # (B, H, W, C)
    if kind == "slic":
        labels = [slic(p, n_segments=count, compactness=compactness, start_label=0) for p in pictures]
    else:
        options = {"kernel_size": kernel_size, "max_dist": max_dist, "ratio": ratio, "rng": seed}
        lab = images.shape[1] == 3  # only three channels are a colour that can be converted
        labels = [quickshift(p, convert2lab=lab, **options) for p in pictures]
    return relabel(torch.from_numpy(np.stack(labels)).to(images.device))


def _grid(height: int, width: int, count: int) -> Tensor:
    """Labels (H, W) of a rows x columns grid with about `count` cells as square as the image allows."""
    rows = min(height, max(1, round((count * height / width) ** 0.5)))
    columns = min(width, max(1, round(count / rows)))
    row = torch.arange(height) * rows // height
    column = torch.arange(width) * columns // width
    return row[:, None] * columns + column


def relabel(segments: Tensor) -> Tensor:
    """Labels (B, H, W) of any integers, renumbered in each image to 0 ... M - 1 in their order."""
    if not isinstance(segments, Tensor) or segments.ndim != 3:
        got = tuple(segments.shape) if isinstance(segments, Tensor) else type(segments).__name__
        raise ValueError(f"segments must be a tensor of labels (B, H, W), got {got}")
    return torch.stack([torch.unique(one, return_inverse=True)[1] for one in segments])


def check_segments(segments: Tensor | np.ndarray, images: Tensor) -> Tensor:
    """Somebody's own segments as a LongTensor (B, H, W) on the images' device, or an error saying why not.

    Parameters
    ----------
    segments : integers (B, H, W), or (H, W) for all images; labels 0 to M - 1 without gaps in each image.
    images : Tensor (B, C, H, W).

    Raises
    ------
    TypeError : not a tensor or array of integers.  ValueError : wrong shape, negative labels, gaps in them.
    """
    if isinstance(segments, np.ndarray):
        segments = torch.from_numpy(np.ascontiguousarray(segments))
    if not isinstance(segments, Tensor):
        raise TypeError(f"segments must be a tensor or array of labels, not {type(segments).__name__}")
    if segments.is_floating_point() or segments.is_complex() or segments.dtype == torch.bool:
        raise TypeError(f"segments must hold integer labels, got {segments.dtype}")
    expected = (len(images), *images.shape[-2:])
    if tuple(segments.shape) not in (expected, expected[1:]):
        raise ValueError(
            f"segments must have the shape {expected}, or {expected[1:]} for all images, got {tuple(segments.shape)}"
        )
    segments = segments.to(images.device).long().expand(expected)
    if segments.min() < 0:
        raise ValueError(f"segment labels must start at 0, got {int(segments.min())}; relabel(segments) renumbers them")
    pixels = expected[1] * expected[2]
    flat = segments.flatten(1)
    top = flat.amax(1)
    seen = torch.zeros(len(flat), pixels, dtype=torch.bool, device=flat.device)
    seen.scatter_(1, flat.clamp(max=pixels - 1), True)
    wrong = (seen.sum(1) != top + 1).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(
            f"the labels of image {row} have gaps: the largest is {int(top[row])}, but only "
            f"{len(flat[row].unique())} different ones occur; relabel(segments) renumbers them"
        )
    return segments


def segment_counts(segments: Tensor) -> Tensor:
    """How many segments each image has: (B,) from labels (B, H, W) without gaps."""
    return segments.flatten(1).amax(1) + 1


def segments_to_map(values: Tensor, segments: Tensor) -> Tensor:
    """Paint every pixel with the value of its segment.

    Parameters
    ----------
    values : (B, M) or (B, T, M); what lies beyond an image's own number of segments is not looked at.
    segments : LongTensor (B, H, W), labels below M.

    Returns
    -------
    (B, H, W) or (B, T, H, W).
    """
    if segments.ndim != 3 or values.ndim not in (2, 3) or len(values) != len(segments):
        raise ValueError(
            f"values (B, M) or (B, T, M) and segments (B, H, W) are needed, got {tuple(values.shape)} and "
            f"{tuple(segments.shape)}"
        )
    if segments.max() >= values.shape[-1]:
        raise ValueError(f"there are {values.shape[-1]} values, but the segments go up to label {int(segments.max())}")
    labels = segments.flatten(1)
    if values.ndim == 3:
        labels = labels[:, None].expand(-1, values.shape[1], -1)
    return values.gather(-1, labels).unflatten(-1, segments.shape[1:])


def segment_means(images: Tensor, segments: Tensor) -> Tensor:
    """Each segment's mean colour: (B, C, M) from images (B, C, H, W) and labels (B, H, W); 0 beyond own M."""
    labels = segments.flatten(1).cpu()
    values = images.detach().flatten(2).to("cpu", torch.float64)  # sums on a GPU come in no fixed order
    count = int(labels.max()) + 1
    sums = values.new_zeros(*values.shape[:2], count)
    sums.scatter_add_(2, labels[:, None].expand_as(values), values)
    sizes = values.new_zeros(len(values), count).scatter_add_(1, labels, torch.ones_like(values[:, 0]))
    return (sums / sizes.clamp(min=1)[:, None]).to(images)


def fill_values(images: Tensor, fill: float | str | Tensor) -> Tensor:
    """What stands where an image is covered, ready to broadcast: (B, C, 1, 1) or (B, C, H, W).

    fill : a number; "mean", the image's own mean colour; a colour (C,); or what broadcasts to (B, C, H, W).
    """
    batch, channels, height, width = images.shape
    if isinstance(fill, str):
        if fill != "mean":
            raise ValueError(f"fill must be a number, 'mean' or a tensor, not {fill!r}")
        return images.mean((2, 3), keepdim=True)
    if isinstance(fill, bool) or not isinstance(fill, int | float | Tensor):
        raise TypeError(f"fill must be a number, 'mean' or a tensor, not {fill!r}")
    fill = torch.as_tensor(fill, dtype=images.dtype, device=images.device).detach()
    if not torch.isfinite(fill).all():
        raise ValueError("fill must be finite")
    if fill.ndim < 2:
        fill = fill.reshape(-1, 1, 1)
    try:
        whole = torch.broadcast_shapes(fill.shape, images.shape) == images.shape
    except RuntimeError:
        whole = False
    if not whole:
        raise ValueError(
            f"fill of shape {tuple(fill.shape)} does not fit images {tuple(images.shape)}: give a number, a "
            f"colour ({channels},), or a tensor that broadcasts to the images"
        )
    flat = fill.shape[-2:] == (1, 1)
    return fill.expand(batch, channels, *((1, 1) if flat else (height, width)))


def hide_segments(
    images: Tensor, segments: Tensor, coalitions: list[Tensor], fill: float | str | Tensor
) -> tuple[Callable[[Tensor, Tensor], Tensor], int]:
    """What `perturbation.ask` needs to show only some segments: the change, and the number of variants.

    images (B, C, H, W); segments (B, H, W); coalitions: for each image bool (N, M), the segments that stay.
    fill : what the others show: "segment_mean", each one's own mean colour, or as in `fill_values`.
    """
    if isinstance(fill, str) and fill == "segment_mean":
        off = segments_to_map(segment_means(images, segments), segments)
    else:
        off = fill_values(images, fill)
    longest = max(len(rows) for rows in coalitions)
    on = torch.zeros(len(images), longest, int(segments.max()) + 1, dtype=torch.bool)
    for own, rows in zip(on, coalitions):  # where images differ in their number of coalitions, empty ones pad
        own[: len(rows), : rows.shape[1]] = rows
    on, labels = on.to(images.device), segments.flatten(1)

    def change(rows: Tensor, which: Tensor) -> Tensor:
        visible = on[rows, which].gather(1, labels[rows]).unflatten(1, segments.shape[1:])  # (n, H, W)
        return torch.where(visible[:, None], images[rows], off[rows])

    return change, longest
