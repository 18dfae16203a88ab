"""The payload of a received flow on disk: what survives the receiver's daemon."""

from __future__ import annotations

import os
from pathlib import Path

from sentinel_node.core.custody.delivery import DeliveryLedger

_READ_BYTES = 256 * 1024


class FlowFile:
    """The payload on disk; what survives the daemon."""

    def __init__(self, folder: Path, name: int) -> None:
        path = folder / f"{name:016x}.payload"
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def feed(self, ledger: DeliveryLedger) -> None:
        """What an earlier life of the daemon wrote counts as delivered."""
        while piece := os.pread(self._fd, _READ_BYTES, ledger.next_offset):
            ledger.on_delivered(piece)
        os.fsync(self._fd)

    def write(self, piece: memoryview) -> None:
        """Append all of it."""
        while len(piece):
            piece = piece[os.write(self._fd, piece) :]

    def sync(self) -> None:
        """On stable storage when this returns."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """The descriptor."""
        os.close(self._fd)
