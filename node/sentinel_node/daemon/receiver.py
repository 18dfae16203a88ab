"""The receiving end: read, hash, time, judge.

One thread per flow. `recv_into` and SHA-256 over large buffers run without the interpreter
lock, so flows use several cores and the control service stays responsive.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field

from sentinel_node.core.framing import StreamVerifier
from sentinel_node.core.series import DEFAULT_INTERVAL_NS
from sentinel_node.core.sync.flow_log import Delivered
from sentinel_node.core.token_bucket import TokenBucket
from sentinel_node.daemon import sockets
from sentinel_node.daemon.connection import TrackedConnection
from sentinel_node.daemon.control.interface import control_flow_id
from sentinel_node.daemon.control.preparing import (
    Expected,
    open_awaited,
    open_inward,
    prepare_on_forecast,
)
from sentinel_node.daemon.control.starting import Prepared
from sentinel_node.daemon.records import FlowRecord
from sentinel_node.daemon.run import NodeRun, accept_in_background
from sentinel_node.daemon.sockets import TcpProfile
from sentinel_node.daemon.stop import SocketWaiter
from sentinel_node.errors import FramingError, Stopped

BUFFER_BYTES = 256 * 1024
LIMITED_CHUNK_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class ListenSpec:
    """Where and how to receive. `read_rate_limit_bps` (0: none) makes a slow receiver."""

    address: str
    port: int
    profile: TcpProfile = field(default_factory=TcpProfile)
    series_interval_ns: int = DEFAULT_INTERVAL_NS
    read_rate_limit_bps: int = 0
    expected: Expected | None = None
    """Flows to get ready for on their forecast; None: nothing is set ahead."""


def start_listening(run: NodeRun, spec: ListenSpec) -> int:
    """Bind and accept flows until the run ends. Gives the port."""
    listener = sockets.listen(spec.address, spec.port, spec.profile)
    port = int(listener.getsockname()[1])

    def handle(run: NodeRun, sock: socket.socket, accepted_ns: int) -> None:
        _receive_flow(run, sock, accepted_ns, spec)

    if spec.expected is not None:
        prepare_on_forecast(run, spec.expected, listener, spec.profile)
    accept_in_background(run, listener, handle)
    return port


def _receive_flow(run: NodeRun, sock: socket.socket, accepted_ns: int, spec: ListenSpec) -> None:
    record = FlowRecord(0, spec.series_interval_ns)
    record.start_ns = accepted_ns
    connection = run.track(sock, "in", accepted_ns)
    verifier = StreamVerifier(run.name, record.checkpoints)
    run.add_flow(record)
    run.begin_work()
    failed = True
    try:
        run.watch(connection)
        record.connection = connection.name
        opened_ns = open_awaited(run, connection) if spec.expected is not None else 0
        _read_to_end(run, connection, record, verifier, spec, opened_ns)
        _judge(record, verifier)
        failed = bool(record.error)
    except (FramingError, Stopped) as error:
        record.error = str(error)
    except OSError as error:
        record.error = (
            f"{connection.name or 'new connection'}: {error.strerror} after "
            f"{record.payload_bytes} payload bytes"
        )
    finally:
        record.sha256 = verifier.finish().sha256
        # A flow that is not intact is answered with a reset, so that its sender knows.
        run.untrack(connection, reset=failed)
        if record.flow_id:
            tell_sync(run, record)
        record.end()
        if record.error:
            run.event(f"flow {record.flow_id}: {record.error}")
        run.end_work()


def _taken(
    run: NodeRun, connection: TrackedConnection, record: FlowRecord, opened_ns: int
) -> Prepared | None:
    """What was made ready for the flow that came; None: nothing was."""
    flow_id = control_flow_id(run.name, connection.flow_id)
    prepared = run.preparations.get(flow_id)
    if prepared is not None:
        open_inward(run, prepared, connection, opened_ns)
    if run.sync is not None and record.hashed:
        run.sync.hashing(flow_id, record.checkpoints)
    return prepared


def tell_sync(run: NodeRun, record: FlowRecord) -> None:
    """The data has ended: now the receiver's view can be checked against upstream's."""
    sync = run.sync
    if sync is None:
        return
    flow_id = control_flow_id(run.name, record.flow_id)
    run.preparations.first_byte(flow_id, record.first_byte_ns)
    delivered = Delivered(record.payload_bytes, record.sha256)
    sync.from_thread(lambda: sync.delivered(flow_id, delivered))


def _read_to_end(
    run: NodeRun,
    connection: TrackedConnection,
    record: FlowRecord,
    verifier: StreamVerifier,
    spec: ListenSpec,
    opened_ns: int,
) -> None:
    sock = connection.sock
    waiter = SocketWaiter(sock, run.stop)
    view = memoryview(bytearray(BUFFER_BYTES))
    window = spec.profile.window_clamp_bytes
    prepared: Prepared | None = None
    seen = False
    limiter = Limiter(run, spec.read_rate_limit_bps) if spec.read_rate_limit_bps else None
    while True:
        run.stop.raise_if_set()
        room = view if limiter is None else view[: limiter.wait_for_room()]
        try:
            count = sock.recv_into(room)
        except BlockingIOError:
            waiter.readable()
            continue
        now_ns = time.monotonic_ns()
        if not count:
            return
        if limiter is not None:
            limiter.take(count)
        connection.bytes_moved += count
        try:
            fresh = verifier.feed(view[:count])
        finally:
            _note_header(record, connection, verifier)
        if record.flow_id and not seen:
            seen = True
            prepared = _taken(run, connection, record, opened_ns)
        if prepared is not None:
            window = prepared.window_clamp_bytes
        if window:
            sockets.hold_window(sock, window)
        record.progress(now_ns, fresh)
        if prepared is not None and prepared.waiting:
            run.preparations.reached(prepared, record.payload_bytes, now_ns)


def _note_header(
    record: FlowRecord, connection: TrackedConnection, verifier: StreamVerifier
) -> None:
    header = verifier.header
    if header is not None and not record.flow_id:
        record.flow_id = connection.flow_id = header.flow_id
        record.declared_bytes = header.size_bytes or 0
        record.hashed = header.hashed


def _judge(record: FlowRecord, verifier: StreamVerifier) -> None:
    verdict = verifier.finish()
    record.complete = verdict.complete
    record.sha256_ok = verdict.sha256_ok
    record.error = verdict.error


class Limiter:
    """Makes a receiver slow: hands out room to read at a fixed rate."""

    def __init__(self, run: NodeRun, rate_bps: int) -> None:
        self._stop = run.stop
        self._bucket = TokenBucket(rate_bps, LIMITED_CHUNK_BYTES, time.monotonic_ns())

    def wait_for_room(self) -> int:
        """Bytes that may be read now; waits until a whole chunk may."""
        while self._bucket.available_bytes(time.monotonic_ns()) < LIMITED_CHUNK_BYTES:
            self._stop.wait_until(self._bucket.ready_at_ns(LIMITED_CHUNK_BYTES))
        return LIMITED_CHUNK_BYTES

    def take(self, count_bytes: int) -> None:
        """`count_bytes` were read."""
        self._bucket.take(count_bytes)
