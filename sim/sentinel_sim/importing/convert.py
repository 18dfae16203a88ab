"""What becomes of a foreign graph: names, lengths, twins, loops, islands, endpoints (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sentinel_sim.importing import attributes
from sentinel_sim.importing.naming import tidy, unique_names
from sentinel_sim.importing.values import (
    Choices,
    Imported,
    ImportedLink,
    ImportedNode,
    ImportRefusedError,
    Lengths,
    Source,
    Twins,
)
from sentinel_sim.topology.geo import great_circle_km
from sentinel_sim.topology.graph import corridor
from sentinel_sim.topology.model import MAX_LINKS, MAX_NODES
from sentinel_sim.topology.units import closest, format_rate, shorten

SHORT_KM = 10.0
"""Shorter links cannot be emulated: a wire needs 50 us (`topology.feasibility`)."""
LEAST_KM = 1e-6
MOST_KM = 100_000.0
SHOWN = 5


@dataclass(frozen=True, slots=True)
class _Edge:
    """A link on its way: ends by the source's ids."""

    a: str
    b: str
    km: float
    by_location: bool
    rate_bps: int


def convert(source: Source, choices: Choices) -> Imported:
    """The network that the choices make of the source. Raises ImportRefusedError."""
    notes: list[str] = []
    nodes = _nodes(source, choices, notes)
    edges = _edges(source, nodes, choices, notes)
    edges = _without_twins(edges, choices, notes)
    if source.graph.directed:
        notes.append("the source is directed: each link here carries both directions")
    ends = [_wanted(source, nodes, which) for which in (choices.sender, choices.receiver)]
    kept = _island(source, nodes, edges, ends, notes)
    edges = [edge for edge in edges if edge.a in kept]
    sender, receiver = _endpoints(source, edges, ends, notes)
    if choices.ways is not None:
        edges = _corridor(edges, sender, receiver, choices.ways, notes)
    kept = {end for edge in edges for end in (edge.a, edge.b)}
    _check_size(source, len(kept), len(edges), choices)
    _note_lengths(edges, choices, notes)
    links = [
        ImportedLink(
            nodes[edge.a].name, nodes[edge.b].name, edge.km, edge.by_location, edge.rate_bps
        )
        for edge in edges
    ]
    return Imported(
        name=tidy(choices.name or source.name.rsplit("/", 1)[-1].split(":")[-1].split(".")[0]),
        nodes=tuple(node for key, node in nodes.items() if key in kept),
        links=tuple(links),
        sender=nodes[sender].name,
        receiver=nodes[receiver].name,
        notes=tuple(notes),
    )


def _nodes(source: Source, choices: Choices, notes: list[str]) -> dict[str, ImportedNode]:
    graph = source.graph
    labels = [attributes.label_of(key, data) for key, data in graph.nodes.items()]
    nodes = {
        key: ImportedNode(name, label, attributes.location_of(data, source.at_node(key)))
        for (key, data), name, label in zip(
            graph.nodes.items(), unique_names(labels), labels, strict=True
        )
    }
    lost = [key for key, node in nodes.items() if node.location is None]
    if lost and choices.drop_unlocated:
        notes.append(f"{len(lost)} nodes without coordinates were left out: {_some(nodes, lost)}")
        return {key: node for key, node in nodes.items() if node.location is not None}
    return nodes


def _some(nodes: dict[str, ImportedNode], keys: Sequence[str]) -> str:
    names = ", ".join(nodes[key].name for key in keys[:SHOWN])
    return names if len(keys) <= SHOWN else f"{names} ..."


def _edges(
    source: Source, nodes: dict[str, ImportedNode], choices: Choices, notes: list[str]
) -> list[_Edge]:
    found: list[_Edge] = []
    loops = without_rate = guessed = 0
    for a, b, data in source.graph.edges:
        if a not in nodes or b not in nodes:
            continue
        if a == b:
            loops += 1
            continue
        place = source.at_edge(a, b)
        rate = None if choices.ignore_rates else attributes.rate_of(data, place)
        without_rate += rate is None
        told = attributes.length_of(data, bare_dist_is_km=source.bare_dist_is_km, place=place)
        km, by_location, by_default = _length(nodes[a], nodes[b], told, choices, place)
        guessed += by_default
        found.append(_Edge(a, b, km, by_location, rate or choices.rate_bps))
    if loops:
        notes.append(f"{loops} self loops were left out")
    if guessed:
        notes.append(f"{guessed} links have a length of {choices.default_km:g} km by --default-km")
    if without_rate:
        rate_text = format_rate(choices.rate_bps)
        why = "by --ignore-rates" if choices.ignore_rates else "the source names none"
        notes.append(f"{without_rate} of {len(found)} links have a rate of {rate_text}: {why}")
    return found


