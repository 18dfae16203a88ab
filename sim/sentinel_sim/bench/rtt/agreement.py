"""How well two round-trip times of the same flows agree (no I/O)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sentinel_bpf.flow_map import FlowHalf, FlowRecord

FlowKey = tuple[str, int, str, int]
"""(address, port) of the sender of a direction, then of its receiver. All flows are TCP."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What an error may be: a share of the true value, or so many microseconds if that is more."""

    share: float
    at_least_us: float

    def of(self, true_us: float) -> float:
        """In microseconds, for this true value."""
        return max(self.share * true_us, self.at_least_us)


MEDIAN_LIMIT = Limit(0.01, 50.0)
P95_LIMIT = Limit(0.05, 500.0)


@dataclass(frozen=True, slots=True)
class Rtt:
    """One direction of a flow at one moment, in microseconds."""

    smoothed_us: float
    minimum_us: float


@dataclass(frozen=True, slots=True)
class Pair:
    """The same figure from both, in microseconds; `true` is the kernel's."""

    true_us: float
    seen_us: float

    @property
    def error_us(self) -> float:
        """How far off the FSU is, whichever way."""
        return abs(self.seen_us - self.true_us)


@dataclass(frozen=True, slots=True)
class Agreement:
    """The errors of many pairs; microseconds, and shares of the true value."""

    pairs: int
    true_median_us: float
    bias_us: float
    """Median of FSU minus kernel: below zero, the FSU sees less."""
    median_us: float
    median_share: float
    p95_us: float
    p95_share: float
    median_of_limit: float
    """Median of each error divided by the limit for its own true value; holds up to 1."""
    p95_of_limit: float

    @property
    def within(self) -> bool:
        """Whether both limits hold."""
        return self.median_of_limit <= 1 and self.p95_of_limit <= 1


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: a value that was there, with `share` of all not above it."""
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


def agreement(pairs: Sequence[Pair]) -> Agreement:
    """The errors of `pairs`. Raises ValueError if there are none: nothing was compared."""
    if not pairs:
        raise ValueError("no pair of round-trip times to compare")
    errors = [pair.error_us for pair in pairs]
    shares = [pair.error_us / pair.true_us for pair in pairs]
    return Agreement(
        pairs=len(pairs),
        true_median_us=statistics.median(pair.true_us for pair in pairs),
        bias_us=statistics.median(pair.seen_us - pair.true_us for pair in pairs),
        median_us=percentile(errors, 0.5),
        median_share=percentile(shares, 0.5),
        p95_us=percentile(errors, 0.95),
        p95_share=percentile(shares, 0.95),
        median_of_limit=percentile([p.error_us / MEDIAN_LIMIT.of(p.true_us) for p in pairs], 0.5),
        p95_of_limit=percentile([p.error_us / P95_LIMIT.of(p.true_us) for p in pairs], 0.95),
    )


def directions(records: Iterable[FlowRecord]) -> dict[FlowKey, FlowHalf]:
    """Both halves of every record by the direction they describe."""
    found = {}
    for record in records:
        source = record.source_address, record.source_port
        target = record.target_address, record.target_port
        found[*source, *target] = record.forward
        found[*target, *source] = record.backward
    return found


@dataclass(frozen=True, slots=True)
class Compared:
    """One moment, all flows of one node."""

    smoothed: tuple[Pair, ...]
    minimum: tuple[Pair, ...]
    missing: int
    """Flows for which the kernel has an RTT and the FSU has none."""

    @property
    def flows(self) -> int:
        """All for which the kernel has an RTT."""
        return len(self.smoothed) + self.missing


def compare(kernel: Mapping[FlowKey, Rtt], fsu: Mapping[FlowKey, FlowHalf]) -> Compared:
    """Pair what the kernel says of each of its sockets with what the FSU says of that direction."""
    smoothed, minimum, missing = [], [], 0
    for key, rtt in kernel.items():
        half = fsu.get(key)
        if half is None or not half.rtt_samples:
            missing += 1
            continue
        smoothed.append(Pair(rtt.smoothed_us, half.rtt_us))
        minimum.append(Pair(rtt.minimum_us, half.rtt_min_ns / 1000))
    return Compared(tuple(smoothed), tuple(minimum), missing)


def joined(parts: Iterable[Compared]) -> Compared:
    """Several moments as one."""
    every = list(parts)
    return Compared(
        tuple(pair for part in every for pair in part.smoothed),
        tuple(pair for part in every for pair in part.minimum),
        sum(part.missing for part in every),
    )
