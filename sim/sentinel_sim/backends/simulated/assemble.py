"""From what the engine counted to one `RunMeasurement` (pure)."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from sentinel_node.core.series import DEFAULT_MAX_POINTS, SeriesSampler
from sentinel_sim.backends.base import (
    FlowMeasurement,
    LinkBins,
    RatePeriod,
    Series,
    WireMeasurement,
)
from sentinel_sim.backends.simulated.faults import LinkTrack
from sentinel_sim.backends.simulated.translate import (
    IDLE_PROBES,
    TICK_NS,
    direction,
    link_name,
)
from sentinel_sim.engine.layout import FINISHED, INFINITE_SSTHRESH, NEVER, Array
from sentinel_sim.engine.simulation import (
    ACCEPTED,
    CONFIRMED,
    DELIVERED,
    SENT,
    UNFINISHED,
    Samples,
    Simulation,
)
from sentinel_sim.plan.model import BIN_NS, MOST_BINS, FlowPlan, LinkPlan, RunSpec
from sentinel_sim.wire.rate import QueueSample, drain_rate_bps

SHORTEST_BACKLOG_NS = 500_000_000


def joined(samples: Sequence[Samples]) -> Samples:
    """Consecutive stretches of samples as one."""
    return Samples(
        np.concatenate([part.times_ns for part in samples]),
        np.concatenate([part.flows for part in samples]),
        np.concatenate([part.links for part in samples]),
    )


def coarser(samples: Samples, every: int) -> Samples:
    """Every so-manieth sample, and the last one."""
    kept = np.arange(every - 1, len(samples.times_ns), every)
    if len(kept) == 0 or kept[-1] != len(samples.times_ns) - 1:
        kept = np.append(kept, len(samples.times_ns) - 1)
    return Samples(samples.times_ns[kept], samples.flows[kept], samples.links[kept])


def path_bins(spec: RunSpec, simulation: Simulation, samples: Samples) -> tuple[LinkBins, ...]:
    """What passed each link of path 0 between two samples, which are `BIN_NS` apart."""
    path, links = spec.paths[0], {link.name: link for link in spec.links}
    found = []
    for name, source in zip(path.links, path.nodes[:-1], strict=True):
        link = links[name]
        index = simulation.link_names.index(link_name(link, source))
        accepted = samples.links[:MOST_BINS, index, ACCEPTED]
        waiting = samples.links[:MOST_BINS, index, UNFINISHED] * link.rate_bps // 8_000_000_000
        found.append(
            LinkBins(
                name,
                direction(link, source),
                start_ns=int(samples.times_ns[0]) - BIN_NS,
                bin_ns=BIN_NS,
                offered=tuple(np.diff(accepted, prepend=0).tolist()),
                departed=tuple(np.diff(accepted - waiting, prepend=0).tolist()),
            )
        )
    return tuple(found)


def series(times_ns: Array, values: Array) -> Series:
    """A counter where it changed and just before, thinned as node daemons thin theirs."""
    change = np.diff(values, prepend=0) != 0
    changed = np.flatnonzero(change | np.append(change[1:], False))
    times, counts = times_ns[changed].tolist(), values[changed].tolist()
    if len(times) > DEFAULT_MAX_POINTS:
        sampler = SeriesSampler(TICK_NS)
        for now_ns, value in zip(times, counts, strict=True):
            sampler.add(now_ns, value)
        return Series(*sampler.points)
    return Series(tuple(times), tuple(counts))


def labels(spec: RunSpec, flow: FlowPlan) -> list[str]:
    """Names of a flow's connections, `sender->node`, in order."""
    nodes = spec.paths[flow.path].nodes
    if spec.arm.splits:
        return [f"{a}->{b}" for a, b in itertools.pairwise(nodes)]
    return [f"{nodes[0]}->{nodes[-1]}"]


def tcp_sample(label: str, now_ns: int, conn: Any) -> dict[str, Any]:  # noqa: ANN401  a row
    """What TCP_INFO would say of a connection now; the fields that the engine has."""
    return {
        "connection": label,
        "t_ns": now_ns,
        "rtt_us": int(conn["srtt"]) // 1000,
        "rttvar_us": int(conn["rttvar"]) // 1000,
        "min_rtt_us": int(conn["min_rtt"]) // 1000,
        "snd_cwnd": int(conn["cwnd"]),
        "snd_ssthresh": min(int(conn["ssthresh"]), INFINITE_SSTHRESH),
        "snd_mss": int(conn["mss"]),
        "bytes_sent": int(conn["nxt"] * conn["mss"]) + int(conn["resent_bytes"]),
        "bytes_acked": int(conn["una"] * conn["mss"]),
        "bytes_retrans": int(conn["resent_bytes"]),
        "notsent_bytes": int((conn["written"] - conn["nxt"]) * conn["mss"]),
        "unacked": int(conn["nxt"] - conn["una"]),
        "snd_wnd_bytes": int((conn["edge"] - conn["una"]) * conn["mss"]),
        "ca_state": int(conn["ca_state"]),
    }


