"""Only what the peer said, in this session, in this direction, once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.node.control.strategies import IN_SESSION

from sentinel_node.core.control.codec import Message, encode
from sentinel_node.core.control.endpoint import Endpoint, Handled, Opened
from sentinel_node.core.control.messages import Heartbeat, Hello, Version
from sentinel_node.core.control.refusals import Reason, Refusal
from sentinel_node.core.control.sessions import (
    REPLAY_WINDOW,
    ReplayWindow,
    Session,
    open_hello,
    parse_envelope,
    seal_hello,
)
from sentinel_proto.v1 import control_pb2 as pb

SECRET = b"a secret of the test"
A = Hello("a", "b", 3, b"a" * 32, 10)
B = Hello("b", "a", 5, b"b" * 32, 10)
BEAT = Heartbeat(Version(3, 1), 7, 11)


def pair() -> tuple[Session, Session]:
    return Session(SECRET, own=A, peer=B), Session(SECRET, own=B, peer=A)


def opened(session: Session, data: bytes) -> Message | Refusal:
    envelope = parse_envelope(data)
    assert not isinstance(envelope, Refusal)
    return session.open(envelope)


def reason(result: object) -> Reason:
    assert isinstance(result, Refusal)
    return result.reason


@given(st.lists(IN_SESSION, min_size=1, max_size=5))
def test_both_ends_derive_the_same_keys(messages: list[Message]) -> None:
    a, b = pair()
    assert [opened(b, a.seal(message)) for message in messages] == messages
    assert [opened(a, b.seal(message)) for message in messages] == messages


def test_another_secret_session_or_direction_is_refused() -> None:
    a, b = pair()
    sealed = a.seal(BEAT)
    assert reason(opened(a, sealed)) is Reason.BAD_TAG  # reflected
    other = Session(SECRET, own=B, peer=Hello("a", "b", 3, b"c" * 32, 10))
    assert reason(opened(other, sealed)) is Reason.FOREIGN_SESSION
    thief = Session(b"another secret...", own=A, peer=B)
    forged = pb.Envelope.FromString(thief.seal(BEAT))
    forged.session = b.number
    assert reason(b.open(forged)) is Reason.BAD_TAG
    assert opened(b, sealed) == BEAT


@given(st.data())
def test_a_changed_envelope_is_refused_and_changes_nothing(data: st.DataObject) -> None:
    a, b = pair()
    sealed = bytearray(a.seal(BEAT))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    envelope = parse_envelope(bytes(sealed))
    if not isinstance(envelope, Refusal):
        result = b.open(envelope)
        assert isinstance(result, Refusal)
    assert b.highest_received == 0
    assert not b.confirmed


def test_bytes_that_no_tag_covers_are_refused() -> None:
    a, b = pair()
    sealed = a.seal(BEAT)
    for more in (b"\x10\x01", b"\x2a\x01x"):  # the sequence once more; an unknown field
        assert reason(parse_envelope(sealed + more)) is Reason.MALFORMED
    assert opened(b, sealed) == BEAT


@given(st.lists(st.integers(1, 3 * REPLAY_WINDOW), max_size=200))
def test_a_sequence_is_taken_once_and_not_when_too_old(sequences: list[int]) -> None:
    window, taken = ReplayWindow(), set[int]()
    for sequence in sequences:
        refusal = window.check(sequence)
        newest = max(taken, default=0)
        if sequence in taken and sequence > newest - REPLAY_WINDOW:
            assert reason(refusal) is Reason.REPLAYED
        elif newest - sequence >= REPLAY_WINDOW:
            assert reason(refusal) is Reason.TOO_OLD
        else:
            assert refusal is None
            window.mark(sequence)
            taken.add(sequence)
        assert window.highest == max(taken, default=0)


def test_a_hello_proves_the_secret_and_names_both_ends() -> None:
    sealed = pb.Envelope.FromString(seal_hello(SECRET, A))
    assert open_hello(SECRET, sealed, node="b", peer="a") == A
    assert reason(open_hello(b"x" * 16, sealed, node="b", peer="a")) is Reason.BAD_TAG
    assert reason(open_hello(SECRET, sealed, node="c", peer="a")) is Reason.WRONG_PEER
    assert reason(open_hello(SECRET, sealed, node="b", peer="c")) is Reason.WRONG_PEER


def test_a_replayed_hello_opens_nothing_that_the_thief_could_use() -> None:
    recorded = Endpoint(SECRET, A, {}).hello()
    victim = Endpoint(SECRET, B, {Heartbeat: lambda peer, message, now_ns: None})
    assert isinstance(victim.receive(recorded, now_ns=0), Opened)
    assert not victim.confirmed  # nothing was proved yet
    old = Session(SECRET, own=A, peer=Hello("b", "a", 5, b"old" + bytes(29), 10))
    assert reason(victim.receive(old.seal(BEAT), now_ns=0)) is Reason.FOREIGN_SESSION
    assert not victim.confirmed
    assert isinstance(victim.receive(Session(SECRET, own=A, peer=B).seal(BEAT), now_ns=0), Handled)
    assert victim.confirmed


def test_an_endpoint_counts_refusals_by_reason() -> None:
    a, b = Endpoint(SECRET, A, {}), Endpoint(SECRET, B, {})
    assert reason(b.receive(a.hello()[:-1], now_ns=0)) in (Reason.MALFORMED, Reason.BAD_TAG)
    assert isinstance(b.receive(a.hello(), now_ns=0), Opened)
    assert isinstance(a.receive(b.hello(), now_ns=0), Opened)
    assert reason(b.receive(a.hello(), now_ns=0)) is Reason.FOREIGN_SESSION
    assert reason(b.receive(a.send(BEAT), now_ns=0)) is Reason.UNEXPECTED
    assert b.refused.total == 3


@given(IN_SESSION)
def test_forged_foreign_and_replayed_never_reach_a_core(message: Message) -> None:
    """Whatever kind it is: it is counted by its reason, and no route hears of it."""
    taken: list[object] = []
    routes = {type(message): lambda peer, got, now_ns: taken.append((peer, got))}
    a, b = Endpoint(SECRET, A, {}), Endpoint(SECRET, B, routes)
    b.receive(a.hello(), now_ns=0)
    a.receive(b.hello(), now_ns=0)
    forged = pb.Envelope.FromString(Session(b"another secret...", own=A, peer=B).seal(message))
    forged.session = pb.Envelope.FromString(Session(SECRET, own=A, peer=B).seal(message)).session
    earlier = Hello("a", "b", 2, b"c" * 32, 10)
    foreign = Session(SECRET, own=earlier, peer=B).seal(message)

    assert reason(b.receive(forged.SerializeToString(), now_ns=0)) is Reason.BAD_TAG
    assert reason(b.receive(foreign, now_ns=0)) is Reason.FOREIGN_SESSION
    assert not taken
    assert not b.confirmed
    sealed = a.send(message)
    assert isinstance(b.receive(sealed, now_ns=0), Handled)
    assert reason(b.receive(sealed, now_ns=0)) is Reason.REPLAYED
    assert taken == [("a", message)]
    assert b.refused.counts == dict.fromkeys(
        (Reason.BAD_TAG, Reason.FOREIGN_SESSION, Reason.REPLAYED), 1
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: seal_hello(b"short", A),
        lambda: Session(b"short", own=A, peer=B),
        lambda: Endpoint(b"short", A, {}),
    ],
)
def test_a_short_secret_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="at least 16 bytes"):
        make()


def test_equal_messages_have_equal_bytes() -> None:
    assert encode(BEAT) == encode(Heartbeat(Version(3, 1), 7, 11))
