"""`synced-not-retransmitted`: what became of the payload of lost packets (pure)."""

from __future__ import annotations

from sentinel_sim.evidence.counting import ENOUGH
from sentinel_sim.evidence.verdict import Outcome, Verdict
from sentinel_sim.evidence.view import Group, Run, View, counted, interval_text, keys_of, number

DROPS = ("loss_dropped", "queue_dropped")


def judge_retransmission(view: View) -> list[Verdict]:
    """Was payload sent again in runs in which packets were lost?

    Counted in every run, not estimated: no interval.
    """
    return [verdict for group in view.groups for verdict in _retransmission(group)]


def dropped_packets(run: Run) -> int:
    """Packets that the wires dropped in this run, on purpose or by a full queue."""
    return sum(int(number(wire, key) or 0) for wire in run.get("wires") or () for key in DROPS)


def _retransmission(group: Group) -> list[Verdict]:
    lossy = [
        run
        for run in group.valid
        if dropped_packets(run) > 0
        and (number(run, "bytes_delivered") or 0) > 0
        and number(run, "retransmitted_bytes") is not None
    ]
    if not lossy:
        return []
    shares = [_share(run) for run in lossy]
    outcome, why = _decide(lossy, shares)
    mean = sum(shares) / len(shares)
    return [
        Verdict(
            "synced-not-retransmitted",
            outcome,
            part="payload sent again / delivered, where packets were lost",
            arm=group.arm,
            condition=group.condition,
            figure=mean,
            bound="0: no lost payload is sent again",
            limit=0.0,
            text=interval_text(mean, None),
            n=len(lossy),
            evidence=keys_of(lossy),
            why=why,
        )
    ]


def _share(run: Run) -> float:
    return (number(run, "retransmitted_bytes") or 0.0) / (number(run, "bytes_delivered") or 1.0)


def _decide(lossy: list[Run], shares: list[float]) -> tuple[Outcome, str]:
    lost = sum(map(dropped_packets, lossy))
    again = sum(share > 0 for share in shares)
    said = (
        f"{counted(lost, 'packet')} dropped in {counted(len(lossy), 'run')}; bytes were sent again"
    )
    said += f" in {again} of them"
    control = [
        share for run in lossy if (share := number(run, "control_bytes_per_data_byte")) is not None
    ]
    if control:
        said += f"; control bytes per data byte {sum(control) / len(control):.2g}"
    if again:
        return Outcome.FAILS, said
    if lost < ENOUGH:
        return Outcome.UNDECIDED, f"{said}; {ENOUGH} lost packets are needed"
    return Outcome.HOLDS, said
