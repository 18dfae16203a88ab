"""One trial: send through the lane in place, wait until all is through, read every meter."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sentinel_bpf.bench_programs import DELAYS_MAX
from sentinel_sim.bench.box import Box
from sentinel_sim.bench.estimates import quantile
from sentinel_sim.bench.generator import Sent
from sentinel_sim.bench.lanes import Variant, Work
from sentinel_sim.bench.meter import Meter, Usage
from sentinel_sim.bench.placing import Seen
from sentinel_sim.bench.search import KEPT_UP_SHARE, Probe, Throughput, ThroughputSearch
from sentinel_sim.bench.walk import packets_by_port

QUIET_NS = 100_000_000
"""After so long without a packet at the way out none is expected any more."""
LONGEST_DRAIN_NS = 3_000_000_000
WARM_UP_ROUNDS, WARM_UP_PPS = 3, 200_000
CHECK_ATTEMPTS = 3
_LOOK_S = 0.001


@dataclass(frozen=True, slots=True)
class Trial:
    """One variant at one rate; delays are one way, from sending to the way out of the box."""

    variant: str
    flows: int
    block: int
    """Trials of the same block and half were made one after the other: they are pairs."""
    half: int
    placement: str
    """Who polls the box's first interface: `thread` or `softirq`."""
    rate_pps: float
    sent: int
    received: int
    observed: int | None
    """Packets in the lane's own flow metrics; None where nothing observes."""
    generator_kept_up: bool
    delay_p50_ns: int | None
    delay_p99_ns: int | None
    cpu_share: float
    cpu_by_task: dict[str, float]
    cpu_ns_per_packet: float
    voluntary_per_s: float
    involuntary_per_s: float
    host_switches_per_s: float

    @property
    def sound(self) -> bool:
        """Nothing lost, every packet observed that should be, and the generator kept its pace."""
        complete = self.received == self.sent and self.observed in (None, self.sent)
        return complete and self.generator_kept_up

    def as_json(self) -> dict[str, object]:
        """For the result file."""
        return {**dataclasses.asdict(self), "sound": self.sound}


@dataclass(frozen=True, slots=True)
class Passage:
    """What went in and came out."""

    sent: Sent
    received: int
    drain_ns: int
    usage: Usage


def pass_through(
    box: Box, lane: Seen, *, packets: int, pps: float, flows: int, seed: int
) -> Passage:
    """Send, and wait until the last is through or nothing comes any more."""
    box.generator.use(box.frame(to_box=lane.to_box()))
    lane.reset()
    box.egress.reset()
    meter = Meter(lane.pids())
    sent = box.generator.send(packets, pps, flows, seed)
    ended_ns = time.monotonic_ns()
    received, last_ns = _drain(box, sent.packets, ended_ns)
    return Passage(sent, received, max(0, last_ns - ended_ns), meter.usage())


def _drain(box: Box, expected: int, ended_ns: int) -> tuple[int, int]:
    """(packets, time of the last) once all came, or none did for QUIET_NS."""
    waiting = threading.Event()
    egress = box.egress.read()
    while egress.packets < expected:
        now_ns = time.monotonic_ns()
        if now_ns - max(ended_ns, egress.last_ns) > QUIET_NS:
            break
        if now_ns - ended_ns > LONGEST_DRAIN_NS:
            break
        waiting.wait(_LOOK_S)
        egress = box.egress.read()
    return egress.packets, egress.last_ns


def run_trial(
    box: Box,
    lane: Seen,
    variant: Variant,
    *,
    flows: int,
    pps: float,
    seconds: float,
    place: tuple[int, int, str],
    seed: int,
) -> Trial:
    """A trial at a given rate; `place` is (block, half, placement)."""
    passage = pass_through(
        box, lane, packets=max(1, round(pps * seconds)), pps=pps, flows=flows, seed=seed
    )
    raw = box.egress.delays_bytes(passage.received)
    delays = sorted(int(value) for value in np.frombuffer(raw, dtype=np.uint64))
    usage = passage.usage
    block, half, placement = place
    return Trial(
        variant=variant.name,
        flows=flows,
        block=block,
        half=half,
        placement=placement,
        rate_pps=pps,
        sent=passage.sent.packets,
        received=passage.received,
        observed=lane.packets(),
        generator_kept_up=passage.sent.pps >= KEPT_UP_SHARE * pps,
        delay_p50_ns=int(quantile(delays, 0.5)) if delays else None,
        delay_p99_ns=int(quantile(delays, 0.99)) if delays else None,
        cpu_share=sum(usage.cpu_share.values()),
        cpu_by_task={name: round(share, 5) for name, share in usage.cpu_share.items()},
        cpu_ns_per_packet=usage.cpu_ns / max(1, passage.sent.packets),
        voluntary_per_s=usage.voluntary_per_s,
        involuntary_per_s=usage.involuntary_per_s,
        host_switches_per_s=usage.host_switches_per_s,
    )


