"""Flow sync over three nodes on loopback: announced, corrected, passed on, checked at the end."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sentinel_node.core.control.messages import (
    FlowPhase,
    FlowState,
    PathHop,
    PathMetadata,
    RateAdvice,
    Version,
)
from sentinel_node.core.control.refusals import Reason, Refusal
from sentinel_node.core.sync.announcement import Announced
from sentinel_node.core.sync.checkpoints import GRID_BYTES, Checkpoints
from sentinel_node.core.sync.flow_log import Delivered
from sentinel_node.daemon.control.flow_sync import FlowSync
from sentinel_node.daemon.control.plane import GrpcControlPlane
from sentinel_node.daemon.control.settings import ControlSettings, Neighbour

SECRET = b"s" * 32
MS = 1_000_000


@asynccontextmanager
async def net(*edges: tuple[str, str]) -> AsyncIterator[dict[str, FlowSync]]:
    """Nodes with a stream for each edge; the first of an edge dials the second."""
    names = sorted({name for edge in edges for name in edge}, key=_depth(edges), reverse=True)
    syncs: dict[str, FlowSync] = {}
    planes: list[GrpcControlPlane] = []
    ports: dict[str, int] = {}
    async with asyncio.TaskGroup() as tasks:
        for name in names:
            dialled = [Neighbour(b, "127.0.0.1", ports[b]) for a, b in edges if a == name]
            dialling = [Neighbour(a) for a, b in edges if b == name]
            listen = ("127.0.0.1",) if dialling else ()
            settings = ControlSettings(name, SECRET, (*dialled, *dialling), listen)
            plane = GrpcControlPlane(settings, 1)
            syncs[name] = FlowSync(plane, 100)
            planes.append(plane)
            tasks.create_task(plane.run())
            ports[name] = await plane.ready()
        running = [tasks.create_task(sync.run()) for sync in syncs.values()]
        try:
            await until(lambda: all(s.connected for p in planes for s in p.peers.values()))
            yield syncs
        finally:
            for task in running:
                task.cancel()
            for plane in planes:
                plane.close()


def _depth(edges: tuple[tuple[str, str], ...]) -> Callable[[str], int]:
    def depth(name: str) -> int:
        return max((1 + depth(a) for a, b in edges if b == name), default=0)

    return depth


@asynccontextmanager
async def chain(*names: str) -> AsyncIterator[tuple[FlowSync, ...]]:
    """Nodes in a row; each dials the one after it."""
    async with net(*itertools.pairwise(names)) as syncs:
        yield tuple(syncs[name] for name in names)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - of another thread, or of gRPC
            await asyncio.sleep(0.005)


def announced(sync: FlowSync, *nodes: str, flow_id: int = 7, bound: int = 10_000) -> Announced:
    now_ns = time.monotonic_ns()
    state = FlowState(
        flow_id,
        nodes[0],
        sync.version(),
        FlowPhase.PREDICTED,
        now_ns,
        0,
        1_000_000,
        error_bound_bytes=bound,
        max_silence_ns=500 * MS,
    )
    hops = tuple(PathHop(node, 1 * MS, 8_000_000) for node in nodes)
    return Announced(state, PathMetadata(flow_id, state.version, hops), 10 * MS)


async def test_a_flow_is_known_downstream_before_and_while_and_after_it_flows() -> None:
    heard: list[tuple[str, FlowPhase]] = []
    async with chain("a", "b", "c") as (a, b, c):
        for name, sync in (("b", b), ("c", c)):
            sync.on_flow(lambda state, path, name=name: heard.append((name, state.phase)))  # type: ignore[misc]
        total = 0
        assert isinstance(a.announce(announced(a, "a", "b", "c"), lambda: total), FlowState)
        await until(lambda: 7 in c.logs and c.logs[7].path is not None)
        assert heard == [("b", FlowPhase.PREDICTED), ("c", FlowPhase.PREDICTED)]
        start_ns = time.monotonic_ns()
        while (elapsed_ns := time.monotonic_ns() - start_ns) < 300 * MS:
            total = elapsed_ns // 1000  # 1 MB/s
            await asyncio.sleep(0.002)
        view = c.logs[7].state
        assert view is not None
        assert view.phase is FlowPhase.ACTIVE
        digest = hashlib.sha256(b"payload").digest()
        a.finish(7, total, digest)
        await until(lambda: c.logs[7].final is not None)
        c.delivered(7, Delivered(total, digest))
        assert [(v.final, v.ok) for v in c.logs[7].verdicts] == [(True, True)]
        state = c.logs[7].state
        assert state is not None
        assert (state.phase, state.total_bytes) == (FlowPhase.FINISHED, total)
        assert len(c.logs[7].views) < 20, "a steady flow needs few corrections"


async def test_running_hashes_are_compared_while_the_flow_flows() -> None:
    sent, got = Checkpoints(), Checkpoints()
    async with chain("a", "b", "c") as (a, b, c):
        flow = announced(a, "a", "b", "c", bound=10**9)
        total = 2 * GRID_BYTES
        told = a.announce(flow, lambda: total, checkpoint=sent.newest_within)
        assert isinstance(told, FlowState)
        await until(lambda: 7 in c.logs and c.logs[7].path is not None)
        c.hashing(7, got)
        sent.note(GRID_BYTES, hashlib.sha256(b"first"))
        # The check is there before the data; the next one finds it.
        await until(lambda: any(v.checkpoint_offset for v in c.logs[7].verdicts))
        assert {v.hash_ok for v in c.logs[7].verdicts} == {None}
        got.note(GRID_BYTES, hashlib.sha256(b"first"))
        sent.note(2 * GRID_BYTES, hashlib.sha256(b"second"))
        got.note(2 * GRID_BYTES, hashlib.sha256(b"another second"))
        await until(lambda: any(v.checkpoint_offset > GRID_BYTES for v in c.logs[7].verdicts))
        a.finish(7, total, bytes(32))
        await until(lambda: c.logs[7].final is not None)
        found = {v.checkpoint_offset: v for v in c.logs[7].verdicts}
        assert found[GRID_BYTES].hash_ok
        assert found[GRID_BYTES].ok
        assert found[2 * GRID_BYTES].hash_ok is False
        assert found[2 * GRID_BYTES].problems == (
            f"running hash differs at offset {2 * GRID_BYTES}",
        )
        assert {v.hash_ok for v in b.logs[7].verdicts} <= {None}, "a relay hashes nothing"


async def test_what_differs_at_the_end_is_said() -> None:
    async with chain("a", "b") as (a, b):
        assert isinstance(a.announce(announced(a, "a", "b"), lambda: 5), FlowState)
        await until(lambda: 7 in b.logs)
        a.finish(7, 5, bytes(32))
        await until(lambda: b.logs[7].final is not None)
        b.delivered(7, Delivered(4, bytes(32)))
        (verdict,) = b.logs[7].verdicts
        assert not verdict.ok
        assert (verdict.bytes_ok, verdict.hash_ok) == (False, None)


async def test_a_flow_is_announced_once_and_unknown_checks_are_refused() -> None:
    async with chain("a", "b") as (a, b):
        flow = announced(a, "a", "b")
        assert isinstance(a.announce(flow, lambda: 0), FlowState)
        assert isinstance(a.announce(flow, lambda: 0), Refusal)
        await until(lambda: 7 in b.logs)


def peak(sync: FlowSync, flow_id: int) -> int:
    state = sync.logs[flow_id].state if flow_id in sync.logs else None
    return state.peak_rate_Bps if state is not None else 0


async def test_the_predicted_share_follows_the_flows_that_are_live() -> None:
    heard: list[tuple[int, int]] = []
    predicted: list[int] = []
    async with chain("a", "b", "c") as (a, b, c):
        b.on_flow(lambda state, path: heard.append((state.flow_id, state.peak_rate_Bps)))
        first = a.announce(
            announced(a, "a", "b", "c", flow_id=1),
            lambda: 0,
            lambda state: predicted.append(state.peak_rate_Bps),
        )
        assert isinstance(first, FlowState)
        assert first.peak_rate_Bps == 1_000_000
        await until(lambda: peak(c, 1) == 1_000_000 and c.logs[1].path is not None)
        second = a.announce(announced(a, "a", "b", "c", flow_id=2), lambda: 0)
        assert isinstance(second, FlowState)
        assert (second.peak_rate_Bps, second.error_bound_bytes) == (500_000, 5_000)
        await until(lambda: (peak(c, 1), peak(c, 2)) == (500_000, 500_000))
        await until(lambda: c.logs[2].path is not None)
        a.finish(2, 0, bytes(32))
        await until(lambda: peak(c, 1) == 1_000_000)
        assert predicted == [500_000, 1_000_000]
        assert heard == [(1, 1_000_000), (1, 500_000), (2, 500_000), (1, 1_000_000)]


async def test_origins_that_do_not_know_of_each_other_hear_of_it_from_downstream() -> None:
    async with net(("a", "m"), ("b", "m"), ("m", "r")) as syncs:
        a, b, r = syncs["a"], syncs["b"], syncs["r"]
        assert isinstance(a.announce(announced(a, "a", "m", "r", flow_id=1), lambda: 0), FlowState)
        await until(lambda: peak(r, 1) == 1_000_000)
        other = b.announce(announced(b, "b", "m", "r", flow_id=2), lambda: 0)
        assert isinstance(other, FlowState)
        assert other.peak_rate_Bps == 1_000_000, "b cannot know better yet"
        # m says to both what it can take of them, they predict anew, and r hears of that.
        await until(lambda: (peak(r, 1), peak(r, 2)) == (500_000, 500_000))
        b.finish(2, 0, bytes(32))
        await until(lambda: peak(r, 1) == 1_000_000)


async def test_advice_of_anybody_but_the_next_node_is_refused_and_changes_nothing() -> None:
    async with chain("a", "b", "c") as (a, b, c):
        assert isinstance(a.announce(announced(a, "a", "b", "c"), lambda: 0), FlowState)
        await until(lambda: 7 in c.logs and c.logs[7].path is not None)
        advice = RateAdvice(Version(1, 9), 7, 1000)
        for sync, peer, reason in (
            (b, "a", Reason.WRONG_PEER),
            (c, "b", Reason.WRONG_PEER),
            (a, "c", Reason.WRONG_PEER),
        ):
            refusal = sync._core.routes[RateAdvice](peer, advice, 0)
            assert isinstance(refusal, Refusal)
            assert refusal.reason is reason
        unknown = a._core.routes[RateAdvice]("b", RateAdvice(Version(1, 9), 8, 1000), 0)
        assert isinstance(unknown, Refusal)
        assert unknown.reason is Reason.UNKNOWN_FLOW
        assert peak(a, 7) == 1_000_000
        assert a._core.routes[RateAdvice]("b", advice, 0) is None
        assert peak(a, 7) == 1000
        late = a._core.routes[RateAdvice]("b", RateAdvice(Version(1, 8), 7, 9000), 0)
        assert isinstance(late, Refusal)
        assert late.reason is Reason.OUTDATED
