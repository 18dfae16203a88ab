"""Bytes in bins at both ends of the rate stages of path 0, in runs that ask for burstiness."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from sentinel_bpf.attach import attach_tc
from sentinel_bpf.bins import ByteBins
from sentinel_bpf.loader import CompiledSource
from sentinel_sim.backends.base import LinkBins
from sentinel_sim.backends.emulated.layout import Layout
from sentinel_sim.plan.model import BIN_NS, MOST_BINS, RunSpec
from sentinel_sim.wire.names import NAMESPACE_DIRECTORY, other

PRIORITY = 9
"""Behind the FSU, the stamps and the faults: what a fault cuts is offered to no queue."""


class PathBins:
    """The counters of one run: made when it begins, gone when the next one begins."""

    def __init__(self, layout: Layout, source: Callable[[], CompiledSource]) -> None:
        """`source` gives the wire's programs; it is asked when a run wants them."""
        self._layout = layout
        self._source = source
        self._stack = ExitStack()
        self._counters: list[tuple[str, str, ByteBins, ByteBins]] = []
        self._start_ns = 0

    def attach(self, spec: RunSpec) -> None:
        """Take off what the run before had, and count from now on if this one asks for it."""
        self.close()
        if not spec.burstiness:
            return
        self._start_ns = time.monotonic_ns()
        path, links = spec.paths[0], {link.name: link for link in spec.links}
        for name, node in zip(path.links, path.nodes[:-1], strict=True):
            link, names = links[name], self._layout.wire_names(name)
            side = "a" if node == link.a else "b"
            ends = [
                self._attach(name, where) for where in (names.outer(side), names.mid(other(side)))
            ]
            target = link.b if side == "a" else link.a
            self._counters.append((name, f"{node}->{target}", ends[0], ends[1]))

    def _attach(self, link: str, interface: str) -> ByteBins:
        counter = ByteBins(self._source(), start_ns=self._start_ns, bin_ns=BIN_NS)
        self._stack.callback(counter.close)
        wire = NAMESPACE_DIRECTORY / self._layout.wire_names(link).namespace
        attached = attach_tc(counter.tc_fd, interface, "ingress", wire, priority=PRIORITY)
        self._stack.callback(attached.close)
        return counter

    def read(self) -> tuple[LinkBins, ...]:
        """Everything since `attach`, sender to receiver; empty if nothing was asked for."""
        count = min((time.monotonic_ns() - self._start_ns) // BIN_NS, MOST_BINS)
        return tuple(
            LinkBins(link, way, self._start_ns, BIN_NS, offered.read(count), departed.read(count))
            for link, way, offered, departed in self._counters
        )

    def close(self) -> None:
        """Take everything off. Harmless a second time."""
        self._stack.close()
        self._counters.clear()
