"""Stopping and waiting for worker threads without polling.

Workers block in poll(2) on their socket and on the eventfd of a `StopSignal`, so that one write
wakes all of them at once and none of them needs a timeout to notice.
"""

from __future__ import annotations

import os
import select
import socket
import time

from sentinel_node.errors import Stopped


class StopSignal:
    """Set once; wakes every thread that waits with it. Close it when no thread is left."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._set = False

    @property
    def is_set(self) -> bool:
        """True once `set` was called."""
        return self._set

    def fileno(self) -> int:
        """The eventfd; readable once the signal is set."""
        return self._fd

    def set(self) -> None:
        """Order everybody to stop."""
        if not self._set:
            self._set = True
            os.eventfd_write(self._fd, 1)

    def raise_if_set(self) -> None:
        """Raise Stopped if the signal is set."""
        if self._set:
            raise Stopped

    def wait_until(self, deadline_ns: int) -> None:
        """Return at `deadline_ns` (CLOCK_MONOTONIC). Raises Stopped if ordered to stop."""
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        while not self._set:
            left_ns = deadline_ns - time.monotonic_ns()
            if left_ns <= 0:
                return
            poller.poll(left_ns / 1e6)
        raise Stopped

    def close(self) -> None:
        """Free the descriptor. Nobody may wait any more."""
        os.close(self._fd)


class SocketWaiter:
    """Waits until one non-blocking socket can go on."""

    def __init__(self, sock: socket.socket, stop: StopSignal) -> None:
        self._stop = stop
        self._readable = self._poller(sock, select.POLLIN)
        self._writable = self._poller(sock, select.POLLOUT)

    def readable(self, timeout_ns: int | None = None) -> bool:
        """True if readable, ended or failed; False after the timeout. Raises Stopped."""
        return self._wait(self._readable, timeout_ns)

    def writable(self, timeout_ns: int | None = None) -> bool:
        """True if writable or failed; False after the timeout. Raises Stopped."""
        return self._wait(self._writable, timeout_ns)

    def _poller(self, sock: socket.socket, event: int) -> select.poll:
        poller = select.poll()
        poller.register(sock, event)
        poller.register(self._stop.fileno(), select.POLLIN)
        return poller

    def _wait(self, poller: select.poll, timeout_ns: int | None) -> bool:
        events = poller.poll(None if timeout_ns is None else timeout_ns / 1e6)
        self._stop.raise_if_set()
        return bool(events)
