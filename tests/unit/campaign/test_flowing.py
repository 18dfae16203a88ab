"""When data flows again is told by the longest pause in the wake of a fault."""

from __future__ import annotations

from sentinel_sim.campaign.flowing import ALONE_NS, MS, flow_again_ns

STEADY = [10 * MS * i for i in range(1000)]


def without(begin_ms: int, end_ms: int) -> list[int]:
    return [t for t in STEADY if not begin_ms * MS < t < end_ms * MS]


def test_it_is_the_end_of_the_pause() -> None:
    assert flow_again_ns(without(1020, 1700), 1000 * MS, None) == 700 * MS


def test_what_ends_after_the_wake_still_counts_whole() -> None:
    assert flow_again_ns(without(1020, 5000), 1000 * MS, None) == 4000 * MS


def test_no_pause_is_no_interruption() -> None:
    assert flow_again_ns(STEADY, 1000 * MS, None) is None
    assert flow_again_ns(without(300, 700), 1000 * MS, None) is None, "it was before"
    assert flow_again_ns([], 1000 * MS, None) is None


def test_another_fault_in_its_wake_leaves_it_untold() -> None:
    begun_ns = 1000 * MS
    assert flow_again_ns(without(1020, 1700), begun_ns, begun_ns + ALONE_NS - 1) is None
    assert flow_again_ns(without(1020, 1700), begun_ns, begun_ns + ALONE_NS) == 700 * MS
