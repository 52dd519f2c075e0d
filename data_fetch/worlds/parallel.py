"""Chunks of images rendered side by side, one thread a chunk.

Drawing is thousands of short operations. Torch's own threads wait for each other after each of them, which on cores
that other programs use too can take longer than the drawing; chunks wait for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch


def in_chunks(work: Callable[[slice], object], count: int, chunk: int, device: torch.device | str = "cpu") -> None:
    """Call `work(rows)` for consecutive slices that cover `count` rows, at most `chunk` rows each.

    On the CPU as many calls run at a time as torch has threads, each with one thread; elsewhere one after the other.
    The calls must not depend on each other. An error in one of them is raised here.
    """
    threads = torch.get_num_threads() if torch.device(device).type == "cpu" else 1
    pieces = max(1, -(-count // chunk))
    pieces = -(-pieces // threads) * threads if count >= 64 * threads else pieces  # every thread gets as many rows
    size = -(-count // pieces)
    slices = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    if threads == 1 or len(slices) == 1:
        for rows in slices:
            work(rows)
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(work, slices))
    finally:
        torch.set_num_threads(threads)  # the workers' call counts for threads that are made later, too
