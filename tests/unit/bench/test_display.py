"""The tables of the benchmark: no figure may be cut, or it reads as another one."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from tests.unit.bench.records import records, result

from sentinel_sim.bench.display import packet_cells, tables_of, work_cells
from sentinel_sim.bench.lanes import LANES_OF, Mode
from sentinel_sim.bench.result import Result


def shown(given: Result, width: int) -> str:
    paper = io.StringIO()
    Console(width=width, file=paper).print(tables_of(given))
    return paper.getvalue()


@pytest.mark.parametrize("width", [80, 140])
def test_every_figure_of_every_lane_stands_whole(width: int) -> None:
    given = result()
    text = shown(given, width)
    assert max(map(len, text.splitlines())) <= width
    for row in given["lanes"]:
        if row["trials"]:
            assert all(cell in text for cell in packet_cells(row))
        assert all(cell in text for cell in work_cells(row))


def test_numbers_of_flows_without_trials_have_no_row_of_dashes() -> None:
    given = result(Mode.XDP)
    assert {row["flows"] for row in given["lanes"]} > {1}
    packets = shown(given, 140).split("what that work costs")[0]
    lanes = LANES_OF[Mode.XDP]
    assert all(packets.count(str(lane)) == 1 for lane in lanes)


def test_a_bench_that_did_not_finish_is_shown_as_such() -> None:
    from sentinel_sim.bench.result import build
    from sentinel_sim.bench.schedule import full_settings

    given = build(full_settings(Mode.ALL, None, 1), None, {}, records(), complete=False)
    text = shown(given, 80)
    assert "not finished" in text
    assert "invalid: the benchmark did not finish" in text
