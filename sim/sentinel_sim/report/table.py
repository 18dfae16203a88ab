"""The main table: one row per arm and point of the sweep, invalid runs counted and explained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel_sim.report.chart import arm_rank, median, varying_params, x_quantity
from sentinel_sim.report.fsu_cost import fsu_cost_notes
from sentinel_sim.report.stalls import stalls_text, worst_stalled
from sentinel_sim.report.starts import start_notes

ABSENT = "–"
MAX_REASONS = 12


@dataclass(frozen=True, slots=True)
class Row:
    """One (arm, point of the sweep), as text."""

    cells: tuple[str, ...]
    complete: bool
    """Every run of it is valid."""


@dataclass(frozen=True, slots=True)
class Column:
    """A heading; figures stand to the right."""

    heading: str
    right: bool = True


FIXED_COLUMNS = (
    Column("n"),
    Column("goodput\nMbit/s ± 95 %"),
    Column("steady\nMbit/s"),
    Column("steady\nof theory"),
    Column("RTT ms\nidle"),
    Column("RTT ms\nloaded"),
    Column("retrans-\nmitted"),
    Column("late p99\nms"),
    Column("valid"),
)


@dataclass(frozen=True, slots=True)
class PointRuns:
    """All runs of one arm at one point of the sweep."""

    identity: tuple[str, ...]
    """Cells that say which: arm, swept quantity, other parameters."""
    summary: Mapping[str, Any]
    runs: Sequence[Mapping[str, Any]]

    @property
    def valid(self) -> list[Mapping[str, Any]]:
        """The runs that count."""
        return [run for run in self.runs if run["valid"]]


def identity_columns(result: Mapping[str, Any]) -> tuple[Column, ...]:
    """Headings of `PointRuns.identity` for this result."""
    runs = result["runs"]
    quantity = x_quantity(runs)
    return (
        Column("arm", right=False),
        Column(quantity.label.replace(", ", "\n")),
        *(Column(name) for name in varying_params(runs, quantity)),
    )


def points_of(result: Mapping[str, Any]) -> list[PointRuns]:
    """By arm in the order of the design, then by the swept quantity."""
    runs = result["runs"]
    quantity = x_quantity(runs)
    names = varying_params(runs, quantity)
    groups: dict[tuple[str, float | None, str], list[Mapping[str, Any]]] = {}
    for run in runs:
        groups.setdefault(_group(run), []).append(run)
    keyed = []
    for summary in result["summary"]:
        members = groups[_group(summary)]
        x = quantity.value(members[0])
        others = [str(members[0]["params"].get(name, ABSENT)) for name in names]
        order = (arm_rank(summary["arm"]), others, x if x is not None else -1.0)
        identity = (summary["arm"], _number(x), *others)
        keyed.append((order, PointRuns(identity, summary, members)))
    return [point for _, point in sorted(keyed, key=lambda item: item[0])]


def columns_of(result: Mapping[str, Any]) -> tuple[Column, ...]:
    """The headings for this result: what tells the rows apart, then the figures."""
    return (*identity_columns(result), *FIXED_COLUMNS)


def rows_of(result: Mapping[str, Any]) -> list[Row]:
    """The table's rows, in the order of `points_of`."""
    return [
        Row((*one.identity, *_figures(one)), len(one.valid) == len(one.runs))
        for one in points_of(result)
    ]


def _figures(point: PointRuns) -> tuple[str, ...]:
    summary, members, valid = point.summary, point.runs, point.valid
    steady = summary["steady_goodput_bps"]["mean"]
    theory = summary["theory_goodput_bps"]
    late = [run["achieved"]["lateness_s"] for run in members]
    delivered = sum(run["bytes_delivered"] for run in valid)
    counted = [n for run in valid if (n := run["retransmitted_bytes"]) is not None]
    repeated = sum(counted) if counted else None
    return (
        str(summary["n"]),
        estimate_text(summary["goodput_bps"]),
        _mbit(steady),
        ABSENT if steady is None else f"{steady / theory:.1%}",
        ms_text(median(run["achieved"]["rtt_s"]["idle"] for run in members)),
        ms_text(median(run["achieved"]["rtt_s"]["loaded_p50"] for run in members)),
        f"{repeated / delivered:.3%}" if delivered and repeated is not None else ABSENT,
        ms_text(max((one["p99"] for one in late if one is not None), default=None)),
        f"{len(valid)}/{len(members)}",
    )


