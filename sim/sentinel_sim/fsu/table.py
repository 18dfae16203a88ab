"""Lines of `fsu top` and states of `fsu status` as tables for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from sentinel_sim.fsu.keys import SortKey
from sentinel_sim.fsu.registry import UnitStatus
from sentinel_sim.fsu.rows import (
    FlowRow,
    human_bytes,
    human_count,
    human_rate,
    human_time_us,
)
from sentinel_sim.fsu.source import place_of

WIDE = 240
"""Columns where there is no terminal: lines are never cut there."""

_COLUMNS = (
    ("where", "left", None),
    ("flow", "left", SortKey.FLOW),
    ("rate", "right", SortKey.RATE),
    ("predicted", "right", None),
    ("MASE", "right", SortKey.ERROR),
    ("by", "left", None),
    ("burst", "left", None),
    ("RTT", "right", SortKey.RTT),
    ("BDP", "right", SortKey.BDP),
    ("buffer", "right", SortKey.BUFFER),
    ("bytes", "right", SortKey.BYTES),
    ("packets", "right", SortKey.PACKETS),
    ("retr", "right", None),
    ("silent", "right", SortKey.AGE),
)


def _cells(row: FlowRow) -> tuple[str, ...]:
    vlan = f" vlan {row.vlan}" if row.vlan else ""
    return (
        row.where,
        f"{row.protocol} {row.source} > {row.target}{vlan}",
        human_rate(row.rate_bps),
        human_rate(row.predicted_bps),
        "-" if row.mase is None else f"{row.mase:.2f}",
        row.leader or "-",
        row.burst or "-",
        human_time_us(row.rtt_us),
        human_bytes(row.bdp_bytes),
        human_bytes(row.buffer_bytes),
        human_bytes(row.bytes_total),
        human_count(row.packets_total),
        str(row.retransmissions),
        human_time_us(row.idle_ns / 1000),
    )


def flow_table(rows: Sequence[FlowRow], key: SortKey, *, limit: int | None = None) -> Table:
    """The first `limit` lines; the column that sorts them is marked."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for name, side, column_key in _COLUMNS:
        mark = "*" if column_key is key else ""
        table.add_column(name + mark, justify="right" if side == "right" else "left", no_wrap=True)
    for row in rows[:limit]:
        table.add_row(
            *(Text(cell, style="dim" if not row.rate_bps else "") for cell in _cells(row))
        )
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
