"""After a neighbour's silence: is the connection to it still of use?

A neighbour that was only busy took nothing along: its connections go on by themselves, however
little they move. After an outage TCP waits before it tries again, twice as long after each failure
(RFC 6298, section 5.5), so about as long again as the outage was; a connection made anew costs one
round trip. TCP itself knows in which of the two cases it is.
"""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass

from sentinel_node.daemon import tcp_info
from sentinel_node.daemon.control.interface import PeerChange, PeerEvent

SYN_LOST_NS = 100_000_000
"""Then a connection is better tried anew: TCP waits a second (RFC 6298, section 2.1)."""
LONG_SILENCE_NS = 500_000_000
"""Then the word that a full receiver has room again may be lost, and TCP asks for it ever later."""


@dataclass(frozen=True, slots=True)
class Return:
    """The neighbour is back."""

    new_session: bool
    """What was said to it before may be lost."""
    restarted: bool
    silent_ns: int

    def trouble_of(self, sock: socket.socket, *, established: bool) -> str:
        """Why this connection is of no use any more; "": it is. Raises OSError."""
        if self.restarted:
            return "the neighbour was started anew"
        if not established:
            lost = self.silent_ns >= SYN_LOST_NS
            return "not connected since the neighbour fell silent" if lost else ""
        raw = tcp_info.read_raw(sock)
        if tcp_info.field(raw, "retransmits"):
            return "TCP waits to send again since the neighbour fell silent"
        if self.silent_ns >= LONG_SILENCE_NS and tcp_info.field(raw, "probes"):
            return "TCP waits for a window since the neighbour fell silent"
        return ""


class Absence:
    """What became of one neighbour since it was last asked. Events come from the event loop."""

    def __init__(self, peer: str) -> None:
        self._peer = peer
        self._silent_since_ns: int | None = None
        self._return: Return | None = None
        self._lock = threading.Lock()

    def on_peer(self, event: PeerEvent) -> None:
        """Keep what matters; others' events do not."""
        if event.peer != self._peer:
            return
        if event.change in (PeerChange.SUSPECTED, PeerChange.DOWN):
            if self._silent_since_ns is None:
                self._silent_since_ns = event.at_ns - event.silent_ns
            return
        since_ns, self._silent_since_ns = self._silent_since_ns, None
        with self._lock:
            before = self._return or Return(new_session=False, restarted=False, silent_ns=0)
            self._return = Return(
                new_session=event.change is PeerChange.UP or before.new_session,
                restarted=event.restarted or before.restarted,
                silent_ns=before.silent_ns if since_ns is None else event.at_ns - since_ns,
            )

    def ended(self) -> Return | None:
        """The neighbour's return, once; from the flow's thread."""
        if self._return is None:
            return None
        with self._lock:
            back, self._return = self._return, None
        return back
