"""A relay flow's memory and disk together: what is safe, and what may be freed."""

from __future__ import annotations

from pathlib import Path

from sentinel_node.core.custody.memory import FlowBuffer
from sentinel_node.core.framing import FlowHeader, FlowTrailer
from sentinel_node.daemon.custody.journal import (
    BATCH_BYTES,
    Batch,
    Journal,
    JournalError,
    Recovered,
)
from sentinel_node.daemon.custody.wake import Wake


class RelayDisk:
    """Writes a flow's bytes down behind its thread, batch by batch; the thread never waits."""

    def __init__(
        self, folder: Path, name: int, wake: Wake, buffer: FlowBuffer, flow: Recovered | None
    ) -> None:
        self._buffer = buffer
        if flow is None:
            self._journal = Journal(folder, name, wake)
            self._synced = 0
        else:
            self._journal = Journal.after(folder, flow, wake)
            self._synced = flow.end
        self._flow = flow
        self._trailer_synced = flow is not None and flow.trailer is not None

    def load(self) -> bool:
        """Read more of what a dead daemon left, if there is room. Raises JournalError."""
        flow, buffer = self._flow, self._buffer
        if flow is None or not self.is_loading:
            return False
        room = buffer.room()
        if room is None:
            return False
        count = flow.read(buffer.fill, room[: flow.end - buffer.fill])
        if not count:
            raise JournalError(f"flow {flow.name:016x}: byte {buffer.fill} is gone from the disk")
        buffer.filled(count)
        buffer.commit(buffer.fill)
        return True

    @property
    def is_loading(self) -> bool:
        """Bytes in custody are on disk and not all in memory yet."""
        return self._flow is not None and self._buffer.fill < self._flow.end

    def step(
        self, base: int, end: int, header: FlowHeader | None, trailer: FlowTrailer | None
    ) -> int | None:
        """Go on writing; gives how far the flow is on stable storage, if that is news.

        Raises JournalError.
        """
        done = self._journal.take_done()
        if done is not None:
            self._synced = done.end
            self._trailer_synced = done.trailer is not None
        self._journal.free(base)
        start = max(self._synced, base)
        if self.is_loading:
            return None if done is None else done.end
        ends = trailer if trailer is not None and trailer.payload_bytes == end else None
        wanted = start < end or (ends is not None and not self._trailer_synced)
        if wanted and header is not None and self._journal.pinned is None:
            self._begin(start, end, header, ends)
        return None if done is None else done.end

    def free_to(self, base: int) -> int:
        """Memory before this may be given back."""
        pinned = self._journal.pinned
        return base if pinned is None else min(base, pinned)

    def wait(self) -> None:
        """Until no memory is being written down."""
        self._journal.wait_idle()

    def restart(self) -> None:
        """The flow begins again at another offset: nothing of it counts as written."""
        self._journal.wait_idle()
        self._journal.take_done()
        self._flow = None
        self._synced = 0
        self._trailer_synced = False

    def close(self, *, delivered: bool) -> None:
        """The flow is over; what is not delivered stays on disk."""
        self._journal.close(remove=delivered)

    def _begin(self, start: int, end: int, header: FlowHeader, trailer: FlowTrailer | None) -> None:
        views: list[memoryview] = []
        at = start
        while at < end and at - start < BATCH_BYTES:
            view = self._buffer.view(at, min(end, start + BATCH_BYTES))
            views.append(view)
            at += len(view)
        self._journal.begin(header, Batch(start, at, tuple(views), trailer if at == end else None))
