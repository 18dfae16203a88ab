"""What a relay passes on, with plain sockets at both ends, in both modes."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress

import pytest
from tests.unit.node.support import LOOPBACK, Net

from sentinel_proto.v1 import node_control_pb2 as pb

MODES = [pb.RELAY_MODE_COPY, pb.RELAY_MODE_SPLICE]
TIMEOUT_S = 20.0

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


@pytest.mark.parametrize("mode", MODES)
async def test_a_reset_reaches_a_sender_that_is_blocked_by_backpressure(
    net: Net, mode: int
) -> None:
    async with ends(net, mode) as (client, server):
        server[1].transport.pause_reading()  # type: ignore[attr-defined]

        async def flood() -> None:
            while True:
                client[1].write(bytes(1 << 20))
                await client[1].drain()

        async with asyncio.TaskGroup() as group:
            flooding = group.create_task(asyncio.wait_for(flood(), 0.5))
            with suppress(TimeoutError, ConnectionError):
                await asyncio.shield(flooding)
            reset(server[1])
        with pytest.raises(ConnectionError):
            await client[0].read()


async def test_an_unreachable_target_resets_the_accepted_connection(net: Net) -> None:
    with closing(socket.create_server((LOOPBACK, 0))) as unused:
        target = unused.getsockname()[1]
    port = await net.relay_to(target)
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    report = await net.relay.collect(net.run, expect_flows=1, wait_s=TIMEOUT_S)
    (line,) = report.events
    assert f"connecting to {LOOPBACK} port {target}: ECONNREFUSED; reset passed on" in line


@pytest.mark.parametrize("mode", MODES)
async def test_a_sink_that_never_reads_holds_no_more_than_the_buffers(net: Net, mode: int) -> None:
    small = pb.TcpOptions(send_buffer_bytes=65_536, receive_buffer_bytes=65_536)
    with closing(socket.create_server((LOOPBACK, 0))) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        port = await net.relay_to(
            server.getsockname()[1],
            mode=mode,
            accept_tcp=small,
            connect_tcp=small,
            buffer_bytes=65_536,
        )
        before = await net.relay.collect(net.run)
        source = socket.socket()
        source.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        with source:
            source.connect((LOOPBACK, port))
            source.settimeout(0.5)
            taken = 0
            with pytest.raises(TimeoutError):
                while True:
                    taken += source.send(bytes(65_536))
            report = await net.relay.collect(net.run)
            # Four socket buffers of twice 64 KiB, and the relay's own.
            assert taken <= 4 * 2 * 65_536 + 65_536
            assert report.relay_buffered_bytes_max <= 65_536
            assert report.rss_bytes_max - before.rss_bytes_now < 2_000_000
            assert report.flows_active == 1
            closed = await net.relay.release(net.run)
            assert closed == 2
            with pytest.raises(ConnectionResetError):
                source.recv(1)
