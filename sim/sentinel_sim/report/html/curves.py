"""What only the raw logs hold: goodput and exposure over time (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sentinel_sim.backends.base import FlowMeasurement, RunMeasurement, Series
from sentinel_sim.report.chart import arm_rank
from sentinel_sim.report.html.figure import (
    DASHES,
    DataTable,
    Figure,
    Trace,
    axis,
    colour_of,
    layout,
)

BINS = 120
MOST_PANELS = 6
SECOND_NS = 1e9
MARGIN = {"l": 60, "r": 16, "t": 28, "b": 52}


@dataclass(frozen=True, slots=True)
class Curve:
    """One run over time: seconds since connect(), Mbit/s delivered, exposure in MB."""

    key: str
    arm: str
    distance_km: float | None
    rtt_s: float
    times_s: tuple[float, ...]
    goodput_mbps: tuple[float, ...]
    exposure_mb: tuple[float, ...]
    """Empty where nothing is confirmed locally."""
    start_s: float = 0.0
    """Of the first connect(), after the start of the run's traffic, from which faults count."""


def curve_of(run: Mapping[str, Any], measured: RunMeasurement) -> Curve | None:
    """The curve of one run; None where nothing was delivered."""
    flows = [flow for flow in measured.flows if flow.delivered.values]
    if not flows:
        return None
    start = min(flow.start_ns for flow in flows)
    end = max(flow.delivered.times_ns[-1] for flow in flows)
    grid = np.linspace(0, end - start, BINS + 1)
    delivered = np.asarray(sum(_at(flow.delivered, start, grid) for flow in flows))
    rate = np.diff(delivered) * 8 / np.diff(grid) * 1e3
    exposure = _exposure(flows, start, grid[1:]) if run["arm"] in ("split", "fsu") else ()
    return Curve(
        run["key"],
        run["arm"],
        run["distance_km"],
        run["requested"]["rtt_s"],
        _rounded(grid[1:] / SECOND_NS),
        _rounded(rate),
        exposure,
        (start - measured.traffic_start_ns) / SECOND_NS,
    )


def _at(series: Series, start_ns: int, grid: Any) -> Any:  # noqa: ANN401  numpy's arrays
    times = np.asarray(series.times_ns, dtype=np.float64) - start_ns
    return np.interp(grid, times, np.asarray(series.values, dtype=np.float64), left=0.0)


def _exposure(flows: Sequence[FlowMeasurement], start: int, grid: Any) -> tuple[float, ...]:  # noqa: ANN401
    known = [flow for flow in flows if flow.confirmed.values]
    if not known:
        return ()
    total = sum(_at(f.confirmed, start, grid) - _at(f.delivered, start, grid) for f in known)
    return _rounded(np.maximum(np.asarray(total), 0.0) / 1e6)


def _rounded(values: Any) -> tuple[float, ...]:  # noqa: ANN401  numpy's arrays
    return tuple(float(f"{value:.4g}") for value in values)


def startup_figure(curves: Sequence[Curve]) -> Figure | None:
    """Goodput over time, one panel per distance."""
    return _figure(
        curves,
        "startup",
        "Start-up: goodput over time",
        "Mbit/s",
        lambda curve: curve.goodput_mbps,
        "Delivered payload per interval of one 120th of the run, one run of each arm and distance"
        " (the first valid one), from connect() on.",
    )


def exposure_figure(curves: Sequence[Curve]) -> Figure | None:
    """Bytes confirmed and not yet delivered, over time."""
    return _figure(
        [curve for curve in curves if curve.exposure_mb],
        "exposure",
        "Exposure: confirmed to the sender, not yet delivered",
        "MB",
        lambda curve: curve.exposure_mb,
        "Bytes that an intermediate had confirmed and the receiver did not have: what custody"
        " answers for. One run of each arm and distance.",
    )


