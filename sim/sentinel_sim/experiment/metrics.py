"""From one run's raw measurement to its figures (pure: same measurement, same figures).

Names and meanings follow design.md section 9. Where a figure does not apply it is None, never
zero and never NaN. Times are seconds, rates bits per second of payload unless said otherwise.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from sentinel_sim.backends.base import Engine, FlowMeasurement, RunMeasurement, Series
from sentinel_sim.experiment import (
    burst_metrics,
    control_metrics,
    custody_metrics,
    fsu_metrics,
    wire_metrics,
)
from sentinel_sim.experiment import series as cumulative
from sentinel_sim.experiment.figures import Percentiles, Requested, RunMetrics
from sentinel_sim.experiment.framing import theory_of
from sentinel_sim.plan.model import Arm, PathPlan, RunSpec

SECOND_NS = 1_000_000_000
INITIAL_WINDOW_BYTES = 10 * 1448
STARTUP_MARGIN_RTTS = 3.0
"""Handshake, the last round before the queue fills, and recovery from overshoot."""
STEADY_RULE = (
    "second half of the sending period, by the receiver's clock: payload bytes read in"
    " [start + T/2, start + T) divided by T/2, where the sending period of length T runs from the"
    " first connect() to the return of the last write(); null when T/2 is shorter than start-up:"
    f" {STARTUP_MARGIN_RTTS:g} + log2(BDP / {INITIAL_WINDOW_BYTES} B) base RTTs"
)
LATENCY_POINTS = 2000
DELIVERED_SIZES = {"100 kB": 100_000, "1 MB": 10**6, "10 MB": 10**7, "100 MB": 10**8}
"""Transfers of all sizes in one: how long the first so many bytes of a flow took."""
LOCAL_CONFIRMATION = frozenset(arm for arm in Arm if arm.splits)


def compute(spec: RunSpec, measured: RunMeasurement) -> RunMetrics:
    """All figures of one run."""
    flows = measured.flows
    confirmed = flows if spec.arm in LOCAL_CONFIRMATION else ()
    exposure = custody_metrics.exposure_of(confirmed)
    duration = _duration_ns(flows)
    return RunMetrics(
        goodput_bps=_goodput_bps(flows, duration),
        steady_goodput_bps=steady_goodput_bps(spec, flows),
        confirmed_bps=_confirmed_bps(confirmed),
        confirm_latency_s=_latency(flows=confirmed, later="confirmed"),
        delivered_latency_s=_latency(flows=flows, later="delivered"),
        latency_resolution_s=_resolution_s(flows),
        time_to_first_byte_s=_first_byte_s(flows),
        completion_s=None if duration is None else duration / SECOND_NS,
        flow_completion_s=_flow_completion(flows),
        bytes_sent=sum(f.bytes_sent for f in flows),
        bytes_delivered=sum(f.bytes_delivered for f in flows),
        sha256_ok=_all_hashes_ok(flows),
        retransmitted_bytes=_sent_again(measured),
        exposure_bytes_max=None if exposure is None else exposure.max_bytes,
        requested=requested_of(spec),
        achieved=wire_metrics.achieved(spec, measured),
        theory=theory_of(spec),
        wires=tuple(wire_metrics.wire_figures(wire) for wire in measured.wires),
        startup_s=control_metrics.startup_s(spec, flows, steady_goodput_bps(spec, flows)),
        delivered_after_s=delivered_after_s(flows),
        starts=control_metrics.starts(measured),
        lead_time_s=control_metrics.lead_time(measured),
        control_bytes_per_data_byte=control_metrics.control_share(measured),
        sync=control_metrics.sync_figures(spec, measured),
        exposure=exposure,
        custody=custody_metrics.custody_figures(measured),
        fsu=fsu_metrics.fsu_figures(spec, measured),
        burstiness=burst_metrics.burstiness_of(spec, measured),
    )


def _sent_again(measured: RunMeasurement) -> int | None:
    if measured.engine is Engine.FLOW:
        return None
    return sum(sum(flow.retransmitted_bytes.values()) for flow in measured.flows)


def steady_goodput_bps(spec: RunSpec, flows: Sequence[FlowMeasurement]) -> float | None:
    """Goodput without start-up, by `STEADY_RULE`."""
    ends = [f.send_end_ns for f in flows if f.send_end_ns is not None]
    if not flows or len(ends) < len(flows):
        return None
    start, end = min(f.start_ns for f in flows), max(ends)
    startup_ns = max(startup_ns_of(spec.paths[f.path]) for f in flows)
    if (end - start) / 2 < startup_ns or end <= start:
        return None
    middle = start + (end - start) / 2
    read = sum(
        cumulative.value_at(f.delivered, end) - cumulative.value_at(f.delivered, middle)
        for f in flows
    )
    return read * 8 * SECOND_NS / (end - middle)


def delivered_after_s(flows: Sequence[FlowMeasurement]) -> dict[str, float | None] | None:
    """How long a flow took to deliver each of `DELIVERED_SIZES`; linear between two samples.

    A transfer of that size takes as long: what follows it on the connection changes nothing of what
    the receiver has. None for several flows, which share what they have.
    """
    if len(flows) != 1:
        return None
    flow = flows[0]
    came = [size for size in DELIVERED_SIZES.values() if size <= cumulative.last(flow.delivered)]
    reached = cumulative.reached_at(flow.delivered, came).tolist() if came else []
    after = [(t_ns - flow.start_ns) / SECOND_NS for t_ns in reached]
    return dict(itertools.zip_longest(DELIVERED_SIZES, after))


def startup_ns_of(path: PathPlan) -> float:
    """How long slow start takes from ten segments to one BDP, doubling each RTT (RFC 6928)."""
    doublings = math.log2(max(1.0, path.bdp_bytes / INITIAL_WINDOW_BYTES))
    return (STARTUP_MARGIN_RTTS + doublings) * path.rtt_base_ns


def latencies_ns(earlier: Series, later: Series, points: int) -> cumulative.Floats:
    """Time from `earlier` to `later` of the same byte, at `points` bytes spread evenly."""
    common = min(cumulative.last(earlier), cumulative.last(later))
    if common == 0 or points == 0:
        return np.empty(0, dtype=np.float64)
    counts = (np.arange(points, dtype=np.float64) + 0.5) * common / points
    gone = cumulative.reached_at(later, counts) - cumulative.reached_at(earlier, counts)
    return np.asarray(gone, dtype=np.float64)


def shortest_certain_latency_s(flow: FlowMeasurement) -> float | None:
    """The shortest latency that is certain for this flow, in seconds; None: nothing delivered.

    An upper bound of a byte's true latency: from the last moment at which it had surely not been
    written to the first at which it had surely been read. If even that is shorter than
    propagation, the run is impossible, whatever the sampling grid.
    """
    found: list[float] = []
    if flow.first_byte_ns is not None:
        found.append(float(flow.first_byte_ns - flow.first_write_ns))
    if flow.delivered.values:
        counts, read_by = cumulative.surely_latest_ns(flow.delivered)
        keep = (counts > 0) & (counts <= cumulative.last(flow.sent))
        if keep.any():
            unwritten = cumulative.surely_earliest_ns(flow.sent, flow.first_write_ns, counts[keep])
            found.append(float((read_by[keep] - unwritten).min()))
    return min(found) / SECOND_NS if found else None


def _duration_ns(flows: Sequence[FlowMeasurement]) -> int | None:
    ends = [f.last_byte_ns for f in flows if f.last_byte_ns is not None]
    if not ends:
        return None
    duration = max(ends) - min(f.start_ns for f in flows)
    return duration if duration > 0 else None


def _rate(payload_bytes: int, duration_ns: int | None) -> float | None:
    if duration_ns is None:
        return None
    return payload_bytes * 8 * SECOND_NS / duration_ns


def _goodput_bps(flows: Sequence[FlowMeasurement], duration_ns: int | None) -> float | None:
    verified = [f.bytes_delivered for f in flows if f.intact]
    return _rate(sum(verified), duration_ns) if verified else None


def _confirmed_bps(flows: Sequence[FlowMeasurement]) -> float | None:
    known = [f for f in flows if f.confirmed.values]
    if not known:
        return None
    # A plateau at the end must not dilute the rate: the first sample at the final value counts.
    ends = [
        int(cumulative.reached_at(f.confirmed, [cumulative.last(f.confirmed)])[0]) for f in known
    ]
    duration = max(ends) - min(f.start_ns for f in known)
    return _rate(sum(cumulative.last(f.confirmed) for f in known), max(duration, 0) or None)


def _latency(*, flows: Sequence[FlowMeasurement], later: str) -> Percentiles | None:
    total = sum(cumulative.last(f.delivered) for f in flows)
    samples: list[cumulative.Floats] = []
    weights: list[cumulative.Floats] = []
    for flow in flows:
        target: Series = getattr(flow, later)
        size = min(cumulative.last(flow.sent), cumulative.last(target))
        points = max(1, round(LATENCY_POINTS * size / max(total, 1))) if size else 0
        found = latencies_ns(flow.sent, target, points)
        samples.append(found)
        weights.append(np.full(found.size, size / max(points, 1), dtype=np.float64))
    pooled = np.concatenate(samples) if samples else np.empty(0)
    if pooled.size == 0:
        return None
    p50, p99 = np.quantile(
        pooled, [0.5, 0.99], weights=np.concatenate(weights), method="inverted_cdf"
    )
    return Percentiles(p50=float(p50) / SECOND_NS, p99=float(p99) / SECOND_NS)


def _resolution_s(flows: Sequence[FlowMeasurement]) -> float | None:
    known = [cumulative.resolution_ns(s) for f in flows for s in (f.sent, f.delivered)]
    steps = [step for step in known if step is not None]
    return max(steps) / SECOND_NS if steps else None


def _first_byte_s(flows: Sequence[FlowMeasurement]) -> float | None:
    waits = [f.first_byte_ns - f.start_ns for f in flows if f.first_byte_ns is not None]
    return float(np.median(waits)) / SECOND_NS if waits else None


def _flow_completion(flows: Sequence[FlowMeasurement]) -> Percentiles | None:
    done = [f.last_byte_ns - f.start_ns for f in flows if f.last_byte_ns is not None]
    if len(flows) < 2 or not done:
        return None
    p50, p99 = np.quantile(np.asarray(done, dtype=np.float64), [0.5, 0.99])
    return Percentiles(p50=float(p50) / SECOND_NS, p99=float(p99) / SECOND_NS)


def _all_hashes_ok(flows: Sequence[FlowMeasurement]) -> bool | None:
    if any(f.sha256_ok is False for f in flows):
        return False
    return True if flows and all(f.sha256_ok for f in flows) else None


def requested_of(spec: RunSpec) -> Requested:
    """What the plan asked of path 0."""
    path = spec.paths[0]
    return Requested(rtt_s=path.rtt_base_ns / SECOND_NS, rate_bps=path.rate_bps, loss=path.loss)
