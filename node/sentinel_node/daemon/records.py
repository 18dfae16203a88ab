"""What one flow did at this node, filled in by its worker thread and read by others."""

from __future__ import annotations

import threading

from sentinel_node.core.series import SeriesSampler

UNEXPLAINED = "the flow's worker ended without a result; its traceback is in the node's log"


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
