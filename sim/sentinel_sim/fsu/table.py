"""Lines of `fsu top` and states of `fsu status` as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from sentinel_sim.fsu.keys import SortKey
from sentinel_sim.fsu.registry import UnitStatus
from sentinel_sim.fsu.rows import FlowRow, human_count, human_time_us
from sentinel_sim.fsu.source import place_of

WIDE = 240
"""Columns where there is no terminal: lines are never cut there."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `fsu top`. A figure that does not fit is not cut: its column goes."""

    name: str
    unit: str = ""
    key: SortKey | None = None
    figures: int = 0
    """Columns for the longest figure, so that nothing moves while values change; 0: as its text."""
    spared: int = 0
    """In which order columns go where there is no room; 0: never."""


COLUMNS = (
    Column("where", spared=7),
    Column("flow", key=SortKey.FLOW),
    Column("rate", "bit/s", SortKey.RATE, 7),
    Column("predicted", "bit/s", None, 7, spared=11),
    Column("MASE", "", SortKey.ERROR, 5, spared=8),
    Column("by", spared=3),
    Column("burst", spared=6),
    Column("RTT", "", SortKey.RTT, 8, spared=12),
    Column("BDP", "B", SortKey.BDP, 7, spared=9),
    Column("buffer", "B", SortKey.BUFFER, 7, spared=10),
    Column("bytes", "", SortKey.BYTES, 7, spared=2),
    Column("packets", "", SortKey.PACKETS, 7, spared=1),
    Column("retr", "", None, 5, spared=5),
    Column("silent", "", SortKey.AGE, 8, spared=4),
)
FLOW = 1
"""Index of the flow's name."""
GAP = 1
"""Columns between two columns."""


def _cells(row: FlowRow) -> tuple[str, ...]:
    """In the order of COLUMNS."""
    vlan = f" vlan {row.vlan}" if row.vlan else ""
    return (
        row.where,
        f"{row.protocol} {row.source} > {row.target}{vlan}",
        human_count(row.rate_bps),
        human_count(row.predicted_bps),
        "-" if row.mase is None else f"{row.mase:.2f}",
        row.leader or "-",
        row.burst or "-",
        human_time_us(row.rtt_us),
        human_count(row.bdp_bytes),
        human_count(row.buffer_bytes),
        human_count(row.bytes_total),
        human_count(row.packets_total),
        str(row.retransmissions),
        human_time_us(row.idle_ns / 1000),
    )


def _heading(column: Column, key: SortKey) -> str:
    """Two lines; the column that sorts is marked, and the mark has its place in every column."""
    mark = "*" if column.key is key else ""
    return f"{column.name}{mark}\n{column.unit}"


def _widths(cells: Sequence[tuple[str, ...]]) -> list[int]:
    """Of all columns, for these lines."""
    widths = []
    for index, column in enumerate(COLUMNS):
        name = len(column.name) + (column.key is not None)
        longest = max((len(line[index]) for line in cells), default=0)
        widths.append(max(name, len(column.unit), column.figures, longest))
    return widths


def _fitting(widths: Sequence[int], room: int) -> list[int]:
    """Which columns are shown, whole, in `room` columns; the least needed go first."""
    shown = list(range(len(COLUMNS)))
    for index in sorted((i for i in shown if COLUMNS[i].spared), key=lambda i: COLUMNS[i].spared):
        if sum(widths[i] + GAP for i in shown) - GAP <= room:
            break
        shown.remove(index)
    return shown


def hidden_words(rows: Sequence[FlowRow], width: int) -> str:
    """Names of the columns that do not fit into `width`; empty if all do."""
    shown = _fitting(_widths([_cells(row) for row in rows]), width)
    return " ".join(c.name for i, c in enumerate(COLUMNS) if i not in shown)


def flow_table(rows: Sequence[FlowRow], key: SortKey, *, width: int) -> Table:
    """These lines, in `width` columns; the column that sorts them is marked."""
    cells = [_cells(row) for row in rows]
    widths = _widths(cells)
    shown = _fitting(widths, width)
    # Only the flow's name may be cut, where there is no room even for the figures that stay.
    others = sum(widths[i] + GAP for i in shown if i != FLOW)
    widths[FLOW] = min(widths[FLOW], max(len(COLUMNS[FLOW].name) + 1, width - others))
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for index in shown:
        column = COLUMNS[index]
        table.add_column(
            _heading(column, key),
            justify="right" if column.figures else "left",
            no_wrap=True,
            width=widths[index],
        )
    for row, line in zip(rows, cells, strict=True):
        style = "dim" if not row.rate_bps else ""
        table.add_row(*(Text(line[index], style=style) for index in shown))
    return table


def heartbeat_words(status: UnitStatus, now_ns: int) -> str:
    """`none expected`, or the age of the latest beat."""
    beat = status.heartbeat
    age_ns = None if beat is None else beat.age_ns(now_ns)
    if beat is None or age_ns is None:
        return "none expected"
    verdict = "STALE, packets are bypassed" if beat.is_stale(now_ns) else "alive"
    limit = human_time_us(beat.timeout_ns / 1000)
    return f"{human_time_us(age_ns / 1000)} ago of {limit}: {verdict}"


def status_table(found: Sequence[UnitStatus], now_ns: int) -> Table:
    """What is attached where."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for name in ("where", "owner", "interfaces", "program", "maps", "heartbeat", "packets"):
        table.add_column(name, overflow="fold")
    for status in found:
        if status.problem is not None:
            table.add_row(place_of(status.record), status.record.owner, f"lost: {status.problem}")
            continue
        seen, bypassed = status.counters["passed"], status.counters.get("bypassed", 0)
        table.add_row(
            place_of(status.record),
            status.record.owner,
            "\n".join(
                f"{report.end.ifname} ({report.end.name}, {report.end.mode}): {report.state}"
                for report in status.ends
            ),
            "\n".join(f"id {report.program_id}" for report in status.ends),
            "\n".join(
                f"{fact.name} id {fact.map_id}: {fact.max_entries} x {fact.value_bytes} B"
                for fact in status.maps
                if fact.name.startswith("flow_metrics")
            ),
            heartbeat_words(status, now_ns),
            f"{seen} seen" + (f", {bypassed} of them bypassed" if bypassed else ""),
        )
    return table
