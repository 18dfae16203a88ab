"""Why a message from a neighbour is not believed.

A refusal is a value, not an exception: a neighbour may say anything at any time. Whoever refuses
changes nothing but a counter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Names of the counters of refused messages."""

    TOO_LARGE = "too-large"
    MALFORMED = "malformed"
    BAD_VALUE = "bad-value"
    FOREIGN_SESSION = "foreign-session"
    BAD_TAG = "bad-tag"
    REPLAYED = "replayed"
    TOO_OLD = "too-old"
    UNEXPECTED = "unexpected"
    WRONG_PEER = "wrong-peer"
    STALE_EPOCH = "stale-epoch"
    OUTDATED = "outdated"
    UNKNOWN_FLOW = "unknown-flow"
    PHASE_REGRESSED = "phase-regressed"
    FORGOTTEN = "forgotten"
    TABLE_FULL = "table-full"
    BEYOND_SENT = "beyond-sent"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One message that was not believed; `detail` is for a log line."""

    reason: Reason
    detail: str


class RefusalCounter:
    """How many messages were refused, by reason."""

    def __init__(self) -> None:
        self._counts: Counter[Reason] = Counter()

    def note(self, refusal: Refusal) -> Refusal:
        """Count it, and give it back."""
        self._counts[refusal.reason] += 1
        return refusal

    @property
    def counts(self) -> Mapping[Reason, int]:
        """A copy of the counts; reasons that did not occur are absent."""
        return dict(self._counts)

    @property
    def total(self) -> int:
        """All refusals."""
        return sum(self._counts.values())