def _length(
    a: ImportedNode, b: ImportedNode, told: float | None, choices: Choices, place: str
) -> tuple[float, bool, bool]:
    """(km, is it the great circle, is it the default)."""
    circle = None
    if a.location is not None and b.location is not None:
        circle = great_circle_km(a.location, b.location)
    if choices.lengths is Lengths.SOURCE and told is None and choices.default_km is None:
        raise ImportRefusedError(
            f"{place}: the link {a.name} - {b.name} has no length with a unit in the source, got"
            " none of length_km, distance_km or 'length: 12 km'",
            cure="leave --lengths source out, or add --default-km KM",
        )
    if circle is not None and choices.lengths is Lengths.COORDINATES:
        km, by_location, by_default = circle, True, False
    elif told is not None:
        km, by_location, by_default = told, False, False
    elif choices.default_km is not None:
        km, by_location, by_default = choices.default_km, False, True
    else:
        which = a if a.location is None else b
        raise ImportRefusedError(
            f"{place}: the link {a.name} - {b.name} has no length, got no coordinates for"
            f" {shorten(which.label)} and no length_km of the link",
            cure="add --drop-unlocated to leave such nodes out, or --default-km KM for such links",
        )
    if km > MOST_KM:
        raise ImportRefusedError(
            f"{place}: the link {a.name} - {b.name} is {km:g} km long, at most {MOST_KM:g} km can"
            " be meant; correct its length"
        )
    if choices.least_km is not None and km < choices.least_km:
        return choices.least_km, False, False
    if km < LEAST_KM:
        raise ImportRefusedError(
            f"{place}: the link {a.name} - {b.name} has no length, got two ends at one place",
            cure=f"add --min-km {SHORT_KM:g} to make such links longer",
        )
    return km, by_location, by_default


def _without_twins(edges: list[_Edge], choices: Choices, notes: list[str]) -> list[_Edge]:
    """One link for each pair of nodes: the fastest, of these the shortest; or all of them."""
    best: dict[frozenset[str], _Edge] = {}
    for edge in edges:
        pair = frozenset((edge.a, edge.b))
        known = best.get(pair)
        if known is None or (-edge.rate_bps, edge.km) < (-known.rate_bps, known.km):
            best[pair] = edge
    if choices.parallel is Twins.KEEP or len(best) == len(edges):
        return edges
    gone = len(edges) - len(best)
    notes.append(f"{gone} parallel links were left out: the fastest of each pair stands for all")
    return list(best.values())


def _wanted(source: Source, nodes: dict[str, ImportedNode], wanted: str | None) -> str | None:
    """The source's id of the node that the user means by name, label or id."""
    if wanted is None:
        return None
    for key, node in nodes.items():
        if wanted in (node.name, node.label, key):
            return key
    known = [node.name for node in nodes.values()]
    near = closest(wanted, known)
    hint = f"did you mean '{near}'? " if near else ""
    raise ImportRefusedError(
        f"{source.name}: no node is called {shorten(wanted)}; {hint}nodes: {', '.join(known[:40])}"
        + (" ..." if len(known) > 40 else "")
    )


