"""The benchmark's programs (bench.c).

Thin: compile, configure, read. What is measured with them is decided in sentinel_sim.bench.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

from sentinel_bpf import maps
from sentinel_bpf.compiled import ProgramType
from sentinel_bpf.loader import CompiledSource, ProgramSet

BENCH_SOURCE = Path(__file__).with_name("bench.c")

FIRST_PORT = 1024
FLOWS_MAX = 64_000
SERVER_PORT = 5201
CLIENT_ADDRESS = "10.99.0.1"
SERVER_ADDRESS = "10.99.1.2"
DELAYS_MAX = 65_536
FRAME_BYTES = 128

_U32 = ctypes.c_uint32
_U64 = ctypes.c_uint64


class Walk(ctypes.Structure):
    """struct bench_walk."""

    _fields_ = (("flows", _U32), ("state", _U32), ("packets", _U64))


class EgressState(ctypes.Structure):
    """struct bench_egress."""

    _fields_ = (
        ("packets", _U64),
        ("bytes", _U64),
        ("first_ns", _U64),
        ("last_ns", _U64),
        ("others", _U64),
    )


MIRRORED: dict[str, type[ctypes.Structure]] = {"bench_walk": Walk, "bench_egress": EgressState}
"""C structure name in bench_abi.h -> mirror."""


@dataclass(frozen=True, slots=True)
class Egress:
    """What left the box since `reset`. Times are CLOCK_MONOTONIC, 0 where nothing came."""

    packets: int
    bytes: int
    first_ns: int
    last_ns: int
    others: int
    """Frames that were not the generator's."""


def compile_bench() -> CompiledSource:
    """Walks, egress counter, and the empty programs. Raises as CompiledSource.compile."""
    return CompiledSource.compile(
        BENCH_SOURCE,
        programs={
            "bench_walk_xdp": ProgramType.XDP,
            "bench_walk_tc": ProgramType.TC,
            "bench_egress": ProgramType.TC,
            "bench_drop": ProgramType.TC,
            "bench_empty_tc": ProgramType.TC,
            "bench_empty_xdp": ProgramType.XDP,
        },
    )


class WalkPrograms:
    """A walk over flows that calls one program under test, for BPF_PROG_TEST_RUN."""

    def __init__(self, source: CompiledSource, kind: ProgramType) -> None:
        suffix = "xdp" if kind is ProgramType.XDP else "tc"
        self._programs = source.instantiate([f"bench_walk_{suffix}"])
        self.prog_fd = self._programs.prog_fd(f"bench_walk_{suffix}")
        self._next = self._programs.map_fd(f"bench_next_{suffix}")
        self._walk = self._programs.map_fd("bench_walk_state")

    def aim(self, prog_fd: int) -> None:
        """Call this program from now on."""
        maps.update(self._next, maps.index_key(0), prog_fd.to_bytes(4, "little"))

    def start(self, flows: int, state: int) -> None:
        """Begin the walk anew. Raises ValueError outside 1 ... FLOWS_MAX."""
        if not 1 <= flows <= FLOWS_MAX:
            raise ValueError(f"flows must lie in 1 ... {FLOWS_MAX}, got {flows}")
        maps.update(self._walk, maps.index_key(0), bytes(Walk(flows, state, 0)))

    def close(self) -> None:
        """Unload."""
        self._programs.close()


class EgressCounter:
    """The program at the box's way out."""

    def __init__(self, source: CompiledSource) -> None:
        self._programs: ProgramSet = source.instantiate(["bench_egress"])
        self.prog_fd = self._programs.prog_fd("bench_egress")
        self._state = self._programs.map_fd("bench_egress_state")
        self._delays = self._programs.map_fd("bench_delays")

    def reset(self) -> None:
        """Start at zero, while nothing is under way."""
        maps.update(self._state, maps.index_key(0), bytes(EgressState()))

    def read(self) -> Egress:
        """Counts so far."""
        raw = maps.lookup(self._state, maps.index_key(0)) or bytes(ctypes.sizeof(EgressState))
        state = EgressState.from_buffer_copy(raw)
        return Egress(
            int(state.packets),
            int(state.bytes),
            int(state.first_ns),
            int(state.last_ns),
            int(state.others),
        )

    def delays_bytes(self, packets: int) -> bytes:
        """One-way delays of the last `packets` (at most DELAYS_MAX), u64 nanoseconds in a row."""
        return maps.array_values(self._delays, min(packets, DELAYS_MAX))

    def close(self) -> None:
        """Unload."""
        self._programs.close()
