"""What only runs with a control plane can show: lead time, phase, metadata, validation (pure)."""

from __future__ import annotations

from sentinel_sim.evidence.counting import Count, verdict_of
from sentinel_sim.evidence.limits import Wanted, judged
from sentinel_sim.evidence.verdict import Verdict
from sentinel_sim.evidence.view import Group, Run, View, counted, interval_text, number

MICROSECOND_LIMIT_S = 1e-3
"""`microsecond latency` can mean at most 999 us."""


WANTED = (
    Wanted(
        "buffer-before",
        "median lead time",
        ("lead_time_s", "p50"),
        0.0,
        True,
        "> 0 s at every distance",
        "s",
    ),
    Wanted(
        "microsecond-sync",
        "phase error p50 of the receiver's replica",
        ("sync", "phase_error_s", "p50"),
        MICROSECOND_LIMIT_S,
        False,
        "< 1,000 us at every distance",
        "s",
    ),
    Wanted(
        "watchdog-phase",
        "phase error p99 / path RTT",
        ("sync", "phase_error_s", "p99"),
        1.0,
        False,
        "< 1 at every distance",
        "RTT",
        over_rtt=True,
    ),
    Wanted(
        "metadata-with-data",
        "control bytes per delivered byte",
        ("control_bytes_per_data_byte",),
        0.0,
        True,
        "> 0 at every distance",
        "",
    ),
)


def judge(view: View) -> list[Verdict]:
    """One verdict per figure and arm that has it."""
    found = []
    for group in view.groups:
        for wanted in WANTED:
            found += judged(group, wanted)
        found += _every_adjustment(group)
        found += _validated(group)
    return found


def _every_adjustment(group: Group) -> list[Verdict]:
    """Each single adjustment was counted, and the shortest lead kept: one late one refutes."""
    runs = [run for run in group.valid if _has_lead(run)]
    if not runs:
        return []
    least = min(number(run, "lead_time_s", "least") or 0.0 for run in runs)
    late = sum(_late(run) for run in runs)
    made = sum(_adjustments(run) for run in runs)
    why = f"shortest lead {interval_text(least, None, 's')}; {counted(len(runs), 'run')}"
    part = "buffers that were ready before the first byte"
    count = Count("buffer-before", part, made - late, made, "buffer", why)
    return [verdict_of(group, runs, count, _has_lead)]


def _has_lead(run: Run) -> bool:
    return number(run, "lead_time_s", "least") is not None


def _adjustments(run: Run) -> int:
    return int(number(run, "lead_time_s", "n") or 1)


def _late(run: Run) -> int:
    """Adjustments that came no sooner than the data: at least one where the least lead says so."""
    share = number(run, "lead_time_s", "share_ahead")
    late = 0 if share is None else round((1.0 - share) * _adjustments(run))
    least = number(run, "lead_time_s", "least") or 0.0
    return max(late, 1) if least <= 0 else 0


def _validated(group: Group) -> list[Verdict]:
    """The receiver's own checks of every flow: bytes, hash, state. The last of each decides."""
    runs = [run for run in group.valid if _is_validated(run)]
    if not runs:
        return []
    of = sum(_checks(run) for run in runs)
    wrong = sum(not run["sync"]["final_ok"] for run in runs)
    why = f"every flow of {counted(len(runs), 'run')} is checked"
    part = "checks by the receiver, unless the last of a flow was wrong"
    count = Count("receiver-validates", part, of - wrong, of, "check", why)
    return [verdict_of(group, runs, count, _is_validated)]


def _is_validated(run: Run) -> bool:
    return isinstance(run.get("sync"), dict) and run["sync"].get("final_ok") is not None


def _checks(run: Run) -> int:
    return int(number(run, "sync", "checks") or 1)
