"""How soon a thread that waits for the interpreter's lock asks the one that has it to let go.

Python's own interval is 5 ms: so long a flow's thread would wait after each system call while the
event loop is busy, and at 1 Gbit/s a block of 256 KB takes 2 ms. But every thread that waits wakes
once in each interval to look, which a thousand of them at 0.5 ms did 115,000 times a second: that
was most of what the daemon did. So the interval grows with the number of threads.

And where there are many, the flows' threads take turns among themselves before they ask for the
interpreter's lock: with a thousand in that queue the event loop would wait for each of them, again
after every system call, and answer nobody for minutes.
"""

from __future__ import annotations

import itertools
import sys
import threading

FEW_S = 0.0005
"""With as many threads as serve a handful of flows."""
EACH_S = 20e-6
"""All that wait look 50,000 times a second at the very most."""


def interval_s(threads: int) -> float:
    """For so many threads."""
    return max(FEW_S, threads * EACH_S)


def adapt_switching() -> None:
    """To the threads that there are now; from any thread."""
    sys.setswitchinterval(interval_s(threading.active_count()))


MANY_THREADS = 64
"""Fewer do not take turns: they do not wait for each other long enough."""
_TURNS = tuple(threading.Lock() for _ in range(4))
"""So many threads may ask for the interpreter's lock beside the event loop's and the sampler's."""
_numbers = itertools.count()


class Turn:
    """One flow's right to work, from a wake to the next wait: `with turn` around all of its work.

    Used by that flow's thread only. Not to be kept while waiting for another flow's thread, which
    may need the same turn: wait with `turn.left`.
    """

    def __init__(self) -> None:
        self._lock = _TURNS[next(_numbers) % len(_TURNS)]
        self._mine = False
        self.left = _Left(self)

    def __enter__(self) -> Turn:
        """Wait until it is this flow's turn, if there are many."""
        if threading.active_count() > MANY_THREADS:
            self._lock.acquire()
            self._mine = True
        return self

    def __exit__(self, *_: object) -> None:
        """Let the next one work."""
        if self._mine:
            self._mine = False
            self._lock.release()


class _Left:
    """The turn is another's inside this block."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    def __enter__(self) -> None:
        self._turn.__exit__()

    def __exit__(self, *_: object) -> None:
        self._turn.__enter__()
