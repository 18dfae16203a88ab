"""From what is wrong to what is done: one incident, one ladder of steps, one record.

An incident has a kind and a target. Its ladder lists the remedies from mild to strong; each is a
sequence of steps. A step that fails is tried again after a back-off that doubles; a remedy that
failed `attempts` times gives way to the next one; after the last the incident is given up, and
says so. An incident that is reported again while it is being repaired changes nothing. All
repairs together obey one rate limit, so that a flapping link cannot occupy the node.

The planner does nothing itself. Paths are data: which nodes each flow may go over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias


class Fault(StrEnum):
    """What is wrong."""

    XDP_DETACHED = "xdp-detached"
    DAEMON_DEAD = "daemon-dead"
    DAEMON_FROZEN = "daemon-frozen"
    PEER_SUSPECTED = "peer-suspected"
    CONNECTION_LOST = "connection-lost"
    FLOW_STALLED = "flow-stalled"
    OUT_OF_PHASE = "out-of-phase"
    PATH_BROKEN = "path-broken"
    LINK_LOST = "link-lost"


class Step(StrEnum):
    """What the driver is asked to do."""

    REATTACH_XDP = "reattach-xdp"
    RESTART_DAEMON = "restart-daemon"
    RECONNECT = "reconnect"
    RESYNC = "resync"
    REROUTE = "reroute"
    RESUME = "resume"


LADDERS: Mapping[Fault, tuple[tuple[Step, ...], ...]] = {
    Fault.XDP_DETACHED: ((Step.REATTACH_XDP,),),
    Fault.DAEMON_DEAD: (
        (Step.RESTART_DAEMON, Step.RECONNECT, Step.RESYNC, Step.RESUME),
        (Step.REROUTE, Step.RESUME),
    ),
    Fault.DAEMON_FROZEN: (
        (Step.RESTART_DAEMON, Step.RECONNECT, Step.RESYNC, Step.RESUME),
        (Step.REROUTE, Step.RESUME),
    ),
    Fault.PEER_SUSPECTED: (
        (Step.RECONNECT, Step.RESYNC, Step.RESUME),
        (Step.REROUTE, Step.RESUME),
    ),
    Fault.CONNECTION_LOST: (
        (Step.RECONNECT, Step.RESYNC, Step.RESUME),
        (Step.REROUTE, Step.RESUME),
    ),
    Fault.FLOW_STALLED: ((Step.RESYNC, Step.RESUME), (Step.REROUTE, Step.RESUME)),
    Fault.OUT_OF_PHASE: ((Step.RESYNC,), (Step.RECONNECT, Step.RESYNC)),
    Fault.PATH_BROKEN: ((Step.REROUTE, Step.RESUME),),
    Fault.LINK_LOST: (),
}
"""A fault without remedies is waited out: it is over when it is reported cured."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One thing that is wrong with one target (a node, interface, or "flow N")."""

    fault: Fault
    target: str


@dataclass(frozen=True, slots=True)
class Perform:
    """Do `step`; report with `on_done` under the same number."""

    number: int
    incident: Incident
    step: Step
    attempt: int
    path: tuple[str, ...] = ()
    """The path to use, for REROUTE."""


@dataclass(frozen=True, slots=True)
class RepairRecord:
    """What became of an incident. Times in ns; `time_to_repair_ns` counts from detection."""

    incident: Incident
    failed_ns: int
    detected_ns: int
    ended_ns: int
    repaired: bool
    steps: tuple[tuple[Step, bool], ...]
    bytes_replayed: int
    detail: str

    @property
    def time_to_detect_ns(self) -> int:
        """From the failure, as far as it is known, to its detection."""
        return self.detected_ns - self.failed_ns

    @property
    def time_to_repair_ns(self) -> int:
        """From detection to the end of the last step."""
        return self.ended_ns - self.detected_ns


RepairEffect: TypeAlias = Perform | RepairRecord


@dataclass(frozen=True, slots=True)
class RepairPolicy:
    """How patient the planner is. Times in ns."""

    attempts: int = 3
    backoff_ns: int = 50_000_000
    backoff_max_ns: int = 5_000_000_000
    spacing_ns: int = 1_000_000
    """At least so much between two steps of any incidents."""

    def __post_init__(self) -> None:
        if self.attempts < 1 or not 0 < self.backoff_ns <= self.backoff_max_ns:
            raise ValueError(f"attempts from 1, 0 < backoff_ns <= backoff_max_ns, got {self}")
        if self.spacing_ns < 0:
            raise ValueError(f"spacing_ns must not be negative, got {self.spacing_ns}")


@dataclass(slots=True)
class _Repair:
    incident: Incident
    failed_ns: int
    detected_ns: int
    due_ns: int
    rung: int = 0
    step: int = 0
    attempt: int = 1
    failures: int = 0
    running: int = 0
    path: tuple[str, ...] = ()
    replayed: int = 0
    steps: list[tuple[Step, bool]] = field(default_factory=list)
    remedies: tuple[tuple[Step, ...], ...] = ()

    @property
    def remedy(self) -> tuple[Step, ...]:
        return self.remedies[self.rung]


