"""Whether what was measured covers what a claim speaks of (pure).

A claim about every distance is not shown by the distances that happen to have a figure: a run that
delivered nothing has no latency, and one that never got steady no steady goodput. Left out without
a word, the runs that went worst would be those that do not count. They cannot refute either, since
what was not measured is no evidence; so they leave the claim undecided.
"""

from __future__ import annotations

from collections.abc import Callable

from sentinel_sim.evidence.verdict import Outcome
from sentinel_sim.evidence.view import Group, Run, counted

Measured = Callable[[Run], bool]
"""Whether a run has the figure."""


def covered(group: Group, measured: Measured, outcome: Outcome, why: str) -> tuple[Outcome, str]:
    """The outcome, *undecided* where it would hold but something lacks; and why."""
    if group.unlike and outcome is not Outcome.UNDECIDED:
        return Outcome.UNDECIDED, "the runs had different offloads and are not pooled"
    if outcome is Outcome.HOLDS and (lacking := gaps(group, measured)):
        return Outcome.UNDECIDED, f"{lacking}; of the others: {why}"
    return outcome, why


def gaps(group: Group, measured: Measured) -> str:
    """What of the group's runs is not covered, in words; empty if all are."""
    missed = [rtt_s for rtt_s, runs in group.asked().items() if not any(map(_valid, runs))]
    if missed:
        at = ", ".join(f"{rtt_s * 1e3:,.4g}" for rtt_s in missed)
        return f"no valid run at a base RTT of {at} ms"
    without = sum(not measured(run) for run in group.valid)
    if without:
        return f"{without} of {counted(len(group.valid), 'valid run')} have no such figure"
    return ""


def _valid(run: Run) -> bool:
    return bool(run.get("valid"))
