"""What the RTT benchmark computes, on figures and messages made by hand."""

from __future__ import annotations

import socket
import struct

import pytest

from sentinel_bpf.flow_map import FlowHalf, FlowRecord
from sentinel_node.daemon.tcp_info import FULL_BYTES, LAYOUT
from sentinel_sim.bench.rtt.agreement import (
    MEDIAN_LIMIT,
    P95_LIMIT,
    Pair,
    Rtt,
    agreement,
    compare,
    directions,
    joined,
    percentile,
)
from sentinel_sim.bench.rtt.cases import Case, Traffic
from sentinel_sim.bench.rtt.sock_diag import connections, kernel_rtt, messages, request

KEY = ("10.0.0.1", 4000, "10.0.0.2", 80)
BACK = ("10.0.0.2", 80, "10.0.0.1", 4000)


def test_the_limits_are_those_of_the_issue() -> None:
    assert [MEDIAN_LIMIT.of(us) for us in (1_000, 5_000, 50_000)] == [50, 50, 500]
    assert [P95_LIMIT.of(us) for us in (1_000, 10_000, 200_000)] == [500, 500, 10_000]


def test_percentiles_are_values_that_were_there() -> None:
    assert [percentile(range(1, 101), share) for share in (0.5, 0.95, 1.0)] == [50, 95, 100]
    assert percentile([7.0], 0.95) == 7.0


def test_errors_of_either_sign_count_and_the_bias_keeps_it() -> None:
    found = agreement([Pair(1000.0, 1000.0 + error) for error in (-30, -20, -10, 40, -25)])
    assert (found.median_us, found.p95_us, found.bias_us) == (25, 40, -20)
    assert (found.median_share, found.true_median_us) == (0.025, 1000)
    assert found.within


@pytest.mark.parametrize(
    ("errors_us", "within"),
    [
        ([50.0] * 100, True),
        ([50.0] * 49 + [51.0] * 51, False),
        ([0.0] * 95 + [9_999.0] * 5, True),
        ([0.0] * 94 + [501.0] * 6, False),
    ],
)
def test_both_limits_have_to_hold(errors_us: list[float], within: bool) -> None:
    assert agreement([Pair(1000.0, 1000.0 - error) for error in errors_us]).within is within


def test_nothing_compared_is_no_agreement() -> None:
    with pytest.raises(ValueError, match="no pair"):
        agreement([])


def record(forward: FlowHalf, backward: FlowHalf) -> FlowRecord:
    return FlowRecord("10.0.0.1", "10.0.0.2", 4000, 80, 6, forward, backward)


def test_each_direction_is_compared_with_its_own_half() -> None:
    there = FlowHalf(rtt_us=990, rtt_min_ns=800_500, rtt_samples=3)
    back = FlowHalf(rtt_us=20, rtt_min_ns=10_000, rtt_samples=1)
    fsu = directions([record(there, back)])
    found = compare({KEY: Rtt(1000, 900)}, fsu)
    assert (found.smoothed, found.minimum) == ((Pair(1000, 990),), (Pair(900, 800.5),))
    assert compare({BACK: Rtt(1000, 900)}, fsu).smoothed == (Pair(1000, 20),)


def test_flows_without_an_rtt_are_missing_not_left_out() -> None:
    fsu = directions([record(FlowHalf(), FlowHalf())])
    found = joined([compare({KEY: Rtt(1, 1)}, fsu), compare({KEY: Rtt(1, 1)}, {})])
    assert (found.missing, found.flows, found.smoothed) == (2, 2, ())


def tcp_info(**fields: int) -> bytes:
    raw = bytearray(FULL_BYTES)
    for name, value in fields.items():
        offset, code = LAYOUT[name]
        struct.pack_into(f"={code}", raw, offset, value)
    return bytes(raw)


def connection(raw: bytes) -> bytes:
    """A netlink message as the kernel's inet_diag makes it, with another attribute in front."""
    body = struct.pack("=4x") + struct.pack(">HH", 4000, 80)
    for address in ("10.0.0.1", "10.0.0.2"):
        body += socket.inet_aton(address) + bytes(12)
    body += bytes(32)
    body += struct.pack("=HH", 5, 8) + b"\x07" + bytes(3)
    body += struct.pack("=HH", 4 + len(raw), 2) + raw
    return struct.pack("=IHHII", 16 + len(body), 20, 2, 1, 0) + body


def test_connections_are_read_from_a_dump() -> None:
    raw = tcp_info(rtt=1234, min_rtt=900)
    done = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)
    assert connections([connection(raw) + done]) == {KEY: raw}
    assert kernel_rtt(raw) == Rtt(1234, 900)
    assert kernel_rtt(tcp_info(rtt=0, min_rtt=2**32 - 1)) is None  # before the first sample


def test_the_request_is_one_message_of_its_own_length() -> None:
    [(kind, body)] = messages(request())
    assert (kind, len(body)) == (20, 56)  # sizeof(struct inet_diag_req_v2)


def test_load_is_the_same_however_many_flows_share_it() -> None:
    few, many = (Case(Traffic.REQUESTS, 1.0, flows) for flows in (10, 1000))
    assert (few.interval_s, many.interval_s) == (0.05, 0.25)
    assert Case(Traffic.STREAM, 1.0, 1000).rate_bps == 80_000


def test_averages_have_forgotten_the_handshakes_before_the_first_look() -> None:
    assert Case(Traffic.REQUESTS, 200.0, 10).sample_interval_s == 0.2  # one request at a time
    assert Case(Traffic.STREAM, 1.0, 1000).sample_interval_s == pytest.approx(0.3, abs=0.01)


def test_bulk_is_for_flows_that_have_a_window() -> None:
    assert [Case(Traffic.BULK, 1.0, flows).possible for flows in (100, 101)] == [True, False]
    assert Case(Traffic.STREAM, 1.0, 1000).possible
    assert not Traffic.BULK.judged
