"""The heartbeat of user space: without it the FSU keeps its hands off the packets (fail open).

Whoever acts on what the FSU knows beats its map; when that process dies, the program counts
packets as bypassed once the latest beat is older than the timeout, and looks at none of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from sentinel_bpf import abi, maps
from sentinel_bpf.errors import BpfError

TIMEOUT_NS = 1_000_000_000
"""After the latest beat. With INTERVAL_S, a death is noticed within 1.25 s."""
INTERVAL_S = 0.25
"""Four beats in a timeout: a pause of the interpreter does not look like death."""

_KEY = maps.index_key(0)


def beat(fd: int, *, timeout_ns: int = TIMEOUT_NS, now_ns: int | None = None) -> None:
    """One beat into fsu_heartbeat, at `now_ns` of CLOCK_MONOTONIC (None: now). Raises BpfError."""
    if timeout_ns <= 0:
        raise BpfError(f"a heartbeat needs a timeout above 0 ns, got {timeout_ns}")
    at_ns = time.monotonic_ns() if now_ns is None else now_ns
    maps.update(fd, _KEY, bytes(abi.Heartbeat(at_ns, timeout_ns)))


def release(fd: int) -> None:
    """Expect no heartbeat any more: the FSU works until it is detached. Raises BpfError."""
    maps.update(fd, _KEY, bytes(abi.Heartbeat(0, 0)))


def keep_beating(
    fds: Sequence[int], stop: threading.Event, *, interval_s: float = INTERVAL_S
) -> None:
    """Beat all of `fds` until `stop` is set: the body of a thread. Raises BpfError."""
    while True:
        for fd in fds:
            beat(fd)
        if stop.wait(interval_s):
            return
