"""Recording and replaying control messages, as a fault."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_node.core.control.replaying import KEPT_MOST, MESSAGE_BYTES_MOST, Replayer

MESSAGES = st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=200)


@given(MESSAGES)
def test_nothing_is_replayed_unless_asked(messages: list[bytes]) -> None:
    replayer = Replayer()
    assert [replayer.after(one) for one in messages] == [None] * len(messages)
    assert replayer.replayed == 0


@given(MESSAGES, st.integers(0, 2**64 - 1))
def test_only_what_was_sent_lately_is_replayed(messages: list[bytes], seed: int) -> None:
    replayer = Replayer()
    replayer.set(1.0, seed)
    for count, sent in enumerate(messages, start=1):
        old = replayer.after(sent)
        assert old in messages[max(0, count - KEPT_MOST) : count]
        assert replayer.replayed == count


@given(MESSAGES, st.floats(0, 1), st.integers(0, 2**64 - 1))
def test_a_seed_gives_the_same_replays(messages: list[bytes], share: float, seed: int) -> None:
    twins = Replayer(), Replayer()
    for one in twins:
        one.set(share, seed)
    assert [twins[0].after(m) for m in messages] == [twins[1].after(m) for m in messages]


def test_the_share_is_kept_and_ends() -> None:
    replayer = Replayer()
    replayer.set(0.25, 7)
    found = [replayer.after(b"%d" % n) for n in range(4000)]
    assert 900 < sum(one is not None for one in found) == replayer.replayed < 1100
    replayer.set(0.0, 7)
    assert replayer.after(b"x") is None
    assert replayer.replayed > 900


def test_what_is_too_large_is_not_kept() -> None:
    replayer = Replayer()
    replayer.set(1.0, 1)
    assert replayer.after(bytes(MESSAGE_BYTES_MOST + 1)) is None
    assert replayer.after(b"small") == b"small"


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_its_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        Replayer().set(share, 1)
