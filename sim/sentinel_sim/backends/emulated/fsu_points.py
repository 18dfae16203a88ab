"""The FSUs of a deployment: one for each end of each link, at both sides of the node's interface.

The inner end (the node's own interface) sees what arrives at the node after the wire's delay. The
outer end (its peer, in the wire's namespace, which the node cannot enter) sees what the node
sends, and is what the node's own root can neither detach nor bypass. Both run one program on one
set of maps: a packet passes exactly one of the two, so every half of a flow has one writer. What
runs at the outer end is the topology's choice (`fsu_outer`): the same text on tc sees what the node
sends before it is cut into segments (flow_math_tc.c); XDP there takes segmentation offload from
the node, which costs as much CPU as the inner end. With neither no RTT can be seen.

One FSU for each link, not for each node: a packet that a node forwards comes in over one link and
leaves over another. In maps shared by the whole node it would be counted twice, in one half, by two
CPUs at once. Kept apart, the two views say what each side of the node is like: the round trip to
one end of the path here, to the other end there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sentinel_bpf import abi, bpffs, model, unit
from sentinel_bpf.bpffs import PinDirectory
from sentinel_bpf.heart import Heart
from sentinel_bpf.loader import CompiledSource, ProgramSet, ProgramStats
from sentinel_bpf.maps import reopen_readonly
from sentinel_bpf.unit import UnitEnd, UnitRecord
from sentinel_sim.backends.emulated.daemons import FlowMaps
from sentinel_sim.backends.emulated.layout import Layout
from sentinel_sim.host.ownership import Ownership
from sentinel_sim.plan.model import OuterEnd
from sentinel_sim.wire.names import NAMESPACE_DIRECTORY
from sentinel_sim.wire.wire import SIDES

INNER, OUTER = "inner", "outer"
FLOWS6_MAX = 256
SHARED_MAPS = ("fsu_heartbeat", "fsu_config", "fsu_new_flow", "fsu_models")
"""One for all FSUs of a run: beat, settings, the empty flow that nobody writes, the network."""
RECORDS = "fsu"
"""Directory of the records, in the run's own."""


@dataclass(frozen=True, slots=True)
class FsuPoint:
    """One end of one link, and the two interfaces that make it."""

    unit: str
    node: str
    link: str
    interfaces: tuple[tuple[str, str, Path], ...]
    """(end, interface, namespace)."""


def points_of(layout: Layout) -> Iterator[FsuPoint]:
    """Every link end of the topology, in link order."""
    for index, link in enumerate(layout.links):
        names = layout.wire_names(link.name)
        wire = NAMESPACE_DIRECTORY / names.namespace
        for side, node in zip(SIDES, (link.a, link.b), strict=True):
            home = NAMESPACE_DIRECTORY / layout.namespace(node)
            yield FsuPoint(
                unit=f"link{index}{side}",
                node=node,
                link=link.name,
                interfaces=((INNER, names.node_end(side), home), (OUTER, names.outer(side), wire)),
            )


def make_pin_root(ownership: Ownership, host_bpffs: Path = bpffs.HOST_BPFFS) -> Path:
    """Where the run pins: its own directory in the host's bpffs, or a bpffs of its own."""
    if bpffs.is_bpffs(host_bpffs):
        root = host_bpffs / "sentinel-sim" / ownership.run_id
        ownership.record_directory(root)
        root.mkdir(mode=0o700, parents=True)
        return root
    root = ownership.directory / "bpf"
    ownership.record_directory(root)
    ownership.record_mount(root)
    bpffs.mount_bpffs(root)
    return root


