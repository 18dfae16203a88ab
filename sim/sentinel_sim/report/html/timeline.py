"""Faults and repairs on a time line, below what they did to goodput (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sentinel_sim.report.chart import arm_rank
from sentinel_sim.report.fault_table import FAULT_HEADINGS, REPAIR_HEADINGS, fault_rows, repair_rows
from sentinel_sim.report.html.curves import Curve
from sentinel_sim.report.html.figure import (
    DASHES,
    SYMBOLS,
    DataTable,
    Figure,
    Trace,
    axis,
    colour_of,
    layout,
)

Result = Mapping[str, Any]
Run = Mapping[str, Any]
LANE_PX = 30
GOODPUT_PX = 190
OTHER_PX = 150
GAP_PX = 40
BAR_SHARE = 0.7
"""Of a lane's height, divided among the arms."""
MOST_LANES = 30


def timeline_figure(result: Result, curves: Sequence[Curve]) -> Figure | None:
    """One run of each arm; None where nothing was broken on purpose and nothing repaired."""
    runs = _chosen(result)
    lanes = _lanes(runs)
    if not lanes:
        return None
    by_key = {curve.key: curve for curve in curves}
    traces: list[Trace] = []
    for place, run in enumerate(runs):
        if curve := by_key.get(run["key"]):
            traces.append(_goodput(curve))
        traces += _bars(run, lanes, place, len(runs))
    said = [f"{name}: {len(lanes[name])} times" for name in lanes]
    return Figure(
        "timeline",
        "Faults and repairs over time",
        "Time line of faults and repairs, one run of each arm. " + "; ".join(said),
        "From the start of the traffic, one run of each arm (the first valid one, else the first)."
        " Above: payload delivered in valid ones."
        " Below, by arm in its colour: faults from beginning to end, a mark where one has no"
        " duration; repairs from the failure to their end, hollow where none was possible. A"
        " fault that could not be carried out is in the tables alone, which have all runs.",
        tuple(traces),
        _layout(list(lanes), goodput=any("yaxis" not in trace for trace in traces)),
        None,
        height_px=OTHER_PX + GOODPUT_PX + GAP_PX + LANE_PX * len(lanes),
    )


def tables(result: Result) -> list[DataTable]:
    """Faults and repairs over all runs; none where there were none."""
    found = (
        ("Faults, over all runs", FAULT_HEADINGS, fault_rows(result)),
        ("Repairs, over all runs", REPAIR_HEADINGS, repair_rows(result)),
    )
    return [
        DataTable(caption, tuple(" ".join(one.split("\n")) for one in headings), tuple(rows))
        for caption, headings, rows in found
        if rows
    ]


def _chosen(result: Result) -> list[Run]:
    """Of each arm the first run with events, a valid one if there is one."""
    found: dict[str, Run] = {}
    for run in result["runs"]:
        if not (run.get("faults") or run.get("repairs")):
            continue
        known = found.get(run["arm"])
        if known is None or (run["valid"] and not known["valid"]):
            found[run["arm"]] = run
    return [found[arm] for arm in sorted(found, key=arm_rank)]


def _lanes(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Name of a lane -> events in it: the file's faults in its order, then what was repaired."""
    faults: dict[tuple[int, str], list[Run]] = {}
    repairs: dict[str, list[Run]] = {}
    for run in runs:
        for event in run.get("faults") or ():
            faults.setdefault((event["index"], _fault_lane(event)), []).append(event)
        for event in run.get("repairs") or ():
            repairs.setdefault(_repair_lane(event), []).append(event)
    ordered = {name: found for (_, name), found in sorted(faults.items(), key=lambda one: one[0])}
    return dict(list({**ordered, **repairs}.items())[:MOST_LANES])


def _fault_lane(event: Run) -> str:
    return f"{event['kind']} {event.get('direction') or event['target']} #{event['index'] + 1}"


def _repair_lane(event: Run) -> str:
    return f"repair: {event['fault']} {event['target']}"


def _goodput(curve: Curve) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [float(f"{time + curve.start_s:.5g}") for time in curve.times_s],
        "y": list(curve.goodput_mbps),
        "name": curve.arm,
        "legendgroup": curve.arm,
        "line": {"color": colour_of(curve.arm), "width": 1.8, "dash": DASHES.get(curve.arm)},
        "hovertemplate": f"<b>{curve.key}</b><br>%{{x:.4~g}} s: %{{y:,.4~g}} Mbit/s<extra></extra>",
    }


def _bars(run: Run, lanes: Mapping[str, Any], place: int, arms: int) -> list[Trace]:
    names = list(lanes)
    width = BAR_SHARE / arms
    offset = (place + 0.5) * width - BAR_SHARE / 2
    found = []
    for event in run.get("faults") or ():
        lane, begin = _fault_lane(event), event["actual_ns"]
        # One that failed was given up long after its time: it would stretch the axis.
        if begin is not None and lane in lanes and not event["failed"]:
            words = lane.rpartition(" #")[0]
            y = names.index(lane) + offset
            found.append(_bar(run["arm"], begin, event["ended_ns"], y, words, width))
    for event in run.get("repairs") or ():
        lane, begin = _repair_lane(event), event["failed_ns"]
        if lane in lanes:
            end = begin + event["time_to_detect_ns"] + event["time_to_repair_ns"]
            words = "repaired" if event["repaired"] else "not repaired"
            y = names.index(lane) + offset
            bar = _bar(run["arm"], begin, end, y, f"{lane}, {words}", width)
            if not event["repaired"]:
                bar["marker"]["symbol"] += "-open"
                bar["opacity"] = 0.55
            found.append(bar)
    return found


def _bar(arm: str, begin_ns: int, end_ns: int | None, y: float, words: str, width: float) -> Trace:
    begin_s = begin_ns / 1e9
    end_s = begin_s if end_ns is None else end_ns / 1e9
    lasted = "" if end_ns is None else f" to {end_s:.3f} s"
    colour = colour_of(arm)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [float(f"{begin_s:.4f}"), float(f"{end_s:.4f}")],
        "y": [y, y],
        "xaxis": "x",
        "yaxis": "y2",
        "name": arm,
        "legendgroup": arm,
        "showlegend": False,
        "line": {"color": colour, "width": max(3.0, width * LANE_PX * 0.75)},
        "marker": {"color": colour, "size": 6, "symbol": SYMBOLS.get(arm, "x")},
        "hovertemplate": f"<b>{arm}</b>: {words}<br>{begin_s:.3f} s{lasted}<extra></extra>",
    }


def _layout(names: Sequence[str], *, goodput: bool) -> dict[str, Any]:
    height = GOODPUT_PX + GAP_PX + LANE_PX * len(names)
    share = LANE_PX * len(names) / height
    y = axis("Mbit/s", rangemode="tozero", tickformat=",.6~g")
    y["domain"] = [min(1.0, share + GAP_PX / height), 1.0] if goodput else [0.999, 1.0]
    lanes = axis(
        "",
        tickvals=list(range(len(names))),
        ticktext=[name.rpartition(" #")[0] or name for name in names],
        range=[len(names) - 0.5, -0.5],
        zeroline=False,
    )
    lanes["domain"] = [0.0, share if goodput else 1.0]
    x = axis("time, s", anchor="y2", rangemode="tozero")
    return layout(x, y, yaxis2=lanes, legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"})
