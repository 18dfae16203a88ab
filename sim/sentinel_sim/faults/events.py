"""What is written down of faults and repairs. Times are CLOCK_MONOTONIC ns after traffic start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

NO_DAEMON = "no daemon lived for"
"""How the detail of a signal begins that hit nobody."""


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

    @property
    def struck(self) -> bool:
        """It began, could be carried out, and did not come to a daemon that was dead already."""
        begun = self.actual_ns is not None and not self.failed
        return begun and not self.detail.startswith(NO_DAEMON)


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
    """By any node, from this failure on until the next. None: nobody counts them (no custody)."""
    path: tuple[str, ...] = ()
    """Nodes and links, alternating, of the path that is used instead."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Resumption:
    """A flow in custody went on over another connection, from where the next node wanted it."""

    node: str
    next_hop: str
    flow_id: int
    at_ns: int
    """After the start of the run's traffic."""
    offset: int
    replayed_bytes: int
    """Had gone out from `node` before."""


def with_replays(
    repairs: Sequence[RepairEvent], resumptions: Sequence[Resumption]
) -> tuple[RepairEvent, ...]:
    """The repairs with what they cost: a resumption belongs to the latest failure before it."""
    starts = sorted({repair.failed_ns for repair in repairs})
    ends = {begin: next(iter(starts[place:]), None) for place, begin in enumerate(starts, 1)}

    def cost(begin_ns: int) -> int:
        end_ns = ends[begin_ns]
        return sum(
            one.replayed_bytes
            for one in resumptions
            if one.at_ns >= begin_ns and (end_ns is None or one.at_ns < end_ns)
        )

    return tuple(replace(repair, bytes_replayed=cost(repair.failed_ns)) for repair in repairs)
