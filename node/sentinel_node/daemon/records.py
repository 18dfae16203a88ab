"""What one flow did at this node, filled in by its worker thread and read by others."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from sentinel_node.core.series import SeriesSampler
from sentinel_node.core.sync.checkpoints import Checkpoints

UNEXPLAINED = "the flow's worker ended without a result; its traceback is in the node's log"


@dataclass(frozen=True, slots=True)
class Resumption:
    """A flow in custody went on over another connection to the next node.

    `replayed_bytes` had gone out from this node before, and went out once more.
    """

    flow_id: int
    at_ns: int
    """CLOCK_MONOTONIC."""
    next_hop: str
    offset: int
    replayed_bytes: int


class CustodyRecord:
    """What custody adds to a flow's record. Written by any thread, under the lock of each value.

    `confirmed`: what the outside may rely on; `delivered`: what the receiver's application has,
    by its own word, at the time that word came here. Exposure is their difference.
    """

    def __init__(self, series_interval_ns: int) -> None:
        self._lock = threading.Lock()
        self._confirmed = SeriesSampler(series_interval_ns)
        self._delivered = SeriesSampler(series_interval_ns)
        self.confirmed_bytes = 0
        self.delivered_bytes = 0
        self.exposure_bytes_max = 0
        self.retained_bytes_max = 0
        self.attempts = 0
        self.replayed_bytes = 0
        self.duplicate_bytes = 0
        self.file = ""
        """Where the payload is written; empty: nowhere."""
        self.refused: dict[str, int] = {}
        self.connections: list[tuple[str, int]] = []
        """Name, and the flow's byte it began at."""

    def confirm(self, now_ns: int, offset: int, exposure_bytes_max: int) -> None:
        """[0, offset) is confirmed."""
        with self._lock:
            self._confirmed.add(now_ns, offset)
            self.confirmed_bytes = max(self.confirmed_bytes, offset)
            self.exposure_bytes_max = exposure_bytes_max

    def deliver(self, now_ns: int, offset: int) -> None:
        """[0, offset) is delivered."""
        with self._lock:
            self._delivered.add(now_ns, offset)
            self.delivered_bytes = max(self.delivered_bytes, offset)

    def series(self) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
        """Confirmed and delivered, each (times in ns, cumulative bytes)."""
        with self._lock:
            return self._confirmed.points, self._delivered.points


class FlowRecord:
    """One flow at one end. Times are CLOCK_MONOTONIC nanoseconds, 0 for never."""

    def __init__(self, flow_id: int, series_interval_ns: int) -> None:
        self.flow_id = flow_id
        self.start_ns = 0
        self.first_byte_ns = 0
        self.last_byte_ns = 0
        self.payload_bytes = 0
        self.declared_bytes = 0
        self.sha256 = b""
        self.hashed = True
        self.complete = False
        self.sha256_ok = False
        self.error = ""
        self.ended = False
        self.connection: str = ""
        self.custody: CustodyRecord | None = None
        self.checkpoints = Checkpoints()
        """Running hashes of the payload that was written or read here."""
        self._series = SeriesSampler(series_interval_ns)
        self._lock = threading.Lock()

    def progress(self, now_ns: int, count_bytes: int) -> None:
        """`count_bytes` more payload bytes were written or read, as of `now_ns`."""
        if not count_bytes:
            return
        with self._lock:
            self.payload_bytes += count_bytes
            self.first_byte_ns = self.first_byte_ns or now_ns
            self.last_byte_ns = now_ns
            self._series.add(now_ns, self.payload_bytes)

    def series(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """(times in ns, cumulative payload bytes)."""
        with self._lock:
            return self._series.points

    def end(self) -> None:
        """The worker is done. A flow never ends without either success or an error."""
        if not self.complete and not self.error:
            self.error = UNEXPLAINED
        self.ended = True
