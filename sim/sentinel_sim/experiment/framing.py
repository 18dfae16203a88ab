"""What a link can carry at best: payload against headers (pure).

The rate stage counts layer 2 bytes: the IP packet and 14 bytes of Ethernet header, without
preamble, FCS and inter-frame gap (24 bytes more on metal). A full-size TCP segment over IPv4
with timestamps carries MTU - 20 - 20 - 12 bytes: 1448 of 1514 at MTU 1500, which is 95.6 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sentinel_sim.plan.model import RunSpec

IPV4_HEADER_BYTES = 20
TCP_HEADER_BYTES = 20
TCP_TIMESTAMP_BYTES = 12
ETHERNET_HEADER_BYTES = 14
HEADERS_BYTES = IPV4_HEADER_BYTES + TCP_HEADER_BYTES + TCP_TIMESTAMP_BYTES


@dataclass(frozen=True, slots=True)
class Theory:
    """The ceiling of one run: no loss, no start-up, every packet full, the window always used."""

    goodput_bps: float
    capacity_bps: int
    """Layer 2, of the paths in use together."""
    mss_bytes: int
    framing: str


def goodput_bps(rate_bps: float, mtu: int) -> float:
    """Payload bit/s through a link that carries `rate_bps` of layer 2 bits."""
    mss = mtu - HEADERS_BYTES
    return rate_bps * mss / (mss + HEADERS_BYTES + ETHERNET_HEADER_BYTES)


def theory_of(spec: RunSpec) -> Theory:
    """The theoretical goodput of the paths that the run's flows use."""
    used = sorted({flow.path for flow in spec.flows}) or [0]
    names = {name for index in used for name in spec.paths[index].links}
    mtu = min(link.mtu for link in spec.links if link.name in names)
    capacity = capacity_bps(spec, used)
    mss = mtu - HEADERS_BYTES
    framing = (
        f"rate x {mss} / ({mss} + {HEADERS_BYTES} + {ETHERNET_HEADER_BYTES}): MTU {mtu}, IPv4,"
        " TCP with timestamps, 14 B Ethernet header; preamble, FCS and gap are not shaped"
    )
    best_bps = goodput_bps(capacity, mtu)
    if spec.window_bytes is not None:
        best_bps = min(best_bps, window_limit_bps(spec, spec.window_bytes))
        framing += f"; and no more than a window of {spec.window_bytes} B per base RTT and flow"
    return Theory(best_bps, capacity, mss, framing)


def window_limit_bps(spec: RunSpec, window_bytes: int) -> float:
    """Payload bit/s of all flows when each connection keeps one window per base RTT in flight.

    Connections of the arms `split` and `fsu` end at every node: the longest link of a path is
    its limit.
    """
    delay_ns = {link.name: link.delay_one_way_ns for link in spec.links}
    total_bps = 0.0
    for flow in spec.flows:
        path = spec.paths[flow.path]
        ends_everywhere = spec.arm.splits
        rtt_ns = (
            2 * max(delay_ns[name] for name in path.links) if ends_everywhere else path.rtt_base_ns
        )
        if rtt_ns == 0:
            return float("inf")
        total_bps += window_bytes * 8e9 / rtt_ns
    return total_bps


def capacity_bps(spec: RunSpec, used: list[int]) -> int:
    """The most that the paths `used` carry together when links may be shared."""
    if len(used) == 1:
        return spec.paths[used[0]].rate_bps
    from scipy.optimize import linprog  # late: it takes half a second to import

    links = [link for link in spec.links if any(link.name in spec.paths[i].links for i in used)]
    shares = np.array([[float(link.name in spec.paths[i].links) for i in used] for link in links])
    rates = np.array([float(link.rate_bps) for link in links])
    best = linprog(c=-np.ones(len(used)), A_ub=shares, b_ub=rates, bounds=(0, None))
    return round(-float(best.fun))
