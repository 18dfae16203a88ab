"""Flow sync on the event loop: the core's messages meet the streams, and the clock drives it.

One object for each control plane. What is decided is decided in `core.sync.exchange`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TypeVar

from sentinel_node.core.control.codec import Message
from sentinel_node.core.control.messages import FlowState, Version
from sentinel_node.core.control.refusals import Refusal
from sentinel_node.core.sync.announcement import Announced
from sentinel_node.core.sync.checkpoints import Checkpoints
from sentinel_node.core.sync.exchange import (
    CheckpointOf,
    FlowExchange,
    FlowHook,
    Route,
    no_checkpoint,
)
from sentinel_node.core.sync.flow_log import Delivered, FlowLog
from sentinel_node.core.sync.offers import WindowOffers
from sentinel_node.core.sync.telling import DIGEST_INTERVAL_NS, Neighbourhood
from sentinel_node.daemon.control.interface import Handler, PeerChange, PeerEvent
from sentinel_node.daemon.control.plane import GrpcControlPlane
from sentinel_node.daemon.control.slope import make_slope

THREAD_PATIENCE_S = 5.0

ResultT = TypeVar("ResultT")


class FlowSync:
    """Flow state at this node. Everything on the event loop's thread."""

    def __init__(
        self,
        plane: GrpcControlPlane,
        flows_max: int,
        on_checked: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_checked` is called when a flow's end was checked."""
        around = Neighbourhood(plane.node, plane.epoch, tuple(plane.peers), plane.send, plane.wake)
        self._core = FlowExchange(around, flows_max, make_slope, on_checked)
        self._loop = asyncio.get_running_loop()
        self._added = asyncio.Event()
        for kind, route in self._core.routes.items():
            plane.handle(kind, _at_once(route))
        plane.on_peer(self._on_peer)
        plane.pull_from(self._core.telling.next_message)

    @property
    def logs(self) -> dict[int, FlowLog]:
        """What was heard of each flow."""
        return self._core.logs

    @property
    def offers(self) -> WindowOffers:
        """What next nodes take of a flow before they acknowledge anything."""
        return self._core.offers

    def on_flow(self, hook: FlowHook) -> Callable[[], None]:
        """Have `hook` told of flows that come this way, on this thread; gives what ends it."""
        return self._core.on_flow(hook)

    def version(self) -> Version:
        """The next version of this origin."""
        return self._core.version()

    def announce(
        self,
        flow: Announced,
        total: Callable[[], int],
        on_predicted: Callable[[FlowState], None] = lambda state: None,
        checkpoint: CheckpointOf = no_checkpoint,
    ) -> FlowState | Refusal:
        """See `FlowExchange.announce`."""
        told = self._core.announce(
            flow, total, on_predicted, now_ns=time.monotonic_ns(), checkpoint=checkpoint
        )
        self._added.set()
        return told

    def from_thread(self, call: Callable[[], ResultT]) -> ResultT:
        """Have `call()` run on the event loop's thread and wait for what it gives."""
        done: Future[ResultT] = Future()

        def run() -> None:
            try:
                done.set_result(call())
            except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
                done.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return done.result(THREAD_PATIENCE_S)

    def finish(self, flow_id: int, total_bytes: int, sha256: bytes) -> None:
        """An own flow has ended: its last state is exact, and is checked at the other end."""
        self._core.finish(flow_id, total_bytes, sha256, now_ns=time.monotonic_ns())

    def hashing(self, flow_id: int, own: Checkpoints) -> None:
        """The data of a flow comes to this receiver; see `FlowExchange.hashing`.

        From any thread; does not wait.
        """
        self._loop.call_soon_threadsafe(self._core.hashing, flow_id, own)

    def delivered(self, flow_id: int, what: Delivered) -> None:
        """The data of a flow has ended at this receiver."""
        self._core.delivered(flow_id, what)

    def unchecked(self, flow_ids: Iterable[int]) -> int:
        """How many of these flows are known here, and their end was not checked yet."""
        return self._core.unchecked(flow_ids)

    async def run(self) -> None:
        """Sample own flows on their grid and send digests, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tick())
            tasks.create_task(self._send_digests())

    async def _tick(self) -> None:
        while True:
            due_ns = self._core.next_sample_ns
            if due_ns is None:
                self._added.clear()
                await self._added.wait()
                continue
            await asyncio.sleep(max(0.0, (due_ns - time.monotonic_ns()) / 1e9))
            self._core.sample_due(time.monotonic_ns())

    async def _send_digests(self) -> None:
        while True:
            await asyncio.sleep(DIGEST_INTERVAL_NS / 1e9)
            self._core.telling.send_digests()

    def _on_peer(self, event: PeerEvent) -> None:
        if event.change is PeerChange.UP:
            self._core.telling.on_up(event.peer)


def _at_once(route: Route) -> Handler[Message]:
    return lambda peer, message: route(peer, message, time.monotonic_ns())
