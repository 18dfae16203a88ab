"""The control service: roles, refusals, health, and an end that leaves nothing behind."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.unit.node.support import END_TIMEOUT_S, LOOPBACK, Daemon, Net

from sentinel_node import errors
from sentinel_node.daemon.client import NodeClient, connect_all
from sentinel_node.daemon.server import SERVICE_NAME
from sentinel_node.daemon.service import STATUS_OF, status_of
from sentinel_proto.v1 import node_control_pb2 as pb

MB = 1_000_000
NS = 1_000_000_000


async def refused(call: Awaitable[object]) -> tuple[str, str]:
    with pytest.raises(errors.NodeCallError) as caught:
        await call
    return caught.value.status, caught.value.details


async def test_hello_says_who_and_which_runs(net: Net) -> None:
    await net.listen()
    identity = net.receiver.identity
    assert (identity.node, identity.role) == ("receiver", "receiver")
    assert identity.pid == net.daemons["receiver"].pid
    assert net.run in (await net.receiver.hello()).runs


async def test_commands_for_another_role_are_refused(net: Net) -> None:
    listen = pb.ListenRequest(run=net.run, address=LOOPBACK)
    relay = pb.RelayRequest(
        run=net.run, listen_address=LOOPBACK, target_address=LOOPBACK, target_port=9
    )
    send = net.send_request(9, {"size_bytes": 1})
    for call in (
        net.sender.listen(listen),
        net.receiver.relay(relay),
        net.relay.send_to_end(send),
    ):
        status, details = await refused(call)
        assert status == "FAILED_PRECONDITION"
        assert "only a" in details


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"run": ""}, "run must not be empty"),
        ({"flows": []}, "no flows"),
        ({"flows": [pb.FlowSpec(flow_id=1, target_address=LOOPBACK, target_port=9)]}, "one of"),
        (
            {
                "flows": [
                    pb.FlowSpec(
                        flow_id=1,
                        target_address=LOOPBACK,
                        target_port=9,
                        size_bytes=1,
                        duration_ns=1,
                    )
                ]
            },
            "exactly one of",
        ),
        (
            {"flows": [pb.FlowSpec(flow_id=1, target_address="x", target_port=9, size_bytes=1)]},
            "numeric",
        ),
        ({"flows": [pb.FlowSpec(target_address="x", target_port=9, size_bytes=1)]}, "flow_id"),
        (
            {"flows": [pb.FlowSpec(flow_id=1, target_address=LOOPBACK, size_bytes=1)]},
            "target_port",
        ),
        ({"tcp": pb.TcpOptions(send_buffer_bytes=2**40)}, "send_buffer_bytes"),
    ],
)
async def test_senseless_sends_are_refused(net: Net, change: dict[str, object], words: str) -> None:
    fields: dict[str, object] = {
        "run": net.run,
        "flows": [pb.FlowSpec(flow_id=1, target_address=LOOPBACK, target_port=9, size_bytes=1)],
    }
    request = pb.SendRequest(**(fields | change))  # type: ignore[arg-type]
    status, details = await refused(net.sender.send_to_end(request))
    assert status == "INVALID_ARGUMENT"
    assert words in details


async def test_refusals_name_the_cause(net: Net) -> None:
    unknown = pb.TcpOptions(congestion_control="nosuch")
    status, details = await refused(net.listen(tcp=unknown))
    assert status == "FAILED_PRECONDITION"
    assert "'nosuch' is not available here; available: " in details
    with closing(socket.create_server((LOOPBACK, 0))) as taken:
        port = taken.getsockname()[1]
        status, details = await refused(net.listen(port=port))
    assert status == "ALREADY_EXISTS"
    assert f"{LOOPBACK} port {port}" in details
    status, details = await refused(net.relay_to(9, buffer_bytes=1))
    assert (status, "buffer_bytes" in details) == ("INVALID_ARGUMENT", True)
    status, _ = await refused(net.relay_to(9, source_address="192.0.2.1"))
    assert status == "FAILED_PRECONDITION"
    for call in (net.sender.collect("nowhere"), net.sender.release("nowhere")):
        status, details = await refused(call)
        assert status == "NOT_FOUND"
        assert "no run named 'nowhere'" in details


async def test_flow_metrics_of_a_node_without_a_map_are_not_attached(net: Net) -> None:
    assert not (await net.receiver.read_flow_metrics()).attached


async def test_a_descriptor_that_is_no_map_is_an_error_not_an_empty_answer(
    new_daemon: Callable[..., Daemon],
) -> None:
    daemon = new_daemon("receiver", "--fsu-point", "a--b:2:2:2:2")
    async with await NodeClient.connect(str(daemon.control)) as client:
        status, details = await refused(client.read_flow_metrics())
    assert status == "INTERNAL"
    assert "maps of the FSU at a--b" in details


def test_every_error_of_the_node_has_a_status() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len(kinds) > 10
    for kind in kinds:
        error = kind.__new__(kind)
        assert isinstance(status_of(error), grpc.StatusCode)
    assert status_of(errors.AddressInUseError("x")) == grpc.StatusCode.ALREADY_EXISTS
    assert status_of(errors.HeaderError("x")) == STATUS_OF[errors.NodeError]


async def test_health_is_served_for_the_service(net: Net) -> None:
    control = net.daemons["sender"].control
    async with grpc.aio.insecure_channel(f"unix:{control}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in ("", SERVICE_NAME):
            reply = await stub.Check(health_pb2.HealthCheckRequest(service=name))
            assert reply.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_daemon_that_is_not_there_is_reported_in_time(tmp_path: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(errors.NodeUnavailableError, match=r"within 0\.3 s"):
        await connect_all([str(tmp_path / "nobody.sock")], timeout_s=0.3)
    assert time.monotonic() - begin < 5


async def test_the_client_may_connect_before_the_daemon_listens(
    new_daemon: Callable[..., Daemon],
) -> None:
    daemon = new_daemon("sender", "--node", "valparaiso")
    assert not daemon.control.exists()
    (client,) = await connect_all([f"unix:{daemon.control}"])
    async with client:
        assert client.identity.node == "valparaiso"


async def test_collect_answers_after_its_wait_with_what_there_is(net: Net) -> None:
    await net.listen()
    reply = await net.receiver.collect(net.run, expect_flows=1, wait_s=0.05)
    assert not reply.complete
    assert not reply.flows


async def test_release_ends_a_waiting_collect_and_running_flows(net: Net) -> None:
    port = await net.listen(read_rate_limit_bps=MB)
    request = net.send_request(
        port, {"duration_ns": 3600 * NS}, {"size_bytes": 1, "start_offset_ns": 3600 * NS}
    )
    progress = net.sender.send(request)
    async for now in progress:
        if now.bytes_written:
            break
    waiting = asyncio.ensure_future(net.sender.collect(net.run, expect_flows=2, wait_s=20))
    while net.run in (await net.sender.hello()).runs:
        await net.sender.release(net.run)
    assert (await refused(waiting))[0] in ("ABORTED", "NOT_FOUND")
    async for now in progress:
        assert now.bytes_written
    assert (now.done, now.flows_failed) == (True, 2)
    got = await net.receiver.collect(net.run, expect_flows=1, wait_s=20)
    assert "reset by peer" in got.flows[0].error


async def test_a_released_run_leaves_no_thread_and_no_descriptor(net: Net) -> None:
    daemons = net.daemons.values()

    async def one_run() -> None:
        port = await net.relay_to(await net.listen(), mode=pb.RELAY_MODE_SPLICE)
        await net.sender.send_to_end(net.send_request(port, *[{"size_bytes": MB}] * 5))
        await net.receiver.collect(net.run, expect_flows=5, wait_s=20)
        for client in (net.sender, net.relay, net.receiver):
            await client.release(net.run)

    await one_run()  # grpc and asyncio make their own threads on first use
    before = [(daemon.threads(), daemon.descriptors()) for daemon in daemons]
    await one_run()
    after = [(daemon.threads(), daemon.descriptors()) for daemon in daemons]
    for (threads_before, fds_before), (threads, fds) in zip(before, after, strict=True):
        assert threads <= threads_before + 1  # asyncio.to_thread keeps a few
        assert fds <= fds_before


def read_to_end(peer: socket.socket) -> str:
    try:
        while peer.recv(1 << 20):
            pass
    except ConnectionResetError:
        return "reset"
    return "closed"


@pytest.mark.parametrize("how", ["shutdown", "SIGTERM", "SIGINT"])
async def test_the_daemon_ends_in_the_middle_of_flows_with_exit_0(
    new_daemon: Callable[..., Daemon], how: str
) -> None:
    daemon = new_daemon("sender")
    with closing(socket.create_server((LOOPBACK, 0))) as sink:
        async with await NodeClient.connect(str(daemon.control)) as client:
            flow = pb.FlowSpec(
                flow_id=1,
                target_address=LOOPBACK,
                target_port=sink.getsockname()[1],
                duration_ns=3600 * NS,
            )
            told = False
            async for now in client.send(pb.SendRequest(run="r", flows=[flow])):
                if now.bytes_written and not now.done and not told:
                    told = True  # once is enough
                    if how == "shutdown":
                        await client.shutdown()
                    else:
                        daemon.process.send_signal(signal.Signals[how])
            assert (now.done, now.flows_failed) == (True, 1)
        assert await asyncio.to_thread(daemon.process.wait, END_TIMEOUT_S) == 0
        peer, _ = sink.accept()
        with peer:
            peer.settimeout(END_TIMEOUT_S)
            assert read_to_end(peer) == "reset"
    assert not daemon.control.exists()


async def test_the_service_answers_while_the_data_plane_is_busy(net: Net) -> None:
    port = await net.relay_to(await net.listen())
    slowest = 0.0
    answers = 0
    async for _ in net.sender.send(
        pb.SendRequest(
            run=net.run,
            flows=[
                pb.FlowSpec(
                    flow_id=n, target_address=LOOPBACK, target_port=port, duration_ns=NS // 2
                )
                for n in (1, 2, 3)
            ],
            progress_interval_ns=20 * MB,
        )
    ):
        begin = time.monotonic()
        await net.sender.hello()
        slowest = max(slowest, time.monotonic() - begin)
        answers += 1
    assert answers > 5
    assert slowest < 0.5
