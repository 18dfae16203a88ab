"""A custodian: takes bytes into bounded memory, confirms them, and keeps them until delivered."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sentinel_node.core.control.custody_messages import (
    CustodyReason,
    CustodyRefusal,
    ResumeQuery,
)
from sentinel_node.core.control.refusals import Refusal
from sentinel_node.core.custody.effects import Release
from sentinel_node.core.custody.memory import ChunkPool
from sentinel_node.core.custody.store import CustodyStore
from sentinel_node.core.framing import FlowHeader
from sentinel_node.daemon import sockets
from sentinel_node.daemon.connection import TrackedConnection
from sentinel_node.daemon.control import preparing
from sentinel_node.daemon.control.interface import token_flow_id
from sentinel_node.daemon.control.preparing import Expected, prepare_on_forecast
from sentinel_node.daemon.custody.hub import CustodyHub
from sentinel_node.daemon.custody.journal import recover
from sentinel_node.daemon.custody.onward import Onward
from sentinel_node.daemon.custody.relay_flow import RelayFlow
from sentinel_node.daemon.custody.uplink import Uplink, read_header
from sentinel_node.daemon.run import NodeRun, accept_in_background
from sentinel_node.daemon.sockets import TcpProfile
from sentinel_node.errors import NodeError, RequestError, Stopped

DEFAULT_CAPACITY_BYTES = 256 * 1024 * 1024
DEFAULT_FLOWS_MAX = 64
CONNECT_TIMEOUT_NS = 60_000_000_000


@dataclass(frozen=True, slots=True)
class CustodyRelaySpec:
    """Where to accept, from whom, and where it goes next; how much may be held."""

    listen_address: str
    listen_port: int
    upstream: str
    onward: Onward
    accept_profile: TcpProfile = field(default_factory=TcpProfile)
    capacity_bytes: int = DEFAULT_CAPACITY_BYTES
    flows_max: int = DEFAULT_FLOWS_MAX
    release: Release = Release.DELIVERED
    journal_folder: Path | None = None
    expected: Expected | None = None
    """Flows to get ready for on their forecast; None: connect onward when a flow is here."""

    def __post_init__(self) -> None:
        for name, peer in (("upstream", self.upstream), ("downstream", self.onward.peer)):
            if not peer:
                raise RequestError(f"custody: the {name} neighbour must be named")


def start_custody_relay(run: NodeRun, hub: CustodyHub, spec: CustodyRelaySpec) -> int:
    """Bind, and take flows into custody until the run ends. Gives the port."""
    relay = CustodyRelay(run, hub, spec)
    relay.recover()
    sockets.prepare(spec.onward.source_address, spec.onward.address, spec.onward.profile).close()
    listener = sockets.listen(spec.listen_address, spec.listen_port, spec.accept_profile)
    port = int(listener.getsockname()[1])
    if spec.expected is not None:
        prepare_on_forecast(run, spec.expected, listener, spec.accept_profile, _ahead(spec.onward))
    accept_in_background(run, listener, relay.accept)
    run.on_close(hub.serve(spec.upstream, relay.on_stranger))
    return port


def _ahead(onward: Onward) -> preparing.Onward:
    """The connection that is made on a forecast."""
    return preparing.Onward(
        onward.source_address, onward.address, onward.port, onward.profile, CONNECT_TIMEOUT_NS
    )


class CustodyRelay:
    """All flows in custody of one run at this node."""

    def __init__(self, run: NodeRun, hub: CustodyHub, spec: CustodyRelaySpec) -> None:
        try:
            self.pool = ChunkPool(spec.capacity_bytes, spec.flows_max, lock=threading.Lock())
        except ValueError as error:
            raise RequestError(f"custody: {error}") from error
        self.run = run
        self.hub = hub
        self.spec = spec
        self.lock = threading.Lock()
        self.store = CustodyStore(
            hub.plane.node,
            capacity_bytes=self.pool.capacity_bytes,
            flows_max=spec.flows_max,
            downstream=spec.onward.peer,
            release=spec.release,
        )
        self._flows: dict[int, RelayFlow] = {}
        self._flows_lock = threading.Lock()

    def accept(self, run: NodeRun, sock: socket.socket, accepted_ns: int) -> None:
        """One incoming connection, in a thread of its own; the first of a flow becomes its."""
        connection = run.track(sock, "in", accepted_ns)
        try:
            run.watch(connection)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            header = read_header(run, connection)
        except (NodeError, OSError) as error:
            if not isinstance(error, Stopped):
                run.event(f"custody: {error}")
            run.untrack(connection, reset=True)
            return
        run.preparations.first_byte(token_flow_id(header.token), time.monotonic_ns())
        flow = self._admit(connection, header)
        if flow is not None:
            flow.run_to_end()

    def on_stranger(self, peer: str, query: ResumeQuery) -> Refusal | None:
        """Upstream asks for a flow that is not open here: downstream knows where it goes on."""
        if self._tell_finished(query.flow_id, query.transfer_epoch):
            return None
        with self._flows_lock:
            if len(self._flows) >= self.spec.flows_max:
                self.refuse(query.flow_id, query.transfer_epoch, CustodyReason.TOO_MANY_FLOWS)
                return None
            flow = self._flows[query.flow_id] = RelayFlow(self, query.flow_id, fresh=False)
        refusal = flow.on_query(peer, query)
        try:
            self.run.spawn(f"custody-{query.flow_id:016x}", _run_flow(flow))
        except Stopped:
            self.forget(flow)
        return refusal

    def recover(self) -> None:
        """Take up the flows that a dead daemon left on disk."""
        if self.spec.journal_folder is None:
            return
        for found in recover(self.spec.journal_folder):
            flow = RelayFlow(self, found.name, fresh=False, recovered=found)
            self._flows[found.name] = flow
            self.run.event(
                f"custody: flow {found.name:016x}: bytes [{found.base}, {found.end}) found on disk"
            )
            self.run.spawn(f"custody-{found.name:016x}", _run_flow(flow))

    def forget(self, flow: RelayFlow) -> None:
        """The flow is over."""
        with self._flows_lock:
            self._flows.pop(flow.name, None)

    def refuse(self, name: int, epoch: int, reason: CustodyReason, offset: int = 0) -> None:
        """Tell upstream why not."""
        room = self.store.room_bytes
        refusal = CustodyRefusal(name, max(epoch, 1), offset, reason, room)
        self.hub.plane.send(self.spec.upstream, refusal)

    def _admit(self, connection: TrackedConnection, header: FlowHeader) -> RelayFlow | None:
        """Hand the connection to its flow; gives the flow if it has to be run."""
        name = token_flow_id(header.token)
        if self._tell_finished(name, header.transfer_epoch):
            self.run.untrack(connection)
            return None
        with self._flows_lock:
            flow = self._flows.get(name)
            if flow is not None:
                flow.adopt(Uplink(connection, header))
                return None
            if len(self._flows) < self.spec.flows_max:
                flow = self._flows[name] = RelayFlow(self, name, fresh=header.fresh)
                flow.adopt(Uplink(connection, header))
                return flow
        self.run.event(f"custody: flow {header.flow_id} refused, {self.spec.flows_max} are open")
        self.refuse(name, header.transfer_epoch, CustodyReason.TOO_MANY_FLOWS)
        self.run.untrack(connection, reset=True)
        return None

    def _tell_finished(self, name: int, epoch: int) -> bool:
        with self.lock:
            ack = self.store.finished(name, epoch)
        if ack is None:
            return False
        self.hub.plane.send(self.spec.upstream, ack)
        return True


def _run_flow(flow: RelayFlow) -> Callable[[NodeRun], None]:
    return lambda _run: flow.run_to_end()
