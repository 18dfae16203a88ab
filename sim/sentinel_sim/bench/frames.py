"""The packets of bench.c's walk, in Python: what user-space code is timed and checked with."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from sentinel_bpf.bench_programs import (
    CLIENT_ADDRESS,
    FIRST_PORT,
    FRAME_BYTES,
    SERVER_ADDRESS,
    SERVER_PORT,
)
from sentinel_bpf.frames import ETH_IPV4, ethernet, ipv4, tcp
from sentinel_sim.bench.walk import flow_indices

SEGMENT_BYTES = 1448
_TIMESTAMP_OPTION = bytes.fromhex("0101080a0000000000000000")
_HEADERS_BYTES = 14 + 20 + 20 + len(_TIMESTAMP_OPTION)
_MASK32 = 2**32 - 1


def test_frame() -> bytes:
    """The frame that the walk programs are given: TCP with a timestamp, FRAME_BYTES long."""
    payload = bytes(FRAME_BYTES - _HEADERS_BYTES)
    return ethernet(ipv4(tcp(options=_TIMESTAMP_OPTION, payload=payload)), ETH_IPV4)


def walk_frames(packets: int, flows: int, seed: int) -> Iterator[bytes]:
    """The frames that bench_walk_xdp makes of `test_frame`, in order."""
    base = test_frame()
    client, server = socket.inet_aton(CLIENT_ADDRESS), socket.inet_aton(SERVER_ADDRESS)
    server_port = SERVER_PORT.to_bytes(2, "big")
    for number, index in enumerate(flow_indices(packets, flows, seed).tolist()):
        port = (FIRST_PORT + index).to_bytes(2, "big")
        ends = (client, server, port, server_port)
        if number & 3 == 3:
            ends = (server, client, server_port, port)
        sequence = (number + 1) * SEGMENT_BYTES & _MASK32
        numbers = struct.pack(">II", sequence, sequence)
        stamp = struct.pack(">I", (number + 1) >> 13)
        yield base[:26] + b"".join(ends) + numbers + base[46:58] + stamp + stamp + base[66:]
