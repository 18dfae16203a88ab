"""Running hashes at both ends of a flow, and the checks that compare them."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel_node.core.control.messages import FlowPhase, FlowState, SyncCheck, Version
from sentinel_node.core.framing import FlowHeader, FlowTrailer, StreamVerifier, flow_token
from sentinel_node.core.sync import checkpoints
from sentinel_node.core.sync.checkpoints import KEPT_MOST, NO_PAYLOAD, START, Checkpoints
from sentinel_node.core.sync.flow_log import Delivered, FlowLog

GRID = 64
EPOCH = 5
VIEW = FlowState(7, "s", Version(EPOCH, 1), FlowPhase.ACTIVE, 0, 1000, 0, error_bound_bytes=10**6)


@pytest.fixture(autouse=True, scope="module")
def small_grid() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "GRID_BYTES", GRID)
        yield


def digest(payload: bytes) -> bytes:
    return hashlib.sha256(payload).digest()


def sender_of(payload: bytes) -> Checkpoints:
    """As a sender that writes whole grid steps."""
    found, running = Checkpoints(), hashlib.sha256()
    for begin in range(0, len(payload), GRID):
        running.update(payload[begin : begin + GRID])
        found.note(min(begin + GRID, len(payload)), running)
    return found


def receive(payload: bytes, cuts: list[int]) -> Checkpoints:
    """Through the receiver's own verifier, in pieces of any size."""
    token = flow_token("r", 7)
    stream = FlowHeader(7, token, None, True).encode() + payload
    stream += FlowTrailer(token, len(payload), digest(payload)).encode()
    found = Checkpoints()
    verifier = StreamVerifier("r", found)
    edges = [0, *sorted({cut % (len(stream) + 1) for cut in cuts}), len(stream)]
    for begin, end in itertools.pairwise(edges):
        verifier.feed(memoryview(stream)[begin:end])
    assert verifier.finish().sha256_ok
    return found


def check(offset: int, own: bytes, *, total: int = 1000) -> SyncCheck:
    return SyncCheck(7, EPOCH, 0, total, offset, own, final=False)


@given(st.binary(min_size=1, max_size=1000), st.lists(st.integers(0, 3000), max_size=30))
def test_both_ends_keep_the_same_digests_however_the_stream_was_cut(
    payload: bytes, cuts: list[int]
) -> None:
    sent, got = sender_of(payload), receive(payload, cuts)
    assert sent.reached_bytes == got.reached_bytes == len(payload) // GRID * GRID
    for offset in range(0, len(payload) + 1):
        expected = digest(payload[:offset]) if offset % GRID == 0 else None
        assert sent.digest_at(offset) == got.digest_at(offset) == expected


@given(st.binary(min_size=GRID, max_size=1000), st.data())
def test_a_changed_byte_is_found_at_the_next_checkpoint(
    payload: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(payload) // GRID * GRID - 1))
    damaged = bytearray(payload)
    damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    sent, got = sender_of(payload), receive(bytes(damaged), [])
    for offset in range(GRID, len(payload) + 1, GRID):
        log = FlowLog(0, own=got)
        log.check(check(offset, sent.newest_within(offset).digest), VIEW, 0)
        log.compare_hashes()
        (verdict,) = log.verdicts
        assert verdict.hash_ok == (offset <= at)
        assert verdict.ok == (offset <= at)


@given(st.integers(1, 3 * KEPT_MOST), st.integers(0, 3 * KEPT_MOST * GRID))
@settings(max_examples=25)
def test_the_newest_are_kept_and_no_more(count: int, limit: int) -> None:
    found, running = Checkpoints(), hashlib.sha256()
    for step in range(1, count + 1):
        running.update(bytes(GRID))
        found.note(step * GRID, running)
    oldest = max(0, count - KEPT_MOST) + 1
    assert [found.digest_at(n * GRID) is not None for n in range(1, count + 1)] == [
        n >= oldest for n in range(1, count + 1)
    ]
    wanted = min(limit // GRID, count)
    assert found.newest_within(limit).offset_bytes == (wanted * GRID if wanted >= oldest else 0)


def test_before_the_first_byte_there_is_the_empty_hash() -> None:
    assert Checkpoints().newest_within(10**9) == START == (0, NO_PAYLOAD)
    assert Checkpoints().digest_at(0) == digest(b"")


PAYLOAD = bytes(range(256)) * 4


@given(st.lists(st.sampled_from(["check", "data", "lost", "same"]), max_size=40))
def test_news_and_data_may_come_in_any_order(steps: list[str]) -> None:
    """What was compared is right; what waits is only what has not come."""
    sent, log, running = sender_of(PAYLOAD), FlowLog(0, own=Checkpoints()), hashlib.sha256()
    assert log.own is not None
    got = told = 0
    for step in steps:
        if step == "data" and got + GRID <= len(PAYLOAD):
            running.update(PAYLOAD[got : got + GRID])
            got += GRID
            log.own.note(got, running)
        else:
            told = min(told + GRID * (step != "same"), len(PAYLOAD))
            mark = sent.newest_within(told)
            if step != "lost":
                log.check(check(*mark, total=len(PAYLOAD)), VIEW, 0)
        assert all(one.checkpoint_offset > 0 for one in log.pending.values())
        assert all(verdict.hash_ok in (True, None) and verdict.ok for verdict in log.verdicts)
    log.compare_hashes()
    for place, verdict in enumerate(log.verdicts):
        came = 0 < verdict.checkpoint_offset <= got
        assert (verdict.hash_ok is True) == came
        assert (place in log.pending) == (verdict.checkpoint_offset > got)
    log.ended(Delivered(got, running.digest()))
    assert not log.pending
    for verdict in log.verdicts:
        assert verdict.ok == (verdict.checkpoint_offset <= got)


def test_a_relay_compares_no_hashes_and_finds_no_fault() -> None:
    log = FlowLog(0)
    log.check(check(GRID, digest(b"x")), VIEW, 0)
    log.compare_hashes(ended=True)
    assert [(one.ok, one.hash_ok) for one in log.verdicts] == [(True, None)]


def test_a_digest_that_is_no_longer_kept_is_said_to_be_missing() -> None:
    log = FlowLog(0, own=Checkpoints())
    log.check(check(GRID, digest(b"x")), VIEW, 0)
    log.ended(Delivered(0, NO_PAYLOAD))
    assert log.verdicts[0].problems == (f"no running hash is kept at offset {GRID}",)
