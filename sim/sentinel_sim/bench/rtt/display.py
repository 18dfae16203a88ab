"""The table of the benchmark (no I/O)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from sentinel_sim.bench.rtt.agreement import Agreement
from sentinel_sim.bench.rtt.cases import Outcome


def _error(us: float, share: float, of_limit: float) -> str:
    verdict = "" if of_limit <= 1 else " !"
    return f"{us:,.0f} us {share:.2%}{verdict}"


def _errors(agreement: Agreement) -> tuple[str, str]:
    return (
        _error(agreement.median_us, agreement.median_share, agreement.median_of_limit),
        _error(agreement.p95_us, agreement.p95_share, agreement.p95_of_limit),
    )


def _verdict(outcome: Outcome) -> str:
    if outcome.missing:
        return f"{outcome.missing} missing"
    word = "met" if outcome.within else "MISSED"
    return word if outcome.case.traffic.judged else f"({word})"


def table(outcomes: Sequence[Outcome]) -> Table:
    """One line for each case and node."""
    made = Table(title="FSU against TCP_INFO (! beyond the limit)")
    for heading in ("traffic", "node", "RTT ms", "flows", "n", "TCP srtt ms", "bias us"):
        made.add_column(heading, justify="right" if heading not in ("traffic", "node") else "left")
    for heading in ("srtt median", "srtt p95", "min median", "min p95", "limits"):
        made.add_column(heading, justify="right")
    for outcome in outcomes:
        case, smoothed = outcome.case, outcome.smoothed
        made.add_row(
            case.traffic.value,
            outcome.node,
            f"{case.rtt_ms:g}",
            f"{case.flows:,}",
            f"{smoothed.pairs:,}",
            f"{smoothed.true_median_us / 1000:.2f}",
            f"{smoothed.bias_us:+.0f}",
            *_errors(smoothed),
            *_errors(outcome.minimum),
            f"{outcome.missing} missing"
            if outcome.missing
            else ("met", "MISSED")[not outcome.within],
        )
    return made


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Everything that is known of one case at one node."""
    return {**dataclasses.asdict(outcome), "within": outcome.within}
