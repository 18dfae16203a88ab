"""One simulation: advance it, read it, enlarge its rings, prove that nothing was lost track of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from sentinel_sim.engine import layout
from sentinel_sim.engine.build import build, fill_winners
from sentinel_sim.engine.layout import (
    ALL_DONE,
    GROW_RING,
    GROW_SEGMENTS,
    LOST,
    NEVER,
    REACHED,
    RETRANSMITTED,
    SACKED,
    Array,
)
from sentinel_sim.engine.machine import Kernel
from sentinel_sim.engine.spec import NetworkSpec
from sentinel_sim.engine.timeline import set_due
from sentinel_sim.errors import SimulationError

SENT, DELIVERED, CONFIRMED = 0, 1, 2
"""Columns of `Samples.flows`."""
ACCEPTED, UNFINISHED = 0, 1
"""Columns of `Samples.links`: bytes taken in, and ns that the transmitter still needs for them."""
GROWTH = 4


@dataclass(frozen=True, slots=True)
class Samples:
    """Counters at the ends of consecutive intervals of equal length."""

    times_ns: Array
    flows: Array
    """[tick, flow, column], payload bytes; flows by id."""
    links: Array
    """[tick, link, column]; links by name."""


class Simulation:
    """Drives the compiled kernel over one network."""

    def __init__(self, spec: NetworkSpec, kernel: Kernel, tick_ns: int) -> None:
        self.world = build(spec)
        self.link_names = sorted(link.name for link in spec.links)
        self._kernel = kernel
        self._tick_ns = tick_ns
        self._tick = 0
        conns = self.world.conns
        self._heads = np.flatnonzero(conns["previous"] < 0)
        self._tails = np.flatnonzero(conns["next"] < 0)
        self._starts = conns["start"][self._heads].copy()
        self._no_flows = np.zeros((1, len(self._heads), 3), np.int64)
        self._no_links = np.zeros((1, len(self.link_names), 2), np.int64)

    @property
    def now_ns(self) -> int:
        """Virtual time."""
        return int(self.world.state["now"][0])

    @property
    def done(self) -> bool:
        """Every connection has delivered all of its stream, and knows it."""
        return bool(self.world.state["connections_left"][0] == 0)

    @property
    def packet_hops(self) -> int:
        """Packets that crossed a link so far."""
        return int(self.world.links["arrived"].sum())

    @property
    def under_way(self) -> int:
        """Packets on the links now."""
        return int((self.world.links["tail"] - self.world.links["head"]).sum())

    @property
    def starts_ns(self) -> Array:
        """When each flow was asked to start, flows by id."""
        return self._starts

    def wake(self, timer: str, index: int, when_ns: int) -> None:
        """Set a timer of connection `index`: `start` opens it, `nudge_at` has it write."""
        conn, due = self.world.conns[index], self.world.due
        conn[timer] = when_ns
        source = int(conn["rank"])
        # Called as plain Python: there is no compiled entry but the kernel's.
        cast(Any, set_due).py_func(self.world, source, min(when_ns, int(due[source])))

    def stop_probing(self) -> None:
        """Send none of the probes that are still to come, so that the links run empty."""
        world = self.world
        world.state["next_probe"] = len(world.probes)
        source = len(world.links) + len(world.conns)
        world.due[source] = NEVER
        fill_winners(world.due, world.winners)

    @property
    def heads(self) -> Array:
        """Index of each flow's first connection, flows by id."""
        return self._heads

    @property
    def tails(self) -> Array:
        """Index of each flow's last connection, flows by id."""
        return self._tails

    def advance(self, ticks: int) -> Samples:
        """Run for `ticks` intervals, or until all is done; the samples of those completed."""
        flows = np.zeros((ticks, len(self._heads), 3), np.int64)
        links = np.zeros((ticks, len(self.link_names), 2), np.int64)
        done = 0
        while done < ticks:
            completed, status = self._run(flows[done:], links[done:], done, ticks - done, NEVER)
            done += completed
            if status == ALL_DONE:
                break
        times = (np.arange(self._tick + 1, self._tick + done + 1)) * self._tick_ns
        self._tick += done
        return Samples(times, flows[:done], links[:done])

    def run_to(self, stop_ns: int) -> None:
        """Run up to what happens at `stop_ns`, within the present interval; samples nothing."""
        if not self.now_ns <= stop_ns < (self._tick + 1) * self._tick_ns:
            raise ValueError(f"{stop_ns} ns does not lie in the interval of {self.now_ns} ns")
        while self.now_ns < stop_ns:
            self._run(self._no_flows, self._no_links, 0, 1, stop_ns)

    def _run(
        self, flows: Array, links: Array, after: int, ticks: int, stop_ns: int
    ) -> tuple[int, int]:
        """(intervals completed, why it came back); enlarges what had become too small."""
        state = self.world.state[0]
        tick = self._tick + after
        heads, tails = self._heads, self._tails
        completed = self._kernel(
            self.world, heads, tails, flows, links, tick, ticks, self._tick_ns, stop_ns
        )
        status = int(state["status"])
        if status != REACHED:
            state["status"] = REACHED
            self._enlarge(status, int(state["which"]))
        return completed, status

    def _enlarge(self, status: int, which: int) -> None:
        if status == GROW_RING:
            self._enlarge_ring(which)
        elif status == GROW_SEGMENTS:
            self._enlarge_segments(which)

    def _enlarge_ring(self, index: int) -> None:
        link = self.world.links[index]
        old, size = int(link["mask"]) + 1, (int(link["mask"]) + 1) * GROWTH
        packets = self.world.packets
        first = len(packets)
        # The old place stays unused: growth is geometric, so that costs at most a third.
        grown = np.zeros(first + size, layout.PACKET)
        grown[:first] = packets
        places = np.arange(link["head"], link["tail"])
        grown[first + places % size] = packets[link["first"] + places % old]
        link["first"], link["mask"] = first, size - 1
        self.world = self.world._replace(packets=grown)

    def _enlarge_segments(self, index: int) -> None:
        conn = self.world.conns[index]
        old, size = int(conn["mask"]) + 1, (int(conn["mask"]) + 1) * GROWTH
        segments = self.world.segments
        first, origin = len(segments), int(conn["first"])
        grown = np.zeros(first + size, layout.SEGMENT)
        grown[:first] = segments
        for names, head, tail in (
            (["sent", "first_sent", "delivered", "delivered_at", "flags"], "una", "nxt"),
            (["lost_seq"], "lost_head", "lost_tail"),
            (["again_seq", "again_sent"], "again_head", "again_tail"),
        ):
            places = np.arange(conn[head], conn[tail])
            for name in names:
                grown[name][first + places % size] = segments[name][origin + places % old]
        conn["first"], conn["mask"] = first, size - 1
        self.world = self.world._replace(segments=grown)

    def verify(self) -> None:
        """Raises SimulationError unless every packet and byte is accounted for."""
        for index, name in enumerate(self.link_names):
            self._verify_link(index, name)
        links, state = self.world.links, self.world.state[0]
        gone = int(links["queue_dropped"].sum() + links["lost"].sum())
        _expect(
            "packets made against delivered + dropped + lost + under way",
            int(state["originated"]),
            int(state["delivered"]) + gone + self.under_way,
        )
        for index in range(len(self.world.conns)):
            self._verify_connection(index)

    def _verify_link(self, index: int, name: str) -> None:
        link = self.world.links[index]
        places = np.arange(link["head"], link["tail"]) & link["mask"]
        sizes = self.world.packets["size"][link["first"] + places]
        for text, total, parts in (
            ("packets offered", "offered", ("queue_dropped", "accepted")),
            ("bytes offered", "offered_bytes", ("dropped_bytes", "accepted_bytes")),
        ):
            _expect(f"{name}: {text}", int(link[total]), sum(int(link[part]) for part in parts))
        _expect(
            f"{name}: packets accepted",
            int(link["accepted"]),
            int(link["lost"] + link["arrived"]) + len(sizes),
        )
        _expect(
            f"{name}: bytes accepted",
            int(link["accepted_bytes"]),
            int(link["lost_bytes"] + link["arrived_bytes"]) + int(sizes.sum()),
        )

    def _verify_connection(self, index: int) -> None:
        conn = self.world.conns[index]
        what = f"connection {index}"
        _expect(
            f"{what}: different segments that arrived",
            int(conn["data_arrived"] - conn["duplicates"]),
            int(conn["rcv_nxt"] + conn["gaps"]),
        )
        if not conn["una"] <= conn["rcv_nxt"] <= conn["nxt"] <= max(conn["written"], 0):
            raise SimulationError(
                f"{what}: acknowledged {conn['una']}, received {conn['rcv_nxt']}, sent"
                f" {conn['nxt']} and written {conn['written']} segments are out of order"
            )
        places = np.arange(conn["una"], conn["nxt"]) & conn["mask"]
        flags = self.world.segments["flags"][conn["first"] + places]
        for name, flag in (("sacked", SACKED), ("lost", LOST), ("retrans", RETRANSMITTED)):
            _expect(f"{what}: {name}", int(conn[name]), int(np.count_nonzero(flags & flag)))


def _expect(what: str, one: int, other: int) -> None:
    if one != other:
        raise SimulationError(
            f"the simulation contradicts itself, which is a bug: {what}: {one} is not {other}"
        )
