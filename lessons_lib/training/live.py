"""A training that goes on while the notebook stays usable: Stop, sliders and the painter work between its
steps.
"""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Report = TypeVar("Report")


class LiveSession(Generic[Report]):
    """Drive a generator of steps without blocking the notebook.

    The steps run in an asyncio task that lets the event loop in after each of them: on every kernel
    generation this is what lets a Stop button work. Depending on the kernel, widget callbacks arrive on the
    same or on another thread, so whoever touches the model in a callback takes the lock: `with session.lock:
    ...`.

    Parameters
    ----------
    steps : any iterator, such as `fit_steps(...)`; a step is one `next()`, made under the lock.
    on_step : called with what each step yields, under the lock too.
    on_error : called with the traceback as text when a step or `on_step` raises. The error is kept in `error`
        and raised again by `finished()`, so that it is seen in the notebook and fails its test.
    on_end : called once each time the session ends, stops or fails.

    Attributes
    ----------
    lock (re-entrant), running, ended (the steps are used up), error.
    """

    def __init__(
        self,
        steps: Iterator[Report],
        on_step: Callable[[Report], None] | None = None,
        *,
        on_error: Callable[[str], None] | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        self.lock = threading.RLock()
        self.error: BaseException | None = None
        self.ended = False
        self._steps = iter(steps)
        self._on_step, self._on_error, self._on_end = on_step, on_error, on_end
        self._stop = threading.Event()
        self._task: asyncio.Task | None = None

    @property
    def running(self) -> bool:
        """Whether a task is at work."""
        return self._task is not None and not self._task.done()

    def start(self) -> LiveSession[Report]:
        """Go on in the background, and return at once; after `stop` it continues where it was.

        Raises
        ------
        RuntimeError : no event loop runs here (a script): call `run()` instead.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError as error:
            raise RuntimeError("no event loop runs here (a notebook has one): call run() instead") from error
        if not self.running:
            self._stop.clear()
            self._task = loop.create_task(self._live())
        return self

    def run(self) -> LiveSession[Report]:
        """The same steps in a plain loop, until they end or `stop` is called: for scripts and tests."""
        self._stop.clear()
        try:
            while self._advance():
                pass
        finally:
            self._finish()
        return self

    def stop(self) -> None:
        """Stop after the step that is under way; safe from any thread and any callback."""
        self._stop.set()

    async def finished(self) -> LiveSession[Report]:
        """Wait until the session has ended or stopped, and raise again what went wrong in it.

        End a cell with `await session.finished()` where its result is needed, and in tested notebooks always.
        """
        if self._task is not None:
            await asyncio.wait([self._task])
        if self.error is not None:
            raise self.error
        return self

    def _advance(self) -> bool:
        """One step; False when there is nothing more to do."""
        if self._stop.is_set():
            return False
        with self.lock:
            try:
                report = next(self._steps)
            except StopIteration:
                self.ended = True
                return False
            except BaseException as error:
                self._fail(error)
                raise
            try:
                if self._on_step is not None:
                    self._on_step(report)
            except BaseException as error:
                self._fail(error)
                raise
        return True

    def _fail(self, error: BaseException) -> None:
        self.error = error
        if self._on_error is not None:
            self._on_error("".join(traceback.format_exception(error)))

    def _finish(self) -> None:
        if self._on_end is not None:
            self._on_end()

    async def _live(self) -> None:
        try:
            while self._advance():
                await asyncio.sleep(0)  # lets Stop, sliders and the painter in
        except Exception:
            # `_fail` has kept it and shown it; `finished` raises it. Raised here too, asyncio would print it
            # again.
            return
        finally:
            self._finish()
