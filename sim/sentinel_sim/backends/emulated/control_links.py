"""The nodes' control plane in the emulated network: in band, over the wires themselves.

Each pair of nodes with a link between them has one stream, dialled by the node that is first in
the link, to the address of the link's other end: it cannot take another way. Its sockets are
marked for the control band (`wire.rate`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sentinel_node.daemon.client import NodeClient
from sentinel_node.errors import NodeError
from sentinel_proto.v1 import node_control_pb2 as pb
from sentinel_sim.backends.emulated.layout import Layout
from sentinel_sim.errors import EmulationError
from sentinel_sim.plan.model import LinkPlan, RunSpec
from sentinel_sim.wire.names import other

CONTROL_PORT = 4190
"""In namespaces of our own: nobody else listens there."""
SECRET_BYTES = 32
PATIENCE_RTTS = 30


@dataclass
class ControlLinks:
    """Opens and closes the control plane of all nodes that have a link."""

    layout: Layout
    clients: Mapping[str, NodeClient]
    directory_of: Callable[[str], Path]
    """The node's own directory, where it finds the secret."""

    def __post_init__(self) -> None:
        secret = os.urandom(SECRET_BYTES)
        for node in self.layout.nodes:
            path = self._secret_path(node)
            path.touch(mode=0o600)
            path.write_bytes(secret)

    def _secret_path(self, node: str) -> Path:
        return self.directory_of(node) / "control.secret"

    def _first_links(self, spec: RunSpec) -> list[LinkPlan]:
        """One link for each pair of neighbours."""
        found: dict[frozenset[str], LinkPlan] = {}
        for link in spec.links:
            found.setdefault(frozenset((link.a, link.b)), link)
        return list(found.values())

    def request(self, spec: RunSpec, node: str) -> pb.ConnectRequest:
        """What one node is told."""
        request = pb.ConnectRequest(port=CONTROL_PORT, secret_path=str(self._secret_path(node)))
        for link in self._first_links(spec):
            if node not in (link.a, link.b):
                continue
            names, side = self.layout.wire_names(link.name), self.layout.side(link.name, node)
            neighbour = pb.NeighbourSpec(
                name=link.b if node == link.a else link.a,
                propagation_ns=link.delay_one_way_ns,
                rate_bps=link.rate_bps,
            )
            if side == "a":
                neighbour.address, neighbour.port = names.address(other(side)), CONTROL_PORT
            else:
                request.listen_addresses.append(names.address(side))
            request.neighbours.append(neighbour)
        return request

    async def open(self, spec: RunSpec) -> None:
        """Have every node join, and wait until all sessions stand. Raises EmulationError."""
        try:
            await asyncio.gather(
                *(
                    client.connect_control(self.request(spec, node))
                    for node, client in self.clients.items()
                )
            )
            longest_ns = max(link.delay_one_way_ns for link in spec.links)
            wait_s = 5.0 + PATIENCE_RTTS * 2 * longest_ns / 1e9
            for node, client in self.clients.items():
                reply = await client.read_control(wait_s=wait_s)
                if not reply.all_connected:
                    missing = ", ".join(p.name for p in reply.peers if not p.connected)
                    raise EmulationError(
                        f"{node}: no control session with {missing} within {wait_s:.1f} s;"
                        f" {'; '.join(reply.events[-3:]) or 'look at its log'}"
                    )
        except NodeError as error:
            raise EmulationError(f"run {spec.key}: control plane: {error}") from error

    async def rejoin(self, spec: RunSpec, node: str) -> None:
        """Have a node's new daemon join; its neighbours find it again. Raises NodeError."""
        await self.clients[node].connect_control(self.request(spec, node))

    async def read(self) -> dict[str, pb.ReadControlReply]:
        """How each node's plane stands."""
        replies = await asyncio.gather(*(c.read_control() for c in self.clients.values()))
        return dict(zip(self.clients, replies, strict=True))

    async def close(self) -> None:
        """End every session."""
        try:
            await asyncio.gather(*(c.disconnect_control() for c in self.clients.values()))
        except NodeError as error:
            raise EmulationError(f"control plane: {error}") from error
