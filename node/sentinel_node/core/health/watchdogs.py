"""Watchdogs over flows: does delivery move while there is backlog, and is the view in phase?

A process may answer heartbeats and yet move nothing. The progress watchdog looks at what the
system is for: the delivered offset. The phase watchdog looks at replicas, and bites only after
several samples in a row: one late sample is no fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Stalled:
    """Delivery of a flow stands still at `offset` although `backlog_bytes` wait."""

    flow_id: int
    offset: int
    backlog_bytes: int
    since_ns: int


@dataclass(frozen=True, slots=True)
class Moving:
    """A stalled flow goes on, after `stalled_for_ns`."""

    flow_id: int
    stalled_for_ns: int


ProgressEffect: TypeAlias = Stalled | Moving


@dataclass(slots=True)
class _Progress:
    offset: int
    backlog: int
    since_ns: int
    stalled: bool = False


class ProgressWatchdog:
    """Stalled after `timeout_ns` with backlog and no movement."""

    def __init__(self, timeout_ns: int) -> None:
        if timeout_ns <= 0:
            raise ValueError(f"timeout_ns must be positive, got {timeout_ns}")
        self._timeout_ns = timeout_ns
        self._flows: dict[int, _Progress] = {}

    def on_sample(
        self, flow_id: int, *, delivered: int, backlog_bytes: int, now_ns: int
    ) -> tuple[ProgressEffect, ...]:
        """Where delivery stands, and how much waits behind it."""
        known = self._flows.get(flow_id)
        if known is None:
            self._flows[flow_id] = _Progress(delivered, backlog_bytes, now_ns)
            return ()
        moved = delivered > known.offset
        began = known.backlog == 0 and backlog_bytes > 0
        known.offset = max(known.offset, delivered)
        known.backlog = backlog_bytes
        if not (moved or began or backlog_bytes == 0):
            return self._check(flow_id, known, now_ns)
        since_ns, known.since_ns = known.since_ns, now_ns
        if not known.stalled or not (moved or backlog_bytes == 0):
            return ()
        known.stalled = False
        return (Moving(flow_id, now_ns - since_ns),)

    def on_end(self, flow_id: int) -> None:
        """The flow is over; it is watched no longer."""
        self._flows.pop(flow_id, None)

    def on_timer(self, now_ns: int) -> tuple[ProgressEffect, ...]:
        """Time has passed: which flows have stalled."""
        found: list[ProgressEffect] = []
        for flow_id, known in self._flows.items():
            found += self._check(flow_id, known, now_ns)
        return tuple(found)

    def next_deadline_ns(self) -> int | None:
        """When to call `on_timer` next; None when there is nothing to wait for."""
        waiting = [
            known.since_ns + self._timeout_ns
            for known in self._flows.values()
            if known.backlog and not known.stalled
        ]
        return min(waiting, default=None)

    def _check(self, flow_id: int, known: _Progress, now_ns: int) -> tuple[ProgressEffect, ...]:
        if known.stalled or not known.backlog or now_ns - known.since_ns < self._timeout_ns:
            return ()
        known.stalled = True
        return (Stalled(flow_id, known.offset, known.backlog, known.since_ns),)


@dataclass(frozen=True, slots=True)
class OutOfPhase:
    """A replica was wrong by more than the bound for `samples` samples in a row."""

    flow_id: int
    peer: str
    error_ns: int | None
    since_ns: int
    samples: int


@dataclass(frozen=True, slots=True)
class InPhase:
    """A replica is right again."""

    flow_id: int
    peer: str


PhaseEffect: TypeAlias = OutOfPhase | InPhase


@dataclass(slots=True)
class _Phase:
    bad: int = 0
    since_ns: int = 0


class PhaseWatchdog:
    """Out of phase after `samples` samples in a row above `bound_ns`."""

    def __init__(self, bound_ns: int, samples: int) -> None:
        if bound_ns < 0 or samples < 1:
            raise ValueError(f"bound_ns from 0, samples from 1, got {bound_ns}, {samples}")
        self._bound_ns = bound_ns
        self._samples = samples
        self._seen: dict[tuple[int, str], _Phase] = {}

    def on_sample(
        self, flow_id: int, peer: str, error_ns: int | None, *, now_ns: int
    ) -> tuple[PhaseEffect, ...]:
        """One sample; None (no phase exists, see `core.sync.phase`) is above any bound."""
        seen = self._seen.setdefault((flow_id, peer), _Phase())
        if error_ns is not None and abs(error_ns) <= self._bound_ns:
            was_out = seen.bad >= self._samples
            seen.bad = 0
            return (InPhase(flow_id, peer),) if was_out else ()
        if seen.bad == 0:
            seen.since_ns = now_ns
        seen.bad += 1
        if seen.bad != self._samples:
            return ()
        return (OutOfPhase(flow_id, peer, error_ns, seen.since_ns, seen.bad),)

    def on_end(self, flow_id: int) -> None:
        """The flow is over."""
        self._seen = {key: seen for key, seen in self._seen.items() if key[0] != flow_id}
