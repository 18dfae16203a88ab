"""The screen of `fsu top`: figures stand whole, whatever the terminal, or their column goes."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from sentinel_sim.cli.fsu_screen import render
from sentinel_sim.fsu.keys import SortKey, View
from sentinel_sim.fsu.rows import FlowRow
from sentinel_sim.fsu.source import Reading
from sentinel_sim.fsu.table import COLUMNS, WIDE, hidden_words

ROW = FlowRow(
    where="panama/valparaiso--panama",
    protocol="tcp",
    source="10.99.0.1:36452",
    target="10.99.0.2:42189",
    rate_bps=940_200_000,
    rtt_us=101_300,
    bdp_bytes=11_900_000,
    buffer_bytes=14_300_000,
    predicted_bps=951_000_000,
    mase=0.87,
    leader="network",
    burst="varying",
    bytes_total=1_234_567_890,
    packets_total=83_400,
    retransmissions=173,
    idle_ns=2_000_000,
    vlan=0,
)
FIGURES = {
    "rate": "940 M", "predicted": "951 M", "MASE": "0.87", "by": "network", "burst": "varying",
    "RTT": "101 ms", "BDP": "11.9 M", "buffer": "14.3 M", "bytes": "1.2 G", "packets": "83.4 k",
    "retr": "173", "silent": "2.0 ms", "where": "panama/valparaiso--panama",
}  # fmt: skip


def screen(rows: list[FlowRow], width: int, height: int, *problems: str) -> list[str]:
    paper = io.StringIO()
    reading = Reading(rows, 1, problems)
    group = render(reading, View(), width=width, lines=height)
    Console(file=paper, width=width, height=height).print(group)
    return paper.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 150, WIDE])
def test_a_figure_is_whole_or_its_column_is_not_there(width: int) -> None:
    lines = screen([ROW], width, 24)
    hidden = hidden_words([ROW], width).split()
    for name, figure in FIGURES.items():
        assert (figure in lines[-1]) == (name not in hidden), (name, lines)
    assert ("…" in lines[-1]) == (width == 40)


def test_what_matters_most_stays_in_a_narrow_terminal() -> None:
    assert hidden_words([ROW], WIDE) == ""
    hidden = set(hidden_words([ROW], 80).split())
    assert not hidden & {"flow", "rate", "predicted", "RTT"}
    heading = screen([ROW], 80, 24)[0]
    assert "no room for: where" in heading


def test_the_order_in_which_columns_go_is_an_order() -> None:
    spared = [column.spared for column in COLUMNS if column.spared]
    assert sorted(spared) == list(range(1, len(spared) + 1))


@given(
    width=st.integers(40, 200),
    height=st.integers(6, 60),
    rows=st.integers(0, 80),
    problems=st.integers(0, 2),
)
def test_a_screen_is_never_larger_than_the_terminal(
    width: int, height: int, rows: int, problems: int
) -> None:
    flows = [replace(ROW, source=f"10.99.0.1:{1000 + i}") for i in range(rows)]
    lines = screen(flows, width, height, *(["left/v0: its pins are gone " * 9] * problems))
    assert len(lines) <= max(height, 5 + problems)
    assert all(len(line) <= width for line in lines)


def test_lines_that_are_not_shown_are_counted() -> None:
    flows = [replace(ROW, source=f"10.99.0.1:{1000 + i}") for i in range(50)]
    lines = screen(flows, 200, 24)
    assert "30 more below" in lines[0]
    assert len([line for line in lines if "tcp 10.99" in line]) == 20


def test_the_sorting_column_is_marked_and_units_stand_below_the_names() -> None:
    paper = io.StringIO()
    group = render(Reading([ROW], 1, ()), View(sort=SortKey.BDP), width=WIDE, lines=None)
    Console(file=paper, width=WIDE).print(group)
    names, units = paper.getvalue().splitlines()[2:4]
    assert "BDP*" in names
    assert names.count("*") == 1
    assert units.split() == ["bit/s", "bit/s", "B", "B"]
