"""What the FSU took per packet in the runs, in words (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sentinel_sim.report.chart import arm_rank

KINDS = {"xdp": "inner (XDP)", "tc": "outer (tc)"}
"""Kind of program -> the ends it runs at; with `fsu_outer: xdp` the outer ends are among XDP's."""


def fsu_cost_notes(result: Mapping[str, Any]) -> list[str]:
    """A line for each arm, and how to read them; nothing where it was not measured.

    Over all runs of the programs in an arm's valid runs; from the cheapest to the dearest point.
    """
    by_arm: dict[str, list[Mapping[str, Any]]] = {}
    for run in result["runs"]:
        cost = run["cpu"].get("fsu_cost")
        if run["valid"] and cost is not None:
            by_arm.setdefault(run["arm"], []).append(cost)
    texts = {arm: _figures(by_arm[arm]) for arm in sorted(by_arm, key=arm_rank)}
    lines = [f"FSU, ns per packet: {arm}: {text}" for arm, text in texts.items() if text]
    if not lines:
        return []
    empty = [cost["empty_program_ns"] for costs in by_arm.values() for cost in costs]
    least = min((ns for ns in empty if ns is not None), default=None)
    reading = "" if least is None else f"; a program that does nothing reads {least:.0f} ns here"
    return [
        *lines,
        "FSU: by the kernel's own statistics (bpf_stats) while traffic ran, nothing subtracted"
        f"{reading}; super-packets are one at tc; by run and point: cpu.fsu_cost in result.json",
    ]


def _figures(costs: Sequence[Mapping[str, Any]]) -> str:
    parts = []
    for kind, ends in KINDS.items():
        found = [p for cost in costs for p in cost.get(kind, {}).get("points", {}).values()]
        points = [point for point in found if point["runs"]]
        if points:
            parts.append(f"{ends} {_mean_and_range(points)}")
    return ", ".join(parts)


def _mean_and_range(points: Sequence[Mapping[str, Any]]) -> str:
    runs = sum(point["runs"] for point in points)
    time_ns = sum(point["runs"] * point["ns_per_run"] for point in points)
    each = [point["ns_per_run"] for point in points]
    return (
        f"{time_ns / runs:.0f} over {runs:,} packets"
        f" ({min(each):.0f} to {max(each):.0f} by run and point)"
    )
