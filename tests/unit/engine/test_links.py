"""Links: queueing against theory and against an exact recursion, loss, jitter, conservation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tests.unit.engine.nets import (
    MS,
    SECOND,
    both_ways,
    bulk,
    connection,
    run_for,
    run_to_end,
    start,
)

from sentinel_sim.engine.spec import FlowSpec, LinkSpec, LossModel, NetworkSpec, ProbeSpec
from sentinel_sim.errors import InfeasibleError, SimulationError

SERVICE_NS = 12_000
SIZE = 1500


def transits(send_ns: np.ndarray, queue_bytes: int, **changes: object) -> np.ndarray:
    """One-way times of packets of 1500 B at the given times, over 1 Gbit/s; -1: dropped."""
    link = LinkSpec("only", 1_000_000_000, 0, queue_bytes, **changes)  # type: ignore[arg-type]
    probes = tuple(ProbeSpec(int(at), ("only",), SIZE) for at in send_ns)
    simulation = start((link,), probes=probes)
    # Nothing to be done but the probes: tick by tick, each advance ends after one.
    while simulation.now_ns <= int(send_ns[-1]) or simulation.under_way:
        simulation.advance(1)
    simulation.verify()
    rows = simulation.world.probes
    return np.where(rows["returned"] >= 0, rows["returned"] - rows["send_at"], -1)


def poisson(load: float, count: int, seed: int) -> np.ndarray:
    gaps = np.random.default_rng(seed).exponential(SERVICE_NS / load, count)
    return np.cumsum(np.maximum(gaps.round(), 1)).astype(np.int64)


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_queueing_delay_is_that_of_m_d_1(load: float) -> None:
    count = 400_000 if load < 0.7 else 1_000_000
    send_ns = poisson(load, count, seed=5)
    waits = transits(send_ns, queue_bytes=1 << 30) - SERVICE_NS
    # The recursion of Lindley (1952), exactly; then Pollaczek-Khinchine for the mean.
    expected = np.zeros(count, np.int64)
    gaps = np.diff(send_ns)
    wait = 0
    for index, gap in enumerate(gaps.tolist(), start=1):
        wait = max(0, wait + SERVICE_NS - gap)
        expected[index] = wait
    np.testing.assert_array_equal(waits, expected)
    theory = load / (2 * (1 - load)) * SERVICE_NS
    assert waits.mean() == pytest.approx(theory, rel=0.02)


def test_a_drop_tail_queue_holds_its_limit_beside_the_packet_in_transmission() -> None:
    send_ns = np.full(20, 1000, np.int64)
    times = transits(send_ns, queue_bytes=5 * SIZE)
    kept = times[times >= 0]
    assert len(kept) == 6
    assert kept.tolist() == [SERVICE_NS * (n + 1) for n in range(6)]


def test_independent_losses_come_at_their_rate_and_from_the_seed() -> None:
    send_ns = np.arange(1, 100_001, dtype=np.int64) * 20_000
    lost = transits(send_ns, 1 << 20, loss=LossModel(0.01)) < 0
    assert lost.sum() == pytest.approx(1000, abs=5 * np.sqrt(1000))
    again = transits(send_ns, 1 << 20, loss=LossModel(0.01)) < 0
    np.testing.assert_array_equal(lost, again)


def test_gilbert_elliott_losses_come_in_bursts_of_the_expected_length() -> None:
    model = LossModel(good=0.0, bad=1.0, to_bad=0.002, to_good=0.25)
    send_ns = np.arange(1, 200_001, dtype=np.int64) * 20_000
    lost = transits(send_ns, 1 << 20, loss=model) < 0
    bursts = np.count_nonzero(np.diff(lost.astype(int)) == 1)
    assert lost.mean() == pytest.approx(model.mean, rel=0.1)
    assert lost.sum() / bursts == pytest.approx(4.0, rel=0.1)


def test_jitter_stays_within_its_bound_and_never_reorders() -> None:
    send_ns = np.arange(1, 20_001, dtype=np.int64) * 15_000
    link = LinkSpec("only", 1_000_000_000, 5 * MS, 1 << 30, jitter_ns=MS)
    simulation = start((link,), probes=tuple(ProbeSpec(int(at), ("only",), SIZE) for at in send_ns))
    while simulation.now_ns <= int(send_ns[-1]) or simulation.under_way:
        simulation.advance(1)
    arrived = simulation.world.probes["returned"]
    late = arrived - send_ns - SERVICE_NS - 5 * MS
    assert np.all(np.diff(arrived) >= 0)
    assert late.min() >= -MS
    assert late.max() <= MS
    assert late.max() > MS * 9 // 10


def test_verification_notices_a_packet_that_was_lost_track_of() -> None:
    simulation = start(both_ways("x"), bulk(1, connection("x")))
    run_for(simulation, 0.3)
    simulation.world.links["arrived"][0] -= 1
    with pytest.raises(SimulationError, match="accepted"):
        simulation.verify()


def test_verification_notices_a_wrong_scoreboard() -> None:
    loss = LossModel(0.01)
    simulation = start(both_ways("x", loss=loss), bulk(1, connection("x")))
    run_for(simulation, 1.0)
    simulation.world.conns["sacked"][0] += 1
    with pytest.raises(SimulationError, match="sacked"):
        simulation.verify()


@pytest.mark.parametrize("control", ["reno", "cubic", "bbr"])
@pytest.mark.parametrize("burst", [False, True])
def test_everything_is_accounted_for_at_every_tick_under_heavy_loss(
    control: str, burst: bool
) -> None:
    loss = LossModel(0.001, 0.3, 0.01, 0.2) if burst else LossModel(0.02)
    links = both_ways("x", rate_bps=50_000_000, queue_bytes=30_000, loss=loss, back_loss=loss)
    more = both_ways("y", rate_bps=40_000_000, queue_bytes=20_000, jitter_ns=MS)
    flows = [
        FlowSpec(1, (connection("x", "y", control=control),), 0, size_bytes=3_000_001),
        FlowSpec(
            2,
            (connection("x", control=control, relay_bytes=1 << 16), connection("y")),
            50 * MS,
            size_bytes=2_000_000,
        ),
    ]
    simulation = start(links + more, *flows)
    while not simulation.done:
        simulation.advance(1)
        simulation.verify()
        assert simulation.now_ns < 600 * SECOND
    assert simulation.world.conns["rcv_nxt"].tolist() == [2072, 1382, 1382]


def test_the_order_in_which_things_are_given_changes_nothing() -> None:
    links = (*both_ways("x", loss=LossModel(0.01)), *both_ways("y", rate_bps=300_000_000))
    flows = tuple(
        FlowSpec(n, (connection("x", "y"),), n * MS, size_bytes=500_000 * n) for n in (1, 2, 3)
    )
    one = NetworkSpec(links, flows, 9)
    other = dataclasses.replace(one, links=links[::-1], flows=flows[::-1])
    traces = []
    for spec in (one, other):
        simulation = start(spec.links, *spec.flows, seed=spec.seed)
        samples = run_to_end(simulation)
        traces.append((samples.flows.tobytes(), simulation.world.conns.tobytes()))
    assert traces[0] == traces[1]


@pytest.mark.parametrize(
    "change", [{"rate_bps": 1}, {"delay_ns": -1}, {"jitter_ns": 6 * MS}, {"queue_bytes": -1}]
)
def test_impossible_links_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(InfeasibleError, match="link x>"):
        both_ways("x", **change)
