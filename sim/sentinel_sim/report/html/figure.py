"""A figure as plain data: what plotly.js draws, and what a reader without eyes gets (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Trace = dict[str, Any]
Layout = dict[str, Any]

DASHES = {"direct": "dot", "tuned": "dash", "split": "solid", "fsu": "dashdot"}
X_ROOM_OF_ONE = 0.3
"""Decades on either side of the only value."""
X_ROOM = 0.06
"""Beside the first and the last point of a sweep, as a share of what lies between."""
SYMBOLS = {"direct": "circle", "tuned": "square", "split": "triangle-up", "fsu": "diamond"}


@dataclass(frozen=True, slots=True)
class DataTable:
    """The figures behind a figure, as text."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the page."""

    id: str
    title: str
    summary: str
    """What it shows, in words: read out in its place."""
    caption: str
    traces: tuple[Trace, ...]
    layout: Layout
    table: DataTable | None = None
    height_px: int = 440

    @property
    def spec(self) -> dict[str, Any]:
        """For plotly.js."""
        return {"data": list(self.traces), "layout": self.layout}


def colour_of(arm: str) -> str:
    """Name of an arm's colour."""
    return f"@{arm}" if arm in DASHES else "@muted"


def axis(title: str, *, log: bool = False, **more: Any) -> Layout:  # noqa: ANN401  plotly's values
    """One axis."""
    return {
        "title": {"text": title, "standoff": 8},
        "type": "log" if log else "linear",
        "gridcolor": "@grid",
        "linecolor": "@line",
        "zerolinecolor": "@line",
        "showline": True,
        "ticks": "outside",
        "tickcolor": "@line",
        "automargin": True,
        **more,
    }


def layout(x: Layout, y: Layout, **more: Any) -> Layout:  # noqa: ANN401  plotly's values
    """The look that all figures share."""
    return {
        "xaxis": x,
        "yaxis": y,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "@ink"},
        "margin": {"l": 60, "r": 16, "t": 12, "b": 52},
        "hovermode": "closest",
        "hoverlabel": {
            "bgcolor": "@panel",
            "bordercolor": "@line",
            "font": {"color": "@ink"},
            "align": "left",
        },
        "legend": {"orientation": "h", "y": -0.2, "x": 0, "font": {"size": 12}},
        **more,
    }


def sweep_axis(title: str, values: Sequence[float]) -> Layout:
    """The axis of a swept quantity: ticks where it was measured, logarithmic unless one is zero.

    The range is given: with markers at one end and lines at the other, plotly.js would cut a tick,
    and around a single value it would show ten-thousandths of it.
    """
    low, high = min(values), max(values)
    if low <= 0:
        return axis(title)
    room = X_ROOM * math.log10(high / low) if high > low else X_ROOM_OF_ONE
    return axis(
        title,
        log=True,
        tickvals=list(values),
        ticktext=[f"{value:,.5g}" for value in values],
        range=[math.log10(low) - room, math.log10(high) + room],
    )


def mbit(bps: float) -> float:
    """Mbit/s, with no more digits than mean anything."""
    return float(f"{bps / 1e6:.6g}")
