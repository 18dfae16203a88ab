"""The live-frames figure: XDP frames made by the kernel, through the program, into the stack.

BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES: real frames from a page pool, as a driver would
hand them over, but no driver and no wire. XDP_PASS builds an skb for each and takes it up the
stack, where a tc program drops it at the interface's ingress. `drop` is the floor: every frame is
dropped by XDP itself.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sentinel_bpf import syscalls, test_run
from sentinel_bpf.attach import attach_tc
from sentinel_bpf.bench_programs import WalkPrograms
from sentinel_bpf.compiled import ProgramType
from sentinel_bpf.loader import LICENSE
from sentinel_bpf.netns import run_in_netns
from sentinel_sim.bench.box import Box
from sentinel_sim.bench.frames import test_frame
from sentinel_sim.bench.lanes import Lane, Work
from sentinel_sim.bench.placing import Sources

_DROP_PROGRAM = bytes.fromhex("b7000000010000009500000000000000")  # r0 = XDP_DROP; exit
KINDS = ("drop", "empty", "full")


@dataclass(frozen=True, slots=True)
class LiveRate:
    """Packets per second of one kind, sample by sample."""

    kind: str
    """`full`: the FSU, then the stack; `empty`: only the stack; `drop`: XDP_DROP, no stack."""
    flows: int
    packets: int
    pps: tuple[float, ...]

    def as_json(self) -> dict[str, object]:
        """For the result file."""
        return {
            "kind": self.kind,
            "flows": self.flows,
            "packets": self.packets,
            "pps": list(self.pps),
        }


def measure_live(
    box: Box, sources: Sources, *, flows: int, packets: int, samples: int
) -> list[LiveRate]:
    """All kinds in turn, forwards and backwards."""
    walk = WalkPrograms(sources.bench, ProgramType.XDP)
    dropping = syscalls.prog_load(int(ProgramType.XDP), _DROP_PROGRAM, "drop", license_name=LICENSE)
    stop = attach_tc(sources.plain.prog_fd("bench_drop"), box.inside, "ingress", box.netns)
    programs = {
        "drop": dropping,
        "empty": sources.program(Lane.XDP_NATIVE, Work.EMPTY),
        "full": sources.program(Lane.XDP_NATIVE, Work.FULL),
    }
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    try:
        ifindex = run_in_netns(box.netns, lambda: socket.if_nametoindex(box.inside))
        for number in range(samples):
            for kind in _order(number):
                walk.aim(programs[kind])
                walk.start(flows, 1)
                found[kind].append(_rate(box, walk.prog_fd, ifindex, packets))
    finally:
        stop.close()
        os.close(dropping)
        walk.close()
    return [LiveRate(kind, flows, packets, tuple(found[kind])) for kind in KINDS]


def _order(number: int) -> Sequence[str]:
    return KINDS if number % 2 == 0 else KINDS[::-1]


def _rate(box: Box, prog_fd: int, ifindex: int, packets: int) -> float:
    def send() -> float:
        os.sched_setaffinity(0, {box.cpus.box})  # of this thread only, which ends afterwards
        began_ns = time.perf_counter_ns()
        test_run.run_live(prog_fd, test_frame(), ifindex=ifindex, packets=packets)
        return packets / (time.perf_counter_ns() - began_ns) * 1e9

    return run_in_netns(box.netns, send)
