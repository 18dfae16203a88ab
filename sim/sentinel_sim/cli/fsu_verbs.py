"""`sentinel-sim fsu ...`: verbs, flags and their help. What they do stands in `cli.fsu`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from sentinel_sim.cli.group import Invocation
from sentinel_sim.cli.options import Json
from sentinel_sim.fsu.keys import SortKey

FSU_HELP = """The Flow Stabilization Unit by hand: on any interface, and in running experiments.

\b
The FSU is an XDP program that watches each flow and lets every packet pass. Begin with:
  sudo sentinel-sim fsu attach eth0       watch what arrives at eth0
  sudo sentinel-sim fsu top               flows with rate, RTT, BDP, buffer, prediction, error
  sudo sentinel-sim fsu detach eth0

XDP sees only what *enters* an interface. RTTs need both directions: attach where both enter (the
two interfaces of a router), or look at a running experiment, which has an FSU at both ends of
every link.
"""

app = typer.Typer(
    help=FSU_HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


class Mode(StrEnum):
    """Where in the kernel the program runs."""

    NATIVE = "native"
    GENERIC = "generic"


Interface = Annotated[
    str, typer.Argument(envvar="SENTINEL_INTERFACE", metavar="IFACE", help="An interface.")
]
Interfaces = Annotated[
    list[str] | None,
    typer.Argument(
        envvar="SENTINEL_INTERFACES",
        metavar="[IFACE]...",
        help="Only the FSUs on these interfaces. Default: all on this host.",
    ),
]
Netns = Annotated[
    str | None,
    typer.Option(
        envvar="SENTINEL_NETNS",
        metavar="NAME|PATH|PID",
        help="The interface's network namespace: a name of `ip netns`, a path, or a process.",
    ),
]
RunId = Annotated[
    str | None,
    typer.Option(
        "--run", envvar="SENTINEL_RUN", metavar="ID", help="Only of this running experiment."
    ),
]
Node = Annotated[
    str | None,
    typer.Option(envvar="SENTINEL_NODE", metavar="NAME", help="Only of this node of a topology."),
]
Filter = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        "-f",
        envvar="SENTINEL_FILTER",
        metavar="TEXT",
        help="Only lines with this text (or pattern with * and ?) in place, protocol, address,"
        " port, expert or burst class. Several: all must fit.",
    ),
]


@app.command()
def attach(
    ctx: typer.Context,
    interface: Interface,
    netns: Netns = None,
    mode: Annotated[
        Mode,
        typer.Option(
            envvar="SENTINEL_MODE",
            help="native: in the driver, before the kernel makes a packet of it; generic: after,"
            " slower, on every interface.",
        ),
    ] = Mode.NATIVE,
    flows: Annotated[
        int,
        typer.Option(
            envvar="SENTINEL_FLOWS",
            metavar="N",
            min=64,
            max=4_000_000,
            help="Room for so many IPv4 flows (0.9 KB each); the longest silent ones make way.",
        ),
    ] = 16384,
    beat: Annotated[
        bool,
        typer.Option(
            "--beat",
            envvar="SENTINEL_BEAT",
            help="Stay, and beat the FSU's heart: should this command die, the FSU passes packets"
            " untouched and counts them as bypassed. Without it the FSU needs nobody.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Attach the FSU to an interface; it stays until `fsu detach`, without any process.

    \b
    Examples:
      sudo sentinel-sim fsu attach eth0
      sudo sentinel-sim fsu attach lo --mode generic
      sudo sentinel-sim fsu attach veth0 --netns blue --flows 100000
      sudo sentinel-sim fsu attach eth0 --beat          # until Ctrl-C; stays attached afterwards

    The link is pinned, so nobody can replace it by `ip link`. An interface that has an XDP program
    of somebody else is left alone. Attaching natively turns off TSO at a veth's peer.
    """
    from sentinel_sim.cli import fsu

    raise typer.Exit(
        fsu.attach(
            interface,
            fsu.netns_path(netns),
            mode=mode.value,
            flows=flows,
            beat=beat,
            call=Invocation.of(ctx, as_json=as_json),
        )
    )


@app.command()
def detach(
    ctx: typer.Context, interface: Interface, netns: Netns = None, as_json: Json = False
) -> None:
    """Take the FSU off an interface again; what it knew is gone.

    \b
    Examples:
      sudo sentinel-sim fsu detach eth0
      sudo sentinel-sim fsu detach veth0 --netns blue

    Works also when the interface is gone. FSUs of a running experiment go with it, not by hand.
    """
    from sentinel_sim.cli import fsu

    call = Invocation.of(ctx, as_json=as_json)
    raise typer.Exit(fsu.detach(interface, fsu.netns_path(netns), call=call))


