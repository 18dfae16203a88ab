"""How node daemons are started."""

from __future__ import annotations

from pathlib import Path

from tests.unit.emulated.specs import line

from sentinel_node.daemon.main import main
from sentinel_sim.backends.emulated.daemons import FlowMaps, daemon_arguments
from sentinel_sim.backends.emulated.layout import Layout

LAYOUT = Layout.of("ab12", line())


def option(arguments: tuple[str, ...], name: str) -> str:
    return arguments[arguments.index(name) + 1]


def test_a_daemon_is_told_its_role_its_name_and_where_to_listen() -> None:
    arguments = daemon_arguments(LAYOUT, "m", Path("/run/x/m.sock"), None)
    assert option(arguments, "--role") == "intermediate"
    assert option(arguments, "--node") == "m"
    assert option(arguments, "--control") == "unix:/run/x/m.sock"
    assert option(arguments, "--run-id") == "ab12"
    assert not any(argument.endswith("-fd") for argument in arguments)


def test_each_map_is_handed_over_under_its_own_name() -> None:
    arguments = daemon_arguments(LAYOUT, "s", Path("/s"), FlowMaps(flows4=7, flows6=8, counters=9))
    assert option(arguments, "--flow-map-fd") == "7"
    assert option(arguments, "--flow-map6-fd") == "8"
    assert option(arguments, "--fsu-counters-fd") == "9"
    assert arguments[1:3] == ("-m", main.__module__)
