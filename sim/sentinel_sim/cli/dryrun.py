"""What `run --dry-run` shows: the plan, its feasibility, and the commands that set the wires.

The wires are built by the same code as in a run, with a shell that only writes down.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from sentinel_sim.backends.emulated.layout import Layout
from sentinel_sim.plan.model import LinkPlan, RunSpec
from sentinel_sim.plan.plan import Plan
from sentinel_sim.report.progress import duration_text
from sentinel_sim.topology.findings import FeasibilityReport, Level
from sentinel_sim.wire.delayline_stage import (
    QUEUE_NUMBERS,
    REAL_TIME_PRIORITY,
    iptables_rules,
    program_arguments,
)
from sentinel_sim.wire.names import WireNames
from sentinel_sim.wire.netem_stage import NetemStage
from sentinel_sim.wire.shell import DryShell, in_namespace
from sentinel_sim.wire.wire import DelayStage, Wire

SAMPLE_RUN_ID = "0000"
"""Stands for the run id, which is drawn when a run begins."""


class _WrittenDelayLine:
    """The delay line, as the words that would be said to it."""

    backend = "delayline"

    def __init__(self, names: WireNames, shell: DryShell) -> None:
        self._names = names
        self._shell = shell

    def start(self) -> int | None:
        namespace = self._names.namespace
        program = program_arguments(
            Path("sentinel-delayline"), f"{namespace}-delayline", REAL_TIME_PRIORITY
        )
        self._shell.run(in_namespace(namespace, *program))
        restore = in_namespace(namespace, "iptables-restore", "--noflush")
        self._shell.run(restore, iptables_rules(self._names))
        return None

    def set(self, source: str, link: LinkPlan, delay_ns: int, seed: int) -> None:
        words = f"delay {QUEUE_NUMBERS[source]} {delay_ns} {link.jitter_ns} {int(link.reorder)}"
        self._shell.history.append(f"# to the delay line of {link.name}: {words} {seed}")

    def held_packets(self) -> int:
        return 0

    def drops(self) -> dict[str, dict[str, int]]:
        return {}

    def describe(self) -> dict[str, Any]:
        return {"backend": self.backend}

    def stop(self) -> None: ...


def wire_commands(spec: RunSpec, backend: str) -> list[str]:
    """The commands that build and set every wire of one run, in order.

    The base cost of a wire is measured when it stands; here it is taken as zero.
    """
    shell = DryShell()
    layout = Layout.of(SAMPLE_RUN_ID, spec)
    for link in spec.links:
        names = layout.wire_names(link.name)
        stage: DelayStage = (
            NetemStage(names, shell) if backend == "netem" else _WrittenDelayLine(names, shell)
        )
        wire = Wire(names, link.a, link.b, shell, stage)
        wire.build()
        wire.set_rate(link, spec.control_band)
        wire.set_delay(link, spec.seed)
    return shell.history


def plan_table(plan: Plan) -> RenderableType:
    """The runs of the first repeat in their order, and how long the minimum takes."""
    table = Table(title=f"{plan.name}: first repeat, in order", title_justify="left")
    for heading in ("run", "arm", "km", "RTT ms", "rate Mbit/s", "loss", "traffic s"):
        table.add_column(heading, justify="left" if heading in ("run", "arm") else "right")
    for spec in plan.runs(0):
        path = spec.paths[0]
        table.add_row(
            spec.key,
            spec.arm.value,
            "–" if spec.distance_km is None else f"{spec.distance_km:,.6g}",
            f"{path.rtt_base_ns / 1e6:,.4g}",
            f"{path.rate_bps / 1e6:,.6g}",
            f"{path.loss:.4%}",
            f"{spec.expected_duration_ns / 1e9:.1f}",
        )
    repeats = plan.repeats
    least = plan.traffic_ns * repeats.at_least / 1e9
    most = plan.traffic_ns * repeats.at_most / 1e9
    line = (
        f"{len(plan.runs(0))} runs, {repeats.at_least} to {repeats.at_most} repeats:"
        f" {duration_text(least)} to {duration_text(most)} of traffic, seed {plan.seed}"
    )
    return Group(table, Text(line), *(Text(f"note: {note}") for note in plan.notes))


def feasibility_table(report: FeasibilityReport, title: str) -> RenderableType:
    """Every figure against its limit; refusals first."""
    table = Table(title=title, title_justify="left", show_lines=False)
    for heading in ("", "check", "figure", "remedy", "where"):
        table.add_column(heading, overflow="fold")
    styles = {Level.REFUSE: "red", Level.WARN: "yellow", Level.INFO: ""}
    for finding in report.findings:
        table.add_row(
            Text(finding.level.name.lower(), style=styles[finding.level]),
            finding.code,
            Text(finding.figure),
            Text(finding.remedy),
            Text(finding.where),
        )
    return table


def show(console: Console, plan: Plan, report: FeasibilityReport, wire: str) -> None:
    """Print all of it."""
    console.print(plan_table(plan))
    console.print(feasibility_table(report, "feasibility on this host"))
    first = plan.runs(0)[0]
    title = f"wires of {first.key} ({wire}; {SAMPLE_RUN_ID} stands for the run id):"
    console.print(Text(title))
    for line in wire_commands(first, wire):
        console.print(Text(line), soft_wrap=True)


def as_json(plan: Plan, report: FeasibilityReport, wire: str) -> dict[str, Any]:
    """The same for machines."""
    return {
        **plan_json(plan),
        "wire_backend": wire,
        "feasibility": findings_json(report),
        "wire_commands": wire_commands(plan.runs(0)[0], wire),
        "replay": "each line is a shell command; lines that begin with # are said to a program",
    }


def plan_json(plan: Plan) -> dict[str, Any]:
    """What does not depend on the backend."""
    return {
        "schema": "sentinel-sim/dry-run/1",
        "name": plan.name,
        "seed": plan.seed,
        "runs": [_run(spec) for spec in plan.runs(0)],
        "repeats": {"min": plan.repeats.at_least, "max": plan.repeats.at_most},
        "traffic_s": plan.traffic_ns / 1e9,
        "notes": list(plan.notes),
    }


def _run(spec: RunSpec) -> dict[str, Any]:
    path = spec.paths[0]
    return {
        "key": spec.key,
        "arm": spec.arm.value,
        "distance_km": spec.distance_km,
        "params": dict(spec.params),
        "rtt_s": path.rtt_base_ns / 1e9,
        "rate_bps": path.rate_bps,
        "loss": path.loss,
        "traffic_s": spec.expected_duration_ns / 1e9,
    }


def findings_json(report: FeasibilityReport) -> list[dict[str, str]]:
    """The findings as JSON."""
    return [
        {
            "level": finding.level.name.lower(),
            "check": finding.code,
            "figure": finding.figure,
            "remedy": finding.remedy,
            "where": finding.where,
        }
        for finding in report.findings
    ]
