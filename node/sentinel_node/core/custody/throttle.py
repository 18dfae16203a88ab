"""When to acknowledge: by bytes or by time, whichever comes first; never twice the same."""

from __future__ import annotations

from dataclasses import dataclass

ACK_BYTES = 1024 * 1024
"""At 1 Gbit/s, 120 acknowledgements of about 110 bytes a second: 0.01 % of the data."""

ACK_INTERVAL_NS = 10_000_000


@dataclass(slots=True)
class AckThrottle:
    """One kind of acknowledgement of one flow. Times in nanoseconds of any one clock."""

    every_bytes: int = ACK_BYTES
    every_ns: int = ACK_INTERVAL_NS
    said: int = 0
    """The value that was acknowledged last."""
    _said_ns: int | None = None
    _forced: bool = False

    def __post_init__(self) -> None:
        if self.every_bytes < 1 or self.every_ns < 1:
            raise ValueError(f"acknowledge every {self.every_bytes} bytes, {self.every_ns} ns")

    def force(self) -> None:
        """Say it at the next chance: the peer may have missed what was said."""
        self._forced = True

    def due_at_ns(self, value: int) -> int | None:
        """When `value` is to be said; None: it needs not, 0: at once."""
        if self._forced or value - self.said >= self.every_bytes:
            return 0
        if value <= self.said:
            return None
        return 0 if self._said_ns is None else self._said_ns + self.every_ns

    def is_due(self, value: int, now_ns: int) -> bool:
        """Say `value` now."""
        due_ns = self.due_at_ns(value)
        return due_ns is not None and due_ns <= now_ns

    def on_said(self, value: int, now_ns: int) -> None:
        """It was said; may be less than before, in a new attempt."""
        self.said = value
        self._said_ns = now_ns
        self._forced = False
