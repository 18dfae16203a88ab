"""Table, chart, plots and progress, from results whose figures are known."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.unit.experiment.support import SECOND, link, measurement, spec

from sentinel_sim.experiment import results
from sentinel_sim.experiment.observer import Outlook
from sentinel_sim.experiment.rawlog import raw_run
from sentinel_sim.experiment.records import record_of
from sentinel_sim.plan.model import Arm, RunSpec
from sentinel_sim.report.chart import chart_of, title_of, x_quantity
from sentinel_sim.report.figure_plot import write_figures
from sentinel_sim.report.progress import (
    ProgressDisplay,
    RealTimeLeft,
    VirtualTimeLeft,
    duration_text,
    run_text,
)
from sentinel_sim.report.result_tables import tables_of
from sentinel_sim.report.starts import start_notes
from sentinel_sim.report.status_line import StatusLine
from sentinel_sim.report.table import columns_of, estimate_text, notes_of, rows_of
from sentinel_sim.report.terminal_plot import terminal_plot

ENVIRONMENT = {"kernel": "6.1-test", "wire_backend": "netem", "commit": None, "versions": {}}


def result_of(*runs: tuple[RunSpec, dict[str, Any]], complete: bool = True) -> results.Result:
    records = [record_of(raw_run(run, measurement(run, **changes))) for run, changes in runs]
    built = results.build(
        name="chile-usa",
        backend="emulated",
        seed=7,
        environment=ENVIRONMENT,
        plan={"notes": ["quick: one repeat"]},
        records=records,
        complete=complete,
    )
    return dict(json.loads(json.dumps(built)))


def swept() -> results.Result:
    """Two arms, three distances, two repeats; `direct` falls with distance."""
    runs = [
        (
            spec(arm, distance_km=km, repeat=repeat, key=f"{arm}-{km}-{repeat}"),
            {"goodput_bps": (90e6 if arm is Arm.SPLIT else 90e6 / (1 + km / 1000)) + 1e5 * repeat},
        )
        for arm in (Arm.SPLIT, Arm.DIRECT)
        for km in (10000.0, 100.0, 1000.0)
        for repeat in (0, 1)
    ]
    return result_of(*runs)


def rendered(result: results.Result, width: int = 140) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(tables_of(result))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_rows_stand_by_arm_then_distance() -> None:
    rows = rows_of(swept())
    assert [row.cells[:2] for row in rows] == [
        (arm, km) for arm in ("direct", "split") for km in ("100", "1,000", "10,000")
    ]
    assert all(len(row.cells) == len(columns_of(swept())) for row in rows)


def test_a_row_holds_mean_interval_share_of_theory_and_count() -> None:
    result = swept()
    cells = dict(
        zip([c.heading for c in columns_of(result)], rows_of(result)[-1].cells, strict=True)
    )
    (summary,) = [
        one for one in result["summary"] if (one["arm"], one["distance_km"]) == ("split", 10000.0)
    ]
    assert cells["n"] == "2"
    assert cells["valid"] == "2/2"
    mean = summary["goodput_bps"]["mean"] / 1e6
    low, high = summary["goodput_bps"]["ci95"]
    assert cells["goodput\nMbit/s ± 95 %"] == f"{mean:.1f} ± {(high - low) / 2e6:.3f}"
    share = summary["steady_goodput_bps"]["mean"] / (100e6 * 1448 / 1514)
    assert cells["steady\nof theory"] == f"{share:.1%}"
    assert cells["RTT ms\nidle"] == "20.01"


def test_what_is_unknown_is_shown_as_absent_and_not_as_zero() -> None:
    assert estimate_text({"mean": None, "ci95": None}) == "–"
    assert estimate_text({"mean": 12.34e6, "ci95": None}) == "12.3"
    failed = record_of(raw_run(spec(), None, ("died",)))
    result = results.build(
        name="x",
        backend="emulated",
        seed=1,
        environment=ENVIRONMENT,
        plan={},
        records=[failed],
        complete=True,
    )
    (row,) = rows_of(result)
    assert row.cells[2:] == ("0", *["–"] * 7, "0/1")
    assert row.complete is False


def test_an_invalid_run_is_named_with_its_reason_below_the_table() -> None:
    result = result_of((spec(), {}), (spec(repeat=2, key="late"), {"rtt_idle_ns": (1,)}))
    text = rendered(result)
    assert "1/2" in text
    assert "invalid: late: idle RTT" in text
    assert "note: quick: one repeat" in text
    assert any("did not finish" in note for note in notes_of(result_of(complete=False)))


def fsu_cost(ns: float, runs: int, *, dear_ns: float, tc: bool = False) -> dict[str, Any]:
    points = {
        "a/a--m": {"runs": runs, "ns_per_run": ns},
        "m/a--m": {"runs": runs, "ns_per_run": dear_ns},
        "b/m--b": {"runs": 0, "ns_per_run": None},
    }
    cost = {"runs": 2 * runs, "ns_per_run": (ns + dear_ns) / 2, "points": points}
    both = {"xdp": cost, "tc": cost} if tc else {"xdp": cost}
    return {"fsu_cost": {"method": "", "empty_program_ns": 31.4, **both}}


def test_what_the_fsu_took_is_told_by_arm_where_it_was_measured() -> None:
    assert not any(note.startswith("FSU") for note in notes_of(swept()))
    runs = [
        (spec(Arm.SPLIT), {"cpu": fsu_cost(100.0, 1_000, dear_ns=140.0)}),
        (spec(Arm.SPLIT, repeat=2), {"cpu": fsu_cost(200.0, 3_000, dear_ns=240.0)}),
        (spec(Arm.DIRECT, key="late"), {"rtt_idle_ns": (1,), "cpu": fsu_cost(9.0, 9, dear_ns=9.0)}),
        (spec(Arm.TUNED), {"cpu": fsu_cost(10.0, 5, dear_ns=30.0, tc=True)}),
    ]
    told = [note for note in notes_of(result_of(*runs)) if note.startswith("FSU")]
    both = "20 over 10 packets (10 to 30 by run and point)"
    assert told[0] == f"FSU, ns per packet: tuned: inner (XDP) {both}, outer (tc) {both}"
    # (1,000 x 240 + 3,000 x 440) / 8,000 packets; the invalid run enters no mean.
    assert told[1] == (
        "FSU, ns per packet: split: inner (XDP) 195 over 8,000 packets"
        " (100 to 240 by run and point)"
    )
    assert len(told) == 3
    assert "nothing subtracted; a program that does nothing reads 31 ns here" in told[2]


def test_means_over_cold_and_remembered_starts_are_said_to_be_such() -> None:
    runs = [
        {"arm": "fsu", "distance_km": km, "params": {}, "valid": True, "starts": starts}
        for km, starts in (
            (10.0, ["cold"]),
            (10.0, ["remembered"]),
            (10.0, ["remembered"]),
            (1000.0, ["remembered"]),
            (1000.0, ["remembered"]),
        )
    ]
    (note,) = start_notes({"runs": runs})
    assert note.startswith("start: fsu at 10 km: 1 cold, 2 remembered")


def test_many_invalid_runs_are_counted_instead_of_flooding_the_screen() -> None:
    bad = [(spec(repeat=i, key=f"bad-{i}"), {"rtt_idle_ns": (1,)}) for i in range(20)]
    notes = notes_of(result_of(*bad))
    assert sum(note.startswith("invalid:") for note in notes) == 12
    assert "... and 8 more invalid runs, see result.json" in notes


def test_names_with_brackets_are_text_and_not_markup() -> None:
    result = result_of((spec(key="[red]a[/red]"), {"rtt_idle_ns": (1,)}))
    assert "[red]a[/red]" in rendered(result)


def test_the_x_axis_is_what_was_swept() -> None:
    by_distance = swept()
    assert x_quantity(by_distance["runs"]).label == "distance, km"
    delays = [
        (
            spec(
                distance_km=None,
                key=str(ms),
                links=(link("a--m", delay_one_way_ns=ms * 10**6, distance_km=None),),
                params={"congestion_control": "cubic", "delay_one_way": f"{ms} ms"},
            ),
            {},
        )
        for ms in (5, 20)
    ]
    # One link only: a--m; the path of the kit ends there.
    fixed = [(run_with_one_link(run), changes) for run, changes in delays]
    chart = chart_of(result_of(*fixed))
    assert chart.x_label == "base RTT, ms"
    assert [point.x for point in chart.lines[0].points] == [10.0, 40.0]
    sizes = [(spec(size_bytes=size, params={"size_bytes": size}), {}) for size in (10**6, 10**7)]
    assert chart_of(result_of(*sizes)).x_label == "transfer size, MB"
    lossy = [
        (spec(links=(link("a--m", loss=p), link("m--b")), params={"links.0.loss": f"{p:%}"}), {})
        for p in (0.01, 0.001)
    ]
    chart = chart_of(result_of(*lossy))
    assert chart.x_label == "loss, %"
    assert [line.label for line in chart.lines] == ["direct"]


def run_with_one_link(run: RunSpec) -> RunSpec:
    path = dataclasses.replace(run.paths[0], nodes=("a", "m"))
    return dataclasses.replace(run, paths=(path,))


def test_what_varies_besides_makes_lines_and_columns_of_its_own() -> None:
    runs = [
        (spec(distance_km=km, params={"congestion_control": name}, key=f"{km}{name}"), {})
        for km in (100.0, 1000.0)
        for name in ("bbr", "cubic")
    ]
    result = result_of(*runs)
    assert [line.label for line in chart_of(result).lines] == [
        "direct, congestion_control bbr",
        "direct, congestion_control cubic",
    ]
    assert "congestion_control" in [column.heading for column in columns_of(result)]


def test_the_chart_has_interval_cap_and_title() -> None:
    result = swept()
    chart = chart_of(result)
    assert chart.title == "chile-usa · emulated (netem) · Linux 6.1-test"
    assert chart.log_x is True
    point = chart.lines[0].points[0]
    assert point.low_bps < point.mean_bps < point.high_bps
    assert chart.theory == tuple((x, 100e6 * 1448 / 1514) for x in (100.0, 1000.0, 10000.0))
    assert chart.empty is False
    assert chart_of(result, "steady_goodput_bps").y_label.startswith("steady goodput")


def test_the_title_of_a_simulation_names_the_engine_and_no_kernel() -> None:
    result = swept()
    environment = {**result["environment"], "simulator": {"engine_sha256": "0123456789abcdef"}}
    simulated = {**result, "backend": "simulated", "environment": environment}
    assert title_of(simulated) == "chile-usa · simulated · engine 01234567"


def test_the_title_says_that_a_result_is_not_valid() -> None:
    assert "NOT VALID: 1 of 1 runs are invalid" in title_of(
        result_of((spec(), {"rtt_idle_ns": (1,)}))
    )


def test_a_wide_range_gets_a_logarithmic_y_axis() -> None:
    runs = [
        (spec(distance_km=km, key=str(km)), {"goodput_bps": rate})
        for km, rate in ((100.0, 90e6), (10000.0, 1e6))
    ]
    chart = chart_of(result_of(*runs))
    assert chart.log_y is True
    text = terminal_plot(chart)
    assert "10,000" in text


def test_the_terminal_plot_is_plain_text_with_a_sign_for_every_line() -> None:
    text = terminal_plot(chart_of(swept()), width=90, height=20)
    assert "\x1b" not in text
    assert all(len(line) <= 90 for line in text.splitlines()[:-1])
    assert text.splitlines()[-1].endswith("· theory   o direct   x split")
    for word in ("theory", "direct", "split", "distance, km", "10,000", "chile-usa"):
        assert word in text
    assert terminal_plot(chart_of(swept()), width=90, height=20) == text


def test_a_single_point_can_be_plotted() -> None:
    chart = chart_of(result_of((spec(), {})))
    assert "2,000" in terminal_plot(chart)


def test_figures_are_written_and_equal_charts_give_equal_bytes(tmp_path: Path) -> None:
    digests = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        written = write_figures(chart_of(swept()), tmp_path / folder)
        assert [path.name for path in written] == ["throughput.svg", "throughput.png"]
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in written])
    assert digests[0] == digests[1]
    svg = (tmp_path / "one" / "throughput.svg").read_text()
    for word in ("chile-usa", "6.1-test", "direct", "split", "theory", "distance, km"):
        assert word in svg
    assert (tmp_path / "one" / "throughput.png").read_bytes().startswith(b"\x89PNG")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def display(*, terminal: bool, clock: Clock) -> tuple[ProgressDisplay, io.StringIO]:
    text = io.StringIO()
    console = Console(
        file=text, force_terminal=terminal, width=120, highlight=False, color_system=None
    )
    return ProgressDisplay(partial(StatusLine, console), clock), text


def test_plain_progress_is_lines_with_elapsed_and_left() -> None:
    clock = Clock()
    shown, text = display(terminal=False, clock=clock)
    run = spec(Arm.TUNED, distance_km=20000.0, repeat=0)
    with shown:
        shown.opened(Path("results/x"), 2)
        shown.run_started(run, Outlook(2, 3, 30 * SECOND))
        shown.phase("traffic", 1.0)
        clock.now += 65
        shown.run_failed(run, "died", retry=True)
        shown.run_ended(run, record_of(raw_run(run, measurement(run))))
        shown.interrupted("SIGINT", again=False)
        shown.interrupted("SIGINT", again=True)
    lines = text.getvalue().splitlines()
    assert lines[1] == "results: results/x; 2 finished runs are taken over"
    assert lines[2].startswith("run 3 of 5: tuned at 20,000 km, repeat 1 (elapsed 0 s, left about")
    assert "died; trying once more" in lines[3]
    assert "Mbit/s" in lines[4]
    assert "taking the network down" in lines[5]
    assert "already" in lines[6]
    assert len(lines) == 7


def test_the_display_in_a_terminal_shows_run_phase_and_time_left() -> None:
    clock = Clock()
    shown, text = display(terminal=True, clock=clock)
    run = spec(Arm.SPLIT, distance_km=100.0, repeat=1)
    with shown:
        shown.run_started(run, Outlook(0, 2, 8 * SECOND))
        shown.phase("traffic", 3.0)
    assert "split at 100 km, repeat 2" in text.getvalue()
    assert "run 1 of 2" in text.getvalue()
    assert "traffic 3 s" in text.getvalue()
    assert "left about" in text.getvalue()


def test_time_left_learns_the_overhead_of_a_run() -> None:
    left = RealTimeLeft()
    run = spec(duration_ns=8 * SECOND)
    expected = run.expected_duration_ns / SECOND
    left.run_started(run, Outlook(0, 3, 3 * run.expected_duration_ns), 0.0)
    left.run_ended(expected + 5.0)
    left.run_started(run, Outlook(1, 2, 2 * run.expected_duration_ns), 20.0)
    assert left.seconds(20.0) == pytest.approx(2 * (expected + 5.0))
    assert left.seconds(21.0) == pytest.approx(2 * (expected + 5.0) - 1)
    assert left.seconds(1000.0) == 0.0


def test_time_left_of_a_simulation_follows_what_its_traffic_costs() -> None:
    left = VirtualTimeLeft()
    run = spec(duration_ns=8 * SECOND)
    traffic = run.expected_duration_ns
    left.run_started(run, Outlook(0, 3, 3 * traffic), 0.0)
    assert left.seconds(1.0) is None
    left.run_ended(40.0)  # compiled
    left.run_started(run, Outlook(1, 2, 2 * traffic), 40.0)
    assert left.seconds(40.0) is None
    left.run_ended(40.5)
    left.run_started(run, Outlook(2, 1, traffic), 40.5)
    assert left.seconds(40.5) == pytest.approx(0.5)
    assert left.seconds(100.0) == 0.0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (185, "3:05"), (3723, "1:02:03")]
)
def test_durations_read_like_a_clock(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_a_run_is_named_for_people() -> None:
    run = spec(distance_km=None, params={"congestion_control": "cubic", "loss": "1 %"}, repeat=0)
    assert run_text(run) == "direct, loss 1 %, repeat 1"
