"""What is written down of faults and repairs. Times are CLOCK_MONOTONIC ns after traffic start."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FaultEvent:
    """One fault as it was injected; the times after the start of the run's traffic."""

    number: int
    """In the run, from 1."""
    index: int
    """Of the file's faults."""
    kind: str
    target: str
    direction: str | None
    planned_ns: int | None
    """None: planned by bytes."""
    planned_bytes: int | None
    actual_ns: int | None
    """From then on it was in force (a signal was sent, a command had returned); None: it never
    began, because the run ended before."""
    actual_bytes: int | None
    """What the senders had written, as far as was known then."""
    planned_end_ns: int | None
    """None: at the run's end, or it does not last."""
    ended_ns: int | None
    """None: it does not last, or never began."""
    detail: str = ""
    """What was done, or why it could not be done."""
    failed: bool = False
    """It could not be injected or lifted: the run is not what was asked for."""


@dataclass(frozen=True, slots=True)
class RepairEvent:
    """One incident that the supervisor saw, and what became of it."""

    fault: str
    """What was wrong (`sentinel_node.core.health.repair.Fault`)."""
    target: str
    failed_ns: int
    """When it went wrong, as far as is known: see `time_to_detect_ns`."""
    time_to_detect_ns: int
    """From then to its detection. A death is known by the kernel's notice, so this is next to
    nothing; for what is missed (health replies, echoes), from the last sign of life."""
    time_to_repair_ns: int
    """From its detection to the end of the last step."""
    repaired: bool
    steps: tuple[tuple[str, bool], ...]
    """What was tried, and whether it worked."""
    bytes_replayed: int | None
    """None: nobody counts them (no custody)."""
    path: tuple[str, ...] = ()
    """Nodes and links, alternating, of the path that is used instead."""
    detail: str = ""
