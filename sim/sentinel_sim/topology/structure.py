"""What single fields cannot see: defaults, lengths, endpoints, repeats. Pure.

Every check returns problems with the key they belong to, so that the reader can name the line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sentinel_sim.plan.model import Role
from sentinel_sim.topology.faults import LinkFault
from sentinel_sim.topology.problems import KeyPath, Problem, StructureError
from sentinel_sim.topology.units import closest, format_time, shorten

if TYPE_CHECKING:
    from sentinel_sim.topology.model import Link, Topology

LENGTH_KEYS = frozenset({"distance_km", "delay_one_way"})


def with_defaults(data: object) -> object:
    """A copy of the document with `defaults` filled into its nodes and links.

    Anything that has the wrong shape is left alone, for the model to refuse.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("defaults"), Mapping):
        return data
    defaults = data["defaults"]
    merged: dict[Any, Any] = dict(data)
    if isinstance(data.get("nodes"), Mapping) and isinstance(defaults.get("nodes"), Mapping):
        merged["nodes"] = {
            name: _fill(node, defaults["nodes"]) for name, node in data["nodes"].items()
        }
    if isinstance(data.get("links"), list) and isinstance(defaults.get("links"), Mapping):
        merged["links"] = [_fill_link(link, defaults["links"]) for link in data["links"]]
    return merged


def _fill(part: object, defaults: Mapping[Any, Any]) -> object:
    if part is None:
        return dict(defaults)
    return {**defaults, **part} if isinstance(part, Mapping) else part


def _fill_link(link: object, defaults: Mapping[Any, Any]) -> object:
    """A link that says its own length takes no length from the defaults."""
    if isinstance(link, Mapping):
        drop = set(LENGTH_KEYS) if LENGTH_KEYS & link.keys() else set()
        if "delay_one_way" in link:
            drop.add("route_factor")
        defaults = {key: value for key, value in defaults.items() if key not in drop}
    return _fill(link, defaults)


def nearest_line(lines: Mapping[KeyPath, int], path: KeyPath) -> int | None:
    """The line of `path`, or of its nearest ancestor that has one."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path)


def check(topology: Topology) -> None:
    """Raises StructureError with all problems."""
    problems = [*_roles(topology), *_repeat(topology), *_arms(topology), *_faults(topology)]
    for index, link in enumerate(topology.links):
        problems += _endpoints(topology, index, link)
        problems += _length(topology, index, link)
        problems += _jitter(index, link)
    if problems:
        raise StructureError(problems)


def _roles(topology: Topology) -> Iterator[Problem]:
    for role in (Role.SENDER, Role.RECEIVER):
        if all(node.role != role for node in topology.nodes.values()):
            yield Problem(
                ("nodes",),
                f"no node is a {role}, got {len(topology.nodes)} nodes of other roles; "
                f"give one of them 'role: {role}'",
            )


def _repeat(topology: Topology) -> Iterator[Problem]:
    repeat = topology.experiment.repeat
    if repeat.max is not None and repeat.max < repeat.min:
        yield Problem(
            ("experiment", "repeat", "max"),
            f"must not be less than min ({repeat.min}), got {repeat.max}; raise it",
        )


def _arms(topology: Topology) -> Iterator[Problem]:
    arms = topology.experiment.arms
    for index, arm in enumerate(arms):
        if arm in arms[:index]:
            yield Problem(
                ("experiment", "arms", index), f"is listed twice, got '{arm}' again; remove one"
            )


def _endpoints(topology: Topology, index: int, link: Link) -> Iterator[Problem]:
    for end, name in enumerate(link.endpoints):
        if name in topology.nodes:
            continue
        near = closest(name, list(topology.nodes))
        hint = f"did you mean '{near}'? " if near else ""
        yield Problem(
            ("links", index, "endpoints", end),
            f"no node has this name, got '{name}'; {hint}nodes: {', '.join(topology.nodes)}",
        )
    if link.endpoints[0] == link.endpoints[1]:
        yield Problem(
            ("links", index, "endpoints"),
            f"a link must join two different nodes, got '{link.endpoints[0]}' twice; "
            "name another node",
        )


def has_great_circle(topology: Topology, link: Link) -> bool:
    """Do both ends of the link have a location?"""
    ends = [topology.nodes.get(name) for name in link.endpoints]
    return all(end is not None and end.location is not None for end in ends)


def _length(topology: Topology, index: int, link: Link) -> Iterator[Problem]:
    given = [
        key
        for key, present in (
            ("distance_km", link.distance_km is not None),
            ("delay_one_way", link.delay_one_way_ns is not None),
            ("the locations of both ends", has_great_circle(topology, link)),
        )
        if present
    ]
    if not given:
        yield Problem(
            ("links", index),
            "the link has no length, got none of distance_km, delay_one_way or a location for "
            "both ends; give exactly one of them",
        )
    elif len(given) > 1:
        key = "delay_one_way" if link.delay_one_way_ns is not None else "distance_km"
        yield Problem(
            ("links", index, key),
            f"the link has {len(given)} lengths, got {' and '.join(given)}; keep exactly one",
        )
    if link.delay_one_way_ns is not None and link.route_factor is not None:
        yield Problem(
            ("links", index, "route_factor"),
            f"has no effect on a delay, got {link.route_factor:g} beside delay_one_way "
            f"{format_time(link.delay_one_way_ns)}; remove it, or give distance_km instead",
        )


def _jitter(index: int, link: Link) -> Iterator[Problem]:
    if link.reorder and link.jitter_ns == 0:
        yield Problem(
            ("links", index, "reorder"),
            "has no effect without jitter, got reorder on and jitter 0; give jitter or remove it",
        )


def link_names(topology: Topology) -> list[str]:
    """`a--b` for each link, in file order; parallel links are counted."""
    names: list[str] = []
    for link in topology.links:
        stem = "--".join(link.endpoints)
        twins = sum(set(link.endpoints) == set(other.endpoints) for other in topology.links)
        same = sum(name.startswith(f"{stem}--") for name in names)
        names.append(f"{stem}--{same + 1}" if twins > 1 else stem)
    return names


def _faults(topology: Topology) -> Iterator[Problem]:
    for index, fault in enumerate(topology.experiment.faults):
        here: KeyPath = ("experiment", "faults", index)
        if (fault.at is None) == (fault.at_bytes is None):
            got = "neither" if fault.at is None else "both"
            yield Problem(here, f"needs exactly one of at and at_bytes, got {got}; keep one")
        arms = [str(arm) for arm in topology.experiment.arms]
        for place, arm in enumerate(fault.arms or ()):
            yield from _known((*here, "arms", place), "arm of this experiment", arm, arms)
        if isinstance(fault, LinkFault):
            yield from _link_fault(topology, here, fault)
        else:
            yield from _known((*here, "node"), "node", fault.target, list(topology.nodes))


def _link_fault(topology: Topology, here: KeyPath, fault: LinkFault) -> Iterator[Problem]:
    names = link_names(topology)
    problems = list(_known((*here, "link"), "link", fault.link, names))
    yield from problems
    if problems or fault.direction is None:
        return
    a, b = topology.links[names.index(fault.link)].endpoints
    ways = [f"{a}->{b}", f"{b}->{a}"]
    yield from _known((*here, "direction"), "direction of this link", fault.direction, ways)


def _known(place: KeyPath, what: str, name: str, known: list[str]) -> Iterator[Problem]:
    if name in known:
        return
    near = closest(name, known)
    hint = f"did you mean '{near}'? " if near else ""
    yield Problem(place, f"is no {what}, got {shorten(name)}; {hint}known: {', '.join(known)}")
