"""The sending end: make payload from a seed, hash it, write it, see it confirmed.

One thread per flow. A flow counts as complete when its trailer was written, the connection
half-closed, and the peer answered by closing its side without a reset.
"""

from __future__ import annotations

import errno
import hashlib
import socket
import time
from dataclasses import dataclass, field
from functools import partial

from sentinel_node.core.arrivals import ArrivalSchedule
from sentinel_node.core.framing import HEADER_BYTES, FlowHeader, FlowTrailer, flow_token
from sentinel_node.core.payload import FILL_SLACK_BYTES, PayloadStream
from sentinel_node.core.series import DEFAULT_INTERVAL_NS
from sentinel_node.core.start.gate import Gate
from sentinel_node.core.sync.announcement import Announcement
from sentinel_node.daemon import sockets
from sentinel_node.daemon.connection import TrackedConnection
from sentinel_node.daemon.control.announcing import Start, announce, remember, tell_end
from sentinel_node.daemon.control.gate import SocketTcp
from sentinel_node.daemon.control.starting import Prepared, sending_profile
from sentinel_node.daemon.custody.flow_spec import CustodyFlowSpec
from sentinel_node.daemon.custody.onward import Onward
from sentinel_node.daemon.custody.orders import CustodyOrder
from sentinel_node.daemon.custody.sender import SenderFlow
from sentinel_node.daemon.file_payload import FilePayload
from sentinel_node.daemon.records import FlowRecord
from sentinel_node.daemon.run import NodeRun
from sentinel_node.daemon.sockets import TcpProfile
from sentinel_node.daemon.stop import SocketWaiter
from sentinel_node.errors import NodeError, RequestError, StalledError, Stopped

BLOCK_BYTES = 256 * 1024
DEFAULT_STALL_TIMEOUT_NS = 120_000_000_000
_U64_MAX = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class FlowOrder:
    """One flow to send: `size_bytes` of payload, or as much as goes in `duration_ns`.

    `start_offset_ns` counts from the acceptance of the command, `duration_ns` from connect().
    """

    flow_id: int
    seed: int
    target_address: str
    target_port: int
    source_address: str = ""
    start_offset_ns: int = 0
    size_bytes: int = 0
    duration_ns: int = 0
    announcement: Announcement | None = None
    """What is said of the flow over the control plane before connect(); None: nothing."""
    custody: CustodyOrder | None = None
    """The flow outlives its connections; its payload may be a file or a pipe."""
    hashed: bool = True
    """False: one block again and again, hashed at neither end (capacity benchmarks)."""
    file_path: str = ""
    """Send the first `size_bytes` of this file instead of a payload made from `seed`."""

    def __post_init__(self) -> None:
        if not 1 <= self.flow_id <= _U64_MAX:
            raise RequestError(f"flow_id must be from 1 to 2^64 - 1, got {self.flow_id}")
        if self.custody is not None and not self.hashed:
            raise RequestError(f"flow {self.flow_id}: a flow in custody is always hashed")
        if self.custody is not None and self.custody.has_source:
            if self.size_bytes or self.duration_ns:
                raise RequestError(
                    f"flow {self.flow_id}: its source says how long it is; give neither size_bytes "
                    f"nor duration_ns, got {self.size_bytes} and {self.duration_ns}"
                )
        elif (self.size_bytes > 0) == (self.duration_ns > 0):
            raise RequestError(
                f"flow {self.flow_id}: exactly one of size_bytes and duration_ns must be given, "
                f"got {self.size_bytes} and {self.duration_ns}"
            )
        if self.file_path and (self.custody is not None or not self.size_bytes or not self.hashed):
            raise RequestError(f"flow {self.flow_id}: a file needs size_bytes, hashed, no custody")
        if not 1 <= self.target_port <= 65535:
            raise RequestError(
                f"flow {self.flow_id}: target_port must be from 1 to 65535, got {self.target_port}"
            )
        sockets.family_of(self.target_address)


@dataclass(frozen=True, slots=True)
class SendSpec:
    """Flows to send and what they share."""

    orders: tuple[FlowOrder, ...]
    profile: TcpProfile = field(default_factory=TcpProfile)
    series_interval_ns: int = DEFAULT_INTERVAL_NS
    stall_timeout_ns: int = DEFAULT_STALL_TIMEOUT_NS

    def __post_init__(self) -> None:
        ids = [order.flow_id for order in self.orders]
        if not ids:
            raise RequestError("no flows to send")
        if len(set(ids)) != len(ids):
            raise RequestError(f"flow ids must be unique within a command, got {ids}")


