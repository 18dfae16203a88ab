"""Whoever keeps the FSU beats its heart (heartbeat.py): when, from where, and was it regular.

`BeatSchedule` decides when (no clock, no thread); `Heart` beats from a thread of its own, so that a
busy event loop is not taken for a dead one.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass

from sentinel_bpf import abi, heartbeat, maps
from sentinel_bpf.errors import BpfError

NS_PER_S = 1_000_000_000
INTERVAL_NS = 200_000_000
TIMEOUT_NS = heartbeat.TIMEOUT_NS
"""Four beats may be missed: a garbage collection is no death. Below 2 s in all."""

_FIRST = maps.index_key(0)


@dataclass(slots=True)
class BeatSchedule:
    """When to beat next. Beats that were missed are not made up for."""

    interval_ns: int
    timeout_ns: int
    last_ns: int
    """Of the latest beat."""
    beats: int = 1
    gap_max_ns: int = 0
    """The longest time between two beats."""
    lapses: int = 0
    """How often that was beyond the timeout: packets may have been bypassed."""

    def __post_init__(self) -> None:
        if not 0 < self.interval_ns < self.timeout_ns:
            raise BpfError(
                f"a heartbeat every {self.interval_ns} ns cannot keep a timeout of "
                f"{self.timeout_ns} ns"
            )

    def next_deadline_ns(self) -> int:
        """When the next beat is due."""
        return self.last_ns + self.interval_ns

    def on_timer(self, now_ns: int) -> bool:
        """Whether to beat now; too early a timer changes nothing."""
        if now_ns < self.next_deadline_ns():
            return False
        gap_ns = now_ns - self.last_ns
        self.gap_max_ns = max(self.gap_max_ns, gap_ns)
        self.lapses += gap_ns > self.timeout_ns
        self.beats += 1
        self.last_ns = now_ns
        return True


@dataclass(frozen=True, slots=True)
class HeartbeatReading:
    """What stands in fsu_heartbeat."""

    beat_ns: int
    """CLOCK_MONOTONIC."""
    timeout_ns: int
    """0: no heartbeat is expected."""

    def age_ns(self, now_ns: int) -> int | None:
        """Since the latest beat; None where none is expected."""
        return None if self.timeout_ns == 0 else now_ns - self.beat_ns

    def is_stale(self, now_ns: int) -> bool:
        """Whether the FSU bypasses packets at `now_ns`."""
        age_ns = self.age_ns(now_ns)
        return age_ns is not None and age_ns > self.timeout_ns


def read_heartbeat(fd: int) -> HeartbeatReading:
    """The latest beat of the map fsu_heartbeat behind `fd`. Raises BpfError."""
    raw = maps.lookup(fd, _FIRST)
    if raw is None:
        raise BpfError(f"map descriptor {fd} has no heartbeat")
    found = abi.Heartbeat.from_buffer_copy(raw)
    return HeartbeatReading(int(found.beat_ns), int(found.timeout_ns))


class Heart:
    """Beats into one map (that any number of programs may share) until `close`."""

    def __init__(
        self, fd: int, *, interval_ns: int = INTERVAL_NS, timeout_ns: int = TIMEOUT_NS
    ) -> None:
        """Beats at once; keeps a descriptor of its own."""
        now_ns = time.monotonic_ns()
        self.schedule = BeatSchedule(interval_ns, timeout_ns, now_ns)
        self._fd = os.dup(fd)
        self._stop = threading.Event()
        self._error: BpfError | None = None
        try:
            heartbeat.beat(self._fd, timeout_ns=timeout_ns, now_ns=now_ns)
        except BpfError:
            os.close(self._fd)
            raise
        self._thread = threading.Thread(target=self._run, name="fsu heartbeat", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            due_ns = self.schedule.next_deadline_ns() - time.monotonic_ns()
            if self._stop.wait(max(0, due_ns) / NS_PER_S):
                return
            now_ns = time.monotonic_ns()
            if self.schedule.on_timer(now_ns):
                try:
                    heartbeat.beat(self._fd, timeout_ns=self.schedule.timeout_ns, now_ns=now_ns)
                except BpfError as error:
                    self._error = error  # the FSU fails open by itself; `close` tells
                    return

    def close(self, *, expect_no_more: bool = True) -> None:
        """Stop beating. Harmless a second time. Raises BpfError if a beat could not be written.

        `expect_no_more` switches the watch off, so that the FSU goes on without a heartbeat;
        otherwise it goes stale after the timeout, as after a crash.
        """
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        try:
            if self._error is not None:
                raise self._error
            if expect_no_more:
                heartbeat.release(self._fd)
        finally:
            os.close(self._fd)
