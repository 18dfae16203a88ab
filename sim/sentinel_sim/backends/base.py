"""The contract between the experiment and whatever executes its runs.

A backend returns raw measurements only. What they mean (goodput, steady state, validity) is
computed by `sentinel_sim.experiment` from these, by pure functions, so that every number in a
result can be computed again from the raw log. All `*_ns` times of one run are on one clock
(CLOCK_MONOTONIC of the host for the emulated backend).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from sentinel_sim.faults.events import FaultEvent, RepairEvent, Resumption
from sentinel_sim.plan.model import RunSpec
from sentinel_sim.topology.model import Topology


@dataclass(frozen=True, slots=True)
class Series:
    """A cumulative counter over time: `values[i]` was reached at `times_ns[i]`."""

    times_ns: tuple[int, ...] = ()
    values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CustodyMeasurement:
    """What custody adds to a flow, by its two ends."""

    attempts: int
    """Connections that the sender began."""
    duplicate_bytes: int
    """Came to the receiver again, and were passed over."""
    retained_bytes_max: int
    """Most that was taken from the source and not delivered."""


@dataclass(frozen=True, slots=True)
class FlowMeasurement:
    """One application flow, as its two ends saw it."""

    flow_id: int
    path: int
    start_ns: int
    """When the sender called connect()."""
    first_write_ns: int
    first_byte_ns: int | None
    """When the receiver's application had the first payload byte; None: never."""
    last_byte_ns: int | None
    """When the receiver's application had the last payload byte; None: never."""
    send_end_ns: int | None
    """When the sender's last write() returned; None: never."""
    bytes_sent: int
    bytes_delivered: int
    """Payload bytes read by the receiving application, framing excluded."""
    sha256_ok: bool | None
    """None if the flow never completed; False if the digests differ."""
    sent: Series
    """Payload bytes handed to the sender's socket."""
    delivered: Series
    """Payload bytes read by the receiver."""
    confirmed: Series
    """Bytes that the sender's TCP peer acknowledged (tcpi_bytes_acked); empty if not sampled. In
    custody: those that the next custodian answers for, by its own word."""
    retransmitted_bytes: dict[str, int]
    """By TCP connection (`sender->node`): tcpi_bytes_retrans at its end."""
    tcp_info: tuple[dict[str, Any], ...] = ()
    """Samples: {"connection", "t_ns", "rtt_us", "min_rtt_us", "snd_cwnd", ...}."""
    error: str | None = None
    payload_carried: bool = True
    """False: bytes were only counted (simulation), so there is nothing to hash; `sha256_ok` is None
    then also for a flow that completed."""
    custody: CustodyMeasurement | None = None
    """None: the flow was not in custody."""

    @property
    def intact(self) -> bool:
        """All that was sent was delivered, and verified where there was payload to verify."""
        if self.payload_carried:
            return self.sha256_ok is True
        complete = self.error is None and self.last_byte_ns is not None
        return complete and self.bytes_delivered == self.bytes_sent


@dataclass(frozen=True, slots=True)
class LossPeriod:
    """While one direction of a link had one loss; wire packets."""

    probability: float
    seen: int
    dropped: int


@dataclass(frozen=True, slots=True)
class RatePeriod:
    """While one direction of a link had one rate."""

    rate_bps: int
    backlogged_bps: float | None
    """Drain rate while the queue was never empty; None: never backlogged long enough."""


