"""The verb `campaign`: flags and their help, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentinel_sim.cli.group import Invocation
from sentinel_sim.cli.options import Json


def campaign(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(envvar="SENTINEL_FILE", help="A topology file.")],
    faults: Annotated[
        int,
        typer.Option(
            envvar="SENTINEL_FAULTS", min=1, max=100_000, help="End when so many have struck."
        ),
    ] = 300,
    seed: Annotated[
        int,
        typer.Option(
            envvar="SENTINEL_SEED", min=0, max=2**62, help="Of faults, sizes, sources and bytes."
        ),
    ] = 1,
    arms: Annotated[
        str,
        typer.Option(
            envvar="SENTINEL_ARMS", metavar="ARM,ARM", help="Taken in turn, round by round."
        ),
    ] = "split,fsu",
    kinds: Annotated[
        str | None,
        typer.Option(
            envvar="SENTINEL_KINDS",
            metavar="KIND,...",
            help="Only these: kill-daemon, freeze-daemon, restart-daemon, partition,"
            " corrupt-control, replay-control.",
        ),
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option(
            envvar="SENTINEL_TARGETS", metavar="NAME,...", help="Only these nodes and links."
        ),
    ] = None,
    lanes: Annotated[
        int,
        typer.Option(envvar="SENTINEL_LANES", min=1, max=32, help="Transfers at the same time."),
    ] = 4,
    calm: Annotated[
        float,
        typer.Option(
            envvar="SENTINEL_CALM",
            min=0.0,
            max=60.0,
            metavar="S",
            help="Leave each fault so many seconds to itself. From 2 on it is told how soon data"
            " flowed again.",
        ),
    ] = 0.0,
    out: Annotated[
        Path,
        typer.Option(
            envvar="SENTINEL_OUT", help="A new directory campaign-NAME-TIME is made here."
        ),
    ] = Path("results"),
    as_json: Json = False,
) -> None:
    """Break real daemons and links at random under load, and count every confirmed byte.

    \b
    Examples:
      sudo sentinel-sim campaign topologies/faults.yaml
      sudo sentinel-sim campaign topologies/faults.yaml --faults 30 --seed 7
      sudo sentinel-sim campaign topologies/faults.yaml --kinds kill-daemon --targets porto
      sudo sentinel-sim campaign topologies/faults.yaml --kinds freeze-daemon --calm 2
      sudo sentinel-sim campaign topologies/faults.yaml --json > campaign-run.json

    The network of the file is built once, at the shortest distance of its sweep (its own faults
    and workload are left aside). Transfers of 0.5 to 6 MB follow each other in several lanes, in
    durable custody; at least half come out of a pipe that can be read only once. Daemons of all
    nodes are killed (SIGKILL), frozen (SIGSTOP) and restarted, links are cut as a whole or for
    control messages only, control messages are corrupted or sent again. What the sender's node
    confirms is logged by this process, outside all nodes, in confirmed.jsonl, and held against the
    receiver's disk at the end of each round.

    Every transfer has to complete with the right bytes or fail with a clear error, as one must
    whose pipe died with the sender; but bytes that were confirmed have to arrive all the same. The
    same seed draws the same faults; what they hit depends on the host's timing. About a second for
    each fault. Exit 4 if a byte was lost or wrong, a transfer gave no last word, or not enough
    faults struck.
    """
    from sentinel_sim.cli import campaign as campaigning

    flags = campaigning.CampaignFlags(file, faults, seed, arms, kinds, targets, lanes, calm, out)
    raise typer.Exit(campaigning.campaign(flags, Invocation.of(ctx, as_json=as_json)))
