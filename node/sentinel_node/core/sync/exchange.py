"""Flow sync of one node: own flows are announced and corrected, others' are believed, passed on.

What a neighbour said is handed downstream, along the path that the flow's origin gave. The driver
(the daemon, or the simulator in virtual time) carries the messages, and calls `sample_due` and
`send_digests` when its clock says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sentinel_node.core.control.codec import Message
from sentinel_node.core.control.messages import (
    RATE_MAX_BPS,
    BucketSnapshot,
    Correction,
    Digest,
    FlowPhase,
    FlowState,
    Forecast,
    PathMetadata,
    Pull,
    RateAdvice,
    Removal,
    SyncCheck,
    Version,
    WindowOffer,
)
from sentinel_node.core.control.refusals import Reason, Refusal
from sentinel_node.core.sync.advice import Adviser
from sentinel_node.core.sync.announcement import Announced
from sentinel_node.core.sync.checkpoints import START, Checkpoint, Checkpoints
from sentinel_node.core.sync.departures import Departures
from sentinel_node.core.sync.flow_log import Delivered, FlowLog
from sentinel_node.core.sync.flow_table import FlowTable
from sentinel_node.core.sync.forecaster import Forecaster
from sentinel_node.core.sync.link import Update
from sentinel_node.core.sync.offers import WindowOffers
from sentinel_node.core.sync.paths import PathBook, hop_names, next_hop
from sentinel_node.core.sync.replica import LinkReplica
from sentinel_node.core.sync.shares import LinkShares, is_material
from sentinel_node.core.sync.slopes import Slope
from sentinel_node.core.sync.telling import Neighbourhood, Telling
from sentinel_node.core.sync.validation import news_allowance

CHECK_INTERVAL_NS = 1_000_000_000
LOGS_MAX = 8192

FlowHook = Callable[[FlowState, PathMetadata], None]
"""A flow along a path was announced, predicted or changed; must not block."""

Route = Callable[[str, Any, int], Refusal | None]
"""(peer, message, now_ns) -> None if it was taken, or why not."""

SlopeMaker = Callable[[int, int], Slope]
"""(interval_ns, bound_bytes) -> how the rate of a new flow is predicted."""

CheckpointOf = Callable[[int], Checkpoint]
"""(total_bytes) -> the newest checkpoint of an own flow within what has left this node."""


def no_checkpoint(total_bytes: int) -> Checkpoint:
    """Of a flow that is not hashed, or of which only counts are known: before its first byte."""
    del total_bytes
    return START


@dataclass(slots=True)
class _Own:
    flow: Announced
    forecaster: Forecaster
    total: Callable[[], int]
    on_predicted: Callable[[FlowState], None]
    downstream: str
    interval_ns: int
    next_ns: int
    next_check_ns: int
    checkpoint: CheckpointOf


class FlowExchange:
    """Flow state at one node. Not thread-safe. All times are those of the driver's clock."""

    def __init__(
        self,
        around: Neighbourhood,
        flows_max: int,
        make_slope: SlopeMaker,
        on_checked: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_checked` is called when a flow's end was checked."""
        self._on_checked = on_checked
        self._around = around
        self._make_slope = make_slope
        self._table = FlowTable(flows_max)
        self._departures = Departures(self._table)
        self._book = PathBook(self._table)
        self._replicas = {peer: LinkReplica(flows_max) for peer in around.peers}
        self._own: dict[int, _Own] = {}
        self._shares = LinkShares()
        self._adviser = Adviser(around.epoch)
        self.telling = Telling(around, self._book, self._adviser, flows_max)
        self.offers = WindowOffers(around.node, self._table, self._book, around.send)
        self._sequence = 0
        self._hooks: list[FlowHook] = []
        self._foreseen: dict[int, int] = {}  # by flow, the rate that hooks were told last
        self.logs: dict[int, FlowLog] = {}
        self.routes: Mapping[type[Message], Route] = {
            Forecast: self._on_update,
            Correction: self._on_update,
            Removal: self._on_update,
            BucketSnapshot: self._on_update,
            Digest: self._on_digest,
            Pull: lambda peer, pull, _: self.telling.on_pull(peer, pull),
            PathMetadata: self._on_path,
            SyncCheck: self._on_check,
            RateAdvice: self._on_advice,
            WindowOffer: self.offers.on_offer,
        }

    def on_flow(self, hook: FlowHook) -> Callable[[], None]:
        """Have `hook` told of flows that come this way; gives what ends it."""
        self._hooks.append(hook)
        return lambda: self._hooks.remove(hook)

    def version(self) -> Version:
        """The next version of this origin."""
        self._sequence += 1
        return Version(self._around.epoch, self._sequence)

    def announce(
        self,
        flow: Announced,
        total: Callable[[], int],
        on_predicted: Callable[[FlowState], None] = lambda state: None,
        *,
        now_ns: int,
        checkpoint: CheckpointOf = no_checkpoint,
    ) -> FlowState | Refusal:
        """Tell downstream of a flow of this node; from now on `total()` is sampled.

        Gives what was told. `on_predicted` is called when another rate is predicted later,
        `checkpoint` for what the receiver is to check.
        """
        if isinstance(refusal := self._table.apply(flow.state, source="", now_ns=now_ns), Refusal):
            return refusal
        self._shares.begin(flow.path)
        rate_Bps = self._shares.rate_Bps(flow.state.flow_id, _asked_Bps(flow.state))
        bound = _bound(flow.state, rate_Bps)
        state = replace(
            flow.state, rate_Bps=rate_Bps, peak_rate_Bps=rate_Bps, error_bound_bytes=bound
        )
        self._book.apply(flow.path)
        self._seen(state, now_ns).path = flow.path
        slope = self._make_slope(flow.interval_ns, bound)
        self._own[state.flow_id] = _Own(
            flow,
            Forecaster(state, slope, interval_ns=flow.interval_ns),
            total,
            on_predicted,
            flow.path.hops[1].node,
            flow.interval_ns,
            now_ns + flow.interval_ns,
            now_ns + CHECK_INTERVAL_NS,
            checkpoint,
        )
        self.telling.state(flow.path.hops[1].node, state, flow.path)
        self._review(now_ns)
        for hook in tuple(self._hooks):
            hook(state, flow.path)
        return state

    def finish(self, flow_id: int, total_bytes: int, sha256: bytes, *, now_ns: int) -> None:
        """An own flow has ended: its last state is exact, and is checked at the other end."""
        own = self._own.pop(flow_id, None)
        if own is None:
            return
        state = own.forecaster.finish(total_bytes, version=self.version(), now_ns=now_ns)
        self._publish(own, state, now_ns)
        check = SyncCheck(
            flow_id, self._around.epoch, now_ns, total_bytes, total_bytes, sha256, final=True
        )
        self.telling.check(own.downstream, check)
        self.offers.end(flow_id)
        self._shares.end(flow_id)
        self._review(now_ns)

    def hashing(self, flow_id: int, own: Checkpoints) -> None:
        """The data of a flow comes to this receiver, which keeps its running hashes in `own`."""
        log = self.logs.get(flow_id)
        if log is not None:
            log.own = own

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

    @property
    def next_sample_ns(self) -> int | None:
        """When to call `sample_due` next; None while there is no own flow."""
        return min((own.next_ns for own in self._own.values()), default=None)

    def sample_due(self, now_ns: int) -> None:
        """Sample the own flows that are due, and say what must be said."""
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
                mark = own.checkpoint(total)
                check = SyncCheck(flow_id, self._around.epoch, now_ns, total, *mark, final=False)
                self.telling.check(own.downstream, check)

    def _publish(self, own: _Own, state: FlowState, now_ns: int) -> None:
        self._table.apply(state, source="", now_ns=now_ns)
        self._seen(state, now_ns)
        self.telling.state(own.downstream, state, None)

    def _review(self, now_ns: int) -> None:
        """Live flows have changed: predict own ones anew, say upstream what others can have."""
        for flow_id in self._shares:
            own = self._own.get(flow_id)
            if own is not None:
                self._predict(own, now_ns)
                continue
            entry, path = self._table.get(flow_id), self._book.get(flow_id)
            if entry is None:
                continue
            asked_Bps = _asked_Bps(entry.state)
            # Its prediction may have come before the end of the flow that it had to share with.
            known_Bps = self._foreseen.get(flow_id, 0)
            if path is not None and 0 < known_Bps < self._shares.rate_Bps(flow_id, asked_Bps):
                self._foresee(entry.state, path, fresh=False)
            rate_Bps = self._shares.rate_Bps(flow_id, RATE_MAX_BPS)
            peer = self._adviser.offer(flow_id, rate_Bps, asked_Bps)
            if peer is not None:
                self.telling.advice(peer)

    def _predict(self, own: _Own, now_ns: int) -> None:
        asked, known = own.flow.state, own.forecaster.state
        rate_Bps = self._shares.rate_Bps(asked.flow_id, _asked_Bps(asked))
        if is_material(known.peak_rate_Bps, rate_Bps):
            state = own.forecaster.predicted(
                peak_rate_Bps=rate_Bps,
                error_bound_bytes=_bound(asked, rate_Bps),
                version=self.version(),
                now_ns=now_ns,
            )
            self._publish(own, state, now_ns)
            own.on_predicted(state)

    def _log(self, state: FlowState, now_ns: int) -> FlowLog:
        """The flow's log, begun anew if it was dropped for those of later flows."""
        log = self.logs.get(state.flow_id)
        if log is None:
            while len(self.logs) >= LOGS_MAX:
                del self.logs[next(iter(self.logs))]
            log = self.logs[state.flow_id] = FlowLog(now_ns)
        return log

    def _seen(self, state: FlowState, now_ns: int) -> FlowLog:
        log = self._log(state, now_ns)
        log.seen(state, now_ns)
        return log

    def _on_update(self, peer: str, update: Update, now_ns: int) -> Refusal | None:
        states = self._replicas[peer].on_update(update)
        if isinstance(states, Refusal):
            return states
        self._retire(self._departures.left_out(peer, update, self._replicas[peer]), now_ns)
        for state in states:
            if state.origin == self._around.node:
                continue  # of its own flows this node knows better
            self._retire(self._departures.before(peer, state), now_ns)
            known = self._table.get(state.flow_id)
            if isinstance(self._table.apply(state, source=peer, now_ns=now_ns), Refusal):
                continue  # counted there: another neighbour told the same, or newer
            self._seen(state, now_ns)
            path = self._book.get(state.flow_id)
            if path is not None:
                before_Bps = known.state.peak_rate_Bps if known is not None else 0
                self._pass_on(state, path, predicted=before_Bps != state.peak_rate_Bps)
            if state.phase is FlowPhase.FINISHED:
                self._end(state.flow_id, now_ns)
        return None

    def _retire(self, flow_ids: Iterable[int], now_ns: int) -> None:
        for flow_id in flow_ids:
            self._table.retire(flow_id)
            self.telling.retire(flow_id)
            self._end(flow_id, now_ns)

    def _end(self, flow_id: int, now_ns: int) -> None:
        self.offers.end(flow_id)
        self._foreseen.pop(flow_id, None)
        if flow_id in self._shares:
            self._shares.end(flow_id)
            self._adviser.end(flow_id)
            self._review(now_ns)

    def _pass_on(
        self, state: FlowState, path: PathMetadata, *, predicted: bool, fresh: bool = False
    ) -> None:
        downstream = next_hop(path, self._around.node)
        if downstream is not None:
            self.telling.state(downstream, state, path if fresh else None)
        if predicted and state.phase is not FlowPhase.FINISHED:
            self._foresee(state, path, fresh=fresh)

    def _foresee(self, state: FlowState, path: PathMetadata, *, fresh: bool) -> None:
        """Tell the hooks what the flow gets here, if it is something else than they know."""
        limited = self._shares.rate_Bps(state.flow_id, _asked_Bps(state))
        if fresh or self._foreseen.get(state.flow_id) != limited:
            self._foreseen[state.flow_id] = limited
            for hook in tuple(self._hooks):
                hook(replace(state, peak_rate_Bps=limited), path)

    def _on_path(self, peer: str, path: PathMetadata, now_ns: int) -> Refusal | None:
        if self._around.node not in hop_names(path):
            return Refusal(Reason.WRONG_PEER, f"a path without {self._around.node} from {peer}")
        entry = self._table.get(path.flow_id)
        if entry is not None and entry.source != peer:
            teller = entry.source or self._around.node
            return Refusal(Reason.WRONG_PEER, f"{teller} tells of the flow, not {peer}")
        taken = self._book.apply(path)
        if isinstance(taken, Refusal):
            return taken
        assert entry is not None  # the book takes no path of an unknown flow
        self._log(entry.state, now_ns).path = path
        if entry.state.phase is not FlowPhase.FINISHED:
            self._shares.begin(path)
            self._adviser.begin(path.flow_id, peer)
        self._pass_on(entry.state, path, predicted=True, fresh=True)
        self._review(now_ns)
        return None

    def _on_advice(self, peer: str, advice: RateAdvice, now_ns: int) -> Refusal | None:
        path = self._book.get(advice.flow_id)
        if path is None or advice.flow_id not in self._shares:
            return Refusal(Reason.UNKNOWN_FLOW, f"advice on flow {advice.flow_id}, not live here")
        if peer != next_hop(path, self._around.node):
            return Refusal(Reason.WRONG_PEER, f"advice from {peer}, not the flow's next node")
        if not self._shares.on_advice(advice.flow_id, advice.stamp, advice.rate_Bps):
            return Refusal(Reason.OUTDATED, f"advice {advice.stamp} on flow {advice.flow_id}")
        self._review(now_ns)
        return None

    def _on_check(self, peer: str, check: SyncCheck, now_ns: int) -> Refusal | None:
        log = self.logs.get(check.flow_id)
        entry = self._table.get(check.flow_id)
        if log is None or entry is None or log.path is None:
            return Refusal(Reason.UNKNOWN_FLOW, f"check of unknown flow {check.flow_id}")
        if entry.source != peer:
            return Refusal(Reason.WRONG_PEER, f"{entry.source} tells of the flow, not {peer}")
        downstream = next_hop(log.path, self._around.node)
        if downstream is not None:
            self.telling.check(downstream, check)
        # One that was overtaken by the flow's end speaks of an older state than is known here.
        if check.final or entry.state.phase is not FlowPhase.FINISHED:
            allowance = news_allowance(entry.state, log.path, self._around.node)
            log.check(check, entry.state, allowance)
        self._on_checked()
        return None

    def _on_digest(self, peer: str, digest: Digest, now_ns: int) -> Refusal | None:
        replica = self._replicas[peer]
        pull = replica.on_digest(digest)
        if isinstance(pull, Refusal):
            return pull
        if pull is None:
            self._retire(self._departures.unsaid(peer, replica), now_ns)
            pull = self._departures.lacking(replica)
        if pull is not None:
            self._around.send(peer, pull)
        return None


def _asked_Bps(state: FlowState) -> int:
    return state.peak_rate_Bps or state.rate_Bps


def _bound(asked: FlowState, rate_Bps: int) -> int:
    """The error bound of a flow that gets `rate_Bps`: equal in time to the one asked for."""
    return -(-asked.error_bound_bytes * rate_Bps // max(1, _asked_Bps(asked)))
