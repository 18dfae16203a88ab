"""The validity gate: may this run be believed? (pure; design: section 6)

A run outside a limit is kept and shown, and never enters a mean. Loaded RTT is reported, not
gated: a full queue doubles it. Each reason is one sentence with the figure and the limit.

Faults that the file asks for do not make a run invalid: loss and rate are held against what was
asked for at the time, packets that a cut link refused are counted for themselves, and a flow that
broke off and says why is an outcome. A fault that could not be carried out does, and so does a flow
that neither completes nor says why, or whose hash is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sentinel_sim.backends.base import (
    Engine,
    LossPeriod,
    RatePeriod,
    RunMeasurement,
    WireMeasurement,
)
from sentinel_sim.experiment.figures import RunMetrics
from sentinel_sim.experiment.metrics import shortest_certain_latency_s
from sentinel_sim.experiment.wire_metrics import (
    LATENESS_SAMPLES_MIN,
    lateness_of,
    worst_lateness,
)
from sentinel_sim.plan.model import LinkPlan, RunSpec

SECOND_NS = 1_000_000_000
MS = 1e3


@dataclass(frozen=True, slots=True)
class Limits:
    """The table of limits; written into every result beside the verdicts that it led to."""

    rtt_idle_s: float = 0.2e-3
    rtt_idle_share: float = 0.01
    """Idle RTT: within max(rtt_idle_s, rtt_idle_share of the request), both ways."""
    lateness_p99_s: float = 1e-3
    lateness_p99_share: float = 0.02
    """Lateness p99: within max(lateness_p99_s, lateness_p99_share of the one-way delay)."""
    lateness_samples_min: int = 30
    """With fewer sampled transits on every direction lateness is not known. Below 100 the p99 is
    all but the latest sample: stricter, not laxer."""
    rate_share: float = 0.01
    """Drain rate while backlogged: within this share of the link's rate."""
    loss_confidence: float = 0.999
    """Dropped packets inside this binomial interval. The chance of refusing an honest run
    (1 - confidence) is shared equally by the lossy wire directions of the run."""

    def rtt_idle_tolerance_s(self, requested_s: float) -> float:
        """How far the idle RTT may be off, in seconds."""
        return max(self.rtt_idle_s, self.rtt_idle_share * requested_s)

    def lateness_limit_s(self, one_way_s: float) -> float:
        """Highest lateness p99 of a wire with this one-way delay, in seconds."""
        return max(self.lateness_p99_s, self.lateness_p99_share * one_way_s)


LIMITS = Limits()


def judge(
    spec: RunSpec, measured: RunMeasurement, metrics: RunMetrics, limits: Limits = LIMITS
) -> tuple[str, ...]:
    """Why this run is invalid, one sentence each; empty: it is valid."""
    return (
        *timing_reasons(spec, measured, metrics, limits),
        *_loss(spec, measured, limits),
        *_drops(measured),
        *_faults(measured),
        *_payload(spec, measured),
        *_light(spec, measured, limits),
    )


def timing_reasons(
    spec: RunSpec, measured: RunMeasurement, metrics: RunMetrics, limits: Limits = LIMITS
) -> tuple[str, ...]:
    """Those of the reasons that a busy host can cause: the wires were late, or slow.

    A run with no other reason may be made again. One that lost a packet too many, or delivered
    something else than was sent, may not: that would hide a fault, or bias the loss.

    In virtual time nothing is late, however few transits a short run has; and where only rates are
    known there is no probe whose round trip could be wrong.
    """
    idle = () if measured.engine is Engine.FLOW else _idle_rtt(spec, metrics, limits)
    late = _lateness(spec, measured, limits) if measured.engine is Engine.KERNEL else ()
    return (*idle, *late, *_rate(spec, measured, limits))


def loss_interval(seen: int, probability: float, confidence: float) -> tuple[int, int]:
    """Fewest and most drops among `seen` packets that pass as chance, both included."""
    from scipy import stats  # late: it takes most of a second to import

    tail = (1.0 - confidence) / 2.0
    low = stats.binom.ppf(tail, seen, probability)
    high = stats.binom.ppf(1.0 - tail, seen, probability)
    return max(0, int(low)), int(high)


def _idle_rtt(spec: RunSpec, metrics: RunMetrics, limits: Limits) -> Iterator[str]:
    requested = metrics.requested.rtt_s
    idle = metrics.achieved.rtt_s.idle
    if idle is None:
        yield "idle RTT was not measured: no probe came back before the traffic"
        return
    jitter = 2 * sum(_links(spec)[name].jitter_ns for name in spec.paths[0].links) / SECOND_NS
    tolerance = limits.rtt_idle_tolerance_s(requested) + jitter
    if abs(idle - requested) > tolerance:
        yield (
            f"idle RTT {idle * MS:.3f} ms is {(idle - requested) * MS:+.3f} ms off the requested"
            f" {requested * MS:.3f} ms; the limit is {tolerance * MS:.3f} ms"
        )


def _lateness(spec: RunSpec, measured: RunMeasurement, limits: Limits) -> Iterator[str]:
    worst = worst_lateness(measured.wires)
    if worst is None or worst.samples < limits.lateness_samples_min:
        yield (
            f"lateness cannot be judged: {worst.samples if worst else 0} sampled transits on the"
            f" best sampled wire; at least {limits.lateness_samples_min} are needed"
        )
        return
    enough = min(LATENESS_SAMPLES_MIN, worst.samples)
    for wire in measured.wires:
        found = lateness_of(wire)
        if found is None or found.samples < enough:
            continue
        jitter = _links(spec)[wire.link].jitter_ns / SECOND_NS
        limit = limits.lateness_limit_s(wire.delay_requested_ns / SECOND_NS) + jitter
        if found.p99 > limit:
            yield (
                f"lateness p99 on {wire.link} {wire.direction} is {found.p99 * MS:.3f} ms over"
                f" {found.samples} transits; the limit is {limit * MS:.3f} ms"
            )


