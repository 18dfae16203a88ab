"""What happens at which virtual time, and the engine that follows when it is looked at.

Calls are made in the order of time, at one instant in the order in which they were entered, and
before what the engine does at that instant. Most of them (a heartbeat has come) do not concern the
engine: so it is not moved with every call, but by `Clock.simulation`, when a call wants to see it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from sentinel_sim.engine.simulation import Samples, Simulation


class Agenda:
    """Calls to be made, by time."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self.now_ns = 0
        """Virtual time: of the call that is being made."""

    def at(self, when_ns: int, call: Callable[[], None]) -> None:
        """Enter a call. Raises ValueError for the past."""
        if when_ns < self.now_ns:
            raise ValueError(f"a call for {when_ns} ns was entered at {self.now_ns} ns")
        heapq.heappush(self._heap, (when_ns, self._count, call))
        self._count += 1

    def run_before(self, end_ns: int) -> None:
        """Make all calls that are due before `end_ns`, those that they enter too."""
        heap = self._heap
        while heap and heap[0][0] < end_ns:
            self.now_ns, _, call = heapq.heappop(heap)
            call()


class Clock:
    """A simulation that is as far as the agenda whenever it is asked for."""

    def __init__(self, simulation: Simulation, agenda: Agenda, tick_ns: int) -> None:
        self._simulation = simulation
        self._tick_ns = tick_ns
        self.agenda = agenda

    @property
    def tick_end_ns(self) -> int:
        """Of the interval that is being run."""
        return (self._simulation.now_ns // self._tick_ns + 1) * self._tick_ns

    @property
    def simulation(self) -> Simulation:
        """At the agenda's time."""
        if self._simulation.now_ns < self.agenda.now_ns:
            self._simulation.run_to(self.agenda.now_ns)
        return self._simulation

    def finish_tick(self) -> Samples:
        """Run to the interval's end. Its calls must have been made."""
        return self._simulation.advance(1)
