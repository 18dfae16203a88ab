"""`latency-below-rtt` and `local-confirm` (pure).

The counters behind both latencies are sampled; a figure may be off by one sampling step, which is
given against the claim and against its refusal alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sentinel_sim.evidence.coverage import covered
from sentinel_sim.evidence.statistics import Reading, all_below
from sentinel_sim.evidence.verdict import Outcome, Verdict
from sentinel_sim.evidence.view import Group, Run, View, counted, interval_text, keys_of, number

Ratio = Callable[[Run], tuple[float, float] | None]
"""Of one run: (ratio, how far it may be off); None where it is not measured."""


def judge_latency(view: View) -> list[Verdict]:
    """Confirmation against one RTT; delivery against one-way propagation."""
    found = []
    for group in view.groups:
        found += _part(
            group,
            "latency-below-rtt",
            "local confirmation p50 / path RTT",
            _confirmation_of_rtt,
            "< 1 at every distance",
        )
        found += _part(
            group,
            "latency-below-rtt",
            "delivery p50 / one-way propagation",
            _delivery_of_light,
            "< 1 (faster than light)",
        )
    return found


def judge_confirmation(view: View) -> list[Verdict]:
    """Confirmation against delivery of the same run."""
    return [
        verdict
        for group in view.groups
        for verdict in _part(
            group,
            "local-confirm",
            "local confirmation p50 / delivery p50",
            _confirmation_of_delivery,
            "< 1 at every distance",
        )
    ]


def _part(group: Group, claim: str, part: str, ratio: Ratio, bound: str) -> list[Verdict]:
    """One verdict over all points of the sweep; none where the arm has no such figure."""
    readings, used = [], []
    for runs in group.points():
        known = [(run, found) for run in runs if (found := ratio(run)) is not None]
        if known:
            readings.append(Reading([one[0] for _, one in known], [one[1] for _, one in known]))
            used.append([run for run, _ in known])
    if not readings:
        return []
    tested = all_below(readings, 1.0)
    said = _why(used[tested.worst], tested.outcome)
    outcome, why = covered(group, lambda run: ratio(run) is not None, tested.outcome, said)
    return [
        Verdict(
            claim,
            outcome,
            part=part,
            arm=group.arm,
            condition=group.condition,
            figure=tested.figure,
            ci=tested.ci,
            unit="times",
            bound=bound,
            limit=1.0,
            text=interval_text(tested.figure or 0.0, tested.ci),
            n=sum(map(len, used)),
            evidence=keys_of([run for runs in used for run in runs]),
            why=why,
        )
    ]


def _why(worst: Sequence[Run], outcome: Outcome) -> str:
    rtt_ms = (number(worst[0], "requested", "rtt_s") or 0.0) * 1e3
    said = f"decided at a base RTT of {rtt_ms:,.4g} ms, {counted(len(worst), 'run')} there"
    if outcome is not Outcome.UNDECIDED:
        return said
    if len(worst) < 2:
        return f"{said}: one run gives no interval, use --repeat 3 or more"
    return f"{said}: the interval, sampling error included, contains the bound"


def _over(run: Run, latency: float | None, base: float | None) -> tuple[float, float] | None:
    if latency is None or not base:
        return None
    return latency / base, (number(run, "latency_resolution_s") or 0.0) / base


def _confirmation_of_rtt(run: Run) -> tuple[float, float] | None:
    return _over(run, number(run, "confirm_latency_s", "p50"), number(run, "requested", "rtt_s"))


def _delivery_of_light(run: Run) -> tuple[float, float] | None:
    one_way = (number(run, "requested", "rtt_s") or 0.0) / 2
    return _over(run, number(run, "delivered_latency_s", "p50"), one_way)


def _confirmation_of_delivery(run: Run) -> tuple[float, float] | None:
    return _over(
        run,
        number(run, "confirm_latency_s", "p50"),
        number(run, "delivered_latency_s", "p50"),
    )
