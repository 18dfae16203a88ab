"""What the FSU knows of a flow, as the node's daemon tells it."""

from __future__ import annotations

import pytest

from sentinel_bpf import abi
from sentinel_bpf.predict_abi import Burst, Expert
from sentinel_bpf.predict_reference import FACTORS_Q16
from sentinel_bpf.snapshot import parse_entry
from sentinel_node.daemon.fsu import flow_metrics
from sentinel_proto.v1 import node_control_pb2 as pb

INTERVAL_NS = 1 << 25
KEY = bytes([10, 0, 0, 1, 10, 0, 0, 2, 0x14, 0x51, 0x9C, 0x40]) + (6).to_bytes(4, "little")


def told(flow: abi.Flow) -> pb.FlowMetrics:
    """By the bytes of the map, over the wire, to the reader."""
    message = flow_metrics(parse_entry(KEY, bytes(flow)), "a--b", INTERVAL_NS)
    return pb.FlowMetrics.FromString(message.SerializeToString())


def scored_flow() -> abi.Flow:
    flow = abi.Flow()
    half = flow.forward
    half.bytes_total, half.packets_total, half.last_timestamp = 3_000_000_000, 2_000_000, 77
    half.throughput_bps, half.rtt_us, half.rtt_min_ns = 940_000_000, 101_000, 100_000_123
    half.bdp_bytes, half.optimal_buffer_size = 11_867_500, 17_800_000
    guess = half.predict
    guess.predicted_bytes, guess.intervals = 3_942_645, 11
    guess.leader, guess.burst_class = Expert.NETWORK, Burst.BURSTY
    guess.error_sum[Expert.LAST], guess.leader_error_sum = 4_000, 1_000
    guess.error_shift = 3
    return flow


def test_rtt_bdp_and_prediction_reach_the_reader() -> None:
    found = told(scored_flow())
    assert (found.point, found.source_address, found.protocol) == ("a--b", "10.0.0.1", 6)
    half = found.forward
    assert (half.rtt_us, half.rtt_min_ns) == (101_000, 100_000_123)
    assert (half.bdp_bytes, half.optimal_buffer_size) == (11_867_500, 17_800_000)
    guess = half.prediction
    assert (guess.predicted_bytes, guess.interval_ns, guess.intervals) == (
        3_942_645,
        INTERVAL_NS,
        11,
    )
    assert (guess.leader, guess.burst, guess.asleep) == ("network", "bursty", False)
    # 10 of the 11 intervals are scored; sums are kept in units of 2**3 bytes.
    assert guess.mean_error_bytes == 1_000 * 8 / 10
    assert guess.mase == 0.25


@pytest.mark.parametrize("burst", list(Burst))
def test_the_pattern_factor_is_that_of_the_burst_class(burst: Burst) -> None:
    flow = scored_flow()
    flow.forward.predict.burst_class = burst
    factor = told(flow).forward.prediction.pattern_factor
    assert factor == FACTORS_Q16[burst] / 65536
    assert 1.0 <= factor <= 1.5


def test_what_is_not_known_is_absent() -> None:
    flow = scored_flow()
    assert not told(flow).backward.HasField("prediction")
    flow.forward.predict.intervals = 1
    guess = told(flow).forward.prediction
    assert guess.intervals == 1
    assert not guess.HasField("mean_error_bytes")
    assert not guess.HasField("mase")


def test_an_error_of_nothing_is_an_error_of_zero_not_absent() -> None:
    flow = scored_flow()
    flow.forward.predict.leader_error_sum = 0
    guess = told(flow).forward.prediction
    assert guess.HasField("mase")
    assert guess.mase == guess.mean_error_bytes == 0.0
