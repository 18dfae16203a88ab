"""SIGINT and SIGTERM as a request to finish: the current task is cancelled once."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)
Report = Callable[[str, bool], None]
"""Takes the signal's name, and whether one had come before."""


class Interrupts:
    """Remembers the first signal; every later one is only reported.

    A second Ctrl-C must not tear a hole into the tear-down: what it leaves behind would need
    `sentinel-sim clean`.
    """

    def __init__(self, task: asyncio.Task[object], report: Report) -> None:
        self._task = task
        self._report = report
        self._closing = False
        self.signal_name: str | None = None

    def close(self) -> None:
        """From here on the network is being taken down: signals are reported, nothing more."""
        self._closing = True

    def trip(self, signal_name: str) -> None:
        """What a signal does."""
        again = self._closing or self.signal_name is not None
        self._report(signal_name, again)
        if not again:
            self.signal_name = signal_name
            self._task.cancel(signal_name)


Catching = Callable[[Report], AbstractContextManager[Interrupts]]
"""Within a coroutine: what can interrupt the current task."""


def _current_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("interrupts need a running task")
    return task


@contextmanager
def catching(report: Report) -> Iterator[Interrupts]:
    """Within a coroutine: turn signals into one cancellation of the current task."""
    loop = asyncio.get_running_loop()
    interrupts = Interrupts(_current_task(), report)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        loop.add_signal_handler(number, interrupts.trip, number.name)
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


class Remote:
    """Interrupts from another thread: Python hands signals to the main thread alone.

    Used where the event loop of the main thread is somebody else's, as in a notebook.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._target: tuple[asyncio.AbstractEventLoop, Interrupts] | None = None
        self._early: str | None = None

    @contextmanager
    def catching(self, report: Report) -> Iterator[Interrupts]:
        """A `Catching`: what `trip` interrupts."""
        interrupts = Interrupts(_current_task(), report)
        with self._lock:
            self._target = (asyncio.get_running_loop(), interrupts)
            early = self._early
        if early is not None:
            interrupts.trip(early)
        try:
            yield interrupts
        finally:
            with self._lock:
                self._target = None

    def trip(self, signal_name: str) -> None:
        """What a signal does; one that comes too early waits for the task."""
        with self._lock:
            if self._target is None:
                self._early = signal_name
                return
            loop, interrupts = self._target
            loop.call_soon_threadsafe(interrupts.trip, signal_name)