def _figure(
    curves: Sequence[Curve],
    figure_id: str,
    title: str,
    unit: str,
    values: Any,  # noqa: ANN401  Curve -> tuple of floats
    caption: str,
) -> Figure | None:
    if not curves:
        return None
    points = sorted({(c.distance_km or 0.0, c.rtt_s) for c in curves})
    shown = _spread(points)
    traces: list[Trace] = []
    panels: dict[str, Any] = {}
    names = [_name(number, point, len(shown)) for number, point in enumerate(shown)]
    for number, point in enumerate(shown):
        mine = [c for c in curves if (c.distance_km or 0.0, c.rtt_s) == point]
        for curve in sorted(mine, key=lambda c: arm_rank(c.arm)):
            traces.append(_trace(curve, values(curve), number, unit, shown=number == 0))
        panels |= _panel(number, unit, len(shown))
    rows = tuple(_row(c, values(c)) for c in curves)
    return Figure(
        figure_id,
        title,
        f"{title}, {len(shown)} panels by distance. "
        + "; ".join(f"{row[0]} at {row[1]} km: highest {row[3]} {unit}" for row in rows[:12]),
        caption,
        tuple(traces),
        {**layout({}, {}, annotations=names, margin=MARGIN), **panels},
        DataTable(
            f"The curves in numbers, {unit}",
            ("arm", "distance, km", "half of the highest reached after, s", "highest", "last"),
            rows,
        ),
        height_px=150 + 170 * len(shown),
    )


def _spread(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most so many of the points, evenly spread, both ends included."""
    if len(points) <= MOST_PANELS:
        return list(points)
    index = np.unique(np.linspace(0, len(points) - 1, MOST_PANELS).round().astype(int))
    return [points[i] for i in index]


def _trace(
    curve: Curve, values: tuple[float, ...], number: int, unit: str, *, shown: bool
) -> Trace:
    suffix = "" if number == 0 else str(number + 1)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": list(curve.times_s),
        "y": list(values),
        "xaxis": f"x{suffix}",
        "yaxis": f"y{suffix}",
        "name": curve.arm,
        "legendgroup": curve.arm,
        "showlegend": shown,
        "line": {
            "color": colour_of(curve.arm),
            "width": 1.8,
            "dash": DASHES.get(curve.arm, "solid"),
        },
        "hovertemplate": f"<b>{curve.key}</b><br>%{{x:.3~g}} s: %{{y:,.4~g}} {unit}<extra></extra>",
    }


def _panel(number: int, unit: str, panels: int) -> dict[str, Any]:
    """Axes of one panel, from above."""
    suffix = "" if number == 0 else str(number + 1)
    bottom, top = _extent(number, panels)
    last = number == panels - 1
    x = axis("seconds since connect()" if last else "", anchor=f"y{suffix}", rangemode="tozero")
    y = axis(unit, anchor=f"x{suffix}", rangemode="tozero", nticks=5, tickformat=",.6~g")
    y["domain"] = [bottom, top]
    return {f"xaxis{suffix}": x, f"yaxis{suffix}": y}


def _extent(number: int, panels: int) -> tuple[float, float]:
    """Lower and upper end of a panel, as shares of the figure's height."""
    room = 0.4 / panels
    height = (1 - room * (panels - 1)) / panels
    top = 1 - number * (height + room)
    return max(0.0, top - height), top


def _name(number: int, point: tuple[float, float], panels: int) -> dict[str, Any]:
    """The words above a panel."""
    km, rtt_s = point
    return {
        "text": (f"{km:,.6g} km, " if km else "") + f"RTT {rtt_s * 1e3:,.4g} ms",
        "showarrow": False,
        "xref": "paper",
        "yref": "paper",
        "x": 0,
        "y": _extent(number, panels)[1],
        "xanchor": "left",
        "yanchor": "bottom",
        "font": {"size": 12, "color": "@soft"},
    }


def _row(curve: Curve, values: tuple[float, ...]) -> tuple[str, ...]:
    highest = max(values)
    half = next(t for t, v in zip(curve.times_s, values, strict=True) if v >= highest / 2)
    return (
        curve.arm,
        "–" if curve.distance_km is None else f"{curve.distance_km:,.6g}",
        f"{half:,.3g}",
        f"{highest:,.4g}",
        f"{values[-1]:,.4g}",
    )
