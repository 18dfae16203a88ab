"""Paths through a topology, and graphs of others. The only importer of networkx.

Flows take the cheapest way from a sender to a receiver (sum of the link `cost`s; 1 each unless
given). Where several ways are equally cheap and share no node between their ends, all of them
are paths, as equal-cost multipath routing would have it; a dearer way is a stand-by and is not
used. Only intermediates forward: a way through another sender or receiver does not count.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx

from sentinel_sim.plan.model import LinkPlan, Role
from sentinel_sim.topology.model import Topology
from sentinel_sim.topology.problems import Problem

MAX_WAYS = 64
_Vertex = str | int
"""A node by its name, or a link by its index: so parallel links are different ways."""


@dataclass(frozen=True, slots=True)
class Route:
    """A loop-free way from a sender to a receiver."""

    nodes: tuple[str, ...]
    links: tuple[int, ...]
    """Indices into `Topology.links`; one fewer than `nodes`."""
    cost: int


def _build(topology: Topology) -> nx.Graph[_Vertex]:
    graph: nx.Graph[_Vertex] = nx.Graph()
    graph.add_nodes_from(topology.nodes)
    for index, link in enumerate(topology.links):
        # Half of the cost on either side of the link's own vertex would be a fraction: use twice
        # the cost in all.
        graph.add_edge(link.endpoints[0], index, cost=link.cost)
        graph.add_edge(index, link.endpoints[1], cost=link.cost)
    return graph


def _with_role(topology: Topology, role: Role) -> list[str]:
    return [name for name, node in topology.nodes.items() if node.role == role]


def _between(topology: Topology, source: str, target: str) -> list[Route]:
    """All equally cheap ways that share no node and no link, the first found first."""
    graph = _build(topology)
    ends = {source, target}
    hosts = [name for name, node in topology.nodes.items() if node.role != Role.INTERMEDIATE]
    graph.remove_nodes_from(set(hosts) - ends)
    routes: list[Route] = []
    while nx.has_path(graph, source, target):
        way = nx.dijkstra_path(graph, source, target, weight="cost")
        cost = nx.path_weight(graph, way, weight="cost") // 2
        if routes and cost > routes[0].cost:
            break
        names = tuple(vertex for vertex in way if isinstance(vertex, str))
        links = tuple(vertex for vertex in way if isinstance(vertex, int))
        routes.append(Route(names, links, cost))
        graph.remove_nodes_from(set(way) - ends)
    return routes


def routes(topology: Topology) -> tuple[Route, ...]:
    """Every path of the topology: by sender, then receiver, both in file order."""
    return tuple(
        route
        for source in _with_role(topology, Role.SENDER)
        for target in _with_role(topology, Role.RECEIVER)
        for route in _between(topology, source, target)
    )


def ways(
    roles: Mapping[str, Role], links: Sequence[LinkPlan], source: str, target: str
) -> tuple[tuple[str, ...], ...]:
    """Every loop-free way over intermediates, cheapest first (at most `MAX_WAYS`).

    As alternating names of nodes and links, so that a way can be held against either.
    """
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from((source, target))
    for link in links:
        if all(roles[end] is Role.INTERMEDIATE or end in (source, target) for end in link.ends):
            graph.add_edge(link.a, link.name, cost=link.cost)
            graph.add_edge(link.name, link.b, cost=link.cost)
    if not nx.has_path(graph, source, target):
        return ()
    # Yen 1971; between equally cheap ways its order is that of the links in the file.
    found = nx.shortest_simple_paths(graph, source, target, weight="cost")
    return tuple(tuple(way) for way in itertools.islice(found, MAX_WAYS))


def cycles(topology: Topology) -> list[list[str]]:
    """A basis of the loops: node names. Loops are welcome (a diamond is one); for `validate`."""
    basis = nx.cycle_basis(_build(topology))
    return [[vertex for vertex in loop if isinstance(vertex, str)] for loop in basis]


def problems(topology: Topology) -> list[Problem]:
    """What keeps traffic from flowing: nodes without links, senders or receivers without a path."""
    found = [
        Problem(("nodes", name), f"no link ends here, got node '{name}' alone; add a link")
        for name in nx.isolates(_build(topology))
        if isinstance(name, str)
    ]
    connected: set[str] = set()
    for route in routes(topology):
        connected |= {route.nodes[0], route.nodes[-1]}
    alone = {problem.path[1] for problem in found}
    for role, other in ((Role.SENDER, Role.RECEIVER), (Role.RECEIVER, Role.SENDER)):
        for name in _with_role(topology, role):
            if name not in connected | alone:
                found.append(Problem(("nodes", name), _no_path(topology, name, role, other)))
    return found


def _no_path(topology: Topology, name: str, role: Role, other: Role) -> str:
    word = "to any receiver" if role == Role.SENDER else "from any sender"
    for way in _ways_through_hosts(topology, name, other):  # the first will do as an example
        through = next(node for node in way[1:-1] if topology.nodes[node].role != "intermediate")
        return (
            f"there is no path {word}, got only {' - '.join(way)} through '{through}', which is a "
            f"{topology.nodes[through].role}; only intermediates forward: add a link around it"
        )
    return (
        f"there is no path {word}, got a {role} with no way to a {other}; "
        "join them with links over intermediates"
    )


def _ways_through_hosts(topology: Topology, name: str, other: Role) -> Iterator[list[str]]:
    graph = _build(topology)
    for target in _with_role(topology, other):
        if nx.has_path(graph, name, target):
            way = nx.dijkstra_path(graph, name, target, weight="cost")
            names = [vertex for vertex in way if isinstance(vertex, str)]
            yield names if other == Role.RECEIVER else names[::-1]


@dataclass(frozen=True, slots=True)
class ForeignGraph:
    """A graph of somebody else's as plain data, in file order; attributes are not yet judged."""

    nodes: Mapping[str, Mapping[str, Any]]
    edges: Sequence[tuple[str, str, Mapping[str, Any]]]
    directed: bool


