"""A binary heap of numbered items whose keys may change (compiled).

Each item is in it once at most, so it never grows. Of equal keys the lower number comes first.
Source: Cormen et al., Introduction to Algorithms, chapter 6, with places as in its section 6.5.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentinel_sim.flowlevel.jit import compiled

Int64 = NDArray[np.int64]


class Heap(NamedTuple):
    """`order[0]` is the item with the least key, if `size[0]` is not 0."""

    order: Int64
    place: Int64
    """Of each item in `order`; -1: not in the heap."""
    key: Int64
    size: Int64


def heap_of(items: int) -> Heap:
    """An empty one for the items 0 .. items - 1."""
    return Heap(
        np.zeros(items, np.int64),
        np.full(items, -1),
        np.zeros(items, np.int64),
        np.zeros(1, np.int64),
    )


@compiled
def put(h, item, key):
    """Insert an item, or change its key."""
    at = h.place[item]
    if at < 0:
        at = h.size[0]
        h.size[0] += 1
    h.key[item] = key
    _settle(h, item, at)


@compiled
def take_out(h, item):
    """Remove an item, if it is there."""
    at = h.place[item]
    if at < 0:
        return
    h.place[item] = -1
    h.size[0] -= 1
    last = h.order[h.size[0]]
    if last != item:
        _settle(h, last, at)


@compiled
def clear(h):
    """Remove all."""
    for at in range(h.size[0]):
        h.place[h.order[at]] = -1
    h.size[0] = 0


@compiled
def _before(h, one, other):
    return h.key[one] < h.key[other] or (h.key[one] == h.key[other] and one < other)


@compiled
def _settle(h, item, at):
    """Find the place of an item from the hole `at` on, upwards or downwards."""
    while at > 0 and _before(h, item, h.order[(at - 1) // 2]):
        h.order[at] = h.order[(at - 1) // 2]
        h.place[h.order[at]] = at
        at = (at - 1) // 2
    while 2 * at + 1 < h.size[0]:
        child = 2 * at + 1
        if child + 1 < h.size[0] and _before(h, h.order[child + 1], h.order[child]):
            child += 1
        if not _before(h, h.order[child], item):
            break
        h.order[at] = h.order[child]
        h.place[h.order[at]] = at
        at = child
    h.order[at] = item
    h.place[item] = at
