"""`sentinel-sim bench`: from flags to the measured lanes and the judged claims."""

from __future__ import annotations

import platform
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from sentinel_sim.bench.display import BenchProgress, tables_of
from sentinel_sim.bench.lanes import Mode
from sentinel_sim.bench.result import BENCH_FILE, Result, read_bench
from sentinel_sim.bench.runner import Bench
from sentinel_sim.bench.schedule import expected_s, full_settings, quick_settings
from sentinel_sim.cli import output
from sentinel_sim.cli.group import EXIT_INTERRUPTED, Invocation
from sentinel_sim.cli.termination import terminable
from sentinel_sim.cli.wiring import as_root
from sentinel_sim.errors import (
    EXIT_INVALID,
    EXIT_OK,
    EXIT_VERDICT,
    MissingCapabilityError,
    TopologyError,
)
from sentinel_sim.experiment.files import new_directory
from sentinel_sim.report.progress import duration_text

OUTPUT_SCHEMA = "sentinel-sim/bench-run/1"
JUDGED = (
    "fsu-120us",
    "userspace-10-60ms",
    "speedup-83-500",
    "xdp-10mpps",
    "cpu-16x",
    "switches-100x",
    "zero-copy",
)


@dataclass(frozen=True, slots=True)
class BenchFlags:
    """The flags of `bench` as they were given."""

    mode: Mode
    quick: bool
    rate: int | None
    seed: int
    out: Path
    require: tuple[str, ...]


def bench(flags: BenchFlags, invocation: Invocation) -> int:
    """Carry the flags out. Returns the exit code; raises SimError for codes 2 and 3."""
    for claim in flags.require:
        if claim not in JUDGED:
            raise TopologyError(
                f"--require {claim}: bench judges no such claim",
                cure=f"one of: {', '.join(JUDGED)}",
            )
    wiring = invocation.wiring
    if missing := wiring.missing_privileges():
        raise MissingCapabilityError(
            "bench needs root: this process lacks " + ", ".join(missing), cure=as_root(wiring)
        )
    make = quick_settings if flags.quick else full_settings
    settings = make(flags.mode, flags.rate, flags.seed)
    output.say(f"bench: {flags.mode}, about {duration_text(expected_s(settings))}")
    directory = new_directory(flags.out, "bench", wiring.now())
    environment = {
        **wiring.environment(),
        "cpu": cpu_model(),
        "command": shlex.join(wiring.arguments),
    }
    try:
        with terminable(), BenchProgress(output.error_console()) as progress:
            result = wiring.bench(Bench(settings, environment, directory, progress))
    except KeyboardInterrupt:
        output.say("sentinel-sim: interrupted, the network is taken down")
        if (directory / BENCH_FILE).exists():
            output.say(f"  what was measured: {directory / BENCH_FILE}")
            show(read_bench(directory), directory, invocation, EXIT_INTERRUPTED)
        return EXIT_INTERRUPTED
    code = exit_code(result, flags.require)
    show(result, directory, invocation, code)
    return code


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name; the architecture where the kernel tells none."""
    for line in cpuinfo.read_text(errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def exit_code(result: Result, require: tuple[str, ...]) -> int:
    """By design.md section 10: 4 outranks 5."""
    if not result["valid"]:
        return EXIT_INVALID
    if any(result["verdicts"].get(claim) != "holds" for claim in require):
        return EXIT_VERDICT
    return EXIT_OK


def show(result: dict[str, Any], directory: Path, invocation: Invocation, code: int) -> None:
    """Tables, or one JSON document, on standard output."""
    if invocation.as_json:
        output.print_json(
            {
                "schema": OUTPUT_SCHEMA,
                "directory": str(directory),
                "exit_code": code,
                "result": result,
            }
        )
        return
    console = output.console()
    console.print(tables_of(result))
    console.print(Text(f"result: {directory / BENCH_FILE}"), soft_wrap=True)
