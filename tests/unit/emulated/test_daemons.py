"""How node daemons are started."""

from __future__ import annotations

from pathlib import Path

from tests.unit.emulated.specs import line

from sentinel_node.daemon.fsu import FsuPoint
from sentinel_node.daemon.main import daemon_config, main, make_parser
from sentinel_sim.backends.emulated.daemons import FlowMaps, daemon_arguments
from sentinel_sim.backends.emulated.layout import Layout

LAYOUT = Layout.of("ab12", line())


def option(arguments: tuple[str, ...], name: str) -> str:
    return arguments[arguments.index(name) + 1]


def test_a_daemon_is_told_its_role_its_name_and_where_to_listen() -> None:
    arguments = daemon_arguments(LAYOUT, "m", Path("/run/x/m.sock"), [])
    assert option(arguments, "--role") == "intermediate"
    assert option(arguments, "--node") == "m"
    assert option(arguments, "--control") == "unix:/run/x/m.sock"
    assert option(arguments, "--run-id") == "ab12"
    assert "--fsu-point" not in arguments


def test_the_maps_of_every_link_are_handed_over_as_the_daemon_reads_them() -> None:
    handed = [FlowMaps("s--m", 7, 8, 9, 10), FlowMaps("m--r", 11, 12, 13, 10)]
    arguments = daemon_arguments(LAYOUT, "m", Path("/s"), handed)
    options = make_parser().parse_args(arguments[3:])
    assert daemon_config(options).fsu_points == (
        FsuPoint("s--m", 7, 8, 9, 10),
        FsuPoint("m--r", 11, 12, 13, 10),
    )
    assert arguments[1:3] == ("-m", main.__module__)