def parse_graphml(text: str) -> ForeignGraph:
    """GraphML (graphml.graphdrawing.org). Raises ValueError for anything else."""
    return _foreign(lambda: nx.parse_graphml(text))


def parse_gml(text: str) -> ForeignGraph:
    """GML (Himsolt 1997). Raises ValueError for anything else.

    Files of the Internet Topology Zoo have parallel edges without announcing them: where nothing
    is said of `multigraph`, they may be there.
    """
    if not re.search(r"\bmultigraph\b", text):
        text = re.sub(r"\bgraph(\s*)\[", r"graph\1[ multigraph 1 ", text, count=1)
    return _foreign(lambda: nx.parse_gml(text.split("\n"), label="id"))


def _foreign(parse: Callable[[], nx.Graph[Any]]) -> ForeignGraph:
    try:
        graph = parse()
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except Exception as error:  # networkx raises KeyError, StopIteration ...
        words = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(words[:160]) from error
    nodes = {str(node): dict(data) for node, data in graph.nodes(data=True)}
    edges = [(str(a), str(b), dict(data)) for a, b, data in graph.edges(data=True)]
    return ForeignGraph(nodes, edges, graph.is_directed())


def cheapest_ways(links: Sequence[LinkPlan]) -> dict[tuple[str, str], tuple[int, ...]]:
    """For every ordered pair of nodes that a way joins: the links of the cheapest, by index.

    By `cost`; every node forwards. Of equally cheap ways the one found first, in file order.
    """
    graph: nx.Graph[_Vertex] = nx.Graph()
    for index, link in enumerate(links):
        graph.add_edge(link.a, index, cost=link.cost)
        graph.add_edge(index, link.b, cost=link.cost)
    found: dict[tuple[str, str], tuple[int, ...]] = {}
    for source in sorted(vertex for vertex in graph if isinstance(vertex, str)):
        reached = nx.single_source_dijkstra_path(graph, source, weight="cost")
        for target, way in reached.items():
            if isinstance(target, str) and target != source:
                found[source, target] = tuple(v for v in way if isinstance(v, int))
    return found


def corridor(
    edges: Sequence[tuple[str, str, float]], source: str, target: str, most: int
) -> frozenset[int]:
    """The edges, by index, of the `most` shortest loop-free ways (Yen 1971)."""
    graph: nx.Graph[_Vertex] = nx.Graph()
    for index, (a, b, length) in enumerate(edges):
        graph.add_edge(a, index, length=length / 2)
        graph.add_edge(index, b, length=length / 2)
    found = nx.shortest_simple_paths(graph, source, target, weight="length")
    ways = itertools.islice(found, most)
    return frozenset(vertex for way in ways for vertex in way if isinstance(vertex, int))
