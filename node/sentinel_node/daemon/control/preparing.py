"""Receivers and relays of the fsu arm: on a forecast, get ready for the flow.

The forecast comes on the event loop's thread. There the listener is set, by a few system calls; the
onward connection takes a round trip, so each flow has a thread of the run for it.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sentinel_node.core.control.messages import FlowState, PathMetadata
from sentinel_node.core.framing import HEADER_BYTES, FlowHeader
from sentinel_node.core.start.buffer_plan import StartMode
from sentinel_node.core.start.outgoing import (
    MAX_PACKET_BYTES,
    at_path_rate,
    link_plan,
    packets,
)
from sentinel_node.core.sync.offers import WindowOffers
from sentinel_node.core.sync.paths import hop_names
from sentinel_node.daemon import sockets
from sentinel_node.daemon.connection import TrackedConnection
from sentinel_node.daemon.control.following import Following
from sentinel_node.daemon.control.interface import token_flow_id
from sentinel_node.daemon.control.routes import clear_start_window
from sentinel_node.daemon.control.starting import (
    Prepared,
    host_limits,
    outgoing_to,
    receiving_profile,
    sending_profile,
    set_receive_start,
    set_send_start,
)
from sentinel_node.daemon.sockets import TcpProfile
from sentinel_node.daemon.stop import SocketWaiter
from sentinel_node.errors import HeaderError, NodeError, RequestError, Stopped

if TYPE_CHECKING:
    from sentinel_node.daemon.run import NodeRun


OPENED_WINDOW = "opened window"
"""An adjustment after the fact: the connection was there before its options."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Which announced flows come here: those whose path is `path`, from `upstream_address`."""

    path: tuple[str, ...]
    upstream_address: str
    mode: StartMode = StartMode.CAREFUL


@dataclass(frozen=True, slots=True)
class Onward:
    """Where a relay connects to, and how."""

    source_address: str
    target_address: str
    target_port: int
    profile: TcpProfile
    timeout_ns: int


def prepare_on_forecast(
    run: NodeRun,
    expected: Expected,
    listener: socket.socket,
    profile: TcpProfile,
    onward: Onward | None = None,
) -> None:
    """Get ready for every flow that is announced along the path, until the run ends.

    On the event loop's thread. Raises RequestError without a control plane, or off the path.
    """
    sync, control = run.sync, run.control
    if sync is None or control is None:
        raise RequestError("a path is given, but this node has no control plane: call Connect")
    if control.node not in expected.path:
        raise RequestError(f"{control.node} is not on the path {' - '.join(expected.path)}")
    here = expected.path.index(control.node)

    def hook(state: FlowState, path: PathMetadata) -> None:
        if hop_names(path) != expected.path:
            return
        prepared = run.preparations.begin(state.flow_id)
        if prepared is not None:
            heard_ns = time.monotonic_ns()
            work = _Work(expected, here, listener, profile, onward, state, path, prepared, heard_ns)
            # At once, as the SYN follows: a thread would have to be started, and get its turn.
            work.inward(run)
            if expected.mode is StartMode.MANAGED:
                work.exchange_windows(sync.offers)
            run.spawn(f"prepare-{state.flow_id:016x}", work.outward)
        elif (known := run.preparations.get(state.flow_id)) is not None:
            Following(known, path, here, expected.mode).hear(run, state)

    unhook = sync.on_flow(hook)
    run.preparations.on_close(_forgiving(lambda: sync.from_thread(unhook)))


def _forgiving(call: Callable[[], object]) -> Callable[[], None]:
    """The event loop may have gone before the run."""

    def quietly() -> None:
        try:
            call()
        except (RuntimeError, TimeoutError):
            return

    return quietly


