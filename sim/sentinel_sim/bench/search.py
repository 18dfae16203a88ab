"""Packets per second at zero loss: the throughput test of RFC 2544, section 26.1, as a search.

Pure: asks for rates, is told how each trial went. A trial passes if no packet was lost and all were
through soon after the last was sent: without the second rule a deep buffer would hide, in a short
trial, that the rate is not sustained. A rate fails when it failed `tries` trials in a row: one
interruption of a virtual CPU loses packets at any rate, and says nothing about the lane.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DRAIN_SHARE = 0.05
"""The last packet must be through within this share of the trial's time ..."""
DRAIN_LEAST_NS = 5_000_000
"""... or this, whichever is longer."""
KEPT_UP_SHARE = 0.98
"""A generator that made less than this share of the rate it was asked for was the bottleneck."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One trial of the search."""

    asked_pps: float
    achieved_pps: float
    """What the generator made."""
    sent: int
    received: int
    drain_ns: int
    """From the generator's end to the last packet's leaving; 0 if it left before."""
    duration_ns: int

    @property
    def lost(self) -> int:
        """Packets that did not come through."""
        return self.sent - self.received

    @property
    def kept_up(self) -> bool:
        """Whether the generator made the rate."""
        return self.achieved_pps >= KEPT_UP_SHARE * self.asked_pps

    @property
    def sustained(self) -> bool:
        """No loss, and no queue left that had grown during the trial."""
        limit_ns = max(DRAIN_LEAST_NS, DRAIN_SHARE * self.duration_ns)
        return self.lost == 0 and self.drain_ns <= limit_ns


@dataclass(frozen=True, slots=True)
class Throughput:
    """The highest rate that passed. `pps` 0: none did."""

    pps: float
    bound_by: str
    """`lane`; `generator` where it could not have sent more; `search` at the lowest rate asked."""
    resolution: float
    """The next higher rate that was tried (and failed) is at most this share above."""
    probes: tuple[Probe, ...]


@dataclass
class ThroughputSearch:
    """Binary search between a rate that passes and one that fails, to a relative resolution."""

    ceiling_pps: float
    """First rate asked for; should be above what can pass."""
    floor_pps: float
    resolution: float
    tries: int = 3
    _failures: int = 0
    _low: float = 0.0
    _high: float | None = None
    _generator_bound: bool = False
    _probes: list[Probe] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 0 < self.floor_pps < self.ceiling_pps:
            raise ValueError(f"no rates between {self.floor_pps} and {self.ceiling_pps}")
        if not 0 < self.resolution < 1:
            raise ValueError(f"the resolution must lie in (0, 1), got {self.resolution}")

    def next_rate_pps(self) -> float | None:
        """The rate to try next; None when the search is over."""
        if not self._probes:
            return self.ceiling_pps
        if self._failures:
            return self._probes[-1].asked_pps
        if self._high is None or self._high <= self.floor_pps:
            return None
        if self._low == 0.0:
            # Nothing passed yet: what came through last time is a good guess, half a safe one.
            last = self._probes[-1]
            through = 0.9 * last.received / max(last.duration_ns + last.drain_ns, 1) * 1e9
            return max(self.floor_pps, min(through, 0.8 * self._high))
        if self._high <= self._low * (1 + self.resolution):
            return None
        return float((self._low * self._high) ** 0.5)

    def record(self, probe: Probe) -> None:
        """What came of the rate that `next_rate_pps` gave."""
        self._probes.append(probe)
        again = len(self._probes) > 1 and self._failures + 1 < self.tries
        if probe.sustained:
            self._low = max(self._low, probe.achieved_pps)
        if (not probe.sustained or not probe.kept_up) and again:
            self._failures += 1
            return
        self._failures = 0
        if not probe.sustained:
            self._high = min(self._high or probe.asked_pps, probe.asked_pps, probe.achieved_pps)
        elif not probe.kept_up:
            # Higher rates cannot be made: what was made and passed is the answer.
            self._generator_bound = True
            self._high = self._low
        elif self._high is None:
            self._high = self._low

    def result(self) -> Throughput:
        """The outcome once `next_rate_pps` gives None."""
        if self._low == 0.0:
            return Throughput(0.0, "search", self.resolution, tuple(self._probes))
        first = self._probes[0]
        bound = self._generator_bound or (first.sustained and self._low >= first.achieved_pps)
        return Throughput(
            self._low, "generator" if bound else "lane", self.resolution, tuple(self._probes)
        )
