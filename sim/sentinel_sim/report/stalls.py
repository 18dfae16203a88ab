"""Did the host hold its processors up during a run? In words (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def stalled_share(cpu: Mapping[str, Any]) -> float:
    """Share of the time that the worst of the watched CPUs was held up; 0 if none was watched."""
    return max((one["stalled_share"] for one in (cpu.get("stalls") or {}).values()), default=0.0)


def worst_stalled(records: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Of several `cpu` records, the one with the worst stalls."""
    return max(records, key=stalled_share, default={})


def stalls_text(cpu: Mapping[str, Any]) -> str:
    """One clause about a run's `cpu` record: did the host hold its CPUs up? Empty: unknown."""
    stalls: Mapping[str, Mapping[str, float]] = cpu.get("stalls") or {}
    if not stalls:
        return ""
    name = max(stalls, key=lambda one: stalls[one]["stalled_share"])
    worst = stalls[name]
    steal = cpu.get("steal_share")
    stolen = "" if steal is None else f"; {steal:.1%} of the CPU time went to other guests"
    return (
        f"the host held {name} up for {worst['stalled_share']:.1%} of the time, at worst for"
        f" {worst['late_max_s'] * 1e3:.1f} ms (wake-ups p99 {worst['late_p99_s'] * 1e3:.2f} ms"
        f" late){stolen}"
    )
