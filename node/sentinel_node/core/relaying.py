"""What a relay does next with its two connections; it moves no bytes itself.

A relayed connection has two directions, each with a buffer of fixed capacity. The rules:

- read only while there is room, so memory is bounded and the kernel's window closes when the
  other side is slow (backpressure);
- pass on a half-close once everything read before it was written, and no earlier;
- the two directions are independent until one fails; a failure ends both, and the other side
  gets a reset.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Direction:
    """One way through a relay: bytes read from its source and not yet written to its sink."""

    capacity_bytes: int
    buffered_bytes: int = 0
    buffered_bytes_max: int = 0
    moved_bytes: int = 0
    """Written to the sink so far."""
    source_ended: bool = False
    sink_closed: bool = False
    """The half-close was passed on; nothing more can happen in this direction."""

    def __post_init__(self) -> None:
        if self.capacity_bytes <= 0:
            raise ValueError(f"capacity_bytes must be positive, got {self.capacity_bytes}")

    @property
    def room_bytes(self) -> int:
        """How much may be read now."""
        return 0 if self.source_ended else self.capacity_bytes - self.buffered_bytes

    @property
    def wants_write(self) -> bool:
        """There are bytes for the sink."""
        return self.buffered_bytes > 0

    @property
    def must_close_sink(self) -> bool:
        """The source has ended and all of it was written: half-close the sink now."""
        return self.source_ended and not self.buffered_bytes and not self.sink_closed

    def on_read(self, count_bytes: int) -> None:
        """`count_bytes` came from the source; 0 is its end of stream."""
        if self.source_ended:
            raise ValueError("read after the source's end of stream")
        if count_bytes == 0:
            self.source_ended = True
            return
        if count_bytes > self.room_bytes:
            raise ValueError(f"read {count_bytes} bytes into room for {self.room_bytes}")
        self.buffered_bytes += count_bytes
        self.buffered_bytes_max = max(self.buffered_bytes_max, self.buffered_bytes)

    def on_written(self, count_bytes: int) -> None:
        """`count_bytes` of the buffer went to the sink."""
        if not 0 <= count_bytes <= self.buffered_bytes:
            raise ValueError(f"wrote {count_bytes} bytes of {self.buffered_bytes} buffered")
        self.buffered_bytes -= count_bytes
        self.moved_bytes += count_bytes

    def on_sink_closed(self) -> None:
        """The half-close was carried out."""
        if not self.must_close_sink:
            raise ValueError("closed the sink although bytes may still come for it")
        self.sink_closed = True
