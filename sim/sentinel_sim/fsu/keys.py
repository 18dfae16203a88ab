"""What `fsu top` shows and how keys change it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

ACTIVE_S = 2.0
"""What the key `a` takes for active."""


class SortKey(StrEnum):
    """What `fsu top` can sort by."""

    RATE = "rate"
    RTT = "rtt"
    BDP = "bdp"
    BUFFER = "buffer"
    ERROR = "error"
    BYTES = "bytes"
    PACKETS = "packets"
    AGE = "age"
    FLOW = "flow"


@dataclass(frozen=True, slots=True)
class View:
    """Which lines, in which order."""

    sort: SortKey = SortKey.RATE
    reverse: bool = False
    words: tuple[str, ...] = ()
    active_s: float | None = None
    limit: int | None = None

    def on_key(self, key: str) -> View | None:
        """The view after a key was pressed; None: end. Keys without meaning change nothing."""
        match key:
            case "q" | "Q" | "\x03" | "\x04":
                return None
            case "<" | ">":
                order = list(SortKey)
                step = 1 if key == ">" else -1
                return replace(self, sort=order[(order.index(self.sort) + step) % len(order)])
            case "r" | "R":
                return replace(self, reverse=not self.reverse)
            case "a" | "A":
                return replace(self, active_s=ACTIVE_S if self.active_s is None else None)
        return self
