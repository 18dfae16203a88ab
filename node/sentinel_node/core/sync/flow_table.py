"""What this node knows of every flow: the latest value wins, nothing ever goes back.

A flow's values are ordered by the version its origin gave them (epoch, then sequence), so it
does not matter over which neighbour a value came, how late, or how often. Within an epoch of
the origin the phase only goes forward: announced, predicted, active, finished.

Memory is bounded. When the table is full, the flow that finished longest ago is forgotten (or was
let go of by who told of it); if there is none, the new flow is refused. So that a late duplicate
cannot bring back a forgotten flow, each origin has a floor: the newest version that was forgotten.
A flow that is unknown and not newer than it is refused as forgotten. The origin's next refresh of
a live flow has a new version and passes; that costs at most its max_silence_ns. Floors are bounded
too: with more than `origins_max` of them, flows of further origins are refused.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from sentinel_node.core.control.messages import FlowPhase, FlowState, Version
from sentinel_node.core.control.refusals import Reason, Refusal, RefusalCounter


@dataclass(frozen=True, slots=True)
class Entry:
    """A flow, the neighbour that told of it ("" for this node itself), and when."""

    state: FlowState
    source: str
    received_ns: int


class FlowTable:
    """Flows by id; at most `flows_max` of at most `origins_max` origins."""

    def __init__(self, flows_max: int, origins_max: int = 256) -> None:
        if flows_max < 1 or origins_max < 1:
            raise ValueError(
                f"flows_max and origins_max must be positive, got {flows_max}, {origins_max}"
            )
        self._flows_max = flows_max
        self._origins_max = origins_max
        self._entries: dict[int, Entry] = {}
        self._finished: OrderedDict[int, None] = OrderedDict()
        self._floors: dict[str, Version] = {}
        self._origin_flows: dict[str, int] = {}
        self.refused = RefusalCounter()
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries.values()))

    @property
    def has_room(self) -> bool:
        """A new flow would be taken."""
        return len(self._entries) < self._flows_max or bool(self._finished)

    def get(self, flow_id: int) -> Entry | None:
        """The flow's newest value; None if this node knows nothing of it."""
        return self._entries.get(flow_id)

    def floor(self, origin: str) -> Version | None:
        """The newest version of `origin` that was forgotten."""
        return self._floors.get(origin)

    def apply(self, state: FlowState, *, source: str, now_ns: int) -> Entry | Refusal:
        """Take a value that `source` told; a refusal changes nothing but its counter."""
        refusal = self._judge(state)
        if refusal is not None:
            return self.refused.note(refusal)
        if state.flow_id not in self._entries:
            if len(self._entries) >= self._flows_max:
                self._forget(next(iter(self._finished)))
            self._origin_flows[state.origin] = self._origin_flows.get(state.origin, 0) + 1
        entry = Entry(state, source, now_ns)
        self._entries[state.flow_id] = entry
        if state.phase is FlowPhase.FINISHED:
            self._finished.setdefault(state.flow_id)
        else:
            self._finished.pop(state.flow_id, None)
        return entry

    def retire(self, flow_id: int) -> None:
        """Who told of the flow has let go of it: it makes room if need be, as if finished."""
        if flow_id in self._entries:
            self._finished.setdefault(flow_id)

    def _judge(self, state: FlowState) -> Refusal | None:
        known = self._entries.get(state.flow_id)
        if known is not None:
            return _judge_update(known.state, state)
        floor = self._floors.get(state.origin)
        if floor is not None and state.version <= floor:
            return Refusal(
                Reason.FORGOTTEN,
                f"flow {state.flow_id}: version {state.version} of {state.origin} is not newer "
                f"than {floor}, which was forgotten",
            )
        if not self.has_room:
            return Refusal(Reason.TABLE_FULL, f"{self._flows_max} flows, none of them finished")
        origins = self._origin_flows.keys() | self._floors.keys()
        if state.origin not in origins and len(origins) >= self._origins_max:
            return Refusal(Reason.TABLE_FULL, f"flows of {self._origins_max} origins already")
        return None

    def _forget(self, flow_id: int) -> None:
        state = self._entries.pop(flow_id).state
        self._finished.pop(flow_id, None)
        floor = self._floors.get(state.origin)
        self._floors[state.origin] = state.version if floor is None else max(floor, state.version)
        left = self._origin_flows[state.origin] - 1
        if left:
            self._origin_flows[state.origin] = left
        else:
            del self._origin_flows[state.origin]
        self.forgotten += 1


def _judge_update(known: FlowState, new: FlowState) -> Refusal | None:
    if new.origin != known.origin:
        return Refusal(
            Reason.WRONG_PEER,
            f"flow {new.flow_id} is {known.origin}'s; {new.origin} may not change it",
        )
    if new.version.epoch < known.version.epoch:
        return Refusal(
            Reason.STALE_EPOCH,
            f"flow {new.flow_id}: epoch {new.version.epoch} after {known.version.epoch}",
        )
    if new.version <= known.version:
        return Refusal(
            Reason.OUTDATED, f"flow {new.flow_id}: {new.version} is not newer than {known.version}"
        )
    if new.version.epoch == known.version.epoch and new.phase < known.phase:
        return Refusal(
            Reason.PHASE_REGRESSED,
            f"flow {new.flow_id} is {known.phase.name.lower()}, cannot be {new.phase.name.lower()}",
        )
    return None
