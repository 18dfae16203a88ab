"""A custodian's ledger: bytes it answers for until the receiver has them; bounded.

What it takes it keeps until delivered (or, opted in, until the next custodian has it durably).
It never takes what it has no room for: the rest is refused with a reason, and TCP's own window
closes behind it. Bytes that it has already are recognised by their offset and not kept twice.

After its own death a custodian in memory has nothing, one with a disk what was synced. Either
way it first asks downstream where the flow goes on, and only then answers upstream. The next
custodian may have more than this one; that frees nothing here, or its death would lose what
nobody else has. So this node takes up custody at what is *delivered* for certain (the receiver's
last checkpoint), asks upstream for all from there on, and forwards only what downstream lacks.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

from sentinel_node.core.control.custody_messages import (
    CustodyAck,
    CustodyReason,
    CustodyRefusal,
    DeliveredAck,
    ResumePoint,
)
from sentinel_node.core.control.refusals import Reason, Refusal, RefusalCounter
from sentinel_node.core.custody.effects import (
    CannotResume,
    Completed,
    Effect,
    Free,
    Release,
    ResumeFrom,
)
from sentinel_node.core.custody.running_hash import BLOCK_BYTES, START

FINISHED_KEPT = 1024


@dataclass(slots=True)
class _Held:
    """One flow: [base, end) is held, [base, durable) of it on disk.

    Downstream has [0, sent): it may be beyond `end`, if this node was started anew.
    """

    epoch: int
    base: int
    end: int
    durable: int
    sent: int
    delivered: int
    checkpoint_offset: int = 0
    checkpoint_digest: bytes = START


@dataclass(frozen=True, slots=True)
class Taken:
    """Bytes [start, end) were taken into custody; `duplicate_bytes` before them were known."""

    start: int
    end: int
    duplicate_bytes: int


class CustodyStore:
    """All flows in custody at one node: at most `capacity_bytes` in at most `flows_max`."""

    def __init__(
        self,
        node: str,
        *,
        capacity_bytes: int,
        flows_max: int,
        downstream: str,
        release: Release = Release.DELIVERED,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        if flows_max < 1 or capacity_bytes < flows_max * block_bytes:
            # Freed is what a hash covers, so every flow may hold on to less than a block of it.
            raise ValueError(
                f"{flows_max} flows need at least {flows_max * block_bytes} bytes, one hash block "
                f"of {block_bytes} each, got {capacity_bytes}"
            )
        self.node = node
        self.downstream = downstream
        self._capacity = capacity_bytes
        self._flows_max = flows_max
        self._release = release
        self._flows: dict[int, _Held] = {}
        self._finished: OrderedDict[int, DeliveredAck] = OrderedDict()
        self._held = 0
        self.held_bytes_max = 0
        self.refused = RefusalCounter()
        self.refusals: dict[CustodyReason, int] = {}

    @property
    def held_bytes(self) -> int:
        """In custody now."""
        return self._held

    @property
    def room_bytes(self) -> int:
        """How much more would be taken."""
        return self._capacity - self._held

    @property
    def flows(self) -> tuple[int, ...]:
        """Ids of the flows in custody."""
        return tuple(self._flows)

    def holds(self, flow_id: int) -> bool:
        """Whether the flow is in custody."""
        return flow_id in self._flows

    def span(self, flow_id: int) -> tuple[int, int]:
        """[base, end) of what is held of the flow. Raises KeyError if it is not open."""
        held = self._flows[flow_id]
        return held.base, held.end

    def open(
        self, flow_id: int, point: ResumePoint, *, kept: tuple[int, int] | None = None
    ) -> tuple[Effect, ...] | CustodyRefusal:
        """Begin or resume a flow, from where downstream wants it.

        `kept`: [base, end) that survived on this node's disk, if it was started anew. Gives what
        to send again, or what nobody has any more.
        """
        known = self._flows.get(flow_id)
        reason = self._judge_open(flow_id, known, point)
        if reason is not None:
            return self._refuse(flow_id, point.transfer_epoch, point.next_offset, reason)
        if known is None:
            # The receiver has all before its checkpoint; custody starts there (see above).
            base, end = kept if kept is not None else (point.checkpoint_offset,) * 2
            if end - base > self.room_bytes:
                return self._refuse(flow_id, point.transfer_epoch, base, CustodyReason.STORE_FULL)
            known = _Held(point.transfer_epoch, base, end, end, base, 0)
            self._flows[flow_id] = known
            self._grow(end - base)
        known.epoch = point.transfer_epoch
        known.checkpoint_offset = point.checkpoint_offset
        known.checkpoint_digest = point.checkpoint_digest
        if point.next_offset < known.base:
            why = "downstream lost what it had acknowledged"
            return (CannotResume(point.next_offset, known.base, why),)
        replayed = max(0, known.sent - point.next_offset)
        known.sent = point.next_offset
        freed = self._free(known, point.checkpoint_offset)
        return (*freed, ResumeFrom(point.next_offset, replayed))

    def finished(self, flow_id: int, transfer_epoch: int) -> DeliveredAck | None:
        """The last word on a flow that is complete, for who asks in a later attempt.

        Who is refused with FINISHED gets this: it may have died before it heard. None for a
        flow that is not complete, or completed more than FINISHED_KEPT flows ago.
        """
        ack = self._finished.get(flow_id)
        return None if ack is None else replace(ack, transfer_epoch=transfer_epoch)

    def offer(
        self, flow_id: int, transfer_epoch: int, offset: int, length: int
    ) -> Taken | CustodyRefusal:
        """Bytes [offset, offset + length) are offered: which are taken. Refuses gaps."""
        held = self._flows.get(flow_id)
        reason = self._judge_offer(flow_id, held, transfer_epoch, offset)
        if held is None or reason is not None:
            known = reason or CustodyReason.UNKNOWN_FLOW
            return self._refuse(flow_id, transfer_epoch, offset, known)
        new = offset + length - held.end
        duplicate = length - max(new, 0)
        if new > 0 and self.room_bytes == 0:
            return self._refuse(flow_id, transfer_epoch, offset, CustodyReason.STORE_FULL)
        start = held.end
        held.end += min(max(new, 0), self.room_bytes)
        self._grow(held.end - start)
        return Taken(start, held.end, duplicate)

    def on_synced(self, flow_id: int, offset: int) -> None:
        """[0, offset) of the flow is on stable storage."""
        held = self._flows[flow_id]
        if not held.durable <= offset <= held.end:
            raise ValueError(f"flow {flow_id}: synced {offset} of [{held.durable}, {held.end})")
        held.durable = offset

    def ack(self, flow_id: int, *, durable: bool) -> CustodyAck:
        """What this node answers for; `durable`: it syncs, and says how far."""
        held = self._flows[flow_id]
        safe = held.durable if durable else 0
        return CustodyAck(flow_id, held.epoch, self.node, held.end, safe)

    def unsent(self, flow_id: int) -> tuple[int, int]:
        """[start, end) of what is to be forwarded now."""
        held = self._flows[flow_id]
        return held.sent, max(held.sent, held.end)

    def on_sent(self, flow_id: int, count_bytes: int) -> None:
        """So much more was handed to the connection downstream."""
        held = self._flows[flow_id]
        if not 0 <= count_bytes <= held.end - held.sent:
            raise ValueError(f"flow {flow_id}: sent {count_bytes} of {held.end - held.sent} bytes")
        held.sent += count_bytes

    def on_custody(self, peer: str, ack: CustodyAck) -> tuple[Effect, ...] | Refusal:
        """The next custodian answers for a prefix; frees only by policy, and what is durable."""
        held = self._flows.get(ack.flow_id)
        refusal = self._judge(
            peer, ack.custodian, held, ack.flow_id, ack.transfer_epoch, ack.offset
        )
        if held is None or refusal is not None:
            return self._note(refusal, ack.flow_id)
        if self._release is not Release.DURABLE_CUSTODY:
            return ()
        return self._free(held, ack.durable_offset)

    def on_delivered(self, peer: str, ack: DeliveredAck) -> tuple[Effect, ...] | Refusal:
        """The receiver has a prefix: free it. The driver passes the acknowledgement on upstream.

        The hash is the source's to judge; a custodian frees up to the hashed checkpoint only, so
        that what the source refuses to free can still be had here.
        """
        held = self._flows.get(ack.flow_id)
        refusal = self._judge(peer, peer, held, ack.flow_id, ack.transfer_epoch, ack.offset)
        if held is None or refusal is not None:
            return self._note(refusal, ack.flow_id)
        held.delivered = max(held.delivered, ack.offset)
        if ack.checkpoint_offset >= held.checkpoint_offset:
            held.checkpoint_offset = ack.checkpoint_offset
            held.checkpoint_digest = ack.checkpoint_digest
        effects = self._free(held, ack.checkpoint_offset)
        if ack.complete:
            self._finish(ack)
            effects += (Completed(ack.offset),)
        return effects

    def resume_point(self, flow_id: int) -> ResumePoint:
        """What this node wants next from upstream."""
        held = self._flows[flow_id]
        return ResumePoint(
            flow_id, held.epoch, held.end, held.checkpoint_offset, held.checkpoint_digest
        )

    def drop(self, flow_id: int) -> int:
        """Give the flow up (its sender is gone for good, said so upstream): bytes thrown away."""
        held = self._flows.pop(flow_id)
        self._held -= held.end - held.base
        return held.end - held.base

    def _judge_open(
        self, flow_id: int, known: _Held | None, point: ResumePoint
    ) -> CustodyReason | None:
        if flow_id in self._finished:
            return CustodyReason.FINISHED
        if known is not None:
            stale = point.transfer_epoch < known.epoch
            return CustodyReason.STALE_EPOCH if stale else None
        return CustodyReason.TOO_MANY_FLOWS if len(self._flows) >= self._flows_max else None

    def _judge_offer(
        self, flow_id: int, held: _Held | None, epoch: int, offset: int
    ) -> CustodyReason | None:
        if flow_id in self._finished:
            return CustodyReason.FINISHED
        if held is None:
            return CustodyReason.UNKNOWN_FLOW
        if epoch != held.epoch:
            return CustodyReason.STALE_EPOCH
        return CustodyReason.GAP if offset > held.end else None

    def _judge(
        self, peer: str, named: str, held: _Held | None, flow_id: int, epoch: int, offset: int
    ) -> Refusal | None:
        if peer != self.downstream or named != self.downstream:
            return Refusal(
                Reason.WRONG_PEER,
                f"flow {flow_id}: {peer} speaks for {named}; downstream is {self.downstream}",
            )
        if held is None:
            return Refusal(Reason.UNKNOWN_FLOW, f"flow {flow_id} is not in custody here")
        if epoch != held.epoch:
            return Refusal(
                Reason.STALE_EPOCH, f"flow {flow_id}: attempt {epoch}, this is {held.epoch}"
            )
        if offset > held.sent:
            return Refusal(
                Reason.BEYOND_SENT, f"flow {flow_id}: {offset} acknowledged, {held.sent} sent"
            )
        return None

    def _note(self, refusal: Refusal | None, flow_id: int) -> Refusal:
        known = refusal or Refusal(Reason.UNKNOWN_FLOW, f"flow {flow_id} is not in custody here")
        return self.refused.note(known)

    def _refuse(
        self, flow_id: int, epoch: int, offset: int, reason: CustodyReason
    ) -> CustodyRefusal:
        self.refusals[reason] = self.refusals.get(reason, 0) + 1
        return CustodyRefusal(flow_id, max(epoch, 1), offset, reason, self.room_bytes)

    def _grow(self, count_bytes: int) -> None:
        self._held += count_bytes
        self.held_bytes_max = max(self.held_bytes_max, self._held)

    def _free(self, held: _Held, offset: int) -> tuple[Effect, ...]:
        """What is before `offset` is safe elsewhere; it may be more than this node ever had."""
        if offset <= held.base:
            return ()
        start, end = held.base, min(offset, held.end)
        self._held -= end - start
        held.base = offset
        held.end = max(held.end, offset)
        held.durable = max(held.durable, offset)
        held.sent = max(held.sent, offset)
        return (Free(start, end),) if end > start else ()

    def _finish(self, ack: DeliveredAck) -> None:
        self.drop(ack.flow_id)
        self._finished[ack.flow_id] = ack
        while len(self._finished) > FINISHED_KEPT:
            self._finished.popitem(last=False)