def start_sending(run: NodeRun, spec: SendSpec) -> tuple[FlowRecord, ...]:
    """Send every flow at its time. Gives their records, in the order of `spec.orders`."""
    accepted_ns = time.monotonic_ns()
    taken = {record.flow_id for record in run.flows}
    for order in spec.orders:
        if order.flow_id in taken:
            raise RequestError(f"flow {order.flow_id} was already sent in run {run.name!r}")
    for source, target in {(order.source_address, order.target_address) for order in spec.orders}:
        # What cannot work is refused here, as an answer to the command, not flow by flow.
        sockets.prepare(source, target, spec.profile).close()
    records = tuple(FlowRecord(order.flow_id, spec.series_interval_ns) for order in spec.orders)
    for record in records:
        run.add_flow(record)
    run.begin_work(len(records))
    run.spawn("arrivals", _start_when_due, spec, records, accepted_ns)
    return records


def _start_when_due(
    run: NodeRun, spec: SendSpec, records: tuple[FlowRecord, ...], accepted_ns: int
) -> None:
    schedule = ArrivalSchedule(
        (accepted_ns + order.start_offset_ns, (order, record))
        for order, record in zip(spec.orders, records, strict=True)
    )
    waiting = set(records)
    try:
        while (next_ns := schedule.next_start_ns) is not None:
            run.stop.wait_until(next_ns)
            for order, record in schedule.due(time.monotonic_ns()):
                send = _send_flow if order.custody is None else _send_in_custody
                run.spawn(f"flow-{order.flow_id}", send, order, record, spec)
                waiting.remove(record)
    except Stopped as stopped:
        for record in waiting:
            record.error = str(stopped)
            record.end()
            run.end_work()


def _send_flow(run: NodeRun, order: FlowOrder, record: FlowRecord, spec: SendSpec) -> None:
    connection: TrackedConnection | None = None
    start: Start | None = None
    gate: Gate | None = None
    record.start_ns = time.monotonic_ns()
    try:
        profile = spec.profile
        if order.announcement is not None:
            # Counted into the flow's time: what is made ready ahead is not for free.
            start = announce(run, order.announcement, order, record)
            profile = sending_profile(spec.profile, start.outgoing.plan)
        sock = sockets.prepare(order.source_address, order.target_address, profile)
        if start is None:
            record.start_ns = time.monotonic_ns()
        else:
            gate = start.prepared.begin(SocketTcp(sock, run.event))
            start.wait(run, sock)
        connection = run.track(sock, "out", record.start_ns)
        connection.flow_id = order.flow_id
        sockets.connect(
            sock,
            order.target_address,
            order.target_port,
            stop=run.stop,
            timeout_ns=spec.stall_timeout_ns,
        )
        run.watch(connection)
        record.connection = connection.name
        if start is not None:
            start.connected(run, connection)
        _Flow(run, connection, record, order, spec.stall_timeout_ns, gate).send()
        record.complete = True
    except NodeError as error:
        record.error = str(error)
    except OSError as error:
        record.error = (
            f"{order.target_address} port {order.target_port}: {error.strerror} after "
            f"{record.payload_bytes} payload bytes"
        )
    finally:
        if connection is not None:
            run.untrack(connection, reset=not record.complete)
        if gate is not None:
            gate.close()
        if order.announcement is not None:
            tell_end(run, order, record)  # a flow that failed has ended too
            remember(record, start, connection)
        record.end()
        if record.error:
            run.event(f"flow {order.flow_id}: {record.error}")
        run.end_work()


def _send_in_custody(run: NodeRun, order: FlowOrder, record: FlowRecord, spec: SendSpec) -> None:
    custody = order.custody
    assert custody is not None  # the caller asked
    try:
        record.start_ns = time.monotonic_ns()
        prepared = _prepare_start(run, order, record)
        end_ns = time.monotonic_ns() + order.duration_ns if order.duration_ns else None
        source = custody.open_source(order.seed, order.flow_id, order.size_bytes, end_ns)
        onward = Onward(
            custody.next_hop,
            order.target_address,
            order.target_port,
            order.source_address,
            spec.profile,
        )
        flow = CustodyFlowSpec(
            order.flow_id,
            source,
            onward,
            custody.receiver,
            release=custody.release,
            resume=custody.resume,
            series_interval_ns=spec.series_interval_ns,
            stall_timeout_ns=spec.stall_timeout_ns,
            prepared=prepared,
            on_all_sent=partial(_tell_end_if_announced, run, order, record),
        )
        record.declared_bytes = source.size_bytes or 0
        SenderFlow(run, custody.hub, flow, record).run_to_end()
    except NodeError as error:
        record.error = str(error)
    finally:
        _tell_end_if_announced(run, order, record)  # a flow that failed has ended too
        record.end()
        if record.error:
            run.event(f"flow {order.flow_id}: {record.error}")
        run.end_work()


def _prepare_start(run: NodeRun, order: FlowOrder, record: FlowRecord) -> Prepared | None:
    """Announce the flow, if it is to be: how its connections begin. Raises NodeError."""
    if order.announcement is None:
        return None
    start = announce(run, order.announcement, order, record)
    return start.prepared


def _tell_end_if_announced(run: NodeRun, order: FlowOrder, record: FlowRecord) -> None:
    if order.announcement is not None:
        tell_end(run, order, record)


