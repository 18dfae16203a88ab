"""What is read, what may be chosen, and what comes out, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sentinel_sim.errors import TopologyError
from sentinel_sim.importing.kinds import Lengths as Lengths
from sentinel_sim.importing.kinds import Twins as Twins
from sentinel_sim.topology.graph import ForeignGraph


@dataclass(frozen=True, slots=True)
class Source:
    """A graph as it was read, and where it stands."""

    name: str
    """As the user gave it: a file, or `topohub:GROUP/NAME`."""
    graph: ForeignGraph
    credit: tuple[str, ...]
    """Lines on origin and licence for the file made."""
    bare_dist_is_km: bool = False
    """topohub documents that `dist` is in km; elsewhere the key has to name the unit."""
    node_lines: Mapping[str, int] | None = None
    edge_lines: Mapping[frozenset[str], int] | None = None

    def at_node(self, node: str) -> str:
        """`FILE:LINE` of a node, for messages."""
        return self._place((self.node_lines or {}).get(node))

    def at_edge(self, a: str, b: str) -> str:
        """`FILE:LINE` of the first link between two nodes."""
        return self._place((self.edge_lines or {}).get(frozenset((a, b))))

    def _place(self, line: int | None) -> str:
        return self.name if line is None else f"{self.name}:{line}"


@dataclass(frozen=True, slots=True)
class Choices:
    """Every flag of `import`; rates in bit/s, lengths in km."""

    rate_bps: int = 100_000_000
    """Of links for which the source names none."""
    ignore_rates: bool = False
    """Give every link `rate_bps`, whatever the source says."""
    loss: float = 0.0
    route_factor: float = 1.0
    queue: str = "1 bdp"
    name: str | None = None
    sender: str | None = None
    receiver: str | None = None
    ways: int | None = None
    """Keep only what lies on this many shortest ways from sender to receiver."""
    lengths: Lengths = Lengths.COORDINATES
    parallel: Twins = Twins.BEST
    default_km: float | None = None
    """Length of links for which nothing tells it."""
    drop_unlocated: bool = False
    least_km: float | None = None
    """Shorter links are made this long."""


@dataclass(frozen=True, slots=True)
class ImportedNode:
    """A node with its new name; `label` is what the source calls it."""

    name: str
    label: str
    location: tuple[float, float] | None
    """Latitude, longitude in degrees."""


@dataclass(frozen=True, slots=True)
class ImportedLink:
    """A link between two new names."""

    a: str
    b: str
    km: float
    """Before `route_factor`."""
    by_location: bool
    """Is the length the great circle between two known places?"""
    rate_bps: int


@dataclass(frozen=True, slots=True)
class Imported:
    """A network ready to be written; what was changed or assumed stands in `notes`."""

    name: str
    nodes: tuple[ImportedNode, ...]
    links: tuple[ImportedLink, ...]
    sender: str
    receiver: str
    notes: tuple[str, ...]


class ImportRefusedError(TopologyError):
    """The source cannot become a topology file as it is; `cure` is the flag to add."""
