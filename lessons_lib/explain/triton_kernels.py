"""Fused kernels for `kernels.cam_map` on a GPU. Imported only where Triton is: see `kernels`.

What is fused, and why
----------------------
The plain path is a copy of half-precision features in float32, the weighted sum, ReLU, a map's statistic, a
guard against its being zero, a quotient and two matrix products for the upsampling: up to nine launches, most of
them on a few hundred numbers, where the launch is the cost. Here there are two, nothing is copied, and nothing
but the low-resolution map and its statistic goes through memory on the way to the finished map:

1. `_product`: the weighted sum over channels, reading the features in their own precision and strides and
   adding up in float32, with ReLU and each map's statistic (maximum or sum) in its epilogue. A statistic
   spans programs, so each program writes a partial one and the next kernel adds up the few partial ones: no
   atomics, so two runs give the same bits.
2. `_resample`: each pixel reads its four neighbours of the low-resolution map (a few KB, in cache) and
   divides by the statistic. The two cannot be one kernel without recomputing every channel sum for every tile
   of pixels, since all of a map must be known before its maximum is.

Backward: `_adjoint` gathers for each position the pixels it fed (a gather, so again no atomics), applies the
ReLU's mask and collects the partial sums that the normalisation needs; `_through_normalisation` (only with
`normalise`) finishes the low-resolution gradient; and `_product`, the same kernel as in the forward pass,
gives both gradients, as sum_t w_t g_t for the features and sum_p g_p A_p for the weights.

Places are compared in integers, so the interpolation weights are exact, and ties of a map's maximum share its
gradient evenly, as torch's `amax` does. A double backward goes through plain torch (`kernels.torch_cam_map`).
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lessons_lib.explain import kernels


@triton.jit
def _product(
    left, right, out, partials, rows, columns, inner,
    left_b, left_row, left_inner, right_b, right_inner, right_column, out_b, out_row, out_column,
    RELU: tl.constexpr, STATISTIC: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, INNER: tl.constexpr,
):  # fmt: skip
    """out[b] = left[b] @ right[b] in float32, with ReLU and each row's partial maximum or sum on request."""
    batch = tl.program_id(2).to(tl.int64)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, inner, INNER):
        k = start + tl.arange(0, INNER)
        a = tl.load(
            left + batch * left_b + row[:, None] * left_row + k[None, :] * left_inner,
            mask=(row[:, None] < rows) & (k[None, :] < inner),
            other=0.0,
        ).to(tl.float32)
        b = tl.load(
            right + batch * right_b + k[:, None] * right_inner + column[None, :] * right_column,
            mask=(k[:, None] < inner) & (column[None, :] < columns),
            other=0.0,
        ).to(tl.float32)
        if ROWS == 1:  # one target: tl.dot would work on 16 rows and throw 15 away
            total += tl.sum(tl.trans(a) * b, 0)[None, :]
        else:
            total += tl.dot(a, b, input_precision="ieee")  # TF32 would keep 10 bits of the mantissa only
    if RELU:
        total = tl.where(total < 0, 0.0, total)  # keeps NaN, as torch does
    inside = (row[:, None] < rows) & (column[None, :] < columns)
    tl.store(out + batch * out_b + row[:, None] * out_row + column[None, :] * out_column, total, mask=inside)
    if STATISTIC != "none":
        if STATISTIC == "unit":
            partial = tl.max(total, 1)  # after ReLU: the zeros of the masked columns change nothing
        else:
            partial = tl.sum(total, 1)
        tiles = tl.num_programs(0)
        tl.store(partials + (batch * rows + row) * tiles + tl.program_id(0), partial, mask=row < rows)


@triton.jit
def _divisor(partials, index, tiles, NORMALISE: tl.constexpr, TILES: tl.constexpr, EPS: tl.constexpr):
    """What map `index` is divided by, from its partial statistics."""
    tile = tl.arange(0, TILES)
    values = tl.load(partials + index * tiles + tile, mask=tile < tiles, other=0.0)
    if NORMALISE == "unit":
        peak = tl.max(values, 0)
        return tl.where(peak > 0, peak, 1.0)
    else:
        return tl.sum(values, 0) + EPS


@triton.jit
def _taps(place, source, target):
    """The two source places around target place `place` and the second's weight (half-pixel centres)."""
    centre = tl.minimum(tl.maximum((2 * place + 1) * source - target, 0), (source - 1) * 2 * target)  # x 2 target
    low = centre // (2 * target)
    return low, tl.minimum(low + 1, source - 1), (centre - low * 2 * target).to(tl.float32) / (2 * target)


