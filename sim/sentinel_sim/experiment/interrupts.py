"""SIGINT and SIGTERM as a request to finish: the current task is cancelled once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Remembers the first signal; every later one is only reported.

    A second Ctrl-C must not tear a hole into the tear-down: what it leaves behind would need
    `sentinel-sim clean`.
    """

    def __init__(self, task: asyncio.Task[object], report: Callable[[str, bool], None]) -> None:
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


@contextmanager
def catching(report: Callable[[str, bool], None]) -> Iterator[Interrupts]:
    """Within a coroutine: turn signals into one cancellation of the current task."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("catching() needs a running task")
    loop = asyncio.get_running_loop()
    interrupts = Interrupts(task, report)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        loop.add_signal_handler(number, interrupts.trip, number.name)
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
