"""What the FSU took per packet in the runs, in words (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sentinel_sim.report.chart import arm_rank


def fsu_cost_notes(result: Mapping[str, Any]) -> list[str]:
    """A line for each arm, and how to read them; nothing where it was not measured.

    Over all packets of an arm's valid runs; between the cheapest and the dearest point of any run.
    """
    by_arm: dict[str, list[Mapping[str, Any]]] = {}
    for run in result["runs"]:
        cost = run["cpu"].get("fsu_cost")
        if run["valid"] and cost is not None and cost["ns_per_packet"] is not None:
            by_arm.setdefault(run["arm"], []).append(cost)
    if not by_arm:
        return []
    lines = [f"FSU: {arm}: {_figures(by_arm[arm])}" for arm in sorted(by_arm, key=arm_rank)]
    empty = [c["empty_program_ns"] for costs in by_arm.values() for c in costs]
    least = min((ns for ns in empty if ns is not None), default=None)
    reading = "" if least is None else f"; a program that does nothing reads {least:.0f} ns here"
    return [
        *lines,
        "FSU: by the kernel's own statistics (bpf_stats) while traffic ran, nothing subtracted"
        f"{reading}; by run and point: cpu.fsu_cost in result.json",
    ]


def _figures(costs: list[Mapping[str, Any]]) -> str:
    points = [point for cost in costs for point in cost["points"].values() if point["packets"]]
    packets = sum(point["packets"] for point in points)
    time_ns = sum(point["packets"] * point["ns_per_packet"] for point in points)
    each = [point["ns_per_packet"] for point in points]
    return (
        f"{time_ns / packets:.0f} ns per packet over {packets:,} packets"
        f" ({min(each):.0f} to {max(each):.0f} by run and point)"
    )
