"""The verbs that only look or tidy up: `validate`, `doctor`, `clean`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from sentinel_sim.cli import dryrun, output
from sentinel_sim.cli.group import Invocation
from sentinel_sim.cli.wiring import as_root
from sentinel_sim.errors import (
    EXIT_MISSING,
    EXIT_OK,
    EXIT_UNEXPECTED,
    EXIT_USAGE,
    MissingCapabilityError,
    TopologyError,
)
from sentinel_sim.host import doctor as checks
from sentinel_sim.host.clean import CleanReport
from sentinel_sim.plan.expand import expand
from sentinel_sim.topology import feasibility
from sentinel_sim.topology.budget import CpuBudget
from sentinel_sim.topology.findings import FeasibilityReport
from sentinel_sim.topology.reader import load


def validate(files: Sequence[Path], invocation: Invocation) -> int:
    """Read, expand and judge every file; one bad file does not hide the next."""
    budget = invocation.wiring.budget()
    verdicts = [_validated(file, budget, invocation) for file in files]
    if invocation.as_json:
        output.print_json({"schema": "sentinel-sim/validate/1", "files": verdicts})
    return EXIT_OK if all(verdict["ok"] for verdict in verdicts) else EXIT_USAGE


def _validated(file: Path, budget: CpuBudget, invocation: Invocation) -> dict[str, Any]:
    try:
        plan = expand(load(file))
    except TopologyError as error:
        for line in str(error).splitlines():
            output.say(f"sentinel-sim: {line}")
        return {"file": str(file), "ok": False, "error": str(error), "feasibility": []}
    report = feasibility.check(plan, budget)
    if not invocation.as_json:
        _show_validated(file, report)
    refused = "\n".join(finding.render() for finding in report.refused)
    return {
        "file": str(file),
        "ok": not report.refused,
        "error": refused or None,
        "runs": len(plan.runs(0)),
        "traffic_s": plan.traffic_ns / 1e9,
        "feasibility": dryrun.findings_json(report),
    }


def _show_validated(file: Path, report: FeasibilityReport) -> None:
    console = output.console()
    console.print(dryrun.feasibility_table(report, f"{file}: feasibility on this host"))
    if report.refused:
        verdict = "cannot be emulated faithfully here"
    elif report.warnings:
        verdict = "valid; mind the warnings"
    else:
        verdict = "valid and feasible"
    console.print(Text(f"{file}: {verdict}"), soft_wrap=True)


def doctor(invocation: Invocation) -> int:
    """Look at the host; 3 where the emulated backend cannot run."""
    found = invocation.wiring.doctor()
    verdict = checks.verdict(found)
    if invocation.as_json:
        output.print_json(checks.as_json(found))
    else:
        console = output.console()
        console.print(checks.render(found))
        console.print(Text(verdict.text), soft_wrap=True)
        if verdict.cure:
            console.print(Text(f"  cure: {verdict.cure}"), soft_wrap=True)
    return EXIT_OK if verdict.ready else EXIT_MISSING


def clean(*, dry_run: bool, invocation: Invocation) -> int:
    """Remove what dead runs left behind; 1 where something resists."""
    missing = invocation.wiring.missing_privileges()
    if missing:
        raise MissingCapabilityError(
            "cleaning needs root: this process lacks " + ", ".join(missing),
            cure=as_root(invocation.wiring),
        )
    report = invocation.wiring.clean(dry_run)
    if invocation.as_json:
        document = {"schema": "sentinel-sim/clean/1", "dry_run": dry_run}
        output.print_json({**document, **dataclasses.asdict(report)})
    else:
        _show_clean(report, dry_run=dry_run)
    return EXIT_UNEXPECTED if report.failed else EXIT_OK


def _show_clean(report: CleanReport, *, dry_run: bool) -> None:
    console = output.console()
    shown = report.found if dry_run else report.removed
    verb = "would remove" if dry_run else "removed"
    for item in shown:
        line = f"{verb} {item.kind} {item.name} of run {item.run_id}: {item.detail}"
        console.print(Text(line), soft_wrap=True)
    for failure in report.failed:
        item = failure.leftover
        line = f"could not remove {item.kind} {item.name} of run {item.run_id}: {failure.reason}"
        console.print(Text(line), soft_wrap=True)
    for run_id in report.running:
        console.print(Text(f"left alone: run {run_id}, its controller lives"), soft_wrap=True)
    if not report.found:
        console.print(Text("nothing to clean: no dead run left anything here"), soft_wrap=True)
