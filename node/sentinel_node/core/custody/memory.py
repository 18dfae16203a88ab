"""Memory for bytes in custody: chunks out of one bounded pool, in the order of each flow's offsets.

Every flow is sure of FLOW_CHUNKS chunks, or it could stop for ever: what is delivered is freed
by whole hash blocks, so a flow must have room for the block it is in. The rest is shared by
dynamic thresholds (Choudhury and Hahne 1998): a flow may grow while it holds less than SHARE times
what is left, so that one slow receiver cannot take all from the others.

Memory is taken when first needed and kept for reuse, the chunk used last first (it is in cache).
"""

from __future__ import annotations

from collections import deque
from contextlib import AbstractContextManager, nullcontext

from sentinel_node.core.custody.running_hash import BLOCK_BYTES

FLOW_CHUNKS = 3
SHARE = 4
CHUNK_MAX_BYTES = 1024 * 1024


def chunk_bytes_for(capacity_bytes: int, flows_max: int) -> int:
    """The largest power of two from a hash block to CHUNK_MAX_BYTES that leaves chunks to share.

    Raises ValueError if even the smallest does not.
    """
    size = CHUNK_MAX_BYTES
    while size > BLOCK_BYTES and capacity_bytes < 4 * FLOW_CHUNKS * flows_max * size:
        size //= 2
    if flows_max < 1 or capacity_bytes < FLOW_CHUNKS * flows_max * size:
        raise ValueError(
            f"{flows_max} flows in custody need at least {FLOW_CHUNKS * flows_max * size} bytes, "
            f"got {capacity_bytes}"
        )
    return size


class ChunkPool:
    """At most capacity_bytes // chunk_bytes chunks, for at most flows_max flows.

    `lock` is held while the pool changes, if flows have threads of their own.
    """

    def __init__(
        self,
        capacity_bytes: int,
        flows_max: int,
        chunk_bytes: int = 0,
        lock: AbstractContextManager[object] | None = None,
    ) -> None:
        self.chunk_bytes = chunk_bytes or chunk_bytes_for(capacity_bytes, flows_max)
        self.chunks = capacity_bytes // self.chunk_bytes
        self._shared = self.chunks - FLOW_CHUNKS * flows_max
        if self._shared < 0:
            raise ValueError(f"{self.chunks} chunks are too few for {flows_max} flows")
        self._lock = lock or nullcontext()
        self._spare: list[memoryview] = []
        self._in_use = 0
        self.in_use_max = 0

    @property
    def capacity_bytes(self) -> int:
        """Of all chunks."""
        return self.chunks * self.chunk_bytes

    @property
    def in_use(self) -> int:
        """Chunks that flows hold now."""
        return self._in_use

    def take(self, held: int) -> memoryview | None:
        """A chunk for a flow that holds `held`; None if it may not have one now."""
        with self._lock:
            if held >= FLOW_CHUNKS:
                if self._shared == 0 or held - FLOW_CHUNKS >= SHARE * self._shared:
                    return None
                self._shared -= 1
            self._in_use += 1
            self.in_use_max = max(self.in_use_max, self._in_use)
            return self._spare.pop() if self._spare else memoryview(bytearray(self.chunk_bytes))

    def give_back(self, chunk: memoryview, held: int) -> None:
        """A flow that still holds `held` others is done with this one."""
        with self._lock:
            self._in_use -= 1
            self._shared += held >= FLOW_CHUNKS
            self._spare.append(chunk)


class FlowBuffer:
    """Bytes [base, fill) of one flow. What was read, [end, fill), may not be the flow's yet.

    One thread at a time, but for the pool.
    """

    def __init__(self, pool: ChunkPool, base: int = 0) -> None:
        self._pool = pool
        self._chunks: deque[memoryview] = deque()
        self._origin = self.base = self.end = self.fill = base

    @property
    def chunks(self) -> int:
        """Held of the pool."""
        return len(self._chunks)

    def room(self) -> memoryview | None:
        """Where the next bytes may be read to; None: nowhere, until something is freed."""
        place = self.fill - self._origin
        if place == len(self._chunks) * self._pool.chunk_bytes:
            chunk = self._pool.take(len(self._chunks))
            if chunk is None:
                return None
            self._chunks.append(chunk)
        return self._chunks[-1][place % self._pool.chunk_bytes :]

    def filled(self, count_bytes: int) -> None:
        """So much was read into the room."""
        self.fill += count_bytes

    def commit(self, end: int) -> None:
        """[base, end) is the flow's. Raises ValueError beyond what was read, or backwards."""
        if not self.end <= end <= self.fill:
            raise ValueError(f"commit up to {end} of [{self.end}, {self.fill})")
        self.end = end

    def rewind(self) -> None:
        """What was read and not committed is thrown away."""
        self.fill = self.end
        while (len(self._chunks) - 1) * self._pool.chunk_bytes >= self.fill - self._origin > 0:
            self._drop(self._chunks.pop())
        if self.fill == self._origin:
            self._clear()

    def view(self, offset: int, end: int) -> memoryview:
        """Bytes from `offset`, up to `end` or as far as they lie together."""
        if not self.base <= offset <= end <= self.fill:
            raise ValueError(f"bytes [{offset}, {end}) of [{self.base}, {self.fill})")
        number, place = divmod(offset - self._origin, self._pool.chunk_bytes)
        if number == len(self._chunks):
            return memoryview(b"")
        return self._chunks[number][place : place + end - offset]

    def free(self, offset: int) -> None:
        """[base, offset) is not needed any more; `offset` may lie beyond what was read."""
        if offset <= self.base:
            return
        if offset > self.fill:
            self._clear()
            self._origin = self.end = self.fill = offset
        self.base = offset
        self.end = max(self.end, offset)
        while self._chunks and offset - self._origin >= self._pool.chunk_bytes:
            self._drop(self._chunks.popleft())
            self._origin += self._pool.chunk_bytes
        if not self._chunks:
            self._origin = offset

    def clear(self, base: int) -> None:
        """Throw everything away, and begin at `base`."""
        self._clear()
        self._origin = self.base = self.end = self.fill = base

    def _clear(self) -> None:
        while self._chunks:
            self._drop(self._chunks.pop())

    def _drop(self, chunk: memoryview) -> None:
        self._pool.give_back(chunk, len(self._chunks))