def _island(
    source: Source,
    nodes: dict[str, ImportedNode],
    edges: Sequence[_Edge],
    ends: Sequence[str | None],
    notes: list[str],
) -> set[str]:
    """The nodes of the connected part that is kept: that of the endpoints, else the largest."""
    islands = _islands(nodes, edges)
    wanted = {end for end in ends if end is not None}
    if wanted:
        fitting = [island for island in islands if wanted <= island]
        if not fitting:
            names = " and ".join(nodes[end].name for end in sorted(wanted))
            raise ImportRefusedError(
                f"{source.name}: {names} lie in parts of the network that no link joins; "
                "choose endpoints of one part"
            )
        kept = fitting[0]
    else:
        kept = max(islands, key=len, default=set())
    if len(kept) < 2:
        raise ImportRefusedError(
            f"{source.name}: no two nodes are joined by a link, got {len(nodes)} nodes and"
            f" {len(edges)} usable links; a topology needs two nodes"
        )
    rest = len(nodes) - len(kept)
    if rest:
        notes.append(f"{rest} nodes in other parts, which no link joins to this one, were left out")
    return kept


def _islands(nodes: Iterable[str], edges: Sequence[_Edge]) -> list[set[str]]:
    """Connected parts, in the order of their first nodes."""
    part = {key: {key} for key in nodes}
    for edge in edges:
        small, large = sorted((part[edge.a], part[edge.b]), key=len)
        if small is large:
            continue
        large |= small
        for key in small:
            part[key] = large
    return list({id(members): members for members in part.values()}.values())


def _endpoints(
    source: Source, edges: Sequence[_Edge], ends: Sequence[str | None], notes: list[str]
) -> tuple[str, str]:
    """As asked for; what was not asked for is the node farthest away by the shortest way."""
    sender, receiver = ends
    if sender is not None and sender == receiver:
        raise ImportRefusedError(f"{source.name}: sender and receiver are the same node; name two")
    if sender is not None and receiver is not None:
        return sender, receiver
    known = [end for end in ends if end is not None]
    starts = known or sorted({end for edge in edges for end in (edge.a, edge.b)})
    best: tuple[float, str, str] | None = None
    for start in starts:
        for target, km in _distances(edges, start).items():
            if target != start and (best is None or (-km, start, target) < best):
                best = (-km, start, target)
    if best is None:
        raise ImportRefusedError(f"{source.name}: no two nodes are joined by a link")
    notes.append(f"endpoints not asked for: the farthest apart, {-best[0]:.0f} km by the links")
    return (best[2], best[1]) if receiver is not None else (best[1], best[2])


def _distances(edges: Sequence[_Edge], start: str) -> dict[str, float]:
    """Shortest lengths from `start` (Bellman 1958; networks here are small)."""
    found = {start: 0.0}
    changed = True
    while changed:
        changed = False
        for edge in edges:
            for here, there in ((edge.a, edge.b), (edge.b, edge.a)):
                km = found.get(here, float("inf")) + edge.km
                if km < found.get(there, float("inf")):
                    found[there] = km
                    changed = True
    return found


def _corridor(
    edges: list[_Edge], sender: str, receiver: str, ways: int, notes: list[str]
) -> list[_Edge]:
    lengths = [(edge.a, edge.b, edge.km) for edge in edges]
    inside = corridor(lengths, sender, receiver, ways)
    notes.append(f"only the {ways} shortest ways were kept: {len(inside)} of {len(edges)} links")
    return [edge for index, edge in enumerate(edges) if index in inside]


def _check_size(source: Source, nodes: int, links: int, choices: Choices) -> None:
    if nodes <= MAX_NODES and links <= MAX_LINKS:
        return
    fewer = max(1, (choices.ways or 21) // 2)
    raise ImportRefusedError(
        f"{source.name}: has {nodes} nodes and {links} links, a topology file at most {MAX_NODES}"
        f" and {MAX_LINKS}",
        cure=f"add --from A --to B --ways {fewer} to keep the shortest ways between two nodes",
    )


def _note_lengths(edges: Sequence[_Edge], choices: Choices, notes: list[str]) -> None:
    short = sum(edge.km * choices.route_factor < SHORT_KM for edge in edges)
    if short:
        notes.append(
            f"{short} links are shorter than {SHORT_KM:g} km: simulated, but not emulated "
            f"(--min-km {SHORT_KM:g} makes them that long)"
        )
    if choices.least_km is not None:
        made = sum(edge.km == choices.least_km for edge in edges)
        notes.append(f"{made} links are {choices.least_km:g} km long by --min-km")
    bends = Counter(edge.by_location for edge in edges)
    if bends[True] and bends[False]:
        notes.append("coordinates stand in comments: some lengths are not great circles")
