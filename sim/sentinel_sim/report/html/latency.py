"""Confirmed against delivered against light (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sentinel_sim.report.chart import BASE_RTT, DISTANCE, Quantity, median, x_quantity
from sentinel_sim.report.html.figure import (
    SYMBOLS,
    DataTable,
    Figure,
    Trace,
    axis,
    colour_of,
    layout,
    sweep_axis,
)

Result = Mapping[str, Any]
KINDS = (
    ("delivered_latency_s", "delivered", "solid"),
    ("confirm_latency_s", "confirmed", "dot"),
)


def figure_of(result: Result) -> Figure | None:
    """Median latencies of the valid runs against distance or RTT; None where none is known."""
    runs = [run for run in result["runs"] if run["valid"] and run["requested"]["rtt_s"]]
    quantity = far_quantity(result)
    lines: dict[tuple[str, str, str], dict[float, list[float]]] = {}
    for run in runs:
        x = quantity.value(run)
        for key, word, dash in KINDS:
            if x is not None and run[key]:
                at = lines.setdefault((run["arm"], word, dash), {})
                at.setdefault(x, []).append(run[key]["p50"] * 1e3)
    if not lines:
        return None
    light = one_way_ms(runs, quantity)
    rows = [
        (arm, word, f"{x:,.6g}", f"{median(values) or 0:,.4g}", str(len(values)))
        for (arm, word, _), at in lines.items()
        for x, values in sorted(at.items())
    ]
    xs = [x for x, _ in light]
    return Figure(
        "latency",
        "Latency: confirmed, delivered, and light",
        "Median latencies in milliseconds against " + quantity.label + ". " + _said(rows),
        "Median over the run of the time from write() to the first acknowledgement (confirmed,"
        " which is local in split and fsu) and to the receiver's read() (delivered). Bulk traffic"
        " waits in the sender's buffer and in queues, so both lie above propagation; nothing"
        " delivered can lie below the grey line, and a run in which it does is invalid.",
        (*(_line(*key, at) for key, at in lines.items()), *light_lines(light)),
        layout(
            sweep_axis(quantity.label, xs),
            axis("ms", log=True, tickformat=",.6~g", dtick="D2"),
        ),
        DataTable(
            "The medians in the figure",
            ("arm", "latency", quantity.label, "median, ms", "valid runs"),
            tuple(rows),
        ),
    )


def far_quantity(result: Result) -> Quantity:
    """Distance if that was swept, else the base RTT: what light takes time for."""
    quantity = x_quantity(result["runs"])
    return quantity if quantity in (DISTANCE, BASE_RTT) else BASE_RTT


def one_way_ms(runs: Iterable[Mapping[str, Any]], quantity: Quantity) -> list[tuple[float, float]]:
    """(x, propagation one way in ms), ascending."""
    known = ((quantity.value(run), run["requested"]["rtt_s"] * 500) for run in runs)
    return sorted({(x, ms) for x, ms in known if x})


def _line(arm: str, word: str, dash: str, at: Mapping[float, list[float]]) -> Trace:
    points = sorted(at.items())
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [x for x, _ in points],
        "y": [float(f"{median(values) or 0:.5g}") for _, values in points],
        "name": f"{arm}, {word}",
        "line": {"color": colour_of(arm), "dash": dash, "width": 2},
        "marker": {
            "color": colour_of(arm),
            "size": 8,
            "symbol": SYMBOLS.get(arm, "x") + ("-open" if dash == "dot" else ""),
        },
        "hovertemplate": f"<b>{arm}</b>, {word}<br>%{{y:,.4~g}} ms<extra></extra>",
    }


def light_lines(light: list[tuple[float, float]]) -> list[Trace]:
    """Propagation one way and both ways, from (x, one way in ms)."""
    names = ((1.0, "one-way propagation", "2px,2px"), (2.0, "one RTT", "6px,3px"))
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [x for x, _ in light],
            "y": [float(f"{factor * ms:.5g}") for _, ms in light],
            "name": name,
            "line": {"color": "@muted", "width": 1.3, "dash": dash},
            "hovertemplate": f"{name} %{{y:,.4~g}} ms<extra></extra>",
        }
        for factor, name, dash in names
    ]


def _said(rows: Sequence[tuple[str, ...]]) -> str:
    return "; ".join(f"{arm} {word} at {x}: {ms} ms" for arm, word, x, ms, _ in rows[:12]) + "."
