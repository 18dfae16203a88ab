"""Addresses and routes: every node reaches every other along its path, both ways."""

from __future__ import annotations

import ipaddress
import re

import pytest
from tests.unit.emulated.specs import diamond, line

from sentinel_sim.backends.emulated.layout import Layout
from sentinel_sim.plan.model import RunSpec

ROUTE = re.compile(r"route replace (\S+)/32 via (\S+) dev (\S+) src (\S+)")


def layout_of(spec: RunSpec) -> Layout:
    return Layout.of("ab12", spec)


def owner(layout: Layout, gateway: str) -> str:
    """The node whose end of a link has this address."""
    for link in layout.links:
        names = layout.wire_names(link.name)
        for side, node in (("a", link.a), ("b", link.b)):
            if names.address(side) == gateway:
                return node
    raise AssertionError(f"nobody has {gateway}")


def walk(layout: Layout, source: str, target: str, path: int) -> list[str]:
    """The nodes a packet passes on its way to the target's address on a path."""
    address, here, passed = layout.address(target, path), source, [source]
    while here != target:
        routes = {m[1]: m[2] for x in layout.node_ip_lines(here) if (m := ROUTE.match(x))}
        here = owner(layout, routes[address])
        passed.append(here)
        assert len(passed) < 10, "a loop"
    return passed


@pytest.mark.parametrize("spec", [line(), diamond()], ids=["line", "diamond"])
def test_packets_take_the_path_of_their_address_there_and_back(spec: RunSpec) -> None:
    layout = layout_of(spec)
    for path in spec.paths:
        there = walk(layout, path.nodes[0], path.nodes[-1], path.index)
        back = walk(layout, path.nodes[-1], path.nodes[0], path.index)
        assert tuple(there) == path.nodes
        assert tuple(reversed(back)) == path.nodes


def test_a_route_leaves_with_the_source_address_of_its_path() -> None:
    layout = layout_of(diamond())
    for text in layout.node_ip_lines("s"):
        if match := ROUTE.match(text):
            assert match[4].split(".")[2] == match[1].split(".")[2]


def test_addresses_are_unique_and_neighbours_share_a_subnet() -> None:
    layout = layout_of(diamond())
    everybody = [layout.address(n, p.index) for p in layout.paths for n in p.nodes]
    assert len(set(everybody)) == len(everybody)
    for link in layout.links:
        names = layout.wire_names(link.name)
        network = ipaddress.ip_network(f"{names.address('a')}/30", strict=False)
        assert ipaddress.ip_address(names.address("b")) in network


def test_neighbours_are_named_so_that_no_arp_has_to_cross_the_wire() -> None:
    layout = layout_of(line())
    lines = layout.node_ip_lines("m")
    for name, side in (("s--m", "a"), ("m--r", "b")):
        names = layout.wire_names(name)
        expected = f"neigh replace {names.address(side)} lladdr {names.mac(side)}"
        assert any(text.startswith(expected) and "permanent" in text for text in lines)


def test_namespaces_carry_the_prefix_and_the_run_id() -> None:
    layout = layout_of(line())
    assert layout.namespace("m") == "sentinel-ab12-m"
    assert layout.wire_names("m--r").namespace == "sentinel-ab12-wire1"


def test_interfaces_of_an_intermediate_are_those_of_its_links() -> None:
    assert layout_of(line()).interfaces("m") == ["snab120b", "snab121a"]


def test_a_detour_is_laid_at_every_node_of_it_and_undone_without_a_trace() -> None:
    layout = Layout.of("ab12", diamond())
    first, way = layout.paths[0], ("s", "s--y", "y", "y--r", "r")
    laid = layout.detour_lines(first, way)
    assert set(laid) == {"s", "y", "r"}
    assert laid["y"][0] == f"addr replace {layout.address('y', 0)}/32 dev lo"
    assert any(layout.address("r", 0) in line and "src" in line for line in laid["s"])
    undone = layout.retreat_lines(first, [way, way])
    routes = {f"route del {layout.address(end, 0)}/32" for end in ("s", "r")}
    assert set(undone["y"][:-1]) == routes
    # Last: with the address go the routes that have it as their source.
    assert undone["y"][-1] == f"addr del {layout.address('y', 0)}/32 dev lo"
    for node in first.nodes:
        original = [line for line in layout.node_ip_lines(node) if line.startswith("route")]
        kept = [line for line in undone[node] if line.startswith("route replace")]
        assert set(kept) == {line for line in original if "/32" in line and "10.99.0." in line}
        assert (f"route del {layout.address('y', 0)}/32" in undone[node]) == (node != "x")
