"""A relay in front of a slow receiver holds a bounded amount: backpressure reaches the sender."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from tests.lab.emulated.runs import MBIT, bulk

from sentinel_node.daemon.client import NodeClient
from sentinel_proto.v1 import node_control_pb2 as pb
from sentinel_sim.backends.emulated import traffic
from sentinel_sim.backends.emulated.backend import EmulatedBackend
from sentinel_sim.backends.emulated.options import EmulationOptions
from sentinel_sim.host.doctor import wire_backend
from sentinel_sim.plan.model import Arm, RunSpec

pytestmark = pytest.mark.lab

READ_RATE_BPS = 10 * MBIT


@dataclass
class SlowReceiver(traffic.Traffic):
    """The run's traffic, except that the receiver reads slowly."""

    def listening(self, request: pb.ListenRequest) -> pb.ListenRequest:
        request.read_rate_limit_bps = READ_RATE_BPS
        return request


async def send_to_a_slow_receiver(spec: RunSpec) -> dict[str, pb.CollectReply]:
    async with EmulatedBackend(spec, EmulationOptions(wire_backend())) as backend:
        await backend.prepare(spec)
        clients: Mapping[str, NodeClient] = backend.clients
        slow = SlowReceiver(spec, backend.layout, clients, backend.custody_disk)
        targets = await slow.prepare()
        await slow.send(targets, lambda sender, count: None)
        return (await slow.collect()).by_node


def test_the_relays_memory_stays_bounded() -> None:
    spec = bulk(Arm.SPLIT, seconds=3.0, delay_ms=1)
    replies = asyncio.run(send_to_a_slow_receiver(spec))
    delivered = replies["n2"].flows[0]
    relay = replies["n1"]
    assert delivered.sha256_ok
    # 3 s at the link's rate would be 37 MB; the receiver took a tenth of that rate.
    assert relay.relay_buffered_bytes_max <= traffic.RELAY_BUFFER_BYTES
    assert relay.rss_bytes_max < 80_000_000
