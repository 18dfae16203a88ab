"""Drives one run's traffic through the node daemons, by the node-control service only."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sentinel_node.daemon.client import NodeClient
from sentinel_node.errors import NodeError
from sentinel_proto.v1 import node_control_pb2 as pb
from sentinel_sim.backends.emulated import custody, forecasting
from sentinel_sim.backends.emulated.custody import CustodyDisk
from sentinel_sim.backends.emulated.layout import Layout
from sentinel_sim.errors import EmulationError
from sentinel_sim.plan.model import Custody, FlowPlan, PathPlan, RunSpec

STALL_TIMEOUT_NS = 60_000_000_000
RELAY_BUFFER_BYTES = 1 << 20
"""Of one connection and direction, as long as there are few."""
RELAY_MEMORY_BYTES = 256 << 20
"""Of all connections that an intermediate relays: with many, each gets less."""
RELAY_BUFFER_LEAST_BYTES = 16 << 10
SERIES_INTERVAL_NS = 10_000_000
COLLECT_PATIENCE_S = 60.0
FAULT_PROGRESS_NS = 10_000_000
RETURN_PATIENCE_S = 30.0
"""For a sender's daemon that died, in a run in which somebody starts another."""


@dataclass(frozen=True)
class Reports:
    """What each node said of the run."""

    by_node: dict[str, pb.CollectReply]
    lost: dict[str, str] = field(default_factory=dict)
    """In runs with faults: nodes that could not say what they measured, and why."""
    resumed: frozenset[str] = frozenset()
    """Senders whose flows another life of their daemon began; what that measured is lost."""


def relay_buffer_bytes(flows: int) -> int:
    """What a relay may hold of one connection and direction, when it has to relay so many."""
    share = RELAY_MEMORY_BYTES // (2 * max(1, flows))
    return max(RELAY_BUFFER_LEAST_BYTES, min(RELAY_BUFFER_BYTES, share))


def _tcp(spec: RunSpec) -> pb.TcpOptions:
    return pb.TcpOptions(congestion_control=spec.congestion_control)


def _receiving_tcp(spec: RunSpec) -> pb.TcpOptions:
    options = _tcp(spec)
    if spec.window_bytes is not None:
        options.window_clamp_bytes = spec.window_bytes
    return options


