"""Flow sync: own flows are announced and corrected, others' are believed and passed on.

One object for each control plane, on the event loop. The cores decide (`core.sync`): here their
messages meet the streams, the clock ticks the grid on which own flows are sampled, and what a
neighbour said is handed downstream, along the path that the flow's origin gave.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TypeVar

from sentinel_node.core.control.codec import Message
from sentinel_node.core.control.messages import (
    BucketSnapshot,
    Correction,
    Digest,
    FlowPhase,
    FlowState,
    Forecast,
    PathMetadata,
    Pull,
    Removal,
    SyncCheck,
    Version,
)
from sentinel_node.core.control.refusals import Reason, Refusal
from sentinel_node.core.sync.flow_table import FlowTable
from sentinel_node.core.sync.forecaster import Forecaster, replica_bound
from sentinel_node.core.sync.link import LinkSender, Update
from sentinel_node.core.sync.paths import PathBook
from sentinel_node.core.sync.replica import LinkReplica
from sentinel_node.daemon.control.interface import PeerChange, PeerEvent
from sentinel_node.daemon.control.plane import GrpcControlPlane
from sentinel_node.daemon.control.replicas import NO_PAYLOAD, Delivered, FlowLog
from sentinel_node.daemon.control.slope import make_slope

CHECK_INTERVAL_NS = 1_000_000_000
DIGEST_INTERVAL_S = 1.0
TAKE_AT_ONCE = 16
LOGS_MAX = 8192
THREAD_PATIENCE_S = 5.0

ResultT = TypeVar("ResultT")

FlowHook = Callable[[FlowState, PathMetadata], None]
"""A flow along a path was announced, predicted or changed; called on the event loop."""


@dataclass(frozen=True, slots=True)
class Announced:
    """What the origin says of its flow ahead of it. `state`: announced or predicted."""

    state: FlowState
    path: PathMetadata
    interval_ns: int


@dataclass(slots=True)
class _Own:
    forecaster: Forecaster
    total: Callable[[], int]
    downstream: str
    interval_ns: int
    next_ns: int
    next_check_ns: int


class FlowSync:
    """Flow state at this node. Everything on the event loop's thread."""

    def __init__(
        self,
        plane: GrpcControlPlane,
        flows_max: int,
        on_checked: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_checked` is called when a flow's end was checked."""
        self._on_checked = on_checked
        self._plane = plane
        self._loop = asyncio.get_running_loop()
        self._flows_max = flows_max
        self._table = FlowTable(flows_max)
        self._book = PathBook(self._table)
        self._senders = {peer: LinkSender(plane.epoch, flows_max) for peer in plane.peers}
        self._replicas = {peer: LinkReplica(flows_max) for peer in plane.peers}
        self._urgent: dict[str, list[Message]] = {peer: [] for peer in plane.peers}
        self._own: dict[int, _Own] = {}
        self._sequence = 0
        self._added = asyncio.Event()
        self._hooks: list[FlowHook] = []
        self.logs: dict[int, FlowLog] = {}
        plane.handle(Forecast, self._on_update)
        plane.handle(Correction, self._on_update)
        plane.handle(Removal, self._on_update)
        plane.handle(BucketSnapshot, self._on_update)
        plane.handle(Digest, self._on_digest)
        plane.handle(Pull, self._on_pull)
        plane.handle(PathMetadata, self._on_path)
        plane.handle(SyncCheck, self._on_check)
        plane.on_peer(self._on_peer)
        plane.pull_from(self._next)

    def on_flow(self, hook: FlowHook) -> Callable[[], None]:
        """Have `hook` told of flows that come this way; gives what ends it."""
        self._hooks.append(hook)
        return lambda: self._hooks.remove(hook)

    def version(self) -> Version:
        """The next version of this origin."""
        self._sequence += 1
        return Version(self._plane.epoch, self._sequence)

    def announce(self, flow: Announced, total: Callable[[], int]) -> Refusal | None:
        """Tell downstream of a flow of this node; from now on `total()` is sampled."""
        now_ns = time.monotonic_ns()
        entry = self._table.apply(flow.state, source="", now_ns=now_ns)
        if isinstance(entry, Refusal):
            return entry
        slope = make_slope(flow.interval_ns, flow.state.error_bound_bytes)
        forecaster = Forecaster(flow.state, slope, interval_ns=flow.interval_ns)
        self._book.apply(flow.path)
        self._log(flow.state, now_ns).path = flow.path
        downstream = flow.path.hops[1].node
        self._own[flow.state.flow_id] = _Own(
            forecaster,
            total,
            downstream,
            flow.interval_ns,
            now_ns + flow.interval_ns,
            now_ns + CHECK_INTERVAL_NS,
        )
        self._tell(downstream, flow.state, flow.path)
        self._added.set()
        for hook in tuple(self._hooks):
            hook(flow.state, flow.path)
        return None

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
        own = self._own.pop(flow_id, None)
        if own is None:
            return
        now_ns = time.monotonic_ns()
        state = own.forecaster.finish(total_bytes, version=self.version(), now_ns=now_ns)
        self._publish(own, state, now_ns)
        check = SyncCheck(
            flow_id, self._plane.epoch, now_ns, total_bytes, total_bytes, sha256, final=True
        )
        self._send(own.downstream, check)

    def delivered(self, flow_id: int, what: Delivered) -> None:
        """The data of a flow has ended at this receiver."""
        log = self.logs.get(flow_id)
        if log is not None:
            log.ended(what)
            self._on_checked()

    def unchecked(self, flow_ids: Iterable[int]) -> int:
        """How many of these flows are known here, and their end was not checked yet."""
        logs = [self.logs[flow_id] for flow_id in flow_ids if flow_id in self.logs]
        return sum(not any(v.final for v in log.verdicts) for log in logs)

    async def run(self) -> None:
        """Sample own flows on their grid and send digests, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tick())
            tasks.create_task(self._send_digests())

    async def _tick(self) -> None:
        while True:
            if not self._own:
                self._added.clear()
                await self._added.wait()
            due_ns = min(own.next_ns for own in self._own.values())
            await asyncio.sleep(max(0.0, (due_ns - time.monotonic_ns()) / 1e9))
            self._sample_due(time.monotonic_ns())

    def _sample_due(self, now_ns: int) -> None:
        for flow_id, own in self._own.items():
            if own.next_ns > now_ns:
                continue
            # Points that were missed (a busy machine) are left out, not made up for.
            own.next_ns += ((now_ns - own.next_ns) // own.interval_ns + 1) * own.interval_ns
            total = own.total()
            state = own.forecaster.sample(total, version=self.version(), now_ns=now_ns)
            if state is not None:
                self._publish(own, state, now_ns)
            if now_ns >= own.next_check_ns and total:
                own.next_check_ns = now_ns + CHECK_INTERVAL_NS
                check = SyncCheck(
                    flow_id, self._plane.epoch, now_ns, total, 0, NO_PAYLOAD, final=False
                )
                self._send(own.downstream, check)

    def _publish(self, own: _Own, state: FlowState, now_ns: int) -> None:
        self._table.apply(state, source="", now_ns=now_ns)
        self._log(state, now_ns)
        self._tell(own.downstream, state, None)

    async def _send_digests(self) -> None:
        while True:
            await asyncio.sleep(DIGEST_INTERVAL_S)
            for peer, sender in self._senders.items():
                if len(sender) and not sender.pending:
                    self._plane.send(peer, sender.digest())

    def _log(self, state: FlowState, now_ns: int) -> FlowLog:
        log = self.logs.get(state.flow_id)
        if log is None:
            while len(self.logs) >= LOGS_MAX:
                del self.logs[next(iter(self.logs))]
            log = self.logs[state.flow_id] = FlowLog(now_ns)
        log.seen(state, now_ns)
        return log

    def _tell(self, peer: str, state: FlowState, path: PathMetadata | None) -> None:
        """State first, then the path of it."""
        sender = self._senders.get(peer)
        if sender is None:
            return
        if len(sender) >= self._flows_max:
            for flow_id, old in sender.states.items():
                if old.phase is FlowPhase.FINISHED:
                    sender.remove(flow_id)
        if sender.put(state) is not None:
            return  # full of live flows: counted there
        if path is not None:
            self._urgent[peer].append(path)
        self._plane.wake(peer)

    def _send(self, peer: str, message: SyncCheck) -> None:
        """After the states that wait, so that it is compared with what it speaks of."""
        if peer in self._urgent:
            self._urgent[peer].append(message)
            self._plane.wake(peer)

    def _next(self, peer: str) -> Message | None:
        """The plane asks: one message for `peer`, states before what builds on them."""
        for message in self._senders[peer].take(1):
            return message
        waiting = self._urgent[peer]
        return waiting.pop(0) if waiting else None

    def _next_hop(self, path: PathMetadata) -> str | None:
        names = [hop.node for hop in path.hops]
        here = names.index(self._plane.node) if self._plane.node in names else len(names)
        return names[here + 1] if here + 1 < len(names) else None

    def _on_update(self, peer: str, update: Update) -> Refusal | None:
        states = self._replicas[peer].on_update(update)
        if isinstance(states, Refusal):
            return states
        now_ns = time.monotonic_ns()
        for state in states:
            if isinstance(self._table.apply(state, source=peer, now_ns=now_ns), Refusal):
                continue  # counted there: another neighbour told the same, or newer
            self._log(state, now_ns)
            path = self._book.get(state.flow_id)
            if path is not None:
                self._pass_on(state, path, fresh=False)
        return None

    def _pass_on(self, state: FlowState, path: PathMetadata, *, fresh: bool) -> None:
        downstream = self._next_hop(path)
        if downstream is not None:
            self._tell(downstream, state, path if fresh else None)
        if fresh or state.phase in (FlowPhase.ANNOUNCED, FlowPhase.PREDICTED):
            for hook in tuple(self._hooks):
                hook(state, path)

    def _on_path(self, peer: str, path: PathMetadata) -> Refusal | None:
        if self._plane.node not in [hop.node for hop in path.hops]:
            return Refusal(Reason.WRONG_PEER, f"a path without {self._plane.node} from {peer}")
        taken = self._book.apply(path)
        if isinstance(taken, Refusal):
            return taken
        entry = self._table.get(path.flow_id)
        assert entry is not None  # the book takes no path of an unknown flow
        self.logs[path.flow_id].path = path
        self._pass_on(entry.state, path, fresh=True)
        return None

    def _on_check(self, peer: str, check: SyncCheck) -> Refusal | None:
        log = self.logs.get(check.flow_id)
        entry = self._table.get(check.flow_id)
        if log is None or entry is None or log.path is None:
            return Refusal(Reason.UNKNOWN_FLOW, f"check of unknown flow {check.flow_id}")
        if entry.source != peer:
            return Refusal(Reason.WRONG_PEER, f"{entry.source} tells of the flow, not {peer}")
        downstream = self._next_hop(log.path)
        if downstream is not None:
            self._send(downstream, check)
        log.check(check, entry.state, self._allowance(entry.state, log.path))
        self._on_checked()
        return None

    def _allowance(self, state: FlowState, path: PathMetadata) -> int:
        """What may have happened beyond the bound while the news was on its way."""
        hops = path.hops
        names = [hop.node for hop in hops]
        before = hops[1 : names.index(self._plane.node) + 1]
        delay_ns = sum(hop.propagation_ns for hop in before) + self._interval_ns(state)
        limit_Bps = min((hop.rate_bps // 8 for hop in hops[1:] if hop.rate_bps), default=0)
        bound = replica_bound(
            replace(state, error_bound_bytes=0),
            now_ns=state.at_ns,
            delay_ns=delay_ns,
            rate_limit_Bps=max(limit_Bps, state.peak_rate_Bps),
        )
        return bound.error_bytes

    @staticmethod
    def _interval_ns(state: FlowState) -> int:
        """Between two samples the truth may move too; the grid is a hundredth of the silence."""
        return state.max_silence_ns // 100

    def _on_digest(self, peer: str, digest: Digest) -> Refusal | None:
        pull = self._replicas[peer].on_digest(digest)
        if isinstance(pull, Refusal):
            return pull
        if pull is not None:
            self._plane.send(peer, pull)
        return None

    def _on_pull(self, peer: str, pull: Pull) -> Refusal | None:
        refusal = self._senders[peer].on_pull(pull)
        self._repeat_paths(peer)
        self._plane.wake(peer)
        return refusal

    def _repeat_paths(self, peer: str) -> None:
        """A neighbour that lost states has lost their paths too."""
        known = [self._book.get(flow_id) for flow_id in self._senders[peer].states]
        waiting = {id(message) for message in self._urgent[peer]}
        self._urgent[peer] += [p for p in known if p is not None and id(p) not in waiting]

    def _on_peer(self, event: PeerEvent) -> None:
        if event.change is PeerChange.UP and len(self._senders[event.peer]):
            # What waited or was on its way is lost: the digest shows what is missing.
            self._plane.send(event.peer, self._senders[event.peer].digest())


def hop_names(path: PathMetadata) -> Sequence[str]:
    """The nodes of a path, origin first."""
    return tuple(hop.node for hop in path.hops)
