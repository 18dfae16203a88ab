"""One direction of synchronisation between two neighbours: latest value wins, never a backlog.

`LinkSender` holds the newest value of each flow and which of them the neighbour has not been
told. Whenever the stream can take more, the driver takes messages; a value that changed ten
times since is sent once. Each message has the sender's epoch and the next sequence. A periodic
digest has one hash per bucket of flows over what the neighbour should have. A replica whose own
hashes differ pulls those buckets, and gets them whole, with a new sequence: what is repaired is
the present, old values are never sent again (conntrackd's FT-FW mode; Demers et al. 1987).

`LinkReplica` takes a message only if it is newer than what it has: it may be lost, repeated or
overtaken on the way. Sequences of removed flows leave a floor per bucket behind, so that a late
value cannot bring one back, in bounded memory. A new epoch of the sender empties the replica:
the same incarnation never goes back, and of a dead one nothing is believed here. (The node's
FlowTable, which orders by the origin's version, keeps its values until newer ones come.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import TypeAlias

from sentinel_node.core.control.messages import (
    BUCKET_FLOWS_MAX,
    BUCKETS,
    BucketSnapshot,
    Correction,
    Digest,
    FlowState,
    Forecast,
    Pull,
    Removal,
    Version,
    bucket_of,
)
from sentinel_node.core.control.refusals import Reason, Refusal, RefusalCounter

Update: TypeAlias = Forecast | Correction | Removal | BucketSnapshot


def bucket_hash(stamps: Iterable[tuple[int, int]]) -> int:
    """64 bits over the (flow, sequence) pairs of one bucket; 0 for an empty one."""
    body = b"".join(
        flow_id.to_bytes(8, "big") + sequence.to_bytes(8, "big")
        for flow_id, sequence in sorted(stamps)
    )
    return int.from_bytes(hashlib.sha256(body).digest()[:8], "big") if body else 0


class Stamps:
    """Sequences by flow, and their hash per bucket, computed when asked after a change."""

    def __init__(self) -> None:
        self._buckets: list[dict[int, int]] = [{} for _ in range(BUCKETS)]
        self._hashes: list[int | None] = [0] * BUCKETS

    def set(self, flow_id: int, sequence: int) -> None:
        bucket = bucket_of(flow_id)
        self._buckets[bucket][flow_id] = sequence
        self._hashes[bucket] = None

    def drop(self, flow_id: int) -> None:
        bucket = bucket_of(flow_id)
        if self._buckets[bucket].pop(flow_id, None) is not None:
            self._hashes[bucket] = None

    def get(self, flow_id: int) -> int | None:
        return self._buckets[bucket_of(flow_id)].get(flow_id)

    def bucket(self, number: int) -> tuple[int, ...]:
        return tuple(self._buckets[number])

    def hashes(self) -> tuple[int, ...]:
        for number, value in enumerate(self._hashes):
            if value is None:
                self._hashes[number] = bucket_hash(self._buckets[number].items())
        return tuple(value or 0 for value in self._hashes)


class LinkSender:
    """What one neighbour should know, and has not been told yet."""

    def __init__(self, epoch: int, flows_max: int) -> None:
        if not 1 <= flows_max <= BUCKET_FLOWS_MAX:
            # All flows may fall into one bucket, and its snapshot is one message.
            raise ValueError(
                f"flows_max must lie between 1 and {BUCKET_FLOWS_MAX}, got {flows_max}"
            )
        self.epoch = epoch
        self._flows_max = flows_max
        self._sequence = 0
        self._states: dict[int, FlowState] = {}
        self._told: dict[int, FlowState] = {}
        self._unsure: set[int] = set()
        self._stamps = Stamps()
        self._changed: dict[int, None] = {}
        self._gone: dict[int, None] = {}
        self._pulled: dict[int, None] = {}
        self.refused = RefusalCounter()

    def __len__(self) -> int:
        return len(self._states)

    def __contains__(self, flow_id: int) -> bool:
        return flow_id in self._states

    @property
    def pending(self) -> int:
        """Messages that `take` would give now; never more than flows, removals and buckets."""
        return len(self._changed) + len(self._gone) + len(self._pulled)

    @property
    def states(self) -> dict[int, FlowState]:
        """A copy of what the neighbour should know."""
        return dict(self._states)

    def put(self, state: FlowState) -> Refusal | None:
        """The newest value of a flow; replaces one that was not sent yet."""
        if state.flow_id not in self._states and len(self._states) >= self._flows_max:
            return self.refused.note(
                Refusal(Reason.TABLE_FULL, f"the neighbour holds {self._flows_max} flows at most")
            )
        self._states[state.flow_id] = state
        self._gone.pop(state.flow_id, None)
        self._changed[state.flow_id] = None
        return None

    def on_up(self) -> None:
        """The stream stands anew, and what was on its way is lost.

        No correction may build on that: the next value of each flow is told whole.
        """
        self._unsure = set(self._told)

    def remove(self, flow_id: int) -> None:
        """The neighbour shall forget the flow; unknown ones are ignored."""
        self._unsure.discard(flow_id)
        if self._states.pop(flow_id, None) is None:
            return
        self._changed.pop(flow_id, None)
        if self._stamps.get(flow_id) is None:
            return  # it was never told
        self._stamps.drop(flow_id)
        self._told.pop(flow_id, None)
        if len(self._gone) < self._flows_max:
            self._gone[flow_id] = None
        else:
            self._pulled[bucket_of(flow_id)] = None

    def take(self, limit: int) -> list[Update]:
        """At most `limit` messages to send now, in order."""
        taken: list[Update] = []
        while self._pulled and len(taken) < limit:
            taken.append(self._snapshot(self._pop(self._pulled)))
        while self._gone and len(taken) < limit:
            taken.append(Removal(self._stamp(), self._pop(self._gone)))
        while self._changed and len(taken) < limit:
            taken.append(self._value(self._pop(self._changed)))
        return taken

    def digest(self) -> Digest:
        """What the neighbour should have if all that was taken has arrived."""
        stamp = Version(self.epoch, self._sequence)
        hashes = self._stamps.hashes()
        return Digest(stamp, len(self._told), hashes)

    def on_pull(self, pull: Pull) -> Refusal | None:
        """The neighbour's buckets differ: they will be sent whole."""
        if pull.epoch != self.epoch:
            return self.refused.note(
                Refusal(Reason.STALE_EPOCH, f"pull of epoch {pull.epoch}, this is {self.epoch}")
            )
        for bucket in pull.buckets:
            self._pulled[bucket] = None
        return None

    @staticmethod
    def _pop(waiting: dict[int, None]) -> int:
        first = next(iter(waiting))
        del waiting[first]
        return first

    def _stamp(self) -> Version:
        self._sequence += 1
        return Version(self.epoch, self._sequence)

    def _value(self, flow_id: int) -> Forecast | Correction:
        stamp, state = self._stamp(), self._states[flow_id]
        told = self._told.get(flow_id)
        self._told[flow_id] = state
        self._stamps.set(flow_id, stamp.sequence)
        sure = flow_id not in self._unsure
        self._unsure.discard(flow_id)
        if sure and told is not None and _rest(told) == _rest(state):
            return Correction(
                stamp, flow_id, state.version, state.at_ns, state.total_bytes, state.rate_Bps
            )
        return Forecast(stamp, state)

    def _snapshot(self, bucket: int) -> BucketSnapshot:
        stamp = self._stamp()
        members = [flow_id for flow_id in self._states if bucket_of(flow_id) == bucket]
        for flow_id in members:
            self._told[flow_id] = self._states[flow_id]
            self._stamps.set(flow_id, stamp.sequence)
            self._changed.pop(flow_id, None)
            self._unsure.discard(flow_id)
        for flow_id in [gone for gone in self._gone if bucket_of(gone) == bucket]:
            del self._gone[flow_id]
        return BucketSnapshot(stamp, bucket, tuple(self._states[flow_id] for flow_id in members))


_CHANGING = ("version", "at_ns", "total_bytes", "rate_Bps")
_REST = tuple(field.name for field in fields(FlowState) if field.name not in _CHANGING)


def _rest(state: FlowState) -> tuple[object, ...]:
    """What a correction leaves as it was."""
    return tuple(getattr(state, name) for name in _REST)


def corrected(state: FlowState, change: Correction) -> FlowState:
    """The state after a correction. Raises MessageError if it contradicts the rest."""
    return replace(
        state,
        version=change.version,
        at_ns=change.at_ns,
        total_bytes=change.total_bytes,
        rate_Bps=change.rate_Bps,
    )
