"""What `sentinel-sim run` can be given: one alias for each argument and option."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentinel_sim.cli.run_flags import BackendChoice, EngineChoice, WireChoice

File = Annotated[Path, typer.Argument(envvar="SENTINEL_FILE", help="A topology file.")]
Backend = Annotated[
    BackendChoice,
    typer.Option(
        envvar="SENTINEL_BACKEND",
        help="What executes the runs; both: emulated, then simulated, and how far they agree.",
    ),
]
Engine = Annotated[
    EngineChoice,
    typer.Option(
        envvar="SENTINEL_ENGINE",
        help="Of the simulator. flow: no packets, only max-min fair rates with slow start, window"
        " and loss laws: very many flows in seconds; what needs packets (latency, queues,"
        " retransmissions) is then missing in the result, never zero.",
    ),
]
Wire = Annotated[
    WireChoice,
    typer.Option(
        envvar="SENTINEL_WIRE", help="What delays packets; auto: netem where the kernel has it."
    ),
]
Distances = Annotated[
    str | None,
    typer.Option(
        envvar="SENTINEL_DISTANCES",
        metavar="KM,KM,...",
        help="Sweep these lengths of the path, in km, instead of those in the file.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        envvar="SENTINEL_SET",
        metavar="KEY=V1,V2,...",
        help="Sweep this key of the file over these values (one value: set it), instead of what"
        " the file says; once for each key, and every combination is run.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        envvar="SENTINEL_WORKERS",
        min=1,
        max=1024,
        help="Processes that simulate at a time. Default: one for each CPU where there are 64 runs"
        " or more, else this process alone. The result is the same for any number.",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        envvar="SENTINEL_SCHEDULER",
        metavar="tcp://HOST:PORT",
        help="Simulate on the workers of this Dask scheduler, which have the same version of"
        " sentinel-sim.",
    ),
]
ARMS = "direct, tuned, split, fsu"
"""Not asked of the model: help would load all of it."""
Arms = Annotated[
    str | None,
    typer.Option(envvar="SENTINEL_ARMS", metavar="ARM,ARM,...", help=f"Of: {ARMS}."),
]
Repeat = Annotated[
    int | None,
    typer.Option(envvar="SENTINEL_REPEAT", help="So many repeats, without a stop rule."),
]
Attempts = Annotated[
    int,
    typer.Option(
        envvar="SENTINEL_ATTEMPTS",
        min=1,
        help="At one run, while a busy host makes it invalid by timing alone; the attempts that"
        " were discarded stay in the result.",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(envvar="SENTINEL_SEED", help="Of losses, jitter, payload and order."),
]
Out = Annotated[
    Path,
    typer.Option(
        envvar="SENTINEL_OUT", help="A new directory NAME-TIME is made here, never reused."
    ),
]
Quick = Annotated[
    bool,
    typer.Option(
        "--quick",
        envvar="SENTINEL_QUICK",
        help="Fewer points, short runs, one repeat: to see that it works, not for claims.",
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        envvar="SENTINEL_RESUME",
        metavar="DIR",
        help="Continue an interrupted experiment in its directory; same file, kernel, commit.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        envvar="SENTINEL_DRY_RUN",
        help="Show plan, feasibility and wire commands, and do nothing. Needs no root.",
    ),
]
FsuCost = Annotated[
    bool,
    typer.Option(
        "--fsu-cost",
        envvar="SENTINEL_FSU_COST",
        help="Let the kernel time each FSU at work: ns per packet in the result. Times every BPF"
        " program of the host meanwhile, which costs some CPU.",
    ),
]
Require = Annotated[
    list[str] | None,
    typer.Option(
        envvar="SENTINEL_REQUIRE",
        metavar="CLAIM[:ARM]",
        help="Exit 5 unless this claim holds; with :ARM, for that arm. May be given repeatedly.",
    ),
]
