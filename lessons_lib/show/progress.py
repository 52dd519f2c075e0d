"""A line that tells how far a training is; in a notebook it is one output that is rewritten, not a page of them."""

from __future__ import annotations

import time
from collections.abc import Callable

_BAR = 24  # characters


def progress(label: str, *, every: float = 0.5) -> Callable[..., None]:
    """A callback for `fit(progress=...)`, or for anything that calls it with (done, total).

    label : what is being done.  every : seconds between two updates; the last step is always told.
    """
    started, told = time.perf_counter(), [-every]
    handle: list = []

    def tell(report, total: int | None = None) -> None:
        done, of = (report.step, report.steps) if total is None else (report, total)
        seconds = time.perf_counter() - started
        if done < of and seconds - told[0] < every:
            return
        told[0] = seconds
        full = round(_BAR * done / max(of, 1))
        left = f", about {seconds * (of - done) / max(done, 1):.0f} s left" if done < of else ""
        _put(handle, f"{label:12s} |{'█' * full}{'·' * (_BAR - full)}| {done} of {of} steps, {seconds:.0f} s{left}")

    return tell


class _Line:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _put(handle: list, text: str) -> None:
    """Write the line anew: as one display in a notebook, on one line of a terminal elsewhere."""
    try:
        from IPython import get_ipython
        from IPython.display import display

        notebook = get_ipython() is not None and hasattr(get_ipython(), "kernel")
    except ImportError:
        notebook = False
    if not notebook:
        print("\r" + text, end="" if "left" in text else "\n", flush=True)
    elif handle:
        handle[0].update(_Line(text))
    else:
        handle.append(display(_Line(text), display_id=True))
