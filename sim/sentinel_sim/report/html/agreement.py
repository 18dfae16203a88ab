"""Agreement of the two backends: of a result of `--backend both` (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sentinel_sim.report.agreement_table import HEADINGS, cells_of, notes_of
from sentinel_sim.report.chart import arm_rank
from sentinel_sim.report.html.figure import (
    SYMBOLS,
    DataTable,
    Figure,
    Trace,
    axis,
    colour_of,
    layout,
)

ROW_PX = 26
ROOM = 1.15
WORD_OF = {True: "agrees", False: "disagrees", None: "undecided"}


def agreement_figure(result: Mapping[str, Any]) -> Figure | None:
    """Ratio of goodputs, simulated over emulated, row by row; None without both backends."""
    agreement = result.get("agreement") or {}
    groups = [one for one in agreement.get("groups", ()) if one["goodput_ratio"] is not None]
    if not groups:
        return None
    groups = sorted(groups, key=lambda one: (arm_rank(one["arm"]), one["distance_km"] or 0.0))
    said = [
        f"{_label(one)}: {one['goodput_ratio']:.3f}, {WORD_OF[one['agrees']]}" for one in groups
    ]
    rows = tuple(cells_of(one) for one in agreement["groups"])
    y = axis(
        "",
        tickvals=list(range(len(groups))),
        ticktext=[_label(one) for one in groups],
        range=[len(groups) - 0.5, -0.5],
        zeroline=False,
    )
    return Figure(
        "agreement",
        "Simulated over emulated goodput",
        "Ratios of the two backends' median goodputs. " + "; ".join(said[:20]),
        " ".join(f"{note}." for note in notes_of(agreement))
        + " Bars are 95 % intervals, some wider than the figure; shaded is the limit.",
        tuple(_points(groups)),
        layout(
            axis("simulated / emulated", range=_range(groups), tickformat=".3~f"),
            y,
            shapes=[_limit(place, one) for place, one in enumerate(groups)] + [_one()],
        ),
        DataTable("Simulated over emulated", ("arm", *HEADINGS[:-1], "verdict"), rows),
        height_px=150 + ROW_PX * len(groups),
    )


def _label(group: Mapping[str, Any]) -> str:
    km = group["distance_km"]
    params = [f"{k} {v}" for k, v in group["params"].items() if k != "congestion_control"]
    at = [] if km is None else [f"{km:,.6g} km"]
    return ", ".join([group["arm"], *at, *params])


def _points(groups: Sequence[Mapping[str, Any]]) -> list[Trace]:
    found: dict[str, Trace] = {}
    for place, one in enumerate(groups):
        ratio = one["goodput_ratio"]
        low, high = one["goodput_ratio_ci95"] or (ratio, ratio)
        trace = found.setdefault(one["arm"], _empty(one["arm"]))
        trace["x"].append(float(f"{ratio:.5g}"))
        trace["y"].append(place)
        trace["error_x"]["array"].append(float(f"{max(0.0, high - ratio):.4g}"))
        trace["error_x"]["arrayminus"].append(float(f"{max(0.0, ratio - low):.4g}"))
        trace["customdata"].append(f"{_label(one)}: {WORD_OF[one['agrees']]}")
    return list(found.values())


def _empty(arm: str) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [],
        "y": [],
        "customdata": [],
        "name": arm,
        "error_x": {"type": "data", "symmetric": False, "array": [], "arrayminus": [], "width": 4},
        "marker": {"color": colour_of(arm), "size": 9, "symbol": SYMBOLS.get(arm, "x")},
        "hovertemplate": "<b>%{customdata}</b><br>%{x:.3f}<extra></extra>",
    }


def _range(groups: Sequence[Mapping[str, Any]]) -> list[float]:
    """All points and limits; an interval of two runs may be wider than the figure."""
    ends = [1.0]
    for one in groups:
        ends += [one["goodput_ratio"], 1 - one["limit_share"], 1 + one["limit_share"]]
    room = (max(ends) - min(ends)) * (ROOM - 1) * 2
    return [max(0.0, min(ends) - room), max(ends) + room]


def _limit(place: int, group: Mapping[str, Any]) -> dict[str, Any]:
    share = group["limit_share"]
    return {
        "type": "rect",
        "layer": "below",
        "x0": 1 - share,
        "x1": 1 + share,
        "y0": place - 0.5,
        "y1": place + 0.5,
        "fillcolor": "@muted-band",
        "line": {"width": 0},
    }


def _one() -> dict[str, Any]:
    line = {"color": "@muted", "width": 1.3, "dash": "6px,3px"}
    return {"type": "line", "yref": "paper", "x0": 1, "x1": 1, "y0": 0, "y1": 1, "line": line}
