"""The verb `certificates`: flags and their help, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentinel_sim.cli import output
from sentinel_sim.cli.group import Invocation
from sentinel_sim.cli.options import Json

CERTIFICATES_SCHEMA = "sentinel-sim/certificates/1"


def certificates(
    ctx: typer.Context,
    nodes: Annotated[
        list[str],
        typer.Argument(envvar="SENTINEL_NODES", metavar="NODE...", help="Names of nodes."),
    ],
    out: Annotated[Path, typer.Option(envvar="SENTINEL_OUT", help="Where the folders go.")] = Path(
        "certificates"
    ),
    days: Annotated[
        int,
        typer.Option(envvar="SENTINEL_DAYS", min=1, max=825, help="How long they hold."),
    ] = 365,
    renew: Annotated[
        bool,
        typer.Option("--renew", envvar="SENTINEL_RENEW", help="Replace those that are there."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make certificates for the nodes of real hosts, which speak under mutual TLS.

    Examples:
      sentinel-sim certificates sender relay receiver --out certificates
      sentinel-sim certificates second-relay --out certificates
      sentinel-sim certificates relay --out certificates --renew --days 90
      scp -r certificates/relay relay.example:
      sentinel-node --role intermediate --node relay --certificates relay ...

    The first call makes an authority in OUT/authority; later ones use it. Its
    key can make certificates that all nodes believe: keep that folder where
    you are, and give each host its own folder only.
    """
    from sentinel_sim.host.certificates import AUTHORITY, issue

    Invocation.of(ctx, as_json=as_json)
    made = issue(out, nodes, days=days, renew=renew)
    if as_json:
        output.print_json(
            {
                "schema": CERTIFICATES_SCHEMA,
                "authority": str(out / AUTHORITY),
                "nodes": [
                    {
                        "node": one.node,
                        "folder": str(one.folder),
                        "valid_until": one.valid_until.isoformat(),
                        "renewed": one.renewed,
                    }
                    for one in made
                ],
            }
        )
        return
    for one in made:
        verb = "renewed" if one.renewed else "made"
        output.say(f"{one.folder}: {verb}, holds until {one.valid_until:%Y-%m-%d}")
    output.say(f"{out / AUTHORITY}: keep it here; its key can make any node")
