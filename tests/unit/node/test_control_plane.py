"""The control plane over gRPC on loopback: sessions, deaths, refusals, no leak."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import pytest

from sentinel_node.core.control.custody_messages import CustodyAck
from sentinel_node.core.control.refusals import Reason, Refusal
from sentinel_node.core.control.sessions import seal_hello
from sentinel_node.daemon.control.interface import PeerChange, PeerEvent
from sentinel_node.daemon.control.plane import GrpcControlPlane
from sentinel_node.daemon.control.settings import (
    ControlSettings,
    DetectorKind,
    DetectorSettings,
    Neighbour,
)
from sentinel_node.daemon.control.transport import open_call

SECRET = b"s" * 32
MS = 1_000_000


@asynccontextmanager
async def running(settings: ControlSettings, epoch: int = 1) -> AsyncIterator[GrpcControlPlane]:
    plane = GrpcControlPlane(settings, epoch)
    async with asyncio.TaskGroup() as group:
        group.create_task(plane.run())
        try:
            await plane.ready()
            yield plane
        finally:
            plane.close()


def listening(*neighbours: str, node: str = "b", **more: object) -> ControlSettings:
    return ControlSettings(
        node,
        SECRET,
        tuple(Neighbour(n) for n in neighbours),
        ("127.0.0.1",),
        **more,  # type: ignore[arg-type]
    )


def dialling(node: str, peer: str, port: int, **more: object) -> ControlSettings:
    values: dict[str, object] = {"secret": SECRET, **more}
    return ControlSettings(node, neighbours=(Neighbour(peer, "127.0.0.1", port),), **values)  # type: ignore[arg-type]


class Watcher:
    """Waits for peer events without polling."""

    def __init__(self, plane: GrpcControlPlane) -> None:
        self.events: asyncio.Queue[PeerEvent] = asyncio.Queue()
        plane.on_peer(self.events.put_nowait)

    async def until(self, change: PeerChange) -> PeerEvent:
        async with asyncio.timeout(10):
            while (event := await self.events.get()).change is not change:
                pass
        return event


def ack(offset: int, flow: int = 1) -> CustodyAck:
    return CustodyAck(flow, 1, "a", offset, 0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - of another thread, or of gRPC
            await asyncio.sleep(0.005)


async def test_two_nodes_meet_and_messages_arrive_with_their_senders_name() -> None:
    got: asyncio.Queue[tuple[str, CustodyAck]] = asyncio.Queue()

    def take(peer: str, message: CustodyAck) -> Refusal | None:
        if message.offset == 13:
            return Refusal(Reason.OUTDATED, "unlucky")
        got.put_nowait((peer, message))
        return None

    async with running(listening("a")) as b:
        b.handle(CustodyAck, take)
        with pytest.raises(ValueError, match="handler already"):
            b.handle(CustodyAck, take)
        async with running(dialling("a", "b", await b.ready())) as a:
            assert not a.send("b", ack(0)), "taken without a session"
            with pytest.raises(ValueError, match="no neighbour"):
                a.send("c", ack(0))
            up = await Watcher(a).until(PeerChange.UP)
            assert (up.epoch, up.restarted) == (1, False)
            assert await asyncio.to_thread(a.send, "b", ack(7)), "from another thread"
            async with asyncio.timeout(10):
                assert await got.get() == ("a", ack(7))
            a.send("b", ack(13))
            await until(lambda: b.peers["a"].refused == {"outdated": 1})
            assert b.peers["a"].connected
            assert b.peers["a"].received_messages >= 3


async def test_a_restarted_peer_is_told_apart_and_an_old_incarnation_is_not_believed() -> None:
    async with running(listening("a")) as b:
        port, watch = await b.ready(), Watcher(b)
        async with running(dialling("a", "b", port), epoch=5):
            assert (await watch.until(PeerChange.UP)).epoch == 5
        await watch.until(PeerChange.DOWN)
        assert not b.peers["a"].connected
        async with running(dialling("a", "b", port), epoch=9):
            up = await watch.until(PeerChange.UP)
            assert (up.epoch, up.restarted) == (9, True)
        await watch.until(PeerChange.DOWN)
        sessions = b.peers["a"].sessions
        async with running(dialling("a", "b", port), epoch=5) as old:
            await until(lambda: old.peers["b"].sessions > 0)
            assert (b.peers["a"].sessions, b.peers["a"].epoch) == (sessions, 9)


async def test_the_dialler_comes_back_after_the_listener_did() -> None:
    async with running(listening("a")) as b:
        port = await b.ready()
        async with running(dialling("a", "b", port)) as a:
            watch = Watcher(a)
            await watch.until(PeerChange.UP)
            b.close()
            await watch.until(PeerChange.DOWN)
            async with running(listening("a", port=port), epoch=2):
                assert (await watch.until(PeerChange.UP)).restarted


@pytest.mark.parametrize("kind", list(DetectorKind))
async def test_silence_is_suspected_though_the_stream_stands(kind: DetectorKind) -> None:
    quick = DetectorSettings(kind, multiplier=3)
    async with running(listening("a", detector=quick)) as b:
        watch = Watcher(b)
        async with running(dialling("a", "b", await b.ready(), heartbeat_ns=20 * MS)) as a:
            await watch.until(PeerChange.UP)
            (stream,) = a._peers.by_name["b"].candidates
            put, stream.outbox.put = stream.outbox.put, lambda message: True  # type: ignore[method-assign]
            suspected = await watch.until(PeerChange.SUSPECTED)
            assert suspected.silent_ns > 20 * MS
            assert b.peers["a"].suspected
            assert b.peers["a"].connected
            stream.outbox.put = put  # type: ignore[method-assign]
            assert (await watch.until(PeerChange.RESTORED)).silent_ns >= suspected.silent_ns
            assert not b.peers["a"].suspected
            assert b.mistakes >= 1


async def test_a_session_that_fell_silent_is_overtaken_by_a_new_one() -> None:
    """As after an outage: the stream still stands, but its TCP waits for long before it goes on."""
    quick = DetectorSettings(DetectorKind.FIXED, multiplier=3)
    async with (
        running(listening("a", heartbeat_ns=20 * MS)) as b,
        running(dialling("a", "b", await b.ready(), detector=quick)) as a,
    ):
        watch = Watcher(a)
        await watch.until(PeerChange.UP)
        (stream,) = b._peers.by_name["a"].candidates
        stream.outbox.put = lambda message: True  # type: ignore[method-assign]
        await watch.until(PeerChange.SUSPECTED)
        up = await watch.until(PeerChange.UP)
        assert not up.restarted
        assert a.peers["b"].sessions == 2
        await until(lambda: (a.peers["b"].heartbeat_age_ns or 0) < 60 * MS)
        assert not a.peers["b"].suspected


async def test_a_wrong_secret_and_a_stranger_are_refused_and_counted() -> None:
    async with running(listening("a")) as b:
        port = await b.ready()
        wrong = dialling("a", "b", port, secret=b"x" * 32)
        async with running(wrong) as a:
            await until(lambda: b.peers["a"].refused.get("bad-tag", 0) >= 1)
            assert not a.peers["b"].connected
            assert b.peers["a"].sessions == 0
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = open_call(channel, "mallory")
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await call.read()
            assert failure.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert b.strangers == 1


async def test_a_recorded_hello_does_not_disturb_the_session_that_stands() -> None:
    async with running(listening("a", open_timeout_ns=200 * MS)) as b:
        port, watch = await b.ready(), Watcher(b)
        async with running(dialling("a", "b", port)) as a:
            await watch.until(PeerChange.UP)
            (stream,) = a._peers.by_name["b"].candidates
            recorded = seal_hello(SECRET, stream.endpoint._own)
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                call = open_call(channel, "a")
                await call.write(recorded)
                while await call.read() is not grpc.aio.EOF:
                    pass
            assert b.peers["a"].sessions == 1
            assert b.peers["a"].connected
            assert a.send("b", ack(1))


async def test_replayed_messages_are_refused_counted_and_change_nothing() -> None:
    got: list[int] = []

    def take(peer: str, message: CustodyAck) -> None:
        got.append(message.offset)

    async with running(listening("a")) as b:
        b.handle(CustodyAck, take)
        async with running(dialling("a", "b", await b.ready())) as a:
            await Watcher(a).until(PeerChange.UP)
            with pytest.raises(ValueError, match="neighbours are: b"):
                a.replay("c", 0.5, 1)
            a.replay("b", 1.0, 1)
            for offset in range(1, 21):
                assert a.send("b", ack(offset))
                await until(lambda offset=offset: got[-1:] == [offset])  # type: ignore[misc]
            count = a.replay("b", 0.0, 1)
            await until(lambda: sum(b.peers["a"].refused.values()) == count)
            assert set(b.peers["a"].refused) <= {"replayed", "too-old"}
            assert a.send("b", ack(99))
            await until(lambda: got[-1:] == [99])
            assert a.replay("b", 0.0, 1) == count >= 20
            assert b.peers["a"].sessions == 1
    assert got == [*range(1, 21), 99]


async def test_messages_of_an_earlier_session_are_refused_too() -> None:
    got: list[int] = []

    def take(peer: str, message: CustodyAck) -> None:
        got.append(message.offset)

    async with AsyncExitStack() as stack:
        async with running(listening("a")) as b:
            b.handle(CustodyAck, take)
            port = await b.ready()
            a = await stack.enter_async_context(running(dialling("a", "b", port)))
            seen = Watcher(a)
            await seen.until(PeerChange.UP)
            a.replay("b", 1.0, 3)
            assert a.send("b", ack(1))
            await until(lambda: got == [1])
        await seen.until(PeerChange.DOWN)
        async with running(listening("a", port=port), epoch=2) as b:
            b.handle(CustodyAck, take)
            await seen.until(PeerChange.UP)
            assert a.send("b", ack(2))
            await until(lambda: got == [1, 2])
            await until(lambda: b.peers["a"].refused.get("foreign-session", 0) > 0)
            assert b.peers["a"].connected
    assert got == [1, 2]


async def test_nothing_is_left_behind() -> None:
    before = asyncio.all_tasks()
    async with running(listening("a")) as b:
        for epoch in (1, 2, 3):
            async with running(dialling("a", "b", await b.ready()), epoch=epoch) as a:
                await Watcher(a).until(PeerChange.UP)
    await until(lambda: asyncio.all_tasks() <= before)


async def test_values_of_a_flow_replace_each_other_while_the_stream_is_busy() -> None:
    got: list[int] = []

    def take(peer: str, message: CustodyAck) -> None:
        got.append(message.offset)

    async with running(listening("a")) as b:
        b.handle(CustodyAck, take)
        async with running(dialling("a", "b", await b.ready())) as a:
            await Watcher(a).until(PeerChange.UP)
            for offset in range(10_000):  # without giving the writer a turn
                a.send("b", ack(offset))
            await until(lambda: bool(got) and got[-1] == 9_999)
            assert len(got) < 10
