"""From a spec to the arrays of a simulation.

Links are ranked by name, flows by id: the order in which they are given changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sentinel_sim.engine import layout
from sentinel_sim.engine.layout import BOUNDLESS, INFINITE_SSTHRESH, NEVER, Array, World
from sentinel_sim.engine.spec import (
    CONTROLS,
    ConnectionSpec,
    FlowSpec,
    LinkSpec,
    LossModel,
    NetworkSpec,
)
from sentinel_sim.errors import InfeasibleError
from sentinel_sim.plan.seeds import derive

FIRST_RING = 1024
FIRST_SEGMENTS = 256
LATENESS_SAMPLES = 1000
LATENESS_EVERY = 97
"""Every so many packets one transit is noted; odd, so as not to follow the ACK clock."""
FIRST_WINDOW_BYTES = 65_535
FIRST_SEND_BUFFER = 16_384
STEP_BITS = 20
TIMERS = ("start", "stop", "nudge_at", "rto_at", "tlp_at", "reorder_at", "pace_at", "delack_at")
NANOSECONDS_BITS = 8_000_000_000


def build(spec: NetworkSpec) -> World:
    """All arrays, at virtual time 0."""
    links = sorted(spec.links, key=lambda link: link.name)
    flows = sorted(spec.flows, key=lambda flow: flow.flow_id)
    ranks = {link.name: rank for rank, link in enumerate(links)}
    routes: list[int] = []

    def route(names: Sequence[str]) -> int:
        """Where a new route starts in the array of all routes."""
        unknown = [name for name in names if name not in ranks]
        if unknown or not names:
            raise InfeasibleError(f"a route needs links that exist; unknown: {unknown}")
        first = len(routes)
        routes.extend([*(ranks[name] for name in names), -1])
        return first

    link_rows = np.zeros(len(links), layout.LINK)
    for rank, link in enumerate(links):
        _fill_link(link_rows[rank], link, rank, spec.seed)
    count = sum(len(flow.connections) for flow in flows)
    conns = np.zeros(count, layout.CONNECTION)
    index = 0
    for flow in flows:
        for hop, connection in enumerate(flow.connections):
            row = conns[index]
            _fill_connection(row, connection)
            row["rank"] = len(links) + index
            row["first"] = index * FIRST_SEGMENTS
            row["data_route"] = route(connection.forward)
            row["ack_route"] = route(connection.backward)
            row["previous"] = index - 1 if hop > 0 else -1
            row["next"] = index + 1 if hop + 1 < len(flow.connections) else -1
            row["bbr_seed"] = derive(spec.seed, "bbr", flow.flow_id, hop)
            if hop == 0:
                _fill_source(row, flow)
            index += 1
    in_order = sorted(spec.probes, key=lambda probe: (probe.send_ns, probe.route))
    ways = {way: route(way) for way in sorted({probe.route for probe in in_order})}
    probes = np.zeros(len(in_order), layout.PROBE)
    probes["send_at"] = [probe.send_ns for probe in in_order]
    probes["route"] = [ways[probe.route] for probe in in_order]
    probes["size"] = [probe.size_bytes for probe in in_order]
    probes["returned"] = -1
    state = np.zeros(1, layout.STATE)
    state["connections_left"] = count
    due, winners = _timeline(conns, probes, len(links))
    return World(
        state=state,
        due=due,
        winners=winners,
        links=link_rows,
        packets=np.zeros(len(links) * FIRST_RING, layout.PACKET),
        conns=conns,
        segments=np.zeros(max(count, 1) * FIRST_SEGMENTS, layout.SEGMENT),
        routes=np.array(routes or [-1], np.int64),
        probes=probes,
        lateness=np.zeros((len(links), LATENESS_SAMPLES), np.int64),
    )


def _fill_link(row: Array, link: LinkSpec, rank: int, seed: int) -> None:
    fill_rate(row, link.rate_bps, link.queue_bytes)
    row["delay"] = link.delay_ns
    row["jitter"] = link.jitter_ns
    row["first"] = rank * FIRST_RING
    row["mask"] = FIRST_RING - 1
    row["sample_every"] = row["sample_next"] = LATENESS_EVERY
    fill_loss(row, link.loss)
    row["loss_seed"] = derive(seed, "loss", link.name)
    row["jitter_seed"] = derive(seed, "jitter", link.name)


def fill_rate(row: Array, rate_bps: int, queue_bytes: int) -> None:
    """The transmitter of a link, and how long what waits may take."""
    row["step"] = round(NANOSECONDS_BITS * (1 << STEP_BITS) / rate_bps)
    row["queue_ns"] = queue_bytes * NANOSECONDS_BITS // rate_bps


def fill_loss(row: Array, loss: LossModel) -> None:
    """The thresholds of a link's channel."""
    row["lossy"] = int(loss.good > 0 or loss.to_bad > 0)
    for name, value in (
        ("loss_good", loss.good),
        ("loss_bad", loss.bad),
        ("to_bad", loss.to_bad),
        ("to_good", loss.to_good),
    ):
        row[name] = threshold(value)