@dataclass(frozen=True, slots=True)
class _Work:
    """One flow's preparation at one node."""

    expected: Expected
    here: int
    listener: socket.socket
    profile: TcpProfile
    onward: Onward | None
    state: FlowState
    path: PathMetadata
    prepared: Prepared
    heard_ns: int

    def inward(self, run: NodeRun) -> None:
        """The side that data comes from: the listener's options; does not wait."""
        try:
            self._inward(run)
        except (NodeError, OSError) as error:
            run.event(f"flow {self.state.flow_id:016x}: its listener is not ready: {error}")

    def exchange_windows(self, offers: WindowOffers) -> None:
        """Say upstream what this node takes at once from now on, and hear it of the next one."""
        # Whole segments, and one less: the kernel rounds windows down to segments.
        window = (packets(self.prepared.window_clamp_bytes) - 1) * MAX_PACKET_BYTES
        if self.prepared.start_window and window > 0:
            offers.say(self.state.flow_id, window, time.monotonic_ns())
        if self.onward is not None:
            offers.expect(self.state.flow_id, self.prepared.offered)

    def outward(self, run: NodeRun) -> None:
        """The onward connection, which takes a round trip; then whatever was predicted since."""
        try:
            if self.onward is not None:
                self._outward(run, self.onward)
        except (NodeError, OSError) as error:
            if self.prepared.outgoing is not None:
                self.prepared.outgoing.release()
            run.event(f"flow {self.state.flow_id:016x}: not made ready: {error}")
            if isinstance(error, Stopped):
                raise
        finally:
            self.prepared.done.set()
        Following(self.prepared, self.path, self.here, self.expected.mode).follow(run)

    def _inward(self, run: NodeRun) -> None:
        host = host_limits()
        plan = link_plan(self.state, self.path, self.here, host, self.expected.mode, None)
        # The listener takes other flows too, and this one may get the whole path later: the
        # window scale is fixed by the handshake.
        alone = link_plan(
            at_path_rate(self.state, self.path), self.path, self.here, host, plan.mode, None
        )
        sockets.apply_profile(self.listener, receiving_profile(self.profile, alone))
        self.prepared.window_fixed = bool(self.profile.window_clamp_bytes)
        self.prepared.window_clamp_bytes = (
            self.profile.window_clamp_bytes or plan.window_clamp_bytes
        )
        upstream = self.expected.upstream_address
        self.prepared.start_window = bool(upstream) and set_receive_start(upstream, plan)
        if self.prepared.start_window:
            run.preparations.on_close(lambda: clear_start_window(upstream))
        self.prepared.plan_in = plan
        run.preparations.adjusted(self.prepared, "receive buffer", plan)

    def _outward(self, run: NodeRun, onward: Onward) -> None:
        target = onward.target_address
        outgoing = outgoing_to(target, self.state, self.path, self.here + 1, self.expected.mode)
        self.prepared.outgoing = outgoing
        if set_send_start(target, outgoing.plan):
            run.preparations.on_close(lambda: clear_start_window(target))
        profile = sending_profile(onward.profile, outgoing.plan)
        sock = sockets.prepare(onward.source_address, target, profile)
        run.preparations.adjusted(self.prepared, "send buffer", outgoing.plan)
        if outgoing.plan.mode is StartMode.MANAGED:
            # Setting up took a part of the head start, if not all.
            run.stop.wait_until(self.heard_ns + outgoing.head_start_ns)
        connection = run.track(sock, "out", time.monotonic_ns())
        self.prepared.connecting(sock, connection.opened_ns, run.event)
        try:
            sockets.connect(
                sock, target, onward.target_port, stop=run.stop, timeout_ns=onward.timeout_ns
            )
            self.prepared.established(sock)
            # A relay must not add delay of its own: no Nagle between two legs.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            run.watch(connection)
        except (NodeError, OSError):
            run.untrack(connection, reset=True)
            raise
        self.prepared.connection = connection
        run.preparations.adjusted(self.prepared, "onward connection", outgoing.plan)


def take_prepared(run: NodeRun, inward: TrackedConnection, waiter: SocketWaiter) -> Prepared | None:
    """Wait for the flow's header, and give what was made ready for it; None: nothing was.

    The bytes stay in the socket. Raises Stopped.
    """
    sock = inward.sock
    opened_ns = open_awaited(run, inward)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, HEADER_BYTES)
    waiter.readable()
    now_ns = time.monotonic_ns()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
    try:
        header = FlowHeader.decode(sock.recv(HEADER_BYTES, socket.MSG_PEEK))
    except HeaderError:
        return None
    flow_id = token_flow_id(header.token)
    prepared = run.preparations.get(flow_id)
    if prepared is None:
        return None
    run.preparations.first_byte(flow_id, now_ns)
    open_inward(run, prepared, inward, opened_ns)
    prepared.done.wait()
    return prepared


def open_awaited(run: NodeRun, inward: TrackedConnection) -> int:
    """A connection was accepted, of a flow that is not known yet: open the window it may have.

    The SYN follows the forecast closely and the kernel needs no time to answer it, so it may be
    there before this node has set its listener's options; data follows the handshake by a
    millisecond, and what its acknowledgement offers holds for a round trip. Gives when (monotonic
    ns); 0: nothing had to be opened.
    """
    window = run.preparations.awaited_window_bytes()
    return _open(run, inward, window) if window else 0


def open_inward(
    run: NodeRun, prepared: Prepared, inward: TrackedConnection, opened_ns: int
) -> None:
    """The flow came over `inward`: it has the planned window, if its SYN came first, too.

    `opened_ns`: see `open_awaited`.
    """
    prepared.inward = inward
    if prepared.plan_in is None:
        return
    ready_ns = opened_ns or _open(run, inward, prepared.window_clamp_bytes)
    if ready_ns:
        run.preparations.adjusted(prepared, OPENED_WINDOW, prepared.plan_in, ready_ns=ready_ns)


def _open(run: NodeRun, inward: TrackedConnection, window_bytes: int) -> int:
    try:
        opened = sockets.open_window(inward.sock, window_bytes)
    except (NodeError, OSError) as error:
        run.event(f"{inward.name}: its window opens slowly: {error}")
        return 0
    return time.monotonic_ns() if opened else 0