@dataclass
class Traffic:
    """One run's listeners, relays and senders."""

    spec: RunSpec
    layout: Layout
    clients: Mapping[str, NodeClient]
    disk: CustodyDisk
    hashed: bool = True
    """False: the payload is not hashed at either end; for measuring capacity only."""
    lost: dict[str, str] = field(default_factory=dict)
    """In runs with faults: nodes that could not say what they measured, and why."""
    _opened: dict[str, list[tuple[pb.ListenRequest | pb.RelayRequest, int]]] = field(
        default_factory=dict
    )
    _returned: dict[str, asyncio.Event] = field(default_factory=dict)
    _resumed: set[str] = field(default_factory=set)

    async def prepare(self) -> dict[int, tuple[str, int]]:
        """Open listeners (and relays, if the arm splits); the sender's target by path."""
        used = sorted({flow.path for flow in self.spec.flows})
        return {index: await self._prepare_path(self.spec.paths[index]) for index in used}

    async def _prepare_path(self, path: PathPlan) -> tuple[str, int]:
        receiver = path.nodes[-1]
        address = self.layout.address(receiver, path.index)
        port = await self._open(
            receiver,
            self.listening(
                pb.ListenRequest(
                    run=self.spec.key,
                    address=address,
                    tcp=_receiving_tcp(self.spec),
                    series_interval_ns=SERIES_INTERVAL_NS,
                    path=forecasting.announced_path(self.spec, path),
                    upstream_address=self._upstream(receiver, path),
                    managed=self.spec.managed,
                    custody=custody.listening(
                        self.spec, path, self.disk.folder(self.spec, receiver)
                    ),
                )
            ),
        )
        if self.spec.arm.splits:
            for node in reversed(path.nodes[1:-1]):
                port = await self._relay(node, path, address, port)
                address = self.layout.address(node, path.index)
        return address, port

    def listening(self, request: pb.ListenRequest) -> pb.ListenRequest:
        """The receiver's request; for subclasses that want another kind of receiver."""
        return request

    async def _relay(self, node: str, path: PathPlan, target: str, port: int) -> int:
        own = self.layout.address(node, path.index)
        return await self._open(
            node,
            pb.RelayRequest(
                run=self.spec.key,
                listen_address=own,
                source_address=own,
                target_address=target,
                target_port=port,
                accept_tcp=_receiving_tcp(self.spec),
                connect_tcp=_tcp(self.spec),
                buffer_bytes=relay_buffer_bytes(len(self.spec.flows)),
                path=forecasting.announced_path(self.spec, path),
                upstream_address=self._upstream(node, path),
                managed=self.spec.managed,
                custody=custody.relaying(self.spec, path, node, self.disk.folder(self.spec, node)),
            ),
        )

    async def _open(self, node: str, request: pb.ListenRequest | pb.RelayRequest) -> int:
        port = await self._ask(node, request)
        self._opened.setdefault(node, []).append((request, port))
        return port

    async def _ask(self, node: str, request: pb.ListenRequest | pb.RelayRequest) -> int:
        if isinstance(request, pb.ListenRequest):
            return await self.clients[node].listen(request)
        return await self.clients[node].relay(request)

    async def reopen(self, node: str) -> None:
        """Have a new daemon of the node listen where the old one did. Raises NodeError."""
        for request, port in self._opened.get(node, ()):
            again = copy.deepcopy(request)
            if isinstance(again, pb.ListenRequest):
                again.port = port
            else:
                again.listen_port = port
            await self._ask(node, again)
        self._returned.setdefault(node, asyncio.Event()).set()

    def _upstream(self, node: str, path: PathPlan) -> str:
        return self.layout.address(path.nodes[path.nodes.index(node) - 1], path.index)

    def flow_spec(
        self, flow: FlowPlan, target: tuple[str, int], elapsed_ns: int | None = None
    ) -> pb.FlowSpec:
        """What its sender is told of a flow.

        `elapsed_ns`: since the traffic's start, if another life of the sender began the flow.
        """
        path = self.spec.paths[flow.path]
        gone_ns = elapsed_ns or 0
        duration_ns = flow.duration_ns or 0
        if duration_ns:
            # Of what is over nothing is sent any more, but its end is still to be told.
            duration_ns = max(1, duration_ns - max(0, gone_ns - flow.start_ns))
        return pb.FlowSpec(
            flow_id=flow.flow_id,
            seed=self.spec.seed & (2**63 - 1),
            source_address=self.layout.address(path.nodes[0], path.index),
            target_address=target[0],
            target_port=target[1],
            start_offset_ns=max(0, flow.start_ns - gone_ns),
            size_bytes=flow.size_bytes or 0,
            duration_ns=duration_ns,
            unhashed=not self.hashed,
            announcement=forecasting.announcement(self.spec, flow),
            custody=custody.sending(self.spec, flow, resume=elapsed_ns is not None),
        )

    def _requests(
        self, targets: Mapping[int, tuple[str, int]], elapsed_ns: int | None = None
    ) -> dict[str, pb.SendRequest]:
        requests: dict[str, pb.SendRequest] = {}
        for flow in self.spec.flows:
            sender = self.spec.paths[flow.path].nodes[0]
            request = requests.setdefault(sender, self.send_request())
            request.flows.append(self.flow_spec(flow, targets[flow.path], elapsed_ns))
        return requests

    def send_request(self) -> pb.SendRequest:
        """A command without flows yet."""
        return pb.SendRequest(
            run=self.spec.key,
            tcp=_tcp(self.spec),
            series_interval_ns=SERIES_INTERVAL_NS,
            stall_timeout_ns=STALL_TIMEOUT_NS,
            progress_interval_ns=self._progress_interval_ns,
        )

    @property
    def _progress_interval_ns(self) -> int:
        """0 is the daemon's own; faults that wait for bytes are told of them more often."""
        return FAULT_PROGRESS_NS if any(f.at_bytes is not None for f in self.spec.faults) else 0

    @property
    def _patience_after_faults_s(self) -> float:
        return 2.0 + 4 * max(path.rtt_base_ns for path in self.spec.paths) / 1e9

    async def send(
        self, targets: Mapping[int, tuple[str, int]], on_bytes: Callable[[str, int], None]
    ) -> None:
        """Send all flows; returns when every sender is done (its failures stand in reports)."""

        begin_ns = time.monotonic_ns()

        async def one(sender: str, request: pb.SendRequest) -> None:
            while True:
                try:
                    async for progress in self.clients[sender].send(request):
                        on_bytes(sender, progress.bytes_written)
                    return
                except NodeError as error:
                    if not await self._comes_back(sender):
                        self._lose(sender, error)
                        return
                request = self._requests(targets, time.monotonic_ns() - begin_ns)[sender]

        limit_s = self.spec.expected_duration_ns / 1e9 * 3 + STALL_TIMEOUT_NS / 1e9
        requests = self._requests(targets)
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.gather(*(one(node, request) for node, request in requests.items()))
        except TimeoutError as error:
            raise EmulationError(
                f"run {self.spec.key}: the traffic did not end within {limit_s:.0f} s"
            ) from error
        except NodeError as error:
            raise EmulationError(f"run {self.spec.key}: {error}") from error

    async def _comes_back(self, sender: str) -> bool:
        """Wait for another daemon of the sender, which can go on with flows in custody."""
        spec = self.spec
        if spec.custody is Custody.NONE or not (spec.faults and spec.repair):
            return False
        returned = self._returned.setdefault(sender, asyncio.Event())
        try:
            async with asyncio.timeout(RETURN_PATIENCE_S):
                await returned.wait()
        except TimeoutError:
            return False
        returned.clear()
        self._resumed.add(sender)
        return True

    def _lose(self, node: str, error: NodeError) -> None:
        """A node fell silent: an outcome where faults were asked for, an error anywhere else."""
        if not self.spec.faults:
            raise error
        self.lost.setdefault(node, str(error))

    async def collect(self) -> Reports:
        """Ask every node that took part what it measured."""
        expected: dict[str, int] = {}
        for flow in self.spec.flows:
            nodes = self.spec.paths[flow.path].nodes
            busy = nodes if self.spec.arm.splits else (nodes[0], nodes[-1])
            for node in busy:
                expected[node] = expected.get(node, 0) + 1

        async def one(node: str, count: int) -> tuple[str, pb.CollectReply]:
            # Flows that a fault cut off never end at a node that forgot them.
            wait_s = self._patience_after_faults_s if self.spec.faults else COLLECT_PATIENCE_S
            try:
                return node, await self.clients[node].collect(
                    self.spec.key, expect_flows=count, wait_s=wait_s
                )
            except NodeError as error:
                self._lose(node, error)
                return node, pb.CollectReply()

        async def release(node: str) -> None:
            try:
                await self.clients[node].release(self.spec.key)
            except NodeError as error:
                self._lose(node, error)

        try:
            replies = await asyncio.gather(*(one(node, n) for node, n in expected.items()))
            for node in expected:
                await release(node)
        except NodeError as error:
            raise EmulationError(f"run {self.spec.key}: {error}") from error
        self.disk.clear()
        return Reports(dict(replies), self.lost, frozenset(self._resumed))
