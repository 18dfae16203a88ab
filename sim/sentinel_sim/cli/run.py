"""`sentinel-sim run`: from flags to a finished, reported experiment."""

from __future__ import annotations

import contextlib
import hashlib
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from rich.text import Text

from sentinel_sim.backends.base import Backend
from sentinel_sim.backends.emulated.options import EmulationOptions
from sentinel_sim.cli import dryrun, output
from sentinel_sim.cli.demands import refuse_unknown, say_unmet
from sentinel_sim.cli.group import EXIT_INTERRUPTED, Invocation
from sentinel_sim.cli.options import distances_of, words_of
from sentinel_sim.cli.wiring import as_root
from sentinel_sim.errors import (
    EXIT_INVALID,
    EXIT_OK,
    EXIT_VERDICT,
    MissingCapabilityError,
    TopologyError,
)
from sentinel_sim.experiment.observer import Observer
from sentinel_sim.experiment.runner import Job, Outcome, execute
from sentinel_sim.experiment.salvage import Salvaged
from sentinel_sim.plan.expand import expand
from sentinel_sim.plan.plan import Plan
from sentinel_sim.report.chart import chart_of
from sentinel_sim.report.progress import ProgressDisplay
from sentinel_sim.report.status_line import StatusLine
from sentinel_sim.report.table import table_of
from sentinel_sim.report.terminal_plot import terminal_plot
from sentinel_sim.report.verdicts import table_of as verdict_table
from sentinel_sim.topology import feasibility
from sentinel_sim.topology.findings import FeasibilityReport
from sentinel_sim.topology.reader import load

RUN_SCHEMA = "sentinel-sim/run/1"


class BackendChoice(StrEnum):
    """What executes the runs."""

    EMULATED = "emulated"
    SIMULATED = "simulated"
    BOTH = "both"
    AUTO = "auto"


class WireChoice(StrEnum):
    """What delays packets."""

    AUTO = "auto"
    NETEM = "netem"
    DELAYLINE = "delayline"


@dataclass(frozen=True, slots=True)
class RunFlags:
    """The flags of `run` as they were given."""

    file: Path
    backend: BackendChoice
    wire: WireChoice
    distances: str | None
    arms: str | None
    repeat: int | None
    attempts: int
    seed: int | None
    out: Path
    quick: bool
    resume: Path | None
    dry_run: bool
    fsu_cost: bool
    require: tuple[str, ...]


def run(flags: RunFlags, invocation: Invocation) -> int:
    """Carry the flags out. Returns the exit code; raises SimError for codes 2 and 3."""
    refuse_unknown(flags.require)
    topology = load(flags.file)
    plan = expand(
        topology,
        arms=words_of(flags.arms),
        distances_km=distances_of(flags.distances),
        repeats=flags.repeat,
        quick=flags.quick,
        seed=flags.seed,
    )
    if _chosen(flags, invocation) is BackendChoice.SIMULATED:
        return _simulate(flags, plan, invocation)
    report = feasibility.check(plan, invocation.wiring.budget())
    if flags.dry_run:
        return _dry_run(flags, plan, report, invocation)
    report.raise_if_refused()
    for finding in report.warnings:
        output.say(f"warning: {finding.render()}")
    _demand_privileges(invocation)
    wire = _wire(flags, invocation)
    if flags.backend is BackendChoice.AUTO or flags.wire is WireChoice.AUTO:
        output.say(f"backend: emulated on this kernel, wires by {wire}")
    options = EmulationOptions(wire_backend=wire, fsu_cost=flags.fsu_cost)
    outcome = _execute(flags, plan, lambda: invocation.wiring.emulated(plan, options), invocation)
    return _finish(flags, outcome, invocation)


def _chosen(flags: RunFlags, invocation: Invocation) -> BackendChoice:
    """Emulated or simulated; `auto` falls back for want of privileges, and says so."""
    if flags.backend is BackendChoice.BOTH:
        raise MissingCapabilityError(
            "--backend both: comparing the two backends is not in this version",
            cure="run the file twice, with --backend emulated and with --backend simulated",
        )
    if flags.backend is not BackendChoice.AUTO:
        return flags.backend
    missing = invocation.wiring.missing_privileges()
    if not missing:
        return BackendChoice.EMULATED
    output.say(
        "backend: simulated, since emulation needs root and this process lacks "
        + ", ".join(missing)
    )
    return BackendChoice.SIMULATED


def _simulate(flags: RunFlags, plan: Plan, invocation: Invocation) -> int:
    if flags.wire is not WireChoice.AUTO:
        raise TopologyError(
            f"--wire {flags.wire}: the simulator has no wires of that kind",
            cure="leave --wire out, or use --backend emulated",
        )
    if flags.fsu_cost:
        raise TopologyError(
            "--fsu-cost: the simulator runs no kernel program whose cost could be read",
            cure="leave --fsu-cost out, or use --backend emulated",
        )
    backend = invocation.wiring.simulated(plan)
    if flags.dry_run:
        return _dry_run_simulated(plan, invocation)
    if not invocation.wiring.simulator_is_compiled():
        output.say("simulator: compiling once for this version, about half a minute")
    outcome = _execute(flags, plan, lambda: backend, invocation, real_time=False)
    return _finish(flags, outcome, invocation)


