"""What a terminal shows of a result: its tables, and below them what a reader must know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sentinel_sim.report.fault_table import fault_tables
from sentinel_sim.report.table import Column, Row, columns_of, notes_of, rows_of
from sentinel_sim.report.times_table import NOTE, times_columns, times_rows


def tables_of(result: Mapping[str, Any]) -> RenderableType:
    """Goodput, times and faults, then reasons, rules and theory."""
    parts: list[RenderableType] = [_table(columns_of(result), rows_of(result))]
    notes = notes_of(result)
    if columns := times_columns(result):
        parts.append(_table(columns, times_rows(result)))
        notes.append(NOTE)
    return Group(*parts, *fault_tables(result), *(Text(line) for line in notes))


def _table(columns: Sequence[Column], rows: Sequence[Row]) -> Table:
    """Without lines between the columns: they would not fit a terminal."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title_justify="left")
    for column in columns:
        table.add_column(column.heading, justify="right" if column.right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row.cells, style=None if row.complete else "yellow")
    return table
