"""Two ways to move bytes from one socket to another: copying, and splice(2) through a pipe.

Both keep the books in a `core.relaying.Direction`, hold at most its capacity, and never block.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable
from typing import Protocol

from sentinel_node.core.relaying import Direction
from sentinel_node.errors import PrivilegeError

HeldHook = Callable[[int], None]
"""Told of every change of the bytes held."""


class Lane(Protocol):
    """One direction through a relay. `source` and `sink` are non-blocking sockets."""

    state: Direction
    source: socket.socket
    sink: socket.socket

    @property
    def wants_read(self) -> bool:
        """Reading can make progress once the source is readable."""
        ...

    def read(self) -> bool:
        """Read once; False if the source has nothing now. OSError as of recv(2)."""
        ...

    def write(self, limit_bytes: int | None = None) -> bool:
        """Write once, up to `limit_bytes`; False if the sink takes nothing. OSError of send(2)."""
        ...

    def close(self) -> None:
        """Free what the lane holds; the sockets stay."""
        ...


class CopyLane:
    """recv_into and send over one buffer; reads again when the buffer is empty."""

    def __init__(
        self, source: socket.socket, sink: socket.socket, capacity_bytes: int, held: HeldHook
    ) -> None:
        self.state = Direction(capacity_bytes)
        self.source = source
        self.sink = sink
        self._held = held
        self._buffer = memoryview(bytearray(capacity_bytes))
        self._begin = 0

    @property
    def wants_read(self) -> bool:
        return not self.state.source_ended and not self.state.buffered_bytes

    def read(self) -> bool:
        try:
            count = self.source.recv_into(self._buffer)
        except BlockingIOError:
            return False
        self.state.on_read(count)
        self._held(count)
        self._begin = 0
        return True

    def write(self, limit_bytes: int | None = None) -> bool:
        count = self.state.buffered_bytes
        end = self._begin + (count if limit_bytes is None else min(count, limit_bytes))
        try:
            count = self.sink.send(self._buffer[self._begin : end])
        except BlockingIOError:
            return False
        self._begin += count
        self.state.on_written(count)
        self._held(-count)
        return True

    def close(self) -> None:
        self._held(-self.state.buffered_bytes)


class SpliceLane:
    """Pages move from socket to pipe to socket; no byte passes through this process."""

    def __init__(
        self, source: socket.socket, sink: socket.socket, capacity_bytes: int, held: HeldHook
    ) -> None:
        self.source = source
        self.sink = sink
        self._held = held
        self._pipe_out, self._pipe_in = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            size = fcntl.fcntl(self._pipe_in, fcntl.F_SETPIPE_SZ, capacity_bytes)
        except PermissionError as error:
            self._close_pipe()
            raise PrivilegeError(
                f"a pipe of {capacity_bytes} bytes is beyond fs.pipe-max-size or this user's "
                "fs.pipe-user-pages-soft; use copy, or a smaller buffer"
            ) from error
        self.state = Direction(size)
        # A pipe has a number of slots, not of bytes: it can be full of small pieces. Then a
        # readable source means nothing until something was written.
        self._full = False

    @property
    def wants_read(self) -> bool:
        return self.state.room_bytes > 0 and not self._full

    def read(self) -> bool:
        try:
            count = os.splice(
                self.source.fileno(),
                self._pipe_in,
                self.state.room_bytes,
                flags=os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK,
            )
        except BlockingIOError:
            self._full = self.state.wants_write
            return False
        self.state.on_read(count)
        self._held(count)
        return True

    def write(self, limit_bytes: int | None = None) -> bool:
        count = self.state.buffered_bytes
        try:
            count = os.splice(
                self._pipe_out,
                self.sink.fileno(),
                count if limit_bytes is None else min(count, limit_bytes),
                flags=os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK,
            )
        except BlockingIOError:
            return False
        self._full = False
        self.state.on_written(count)
        self._held(-count)
        return True

    def close(self) -> None:
        self._held(-self.state.buffered_bytes)
        self._close_pipe()

    def _close_pipe(self) -> None:
        os.close(self._pipe_out)
        os.close(self._pipe_in)
