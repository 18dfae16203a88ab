"""When data flowed again after a fault, by what grew on the receivers' disks (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

MS = 1_000_000
ALONE_NS = 2_000 * MS
"""So long a fault must have been the last one, for what follows to be its doing."""
INTERRUPTED_NS = 60 * MS
"""Shorter pauses are no interruption: transfers begin and end, too."""


def flow_again_ns(grew_ns: Sequence[int], begun_ns: int, next_ns: int | None) -> int | None:
    """From a fault to the end of the longest pause in its wake; None: there was none, or others.

    `grew_ns`: the moments at which there was more on disk than before. `next_ns`: when the next
    fault began. All of one clock.
    """
    until_ns = begun_ns + ALONE_NS
    if next_ns is not None and next_ns < until_ns:
        return None
    wake = [t for t in grew_ns if t <= until_ns]
    wake += [t for t in grew_ns if t > until_ns][:1]
    pauses = [(b - a, b) for a, b in pairwise(wake) if b > begun_ns]
    length_ns, end_ns = max(pauses, default=(0, 0))
    return end_ns - begun_ns if length_ns >= INTERRUPTED_NS else None
