"""What is watched while a run is going on: queues, processor time, memory."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from sentinel_bpf.netns import run_in_netns
from sentinel_sim.backends.base import RatePeriod
from sentinel_sim.wire.names import NAMESPACE_DIRECTORY, WireNames
from sentinel_sim.wire.qdisc_stats import WireQdiscReader
from sentinel_sim.wire.rate import QueueSample, RateCounters, drain_rate_bps
from sentinel_sim.wire.wire import SIDES

SAMPLING_INTERVAL_S = 0.1
SHORTEST_BACKLOG_NS = 500_000_000
SAMPLE_UNSURE_NS = 4_000_000
"""A reading that took longer was interrupted: nobody knows of which moment it tells."""
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class QueueTrace:
    """(time_ns, bytes sent, backlog bytes) of one direction's rate stage, and its last state."""

    samples: list[QueueSample] = field(default_factory=list)
    last: RateCounters | None = None

    def backlogged_bps(self, rate_bps: int) -> float | None:
        """Drain rate while the queue cannot have been empty; None if that never lasted."""
        floor_bytes = int(rate_bps * SAMPLING_INTERVAL_S / 8)
        return drain_rate_bps(self.samples, floor_bytes, SHORTEST_BACKLOG_NS)

    def periods(
        self, rate_bps: int, changes: Sequence[tuple[int, int, int]]
    ) -> tuple[RatePeriod, ...]:
        """The same, for each rate that the link had: `changes` are (begun_ns, done_ns, rate_bps).

        Empty if it had `rate_bps` all the time.
        """
        if not changes:
            return ()
        starts = [(0, rate_bps), *((done_ns, rate) for _, done_ns, rate in changes)]
        ends = [*(begun_ns for begun_ns, _, _ in changes), math.inf]
        found = []
        for (start_ns, rate), end_ns in zip(starts, ends, strict=True):
            inside = [one for one in self.samples if start_ns <= one.time_ns <= end_ns]
            part = QueueTrace(inside)
            found.append(RatePeriod(rate, part.backlogged_bps(rate)))
        return tuple(found)


class QueueSampler:
    """Samples the rate stages of all wires, each from a thread inside the wire's namespace."""

    def __init__(self, wires: dict[str, WireNames]) -> None:
        self.traces: dict[tuple[str, str], QueueTrace] = {
            (link, side): QueueTrace() for link in wires for side in SIDES
        }
        self._stop = threading.Event()
        self._errors: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._enter, args=item, name=f"queue-sampler {item[0]}")
            for item in wires.items()
        ]

    def __enter__(self) -> QueueSampler:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._errors and exc[0] is None:
            raise self._errors[0]

    def _enter(self, link: str, names: WireNames) -> None:
        try:
            run_in_netns(NAMESPACE_DIRECTORY / names.namespace, lambda: self._work(link, names))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that joins
            self._errors.append(error)

    def _work(self, link: str, names: WireNames) -> None:
        with closing(WireQdiscReader(names)) as reader:
            while not self._stop.wait(SAMPLING_INTERVAL_S):
                self._sample(link, reader)
            self._sample(link, reader)

    def _sample(self, link: str, reader: WireQdiscReader) -> None:
        reading = reader.read()
        for side, value in reading.counters.items():
            trace = self.traces[link, side]
            trace.last = value
            trace.samples.append(
                QueueSample(
                    (reading.asked_ns + reading.answered_ns) // 2,
                    value.bytes_sent,
                    value.backlog_bytes,
                    sure=reading.answered_ns - reading.asked_ns <= SAMPLE_UNSURE_NS,
                )
            )


def process_cpu_s(pid: int) -> float:
    """User and system time of a process and its threads, in seconds (proc(5))."""
    text = Path(f"/proc/{pid}/stat").read_text()
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def host_cpu_s() -> dict[str, float]:
    """Seconds since boot that all processors spent, by kind (proc(5), /proc/stat)."""
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    with Path("/proc/stat").open() as lines:
        values = lines.readline().split()[1:9]
    return {name: int(value) / CLOCK_TICKS for name, value in zip(names, values, strict=True)}


@dataclass
class CpuMeter:
    """Shares of processor time between two moments, by process."""

    pids: dict[str, int]

    def __post_init__(self) -> None:
        self._started_ns = time.monotonic_ns()
        self._host = host_cpu_s()
        self._processes = {name: process_cpu_s(pid) for name, pid in self.pids.items()}

    def read(self) -> dict[str, object]:
        """Shares since the meter was made: of one CPU by process, of all CPUs by kind."""
        seconds = (time.monotonic_ns() - self._started_ns) / 1e9
        cpus = os.cpu_count() or 1
        host = host_cpu_s()
        by_process = {
            name: round((process_cpu_s(pid) - self._processes[name]) / seconds, 4)
            for name, pid in self.pids.items()
            if Path(f"/proc/{pid}/stat").exists()
        }
        share = {kind: round((host[kind] - self._host[kind]) / seconds / cpus, 4) for kind in host}
        return {
            "by_process": by_process,
            "softirq_share": share["softirq"],
            "idle_share": share["idle"],
            "steal_share": share["steal"],
            "system_share": share["system"],
            "user_share": share["user"],
            "cpus": cpus,
            "seconds": round(seconds, 3),
        }
