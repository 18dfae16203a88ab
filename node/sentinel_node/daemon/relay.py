"""The intermediate: ends TCP on one side, starts it anew on the other, and moves the bytes.

One thread per relayed connection serves both directions with non-blocking calls and one poll(2).
The rules (bounded memory, half-close, reset) are those of `core.relaying`; a failure on one side
becomes a reset on the other. What was read and not yet written then is lost, as it would be with
a reset end to end.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from dataclasses import dataclass, field
from enum import StrEnum

from sentinel_node.core.framing import HEADER_BYTES, FlowHeader
from sentinel_node.core.start.gate import Gate
from sentinel_node.daemon import sockets
from sentinel_node.daemon.connection import TrackedConnection
from sentinel_node.daemon.control.gate import SocketTcp
from sentinel_node.daemon.control.preparing import (
    Expected,
    Onward,
    prepare_on_forecast,
    take_prepared,
)
from sentinel_node.daemon.control.starting import Prepared, observe_end
from sentinel_node.daemon.relay_lanes import CopyLane, Lane, SpliceLane
from sentinel_node.daemon.run import NodeRun, accept_in_background
from sentinel_node.daemon.sockets import TcpProfile
from sentinel_node.daemon.stop import SocketWaiter
from sentinel_node.errors import HeaderError, NodeError, RequestError, Stopped

DEFAULT_BUFFER_BYTES = 1024 * 1024
"""By benchmarks/relay.py: 1 MiB costs the relay 10 to 35 % less CPU per byte than 256 KiB."""

MAX_BUFFER_BYTES = 64 * 1024 * 1024
CONNECT_TIMEOUT_NS = 60_000_000_000


class RelayMode(StrEnum):
    """How bytes move through the relay."""

    COPY = "copy"
    SPLICE = "splice"


DEFAULT_MODE = RelayMode.COPY
"""By benchmarks/relay.py: equal throughput on a veth pair and on loopback. Splice costs up to a
quarter less CPU, but its pipes count against fs.pipe-user-pages-soft, 64 MiB for all daemons of a
user together, and pin the pages they hold; copying has neither limit."""


@dataclass(frozen=True, slots=True)
class RelaySpec:
    """Where to accept, where to connect onward, and how.

    `buffer_bytes` is held in user space (the pipe, for splice) per connection and direction.
    """

    listen_address: str
    listen_port: int
    target_address: str
    target_port: int
    source_address: str = ""
    accept_profile: TcpProfile = field(default_factory=TcpProfile)
    connect_profile: TcpProfile = field(default_factory=TcpProfile)
    mode: RelayMode = DEFAULT_MODE
    buffer_bytes: int = DEFAULT_BUFFER_BYTES
    expected: Expected | None = None
    """Flows to get ready for on their forecast; None: connect onward when a flow is here."""

    def __post_init__(self) -> None:
        if not 4096 <= self.buffer_bytes <= MAX_BUFFER_BYTES:
            raise RequestError(
                f"relay buffer_bytes must be from 4096 to {MAX_BUFFER_BYTES}, "
                f"got {self.buffer_bytes}"
            )
        if not 1 <= self.target_port <= 65535:
            raise RequestError(f"target_port must be from 1 to 65535, got {self.target_port}")


def start_relaying(run: NodeRun, spec: RelaySpec) -> int:
    """Bind and relay every connection until the run ends. Gives the port."""
    sockets.prepare(spec.source_address, spec.target_address, spec.connect_profile).close()
    listener = sockets.listen(spec.listen_address, spec.listen_port, spec.accept_profile)
    port = int(listener.getsockname()[1])

    def handle(run: NodeRun, sock: socket.socket, accepted_ns: int) -> None:
        _relay_connection(run, sock, accepted_ns, spec)

    if spec.expected is not None:
        onward = Onward(
            spec.source_address,
            spec.target_address,
            spec.target_port,
            spec.connect_profile,
            CONNECT_TIMEOUT_NS,
        )
        prepare_on_forecast(run, spec.expected, listener, spec.accept_profile, onward)
    accept_in_background(run, listener, handle)
    return port


class SideFailedError(NodeError):
    """One side of a relayed connection failed; the other has to be reset."""

    def __init__(self, connection: TrackedConnection, code: int) -> None:
        super().__init__(f"{connection.name}: {os.strerror(code)}")


def _relay_connection(
    run: NodeRun, accepted: socket.socket, accepted_ns: int, spec: RelaySpec
) -> None:
    run.begin_work()
    inward = run.track(accepted, "in", accepted_ns)
    outward: TrackedConnection | None = None
    prepared: Prepared | None = None
    gate: Gate | None = None
    clean = False
    try:
        _establish(run, inward)
        if spec.expected is not None:
            prepared = take_prepared(run, inward, SocketWaiter(inward.sock, run.stop))
        if prepared is not None:
            outward = prepared.connection
        if prepared is not None and outward is not None:
            gate = prepared.begin(SocketTcp(outward.sock, run.event))
        outward = outward or _connect_onward(run, spec)
        with _Pump(run, inward, outward, spec, gate, prepared) as pump:
            pump.run_to_end()
        clean = True
    except Stopped as stopped:
        run.event(f"relay {inward.name}: {stopped}")
    except NodeError as error:
        run.event(f"relay {inward.name}: {error}; reset passed on")
    finally:
        run.untrack(inward, reset=not clean)
        if outward is not None:
            run.untrack(outward, reset=not clean)
        if gate is not None:
            gate.close()
        if clean and prepared is not None and prepared.outgoing is not None:
            observe_end(prepared.outgoing, outward)
        run.end_work()


def _establish(run: NodeRun, connection: TrackedConnection) -> None:
    try:
        # A relay must not add delay of its own: no Nagle between two legs (RFC 9293, 3.7.4).
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        run.watch(connection)
    except OSError as error:
        raise SideFailedError(connection, error.errno or errno.EIO) from error


def _connect_onward(run: NodeRun, spec: RelaySpec) -> TrackedConnection:
    sock = sockets.prepare(spec.source_address, spec.target_address, spec.connect_profile)
    connection = run.track(sock, "out", time.monotonic_ns())
    try:
        sockets.connect(
            sock,
            spec.target_address,
            spec.target_port,
            stop=run.stop,
            timeout_ns=CONNECT_TIMEOUT_NS,
        )
        _establish(run, connection)
    except NodeError:
        run.untrack(connection, reset=True)
        raise
    return connection


@dataclass(frozen=True, slots=True)
class _Way:
    """One direction: the lane and the connections at its ends."""

    lane: Lane
    source: TrackedConnection
    sink: TrackedConnection


class _Pump:
    """Moves bytes both ways between two established connections until both have ended."""

    def __init__(
        self,
        run: NodeRun,
        inward: TrackedConnection,
        outward: TrackedConnection,
        spec: RelaySpec,
        gate: Gate | None = None,
        prepared: Prepared | None = None,
    ) -> None:
        kind = CopyLane if spec.mode is RelayMode.COPY else SpliceLane
        self._run = run
        self._gate = gate
        self._held = False
        self._inward = inward
        self._outward = outward
        self._prepared = prepared
        self._window_bytes = spec.accept_profile.window_clamp_bytes
        self._ways: list[_Way] = []
        try:
            for source, sink in ((inward, outward), (outward, inward)):
                lane = kind(source.sock, sink.sock, spec.buffer_bytes, run.gauge.add)
                self._ways.append(_Way(lane, source, sink))
        except NodeError:
            self._close_lanes()
            raise
        self._forward, self._backward = self._ways
        self._poller = select.poll()
        self._poller.register(run.stop.fileno(), select.POLLIN)
        self._sides = {side.sock.fileno(): side for side in (inward, outward)}
        self._masks: dict[int, int] = {}

    def __enter__(self) -> _Pump:
        return self

    def __exit__(self, *exc: object) -> None:
        self._close_lanes()

    def _close_lanes(self) -> None:
        for way in self._ways:
            way.lane.close()

    def run_to_end(self) -> None:
        """Return when both directions are closed. Raises SideFailedError or Stopped."""
        while not all(way.lane.state.sink_closed for way in self._ways):
            self._run.stop.raise_if_set()
            # Both directions get their turn, so that neither starves the other.
            forward, backward = self._step(self._forward), self._step(self._backward)
            if not forward and not backward:
                self._wait()
        self._run.event(
            f"relay {self._inward.name}: closed, {self._forward.lane.state.moved_bytes} bytes "
            f"forward, {self._backward.lane.state.moved_bytes} back"
        )

    def _step(self, way: _Way) -> bool:
        lane = way.lane
        progress = False
        if lane.wants_read:
            progress = self._read(way)
        if lane.state.wants_write:
            try:
                progress |= self._write(way)
            except OSError as error:
                raise SideFailedError(way.sink, error.errno or errno.EIO) from error
        if way is self._forward:
            self._inward.bytes_moved = lane.state.moved_bytes + lane.state.buffered_bytes
            self._outward.bytes_moved = lane.state.moved_bytes
        if lane.state.must_close_sink:
            self._close_sink(way)
            progress = True
        return progress

    def _write(self, way: _Way) -> bool:
        """Write once, as much as the start allows; then as the sink takes it."""
        gate = self._gate if way is self._forward else None
        room = None if gate is None else gate.room(time.monotonic_ns())
        self._held = room is not None and room <= 0
        if gate is not None and gate.over:
            self._gate = None
        if gate is None or room is None:
            return way.lane.write()
        if self._held:
            return False
        before = way.lane.state.moved_bytes
        progress = way.lane.write(room)
        gate.sent(way.lane.state.moved_bytes - before)
        return progress

    def _read(self, way: _Way) -> bool:
        try:
            if way is self._forward and not self._inward.bytes_moved:
                self._note_flow()
            progress = way.lane.read()
            if way is self._forward:
                self._follow(way.source.sock)
            return progress
        except BlockingIOError:
            return False
        except OSError as error:
            raise SideFailedError(way.source, error.errno or errno.EIO) from error

    def _follow(self, sock: socket.socket) -> None:
        """Hold the window that is predicted now, and note what has come of older predictions."""
        prepared = self._prepared
        window = prepared.window_clamp_bytes if prepared is not None else self._window_bytes
        if window:
            sockets.hold_window(sock, window)
        if prepared is not None and prepared.waiting:
            state = self._forward.lane.state
            payload = state.moved_bytes + state.buffered_bytes - HEADER_BYTES
            self._run.preparations.reached(prepared, payload, time.monotonic_ns())

    def _note_flow(self) -> None:
        """Learn the flow's id from its header, if it is one; the bytes stay where they are."""
        first = self._inward.sock.recv(HEADER_BYTES, socket.MSG_PEEK)
        try:
            flow_id = FlowHeader.decode(first).flow_id
        except HeaderError:
            return  # a relay carries any stream; this one stays without a number
        self._inward.flow_id = self._outward.flow_id = flow_id

    def _close_sink(self, way: _Way) -> None:
        try:
            way.sink.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise SideFailedError(way.sink, error.errno or errno.EIO) from error
        way.lane.state.on_sink_closed()
        direction = "forward" if way is self._forward else "back"
        self._run.event(f"relay {self._inward.name}: half-close passed on {direction}")

    def _wait(self) -> None:
        held_ms = self._gate.look_ns / 1e6 if self._held and self._gate is not None else None
        self._set_mask(self._inward, self._forward.lane, self._backward.lane)
        self._set_mask(self._outward, self._backward.lane, self._forward.lane, held=self._held)
        for fd, events in self._poller.poll(held_ms):
            side = self._sides.get(fd)
            if side is not None and events & select.POLLERR:
                code = side.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    raise SideFailedError(side, code)

    def _set_mask(
        self, side: TrackedConnection, from_side: Lane, to_side: Lane, *, held: bool = False
    ) -> None:
        mask = select.POLLIN if from_side.wants_read else 0
        mask |= select.POLLOUT if to_side.state.wants_write and not held else 0
        fd = side.sock.fileno()
        if from_side.state.source_ended and to_side.state.sink_closed:
            # Nothing can happen here any more, but poll would report POLLHUP for ever.
            if self._masks.pop(fd, None) is not None:
                self._poller.unregister(fd)
        elif self._masks.get(fd) != mask:
            # Mask 0 too: an error (a reset) is reported all the same.
            self._poller.register(fd, mask)
            self._masks[fd] = mask