@triton.jit
def _resample(
    low, partials, out, h, w, height, width, tiles,
    NORMALISE: tl.constexpr, TILES: tl.constexpr, EPS: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """Normalised maps at full size; one program for PIXELS pixels of one map."""
    index = tl.program_id(0).to(tl.int64)
    pixel = tl.program_id(1) * PIXELS + tl.arange(0, PIXELS)
    inside = pixel < height * width
    y0, y1, down = _taps(pixel // width, h, height)
    x0, x1, right = _taps(pixel % width, w, width)
    source = low + index * h * w
    upper = tl.load(source + y0 * w + x0, mask=inside) * (1 - right)
    upper += tl.load(source + y0 * w + x1, mask=inside) * right
    lower = tl.load(source + y1 * w + x0, mask=inside) * (1 - right)
    lower += tl.load(source + y1 * w + x1, mask=inside) * right
    value = upper * (1 - down) + lower * down
    if NORMALISE != "none":
        value = value / _divisor(partials, index, tiles, NORMALISE, TILES, EPS)
    tl.store(out + index * height * width + pixel, value, mask=inside)


@triton.jit
def _fed_from(first, last, source, target):
    """The range of target places that source places first..last feed (a little wider, never less)."""
    start = tl.maximum((first - 1) * 2 * target + target - source, 0) // (2 * source)
    stop = tl.maximum((last + 1) * 2 * target + target - source, 0) // (2 * source) + 1
    return start, tl.minimum(stop, target)


@triton.jit
def _share(place, at, source, target):
    """Weight of source place `at` in target place `place`."""
    centre = tl.minimum(tl.maximum((2 * place + 1) * source - target, 0), (source - 1) * 2 * target)
    return tl.maximum(2 * target - tl.abs(centre - at * 2 * target), 0).to(tl.float32) / (2 * target)


@triton.jit
def _adjoint(
    grad, low, partials, out, sums, ties, targets, h, w, height, width, tiles,
    grad_b, grad_t, grad_y, grad_x,
    RELU: tl.constexpr, NORMALISE: tl.constexpr, TILES: tl.constexpr, EPS: tl.constexpr,
    PLACES: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """Transposed upsampling: one program for PLACES positions of one row of one low-resolution map."""
    index = tl.program_id(0).to(tl.int64)
    y = tl.program_id(1)
    x = tl.program_id(2) * PLACES + tl.arange(0, PLACES)
    source = grad + (index // targets) * grad_b + (index % targets) * grad_t
    top, bottom = _fed_from(y, y, h, height)
    left, right = _fed_from(tl.program_id(2) * PLACES, tl.program_id(2) * PLACES + PLACES - 1, w, width)
    total = tl.zeros((PLACES,), tl.float32)
    for start in range(left, right, PIXELS):
        column = start + tl.arange(0, PIXELS)
        gathered = tl.zeros((PIXELS,), tl.float32)
        for row in range(top, bottom):
            line = tl.load(source + row * grad_y + column * grad_x, mask=column < width, other=0.0)
            gathered += _share(row, y, h, height) * line.to(tl.float32)
        total += tl.sum(_share(column[None, :], x[:, None], w, width) * gathered[None, :], 1)
    place = index * h * w + y * w + x
    value = tl.load(low + place, mask=x < w, other=0.0)
    if NORMALISE != "none":
        program = (index * h + y) * tl.num_programs(2) + tl.program_id(2)
        tl.store(sums + program, tl.sum(tl.where(x < w, total * value, 0.0), 0))
        if NORMALISE == "unit":
            peak = _divisor(partials, index, tiles, NORMALISE, TILES, EPS)
            tl.store(ties + program, tl.sum(tl.where((x < w) & (value == peak), 1.0, 0.0), 0))
    elif RELU:
        total = tl.where(value > 0, total, 0.0)
    tl.store(out + place, total, mask=x < w)


@triton.jit
def _through_normalisation(
    grad, low, partials, sums, ties, positions, tiles, programs,
    NORMALISE: tl.constexpr, TILES: tl.constexpr, PROGRAMS: tl.constexpr, EPS: tl.constexpr,
    PLACES: tl.constexpr,
):  # fmt: skip
    """In place, the gradient of map / divisor(map), then of the ReLU, for PLACES positions of one map."""
    index = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * PLACES + tl.arange(0, PLACES)
    inside = place < positions
    program = tl.arange(0, PROGRAMS)
    divisor = _divisor(partials, index, tiles, NORMALISE, TILES, EPS)
    inner = tl.sum(tl.load(sums + index * programs + program, mask=program < programs, other=0.0), 0)
    value = tl.load(low + index * positions + place, mask=inside, other=0.0)
    total = tl.load(grad + index * positions + place, mask=inside, other=0.0)
    common = inner / divisor / divisor
    if NORMALISE == "unit":
        shared = tl.sum(tl.load(ties + index * programs + program, mask=program < programs, other=0.0), 0)
        common = tl.where(value == divisor, common / tl.maximum(shared, 1.0), 0.0)
    total = tl.where(value > 0, total / divisor - common, 0.0)
    tl.store(grad + index * positions + place, total, mask=inside)


def _multiply(left: Tensor, right: Tensor, out: Tensor, relu: bool = False, statistic: str = "none") -> Tensor:
    """out (B, M, N) = left (B, M, K) @ right (B, K, N); returns the partial statistics (B, M, tiles)."""
    batch, rows, inner = left.shape
    columns = right.shape[2]
    tile_rows = 1 if rows == 1 else 16 if rows <= 16 else 32
    tile_inner = 64 if rows == 1 else 16 if inner <= 16 else 32
    tile_columns = 32
    tiles = triton.cdiv(columns, tile_columns)
    partials = out.new_empty(batch, rows, tiles if statistic != "none" else 0, dtype=torch.float32)
    _product[(tiles, triton.cdiv(rows, tile_rows), batch)](
        left, right, out, partials, rows, columns, inner, *left.stride(), *right.stride(), *out.stride(),
        RELU=relu, STATISTIC=statistic, ROWS=tile_rows, COLUMNS=tile_columns, INNER=tile_inner,
    )  # fmt: skip
    return partials


class _CamMap(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, weights, relu, normalise, size):
        batch, targets = weights.shape[:2]
        h, w = features.shape[2:]
        mode = normalise or "none"
        low = features.new_empty(batch, targets, h * w, dtype=torch.float32)
        partials = _multiply(weights, features.flatten(2), low, relu, mode)
        if size is None and normalise is None:
            maps = low.view(batch, targets, h, w)
        else:
            height, width = size or (h, w)
            maps = low.new_empty(batch, targets, height, width)
            tiles = partials.shape[2]
            _resample[(batch * targets, triton.cdiv(height * width, 1024))](
                low, partials, maps, h, w, height, width, tiles,
                NORMALISE=mode, TILES=triton.next_power_of_2(max(tiles, 1)), EPS=kernels.EPS, PIXELS=1024,
            )  # fmt: skip
        ctx.save_for_backward(features, weights, low, partials)
        ctx.options = (relu, normalise, size)
        return maps

    @staticmethod
    def backward(ctx, grad):
        features, weights, low, partials = ctx.saved_tensors
        needs = ctx.needs_input_grad
        if torch.is_grad_enabled():  # create_graph: somebody will differentiate this gradient
            inputs = [tensor for tensor, need in zip((features, weights), needs) if need]
            with torch.autocast(features.device.type, enabled=False):
                maps = kernels.torch_cam_map(features, weights, *ctx.options)
            found = iter(torch.autograd.grad(maps, inputs, grad, create_graph=True))
            return *(next(found) if need else None for need in needs[:2]), None, None, None
        with torch.cuda.device_of(features):
            inner = _low_gradient(grad, features, low, partials, *ctx.options)  # (B, T, positions)
            grad_features = grad_weights = None
            if needs[0]:
                last = features.is_contiguous(memory_format=torch.channels_last)
                layout = torch.channels_last if last else torch.contiguous_format
                grad_features = torch.empty(
                    features.shape, dtype=features.dtype, device=features.device, memory_format=layout
                )
                _multiply(weights.transpose(1, 2), inner, grad_features.flatten(2))
            if needs[1]:
                grad_weights = torch.empty_like(weights, memory_format=torch.contiguous_format)
                _multiply(inner, features.flatten(2).transpose(1, 2), grad_weights)
        return grad_features, grad_weights, None, None, None


def _low_gradient(
    grad: Tensor,
    features: Tensor,
    low: Tensor,
    partials: Tensor,
    relu: bool,
    normalise: str | None,
    size: tuple[int, int] | None,
) -> Tensor:
    """The gradient (B, T, positions) of the weighted sum over channels, from that of the finished maps."""
    batch, targets, positions = low.shape
    h, w = features.shape[2:]
    height, width = size or (h, w)
    mode, maps, tiles = normalise or "none", batch * targets, partials.shape[2]
    places = min(16, triton.next_power_of_2(w))
    across = triton.cdiv(w, places)
    inner = torch.empty_like(low)
    sums, ties = low.new_empty(2, maps if normalise else 0, h * across)
    common = {"NORMALISE": mode, "TILES": triton.next_power_of_2(max(tiles, 1)), "EPS": kernels.EPS}
    _adjoint[(maps, h, across)](
        grad, low, partials, inner, sums, ties, targets, h, w, height, width, tiles, *grad.stride(),
        RELU=relu, PLACES=places, PIXELS=64, **common,
    )  # fmt: skip
    if normalise is not None:
        _through_normalisation[(maps, triton.cdiv(positions, 256))](
            inner, low, partials, sums, ties, positions, tiles, h * across,
            PROGRAMS=triton.next_power_of_2(h * across), PLACES=256, **common,
        )  # fmt: skip
    return inner


def cam_map(
    features: Tensor, weights: Tensor, relu: bool, normalise: str | None, size: tuple[int, int] | None
) -> Tensor:
    """`kernels.cam_map` fused: features (B, C, h, w), weights (B, T, C), both float32 or half precision."""
    with torch.cuda.device_of(features):
        return _CamMap.apply(features, weights, relu, normalise, size)
