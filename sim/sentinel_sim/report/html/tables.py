"""The rows of the page's tables, as text (pure)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sentinel_sim.evidence.judging import reason
from sentinel_sim.evidence.pairing import arm_ratios
from sentinel_sim.evidence.registry import BY_ID
from sentinel_sim.evidence.verdict import Headline, headline, headlines
from sentinel_sim.report.chart import median
from sentinel_sim.report.html.figure import DataTable
from sentinel_sim.report.stalls import stalls_text
from sentinel_sim.report.table import ABSENT, Column, Row, columns_of, rows_of
from sentinel_sim.report.times_table import NOTE, times_columns, times_rows

Result = Mapping[str, Any]
MAIN_CLAIM = "throughput-constant"
TIMES_NOTE = NOTE
"""Beside `times`, as in the terminal."""


def main_parts(result: Result) -> list[Mapping[str, Any]]:
    """The parts of the main claim, arm by arm; steady goodput only where it has a figure."""
    return [
        one
        for one in result["verdicts"]
        if one["claim"] == MAIN_CLAIM
        and (one["figure"] is not None or not one["part"].startswith("steady"))
    ]


def main_headline(result: Result) -> Headline:
    """What is said of the main claim as a whole: by its own arm alone."""
    return headline_of(MAIN_CLAIM, result)


def headline_of(claim_id: str, result: Result) -> Headline:
    """What this result says of one claim as a whole."""
    return headline(BY_ID[claim_id], list(result["verdicts"]))


def other_headlines(result: Result) -> list[Headline]:
    """The other claims about which this result has a figure."""
    return [
        one
        for one in headlines(list(result["verdicts"]))
        if one.claim.id != MAIN_CLAIM and any(p["figure"] is not None for p in one.parts)
    ]


def deciding(one: Headline) -> Mapping[str, Any]:
    """The part that stands for a claim: the first of its own arm with the claim's verdict."""
    mine = [part for part in one.parts if part["arm"] == one.arm] or list(one.parts)
    agreeing = [part for part in mine if part["verdict"] == one.verdict]
    return (agreeing or mine)[0]


def means(result: Result) -> DataTable:
    """The main table of the terminal."""
    return _data("Means of valid runs with 95 % intervals", columns_of(result), rows_of(result))


def times(result: Result) -> DataTable | None:
    """The terminal's table of times; None where nothing of it was measured."""
    columns = times_columns(result)
    return _data("Medians of valid runs", columns, times_rows(result)) if columns else None


def _data(caption: str, columns: Sequence[Column], rows: Sequence[Row]) -> DataTable:
    headings = tuple(" ".join(column.heading.split("\n")) for column in columns)
    return DataTable(caption, headings, tuple(row.cells for row in rows))


def ratios(result: Result) -> DataTable | None:
    """Arms against each other; None where no two share a point."""
    found = arm_ratios(result)
    rows = tuple(
        (
            f"{one.arm} / {one.rival}",
            ABSENT if one.distance_km is None else f"{one.distance_km:,.6g}",
            one.condition or ABSENT,
            f"{one.ratio:.3g}",
            ABSENT if one.ci95 is None else f"{one.ci95[0]:.3g} to {one.ci95[1]:.3g}",
            str(one.pairs),
        )
        for one in found
    )
    if not rows:
        return None
    return DataTable(
        "Goodput of one arm over another's, paired by repeat (geometric mean)",
        ("arms", "distance, km", "condition", "ratio", "95 % interval", "pairs"),
        rows,
    )


CONTROL = (
    ("lead time p50, ms", ("lead_time_s", "p50"), 1e3),
    ("shortest lead, ms", ("lead_time_s", "least"), 1e3),
    ("phase error p50, ms", ("sync", "phase_error_s", "p50"), 1e3),
    ("phase error p99, ms", ("sync", "phase_error_s", "p99"), 1e3),
    ("control bytes per data byte", ("control_bytes_per_data_byte",), 1.0),
    ("start-up, s", ("startup_s",), 1.0),
    ("exposure at most, MB", ("exposure_bytes_max",), 1e-6),
)


