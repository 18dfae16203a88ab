"""Lead time, phase error and the FSU's prediction error, as figures (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel_sim.backends.base import RunMeasurement
from sentinel_sim.evidence.view import counted
from sentinel_sim.report.chart import arm_rank, median
from sentinel_sim.report.html.figure import (
    DASHES,
    SYMBOLS,
    DataTable,
    Figure,
    Trace,
    axis,
    colour_of,
    layout,
    sweep_axis,
)
from sentinel_sim.report.html.latency import far_quantity, light_lines, one_way_ms

Result = Mapping[str, Any]
HISTOGRAM_BINS = 40
FEW = 20
"""So few adjustments, and the axis counts them one by one."""
KIND_COLOURS = ("@tuned", "@direct", "@fsu", "@split")


@dataclass(frozen=True, slots=True)
class Lead:
    """One thing made ready at a node before, or after, the first byte of a flow came to it."""

    key: str
    what: str
    lead_s: float
    """Positive: ready before the byte."""


def leads_of(key: str, measured: RunMeasurement) -> list[Lead]:
    """Of one run; none without a control plane."""
    control: Mapping[str, Any] = measured.extra.get("control") or {}
    return [
        Lead(key, one["what"], (one["first_byte_ns"] - one["ready_ns"]) / 1e9)
        for node in control.values()
        for one in node["adjustments"]
        if one.get("first_byte_ns")
    ]


def lead_figure(leads: Sequence[Lead]) -> Figure | None:
    """Histogram of lead times by what was made ready."""
    if not leads:
        return None
    kinds = {
        kind: [one.lead_s * 1e3 for one in leads if one.what == kind] for kind in _kinds(leads)
    }
    rows = tuple(
        (
            kind,
            str(len(values)),
            f"{min(values):,.3g}",
            f"{median(values) or 0:,.3g}",
            f"{sum(value > 0 for value in values) / len(values):.1%}",
        )
        for kind, values in kinds.items()
    )
    runs = len({one.key for one in leads})
    traces: list[Trace] = [
        {
            "type": "histogram",
            "x": [float(f"{value:.5g}") for value in values],
            "name": kind,
            "nbinsx": HISTOGRAM_BINS,
            "bingroup": "lead",
            "opacity": 0.75,
            "marker": {"color": colour, "line": {"color": "@panel", "width": 0.5}},
            "hovertemplate": f"<b>{kind}</b><br>%{{x}} ms: %{{y}}<extra></extra>",
        }
        for (kind, values), colour in zip(kinds.items(), _cycle(len(kinds)), strict=True)
    ]
    return Figure(
        "lead",
        "Lead time: ready before the first byte?",
        "Histogram of lead times in milliseconds. "
        + "; ".join(f"{r[0]}: median {r[3]} ms, {r[4]} before the byte" for r in rows),
        "Time from the moment something was ready at a node to the first byte of its flow there;"
        " right of zero: ready before. The connection onward needs a round trip of its link, so it"
        " may come later than the byte that the buffer receives. From"
        f" {counted(runs, 'run')}, the first valid one of each distance.",
        tuple(traces),
        layout(
            axis("lead time, ms", zeroline=True, zerolinewidth=2),
            axis("adjustments", rangemode="tozero", dtick=1 if len(leads) <= FEW else None),
            barmode="stack",
            legend={"orientation": "h", "y": -0.25, "x": 0, "traceorder": "normal"},
        ),
        DataTable(
            "Lead times behind the figure",
            ("what", "n", "shortest, ms", "median, ms", "before the first byte"),
            rows,
        ),
        height_px=360,
    )


def _kinds(leads: Sequence[Lead]) -> list[str]:
    return sorted({one.what for one in leads}, key=lambda kind: (not kind.endswith("buffer"), kind))


def _cycle(count: int) -> list[str]:
    return [KIND_COLOURS[place % len(KIND_COLOURS)] for place in range(count)]


def phase_figure(result: Result) -> Figure | None:
    """Phase error of the receiver's replica against distance; None where it was not measured."""
    quantity = far_quantity(result)
    at: dict[tuple[str, str], dict[float, list[float]]] = {}
    used = []
    for run in result["runs"]:
        error = (run.get("sync") or {}).get("phase_error_s")
        x = quantity.value(run)
        if not run["valid"] or not error or not x:
            continue
        used.append(run)
        for word in ("p50", "p99"):
            at.setdefault((run["arm"], word), {}).setdefault(x, []).append(error[word] * 1e3)
    if not used:
        return None
    light = one_way_ms(used, quantity)
    traces = [_phase_line(arm, word, points) for (arm, word), points in at.items()]
    rows = tuple(
        (arm, word, f"{x:,.6g}", f"{median(values) or 0:,.3g}", str(len(values)))
        for (arm, word), points in at.items()
        for x, values in sorted(points.items())
    )
    return Figure(
        "phase",
        "Phase error: how far the receiver's view lags or leads",
        f"Phase error in milliseconds against {quantity.label}. "
        + "; ".join(f"{r[0]} {r[1]} at {r[2]}: {r[3]} ms" for r in rows[:10]),
        "How far, in time, the receiver's replica of a flow is from what the sender had written,"
        " median and 99th percentile of its absolute value in a run, median over valid runs. News"
        " needs one way of propagation; below that line the replica knows by forecast.",
        (*traces, *light_lines(light)),
        layout(
            sweep_axis(quantity.label, [x for x, _ in light]),
            axis("ms", log=True, tickformat=",.6~g", dtick="D2"),
        ),
        DataTable(
            "Phase errors behind the figure",
            ("arm", "percentile", quantity.label, "median over runs, ms", "valid runs"),
            rows,
        ),
        height_px=400,
    )


