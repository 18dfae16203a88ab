"""Shares of links follow the flows that are live; advice goes upstream only where it is news."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_node.core.control.messages import PathHop, PathMetadata, Version
from sentinel_node.core.sync.advice import Adviser
from sentinel_node.core.sync.shares import LinkShares, is_material

MS = 1_000_000
ASKED = 10_000_000


def path(flow_id: int, *nodes: str, mbit: tuple[int, ...] = ()) -> PathMetadata:
    rates = (0, *(mbit or [80] * (len(nodes) - 1)))
    hops = tuple(PathHop(n, MS, rate * 10**6) for n, rate in zip(nodes, rates, strict=True))
    return PathMetadata(flow_id, Version(1, flow_id), hops)


def test_a_flow_among_many_that_are_not_live_has_the_whole_path() -> None:
    shares = LinkShares()
    for flow_id in range(20):
        shares.begin(path(flow_id, "a", "b", "c", mbit=(80, 40)))
        assert shares.rate_Bps(flow_id, ASKED) == 5_000_000
        shares.end(flow_id)
    shares.begin(path(1, "a", "b"))
    shares.begin(path(2, "x", "b"))
    assert shares.rate_Bps(1, ASKED) == ASKED, "flow 2 uses another link"
    shares.begin(path(3, "a", "b", "c"))
    assert (shares.rate_Bps(1, ASKED), shares.rate_Bps(2, ASKED)) == (ASKED // 2, ASKED)
    assert shares.rate_Bps(3, 1000) == 1000, "never more than it asks for"
    shares.begin(path(3, "a", "x", "c"))
    assert shares.rate_Bps(1, ASKED) == ASKED, "flow 3 went over to another path"


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=60))
def test_live_flows_never_share_out_more_than_a_link_has(events: list[tuple[int, bool]]) -> None:
    shares, live = LinkShares(), set()
    for flow_id, begins in events:
        if begins:
            shares.begin(path(flow_id, "a", "b"))
            live.add(flow_id)
        else:
            shares.end(flow_id)
            live.discard(flow_id)
        assert set(shares) == live
        rates = [shares.rate_Bps(one, ASKED) for one in live]
        assert not rates or ASKED - len(rates) < sum(rates) <= ASKED


def test_the_next_nodes_word_limits_and_an_older_one_is_not_believed() -> None:
    shares = LinkShares()
    shares.begin(path(1, "a", "b"))
    assert shares.on_advice(1, Version(1, 5), 2_000_000)
    assert not shares.on_advice(1, Version(1, 5), 9_000_000)
    shares.begin(path(1, "a", "b"))
    assert shares.rate_Bps(1, ASKED) == 2_000_000, "the path was only told again"
    assert shares.on_advice(1, Version(2, 1), 4_000_000)
    assert shares.rate_Bps(1, ASKED) == 4_000_000
    shares.begin(path(1, "a", "c", "b"))
    assert shares.rate_Bps(1, ASKED) == ASKED, "advice was of another path"
    with pytest.raises(KeyError):
        shares.on_advice(2, Version(1, 1), 1)


@pytest.mark.parametrize(("new", "material"), [(80, True), (81, False), (125, True), (124, False)])
def test_a_quarter_is_material(new: int, material: bool) -> None:
    assert is_material(100, new) is material
    assert is_material(new, 100) is material


def test_advice_is_given_where_upstream_promises_too_much_and_lifted_again() -> None:
    adviser = Adviser(7)
    adviser.begin(1, "up")
    assert adviser.offer(1, 100, 100) is None
    assert adviser.offer(1, 200, 100) is None, "more than was asked for is no news"
    assert adviser.offer(1, 50, 100) == "up"
    assert adviser.offer(1, 25, 100) == "up"
    said = adviser.take("up")
    assert said is not None
    assert (said.flow_id, said.rate_Bps, said.stamp.epoch) == (1, 25, 7), "the latest value only"
    assert adviser.take("up") is None
    assert adviser.offer(1, 26, 25) is None
    assert adviser.offer(1, 100, 25) == "up"
    lifted = adviser.take("up")
    assert lifted is not None
    assert lifted.rate_Bps == 100
    assert lifted.stamp > said.stamp
    assert adviser.repeat("up")
    again = adviser.take("up")
    assert again is not None
    assert again.stamp > lifted.stamp, "what may have been lost is said again, as newer"
    adviser.offer(1, 10, 100)
    adviser.end(1)
    assert adviser.take("up") is None
    assert not adviser.repeat("up")
    assert adviser.offer(1, 1, 100) is None
