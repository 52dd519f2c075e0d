"""Saliency without labels and without training: what differs from the picture's border.

The minimum barrier distance of a pixel to the border is the smallest range of values that any path from it to the border
has to span: small where the border's texture goes on, large on an object that it surrounds.

References
----------
Zhang, Sclaroff, Lin, Shen, Price, Mech, "Minimum Barrier Salient Object Detection at 80 FPS", ICCV 2015: the distance on
    every colour channel by raster scans, algorithm 1. Their post-processing is left out.
Otsu, "A Threshold Selection Method from Gray-Level Histograms", 1979.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def minimum_barrier(images: Tensor, *, passes: int = 3, batch: int = 512) -> Tensor:
    """(N, H, W) >= 0: the minimum barrier distance to the border, the sum over the channels of images (N, C, H, W).

    The scans are approximate, as in the paper: a path's range is updated from the two neighbours that a scan has passed.
    Pixels of one anti-diagonal do not depend on each other and are updated at once. Passes alternate between the scan from
    the upper left and the one from the lower right; the border has the distance 0.

    Raises
    ------
    ValueError : images of another shape or smaller than 3 x 3; no pass.
    """
    if images.ndim != 4 or min(images.shape[2:]) < 3 or passes < 1:
        raise ValueError(
            f"images must be (N, C, H, W), at least 3 x 3 pixels, and passes at least 1, got {tuple(images.shape)}, {passes}"
        )
    return torch.cat([_barrier(part.detach(), passes) for part in images.split(batch)])


def _barrier(images: Tensor, passes: int) -> Tensor:
    count, channels, height, width = images.shape
    # pixels first, so that a diagonal's rows are read and written as whole blocks: (H W, N C)
    values = images.permute(2, 3, 0, 1).reshape(height * width, count * channels).contiguous()
    high, low = values.clone(), values.clone()
    inner = torch.zeros(height, width, dtype=torch.bool)
    inner[1:-1, 1:-1] = True
    distance = torch.where(inner.view(-1, 1).to(values.device), torch.full_like(values, torch.inf), 0.0)
    rows, columns = (
        axis.reshape(-1) for axis in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    )
    number, diagonal = rows * width + columns, rows + columns
    keep = inner.view(-1)
    lines = [number[keep & (diagonal == d)].to(values.device) for d in range(2, height + width - 3)]
    for turn in range(passes):
        forward = turn % 2 == 0
        for line in lines if forward else reversed(lines):
            own, best = values[line], distance[line]
            top, bottom = high[line], low[line]
            for step in (1, width):
                past = line - step if forward else line + step
                up, down = torch.maximum(high[past], own), torch.minimum(low[past], own)
                better = (up - down) < best
                best = torch.where(better, up - down, best)
                top, bottom = torch.where(better, up, top), torch.where(better, down, bottom)
            distance[line], high[line], low[line] = best, top, bottom
    return distance.view(height, width, count, channels).sum(3).permute(2, 0, 1).contiguous()


def salient_masks(images: Tensor, *, smooth: int = 3, passes: int = 3) -> Tensor:
    """(N, H, W) bool: pixels whose barrier distance lies above Otsu's threshold of the picture; never empty.

    smooth : side of a mean filter over the image before, odd; it takes the noise out.

    Raises
    ------
    ValueError : as `minimum_barrier`; an even `smooth`.
    """
    if smooth < 1 or smooth % 2 == 0:
        raise ValueError(f"smooth must be an odd number of pixels, got {smooth}")
    if smooth > 1:
        padded = F.pad(images, [smooth // 2] * 4, mode="replicate")
        images = F.avg_pool2d(padded, smooth, stride=1)
    distance = minimum_barrier(images, passes=passes)
    masks = distance > otsu(distance)[:, None, None]
    peak = distance == distance.amax((1, 2), keepdim=True)
    return torch.where(masks.any(2).any(1)[:, None, None], masks, peak)


def otsu(values: Tensor, bins: int = 64) -> Tensor:
    """(N,): for every map (N, H, W) the threshold that parts its values into two classes of the least variance within.

    Raises
    ------
    ValueError : not three axes, fewer than two bins.
    """
    if values.ndim != 3 or bins < 2:
        raise ValueError(f"values must be (N, H, W) and bins at least 2, got {tuple(values.shape)} and {bins}")
    low = values.amin((1, 2))
    span = (values.amax((1, 2)) - low).clamp(min=1e-12)
    index = ((values - low[:, None, None]) / span[:, None, None] * bins).long().clamp(0, bins - 1).flatten(1)
    counts = torch.zeros(len(values), bins, device=values.device, dtype=torch.float64)
    counts.scatter_add_(1, index, torch.ones_like(index, dtype=torch.float64))
    share = counts / counts.sum(1, keepdim=True)
    below = share.cumsum(1)
    mean = (share * torch.arange(bins, device=values.device)).cumsum(1)
    between = (mean[:, -1:] * below - mean).square() / (below * (1 - below)).clamp(min=1e-12)
    best = between[:, :-1].argmax(1)
    return low + span * ((best + 1) / bins).to(values.dtype)
