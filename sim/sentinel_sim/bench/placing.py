"""The lanes as the runner sees them: put one in place, read what it saw, take it out again."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Protocol

from sentinel_bpf import abi, maps, model, settings
from sentinel_bpf.attach import XdpMode, attach_tc, attach_xdp
from sentinel_bpf.bench_programs import compile_bench
from sentinel_bpf.flow_map import read_counters
from sentinel_bpf.flow_tc import TC_PROGRAM, compile_flow_math_tc
from sentinel_bpf.loader import CompiledSource, ProgramSet, compile_flow_math, program_stats
from sentinel_sim.bench.box import BOX_IN_ADDRESS, Box
from sentinel_sim.bench.lanes import Lane, Variant, Work
from sentinel_sim.bench.linked import LinkedProcess

ANSWER_TIMEOUT_S = 20.0
FLOW_MAP_ENTRIES = 262_144
"""Four times 64,000 flows: what an LRU map needs to evict none."""
_UDP = 17
XDP_PROGRAM = "flow_stabilization_unit"
NEVER_IDLE_NS = 24 * 3600 * 1_000_000_000
"""A flow's trials lie minutes apart: it must not begin anew, or its count would start at zero."""


class Seen(Protocol):
    """A lane in place."""

    def pids(self) -> dict[str, int]:
        """Tasks that work for it, by name."""

    def to_box(self) -> bool:
        """Whether packets are addressed to the box instead of through it."""

    def reset(self) -> None:
        """Count from zero."""

    def packets(self) -> int | None:
        """Packets observed since; None where nothing observes."""

    def packets_by_port(self) -> Mapping[int, int]:
        """Packets by flow (the client's port) since `reset` or before: take the difference."""

    def program_run(self) -> tuple[int, int] | None:
        """(ns, runs) of its program so far; None where there is none."""


class Sources:
    """All kernel programs, compiled once; make it before any thread runs."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        try:
            self.bench = self._keep(compile_bench())
            self.xdp = self._keep(compile_flow_math())
            self.tc = self._keep(compile_flow_math_tc())
            sizes = {"flow_metrics_map": FLOW_MAP_ENTRIES}
            self.fsu_xdp = self._load(self.xdp, sizes)
            self.fsu_tc = self._load(self.tc, sizes)
            self.plain = self._stack.enter_context(
                self.bench.instantiate(["bench_empty_xdp", "bench_empty_tc", "bench_drop"])
            )
        except BaseException:
            self.close()
            raise

    def _keep(self, source: CompiledSource) -> CompiledSource:
        return self._stack.enter_context(source)

    def _load(self, source: CompiledSource, sizes: dict[str, int]) -> ProgramSet:
        made = self._stack.enter_context(source.instantiate(max_entries=sizes))
        model.install_shipped(made.map_fd(model.MAP))
        settings.configure(made.map_fd("fsu_config"), flow_idle_ns=NEVER_IDLE_NS)
        return made

    def program(self, lane: Lane, work: Work) -> int:
        """The descriptor of what a kernel lane runs."""
        if lane is Lane.TC:
            full, empty = self.fsu_tc.prog_fd(TC_PROGRAM), "bench_empty_tc"
        else:
            full, empty = self.fsu_xdp.prog_fd(XDP_PROGRAM), "bench_empty_xdp"
        return full if work is Work.FULL else self.plain.prog_fd(empty)

    def maps(self, lane: Lane) -> ProgramSet:
        """Where a kernel lane's flows are."""
        return self.fsu_tc if lane is Lane.TC else self.fsu_xdp

    def close(self) -> None:
        """Unload everything."""
        self._stack.close()


class KernelLane:
    """A program on the box's first interface, or none (plain forwarding)."""

    def __init__(self, sources: Sources, variant: Variant, polling: Mapping[str, int]) -> None:
        self._sources = sources
        self._variant = variant
        self._polling = polling
        self._before = 0

    def pids(self) -> dict[str, int]:
        return dict(self._polling)

    def to_box(self) -> bool:
        return False

    def reset(self) -> None:
        self._before = self._count()

    def packets(self) -> int | None:
        return self._count() - self._before if self._observes else None

    def packets_by_port(self) -> Mapping[int, int]:
        return self._by_port()

    def program_run(self) -> tuple[int, int] | None:
        if self._variant.lane is None:
            return None
        stats = program_stats(self._sources.program(self._variant.lane, self._variant.work))
        return stats.run_time_ns, stats.run_count

    @property
    def _observes(self) -> bool:
        return self._variant.lane is not None and self._variant.work is Work.FULL

    def _count(self) -> int:
        if not self._observes or self._variant.lane is None:
            return 0
        fd = self._sources.maps(self._variant.lane).map_fd("fsu_counters")
        return read_counters(fd)["flow4"]

    def _by_port(self) -> dict[int, int]:
        if not self._observes or self._variant.lane is None:
            return {}
        return udp_packets_by_port(
            self._sources.maps(self._variant.lane).map_fd("flow_metrics_map")
        )