def _rate(spec: RunSpec, measured: RunMeasurement, limits: Limits) -> Iterator[str]:
    for wire, period in _rate_periods(spec, measured):
        rate, drained = period.rate_bps, period.backlogged_bps
        if drained is not None and abs(drained - rate) > limits.rate_share * rate:
            yield (
                f"{wire.link} {wire.direction} drained {drained / 1e6:.3f} Mbit/s while"
                f" backlogged, {(drained / rate - 1) * 100:+.2f} % off the requested"
                f" {rate / 1e6:.3f} Mbit/s; the limit is {limits.rate_share * 100:g} %"
            )


def _rate_periods(
    spec: RunSpec, measured: RunMeasurement
) -> Iterator[tuple[WireMeasurement, RatePeriod]]:
    for wire in measured.wires:
        whole = RatePeriod(_links(spec)[wire.link].rate_bps, wire.rate_backlogged_bps)
        for period in wire.rate_periods or (whole,):
            yield wire, period


def _loss_periods(
    spec: RunSpec, measured: RunMeasurement
) -> Iterator[tuple[WireMeasurement, LossPeriod]]:
    for wire in measured.wires:
        probability = _links(spec)[wire.link].loss
        whole = LossPeriod(probability, wire.loss_seen, wire.loss_dropped)
        for period in wire.loss_periods or (whole,):
            yield wire, period


def _loss(spec: RunSpec, measured: RunMeasurement, limits: Limits) -> Iterator[str]:
    periods = list(_loss_periods(spec, measured))
    lossy = sum(period.probability > 0 and period.seen > 0 for _, period in periods)
    confidence = 1.0 - (1.0 - limits.loss_confidence) / max(1, lossy)
    for wire, period in periods:
        low, high = loss_interval(period.seen, period.probability, confidence)
        if not low <= period.dropped <= high:
            yield (
                f"{wire.link} {wire.direction} dropped {period.dropped} of {period.seen}"
                f" packets on purpose; at a loss of {period.probability * 100:g} % between {low}"
                f" and {high} are within chance ({confidence * 100:g} % binomial interval)"
            )


def _drops(measured: RunMeasurement) -> Iterator[str]:
    for wire in measured.wires:
        for cause, count in sorted(wire.drops_unplanned.items()):
            if count > 0:
                yield (
                    f"{wire.link} {wire.direction} lost {count} packets to {cause}, which the"
                    " experiment did not ask for; the limit is 0"
                )
        missing = _unaccounted(wire)
        if missing != 0:
            yield (
                f"{wire.link} {wire.direction} took {wire.packets_in} packets, dropped"
                f" {wire.loss_dropped} on purpose and gave out {wire.packets_out}:"
                f" {missing} unaccounted for; the limit is 0"
            )


def _unaccounted(wire: WireMeasurement) -> int:
    attributed = sum(count for count in wire.drops_unplanned.values() if count > 0)
    missing = wire.packets_in - wire.loss_dropped - wire.packets_out
    # Drops that a cause above already explains are not reported twice.
    return 0 if missing == attributed else missing


def _faults(measured: RunMeasurement) -> Iterator[str]:
    for fault in measured.faults:
        if fault.failed:
            yield f"fault {fault.kind} of {fault.target} could not be carried out: {fault.detail}"


def _payload(spec: RunSpec, measured: RunMeasurement) -> Iterator[str]:
    if not measured.flows:
        yield "no flow was measured"
    for flow in measured.flows:
        if spec.faults and flow.error is not None and flow.sha256_ok is None:
            continue
        if flow.error is not None:
            yield f"flow {flow.flow_id} failed: {flow.error}"
        if flow.sha256_ok is False:
            yield (
                f"flow {flow.flow_id}: the SHA-256 of the {flow.bytes_delivered} delivered bytes"
                f" differs from that of the {flow.bytes_sent} sent"
            )
        elif not flow.payload_carried and not flow.intact and flow.error is None:
            yield (
                f"flow {flow.flow_id} never completed: {flow.bytes_delivered} of"
                f" {flow.bytes_sent} bytes were delivered"
            )
        elif flow.payload_carried and flow.sha256_ok is None:
            yield (
                f"flow {flow.flow_id} never completed: {flow.bytes_delivered} of"
                f" {flow.bytes_sent} bytes were delivered, so its SHA-256 is not verified"
            )


def _light(spec: RunSpec, measured: RunMeasurement, limits: Limits) -> Iterator[str]:
    for flow in measured.flows:
        latency = shortest_certain_latency_s(flow)
        rtt_s = spec.paths[flow.path].rtt_base_ns / SECOND_NS
        # Half the tolerance of the idle RTT, which is what a valid wire may be short one way.
        tolerance = limits.rtt_idle_tolerance_s(rtt_s) / 2
        if latency is not None and latency < rtt_s / 2 - tolerance:
            yield (
                f"flow {flow.flow_id} delivered a byte {latency * MS:.3f} ms after it was written,"
                f" faster than propagation over its path; the limit is"
                f" {(rtt_s / 2 - tolerance) * MS:.3f} ms"
            )


def _links(spec: RunSpec) -> dict[str, LinkPlan]:
    return {link.name: link for link in spec.links}
