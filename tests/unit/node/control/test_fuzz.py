"""A sample of benchmarks/fuzz_control.py, and that it would notice what it looks for."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import get_args

import pytest
from benchmarks.fuzz_control import Failure, run
from benchmarks.fuzzing.cores import FuzzNode
from benchmarks.fuzzing.daemon import DaemonNode
from benchmarks.fuzzing.messages import MAKERS
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.node.control.strategies import IN_SESSION

from sentinel_node.core.control.codec import Message, encode
from sentinel_node.core.control.messages import Forecast, Pull, Version
from sentinel_node.core.control.refusals import Reason, Refusal
from sentinel_node.core.sync.link import LinkSender


def test_no_crash_and_no_state_change_by_a_refused_message() -> None:
    accepted, refused = run(10_000, seed=20_261_122)
    assert sum(accepted.values()) > 500
    assert len(accepted) >= 13  # nearly every kind of message is accepted now and then
    assert set(refused) >= {
        Reason.BAD_TAG, Reason.MALFORMED, Reason.BAD_VALUE, Reason.REPLAYED, Reason.OUTDATED,
        Reason.STALE_EPOCH, Reason.UNKNOWN_FLOW, Reason.WRONG_PEER, Reason.BEYOND_SENT,
        Reason.DAMAGED, Reason.UNEXPECTED, Reason.TABLE_FULL, Reason.FOREIGN_SESSION,
    }  # fmt: skip


async def test_the_daemon_is_not_changed_by_what_it_refuses() -> None:
    accepted, refused = run(4_000, seed=20_261_123, target=DaemonNode)
    assert set(accepted) >= {"Forecast", "PathMetadata", "Pull", "RateAdvice", "SyncCheck"} | {
        "WindowOffer"
    }
    assert set(refused) >= {Reason.WRONG_PEER, Reason.STALE_EPOCH, Reason.UNKNOWN_FLOW}


def test_every_kind_of_message_is_thrown() -> None:
    rng = Random(1)
    assert {type(make(rng)) for make in MAKERS} == set(get_args(Message))


async def test_a_neighbour_tells_nothing_of_this_nodes_own_flows() -> None:
    node = DaemonNode()
    core = node.sync._core
    stamp = Version(2, 50)
    forged = replace(core._own[1].forecaster.state, version=stamp, peak_rate_Bps=1)
    path = replace(core.logs[1].path, version=stamp)  # type: ignore[type-var]
    before = core._table.get(1), core._book.get(1), core._shares.rate_Bps(1, 1 << 40)
    node.endpoint.receive(node.peer.seal(Forecast(stamp, forged)), now_ns=0)
    refused = node.endpoint.receive(node.peer.seal(path), now_ns=0)
    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.WRONG_PEER
    assert before == (core._table.get(1), core._book.get(1), core._shares.rate_Bps(1, 1 << 40))


def test_the_fuzzer_notices_a_change_and_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(self: LinkSender, pull: Pull) -> Refusal:
        self.epoch += 1
        return Refusal(Reason.STALE_EPOCH, "changed all the same")

    def crash(self: LinkSender, pull: Pull) -> None:
        raise KeyError(pull.epoch)

    for broken, text in ((change, "state changed"), (crash, "crash: KeyError")):
        monkeypatch.setattr(LinkSender, "on_pull", broken)
        with pytest.raises(Failure) as caught:
            run(2_000, seed=1)
        assert text in caught.value.what


@given(messages=st.lists(IN_SESSION, min_size=1, max_size=8), data=st.data())
def test_any_message_damaged_or_not_changes_a_node_only_if_it_is_taken(
    messages: list[Message], data: st.DataObject
) -> None:
    node = FuzzNode()
    for message in messages:
        body = bytearray(encode(message))
        if data.draw(st.booleans()):
            body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
        before = node.fingerprint()
        result = node.endpoint.receive(node.peer.seal_body(bytes(body)), now_ns=0)
        assert not isinstance(result, Refusal) or node.fingerprint() == before


def test_equal_nodes_have_equal_fingerprints() -> None:
    assert FuzzNode().fingerprint() == FuzzNode().fingerprint()
