"""The predictor's headers against their Python twin, bit for bit, and what they promise."""

from __future__ import annotations

import ctypes
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.bpf.predict_support import (
    Packet,
    as_dict,
    as_packets,
    random_network,
    random_packets,
    run_reference,
)

from sentinel_bpf import predict_abi as abi
from sentinel_bpf.predict_abi import Burst, Expert
from sentinel_bpf.predict_reference import FACTORS_Q16, Network, PredictState, burst_of
from sentinel_bpf.training import library
from sentinel_bpf.training.kinds import KINDS, generate
from sentinel_bpf.training.series import intervals
from sentinel_bpf.training.weights import to_model

INTERVAL_NS = 1 << abi.SHIFT_DEFAULT
SHIPPED_SHIFTS = st.integers(abi.SHIFT_MIN, abi.SHIFT_MAX)


def run_c(packets: list[Packet], network: Network | None) -> abi.Predict:
    model = to_model(network, 1) if network else None
    return library.run_packets(as_packets(packets), model)


def assert_equal(packets: list[Packet], network: Network | None) -> PredictState:
    expected = run_reference(packets, network)
    assert as_dict(run_c(packets, network)) == as_dict(expected)
    return expected


@pytest.mark.parametrize("seed", range(24))
def test_random_packets_give_equal_states(seed: int) -> None:
    network = random_network(seed, 20 + seed % 8) if seed % 3 else None
    state = assert_equal(random_packets(seed, 1500), network)
    assert state.size_last > 0


@given(
    gaps=st.lists(st.tuples(st.integers(-(2**30), 2**45), st.integers(0, 2**32 - 1)), max_size=60),
    start=st.integers(0, 2**62),
    weights=st.integers(0, 2**32),
    shift=SHIPPED_SHIFTS,
    with_network=st.booleans(),
)
@settings(deadline=None)
def test_any_packets_give_equal_states(
    gaps: list[tuple[int, int]], start: int, weights: int, shift: int, with_network: bool
) -> None:
    now, packets = start, []
    for gap, size in gaps:
        now = max(0, now + gap)
        packets.append((now, size))
    assert_equal(packets, random_network(weights, shift) if with_network else None)


@pytest.mark.parametrize("kind", KINDS)
def test_generated_flows_give_equal_states(kind: str) -> None:
    flow = generate(kind, 5, "equal", 0)
    packets = list(zip(flow.times_ns.tolist()[:4000], flow.sizes.tolist()[:4000], strict=True))
    assert_equal(packets, random_network(3))


@given(
    inputs=st.lists(st.integers(0, 2**32 - 1), min_size=8, max_size=8),
    weights=st.integers(0, 2**32),
)
@settings(deadline=None)
def test_the_network_gives_equal_bytes(inputs: list[int], weights: int) -> None:
    network = random_network(weights)
    assert library.run_network(to_model(network, 1), inputs) == network.predict(inputs)


@given(inputs=st.lists(st.integers(0, 2**20), min_size=8, max_size=8), scale=st.integers(1, 200))
@settings(deadline=None)
def test_the_network_knows_no_rate(inputs: list[int], scale: int) -> None:
    """f(c x) = c f(x), up to rounding: what it learned at one rate holds at every rate."""
    network = random_network(7)
    small = replace(network, output=tuple(w >> 8 for w in network.output))
    once = small.predict([value * 64 for value in inputs])
    scaled = small.predict([value * 64 * scale for value in inputs])
    # What the shift of large inputs drops is below 2^-13 of the largest one. Outputs amplify it.
    hidden = sum(abs(v) * 128 * 8 for v in small.output) / 2**abi.NETWORK_HIDDEN_SHIFT
    gain = (hidden + sum(map(abs, small.direct))) / 2**abi.NETWORK_OUTPUT_SHIFT
    dropped = max(inputs) * 64 * scale / 2**13
    if 0 < scaled < abi.BYTES_MAX:
        assert abs(scaled - scale * once) <= scale + 1 + 2 * gain * dropped


