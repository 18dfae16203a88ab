"""One thread that looks at everything worth sampling, at a fixed interval, while there is any.

It reads `struct tcp_info` of every open connection and the resident memory of the process. One
thread for all: the cost per sample is one getsockopt call, and nothing runs when nothing is
registered. Where there is so much to look at that a sweep takes long, sweeps come less often: they
measure, and must not be what is measured.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol

DEFAULT_INTERVAL_NS = 50_000_000
SWEEP_EVERY = 20
"""Times its own CPU time: a twentieth of a CPU. Two thousand connections are looked at about once
a second."""


class Sampled(Protocol):
    """Something with a value to look at now and then."""

    def sample(self, now_ns: int) -> None:
        """Take one sample. Called from the sampler's thread; must be quick and not raise."""
        ...


class Sampler:
    """Calls `sample` on every registered object each `interval_ns`, on a steady grid."""

    def __init__(self, interval_ns: int = DEFAULT_INTERVAL_NS) -> None:
        self._interval_ns = interval_ns
        self._changed = threading.Condition()
        self._targets: set[Sampled] = set()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="sampler")
        self._thread.start()

    def add(self, target: Sampled) -> None:
        """Start sampling `target`."""
        with self._changed:
            self._targets.add(target)
            self._changed.notify()

    def remove(self, target: Sampled) -> None:
        """Stop sampling `target`; a sample that is under way may still come."""
        with self._changed:
            self._targets.discard(target)

    def close(self) -> None:
        """End the thread and wait for it."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        next_ns = time.monotonic_ns()
        while True:
            with self._changed:
                while not self._closed:
                    if self._targets:
                        left_ns = next_ns - time.monotonic_ns()
                        if left_ns <= 0:
                            break
                        self._changed.wait(left_ns / 1e9)
                    else:
                        self._changed.wait()
                        next_ns = time.monotonic_ns()
                if self._closed:
                    return
                targets = tuple(self._targets)
            begun_ns = time.thread_time_ns()
            for target in targets:
                target.sample(time.monotonic_ns())
            spent_ns = time.thread_time_ns() - begun_ns
            next_ns = following_ns(next_ns, time.monotonic_ns(), spent_ns, self._interval_ns)


def following_ns(due_ns: int, now_ns: int, spent_ns: int, interval_ns: int) -> int:
    """The next point of the grid after a sweep that was due at `due_ns` and took `spent_ns` of CPU.

    Points that were missed (a busy machine) are left out, not made up for, and so are those at
    which a sweep would take more than its share of the CPU.
    """
    wait_ns = max(now_ns + 1 - due_ns, spent_ns * SWEEP_EVERY, 1)
    return due_ns + -(-wait_ns // interval_ns) * interval_ns
