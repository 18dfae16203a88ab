"""The verbs about networks, `import` and `plan`: flags and their help, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentinel_sim.cli.group import Invocation
from sentinel_sim.cli.options import Json
from sentinel_sim.importing.kinds import Lengths, Twins

From = Annotated[
    str | None,
    typer.Option("--from", envvar="SENTINEL_FROM", metavar="NODE", help="The sender."),
]
To = Annotated[
    str | None,
    typer.Option("--to", envvar="SENTINEL_TO", metavar="NODE", help="The receiver."),
]


def import_network(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            envvar="SENTINEL_SOURCE",
            metavar="SOURCE",
            help="A .graphml or .gml file, or topohub:GROUP/NAME.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(envvar="SENTINEL_OUT", help="The file to write; standard output without it."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", envvar="SENTINEL_FORCE", help="Replace the file.")
    ] = False,
    sender: From = None,
    receiver: To = None,
    ways: Annotated[
        int | None,
        typer.Option(
            envvar="SENTINEL_WAYS",
            min=1,
            max=1000,
            help="Keep only what lies on this many shortest ways from sender to receiver.",
        ),
    ] = None,
    rate: Annotated[
        str,
        typer.Option(envvar="SENTINEL_RATE", help="Of links for which the source names no rate."),
    ] = "100 Mbit/s",
    ignore_rates: Annotated[
        bool,
        typer.Option(
            "--ignore-rates", envvar="SENTINEL_IGNORE_RATES", help="Give every link that --rate."
        ),
    ] = False,
    loss: Annotated[
        str, typer.Option(envvar="SENTINEL_LOSS", help="Of every link, in each direction.")
    ] = "0 %",
    queue: Annotated[
        str, typer.Option(envvar="SENTINEL_QUEUE", help="Of every link, such as '250 packets'.")
    ] = "1 bdp",
    route_factor: Annotated[
        float,
        typer.Option(
            envvar="SENTINEL_ROUTE_FACTOR",
            min=1.0,
            max=10.0,
            help="Route length / great circle; 1.6 is usual on long ways.",
        ),
    ] = 1.0,
    lengths: Annotated[
        Lengths,
        typer.Option(
            envvar="SENTINEL_LENGTHS", help="Which length counts where the source has both."
        ),
    ] = Lengths.COORDINATES,
    parallel: Annotated[
        Twins, typer.Option(envvar="SENTINEL_PARALLEL", help="Of parallel links: keep which?")
    ] = Twins.BEST,
    default_km: Annotated[
        float | None,
        typer.Option(
            "--default-km", envvar="SENTINEL_DEFAULT_KM", help="Length of links that have none."
        ),
    ] = None,
    min_km: Annotated[
        float | None,
        typer.Option(
            "--min-km", envvar="SENTINEL_MIN_KM", help="Make shorter links this long (10 emulates)."
        ),
    ] = None,
    drop_unlocated: Annotated[
        bool,
        typer.Option(
            "--drop-unlocated",
            envvar="SENTINEL_DROP_UNLOCATED",
            help="Leave out nodes without coordinates, with their links.",
        ),
    ] = False,
    name: Annotated[
        str | None, typer.Option(envvar="SENTINEL_NAME", help="Of the topology.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a topology file of a network map: GraphML, GML, or a network of topohub.

    \b
    Examples:
      sentinel-sim import topohub:topozoo/Abilene --out abilene.yaml
      sentinel-sim import topohub:sndlib/nobel-eu --from lisbon --to oslo --loss "0.1 %"
      sentinel-sim import Geant2012.graphml --drop-unlocated --ignore-rates --rate "1 Gbit/s"
      sentinel-sim import topohub:topozoo/TataNld --from varanasi --to udaipur --ways 10
      sentinel-sim plan abilene.yaml --intermediates 2

    Links get their length from the coordinates of their ends (great circle), or from the source's
    length_km; their delay follows by 5 us per km of route. Rates come from LinkSpeedRaw, LinkSpeed
    with its unit, or 'bandwidth: 10 Gbit/s'; a number without unit is refused. Self loops, parallel
    links and parts that no link joins are left out; every such change, every default, the origin
    and its licence stand at the head of the file. Without --from and --to the two nodes farthest
    apart are the endpoints. Nothing is downloaded: topohub is a package (pip install topohub).
    """
    from sentinel_sim.cli import importing
    from sentinel_sim.importing.values import Choices

    quantities = importing.quantities(rate, loss, queue)
    choices = Choices(
        rate_bps=quantities.rate_bps,
        ignore_rates=ignore_rates,
        loss=quantities.loss,
        route_factor=route_factor,
        queue=quantities.queue,
        name=name,
        sender=sender,
        receiver=receiver,
        ways=ways,
        lengths=lengths,
        parallel=parallel,
        default_km=importing.kilometres("--default-km", default_km),
        drop_unlocated=drop_unlocated,
        least_km=importing.kilometres("--min-km", min_km),
    )
    call = Invocation.of(ctx, as_json=as_json)
    raise typer.Exit(importing.import_network(source, out, choices, force=force, call=call))


