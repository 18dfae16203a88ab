"""What nodes say about bytes in custody: two acknowledgements, never one (see core.custody)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from sentinel_node.core.control.messages import (
    DIGEST_BYTES,
    TIME_MAX_NS,
    U64_MAX,
    MessageError,
    check_bytes,
    check_name,
    check_range,
)

OFFSET_MAX = TIME_MAX_NS


class CustodyReason(IntEnum):
    """Why a custodian does not take bytes."""

    STORE_FULL = 1
    TOO_MANY_FLOWS = 2
    GAP = 3
    STALE_EPOCH = 4
    UNKNOWN_FLOW = 5
    FINISHED = 6


def _check_flow(flow_id: int, transfer_epoch: int) -> None:
    check_range("flow_id", flow_id, 0, U64_MAX)
    check_range("transfer_epoch", transfer_epoch, 1, U64_MAX)


@dataclass(frozen=True, slots=True)
class CustodyAck:
    """`custodian` holds [0, offset); [0, durable_offset) of it on stable storage."""

    flow_id: int
    transfer_epoch: int
    custodian: str
    offset: int
    durable_offset: int

    def __post_init__(self) -> None:
        _check_flow(self.flow_id, self.transfer_epoch)
        check_name("custodian", self.custodian)
        check_range("offset", self.offset, 0, OFFSET_MAX)
        check_range("durable_offset", self.durable_offset, 0, self.offset)


@dataclass(frozen=True, slots=True)
class DeliveredAck:
    """The receiving application has [0, offset); the running hash covers [0, checkpoint)."""

    flow_id: int
    transfer_epoch: int
    receiver: str
    offset: int
    checkpoint_offset: int
    checkpoint_digest: bytes
    complete: bool

    def __post_init__(self) -> None:
        _check_flow(self.flow_id, self.transfer_epoch)
        check_name("receiver", self.receiver)
        check_range("offset", self.offset, 0, OFFSET_MAX)
        check_range("checkpoint_offset", self.checkpoint_offset, 0, self.offset)
        check_bytes("checkpoint_digest", self.checkpoint_digest, DIGEST_BYTES)
        if self.complete and self.checkpoint_offset != self.offset:
            raise MessageError(
                f"a complete flow is hashed to its end, {self.offset}, "
                f"got a hash up to {self.checkpoint_offset}"
            )


@dataclass(frozen=True, slots=True)
class CustodyRefusal:
    """Bytes from `offset` on were not taken; `room_bytes` would be."""

    flow_id: int
    transfer_epoch: int
    offset: int
    reason: CustodyReason
    room_bytes: int

    def __post_init__(self) -> None:
        _check_flow(self.flow_id, self.transfer_epoch)
        check_range("offset", self.offset, 0, OFFSET_MAX)
        check_range("room_bytes", self.room_bytes, 0, OFFSET_MAX)


@dataclass(frozen=True, slots=True)
class ResumeQuery:
    """Where does the flow go on? `transfer_epoch` is a new one, larger than all before."""

    flow_id: int
    transfer_epoch: int

    def __post_init__(self) -> None:
        _check_flow(self.flow_id, self.transfer_epoch)


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """The answering node wants byte `next_offset` next."""

    flow_id: int
    transfer_epoch: int
    next_offset: int
    checkpoint_offset: int
    checkpoint_digest: bytes

    def __post_init__(self) -> None:
        _check_flow(self.flow_id, self.transfer_epoch)
        check_range("next_offset", self.next_offset, 0, OFFSET_MAX)
        check_range("checkpoint_offset", self.checkpoint_offset, 0, self.next_offset)
        check_bytes("checkpoint_digest", self.checkpoint_digest, DIGEST_BYTES)