def threshold(probability: float) -> int:
    """Of a 64-bit random number: smaller ones mean that it happens."""
    return min(int(probability * 2.0**64), 2**64 - 1)


def _fill_connection(row: Array, spec: ConnectionSpec) -> None:
    row["control"] = CONTROLS[spec.control]
    row["mss"] = spec.mss
    row["mask"] = FIRST_SEGMENTS - 1
    row["send_max"] = spec.send_max
    row["receive_max"] = spec.receive_max
    row["fixed_window"] = spec.fixed_window
    row["relay_bytes"] = spec.relay_bytes
    row["relay_segments"] = spec.relay_bytes // spec.mss
    row["initial_window"] = spec.initial_window
    row["hystart_on"] = int(spec.hystart)
    # BBR decides itself how much leaves at once.
    row["offload"] = int(spec.segmentation_offload and spec.control != "bbr")
    row["cwnd"] = spec.initial_window
    row["ssthresh"] = INFINITE_SSTHRESH
    row["total"] = -1
    row["last_bytes"] = spec.mss
    row["send_buffer"] = min(FIRST_SEND_BUFFER, spec.send_max)
    row["quick"] = 16
    first = FIRST_WINDOW_BYTES // spec.mss * spec.mss
    row["rcv_ssthresh"] = row["rcv_clamp"] = min(first, spec.receive_max)
    row["advertised"] = spec.fixed_window or min(first, spec.receive_max)
    row["space"] = spec.initial_window * spec.mss
    row["rack_seq"] = -1
    row["write_most"] = BOUNDLESS
    for timer in TIMERS:
        row[timer] = NEVER


def _fill_source(row: Array, flow: FlowSpec) -> None:
    row["start"] = flow.start_ns
    mss = int(row["mss"])
    if flow.size_bytes is not None:
        row["size_bytes"] = flow.size_bytes
        row["total"] = -(-flow.size_bytes // mss)
        row["last_bytes"] = flow.size_bytes - (int(row["total"]) - 1) * mss
    elif flow.duration_ns is not None:
        row["stop"] = flow.start_ns + flow.duration_ns


def _timeline(conns: Array, probes: Array, links: int) -> tuple[Array, Array]:
    """Every source's first event, and the tournament over them."""
    sources = links + len(conns) + 1
    size = 1 << max(1, (sources - 1).bit_length())
    due = np.full(size, NEVER, np.int64)
    due[links : links + len(conns)] = conns["start"]
    if len(probes):
        due[links + len(conns)] = probes[0]["send_at"]
    winners = np.zeros(2 * size, np.int64)
    fill_winners(due, winners)
    return due, winners


def fill_winners(due: Array, winners: Array) -> None:
    """Play the whole tournament anew."""
    size = len(due)
    winners[size:] = np.arange(size)
    for node in range(size - 1, 0, -1):
        left, right = winners[2 * node], winners[2 * node + 1]
        winners[node] = left if due[left] <= due[right] else right
