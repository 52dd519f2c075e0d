"""One thread behind the page: what the reader does comes first, drawing waits and is given up when it is out of date."""

from __future__ import annotations

import atexit
import threading
from collections import deque
from collections.abc import Callable, Hashable


class Interrupted(Exception):
    """Raised inside a drawing that is out of date: the reader has done something else."""


class Worker:
    """Runs actions in the order in which they were posted, and then the drawing of every place that they touched.

    All that changes the state of the page runs here, one after the other, so that nothing needs a lock and the
    notebook's kernel stays free for the reader's next click. A long drawing calls `check` now and then.

    Parameters
    ----------
    threaded : False runs everything at once in `post`: for tests and scripts.

    Attributes
    ----------
    inside : whether the present code runs in the worker: changes of widgets then come from the page itself.
    """

    def __init__(self, *, threaded: bool = True) -> None:
        self._actions: deque[tuple[Hashable, Callable[[], None], Callable[[], None]]] = deque()
        self._drawings: dict[Hashable, Callable[[], None]] = {}  # the last one touched is drawn first
        self._news = threading.Condition()
        self._owner: int | None = None
        self._threaded = threaded
        self._thread: threading.Thread | None = None
        self._busy = self._closed = False
        atexit.register(self.close)

    @property
    def inside(self) -> bool:
        return self._owner == threading.get_ident()

    def post(self, place: Hashable, action: Callable[[], None], draw: Callable[[], None]) -> None:
        """Do `action`, then `draw` the place unless it is touched again before. Neither may raise."""
        with self._news:
            self._actions.append((place, action, draw))
            self._news.notify_all()
        if not self._threaded:
            self._run(forever=False)
        elif self._thread is None:
            self._thread = threading.Thread(target=self._run, name="demo", daemon=True)
            self._thread.start()

    def check(self, *, for_actions: bool = True) -> None:
        """Raise `Interrupted` when the worker was closed or, with `for_actions`, when an action waits."""
        if self._closed or (for_actions and self._actions):
            raise Interrupted

    def now(self, action: Callable[[], None]) -> None:
        """Do `action` in the calling thread as if it were the worker's: for what comes before the first `post`."""
        if self._thread is not None:
            raise RuntimeError("the worker's thread runs already: post the action")
        before, self._owner = self._owner, threading.get_ident()
        try:
            action()
        finally:
            self._owner = before

    def close(self) -> None:
        """End the thread, at the next `check` of what it does; at the latest when Python ends."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        if self._thread is not None and not self.inside:
            self._thread.join(10)

    def wait(self, seconds: float = 60.0) -> bool:
        """Wait until nothing is left to do; False when the time is up."""
        with self._news:
            return self._news.wait_for(lambda: not (self._actions or self._drawings or self._busy), seconds)

    def _run(self, forever: bool = True) -> None:
        if not forever and self.inside:  # posted by an action: the loop that runs it comes to it
            return
        before, self._owner = self._owner, threading.get_ident()
        try:
            while (job := self._next(forever)) is not None:
                job()
        finally:
            self._owner = before

    def _next(self, forever: bool) -> Callable[[], None] | None:
        with self._news:
            self._busy = False
            self._news.notify_all()
            while forever and not (self._actions or self._drawings or self._closed):
                self._news.wait()
            if self._closed:
                return None
            if self._actions:
                place, action, draw = self._actions.popleft()
                self._drawings.pop(place, None)
                self._drawings[place] = draw
                self._busy = True
                return action
            if not self._drawings:
                return None
            place, draw = self._drawings.popitem()
            self._busy = True

        def attempt() -> None:
            try:
                draw()
            except Interrupted:
                self._drawings.setdefault(place, draw)

        return attempt
