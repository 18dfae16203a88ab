"""Drives one run's traffic through the node daemons, by the node-control service only."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sentinel_node.daemon.client import NodeClient
from sentinel_node.errors import NodeError
from sentinel_proto.v1 import node_control_pb2 as pb
from sentinel_sim.backends.emulated import forecasting
from sentinel_sim.backends.emulated.layout import Layout
from sentinel_sim.errors import EmulationError
from sentinel_sim.plan.model import FlowPlan, PathPlan, RunSpec

STALL_TIMEOUT_NS = 60_000_000_000
RELAY_BUFFER_BYTES = 1 << 20
SERIES_INTERVAL_NS = 10_000_000
COLLECT_PATIENCE_S = 60.0
FAULT_PROGRESS_NS = 10_000_000


@dataclass(frozen=True)
class Reports:
    """What each node said of the run."""

    by_node: dict[str, pb.CollectReply]
    lost: dict[str, str] = field(default_factory=dict)
    """In runs with faults: nodes that could not say what they measured, and why."""


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
    hashed: bool = True
    """False: the payload is not hashed at either end; for measuring capacity only."""
    lost: dict[str, str] = field(default_factory=dict)
    """In runs with faults: nodes that could not say what they measured, and why."""
    _opened: dict[str, list[tuple[pb.ListenRequest | pb.RelayRequest, int]]] = field(
        default_factory=dict
    )

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
                buffer_bytes=RELAY_BUFFER_BYTES,
                path=forecasting.announced_path(self.spec, path),
                upstream_address=self._upstream(node, path),
                managed=self.spec.managed,
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

    def _upstream(self, node: str, path: PathPlan) -> str:
        return self.layout.address(path.nodes[path.nodes.index(node) - 1], path.index)

    def _flow(self, flow: FlowPlan, target: tuple[str, int]) -> pb.FlowSpec:
        path = self.spec.paths[flow.path]
        return pb.FlowSpec(
            flow_id=flow.flow_id,
            seed=self.spec.seed & (2**63 - 1),
            source_address=self.layout.address(path.nodes[0], path.index),
            target_address=target[0],
            target_port=target[1],
            start_offset_ns=flow.start_ns,
            size_bytes=flow.size_bytes or 0,
            duration_ns=flow.duration_ns or 0,
            unhashed=not self.hashed,
            announcement=forecasting.announcement(self.spec, flow),
        )

    def _requests(self, targets: Mapping[int, tuple[str, int]]) -> dict[str, pb.SendRequest]:
        requests: dict[str, pb.SendRequest] = {}
        for flow in self.spec.flows:
            sender = self.spec.paths[flow.path].nodes[0]
            request = requests.setdefault(
                sender,
                pb.SendRequest(
                    run=self.spec.key,
                    tcp=_tcp(self.spec),
                    series_interval_ns=SERIES_INTERVAL_NS,
                    stall_timeout_ns=STALL_TIMEOUT_NS,
                    progress_interval_ns=self._progress_interval_ns,
                ),
            )
            request.flows.append(self._flow(flow, targets[flow.path]))
        return requests

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

        async def one(sender: str, request: pb.SendRequest) -> None:
            try:
                async for progress in self.clients[sender].send(request):
                    on_bytes(sender, progress.bytes_written)
            except NodeError as error:
                self._lose(sender, error)

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
        return Reports(dict(replies), self.lost)
