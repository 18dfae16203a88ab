"""The receiver's ledger of one flow: what its application has, and the word it gives for it.

Bytes count as delivered when the application has them for good (it has read them, and where it
must survive the receiver's death, written them down). Only then they are acknowledged.
"""

from __future__ import annotations

from sentinel_node.core.control.custody_messages import (
    CustodyReason,
    CustodyRefusal,
    DeliveredAck,
    ResumePoint,
    ResumeQuery,
)
from sentinel_node.core.custody.running_hash import BLOCK_BYTES, Checkpoint, RunningHash


class DeliveryLedger:
    """In order, without gaps, every byte once. After a crash: start at what was kept.

    `start` is the last checkpoint of the bytes that survived; the driver feeds those after it
    through `on_delivered` before anything else.
    """

    def __init__(
        self,
        flow_id: int,
        receiver: str,
        *,
        transfer_epoch: int = 1,
        start: Checkpoint | None = None,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self.flow_id = flow_id
        self.receiver = receiver
        self._epoch = transfer_epoch
        self._hash = RunningHash(start, block_bytes)
        self._complete: Checkpoint | None = None
        self.duplicate_bytes = 0

    @property
    def next_offset(self) -> int:
        """The byte that is wanted next."""
        return self._hash.offset

    @property
    def transfer_epoch(self) -> int:
        """Number of the attempt that bytes are taken from."""
        return self._epoch

    @property
    def complete(self) -> bool:
        """The whole flow was delivered, and its hash is the sender's."""
        return self._complete is not None

    def admit(
        self, transfer_epoch: int, offset: int, length: int
    ) -> tuple[int, int] | CustodyRefusal:
        """[start, end) of the offered bytes that are new; may be empty. Refuses gaps."""
        if transfer_epoch != self._epoch:
            return self._refuse(offset, CustodyReason.STALE_EPOCH)
        if offset > self.next_offset:
            return self._refuse(offset, CustodyReason.GAP)
        end = offset + length
        self.duplicate_bytes += min(end, self.next_offset) - offset
        return self.next_offset, max(end, self.next_offset)

    def on_delivered(self, data: bytes | memoryview) -> None:
        """The application has these next bytes for good."""
        if self._complete is not None and len(data):
            raise ValueError(f"flow {self.flow_id} is complete at {self._complete.offset}")
        self._hash.update(data)

    def on_end(self, final: Checkpoint) -> str:
        """The sender's end of flow: size and running hash. "" if all agrees, else what does not."""
        trouble = self.trouble_at_end(final)
        if not trouble:
            self._complete = final
        return trouble

    def trouble_at_end(self, final: Checkpoint) -> str:
        """As `on_end`, but the flow stays open."""
        own = self._hash.finish()
        if own.offset != final.offset:
            return f"flow {self.flow_id}: {own.offset} bytes arrived of {final.offset}"
        if own.digest != final.digest:
            return f"flow {self.flow_id}: running hash differs from the sender's at its end"
        return ""

    def ack(self) -> DeliveredAck:
        """What this receiver vouches for, now."""
        checkpoint = self._complete or self._hash.checkpoint
        return DeliveredAck(
            self.flow_id,
            self._epoch,
            self.receiver,
            self.next_offset,
            checkpoint.offset,
            checkpoint.digest,
            self.complete,
        )

    def on_resume(self, query: ResumeQuery) -> ResumePoint | CustodyRefusal:
        """A new attempt begins: where it goes on. Bytes of older attempts are refused from now.

        Its checkpoint is a whole block's even when the flow is complete: custodians free up to it,
        and only where the end was written down does a receiver that died know more than blocks.
        """
        if query.transfer_epoch < self._epoch:
            return self._refuse(0, CustodyReason.STALE_EPOCH)
        self._epoch = query.transfer_epoch
        checkpoint = self._hash.checkpoint
        return ResumePoint(
            self.flow_id, self._epoch, self.next_offset, checkpoint.offset, checkpoint.digest
        )

    def _refuse(self, offset: int, reason: CustodyReason) -> CustodyRefusal:
        return CustodyRefusal(self.flow_id, self._epoch, offset, reason, 0)
