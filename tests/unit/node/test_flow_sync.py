"""Flow sync over three nodes on loopback: announced, corrected, passed on, checked at the end."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sentinel_node.core.control.messages import (
    FlowPhase,
    FlowState,
    PathHop,
    PathMetadata,
)
from sentinel_node.core.control.refusals import Refusal
from sentinel_node.daemon.control.flow_sync import Announced, FlowSync
from sentinel_node.daemon.control.plane import GrpcControlPlane
from sentinel_node.daemon.control.replicas import Delivered
from sentinel_node.daemon.control.settings import ControlSettings, Neighbour

SECRET = b"s" * 32
MS = 1_000_000


@asynccontextmanager
async def chain(*names: str) -> AsyncIterator[tuple[FlowSync, ...]]:
    """Nodes in a row; each dials the one after it."""
    syncs: list[FlowSync] = []
    planes: list[GrpcControlPlane] = []
    async with asyncio.TaskGroup() as tasks:
        port = 0
        for index in reversed(range(len(names))):
            neighbours = []
            if index:
                neighbours.append(Neighbour(names[index - 1]))
            if port:
                neighbours.append(Neighbour(names[index + 1], "127.0.0.1", port))
            listen = ("127.0.0.1",) if index else ()
            settings = ControlSettings(names[index], SECRET, tuple(neighbours), listen)
            plane = GrpcControlPlane(settings, 1)
            syncs.insert(0, FlowSync(plane, 100))
            planes.append(plane)
            tasks.create_task(plane.run())
            port = await plane.ready()
        running = [tasks.create_task(sync.run()) for sync in syncs]
        try:
            await until(lambda: all(s.connected for p in planes for s in p.peers.values()))
            yield tuple(syncs)
        finally:
            for task in running:
                task.cancel()
            for plane in planes:
                plane.close()


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
        assert a.announce(announced(a, "a", "b", "c"), lambda: total) is None
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


async def test_what_differs_at_the_end_is_said() -> None:
    async with chain("a", "b") as (a, b):
        assert a.announce(announced(a, "a", "b"), lambda: 5) is None
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
        assert a.announce(flow, lambda: 0) is None
        assert isinstance(a.announce(flow, lambda: 0), Refusal)
        await until(lambda: 7 in b.logs)