def _phase_line(arm: str, word: str, points: Mapping[float, Sequence[float]]) -> Trace:
    xs = sorted(points)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": xs,
        "y": [float(f"{median(points[x]) or 0:.5g}") for x in xs],
        "name": f"{arm}, {word}",
        "line": {"color": colour_of(arm), "width": 2, "dash": "solid" if word == "p50" else "dot"},
        "marker": {"size": 8, "symbol": SYMBOLS.get(arm, "x") + ("" if word == "p50" else "-open")},
        "hovertemplate": f"<b>{arm}</b>, phase error {word}<br>%{{y:,.4~g}} ms<extra></extra>",
    }


def prediction_figure(result: Result) -> Figure | None:
    """MASE of the FSUs' predictions, run by run; None where it was not measured."""
    quantity = far_quantity(result)
    runs = [
        run
        for run in result["runs"]
        if run["valid"] and (run.get("fsu") or {}).get("mase") and quantity.value(run)
    ]
    if not runs:
        return None
    arms = sorted({run["arm"] for run in runs}, key=arm_rank)
    rows: list[tuple[str, ...]] = []
    traces: list[Trace] = []
    for arm in arms:
        at: dict[float, list[Mapping[str, Any]]] = {}
        for run in runs:
            if run["arm"] == arm:
                at.setdefault(quantity.value(run) or 0.0, []).append(run)
        traces += _prediction_traces(arm, at)
        rows += [_prediction_row(arm, x, found) for x, found in sorted(at.items())]
    interval_ms = runs[0]["fsu"]["interval_s"] * 1e3
    xs = sorted({quantity.value(run) or 0.0 for run in runs})
    return Figure(
        "prediction",
        "FSU prediction error, against predicting the last value",
        f"Error ratio (MASE) against {quantity.label}; below one is better. "
        + "; ".join(f"{r[0]} at {r[1]}: {r[2]}" for r in rows[:10]),
        f"Bytes expected in the next {interval_ms:.3g} ms, over all data seen by all FSUs of a run:"
        " sum of absolute errors over that of the simplest rule, as in the last interval (MASE)."
        " Below 1 the predictor is worth having, above it the last value would have been better."
        " Lines join medians, dots are single valid runs.",
        tuple(traces),
        layout(
            sweep_axis(quantity.label, xs),
            axis("error / error of last value", rangemode="tozero"),
            shapes=[_level(1.0)],
        ),
        DataTable(
            "Prediction errors behind the figure",
            ("arm", quantity.label, "MASE, median", "error / bytes, median", "predictions", "runs"),
            tuple(rows),
        ),
        height_px=400,
    )


def _level(y: float) -> dict[str, Any]:
    line = {"color": "@muted", "width": 1.3, "dash": "6px,3px"}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": line}


def _mase(runs: Sequence[Mapping[str, Any]]) -> list[float]:
    return [run["fsu"]["mase"] for run in runs]


def _prediction_row(arm: str, x: float, runs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return (
        arm,
        f"{x:,.6g}",
        f"{median(_mase(runs)) or 0:.3f}",
        f"{median(run['fsu']['error_share'] for run in runs) or 0:.1%}",
        f"{sum(run['fsu']['predictions'] for run in runs):,}",
        str(len(runs)),
    )


def _prediction_traces(arm: str, at: Mapping[float, Sequence[Mapping[str, Any]]]) -> list[Trace]:
    xs = sorted(at)
    colour = colour_of(arm)
    dots = [(x, run) for x in xs for run in at[x]]
    return [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": xs,
            "y": [float(f"{median(_mase(at[x])) or 0:.4g}") for x in xs],
            "name": arm,
            "legendgroup": arm,
            "line": {"color": colour, "width": 2, "dash": DASHES.get(arm, "solid")},
            "marker": {"size": 9, "symbol": SYMBOLS.get(arm, "x")},
            "hovertemplate": f"<b>{arm}</b>, median %{{y:.3f}}<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "x": [x for x, _ in dots],
            "y": [float(f"{run['fsu']['mase']:.4g}") for _, run in dots],
            "customdata": [run["key"] for _, run in dots],
            "name": arm,
            "legendgroup": arm,
            "showlegend": False,
            "marker": {"color": colour, "size": 5, "opacity": 0.6},
            "hovertemplate": "<b>%{customdata}</b><br>MASE %{y:.3f}<extra></extra>",
        },
    ]
