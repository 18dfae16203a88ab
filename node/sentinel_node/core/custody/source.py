"""The sender's ledger of one flow: confirmed, delivered, retained, and where to resume."""

from __future__ import annotations

from collections.abc import Iterable

from sentinel_node.core.control.custody_messages import CustodyAck, DeliveredAck, ResumePoint
from sentinel_node.core.control.refusals import Reason, Refusal, RefusalCounter
from sentinel_node.core.custody.effects import (
    CannotResume,
    Completed,
    Confirm,
    Effect,
    Free,
    Release,
    ResumeFrom,
)
from sentinel_node.core.custody.running_hash import Checkpoint


class SourceLedger:
    """Offsets of one flow at its sender. All offsets count from the flow's first byte.

    `replayable`: the source can be read again from any offset (a file, a seed; not a pipe).
    `position`: where reading the source goes on, for a sender that was started anew.
    """

    def __init__(
        self,
        flow_id: int,
        *,
        next_hop: str,
        receiver: str,
        replayable: bool,
        release: Release = Release.DELIVERED,
        transfer_epoch: int = 1,
        position: int = 0,
    ) -> None:
        self.flow_id = flow_id
        self.next_hop = next_hop
        self.receiver = receiver
        self._replayable = replayable
        self._release = release
        self._epoch = transfer_epoch
        self._freed = self._sent = self._sent_max = self._written = position
        self._custody = self._durable = self._delivered = 0
        self._confirmed = 0
        self._digests: dict[int, bytes] = {}
        self._size: int | None = None
        self._completed = False
        self.exposure_bytes_max = 0
        self.refused = RefusalCounter()

    @property
    def transfer_epoch(self) -> int:
        """Number of the present attempt; acknowledgements of older ones are refused."""
        return self._epoch

    @property
    def retained_bytes(self) -> int:
        """What the sender must keep: taken from the source and not freed."""
        return self._written - self._freed

    @property
    def delivered_bytes(self) -> int:
        """The receiving application has that much, by its own word."""
        return self._delivered

    @property
    def confirmed_bytes(self) -> int:
        """What the outside may rely on; never goes back.

        Custody in memory may die with its custodian. The sender makes up for it as long as it
        has the bytes or can read them again. So it counts if the source is replayable; with a
        pipe, where the sender's own death would lose them, only durable custody and delivery do.
        """
        return self._confirmed

    @property
    def exposure_bytes(self) -> int:
        """Confirmed and not delivered: what the promise rests on now."""
        return self._confirmed - self._delivered

    @property
    def completed(self) -> bool:
        """Delivered to the end, with the right hash."""
        return self._completed

    def unsent(self) -> tuple[int, int]:
        """[start, end) of what is to be sent now."""
        return self._sent, self._written

    def on_written(self, count_bytes: int, checkpoints: Iterable[Checkpoint]) -> None:
        """The source gave `count_bytes` more; these checkpoints of its running hash were passed."""
        if count_bytes < 0 or self._size is not None:
            raise ValueError(f"flow {self.flow_id} cannot grow by {count_bytes} bytes now")
        self._written += count_bytes
        self._note(checkpoints)

    def on_reread(self, checkpoints: Iterable[Checkpoint]) -> None:
        """A replayable source was read again before a resume: its running hashes, once more."""
        self._note(checkpoints)

    def on_source_end(self, final: Checkpoint) -> None:
        """The source has ended; `final` is the running hash of all of it."""
        if final.offset != self._written:
            raise ValueError(f"the flow ends at {self._written}, its hash at {final.offset}")
        self._size = final.offset
        # Kept even if all is freed (a sender started anew): the last acknowledgement names it.
        self._digests[final.offset] = final.digest

    def on_sent(self, count_bytes: int) -> None:
        """So much more was handed to the connection to the next hop."""
        if not 0 <= count_bytes <= self._written - self._sent:
            raise ValueError(f"sent {count_bytes} of {self._written - self._sent} bytes")
        self._sent += count_bytes
        self._sent_max = max(self._sent_max, self._sent)

    def on_custody(self, peer: str, ack: CustodyAck) -> tuple[Effect, ...] | Refusal:
        """The next hop answers for a prefix. Opens the window; confirms; frees only by policy."""
        refusal = self._judge(peer, self.next_hop, ack.custodian, ack.transfer_epoch)
        refusal = refusal or self._judge_offset(ack.offset)
        if refusal is not None:
            return self.refused.note(refusal)
        self._custody = max(self._custody, ack.offset)
        self._durable = max(self._durable, ack.durable_offset)
        effects = self._confirm()
        if self._release is Release.DURABLE_CUSTODY:
            effects += self._free(self._durable)
        return effects

    def on_delivered(self, peer: str, ack: DeliveredAck) -> tuple[Effect, ...] | Refusal:
        """The receiver has a prefix; comes through the next hop. Frees what its hash covers."""
        refusal = self._judge(peer, self.next_hop, self.next_hop, ack.transfer_epoch)
        # A right hash proves that the receiver has the bytes, by whatever attempt they came.
        proven = ack.checkpoint_offset
        refusal = refusal or self._judge_offset(ack.offset, proven) or self._judge_hash(ack)
        if refusal is not None:
            return self.refused.note(refusal)
        self._delivered = max(self._delivered, ack.offset)
        effects = self._confirm() + self._free(ack.checkpoint_offset)
        if ack.complete and not self._completed:
            self._completed = True
            effects += (Completed(ack.offset),)
        return effects

    def begin_resume(self, transfer_epoch: int, *, next_hop: str | None = None) -> None:
        """The connection is gone: begin attempt `transfer_epoch`, over the same hop or another.

        Nothing should be sent until the hop has said where to go on. Raises ValueError if the
        epoch is not larger than all before.
        """
        if transfer_epoch <= self._epoch:
            raise ValueError(f"attempt {transfer_epoch} does not follow attempt {self._epoch}")
        self._epoch = transfer_epoch
        self.next_hop = next_hop or self.next_hop

    def on_resume_point(self, peer: str, point: ResumePoint) -> tuple[Effect, ...] | Refusal:
        """The next hop wants `next_offset` next; custody before it is what counts from now on."""
        refusal = self._judge(peer, self.next_hop, self.next_hop, point.transfer_epoch)
        if refusal is not None:
            return self.refused.note(refusal)
        if self._completed:
            return ()
        wanted = point.next_offset
        if wanted > self._written and not self._replayable:
            return (CannotResume(self._written, wanted, _SKIP),)
        if wanted < self._freed and not self._replayable:
            why = _IN_CUSTODY if self._release is Release.DURABLE_CUSTODY else _FREED
            return (CannotResume(wanted, self._freed, why),)
        replayed = max(0, self._sent - wanted)
        # A replayable source is read anew from there: by a sender that was started anew, or if
        # the bytes were freed on the word of a custodian that is not on this path.
        self._freed = min(self._freed, wanted)
        if wanted > self._written:
            self._freed = self._written = wanted
        self._sent = wanted
        self._sent_max = max(self._sent_max, wanted)
        self._custody = wanted
        # Who says it wants these bytes does not have them on disk, whatever was said before.
        self._durable = min(self._durable, wanted)
        return (ResumeFrom(wanted, replayed),)

    def _note(self, checkpoints: Iterable[Checkpoint]) -> None:
        for checkpoint in checkpoints:
            if checkpoint.offset > self._freed:
                self._digests[checkpoint.offset] = checkpoint.digest

    def _judge(self, peer: str, expected: str, named: str, epoch: int) -> Refusal | None:
        if peer != expected or named != expected:
            return Refusal(
                Reason.WRONG_PEER,
                f"flow {self.flow_id}: {peer} speaks for {named}; the next hop is {expected}",
            )
        if epoch != self._epoch:
            return Refusal(
                Reason.STALE_EPOCH,
                f"flow {self.flow_id}: of attempt {epoch}, this is attempt {self._epoch}",
            )
        return None

    def _judge_offset(self, offset: int, proven: int = 0) -> Refusal | None:
        if offset > max(self._sent_max, proven):
            return Refusal(
                Reason.BEYOND_SENT,
                f"flow {self.flow_id}: {offset} acknowledged, {self._sent_max} sent",
            )
        return None

    def _judge_hash(self, ack: DeliveredAck) -> Refusal | None:
        if ack.receiver != self.receiver:
            return Refusal(
                Reason.WRONG_PEER,
                f"flow {self.flow_id} goes to {self.receiver}, {ack.receiver} acknowledges it",
            )
        if ack.complete and (self._size is None or ack.offset != self._size):
            return Refusal(Reason.DAMAGED, f"flow {self.flow_id} does not end at {ack.offset}")
        if ack.checkpoint_offset <= self._freed and not ack.complete:
            return None  # covers nothing that is still kept
        own = self._digests.get(ack.checkpoint_offset)
        if own is None or own != ack.checkpoint_digest:
            return Refusal(
                Reason.DAMAGED,
                f"flow {self.flow_id}: the receiver's hash of the first {ack.checkpoint_offset} "
                "bytes is not the sender's",
            )
        return None

    def _confirm(self) -> tuple[Effect, ...]:
        held = self._custody if self._replayable else self._durable
        confirmed = max(self._confirmed, held, self._delivered)
        if confirmed == self._confirmed:
            return ()
        self._confirmed = confirmed
        self.exposure_bytes_max = max(self.exposure_bytes_max, self.exposure_bytes)
        return (Confirm(confirmed),)

    def _free(self, offset: int) -> tuple[Effect, ...]:
        if offset <= self._freed:
            return ()
        freed = Free(self._freed, offset)
        self._freed = offset
        end = self._size
        self._digests = {
            at: digest for at, digest in self._digests.items() if at > offset or at == end
        }
        return (freed,)


_SKIP = "the path has bytes that this source never gave; it cannot be read again to skip them"
_FREED = "the bytes were delivered once, and the receiver lost them"
_IN_CUSTODY = "the bytes were freed on durable custody; bring back the custodian or its store"
