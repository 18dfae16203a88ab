"""Running hashes of one flow at offsets that both ends know: every `GRID_BYTES` of payload.

The sender keeps what it has written, the receiver what its application has read. The digest at an
offset is SHA-256 of all payload before it, so the digests of both ends agree at an offset only if
every byte before it does. A snapshot of a SHA-256 in progress costs about a microsecond; at
1 Gbit/s there are thirty of them a second.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple, Protocol

GRID_BYTES = 4 << 20
KEPT_MOST = 256
"""1 GiB of payload: more than a path of 20,000 km holds at 10 Gbit/s."""


class Checkpoint(NamedTuple):
    """SHA-256 of the payload before an offset."""

    offset_bytes: int
    digest: bytes


NO_PAYLOAD = hashlib.sha256().digest()
"""The running hash before the first byte."""
START = Checkpoint(0, NO_PAYLOAD)


class Hash(Protocol):
    """What is used of hashlib's objects."""

    def copy(self) -> Hash: ...
    def digest(self) -> bytes: ...


class Checkpoints:
    """The newest ones of one flow at one end.

    One thread notes them, others may read: what is kept is replaced as a whole, never changed.
    """

    def __init__(self) -> None:
        self._kept: tuple[Checkpoint, ...] = (START,)

    @staticmethod
    def until_next(offset_bytes: int) -> int:
        """Payload bytes from here to the next checkpoint."""
        return GRID_BYTES - offset_bytes % GRID_BYTES

    def note(self, offset_bytes: int, running: Hash) -> None:
        """So much was hashed. Keeps its digest if it lies on the grid; offsets only grow."""
        if offset_bytes % GRID_BYTES == 0 and offset_bytes > self.reached_bytes:
            newest = Checkpoint(offset_bytes, running.copy().digest())
            self._kept = (*self._kept[1 - KEPT_MOST :], newest)

    @property
    def reached_bytes(self) -> int:
        """The newest checkpoint's offset."""
        return self._kept[-1].offset_bytes

    def newest_within(self, limit_bytes: int) -> Checkpoint:
        """The newest one at or before an offset; `START` if none of those is kept."""
        return next((one for one in reversed(self._kept) if one.offset_bytes <= limit_bytes), START)

    def digest_at(self, offset_bytes: int) -> bytes | None:
        """The digest at an offset; None if it is not, no longer, or not yet kept."""
        if not offset_bytes:
            return NO_PAYLOAD
        return next((one.digest for one in self._kept if one.offset_bytes == offset_bytes), None)
