"""From two readings of the kernel's statistics to ns per packet."""

from __future__ import annotations

from sentinel_bpf.loader import ProgramStats
from sentinel_sim.backends.emulated.fsu_cost import cost_of


def reading(time_ns: int, runs: int) -> ProgramStats:
    return ProgramStats("flow_stabilizat", 0, 0, 0, time_ns, runs)


def test_only_what_came_between_the_readings_counts() -> None:
    before = {"n0/a": reading(1_000_000, 10), "n1/a": reading(5, 1)}
    after = {"n0/a": reading(1_000_300, 12), "n1/a": reading(605, 7)}
    found = cost_of(before, after)
    assert found["points"] == {
        "n0/a": {"packets": 2, "ns_per_packet": 150.0},
        "n1/a": {"packets": 6, "ns_per_packet": 100.0},
    }
    # By packets, not by points: 900 ns over 8.
    assert found["ns_per_packet"] == 112.5


def test_without_packets_there_is_no_figure() -> None:
    same = {"n0/a": reading(1_000, 10)}
    assert cost_of(same, same) == {
        "ns_per_packet": None,
        "points": {"n0/a": {"packets": 0, "ns_per_packet": None}},
    }
