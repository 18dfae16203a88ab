"""The validity gate: on each limit a run passes, one step beyond it is refused with the figure."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tests.unit.experiment.support import MS, ORIGIN, flow, link, measurement, spec, wire

from sentinel_sim.backends.base import Engine, RunMeasurement, Series
from sentinel_sim.experiment.gate import LIMITS, Limits, judge, loss_interval
from sentinel_sim.experiment.metrics import compute
from sentinel_sim.plan.model import LinkPlan, RunSpec


def reasons(run: RunSpec, measured: RunMeasurement) -> tuple[str, ...]:
    return judge(run, measured, compute(run, measured))


def far(delay_ns: int = 50 * MS) -> tuple[LinkPlan, ...]:
    return (link("a--m", delay_one_way_ns=delay_ns), link("m--b", delay_one_way_ns=delay_ns))


def with_wire(run: RunSpec, **changes: object) -> RunMeasurement:
    """Everything in order but the first wire's forward direction."""
    given_ = measurement(run)
    changed = wire(run.links[0], **changes)
    return dataclasses.replace(given_, wires=(changed, *given_.wires[1:]))


def test_a_run_in_order_is_valid() -> None:
    run = spec()
    assert reasons(run, measurement(run)) == ()


@pytest.mark.parametrize(
    ("links", "tolerance_ns"),
    [
        (far(5 * MS), 200_000),  # 20 ms: 1 % is 0.2 ms, the two rules meet
        (far(2 * MS), 200_000),  # 8 ms: the absolute limit rules
        (far(50 * MS), 2_000_000),  # 200 ms: 1 % rules
    ],
)
@pytest.mark.parametrize("sign", [-1, 1])
def test_idle_rtt_passes_on_its_limit_and_not_beyond(
    links: tuple[LinkPlan, ...], tolerance_ns: int, sign: int
) -> None:
    run = spec(links=links)
    base = run.paths[0].rtt_base_ns
    # One ns inside: seconds as floats round in the last digit.
    inside = measurement(run, rtt_idle_ns=(base + sign * (tolerance_ns - 1),))
    assert reasons(run, inside) == ()
    beyond = measurement(run, rtt_idle_ns=(base + sign * (tolerance_ns + 1000),))
    (reason,) = reasons(run, beyond)
    assert "idle RTT" in reason
    assert f"the limit is {tolerance_ns / 1e6:.3f} ms" in reason


def test_jitter_that_was_asked_for_widens_the_idle_limit() -> None:
    links = (link("a--m", jitter_ns=1 * MS), link("m--b"))
    run = spec(links=links)
    base = run.paths[0].rtt_base_ns
    assert reasons(run, measurement(run, rtt_idle_ns=(base + 2 * MS,))) == ()
    assert len(reasons(run, measurement(run, rtt_idle_ns=(base + 3 * MS,)))) == 1


def test_a_run_without_idle_probes_cannot_be_believed() -> None:
    run = spec()
    (reason,) = reasons(run, measurement(run, rtt_idle_ns=()))
    assert "not measured" in reason


@pytest.mark.parametrize(("delay_ns", "limit_ns"), [(5 * MS, 1 * MS), (100 * MS, 2 * MS)])
def test_lateness_p99_passes_on_its_limit_and_not_beyond(delay_ns: int, limit_ns: int) -> None:
    run = spec(links=far(delay_ns))
    assert reasons(run, with_wire(run, lateness_ns=(limit_ns,) * 500)) == ()
    (reason,) = reasons(run, with_wire(run, lateness_ns=(limit_ns + 1000,) * 500))
    assert "lateness p99 on a--m a->m" in reason
    assert f"limit is {limit_ns / 1e6:.3f} ms" in reason


def test_one_late_packet_in_a_thousand_is_no_reason() -> None:
    run = spec()
    assert reasons(run, with_wire(run, lateness_ns=(0,) * 999 + (50 * MS,))) == ()


def test_a_direction_with_few_samples_is_not_judged_while_others_have_enough() -> None:
    run = spec()
    assert reasons(run, with_wire(run, lateness_ns=(5 * MS,) * 499)) == ()


def test_without_enough_samples_anywhere_lateness_cannot_be_judged() -> None:
    run = spec()
    few = [wire(one, lateness_ns=(0,) * 29) for one in run.links]
    (reason,) = reasons(run, measurement(run, wires=tuple(few)))
    assert "29 sampled transits" in reason
    (reason,) = reasons(run, measurement(run, wires=()))
    assert "0 sampled transits" in reason


def test_in_virtual_time_nothing_is_late_however_few_the_samples() -> None:
    run = spec()
    wires = tuple(wire(one, lateness_ns=(0,) * 29) for one in run.links)
    few = measurement(run, wires=wires)
    assert reasons(run, few)
    assert reasons(run, dataclasses.replace(few, engine=Engine.PACKET)) == ()


def test_where_there_are_only_rates_no_probe_is_missed() -> None:
    run = spec()
    silent = dataclasses.replace(measurement(run), rtt_idle_ns=(), wires=())
    for engine, judged in ((Engine.KERNEL, True), (Engine.PACKET, True), (Engine.FLOW, False)):
        found = reasons(run, dataclasses.replace(silent, engine=engine))
        assert any("idle RTT" in reason for reason in found) is judged


def test_the_best_sampled_direction_is_judged_when_none_has_five_hundred() -> None:
    run = spec()
    late = [wire(one, lateness_ns=(3 * MS,) * 30) for one in run.links]
    assert len(reasons(run, measurement(run, wires=tuple(late)))) == 2


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_drain_rate_passes_on_one_percent_and_not_beyond(factor: float) -> None:
    run = spec()
    rate = run.links[0].rate_bps
    assert reasons(run, with_wire(run, rate_backlogged_bps=factor * rate)) == ()
    beyond = 1 + (factor - 1) * 1.01
    (reason,) = reasons(run, with_wire(run, rate_backlogged_bps=beyond * rate))
    assert "while backlogged" in reason
    assert "the limit is 1 %" in reason


