"""A kernel's socket as the start gate sees it (`core.start.gate.Tcp`)."""

from __future__ import annotations

import socket
import struct

from sentinel_node.core.start.gate import Look
from sentinel_node.daemon.tcp_info import acked_stream_bytes, field, read_raw

SO_MAX_PACING_RATE = 47


class SocketTcp:
    """One connected socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def look(self) -> Look:
        """From struct tcp_info."""
        raw = read_raw(self._sock)
        rtt_ns = (field(raw, "rtt") or 0) * 1000
        return Look(acked_stream_bytes(raw), rtt_ns, field(raw, "total_retrans") or 0)

    def acked_bytes(self) -> int:
        """From struct tcp_info."""
        return acked_stream_bytes(read_raw(self._sock))

    def pace(self, rate_Bps: int) -> None:
        """Never faster than this (SO_MAX_PACING_RATE; TCP paces itself)."""
        self._sock.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, struct.pack("=Q", rate_Bps))
