"""The figures of one run as values (design: section 9); no arithmetic here.

Where a figure does not apply it is None, never zero and never NaN. Times are seconds, rates bits
per second of payload unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sentinel_sim.experiment.framing import Theory


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Median and tail, in seconds."""

    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Lateness:
    """Transit by independent stamps minus the request, of one wire in one direction; seconds."""

    p50: float
    p99: float
    p999: float
    wire: str
    direction: str
    samples: int


@dataclass(frozen=True, slots=True)
class RttAchieved:
    """Medians of the probes over path 0, in seconds; None without probes."""

    idle: float | None
    loaded_p50: float | None


@dataclass(frozen=True, slots=True)
class Requested:
    """Of path 0 as a whole."""

    rtt_s: float
    rate_bps: int
    loss: float


@dataclass(frozen=True, slots=True)
class Achieved:
    """What the wires did, to be held against `Requested`."""

    rtt_s: RttAchieved
    rate_bps: float | None
    """Drain rate, while backlogged, of a slowest link on path 0; None: never backlogged."""
    loss: float | None
    """Share dropped on purpose over path 0, sender to receiver; None: no packet was seen."""
    lateness_s: Lateness | None


@dataclass(frozen=True, slots=True)
class WireFigures:
    """One direction of one wire, for the result; every sample is in the raw log."""

    link: str
    direction: str
    lateness_s: Lateness | None
    base_cost_s: float
    packets_in: int
    packets_out: int
    loss_seen: int
    loss_dropped: int
    queue_dropped: int
    drops_unplanned: dict[str, int]
    rate_backlogged_bps: float | None
    control_bytes: int
    cut_dropped: int
    corrupted: int


@dataclass(frozen=True, slots=True)
class LeadTime:
    """First byte at a node minus the moment a buffer was ready for it there; seconds."""

    p50: float
    least: float
    share_ahead: float
    """Of the adjustments that were ready before the first byte."""
    n: int
    by_kind: dict[str, float]
    """Median by what was made ready, connections among it."""


@dataclass(frozen=True, slots=True)
class SyncFigures:
    """The receiver's replica against the sender's own counts, on a uniform grid."""

    phase_error_s: Percentiles | None
    """Of its absolute value; None where it never exists."""
    error_bytes: Percentiles | None
    """Of its absolute value, in bytes."""
    undefined_share: float | None
    """Samples at which the replica stood still and was wrong: no phase exists."""
    over_bound_share: float | None
    """Samples beyond the stated error bound: news was on its way."""
    samples: int
    checks: int
    checks_ok: int
    final_ok: bool | None
    """Bytes, hash and state agreed at the end of every flow; None: never checked."""
    problems: tuple[str, ...]
    checks_hashed: int = 0
    """Checks under way that compared a running hash of the payload, beside the final ones."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """Bytes confirmed to the senders and not yet delivered, from first connect() to last byte."""

    max_bytes: int
    mean_bytes: float
    """Over time."""
    times_s: tuple[float, ...]
    """Ends of equal slots, after the first connect()."""
    bytes: tuple[int, ...]
    """The most in each slot."""


@dataclass(frozen=True, slots=True)
class CustodyFigures:
    """What custody did, over all flows."""

    attempts: int
    """Connections that senders began."""
    replayed_bytes: int
    """Sent again by any node."""
    duplicate_bytes: int
    """Came to receivers again, and were passed over."""
    retained_bytes_max: int
    """Most of one flow that was taken from its source and not delivered."""


@dataclass(frozen=True, slots=True)
class FsuFigures:
    """What the FSUs on the way predicted of the data, and what they knew of its RTT."""

    mase: float | None
    """Sum of absolute errors over that of "as in the last interval"; below 1 is better. None: the
    last value was always exact."""
    error_share: float
    """Sum of absolute errors over the bytes that came."""
    predictions: int
    halves: int
    """Directions of flows at an FSU, behind these figures."""
    interval_s: float
    """Of one prediction."""
    rtt_error_share: float | None
    """Worst |least RTT by the FSU / by TCP - 1| where a connection begins; None: not comparable."""
    rtt_connections: int
    """Compared, those that took the same way as one."""


@dataclass(frozen=True, slots=True)
class BurstScale:
    """What was counted in consecutive blocks of one length."""

    time_s: float
    dispersion_packets: float
    """Index of dispersion for counts: variance / mean of the bytes in a block, in packets of the
    link's MTU."""
    variation: float
    """Coefficient of variation of the bytes in a block."""
    peak_to_mean: float
    """Most in any window of that length, over the mean."""
    blocks: int


@dataclass(frozen=True, slots=True)
class BurstPoint:
    """How bursty the traffic is at one place of path 0."""

    queues: int
    """Queues passed since the sender: 0 is what the sender offers to the first link."""
    place: str
    """`offered by NODE`, or `behind A->B`."""
    mean_bps: float
    """Layer 2, in the window."""
    burst_bytes: float
    """Empirical burst b* at that mean rate."""
    scales: tuple[BurstScale, ...]
    queue_delay_s: Percentiles | None
    """Of the queue just passed, over all bytes; None: none was passed, or it dropped packets, so
    that it cannot be told which bytes waited."""
    queue_delay_mean_s: float | None
    queue_dropped: int
    """Packets, by the queue just passed, in the whole run."""
    loss_dropped: int
    """Packets, by planned loss behind that queue."""


@dataclass(frozen=True, slots=True)
class Burstiness:
    """Burstiness at every hop of path 0, sender to receiver."""

    bin_s: float
    window_s: float
    """Judged: the middle of the sender's sending time, at every hop when that traffic came by."""
    points: tuple[BurstPoint, ...]


@dataclass(frozen=True, slots=True)
class RunMetrics:
    """Every figure of one run (design: section 9)."""

    goodput_bps: float | None
    steady_goodput_bps: float | None
    confirmed_bps: float | None
    confirm_latency_s: Percentiles | None
    delivered_latency_s: Percentiles | None
    latency_resolution_s: float | None
    """Sampling grid of the counters behind the two latencies: their error is of this size."""
    time_to_first_byte_s: float | None
    completion_s: float | None
    flow_completion_s: Percentiles | None
    """Over the flows; None for a single one."""
    bytes_sent: int
    bytes_delivered: int
    sha256_ok: bool | None
    retransmitted_bytes: int | None
    """None where nothing is known of packets (flow engine)."""
    exposure_bytes_max: int | None
    requested: Requested
    achieved: Achieved
    theory: Theory
    wires: tuple[WireFigures, ...]
    startup_s: float | None = None
    """First connect() to the first round trip delivered at 90 % of the steady rate."""
    delivered_after_s: Mapping[str, float | None] | None = None
    """First connect() until the receiver's application had so much; by size, None for what never
    came. None for several flows: `flow_completion_s` says when they ended."""
    starts: tuple[str, ...] = ()
    """What the start windows of arm `fsu` rested on: `cold`, `remembered`, `managed`."""
    lead_time_s: LeadTime | None = None
    control_bytes_per_data_byte: float | None = None
    """Bytes of the control band of all wires, both ways, TCP and all, per delivered byte."""
    sync: SyncFigures | None = None
    exposure: Exposure | None = None
    """None without local confirmation, or if the sender that counted it died."""
    custody: CustodyFigures | None = None
    """None in runs without custody."""
    fsu: FsuFigures | None = None
    """None where no FSU predicted any data: in simulation, without XDP, in very short runs."""
    burstiness: Burstiness | None = None
    """None in runs that were not asked for it, or too short for it."""
