"""Paths: the cheapest, disjoint, over intermediates only."""

from __future__ import annotations

import pytest

from sentinel_sim.errors import TopologyError
from sentinel_sim.topology.graph import cycles, routes
from sentinel_sim.topology.model import Topology
from sentinel_sim.topology.reader import loads


def topology(roles: str, *links: str) -> Topology:
    """`roles` as "a:sender m:intermediate"; links as "a-m" or "a-m:cost"."""
    nodes = "".join(f"  {name}: {{role: {role}}}\n" for name, role in _pairs(roles))
    body = ""
    for link in links:
        ends, _, cost = link.partition(":")
        first, second = ends.split("-")
        body += f"  - {{endpoints: [{first}, {second}], cost: {cost or 1}}}\n"
    defaults = "defaults: {links: {rate: 1 Gbit/s, distance_km: 100}}\n"
    return loads(f"name: g\nnodes:\n{nodes}{defaults}links:\n{body}", "g.yaml")


def _pairs(roles: str) -> list[tuple[str, str]]:
    short = {"s": "sender", "i": "intermediate", "r": "receiver"}
    return [(word.split(":")[0], short[word.split(":")[1]]) for word in roles.split()]


DIAMOND = ("a:s x:i y:i b:r", "a-x", "x-b", "a-y", "y-b")


def test_a_chain_has_one_path() -> None:
    (route,) = routes(topology("a:s m:i n:i b:r", "a-m", "m-n", "n-b"))
    assert route.nodes == ("a", "m", "n", "b")
    assert route.links == (0, 1, 2)
    assert route.cost == 3


def test_a_diamond_has_two_disjoint_paths_and_one_loop() -> None:
    diamond = topology(*DIAMOND)
    assert [route.nodes for route in routes(diamond)] == [("a", "x", "b"), ("a", "y", "b")]
    assert [set(loop) for loop in cycles(diamond)] == [{"a", "x", "b", "y"}]


def test_a_dearer_way_is_a_stand_by() -> None:
    paths = routes(topology("a:s x:i y:i b:r", "a-x:5", "x-b", "a-y", "y-b"))
    assert [route.nodes for route in paths] == [("a", "y", "b")]


def test_cost_decides_not_the_number_of_hops() -> None:
    paths = routes(topology("a:s x:i b:r", "a-b:10", "a-x:2", "x-b:2"))
    assert [(route.nodes, route.cost) for route in paths] == [(("a", "x", "b"), 4)]


def test_parallel_links_are_different_paths() -> None:
    paths = routes(topology("a:s b:r", "a-b", "b-a"))
    assert [route.links for route in paths] == [(0,), (1,)]


def test_every_sender_reaches_every_receiver() -> None:
    paths = routes(topology("a:s c:s m:i b:r d:r", "a-m", "c-m", "m-b", "m-d"))
    ends = [(route.nodes[0], route.nodes[-1]) for route in paths]
    assert ends == [("a", "b"), ("a", "d"), ("c", "b"), ("c", "d")]


def test_receivers_do_not_forward() -> None:
    with pytest.raises(TopologyError, match="a - b - d through 'b', which is a receiver") as caught:
        topology("a:s b:r c:s d:r", "a-b", "b-d")
    assert "nodes.d" in str(caught.value)
    assert "nodes.c: no link ends here" in str(caught.value)


def test_paths_never_pass_another_sender() -> None:
    paths = routes(topology("a:s c:s m:i b:r", "a-c", "c-b", "a-m:5", "m-b:5"))
    assert [route.nodes for route in paths if route.nodes[0] == "a"] == [("a", "m", "b")]


def test_many_equal_ways_do_not_take_long() -> None:
    rungs = 20
    names = [f"{side}{index}" for index in range(rungs) for side in "xy"]
    links = [f"a-{names[0]}", f"a-{names[1]}", f"{names[-1]}-b", f"{names[-2]}-b"]
    for index in range(rungs - 1):
        links += [f"{p}{index}-{q}{index + 1}" for p in "xy" for q in "xy"]
    roles = "a:s b:r " + " ".join(f"{name}:i" for name in names)
    paths = routes(topology(roles, *links))
    assert len(paths) == 2
    assert not set(paths[0].nodes[1:-1]) & set(paths[1].nodes[1:-1])
