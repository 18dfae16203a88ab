"""Who has which name, address and route in the emulated network (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sentinel_sim.plan.model import LinkPlan, PathPlan, Role, RunSpec
from sentinel_sim.wire.names import WireNames, other


@dataclass(frozen=True, slots=True)
class Layout:
    """Names and addresses of one deployment; the same for all runs of an experiment.

    Each node has one address for each path (10.99.PATH.NODE), so that the path a flow takes,
    there and back, follows from the addresses it uses, and needs no policy in the nodes.
    """

    run_id: str
    nodes: tuple[str, ...]
    links: tuple[LinkPlan, ...]
    paths: tuple[PathPlan, ...]
    roles: dict[str, Role]

    @classmethod
    def of(cls, run_id: str, spec: RunSpec) -> Layout:
        """The layout that every run of the same topology shares with `spec`."""
        return cls(run_id, tuple(spec.roles), spec.links, spec.paths, dict(spec.roles))

    def namespace(self, node: str) -> str:
        """The node's named network namespace."""
        return f"sentinel-{self.run_id}-{node}"

    def wire_names(self, link: str) -> WireNames:
        """Names of the wire that emulates `link`."""
        index = next(i for i, plan in enumerate(self.links) if plan.name == link)
        return WireNames(self.run_id, index)

    def address(self, node: str, path: int) -> str:
        """The node's address on a path."""
        return f"10.99.{path}.{self.nodes.index(node) + 1}"

    def side(self, link: str, node: str) -> str:
        """Which end of the link the node is: `a` or `b`."""
        plan = next(plan for plan in self.links if plan.name == link)
        return "a" if plan.a == node else "b"

    def interfaces(self, node: str) -> list[str]:
        """The node's interfaces, in link order."""
        return [
            self.wire_names(link.name).node_end(self.side(link.name, node))
            for link in self.links
            if node in (link.a, link.b)
        ]

    def node_ip_lines(self, node: str) -> list[str]:
        """`ip` lines that address a node, name its neighbours and lay its routes."""
        lines = ["link set dev lo up"]
        for path in self.paths:
            if node in path.nodes:
                lines.append(f"addr replace {self.address(node, path.index)}/32 dev lo")
        for link in self.links:
            if node in (link.a, link.b):
                lines += self._link_lines(node, link)
        for path in self.paths:
            if node in path.nodes:
                lines += list(self._route_lines(node, path))
        return lines

    def _link_lines(self, node: str, link: LinkPlan) -> list[str]:
        names, side = self.wire_names(link.name), self.side(link.name, node)
        interface = names.node_end(side)
        far = other(side)
        return [
            f"link set dev {interface} mtu {link.mtu} up",
            f"addr replace {names.address(side)}/30 dev {interface}",
            f"neigh replace {names.address(far)} lladdr {names.mac(far)} dev {interface}"
            " nud permanent",
        ]

    def _route_lines(self, node: str, path: PathPlan) -> Iterable[str]:
        here = path.nodes.index(node)
        source = self.address(node, path.index)
        for there, target in enumerate(path.nodes):
            if there == here:
                continue
            link = path.links[here if there > here else here - 1]
            names, side = self.wire_names(link), self.side(link, node)
            yield (
                f"route replace {self.address(target, path.index)}/32"
                f" via {names.address(other(side))} dev {names.node_end(side)} src {source}"
            )

    def detour_lines(self, path: PathPlan, way: Sequence[str]) -> dict[str, list[str]]:
        """`ip` lines by node that lead a path's addresses along `way` (see `graph.ways`)."""
        detour = replace(path, nodes=tuple(way[0::2]), links=tuple(way[1::2]))
        return {
            node: [
                f"addr replace {self.address(node, path.index)}/32 dev lo",
                *self._route_lines(node, detour),
            ]
            for node in detour.nodes
        }

    def retreat_lines(self, path: PathPlan, ways: Iterable[Sequence[str]]) -> dict[str, list[str]]:
        """`ip` lines by node that undo detours of a path over `ways`: all is as it was built."""
        lines = self.detour_lines(path, path_way(path))
        laid = {(node, there) for way in ways for node in way[0::2] for there in way[0::2]}
        # The address last: the kernel takes the routes with it whose source it is.
        for node, there in sorted(laid, key=lambda pair: (pair[0] == pair[1], pair)):
            if node in path.nodes and there in path.nodes:
                continue  # replaced by the original route
            address = self.address(there, path.index)
            undo = f"addr del {address}/32 dev lo" if node == there else f"route del {address}/32"
            lines.setdefault(node, []).append(undo)
        return lines


def path_way(path: PathPlan) -> tuple[str, ...]:
    """Its nodes and links, alternating."""
    pairs = zip(path.nodes[1:], path.links, strict=True)
    return (path.nodes[0], *(name for node, link in pairs for name in (link, node)))