def search_throughput(
    box: Box,
    lane: Seen,
    *,
    flows: int,
    ceiling_pps: float,
    floor_pps: float,
    resolution: float,
    seconds: float,
    seed: int,
) -> Throughput:
    """Packets per second at zero loss through the lane in place."""
    search = ThroughputSearch(ceiling_pps, floor_pps, resolution)
    while (pps := search.next_rate_pps()) is not None:
        packets = max(DELAYS_MAX // 64, round(pps * seconds))
        passage = pass_through(box, lane, packets=packets, pps=pps, flows=flows, seed=seed)
        search.record(
            Probe(
                asked_pps=pps,
                achieved_pps=passage.sent.pps,
                sent=passage.sent.packets,
                received=passage.received,
                drain_ns=passage.drain_ns,
                duration_ns=passage.sent.elapsed_ns,
            )
        )
    return search.result()


@dataclass(frozen=True, slots=True)
class FlowCheck:
    """Whether a lane counted every flow's packets as the generator sent them."""

    variant: str
    flows: int
    packets: int
    received: int
    """Packets that came out of the box; fewer than `packets`: the host lost some."""
    flows_sent: int
    flows_right: int | None
    """None where nothing observes (an empty program, timed for comparison)."""
    program_ns: float | None
    """Mean ns of the program in place (the kernel's own statistics); None: no program."""
    attempts: int = 1

    @property
    def agrees(self) -> bool:
        """Every flow, to the packet."""
        return self.flows_right in (None, self.flows_sent)

    def as_json(self) -> dict[str, object]:
        """For the result file."""
        return {**dataclasses.asdict(self), "agrees": self.agrees}


def check_flows(
    box: Box, lane: Seen, variant: Variant, *, flows: int, pps: float, packets: int, seed: int
) -> FlowCheck:
    """Send a known walk, compare the lane's own per-flow counts with it.

    Kernel lanes see the flows before, so that the program's mean time is that of known flows. A
    walk of which the host lost packets on the way says nothing about the lane: it is sent again.
    """
    for attempt in range(1, CHECK_ATTEMPTS + 1):
        check = _check_flows_once(box, lane, variant, flows, pps, packets, seed)
        if check.agrees or check.received == packets or attempt == CHECK_ATTEMPTS:
            break
    return dataclasses.replace(check, attempts=attempt)


def _check_flows_once(
    box: Box, lane: Seen, variant: Variant, flows: int, pps: float, packets: int, seed: int
) -> FlowCheck:
    box.generator.use(box.frame(to_box=lane.to_box()))
    if variant.in_kernel:
        box.egress.reset()
        box.generator.send(WARM_UP_ROUNDS * flows, WARM_UP_PPS, flows, seed)
        # Until the last has left: one that is still queued would count as one of the walk.
        _drain(box, WARM_UP_ROUNDS * flows, time.monotonic_ns())
    lane.reset()
    before = lane.packets_by_port()
    ran_before = lane.program_run()
    box.egress.reset()
    box.generator.send(packets, pps, flows, seed)
    received, _ = _drain(box, packets, time.monotonic_ns())
    ran = lane.program_run()
    after = lane.packets_by_port()
    truth = packets_by_port(packets, flows, seed)
    right = None
    if variant.lane is not None and variant.work is Work.FULL:
        right = flows_right(truth, before, after)
    cost = None
    if ran is not None and ran_before is not None and ran[1] > ran_before[1]:
        cost = (ran[0] - ran_before[0]) / (ran[1] - ran_before[1])
    return FlowCheck(variant.name, flows, packets, received, len(truth), right, cost)


def flows_right(
    truth: Mapping[int, int], before: Mapping[int, int], after: Mapping[int, int]
) -> int:
    """Flows that grew by what was sent, less those that grew although nothing was (pure)."""
    right = sum(after.get(port, 0) - before.get(port, 0) == n for port, n in truth.items())
    return right - sum(after[port] != before.get(port, 0) for port in after.keys() - truth.keys())