class FsuPoints:
    """All FSUs of one deployment. `close` detaches and unloads them."""

    def __init__(
        self, layout: Layout, ownership: Ownership, flow_tc: Callable[[], CompiledSource]
    ) -> None:
        """`flow_tc` gives the FSU for tc; it is asked when one is attached."""
        self._points = tuple(points_of(layout))
        self._ownership = ownership
        self._flow_tc = flow_tc
        self._outer_tc: dict[str, ProgramSet] = {}
        self._common: ProgramSet | None = None
        self._heart: Heart | None = None
        self._programs: dict[str, ProgramSet] = {}
        self._pins: dict[str, PinDirectory] = {}
        self._attached: dict[str, tuple[UnitEnd, ...]] = {}
        self._outer: OuterEnd | None = None

    def load(self, compiled: CompiledSource, flows_max: int) -> None:
        """Load and pin one program with maps of its own for each point; attaches nothing.

        The verifier takes most of the time, and runs on all CPUs at once.
        """
        root = make_pin_root(self._ownership)
        # IPv6 is off in the nodes; a map of its size would only cost memory.
        sizes = {"flow_metrics_map": flows_max, "flow_metrics6": FLOWS6_MAX}
        self._common = compiled.instantiate(max_entries=dict.fromkeys(sizes, 1))
        model.install_shipped(self._common.map_fd("fsu_models"))
        shared = {name: self._common.map_fd(name) for name in SHARED_MAPS}

        def instantiate(point: FsuPoint) -> ProgramSet:
            return compiled.instantiate(max_entries=sizes, share=shared)

        self._load_all(instantiate, self._programs)
        for point in self._points:
            pins = self._pins[point.unit] = PinDirectory(root / point.unit)
            unit.pin_unit(self._programs[point.unit], pins)

    def _load_all(
        self, instantiate: Callable[[FsuPoint], ProgramSet], into: dict[str, ProgramSet]
    ) -> None:
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            loading = [pool.submit(instantiate, point) for point in self._points]
        # Every set that was loaded is kept before an error is raised: close() then finds it.
        errors = [future.exception() for future in loading]
        for point, future, error in zip(self._points, loading, errors, strict=True):
            if error is None:
                into[point.unit] = future.result()
        for error in errors:
            if error is not None:
                raise error

    def attach(self, outer: OuterEnd) -> None:
        """Attach every FSU at its inner end and as `outer` says; nothing happens if that is so."""
        if self._outer is outer:
            return
        self.detach()
        self._outer = outer
        if outer is OuterEnd.TC and not self._outer_tc:
            self._load_all(self._share_maps, self._outer_tc)
        if self._common is not None:
            self._heart = Heart(self._common.map_fd("fsu_heartbeat"))
        records = self._ownership.directory / RECORDS
        self._ownership.record_directory(records)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for point in self._points:
            ends = self._attached[point.unit] = tuple(self._attach_point(point, outer))
            unit.write_record(records / f"{point.unit}.json", self._record(point, ends, now))

    def _attach_point(self, point: FsuPoint, outer: OuterEnd) -> Iterator[UnitEnd]:
        programs, pins = self._programs[point.unit], self._pins[point.unit]
        for end, interface, namespace in point.interfaces:
            if end == INNER or outer is OuterEnd.XDP:
                yield unit.attach_end(programs, pins, end, interface, namespace)
            elif outer is OuterEnd.TC:
                yield unit.attach_end_tc(self._outer_tc[point.unit], end, interface, namespace)

    def _share_maps(self, point: FsuPoint) -> ProgramSet:
        """The tc program on the maps of the point's XDP program."""
        programs = self._programs[point.unit]
        maps = {name: programs.map_fd(name) for name in programs.map_names()}
        return self._flow_tc().instantiate(share=maps)

    def _record(self, point: FsuPoint, ends: tuple[UnitEnd, ...], now: str) -> UnitRecord:
        return UnitRecord(
            unit=point.unit,
            owner=self._ownership.run_id,
            node=point.node,
            link=point.link,
            pins=str(self._pins[point.unit].path),
            attached_utc=now,
            abi_version=abi.ABI_VERSION,
            ends=ends,
        )

    def detach(self) -> None:
        """Take every FSU off its interfaces; the maps keep what they know."""
        if self._outer is None:
            return
        self._outer = None
        if self._heart is not None:
            self._heart.close()
            self._heart = None
        while self._attached:
            name, ends = self._attached.popitem()
            (self._ownership.directory / RECORDS / f"{name}.json").unlink(missing_ok=True)
            for end in ends:
                unit.detach_end(self._pins[name], end)

    def broken(self) -> list[str]:
        """Units of which an XDP end is not attached any more, though it should be."""
        return [
            name
            for name, ends in self._attached.items()
            if any(
                end.mode != "tc" and unit.end_report(self._pins[name], end).state != "attached"
                for end in ends
            )
        ]

    def reattach(self, name: str) -> None:
        """Attach a unit anew at all its ends; its maps keep what they know. Raises BpfError."""
        if self._outer is None:
            return
        for end in self._attached.pop(name, ()):
            unit.detach_end(self._pins[name], end)
        point = next(point for point in self._points if point.unit == name)
        self._attached[name] = tuple(self._attach_point(point, self._outer))

    def flow_maps(self, node: str) -> list[FlowMaps]:
        """Read-only descriptors of the maps at each of the node's links; the caller closes them."""
        return [
            FlowMaps(
                point.link,
                *(
                    reopen_readonly(self._programs[point.unit].map_fd(name))
                    for name in ("flow_metrics_map", "flow_metrics6", "fsu_counters", "fsu_models")
                ),
            )
            for point in self._points
            if point.node == node
        ]

    def stats(self) -> ProgramStats | None:
        """What the kernel says of the program (of one of them: they are equal); None: unloaded."""
        loaded = next(iter(self._programs.values()), None)
        return None if loaded is None else loaded.stats()[0]

    def statistics(self) -> dict[str, dict[str, ProgramStats]]:
        """Run times and counts by kind of program (`xdp`, `tc`) and point (`node/link`)."""
        kinds = {"xdp": self._programs, "tc": self._outer_tc}
        return {
            kind: {f"{p.node}/{p.link}": loaded[p.unit].stats()[0] for p in self._points}
            for kind, loaded in kinds.items()
            if loaded
        }

    def heartbeat(self) -> dict[str, float] | None:
        """How regularly we beat so far; None while detached."""
        if self._heart is None:
            return None
        schedule = self._heart.schedule
        return {
            "interval_s": schedule.interval_ns / 1e9,
            "timeout_s": schedule.timeout_ns / 1e9,
            "gap_max_s": schedule.gap_max_ns / 1e9,
            "lapses": schedule.lapses,
        }

    def close(self) -> None:
        """Detach and unload. Harmless a second time."""
        with ExitStack() as stack:
            for programs in (*self._programs.values(), *self._outer_tc.values()):
                stack.callback(programs.close)
            if self._common is not None:
                stack.callback(self._common.close)
            for pins in self._pins.values():
                stack.callback(pins.remove)
            stack.callback(self.detach)
        self._pins.clear()
        self._programs.clear()
        self._outer_tc.clear()
