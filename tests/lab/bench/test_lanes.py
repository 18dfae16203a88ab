"""Each lane for a moment, on real interfaces: what it counts against what was sent.

Nothing here is about speed: rates are low enough for any host, and only counts are compared.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from sentinel_bpf import model
from sentinel_bpf.bench_programs import FRAME_BYTES, EgressCounter
from sentinel_bpf.training import weights
from sentinel_sim.bench import agreement
from sentinel_sim.bench.box import Box, choose_cpus
from sentinel_sim.bench.costs import Sweeper, costs_of
from sentinel_sim.bench.lanes import LANES_OF, Lane, Mode, Variant, Work, variants_of
from sentinel_sim.bench.live import KINDS, measure_live
from sentinel_sim.bench.observer import FlowTable
from sentinel_sim.bench.placing import Sources, UserLane, in_place
from sentinel_sim.bench.runner import _program_statistics
from sentinel_sim.bench.trials import check_flows, pass_through, run_trial
from sentinel_sim.errors import MissingCapabilityError
from sentinel_sim.host.ownership import Ownership

pytestmark = pytest.mark.lab

PPS, PACKETS = 2_000, 600
VARIANTS = variants_of(LANES_OF[Mode.ALL])
LANES = LANES_OF[Mode.ALL]


@pytest.fixture(scope="module")
def sources() -> Iterator[Sources]:
    try:
        choose_cpus()
    except MissingCapabilityError as error:
        pytest.skip(str(error))
    made = Sources()
    yield made
    made.close()


@pytest.fixture(scope="module")
def box(sources: Sources) -> Iterator[Box]:
    egress = EgressCounter(sources.bench)
    with Ownership.create() as ownership, Box(ownership, egress, choose_cpus()) as made:
        yield made
    egress.close()


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_what_goes_in_comes_out_and_is_observed(
    box: Box, sources: Sources, variant: Variant
) -> None:
    with in_place(box, sources, variant) as lane:
        trial = run_trial(
            box,
            lane,
            variant,
            flows=16,
            pps=PPS,
            seconds=PACKETS / PPS,
            place=(0, 0, "thread"),
            seed=3,
        )
        state = box.egress.read()
    assert trial.sent == trial.received == PACKETS
    observes = variant.lane is not None and variant.work is Work.FULL
    assert trial.observed == (PACKETS if observes else None)
    assert state.bytes == PACKETS * FRAME_BYTES
    assert trial.delay_p50_ns is not None
    assert trial.delay_p99_ns is not None
    assert 0 < trial.delay_p50_ns <= trial.delay_p99_ns
    assert trial.cpu_share > 0


@pytest.mark.parametrize("lane", LANES)
def test_every_flow_is_counted_to_the_packet(box: Box, sources: Sources, lane: Lane) -> None:
    variant = Variant(lane)
    with _program_statistics(), in_place(box, sources, variant) as placed:
        check = check_flows(box, placed, variant, flows=200, pps=PPS, packets=PACKETS, seed=9)
    assert check.agrees
    assert 1 < check.flows_sent <= 200
    assert (check.program_ns is not None) == variant.in_kernel


def test_a_wrong_count_is_noticed(box: Box, sources: Sources) -> None:
    variant = Variant(Lane.XDP_NATIVE)
    with in_place(box, sources, variant) as placed:
        # Another walk than the truth is reckoned for: as if the lane mixed flows up.
        real = box.generator.send
        box.generator.send = lambda packets, pps, flows, seed: real(packets, pps, flows, seed + 1)  # type: ignore[method-assign]
        try:
            check = check_flows(box, placed, variant, flows=200, pps=PPS, packets=PACKETS, seed=9)
        finally:
            box.generator.send = real  # type: ignore[method-assign]
    assert not check.agrees


@pytest.mark.parametrize("lane", LANES)
def test_every_lane_predicts_with_the_shipped_network(
    box: Box, sources: Sources, lane: Lane
) -> None:
    variant = Variant(lane)
    if variant.in_kernel:
        version = model.active_version(sources.maps(lane).map_fd(model.MAP))
        assert version == weights.load().version
        return
    with in_place(box, sources, variant) as placed:
        assert isinstance(placed, UserLane)
        assert placed.predicts_with_network()


def test_an_overloaded_lane_loses_packets_and_says_so(box: Box, sources: Sources) -> None:
    with in_place(box, sources, Variant(Lane.ASYNCIO)) as lane:
        passage = pass_through(box, lane, packets=100_000, pps=0, flows=1, seed=1)
    assert passage.sent.packets == 100_000
    assert passage.received < 100_000


def test_all_lanes_compute_the_same_bit_for_bit() -> None:
    for lane, (source, program) in agreement.sources().items():
        with source:
            found = agreement.compare(lane, source, program, packets=400, flows=20, seed=5)
        assert found.flows == 20
        assert found.agrees, lane
        assert found.network_version == weights.load().version


def test_a_flow_that_differs_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    source, program = agreement.sources()[Lane.XDP_NATIVE]
    from sentinel_sim.bench import observer

    whole = observer.FlowState.to_bytes
    monkeypatch.setattr(observer.FlowState, "to_bytes", lambda self: whole(self)[:-1] + b"\x01")
    with source:
        found = agreement.compare(Lane.XDP_NATIVE, source, program, packets=50, flows=5, seed=5)
    assert not found.agrees


def test_a_lane_without_the_network_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    source, program = agreement.sources()[Lane.XDP_NATIVE]
    bare = FlowTable
    monkeypatch.setattr(agreement, "FlowTable", lambda network, ifindex: bare(ifindex=ifindex))
    with source:
        found = agreement.compare(Lane.XDP_NATIVE, source, program, packets=400, flows=20, seed=5)
    assert not found.agrees


@pytest.mark.parametrize("lane", LANES)
def test_costs_come_in_pairs(sources: Sources, lane: Lane) -> None:
    measuring = costs_of(sources, lane)
    try:
        hot = measuring.hot(100, samples=3, packets=2_000, seed=1)
        cold = measuring.cold(samples=2, sweeper=Sweeper())
    finally:
        measuring.close()
    assert len(hot.full_ns) == len(hot.empty_ns) == 3
    assert hot.net_ns is not None
    assert hot.net_ns.mean > 0
    assert len(cold.full_ns) == 2


def test_live_frames_run_in_every_kind(box: Box, sources: Sources) -> None:
    found = measure_live(box, sources, flows=10, packets=2_000, samples=2)
    assert [one.kind for one in found] == list(KINDS)
    assert all(len(one.pps) == 2 and min(one.pps) > 0 for one in found)


def test_without_a_polling_thread_no_task_is_charged(box: Box, sources: Sources) -> None:
    box.set_threaded(False)
    try:
        with in_place(box, sources, Variant(Lane.XDP_NATIVE)) as lane:
            assert lane.pids() == {}
            passage = pass_through(box, lane, packets=PACKETS, pps=PPS, flows=1, seed=1)
    finally:
        box.set_threaded(True)
    assert passage.received == PACKETS
    assert passage.usage.cpu_ns == 0


def test_the_box_and_the_generator_have_a_cpu_each(box: Box) -> None:
    assert box.cpus.box != box.cpus.generator
    polling = box.pin_polling()["polling"]
    assert os.sched_getaffinity(polling) == {box.cpus.box}
    assert os.sched_getaffinity(box.generator.pid) == {box.cpus.generator}
