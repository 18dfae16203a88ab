"""ICMP echo: what is sent, and what is taken for an answer."""

from __future__ import annotations

import socket
import struct

from hypothesis import given
from hypothesis import strategies as st

from sentinel_sim.backends.emulated.prober import (
    SO_TIMESTAMPNS,
    checksum,
    echo_request,
    kernel_stamp_ns,
    parse_reply,
)

IP_HEADER = bytes([0x45]) + bytes(19)


def reply(identifier: int, sequence: int, kind: int = 0) -> bytes:
    return IP_HEADER + struct.pack("!BBHHH", kind, 0, 0, identifier, sequence)


def test_checksum_of_the_example_in_rfc_1071() -> None:
    # Section 3: the words 0001 f203 f4f5 f6f7 sum to ddf2.
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_a_request_sums_to_zero_and_names_itself(identifier: int, sequence: int) -> None:
    packet = echo_request(identifier, sequence)
    assert checksum(packet) == 0
    assert struct.unpack_from("!BB", packet) == (8, 0)
    assert struct.unpack_from("!HH", packet, 4) == (identifier, sequence)


def test_only_our_echo_replies_count() -> None:
    assert parse_reply(reply(7, 3), 7) == 3
    assert parse_reply(reply(8, 3), 7) is None
    assert parse_reply(reply(7, 3, kind=8), 7) is None
    assert parse_reply(reply(7, 3)[:24], 7) is None


def test_ip_options_are_skipped() -> None:
    packet = bytes([0x46]) + bytes(23) + struct.pack("!BBHHH", 0, 0, 0, 7, 9)
    assert parse_reply(packet, 7) == 9


def test_the_kernels_stamp_is_found_among_control_data() -> None:
    stamp = struct.pack("qq", 12, 34)
    other = (socket.SOL_SOCKET, 1, b"")
    assert kernel_stamp_ns([other, (socket.SOL_SOCKET, SO_TIMESTAMPNS, stamp)]) == 12_000_000_034
    assert kernel_stamp_ns([other]) is None
