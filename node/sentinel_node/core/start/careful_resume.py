"""Careful Resume (RFC 9959, May 2026): start from what an earlier flow on the path found.

Memory: `PathMemory` keeps window and round-trip time of earlier flows per path, for a lifetime,
lends them to one connection at a time, and forgets them when they proved wrong. Without memory a
flow begins with the initial window and slow start, and says so.

Phases of one connection (`CarefulResume`), section 3 of the RFC:

    reconnaissance  at most the initial window, until all of it is acknowledged without
                    congestion and the round-trip time is like the remembered one
    unvalidated     the window jumps to at most half the remembered one, paced over a round trip,
                    for at most one round trip
    validating      no more than is in flight, until what was sent on trust is acknowledged
    safe retreat    congestion in one of these two: half of what the path is known to carry, and
                    the memory is deleted
    normal          the congestion controller alone decides

The core counts bytes; the driver (or the simulator) applies `cwnd_bytes` and `pacing_Bps` to the
connection and reports what happens. Section numbers in comments are those of the RFC.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

NS_PER_S = 1_000_000_000
RTT_LOW_DIVISOR = 2
RTT_HIGH_FACTOR = 10
SAVE_MIN_WINDOWS = 4
"""A window below four initial ones is not worth remembering (3.1)."""


class Phase(StrEnum):
    """Phases of RFC 9959, section 3."""

    RECONNAISSANCE = "reconnaissance"
    UNVALIDATED = "unvalidated"
    VALIDATING = "validating"
    SAFE_RETREAT = "safe-retreat"
    NORMAL = "normal"


@dataclass(frozen=True, slots=True)
class SavedPath:
    """What an earlier flow found: its window in bytes, its smallest round-trip time, and when."""

    cwnd_bytes: int
    rtt_ns: int
    saved_ns: int


class PathMemory:
    """Congestion control parameters of earlier flows, by path; bounded, oldest out first."""

    def __init__(self, *, lifetime_ns: int, paths_max: int, initial_window_bytes: int) -> None:
        if lifetime_ns <= 0 or paths_max < 1 or initial_window_bytes < 1:
            raise ValueError("lifetime_ns, paths_max and initial_window_bytes must be positive")
        self._lifetime_ns = lifetime_ns
        self._paths_max = paths_max
        self._worth_bytes = SAVE_MIN_WINDOWS * initial_window_bytes
        self._saved: dict[str, SavedPath] = {}
        self._lent: set[str] = set()

    def observe(self, path: str, *, cwnd_bytes: int, min_rtt_ns: int, now_ns: int) -> bool:
        """A flow measured the path (not in slow start overshoot). False: not worth keeping."""
        if min_rtt_ns <= 0 or cwnd_bytes < self._worth_bytes:
            return False
        self._saved.pop(path, None)
        self._saved[path] = SavedPath(cwnd_bytes, min_rtt_ns, now_ns)
        while len(self._saved) > self._paths_max:
            del self._saved[next(iter(self._saved))]
        return True

    def borrow(self, path: str, *, now_ns: int) -> SavedPath | None:
        """For one new connection; None without valid memory, or while another one has it (3.2)."""
        saved = self._saved.get(path)
        if saved is None or path in self._lent:
            return None
        if now_ns - saved.saved_ns > self._lifetime_ns:
            del self._saved[path]
            return None
        self._lent.add(path)
        return saved

    def give_back(self, path: str, *, proved_wrong: bool) -> None:
        """The connection left Careful Resume; after a retreat the memory is deleted (3.5)."""
        self._lent.discard(path)
        if proved_wrong:
            self._saved.pop(path, None)


@dataclass(frozen=True, slots=True)
class ResumeLimits:
    """Bounds of a connection, in bytes."""

    initial_window_bytes: int
    max_jump_bytes: int
    max_packet_bytes: int

    def __post_init__(self) -> None:
        if not 0 < self.max_packet_bytes <= self.initial_window_bytes <= self.max_jump_bytes:
            raise ValueError(
                "0 < max_packet_bytes <= initial_window_bytes <= max_jump_bytes does not hold: "
                f"{self}"
            )


class CarefulResume:
    """One connection's start. Offsets are bytes of its stream, each sent once.

    `cwnd_bytes` is a limit on bytes in flight in every phase but NORMAL, where it is None.
    """

    def __init__(self, saved: SavedPath | None, limits: ResumeLimits) -> None:
        self._saved = saved
        self._limits = limits
        self._sent = self._acked = 0
        self._min_rtt_ns: int | None = None
        self._pipe = 0
        self._jump_ns = 0
        self._jump_sent = 0
        self._last_unvalidated = 0
        self._rtt_ns = 0
        self.cwnd_bytes: int | None = limits.initial_window_bytes
        self.ssthresh_bytes: int | None = None
        self._retreated = False
        self.exit_window_bytes = 0
        """In NORMAL: the window that the controller goes on from, as far as it was validated."""
        self.phase = Phase.RECONNAISSANCE
        self.reason = ""
        if saved is None:
            self._leave("no earlier flow on this path is remembered: slow start")

    @property
    def flight_bytes(self) -> int:
        """Sent and not acknowledged."""
        return self._sent - self._acked

    @property
    def acked_bytes(self) -> int:
        """Acknowledged so far."""
        return self._acked

    @property
    def sendable_bytes(self) -> int | None:
        """How much may be sent now; None: as the congestion controller says."""
        return None if self.cwnd_bytes is None else max(0, self.cwnd_bytes - self.flight_bytes)

    @property
    def pacing_Bps(self) -> int | None:
        """The rate that must not be exceeded now; None: none beyond the controller's own.

        Unvalidated packets are spread over one current round trip (4.3).
        """
        if self.phase is not Phase.UNVALIDATED or not self._rtt_ns or self.cwnd_bytes is None:
            return None
        return max(1, self.cwnd_bytes * NS_PER_S // self._rtt_ns)

    @property
    def proved_wrong(self) -> bool:
        """The memory must be deleted."""
        return self._retreated

    def on_sent(self, count_bytes: int) -> None:
        """New data left. Raises ValueError beyond `sendable_bytes`."""
        room = self.sendable_bytes
        if count_bytes < 0 or (room is not None and count_bytes > room):
            raise ValueError(f"sent {count_bytes} bytes, {room} were allowed in {self.phase}")
        self._sent += count_bytes
        if self.phase is Phase.UNVALIDATED:
            self._last_unvalidated = self._sent
            if self.flight_bytes >= (self.cwnd_bytes or 0):
                self._validate()

    def on_ack(self, count_bytes: int, *, rtt_ns: int, now_ns: int) -> None:
        """So much more was acknowledged; `rtt_ns` measured by it."""
        if not 0 <= count_bytes <= self.flight_bytes or rtt_ns <= 0:
            raise ValueError(f"{count_bytes} acknowledged of {self.flight_bytes}, rtt {rtt_ns} ns")
        self._acked += count_bytes
        self._rtt_ns = rtt_ns
        self._min_rtt_ns = rtt_ns if self._min_rtt_ns is None else min(self._min_rtt_ns, rtt_ns)
        if self.phase is Phase.RECONNAISSANCE:
            self._reconnoitre(now_ns)
        elif self.phase is Phase.UNVALIDATED:
            self._pipe += count_bytes
            if self._acked > self._jump_sent or now_ns - self._jump_ns > rtt_ns:
                self._validate()
        elif self.phase is Phase.VALIDATING:
            self._pipe += count_bytes
            if self._acked >= self._last_unvalidated:
                self._leave("validated: the path carries what was sent on trust")
        elif self.phase is Phase.SAFE_RETREAT and self._acked >= self._last_unvalidated:
            # 3.5: no larger than PipeSize x Beta, 0.5 by default.
            self.ssthresh_bytes = max(self._pipe // 2, 2 * self._limits.max_packet_bytes)
            self._leave("retreated: the path carries less than was remembered")

    def on_timer(self, *, now_ns: int) -> None:
        """Time has passed: the unvalidated phase lasts one round trip at most (3.3)."""
        if self.phase is Phase.UNVALIDATED and now_ns - self._jump_ns > self._rtt_ns:
            self._validate()

    def on_congestion(self) -> None:
        """Loss or an ECN mark was reported."""
        if self.phase is Phase.RECONNAISSANCE:
            self._leave("congestion during reconnaissance: slow start goes on by itself")
        elif self.phase in (Phase.UNVALIDATED, Phase.VALIDATING):
            self.phase = Phase.SAFE_RETREAT
            self._retreated = True
            # 3.5: the window is no more than half of what was validated, and does not grow.
            self.cwnd_bytes = max(self._pipe // 2, 2 * self._limits.max_packet_bytes)

    def on_path_change(self) -> None:
        """Another route or address: the memory is of another path (3.2)."""
        if self.phase is Phase.RECONNAISSANCE:
            self._leave("the path changed")

    def _reconnoitre(self, now_ns: int) -> None:
        saved, rtt_ns = self._saved, self._min_rtt_ns
        if saved is None or rtt_ns is None:
            return
        if rtt_ns * RTT_LOW_DIVISOR <= saved.rtt_ns:
            self._leave(f"round-trip time {rtt_ns} ns is half of {saved.rtt_ns} ns or less")
        elif self._acked >= self._limits.initial_window_bytes:
            if rtt_ns > RTT_HIGH_FACTOR * saved.rtt_ns:
                self._leave(f"round-trip time {rtt_ns} ns is over 10 x {saved.rtt_ns} ns")
            else:
                self._jump(saved, now_ns)

    def _jump(self, saved: SavedPath, now_ns: int) -> None:
        jump = min(saved.cwnd_bytes // 2, self._limits.max_jump_bytes)
        if jump <= self._limits.initial_window_bytes:
            self._leave("the remembered window is no gain over the initial one")
            return
        self.phase = Phase.UNVALIDATED
        self._pipe = self.flight_bytes
        self._jump_ns, self._jump_sent = now_ns, self._sent
        self._last_unvalidated = self._sent
        self.cwnd_bytes = jump

    def _validate(self) -> None:
        flight = self.flight_bytes
        if flight < self._limits.initial_window_bytes or flight <= self._pipe:
            self._leave("nothing was sent on trust: limited by the application")
            return
        self.phase = Phase.VALIDATING
        self.cwnd_bytes = flight

    def _leave(self, reason: str) -> None:
        if self._retreated:
            self.exit_window_bytes = self.cwnd_bytes or 0
        else:
            self.exit_window_bytes = max(self._pipe, self._limits.initial_window_bytes)
        self.phase = Phase.NORMAL
        self.cwnd_bytes = None
        self.reason = reason
