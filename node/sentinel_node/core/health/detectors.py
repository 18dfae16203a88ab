"""Failure detectors: adaptive (phi accrual) and fixed (BFD-like). Heartbeats and time in.

Both say when they would suspect if nothing more came (`deadline_ns`), so the driver sets one
timer, and a timer on the deadline always makes progress. Suspicion is not proof: a heartbeat that
comes later is a mistake of the detector, and counted as one.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol, TypeAlias

NS_PER_MS = 1_000_000


class Detector(Protocol):
    """When to suspect one peer."""

    def heard(self, now_ns: int) -> None:
        """A heartbeat came."""
        ...

    @property
    def deadline_ns(self) -> int:
        """Without a further heartbeat the peer is suspected from this time on."""
        ...


class FixedDetector:
    """Suspects after `multiplier` intervals of silence (RFC 5880, section 6.8.4, asynchronous)."""

    def __init__(self, interval_ns: int, multiplier: int, *, now_ns: int) -> None:
        if interval_ns <= 0 or multiplier < 1:
            raise ValueError(
                f"interval_ns and multiplier must be positive, got {interval_ns}, {multiplier}"
            )
        self._timeout_ns = interval_ns * multiplier
        self._heard_ns = now_ns

    def heard(self, now_ns: int) -> None:
        """A heartbeat came; the detection time begins anew."""
        self._heard_ns = max(self._heard_ns, now_ns)

    @property
    def deadline_ns(self) -> int:
        """Last heartbeat plus the detection time."""
        return self._heard_ns + self._timeout_ns


class PhiAccrualDetector:
    """Suspects where phi = -log10 P(a heartbeat comes even later) reaches the threshold.

    Hayashibara, Defago, Yared, Katayama 2004: gaps between heartbeats are taken as normally
    distributed with mean and deviation of the last `window`. Threshold 8 means: one mistake in
    10^8 heartbeats, if they were. `min_deviation_ns` keeps a regular sender from being suspected
    at the first hiccup of a scheduler; `pause_ns` is added to the mean (Akka's
    acceptable-heartbeat-pause). Before the first gap, the mean is `first_gap_ns`, the deviation a
    quarter of it. A gap that ended a suspicion is learned as if it had ended at the deadline: an
    outage of a minute must not make the next one take minutes to notice, but a path that has become
    slower must be learned.
    """

    def __init__(
        self,
        threshold: float,
        *,
        first_gap_ns: int,
        min_deviation_ns: int,
        now_ns: int,
        pause_ns: int = 0,
        window: int = 200,
    ) -> None:
        if not 0 < threshold <= 100 or window < 2:
            raise ValueError(f"threshold in (0, 100], window from 2, got {threshold}, {window}")
        if first_gap_ns <= 0 or min_deviation_ns <= 0 or pause_ns < 0:
            raise ValueError("first_gap_ns and min_deviation_ns must be positive, pause_ns not < 0")
        # P(later) = 10^-threshold lies so many deviations above the mean.
        self._reach = -NormalDist().inv_cdf(10.0**-threshold)
        self._gaps: deque[int] = deque(maxlen=window)
        self._sum = self._square_sum = 0
        self._first_gap_ns = first_gap_ns
        self._min_deviation_ns = min_deviation_ns
        self._pause_ns = pause_ns
        self._heard_ns = now_ns
        self._begun = False

    def heard(self, now_ns: int) -> None:
        """A heartbeat came: learn the gap, at most up to the deadline."""
        if now_ns < self._heard_ns:
            return
        if self._begun:
            self._learn(min(now_ns, self.deadline_ns) - self._heard_ns)
        self._begun = True
        self._heard_ns = now_ns

    @property
    def mean_ns(self) -> int:
        """Mean gap, pause included."""
        mean = self._sum // len(self._gaps) if self._gaps else self._first_gap_ns
        return mean + self._pause_ns

    @property
    def deviation_ns(self) -> int:
        """Standard deviation of the gaps, at least the minimum."""
        count = len(self._gaps)
        if not count:
            return max(self._first_gap_ns // 4, self._min_deviation_ns)
        variance = (self._square_sum * count - self._sum * self._sum) // (count * count)
        return max(math.isqrt(variance), self._min_deviation_ns)

    @property
    def deadline_ns(self) -> int:
        """The time at which phi reaches the threshold."""
        beyond = math.ceil(self._reach * self.deviation_ns)
        return self._heard_ns + max(self.mean_ns + beyond, 1)

    def phi(self, now_ns: int) -> float:
        """How suspicious the silence is now."""
        x = (now_ns - self._heard_ns - self.mean_ns) / self.deviation_ns
        if x < 30:
            return -math.log10(0.5 * math.erfc(x / math.sqrt(2)))
        # erfc underflows; its asymptote does not (Abramowitz and Stegun 7.1.23).
        return (x * x / 2 + math.log(x * math.sqrt(2 * math.pi))) / math.log(10)

    def _learn(self, gap_ns: int) -> None:
        if len(self._gaps) == self._gaps.maxlen:
            old = self._gaps.popleft()
            self._sum -= old
            self._square_sum -= old * old
        self._gaps.append(gap_ns)
        self._sum += gap_ns
        self._square_sum += gap_ns * gap_ns


def jittered_interval_ns(interval_ns: int, multiplier: int, random_16: int) -> int:
    """When to send the next heartbeat: the interval less 0 to 25 % (RFC 5880, section 6.8.7).

    `random_16`: 0 to 65535, handed in. With a multiplier of 1 it is 10 to 25 % less.
    """
    if not 0 <= random_16 <= 65535:
        raise ValueError(f"random_16 must lie between 0 and 65535, got {random_16}")
    least = interval_ns // 10 if multiplier == 1 else 0
    most = interval_ns // 4
    return interval_ns - least - (most - least) * random_16 // 65535


@dataclass(frozen=True, slots=True)
class Suspect:
    """`peer` is taken for dead; silent for `silent_for_ns`."""

    peer: str
    silent_for_ns: int


@dataclass(frozen=True, slots=True)
class Trust:
    """`peer` spoke again after `silent_for_ns`: the suspicion was a mistake, or it recovered."""

    peer: str
    silent_for_ns: int


@dataclass(frozen=True, slots=True)
class Restarted:
    """`peer` is a new incarnation: everything it had in memory is gone."""

    peer: str
    epoch: int


LivenessEffect: TypeAlias = Suspect | Trust | Restarted


@dataclass(slots=True)
class _Peer:
    detector: Detector
    heard_ns: int
    epoch: int = 0
    sequence: int = 0
    suspected: bool = False


class Liveness:
    """Suspicion and trust over several peers, each with a detector of its own."""

    def __init__(self) -> None:
        self._peers: dict[str, _Peer] = {}
        self.heartbeats_lost = 0
        self.suspicions = 0
        self.mistakes = 0
        """Suspicions that ended with a heartbeat of the same incarnation."""

    @property
    def suspected(self) -> tuple[str, ...]:
        """Peers that are taken for dead."""
        return tuple(name for name, peer in self._peers.items() if peer.suspected)

    def watch(self, peer: str, detector: Detector, *, now_ns: int) -> None:
        """Begin to watch a peer."""
        self._peers[peer] = _Peer(detector, now_ns)

    def on_heartbeat(
        self, peer: str, *, epoch: int, sequence: int, now_ns: int
    ) -> tuple[LivenessEffect, ...]:
        """A heartbeat came. One of an older incarnation, or an old one, is no sign of life."""
        known = self._peers.get(peer)
        if known is None:
            raise ValueError(f"heartbeat of {peer}, which is not watched")
        if (epoch, sequence) <= (known.epoch, known.sequence):
            return ()
        effects: list[LivenessEffect] = []
        if known.epoch and epoch > known.epoch:
            effects.append(Restarted(peer, epoch))
        elif known.epoch:
            self.heartbeats_lost += sequence - known.sequence - 1
        if known.suspected:
            known.suspected = False
            self.mistakes += epoch == known.epoch
            effects.append(Trust(peer, now_ns - known.heard_ns))
        known.epoch, known.sequence = epoch, sequence
        known.detector.heard(now_ns)
        known.heard_ns = max(known.heard_ns, now_ns)
        return tuple(effects)

    def on_timer(self, now_ns: int) -> tuple[LivenessEffect, ...]:
        """Time has passed: who is suspected from now on."""
        effects = []
        for name, peer in self._peers.items():
            if not peer.suspected and now_ns >= peer.detector.deadline_ns:
                peer.suspected = True
                self.suspicions += 1
                effects.append(Suspect(name, now_ns - peer.heard_ns))
        return tuple(effects)

    def next_deadline_ns(self) -> int | None:
        """When to call `on_timer` next; None when there is nothing to wait for."""
        deadlines = [p.detector.deadline_ns for p in self._peers.values() if not p.suspected]
        return min(deadlines, default=None)
