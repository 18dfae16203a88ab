"""Where faults strike the wires: a stage in front of each direction, and the wire's own setters.

The stages are attached in runs with faults only, at all links, before the traffic: attaching a
program while packets pass could lose some.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from sentinel_bpf.attach import attach_tc
from sentinel_bpf.loader import CompiledSource
from sentinel_bpf.wire import FaultReading, FaultStage, LossReading, LossStage
from sentinel_sim.backends.base import LossPeriod
from sentinel_sim.backends.emulated.layout import Layout
from sentinel_sim.errors import EmulationError
from sentinel_sim.faults.condition import Condition, nominal
from sentinel_sim.plan.model import FaultKind, LinkPlan, RunSpec
from sentinel_sim.wire.names import NAMESPACE_DIRECTORY
from sentinel_sim.wire.wire import SIDES, Wire

FAULT_PRIORITY = 5
"""After the FSU (1), which sees what the node sends; before the filter that feeds the wire (10)."""

Clock = Callable[[], int]
"""CLOCK_MONOTONIC in ns."""
Direction = tuple[str, str]
"""(link name, side from which the packets come)."""


def lossy_by_fault(spec: RunSpec) -> frozenset[str]:
    """Links whose loss will change: their loss stage stands from the start."""
    return frozenset(fault.target for fault in spec.faults if fault.kind is FaultKind.LOSS)


@dataclass
class _Track:
    """What one direction went through in this run."""

    condition: Condition
    loss_from: LossReading = field(default_factory=lambda: LossReading(0, 0))
    loss_periods: list[LossPeriod] = field(default_factory=list)
    rate_changes: list[tuple[int, int, int]] = field(default_factory=list)
    """(begun_ns, done_ns, rate_bps), CLOCK_MONOTONIC."""


class FaultStages:
    """The wires of one run as faults leave them."""

    def __init__(
        self,
        layout: Layout,
        compiled: Callable[[], CompiledSource],
        wires: dict[str, Wire],
        losses: dict[Direction, LossStage],
    ) -> None:
        self._layout = layout
        self._compiled = compiled
        self._wires = wires
        self._losses = losses
        self._stack = ExitStack()
        self._stages: dict[Direction, FaultStage] = {}
        self._tracks: dict[Direction, _Track] = {}
        self._spec: RunSpec | None = None

    def attach(self, spec: RunSpec) -> None:
        """Stand in front of every wire; nothing is changed yet. The wires are set for `spec`."""
        self._spec = spec
        for link in spec.links:
            for side in SIDES:
                self._attach(link.name, side)
                self._tracks[link.name, side] = _Track(nominal(link))

    def _attach(self, link: str, side: str) -> None:
        stage = FaultStage(self._compiled())
        self._stack.callback(stage.close)
        stage.reset()
        names = self._layout.wire_names(link)
        wire = NAMESPACE_DIRECTORY / names.namespace
        filter_ = attach_tc(
            stage.tc_fd, names.outer(side), "ingress", wire, priority=FAULT_PRIORITY
        )
        self._stack.callback(filter_.close)
        self._stages[link, side] = stage

    def set(self, link: LinkPlan, side: str, wanted: Condition, now_ns: Clock) -> None:
        """Put one direction of a link into a condition. Blocks while `tc` changes a rate.

        Raises EmulationError.
        """
        track, spec = self._track(link.name, side)
        now = track.condition
        if (wanted.cut, wanted.corrupt) != (now.cut, now.corrupt):
            self._stages[link.name, side].set(int(wanted.cut), wanted.corrupt, self.seed)
        if wanted.loss != now.loss:
            self._set_loss(link, side, wanted.loss)
        if wanted.rate_bps != now.rate_bps:
            begun_ns = now_ns()
            self._wires[link.name].change_rate(side, link, wanted.rate_bps, spec.control_band)
            track.rate_changes.append((begun_ns, now_ns(), wanted.rate_bps))
        track.condition = wanted

    @property
    def has_control_plane(self) -> bool:
        """Do the nodes of this run send each other control messages?"""
        return self._spec is not None and self._spec.has_control_plane

    @property
    def seed(self) -> int:
        """Of the run; 0 without one."""
        return 0 if self._spec is None else self._spec.seed & (2**64 - 1)

    def condition(self, link: str, side: str) -> Condition:
        """What one direction is set to now. Raises EmulationError."""
        return self._track(link, side)[0].condition

    def _track(self, link: str, side: str) -> tuple[_Track, RunSpec]:
        if self._spec is None or (link, side) not in self._tracks:
            raise EmulationError(f"link {link}: no run with faults is prepared")
        return self._tracks[link, side], self._spec

    def _set_loss(self, link: LinkPlan, side: str, loss: float) -> None:
        track, spec = self._track(link.name, side)
        if link.loss == 0 and link.name not in lossy_by_fault(spec):
            raise EmulationError(
                f"link {link.name}: its loss stage does not stand; name the link in a fault of"
                " kind loss from the start"
            )
        stage = self._losses[link.name, side]
        before = stage.read()
        stage.change(loss_seed(spec, link.name, side), loss)
        # Packets between the two readings belong to neither period.
        self._end_loss_period(track, before)
        track.loss_from = stage.read()

    def _end_loss_period(self, track: _Track, reading: LossReading) -> None:
        seen = reading.seen - track.loss_from.seen
        dropped = reading.dropped - track.loss_from.dropped
        track.loss_periods.append(LossPeriod(track.condition.loss, seen, dropped))

    def loss_periods(self, link: str, side: str) -> tuple[LossPeriod, ...]:
        """The loss that was asked for, period by period; empty without faults, or a change."""
        track = self._tracks.get((link, side))
        if track is None or not track.loss_periods:
            return ()
        last = self._losses[link, side].read()
        ending = _Track(track.condition, track.loss_from, list(track.loss_periods))
        self._end_loss_period(ending, last)
        return tuple(ending.loss_periods)

    def rate_changes(self, link: str, side: str) -> tuple[tuple[int, int, int], ...]:
        """(begun_ns, done_ns, rate_bps) of each change, in order."""
        track = self._tracks.get((link, side))
        return () if track is None else tuple(track.rate_changes)

    def reading(self, link: str, side: str) -> FaultReading | None:
        """What was cut and corrupted; None without faults."""
        stage = self._stages.get((link, side))
        return None if stage is None else stage.read()

    def struck(self) -> Iterator[tuple[LinkPlan, str, Condition]]:
        """Directions that are not as the topology has them, with what they should be."""
        for link in () if self._spec is None else self._spec.links:
            for side in SIDES:
                if self._tracks[link.name, side].condition != nominal(link):
                    yield link, side, nominal(link)

    def detach(self) -> None:
        """Take the stages away; the next run's wires are set anew."""
        self._stack.close()
        self._stages.clear()
        self._tracks.clear()
        self._spec = None


def loss_seed(spec: RunSpec, link: str, side: str) -> int:
    """Of the loss stage of one direction in this run."""
    index = next(i for i, one in enumerate(spec.links) if one.name == link)
    return (spec.seed + 2 * index + SIDES.index(side)) & (2**64 - 1)
