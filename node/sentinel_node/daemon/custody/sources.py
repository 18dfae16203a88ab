"""What a sender in custody sends: payload made from a seed, a file, or a pipe.

Seed and file can be read again from any offset, so nothing of them is kept but a block. What came
out of a pipe is gone from it: its bytes are kept until they are delivered (or, opted in, durable
at the next custodian), in bounded memory; when that is full the pipe is not read.
"""

from __future__ import annotations

import os
import select
import stat
import time
from pathlib import Path
from typing import Protocol

from sentinel_node.core.custody.memory import ChunkPool, FlowBuffer
from sentinel_node.core.payload import FILL_SLACK_BYTES, PayloadStream
from sentinel_node.errors import RequestError

BLOCK_BYTES = 256 * 1024
PIPE_CAPACITY_BYTES = 64 * 1024 * 1024
_NOTHING = memoryview(b"")


class Source(Protocol):
    """Bytes of one flow, by offset. Used by the flow's thread only."""

    replayable: bool
    size_bytes: int | None
    """If it is known beforehand."""

    def more(self, offset: int) -> memoryview | None:
        """Bytes from `offset`, where reading stands; None: none yet; empty: the source ended."""
        ...

    def view(self, start: int, end: int) -> memoryview:
        """Bytes that `more` gave before, from `start`, as many as are at hand, at least one."""
        ...

    def free(self, offset: int) -> None:
        """[0, offset) is not needed any more."""
        ...

    def waits_for(self) -> int | None:
        """The descriptor that becomes readable when `more` may give something."""
        ...

    def close(self) -> None:
        """Free memory and descriptors."""
        ...


class Replay:
    """Keeps the block that was made last; others are made anew."""

    replayable = True

    def __init__(self, size_bytes: int | None) -> None:
        self.size_bytes = size_bytes
        self._memory = memoryview(bytearray(BLOCK_BYTES + FILL_SLACK_BYTES))
        self._start = self._end = 0

    def make(self, offset: int, count: int, out: memoryview) -> int:
        """Write `count` bytes from `offset` on into `out`; gives how many there were."""
        raise NotImplementedError

    def more(self, offset: int) -> memoryview | None:
        """The next block."""
        count = BLOCK_BYTES
        if self.size_bytes is not None:
            count = min(count, self.size_bytes - offset)
        self._load(offset, count)
        return self._memory[: self._end - self._start]

    def view(self, start: int, end: int) -> memoryview:
        """From the block at hand, or one made for it."""
        if not self._start <= start < self._end:
            self._load(start, min(BLOCK_BYTES, end - start))
        return self._memory[start - self._start : min(end, self._end) - self._start]

    def free(self, offset: int) -> None:
        """Nothing is kept."""

    def waits_for(self) -> int | None:
        """Never waits."""
        return None

    def close(self) -> None:
        """Nothing to free."""

    def _load(self, offset: int, count: int) -> None:
        self._start, self._end = offset, offset + self.make(offset, count, self._memory)


class SeedSource(Replay):
    """`core.payload`: of a size, or until `end_ns` (CLOCK_MONOTONIC)."""

    def __init__(
        self, seed: int, flow_id: int, size_bytes: int | None, end_ns: int | None = None
    ) -> None:
        super().__init__(size_bytes)
        self._payload = PayloadStream(seed, flow_id)
        self._end_ns = end_ns

    def make(self, offset: int, count: int, out: memoryview) -> int:
        """Always as many as asked for."""
        if self._payload.offset_bytes != offset:
            self._payload.seek(offset)
        self._payload.fill(out, count)
        return count

    def more(self, offset: int) -> memoryview | None:
        """The next block, until the time is over."""
        if self._end_ns is not None and time.monotonic_ns() >= self._end_ns:
            return _NOTHING
        return super().more(offset)


class FileSource(Replay):
    """A regular file; it must not change while it is sent."""

    def __init__(self, path: Path) -> None:
        self._fd = _open(path)
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._fd)
            raise RequestError(f"source {path}: not a regular file; give it as a pipe")
        super().__init__(status.st_size)
        self._path = path

    def make(self, offset: int, count: int, out: memoryview) -> int:
        """Raises RequestError if the file became shorter."""
        got = 0
        while got < count:
            piece = os.preadv(self._fd, [out[got:count]], offset + got)
            if not piece:
                raise RequestError(f"source {self._path}: ends at {offset + got}, it had more")
            got += piece
        return got

    def close(self) -> None:
        """The file too."""
        os.close(self._fd)


class PipeSource:
    """A pipe or FIFO; read without blocking, kept until freed."""

    replayable = False
    size_bytes: int | None = None

    def __init__(self, fd: int, capacity_bytes: int = PIPE_CAPACITY_BYTES) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._pool = ChunkPool(capacity_bytes, 1)
        self._buffer = FlowBuffer(self._pool)
        self._full = False
        self._had_writer = False

    @classmethod
    def open(cls, path: Path, capacity_bytes: int = PIPE_CAPACITY_BYTES) -> PipeSource:
        """Opens at once, whether there is a writer or not yet."""
        return cls(_open(path), capacity_bytes)

    @property
    def retained_bytes_max(self) -> int:
        """The most memory that was in use."""
        return self._pool.in_use_max * self._pool.chunk_bytes

    def more(self, offset: int) -> memoryview | None:
        """Read once, if there is room."""
        if offset != self._buffer.fill:
            raise ValueError(f"a pipe is read at {self._buffer.fill}, not at {offset}")
        room = self._buffer.room()
        self._full = room is None
        if room is None:
            return None
        if not self._had_writer and not self._poll_writer():
            return None
        try:
            count = os.readv(self._fd, [room])
        except BlockingIOError:
            return None
        self._buffer.filled(count)
        self._buffer.commit(self._buffer.fill)
        return room[:count]

    def view(self, start: int, end: int) -> memoryview:
        """What is kept."""
        return self._buffer.view(start, end)

    def free(self, offset: int) -> None:
        """Makes room."""
        self._buffer.free(offset)

    def waits_for(self) -> int | None:
        """The pipe, unless memory is full."""
        return None if self._full else self._fd

    def _poll_writer(self) -> bool:
        """A FIFO that nobody has opened for writing yet reads as if it had ended."""
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        self._had_writer = bool(poller.poll(0))
        return self._had_writer

    def close(self) -> None:
        """Memory and pipe."""
        self._buffer.clear(0)
        os.close(self._fd)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise RequestError(f"source {path}: {error.strerror}") from error
