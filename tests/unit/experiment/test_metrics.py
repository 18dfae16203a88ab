"""Figures of a run: each against a network whose answer is known in closed form."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.experiment.support import (
    MS,
    ORIGIN,
    SECOND,
    flow,
    link,
    measurement,
    ramp,
    spec,
    wire,
)

from sentinel_sim.backends.base import Series
from sentinel_sim.experiment import framing
from sentinel_sim.experiment import series as cumulative
from sentinel_sim.experiment.custody_metrics import exposure_of
from sentinel_sim.experiment.metrics import (
    compute,
    latencies_ns,
    shortest_certain_latency_s,
    startup_ns_of,
    steady_goodput_bps,
)
from sentinel_sim.plan.model import Arm, FlowPlan


@st.composite
def counters(draw: st.DrawFn) -> Series:
    steps = draw(st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10**7)), min_size=1))
    origin = draw(st.integers(0, 10**15))
    times = np.cumsum([origin] + [dt for dt, _ in steps[1:]])
    values = np.cumsum([dv for _, dv in steps])
    return Series(tuple(int(t) for t in times), tuple(int(v) for v in values))


@given(counters(), st.lists(st.floats(0, 1), min_size=1))
def test_the_time_of_a_byte_is_the_inverse_of_the_count_at_a_time(
    series: Series, shares: list[float]
) -> None:
    wanted = np.array(shares) * series.values[-1]
    times = cumulative.reached_at(series, wanted)
    assert (times >= series.times_ns[0]).all()
    assert (times <= series.times_ns[-1]).all()
    for value, time in zip(wanted, times, strict=True):
        if value > series.values[0]:
            # One ns of rounding at most moves the count by the steepest slope.
            lower = cumulative.value_at(series, time - 1)
            upper = cumulative.value_at(series, time + 1)
            assert lower - 1e-3 <= value <= upper + 1e-3


@given(counters(), st.lists(st.floats(0, 1), min_size=2))
def test_later_bytes_are_never_reached_earlier(series: Series, shares: list[float]) -> None:
    wanted = np.sort(np.array(shares)) * series.values[-1]
    assert (np.diff(cumulative.reached_at(series, wanted)) >= 0).all()


@given(counters(), st.integers(0, 10**10), st.integers(1, 50))
def test_a_series_shifted_in_time_has_that_latency_for_every_byte(
    series: Series, delay_ns: int, points: int
) -> None:
    shifted = Series(tuple(t + delay_ns for t in series.times_ns), series.values)
    found = latencies_ns(series, shifted, points)
    assert found == pytest.approx(np.full(found.size, delay_ns), abs=1.0)
    assert found.size == (points if series.values[-1] else 0)


def test_a_byte_beyond_the_end_of_a_series_is_refused() -> None:
    with pytest.raises(ValueError, match="ended at 10"):
        cumulative.reached_at(Series((0, 1), (0, 10)), [11])


def test_goodput_runs_from_the_first_connect_to_the_last_byte() -> None:
    run = spec(size_bytes=10_000_000)
    figures = compute(run, measurement(run, goodput_bps=80e6))
    # connect 20 ms, 1 s of sending, 10 ms one way
    assert figures.completion_s == pytest.approx(1.030)
    assert figures.goodput_bps == pytest.approx(80e6 / 1.030)
    assert figures.time_to_first_byte_s == pytest.approx(0.030)
    assert figures.bytes_sent == figures.bytes_delivered == 10_000_000
    assert figures.flow_completion_s is None


def test_unverified_payload_is_no_goodput() -> None:
    run = spec()
    broken = dataclasses.replace(flow(run), sha256_ok=False)
    figures = compute(run, measurement(run, flows=(broken,)))
    assert figures.goodput_bps is None
    assert figures.sha256_ok is False


def test_steady_excludes_start_up() -> None:
    run = spec(duration_ns=4 * SECOND)
    slow_start = Series(
        (ORIGIN, ORIGIN + 2 * SECOND, ORIGIN + 4 * SECOND), (0, 1_000_000, 21_000_000)
    )
    slow = flow(run, start_ns=ORIGIN, send_end_ns=ORIGIN + 4 * SECOND, delivered=slow_start)
    assert steady_goodput_bps(run, [slow]) == pytest.approx(20_000_000 * 8 / 2)


def test_steady_is_null_when_half_the_time_is_no_longer_than_start_up() -> None:
    path = spec().paths[0]
    # 250 kB of BDP from 14.48 kB: 4.11 doublings, and 3 RTTs beside.
    startup = startup_ns_of(path)
    assert startup / path.rtt_base_ns == pytest.approx(3 + math.log2(250_000 / 14_480))
    run = spec(duration_ns=math.ceil(2 * startup))
    assert steady_goodput_bps(run, [flow(run)]) == pytest.approx(80e6, rel=1e-3)
    short = spec(duration_ns=math.floor(2 * startup) - 1)
    assert steady_goodput_bps(short, [flow(short)]) is None


def test_local_confirmation_exists_in_split_only() -> None:
    for arm in (Arm.DIRECT, Arm.TUNED):
        run = spec(arm)
        figures = compute(run, measurement(run))
        assert figures.confirmed_bps is None
        assert figures.confirm_latency_s is None
        assert figures.exposure_bytes_max is None


def test_split_confirms_before_it_delivers() -> None:
    run = spec(Arm.SPLIT)
    figures = compute(run, measurement(run, goodput_bps=80e6))
    assert figures.confirm_latency_s is not None
    assert figures.delivered_latency_s is not None
    assert figures.confirm_latency_s.p50 == pytest.approx(0.005, abs=1e-6)
    assert figures.delivered_latency_s.p50 == pytest.approx(0.010, abs=1e-6)
    assert figures.delivered_latency_s.p99 == pytest.approx(0.010, abs=1e-6)
    # 5 ms ahead at 10 MB/s
    assert figures.exposure_bytes_max == pytest.approx(50_000, abs=2)
    assert figures.latency_resolution_s == pytest.approx(0.010, rel=1e-3)


def test_exposure_of_two_flows_is_taken_at_the_same_instant() -> None:
    run = spec(Arm.SPLIT)
    early = flow(
        run,
        confirmed=Series((ORIGIN, ORIGIN + 10), (0, 100)),
        delivered=Series((ORIGIN + 10, ORIGIN + 20), (0, 100)),
    )
    late = flow(
        run,
        confirmed=Series((ORIGIN + 20, ORIGIN + 30), (0, 100)),
        delivered=Series((ORIGIN + 30, ORIGIN + 40), (0, 100)),
    )
    exposure = exposure_of([early, late])
    assert exposure is not None
    assert exposure.max_bytes == max(exposure.bytes) == 100


def test_exposure_is_told_over_time() -> None:
    run = spec(Arm.SPLIT)
    one = flow(
        run,
        start_ns=ORIGIN,
        last_byte_ns=ORIGIN + 4 * SECOND,
        confirmed=Series((ORIGIN, ORIGIN + SECOND), (0, 1000)),
        delivered=Series((ORIGIN + SECOND, ORIGIN + 3 * SECOND, ORIGIN + 4 * SECOND), (0, 0, 1000)),
    )
    exposure = exposure_of([one])
    assert exposure is not None
    assert exposure.times_s == pytest.approx([4 * (slot + 1) / 200 for slot in range(200)])
    assert exposure.bytes[24] == 500, "half a second"
    assert exposure.bytes[99] == 1000, "two seconds"
    assert exposure.bytes[174] == pytest.approx(520), "from 3.48 s on"
    # Half a second's worth rising, two seconds full, half a second's worth falling, in four.
    assert exposure.mean_bytes == pytest.approx(750)
    assert exposure_of([flow(run, confirmed=Series())]) is None


def test_a_confirmation_plateau_does_not_dilute_the_confirmed_rate() -> None:
    run = spec(Arm.SPLIT)
    plateau = Series((ORIGIN, ORIGIN + SECOND, ORIGIN + 9 * SECOND), (0, 1000, 1000))
    one = flow(run, start_ns=ORIGIN, confirmed=plateau)
    figures = compute(run, measurement(run, flows=(one,)))
    assert figures.confirmed_bps == pytest.approx(8000)


def test_latency_percentiles_weigh_flows_by_their_bytes() -> None:
    run = spec()
    run = dataclasses.replace(
        run, flows=(FlowPlan(0, 0, 0, 9_900_000, None), FlowPlan(1, 0, 0, 100_000, None))
    )
    big = flow(run, 0)
    small = flow(run, 1)
    late = Series(tuple(t + SECOND for t in small.delivered.times_ns), small.delivered.values)
    figures = compute(
        run, measurement(run, flows=(big, dataclasses.replace(small, delivered=late)))
    )
    assert figures.delivered_latency_s is not None
    assert figures.delivered_latency_s.p50 == pytest.approx(0.010, abs=1e-6)
    assert figures.delivered_latency_s.p99 <= 1.010
    assert figures.flow_completion_s is not None


def test_the_shortest_latency_is_certain_whatever_the_grid() -> None:
    run = spec()
    # Written in one piece at once, but the counter was looked at 50 ms later only.
    coarse = Series((ORIGIN, ORIGIN + 50 * MS), (0, 1000))
    read = Series((ORIGIN + 10 * MS, ORIGIN + 11 * MS), (500, 1000))
    one = flow(
        run,
        first_write_ns=ORIGIN,
        first_byte_ns=ORIGIN + 10 * MS,
        sent=coarse,
        delivered=read,
    )
    assert shortest_certain_latency_s(one) == pytest.approx(0.010)


def test_a_byte_read_before_it_was_written_is_seen_in_the_middle_of_a_flow() -> None:
    run = spec()
    sent = Series((ORIGIN, ORIGIN + 100 * MS, ORIGIN + 101 * MS), (0, 1000, 2000))
    read = Series((ORIGIN + 20 * MS, ORIGIN + 102 * MS), (1000, 2000))
    one = flow(
        run, first_write_ns=ORIGIN, first_byte_ns=ORIGIN + 20 * MS, sent=sent, delivered=read
    )
    assert shortest_certain_latency_s(one) == pytest.approx(0.002)


def test_nothing_delivered_gives_nulls_and_no_nan() -> None:
    run = spec(Arm.SPLIT)
    dead = flow(
        run,
        first_byte_ns=None,
        last_byte_ns=None,
        send_end_ns=None,
        bytes_delivered=0,
        sha256_ok=None,
        sent=Series(),
        delivered=Series(),
        confirmed=Series(),
    )
    figures = compute(run, measurement(run, flows=(dead,), rtt_idle_ns=(), rtt_loaded_ns=()))
    assert figures.goodput_bps is None
    assert figures.steady_goodput_bps is None
    assert figures.delivered_latency_s is None
    assert figures.time_to_first_byte_s is None
    assert figures.exposure_bytes_max is None
    assert figures.sha256_ok is None
    assert figures.achieved.rtt_s.idle is None


def test_achieved_loss_combines_the_links_of_the_path_one_way() -> None:
    links = (link("a--m", loss=0.01), link("m--b", loss=0.02))
    run = spec(links=links)
    figures = compute(run, measurement(run))
    assert figures.requested.loss == pytest.approx(1 - 0.99 * 0.98)
    assert figures.achieved.loss == pytest.approx(1 - 0.99 * 0.98)


def test_achieved_rate_is_that_of_the_slowest_link() -> None:
    links = (link("a--m", rate_bps=100_000_000), link("m--b", rate_bps=50_000_000))
    run = spec(links=links)
    assert compute(run, measurement(run)).achieved.rate_bps == 50e6
    idle = [wire(one, rate_backlogged_bps=None) for one in links]
    assert compute(run, measurement(run, wires=tuple(idle))).achieved.rate_bps is None


def test_lateness_is_that_of_the_worst_direction_with_enough_samples() -> None:
    run = spec()
    wires = (
        wire(run.links[0], lateness_ns=(100_000,) * 500),
        wire(run.links[0], forward=False, lateness_ns=(900_000,) * 499),
        wire(run.links[1], lateness_ns=(300_000,) * 500),
    )
    worst = compute(run, measurement(run, wires=wires)).achieved.lateness_s
    assert worst is not None
    assert (worst.wire, worst.direction, worst.samples) == ("m--b", "m->b", 500)
    assert worst.p99 == pytest.approx(0.3e-3)


def test_theoretical_goodput_states_its_framing() -> None:
    theory = framing.theory_of(spec())
    assert theory.goodput_bps == pytest.approx(100e6 * 1448 / 1514)
    assert theory.mss_bytes == 1448
    assert "1448" in theory.framing


def test_a_fixed_window_limits_theory_to_one_window_per_base_rtt() -> None:
    run = dataclasses.replace(spec(), window_bytes=100_000)
    theory = framing.theory_of(run)
    assert theory.goodput_bps == pytest.approx(100_000 * 8 / 20e-3)
    assert "window of 100000 B" in theory.framing
    # In split a connection spans one link of 5 ms: four times as much; the link is the cap.
    split = dataclasses.replace(run, arm=Arm.SPLIT)
    assert framing.theory_of(split).goodput_bps == pytest.approx(80e6)
    wide = dataclasses.replace(run, window_bytes=10_000_000)
    assert framing.theory_of(wide).goodput_bps == pytest.approx(100e6 * 1448 / 1514)


def test_two_disjoint_paths_carry_the_sum_and_a_shared_link_caps_it() -> None:
    run = spec()
    other = (link("a--n"), link("n--b"))
    path = dataclasses.replace(run.paths[0], index=1, nodes=("a", "n", "b"), links=("a--n", "n--b"))
    two = dataclasses.replace(run, links=run.links + other, paths=(run.paths[0], path))
    assert framing.capacity_bps(two, [0, 1]) == 200_000_000
    shared = dataclasses.replace(path, links=("a--m", "n--b"))
    assert framing.capacity_bps(
        dataclasses.replace(two, paths=(run.paths[0], shared)), [0, 1]
    ) == pytest.approx(100_000_000)


def test_ramps_of_the_test_kit_are_what_they_say() -> None:
    series = ramp(0, 1000, SECOND)
    assert series.times_ns[-1] == SECOND
    assert series.values[-1] == 1000
