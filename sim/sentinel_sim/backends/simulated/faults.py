"""Faults of links in virtual time: the emulation's schedule, carried out on the engine's links."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sentinel_sim.backends.base import LossPeriod
from sentinel_sim.backends.simulated.control.agenda import Agenda, Clock
from sentinel_sim.backends.simulated.control.virtual import FsuSimulation
from sentinel_sim.backends.simulated.translate import link_name
from sentinel_sim.engine import changing
from sentinel_sim.engine.simulation import SENT, Samples, Simulation
from sentinel_sim.engine.spec import LossModel
from sentinel_sim.faults.condition import Condition, Cut, nominal
from sentinel_sim.faults.events import FaultEvent
from sentinel_sim.faults.operations import SetLink, operations_of
from sentinel_sim.faults.record import FaultEntry
from sentinel_sim.faults.schedule import Action, FaultSchedule
from sentinel_sim.plan.model import RunSpec


@dataclass
class LinkTrack:
    """One direction of a link: its condition now, and what was counted under earlier ones."""

    condition: Condition
    seen: int = 0
    """Packets that came to the loss until the present condition began; those of cuts left out."""
    lost: int = 0
    """Of them."""
    cut_dropped: int = 0
    """Packets that the link did not take while it was cut."""
    lost_before_cut: int = 0
    """The engine's count when the present cut began."""
    loss_periods: list[LossPeriod] = field(default_factory=list)
    """That have ended; empty without a change."""
    rates: list[tuple[int, int]] = field(default_factory=list)
    """(since when in virtual time, bit/s), from the start on; empty without a change."""


class LinkFaults:
    """Begins and lifts the faults of one run, each at its instant; by bytes at the next look."""

    def __init__(
        self, spec: RunSpec, clock: Clock, traffic_ns: int, fsu: FsuSimulation | None
    ) -> None:
        """`traffic_ns`: the zero of all faults' times; `fsu`: whose control messages are lost."""
        self._fsu = fsu
        self._spec = spec
        self._clock = clock
        self._traffic_ns = traffic_ns
        self._bytes = 0
        self._schedule = FaultSchedule()
        self._entries: dict[int, FaultEntry] = {}
        for fault in spec.faults:
            number = self._schedule.add(fault)
            self._entries[number] = FaultEntry(fault, number)
        self.tracks = {
            link_name(link, source): LinkTrack(nominal(link))
            for link in spec.links
            for source in link.ends
        }
        """By the engine's name of a direction."""
        self._enter()

    @property
    def events(self) -> tuple[FaultEvent, ...]:
        """Every fault, in the order of the plan."""
        return tuple(entry.event() for entry in self._entries.values())

    def on_tick(self, samples: Samples) -> None:
        """An interval has ended: what the senders have written by now may be waited for."""
        if len(samples.flows):
            self._bytes = int(samples.flows[-1, :, SENT].sum())
        now_ns = max(self._clock.simulation.now_ns - self._traffic_ns, 0)
        self._carry_out(self._schedule.on_bytes(self._bytes, now_ns))

    def finish(self) -> None:
        """The traffic has ended: lift what is in force, and end the last periods."""
        self._carry_out(self._schedule.finish())
        for name, track in self.tracks.items():
            if track.loss_periods:
                self._end_loss_period(name, track)

    def _enter(self) -> None:
        """Have the agenda call when the next fault begins or ends."""
        deadline_ns = self._schedule.next_deadline_ns()
        if deadline_ns is not None:
            agenda = self._clock.agenda
            agenda.at(max(self._traffic_ns + deadline_ns, agenda.now_ns), self._on_timer)

    def _on_timer(self) -> None:
        now_ns = self._clock.agenda.now_ns - self._traffic_ns
        self._carry_out(self._schedule.on_timer(now_ns))

    def _carry_out(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            for one in operations_of(action, self._schedule.in_force, self._spec.links):
                if isinstance(one, SetLink):
                    self._set(one)
            at_ns = max(self._clock.simulation.now_ns - self._traffic_ns, 0)
            self._entries[action.number].note(action, at_ns, self._bytes)
        if actions:
            self._enter()

    def _set(self, operation: SetLink) -> None:
        link, wanted = operation.link, operation.condition
        source = link.a if operation.side == "a" else link.b
        simulation = self._clock.simulation
        name = link_name(link, source)
        track = self.tracks[name]
        if wanted.rate_bps != track.condition.rate_bps:
            index = simulation.link_names.index(name)
            changing.set_rate(simulation.world, index, wanted.rate_bps, link.queue_bytes)
            track.rates = track.rates or [(0, track.condition.rate_bps)]
            track.rates.append((simulation.now_ns, wanted.rate_bps))
        if (wanted.loss, wanted.cut) != (track.condition.loss, track.condition.cut):
            self._set_loss(name, track, wanted)
            if self._fsu is not None:
                self._fsu.set_control_loss(link, source, wanted.loss)
        track.condition = wanted

    def _set_loss(self, name: str, track: LinkTrack, wanted: Condition) -> None:
        simulation = self._clock.simulation
        index = simulation.link_names.index(name)
        was_cut = track.condition.cut is Cut.ALL
        if was_cut:
            track.cut_dropped = self._cut_dropped(name, track)
            track.lost_before_cut = int(simulation.world.links[index]["lost"])
        else:
            self._end_loss_period(name, track)
        if wanted.cut is not Cut.ALL:
            changing.set_loss(simulation.world, index, LossModel(wanted.loss))
        elif not was_cut:
            track.lost_before_cut = int(simulation.world.links[index]["lost"])
            changing.cut(simulation.world, index)
        track.condition = wanted
        track.seen, track.lost = self._counts(name, track)

    def _cut_dropped(self, name: str, track: LinkTrack) -> int:
        if track.condition.cut is not Cut.ALL:
            return track.cut_dropped
        return track.cut_dropped + self._row_count(name, "lost") - track.lost_before_cut

    def _counts(self, name: str, track: LinkTrack) -> tuple[int, int]:
        dropped = self._cut_dropped(name, track)
        return self._row_count(name, "accepted") - dropped, self._row_count(name, "lost") - dropped

    def _row_count(self, name: str, column: str) -> int:
        simulation = self._clock.simulation
        return int(simulation.world.links[simulation.link_names.index(name)][column])

    def _end_loss_period(self, name: str, track: LinkTrack) -> None:
        seen, lost = self._counts(name, track)
        period = LossPeriod(track.condition.loss, seen - track.seen, lost - track.lost)
        track.loss_periods.append(period)
        track.seen, track.lost = seen, lost


class DisturbedSimulation:
    """A simulation without nodes of its own, whose links break; takes the place of `Simulation`."""

    def __init__(self, simulation: Simulation, tick_ns: int) -> None:
        self._simulation = simulation
        self.clock = Clock(simulation, Agenda(), tick_ns)
        self.on_tick: Callable[[Samples], None] = lambda samples: None
        """Called at the end of each interval."""

    @property
    def done(self) -> bool:
        """All data was delivered."""
        return self._simulation.done

    def advance(self, ticks: int) -> list[Samples]:
        """Run for `ticks` intervals; the samples of each."""
        found: list[Samples] = []
        for _ in range(ticks):
            self.clock.agenda.run_before(self.clock.tick_end_ns)
            found.append(self.clock.finish_tick())
            self.clock.agenda.now_ns = self._simulation.now_ns
            self.on_tick(found[-1])
        return found
