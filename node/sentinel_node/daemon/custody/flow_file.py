"""A received flow on disk: what survives the receiver's daemon."""

from __future__ import annotations

import os
from pathlib import Path

from sentinel_node.core.custody.delivery import DeliveryLedger
from sentinel_node.core.custody.journal import JournalImage, Kind, read_journal, record
from sentinel_node.core.framing import FlowHeader, FlowTrailer
from sentinel_node.daemon.custody.stable import sync_names

_READ_BYTES = 256 * 1024


class FlowFile:
    """The payload in one file, and beside it the flow's end, once that was heard and found right.

    Whoever says that a flow is complete must still know it after a crash: its custodians forget
    the flow on that word.
    """

    def __init__(self, folder: Path, name: int) -> None:
        self.path = folder / f"{name:016x}.payload"
        self._end = folder / f"{name:016x}.end"
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def feed(self, ledger: DeliveryLedger) -> None:
        """What an earlier life of the daemon wrote counts as delivered."""
        while piece := os.pread(self._fd, _READ_BYTES, ledger.next_offset):
            ledger.on_delivered(piece)
        os.fsync(self._fd)

    def read_end(self) -> JournalImage:
        """Header and trailer of a flow that ended in an earlier life of the daemon; or neither.

        Nobody was told of an end whose record is torn.
        """
        data = self._end.read_bytes() if self._end.exists() else b""
        return read_journal(lambda place, count: data[place : place + count], len(data))

    def write(self, piece: memoryview) -> None:
        """Append all of it."""
        while len(piece):
            piece = piece[os.write(self._fd, piece) :]

    def sync(self) -> None:
        """On stable storage when this returns."""
        os.fdatasync(self._fd)

    def finish(self, header: FlowHeader, trailer: FlowTrailer) -> None:
        """The flow ended well: payload and end are on stable storage when this returns."""
        self.sync()
        first, last = header.encode(), trailer.encode()
        with self._end.open("wb") as file:
            file.write(record(Kind.HEADER, 0, (first,)) + first)
            file.write(record(Kind.TRAILER, trailer.payload_bytes, (last,)) + last)
            file.flush()
            os.fsync(file.fileno())
        sync_names(self._end.parent)

    def close(self) -> None:
        """The descriptor."""
        os.close(self._fd)
