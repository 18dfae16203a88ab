"""rtnetlink messages for start windows: real bytes of a kernel, and no crash on any others."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_node.daemon.control.route_messages import (
    INITCWND,
    INITRWND,
    MalformedAnswerError,
    error_of,
    host_route,
    question,
    replacement,
    with_windows,
)

# Linux 6.18: ip route add 10.8.0.1/32 via 10.9.0.2 mtu 1400 initcwnd 9 congctl reno metric 5
ANSWER = bytes.fromhex(
    "6400000018000000010000001c10000002200000fe0300010000000008000f00fe000000"
    "080001000a080001080006000500000020000800080002007805000008000b0009000000"
    "0900100072656e6f00000000080005000a0900020800040003000000"
)
ACKNOWLEDGED = bytes.fromhex(
    "2400000002000001010000001c100000000000006c000000180005050100000000000000"
)


def test_question_names_the_address() -> None:
    message = question("10.8.0.1")
    assert message.endswith(bytes([10, 8, 0, 1]))
    assert struct.unpack_from("=IHH", message) == (len(message), 26, 1)


def test_a_real_route_is_read() -> None:
    route = host_route(ANSWER)
    assert route is not None
    attributes = dict(route.attributes)
    assert attributes[1] == bytes([10, 8, 0, 1])
    assert attributes[5] == bytes([10, 9, 0, 2])
    assert attributes[6] == struct.pack("=I", 5)
    assert dict(route.metrics) == {
        2: struct.pack("=I", 1400),
        INITCWND: struct.pack("=I", 9),
        16: b"reno\0",
    }


def test_replacement_differs_in_the_windows_only() -> None:
    route = host_route(ANSWER)
    assert route is not None
    changed = replacement(route, with_windows(route.metrics, {INITCWND: 100, INITRWND: 50}))
    again = host_route(changed)
    assert again is not None
    assert (again.fixed, dict(again.attributes)) == (route.fixed, dict(route.attributes))
    found = {**dict(again.metrics)}
    assert found.pop(INITCWND) == struct.pack("=I", 100)
    assert found.pop(INITRWND) == struct.pack("=I", 50)
    assert found == {2: struct.pack("=I", 1400), 16: b"reno\0"}


def test_zero_takes_a_window_away_and_leaves_the_rest() -> None:
    route = host_route(ANSWER)
    assert route is not None
    left = with_windows(route.metrics, {INITCWND: 0, INITRWND: 0})
    assert dict(left) == {2: struct.pack("=I", 1400), 16: b"reno\0"}


@pytest.mark.parametrize(("prefix", "kind"), [(24, 1), (0, 1), (32, 2), (32, 7)])
def test_only_a_unicast_route_to_one_address_counts(prefix: int, kind: int) -> None:
    changed = bytearray(ANSWER)
    changed[17], changed[23] = prefix, kind
    assert host_route(bytes(changed)) is None


def test_errors_are_told_from_routes() -> None:
    refused = bytearray(ACKNOWLEDGED)
    struct.pack_into("=i", refused, 16, -errno.EPERM)
    assert error_of(ACKNOWLEDGED) == 0
    assert error_of(bytes(refused)) == errno.EPERM
    assert error_of(ANSWER) is None


@given(st.integers(0, len(ANSWER) - 1), st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused(at: int, value: int) -> None:
    changed = bytearray(ANSWER)
    changed[at] = value
    try:
        host_route(bytes(changed))
    except MalformedAnswerError:
        return


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (host_route, error_of):
        try:
            read(data)
        except MalformedAnswerError:
            continue
