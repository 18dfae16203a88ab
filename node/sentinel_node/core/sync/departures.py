"""Flows that are over although nobody said so: left out by who told of them, or of a past life."""

from __future__ import annotations

from collections.abc import Iterable

from sentinel_node.core.control.messages import (
    BucketSnapshot,
    FlowPhase,
    FlowState,
    Pull,
    Removal,
    bucket_of,
)
from sentinel_node.core.sync.flow_table import FlowTable
from sentinel_node.core.sync.link import Update
from sentinel_node.core.sync.replica import LinkReplica


class Departures:
    """Finds them; only who told of a flow can let go of it."""

    def __init__(self, table: FlowTable) -> None:
        self._table = table
        self._epochs: dict[str, int] = {}
        """The newest that was heard of each origin; as many as the table takes origins."""

    def left_out(self, peer: str, update: Update, replica: LinkReplica) -> list[int]:
        """Flows that `peer` told of, and that its replica lacks after `update`.

        A node leaves finished flows out when it needs room; the last state may never have been
        told.
        """
        if isinstance(update, Removal):
            flow_ids: Iterable[int] = (update.flow_id,)
        elif isinstance(update, BucketSnapshot):
            known = (entry.state.flow_id for entry in self._table)
            flow_ids = (flow_id for flow_id in known if bucket_of(flow_id) == update.bucket)
        else:
            return []
        entries = ((flow_id, self._table.get(flow_id)) for flow_id in flow_ids)
        told = (flow_id for flow_id, entry in entries if entry is not None and entry.source == peer)
        return [flow_id for flow_id in told if replica.sequence(flow_id) is None]

    def unsaid(self, peer: str, replica: LinkReplica) -> list[int]:
        """Flows that `peer`, which has told all that it knows, told of in an earlier life only."""
        ids = (entry.state.flow_id for entry in self._table if entry.source == peer)
        return [flow_id for flow_id in ids if replica.sequence(flow_id) is None]

    def lacking(self, replica: LinkReplica) -> Pull | None:
        """Live flows that its neighbour told when the table was full, to be told again; or None."""
        if not self._table.has_room:
            return None
        live = (s.flow_id for s in replica.states.values() if s.phase is not FlowPhase.FINISHED)
        absent = (flow_id for flow_id in live if self._table.get(flow_id) is None)
        buckets = tuple(sorted({bucket_of(flow_id) for flow_id in absent}))
        return Pull(replica.epoch, buckets) if buckets else None

    def before(self, peer: str, state: FlowState) -> list[int]:
        """Flows that `peer` told of, of lives of the state's origin before this one."""
        origin, epoch = state.origin, state.version.epoch
        if self._epochs.get(origin, 0) >= epoch:
            return []
        self._epochs[origin] = epoch
        told = (entry.state for entry in self._table if entry.source == peer)
        return [s.flow_id for s in told if s.origin == origin and s.version.epoch < epoch]