@given(
    start=st.lists(st.integers(1, 2**31 - 1), min_size=1, max_size=20),
    empty=st.integers(0, 200),
    after=st.integers(1, 2**31 - 1),
)
@settings(deadline=None, max_examples=50)
def test_many_empty_intervals_at_once_are_as_good_as_one_by_one(
    start: list[int], empty: int, after: int
) -> None:
    network = random_network(11)
    at_once = PredictState()
    for size in start:
        at_once.close_all(network, size, 1)
    at_once.close_all(network, after, empty + 1)
    series = np.array([*start, after, *[0] * empty], np.uint32)
    one_by_one = library.run_intervals(series, to_model(network, 1)).state
    assert as_dict(one_by_one) == as_dict(at_once)


@pytest.mark.parametrize("kind", KINDS)
def test_a_series_of_intervals_leads_to_the_same_as_its_packets(kind: str) -> None:
    flow = generate(kind, 6, "series", 1)
    model = to_model(random_network(2), 1)
    by_packets = as_dict(library.run_packets(flow, model))
    by_series = as_dict(library.run_intervals(intervals(flow), model).state)
    of_packets = {"interval_start_ns", "interval_bytes", "last_offset_ns", "gap_shift"}
    for name, value in by_series.items():
        if name not in of_packets and not name.startswith(("gap_", "size_")):
            assert by_packets[name] == value, name


def test_a_sleeping_flow_is_predicted_to_send_nothing_and_wakes() -> None:
    packets = [(index * INTERVAL_NS, 1000) for index in range(20)]
    asleep = run_c([*packets, (40 * INTERVAL_NS, 1000)], None)
    assert (asleep.asleep, asleep.predicted_bytes, asleep.intervals) == (1, 0, 40)
    awake = run_c([*packets, (40 * INTERVAL_NS, 1000), (41 * INTERVAL_NS, 1000)], None)
    assert (awake.asleep, awake.expert_bytes[Expert.LAST]) == (0, 1000)
    assert awake.error_sum[Expert.LAST] - asleep.error_sum[Expert.LAST] == 1000


@pytest.mark.parametrize("size", [60, 1514])
@pytest.mark.parametrize("gap_shift", [14, 20, 25])
def test_constant_traffic_is_predicted_exactly(size: int, gap_shift: int) -> None:
    packets = [(index << gap_shift, size) for index in range(200 << (25 - gap_shift))]
    state = library.run_packets(as_packets(packets), None)
    assert state.predicted_bytes == size << (25 - gap_shift)
    assert state.leader_error_sum == 0
    assert state.burst_class == Burst.STEADY
    assert (state.gap_median_ns, state.gap_mean_ns) == (1 << gap_shift, 1 << gap_shift)
    assert (state.size_median, state.size_last) == (size, size)


def test_a_ramp_is_led_by_an_expert_with_a_trend() -> None:
    series = np.arange(1, 120, dtype=np.uint32) * 100_000
    state = library.run_intervals(series, None).state
    assert state.leader in (Expert.HOLT, Expert.LMS)
    assert state.leader_error_sum < state.error_sum[Expert.LAST] / 2


def test_the_network_leads_from_the_start() -> None:
    series = np.array([5000], np.uint32)
    with_network = library.run_intervals(series, to_model(random_network(1), 1)).state
    assert with_network.leader == Expert.NETWORK
    assert with_network.predicted_bytes == with_network.expert_bytes[Expert.NETWORK]
    assert library.run_intervals(series, None).state.leader == Expert.LAST


def test_a_flow_that_sends_now_and_then_sleeps_after_one_empty_interval() -> None:
    """And again so after each packet; what it wakes with is scored against 0."""
    series = np.array([700, 0, 0, 0, 0, 700, 0, 0, 700, 0, 0], np.uint32)
    trace = library.run_intervals(series, None)
    silent = np.flatnonzero(trace.predicted.sum(axis=1) == 0)
    assert silent.tolist() == [3, 4, 6, 7, 9, 10]


