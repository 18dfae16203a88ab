"""When to acknowledge: by bytes or by time, whichever comes first; never twice the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

ACK_BYTES = 1024 * 1024
"""Of a flow among few. At 1 Gbit/s, 120 acknowledgements of about 110 bytes a second: 0.01 % of
the data."""

ACK_BYTES_MIN = 64 * 1024
"""Among many, who each have little memory on the way: still 0.2 % of the data at the most."""

ACK_INTERVAL_NS = 10_000_000
"""Of a flow among few."""

ACK_SHARE_NS = 4_000_000
"""Of many flows each waits so long for each: 250 a second by time, whoever they are of.

A thousand flows at 10 ms each would be 100,000 a second, 9 % of 1 Gbit/s, and all of a CPU.
"""


def ack_interval_ns(flows: int) -> int:
    """The longest that one of so many open flows waits with an acknowledgement."""
    return max(ACK_INTERVAL_NS, flows * ACK_SHARE_NS)


def ack_bytes(flows: int) -> int:
    """The most that one of so many open flows leaves unacknowledged."""
    return max(ACK_BYTES_MIN, ACK_BYTES // max(flows, 1))


def _alone() -> int:
    return 1


@dataclass(slots=True)
class AckThrottle:
    """One kind of acknowledgement of one flow. Times in nanoseconds of any one clock."""

    flows: Callable[[], int] = _alone
    """How many are open, this one included."""
    said: int = 0
    """The value that was acknowledged last."""
    _said_ns: int | None = None
    _forced: bool = False

    def force(self) -> None:
        """Say it at the next chance: the peer may have missed what was said."""
        self._forced = True

    def due_at_ns(self, value: int) -> int | None:
        """When `value` is to be said; None: it needs not, 0: at once."""
        if self._forced or value - self.said >= ack_bytes(self.flows()):
            return 0
        if value <= self.said:
            return None
        return 0 if self._said_ns is None else self._said_ns + ack_interval_ns(self.flows())

    def is_due(self, value: int, now_ns: int) -> bool:
        """Say `value` now."""
        due_ns = self.due_at_ns(value)
        return due_ns is not None and due_ns <= now_ns

    def on_said(self, value: int, now_ns: int) -> None:
        """It was said; may be less than before, in a new attempt."""
        self.said = value
        self._said_ns = now_ns
        self._forced = False
