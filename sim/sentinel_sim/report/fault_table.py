"""Two short tables below the results of an experiment with faults: broken, and repaired."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table

ABSENT = "–"
MS_NS = 1e6

FAULT_HEADINGS = ("fault", "target", "arm", "n", "late ms\nmax", "packets\nrefused", "failed")
REPAIR_HEADINGS = (
    "repair of",
    "target",
    "arm",
    "n",
    "repaired",
    "detected ms\np50 / max",
    "repaired ms\np50 / max",
    "replayed\nbytes",
)


def fault_rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One row for each fault of the file and arm, in file order."""
    groups: dict[tuple[int, str], list[tuple[Mapping[str, Any], Mapping[str, Any]]]] = {}
    for run in result["runs"]:
        for event in run.get("faults", ()):
            groups.setdefault((event["index"], run["arm"]), []).append((run, event))
    rows: list[tuple[str, ...]] = []
    for (_, arm), found in sorted(groups.items(), key=lambda item: item[0]):
        events = [event for _, event in found]
        happened = [event for event in events if event["actual_ns"] is not None]
        late_ns = [
            event["actual_ns"] - event["planned_ns"]
            for event in happened
            if event["planned_ns"] is not None
        ]
        refused = sum(_refused(run, events[0]) for run, _ in found)
        rows.append(
            (
                events[0]["kind"],
                events[0]["direction"] or events[0]["target"],
                arm,
                f"{len(happened)}/{len(events)}",
                f"{max(late_ns) / MS_NS:,.1f}" if late_ns else ABSENT,
                f"{refused:,}" if refused else ABSENT,
                str(sum(event["failed"] for event in events)),
            )
        )
    return rows


def _refused(run: Mapping[str, Any], event: Mapping[str, Any]) -> int:
    """On the whole link in that run: the wire does not know which of its cuts refused a packet."""
    wires = [wire for wire in run["wires"] if wire["link"] == event["target"]]
    return sum(wire.get("cut_dropped", 0) for wire in wires)


def repair_rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One row for each kind of incident, target and arm, the first seen first."""
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for run in result["runs"]:
        for event in run.get("repairs", ()):
            groups.setdefault((event["fault"], event["target"], run["arm"]), []).append(event)
    return [
        (
            *key,
            str(len(events)),
            str(sum(event["repaired"] for event in events)),
            _p50_max(event["time_to_detect_ns"] for event in events),
            _p50_max(event["time_to_repair_ns"] for event in events if event["repaired"]),
            _total(event["bytes_replayed"] for event in events),
        )
        for key, events in groups.items()
    ]


def _p50_max(values_ns: Iterable[int]) -> str:
    ordered = sorted(values_ns)
    if not ordered:
        return ABSENT
    middle = ordered[(len(ordered) - 1) // 2]
    return f"{middle / MS_NS:,.1f} / {ordered[-1] / MS_NS:,.1f}"


def _total(values: Iterable[int | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known):,}" if known else ABSENT


def fault_tables(result: Mapping[str, Any]) -> list[Table]:
    """None, one or both of the tables."""
    both = ((FAULT_HEADINGS, fault_rows(result)), (REPAIR_HEADINGS, repair_rows(result)))
    return [_table(headings, rows) for headings, rows in both if rows]


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title_justify="left", pad_edge=False)
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="left" if place < 3 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table
