"""The receiving end of `link`: what a neighbour said, newest only, and whether any is missing."""

from __future__ import annotations

from sentinel_node.core.control.messages import (
    BUCKETS,
    BucketSnapshot,
    Correction,
    Digest,
    FlowState,
    Forecast,
    MessageError,
    Pull,
    Removal,
    Version,
    bucket_of,
)
from sentinel_node.core.control.refusals import Reason, Refusal, RefusalCounter
from sentinel_node.core.sync.link import Stamps, Update, corrected


class LinkReplica:
    """The flows of one neighbour as this side knows them; at most `flows_max`."""

    def __init__(self, flows_max: int) -> None:
        if flows_max < 1:
            raise ValueError(f"flows_max must be positive, got {flows_max}")
        self._flows_max = flows_max
        self._digest_sequence = 0
        self._reset(0)
        self.refused = RefusalCounter()
        self.resyncs = 0

    @property
    def epoch(self) -> int:
        """The neighbour's incarnation that this is a replica of; 0: none yet."""
        return self._epoch

    @property
    def states(self) -> dict[int, FlowState]:
        """A copy of all flows."""
        return dict(self._states)

    @property
    def synchronised(self) -> bool:
        """The last digest agreed, and was of the present epoch."""
        return self._agreed

    def sequence(self, flow_id: int) -> int | None:
        """The sequence of the flow's value; None if it is not known."""
        return self._stamps.get(flow_id)

    def on_update(self, update: Update) -> tuple[FlowState, ...] | Refusal:
        """Take an update: the states that are new. A refusal changes only its counter."""
        refusal = self._judge(update)
        if refusal is not None:
            return self.refused.note(refusal)
        if update.stamp.epoch > self._epoch:
            self._reset(update.stamp.epoch)
        if isinstance(update, Removal):
            self._forget(update.flow_id, update.stamp.sequence)
            return ()
        if isinstance(update, BucketSnapshot):
            return self._replace(update)
        state = update.state if isinstance(update, Forecast) else self._with(update)
        self._set(state, update.stamp.sequence)
        return (state,)

    def on_digest(self, digest: Digest) -> Pull | Refusal | None:
        """Compare: the pull that repairs the difference; None if there is none."""
        if digest.stamp.epoch < self._epoch:
            return self.refused.note(_stale(digest.stamp, self._epoch))
        if digest.stamp.epoch == self._epoch and digest.stamp.sequence < self._digest_sequence:
            return self.refused.note(Refusal(Reason.OUTDATED, "a newer digest came before"))
        if digest.stamp.epoch > self._epoch:
            self._reset(digest.stamp.epoch)
        self._digest_sequence = digest.stamp.sequence
        pairs = zip(self._stamps.hashes(), digest.buckets, strict=True)
        differing = tuple(number for number, (own, theirs) in enumerate(pairs) if own != theirs)
        self._agreed = not differing
        if not differing:
            return None
        self.resyncs += 1
        return Pull(self._epoch, differing)

    def _reset(self, epoch: int) -> None:
        self._epoch = epoch
        self._states: dict[int, FlowState] = {}
        self._stamps = Stamps()
        self._floors = [0] * BUCKETS
        self._digest_sequence = 0
        self._agreed = False

    def _judge(self, update: Update) -> Refusal | None:
        stamp = update.stamp
        if stamp.epoch < self._epoch:
            return _stale(stamp, self._epoch)
        fresh = stamp.epoch > self._epoch
        if isinstance(update, BucketSnapshot):
            return self._judge_snapshot(update, fresh=fresh)
        flow_id = update.state.flow_id if isinstance(update, Forecast) else update.flow_id
        known = None if fresh else self._stamps.get(flow_id)
        newest = 0 if fresh else max(self._floors[bucket_of(flow_id)], known or 0)
        if stamp.sequence <= newest:
            return Refusal(
                Reason.OUTDATED, f"flow {flow_id}: sequence {stamp.sequence} after {newest}"
            )
        if isinstance(update, Correction):
            return self._judge_correction(update, fresh=fresh)
        if isinstance(update, Forecast) and known is None and self._is_full(fresh=fresh, more=1):
            return Refusal(Reason.TABLE_FULL, f"flow {flow_id}: {self._flows_max} flows are known")
        return None

    def _judge_correction(self, update: Correction, *, fresh: bool) -> Refusal | None:
        state = None if fresh else self._states.get(update.flow_id)
        if state is None:
            return Refusal(Reason.UNKNOWN_FLOW, f"correction of unknown flow {update.flow_id}")
        try:
            corrected(state, update)
        except MessageError as error:
            return Refusal(Reason.BAD_VALUE, str(error))
        return None

    def _judge_snapshot(self, update: BucketSnapshot, *, fresh: bool) -> Refusal | None:
        floor = 0 if fresh else self._floors[update.bucket]
        if update.stamp.sequence <= floor:
            return Refusal(
                Reason.OUTDATED,
                f"bucket {update.bucket}: sequence {update.stamp.sequence} after {floor}",
            )
        more = sum(fresh or state.flow_id not in self._states for state in update.states)
        if self._is_full(fresh=fresh, more=more):
            return Refusal(
                Reason.TABLE_FULL, f"bucket {update.bucket} would exceed {self._flows_max} flows"
            )
        return None

    def _is_full(self, *, fresh: bool, more: int) -> bool:
        return (0 if fresh else len(self._states)) + more > self._flows_max

    def _with(self, update: Correction) -> FlowState:
        return corrected(self._states[update.flow_id], update)

    def _set(self, state: FlowState, sequence: int) -> None:
        self._states[state.flow_id] = state
        self._stamps.set(state.flow_id, sequence)

    def _forget(self, flow_id: int, sequence: int) -> None:
        self._states.pop(flow_id, None)
        self._stamps.drop(flow_id)
        bucket = bucket_of(flow_id)
        self._floors[bucket] = max(self._floors[bucket], sequence)

    def _replace(self, update: BucketSnapshot) -> tuple[FlowState, ...]:
        listed = {state.flow_id for state in update.states}
        for flow_id in self._stamps.bucket(update.bucket):
            if flow_id not in listed and (self._stamps.get(flow_id) or 0) < update.stamp.sequence:
                self._states.pop(flow_id, None)
                self._stamps.drop(flow_id)
        taken = []
        for state in update.states:
            if (self._stamps.get(state.flow_id) or 0) < update.stamp.sequence:
                self._set(state, update.stamp.sequence)
                taken.append(state)
        self._floors[update.bucket] = update.stamp.sequence
        return tuple(taken)


def _stale(stamp: Version, epoch: int) -> Refusal:
    return Refusal(Reason.STALE_EPOCH, f"epoch {stamp.epoch} after {epoch}")
