"""From a topology (one combination of a sweep) to the links and paths of its runs. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sentinel_sim.plan.model import LinkPlan, PathPlan
from sentinel_sim.topology.expression import amount_bytes
from sentinel_sim.topology.geo import propagation_ns
from sentinel_sim.topology.graph import Route, routes
from sentinel_sim.topology.model import Link, Topology
from sentinel_sim.topology.structure import link_names
from sentinel_sim.topology.sweep import link_distance_km

ETHERNET_HEADER_BYTES = 14
BITS_NS_PER_BYTE_S = 8 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Network:
    """Links and paths with every quantity resolved."""

    links: tuple[LinkPlan, ...]
    paths: tuple[PathPlan, ...]

    @property
    def packet_bytes(self) -> int:
        """Of `N packets` in sizes: the largest frame of the first path."""
        mtus = [link.mtu for link in self.links if link.name in self.paths[0].links]
        return min(mtus) + ETHERNET_HEADER_BYTES


def bdp_bytes(rate_bps: int, rtt_ns: int) -> int:
    """Bandwidth-delay product, rounded down."""
    return rate_bps * rtt_ns // BITS_NS_PER_BYTE_S


def network_of(topology: Topology) -> Network:
    """Resolve every link and path. The topology has passed `graph.problems`."""
    links = [
        _link(topology, index, link, name)
        for index, (link, name) in enumerate(zip(topology.links, link_names(topology), strict=True))
    ]
    paths = tuple(_path(index, route, links) for index, route in enumerate(routes(topology)))
    sized = tuple(
        replace(plan, queue_bytes=_queue_bytes(link, plan, paths))
        for link, plan in zip(topology.links, links, strict=True)
    )
    return Network(sized, paths)


def _link(topology: Topology, index: int, link: Link, name: str) -> LinkPlan:
    distance_km = link_distance_km(topology, link)
    if link.delay_one_way_ns is not None:
        delay_ns = link.delay_one_way_ns
    else:
        delay_ns = propagation_ns(distance_km or 0.0, link.route_factor or 1.0)
    return LinkPlan(
        name=name,
        a=link.endpoints[0],
        b=link.endpoints[1],
        distance_km=distance_km,
        delay_one_way_ns=delay_ns,
        rate_bps=link.rate_bps,
        queue_bytes=0,
        loss=link.loss,
        jitter_ns=link.jitter_ns,
        reorder=link.reorder,
        mtu=link.mtu_bytes,
        cost=link.cost,
    )


def _path(index: int, route: Route, links: Sequence[LinkPlan]) -> PathPlan:
    members = [links[position] for position in route.links]
    rtt_ns = 2 * sum(link.delay_one_way_ns for link in members)
    rate_bps = min(link.rate_bps for link in members)
    return PathPlan(
        index=index,
        nodes=route.nodes,
        links=tuple(link.name for link in members),
        rtt_base_ns=rtt_ns,
        rate_bps=rate_bps,
        loss=_combined_loss([link.loss for link in members]),
        bdp_bytes=bdp_bytes(rate_bps, rtt_ns),
    )


def _combined_loss(losses: Sequence[float]) -> float:
    """1 - prod(1 - p); exact where only one link loses, accurate for tiny p."""
    lossy = [loss for loss in losses if loss > 0.0]
    if len(lossy) < 2:
        return lossy[0] if lossy else 0.0
    return -math.expm1(math.fsum(math.log1p(-loss) for loss in lossy))


def _queue_bytes(link: Link, plan: LinkPlan, paths: Sequence[PathPlan]) -> int:
    """The queue of the link; `bdp` is the largest of the paths through it, at base RTT.

    A link on no path takes its own bandwidth-delay product.
    """
    through = [path.bdp_bytes for path in paths if plan.name in path.links]
    own = bdp_bytes(plan.rate_bps, 2 * plan.delay_one_way_ns)
    return amount_bytes(
        link.queue,
        bdp_bytes=max(through, default=own),
        packet_bytes=plan.mtu + ETHERNET_HEADER_BYTES,
    )
