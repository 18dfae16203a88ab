"""A flow's stream gives the same result however it is cut, and no damage goes unseen."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_node.core.framing import (
    FRAMING_BYTES,
    HEADER_BYTES,
    TRAILER_BYTES,
    TRAILER_MAGIC,
    FlowHeader,
    FlowTrailer,
    StreamParser,
    StreamVerifier,
    Verdict,
    flow_token,
)
from sentinel_node.errors import FramingError, HeaderError, TrailerError, TruncatedError

RUN = "run-1"
FLOW = 42

look_alikes = st.lists(
    st.sampled_from((TRAILER_MAGIC, TRAILER_MAGIC[:3], TRAILER_MAGIC[:7], b"x", bytes(70))),
    max_size=9,
).map(b"".join)
"""Payload that looks like the beginning of a trailer, in whole or in part."""
payloads = st.binary(max_size=600) | look_alikes
cuts = st.lists(st.integers(0, 900), max_size=12)


def stream_of(payload: bytes, *, declared: bool, run: str = RUN, flow_id: int = FLOW) -> bytes:
    token = flow_token(run, flow_id)
    header = FlowHeader(flow_id, token, len(payload) if declared else None)
    trailer = FlowTrailer(token, len(payload), hashlib.sha256(payload).digest())
    return header.encode() + payload + trailer.encode()


def chunks(stream: bytes, cuts: list[int]) -> list[memoryview]:
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    return [memoryview(stream)[a:b] for a, b in pairwise(places)]


def judge(stream: bytes, cuts: list[int], run: str = RUN) -> Verdict:
    verifier = StreamVerifier(run)
    for chunk in chunks(stream, cuts):
        verifier.feed(chunk)
    return verifier.finish()


@given(payload=payloads, declared=st.booleans(), cuts=cuts)
def test_any_cutting_gives_the_payload_and_a_good_verdict(
    payload: bytes, declared: bool, cuts: list[int]
) -> None:
    stream = stream_of(payload, declared=declared)
    parser = StreamParser()
    got = b"".join(bytes(p) for chunk in chunks(stream, cuts) for p in parser.feed(chunk))
    assert got == payload
    assert parser.finish().payload_bytes == len(payload)
    digest = hashlib.sha256(payload).digest()
    assert judge(stream, cuts) == Verdict(len(payload), digest, True, True, "")


@given(payload=payloads, declared=st.booleans(), cuts=cuts, data=st.data())
def test_any_damaged_byte_is_detected(
    payload: bytes, declared: bool, cuts: list[int], data: st.DataObject
) -> None:
    stream = bytearray(stream_of(payload, declared=declared))
    place = data.draw(st.integers(0, len(stream) - 1))
    stream[place] ^= data.draw(st.integers(1, 255))
    try:
        verdict = judge(bytes(stream), cuts)
    except FramingError:
        return
    assert not verdict.sha256_ok
    assert verdict.error


@given(payload=payloads, declared=st.booleans(), cuts=cuts, data=st.data())
def test_any_truncation_is_detected(
    payload: bytes, declared: bool, cuts: list[int], data: st.DataObject
) -> None:
    stream = stream_of(payload, declared=declared)
    verdict = judge(stream[: data.draw(st.integers(0, len(stream) - 1))], cuts)
    assert not verdict.complete
    assert not verdict.sha256_ok
    assert verdict.error


@given(payload=payloads, declared=st.booleans(), cuts=cuts, data=st.data())
def test_bytes_left_out_or_put_in_are_detected(
    payload: bytes, declared: bool, cuts: list[int], data: st.DataObject
) -> None:
    stream = stream_of(payload, declared=declared)
    place = data.draw(st.integers(0, len(stream) - 1))
    if data.draw(st.booleans()):
        damaged = stream[:place] + stream[place + 1 :]
    else:
        damaged = stream[:place] + data.draw(st.binary(min_size=1, max_size=99)) + stream[place:]
    if damaged == stream:
        return
    try:
        verdict = judge(damaged, cuts)
    except FramingError:
        return
    assert not verdict.sha256_ok
    assert verdict.error


@given(payload=payloads, cuts=cuts)
def test_no_more_than_a_trailer_is_held_back(payload: bytes, cuts: list[int]) -> None:
    parser = StreamParser()
    fed = 0
    for chunk in chunks(stream_of(payload, declared=False), cuts):
        parser.feed(chunk)
        fed += len(chunk)
        assert parser.payload_bytes >= fed - FRAMING_BYTES


@given(payload=st.binary(max_size=600).filter(lambda some: b"S" not in some), cuts=cuts)
def test_what_cannot_begin_a_trailer_is_not_held_back(payload: bytes, cuts: list[int]) -> None:
    """A sender that dies sends no more: what waited for its next bytes would be lost."""
    parser = StreamParser()
    for chunk in chunks(stream_of(payload, declared=False)[:-TRAILER_BYTES], cuts):
        parser.feed(chunk)
    assert parser.payload_bytes == len(payload)


@given(payload=payloads, cut=st.integers(0, TRAILER_BYTES))
def test_no_part_of_a_trailer_is_taken_for_payload(payload: bytes, cut: int) -> None:
    stream = stream_of(payload, declared=False)
    parser = StreamParser()
    parser.feed(memoryview(stream)[: len(stream) - cut])
    assert parser.payload_bytes <= len(payload)


def test_payload_is_given_out_as_views_of_the_chunk() -> None:
    stream = stream_of(bytes(1000), declared=True)
    (piece,) = StreamParser().feed(memoryview(stream))
    assert isinstance(piece, memoryview)
    assert piece.obj is stream


def test_with_a_declared_size_nothing_is_held_back() -> None:
    parser = StreamParser()
    stream = stream_of(bytes(1000), declared=True)
    parser.feed(memoryview(stream)[: HEADER_BYTES + 1000])
    assert parser.payload_bytes == 1000


@given(
    flow_id=st.integers(0, 2**64 - 1),
    size=st.none() | st.integers(0, 2**63 - 1),
    hashed=st.booleans(),
    attempt=st.none() | st.tuples(st.integers(1, 2**64 - 1), st.integers(0, 2**63 - 1)),
)
def test_header_round_trip(
    flow_id: int, size: int | None, hashed: bool, attempt: tuple[int, int] | None
) -> None:
    epoch, start = attempt or (1, 0)
    start = start if size is None else min(start, size)
    token = flow_token(RUN, flow_id)
    fresh = attempt is not None and start == 0 and hashed
    header = FlowHeader(flow_id, token, size, hashed, attempt is not None, epoch, start, fresh)
    assert len(header.encode()) == HEADER_BYTES
    assert FlowHeader.decode(header.encode()) == header


@given(payload=payloads, declared=st.booleans(), cuts=cuts, data=st.data())
def test_a_flow_cut_at_any_offsets_continues_over_new_connections(
    payload: bytes, declared: bool, cuts: list[int], data: st.DataObject
) -> None:
    """Every connection but the last is lost at any byte; what was read twice is the same."""
    token = flow_token(RUN, FLOW)
    size = len(payload) if declared else None
    trailer = FlowTrailer(token, len(payload), hashlib.sha256(payload).digest())
    got = b""
    epochs = data.draw(st.integers(1, 5))
    for epoch in range(1, epochs + 1):
        start = data.draw(st.integers(0, len(got)))
        header = FlowHeader(FLOW, token, size, True, True, epoch, start)
        stream = header.encode() + payload[start:] + trailer.encode()
        kept = len(stream) if epoch == epochs else data.draw(st.integers(0, len(stream)))
        parser = StreamParser()
        pieces = [bytes(p) for c in chunks(stream[:kept], cuts) for p in parser.feed(c)]
        arrived = b"".join(pieces)
        assert payload[start:].startswith(arrived)
        got = max(got, payload[:start] + arrived, key=len)
        if parser.header is not None:
            assert parser.next_offset == start + len(arrived)
    assert parser.finish() == trailer
    assert got == payload


@pytest.mark.parametrize(("epoch", "start", "size"), [(0, 0, 9), (1, 10, 9), (1, -1, None)])
def test_an_attempt_that_cannot_be_is_refused(epoch: int, start: int, size: int | None) -> None:
    with pytest.raises(HeaderError, match=f"attempt {epoch} from byte {start}"):
        FlowHeader(FLOW, flow_token(RUN, FLOW), size, True, True, epoch, start)


def test_a_receiver_without_custody_says_that_the_flow_is_in_custody() -> None:
    header = FlowHeader(FLOW, flow_token(RUN, FLOW), 9, custody=True)
    with pytest.raises(HeaderError, match="listen with custody"):
        StreamVerifier(RUN).feed(memoryview(header.encode()))


def test_a_flow_without_custody_has_one_attempt_from_its_first_byte() -> None:
    with pytest.raises(HeaderError, match="attempt 2 at 0"):
        FlowHeader(FLOW, flow_token(RUN, FLOW), 9, transfer_epoch=2)


def test_a_flow_of_another_run_is_refused() -> None:
    with pytest.raises(HeaderError, match="does not belong to run 'run-1'"):
        judge(stream_of(b"x" * 100, declared=True, run="run-2"), [])


def test_a_foreign_stream_is_refused_at_its_first_bytes() -> None:
    with pytest.raises(HeaderError, match="begins with b'GET '"):
        StreamVerifier(RUN).feed(memoryview(b"GET "))


def test_bytes_after_the_trailer_are_refused() -> None:
    parser = StreamParser()
    parser.feed(memoryview(stream_of(b"abc", declared=True)))
    with pytest.raises(TrailerError, match="more bytes follow"):
        parser.feed(memoryview(b"x"))


def test_end_of_stream_says_where_it_was_cut() -> None:
    stream = stream_of(b"x" * 100, declared=True)
    parser = StreamParser()
    parser.feed(memoryview(stream)[: HEADER_BYTES + 60])
    with pytest.raises(TruncatedError, match="after 60 payload bytes of 100 declared"):
        parser.finish()


def test_a_later_version_is_named_in_the_refusal() -> None:
    header = bytearray(stream_of(b"", declared=True)[:HEADER_BYTES])
    header[8:10] = (3).to_bytes(2, "big")
    header[-8:] = hashlib.sha256(header[:-8]).digest()[:8]
    with pytest.raises(HeaderError, match="version 3"):
        FlowHeader.decode(bytes(header))


def test_trailer_of_another_flow_is_refused() -> None:
    mine = stream_of(b"abc", declared=False)
    other = stream_of(b"abc", declared=False, flow_id=43)
    parser = StreamParser()
    parser.feed(memoryview(mine[:-TRAILER_BYTES] + other[-TRAILER_BYTES:]))
    with pytest.raises(TrailerError, match="token"):
        parser.finish()


def test_token_depends_on_run_and_flow() -> None:
    tokens = {flow_token(run, flow) for run in ("a", "b", "1") for flow in (1, 11, 2)}
    assert len(tokens) == 9
