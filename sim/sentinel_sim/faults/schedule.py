"""When each fault of a run begins and ends. Sans I/O: time and bytes in, actions out.

Times are nanoseconds after the start of the run's traffic. The caller asks for what is due, does
it, and says so. Whatever happens, `finish` gives the actions that end every fault still in force.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sentinel_sim.plan.model import FaultKind, FaultPlan

MOMENTARY = frozenset({FaultKind.KILL_DAEMON, FaultKind.RESTART_DAEMON})
"""Kinds that happen and are over; the others are in force until they are lifted."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Inject the fault now; it was due at `planned_ns`. What lasts is counted from `begun_ns`."""

    number: int
    fault: FaultPlan
    planned_ns: int
    begun_ns: int


@dataclass(frozen=True, slots=True)
class End:
    """Lift the fault now; it was due at `planned_ns` (None: at the run's end)."""

    number: int
    fault: FaultPlan
    planned_ns: int | None


Action: TypeAlias = Begin | End


class FaultSchedule:
    """The faults of one run. More can be added while it runs, as random campaigns do."""

    def __init__(self, faults: Sequence[FaultPlan] = ()) -> None:
        self._number = 0
        self._waiting: list[tuple[int, int, FaultPlan]] = []
        self._by_bytes: list[tuple[int, int, FaultPlan]] = []
        self._ends: list[tuple[int, int]] = []
        self._in_force: dict[int, FaultPlan] = {}
        self._bytes = 0
        self._now_ns = 0
        self._finished = False
        for fault in faults:
            self.add(fault)

    @property
    def in_force(self) -> tuple[FaultPlan, ...]:
        """Faults that have begun and not ended, in the order in which they began."""
        return tuple(self._in_force.values())

    @property
    def pending(self) -> tuple[FaultPlan, ...]:
        """Faults that have not begun, in the order in which they were added."""
        waiting = sorted((*self._waiting, *self._by_bytes), key=lambda one: one[1])
        return tuple(fault for _, _, fault in waiting)

    def add(self, fault: FaultPlan) -> int:
        """One more fault; gives its number. One whose time has passed is due at once."""
        if (fault.at_ns is None) == (fault.at_bytes is None):
            raise ValueError(f"a fault has exactly one of at_ns and at_bytes, got {fault}")
        if self._finished:
            raise ValueError(f"the run is over; cannot add {fault}")
        self._number += 1
        if fault.at_ns is not None:
            heapq.heappush(self._waiting, (fault.at_ns, self._number, fault))
        elif fault.at_bytes is not None:
            heapq.heappush(self._by_bytes, (fault.at_bytes, self._number, fault))
        return self._number

    def on_bytes(self, total: int, now_ns: int) -> tuple[Action, ...]:
        """The senders have written `total` bytes; what is due because of that, or of the time."""
        self._bytes = max(self._bytes, total)
        return self.on_timer(now_ns)

    def on_timer(self, now_ns: int) -> tuple[Action, ...]:
        """What is due at `now_ns`, in the order in which it was due; ends before beginnings."""
        if self._finished:
            return ()
        self._now_ns = now_ns = max(now_ns, self._now_ns)
        due: list[tuple[int, int, Action]] = []
        while self._ends and self._ends[0][0] <= now_ns:
            at_ns, number = heapq.heappop(self._ends)
            due.append((at_ns, number, End(number, self._in_force.pop(number), at_ns)))
        while self._waiting and self._waiting[0][0] <= now_ns:
            at_ns, number, fault = heapq.heappop(self._waiting)
            due.append((at_ns, number, self._begin(number, fault, at_ns)))
        while self._by_bytes and self._by_bytes[0][0] <= self._bytes:
            _, number, fault = heapq.heappop(self._by_bytes)
            due.append((now_ns, number, self._begin(number, fault, now_ns)))
        # Sorting is stable: an end that is due together with a beginning stays before it.
        return tuple(action for _, _, action in sorted(due, key=lambda one: one[0]))

    def next_deadline_ns(self) -> int | None:
        """When to call `on_timer` next; None when only bytes, or nothing, are waited for."""
        times = [queue[0][0] for queue in (self._waiting, self._ends) if queue]
        return None if self._finished or not times else max(min(times), self._now_ns)

    def finish(self) -> tuple[End, ...]:
        """The run is over: lift everything, the last fault first. Nothing begins any more."""
        self._finished = True
        self._ends.clear()
        ends = [End(number, fault, None) for number, fault in self._in_force.items()]
        self._in_force.clear()
        return tuple(reversed(ends))

    def _begin(self, number: int, fault: FaultPlan, planned_ns: int) -> Begin:
        if fault.kind not in MOMENTARY:
            self._in_force[number] = fault
            if fault.for_ns is not None:
                # Counted from when it really begins: a late fault lasts as long as was asked.
                heapq.heappush(self._ends, (self._now_ns + fault.for_ns, number))
        return Begin(number, fault, planned_ns, self._now_ns)
