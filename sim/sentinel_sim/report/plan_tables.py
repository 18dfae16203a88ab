"""The answer of `plan` as tables and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sentinel_sim.planner.forecast import Forecast, PlanRow
from sentinel_sim.planner.placement import Placement

PLAN_SCHEMA = "sentinel-sim/plan/1"
Checks = dict[str, list[float]]
"""Simulated steady goodputs in bit/s, by the row's name; empty where nothing was simulated."""

_MEANING = {
    "direct": "direct: stock buffers",
    "tuned": "tuned: no relay",
    "split best": "split: best",
    "split even": "split: even",
    "split all": "split: all",
}


def render(
    name: str, found: Forecast, checks: Mapping[str, Sequence[float]]
) -> list[RenderableType]:
    """Tables for people, top to bottom."""
    offer = found.offer
    way = " - ".join(offer.nodes_on(offer.sender, offer.receiver))
    loop = offer.loop(offer.sender, offer.receiver)
    head = (
        f"{name}: {offer.sender} to {offer.receiver}, {offer.control}; cheapest way {way};"
        f" RTT {loop.rtt_ns / 1e6:.2f} ms, loss {loop.loss * 100:.4g} %"
    )
    return [
        Text(head),
        Text("\nWhat each arm is predicted to reach in steady state:"),
        _arms(found, checks),
        Text(_proof(found.placement)),
        Text("\nWhat more relays add (the best placement of at most N):"),
        _numbers(found),
        Text("\nWere the path longer (same loss per km, relays at equal distances), Mbit/s:"),
        _spacing(found),
    ]


def _arms(found: Forecast, checks: Mapping[str, Sequence[float]]) -> Table:
    table = Table(pad_edge=False)
    table.add_column("arm")
    table.add_column("relays", overflow="fold")
    for heading in ("Mbit/s", "x tuned", "RTT ms"):
        table.add_column(heading, justify="right")
    table.add_column("slowest connection, and why", overflow="fold")
    if checks:
        for heading in ("simulated", "x tuned", "sim./pred."):
            table.add_column(heading, justify="right")
    tuned = found.row("tuned").goodput_bps
    for row in found.rows:
        cells = [
            _MEANING[row.what],
            ", ".join(row.relays) or "–",
            _mbit(row.goodput_bps),
            f"{row.goodput_bps / tuned:.2f}",
            f"{row.rtt_ns / 1e6:.2f}",
            _slowest(row),
        ]
        if checks:
            cells += _checked(row, checks)
        table.add_row(*cells)
    return table


def _slowest(row: PlanRow) -> str:
    a, b, prediction = min(row.connections, key=lambda one: one[2].goodput_bps)
    return f"{a} - {b}: {prediction.limit}"


def _checked(row: PlanRow, checks: Mapping[str, Sequence[float]]) -> list[str]:
    mean = statistics.fmean(checks[row.what])
    tuned = statistics.fmean(checks["tuned"])
    spread = (max(checks[row.what]) - min(checks[row.what])) / 2
    return [f"{_mbit(mean)} ± {_mbit(spread)}", _ratio(mean, tuned), _ratio(mean, row.goodput_bps)]


def _ratio(over: float, under: float) -> str:
    return f"{over / under:.2f}" if under > 0 else "–"


def _mbit(bps: float) -> str:
    return f"{bps / 1e6:,.4g}"


def _proof(placement: Placement) -> str:
    if placement.optimal:
        return f"The best placement is proven ({placement.method}): no other is predicted faster."
    return (
        f"The best placement is a heuristic's ({placement.method}); none is predicted faster than"
        f" {_mbit(placement.bound_bps)} Mbit/s."
    )


def _numbers(found: Forecast) -> Table:
    table = Table(pad_edge=False)
    table.add_column("N", justify="right")
    table.add_column("relays", overflow="fold")
    for heading in ("Mbit/s", "x none"):
        table.add_column(heading, justify="right")
    none = found.by_number[0].goodput_bps
    for number, placement in enumerate(found.by_number):
        table.add_row(
            str(number),
            ", ".join(placement.relays) or "–",
            _mbit(placement.goodput_bps),
            f"{placement.goodput_bps / none:.2f}",
        )
    return table


def _spacing(found: Forecast) -> Table:
    table = Table(pad_edge=False)
    for heading in ("RTT ms", "no relay", "fixed number", "relays", "fixed spacing", "relays"):
        table.add_column(heading, justify="right")
    for row in found.spacing:
        table.add_row(
            f"{row.rtt_ns / 1e6:.2f}",
            _mbit(row.unsplit_bps),
            _mbit(row.fixed_number_bps),
            str(row.fixed_number),
            _mbit(row.fixed_spacing_bps),
            str(row.fixed_spacing),
        )
    return table


def as_json(name: str, found: Forecast, checks: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """The same for programs; goodputs in bit/s, times in seconds."""
    offer, best = found.offer, found.placement
    loop = offer.loop(offer.sender, offer.receiver)
    return {
        "schema": PLAN_SCHEMA,
        "name": name,
        "from": offer.sender,
        "to": offer.receiver,
        "congestion_control": offer.control,
        "way": list(offer.nodes_on(offer.sender, offer.receiver)),
        "rtt_s": loop.rtt_ns / 1e9,
        "loss": loop.loss,
        "placement": {
            "relays": list(best.relays),
            "goodput_bps": best.goodput_bps,
            "bound_bps": best.bound_bps,
            "method": str(best.method),
            "optimal": best.optimal,
        },
        "gain": found.gain,
        "arms": [_row_json(row, checks) for row in found.rows],
        "by_number": [
            {"at_most": number, "relays": list(one.relays), "goodput_bps": one.goodput_bps}
            for number, one in enumerate(found.by_number)
        ],
        "spacing": [
            {
                "rtt_s": row.rtt_ns / 1e9,
                "unsplit_bps": row.unsplit_bps,
                "fixed_number": {"relays": row.fixed_number, "goodput_bps": row.fixed_number_bps},
                "fixed_spacing": {
                    "relays": row.fixed_spacing,
                    "goodput_bps": row.fixed_spacing_bps,
                },
            }
            for row in found.spacing
        ],
    }


def _row_json(row: PlanRow, checks: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    document: dict[str, Any] = {
        "what": row.what,
        "relays": list(row.relays),
        "goodput_bps": row.goodput_bps,
        "rtt_s": row.rtt_ns / 1e9,
        "connections": [
            {"from": a, "to": b, "goodput_bps": one.goodput_bps, "limit": str(one.limit)}
            for a, b, one in row.connections
        ],
    }
    if checks:
        values = list(checks[row.what])
        document["simulated"] = {
            "steady_goodput_bps": values,
            "mean_bps": statistics.fmean(values),
            "over_predicted": statistics.fmean(values) / row.goodput_bps,
        }
    return document
