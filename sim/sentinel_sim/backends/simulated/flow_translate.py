"""From a run of the plan to flows that share links, and back to a measurement (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sentinel_sim.backends.base import FlowMeasurement, Series
from sentinel_sim.backends.emulated.profiles import buffers
from sentinel_sim.backends.simulated.translate import (
    WINDOW_DEN,
    WINDOW_NUM,
    link_name,
    refuse_unmodelled,
)
from sentinel_sim.errors import InfeasibleError
from sentinel_sim.experiment.framing import ETHERNET_HEADER_BYTES, HEADERS_BYTES
from sentinel_sim.flowlevel.heap import Int64
from sentinel_sim.flowlevel.limits import UNLIMITED, Segment
from sentinel_sim.flowlevel.path import Chain, chain_of
from sentinel_sim.flowlevel.state import Shares, shares_of
from sentinel_sim.flowlevel.traffic import NEVER, Traffic, traffic_of
from sentinel_sim.plan.model import Arm, FlowPlan, LinkPlan, PathPlan, RunSpec

CONTROLS = ("reno", "cubic", "bbr")


@dataclass(frozen=True, slots=True)
class FlowNetwork:
    """One run, ready to be advanced; flows in order of arrival."""

    shares: Shares
    traffic: Traffic
    flows: tuple[FlowPlan, ...]
    chains: tuple[Chain, ...]
    """Of each flow."""


def refuse(spec: RunSpec) -> None:
    """Raises InfeasibleError for what has no place in a model of rates."""
    refuse_unmodelled(spec)
    if spec.faults:
        raise InfeasibleError(
            f"run {spec.key}: the flow engine models no faults, and this run has"
            f" {len(spec.faults)}",
            cure="leave `experiment.faults` out, or use --engine packet",
        )
    if spec.arm is Arm.FSU:
        raise InfeasibleError(
            "arm fsu: the flow engine does not model forecasts and control streams",
            cure="leave it out with --arms direct,tuned,split, or use the packet engine: "
            "--engine packet",
        )
    if spec.burstiness:
        raise InfeasibleError(
            "burstiness: a model of rates has no bursts",
            cure="leave `experiment.burstiness` out, or use --engine packet",
        )
    for link in spec.links:
        if link.jitter_ns > 0:
            raise InfeasibleError(
                f"link {link.name}: jitter is not in a model of rates",
                cure="leave `jitter` out, or use --engine packet",
            )
    if spec.congestion_control not in CONTROLS:
        raise InfeasibleError(
            f"congestion control {spec.congestion_control!r}: the flow engine knows no law for it",
            cure=f"use one of {', '.join(CONTROLS)}, or --backend emulated",
        )
    for path in spec.paths:
        if path.rtt_base_ns == 0:
            raise InfeasibleError(
                f"path {'-'.join(path.nodes)}: without delay there is no round trip to start by",
                cure="give its links a length, or use --engine packet",
            )


def flow_network(spec: RunSpec) -> FlowNetwork:
    """Everything that the flow engine needs. Raises InfeasibleError."""
    refuse(spec)
    links = {link.name: link for link in spec.links}
    names = [link_name(link, end) for link in spec.links for end in link.ends]
    index = {name: number for number, name in enumerate(names)}
    ways = [_way(path, links, index) for path in spec.paths]
    chains = [chain_of(_segments(spec, path, links), _HEADERS) for path in spec.paths]
    order = sorted(
        spec.flows, key=lambda flow: (flow.start_ns + chains[flow.path].begin_ns, flow.flow_id)
    )
    of_flow = tuple(chains[flow.path] for flow in order)
    hops = [ways[flow.path] for flow in order]
    first = np.cumsum([0, *(len(way) for way in hops)])
    capacity = np.repeat([link.rate_bps for link in spec.links], 2)
    shares = shares_of(capacity, first, np.concatenate(hops), UNLIMITED)
    traffic = traffic_of(
        arrival_ns=_ints(flow.start_ns + chain.begin_ns for flow, chain in _pairs(order, of_flow)),
        amount_bits=np.array(
            [
                np.inf if flow.size_bytes is None else flow.size_bytes * 8 * chain.wire_per_payload
                for flow, chain in _pairs(order, of_flow)
            ]
        ),
        stop_ns=_ints(
            NEVER
            if flow.duration_ns is None
            else max(flow.start_ns + flow.duration_ns, flow.start_ns + chain.begin_ns)
            for flow, chain in _pairs(order, of_flow)
        ),
        limit_bps=_ints(chain.limit_bps for chain in of_flow),
        ramp_bps=_ints(chain.ramp_bps for chain in of_flow),
        rtt_ns=_ints(chain.rtt_ns for chain in of_flow),
    )
    return FlowNetwork(shares, traffic, tuple(order), of_flow)


_HEADERS = HEADERS_BYTES + ETHERNET_HEADER_BYTES


def _ints(values: Iterable[int]) -> Int64:
    return np.fromiter(values, np.int64)


def _pairs(order: Sequence[FlowPlan], of_flow: Sequence[Chain]) -> Iterable[tuple[FlowPlan, Chain]]:
    return zip(order, of_flow, strict=True)


def _way(path: PathPlan, links: dict[str, LinkPlan], index: dict[str, int]) -> Int64:
    hops = zip(path.links, path.nodes[:-1], strict=True)
    return np.array([index[link_name(links[name], node)] for name, node in hops], np.int64)


def _segments(spec: RunSpec, path: PathPlan, links: dict[str, LinkPlan]) -> list[Segment]:
    """The connections: one, or one for each link in the arm that splits."""
    window = spec.window_bytes or buffers(spec)[0][2] * WINDOW_NUM // WINDOW_DEN
    used = [links[name] for name in path.links]
    groups = [[link] for link in used] if spec.arm is Arm.SPLIT else [used]
    return [
        Segment(
            rtt_ns=max(2 * sum(link.delay_one_way_ns for link in group), 1),
            loss=1.0 - float(np.prod([1.0 - link.loss for link in group])),
            window_bytes=window,
            mss_bytes=min(link.mtu for link in group) - HEADERS_BYTES,
            control=spec.congestion_control,
        )
        for group in groups
    ]


def measurements(
    network: FlowNetwork, times_ns: Sequence[int], moved_bits: NDArray[np.float64]
) -> tuple[FlowMeasurement, ...]:
    """Each flow as its two ends would have seen it, by number; `moved_bits[i]` at `times_ns[i]`."""
    ranks = range(len(network.flows))
    found = [_measurement(network, rank, times_ns, moved_bits) for rank in ranks]
    return tuple(sorted(found, key=lambda flow: flow.flow_id))


def _measurement(
    network: FlowNetwork, rank: int, times_ns: Sequence[int], moved_bits: NDArray[np.float64]
) -> FlowMeasurement:
    flow, chain, traffic = network.flows[rank], network.chains[rank], network.traffic
    ended_ns = int(traffic.ended_ns[rank])
    complete = ended_ns >= 0
    payload = moved_bits[:, rank] / 8 / chain.wire_per_payload
    total = round(float(traffic.moved_bits[rank]) / 8 / chain.wire_per_payload)
    delivered = _series(flow.start_ns, chain, times_ns, payload, ended_ns, total)
    return FlowMeasurement(
        flow_id=flow.flow_id,
        path=flow.path,
        start_ns=flow.start_ns,
        first_write_ns=flow.start_ns + chain.first_byte_ns - chain.path_ns,
        first_byte_ns=delivered.times_ns[0] if delivered.values else None,
        last_byte_ns=delivered.times_ns[-1] if complete and delivered.values else None,
        send_end_ns=ended_ns if complete else None,
        bytes_sent=flow.size_bytes if flow.size_bytes is not None else total,
        bytes_delivered=delivered.values[-1] if delivered.values else 0,
        sha256_ok=None,
        sent=Series(),
        delivered=delivered,
        confirmed=Series(),
        retransmitted_bytes={},
        error=None if complete else "the traffic did not end within the time allowed",
        payload_carried=False,
    )


def _series(
    start_ns: int,
    chain: Chain,
    times_ns: Sequence[int],
    payload: NDArray[np.float64],
    ended_ns: int,
    total: int,
) -> Series:
    """What the receiver had read, from its first byte to its last."""
    first_ns = start_ns + chain.first_byte_ns
    last_ns = ended_ns + chain.lag_ns if ended_ns >= 0 else None
    points = {first_ns: 0}
    for now_ns, value in zip(times_ns, payload, strict=True):
        at_ns = now_ns + chain.lag_ns
        if value >= 1 and at_ns > first_ns and (last_ns is None or at_ns < last_ns):
            points[at_ns] = min(int(value), total)
    if last_ns is not None:
        points[max(last_ns, first_ns)] = total
    if total == 0 or max(points.values()) == 0:
        return Series()
    return Series(tuple(points), tuple(points.values()))