@dataclass(frozen=True, slots=True)
class WireMeasurement:
    """One direction of one wire during one run; packets are wire packets (GSO counted apart)."""

    link: str
    direction: str
    """`a->b` with the node names."""
    delay_requested_ns: int
    base_cost_ns: int
    """Calibrated cost subtracted from the delay that was configured."""
    lateness_ns: tuple[int, ...]
    """Sampled transits by independent stamps at the wire's ends, minus the request; sorted."""
    lateness_samples_total: int
    packets_in: int
    """Entered the loss + delay stage."""
    packets_out: int
    """Left it."""
    loss_seen: int
    loss_dropped: int
    """By the seeded loss stage, on purpose."""
    queue_dropped: int
    """Overflow of the rate stage's finite queue: a drop the experiment asked for."""
    drops_unplanned: dict[str, int]
    """By cause; any above zero makes the run invalid."""
    rate_bytes_sent: int
    """By the rate stage, layer 2 bytes without preamble, FCS and gap."""
    rate_backlogged_bps: float | None
    """Drain rate while the queue was never empty; None: never backlogged long enough."""
    control_bytes: int = 0
    cut_dropped: int = 0
    """Refused in front of the wire because a fault had cut it; in no other count."""
    corrupted: int = 0
    """Control packets in which a fault turned a bit."""
    loss_periods: tuple[LossPeriod, ...] = ()
    """If a fault changed the loss; else it was the link's own all the time."""
    rate_periods: tuple[RatePeriod, ...] = ()
    """If a fault changed the rate; else it was the link's own all the time."""


@dataclass(frozen=True, slots=True)
class LinkBins:
    """What passed one direction of a link, in consecutive bins of equal length; layer 2 bytes."""

    link: str
    direction: str
    """`a->b` with the node names."""
    start_ns: int
    """Beginning of the first bin."""
    bin_ns: int
    offered: tuple[int, ...]
    """Bytes that came to the link's queue; in simulation those that it took."""
    departed: tuple[int, ...]
    """Bytes that left the rate stage; in simulation with, in emulation without what planned loss
    takes right behind it."""


class Engine(StrEnum):
    """What moved the bytes of a run."""

    KERNEL = "kernel"
    PACKET = "packet"
    """Every packet, in virtual time: nothing can be late there."""
    FLOW = "flow"
    """Rates only: no packet, so no probe, no queue and no loss is counted."""


@dataclass(frozen=True, slots=True)
class RunMeasurement:
    """Everything one run gave, before any judgement."""

    started_utc: str
    traffic_start_ns: int
    traffic_end_ns: int
    rtt_idle_ns: tuple[int, ...]
    """Probes over path 0 before the traffic; every sample."""
    rtt_loaded_ns: tuple[int, ...]
    flows: tuple[FlowMeasurement, ...]
    wires: tuple[WireMeasurement, ...]
    fsu: dict[str, Any]
    """Per node: the flow records read from `flow_metrics_map`, and its counters."""
    cpu: dict[str, Any]
    """{"by_process": {name: share of one CPU}, "softirq_share", "idle_share", ...}."""
    rss_bytes_max: dict[str, int]
    """Peak resident memory during the run, by node daemon."""
    offloads: dict[str, Any]
    notes: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    faults: tuple[FaultEvent, ...] = ()
    """What was injected, in the order of the plan."""
    repairs: tuple[RepairEvent, ...] = ()
    """What the supervisor saw and did, in the order in which it ended."""
    resumptions: tuple[Resumption, ...] = ()
    """When flows in custody went on over another connection, by time."""
    engine: Engine = Engine.KERNEL
    bins: tuple[LinkBins, ...] = ()
    """Along path 0, sender to receiver; empty if the run was not asked for burstiness."""


ProgressHook = Callable[[str, float], None]
"""Called with a phase name and seconds of traffic done; must be cheap and must not raise."""


class Backend(Protocol):
    """Executes runs of one topology. Used as an async context manager around all runs."""

    name: str
    """`emulated` or `simulated`."""

    async def __aenter__(self) -> Backend: ...

    async def __aexit__(self, *exc: object) -> None: ...

    def environment(self) -> dict[str, Any]:
        """What the result must record: kernel, wire_backend, offloads, versions, cpu ..."""
        ...

    async def run(self, spec: RunSpec, progress: ProgressHook) -> RunMeasurement:
        """Execute one run. Raises EmulationError if it could not be carried out."""
        ...


BackendFactory = Callable[[Topology, str], Backend]
"""(topology, experiment run id) -> backend."""
