"""One flow in custody at an intermediate: its memory, and the thread that moves its bytes."""

from __future__ import annotations

import os
import select
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from sentinel_node.core.control.custody_messages import (
    CustodyAck,
    CustodyReason,
    CustodyRefusal,
)
from sentinel_node.daemon import sockets
from sentinel_node.daemon.control.starting import Prepared
from sentinel_node.daemon.custody.downlink import Downlink
from sentinel_node.daemon.custody.journal import Recovered
from sentinel_node.daemon.custody.opening import Opening
from sentinel_node.daemon.custody.relay_feed import CustodyRefusedError, RelayFeed
from sentinel_node.daemon.custody.uplink import Uplink
from sentinel_node.daemon.custody.wake import FlowPoller
from sentinel_node.daemon.switching import Turn
from sentinel_node.errors import FramingError, NodeError, Stopped

if TYPE_CHECKING:
    from sentinel_node.daemon.custody.relay import CustodyRelay


class RelayFlow(RelayFeed):
    """Lives from the first connection or query until delivered, or until the run is released.

    Handlers keep the store's books under the relay's lock. Buffer and connections belong to the
    flow's own thread.
    """

    def __init__(
        self, relay: CustodyRelay, name: int, *, fresh: bool, recovered: Recovered | None = None
    ) -> None:
        super().__init__(relay, name, fresh=fresh, recovered=recovered)
        self._turn = Turn()
        self._poller = FlowPoller(relay.run.stop, self._wake, self._turn)
        self._downlink = Downlink(
            relay.run,
            self._plane,
            self,
            relay.spec.onward,
            self._poller,
            opening=Opening(self._prepared, relay.run.event),
            fresh=fresh,
        )
        self._uplink: Uplink | None = None
        self._arrived: deque[Uplink] = deque()
        self._stalled = False
        self._window_bytes = relay.spec.accept_profile.window_clamp_bytes
        self._gauged = 0
        relay.run.begin_work()
        relay.hub.add(name, self)

    def adopt(self, uplink: Uplink) -> None:
        """Upstream connected."""
        self._arrived.append(uplink)
        self._wake.set()

    # -- the flow's thread -------------------------------------------------------------------

    def run_to_end(self) -> None:
        """Move bytes until all is delivered. Bytes that the run's release throws away are told."""
        with self._turn:
            self._move()

    def _move(self) -> None:
        clean = False
        try:
            while not self._completed:
                self._run.stop.raise_if_set()
                now_ns = time.monotonic_ns()
                progress = self._take_connections()
                self._answer()
                progress |= self._load()
                progress |= self._read()
                progress |= self._downlink.step(now_ns, self._watched_progress())
                self._hear_early()
                self._tidy(now_ns)
                if not progress:
                    self._poller.wait(self._masks(), self._deadline_ns())
            clean = True
        except Stopped as stopped:
            self._run.event(f"custody: flow {self.name:016x}: {stopped}{self._thrown_away()}")
        except NodeError as error:
            self._run.event(f"custody: flow {self.name:016x}: {error}")
        finally:
            self._close(clean=clean)

    def _load(self) -> bool:
        """Read on from disk; not before downstream said from where: what it has may be missing."""
        return bool(self._store_epoch) and self._disk is not None and self._disk.load()

    def _take_connections(self) -> bool:
        if not self._arrived:
            return False
        uplink = self._arrived.popleft()
        if uplink.header.transfer_epoch < self._upstream_epoch:
            self._relay.refuse(self.name, self._upstream_epoch, CustodyReason.STALE_EPOCH)
            self._run.untrack(uplink.connection, reset=True)
            return True
        self._cut_upstream()
        self._upstream_epoch = uplink.header.transfer_epoch
        self._header = uplink.header
        self._uplink = uplink
        ready = self._run.preparations.get(self.name)
        if ready is not None and ready.window_clamp_bytes:
            self._window_bytes = ready.window_clamp_bytes
        return True

    def _prepared(self) -> Prepared | None:
        """What was made ready on the flow's forecast, when it is ready."""
        ready = self._run.preparations.get(self.name)
        if ready is not None:
            with self._turn.left:
                ready.done.wait()
        return ready

    def _cut_upstream(self) -> None:
        uplink, self._uplink = self._uplink, None
        if uplink is not None:
            self._poller.forget(uplink.connection.sock.fileno())
            self._run.untrack(uplink.connection, reset=not uplink.ended)
        self._buffer.rewind()

    def _answer(self) -> None:
        query = self._query
        if query is None:
            return
        if query.transfer_epoch < self._upstream_epoch:
            self._query = None
            self._relay.refuse(self.name, self._upstream_epoch, CustodyReason.STALE_EPOCH)
            return
        if query.transfer_epoch == self._upstream_epoch:
            self._say_again()
        else:
            self._cut_upstream()
            self._upstream_epoch = query.transfer_epoch
        if not self._store_epoch:
            return  # downstream has not said where it goes on
        self._query = None
        with self._relay.lock:
            if not self._store.holds(self.name):
                return  # completed meanwhile
            point = self._store.resume_point(self.name)
        self._plane.send(
            self._relay.spec.upstream, replace(point, transfer_epoch=self._upstream_epoch)
        )

    def _read(self) -> bool:
        uplink = self._uplink
        if uplink is None or uplink.ended or not self._store_epoch or self._is_loading():
            return False
        if uplink.header.start_offset > self._buffer.end:
            self._skip_delivered()
        if uplink.header.start_offset > self._buffer.end:
            self._relay.refuse(
                self.name, self._upstream_epoch, CustodyReason.GAP, uplink.header.start_offset
            )
            self._cut_upstream()
            return True
        try:
            end = uplink.read(self._buffer)
        except BlockingIOError:
            return False
        except (FramingError, OSError) as error:
            self._lose_upstream(uplink, error)
            return True
        if self._window_bytes:
            sockets.hold_window(uplink.connection.sock, self._window_bytes)
        self._note_stall(stalled=end is None)
        if end is None:
            return False
        self._take(end)
        self._trailer = uplink.trailer or self._trailer
        return True

    def _skip_delivered(self) -> None:
        """Upstream goes on behind what is delivered; the onward stream has not come so far."""
        with self._relay.lock:
            if not self._store.holds(self.name):
                return
            base, _ = self._store.span(self.name)
        if self._disk is not None:
            with self._turn.left:
                self._disk.wait()
        self._buffer.free(base)

    def _is_loading(self) -> bool:
        return self._disk is not None and self._disk.is_loading

    def _take(self, end: int) -> None:
        count = end - self._buffer.end
        if not count:
            return
        with self._relay.lock:
            if self._store.holds(self.name):
                taken = self._store.offer(self.name, self._store_epoch, self._buffer.end, count)
                if isinstance(taken, CustodyRefusal):
                    raise CustodyRefusedError(taken)
        self._buffer.commit(end)

    def _note_stall(self, *, stalled: bool) -> None:
        if stalled and not self._stalled:
            self._relay.refuse(
                self.name, self._upstream_epoch, CustodyReason.STORE_FULL, self._buffer.end
            )
        self._stalled = stalled

    def _lose_upstream(self, uplink: Uplink, error: Exception) -> None:
        text = os.strerror(error.errno or 0) if isinstance(error, OSError) else str(error)
        self._run.event(
            f"custody: flow {self.name:016x}: {uplink.connection.name}: {text}; "
            f"{self._buffer.end} bytes taken, upstream may come back"
        )
        self._cut_upstream()

    def _tidy(self, now_ns: int) -> None:
        """Free what is delivered, and answer for what was taken."""
        if not self._store_epoch:
            return
        with self._relay.lock:
            if not self._store.holds(self.name):
                return
            base, end = self._store.span(self.name)
        durable = self._write_down(base, end)
        held = self._buffer.fill - self._buffer.base
        self._run.gauge.add(held - self._gauged)
        self._gauged = held
        if self._upstream_epoch and self._acked.is_due(end + durable, now_ns):
            ack = CustodyAck(self.name, self._upstream_epoch, self._plane.node, end, durable)
            # Not sent means: no session. The next one begins with it (on_peer).
            self._plane.send(self._relay.spec.upstream, ack)
            self._acked.on_said(end + durable, now_ns)

    def _write_down(self, base: int, end: int) -> int:
        """Gives how far the flow is on stable storage here; frees memory."""
        if self._disk is None:
            self._free(base)
            return 0
        synced = self._disk.step(base, self._buffer.end, self._header, self._trailer)
        with self._relay.lock:
            if not self._store.holds(self.name):
                return self._durable
            durable = self._store.ack(self.name, durable=True).durable_offset
            if synced is not None and durable < synced <= end:
                self._store.on_synced(self.name, synced)
                durable = synced
        self._durable = durable
        self._free(self._disk.free_to(base))
        return durable

    def _free(self, offset: int) -> None:
        position = self._downlink.position
        self._buffer.free(offset if position is None else min(offset, position))

    def _masks(self) -> dict[int, int]:
        masks = self._downlink.masks()
        uplink = self._uplink
        waits = self._stalled or not self._store_epoch or self._is_loading()
        if uplink is not None and not uplink.ended and not waits:
            masks[uplink.connection.sock.fileno()] = select.POLLIN
        return masks

    def _deadline_ns(self) -> int | None:
        times = [self._downlink.deadline_ns()]
        if self._upstream_epoch and self._store_epoch:
            times.append(self._acked.due_at_ns(self._buffer.end + self._durable))
        return min((at for at in times if at is not None), default=None)

    def _watched_progress(self) -> int | None:
        """How often downstream said something new; None: there is nothing to hear of."""
        undelivered = self._buffer.end > self._buffer.base or self._trailer is not None
        return self._progress if undelivered and self._store_epoch else None

    def _thrown_away(self) -> str:
        held = self._buffer.end - self._buffer.base
        if not held:
            return ""
        kept = f", {self._durable} of the flow are on disk" if self._disk is not None else ""
        return f"; {held} bytes in custody are thrown away, undelivered{kept}"

    def _close(self, *, clean: bool) -> None:
        self._relay.hub.remove(self.name)
        self._relay.forget(self)
        self._downlink.close(reset=not clean)
        if clean and self._uplink is not None and self._uplink.trailer is None:
            clean = False  # a copy of the flow by another way than this connection
        for uplink in (*self._arrived, *([self._uplink] if self._uplink else [])):
            self._run.untrack(uplink.connection, reset=not clean)
        with self._relay.lock:
            if self._store.holds(self.name):
                self._store.drop(self.name)
        if self._disk is not None:
            self._disk.close(delivered=self._completed)
        self._buffer.clear(0)
        self._wake.close()
        self._run.gauge.add(-self._gauged)
        self._run.end_work()
