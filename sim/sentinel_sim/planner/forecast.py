"""What each arm is predicted to reach, with relays well and with relays evenly placed (pure)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

from sentinel_sim.backends.emulated.profiles import STOCK_RMEM
from sentinel_sim.backends.simulated.translate import WINDOW_DEN, WINDOW_NUM
from sentinel_sim.errors import TopologyError
from sentinel_sim.plan.model import Role
from sentinel_sim.plan.resolve import network_of
from sentinel_sim.planner.network import Offer
from sentinel_sim.planner.placement import Placement, place, stops, value_bps
from sentinel_sim.planner.response import Prediction
from sentinel_sim.planner.spacing import SpacingRow, evenly, line
from sentinel_sim.topology.expression import amount_bytes
from sentinel_sim.topology.model import Topology
from sentinel_sim.topology.units import closest, shorten

STOCK_WINDOW_BYTES = STOCK_RMEM[2] * WINDOW_NUM // WINDOW_DEN
"""What the stock receive buffer of arm `direct` leaves to the window (as in the simulator)."""
MOST_RELAYS = 32


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One arm with its relays; `connections` in the order of the way."""

    what: str
    """`direct`, `tuned`, `split best`, `split even`, `split all`."""
    relays: tuple[str, ...]
    goodput_bps: float
    connections: tuple[tuple[str, str, Prediction], ...]
    rtt_ns: int
    """Of the whole way."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The whole answer of `plan`, without a simulation."""

    offer: Offer
    direct: Offer
    """The same network with the stock window."""
    placement: Placement
    rows: tuple[PlanRow, ...]
    by_number: tuple[Placement, ...]
    """The best placement of at most 0, 1, 2 ... relays."""
    spacing: tuple[SpacingRow, ...]

    def row(self, what: str) -> PlanRow:
        """The row of this name."""
        return next(row for row in self.rows if row.what == what)

    @property
    def gain(self) -> float:
        """Best placement over `tuned`."""
        return self.row("split best").goodput_bps / self.row("tuned").goodput_bps


def offer_of(
    topology: Topology, sender: str | None, receiver: str | None, control: str | None = None
) -> Offer:
    """The network between two endpoints: as the file has them, or as chosen.

    Chosen endpoints make every other node an intermediate. Raises TopologyError.
    """
    chosen = sender is not None or receiver is not None
    start = _endpoint(topology, sender, Role.SENDER, "--from")
    end = _endpoint(topology, receiver, Role.RECEIVER, "--to")
    if start == end:
        raise TopologyError(f"--from and --to: must be two nodes, got '{start}' twice")
    if chosen:
        topology = _recast(topology, start, end)
    network = network_of(topology)
    window = topology.experiment.window
    return Offer(
        links=network.links,
        sender=start,
        receiver=end,
        control=control or topology.experiment.congestion_control,
        closed=frozenset(
            name for name, node in topology.nodes.items() if node.role is not Role.INTERMEDIATE
        ),
        window_bytes=None
        if window is None
        else amount_bytes(
            window, bdp_bytes=network.paths[0].bdp_bytes, packet_bytes=network.packet_bytes
        ),
    )


def _endpoint(topology: Topology, wanted: str | None, role: Role, flag: str) -> str:
    if wanted is None:
        found = [name for name, node in topology.nodes.items() if node.role is role]
        if len(found) > 1:
            raise TopologyError(
                f"{topology.source}: has {len(found)} {role}s, got {', '.join(found)}; choose one",
                cure=f"add {flag} {found[0]}",
            )
        return found[0]
    if wanted not in topology.nodes:
        near = closest(wanted, list(topology.nodes))
        hint = f"did you mean '{near}'? " if near else ""
        raise TopologyError(
            f"{flag}: {topology.source} has no node of this name, got {shorten(wanted)};"
            f" {hint}nodes: {', '.join(topology.nodes)}"
        )
    return wanted


def _recast(topology: Topology, sender: str, receiver: str) -> Topology:
    document = topology.to_document()
    for name, node in document["nodes"].items():
        node["role"] = str(Role.INTERMEDIATE)
        if name in (sender, receiver):
            node["role"] = str(Role.SENDER if name == sender else Role.RECEIVER)
    document["experiment"]["sweep"] = {}
    document["experiment"]["faults"] = []
    return Topology.model_validate(document)


def forecast(offer: Offer, intermediates: int) -> Forecast:
    """Predict every arm, with at most this many relays. Raises TopologyError."""
    if not 0 <= intermediates <= MOST_RELAYS:
        raise TopologyError(
            f"--intermediates: must lie between 0 and {MOST_RELAYS}, got {intermediates}"
        )
    if offer.window_bytes is None:
        direct = replace(offer, window_bytes=STOCK_WINDOW_BYTES)
    else:
        direct = offer
    by_number = tuple(place(offer, number) for number in range(intermediates + 1))
    best = by_number[-1]
    everywhere = offer.nodes_on(offer.sender, offer.receiver)[1:-1]
    rows = (
        _row("direct", direct, ()),
        _row("tuned", offer, ()),
        _row("split best", offer, best.relays),
        _row("split even", offer, evenly(offer, intermediates)),
        _row("split all", offer, everywhere),
    )
    loop = offer.loop(offer.sender, offer.receiver)
    spacing = tuple(line(loop, offer.control, intermediates, offer.window_bytes))
    return Forecast(offer, direct, best, rows, by_number, spacing)


def _row(what: str, offer: Offer, relays: tuple[str, ...]) -> PlanRow:
    pairs = list(itertools.pairwise(stops(offer, relays)))
    return PlanRow(
        what=what,
        relays=relays,
        goodput_bps=value_bps(offer, relays),
        connections=tuple((a, b, offer.predict(a, b)) for a, b in pairs),
        rtt_ns=sum(offer.loop(a, b).rtt_ns for a, b in pairs),
    )
