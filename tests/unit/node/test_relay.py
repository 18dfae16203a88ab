"""What a relay passes on, with plain sockets at both ends, in both modes."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress

import pytest
from tests.unit.node.support import LOOPBACK, Net

from sentinel_proto.v1 import node_control_pb2 as pb

MODES = [pb.RELAY_MODE_COPY, pb.RELAY_MODE_SPLICE]
TIMEOUT_S = 20.0
SMALL_BYTES = 65_536

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def ends(net: Net, mode: int) -> AsyncIterator[tuple[Streams, Streams]]:
    """(client, server): two streams joined by the relay."""
    arrived: asyncio.Queue[Streams] = asyncio.Queue()

    async def on_connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await arrived.put((reader, writer))

    server = await asyncio.start_server(on_connect, LOOPBACK, 0)
    async with asyncio.timeout(TIMEOUT_S), server:
        port = await net.relay_to(server.sockets[0].getsockname()[1], mode=mode)
        client = await asyncio.open_connection(LOOPBACK, port)
        far = await arrived.get()
        try:
            yield client, far
        finally:
            for _, writer in (client, far):
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with a RST."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("first", ["client", "server"])
async def test_a_half_close_is_passed_on_and_the_other_way_stays_open(
    net: Net, mode: int, first: str
) -> None:
    async with ends(net, mode) as (client, server):
        a, b = (client, server) if first == "client" else (server, client)
        a[1].write(b"question")
        a[1].write_eof()
        assert await b[0].read() == b"question"
        answer = bytes(range(256)) * 8192
        b[1].write(answer)
        await b[1].drain()
        b[1].write_eof()
        assert await a[0].read() == answer
    report = await net.relay.collect(net.run, expect_flows=1, wait_s=TIMEOUT_S)
    assert report.complete
    there, back = ("forward", "back") if first == "client" else ("back", "forward")
    lines = [line.split(": ", 1)[1] for line in report.events]
    assert lines[0] == f"half-close passed on {there}"
    assert lines[1] == f"half-close passed on {back}"
    assert lines[2].startswith("closed, ")


@pytest.mark.parametrize("mode", MODES)
async def test_both_ways_at_once(net: Net, mode: int) -> None:
    data = bytes(range(256)) * 20_000

    async def talk(streams: Streams) -> bytes:
        async def write() -> None:
            streams[1].write(data)
            await streams[1].drain()
            streams[1].write_eof()

        _, got = await asyncio.gather(write(), streams[0].read())
        return got

    async with ends(net, mode) as (client, server):
        assert await asyncio.gather(talk(client), talk(server)) == [data, data]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("first", ["client", "server"])
async def test_a_reset_is_passed_on(net: Net, mode: int, first: str) -> None:
    async with ends(net, mode) as (client, server):
        a, b = (client, server) if first == "client" else (server, client)
        a[1].write(b"x")
        assert await b[0].readexactly(1) == b"x"
        reset(a[1])
        with pytest.raises(ConnectionResetError):
            await b[0].read()
    report = await net.relay.collect(net.run, expect_flows=1, wait_s=TIMEOUT_S)
    (line,) = report.events
    assert line.endswith("Connection reset by peer; reset passed on")


async def read_to_the_end(port: int) -> bytes:
    """All that comes; a reset may come so soon that connect() reports it already."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        return await reader.read()
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_an_unreachable_target_resets_the_accepted_connection(net: Net) -> None:
    with closing(socket.create_server((LOOPBACK, 0))) as unused:
        target = unused.getsockname()[1]
    port = await net.relay_to(target)
    async with asyncio.timeout(TIMEOUT_S):
        with pytest.raises(ConnectionResetError):
            await read_to_the_end(port)
    report = await net.relay.collect(net.run, expect_flows=1, wait_s=TIMEOUT_S)
    (line,) = report.events
    assert f"connecting to {LOOPBACK} port {target}: ECONNREFUSED; reset passed on" in line


def push(source: socket.socket, limit_bytes: int) -> int:
    """Send until the peer takes no more for half a second; gives the bytes taken."""
    source.settimeout(0.5)
    taken = 0
    try:
        while taken < limit_bytes:
            taken += source.send(bytes(65_536))
    except TimeoutError:
        return taken
    return taken


@contextmanager
def small_server() -> Iterator[socket.socket]:
    """A listening socket whose connections have small receive buffers."""
    with closing(socket.create_server((LOOPBACK, 0))) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BYTES)
        server.settimeout(TIMEOUT_S)
        yield server


@contextmanager
def small_client(port: int) -> Iterator[socket.socket]:
    """A connected socket with a small send buffer."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BYTES)
        client.connect((LOOPBACK, port))
        yield client


async def small_relay(net: Net, server: socket.socket, mode: int) -> int:
    small = pb.TcpOptions(send_buffer_bytes=SMALL_BYTES, receive_buffer_bytes=SMALL_BYTES)
    return await net.relay_to(
        server.getsockname()[1],
        mode=mode,
        accept_tcp=small,
        connect_tcp=small,
        buffer_bytes=SMALL_BYTES,
    )


# Four socket buffers of twice the request, and what the relay itself holds.
CHAIN_BYTES = 4 * 2 * SMALL_BYTES + SMALL_BYTES


@pytest.mark.parametrize("mode", MODES)
async def test_a_sink_that_never_reads_holds_no_more_than_the_buffers(net: Net, mode: int) -> None:
    with small_server() as server:
        port = await small_relay(net, server, mode)
        before = await net.relay.collect(net.run)
        with small_client(port) as source:
            assert push(source, 100 * CHAIN_BYTES) <= CHAIN_BYTES
            report = await net.relay.collect(net.run)
            assert report.relay_buffered_bytes_max <= SMALL_BYTES
            assert report.rss_bytes_max - before.rss_bytes_now < 2_000_000
            assert report.flows_active == 1
            assert await net.relay.release(net.run) == 2
            with pytest.raises(ConnectionResetError):
                source.recv(1)


@pytest.mark.parametrize("mode", MODES)
async def test_a_reset_reaches_a_sender_that_is_held_by_backpressure(net: Net, mode: int) -> None:
    with small_server() as server:
        port = await small_relay(net, server, mode)
        with small_client(port) as source:
            sink, _ = server.accept()
            assert push(source, 100 * CHAIN_BYTES) <= CHAIN_BYTES
            sink.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sink.close()
            source.settimeout(TIMEOUT_S)
            with pytest.raises(ConnectionResetError):
                source.recv(1)