def _dry_run_simulated(plan: Plan, invocation: Invocation) -> int:
    if invocation.as_json:
        output.print_json(dryrun.plan_json(plan))
    else:
        output.console().print(dryrun.plan_table(plan))
        output.console().print(Text("simulated: no wires, no commands, no root"))
    return EXIT_OK


def _dry_run(flags: RunFlags, plan: Plan, report: FeasibilityReport, invocation: Invocation) -> int:
    # Without root the kernel cannot be asked, so `auto` shows the usual one.
    wire = "netem" if flags.wire is WireChoice.AUTO else flags.wire.value
    if flags.wire is WireChoice.AUTO and not invocation.wiring.missing_privileges():
        wire = invocation.wiring.wire_backend()
    if invocation.as_json:
        output.print_json(dryrun.as_json(plan, report, wire))
    else:
        dryrun.show(output.console(), plan, report, wire)
    report.raise_if_refused()
    return EXIT_OK


def _demand_privileges(invocation: Invocation) -> None:
    missing = invocation.wiring.missing_privileges()
    if missing:
        raise MissingCapabilityError(
            "emulation needs root: this process lacks "
            + ", ".join(missing)
            + "; --backend simulated needs none",
            cure=as_root(invocation.wiring),
        )


def _wire(flags: RunFlags, invocation: Invocation) -> str:
    best = invocation.wiring.wire_backend()
    if flags.wire is WireChoice.NETEM and best != WireChoice.NETEM.value:
        raise MissingCapabilityError(
            "--wire netem: this kernel has no netem",
            cure="use --wire delayline, or boot a kernel with sch_netem: sentinel-sim doctor",
        )
    return best if flags.wire is WireChoice.AUTO else flags.wire.value


def _environment(flags: RunFlags, invocation: Invocation) -> dict[str, Any]:
    wiring = invocation.wiring
    return {
        **wiring.environment(),
        "topology_file": str(flags.file),
        "topology_sha256": hashlib.sha256(flags.file.read_bytes()).hexdigest(),
        "command": shlex.join(wiring.arguments),
    }


def _execute(
    flags: RunFlags,
    plan: Plan,
    backend: Callable[[], Backend],
    invocation: Invocation,
    *,
    real_time: bool = True,
) -> Outcome:
    wiring = invocation.wiring
    with contextlib.ExitStack() as stack:
        observer: Observer = stack.enter_context(
            ProgressDisplay(partial(StatusLine, output.error_console()), real_time=real_time)
        )
        return execute(
            Job(
                plan=plan,
                backend=backend,
                environment=_environment(flags, invocation),
                out=flags.out,
                resume=flags.resume,
                attempts=flags.attempts,
                observer=observer,
                now=wiring.now,
            )
        )


def _finish(flags: RunFlags, outcome: Outcome, invocation: Invocation) -> int:
    code = _exit_code(outcome)
    if outcome.result is not None and say_unmet(flags.require, outcome.result) and code == EXIT_OK:
        code = EXIT_VERDICT
    if outcome.result is not None and outcome.directory is not None:
        present(outcome.result, outcome.directory, invocation, code)
    if outcome.interrupted_by is not None:
        output.say(f"sentinel-sim: {outcome.interrupted_by}: stopped, the network is taken down")
        if outcome.directory is not None:
            output.say(f"  resume: {resume_command(outcome.directory, invocation)}")
    return code


def _exit_code(outcome: Outcome) -> int:
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
    """End a run: figures into the directory, table and plot (or JSON) on standard output."""
    # Imported late: they take a second, and leave a cache in the home directory.
    from sentinel_sim.report.figure_plot import write_figures
    from sentinel_sim.report.html.writing import write_report

    chart = chart_of(result)
    figures = [] if chart.empty else write_figures(chart, directory)
    report = write_report(directory, Salvaged(dict(result), ()))
    if invocation.as_json:
        output.print_json(
            {
                "schema": RUN_SCHEMA,
                "directory": str(directory),
                "exit_code": code,
                "figures": [str(path) for path in figures],
                "report": str(report),
                "result": result,
            }
        )
        return
    show(result, width=_plot_width())
    console = output.console()
    console.print(Text(f"result: {directory / 'result.json'}"), soft_wrap=True)
    for path in figures:
        console.print(Text(f"figure: {path}"), soft_wrap=True)
    console.print(Text(f"report: {report}"), soft_wrap=True)


def _plot_width() -> int:
    return min(output.console().width, 110) if sys.stdout.isatty() else 100


def show(result: Mapping[str, Any], *, width: int, metric: str = "goodput_bps") -> None:
    """Table, plot and verdicts of a result on standard output."""
    console = output.console()
    if result["runs"]:
        console.print(table_of(result))
    chart = chart_of(result, metric)
    if chart.empty:
        console.print(Text("nothing to plot: no valid run has a mean"))
    else:
        console.print(Text(terminal_plot(chart, width=width)), soft_wrap=True)
    console.print(verdict_table(result["verdicts"]))
