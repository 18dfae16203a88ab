"""`struct tcp_info` of Linux, read field by field.

The kernel only ever appends to the struct (include/uapi/linux/tcp.h) and fills as much as the
caller has room for, so every field has one fixed offset and an older kernel simply gives fewer
of them. Offsets here are those of Linux 6.18; a test compares them with the running kernel's
BTF. What the kernel did not give is None in `TcpInfo`, which differs from 0.
"""

from __future__ import annotations

import operator
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

_FIELDS = """
B state ca_state retransmits probes backoff options wscales flags
I rto ato snd_mss rcv_mss unacked sacked lost retrans fackets
I last_data_sent last_ack_sent last_data_recv last_ack_recv
I pmtu rcv_ssthresh rtt rttvar snd_ssthresh snd_cwnd advmss reordering rcv_rtt rcv_space
I total_retrans
Q pacing_rate max_pacing_rate bytes_acked bytes_received
I segs_out segs_in notsent_bytes min_rtt data_segs_in data_segs_out
Q delivery_rate busy_time rwnd_limited sndbuf_limited
I delivered delivered_ce
Q bytes_sent bytes_retrans
I dsack_dups reord_seen rcv_ooopack snd_wnd rcv_wnd rehash
H total_rto total_rto_recoveries
I total_rto_time received_ce delivered_e1_bytes delivered_e0_bytes delivered_ce_bytes
I received_e1_bytes received_e0_bytes received_ce_bytes
H accecn_fail_mode accecn_opt_seen
"""
# In order of the struct, after the struct format character of each group. `wscales` and `flags`
# are the two bytes of bit fields.

_SIZES = {"B": 1, "H": 2, "I": 4, "Q": 8}


def _layout() -> dict[str, tuple[int, str]]:
    table: dict[str, tuple[int, str]] = {}
    offset = 0
    for line in _FIELDS.split("\n"):
        code, *names = line.split() or [""]
        for name in names:
            size = _SIZES[code]
            offset = (offset + size - 1) // size * size
            table[name] = (offset, code)
            offset += size
    return table


LAYOUT: dict[str, tuple[int, str]] = _layout()
"""Field (without `tcpi_`) to (offset in bytes, struct format character)."""

FULL_BYTES = 280
"""Size of the struct in Linux 6.18."""

MINIMUM_BYTES = 192
"""Linux 4.9: up to the three `limited` times, without which a run cannot be explained."""

_ROOM_BYTES = 512


def read_raw(sock: socket.socket) -> bytes:
    """The struct as the kernel gives it. Raises OSError if the socket is closed."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ROOM_BYTES)


def field(raw: bytes, name: str) -> int | None:
    """One field by name; None if this kernel's struct ends before it."""
    offset, code = LAYOUT[name]
    if offset + _SIZES[code] > len(raw):
        return None
    (value,) = struct.unpack_from(f"={code}", raw, offset)
    return int(value)


class FieldReader:
    """Some fields at once, for thousands of samples; one that this kernel lacks is 0."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        places = sorted(LAYOUT[name] for name in self._names)
        words, at = "=", 0
        for offset, code in places:
            words += f"{offset - at}x{code}"
            at = offset + _SIZES[code]
        self._struct = struct.Struct(words)
        ordered = [places.index(LAYOUT[name]) for name in self._names]
        self._pick = operator.itemgetter(*ordered)

    def __call__(self, raw: bytes) -> tuple[int, ...]:
        """The values, in the order of the names."""
        if len(raw) < self._struct.size:
            return tuple(field(raw, name) or 0 for name in self._names)
        return self._pick(self._struct.unpack_from(raw))  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """Every field of one `struct tcp_info`, units as in the kernel (times in microseconds)."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) < MINIMUM_BYTES:
            raise ValueError(
                f"struct tcp_info has {len(self.raw)} bytes, needs {MINIMUM_BYTES}: "
                "Linux 4.9 or later"
            )

    def __getitem__(self, name: str) -> int | None:
        return field(self.raw, name)

    def required(self, name: str) -> int:
        """A field that every supported kernel has. Raises KeyError for a later one."""
        value = field(self.raw, name)
        if value is None:
            raise KeyError(f"tcpi_{name} is missing from a struct of {len(self.raw)} bytes")
        return value

    def as_dict(self) -> dict[str, int | None]:
        """All fields by name, bit fields taken apart."""
        values = {name: field(self.raw, name) for name in LAYOUT}
        scales, flags = self.required("wscales"), self.required("flags")
        del values["wscales"], values["flags"]
        values["snd_wscale"], values["rcv_wscale"] = scales & 15, scales >> 4
        values["delivery_rate_app_limited"] = flags & 1
        values["fastopen_client_fail"] = flags >> 1 & 3
        return values


def left_stream_bytes(raw: bytes) -> int:
    """Bytes of our stream (framing included) that left this host, each counted once."""
    return (field(raw, "bytes_sent") or 0) - (field(raw, "bytes_retrans") or 0)


def acked_stream_bytes(raw: bytes) -> int:
    """Bytes of our stream (framing included) that the peer's TCP acknowledged.

    tcpi_bytes_acked counts sequence space from the initial sequence number, so the SYN is one
    of it (RFC 9293, section 3.4). Once the FIN is acknowledged it counts one more: callers that
    know the stream's length cut there.
    """
    acked = field(raw, "bytes_acked")
    return max((acked or 0) - 1, 0)