class RepairPlanner:
    """Repairs under way. `paths`: by target, the paths its flows may take, best first.

    `ladders`: the remedies of whoever drives it, if they are not all of `LADDERS`.
    """

    def __init__(
        self,
        policy: RepairPolicy,
        paths: Mapping[str, Sequence[tuple[str, ...]]] | None = None,
        *,
        ladders: Mapping[Fault, tuple[tuple[Step, ...], ...]] = LADDERS,
    ) -> None:
        self._policy = policy
        self._ladders = ladders
        self._paths = {target: tuple(found) for target, found in (paths or {}).items()}
        self._repairs: dict[Incident, _Repair] = {}
        self._number = 0
        self._next_ns = 0
        self._avoid: frozenset[str] = frozenset()

    @property
    def open(self) -> tuple[Incident, ...]:
        """Incidents under repair."""
        return tuple(self._repairs)

    def set_avoid(self, nodes: frozenset[str]) -> None:
        """Names that a new path must not hold: what is suspected now."""
        self._avoid = nodes

    def on_fault(self, incident: Incident, *, failed_ns: int, now_ns: int) -> None:
        """Something is wrong, since `failed_ns` as far as is known. Known ones change nothing."""
        if not failed_ns <= now_ns:
            raise ValueError(f"failed at {failed_ns} ns, after its detection at {now_ns} ns")
        if incident not in self._repairs:
            self._repairs[incident] = _Repair(
                incident, failed_ns, now_ns, now_ns, remedies=self._ladders[incident.fault]
            )

    def on_cured(self, incident: Incident, *, now_ns: int) -> tuple[RepairEffect, ...]:
        """It is right again without us (the peer was slow, the process came back)."""
        repair = self._repairs.pop(incident, None)
        if repair is None:
            return ()
        return (self._record(repair, now_ns, repaired=True, detail="cured by itself"),)

    def on_timer(self, now_ns: int) -> tuple[RepairEffect, ...]:
        """Steps that are due, within the rate limit."""
        effects: list[RepairEffect] = []
        for repair in sorted(self._repairs.values(), key=lambda repair: repair.due_ns):
            if not repair.remedies or repair.running:
                continue
            if repair.due_ns > now_ns or self._next_ns > now_ns:
                continue
            effects.append(self._begin(repair, now_ns))
        return tuple(effects)

    def on_done(
        self, number: int, *, ok: bool, now_ns: int, bytes_replayed: int = 0
    ) -> tuple[RepairEffect, ...]:
        """A step has ended. One of a repair that is over, or was begun anew, changes nothing."""
        repair = next((r for r in self._repairs.values() if r.running == number), None)
        if repair is None:
            return ()
        repair.running = 0
        repair.replayed += bytes_replayed
        repair.steps.append((repair.remedy[repair.step], ok))
        return self._advance(repair, now_ns) if ok else self._retry(repair, now_ns)

    def next_deadline_ns(self) -> int | None:
        """When to call `on_timer` next; None when there is nothing to wait for."""
        waiting = (one for one in self._repairs.values() if one.remedies and not one.running)
        due = [repair.due_ns for repair in waiting]
        return max(min(due), self._next_ns) if due else None

    def _begin(self, repair: _Repair, now_ns: int) -> RepairEffect:
        step = repair.remedy[repair.step]
        if step is Step.REROUTE:
            path = self._path(repair.incident.target)
            if path is None:
                del self._repairs[repair.incident]
                detail = f"no path left that avoids {', '.join(sorted(self._avoid)) or 'nothing'}"
                return self._record(repair, now_ns, repaired=False, detail=detail)
            repair.path = path
        self._number += 1
        repair.running = self._number
        self._next_ns = now_ns + self._policy.spacing_ns
        return Perform(self._number, repair.incident, step, repair.attempt, repair.path)

    def _advance(self, repair: _Repair, now_ns: int) -> tuple[RepairEffect, ...]:
        repair.step += 1
        repair.due_ns = now_ns
        if repair.step < len(repair.remedy):
            return ()
        del self._repairs[repair.incident]
        return (self._record(repair, now_ns, repaired=True, detail=""),)

    def _retry(self, repair: _Repair, now_ns: int) -> tuple[RepairEffect, ...]:
        wait_ns = min(
            self._policy.backoff_ns << min(repair.failures, 62), self._policy.backoff_max_ns
        )
        repair.failures += 1
        repair.due_ns = now_ns + wait_ns
        repair.step = 0
        repair.attempt += 1
        if repair.attempt <= self._policy.attempts:
            return ()
        repair.attempt = 1
        repair.rung += 1
        if repair.rung < len(repair.remedies):
            return ()
        del self._repairs[repair.incident]
        return (self._record(repair, now_ns, repaired=False, detail="every remedy failed"),)

    def _path(self, target: str) -> tuple[str, ...] | None:
        for path in self._paths.get(target, ()):
            if not self._avoid & set(path):
                return path
        return None

    @staticmethod
    def _record(repair: _Repair, now_ns: int, *, repaired: bool, detail: str) -> RepairRecord:
        return RepairRecord(
            incident=repair.incident,
            failed_ns=repair.failed_ns,
            detected_ns=repair.detected_ns,
            ended_ns=now_ns,
            repaired=repaired,
            steps=tuple(repair.steps),
            bytes_replayed=repair.replayed,
            detail=detail,
        )
