"""The onward connection of a flow in custody: connect, resume where the next node says, send, end.

A new attempt connects and asks at the same time, so that a repair costs one round trip. The very
first attempt of a fresh flow asks nobody. Used by one thread, but for `on_point`, `on_refusal`
and `on_peer`, which leave a note for it.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time

from sentinel_node.core.control.custody_messages import (
    CustodyReason,
    CustodyRefusal,
    ResumePoint,
    ResumeQuery,
)
from sentinel_node.daemon import sockets
from sentinel_node.daemon.connection import TrackedConnection
from sentinel_node.daemon.control.interface import ControlPlane, PeerEvent
from sentinel_node.daemon.custody.absence import Absence, Return
from sentinel_node.daemon.custody.onward import Feed, Onward
from sentinel_node.daemon.custody.opening import Opening
from sentinel_node.daemon.custody.patience import (
    ASK_AGAIN_NS,
    BACKOFF_MAX_NS,
    BACKOFF_MIN_NS,
    END_GRACE_NS,
    Unanswered,
)
from sentinel_node.daemon.custody.wake import FlowPoller
from sentinel_node.daemon.run import NodeRun
from sentinel_node.errors import NodeError


class Downlink:
    """The connection to the next node, and the attempts to have one."""

    def __init__(
        self,
        run: NodeRun,
        plane: ControlPlane,
        feed: Feed,
        to: Onward,
        poller: FlowPoller,
        *,
        opening: Opening,
        fresh: bool,
    ) -> None:
        self._run = run
        self._opening = opening
        self._poller = poller
        self._plane = plane
        self._feed = feed
        self._to = to
        self._fresh = fresh
        self._connection: TrackedConnection | None = None
        self._established = False
        self._start: int | None = None
        self._framing = memoryview(b"")
        self._trailer_begun = False
        self._shut = False
        self._only_header = False
        self._retry_at_ns: int | None = 0
        self._ask_at_ns: int | None = None
        self._unanswered = Unanswered()
        self._backoff_ns = BACKOFF_MIN_NS
        self._absence = Absence(to.peer)
        self._point: ResumePoint | None = None
        self._refusal: CustodyRefusal | None = None
        self.position: int | None = None
        """The flow's byte that the connection takes next: must be kept, delivered or not."""
        self.epoch = 0
        self.attempts = 0
        self.last_trouble = ""

    @property
    def is_sending(self) -> bool:
        """The header went out, or is on its way."""
        return self._connection is not None and bool(self._connection.flow_id)

    # -- from other threads ------------------------------------------------------------------

    def on_point(self, point: ResumePoint) -> None:
        """The answer of the next node; the caller wakes the flow's thread."""
        self._point = point

    def on_refusal(self, refusal: CustodyRefusal) -> None:
        """The next node did not take something; the caller wakes the flow's thread."""
        self._refusal = refusal

    def on_peer(self, event: PeerEvent) -> None:
        """A neighbour came, went, or fell silent; the caller wakes the flow's thread."""
        self._absence.on_peer(event)

    # -- the flow's thread -------------------------------------------------------------------

    def step(self, now_ns: int, progress: int | None) -> bool:
        """Do what can be done now.

        `progress` grows with every acknowledgement that says something new; None: nothing that
        was sent is undelivered.
        """
        self._opening.look_at_ns = None
        self._greet_peer()
        self._watch_progress(now_ns, progress)
        noted = self._take_notes()
        if self._connection is None and self._retry_at_ns is not None:
            if now_ns < self._retry_at_ns:
                return noted
            self._begin(now_ns)
        if self._ask_at_ns is not None and now_ns >= self._ask_at_ns:
            self._ask(now_ns)
        if self._connection is None:
            return noted
        try:
            return self._advance(self._connection) or noted
        except OSError as error:
            self.lose(os.strerror(error.errno or errno.EIO))
            return True

    def masks(self) -> dict[int, int]:
        """What to poll for."""
        if self._connection is None:
            return {}
        mask = select.POLLIN
        writes = self._connection.flow_id and self._wants_write()
        if not self._established or writes:
            mask |= select.POLLOUT
        return {self._connection.sock.fileno(): mask}

    def deadline_ns(self) -> int | None:
        """When `step` has something to do although nothing happened."""
        retry_at_ns = self._retry_at_ns if self._connection is None else None
        times = (self._opening.look_at_ns, retry_at_ns, self._ask_at_ns, self._unanswered.due_ns)
        return min((at_ns for at_ns in times if at_ns is not None), default=None)

    def lose(self, trouble: str) -> None:
        """The connection is of no use any more; another attempt follows."""
        self._note(trouble)
        after_end = self._shut
        # An introduction must be read; anything else is of no use any more.
        self._drop(reset=not self._only_header)
        self._only_header = False
        wait_ns = max(self._backoff_ns, END_GRACE_NS if after_end else 0)
        self._retry_at_ns = time.monotonic_ns() + wait_ns
        self._backoff_ns = min(2 * self._backoff_ns, BACKOFF_MAX_NS)

    def close(self, *, reset: bool) -> None:
        """No more attempts."""
        self._drop(reset=reset)
        self._retry_at_ns = None

    def progressed(self) -> None:
        """Downstream acknowledged more: the next trouble is a new one."""
        self._backoff_ns = BACKOFF_MIN_NS

    # -- attempts ----------------------------------------------------------------------------

    def _watch_progress(self, now_ns: int, progress: int | None) -> None:
        if self._unanswered.is_due(progress if self.is_sending else None, now_ns):
            self._plane.send(self._to.peer, ResumeQuery(self._feed.name, self.epoch))

    def _greet_peer(self) -> None:
        """It was away and is back: neither old questions nor old failures count."""
        back = self._absence.ended()
        if back is None:
            return
        asking = self._connection is None or (self._established and self._start is None)
        if not asking and (why := self._is_useless(back)):
            self.lose(why)
        if back.new_session:
            self._backoff_ns = BACKOFF_MIN_NS
            self._ask_at_ns = None if self._ask_at_ns is None else 0
            self._retry_at_ns = None if self._retry_at_ns is None else 0

    def _is_useless(self, back: Return) -> str:
        """Why another connection gets data through sooner; "": this one does."""
        if self._connection is None:
            return ""
        return back.trouble_of(self._connection.sock, established=self._established)

    def _begin(self, now_ns: int) -> None:
        # Larger than those of an earlier life of this daemon, as far as clocks go; a node that
        # knows better refuses it and names its own.
        self.epoch = max(self.epoch + 1, time.time_ns())
        self.attempts += 1
        self._retry_at_ns = None
        self._point = self._refusal = None
        self._feed.on_attempt(self.epoch)
        if self._fresh and self.attempts == 1:
            self._start = 0
        else:
            self._ask_at_ns = now_ns
        self._connect()

    def _connect(self) -> None:
        to, opening = self._to, self._opening
        if self.attempts == 1 and (waiting := opening.adopt()) is not None:
            self._connection, self._established = waiting, True
            return
        try:
            sock = sockets.prepare(to.source_address, to.address, opening.profile(to.profile))
        except NodeError as error:
            self.lose(str(error))
            return
        self._connection = self._run.track(sock, "out", time.monotonic_ns())
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opening.begin(sock)

    def _ask(self, now_ns: int) -> None:
        asked = self._plane.send(self._to.peer, ResumeQuery(self._feed.name, self.epoch))
        if not asked:
            self._note(f"no control session with {self._to.peer}")
        self._ask_at_ns = now_ns + (ASK_AGAIN_NS if asked else self._backoff_ns)

    def _take_notes(self) -> bool:
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            self._on_refused(refusal)
        point, self._point = self._point, None
        if point is None or point.transfer_epoch != self.epoch or self._ask_at_ns is None:
            return refusal is not None  # the point is of an attempt that is over
        self._ask_at_ns = None
        self._start = self._feed.resume(point)
        if self._start is None:
            self.lose("its answer is older than its acknowledgements")
        return True

    def _on_refused(self, refusal: CustodyRefusal) -> None:
        reason = refusal.reason
        self._note(f"{self._to.peer} refused: {reason.name.lower().replace('_', ' ')}")
        if reason is CustodyReason.STALE_EPOCH and refusal.transfer_epoch >= self.epoch:
            self.epoch = refusal.transfer_epoch
            self.lose(self.last_trouble)
        elif refusal.transfer_epoch != self.epoch:
            return
        elif reason is CustodyReason.UNKNOWN_FLOW and self._ask_at_ns is not None:
            self._introduce()
        elif reason in (CustodyReason.GAP, CustodyReason.TOO_MANY_FLOWS):
            self.lose(self.last_trouble)

    def _introduce(self) -> None:
        """The next node cannot tell the run by the flow's name: the header does."""
        self._ask_at_ns = None
        self._start = self._feed.introduce()
        if self._start is None:
            self._start, self._only_header = 0, True

    # -- the connection ----------------------------------------------------------------------

    def _advance(self, connection: TrackedConnection) -> bool:
        if not self._established and not self._establish(connection):
            return False
        begun = self._start is not None and (connection.flow_id or self._begin_sending(connection))
        if begun and self._send(connection):
            return True
        self._see_end(connection)
        return self._connection is None

    def _establish(self, connection: TrackedConnection) -> bool:
        to = self._to
        status = connection.sock.connect_ex((to.address, to.port))
        if status in (errno.EINPROGRESS, errno.EALREADY):
            return False
        if status not in (0, errno.EISCONN):
            raise OSError(status, os.strerror(status))
        self._established = True
        self._opening.established(connection.sock)
        self._run.watch(connection)
        return True

    def _see_end(self, connection: TrackedConnection) -> None:
        try:
            data = connection.sock.recv(64)
        except BlockingIOError:
            return
        if data:
            raise OSError(errno.EPROTO, "the next node sent data back")
        self.lose("closed by the next node" + (" after the trailer" if self._shut else ""))

    def _begin_sending(self, connection: TrackedConnection) -> bool:
        if self._start is None:
            return False
        fresh = self._fresh and self.attempts == 1
        header = self._feed.header(self.epoch, self._start, fresh=fresh)
        if header is None:
            return False
        connection.flow_id = header.flow_id
        self._framing = memoryview(header.encode())
        self.position = self._start
        self._feed.on_open(connection, self._start)
        return True

    def _wants_write(self) -> bool:
        if self._opening.look_at_ns is not None:
            return False
        if len(self._framing) or self._only_header:
            return True
        start, end = self._feed.unsent()
        return start < end or self.position != start or (self._ends_at(start) and not self._shut)

    def _ends_at(self, start: int) -> bool:
        trailer = self._feed.trailer()
        return trailer is not None and trailer.payload_bytes == start

    def _send(self, connection: TrackedConnection) -> bool:
        sock = connection.sock
        try:
            count = self._send_framing(sock) if len(self._framing) else self._send_payload(sock)
        except BlockingIOError:
            return False
        connection.bytes_moved += count
        return bool(count)

    def _send_payload(self, sock: socket.socket) -> int:
        if self._shut:
            return 0
        if self._only_header:
            self.lose("introduced the flow")
            return 0
        start, end = self._feed.unsent()
        if self.position is not None and self.position < start:
            return self._close_gap(sock, self.position, start)
        if start < end:
            room = self._opening.room(time.monotonic_ns())
            if room is not None and room <= 0:
                return 0
            allowed = end if room is None else min(end, start + room)
            count = sock.send(self._feed.view(start, allowed))
            self._feed.on_sent(count)
            self._opening.sent(count)
            self.position = start + count
            return count
        trailer = self._feed.trailer()
        if trailer is None or trailer.payload_bytes != start:
            return 0
        if self._trailer_begun:
            sock.shutdown(socket.SHUT_WR)
            self._shut = True
            return 0
        self._framing = memoryview(trailer.encode())
        self._trailer_begun = True
        return self._send_framing(sock)

    def _close_gap(self, sock: socket.socket, position: int, start: int) -> int:
        """Bytes were delivered by what the next node had before; but a stream has no gaps."""
        view = self._feed.view(position, start)
        if not len(view):
            self.lose("what was to be sent is delivered, and gone from here")
            return 0
        count = sock.send(view)
        self.position = position + count
        return count

    def _send_framing(self, sock: socket.socket) -> int:
        count = sock.send(self._framing)
        self._framing = self._framing[count:]
        return count

    def _drop(self, *, reset: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._poller.forget(connection.sock.fileno())
            self._run.untrack(connection, reset=reset)
        self._opening.close(connection, well=self._shut)
        self._established = self._trailer_begun = self._shut = False
        self._start = self._ask_at_ns = self.position = None
        self._framing = memoryview(b"")
        self._point = None

    def _note(self, trouble: str) -> None:
        if trouble != self.last_trouble:
            self._run.event(
                f"flow {self._feed.name:016x} to {self._to.peer}, attempt "
                f"{self.attempts}: {trouble}"
            )
        self.last_trouble = trouble
