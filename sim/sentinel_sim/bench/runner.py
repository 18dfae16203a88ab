"""The whole benchmark: every step of the schedule, in order, written down as it goes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sentinel_bpf import model, syscalls
from sentinel_bpf.bench_programs import EgressCounter
from sentinel_bpf.errors import BpfError, BpfUnavailableError
from sentinel_bpf.loader import CompiledSource
from sentinel_sim.bench import agreement
from sentinel_sim.bench.box import Box, choose_cpus
from sentinel_sim.bench.costs import Sweeper, costs_of
from sentinel_sim.bench.lanes import FORWARD, Lane, Variant
from sentinel_sim.bench.live import measure_live
from sentinel_sim.bench.placing import Sources, in_place
from sentinel_sim.bench.result import Records, Result, build, write_bench
from sentinel_sim.bench.schedule import Kind, Settings, Step, equal_rate, steps_of
from sentinel_sim.bench.trials import check_flows, run_trial, search_throughput
from sentinel_sim.errors import EmulationError, MissingCapabilityError
from sentinel_sim.host.ownership import Ownership
from sentinel_sim.plan.seeds import derive

CEILING_PPS = {True: 2_000_000.0, False: 400_000.0}
"""First rate of a search, by whether the lane is in the kernel: more than this machine can send."""
FLOOR_PPS = 100.0
GENERATOR_PACKETS = 300_000
AGREEMENT_PACKETS, AGREEMENT_FLOWS = 600, 40
_SEED_BITS = 2**31


class Observer(Protocol):
    """Is told how the run goes."""

    def opened(self, directory: Path) -> None:
        """Results go there."""

    def began(self, step: Step, number: int, steps: list[Step]) -> None:
        """Step `number` of `steps` begins."""


@dataclass(frozen=True)
class Bench:
    """What is to be done, and where it is written."""

    settings: Settings
    environment: Mapping[str, Any]
    directory: Path
    observer: Observer


def run(bench: Bench) -> Result:
    """Measure everything. Raises KeyboardInterrupt after writing what there is."""
    try:
        return _run(bench)
    except BpfUnavailableError as error:
        raise MissingCapabilityError(str(error), cure=error.cure or "make setup") from error
    except BpfError as error:
        raise EmulationError(str(error)) from error


def _run(bench: Bench) -> Result:
    cpus = choose_cpus()
    bench.observer.opened(bench.directory)
    with ExitStack() as stack:
        # bcc compiles before anything else runs: it changes the working directory meanwhile.
        clocked = agreement.sources()
        for source, _ in clocked.values():
            stack.callback(source.close)
        sources = Sources()
        stack.callback(sources.close)
        stack.enter_context(_pinned(cpus.generator))
        egress = EgressCounter(sources.bench)
        stack.callback(egress.close)
        ownership = stack.enter_context(Ownership.create())
        box = stack.enter_context(Box(ownership, egress, cpus))
        work = Measuring(bench, box, sources, clocked)
        return work.run()


@contextmanager
def _pinned(cpu: int) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Measuring:
    """Does the steps, keeps what they gave."""

    def __init__(
        self,
        bench: Bench,
        box: Box,
        sources: Sources,
        clocked: Mapping[Lane, tuple[CompiledSource, str]],
    ) -> None:
        self._bench = bench
        self._settings = bench.settings
        self._box = box
        self._sources = sources
        self._clocked = clocked
        self._records = Records()
        self._sweeper = Sweeper()
        self._equal_pps = bench.settings.equal_pps
        self._do: dict[Kind, Callable[[Step], None]] = {
            Kind.AGREEMENT: self._agreement,
            Kind.COST: self._cost,
            Kind.COLD: self._cold,
            Kind.LIVE: self._live,
            Kind.GENERATOR: self._generator,
            Kind.THROUGHPUT: self._throughput,
            Kind.TRIAL: self._trial,
            Kind.SOFTIRQ: self._softirq,
            Kind.FLOWS: self._flows,
        }

    def run(self) -> Result:
        """Every step; what is there is written even if one of them is interrupted."""
        steps = steps_of(self._settings)
        complete, last = False, None
        try:
            for number, step in enumerate(steps):
                if step.kind is not last:
                    self._save(complete=False)
                last = step.kind
                self._bench.observer.began(step, number, steps)
                began_s = time.monotonic()
                self._do[step.kind](step)
                spent_s = self._records.seconds.get(step.kind, 0.0) + time.monotonic() - began_s
                self._records.seconds[step.kind] = round(spent_s, 3)
            complete = True
        finally:
            result = self._save(complete=complete)
        return result

    def _save(self, *, complete: bool) -> Result:
        environment = {
            **self._bench.environment,
            "cpus": {"generator": self._box.cpus.generator, "box": self._box.cpus.box},
            "awake": self._box.awake,
            "network_version": model.active_version(self._sources.fsu_xdp.map_fd(model.MAP)),
            "programs": {
                name: {
                    "verified_instructions": one.verified_instructions,
                    "translated_instructions": one.translated_instructions,
                    "jited_bytes": one.jited_bytes,
                }
                for name, programs in (("xdp", self._sources.fsu_xdp), ("tc", self._sources.fsu_tc))
                for one in programs.stats()
            },
        }
        result = build(
            self._settings, self._equal_pps, environment, self._records, complete=complete
        )
        write_bench(self._bench.directory, result)
        return result

    def _seed(self, step: Step) -> int:
        # The same for all variants of a step: they get the same packets in the same order.
        return (
            derive(self._settings.seed, step.kind, step.flows, step.number, step.half) % _SEED_BITS
        )

    def _agreement(self, step: Step) -> None:
        for lane, (source, program) in self._clocked.items():
            done = agreement.compare(
                lane,
                source,
                program,
                packets=AGREEMENT_PACKETS,
                flows=AGREEMENT_FLOWS,
                seed=self._seed(step),
            )
            self._records.agreement.append(done.as_json())

    def _cost(self, step: Step) -> None:
        lane = _lane_of(step.variant)
        packets = self._settings.cost_packets
        if not step.variant.in_kernel:
            packets = self._settings.python_packets
        measuring = costs_of(self._sources, lane)
        try:
            with _pinned(self._box.cpus.box):
                done = measuring.hot(
                    step.flows,
                    samples=self._settings.cost_samples,
                    packets=packets,
                    seed=self._seed(step),
                )
        finally:
            measuring.close()
        self._records.costs.append(done.as_json())

    def _cold(self, step: Step) -> None:
        measuring = costs_of(self._sources, _lane_of(step.variant))
        try:
            with _pinned(self._box.cpus.box):
                done = measuring.cold(samples=self._settings.cold_samples, sweeper=self._sweeper)
        finally:
            measuring.close()
        self._records.costs.append(done.as_json())

    def _live(self, step: Step) -> None:
        found = measure_live(
            self._box,
            self._sources,
            flows=step.flows,
            packets=self._settings.live_packets,
            samples=self._settings.live_samples,
        )
        self._records.live.extend(one.as_json() for one in found)

    def _generator(self, step: Step) -> None:
        """Flat out, whatever becomes of the packets: what the generator itself can make."""
        with in_place(self._box, self._sources, FORWARD):
            self._box.generator.use(self._box.frame(to_box=False))
            sent = self._box.generator.send(GENERATOR_PACKETS, 0, 1, self._seed(step))
        self._records.generator.append(
            {"packets": sent.packets, "pps": sent.pps, "refused": sent.refused}
        )

    def _throughput(self, step: Step) -> None:
        with in_place(self._box, self._sources, step.variant) as lane:
            found = search_throughput(
                self._box,
                lane,
                flows=step.flows,
                ceiling_pps=CEILING_PPS[step.variant.in_kernel],
                floor_pps=FLOOR_PPS,
                resolution=self._settings.resolution,
                seconds=self._settings.search_trial_s,
                seed=self._seed(step),
            )
        self._records.throughput.append(
            {
                "variant": step.variant.name,
                "flows": step.flows,
                "pass": step.number,
                "pps": found.pps,
                "bound_by": found.bound_by,
                "resolution": found.resolution,
                "probes": [_probe(one) for one in found.probes],
            }
        )

    def _rate(self) -> int:
        if self._equal_pps is None:
            self._equal_pps = equal_rate(min(one["pps"] for one in self._records.throughput))
        return self._equal_pps

    def _trial(self, step: Step, placement: str = "thread") -> None:
        with in_place(self._box, self._sources, step.variant) as lane:
            done = run_trial(
                self._box,
                lane,
                step.variant,
                flows=step.flows,
                pps=self._rate(),
                seconds=self._settings.trial_s,
                place=(step.number, step.half, placement),
                seed=self._seed(step),
            )
        self._records.trials.append(done.as_json())

    def _softirq(self, step: Step) -> None:
        self._box.set_threaded(False)
        try:
            self._trial(step, "softirq")
        finally:
            self._box.set_threaded(True)

    def _flows(self, step: Step) -> None:
        with _program_statistics(), in_place(self._box, self._sources, step.variant) as lane:
            done = check_flows(
                self._box,
                lane,
                step.variant,
                flows=step.flows,
                pps=self._rate(),
                packets=self._settings.check_packets,
                seed=self._seed(step),
            )
        self._records.flow_checks.append(done.as_json())


def _lane_of(variant: Variant) -> Lane:
    if variant.lane is None:
        raise ValueError("plain forwarding has no program to cost")
    return variant.lane


def _probe(one: Any) -> dict[str, object]:  # noqa: ANN401
    return {
        "asked_pps": one.asked_pps,
        "achieved_pps": one.achieved_pps,
        "sent": one.sent,
        "lost": one.lost,
        "drain_ns": one.drain_ns,
        "sustained": one.sustained,
    }


@contextmanager
def _program_statistics() -> Iterator[None]:
    """The kernel's run-time statistics of programs, while this lasts: no sysctl is changed."""
    descriptor = syscalls.enable_stats()
    try:
        yield
    finally:
        os.close(descriptor)
