"""The console script: verbs, flags and their help; every flag is also a SENTINEL_* variable.

What a verb does is imported when it is called: `--help` and `--version` need none of it.
"""

from __future__ import annotations

from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from sentinel_sim.bench.lanes import Mode
from sentinel_sim.cli import certificate_verbs, fault_verbs, fsu_verbs, network_verbs
from sentinel_sim.cli import run_options as given
from sentinel_sim.cli.group import Invocation, Verbs
from sentinel_sim.cli.options import Json
from sentinel_sim.cli.run_flags import BackendChoice, EngineChoice, RunFlags, WireChoice
from sentinel_sim.experiment.attempts import ATTEMPTS_MOST

TOP_HELP = """Measure throughput against distance on real kernel TCP.

\b
Begin with:
  sentinel-sim doctor                               what this host can do
  sentinel-sim validate topologies/chile-usa.yaml   is the file right, can this host carry it
  sentinel-sim run topologies/chile-usa.yaml        the experiment: table, plot, result.json

\b
Exit codes: 0 done and valid; 1 unexpected error; 2 bad file or usage; 3 missing privilege,
module or package; 4 finished, but a run is invalid; 5 a demanded verdict failed or is
undecided; 130 interrupted.
"""

app = typer.Typer(
    cls=Verbs,
    help=TOP_HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


app.add_typer(fsu_verbs.app, name="fsu")


class Metric(StrEnum):
    """What `report` plots."""

    GOODPUT = "goodput"
    STEADY = "steady"


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sentinel-sim {version('sentinel-sim')}")
        raise typer.Exit


@app.callback()
def top(
    ctx: typer.Context,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug", envvar="SENTINEL_DEBUG", help="Show the traceback of an unexpected error."
        ),
    ] = False,
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Common to all verbs (the help stands in `TOP_HELP`)."""
    del show_version
    ctx.obj = Invocation(ctx.obj, debug=debug)


@app.command()
def run(
    ctx: typer.Context,
    file: given.File,
    backend: given.Backend = BackendChoice.EMULATED,
    engine: given.Engine = EngineChoice.PACKET,
    wire: given.Wire = WireChoice.AUTO,
    distances: given.Distances = None,
    arms: given.Arms = None,
    settings: given.Set = None,
    repeat: given.Repeat = None,
    attempts: given.Attempts = ATTEMPTS_MOST,
    seed: given.Seed = None,
    out: given.Out = Path("results"),
    quick: given.Quick = False,
    resume: given.Resume = None,
    workers: given.Workers = None,
    scheduler: given.Scheduler = None,
    dry_run: given.DryRun = False,
    fsu_cost: given.FsuCost = False,
    require: given.Require = None,
    as_json: Json = False,
) -> None:
    """Run an experiment: every arm at every distance, repeated, in random order.

    \b
    Examples:
      sentinel-sim run topologies/chile-usa.yaml
      sentinel-sim run topologies/chile-usa.yaml --quick
      sentinel-sim run topologies/chile-usa.yaml --backend simulated
      sentinel-sim run topologies/lossy.yaml --backend simulated --set congestion_control=cubic,bbr
      sentinel-sim run topologies/lossy.yaml --backend simulated --scheduler tcp://10.0.0.1:8786
      sentinel-sim run topologies/abilene.yaml --backend simulated --engine flow
      sentinel-sim run topologies/window-law.yaml --backend both
      sentinel-sim run topologies/chile-usa.yaml --arms tuned,split --distances 100,20000
      sentinel-sim run topologies/chile-usa.yaml --dry-run
      sentinel-sim run topologies/chile-usa.yaml --require throughput-constant:tuned
      sentinel-sim run topologies/chile-usa.yaml --resume results/chile-usa-20260102T030405Z
      SENTINEL_SEED=8 sentinel-sim run topologies/lossy.yaml --json > lossy.json

    Emulation needs root, and says so with the command to use; --backend simulated does not, and
    --backend auto takes it, and says so, where root is missing. Simulated runs are made several
    at a time (--workers, --scheduler), emulated ones one after the other, since they would take
    the CPUs from each other. Every run is a row of runs.parquet. Ctrl-C takes the network down,
    keeps what was measured, and says how to go on. A run outside the validity limits is shown
    with its reason, never enters a mean, and makes the exit code 4. One that only a busy host
    disturbed is made again first, at most --attempts times in all, and the result tells of each
    attempt.
    """
    from sentinel_sim.cli import run as running

    invocation = Invocation.of(ctx, as_json=as_json)
    flags = RunFlags(
        file=file,
        backend=backend,
        wire=wire,
        distances=distances,
        arms=arms,
        repeat=repeat,
        attempts=attempts,
        seed=seed,
        out=out,
        quick=quick,
        resume=resume,
        dry_run=dry_run,
        fsu_cost=fsu_cost,
        require=tuple(require or ()),
        settings=tuple(settings or ()),
        workers=workers,
        scheduler=scheduler,
        engine=engine,
    )
    raise typer.Exit(running.run(flags, invocation))


@app.command()
def validate(
    ctx: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(envvar="SENTINEL_FILES", help="Topology files.", metavar="FILE")
    ],
    as_json: Json = False,
) -> None:
    """Check topology files and what this host can carry, without running anything.

    \b
    Examples:
      sentinel-sim validate topologies/*.yaml
      sentinel-sim validate mine.yaml --json

    Shows BDP and RTT of every path, windows, queues, memory and packets per second against
    what this host was measured to move. Exit 2 if any file is wrong or cannot be emulated
    faithfully here; the message names file, line, key and remedy.
    """
    from sentinel_sim.cli import inspect as looking

    raise typer.Exit(looking.validate(files, Invocation.of(ctx, as_json=as_json)))


@app.command()
def doctor(ctx: typer.Context, as_json: Json = False) -> None:
    """Look for everything this host must have, and name the exact command for what is missing.

    \b
    Examples:
      sudo sentinel-sim doctor
      sentinel-sim doctor --json

    Without root it sees less, and says so. Exit 3 if the emulated backend cannot run here.
    """
    from sentinel_sim.cli import inspect as looking

    raise typer.Exit(looking.doctor(Invocation.of(ctx, as_json=as_json)))


@app.command()
def clean(
    ctx: typer.Context,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", envvar="SENTINEL_DRY_RUN", help="Only show what would go."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove namespaces, interfaces and processes that killed runs left behind, and only ours.

    \b
    Examples:
      sudo sentinel-sim clean --dry-run
      sudo sentinel-sim clean

    Runs whose controller lives are left alone. Exit 1 if something could not be removed.
    """
    from sentinel_sim.cli import inspect as looking

    raise typer.Exit(looking.clean(dry_run=dry_run, invocation=Invocation.of(ctx, as_json=as_json)))


@app.command()
def report(
    ctx: typer.Context,
    directories: Annotated[
        list[Path],
        typer.Argument(
            envvar="SENTINEL_RESULTS",
            help="Result directories, or result.json files.",
            metavar="DIR",
        ),
    ],
    metric: Annotated[
        Metric, typer.Option(envvar="SENTINEL_METRIC", help="What the plot shows.")
    ] = Metric.GOODPUT,
    figures: Annotated[
        bool,
        typer.Option(
            "--figures", envvar="SENTINEL_FIGURES", help="Also write throughput.svg and .png there."
        ),
    ] = False,
    bench_result: Annotated[
        Path | None,
        typer.Option(
            "--bench",
            envvar="SENTINEL_BENCH",
            metavar="DIR",
            help="A result of `bench`, whose verdicts the page shows beside those of the runs.",
        ),
    ] = None,
    require: given.Require = None,
    as_json: Json = False,
) -> None:
    """Show table, plot and verdicts of finished results again, and write report.html anew.

    \b
    Examples:
      sentinel-sim report results/chile-usa-20260102T030405Z
      sentinel-sim report results/* --metric steady
      sentinel-sim report results/chile-usa-A --require throughput-constant:tuned

    Needs no root. Verdicts are judged again where the result was complete; of a damaged result, or
    one of another version, what can be read is shown (exit 2), and nothing is written over.
    """
    from sentinel_sim.cli import report as reporting

    name = "goodput_bps" if metric is Metric.GOODPUT else "steady_goodput_bps"
    call = Invocation.of(ctx, as_json=as_json)
    flags = reporting.ReportFlags(
        tuple(directories), name, figures, bench_result, tuple(require or ())
    )
    raise typer.Exit(reporting.report(flags, call))


@app.command()
def bench(
    ctx: typer.Context,
    mode: Annotated[
        Mode, typer.Option(envvar="SENTINEL_MODE", help="Which lanes are measured.")
    ] = Mode.ALL,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            envvar="SENTINEL_QUICK",
            help="Under a minute: to see that it works, not for claims.",
        ),
    ] = False,
    rate: Annotated[
        int | None,
        typer.Option(
            envvar="SENTINEL_RATE",
            min=1,
            max=1_000_000,
            help="Packets/s at which latency, CPU and switches are compared; without it, what the"
            " slowest lane carries with ease. Give it where two runs are to be compared.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(envvar="SENTINEL_SEED", min=0, help="Of the order of flows.")
    ] = 1,
    out: Annotated[
        Path,
        typer.Option(envvar="SENTINEL_OUT", help="A new directory bench-TIME is made here."),
    ] = Path("results"),
    require: Annotated[
        list[str] | None,
        typer.Option(
            envvar="SENTINEL_REQUIRE", metavar="CLAIM", help="Exit 5 unless this claim holds."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure the same per-flow work in the kernel and in user space, beside the claims.

    \b
    Examples:
      sudo sentinel-sim bench --quick
      sudo sentinel-sim bench
      sudo sentinel-sim bench --mode userspace --rate 5000
      sudo sentinel-sim bench --mode xdp --rate 5000
      sentinel-sim compare results/bench-20260102T030405Z

    Lanes: native XDP, generic XDP, tc; a packet socket and an asyncio relay in Python. All compute
    the same figures, which is checked before anything is timed. Takes under ten minutes with all
    lanes, under one with --quick; uses two CPUs and nothing but its own namespaces. Ctrl-C takes
    them down and keeps what was measured. Exit 4 if a lane counted wrong or the run is incomplete.
    """
    from sentinel_sim.cli import bench as benchmarking

    invocation = Invocation.of(ctx, as_json=as_json)
    flags = benchmarking.BenchFlags(mode, quick, rate, seed, out, tuple(require or ()))
    raise typer.Exit(benchmarking.bench(flags, invocation))


@app.command()
def compare(
    ctx: typer.Context,
    directories: Annotated[
        list[Path],
        typer.Argument(
            envvar="SENTINEL_RESULTS",
            help="One result of `bench`, or two results of `bench` or of `run`.",
            metavar="DIR",
        ),
    ],
    allow: Annotated[
        list[str] | None,
        typer.Option(
            envvar="SENTINEL_ALLOW",
            metavar="KEY",
            help="Compare although the results differ in this, for example commit.",
        ),
    ] = None,
    require: Annotated[
        bool,
        typer.Option(
            "--require",
            envvar="SENTINEL_REQUIRE_NO_DROP",
            help="Exit 5 where a goodput of the second is significantly lower.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare results: ratios with 95 % intervals. Needs no root.

    \b
    Examples:
      sentinel-sim compare results/bench-A                    user space against XDP, pair by pair
      sentinel-sim compare results/bench-A results/bench-B    lane by lane
      sentinel-sim compare results/chile-usa-A results/chile-usa-B --allow commit --require

    A drop is significant at 5 % over all comparisons together (Bonferroni). Results of unlike
    kernels, processors, versions, settings or topologies are refused with the reason (exit 2). Exit
    4 if one of them is invalid.
    """
    from sentinel_sim.cli import compare as comparing

    call = Invocation.of(ctx, as_json=as_json)
    allowed = tuple(allow or ())
    raise typer.Exit(comparing.compare(directories, allowed, call, require=require))


app.command()(fault_verbs.campaign)
app.command("import")(network_verbs.import_network)
app.command()(network_verbs.plan)
app.command()(certificate_verbs.certificates)


def main() -> None:
    """Entry point of the console script."""
    app(prog_name="sentinel-sim")
