"""What the FSUs in the data path knew and predicted: `bdp-realtime`, `predicts-pattern` (pure)."""

from __future__ import annotations

from sentinel_sim.evidence.limits import Wanted, judged
from sentinel_sim.evidence.verdict import Outcome, Verdict
from sentinel_sim.evidence.view import Group, View, keys_of, number

RTT_LIMIT_SHARE = 0.05
"""The source names no accuracy; this bound is ours."""

PREDICTION = Wanted(
    "predicts-pattern",
    "MASE of the bytes in the next interval",
    ("fsu", "mase"),
    1.0,
    above=False,
    bound="< 1 at every distance (1: no better than the last interval again)",
    unit="",
)
RTT = Wanted(
    "bdp-realtime",
    "least RTT by the FSU against TCP's own, apart",
    ("fsu", "rtt_error_share"),
    RTT_LIMIT_SHARE,
    above=False,
    bound=f"< {RTT_LIMIT_SHARE:g} of it at every distance (our bound)",
    unit="",
)


def judge(view: View) -> list[Verdict]:
    """One verdict per figure and arm that has it."""
    found = []
    for group in view.groups:
        found += judged(group, PREDICTION)
        if rtt := judged(group, RTT):
            found += [*rtt, _rate(group)]
    return found


def _rate(group: Group) -> Verdict:
    """The other factor of the BDP, of which a run records only what is left of it at its end."""
    runs = [run for run in group.valid if number(run, *RTT.path) is not None]
    return Verdict(
        RTT.claim,
        Outcome.UNDECIDED,
        part="throughput by the FSU, the other factor",
        arm=group.arm,
        condition=group.condition,
        bound="as delivered",
        text="not recorded",
        n=len(runs),
        evidence=keys_of(runs),
        why="the FSU's maps are read after the traffic, when its rate has decayed; the lab tests"
        " hold it against a reference on replayed traffic (make test ARGS=tests/lab/bpf)",
    )