def test_a_link_that_was_never_backlogged_has_no_rate_to_judge() -> None:
    run = spec()
    assert reasons(run, with_wire(run, rate_backlogged_bps=None)) == ()


@pytest.mark.parametrize("lossy", [0.001, 0.01])
def test_loss_passes_on_the_ends_of_its_interval_and_not_beyond(lossy: float) -> None:
    run = spec(links=(link("a--m", loss=lossy), link("m--b")))
    seen = 100_000
    # Two lossy directions share the 0.1 %.
    low, high = loss_interval(seen, lossy, 1 - 0.001 / 2)
    for dropped in (low, high):
        fine = with_wire(run, loss_dropped=dropped, packets_out=seen - dropped)
        assert reasons(run, fine) == ()
    for dropped in (low - 1, high + 1):
        wrong = with_wire(run, loss_dropped=dropped, packets_out=seen - dropped)
        (reason,) = reasons(run, wrong)
        assert f"dropped {dropped} of {seen}" in reason
        assert f"between {low} and {high}" in reason


def test_a_drop_by_a_lossless_link_is_no_chance() -> None:
    run = spec()
    (reason,) = reasons(run, with_wire(run, loss_dropped=1, packets_out=99_999))
    assert "between 0 and 0" in reason


@given(st.integers(1, 10**7), st.floats(1e-6, 0.5), st.floats(0.5, 0.9999))
def test_the_loss_interval_holds_its_confidence_and_is_no_wider_than_needed(
    seen: int, probability: float, confidence: float
) -> None:
    low, high = loss_interval(seen, probability, confidence)
    law = stats.binom(seen, probability)
    tail = (1 - confidence) / 2
    assert 0 <= low <= seen * probability + 1
    assert high <= seen
    assert law.cdf(low - 1) < tail * (1 + 1e-6)
    assert law.cdf(high) >= 1 - tail * (1 + 1e-6)
    assert law.cdf(high - 1) <= (1 - tail) * (1 + 1e-9)


def test_an_unplanned_drop_is_named_with_its_cause_once() -> None:
    run = spec()
    lost = with_wire(run, drops_unplanned={"nfqueue overflow": 3}, packets_out=99_997)
    (reason,) = reasons(run, lost)
    assert "lost 3 packets to nfqueue overflow" in reason


def test_packets_that_nobody_accounts_for_are_a_reason() -> None:
    run = spec()
    (reason,) = reasons(run, with_wire(run, packets_out=99_998))
    assert "2 unaccounted for" in reason
    (reason,) = reasons(run, with_wire(run, packets_out=100_001))
    assert "-1 unaccounted for" in reason


def test_queue_overflow_is_what_the_experiment_asked_for() -> None:
    run = spec()
    assert reasons(run, with_wire(run, queue_dropped=1234)) == ()


def test_payload_must_arrive_whole_and_verified() -> None:
    run = spec()
    for changes, words in (
        ({"sha256_ok": False}, "SHA-256"),
        ({"sha256_ok": None}, "never completed"),
        ({"error": "connection reset by peer"}, "connection reset by peer"),
    ):
        broken = dataclasses.replace(flow(run), **changes)
        (reason,) = reasons(run, measurement(run, flows=(broken,)))
        assert words in reason
    assert "no flow was measured" in reasons(run, measurement(run, flows=()))


def test_nothing_is_delivered_faster_than_light() -> None:
    run = spec()
    half = run.paths[0].rtt_base_ns // 2
    tolerance = 100_000  # half of 0.2 ms
    one = flow(run)
    on_limit = dataclasses.replace(one, first_byte_ns=one.first_write_ns + half - tolerance + 1)
    assert reasons(run, measurement(run, flows=(on_limit,))) == ()
    beyond = dataclasses.replace(one, first_byte_ns=one.first_write_ns + half - tolerance - 1000)
    (reason,) = reasons(run, measurement(run, flows=(beyond,)))
    assert "faster than propagation" in reason


def test_a_coarse_counter_is_no_proof_of_superluminal_delivery() -> None:
    run = spec()
    half = run.paths[0].rtt_base_ns // 2
    # All was written at once; the counter saw it a grid step later. Interpolation alone would
    # put most of the bytes' writes after their reads.
    sent = Series((ORIGIN, ORIGIN + 40 * MS), (0, 1_000_000))
    read = Series((ORIGIN + half, ORIGIN + half + MS), (10, 1_000_000))
    one = flow(
        run,
        first_write_ns=ORIGIN,
        first_byte_ns=ORIGIN + half,
        sent=sent,
        delivered=read,
    )
    assert reasons(run, measurement(run, flows=(one,))) == ()


def test_every_reason_is_given_at_once() -> None:
    run = spec()
    bad = dataclasses.replace(
        with_wire(run, rate_backlogged_bps=1.0, packets_out=0),
        rtt_idle_ns=(1,),
        flows=(flow(run, sha256_ok=False),),
    )
    assert len(reasons(run, bad)) == 4


def test_the_limits_are_those_of_the_design() -> None:
    assert Limits() == LIMITS
    assert LIMITS.rtt_idle_tolerance_s(0.001) == 0.2e-3
    assert LIMITS.rtt_idle_tolerance_s(0.2) == pytest.approx(2e-3)
    assert LIMITS.lateness_limit_s(0.01) == 1e-3
    assert LIMITS.lateness_limit_s(0.1) == pytest.approx(2e-3)
