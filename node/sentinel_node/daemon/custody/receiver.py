"""The receiving end of flows in custody: every byte once, over as many connections as it takes.

State outlives its connection: the running hash goes on where it stood. It does not outlive the
daemon, unless the payload is written down (`folder`): then a flow goes on where its file ends.
Delivered is said by bytes or time, after read() (after fsync where it is written down), and is
what frees the bytes everywhere else.
"""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from sentinel_node.core.control.custody_messages import (
    CustodyRefusal,
    ResumeQuery,
)
from sentinel_node.core.control.refusals import Refusal
from sentinel_node.core.framing import FlowHeader
from sentinel_node.core.series import DEFAULT_INTERVAL_NS
from sentinel_node.daemon import sockets
from sentinel_node.daemon.connection import TrackedConnection
from sentinel_node.daemon.control.interface import token_flow_id
from sentinel_node.daemon.control.preparing import Expected, prepare_on_forecast
from sentinel_node.daemon.custody.flow_reader import FlowReader
from sentinel_node.daemon.custody.hub import CustodyHub
from sentinel_node.daemon.custody.receiver_flow import ReceiverFlow, in_thread
from sentinel_node.daemon.custody.uplink import read_header
from sentinel_node.daemon.custody.wake import FlowPoller
from sentinel_node.daemon.receiver import tell_sync
from sentinel_node.daemon.run import NodeRun, accept_in_background
from sentinel_node.daemon.sockets import TcpProfile
from sentinel_node.errors import FramingError, NodeError, RequestError, Stopped

DEFAULT_RETURN_TIMEOUT_NS = 120_000_000_000


@dataclass(frozen=True, slots=True)
class CustodyListenSpec:
    """Where to receive, from whom, and whether it is written down."""

    address: str
    port: int
    upstream: str
    profile: TcpProfile = field(default_factory=TcpProfile)
    series_interval_ns: int = DEFAULT_INTERVAL_NS
    read_rate_limit_bps: int = 0
    return_timeout_ns: int = DEFAULT_RETURN_TIMEOUT_NS
    """How long a flow whose connection broke is waited for."""
    folder: Path | None = None
    expected: Expected | None = None
    """Flows to get ready for on their forecast; None: nothing is set ahead."""

    def __post_init__(self) -> None:
        if not self.upstream:
            raise RequestError("custody: the upstream neighbour must be named")


def start_custody_listening(run: NodeRun, hub: CustodyHub, spec: CustodyListenSpec) -> int:
    """Bind, and receive flows until the run ends. Gives the port."""
    receiver = CustodyReceiver(run, hub, spec)
    listener = sockets.listen(spec.address, spec.port, spec.profile)
    port = int(listener.getsockname()[1])
    if spec.expected is not None:
        prepare_on_forecast(run, spec.expected, listener, spec.profile)
    accept_in_background(run, listener, receiver.accept)
    run.on_close(hub.serve(spec.upstream, receiver.on_stranger))
    run.on_close(receiver.close)
    return port


class CustodyReceiver:
    """All flows that one run receives in custody at this node."""

    def __init__(self, run: NodeRun, hub: CustodyHub, spec: CustodyListenSpec) -> None:
        self.run = run
        self.hub = hub
        self.spec = spec
        self._flows: dict[int, ReceiverFlow] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """The run is over: no more messages."""
        for flow in self._flows.values():
            self.hub.remove(flow.name)
            flow.end(str(Stopped()))
            flow.wake.close()

    def on_stranger(self, peer: str, query: ResumeQuery) -> Refusal | None:
        """Upstream asks for a flow that nobody here has heard of since the daemon began."""
        if self.spec.folder is None:
            return self._flow(query.flow_id).on_query(peer, query)
        # It may have a file, which is read and hashed: not on the event loop.
        in_thread(self.run, lambda _run: self._look_up(peer, query))
        return None

    def _look_up(self, peer: str, query: ResumeQuery) -> None:
        try:
            self._flow(query.flow_id).on_query(peer, query)
        except OSError as error:
            self.run.event(f"flow {query.flow_id:016x}: {self.spec.folder}: {error.strerror}")

    def accept(self, run: NodeRun, sock: socket.socket, accepted_ns: int) -> None:
        """One connection, in a thread of its own."""
        connection = run.track(sock, "in", accepted_ns)
        failed = True
        try:
            run.watch(connection)
            header = read_header(run, connection)
            flow = self._flow(token_flow_id(header.token))
            failed = self._receive(connection, header, flow)
        except (NodeError, OSError) as error:
            if not isinstance(error, Stopped):
                run.event(f"custody: {error}")
        finally:
            run.untrack(connection, reset=failed)

    def _flow(self, name: int) -> ReceiverFlow:
        with self._lock:
            flow = self._flows.get(name)
            if flow is None:
                flow = self._flows[name] = ReceiverFlow(self, name)
                self.hub.add(name, flow)
            return flow

    def _receive(
        self, connection: TrackedConnection, header: FlowHeader, flow: ReceiverFlow
    ) -> bool:
        """True if the connection has to be reset."""
        generation = flow.begin(connection, header)
        if isinstance(generation, CustodyRefusal):
            self.hub.plane.send(self.spec.upstream, generation)
            return True
        poller = FlowPoller(self.run.stop, flow.wake)
        try:
            trailer = FlowReader(
                self.run,
                connection,
                header,
                flow,
                generation,
                window_clamp_bytes=self._window_bytes(flow),
                read_rate_limit_bps=self.spec.read_rate_limit_bps,
            ).read(poller)
        except (FramingError, OSError) as error:
            self.run.event(f"flow {header.flow_id}: {connection.name}: {error}; may come back")
            poller.forget(connection.sock.fileno())
            self.run.untrack(connection, reset=True)
            self._await_return(flow, generation, poller)
            return True
        if trailer is None:
            return True
        trouble = flow.finish(header, trailer)
        flow.end(trouble)
        tell_sync(self.run, flow.record)
        return bool(trouble)

    def _window_bytes(self, flow: ReceiverFlow) -> int:
        ready = self.run.preparations.get(flow.name)
        planned = ready.window_clamp_bytes if ready is not None else 0
        return self.spec.profile.window_clamp_bytes or planned

    def _await_return(self, flow: ReceiverFlow, generation: int, poller: FlowPoller) -> None:
        deadline_ns = time.monotonic_ns() + self.spec.return_timeout_ns
        while flow.is_current(generation):
            if time.monotonic_ns() >= deadline_ns:
                flow.end(
                    f"the connection broke at byte {flow.ledger.next_offset}, and upstream did not "
                    f"come back within {self.spec.return_timeout_ns / 1e9:g} s"
                )
                return
            poller.wait({}, deadline_ns)