def flow_measurement(
    spec: RunSpec,
    index: int,
    simulation: Simulation,
    samples: Samples,
    tcp: Sequence[dict[str, Any]],
) -> FlowMeasurement:
    """The flow of rank `index` by id, as its two ends saw it."""
    flow = sorted(spec.flows, key=lambda one: one.flow_id)[index]
    conns = simulation.world.conns
    first, last = int(simulation.heads[index]), int(simulation.tails[index])
    head, tail = conns[first], conns[last]
    names = labels(spec, flow)
    complete = all(conns["state"][first : last + 1] == FINISHED)
    columns = samples.flows[:, index, :]
    sent, delivered = int(columns[-1, SENT]), int(columns[-1, DELIVERED])
    return FlowMeasurement(
        flow_id=flow.flow_id,
        path=flow.path,
        start_ns=int(simulation.starts_ns[index]),
        first_write_ns=int(head["first_write"]) or int(simulation.starts_ns[index]),
        first_byte_ns=int(tail["first_byte"]) or None,
        last_byte_ns=int(tail["last_byte"]) or None,
        send_end_ns=int(head["write_end"]) or None,
        bytes_sent=sent,
        bytes_delivered=delivered,
        sha256_ok=None,
        sent=series(samples.times_ns, columns[:, SENT]),
        delivered=series(samples.times_ns, columns[:, DELIVERED]),
        confirmed=series(samples.times_ns, columns[:, CONFIRMED]),
        retransmitted_bytes={
            name: int(conns["resent_bytes"][first + hop]) for hop, name in enumerate(names)
        },
        tcp_info=tuple(tcp),
        error=None if complete else "the traffic did not end within the time allowed",
        payload_carried=False,
    )


def wire_measurement(
    link: LinkPlan,
    source: str,
    simulation: Simulation,
    samples: Samples,
    control_bytes: int = 0,
    track: LinkTrack | None = None,
) -> WireMeasurement:
    """One direction of one link, by the engine's counters; `track`: what faults made of it."""
    index = simulation.link_names.index(link_name(link, source))
    row = simulation.world.links[index]
    cut = track.cut_dropped if track is not None else 0
    late = simulation.world.lateness[index, : int(row["samples"])]
    return WireMeasurement(
        link=link.name,
        direction=direction(link, source),
        delay_requested_ns=link.delay_one_way_ns,
        base_cost_ns=0,
        lateness_ns=tuple(sorted(late.tolist())),
        lateness_samples_total=int(row["samples"]),
        packets_in=int(row["accepted"]) - cut,
        packets_out=int(row["arrived"]),
        loss_seen=int(row["accepted"]) - cut,
        loss_dropped=int(row["lost"]) - cut,
        queue_dropped=int(row["queue_dropped"]),
        drops_unplanned={},
        rate_bytes_sent=int(row["accepted_bytes"]),
        rate_backlogged_bps=_drain_rate_bps(link.rate_bps, samples, index),
        control_bytes=control_bytes,
        cut_dropped=cut,
        loss_periods=tuple(track.loss_periods) if track is not None else (),
        rate_periods=_rate_periods(track, samples, index) if track is not None else (),
    )


def _rate_periods(track: LinkTrack, samples: Samples, index: int) -> tuple[RatePeriod, ...]:
    """What each rate of the link gave; empty if it had one."""
    changes = itertools.pairwise([*track.rates, (NEVER, 0)])
    return tuple(
        RatePeriod(rate_bps, _drain_rate_bps(rate_bps, samples, index, since_ns, end_ns))
        for (since_ns, rate_bps), (end_ns, _) in changes
    )


def _drain_rate_bps(
    rate_bps: int, samples: Samples, index: int, since_ns: int = 0, end_ns: int = NEVER
) -> float | None:
    """By the same rule as in the emulation, over looks that are a tick apart."""
    # At `since_ns` itself the link was still looked at as it had been.
    within = (samples.times_ns > since_ns) & (samples.times_ns <= end_ns)
    accepted = samples.links[within, index, ACCEPTED]
    backlog = samples.links[within, index, UNFINISHED] * rate_bps // 8_000_000_000
    looks = [
        QueueSample(int(now), int(taken - waiting), int(waiting))
        for now, taken, waiting in zip(samples.times_ns[within], accepted, backlog, strict=True)
    ]
    return drain_rate_bps(looks, rate_bps * TICK_NS // 8_000_000_000, SHORTEST_BACKLOG_NS)


def round_trips_ns(probes: Array) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(idle, loaded) round-trip times of the probes that came back."""
    returned = probes["returned"] > 0
    times = probes["returned"] - probes["send_at"]
    idle, loaded = returned.copy(), returned.copy()
    idle[IDLE_PROBES:] = False
    loaded[:IDLE_PROBES] = False
    return tuple(times[idle].tolist()), tuple(times[loaded].tolist())


def trace_fingerprint(simulation: Simulation, samples: Samples, control: bytes = b"") -> str:
    """Equal for equal simulations: over all samples and the final state of everything.

    `control`: of the control messages (`FsuSimulation.digest`).
    """
    digest = hashlib.sha256()
    world = simulation.world
    links, conns = world.links.copy(), world.conns.copy()
    for rows in (links, conns):
        rows["first"] = 0  # where a ring lies in memory is no part of what happened
    for part in (samples.times_ns, samples.flows, samples.links, links, conns, world.probes):
        digest.update(np.ascontiguousarray(part).tobytes())
    digest.update(control)
    return digest.hexdigest()[:32]
