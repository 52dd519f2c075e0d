"""Small windows within a pen's window: a head is drawn on the few pixels that it needs, which saves most of the time."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from data_fetch.worlds.raster import Number, Pen, Point


@contextmanager
def inset(pen: Pen, centre: Point, half: tuple[float, float]) -> Iterator[Pen]:
    """A pen for the pixels around `centre` alone; what it draws is laid over the drawing when the block ends.

    The drawing is the same as without the inset, as long as it stays within the box of half sides `half`; what is
    beyond is cut off. A pen that is turned has no insets: the block then draws with the pen itself.

    Parameters
    ----------
    centre : (u, v), numbers or (n,).
    half : half the width and height of the box, in units of the pen.
    """
    if pen.u.shape[1] != 1 or pen.v.shape[2] != 1:
        yield pen
        return
    largest = float(pen.scale.max())
    wide, high = (min(pen.window, int(2 * largest * h) + 3) for h in half)
    left, top = _start(pen.u[:, 0], centre[0], wide), _start(pen.v[:, :, 0], centre[1], high)
    part = copy.copy(pen)
    columns = left[:, None] + torch.arange(wide, device=left.device)
    lines = top[:, None] + torch.arange(high, device=top.device)
    part.u = pen.u[:, 0].gather(1, columns)[:, None]
    part.v = pen.v[:, :, 0].gather(1, lines)[:, :, None]
    part.colours = pen.colours.new_zeros(len(pen), 4, high, wide)
    part.parts = pen.parts.new_zeros(len(pen), high, wide)
    yield part
    _lay(pen.colours, part.colours, left, lines)
    _stamp(pen.parts, part.parts, left, lines)


def _start(axis: Tensor, centre: Number, length: int) -> Tensor:
    """(n,): the first of `length` pixels around `centre`, all of them on the axis (n, W)."""
    centre = centre[:, None] if isinstance(centre, Tensor) else centre
    return ((axis - centre).abs().argmin(1) - length // 2).clamp(0, axis.shape[1] - length)


def _runs(planes: Tensor, length: int) -> Tensor:
    """Every run of `length` neighbours in memory, as a view."""
    return planes.view(-1).as_strided((planes.numel() - length + 1, length), (1, 1))


def _lay(colours: Tensor, over: Tensor, left: Tensor, lines: Tensor) -> None:
    count, _, side, _ = colours.shape
    plane = torch.arange(count * 4, device=left.device).view(count, 4, 1) * side * side
    starts = (plane + (lines * side + left[:, None])[:, None]).view(-1)
    runs = _runs(colours, over.shape[-1])
    under = runs[starts].view(over.shape)
    runs[starts] = (under + over).addcmul_(under, over[:, 3:], value=-1).view(-1, over.shape[-1])


def _stamp(parts: Tensor, over: Tensor, left: Tensor, lines: Tensor) -> None:
    count, side, _ = parts.shape
    plane = torch.arange(count, device=left.device)[:, None] * side * side
    starts = (plane + lines * side + left[:, None]).view(-1)
    runs = _runs(parts, over.shape[-1])
    runs[starts] = torch.where(over > 0, over, runs[starts].view(over.shape)).view(-1, over.shape[-1])
