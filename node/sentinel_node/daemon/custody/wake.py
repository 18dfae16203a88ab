"""How the event loop and other threads wake a flow's thread, and how that thread waits."""

from __future__ import annotations

import ctypes
import os
import select
import threading
import time
from contextlib import AbstractContextManager, nullcontext

from sentinel_node.daemon.stop import StopSignal
from sentinel_node.daemon.switching import Turn

_write = ctypes.PyDLL(None).eventfd_write
"""As os.eventfd_write, but without letting go of the interpreter's lock: with a thousand busy
threads the event loop got it back milliseconds later, after every single wake. It cannot block."""
_write.argtypes = (ctypes.c_int, ctypes.c_uint64)


class Wake:
    """An eventfd that any thread may set, also after it was closed: then nobody is waiting."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = True
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        """Readable once set."""
        return self._fd

    def set(self) -> None:
        """Wake the thread that waits, or the next one that will."""
        with self._lock:
            if self._open:
                _write(self._fd, 1)

    def clear(self) -> None:
        """Before looking at what may have changed."""
        try:
            os.eventfd_read(self._fd)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Free the descriptor. Idempotent."""
        with self._lock:
            if self._open:
                self._open = False
                os.close(self._fd)


class FlowPoller:
    """poll(2) over a flow's sockets, its wake and the run's stop; masks may change each time."""

    def __init__(self, stop: StopSignal, wake: Wake, turn: Turn | None = None) -> None:
        """`turn`: left while waiting; of a thread that waits nowhere else for long."""
        self._stop = stop
        self._elsewhere: AbstractContextManager[object] = (
            nullcontext() if turn is None else turn.left
        )
        self._wake = wake
        self._poller = select.poll()
        self._poller.register(stop.fileno(), select.POLLIN)
        self._poller.register(wake.fileno(), select.POLLIN)
        self._masks: dict[int, int] = {}

    def forget(self, fd: int) -> None:
        """To be called before `fd` is closed: the number will be another's."""
        if self._masks.pop(fd, None) is not None:
            self._poller.unregister(fd)

    def wait(self, masks: dict[int, int], deadline_ns: int | None) -> None:
        """Until something can go on, or `deadline_ns` (CLOCK_MONOTONIC). Raises Stopped."""
        for fd in self._masks.keys() - masks.keys():
            self._poller.unregister(fd)
        for fd, mask in masks.items():
            if self._masks.get(fd) != mask:
                self._poller.register(fd, mask)
        self._masks = dict(masks)
        timeout_ms = None
        if deadline_ns is not None:
            timeout_ms = max(0.0, (deadline_ns - time.monotonic_ns()) / 1e6)
        with self._elsewhere:
            ready = self._poller.poll(timeout_ms)
        self._stop.raise_if_set()
        if any(fd == self._wake.fileno() for fd, _ in ready):
            self._wake.clear()
