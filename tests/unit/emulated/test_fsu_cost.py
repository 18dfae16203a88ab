"""From two readings of the kernel's statistics to ns per run."""

from __future__ import annotations

from sentinel_bpf.loader import ProgramStats
from sentinel_sim.backends.emulated.fsu_cost import cost_of


def reading(time_ns: int, runs: int) -> ProgramStats:
    return ProgramStats("flow_stabilizat", 0, 0, 0, time_ns, runs)


def test_only_what_came_between_the_readings_counts() -> None:
    before = {"xdp": {"n0/a": reading(1_000_000, 10), "n1/a": reading(5, 1)}}
    after = {"xdp": {"n0/a": reading(1_000_300, 12), "n1/a": reading(605, 7)}}
    found = cost_of(before, after)["xdp"]
    assert found["points"] == {
        "n0/a": {"runs": 2, "ns_per_run": 150.0},
        "n1/a": {"runs": 6, "ns_per_run": 100.0},
    }
    # By runs, not by points: 900 ns over 8.
    assert (found["runs"], found["ns_per_run"]) == (8, 112.5)


def test_a_program_loaded_in_between_had_run_nothing() -> None:
    found = cost_of({"xdp": {}}, {"xdp": {}, "tc": {"n0/a": reading(600, 3)}})
    assert found["tc"]["points"] == {"n0/a": {"runs": 3, "ns_per_run": 200.0}}
    assert found["xdp"] == {"runs": 0, "ns_per_run": None, "points": {}}


def test_without_packets_there_is_no_figure() -> None:
    same = {"xdp": {"n0/a": reading(1_000, 10)}}
    assert cost_of(same, same)["xdp"] == {
        "runs": 0,
        "ns_per_run": None,
        "points": {"n0/a": {"runs": 0, "ns_per_run": None}},
    }
