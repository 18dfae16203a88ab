"""Max-min fair rates by progressive filling, in integers (pure).

Source: Bertsekas, Gallager: Data Networks (1992), section 6.5.2. All rates are whole bit/s. The
water level of a link is (what is left) // (flows not yet fixed). In each round all links and all
own limits at the lowest level are fixed together, so the order of flows and links changes nothing.
A saturated link may keep fewer bit/s than it has flows: the remainder of that division.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentinel_sim.flowlevel.limits import UNLIMITED

Int64 = NDArray[np.int64]


def max_min_rates_bps(
    capacity_bps: Int64, first: Int64, links: Int64, limit_bps: Int64 | None = None
) -> Int64:
    """The rate of each flow.

    Flow `f` crosses the directed links `links[first[f] : first[f + 1]]`, each once.
    `limit_bps` is what the flow itself allows (`limits`); None means no limits. A flow without
    links gets its limit. Raises ValueError for arrays that contradict each other.
    """
    capacity, starts, crossed = (np.asarray(a, np.int64) for a in (capacity_bps, first, links))
    count = len(starts) - 1
    limits = np.full(count, UNLIMITED) if limit_bps is None else np.asarray(limit_bps, np.int64)
    _check(capacity, starts, crossed, limits)
    flow_of = np.repeat(np.arange(count), np.diff(starts))
    by_link = np.argsort(crossed, kind="stable")
    users = flow_of[by_link]
    user_first = np.concatenate(([0], np.cumsum(np.bincount(crossed, minlength=len(capacity)))))
    if len(np.unique(crossed * count + flow_of)) != len(crossed):
        raise ValueError("a flow crosses a link twice")
    order = np.argsort(limits, kind="stable")
    rates: Int64 = _filling()(capacity.copy(), starts, crossed, user_first, users, limits, order)
    return rates


def _check(capacity: Int64, first: Int64, links: Int64, limits: Int64) -> None:
    if len(first) == 0 or first[0] != 0 or first[-1] != len(links) or (np.diff(first) < 0).any():
        raise ValueError(f"first must rise from 0 to the number of hops, {len(links)}")
    if len(limits) != len(first) - 1:
        raise ValueError(f"limit_bps has {len(limits)} values for {len(first) - 1} flows")
    if len(links) and not 0 <= links.min() <= links.max() < len(capacity):
        raise ValueError(f"links must lie in 0 .. {len(capacity) - 1}")
    for name, values in (("capacity_bps", capacity), ("limit_bps", limits)):
        if len(values) and not 0 <= values.min() <= values.max() <= UNLIMITED:
            raise ValueError(f"{name} must lie in 0 .. {UNLIMITED}")


@functools.cache
def _filling() -> Callable[..., Any]:
    # Imported and compiled late: importing numba takes half a second.
    from numba import njit

    made: Callable[..., Any] = njit(_fill)
    return made


def _fill(  # noqa: C901  one compiled loop
    left: Int64,
    first: Int64,
    links: Int64,
    user_first: Int64,
    users: Int64,
    limits: Int64,
    order: Int64,
) -> Int64:
    flows = len(first) - 1
    rates = np.full(flows, -1, np.int64)
    open_flows = user_first[1:] - user_first[:-1]
    # Levels only rise, so an entry is a lower bound: it is looked at again when it comes up.
    heap: list[tuple[Any, Any]] = [(np.int64(-1), np.int64(-1))]
    for link in range(len(left)):
        if open_flows[link] > 0:
            heap.append((left[link] // open_flows[link], np.int64(link)))
    heapify(heap)
    heappop(heap)
    fixed = np.empty(flows, np.int64)
    at = 0
    while True:
        while at < flows and rates[order[at]] >= 0:
            at += 1
        if at == flows:
            return rates
        level: Any = limits[order[at]]
        found = 0
        bottlenecks: list[Any] = [np.int64(-1)]
        while len(heap) > 0 and heap[0][0] <= level:
            link = heappop(heap)[1]
            if open_flows[link] == 0:
                continue
            now = left[link] // open_flows[link]
            if now < level:
                for other in bottlenecks[1:]:
                    heappush(heap, (level, other))
                bottlenecks = [np.int64(-1)]
                level = now
            if now == level:
                bottlenecks.append(link)
            else:
                heappush(heap, (now, link))
        for link in bottlenecks[1:]:
            for index in range(user_first[link], user_first[link + 1]):
                if rates[users[index]] < 0:
                    rates[users[index]] = level
                    fixed[found] = users[index]
                    found += 1
        while at < flows and limits[order[at]] == level:
            if rates[order[at]] < 0:
                rates[order[at]] = level
                fixed[found] = order[at]
                found += 1
            at += 1
        for flow in fixed[:found]:
            for hop in range(first[flow], first[flow + 1]):
                left[links[hop]] -= level
                open_flows[links[hop]] -= 1
