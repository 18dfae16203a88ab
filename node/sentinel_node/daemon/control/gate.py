"""A kernel's socket as the start gate sees it (`core.start.gate.Tcp`)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

from sentinel_node.core.start.gate import Look
from sentinel_node.daemon.sockets import believe_window
from sentinel_node.daemon.tcp_info import acked_stream_bytes, field, read_raw
from sentinel_node.errors import PrivilegeError

SO_MAX_PACING_RATE = 47


class SocketTcp:
    """One connected socket."""

    def __init__(self, sock: socket.socket, note: Callable[[str], None]) -> None:
        """`note` is told what the kernel refuses."""
        self._sock = sock
        self._note = note

    def look(self) -> Look:
        """From struct tcp_info."""
        raw = read_raw(self._sock)
        rtt_ns = (field(raw, "rtt") or 0) * 1000
        return Look(acked_stream_bytes(raw), rtt_ns, field(raw, "total_retrans") or 0)

    def acked_bytes(self) -> int:
        """From struct tcp_info."""
        return acked_stream_bytes(read_raw(self._sock))

    def believe(self, window_bytes: int) -> bool:
        """See `sockets.believe_window`; by the thread that writes."""
        try:
            return believe_window(self._sock, window_bytes)
        except (PrivilegeError, OSError) as error:
            self._note(f"the first flight is held to 64 KiB: {error}")
            return False

    def pace(self, rate_Bps: int) -> None:
        """Never faster than this (SO_MAX_PACING_RATE; TCP paces itself)."""
        self._sock.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, struct.pack("=Q", rate_Bps))
