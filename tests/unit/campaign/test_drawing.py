"""Faults and sources are drawn evenly, in order, and the same for the same seed."""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.emulated.specs import line

from sentinel_sim.campaign.drawing import (
    SAME_NODE_NS,
    TRANSFERS_MOST,
    Deck,
    Source,
    blow_of,
    blows,
    draw_faults,
    draw_transfers,
    sources,
)
from sentinel_sim.plan.model import FaultKind

ALL = blows(line())


def test_every_daemon_and_every_link_can_be_struck_in_every_way() -> None:
    struck = {(blow.label, blow.target) for blow in ALL}
    kills = {target for label, target in struck if label == "kill-daemon"}
    assert kills == {"s", "m", "r"}
    assert {t for label, t in struck if label == "partition (control)"} == {"s--m", "m--r"}
    assert len(struck) == len(ALL) == 3 * 3 + 2 * 4


@given(st.integers(0, 2**32), st.integers(1, 5))
def test_a_deck_deals_every_blow_equally_often(seed: int, rounds: int) -> None:
    deck = Deck(ALL, random.Random(seed))
    dealt = Counter(deck.deal() for _ in range(rounds * len(ALL)))
    assert set(dealt.values()) == {rounds}


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_faults_come_in_order_and_never_twice_at_once_at_one_target(seed: int, count: int) -> None:
    faults = draw_faults(Deck(ALL, random.Random(seed)), count, random.Random(seed))
    assert [fault.index for fault in faults] == list(range(count))
    over_ns: dict[str, int] = {}
    before_ns = 0
    for fault in faults:
        assert fault.at_ns is not None
        assert fault.at_ns >= max(before_ns, over_ns.get(fault.target, 0))
        before_ns = fault.at_ns
        over_ns[fault.target] = fault.at_ns + SAME_NODE_NS + (fault.for_ns or 0)
        assert fault.strikes_link == (blow_of(fault).target in {"s--m", "m--r"})
        assert not fault.strikes_link or fault.for_ns is not None
        assert (fault.corrupt > 0) == (fault.kind is FaultKind.CORRUPT_CONTROL)
        assert (fault.replay > 0) == (fault.kind is FaultKind.REPLAY_CONTROL)


@given(st.integers(0, 2**32), st.integers(1, 200))
def test_at_least_half_of_the_sources_cannot_be_read_again(seed: int, count: int) -> None:
    drawn = list(islice(sources(random.Random(seed)), count))
    assert 2 * drawn.count(Source.PIPE) >= count


def test_transfers_use_every_path_in_turn() -> None:
    drawn = draw_transfers(3, random.Random(1))
    assert [flow.path for flow in drawn[:4]] == [0, 1, 2, 0]
    assert len({flow.flow_id for flow in drawn}) == TRANSFERS_MOST
