"""Whether the watchdog mended what broke: incidents counted one by one (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sentinel_sim.evidence.counting import every_run
from sentinel_sim.evidence.verdict import Outcome, Verdict
from sentinel_sim.evidence.view import Group, Run, View, counted, keys_of

CLAIM = "self-repair"
ERROR = 0.05
MS_NS = 1e6
Incident = Mapping[str, Any]


def judge(view: View) -> list[Verdict]:
    """Two verdicts for each arm whose runs saw an incident."""
    found = []
    for group in view.groups:
        runs = [run for run in group.valid if run.get("repairs")]
        if runs:
            found += [_incidents(group, runs), _flows(group, runs)]
    return found


def _incidents(group: Group, runs: Sequence[Run]) -> Verdict:
    """Counted, so one that stayed broken refutes.

    The interval is Clopper and Pearson's (1934, Biometrika 26), one-sided; where all were repaired
    it has a closed form.
    """
    incidents = [event for run in runs for event in run["repairs"]]
    mended = [event for event in incidents if event.get("repaired")]
    share = len(mended) / len(incidents)
    whole = len(mended) == len(incidents)
    return Verdict(
        CLAIM,
        Outcome.HOLDS if whole else Outcome.FAILS,
        part="incidents repaired",
        arm=group.arm,
        condition=group.condition,
        figure=share,
        ci=(ERROR ** (1 / len(incidents)), 1.0) if whole else None,
        bound="every one",
        limit=1.0,
        text=f"{len(mended)} of {len(incidents)}",
        n=len(runs),
        evidence=keys_of(runs),
        why=_times(incidents, mended),
    )


def _times(incidents: Sequence[Incident], mended: Sequence[Incident]) -> str:
    detect_ms = max(int(event.get("time_to_detect_ns") or 0) for event in incidents) / MS_NS
    words = f"exact: every incident is recorded; detected within {detect_ms:,.0f} ms"
    if mended:
        repair_ms = max(int(event.get("time_to_repair_ns") or 0) for event in mended) / MS_NS
        words += f", repaired {repair_ms:,.0f} ms later at most"
    broken = {f"{e.get('fault')} at {e.get('target')}" for e in incidents if not e.get("repaired")}
    return words + (f"; not repaired: {', '.join(sorted(broken))}" if broken else "")


def _flows(group: Group, runs: Sequence[Run]) -> Verdict:
    return every_run(
        CLAIM,
        "runs with incidents whose flows arrived whole",
        group,
        runs,
        sum(_whole(run) for run in runs),
        f"exact: every flow of {counted(len(runs), 'run')} is checked at its end",
    )


def _whole(run: Run) -> bool:
    """Every hash was right; where a flow broke off there is none, nor where hashing was off."""
    if isinstance(run.get("sha256_ok"), bool):
        return bool(run["sha256_ok"])
    return run.get("bytes_delivered") == run.get("bytes_sent")