def plan(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(envvar="SENTINEL_FILE", help="A topology file.")],
    intermediates: Annotated[
        int,
        typer.Option(
            "--intermediates", "-n", envvar="SENTINEL_INTERMEDIATES", help="At most so many relays."
        ),
    ],
    sender: From = None,
    receiver: To = None,
    loss: Annotated[
        str | None,
        typer.Option(envvar="SENTINEL_LOSS", help="Of every link, instead of the file's."),
    ] = None,
    control: Annotated[
        str | None,
        typer.Option(
            "--congestion-control",
            envvar="SENTINEL_CONGESTION_CONTROL",
            help="reno, cubic or bbr, instead of the file's.",
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", envvar="SENTINEL_CHECK", help="Simulate each row, packet by packet."
        ),
    ] = False,
    check_seconds: Annotated[
        int,
        typer.Option(
            envvar="SENTINEL_CHECK_SECONDS", min=2, max=3600, help="Simulated time of one check."
        ),
    ] = 60,
    check_repeat: Annotated[
        int,
        typer.Option(
            envvar="SENTINEL_CHECK_REPEAT", min=1, max=100, help="Checks of a row, by own seeds."
        ),
    ] = 3,
    as_json: Json = False,
) -> None:
    """Where should relays stand between two nodes, and what does each arm gain?

    \b
    Examples:
      sentinel-sim plan topologies/abilene.yaml --intermediates 2
      sentinel-sim plan topologies/nobel-eu.yaml -n 3 --from athens --to glasgow --loss "0.1 %"
      sentinel-sim plan topologies/abilene.yaml -n 3 --check --json

    A split path is as fast as the slowest of its connections; each is predicted as the least of
    rate, window and response to loss (RFC 9438 for cubic, Mathis for reno, rate x (1 - p) for
    bbr). Relays may stand anywhere, also off the cheapest way. The choice is exact, by dynamic
    programming; where connections would share a link, all placements are tried, or, if those are
    too many, relays are added greedily and an upper bound is told. `even` spaces as many relays
    evenly on the cheapest way, `all` has one at every node of it, as the arm split of `run` does.
    The last table stretches the path: a fixed number of relays loses with distance, a fixed
    spacing does not.

    With --from or --to every other node is an intermediate. Start-up, timeouts and other traffic
    are not predicted. --check needs no root; it sets the packet engine's steady goodput beside.
    """
    from sentinel_sim.cli import planning

    flags = planning.PlanFlags(
        file, intermediates, sender, receiver, loss, control, check, check_seconds, check_repeat
    )
    raise typer.Exit(planning.plan(flags, Invocation.of(ctx, as_json=as_json)))
