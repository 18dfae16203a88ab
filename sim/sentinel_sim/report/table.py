"""The final table: one row per arm and point of the sweep, invalid runs counted and explained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sentinel_sim.report.chart import arm_rank, median, varying_params, x_quantity
from sentinel_sim.report.fault_table import fault_tables
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
    Column("1st byte\nms"),
    Column("90 % of\nsteady ms"),
    Column("lead p50\nms"),
    Column("control\nper byte"),
    Column("late p99\nms"),
    Column("valid"),
)


def columns_of(result: Mapping[str, Any]) -> tuple[Column, ...]:
    """The headings for this result: arm, swept quantity, other parameters, then the figures."""
    runs = result["runs"]
    quantity = x_quantity(runs)
    return (
        Column("arm", right=False),
        Column(quantity.label.replace(", ", "\n")),
        *(Column(name) for name in varying_params(runs, quantity)),
        *FIXED_COLUMNS,
    )


def rows_of(result: Mapping[str, Any]) -> list[Row]:
    """The table's rows, by arm in the order of the design, then by the swept quantity."""
    runs = result["runs"]
    quantity = x_quantity(runs)
    names = varying_params(runs, quantity)
    keyed = []
    for summary in result["summary"]:
        members = [run for run in runs if _group(run) == _group(summary)]
        x = quantity.value(members[0])
        others = [str(members[0]["params"].get(name, ABSENT)) for name in names]
        cells = (summary["arm"], _number(x), *others, *_figures(summary, members))
        complete = all(run["valid"] for run in members)
        order = (arm_rank(summary["arm"]), others, x if x is not None else -1.0)
        keyed.append((order, Row(cells, complete)))
    return [row for _, row in sorted(keyed, key=lambda item: item[0])]


def _figures(summary: Mapping[str, Any], members: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    valid = [run for run in members if run["valid"]]
    steady = summary["steady_goodput_bps"]["mean"]
    theory = summary["theory_goodput_bps"]
    late = [run["achieved"]["lateness_s"] for run in members]
    delivered = sum(run["bytes_delivered"] for run in valid)
    repeated = sum(run["retransmitted_bytes"] for run in valid)
    return (
        str(summary["n"]),
        estimate_text(summary["goodput_bps"]),
        _mbit(steady),
        ABSENT if steady is None else f"{steady / theory:.1%}",
        _ms(median(run["achieved"]["rtt_s"]["idle"] for run in members)),
        _ms(median(run["achieved"]["rtt_s"]["loaded_p50"] for run in members)),
        f"{repeated / delivered:.3%}" if delivered else ABSENT,
        _ms(median(run["time_to_first_byte_s"] for run in valid)),
        _ms(median(run.get("startup_s") for run in valid)),
        _ms(median((run.get("lead_time_s") or {}).get("p50") for run in valid)),
        _share(median(run.get("control_bytes_per_data_byte") for run in valid)),
        _ms(max((one["p99"] for one in late if one is not None), default=None)),
        f"{len(valid)}/{len(members)}",
    )


def table_of(result: Mapping[str, Any]) -> RenderableType:
    """The table with what a reader must know beside it: reasons, rule, theory."""
    table = Table(title_justify="left", pad_edge=False)
    for column in columns_of(result):
        table.add_column(column.heading, justify="right" if column.right else "left", no_wrap=True)
    for row in rows_of(result):
        table.add_row(*row.cells, style=None if row.complete else "yellow")
    notes = [Text(line) for line in notes_of(result)]
    return Group(table, *fault_tables(result), *notes)


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


def _ms(seconds: float | None) -> str:
    if seconds is None:
        return ABSENT
    return f"{seconds * 1e3:,.2f}"


def _share(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.4%}"


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:,.6g}"
