"""What only runs with a control plane can show: lead time, phase, metadata, validation (pure)."""

from __future__ import annotations

from sentinel_sim.evidence.counting import every_run
from sentinel_sim.evidence.limits import Wanted, judged
from sentinel_sim.evidence.verdict import Outcome, Verdict
from sentinel_sim.evidence.view import Group, View, counted, interval_text, keys_of, number

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
    """Each single adjustment was counted, so no interval is needed: one late one refutes."""
    runs = [run for run in group.valid if number(run, "lead_time_s", "least") is not None]
    if not runs:
        return []
    least = min(number(run, "lead_time_s", "least") or 0.0 for run in runs)
    made = sum(int(number(run, "lead_time_s", "n") or 0) for run in runs)
    return [
        Verdict(
            "buffer-before",
            Outcome.HOLDS if least > 0 else Outcome.FAILS,
            part="shortest lead time of all adjustments",
            arm=group.arm,
            condition=group.condition,
            figure=least,
            unit="s",
            bound="> 0 s",
            limit=0.0,
            text=interval_text(least, None, "s"),
            n=len(runs),
            evidence=keys_of(runs),
            why=f"every one counted: {counted(made, 'buffer')} in {counted(len(runs), 'run')}",
        )
    ]


def _validated(group: Group) -> list[Verdict]:
    """The receiver's own last check of every flow: bytes, hash, state."""
    runs = [
        run
        for run in group.valid
        if isinstance(run.get("sync"), dict) and run["sync"].get("final_ok") is not None
    ]
    if not runs:
        return []
    right = sum(bool(run["sync"]["final_ok"]) for run in runs)
    return [
        every_run(
            "receiver-validates",
            "runs in which the receiver's last check agreed",
            group,
            runs,
            right,
            "exact: every flow of every run is checked",
        )
    ]
