"""Explanations that only ask: change the image, watch the score. Occlusion, RISE, and their common core.

References
----------
Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", arXiv 1311.2901 (occlusion).
Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models",
arXiv 1806.07421.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lessons_lib.explain.inputs import Target, check_images, check_mode, target_indices, target_scores
from lessons_lib.explain.maps import interpolation_matrix
from lessons_lib.explain.segments import fill_values

Score = str | Callable[[Tensor], Tensor]
Progress = Callable[[int, int], object] | None


@dataclass(frozen=True)
class Answers:
    """What a model said to changed images.

    clean : (B, T) scores of the images themselves.
    scores : (B, N, T) scores of the N variants of each image.
    several : whether the target named T scores an image (else T = 1 and maps lose that axis).
    """

    clean: Tensor
    scores: Tensor
    several: bool

    def squeeze(self, values: Tensor) -> Tensor:
        """Values (B, T, ...) without the axis T when the target named one score an image."""
        return values if self.several else values[:, 0]


def ask(
    model: nn.Module,
    images: Tensor,
    target: Target,
    change: Callable[[Tensor, Tensor], Tensor],
    variants: int,
    *,
    score: Score = "logit",
    batch_size: int = 64,
    progress: Progress = None,
) -> Answers:
    """Scores of `variants` changed versions of every image, in batches, without a graph, for a fixed target.

    Parameters
    ----------
    model, images : as everywhere; the model in eval mode.
    target : None is resolved on the clean images and kept: a changed image is asked about the same class. All
        targets share the forward passes. A target function is always handed the outputs of the B images in
        their order, so it may hold something of each image (its label, its caption); then B images go in one
        pass, even where B is larger than `batch_size`.
    change : (rows (n,), variants (n,)) -> images (n, C, H, W): variant `variants[i]` of image `rows[i]`.
    variants : N, the number of versions of each image.
    score : "logit" (the model's output), "probability" (its softmax) or a function from logits (n, K) to
        scores (n, K), such as `torch.sigmoid`. A target function makes the score itself: then it is not used.
    batch_size : changed images in a forward pass.
    progress : called as progress(done, total) after each pass, counting changed images.

    Raises
    ------
    TypeError, ValueError : bad images, mode, target, score or batch size; a score that is NaN or infinite.
    """
    check_images(images)
    check_mode(model)
    check_count("batch_size", batch_size)
    if not callable(score) and score not in ("logit", "probability"):
        raise ValueError(f"score must be 'logit', 'probability' or a function of the logits, not {score!r}")
    images, batch = images.detach(), len(images)
    with torch.no_grad():
        own = callable(target)
        output = _clean_output(model, images, batch if own else batch_size)
        indices = target_indices(output, target)
        clean = target_scores(output, target) if own else _pick(output, indices, score)
        splits = isinstance(output, Tensor) and output.ndim > 0 and len(output) == batch
        step = (batch * max(1, batch_size // batch) if splits else batch) if own else batch_size
        scores, total = [], batch * variants
        for start in range(0, total, step):
            which = torch.arange(start, min(start + step, total), device=images.device)
            rows = which % batch
            output = model(change(rows, which // batch))
            if not own:
                scores.append(_pick(output, indices[rows], score))
            elif splits:
                scores += [target_scores(part, target) for part in output.split(batch)]
            else:
                scores.append(target_scores(output, target))
            if progress is not None:
                progress(min(start + step, total), total)
    several = clean.ndim == 2
    answers = torch.cat(scores).reshape(variants, batch, -1).transpose(0, 1)
    if not torch.isfinite(answers).all():
        raise ValueError("the score of a changed image is NaN or infinite: choose a finite score, such as the logit")
    return Answers(_at_least_float32(clean).reshape(batch, -1), _at_least_float32(answers), several)


def _clean_output(model: nn.Module, images: Tensor, batch_size: int) -> Tensor:
    outputs = [model(part) for part in images.split(batch_size)]
    return torch.cat(outputs) if all(isinstance(o, Tensor) for o in outputs) else outputs[0]


def _pick(output: Tensor, indices: Tensor, score: Score) -> Tensor:
    """Scores of the classes `indices` (n,) or (n, T) from logits (n, K)."""
    values = _at_least_float32(output)
    if callable(score):
        values = score(values)
        if not isinstance(values, Tensor) or values.shape != output.shape:
            got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ValueError(f"score must turn logits {tuple(output.shape)} into as many scores, it returned {got}")
    elif score == "probability":
        values = values.softmax(1)
    return values.gather(1, indices[:, None])[:, 0] if indices.ndim == 1 else values.gather(1, indices)


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def check_count(name: str, value: int, least: int = 1) -> None:
    """Raise when `value` is not a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def window_starts(side: int, window: int, stride: int) -> list[int]:
    """Where windows begin along a side: every `stride`, and a last one that ends at the border."""
    starts = list(range(0, side - window + 1, stride))
    return starts if starts[-1] == side - window else [*starts, side - window]


def occlusion(
    model: nn.Module,
    images: Tensor,
    target: Target = None,
    *,
    window: int | tuple[int, int] | None = None,
    stride: int | tuple[int, int] | None = None,
    fill: float | str | Tensor = 0.5,
    score: Score = "logit",
    size: str | None = "images",
    batch_size: int = 64,
    progress: Progress = None,
) -> Tensor:
    """Occlusion maps: how far the score drops when a patch is covered (Zeiler and Fergus, arXiv 1311.2901).

    Parameters
    ----------
    model, images, target, score, batch_size, progress : see `ask`.
    window : the patch's side, or (height, width); default: a seventh of the image's sides, 32 for 224 pixels.
    stride : step of the patch, or (down, across), at most the window; default: half the window. When the
        steps do not end at the border, one more patch of full size does, so every pixel is covered.
    fill : grey 0.5, another number, "mean" (the image's own mean colour), a colour (C,) or a tensor.
    size : "images" gives every pixel the mean drop over the patches that cover it; None the grid of drops,
        whose patches begin at `window_starts` down and across.

    Returns
    -------
    (B, H, W) or (B, T, H, W), with size=None (B, gh, gw) or (B, T, gh, gw); in units of the score: positive
    where covering lowers it, negative where covering raises it.

    Raises
    ------
    TypeError, ValueError : a window that does not fit, a stride above the window, a bad fill; see also `ask`.
    """
    check_images(images)
    if size not in ("images", None):
        raise ValueError(f"size must be 'images' or None (the grid of drops), not {size!r}")
    images = images.detach()
    sides = tuple(images.shape[-2:])
    window = _pair("window", window, tuple(max(1, round(side / 7)) for side in sides), sides, "the image")
    stride = _pair("stride", stride, tuple(max(1, side // 2) for side in window), window, "the window")
    covered = [
        _covered(side, w, s, images.device) for side, w, s in zip(sides, window, stride)
    ]  # bool (gh, H) and (gw, W)
    (down, across), grid = covered, (len(covered[0]), len(covered[1]))
    colour = fill_values(images, fill)

    def cover(rows: Tensor, which: Tensor) -> Tensor:
        patch = down[which // grid[1], :, None] & across[which % grid[1], None, :]  # (n, H, W)
        return torch.where(patch[:, None], colour[rows], images[rows])

    options = {"score": score, "batch_size": batch_size, "progress": progress}
    answers = ask(model, images, target, cover, grid[0] * grid[1], **options)
    drops = (answers.clean[:, None] - answers.scores).transpose(1, 2).unflatten(2, grid)  # (B, T, gh, gw)
    if size == "images":
        rows, columns = (matrix.to(drops.dtype) for matrix in covered)
        drops = (rows.t() @ drops @ columns) / (rows.sum(0)[:, None] * columns.sum(0))
    return answers.squeeze(drops)


def _pair(name: str, value: int | tuple[int, int] | None, default: tuple, limit: tuple, what: str) -> tuple[int, int]:
    pair = default if value is None else (value, value) if isinstance(value, int) else value
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise TypeError(f"{name} must be a whole number or a pair (height, width), not {value!r}")
    for one in pair:
        check_count(name, one)
    if pair[0] > limit[0] or pair[1] > limit[1]:
        raise ValueError(f"{name} {tuple(pair)} is larger than {what}, {tuple(limit)}")
    return tuple(pair)


def _covered(side: int, window: int, stride: int, device: torch.device) -> Tensor:
    """Which places along a side each window covers: bool (windows, side)."""
    starts = torch.tensor(window_starts(side, window, stride), device=device)[:, None]
    places = torch.arange(side, device=device)
    return (places >= starts) & (places < starts + window)


def rise_grids(
    masks: int, size: tuple[int, int], *, cells: int = 7, keep: float = 0.5, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """What RISE draws for images of `size` (H, W): grids (N, s, s) of 0 and 1, and each one's crop (N, 2).

    Each of the s x s cells is kept (1) with probability `keep`. A cell is ceil(side / s) pixels; the crop
    begins at 0 to cell - 1. `rise_masks` turns them into masks.
    """
    check_count("masks", masks)
    check_count("cells", cells)
    if isinstance(keep, bool) or not isinstance(keep, int | float) or not 0 < keep <= 1:
        raise ValueError(f"keep must be a probability above 0 and at most 1, not {keep!r}")
    draw = {"generator": generator, "device": generator.device}
    grids = (torch.rand(masks, cells, cells, **draw) < keep).float()
    return grids, torch.stack([torch.randint(math.ceil(side / cells), (masks,), **draw) for side in size], 1)


def rise_masks(grids: Tensor, shifts: Tensor, size: tuple[int, int]) -> Tensor:
    """RISE's masks (n, H, W) in [0, 1]: grids enlarged bilinearly to s + 1 cells a side, cropped at `shifts`.

    Every pixel's expected value is the probability that a cell is kept.
    """
    down, across = (_cropped_rows(grids, shifts[:, axis], size[axis]) for axis in (0, 1))
    return down @ grids @ across.transpose(1, 2)


def _cropped_rows(grids: Tensor, shifts: Tensor, side: int) -> Tensor:
    """Weights of the s cells at places `shift ... shift + side - 1` of the enlargement: (n, side, s)."""
    cells = grids.shape[-1]
    places = (cells + 1) * math.ceil(side / cells)
    whole = interpolation_matrix(cells, places, device=grids.device, dtype=grids.dtype)
    return whole[shifts[:, None] + torch.arange(side, device=grids.device)]


def rise(
    model: nn.Module,
    images: Tensor,
    target: Target = None,
    *,
    masks: int = 1000,
    cells: int = 7,
    keep: float = 0.5,
    fill: float | str | Tensor = 0.0,
    score: Score = "probability",
    seed: int = 0,
    generator: torch.Generator | None = None,
    batch_size: int = 64,
    progress: Progress = None,
) -> Tensor:
    """RISE: Sal = 1 / (N p) sum_n f(x * M_n) M_n over random masks M_n (Petsiuk et al., arXiv 1806.07421).

    Parameters
    ----------
    model, images, target, score, batch_size, progress : see `ask`.
    masks : N, the same masks for all images and targets.
    cells : s, cells along a side of a mask.  keep : p, the probability that a cell is kept.
    fill : what a mask of 0 shows: x * M + fill * (1 - M). 0 is black, the formula above. The official code
        multiplies images that are already normalised and so fades to the mean colour: give that, (C,).
    seed : for the masks; `generator`, when given, is drawn from instead.

    Returns
    -------
    (B, H, W) or (B, T, H, W), in units of the score; >= 0 for a score that is. The level says little (a
    constant score s gives about s everywhere); what matters is where a map is higher.

    Raises
    ------
    TypeError, ValueError : bad numbers of masks or cells, `keep` outside (0, 1]; see also `ask`.
    """
    check_images(images)
    images, size = images.detach(), tuple(images.shape[-2:])
    generator = torch.Generator().manual_seed(seed) if generator is None else generator
    grids, shifts = rise_grids(masks, size, cells=cells, keep=keep, generator=generator)
    grids, shifts = grids.to(images.device), shifts.to(images.device)
    colour = fill_values(images, fill)

    def fade(rows: Tensor, which: Tensor) -> Tensor:
        mask = rise_masks(grids[which], shifts[which], size)[:, None].to(images.dtype)
        return images[rows] * mask + colour[rows] * (1 - mask)

    options = {"score": score, "batch_size": batch_size, "progress": progress}
    answers = ask(model, images, target, fade, masks, **options)
    total = answers.scores.new_zeros(*answers.clean.shape, *size)
    for start in range(0, masks, batch_size):  # made again rather than kept: 4,000 at 224 pixels are 0.8 GB
        part = slice(start, start + batch_size)
        made = rise_masks(grids[part], shifts[part], size).to(total.dtype)
        total += torch.einsum("bnt,nhw->bthw", answers.scores[:, part], made)
    return answers.squeeze(total / (masks * keep))
