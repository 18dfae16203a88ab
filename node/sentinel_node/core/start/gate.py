"""Careful Resume (RFC 9959) from outside a TCP: how much may be written now.

A kernel has no call that lifts a window in mid-connection. So the connection is given the jump
window from the start, and this gate holds the writer to the initial window until all of it was
acknowledged at a round-trip time like the remembered one; only then it lets the jump go,
paced over one round trip. What the network sees is what the RFC asks for.

Pacing ends with the start. The kernel's pacing timer fires late on a busy host, and what is lost
by that comes back only within the limit: held to 1.2 times the rate for good, a flow of 1 Gbit/s
over two links of 38 ms went at 834 Mbit/s, and at 892 without. Once a limit was set TCP goes on
pacing itself, at 1.2 times window over round-trip time, which follows what the path gives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from sentinel_node.core.start.careful_resume import CarefulResume, Phase

UNLIMITED_Bps = (1 << 64) - 1
"""~0UL: no limit (net/core/sock.c)."""
LOOKS_PER_RTT = 32
SHORTEST_LOOK_NS = 500_000
LONGEST_LOOK_NS = 10_000_000


class Look(NamedTuple):
    """What a TCP says of its sending end."""

    acked_bytes: int
    rtt_ns: int
    resent: int
    """Retransmissions so far; only that there are more counts."""


class Tcp(Protocol):
    """The connection that is held: a kernel's socket, or a simulated one."""

    def look(self) -> Look:
        """As it stands now."""
        ...

    def acked_bytes(self) -> int:
        """So much of the stream was acknowledged."""
        ...

    def believe(self, window_bytes: int) -> bool:
        """Send as if the peer had offered so much; False: it says so itself, or it cannot be."""
        ...

    def pace(self, rate_Bps: int) -> None:
        """Never faster than this from now on (SO_MAX_PACING_RATE)."""
        ...


class Gate(Protocol):
    """What holds back and paces the writer while a connection starts."""

    @property
    def over(self) -> bool:
        """The start is over: nothing is held back or paced any more."""
        ...

    @property
    def look_ns(self) -> int:
        """How long to wait before asking again when there is no room."""
        ...

    def limit(self, pacing_Bps: int) -> None:
        """Another rate is predicted; from any thread, set with the next look for room."""
        ...

    def offered(self, window_bytes: int) -> None:
        """The peer takes so much before it acknowledges anything; from any thread."""
        ...

    def room(self, now_ns: int) -> int | None:
        """Bytes that may be written now; None: as many as the TCP takes."""
        ...

    def sent(self, count_bytes: int) -> None:
        """So many were written."""
        ...

    def close(self) -> None:
        """The connection has ended, perhaps before the start was over; its socket may be closed."""
        ...


class StartGate:
    """One connection's start. `on_normal(proved_wrong)` is called once, when the start is over."""

    def __init__(
        self,
        tcp: Tcp,
        resume: CarefulResume,
        pacing_Bps: int,
        on_normal: Callable[[bool], None],
    ) -> None:
        """Set the pacing rate; to be made before the first byte is written."""
        self._tcp = tcp
        self._resume = resume
        self._pacing_Bps = pacing_Bps
        self._paced_Bps = 0
        self._on_normal: Callable[[bool], None] | None = on_normal
        self._resent = 0
        self.look_ns = SHORTEST_LOOK_NS
        """How long to wait before asking again when there is no room."""
        self._pace(pacing_Bps)

    @property
    def over(self) -> bool:
        """The start is over: nothing is held back or paced any more."""
        return self._on_normal is None

    @property
    def phase(self) -> Phase:
        """Of RFC 9959."""
        return self._resume.phase

    def limit(self, pacing_Bps: int) -> None:
        """Another rate is predicted; from any thread, set with the next look for room."""
        self._pacing_Bps = pacing_Bps

    def room(self, now_ns: int) -> int | None:
        """Bytes that may be written now; None: as many as the TCP takes."""
        if self.over:
            return None
        self._look(now_ns)
        self._pace(min(self._resume.pacing_Bps or self._pacing_Bps, self._pacing_Bps))
        if self._resume.phase is not Phase.NORMAL:
            return self._resume.sendable_bytes
        self._leave()
        return None

    def offered(self, window_bytes: int) -> None:
        """Nothing comes of it: a jump is only made after the first acknowledgements."""

    def sent(self, count_bytes: int) -> None:
        """So many were written."""
        if self._resume.phase is not Phase.NORMAL:
            self._resume.on_sent(count_bytes)

    def close(self) -> None:
        """The connection has ended, perhaps before the start was over; its socket may be closed."""
        self._tell()

    def _look(self, now_ns: int) -> None:
        seen = self._tcp.look()
        rtt_ns = max(1, seen.rtt_ns)
        self.look_ns = min(max(rtt_ns // LOOKS_PER_RTT, SHORTEST_LOOK_NS), LONGEST_LOOK_NS)
        if seen.resent > self._resent:
            self._resent = seen.resent
            self._resume.on_congestion()
        fresh = seen.acked_bytes - self._resume.acked_bytes
        if fresh > 0 and self._resume.phase is not Phase.NORMAL:
            self._resume.on_ack(min(fresh, self._resume.flight_bytes), rtt_ns=rtt_ns, now_ns=now_ns)
        self._resume.on_timer(now_ns=now_ns)

    def _pace(self, wanted: int) -> None:
        if wanted != self._paced_Bps:
            self._paced_Bps = wanted
            self._tcp.pace(wanted)

    def _leave(self) -> None:
        self._pace(UNLIMITED_Bps)
        self._tell()

    def _tell(self) -> None:
        if self._on_normal is not None:
            on_normal, self._on_normal = self._on_normal, None
            on_normal(self._resume.proved_wrong)
