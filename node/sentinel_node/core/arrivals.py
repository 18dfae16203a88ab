"""When flows start: offsets for an arrival process, and who is due next.

Randomness is handed in, so that the same generator state gives the same offsets.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from random import Random
from typing import Generic, TypeVar

NS_PER_S = 1_000_000_000

ItemT = TypeVar("ItemT")


def regular_offsets_ns(count: int, interval_ns: int) -> tuple[int, ...]:
    """`count` starts, `interval_ns` apart, the first at 0."""
    if count < 0 or interval_ns < 0:
        raise ValueError(f"count and interval_ns must not be negative, got {count}, {interval_ns}")
    return tuple(index * interval_ns for index in range(count))


def poisson_offsets_ns(count: int, rate_per_s: float, rng: Random) -> tuple[int, ...]:
    """`count` starts of a Poisson process with `rate_per_s` arrivals per second on average."""
    if count < 0 or rate_per_s <= 0:
        raise ValueError(
            f"count must not be negative and rate_per_s positive, got {count}, {rate_per_s}"
        )
    offsets = []
    now_ns = 0
    for _ in range(count):
        now_ns += round(rng.expovariate(rate_per_s) * NS_PER_S)
        offsets.append(now_ns)
    return tuple(offsets)


class ArrivalSchedule(Generic[ItemT]):
    """Hands out items when their start time has come; equal times in the order given."""

    def __init__(self, items: Iterable[tuple[int, ItemT]]) -> None:
        self._heap = [(start_ns, order, item) for order, (start_ns, item) in enumerate(items)]
        heapq.heapify(self._heap)

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_start_ns(self) -> int | None:
        """When the next item is due; None if all were handed out."""
        return self._heap[0][0] if self._heap else None

    def due(self, now_ns: int) -> list[ItemT]:
        """Every item whose start is not after `now_ns`; each is given once."""
        ready = []
        while self._heap and self._heap[0][0] <= now_ns:
            ready.append(heapq.heappop(self._heap)[2])
        return ready
