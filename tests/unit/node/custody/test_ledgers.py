"""The ledgers one by one: who may say what, what is refused, what a hash covers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_node.core.control.custody_messages import (
    CustodyAck,
    CustodyReason,
    CustodyRefusal,
    DeliveredAck,
    ResumePoint,
)
from sentinel_node.core.control.refusals import Reason, Refusal
from sentinel_node.core.custody.delivery import DeliveryLedger
from sentinel_node.core.custody.effects import CannotResume, Completed, Confirm, Free, Release
from sentinel_node.core.custody.running_hash import Checkpoint, RunningHash
from sentinel_node.core.custody.source import SourceLedger
from sentinel_node.core.custody.store import CustodyStore, Taken

DATA = bytes(range(100))
BLOCK = 16


def source(*, replayable: bool = True) -> tuple[SourceLedger, RunningHash]:
    ledger = SourceLedger(1, next_hop="r1", receiver="d", replayable=replayable)
    running = RunningHash(block_bytes=BLOCK)
    ledger.on_written(len(DATA), running.update(DATA))
    ledger.on_source_end(running.finish())
    ledger.on_sent(80)
    return ledger, running


def hash_at(offset: int) -> bytes:
    running = RunningHash(block_bytes=BLOCK)
    running.update(DATA[:offset])
    return running.finish().digest


def delivered(offset: int, *, at: int, digest: bytes | None = None, epoch: int = 1) -> DeliveredAck:
    return DeliveredAck(1, epoch, "d", offset, at, digest or hash_at(at), offset == 100)


@given(st.lists(st.binary(max_size=50), max_size=8), st.integers(1, 20))
def test_a_running_hash_is_the_same_however_it_is_cut_and_resumed(
    pieces: list[bytes], block: int
) -> None:
    whole = RunningHash(block_bytes=block)
    whole.update(b"".join(pieces))
    cut = RunningHash(block_bytes=block)
    for piece in pieces:
        cut.update(piece)
        cut_off = b"".join(pieces)[cut.checkpoint.offset : cut.offset]
        cut = RunningHash(cut.checkpoint, block)
        cut.update(cut_off)
    assert cut.finish() == whole.finish()
    if whole.offset:
        changed = RunningHash(block_bytes=block)
        changed.update(bytes([b"".join(pieces)[0] ^ 1]) + b"".join(pieces)[1:])
        assert changed.finish().digest != whole.finish().digest


def test_custody_confirms_and_frees_nothing_delivery_frees_what_its_hash_covers() -> None:
    ledger, _ = source()
    assert ledger.on_custody("r1", CustodyAck(1, 1, "r1", 50, 0)) == (Confirm(50),)
    assert (ledger.retained_bytes, ledger.exposure_bytes) == (100, 50)
    assert ledger.on_delivered("r1", delivered(40, at=32)) == (Free(0, 32),)
    assert (ledger.exposure_bytes, ledger.exposure_bytes_max) == (10, 50)
    ledger.on_sent(20)
    assert ledger.on_delivered("r1", delivered(100, at=100)) == (
        Confirm(100), Free(32, 100), Completed(100),
    )  # fmt: skip
    assert ledger.completed
    assert ledger.exposure_bytes == 0


@pytest.mark.parametrize(
    ("peer", "ack", "reason"),
    [
        ("r2", CustodyAck(1, 1, "r2", 10, 0), Reason.WRONG_PEER),
        ("r1", CustodyAck(1, 1, "r2", 10, 0), Reason.WRONG_PEER),
        ("r1", CustodyAck(1, 2, "r1", 10, 0), Reason.STALE_EPOCH),
        ("r1", CustodyAck(1, 1, "r1", 81, 0), Reason.BEYOND_SENT),
    ],
)
def test_a_forged_custody_ack_changes_nothing(peer: str, ack: CustodyAck, reason: Reason) -> None:
    ledger, _ = source()
    result = ledger.on_custody(peer, ack)
    assert isinstance(result, Refusal)
    assert result.reason is reason
    assert (ledger.confirmed_bytes, ledger.retained_bytes) == (0, 100)
    assert ledger.refused.counts == {reason: 1}


@pytest.mark.parametrize(
    ("ack", "reason"),
    [
        (delivered(40, at=32, digest=bytes(32)), Reason.DAMAGED),
        (delivered(40, at=33), Reason.DAMAGED),  # no block ends there
        (delivered(81, at=80), Reason.BEYOND_SENT),
        (delivered(40, at=32, epoch=9), Reason.STALE_EPOCH),
        (DeliveredAck(1, 1, "x", 40, 32, hash_at(32), False), Reason.WRONG_PEER),
        (DeliveredAck(1, 1, "d", 64, 64, hash_at(64), True), Reason.DAMAGED),
    ],
)
def test_a_wrong_delivered_ack_frees_nothing(ack: DeliveredAck, reason: Reason) -> None:
    ledger, _ = source()
    result = ledger.on_delivered("r1", ack)
    assert isinstance(result, Refusal)
    assert result.reason is reason
    assert (ledger.delivered_bytes, ledger.retained_bytes) == (0, 100)


def test_a_pipe_cannot_resume_before_what_it_freed_and_says_why() -> None:
    ledger, _ = source(replayable=False)
    ledger.on_delivered("r1", delivered(48, at=48))
    ledger.begin_resume(2)
    (effect,) = ledger.on_resume_point("r1", ResumePoint(1, 2, 40, 32, hash_at(32)))
    assert isinstance(effect, CannotResume)
    assert (effect.start, effect.end) == (40, 48)
    assert "receiver lost" in effect.why
    with pytest.raises(ValueError, match="does not follow"):
        ledger.begin_resume(2)


def test_a_custodian_that_lost_its_disk_frees_nothing_by_what_it_said_before() -> None:
    ledger = SourceLedger(
        1, next_hop="r1", receiver="d", replayable=True, release=Release.DURABLE_CUSTODY
    )
    ledger.on_written(len(DATA), RunningHash(block_bytes=BLOCK).update(DATA))
    ledger.on_sent(80)
    assert Free(0, 40) in ledger.on_custody("r1", CustodyAck(1, 1, "r1", 40, 40))  # type: ignore[operator]
    ledger.begin_resume(2)
    ledger.on_resume_point("r1", ResumePoint(1, 2, 20, 0, bytes(32)))
    assert (ledger.retained_bytes, ledger.confirmed_bytes) == (80, 40)
    ledger.on_sent(60)
    assert ledger.on_custody("r1", CustodyAck(1, 2, "r1", 60, 25)) == (Confirm(60), Free(20, 25))


def test_a_store_refuses_with_a_reason_and_knows_duplicates() -> None:
    store = CustodyStore("r1", capacity_bytes=64, flows_max=2, downstream="d", block_bytes=BLOCK)

    def reason(result: object) -> CustodyReason:
        assert isinstance(result, CustodyRefusal)
        return result.reason

    assert reason(store.offer(1, 1, 0, 10)) is CustodyReason.UNKNOWN_FLOW
    for flow in (1, 2):
        store.open(flow, ResumePoint(flow, 1, 0, 0, bytes(32)))
    third = store.open(3, ResumePoint(3, 1, 0, 0, bytes(32)))
    assert reason(third) is CustodyReason.TOO_MANY_FLOWS
    assert store.offer(1, 1, 0, 40) == Taken(0, 40, 0)
    assert store.offer(1, 1, 30, 20) == Taken(40, 50, 10)
    assert reason(store.offer(1, 1, 51, 1)) is CustodyReason.GAP
    assert reason(store.offer(1, 2, 50, 1)) is CustodyReason.STALE_EPOCH
    assert store.offer(2, 1, 0, 40) == Taken(0, 14, 0)
    assert reason(store.offer(2, 1, 14, 26)) is CustodyReason.STORE_FULL
    assert (store.held_bytes, store.room_bytes, store.held_bytes_max) == (64, 0, 64)
    store.on_sent(1, 50)
    assert store.on_delivered("d", DeliveredAck(1, 1, "d", 50, 48, hash_at(48), False)) == (
        Free(0, 48),
    )
    assert store.room_bytes == 48
    store.on_delivered("d", DeliveredAck(1, 1, "d", 50, 50, hash_at(50), True))
    assert reason(store.offer(1, 1, 50, 1)) is CustodyReason.FINISHED
    assert store.refusals[CustodyReason.STORE_FULL] == 1


def test_a_receiver_vouches_for_whole_blocks_and_for_its_end() -> None:
    ledger = DeliveryLedger(1, "d", block_bytes=BLOCK)
    assert ledger.admit(1, 0, 40) == (0, 40)
    ledger.on_delivered(DATA[:40])
    assert ledger.ack() == delivered(40, at=32)
    assert ledger.admit(1, 30, 20) == (40, 50)
    assert ledger.duplicate_bytes == 10
    gap = ledger.admit(1, 41, 1)
    assert isinstance(gap, CustodyRefusal)
    assert gap.reason is CustodyReason.GAP
    assert "of 100" in ledger.on_end(Checkpoint(100, hash_at(100)))
    ledger.on_delivered(DATA[40:])
    assert "differs" in ledger.on_end(Checkpoint(100, bytes(32)))
    assert ledger.on_end(Checkpoint(100, hash_at(100))) == ""
    assert ledger.ack() == delivered(100, at=100)
