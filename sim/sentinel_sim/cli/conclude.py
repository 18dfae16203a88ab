"""From a plan and a backend to a finished, shown experiment: what all ways to run share."""

from __future__ import annotations

import contextlib
import hashlib
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.text import Text

from sentinel_sim.backends.base import Backend
from sentinel_sim.cli import output
from sentinel_sim.cli.demands import say_unmet
from sentinel_sim.cli.group import EXIT_INTERRUPTED, Invocation
from sentinel_sim.cli.run_flags import RunFlags
from sentinel_sim.errors import EXIT_INVALID, EXIT_OK, EXIT_VERDICT
from sentinel_sim.experiment.observer import Observer
from sentinel_sim.experiment.pool import Pool
from sentinel_sim.experiment.runner import Job, Outcome, execute, one_at_a_time
from sentinel_sim.experiment.salvage import Salvaged
from sentinel_sim.plan.plan import Plan
from sentinel_sim.report.chart import chart_of
from sentinel_sim.report.progress import ProgressDisplay
from sentinel_sim.report.result_tables import tables_of
from sentinel_sim.report.status_line import StatusLine
from sentinel_sim.report.sweep_progress import SweepProgress
from sentinel_sim.report.table import digest_of, notes_of
from sentinel_sim.report.terminal_plot import terminal_plot
from sentinel_sim.report.verdicts import table_of as verdict_table

RUN_SCHEMA = "sentinel-sim/run/1"
ROWS_MOST = 100
"""Of a table that a person reads: beyond, only the Parquet file helps."""

PoolMaker = Callable[[], AbstractAsyncContextManager[Pool | None]]


def environment_of(flags: RunFlags, invocation: Invocation) -> dict[str, Any]:
    """Of this host, file and command; the backend adds its part."""
    wiring = invocation.wiring
    return {
        **wiring.environment(),
        "topology_file": str(flags.file),
        "topology_sha256": hashlib.sha256(flags.file.read_bytes()).hexdigest(),
        "command": shlex.join(wiring.arguments),
    }


@dataclass(frozen=True)
class Task:
    """One plan on one backend."""

    plan: Plan
    backend: Callable[[], Backend]
    real_time: bool = True
    pool: PoolMaker | None = None
    """Where its runs are made several at a time."""
    directory: Path | None = None
    """Where its result goes; None: a new one below --out."""
    resume: Path | None = None


def execute_task(task: Task, flags: RunFlags, invocation: Invocation) -> Outcome:
    """Run it, showing progress. Raises SimError."""
    wiring, console = invocation.wiring, output.error_console()
    with contextlib.ExitStack() as stack:
        observer: Observer
        if task.pool is None:
            line = partial(StatusLine, console)
            observer = stack.enter_context(ProgressDisplay(line, real_time=task.real_time))
        else:
            observer = stack.enter_context(SweepProgress(console))
        return execute(
            Job(
                plan=task.plan,
                backend=task.backend,
                environment=environment_of(flags, invocation),
                out=flags.out,
                directory=task.directory,
                resume=task.resume,
                attempts=flags.attempts,
                observer=observer,
                now=wiring.now,
                pool=task.pool or one_at_a_time,
            )
        )


def finish(outcome: Outcome, flags: RunFlags, invocation: Invocation) -> int:
    """Show what there is, and how to go on; gives the exit code."""
    code = demanded_code(exit_code(outcome), outcome, flags)
    if outcome.result is not None and outcome.directory is not None:
        present(outcome.result, outcome.directory, invocation, code)
    if outcome.interrupted_by is not None:
        say_interrupted(outcome.interrupted_by, outcome.directory, invocation)
    return code


def demanded_code(code: int, outcome: Outcome, flags: RunFlags) -> int:
    """5 instead of 0 where a claim does not hold that was demanded; says which."""
    unmet = outcome.result is not None and say_unmet(flags.require, outcome.result)
    return EXIT_VERDICT if unmet and code == EXIT_OK else code


def say_interrupted(signal_name: str, directory: Path | None, invocation: Invocation) -> None:
    """How it ended, and the command that goes on."""
    output.say(f"sentinel-sim: {signal_name}: stopped, nothing is left running")
    if directory is not None:
        output.say(f"  resume: {resume_command(directory, invocation)}")


def exit_code(outcome: Outcome) -> int:
    """0 done and valid, 4 invalid, 130 interrupted."""
    if outcome.interrupted_by is not None:
        return EXIT_INTERRUPTED
    return EXIT_OK if outcome.result is not None and outcome.result["valid"] else EXIT_INVALID


def resume_command(directory: Path, invocation: Invocation) -> str:
    """The command that continues in `directory`: the one typed, with --resume."""
    typed: list[str] = []
    words = iter(invocation.wiring.arguments)
    for word in words:
        if word == "--resume":
            next(words, None)
        elif not word.startswith("--resume="):
            typed.append(word)
    return shlex.join([*typed, "--resume", str(directory)])


def present(result: Mapping[str, Any], directory: Path, invocation: Invocation, code: int) -> None:
    """End a run: files into the directory, table and plot (or JSON) on standard output."""
    # Imported late: they take a second, and leave a cache in the home directory.
    from sentinel_sim.report.figure_plot import write_figures
    from sentinel_sim.report.html.writing import write_report
    from sentinel_sim.report.parquet import write_runs

    table = write_runs([result], directory)
    chart = chart_of(result)
    figures = [] if chart.empty or is_long(result) else write_figures(chart, directory)
    report = write_report(directory, Salvaged(dict(result), ()))
    if invocation.as_json:
        present_json(result, directory, code, figures=figures, table=table, report=report)
        return
    show(result, width=plot_width())
    console = output.console()
    console.print(Text(f"result: {directory / 'result.json'}"), soft_wrap=True)
    console.print(Text(f"table: {table}"), soft_wrap=True)
    for path in figures:
        console.print(Text(f"figure: {path}"), soft_wrap=True)
    console.print(Text(f"report: {report}"), soft_wrap=True)


def present_json(
    result: Mapping[str, Any],
    directory: Path,
    code: int,
    *,
    figures: Sequence[Path],
    table: Path,
    report: Path,
) -> None:
    """The result and where its files are, as one JSON document."""
    output.print_json(
        {
            "schema": RUN_SCHEMA,
            "directory": str(directory),
            "exit_code": code,
            "figures": [str(path) for path in figures],
            "table": str(table),
            "report": str(report),
            "result": result,
        }
    )


def is_long(result: Mapping[str, Any]) -> bool:
    """More settings than anybody reads as rows, or sees as lines."""
    return len(result["summary"]) > ROWS_MOST


def plot_width() -> int:
    """Of a plot in this terminal, or in none."""
    return min(output.console().width, 110) if sys.stdout.isatty() else 100


def show(result: Mapping[str, Any], *, width: int, metric: str = "goodput_bps") -> None:
    """Table, plot and verdicts of a result on standard output."""
    console = output.console()
    if is_long(result):
        for line in (*digest_of(result), *notes_of(result)):
            console.print(Text(line), soft_wrap=True)
        console.print(Text("verdicts: too many points to list; see report.html"))
        return
    if result["runs"]:
        console.print(tables_of(result))
    chart = chart_of(result, metric)
    if chart.empty:
        console.print(Text("nothing to plot: no valid run has a mean"))
    else:
        console.print(Text(terminal_plot(chart, width=width)), soft_wrap=True)
    console.print(verdict_table(result["verdicts"]))
