"""Whole runs on this kernel: real TCP, real XDP, real daemons."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.lab.emulated.runs import MBIT, bulk, measure, measure_all

from sentinel_bpf import test_run
from sentinel_bpf.loader import program_stats
from sentinel_bpf.snapshot import BURSTS, EXPERTS
from sentinel_bpf.training import weights
from sentinel_sim.backends.base import RunMeasurement
from sentinel_sim.backends.emulated.backend import EmulatedBackend
from sentinel_sim.backends.emulated.options import EmulationOptions
from sentinel_sim.experiment import metrics
from sentinel_sim.host.commands import run_command
from sentinel_sim.host.doctor import wire_backend
from sentinel_sim.plan.model import Arm, FlowPlan, RunSpec, WorkloadKind

pytestmark = pytest.mark.lab


def check_payload(measured: RunMeasurement) -> None:
    for flow in measured.flows:
        assert flow.error is None
        assert flow.sha256_ok is True
        assert flow.bytes_sent == flow.bytes_delivered > 0


def check_conservation(measured: RunMeasurement) -> None:
    for wire in measured.wires:
        assert wire.drops_unplanned == {}
        assert wire.packets_in == wire.packets_out + wire.loss_dropped


@pytest.fixture(scope="module")
def arms() -> dict[Arm, tuple[RunSpec, RunMeasurement]]:
    """One run of each arm on one network."""
    specs = [bulk(Arm.DIRECT), replace(bulk(Arm.TUNED), burstiness=True), bulk(Arm.SPLIT)]
    return {run.arm: (run, found) for run, found in zip(specs, measure(*specs), strict=True)}


@pytest.mark.parametrize("arm", [Arm.DIRECT, Arm.TUNED, Arm.SPLIT])
def test_every_byte_arrives_and_every_packet_is_accounted_for(
    arms: dict[Arm, tuple[RunSpec, RunMeasurement]], arm: Arm
) -> None:
    spec, measured = arms[arm]
    check_payload(measured)
    check_conservation(measured)
    goodput = metrics.compute(spec, measured).goodput_bps
    assert goodput is not None
    # Start-up included; the cap is 95.6 Mbit/s.
    assert 50 * MBIT < goodput < 97 * MBIT


@pytest.mark.parametrize("arm", [Arm.TUNED, Arm.SPLIT])
def test_the_fsu_of_every_node_counts_at_least_the_payload(
    arms: dict[Arm, tuple[RunSpec, RunMeasurement]], arm: Arm
) -> None:
    _, measured = arms[arm]
    payload = measured.flows[0].bytes_delivered
    for node in ("n1", "n2"):
        report = measured.fsu[node]
        assert report["attached"]
        halves = [flow[half] for flow in report["flows"] for half in ("forward", "backward")]
        biggest = max(int(half.get("bytes_total", 0)) for half in halves)
        assert payload < biggest < payload * 1.15
        assert report["counters"]["insert_fail"] == 0
        for half in halves:
            if int(half.get("bytes_total", 0)) == biggest:
                check_data(half)


def check_data(half: dict[str, Any]) -> None:
    """What the daemon tells of the direction that carries the payload, 100 Mbit/s for 1.5 s."""
    guess = half["prediction"]
    assert guess["leader"] in EXPERTS
    assert guess["burst"] in BURSTS
    assert 1.0 <= guess["pattern_factor"] <= 1.5
    assert int(guess["interval_ns"]) == 1 << weights.load().network.interval_shift
    assert guess["intervals"] > 20
    assert 0 < int(half["rtt_min_ns"]) <= 1500 * int(half["rtt_us"])


def test_split_has_a_connection_on_every_link_and_the_others_one_from_end_to_end(
    arms: dict[Arm, tuple[RunSpec, RunMeasurement]],
) -> None:
    assert set(arms[Arm.SPLIT][1].flows[0].retransmitted_bytes) == {"n0->n1", "n1->n2"}
    assert set(arms[Arm.TUNED][1].flows[0].retransmitted_bytes) == {"n0->n2"}


def test_bytes_in_bins_are_all_bytes_and_only_a_run_that_asks_has_them(
    arms: dict[Arm, tuple[RunSpec, RunMeasurement]],
) -> None:
    spec, measured = arms[Arm.TUNED]
    wires = {(wire.link, wire.direction): wire for wire in measured.wires}
    assert [one.link for one in measured.bins] == list(spec.paths[0].links)
    for one in measured.bins:
        wire = wires[one.link, one.direction]
        # The queueing discipline also counts the link's own traffic: ARP, neighbour discovery.
        assert sum(one.departed) == pytest.approx(wire.rate_bytes_sent, rel=2e-3)
        if wire.queue_dropped:
            assert sum(one.offered) > sum(one.departed)
        else:
            assert sum(one.offered) == sum(one.departed)
    assert metrics.compute(spec, measured).burstiness is not None
    assert arms[Arm.DIRECT][1].bins == arms[Arm.SPLIT][1].bins == ()


def test_split_confirms_sooner_than_it_delivers(
    arms: dict[Arm, tuple[RunSpec, RunMeasurement]],
) -> None:
    figures = metrics.compute(*arms[Arm.SPLIT])
    assert figures.exposure_bytes_max is not None
    assert figures.exposure_bytes_max > 0
    assert metrics.compute(*arms[Arm.TUNED]).exposure_bytes_max is None


def test_no_byte_is_delivered_faster_than_light(
    arms: dict[Arm, tuple[RunSpec, RunMeasurement]],
) -> None:
    for spec, measured in arms.values():
        shortest = metrics.shortest_certain_latency_s(measured.flows[0])
        assert shortest is not None
        assert shortest > spec.paths[0].rtt_base_ns / 2e9 * 0.98


def test_window_law() -> None:
    """goodput = 8 W / RTT, without a free parameter (RFC 2488, section 4.2)."""
    window_bytes = 256 * 1024
    specs = [
        bulk(
            Arm.TUNED, hops=1, delay_ms=delay, window_bytes=window_bytes, seconds=45 * 2e-3 * delay
        )
        for delay in (15, 30, 60)
    ]
    steady, rtts = [], []
    for spec, measured in zip(specs, measure(*specs), strict=True):
        check_payload(measured)
        goodput = metrics.compute(spec, measured).steady_goodput_bps
        assert goodput is not None
        steady.append(goodput)
        rtts.append(spec.paths[0].rtt_base_ns / 1e9)
        assert goodput == pytest.approx(8 * window_bytes / rtts[-1], rel=0.05)
    slope = np.polyfit(np.log(rtts), np.log(steady), 1)[0]
    assert slope == pytest.approx(-1.0, abs=0.05)


def test_many_flows_and_sized_transfers_arrive_whole() -> None:
    many = replace(
        bulk(Arm.SPLIT),
        workload=WorkloadKind.MANY,
        flows=tuple(FlowPlan(i, 0, i * 10_000_000, 200_000, None) for i in range(1, 21)),
    )
    (measured,) = measure(many)
    check_payload(measured)
    assert {flow.bytes_delivered for flow in measured.flows} == {200_000}
    assert len(measured.flows) == 20


def test_loss_is_what_was_asked_for_and_accounted() -> None:
    plain = bulk(Arm.TUNED, delay_ms=2)
    lossy = replace(
        plain,
        links=tuple(replace(x, loss=0.01) for x in plain.links),
        flows=(FlowPlan(1, 0, 0, 1_500_000, None),),
    )
    (measured,) = measure(lossy)
    check_payload(measured)
    check_conservation(measured)
    assert sum(wire.loss_seen for wire in measured.wires) > 1000
    for wire in measured.wires:
        expected = wire.loss_seen * 0.01
        assert abs(wire.loss_dropped - expected) <= 1 + 5 * expected**0.5
    assert sum(measured.flows[0].retransmitted_bytes.values()) > 0


def test_the_kernel_times_the_fsus_at_work_and_no_longer() -> None:
    spec = bulk(Arm.SPLIT, seconds=0.5)

    async def work() -> RunMeasurement:
        options = EmulationOptions(wire_backend(), fsu_cost=True)
        async with EmulatedBackend(spec, options) as backend:
            return await backend.run(spec, lambda phase, done: None)

    def switched_on() -> str:
        return Path("/proc/sys/kernel/bpf_stats_enabled").read_text().strip()

    before = switched_on()
    cost = asyncio.run(work()).cpu["fsu_cost"]
    for kind in ("xdp", "tc"):
        points = cost[kind]["points"]
        assert set(points) == {"n0/n0--n1", "n1/n0--n1", "n1/n1--n2", "n2/n1--n2"}
        # Data one way, acknowledgements the other: every point sees packets of the run.
        assert all(point["runs"] > 100 for point in points.values())
        for point in points.values():
            assert point["ns_per_run"] > cost["empty_program_ns"] > 0
    assert switched_on() == before
    program = test_run.load_empty_program()
    try:
        test_run.run(program, bytes(64), repeat=100)
        assert program_stats(program).run_count == 0, "the statistics are still on"
    finally:
        os.close(program)


def attached_programs(backend: EmulatedBackend) -> set[str]:
    """Node interfaces that have an XDP program, by what the kernel says."""
    found = set()
    for node in backend.layout.nodes:
        words = ("ip", "-n", backend.layout.namespace(node), "-j", "link", "show")
        links = json.loads(run_command(words).stdout)
        found |= {link["ifname"] for link in links if "xdp" in link}
    return found


def test_without_xdp_no_program_is_attached_and_no_node_sees_a_flow() -> None:
    with_xdp = bulk(Arm.TUNED, seconds=0.5)
    without = replace(with_xdp, xdp=False)

    async def work() -> RunMeasurement:
        async with EmulatedBackend(with_xdp, EmulationOptions(wire_backend())) as backend:
            await backend.prepare(with_xdp)
            assert len(attached_programs(backend)) == 4
            measured = await backend.run(without, lambda phase, done: None)
            assert attached_programs(backend) == set()
            return measured

    measured = asyncio.run(work())
    check_payload(measured)
    assert all(report["flows"] == [] for report in measured.fsu.values())


def test_two_experiments_at_once_do_not_disturb_each_other() -> None:
    async def both() -> list[list[RunMeasurement]]:
        specs = [bulk(arm, rate_bps=20 * MBIT) for arm in (Arm.TUNED, Arm.SPLIT)]
        return await asyncio.gather(*(measure_all([spec]) for spec in specs))

    for (measured,) in asyncio.run(both()):
        check_payload(measured)
        check_conservation(measured)