def udp_packets_by_port(fd: int) -> dict[int, int]:
    """Packets of each UDP flow by the port of its low end, straight from the bytes of the map.

    64,000 flows are read many times; parsing every field of each would take most of a bench run.
    """
    packets = abi.FlowHalf.packets_total
    counts = [
        slice(half.offset + packets.offset, half.offset + packets.offset + packets.size)
        for half in (abi.Flow.forward, abi.Flow.backward)
    ]
    at, size = abi.Flow4Key.low_port.offset, abi.Flow4Key.low_port.size
    protocol = abi.Flow4Key.tags_protocol.offset
    return {
        int.from_bytes(key[at : at + size], "big"): sum(
            int.from_bytes(value[count], "little") for count in counts
        )
        for key, value in maps.items(fd)
        if key[protocol] == _UDP
    }


class UserLane:
    """A relay process inside the box."""

    def __init__(
        self, process: LinkedProcess, variant: Variant, polling: Mapping[str, int]
    ) -> None:
        self._process = process
        self._variant = variant
        self._polling = polling

    def pids(self) -> dict[str, int]:
        return {**self._polling, "relay": self._process.pid}

    def to_box(self) -> bool:
        return self._variant.lane is Lane.ASYNCIO

    def reset(self) -> None:
        self._process.ask("reset", ANSWER_TIMEOUT_S)

    def packets(self) -> int | None:
        report = self._process.ask("report", ANSWER_TIMEOUT_S)
        return int(report["packets"]) if self._variant.work is Work.FULL else None

    def packets_by_port(self) -> Mapping[int, int]:
        report = self._process.ask("report", ANSWER_TIMEOUT_S)
        return {int(port): int(count) for port, count in report["by_port"].items()}

    def predicts_with_network(self) -> bool:
        """Whether the relay has loaded the shipped weights."""
        return bool(self._process.ask("report", ANSWER_TIMEOUT_S)["network"])

    def program_run(self) -> tuple[int, int] | None:
        return None


@contextmanager
def in_place(box: Box, sources: Sources, variant: Variant) -> Iterator[Seen]:
    """The lane of `variant`, working; taken out again at the end."""
    with ExitStack() as stack:
        if variant.in_kernel:
            _attach(stack, box, sources, variant)
            yield KernelLane(sources, variant, box.pin_polling())
            return
        # What the relay forwards the kernel must not forward as well.
        if variant.lane is Lane.AF_PACKET:
            drop = attach_tc(sources.plain.prog_fd("bench_drop"), box.inside, "ingress", box.netns)
            stack.callback(drop.close)
        process = LinkedProcess.start(
            f"the lane {variant.name}", _words(box, variant), _python(box)
        )
        stack.callback(process.stop)
        box.own(process.pid, f"lane {variant.name}")
        yield UserLane(process, variant, box.pin_polling())


def _attach(stack: ExitStack, box: Box, sources: Sources, variant: Variant) -> None:
    if variant.lane is None:
        return
    program = sources.program(variant.lane, variant.work)
    if variant.lane is Lane.TC:
        stack.callback(attach_tc(program, box.inside, "ingress", box.netns).close)
    else:
        mode: XdpMode = "native" if variant.lane is Lane.XDP_NATIVE else "generic"
        stack.callback(attach_xdp(program, box.inside, box.netns, mode=mode).close)


def _words(box: Box, variant: Variant) -> tuple[str, ...]:
    return (
        *(sys.executable, "-m", "sentinel_sim.bench.worker", str(variant.lane), str(variant.work)),
        *("--netns", str(box.netns), "--inside", box.inside, "--outside", box.outside),
        *("--listen", BOX_IN_ADDRESS, "--cpu", str(box.cpus.box)),
        *("--tag", f"{box.name}-{variant.lane}"),
    )


def _python(box: Box) -> dict[str, str]:
    # The child must find the same packages, also where they come from PYTHONPATH.
    return {**box.environment, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
