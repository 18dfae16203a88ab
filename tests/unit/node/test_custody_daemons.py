"""Custody over real daemons and real control streams: commands, a killed intermediate, refusals."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.unit.node.support import LOOPBACK, Daemon

from sentinel_node.daemon.client import NodeClient
from sentinel_node.errors import NodeCallError
from sentinel_proto.v1 import node_control_pb2 as pb

RUN = "custody"
WAIT_S = 20.0
NAMES = ("sender", "intermediate", "receiver")


@dataclass
class Chain:
    """sender > intermediate > receiver, each a process, joined by the control plane."""

    new: Callable[..., Daemon]
    secret: Path
    stack: AsyncExitStack
    daemons: dict[str, Daemon] = field(default_factory=dict)
    clients: dict[str, NodeClient] = field(default_factory=dict)
    control: dict[str, int] = field(default_factory=dict)
    port: dict[str, int] = field(default_factory=dict)

    async def start(self, name: str) -> None:
        daemon = self.new(name)
        client = await NodeClient.connect(str(daemon.control))
        self.daemons[name] = daemon
        self.clients[name] = await self.stack.enter_async_context(client)
        index = NAMES.index(name)
        before, after = NAMES[max(index - 1, 0) : index], NAMES[index + 1 : index + 2]
        request = pb.ConnectRequest(
            neighbours=[
                *(pb.NeighbourSpec(name=other) for other in before),
                *(
                    pb.NeighbourSpec(name=other, address=LOOPBACK, port=self.control[other])
                    for other in after
                ),
            ],
            listen_addresses=[LOOPBACK] if index else [],
            port=self.control.get(name, 0),
            secret_path=str(self.secret),
        )
        self.control[name] = (await client.connect_control(request)).port
        await self.take_part(name)

    async def take_part(self, name: str) -> None:
        if name == "receiver":
            self.port[name] = await self.clients[name].listen(
                pb.ListenRequest(
                    run=RUN,
                    address=LOOPBACK,
                    read_rate_limit_bps=400_000_000,  # or flows end before anything is killed
                    custody=pb.CustodyListen(upstream="intermediate"),
                )
            )
        elif name == "intermediate":
            self.port[name] = await self.clients[name].relay(
                pb.RelayRequest(
                    run=RUN,
                    listen_address=LOOPBACK,
                    listen_port=self.port.get(name, 0),
                    target_address=LOOPBACK,
                    target_port=self.port["receiver"],
                    custody=pb.CustodyRelay(
                        upstream="sender", downstream="receiver", capacity_bytes=16 << 20,
                        flows_max=4,
                    ),
                )
            )  # fmt: skip

    async def kill(self, name: str) -> None:
        self.daemons[name].process.kill()
        await asyncio.to_thread(self.daemons[name].process.wait)

    def request(self, *flows: pb.FlowSpec) -> pb.SendRequest:
        for flow in flows:
            flow.target_address, flow.target_port = LOOPBACK, self.port["intermediate"]
            flow.custody.next_hop, flow.custody.receiver = "intermediate", "receiver"
        return pb.SendRequest(
            run=RUN,
            flows=flows,
            progress_interval_ns=10_000_000,
            stall_timeout_ns=15_000_000_000,
        )


@pytest.fixture
async def chain(new_daemon: Callable[..., Daemon], tmp_path: Path) -> AsyncIterator[Chain]:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(range(32)))
    async with AsyncExitStack() as stack:
        made = Chain(new_daemon, secret, stack)
        for name in reversed(NAMES):
            await made.start(name)
        for client in made.clients.values():
            assert (await client.read_control(wait_s=WAIT_S)).all_connected
        yield made


async def judge(chain: Chain, count: int, size_bytes: int) -> list[pb.FlowReport]:
    sent = await chain.clients["sender"].collect(RUN, expect_flows=count, wait_s=WAIT_S)
    got = await chain.clients["receiver"].collect(RUN, expect_flows=count, wait_s=WAIT_S)
    assert [flow.error for flow in (*sent.flows, *got.flows)] == [""] * 2 * count
    by_id = {flow.flow_id: flow for flow in got.flows}
    for flow in sent.flows:
        assert by_id[flow.flow_id].sha256_ok
        assert by_id[flow.flow_id].sha256 == flow.sha256
        assert by_id[flow.flow_id].payload_bytes == flow.payload_bytes == size_bytes
        assert flow.custody.confirmed.values[-1] == flow.custody.delivered.values[-1] == size_bytes
    return list(sent.flows)


async def test_flows_and_a_pipe_over_daemons(chain: Chain, tmp_path: Path) -> None:
    size_bytes = 3_000_000
    data = os.urandom(size_bytes)
    (tmp_path / "file").write_bytes(data)
    os.mkfifo(tmp_path / "fifo")

    writer = threading.Thread(target=(tmp_path / "fifo").write_bytes, args=(data,))
    writer.start()
    flows = [
        pb.FlowSpec(flow_id=1, seed=7, size_bytes=size_bytes),
        pb.FlowSpec(flow_id=2, custody=pb.CustodyFlow(file_path=str(tmp_path / "file"))),
        pb.FlowSpec(flow_id=3, custody=pb.CustodyFlow(pipe_path=str(tmp_path / "fifo"))),
    ]
    await chain.clients["sender"].send_to_end(chain.request(*flows))
    writer.join()
    reports = {flow.flow_id: flow for flow in await judge(chain, 3, size_bytes)}
    assert reports[2].sha256 == reports[3].sha256 != reports[1].sha256
    assert all(flow.custody.exposure_bytes_max <= size_bytes for flow in reports.values())
    # From a pipe nothing is confirmed that could be lost with the intermediate.
    assert reports[3].custody.exposure_bytes_max == 0


async def test_an_intermediate_that_is_killed_and_started_again(chain: Chain) -> None:
    size_bytes = 30_000_000
    spec = pb.FlowSpec(flow_id=1, seed=7, size_bytes=size_bytes)
    killed = False
    async for progress in chain.clients["sender"].send(chain.request(spec)):
        if not killed and progress.bytes_written > 1_000_000:
            killed = True
            await chain.kill("intermediate")
            await chain.start("intermediate")
    assert killed
    (flow,) = await judge(chain, 1, size_bytes)
    assert flow.custody.attempts >= 2


async def test_custody_needs_a_control_plane(new_daemon: Callable[..., Daemon]) -> None:
    daemon = new_daemon("receiver")
    async with await NodeClient.connect(str(daemon.control)) as client:
        request = pb.ListenRequest(
            run=RUN, address=LOOPBACK, custody=pb.CustodyListen(upstream="intermediate")
        )
        with pytest.raises(NodeCallError, match="call Connect") as refused:
            await client.listen(request)
        assert refused.value.status == "INVALID_ARGUMENT"


async def test_custody_with_a_node_that_is_no_neighbour_is_refused(chain: Chain) -> None:
    request = chain.request(pb.FlowSpec(flow_id=1, seed=7, size_bytes=10))
    request.flows[0].custody.next_hop = "receiver"
    with pytest.raises(NodeCallError, match="no neighbour of sender; neighbours are: intermediate"):
        await chain.clients["sender"].send_to_end(request)
