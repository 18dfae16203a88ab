"""Do all lanes compute the same? The same frames at the same times, compared bit for bit.

The kernel programs are built with their time taken from a map, so time is an input; the user-space
function gets the same frames, times and network. Every byte of every flow's entry has to be equal.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from sentinel_bpf import maps, model, test_run
from sentinel_bpf.flow_tc import TC_PROGRAM, compile_flow_math_tc
from sentinel_bpf.loader import CompiledSource, compile_flow_math
from sentinel_sim.bench.frames import walk_frames
from sentinel_sim.bench.lanes import Lane
from sentinel_sim.bench.observer import FlowTable
from sentinel_sim.bench.placing import XDP_PROGRAM

CLOCK_FLAG = "-DSENTINEL_TEST_CLOCK"
_TEST_RUN_IFINDEX = {Lane.XDP_NATIVE: 1, Lane.TC: 0}
"""From where a test run's packets come: XDP's from the loopback interface, tc's from nowhere."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What came of one comparison of a kernel program with the user-space function."""

    lane: str
    packets: int
    flows: int
    equal: int
    """Flows whose entries agree in every byte."""
    network_version: int
    """Of the weights that both predicted with, as the kernel's map has it."""

    @property
    def agrees(self) -> bool:
        """All of them."""
        return self.equal == self.flows > 0

    def as_json(self) -> dict[str, object]:
        """For the result file."""
        return {
            "lane": self.lane,
            "packets": self.packets,
            "flows": self.flows,
            "equal": self.equal,
            "agrees": self.agrees,
            "network_version": self.network_version,
        }


def trace(packets: int, flows: int, seed: int) -> Iterator[tuple[bytes, int]]:
    """(frame, ns): the walk, at gaps from 100 ns to 100 ms, so that intervals open and close."""
    choose = random.Random(seed)
    now_ns = choose.randrange(2**40, 2**50)
    for frame in walk_frames(packets, flows, seed):
        now_ns += int(100 * 10 ** choose.uniform(0, choose.choice((2, 4, 6))))
        yield frame, now_ns


def sources() -> dict[Lane, tuple[CompiledSource, str]]:
    """Both programs with an artificial clock; compile before any thread runs."""
    return {
        Lane.XDP_NATIVE: (compile_flow_math([CLOCK_FLAG]), XDP_PROGRAM),
        Lane.TC: (compile_flow_math_tc([CLOCK_FLAG]), TC_PROGRAM),
    }


def compare(
    lane: Lane, source: CompiledSource, program: str, *, packets: int, flows: int, seed: int
) -> Agreement:
    """Feed both, compare every entry."""
    with source.instantiate() as programs:
        models = programs.map_fd(model.MAP)
        network = model.install_shipped(models).network
        table = FlowTable(network=network, ifindex=_TEST_RUN_IFINDEX[lane])
        prog_fd, clock = programs.prog_fd(program), programs.map_fd("fsu_test_clock")
        for frame, now_ns in trace(packets, flows, seed):
            maps.update(clock, maps.index_key(0), now_ns.to_bytes(8, "little"))
            test_run.run(prog_fd, frame)
            table.observe(frame, now_ns)
        found = dict(maps.items(programs.map_fd("flow_metrics_map")))
        version = model.active_version(models)
    expected = table.entries()
    keys = found.keys() | expected.keys()
    equal = sum(found.get(key) == expected.get(key) for key in keys)
    return Agreement(str(lane), packets, len(keys), equal, version)