def test_without_a_model_the_network_repeats_the_last_value() -> None:
    series = np.array([5, 100, 3, 70, 70, 1], np.uint32)
    trace = library.run_intervals(series, None)
    assert np.array_equal(trace.predicted[:, Expert.NETWORK], series)
    assert trace.state.error_sum[Expert.NETWORK] == trace.state.error_sum[Expert.LAST]
    empty_slot = library.run_intervals(series, abi.Model(version=0))
    assert as_dict(empty_slot.state) == as_dict(trace.state)


@pytest.mark.parametrize("seed", range(5))
def test_error_sums_keep_their_ratios_when_their_unit_doubles(seed: int) -> None:
    rng = np.random.default_rng(seed)
    series = rng.integers(1, abi.BYTES_MAX, 400, dtype=np.uint32)
    trace = library.run_intervals(series, None)
    errors = np.abs(trace.predicted[:-1] - series[1:, None].astype(np.int64)).sum(axis=0)
    assert trace.state.error_shift > 0
    assert max(trace.state.error_sum) <= 0x7FFFFFFF
    kept = np.array([*trace.state.error_sum, trace.state.leader_error_sum])
    assert np.allclose(kept * 2.0**trace.state.error_shift, errors, rtol=1e-6)


def test_error_sums_are_the_sums_of_absolute_errors() -> None:
    flow = generate("poisson", 9, "sums", 0)
    series = intervals(flow)[:300]
    trace = library.run_intervals(series, None)
    errors = np.abs(trace.predicted[:-1] - series[1:, None].astype(np.int64)).sum(axis=0)
    assert trace.state.error_shift == 0
    assert [*trace.state.error_sum, trace.state.leader_error_sum] == errors.tolist()


@pytest.mark.parametrize(
    ("bytes_predicted", "burst"),
    [(1125, Burst.STEADY), (1126, Burst.VARYING), (1500, Burst.VARYING), (1501, Burst.BURSTY),
     (2000, Burst.BURSTY), (2001, Burst.PEAK), (0, Burst.STEADY)],
)  # fmt: skip
def test_burst_classes_are_bounded_as_documented(bytes_predicted: int, burst: Burst) -> None:
    assert burst_of(bytes_predicted, 1000) == burst


def test_pattern_factor_goes_from_1_to_1_5() -> None:
    factors = [library.pattern_factor_q16(abi.Predict(burst_class=int(b))) for b in Burst]
    assert factors == list(FACTORS_Q16)
    assert (factors[0] / 65536, factors[-1] / 65536) == (1.0, 1.5)


def test_bursts_are_classed_above_steady_traffic() -> None:
    steady = np.full(200, 50_000, np.uint32)
    bursts = np.tile(np.array([90_000, 10_000, 10_000, 90_000, 10_000], np.uint32), 40)
    assert library.run_intervals(steady, None).state.burst_class == Burst.STEADY
    assert library.run_intervals(bursts, None).state.burst_class > Burst.STEADY


def test_the_bank_never_loses_much_to_last_value() -> None:
    """A series made to mislead: the recent past always speaks for the expert that is wrong next."""
    series = np.tile(np.r_[np.full(20, 1000), np.tile([1000, 9000], 10)], 40).astype(np.uint32)
    state = library.run_intervals(series, None).state
    assert state.leader_error_sum <= 1.05 * state.error_sum[Expert.LAST]


def test_time_that_goes_back_counts_as_the_packet_before() -> None:
    packets = [(1000, 100), (5000, 100), (2000, 100)]
    assert as_dict(run_c(packets, None)) == as_dict(
        run_c([(1000, 100), (5000, 100), (5000, 100)], None)
    )


def test_a_packet_without_bytes_is_none() -> None:
    assert as_dict(run_c([(7, 0)], None)) == as_dict(abi.Predict())


def test_states_of_two_flows_are_apart() -> None:
    first, second = abi.Predict(), abi.Predict()
    library.run_packets(as_packets(random_packets(1, 50)), None, first)
    assert ctypes.string_at(ctypes.byref(second), 192) == bytes(192)
