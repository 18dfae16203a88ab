"""Builders and a deterministic backend for tests of the experiment, the reports and the CLI.

The fake network: every flow sends at `rate_bps` from its start, bytes arrive one propagation
delay later, and in `split` they are confirmed after a quarter of the RTT.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from sentinel_sim.backends.base import (
    FlowMeasurement,
    ProgressHook,
    RunMeasurement,
    Series,
    WireMeasurement,
)
from sentinel_sim.errors import SimulationError
from sentinel_sim.experiment.pool import Finished
from sentinel_sim.experiment.rawlog import encoded, raw_run
from sentinel_sim.experiment.records import record_of
from sentinel_sim.plan.expand import expand
from sentinel_sim.plan.model import (
    Arm,
    FlowPlan,
    LinkPlan,
    OuterEnd,
    PathPlan,
    Role,
    RunSpec,
    WorkloadKind,
)
from sentinel_sim.plan.plan import Plan
from sentinel_sim.topology.reader import loads

MS = 1_000_000
SECOND = 1_000_000_000
ORIGIN = 5_000 * SECOND
GRID = 10 * MS


def link(name: str = "a--m", **changes: object) -> LinkPlan:
    a, b = name.split("--")
    given = LinkPlan(
        name=name,
        a=a,
        b=b,
        distance_km=1000.0,
        delay_one_way_ns=5 * MS,
        rate_bps=100_000_000,
        queue_bytes=250_000,
        loss=0.0,
        jitter_ns=0,
        reorder=False,
        mtu=1500,
    )
    return dataclasses.replace(given, **changes)  # type: ignore[arg-type]


def spec(
    arm: Arm = Arm.DIRECT,
    *,
    key: str | None = None,
    links: tuple[LinkPlan, ...] | None = None,
    repeat: int = 1,
    distance_km: float | None = 2000.0,
    duration_ns: int | None = 4 * SECOND,
    size_bytes: int | None = None,
    params: Mapping[str, str | int | float] | None = None,
) -> RunSpec:
    """Sender a, intermediate m, receiver b; two links of 5 ms one way unless given."""
    links = links or (link("a--m"), link("m--b"))
    rtt = 2 * sum(one.delay_one_way_ns for one in links)
    kept = 1.0
    for one in links:
        kept *= 1 - one.loss
    rate = min(one.rate_bps for one in links)
    path = PathPlan(
        index=0,
        nodes=("a", "m", "b"),
        links=tuple(one.name for one in links),
        rtt_base_ns=rtt,
        rate_bps=rate,
        loss=1 - kept,
        bdp_bytes=rate * rtt // (8 * SECOND),
    )
    return RunSpec(
        key=key or f"{arm}-{distance_km}-r{repeat}",
        arm=arm,
        distance_km=distance_km,
        params=dict(params or {"congestion_control": "cubic"}),
        repeat=repeat,
        seed=17,
        congestion_control="cubic",
        window_bytes=None,
        workload=WorkloadKind.BULK if size_bytes is None else WorkloadKind.TRANSFER,
        flows=(FlowPlan(0, 0, 0, size_bytes, None if size_bytes else duration_ns),),
        paths=(path,),
        links=links,
        roles={"a": Role.SENDER, "m": Role.INTERMEDIATE, "b": Role.RECEIVER},
        control_band=True,
        xdp=True,
        fsu_outer=OuterEnd.OFF,
    )


def ramp(start_ns: int, total: int, duration_ns: int, step_ns: int = GRID) -> Series:
    """0 at `start_ns`, `total` after `duration_ns`, linear between."""
    steps = max(1, duration_ns // step_ns)
    times = tuple(start_ns + i * duration_ns // steps for i in range(steps + 1))
    return Series(times, tuple(total * i // steps for i in range(steps + 1)))


def flow(
    run: RunSpec, index: int = 0, *, goodput_bps: float = 80e6, **changes: object
) -> FlowMeasurement:
    """One flow at a constant rate, delivered exactly one propagation delay after its write."""
    plan = run.flows[index]
    half = run.paths[plan.path].rtt_base_ns // 2
    start = ORIGIN + plan.start_ns
    first_write = start + 2 * half
    if plan.size_bytes is None:
        sending = (plan.duration_ns or 0) - 2 * half
        total = int(goodput_bps * sending / (8 * SECOND))
    else:
        total = plan.size_bytes
        sending = int(total * 8 * SECOND / goodput_bps)
    given = FlowMeasurement(
        flow_id=plan.flow_id,
        path=plan.path,
        start_ns=start,
        first_write_ns=first_write,
        first_byte_ns=first_write + half,
        last_byte_ns=first_write + sending + half,
        send_end_ns=first_write + sending,
        bytes_sent=total,
        bytes_delivered=total,
        sha256_ok=True,
        sent=ramp(first_write, total, sending),
        delivered=ramp(first_write + half, total, sending),
        confirmed=ramp(first_write + half // 2, total, sending),
        retransmitted_bytes={"a->b": 0},
    )
    return dataclasses.replace(given, **changes)  # type: ignore[arg-type]


def wire(one: LinkPlan, *, forward: bool = True, **changes: object) -> WireMeasurement:
    """A wire that did what was asked of it."""
    a, b = (one.a, one.b) if forward else (one.b, one.a)
    seen = 100_000
    dropped = round(seen * one.loss)
    given = WireMeasurement(
        link=one.name,
        direction=f"{a}->{b}",
        delay_requested_ns=one.delay_one_way_ns,
        base_cost_ns=20_000,
        lateness_ns=tuple(range(0, 100_000, 100)),
        lateness_samples_total=1000,
        packets_in=seen,
        packets_out=seen - dropped,
        loss_seen=seen,
        loss_dropped=dropped,
        queue_dropped=0,
        drops_unplanned={},
        rate_bytes_sent=seen * 1514,
        rate_backlogged_bps=float(one.rate_bps) if forward else None,
    )
    return dataclasses.replace(given, **changes)  # type: ignore[arg-type]


def measurement(run: RunSpec, *, goodput_bps: float = 80e6, **changes: object) -> RunMeasurement:
    """A run that passes the gate."""
    flows = tuple(flow(run, i, goodput_bps=goodput_bps) for i in range(len(run.flows)))
    rtt = run.paths[0].rtt_base_ns
    wires = [wire(one, forward=way) for one in run.links for way in (True, False)]
    given = RunMeasurement(
        started_utc="2026-01-02T03:04:05Z",
        traffic_start_ns=ORIGIN,
        traffic_end_ns=max(f.last_byte_ns or 0 for f in flows),
        rtt_idle_ns=(rtt, rtt + 10_000, rtt + 20_000),
        rtt_loaded_ns=(rtt, 2 * rtt),
        flows=flows,
        wires=tuple(wires),
        fsu={},
        cpu={"softirq_share": 0.1},
        rss_bytes_max={"a": 1 << 20},
        offloads={"gro": True},
    )
    return dataclasses.replace(given, **changes)  # type: ignore[arg-type]


Behaviour = Callable[[RunSpec, int], RunMeasurement]
"""(spec, number of earlier attempts at this key) -> measurement, or raises."""


def obliging(run: RunSpec, attempt: int) -> RunMeasurement:
    """Every run succeeds, a little faster with every repeat."""
    return measurement(run, goodput_bps=80e6 + 1e5 * run.repeat)


class FakeBackend:
    """Answers every run at once; records what it was asked and whether it was torn down."""

    name = "emulated"

    def __init__(
        self, behave: Behaviour = obliging, *, environment: Mapping[str, Any] | None = None
    ) -> None:
        self._behave = behave
        self._environment = dict(environment or {"kernel": "6.1-fake", "wire_backend": "fake"})
        self._attempts: dict[str, int] = {}
        self.asked: list[str] = []
        self.entered = False
        self.exited = False

    async def __aenter__(self) -> FakeBackend:
        self.entered = True
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.exited = True

    def environment(self) -> dict[str, Any]:
        return dict(self._environment)

    async def run(self, run: RunSpec, progress: ProgressHook) -> RunMeasurement:
        attempt = self._attempts.get(run.key, 0)
        self._attempts[run.key] = attempt + 1
        self.asked.append(run.key)
        progress("traffic", 0.0)
        await asyncio.sleep(0)
        measured = self._behave(run, attempt)
        progress("traffic", run.expected_duration_ns / SECOND)
        return measured


class FakePool:
    """Gives the runs it is asked for backwards: workers end in any order."""

    def __init__(self, behave: Behaviour = obliging, *, dies_after: int | None = None) -> None:
        self._behave = behave
        self._left = dies_after
        self.asked: list[str] = []

    def describe(self) -> dict[str, Any]:
        return {"count": 2, "scheduler": None}

    async def make(self, specs: Sequence[RunSpec]) -> AsyncGenerator[Finished, None]:
        for run in reversed(specs):
            if self._left == 0:
                raise SimulationError("the workers died")
            self._left = None if self._left is None else self._left - 1
            self.asked.append(run.key)
            raw = raw_run(run, self._behave(run, 0))
            yield Finished(run.key, encoded(raw), record_of(raw))


SMALL_FILE = """\
name: small
nodes:
  a: {role: sender}
  m: {role: intermediate}
  b: {role: receiver}
links:
  - {endpoints: [a, m], rate: 100 Mbit/s, distance_km: 500}
  - {endpoints: [m, b], rate: 100 Mbit/s, distance_km: 500}
experiment:
  arms: [direct, split]
  workload: {kind: bulk, duration: 4 s}
  sweep: {distance_km: [100, 1000]}
  repeat: {min: 2, max: 4, until: ci95 < 5 %}
  seed: 7
"""


def small_plan(**flags: object) -> Plan:
    """2 arms x 2 distances, two to four repeats."""
    return expand(loads(SMALL_FILE, "small.yaml"), **flags)  # type: ignore[arg-type]