def control(result: Result) -> DataTable | None:
    """Lead time, phase and control traffic, median by arm and point; None if none is measured."""
    groups: dict[tuple[str, float, float], list[Mapping[str, Any]]] = {}
    for run in result["runs"]:
        if run["valid"]:
            key = (run["arm"], run["distance_km"] or 0.0, run["requested"]["rtt_s"])
            groups.setdefault(key, []).append(run)
    columns = [
        one for one in CONTROL if any(_at(run, one[1]) is not None for run in result["runs"])
    ]
    if not columns:
        return None
    rows = []
    for (arm, km, rtt_s), runs in sorted(groups.items()):
        cells = [_median(runs, path, scale) for _, path, scale in columns]
        if any(cell != ABSENT for cell in cells):
            at = f"{km:,.6g}" if km else f"RTT {rtt_s * 1e3:,.4g} ms"
            rows.append((arm, at, str(len(runs)), *cells))
    headings = ("arm", "distance, km", "runs", *(name for name, _, _ in columns))
    return DataTable("Medians over the valid runs", headings, tuple(rows))


def _median(runs: Sequence[Mapping[str, Any]], path: tuple[str, ...], scale: float) -> str:
    value = median(_at(run, path) for run in runs)
    return ABSENT if value is None else f"{value * scale:,.3g}"


def _at(run: Mapping[str, Any], path: tuple[str, ...]) -> float | None:
    value: Any = run
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def validity(result: Result) -> DataTable:
    """Every run with what the gate looked at."""
    rows = tuple(_validity(run) for run in result["runs"])
    headings = (
        "run",
        "valid",
        "goodput, Mbit/s",
        "RTT asked, ms",
        "RTT idle, ms",
        "RTT loaded, ms",
        "rate, Mbit/s",
        "loss",
        "late p99, ms",
        "attempts",
        "why not",
    )
    return DataTable("Every run, in the order of execution", headings, rows)


def _validity(run: Mapping[str, Any]) -> tuple[str, ...]:
    achieved = run["achieved"]
    rtt = achieved.get("rtt_s") or {}
    late = achieved.get("lateness_s") or {}
    return (
        run["key"],
        "yes" if run["valid"] else "NO",
        _scaled(run["goodput_bps"], 1e-6),
        _scaled(run["requested"]["rtt_s"], 1e3),
        _scaled(rtt.get("idle"), 1e3),
        _scaled(rtt.get("loaded_p50"), 1e3),
        _scaled(achieved.get("rate_bps"), 1e-6),
        _scaled(achieved.get("loss"), 100, " %"),
        _scaled(late.get("p99"), 1e3),
        str(1 + len(run["discarded_attempts"]) + len(run["failed_attempts"])),
        _reasons(run),
    )


def _reasons(run: Mapping[str, Any]) -> str:
    host = "" if run["valid"] else stalls_text(run["cpu"])
    return "; ".join(run["invalid_reasons"]) + (f" ({host})" if host else "")


def _scaled(value: float | None, factor: float, unit: str = "") -> str:
    return ABSENT if value is None else f"{value * factor:,.4g}{unit}"


def claims(result: Result, bench: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """All thirty, each with its parts: of this result, and of benchmarks given beside it."""
    found = []
    for one in headlines([*result["verdicts"], *bench]):
        parts = [part for part in one.parts if part["text"] != "not measured"]
        found.append({"headline": one, "parts": parts, "reason": reason(BY_ID[one.claim.id])})
    return found


def environment(result: Result) -> DataTable:
    """What the result depends on besides its file."""
    rows = tuple((key, _brief(value)) for key, value in sorted(result["environment"].items()))
    limits = tuple((f"limit: {key}", _brief(value)) for key, value in result["limits"].items())
    return DataTable(
        "Host, versions and limits of the validity gate", ("key", "value"), rows + limits
    )


def _brief(value: Any) -> str:  # noqa: ANN401  any JSON value
    if isinstance(value, str):
        return value
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= 400 else text[:397] + "..."