def digest_of(result: Mapping[str, Any]) -> list[str]:
    """What a sweep of very many settings found, in a line for each arm instead of a table."""
    lines = [f"{len(result['summary']):,} settings: one row for each run in runs.parquet"]
    for arm in sorted({summary["arm"] for summary in result["summary"]}, key=arm_rank):
        found = [summary for summary in result["summary"] if summary["arm"] == arm]
        means = [one["goodput_bps"]["mean"] for one in found]
        known = sorted(mean for mean in means if mean is not None)
        middle = median(known)
        text = f"{arm}: {len(known):,} of {len(found):,} settings have a mean goodput"
        if middle is not None:
            text += f": {_mbit(known[0])} to {_mbit(known[-1])} Mbit/s, median {_mbit(middle)}"
        lines.append(text)
    return lines


def notes_of(result: Mapping[str, Any]) -> list[str]:
    """Lines below the table: what is invalid and why, and how steady and theory are meant."""
    notes = []
    invalid = [run for run in result["runs"] if not run["valid"]]
    for run in invalid[:MAX_REASONS]:
        notes.append(f"invalid: {run['key']}: {_reasons(run)}")
    if len(invalid) > MAX_REASONS:
        notes.append(f"... and {len(invalid) - MAX_REASONS} more invalid runs, see result.json")
    notes.extend(_repeated(result))
    if not result.get("complete", True):
        notes.append("incomplete: the experiment did not finish; these are the runs until then")
    for summary in result["summary"]:
        if summary.get("unpooled"):
            where = f"{summary['arm']} at {_number(summary['distance_km'])} km"
            notes.append(f"not pooled: {where}: {summary['unpooled']}")
    if result["runs"]:
        notes.append(f"theory: {result['runs'][0]['theory']['framing']}")
        notes.append(f"steady: {result['steady_rule']}")
    notes.extend(start_notes(result))
    notes.extend(fsu_cost_notes(result))
    notes.extend(f"note: {note}" for note in result.get("plan", {}).get("notes", ()))
    return notes


def _reasons(run: Mapping[str, Any]) -> str:
    host = stalls_text(run["cpu"])
    return "; ".join(run["invalid_reasons"]) + (f" ({host})" if host else "")


def _repeated(result: Mapping[str, Any]) -> list[str]:
    repeated = {run["key"]: run.get("discarded_attempts", ()) for run in result["runs"]}
    count = sum(map(len, repeated.values()))
    if not count:
        return []
    names = ", ".join(key for key, attempts in repeated.items() if attempts)
    worst = stalls_text(worst_stalled(one["cpu"] for found in repeated.values() for one in found))
    return [
        f"made again: {count} attempts were invalid by timing and are in no mean ({names}); their"
        f" figures stand under discarded_attempts in result.json" + (f"; {worst}" if worst else "")
    ]


def estimate_text(estimate: Mapping[str, Any]) -> str:
    """`941.2 ± 0.8` in Mbit/s; without an interval the mean alone."""
    mean, interval = estimate["mean"], estimate["ci95"]
    if mean is None:
        return ABSENT
    if interval is None:
        return _mbit(mean)
    return f"{_mbit(mean)} ± {_mbit((interval[1] - interval[0]) / 2)}"


def _group(entry: Mapping[str, Any]) -> tuple[str, float | None, str]:
    return entry["arm"], entry["distance_km"], json.dumps(entry["params"], sort_keys=True)


def _mbit(bps: float | None) -> str:
    if bps is None:
        return ABSENT
    value = bps / 1e6
    return f"{value:,.1f}" if value >= 10 else f"{value:.3f}"


def ms_text(seconds: float | None) -> str:
    """Milliseconds, of seconds."""
    if seconds is None:
        return ABSENT
    return f"{seconds * 1e3:,.2f}"


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:,.6g}"
