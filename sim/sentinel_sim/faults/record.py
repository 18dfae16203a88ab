"""What is known of one fault while a run goes on."""

from __future__ import annotations

from dataclasses import dataclass, field

from sentinel_sim.faults.events import FaultEvent
from sentinel_sim.faults.schedule import MOMENTARY, Action, Begin
from sentinel_sim.plan.model import FaultPlan


@dataclass
class FaultEntry:
    """One fault so far; times after the start of the run's traffic."""

    fault: FaultPlan
    number: int
    actual_ns: int | None = None
    actual_bytes: int | None = None
    planned_end_ns: int | None = None
    ended_ns: int | None = None
    details: list[str] = field(default_factory=list)
    failed: bool = False

    def note(self, action: Action, at_ns: int, written_bytes: int) -> None:
        """The action is carried out as of `at_ns`, when the senders had written so much."""
        if not isinstance(action, Begin):
            self.ended_ns = at_ns
            return
        self.actual_ns, self.actual_bytes = at_ns, written_bytes
        if action.fault.for_ns is not None and action.fault.kind not in MOMENTARY:
            self.planned_end_ns = action.begun_ns + action.fault.for_ns

    def event(self) -> FaultEvent:
        """For the result."""
        fault = self.fault
        return FaultEvent(
            number=self.number,
            index=fault.index,
            kind=fault.kind.value,
            target=fault.target,
            direction=fault.direction,
            planned_ns=fault.at_ns,
            planned_bytes=fault.at_bytes,
            actual_ns=self.actual_ns,
            actual_bytes=self.actual_bytes,
            planned_end_ns=self.planned_end_ns,
            ended_ns=self.ended_ns,
            detail="; ".join(self.details),
            failed=self.failed,
        )
