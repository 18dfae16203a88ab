"""What the work itself costs, without an interface: BPF_PROG_TEST_RUN, and its like in Python.

Every figure is a list of paired samples, full and empty, taken A B B A so that a drift of the CPU's
clock falls on both. Hot: a long walk over the flows after a warm-up. Cold: one packet after the
caches were swept by reading and writing a buffer larger than the second-level cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from sentinel_bpf import test_run
from sentinel_bpf.bench_programs import WalkPrograms
from sentinel_bpf.compiled import ProgramType
from sentinel_sim.bench.estimates import Figure, difference
from sentinel_sim.bench.frames import test_frame, walk_frames
from sentinel_sim.bench.lanes import Lane, Work
from sentinel_sim.bench.observer import UDP_HEADERS_BYTES, shipped_table
from sentinel_sim.bench.placing import Sources
from sentinel_sim.errors import EmulationError

SWEEP_BYTES = 64 << 20
_GAP_NS = 10_000
_XDP_PASS, _TC_UNSPEC = 2, 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Cost:
    """ns per packet, sample by sample, of the work and of an empty program in the same harness."""

    lane: str
    flows: int
    state: str
    """`hot` or `cold`."""
    method: str
    full_ns: tuple[float, ...]
    empty_ns: tuple[float, ...]

    @property
    def net_ns(self) -> Figure | None:
        """Full minus empty, pair by pair."""
        return difference(self.full_ns, self.empty_ns)

    def as_json(self) -> dict[str, object]:
        """For the result file."""
        net = self.net_ns
        return {
            "lane": self.lane,
            "flows": self.flows,
            "state": self.state,
            "method": self.method,
            "full_ns": list(self.full_ns),
            "empty_ns": list(self.empty_ns),
            "net_ns": None if net is None else net.as_json(),
        }


def in_turn(samples: int) -> Iterator[tuple[Work, ...]]:
    """A B, B A, A B, ...: `samples` pairs."""
    for number in range(samples):
        yield (Work.EMPTY, Work.FULL) if number % 2 == 0 else (Work.FULL, Work.EMPTY)


def paired(measure: Callable[[Work], float], samples: int) -> tuple[list[float], list[float]]:
    """(full, empty) of `samples` pairs."""
    found: dict[Work, list[float]] = {Work.FULL: [], Work.EMPTY: []}
    for turn in in_turn(samples):
        for work in turn:
            found[work].append(measure(work))
    return found[Work.FULL], found[Work.EMPTY]


class Sweeper:
    """Empties the caches of the CPU as far as a buffer of SWEEP_BYTES does."""

    def __init__(self) -> None:
        self._buffer = np.zeros(SWEEP_BYTES, dtype=np.uint8)

    def sweep(self) -> None:
        """Read and write all of it."""
        self._buffer += 1


class KernelCosts:
    """Test runs of the programs of one lane."""

    def __init__(self, sources: Sources, lane: Lane) -> None:
        kind = ProgramType.TC if lane is Lane.TC else ProgramType.XDP
        self._verdict = _TC_UNSPEC if lane is Lane.TC else _XDP_PASS
        self._walk = WalkPrograms(sources.bench, kind)
        self._sources = sources
        self._lane = lane
        self._frame = test_frame()

    def hot(self, flows: int, *, samples: int, packets: int, seed: int) -> Cost:
        """A warm-up of the same walk first, so that no flow is new."""

        def measure(work: Work) -> float:
            return self._run(work, flows, packets, seed)

        measure(Work.FULL)
        full, empty = paired(measure, samples)
        method = f"BPF_PROG_TEST_RUN, {packets} packets a sample"
        return Cost(str(self._lane), flows, "hot", method, tuple(full), tuple(empty))

    def cold(self, *, samples: int, sweeper: Sweeper) -> Cost:
        """One packet of a known flow, caches swept before each."""

        def measure(work: Work) -> float:
            sweeper.sweep()
            return self._run(work, 1, 1, 1)

        self._run(Work.FULL, 1, 4, 1)
        full, empty = paired(measure, samples)
        method = f"BPF_PROG_TEST_RUN, 1 packet after sweeping {SWEEP_BYTES >> 20} MiB"
        return Cost(str(self._lane), 1, "cold", method, tuple(full), tuple(empty))

    def _run(self, work: Work, flows: int, packets: int, seed: int) -> float:
        self._walk.aim(self._sources.program(self._lane, work))
        self._walk.start(flows, seed)
        done = test_run.run(self._walk.prog_fd, self._frame, repeat=packets)
        if done.verdict != self._verdict:
            raise EmulationError(f"the walk of lane {self._lane} returned {done.verdict}")
        return float(done.duration_ns)

    def close(self) -> None:
        """Unload the walk."""
        self._walk.close()


Observe = Callable[[bytes, int], None]


class PythonCosts:
    """The same walk through the user-space lanes' function, in this process."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._table = shipped_table()

    def _observer(self, work: Work) -> Observe:
        if work is Work.EMPTY:
            return _nothing
        if self._lane is Lane.AF_PACKET:
            return self._table.observe
        return self._observe_datagram

    def _observe_datagram(self, frame: bytes, now_ns: int) -> None:
        source, target = frame[26:30] + frame[34:36], frame[30:34] + frame[36:38]
        payload = len(frame) - UDP_HEADERS_BYTES
        self._table.observe_datagram(source, target, 6, payload, now_ns)

    def hot(self, flows: int, *, samples: int, packets: int, seed: int) -> Cost:
        """Frames are made before the clock runs."""
        frames = list(walk_frames(packets, flows, seed))

        def measure(work: Work) -> float:
            observe, now_ns = self._observer(work), _GAP_NS
            began_ns = time.perf_counter_ns()
            for frame in frames:
                now_ns += _GAP_NS
                observe(frame, now_ns)
            return (time.perf_counter_ns() - began_ns) / packets

        self._table.clear()
        measure(Work.FULL)
        full, empty = paired(measure, samples)
        method = f"in process, {packets} packets a sample"
        return Cost(str(self._lane), flows, "hot", method, tuple(full), tuple(empty))

    def cold(self, *, samples: int, sweeper: Sweeper) -> Cost:
        """One packet of a known flow, caches swept before each."""
        [frame] = walk_frames(1, 1, 1)

        def measure(work: Work) -> float:
            observe = self._observer(work)
            sweeper.sweep()
            began_ns = time.perf_counter_ns()
            observe(frame, began_ns)
            return float(time.perf_counter_ns() - began_ns)

        self._table.clear()
        measure(Work.FULL)
        full, empty = paired(measure, samples)
        method = f"in process, 1 packet after sweeping {SWEEP_BYTES >> 20} MiB"
        return Cost(str(self._lane), 1, "cold", method, tuple(full), tuple(empty))

    def close(self) -> None:
        """Forget the flows."""
        self._table.clear()


def _nothing(frame: bytes, now_ns: int) -> None:
    """The empty function."""


def costs_of(sources: Sources, lane: Lane) -> KernelCosts | PythonCosts:
    """Whatever measures this lane."""
    if lane in (Lane.AF_PACKET, Lane.ASYNCIO):
        return PythonCosts(lane)
    return KernelCosts(sources, lane)
