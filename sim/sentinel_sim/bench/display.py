"""The benchmark for people: progress with time left, the table of lanes, the table of claims."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from sentinel_sim.bench.schedule import Step
from sentinel_sim.report.progress import duration_text
from sentinel_sim.report.status_line import StatusLine

ABSENT = "–"
STYLES = {"holds": "green", "fails": "red", "undecided": "yellow"}


class TimeLeft:
    """What is left by the schedule, stretched by how long the steps took so far (pure)."""

    def __init__(self) -> None:
        self._began_s = 0.0

    def seconds(self, number: int, steps: Sequence[Step], now_s: float) -> float:
        """From the beginning of step `number`."""
        if number == 0:
            self._began_s = now_s
        done = sum(step.seconds for step in steps[:number])
        left = sum(step.seconds for step in steps[number:])
        if done < 5.0:  # too little to learn from
            return left
        return left * (now_s - self._began_s) / done


class BenchProgress:
    """Shows steps on standard error: a bar in a terminal, a line for each kind elsewhere."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._line = StatusLine(console, "compiling")
        self._clock = clock
        self._left = TimeLeft()
        self._kind = ""

    def __enter__(self) -> BenchProgress:
        self._line.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._line.__exit__(kind, error, trace)

    def opened(self, directory: Path) -> None:
        """Say where results go."""
        self._line.say(f"results: {directory}")

    def began(self, step: Step, number: int, steps: list[Step]) -> None:
        """Show the step and what is left."""
        left = f"left about {duration_text(self._left.seconds(number, steps, self._clock()))}"
        where = f"step {number + 1} of {len(steps)}"
        self._line.show(step.title, done=number, total=len(steps), count=where, times=left)
        if not self._line.is_live and step.kind != self._kind:
            self._line.say(f"{where}: {step.kind} ({left})")
        self._kind = step.kind


PACKET_COLUMNS = (
    "lane",
    "flows",
    "latency us\np50 / p99",
    "added us\np50 / p99",
    "CPU %",
    "switches/s\nvol / invol",
)
WORK_COLUMNS = (
    "lane",
    "flows",
    "packets/s\nno loss",
    "work ns\nhot",
    "work ns\ncold",
    "work ns\nin place",
    "copies",
)
"""Two tables, so that no figure is cut in a terminal of 80 columns."""


def packet_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """One row of what packets meet at equal rate."""
    return (
        row["lane"],
        f"{row['flows']:,}",
        _two(row["delay_ns"], 1e3),
        _two(row["added_ns"], 1e3),
        _number(_mean(row["cpu_share"]), 0.01),
        f"{_number(_mean(row['voluntary_per_s']))} / {_number(_mean(row['involuntary_per_s']))}",
    )


def work_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """One row of what the work costs."""
    bound = "*" if "generator" in row["pps_bound_by"] else ""
    return (
        row["lane"],
        f"{row['flows']:,}",
        _number(_mean(row["pps"])) + bound,
        _number(_mean(row["program_ns"])),
        _number(_mean(row["cold_program_ns"])),
        _number(row["in_place_ns"]),
        f"{row['copies']} {row['copies_how']}",
    )


def _mean(value: Mapping[str, Any] | None) -> float | None:
    return None if value is None else float(value["mean"])


def _two(value: Mapping[str, Any], scale: float) -> str:
    return " / ".join(_number(_mean(value[name]), scale) for name in ("p50", "p99"))


def _number(value: float | None, scale: float = 1.0) -> str:
    if value is None:
        return ABSENT
    shown = value / scale
    return f"{shown:,.0f}" if abs(shown) >= 100 else f"{shown:.3g}"


def tables_of(result: Mapping[str, Any]) -> RenderableType:
    """Lanes, rates of three kinds, claims, and what must be known to read them."""
    return Group(
        _packets(result),
        _work(result),
        _three_rates(result),
        _claims(result),
        *map(Text, notes_of(result)),
    )


def _packets(result: Mapping[str, Any]) -> Table:
    rate = result["settings"]["equal_pps"]
    title = "not finished" if rate is None else f"the same work in each lane, at {rate:,} packets/s"
    rows = [row for row in result["lanes"] if row["trials"]]
    return _table(title, PACKET_COLUMNS, rows, packet_cells)


def _work(result: Mapping[str, Any]) -> Table:
    title = "what that work costs, and how many packets/s a lane carries"
    return _table(title, WORK_COLUMNS, result["lanes"], work_cells)


def _table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    cells_of: Callable[[Mapping[str, Any]], tuple[str, ...]],
) -> Table:
    table = Table(title=title, title_justify="left", pad_edge=False)
    for number, heading in enumerate(columns):
        table.add_column(heading, justify="left" if number == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*cells_of(row), style="yellow" if row["trials_left_out"] else None)
    return table


def _three_rates(result: Mapping[str, Any]) -> Table:
    """Three things that are not the same, side by side."""
    table = Table(
        title="native XDP, M packets/s: three different things",
        title_justify="left",
        pad_edge=False,
    )
    headings = (
        "flows",
        "program alone\n(1 / net cost)",
        "live frames:\nFSU, then stack",
        "live frames:\nempty, then stack",
        "live frames:\nXDP_DROP",
        "veth end to end,\nno loss",
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in result["lanes"]:
        if row["lane"] == "xdp-native":
            table.add_row(*_rate_cells(row, result["live"]))
    return table


def _rate_cells(row: Mapping[str, Any], live: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    rates = {
        one["kind"]: sum(one["pps"]) / len(one["pps"])
        for one in live
        if one["flows"] == row["flows"]
    }
    cost = _mean(row["program_ns"])
    return (
        f"{row['flows']:,}",
        ABSENT if not cost or cost <= 0 else f"{1e3 / cost:.1f}",
        *(_number(rates.get(kind), 1e6) for kind in ("full", "empty", "drop")),
        _number(_mean(row["pps"]), 1e6),
    )


def _claims(result: Mapping[str, Any]) -> Table:
    table = Table(
        title="the source design's claims, and what was measured",
        title_justify="left",
        pad_edge=False,
    )
    for heading in ("claim", "part", "bound", "measured [98 %]", "verdict"):
        table.add_column(heading)
    last = ""
    for part in result["claims"]:
        verdict = Text(part["verdict"], style=STYLES[part["verdict"]])
        claim = "" if part["claim"] == last else part["claim"]
        last = part["claim"]
        table.add_row(claim, part["part"], part["bound"], part["figure"], verdict)
    return table


def notes_of(result: Mapping[str, Any]) -> list[str]:
    """What a reader must know beside the tables."""
    settings = result["settings"]
    notes = [f"invalid: {reason}" for reason in result["invalid_reasons"]]
    notes += [f"verdict: {claim}: {one}" for claim, one in result["verdicts"].items()]
    notes += [
        f"traffic: {settings['traffic']}",
        "latency: one way, from the sender's stamp to the box's way out; added: less plain"
        " forwarding",
        f"packets/s: highest rate at which a trial of {settings['search_trial_s']:g} s lost"
        f" nothing, to {settings['resolution']:.0%} (RFC 2544, 26.1, with much shorter trials);"
        " *: bound by the generator",
        "work: the function alone less an empty one, by BPF_PROG_TEST_RUN or in process; in"
        " place: by the kernel's statistics, less an empty program's",
    ]
    fastest = max((one["pps"] for one in result["generator"]), default=None)
    if fastest is not None:
        notes.append(f"the generator's own maximum: {fastest:,.0f} packets/s")
    if settings["quick"]:
        notes.append("--quick: to see that it works, not for claims: few trials, wide intervals")
    return notes
