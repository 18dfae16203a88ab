"""The second table: how long things took, and what was ready ahead; medians of valid runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sentinel_sim.report.chart import median
from sentinel_sim.report.table import (
    ABSENT,
    Column,
    PointRuns,
    Row,
    identity_columns,
    ms_text,
    points_of,
)


@dataclass(frozen=True, slots=True)
class Figure:
    """A column: its heading, where a run has it, and how it is written."""

    heading: str
    place: tuple[str, ...]
    text: Callable[[float], str] = ms_text


def _seconds(value: float) -> str:
    return f"{value:,.3f}"


def _megabytes(value: float) -> str:
    return f"{value / 1e6:,.2f}"


def _share(value: float) -> str:
    return f"{value:.4%}"


FIGURES = (
    Figure("1st byte\nms", ("time_to_first_byte_s",)),
    Figure("90 % of\nsteady ms", ("startup_s",)),
    Figure("100 kB\ns", ("delivered_after_s", "100 kB"), _seconds),
    Figure("1 MB\ns", ("delivered_after_s", "1 MB"), _seconds),
    Figure("10 MB\ns", ("delivered_after_s", "10 MB"), _seconds),
    Figure("100 MB\ns", ("delivered_after_s", "100 MB"), _seconds),
    Figure("confirmed\np50 ms", ("confirm_latency_s", "p50")),
    Figure("delivered\np50 ms", ("delivered_latency_s", "p50")),
    Figure("exposure\nMB", ("exposure_bytes_max",), _megabytes),
    Figure("lead p50\nms", ("lead_time_s", "p50")),
    Figure("control\nper byte", ("control_bytes_per_data_byte",), _share),
)
"""A column stands where any run has its figure."""

NOTE = (
    "times: medians of valid runs, from the first connect(); a size: until the receiver's"
    " application had so many bytes; confirmed, delivered: from write() to the acknowledgement (by"
    " the next node's TCP, or under custody by its word) and to the receiver's read()"
)


def _figures(result: Mapping[str, Any]) -> tuple[Figure, ...]:
    runs = result["runs"]
    return tuple(one for one in FIGURES if any(_at(run, one.place) is not None for run in runs))


def times_columns(result: Mapping[str, Any]) -> tuple[Column, ...]:
    """The headings for this result; empty if it has none of the figures."""
    figures = _figures(result)
    if not figures:
        return ()
    return (*identity_columns(result), *(Column(one.heading) for one in figures))


def times_rows(result: Mapping[str, Any]) -> list[Row]:
    """One row for each arm and point, as in the first table."""
    figures = _figures(result)
    return [
        Row((*point.identity, *(_cell(point, one) for one in figures)), True)
        for point in points_of(result)
    ]


def _cell(point: PointRuns, figure: Figure) -> str:
    value = median(_at(run, figure.place) for run in point.valid)
    return ABSENT if value is None else figure.text(value)


def _at(run: Mapping[str, Any], place: tuple[str, ...]) -> float | None:
    found: Any = run
    for key in place:
        found = found.get(key) if isinstance(found, Mapping) else None
    return None if found is None else float(found)
