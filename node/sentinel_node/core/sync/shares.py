"""What a flow may count on: the rate of its path's links, among the flows that are live on them.

A flow is live from its announcement to its end. How many flows a workload has does not matter:
twenty that come one after the other have the whole link each. The share of a link is its rate
divided by the live flows on it that this node knows of; that of a flow is the least over its
links, what its origin asks for, and what the next node says it can count on. Nodes downstream see
flows of other origins too, so their word travels back upstream, hop by hop.

A prediction is made anew only when it changes by a quarter: with n flows live, one more or less
moves the share by 1/n, so a flow among N is predicted anew about log(N) times, not N times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from sentinel_node.core.control.messages import RATE_MAX_BPS, PathMetadata, Version

MATERIAL_PERCENT = 125
"""From this ratio on, two rates are two predictions."""

_Link: TypeAlias = tuple[str, str]


def is_material(one_Bps: int, other_Bps: int) -> bool:
    """Have buffers and windows to follow a change from one to the other?"""
    low, high = sorted((one_Bps, other_Bps))
    return high > low and high * 100 >= low * MATERIAL_PERCENT


@dataclass(slots=True)
class _Live:
    links: tuple[tuple[_Link, int], ...]
    """With their rates in bytes per second; those of unknown rate limit nothing."""
    advice_Bps: int | None = None
    advised: Version | None = None


class LinkShares:
    """The live flows that pass this node. Their number is bounded by the caller's flow table."""

    def __init__(self) -> None:
        self._live: dict[int, _Live] = {}
        self._on_link: Counter[_Link] = Counter()

    def __contains__(self, flow_id: int) -> bool:
        return flow_id in self._live

    def __iter__(self) -> Iterator[int]:
        return iter(tuple(self._live))

    def begin(self, path: PathMetadata) -> None:
        """The flow was announced along `path`. On another path, older advice does not hold."""
        links = tuple(
            ((before.node, hop.node), min(hop.rate_bps // 8, RATE_MAX_BPS))
            for before, hop in pairwise(path.hops)
            if hop.rate_bps
        )
        known = self._live.get(path.flow_id)
        if known is not None and known.links == links:
            return
        self.end(path.flow_id)
        self._live[path.flow_id] = _Live(links)
        self._on_link.update(link for link, _ in links)

    def end(self, flow_id: int) -> None:
        """The flow has ended; unknown ones are ignored."""
        flow = self._live.pop(flow_id, None)
        for link, _ in flow.links if flow is not None else ():
            self._on_link[link] -= 1
            if not self._on_link[link]:
                del self._on_link[link]

    def on_advice(self, flow_id: int, stamp: Version, rate_Bps: int) -> bool:
        """The next node's word on a live flow; False: it said something newer before.

        Raises KeyError for a flow that is not live.
        """
        flow = self._live[flow_id]
        if flow.advised is not None and stamp <= flow.advised:
            return False
        flow.advice_Bps, flow.advised = rate_Bps, stamp
        return True

    def rate_Bps(self, flow_id: int, asked_Bps: int) -> int:
        """What the flow may count on, of `asked_Bps`; at least 1 if it asks for anything."""
        flow = self._live.get(flow_id)
        if flow is None:
            return asked_Bps
        shares = [rate // self._on_link[link] for link, rate in flow.links]
        if flow.advice_Bps is not None:
            shares.append(flow.advice_Bps)
        return min(asked_Bps, max(1, min(shares, default=asked_Bps)))
