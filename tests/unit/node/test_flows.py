"""Flows between real daemons: what arrives, what is reported, and what is detected."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from tests.unit.node.support import LOOPBACK, Daemon, Net

from sentinel_node.core.framing import HEADER_BYTES
from sentinel_node.core.payload import FILL_SLACK_BYTES, PayloadStream
from sentinel_node.daemon.client import NodeClient
from sentinel_proto.v1 import node_control_pb2 as pb

MB = 1_000_000
NS = 1_000_000_000


def payload_sha256(seed: int, flow_id: int, size: int) -> bytes:
    out = bytearray(size + FILL_SLACK_BYTES)
    PayloadStream(seed, flow_id).fill(memoryview(out), size)
    return hashlib.sha256(memoryview(out)[:size]).digest()


def assert_increasing(series: pb.Series) -> None:
    assert list(series.times_ns) == sorted(series.times_ns)
    assert list(series.values) == sorted(series.values)


async def transfer(
    net: Net, port: int, size: int
) -> tuple[pb.SendProgress, pb.CollectReply, pb.CollectReply]:
    last = await net.sender.send_to_end(net.send_request(port, {"size_bytes": size}))
    sent = await net.sender.collect(net.run, expect_flows=1, wait_s=20)
    got = await net.receiver.collect(net.run, expect_flows=1, wait_s=20)
    return last, sent, got


async def test_sender_to_receiver_delivers_the_payload_of_the_seed(net: Net) -> None:
    port = await net.listen()
    last, sent, got = await transfer(net, port, 50 * MB)
    assert (last.done, last.flows_done, last.flows_failed) == (True, 1, 0)
    assert last.bytes_written == 50 * MB
    out, into = sent.flows[0], got.flows[0]
    digest = payload_sha256(7, 1, 50 * MB)
    assert (into.flow_id, into.payload_bytes, into.declared_bytes) == (1, 50 * MB, 50 * MB)
    assert (into.sha256, out.sha256) == (digest, digest)
    assert into.complete
    assert into.sha256_ok
    assert out.complete
    assert (into.error, out.error) == ("", "")
    for report in (out, into):
        assert_increasing(report.series)
        assert report.series.values[-1] == 50 * MB
        assert report.start_ns <= report.first_byte_ns < report.last_byte_ns
    assert out.first_byte_ns < into.first_byte_ns
    assert out.series.times_ns[-1] <= into.last_byte_ns


async def test_confirmed_bytes_and_tcp_info_are_reported(net: Net) -> None:
    port = await net.listen()
    _, sent, got = await transfer(net, port, 50 * MB)
    out = sent.flows[0]
    assert_increasing(out.confirmed)
    assert out.confirmed.values[-1] == 50 * MB
    (connection,) = sent.connections
    assert (connection.direction, connection.flow_id, connection.open) == ("out", 1, False)
    assert connection.connection.endswith(f"->{LOOPBACK}:{port}")
    assert connection.last.bytes_acked > 50 * MB
    assert connection.last.bytes_sent >= connection.bytes_moved > 50 * MB
    assert connection.last.snd_mss > 500
    assert connection.last.min_rtt_us > 0
    assert connection.congestion_control
    assert connection.samples
    (inward,) = got.connections
    assert (inward.direction, inward.flow_id) == ("in", 1)
    # The FIN counts as one byte of sequence space (RFC 9293, section 3.4).
    assert inward.last.bytes_received - inward.bytes_moved in (0, 1)
    assert sent.cpu_seconds > 0
    assert sent.rss_bytes_max >= sent.rss_bytes_now > MB


@pytest.mark.parametrize("mode", [pb.RELAY_MODE_COPY, pb.RELAY_MODE_SPLICE])
async def test_through_a_relay(net: Net, mode: int) -> None:
    port = await net.relay_to(await net.listen(), mode=mode)
    _, sent, got = await transfer(net, port, 50 * MB)
    assert sent.flows[0].error == ""
    assert got.flows[0].sha256_ok
    assert got.flows[0].sha256 == payload_sha256(7, 1, 50 * MB)
    relayed = await net.relay.collect(net.run, expect_flows=1, wait_s=20)
    assert relayed.complete
    inward, outward = relayed.connections
    assert (inward.direction, outward.direction) == ("in", "out")
    assert inward.flow_id == outward.flow_id == 1
    assert inward.bytes_moved == outward.bytes_moved == sent.connections[0].bytes_moved
    assert 0 < relayed.relay_buffered_bytes_max <= 2 * 1024 * 1024


async def test_a_slow_receiver_slows_the_sender_and_not_the_memory_of_the_relay(net: Net) -> None:
    small = pb.TcpOptions(send_buffer_bytes=128 * 1024, receive_buffer_bytes=128 * 1024)
    rate_bps = 80 * MB
    port = await net.listen(tcp=small, read_rate_limit_bps=rate_bps)
    port = await net.relay_to(
        port,
        accept_tcp=small,
        connect_tcp=small,
        buffer_bytes=64 * 1024,
        mode=pb.RELAY_MODE_COPY,
    )
    before = await net.relay.collect(net.run)
    request = net.send_request(port, {"duration_ns": NS // 2}, tcp=small)
    await net.sender.send_to_end(request)
    got = await net.receiver.collect(net.run, expect_flows=1, wait_s=20)
    relayed = await net.relay.collect(net.run, expect_flows=1, wait_s=20)
    flow = got.flows[0]
    assert flow.sha256_ok
    # Without backpressure the sender would have moved some 100 MB in half a second. Allowed are
    # half a second of reading and what six socket buffers (twice the request) and the relay hold.
    assert flow.payload_bytes < rate_bps // 8 // 2 * 1.2 + 6 * 256 * 1024 + 64 * 1024
    duration_s = (flow.last_byte_ns - flow.start_ns) / NS
    assert flow.payload_bytes * 8 / duration_s < rate_bps * 1.05 + 16 * 1024 * 8 / duration_s
    assert relayed.relay_buffered_bytes_max <= 2 * 64 * 1024
    assert relayed.rss_bytes_max - before.rss_bytes_now < 4 * MB


async def test_fifty_flows_at_once(net: Net) -> None:
    port = await net.relay_to(await net.listen())
    flows = [{"size_bytes": 200_000 + n, "start_offset_ns": n * 2 * MB} for n in range(50)]
    begin_ns = time.monotonic_ns()
    last = await net.sender.send_to_end(net.send_request(port, *flows))
    assert (last.flows_done, last.flows_failed) == (50, 0)
    sent = await net.sender.collect(net.run, expect_flows=50, wait_s=20)
    got = await net.receiver.collect(net.run, expect_flows=50, wait_s=20)
    assert {flow.flow_id: flow.payload_bytes for flow in got.flows} == {
        n + 1: 200_000 + n for n in range(50)
    }
    assert all(flow.sha256_ok for flow in got.flows)
    assert len({flow.sha256 for flow in got.flows}) == 50
    starts = {flow.flow_id: flow.start_ns for flow in sent.flows}
    assert all(starts[n + 1] - begin_ns >= n * 2 * MB for n in range(50))


async def test_bulk_sends_for_its_duration(net: Net) -> None:
    port = await net.listen()
    seen = [p async for p in net.sender.send(net.send_request(port, {"duration_ns": NS // 4}))]
    sent = (await net.sender.collect(net.run)).flows[0]
    got = (await net.receiver.collect(net.run, expect_flows=1, wait_s=20)).flows[0]
    assert seen[-1].done
    assert got.sha256_ok
    assert got.declared_bytes == 0
    assert got.payload_bytes == sent.payload_bytes > MB
    # Late by at most what a busy machine keeps a thread waiting.
    assert 0.2 * NS < sent.last_byte_ns - sent.start_ns < 1.25 * NS


async def test_an_unhashed_flow_is_complete_and_never_verified(net: Net) -> None:
    port = await net.relay_to(await net.listen())
    request = net.send_request(port, {"size_bytes": 3 * MB}, {"duration_ns": NS // 10})
    for flow in request.flows:
        flow.unhashed = True
    last = await net.sender.send_to_end(request)
    assert last.flows_done == 2
    got = await net.receiver.collect(net.run, expect_flows=2, wait_s=20)
    for flow in got.flows:
        assert (flow.complete, flow.hashed, flow.sha256_ok, flow.sha256) == (
            True,
            False,
            False,
            b"",
        )
        assert flow.error == ""
    assert {flow.flow_id: flow.payload_bytes for flow in got.flows}[1] == 3 * MB


async def test_a_window_clamp_bounds_the_window(net: Net) -> None:
    window = 100_000
    port = await net.listen(tcp=pb.TcpOptions(window_clamp_bytes=window))
    _, sent, _ = await transfer(net, port, 20 * MB)
    connection = sent.connections[0]
    windows = [sample.snd_wnd_bytes for sample in (*connection.samples, connection.last)]
    # Since Linux 6.8 the first data moves the clamp until the receiver's next read (hold_window);
    # in that moment only the window scale bounds what is offered: 65,535 shifted by one bit.
    assert max(windows) <= 65_535 << 1
    assert window / 2 < windows[-1] <= window


async def test_congestion_control_and_buffers_are_set(net: Net) -> None:
    options = pb.TcpOptions(congestion_control="reno", send_buffer_bytes=65_536)
    port = await net.listen(tcp=pb.TcpOptions(receive_buffer_bytes=98_304))
    await net.sender.send_to_end(net.send_request(port, {"size_bytes": MB}, tcp=options))
    connection = (await net.sender.collect(net.run)).connections[0]
    assert connection.congestion_control == "reno"
    assert connection.send_buffer_bytes == 2 * 65_536
    got = await net.receiver.collect(net.run, expect_flows=1, wait_s=20)
    assert got.connections[0].receive_buffer_bytes == 2 * 98_304


Damage = Callable[[int, bytes], bytes]


@contextmanager
def damaging_proxy(target_port: int, damage: Damage) -> Iterator[int]:
    """A relay that changes what passes; `damage(offset, data)` gives what goes on."""
    listener = socket.create_server((LOOPBACK, 0))
    listener.settimeout(20)

    def work() -> None:
        inward, _ = listener.accept()
        outward = socket.create_connection((LOOPBACK, target_port), timeout=20)
        with inward, outward:
            offset = 0
            inward.settimeout(20)
            while data := inward.recv(65536):
                try:
                    outward.sendall(damage(offset, data))
                except ConnectionError:
                    return
                offset += len(data)
            outward.shutdown(socket.SHUT_WR)
            try:
                outward.recv(1)
            except ConnectionError:
                return

    thread = threading.Thread(target=work)
    thread.start()
    with closing(listener):
        yield listener.getsockname()[1]
        thread.join(20)
        assert not thread.is_alive()


def flip_byte_at(place: int) -> Damage:
    def damage(offset: int, data: bytes) -> bytes:
        if not offset <= place < offset + len(data):
            return data
        changed = bytearray(data)
        changed[place - offset] ^= 1
        return bytes(changed)

    return damage


@pytest.mark.parametrize(
    ("place", "error"),
    [
        (HEADER_BYTES + 777_777, "payload damaged"),
        (HEADER_BYTES + MB + 30, "flow trailer: damaged"),
        (20, "flow header: damaged"),
    ],
)
async def test_one_damaged_byte_is_reported(net: Net, place: int, error: str) -> None:
    with damaging_proxy(await net.listen(), flip_byte_at(place)) as port:
        await net.sender.send_to_end(net.send_request(port, {"size_bytes": MB}))
        got = (await net.receiver.collect(net.run, expect_flows=1, wait_s=20)).flows[0]
    assert not got.sha256_ok
    assert got.error.startswith(error)


async def test_a_stream_cut_short_is_reported(net: Net) -> None:
    def cut(offset: int, data: bytes) -> bytes:
        return data[: max(0, 500_000 - offset)]

    with damaging_proxy(await net.listen(), cut) as port:
        await net.sender.send_to_end(net.send_request(port, {"size_bytes": MB}))
        got = (await net.receiver.collect(net.run, expect_flows=1, wait_s=20)).flows[0]
    assert not got.complete
    assert "of 1000000 declared, before its trailer" in got.error
    assert got.payload_bytes == 500_000 - HEADER_BYTES


async def test_a_receiver_that_dies_is_an_error_at_the_sender(
    net: Net, new_daemon: Callable[..., Daemon]
) -> None:
    victim = new_daemon("receiver")
    async with await NodeClient.connect(str(victim.control)) as receiver:
        port = await net.relay_to(
            await receiver.listen(pb.ListenRequest(run=net.run, address=LOOPBACK))
        )
        async for progress in net.sender.send(net.send_request(port, {"duration_ns": 3600 * NS})):
            if progress.bytes_written > MB:
                victim.process.kill()
    assert (progress.done, progress.flows_failed) == (True, 1)
    sent = await net.sender.collect(net.run)
    assert "after" in sent.flows[0].error
    relayed = await net.relay.collect(net.run, expect_flows=1, wait_s=20)
    assert any("reset passed on" in event for event in relayed.events)


async def test_a_refused_connection_is_an_error_of_the_flow(net: Net) -> None:
    with closing(socket.create_server((LOOPBACK, 0))) as unused:
        port = unused.getsockname()[1]
    last = await net.sender.send_to_end(net.send_request(port, {"size_bytes": MB}))
    assert last.flows_failed == 1
    sent = await net.sender.collect(net.run)
    assert sent.flows[0].error.endswith("ECONNREFUSED")
    assert sent.events == [f"flow 1: {sent.flows[0].error}"]
