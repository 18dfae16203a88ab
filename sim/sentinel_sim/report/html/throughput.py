"""The main figure: goodput against the swept quantity, with bands, runs and overlays (pure)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sentinel_sim.report.chart import (
    Chart,
    Line,
    chart_of,
    varying_params,
    x_quantity,
)
from sentinel_sim.report.html.figure import (
    DASHES,
    SYMBOLS,
    DataTable,
    Figure,
    Trace,
    axis,
    colour_of,
    layout,
    mbit,
    sweep_axis,
)
from sentinel_sim.report.html.theory import overlay_traces

Result = Mapping[str, Any]
HOVER = "%{customdata}<extra></extra>"
Y_ROOM = 1.6


def figure_of(result: Result, metric: str, figure_id: str) -> Figure | None:
    """Goodput (or steady goodput) against the swept quantity; None without any mean."""
    chart = chart_of(result, metric)
    if chart.empty:
        return None
    traces: list[Trace] = []
    seen: dict[str, int] = {}
    for line in chart.lines:
        variant = seen[line.arm] = seen.get(line.arm, -1) + 1
        traces += _line(line, variant)
    traces += _runs(result, metric)
    if metric == "goodput_bps":
        traces += overlay_traces(result)
    else:
        traces += [_cap(chart), *overlay_traces(result, steady=True)]
    return Figure(
        figure_id,
        chart.y_label.partition(",")[0].capitalize()
        + " against "
        + chart.x_label.partition(",")[0],
        _summary(chart),
        "Lines are means of valid runs, bands their 95 % intervals (Student's t), dots single runs,"
        " crosses runs that are not valid and in no mean. Thin lines are theory or publications:"
        " comparisons, not fits. Click a name in the legend to show or hide it.",
        tuple(traces),
        _layout(chart, result),
        _table(chart),
        height_px=520,
    )


def _layout(chart: Chart, result: Result) -> dict[str, Any]:
    xs = sorted({x for x, _ in chart.theory})
    highs = [point.high_bps for line in chart.lines for point in line.points]
    lows = [point.mean_bps for line in chart.lines for point in line.points]
    y = axis(
        "Mbit/s",
        log=chart.log_y,
        tickformat=",.6~g",
        dtick="D2" if chart.log_y else None,
        **_range(chart, lows, highs),
    )
    return layout(
        sweep_axis(chart.x_label, xs),
        y,
        uirevision="keep",
        legend={"orientation": "h", "y": -0.16, "x": 0, "font": {"size": 12}},
    )


def _range(chart: Chart, lows: Sequence[float], highs: Sequence[float]) -> dict[str, Any]:
    """From what was measured: published points of faster networks must not set the scale."""
    caps = [bps for _, bps in chart.theory if bps > 0]
    top = max([*lows, *caps]) / 1e6
    top = max(top, min(max(highs) / 1e6, 2 * top))
    if chart.log_y:
        bottom = min(lows) / 1e6
        return {"range": [math.log10(bottom / Y_ROOM), math.log10(top * Y_ROOM)]}
    return {"range": [0, top * 1.1]}


def _line(line: Line, variant: int) -> list[Trace]:
    xs = [point.x for point in line.points]
    colour = colour_of(line.arm)
    band = {
        "type": "scatter",
        "x": [*xs, *reversed(xs)],
        "y": [mbit(p.high_bps) for p in line.points]
        + [mbit(p.low_bps) for p in reversed(line.points)],
        "fill": "toself",
        "fillcolor": f"{colour}-band",
        "line": {"width": 0},
        "mode": "lines",
        "hoverinfo": "skip",
        "showlegend": False,
        "legendgroup": line.label,
    }
    words = [
        f"<b>{line.label}</b><br>{mbit(p.mean_bps):,.5g} Mbit/s"
        f" [{mbit(p.low_bps):,.5g}, {mbit(p.high_bps):,.5g}]<br>mean of {p.n} valid runs"
        for p in line.points
    ]
    mean = {
        "type": "scatter",
        "x": xs,
        "y": [mbit(p.mean_bps) for p in line.points],
        "mode": "lines+markers",
        "name": line.label,
        "legendgroup": line.label,
        "line": {"color": colour, "width": 2.5, "dash": DASHES.get(line.arm, "solid")},
        "marker": {
            "color": colour,
            "size": 9,
            "symbol": SYMBOLS.get(line.arm, "x") + ("-open" if variant % 2 else ""),
        },
        "customdata": words,
        "hovertemplate": HOVER,
    }
    return [band, mean] if any(p.high_bps > p.low_bps for p in line.points) else [mean]


def _runs(result: Result, metric: str) -> list[Trace]:
    """Every run as a dot that tells of itself."""
    runs = result["runs"]
    quantity = x_quantity(runs)
    names = varying_params(runs, quantity)
    found: dict[str, Trace] = {}
    for run in runs:
        x, y = quantity.value(run), run[metric]
        if x is None or y is None:
            continue
        label = ", ".join([run["arm"], *(f"{n} {run['params'].get(n)}" for n in names)])
        trace = found.setdefault(f"{label}{run['valid']}", _dots(run, label))
        trace["x"].append(x)
        trace["y"].append(mbit(y))
        trace["customdata"].append(_words(run))
    return list(found.values())


def _dots(run: Mapping[str, Any], label: str) -> Trace:
    valid = run["valid"]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [],
        "y": [],
        "customdata": [],
        "name": label if valid else f"{label}, not valid",
        "legendgroup": label,
        "showlegend": False,
        "marker": {
            "color": colour_of(run["arm"]),
            "size": 5 if valid else 8,
            "symbol": "circle" if valid else "x-thin-open",
            "opacity": 0.6,
        },
        "hovertemplate": HOVER,
    }


def _words(run: Mapping[str, Any]) -> str:
    achieved = run["achieved"]
    idle = (achieved.get("rtt_s") or {}).get("idle")
    late = achieved.get("lateness_s")
    again = run["retransmitted_bytes"]
    lines = [
        f"<b>{run['key']}</b>",
        f"{mbit(run['goodput_bps'] or 0):,.5g} Mbit/s goodput",
        f"RTT idle {idle * 1e3:,.2f} ms" if idle is not None else "",
        f"lateness p99 {late['p99'] * 1e3:.2f} ms" if late else "",
        f"{again:,} bytes sent again" if again is not None else "",
        "valid" if run["valid"] else "NOT VALID: " + "; ".join(run["invalid_reasons"])[:90],
    ]
    return "<br>".join(filter(None, lines))


def _cap(chart: Chart) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [x for x, _ in chart.theory],
        "y": [mbit(bps) for _, bps in chart.theory],
        "name": "theory: cap by framing and windows",
        "line": {"color": "@muted", "width": 1.2, "dash": "2px,2px"},
        "hovertemplate": "theory %{y:,.5~g} Mbit/s<extra></extra>",
    }


def _summary(chart: Chart) -> str:
    unit: Callable[[float], str] = lambda x: f"{x:,.6g}"  # noqa: E731
    said = [
        f"{line.label}: {mbit(line.points[0].mean_bps):,.4g} Mbit/s at {unit(line.points[0].x)}"
        f" and {mbit(line.points[-1].mean_bps):,.4g} at {unit(line.points[-1].x)}"
        for line in chart.lines
        if line.points
    ]
    return f"{chart.y_label} against {chart.x_label}. " + "; ".join(said) + "."


def _table(chart: Chart) -> DataTable:
    rows = tuple(
        (
            line.label,
            f"{point.x:,.6g}",
            f"{mbit(point.mean_bps):,.5g}",
            f"{mbit(point.low_bps):,.5g} to {mbit(point.high_bps):,.5g}"
            if point.high_bps > point.low_bps
            else "no interval",
            str(point.n),
        )
        for line in chart.lines
        for point in line.points
    )
    headings = ("arm", chart.x_label, "mean, Mbit/s", "95 % interval", "valid runs")
    return DataTable("The means in the figure", headings, rows)
