"""The arrays on which flows share links: which flow crosses what, and how fast each is now.

Rates are whole bit/s. A hop is one flow on one directed link; the flows that are on a link now are
the first `present` of its slots, in any order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sentinel_sim.flowlevel.heap import Heap, Int64, heap_of


class Shares(NamedTuple):
    """Everything `sharing` works on; made by `shares_of`, changed in place."""

    capacity: Int64
    """Of each directed link, bit/s."""
    first: Int64
    links: Int64
    """Flow `f` crosses `links[first[f] : first[f + 1]]`."""
    owner: Int64
    """Flow of each hop."""
    slot_first: Int64
    slots: Int64
    """Link `k` is crossed by the hops `slots[slot_first[k] : slot_first[k] + present[k]]`."""
    place: Int64
    """Slot of each hop; -1: its flow is not there."""
    present: Int64
    load: Int64
    """Sum of the rates on each link."""
    level: Int64
    """What a full link allows each flow; `UNLIMITED`: the link is not full."""
    at_level: Int64
    """Number of flows on a full link that have its level as their rate."""
    limit: Int64
    """What each flow allows itself."""
    rate: Int64
    before: Int64
    """Scratch: the rate of a flow before the present change; -1: not looked at."""
    fixed: Int64
    """Scratch: 1 for flows whose rate is found."""
    inside: Int64
    """Scratch: 1 for links that are solved anew."""
    left: Int64
    open_flows: Int64
    heap: Heap
    """Scratch: of links, by level."""


def shares_of(capacity: Int64, first: Int64, links: Int64, unlimited: int) -> Shares:
    """A network with no flow on it yet. The arrays must be sound (`maxmin.check`)."""
    flows, hops, count = len(first) - 1, len(links), len(capacity)
    crossing = np.bincount(links, minlength=count)
    return Shares(
        capacity=capacity.astype(np.int64),
        first=first.astype(np.int64),
        links=links.astype(np.int64),
        owner=np.repeat(np.arange(flows), np.diff(first)),
        slot_first=np.concatenate(([0], np.cumsum(crossing))).astype(np.int64),
        slots=np.zeros(hops, np.int64),
        place=np.full(hops, -1),
        present=np.zeros(count, np.int64),
        load=np.zeros(count, np.int64),
        level=np.full(count, unlimited),
        at_level=np.zeros(count, np.int64),
        limit=np.full(flows, unlimited),
        rate=np.zeros(flows, np.int64),
        before=np.full(flows, -1),
        fixed=np.zeros(flows, np.int64),
        inside=np.zeros(count, np.int64),
        left=np.zeros(count, np.int64),
        open_flows=np.zeros(count, np.int64),
        heap=heap_of(count),
    )
