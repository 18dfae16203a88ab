"""What the nodes' processes are started with."""

from __future__ import annotations

from pathlib import Path

from tests.unit.emulated.specs import line

from sentinel_sim.backends.emulated.confinement import (
    DAEMON_PRIVILEGES,
    HIDDEN,
    node_root,
    private_mounts,
)
from sentinel_sim.backends.emulated.fsu_points import INNER, OUTER, points_of
from sentinel_sim.backends.emulated.layout import Layout


def capabilities_of(words: tuple[str, ...]) -> set[str]:
    given = words[words.index("--bounding-set") + 1].split(",")
    assert given[0] == "-all"
    assert words[words.index("--inh-caps") + 1].split(",") == given
    assert words[words.index("--ambient-caps") + 1] == "-all"
    assert "--no-new-privs" in words
    return {name.removeprefix("+") for name in given[1:]}


def test_a_daemon_keeps_what_socket_options_need_and_nothing_else() -> None:
    assert capabilities_of(DAEMON_PRIVILEGES) == {"net_admin"}


def test_a_nodes_root_has_its_network_and_nothing_else() -> None:
    words = node_root(77, "ip", "link")
    assert capabilities_of(words) == {"net_admin", "net_raw"}
    assert words[:3] == ("nsenter", "--target", "77")
    assert {"--user", "--net", "--mount", "--pid", "--mount-proc"} <= set(words)
    assert words[-2:] == ("ip", "link")


def test_places_where_others_can_be_opened_by_name_are_hidden() -> None:
    assert {str(path) for path in HIDDEN} == {"/run/netns", "/run/sentinel-sim"}
    script = private_mounts(77, visible=Path("/run/sentinel-sim/ab12/nodes/a b"))[-1]
    assert "none /run/netns" in script
    assert script.count("'/run/sentinel-sim/ab12/nodes/a b'") == 3
    assert script.index("--bind") < script.index("remount,ro")


def test_every_link_end_has_an_fsu_with_an_end_in_the_node_and_one_in_the_wire() -> None:
    layout = Layout.of("ab12", line())
    points = list(points_of(layout))
    assert len(points) == 2 * len(layout.links)
    assert len({point.unit for point in points}) == len(points)
    for point in points:
        (inner, interface, home), (outer, peer, wire) = point.interfaces
        assert (inner, outer) == (INNER, OUTER)
        assert interface in layout.interfaces(point.node)
        assert home.name == layout.namespace(point.node)
        assert wire.name == layout.wire_names(point.link).namespace
        assert peer not in layout.interfaces(point.node)
