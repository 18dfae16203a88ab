"""The bytes of a transfer: made from its seed, and given once where they come out of a pipe."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sentinel_node.core.payload import FILL_SLACK_BYTES, PayloadStream

PIECE_BYTES = 64 * 1024


def payload(seed: int, flow_id: int, size_bytes: int) -> bytes:
    """All bytes of a transfer."""
    room = memoryview(bytearray(size_bytes + FILL_SLACK_BYTES))
    PayloadStream(seed, flow_id).fill(room, size_bytes)
    return bytes(room[:size_bytes])


class Feed:
    """A FIFO that gives its bytes to whoever opens it, once. `given` counts what was taken."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        self.given = 0
        self.ended = asyncio.Event()
        self._data = memoryview(data)
        os.mkfifo(path, 0o600)
        # A reader of our own: nobody can open a FIFO for writing alone without waiting.
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)

    def hand_over(self) -> None:
        """The node has opened it: from now on its death breaks the pipe."""
        if self._reader >= 0:
            os.close(self._reader)
            self._reader = -1

    async def run(self) -> None:
        """Give all, and close; ends early when the reader is gone."""
        try:
            while self.given < len(self._data):
                await self._writable()
                piece = self._data[self.given : self.given + PIECE_BYTES]
                self.given += os.write(self._writer, piece)
        except BrokenPipeError:
            return  # what was given went with its reader
        finally:
            self.ended.set()
        self._close_writer()

    async def _writable(self) -> None:
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_writer(self._writer, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(self._writer)

    def _close_writer(self) -> None:
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1

    def close(self) -> None:
        """Remove the FIFO."""
        self.hand_over()
        self._close_writer()
        self.path.unlink(missing_ok=True)


@asynccontextmanager
async def feeding(path: Path, data: bytes) -> AsyncIterator[Feed]:
    """The feed, giving in the background."""
    feed = Feed(path, data)
    giving = asyncio.ensure_future(feed.run())
    try:
        yield feed
    finally:
        giving.cancel()
        await asyncio.gather(giving, return_exceptions=True)
        feed.close()
