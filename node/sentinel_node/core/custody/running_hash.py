"""A hash of a byte stream that anybody can take up at a block's end, from 32 bytes.

SHA-256 itself can not be resumed without its inner state. So the stream is cut into blocks, and
the digests are chained: D(0) = SHA-256("" with a domain), D(i+1) = SHA-256(D(i) | SHA-256(block
i)). The digest at a block's end is a checkpoint; the last, short block of a finished stream
counts as one too. A chain is as collision resistant as its hash (Merkle 1989, Damgard 1989; the
length is fixed by the offset that is always given along).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

BLOCK_BYTES = 64 * 1024
START = hashlib.sha256(b"sentinel-running-hash-1").digest()


def chain(digest: bytes, block_digest: bytes) -> bytes:
    """D(i+1) from D(i) and the block's SHA-256."""
    return hashlib.sha256(digest + block_digest).digest()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The running hash of [0, offset)."""

    offset: int = 0
    digest: bytes = START


class RunningHash:
    """The running hash of what was fed; checkpoints come out at block ends."""

    def __init__(self, start: Checkpoint | None = None, block_bytes: int = BLOCK_BYTES) -> None:
        start = start or Checkpoint()
        if block_bytes <= 0 or start.offset % block_bytes:
            raise ValueError(
                f"a running hash is resumed at a multiple of its block of {block_bytes} bytes, "
                f"not at {start.offset}"
            )
        self._block_bytes = block_bytes
        self._checkpoint = start
        self._offset = start.offset
        self._block = hashlib.sha256()

    @property
    def offset(self) -> int:
        """Bytes hashed so far, those before the start included."""
        return self._offset

    @property
    def checkpoint(self) -> Checkpoint:
        """The last block's end."""
        return self._checkpoint

    def update(self, data: bytes | memoryview) -> tuple[Checkpoint, ...]:
        """Hash the next bytes; the checkpoints that were passed."""
        view = memoryview(data)
        passed = []
        while len(view):
            room = self._block_bytes - self._offset % self._block_bytes
            piece = view[:room]
            self._block.update(piece)
            self._offset += len(piece)
            view = view[room:]
            if self._offset % self._block_bytes == 0:
                digest = chain(self._checkpoint.digest, self._block.digest())
                self._checkpoint = Checkpoint(self._offset, digest)
                self._block = hashlib.sha256()
                passed.append(self._checkpoint)
        return tuple(passed)

    def finish(self) -> Checkpoint:
        """The running hash of all that was fed: the stream ends here."""
        if self._offset == self._checkpoint.offset:
            return self._checkpoint
        return Checkpoint(self._offset, chain(self._checkpoint.digest, self._block.digest()))
