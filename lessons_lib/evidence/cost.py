"""What does a map cost? Passes, time and memory of an explanation, against one plain forward pass."""

from __future__ import annotations

import gc
import statistics
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lessons_lib.explain.inputs import check_images, check_mode


@dataclass(frozen=True)
class Cost:
    """What one call cost, for a batch of images.

    forward_passes : images sent through the whole model, divided by the batch.
    backward_passes : gradients sent back from the model's output (one for each score and image), divided by
        the batch. A pass that stops at an inner layer, as Grad-CAM's does, counts as one too; the time shows
        the difference.
    seconds_ratio, memory_ratio : time and peak memory, over those of a plain forward pass without a graph.
    seconds, peak_bytes : the call's own median time and peak memory.
    """

    forward_passes: float
    backward_passes: float
    seconds_ratio: float
    memory_ratio: float
    seconds: float
    peak_bytes: int


def cost(explain: Callable[[], object], model: nn.Module, images: Tensor, *, repeats: int = 5) -> Cost:
    """Measure `explain()`, a call that explains `model` on `images`, against `model(images)` without a graph.

    Time: both are timed in turn `repeats` times after a first run of each, and the median of the ratios is
    taken, so that a slow moment of the machine hits both. Memory: see `peak_memory`.

    Parameters
    ----------
    explain : takes nothing, e.g. `lambda: grad_cam(model, images)`; it is called repeats + 3 times.
    model : in eval mode.  images : (B, C, H, W), what the model takes.

    Returns
    -------
    Cost. Only calls of `model` itself are counted as passes: an explanation that calls its layers one by one
    counts 0.

    Raises
    ------
    ValueError : images, BatchNorm in training mode, repeats < 1, a model that allocates nothing.
    """
    check_images(images)
    check_mode(model)
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")

    def plain() -> Tensor:
        with torch.no_grad():
            return model(images)

    plain(), explain()  # first calls fill caches (a layer found once, compiled kernels, workspaces)
    base = peak_memory(plain, images.device)
    if base == 0:
        raise ValueError("the model's forward pass allocates nothing: there is nothing to compare with")
    with _counted(model) as passes:
        explain()
    peak = peak_memory(explain, images.device)
    times = [(_seconds(plain, images.device), _seconds(explain, images.device)) for _ in range(repeats)]
    return Cost(
        forward_passes=passes["forward"] / len(images),
        backward_passes=passes["backward"] / len(images),
        seconds_ratio=statistics.median(long / short for short, long in times),
        memory_ratio=peak / base,
        seconds=statistics.median(long for _, long in times),
        peak_bytes=peak,
    )


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    result = call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - start
    del result  # freeing it is not part of the call
    return seconds


@contextmanager
def _counted(model: nn.Module) -> Iterator[dict[str, int]]:
    """Count the images that go through `model`, and the gradients that come back from its output."""
    passes = {"forward": 0, "backward": 0}

    def back(grad: Tensor) -> None:
        passes["backward"] += grad.shape[0] * _batched(grad) if grad.ndim else 1

    def hook(_module: nn.Module, args: tuple, kwargs: dict, output: object) -> None:
        taken = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor) and leaf.ndim]
        passes["forward"] += taken[0].shape[0] if taken else 1
        given = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor) and leaf.requires_grad]
        if given:
            given[0].register_hook(back)

    handle = model.register_forward_hook(hook, with_kwargs=True)
    try:
        yield passes
    finally:
        handle.remove()


class _Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that an operation puts out."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(output):
            if isinstance(leaf, Tensor):
                self.elements = max(self.elements, leaf.numel())
        return output


def _batched(grad: Tensor) -> int:
    """How many gradients travel together (`is_grads_batched`): that axis does not show in the shape."""
    with _Largest() as largest:
        grad.mul(1)
    return max(1, largest.elements // max(1, grad.numel()))


def peak_memory(call: Callable[[], object], device: torch.device | str = "cpu") -> int:
    """The most bytes that tensors allocated during `call` held at one time (its result included).

    On CUDA it is the allocator's own peak. Elsewhere every operation is watched and the life of each tensor's
    storage followed: exact and the same in every run, but working space inside a single operation and NumPy
    arrays are not seen.
    """
    device = torch.device(device)
    if device.type == "cuda":
        gc.collect()  # garbage of earlier calls must not be freed during this one
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        result = call()
        torch.cuda.synchronize(device)
        peak = torch.cuda.max_memory_allocated(device) - before
        del result
        return peak
    with _Storages() as storages:
        result = call()
        del result
    return storages.peak


class _Storages(TorchDispatchMode):
    """Follows each storage that an operation creates from its first sight to its end."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = self.peak = 0
        self._seen: dict[int, weakref.ref] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = {storage._cdata for storage in _storages((args, kwargs))}
        output = func(*args, **kwargs)
        for storage in _storages(output):
            key = storage._cdata
            if key not in given and key not in self._seen:  # a view of what the caller had is not new
                self._watch(key, storage)
        self.peak = max(self.peak, self.alive)
        return output

    def _watch(self, key: int, storage: torch.UntypedStorage) -> None:
        size = storage.nbytes()

        def gone(_ref: weakref.ref) -> None:
            if self._seen.pop(key, None) is not None:
                self.alive -= size

        self._seen[key] = weakref.ref(storage, gone)
        self.alive += size


def _storages(values: object) -> Iterator[torch.UntypedStorage]:
    for leaf in tree_leaves(values):
        if isinstance(leaf, Tensor) and leaf.layout == torch.strided:
            yield leaf.untyped_storage()