class _Flow:
    """The sending of one flow over an established connection."""

    def __init__(
        self,
        run: NodeRun,
        connection: TrackedConnection,
        record: FlowRecord,
        order: FlowOrder,
        stall_timeout_ns: int,
        gate: Gate | None = None,
    ) -> None:
        self._gate = gate
        self._run = run
        self._stop = run.stop
        self._connection = connection
        self._sock: socket.socket = connection.sock
        self._waiter = SocketWaiter(self._sock, run.stop)
        self._record = record
        self._order = order
        self._stall_timeout_ns = stall_timeout_ns
        self._hash = hashlib.sha256()
        self._token = flow_token(run.name, order.flow_id)
        self._end_ns = record.start_ns + order.duration_ns if order.duration_ns else None

    def send(self) -> None:
        """Header, payload, trailer, half-close, then wait for the peer to close."""
        self._send_payload()
        digest = self._hash.digest()
        self._record.sha256 = digest if self._order.hashed else b""
        trailer = FlowTrailer(self._token, self._record.payload_bytes, digest)
        self._write(memoryview(trailer.encode()), payload_from=None, end_ns=None)
        self._sock.shutdown(socket.SHUT_WR)
        if self._order.announcement is not None:
            tell_end(self._run, self._order, self._record)
        self._await_close()

    def _send_payload(self) -> None:
        if not self._order.file_path:
            self._send_blocks(PayloadStream(self._order.seed, self._order.flow_id))
            return
        with FilePayload(self._order.file_path) as payload:
            self._send_blocks(payload)

    def _send_blocks(self, payload: PayloadStream | FilePayload) -> None:
        order = self._order
        buffer = memoryview(bytearray(HEADER_BYTES + BLOCK_BYTES + FILL_SLACK_BYTES))
        header = FlowHeader(order.flow_id, self._token, order.size_bytes or None, order.hashed)
        buffer[:HEADER_BYTES] = header.encode()
        self._record.declared_bytes = order.size_bytes
        self._record.hashed = order.hashed
        begin = 0  # the header goes out with the first block, in one write
        while True:
            count = BLOCK_BYTES
            if order.size_bytes:
                count = min(count, order.size_bytes - self._record.payload_bytes)
            if not count:
                return
            if order.hashed or not payload.offset_bytes:
                payload.fill(buffer[HEADER_BYTES:], count)
            block = buffer[begin : HEADER_BYTES + count]
            written = self._write(block, payload_from=HEADER_BYTES - begin, end_ns=self._end_ns)
            if order.hashed:
                self._hash.update(block[HEADER_BYTES - begin : written])
                self._record.checkpoints.note(self._record.payload_bytes, self._hash)
            if written < len(block):
                return
            begin = HEADER_BYTES

    def _write(self, view: memoryview, *, payload_from: int | None, end_ns: int | None) -> int:
        """Write `view`, or up to `end_ns`; gives the bytes written.

        Bytes before `payload_from` are framing, and are written whatever the time.
        """
        framing = len(view) if payload_from is None else payload_from
        written = 0
        while written < len(view):
            self._stop.raise_if_set()
            before_ns = time.monotonic_ns()
            limit_ns = end_ns if written >= framing else None
            if limit_ns is not None and before_ns >= limit_ns:
                break
            room = self._gate.room(before_ns) if self._gate is not None else None
            if room is not None and room <= 0:
                assert self._gate is not None  # only a gate limits the room
                self._stop.wait_until(before_ns + self._gate.look_ns)
                continue
            try:
                count = self._sock.send(view[written : None if room is None else written + room])
            except BlockingIOError:
                self._wait_writable(before_ns, limit_ns)
                continue
            if self._gate is not None:
                self._gate.sent(count)
            fresh = max(written + count - framing, 0) - max(written - framing, 0)
            written += count
            self._connection.bytes_moved += count
            # A byte counts as written when write() was called: stamped after the call, it could
            # seem to arrive before it was sent.
            self._record.progress(before_ns, fresh)
            if fresh:
                self._record.last_byte_ns = time.monotonic_ns()
        return written

    def _wait_writable(self, now_ns: int, limit_ns: int | None) -> None:
        timeout_ns = self._stall_timeout_ns
        if limit_ns is not None:
            timeout_ns = min(timeout_ns, limit_ns - now_ns)
        if not self._waiter.writable(timeout_ns) and timeout_ns == self._stall_timeout_ns:
            raise StalledError(
                f"{self._connection.name}: nothing could be sent for "
                f"{self._stall_timeout_ns / 1e9:g} s, after {self._record.payload_bytes} bytes"
            )

    def _await_close(self) -> None:
        if not self._waiter.readable(self._stall_timeout_ns):
            raise StalledError(
                f"{self._connection.name}: the peer did not confirm by closing within "
                f"{self._stall_timeout_ns / 1e9:g} s after the last byte was written"
            )
        answer = self._sock.recv(64)
        if answer:
            raise OSError(errno.EPROTO, f"the peer sent {answer[:16]!r} back; a receiver does not")
