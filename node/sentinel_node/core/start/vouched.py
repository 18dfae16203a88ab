"""The start of a connection whose window somebody vouches for: paced at once, nothing is proved.

The kernel paces what it sends, and the writer is held to the same rate until all of the vouched
window was acknowledged: what it wrote ahead would wait in the send buffer, and making it takes the
CPU from those who have to pass on what went before.

The window of a SYN-ACK is never scaled (RFC 7323, section 2.2). If the peer said over the control
plane what it takes, the TCP is told; else it sends 64 KiB, and knows with the first
acknowledgement.
"""

from __future__ import annotations

from sentinel_node.core.start.gate import LONGEST_LOOK_NS, Tcp, UNLIMITED_Bps

STEP_NS = 1_000_000
"""How often the writer goes on."""
CREDIT_MOST_NS = 10_000_000
"""A writer that gets no CPU for longer does not make up for it: the link's queue is finite."""


class VouchedGate:
    """One connection's managed start (see `core.start.gate.Gate`)."""

    def __init__(self, tcp: Tcp, pacing_Bps: int, window_bytes: int) -> None:
        """Set the pacing rate; to be made before the first byte is written.

        `window_bytes` is vouched for.
        """
        self._tcp = tcp
        self._pacing_Bps = pacing_Bps
        self._paced_Bps = 0
        self._window_bytes = window_bytes
        self._offered_bytes = 0
        self._credit_bytes = self._worth(STEP_NS)
        self._credited_ns: int | None = None
        self._next_look_ns = 0
        self._over = False
        self.look_ns = STEP_NS
        self._pace(pacing_Bps)

    @property
    def over(self) -> bool:
        """The start is over: nothing is held back or paced any more."""
        return self._over

    def offered(self, window_bytes: int) -> None:
        """The peer takes so much before it acknowledges anything; from any thread."""
        self._offered_bytes = window_bytes

    def limit(self, pacing_Bps: int) -> None:
        """Another rate is predicted; from any thread, set with the next look for room."""
        self._pacing_Bps = pacing_Bps

    def room(self, now_ns: int) -> int | None:
        """Bytes that may be written now; None: as many as the TCP takes."""
        if self._over:
            return None
        offered, self._offered_bytes = self._offered_bytes, 0
        if offered:
            # By the thread that writes: while a kernel's TCP is told, it takes nothing.
            self._tcp.believe(offered)
        if self._is_acked(now_ns):
            self._pace(UNLIMITED_Bps)
            self._over = True
            return None
        self._pace(self._pacing_Bps)
        return self._credit(now_ns)

    def sent(self, count_bytes: int) -> None:
        """So many were written."""
        self._credit_bytes -= count_bytes

    def close(self) -> None:
        """The connection has ended, perhaps before the start was over."""
        self._over = True

    def _is_acked(self, now_ns: int) -> bool:
        """All of the vouched window was acknowledged; asked of the TCP now and then only."""
        if now_ns < self._next_look_ns:
            return False
        self._next_look_ns = now_ns + LONGEST_LOOK_NS
        return self._tcp.acked_bytes() >= self._window_bytes

    def _credit(self, now_ns: int) -> int:
        if self._credited_ns is not None:
            fresh = self._worth(now_ns - self._credited_ns)
            self._credit_bytes = min(self._credit_bytes + fresh, self._worth(CREDIT_MOST_NS))
        self._credited_ns = now_ns
        return self._credit_bytes

    def _worth(self, time_ns: int) -> int:
        return self._pacing_Bps * time_ns // 1_000_000_000

    def _pace(self, wanted: int) -> None:
        if wanted != self._paced_Bps:
            self._paced_Bps = wanted
            self._tcp.pace(wanted)
