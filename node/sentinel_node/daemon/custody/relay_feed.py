"""One flow in custody at an intermediate, as its downlink sees it: bytes, and where to go on."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from sentinel_node.core.control.custody_messages import CustodyRefusal, ResumePoint
from sentinel_node.core.custody.effects import CannotResume, Effect, ResumeFrom
from sentinel_node.core.custody.memory import FlowBuffer
from sentinel_node.core.custody.running_hash import START
from sentinel_node.core.framing import FlowHeader, FlowTrailer
from sentinel_node.daemon.connection import TrackedConnection
from sentinel_node.daemon.custody.journal import Recovered
from sentinel_node.daemon.custody.relay_books import RelayBooks
from sentinel_node.daemon.custody.relay_disk import RelayDisk
from sentinel_node.daemon.records import Resumption
from sentinel_node.errors import NodeError

if TYPE_CHECKING:
    from sentinel_node.daemon.custody.relay import CustodyRelay


class CustodyRefusedError(NodeError):
    """The store does not take the flow."""

    def __init__(self, refusal: CustodyRefusal) -> None:
        super().__init__(f"custody refused: {refusal.reason.name.lower().replace('_', ' ')}")
        self.reason = refusal.reason


class RelayFeed(RelayBooks):
    """What is held of the flow, in memory and on disk; on the flow's thread."""

    def __init__(
        self, relay: CustodyRelay, name: int, *, fresh: bool, recovered: Recovered | None
    ) -> None:
        super().__init__(relay, name)
        self._run = relay.run
        self._fresh = fresh
        self._buffer = FlowBuffer(relay.pool)
        self._header: FlowHeader | None = None
        self._trailer: FlowTrailer | None = None
        self._disk: RelayDisk | None = None
        self._kept: tuple[int, int] | None = None
        self._durable = 0
        self._doubted: int | None = None
        self._resumed: ResumeFrom | None = None
        if relay.spec.journal_folder is not None:
            self._disk = RelayDisk(
                relay.spec.journal_folder, name, self._wake, self._buffer, recovered
            )
        if recovered is not None:
            self._kept = recovered.base, recovered.end
            self._header, self._trailer = recovered.header, recovered.trailer

    def _cut_upstream(self) -> None:
        """What upstream's connection brings is of no use any more."""
        raise NotImplementedError

    def header(self, transfer_epoch: int, start: int, *, fresh: bool) -> FlowHeader | None:
        """As upstream's, with this link's attempt and offset."""
        known = self._header
        if known is None:
            return None
        size = self._trailer.payload_bytes if self._trailer is not None else known.size_bytes
        return replace(
            known,
            size_bytes=size,
            transfer_epoch=transfer_epoch,
            start_offset=start,
            fresh=fresh,
        )

    def introduce(self) -> int | None:
        """From the first byte that is held here, if the flow is open."""
        if not self._store_epoch:
            return None
        with self._relay.lock:
            point = self._store.resume_point(self.name)
            base, _ = self._store.span(self.name)
        return self.resume(replace(point, transfer_epoch=self._downlink.epoch, next_offset=base))

    def unsent(self) -> tuple[int, int]:
        """[start, end) of what is to be forwarded now."""
        with self._relay.lock:
            if not self._store.holds(self.name):
                return 0, 0
            start, end = self._store.unsent(self.name)
        # What was kept on disk may still be on its way into memory.
        return start, max(start, min(end, self._buffer.end))

    def view(self, start: int, end: int) -> memoryview:
        """Bytes in custody."""
        if not self._buffer.base <= start < self._buffer.fill:
            return memoryview(b"")
        view = self._buffer.view(start, min(end, self._buffer.fill))
        self._in_flight.sending(start, start + len(view))
        return view

    def on_sent(self, count_bytes: int) -> None:
        """The onward connection took so much."""
        with self._relay.lock:
            if self._store.holds(self.name):
                self._store.on_sent(self.name, count_bytes)

    def trailer(self) -> FlowTrailer | None:
        """Once upstream's was read."""
        return self._trailer

    def on_attempt(self, transfer_epoch: int) -> None:
        """The first attempt of a fresh flow opens it; any other waits for downstream's word."""
        if self._fresh and not self._store_epoch:
            self._open(ResumePoint(self.name, transfer_epoch, 0, 0, START))

    def on_open(self, connection: TrackedConnection, start: int) -> None:
        """The onward connection carries the flow."""
        self._note_resumption(connection.flow_id)
        self._run.event(
            f"custody: flow {self.name:016x}: forwarding from {start}, attempt "
            f"{self._downlink.attempts}"
        )

    def resume(self, point: ResumePoint) -> int | None:
        """Downstream wants these bytes next."""
        if not self._open(point):
            return None
        self._heard = point.next_offset
        return point.next_offset

    def _open(self, point: ResumePoint) -> bool:
        """False: downstream's answer may be older than what it acknowledged."""
        for effect in self._store_open(point):
            if isinstance(effect, ResumeFrom):
                self._resumed = effect
            if not isinstance(effect, CannotResume):
                continue
            if self._store_epoch and self._doubted != effect.end:
                self._doubted = effect.end
                self._store_epoch = point.transfer_epoch
                return False
            # Only the source may have them still: begin again, and let upstream ask.
            self._run.event(
                f"custody: flow {self.name:016x}: bytes [{effect.start}, {effect.end}) are not "
                f"here any more: {effect.why}; upstream is asked for them"
            )
            with self._relay.lock:
                self._store.drop(self.name)
            self._store_epoch = 0
            self._cut_upstream()
            self._trailer = None
            if self._disk is not None:
                self._disk.restart()
            self._durable = 0
            self._store_open(point)
        self._store_epoch = point.transfer_epoch
        return True

    def _note_resumption(self, flow_id: int) -> None:
        effect, self._resumed = self._resumed, None
        if effect is None or (self._fresh and self._downlink.attempts <= 1):
            return  # the flow begins
        peer, now_ns = self._relay.spec.onward.peer, time.monotonic_ns()
        self._run.resumed(Resumption(flow_id, now_ns, peer, effect.offset, effect.replayed_bytes))

    def _store_open(self, point: ResumePoint) -> tuple[Effect, ...]:
        kept, self._kept = self._kept, None
        if kept is not None:
            # Files are removed as a whole: what they begin with may be delivered long since.
            kept = max(kept[0], min(kept[1], point.checkpoint_offset)), kept[1]
        with self._relay.lock:
            effects = self._store.open(self.name, point, kept=kept)
            if isinstance(effects, CustodyRefusal):
                raise CustodyRefusedError(effects)
            base, _ = self._store.span(self.name)
        if not self._store_epoch:
            self._buffer.clear(base)
        return effects