@app.command()
def status(ctx: typer.Context, as_json: Json = False) -> None:
    """What is attached where: program id, map sizes, heartbeat age, packets seen.

    \b
    Examples:
      sudo sentinel-sim fsu status
      sudo sentinel-sim fsu status --json | jq '.units[].counters'
    """
    from sentinel_sim.cli import fsu

    raise typer.Exit(fsu.status(Invocation.of(ctx, as_json=as_json)))


@app.command()
def clean(
    ctx: typer.Context,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", envvar="SENTINEL_DRY_RUN", help="Only show what would go."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove pins of FSUs whose interface is gone, and only ours; attached ones stay.

    \b
    Examples:
      sudo sentinel-sim fsu clean --dry-run
      sudo sentinel-sim fsu clean
    """
    from sentinel_sim.cli import fsu

    raise typer.Exit(fsu.clean(dry_run=dry_run, call=Invocation.of(ctx, as_json=as_json)))


@app.command()
def dump(
    ctx: typer.Context,
    interfaces: Interfaces = None,
    netns: Netns = None,
    run_id: RunId = None,
    node: Node = None,
    as_json: Json = False,
) -> None:
    """Everything the FSUs know, every field of both directions, for programs.

    \b
    Examples:
      sudo sentinel-sim fsu dump --json > flows.json
      sudo sentinel-sim fsu dump eth0 --json | jq '.units[].flows[].forward.rtt_us'
      sudo sentinel-sim fsu dump --run k3x9 --node panama --json
    """
    from sentinel_sim.cli import fsu

    choice = fsu.Choice(tuple(interfaces or ()), fsu.netns_path(netns), run_id, node)
    raise typer.Exit(fsu.dump(choice, Invocation.of(ctx, as_json=as_json)))


@app.command()
def top(
    ctx: typer.Context,
    interfaces: Interfaces = None,
    netns: Netns = None,
    run_id: RunId = None,
    node: Node = None,
    sort: Annotated[
        SortKey,
        typer.Option(
            "--sort", "-s", envvar="SENTINEL_SORT", help="Largest first; age: latest first."
        ),
    ] = SortKey.RATE,
    reverse: Annotated[
        bool, typer.Option("--reverse", "-r", envvar="SENTINEL_REVERSE", help="Turn it round.")
    ] = False,
    words: Filter = None,
    active: Annotated[
        float | None,
        typer.Option(
            envvar="SENTINEL_ACTIVE",
            metavar="S",
            min=0.0,
            help="Only flows that had a packet in the last S seconds.",
        ),
    ] = None,
    interval: Annotated[
        float,
        typer.Option(
            "--interval",
            "-d",
            envvar="SENTINEL_INTERVAL",
            metavar="S",
            min=0.1,
            max=3600.0,
            help="Seconds between two readings.",
        ),
    ] = 1.0,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            "-n",
            envvar="SENTINEL_LIMIT",
            metavar="N",
            min=1,
            help="At most N lines. Default: what fits; all with --once.",
        ),
    ] = None,
    once: Annotated[
        bool,
        typer.Option(
            "--once", "-1", envvar="SENTINEL_ONCE", help="Show it once and end: for scripts."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """A live table of flows: rate, prediction and its error, RTT, BDP, optimal buffer.

    \b
    Examples:
      sudo sentinel-sim fsu top
      sudo sentinel-sim fsu top eth0 --sort rtt --filter tcp --filter :443
      sudo sentinel-sim fsu top --run k3x9 --node panama
      sudo sentinel-sim fsu top --once --sort error --limit 10
      sudo sentinel-sim fsu top --once --json

    \b
    Keys: q or Ctrl-C ends; < and > choose the column that sorts; r turns the order round;
    a shows active flows only, or all.

    One line is one direction of one flow at one FSU. MASE is the mean absolute error of the
    predictions over that of "as in the last interval": below 1 they are better. --json shows one
    reading, as with --once.
    """
    from sentinel_sim.cli import fsu

    choice = fsu.Choice(tuple(interfaces or ()), fsu.netns_path(netns), run_id, node)
    view = fsu.View(
        sort=sort, reverse=reverse, words=tuple(words or ()), active_s=active, limit=limit
    )
    raise typer.Exit(
        fsu.top(
            choice, view, interval_s=interval, once=once, call=Invocation.of(ctx, as_json=as_json)
        )
    )
