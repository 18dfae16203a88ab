"""Whether the watchdog mended what broke: incidents counted one by one (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sentinel_sim.evidence.counting import Count, verdict_of
from sentinel_sim.evidence.verdict import Verdict
from sentinel_sim.evidence.view import Run, View, counted

CLAIM = "self-repair"
MS_NS = 1e6
Incident = Mapping[str, Any]


def judge(view: View) -> list[Verdict]:
    """Two verdicts for each arm whose runs saw an incident: counted, so one left broken refutes."""
    found = []
    for group in view.groups:
        runs = [run for run in group.valid if run.get("repairs")]
        if runs:
            found += [verdict_of(group, runs, one, _any) for one in (_mended(runs), _whole(runs))]
    return found


def _any(_: Run) -> bool:
    """A run in which nothing broke lacks nothing."""
    return True


def _mended(runs: Sequence[Run]) -> Count:
    incidents = [event for run in runs for event in run["repairs"]]
    mended = [event for event in incidents if event.get("repaired")]
    why = _times(incidents, mended)
    return Count(CLAIM, "incidents repaired", len(mended), len(incidents), "incident", why)


def _times(incidents: Sequence[Incident], mended: Sequence[Incident]) -> str:
    detect_ms = max(int(event.get("time_to_detect_ns") or 0) for event in incidents) / MS_NS
    words = f"every incident is recorded; detected within {detect_ms:,.0f} ms"
    if mended:
        repair_ms = max(int(event.get("time_to_repair_ns") or 0) for event in mended) / MS_NS
        words += f", repaired {repair_ms:,.0f} ms later at most"
    broken = {f"{e.get('fault')} at {e.get('target')}" for e in incidents if not e.get("repaired")}
    return words + (f"; not repaired: {', '.join(sorted(broken))}" if broken else "")


def _whole(runs: Sequence[Run]) -> Count:
    right = sum(len(run["repairs"]) for run in runs if _arrived_whole(run))
    of = sum(len(run["repairs"]) for run in runs)
    why = f"every flow of {counted(len(runs), 'run')} is checked at its end"
    part = "incidents in runs whose flows all arrived whole"
    return Count(CLAIM, part, right, of, "incident", why)


def _arrived_whole(run: Run) -> bool:
    """Every hash was right; where a flow broke off there is none, nor where hashing was off."""
    if isinstance(run.get("sha256_ok"), bool):
        return bool(run["sha256_ok"])
    return run.get("bytes_delivered") == run.get("bytes_sent")
