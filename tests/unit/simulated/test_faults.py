"""Faults of links in virtual time, and what is refused of the others."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from tests.unit.experiment.support import link, spec

from sentinel_sim.backends.base import LossPeriod, RunMeasurement
from sentinel_sim.backends.simulated.backend import SimulatedBackend
from sentinel_sim.backends.simulated.flow_translate import refuse
from sentinel_sim.backends.simulated.translate import setup
from sentinel_sim.errors import InfeasibleError
from sentinel_sim.experiment.gate import judge
from sentinel_sim.experiment.metrics import compute
from sentinel_sim.experiment.series import values_at
from sentinel_sim.plan.expand import expand
from sentinel_sim.plan.model import Arm, FaultKind, FaultPlan, RunSpec
from sentinel_sim.topology.reader import load

TOPOLOGIES = Path(__file__).parents[3] / "topologies"
MS = 1_000_000
SECOND = 1000 * MS
RATE = FaultPlan(0, FaultKind.RATE, "m--b", SECOND, for_ns=SECOND, rate_bps=10_000_000)
LOSS = FaultPlan(1, FaultKind.LOSS, "a--m", 2500 * MS, for_ns=500 * MS, loss=0.02)
CUT = FaultPlan(2, FaultKind.PARTITION, "m--b", 3500 * MS, for_ns=200 * MS)


def measure(run: RunSpec) -> RunMeasurement:
    return asyncio.run(SimulatedBackend().run(run, lambda phase, seconds: None))


def faulty(arm: Arm, *faults: FaultPlan, **changes: object) -> RunSpec:
    return dataclasses.replace(spec(arm, duration_ns=5 * SECOND), faults=faults, **changes)


def delivered(measured: RunMeasurement, *at_ns: int) -> list[float]:
    """Bytes at these times after the start of the traffic."""
    series = measured.flows[0].delivered
    wanted = np.array([measured.traffic_start_ns + at for at in at_ns])
    return [float(value) for value in values_at(series, wanted)]


@pytest.mark.parametrize("arm", [Arm.TUNED, Arm.SPLIT])
def test_rate_loss_and_cut_happen_at_their_times_and_the_run_is_valid(arm: Arm) -> None:
    run = faulty(arm, RATE, LOSS, CUT)
    measured = measure(run)
    assert judge(run, measured, compute(run, measured)) == ()
    for event, fault in zip(measured.faults, run.faults, strict=True):
        assert fault.at_ns is not None
        assert fault.for_ns is not None
        assert event.planned_ns == event.actual_ns == fault.at_ns
        assert event.planned_end_ns == event.ended_ns == fault.at_ns + fault.for_ns
    # At a tenth of the rate; what a hole kept from the application comes with its filling.
    slow = delivered(measured, 1000 * MS, 2000 * MS)
    assert 0.5 * 10e6 / 8 < slow[1] - slow[0] < 1.5 * 10e6 / 8
    # What had left arrives; then nothing does until the link stands again.
    cut = delivered(measured, 3520 * MS, 3690 * MS)
    assert cut[0] == cut[1]


def test_what_each_condition_saw_is_told_apart() -> None:
    measured = measure(faulty(Arm.TUNED, RATE, LOSS, CUT))
    wires = {(wire.link, wire.direction): wire for wire in measured.wires}
    lossy = wires["a--m", "a->m"]
    before, during, after = lossy.loss_periods
    assert (before.probability, during.probability, after.probability) == (0.0, 0.02, 0.0)
    assert before.dropped == after.dropped == 0
    assert 0 < during.dropped < during.seen < before.seen
    assert sum(one.seen for one in lossy.loss_periods) == lossy.loss_seen
    cut = wires["m--b", "m->b"]
    assert cut.cut_dropped > 0
    assert cut.loss_dropped == 0
    assert cut.packets_in == cut.packets_out == cut.loss_seen
    rates = [(one.rate_bps, one.backlogged_bps) for one in cut.rate_periods]
    assert [asked for asked, _ in rates] == [100_000_000, 10_000_000, 100_000_000]
    assert rates[1][1] == pytest.approx(10e6, rel=0.01)


def test_control_messages_are_lost_with_the_data() -> None:
    """The arm fsu: its control stream crosses the same link."""
    run = faulty(Arm.FSU, RATE, dataclasses.replace(LOSS, loss=0.3))
    measured = measure(run)
    assert judge(run, measured, compute(run, measured)) == ()
    control = {wire.direction: wire.control_bytes for wire in measured.wires}
    unharmed = {w.direction: w.control_bytes for w in measure(faulty(Arm.FSU, RATE)).wires}
    assert control["a->m"] > unharmed["a->m"], "what was lost was sent again"


def test_a_fault_may_wait_for_bytes_and_one_that_comes_too_late_never_begins() -> None:
    by_bytes = dataclasses.replace(RATE, at_ns=None, at_bytes=5_000_000, for_ns=None)
    late = dataclasses.replace(CUT, at_ns=60 * SECOND)
    measured = measure(faulty(Arm.TUNED, by_bytes, late))
    first, never = measured.faults
    assert first.actual_ns is not None
    assert first.actual_bytes is not None
    assert 5_000_000 <= first.actual_bytes < 5_500_000
    assert first.ended_ns is not None, "lifted at the run's end"
    assert (never.actual_ns, never.ended_ns) == (None, None)


def test_equal_runs_are_equal_and_a_fault_makes_a_difference() -> None:
    run = faulty(Arm.SPLIT, RATE, LOSS, CUT)
    assert measure(run).notes == measure(run).notes
    assert measure(run).notes != measure(dataclasses.replace(run, faults=(RATE, LOSS))).notes


def test_a_fault_that_changes_nothing_changes_nothing() -> None:
    same = dataclasses.replace(RATE, rate_bps=100_000_000)
    one, other = measure(faulty(Arm.TUNED, same)), measure(spec(Arm.TUNED, duration_ns=5 * SECOND))
    assert one.wires == other.wires
    assert [f.last_byte_ns for f in one.flows] == [f.last_byte_ns for f in other.flows]


@pytest.mark.parametrize(
    ("arm", "fault", "words"),
    [
        (Arm.SPLIT, FaultPlan(0, FaultKind.KILL_DAEMON, "m", SECOND), "kill-daemon of m"),
        (Arm.TUNED, FaultPlan(0, FaultKind.KILL_NODE, "m", SECOND), "kill-node of m"),
        (Arm.SPLIT, dataclasses.replace(CUT, control_only=True), "control streams"),
        (Arm.FSU, CUT, "sessions do not break"),
    ],
)
def test_what_is_not_simulated_is_refused_not_left_out(
    arm: Arm, fault: FaultPlan, words: str
) -> None:
    with pytest.raises(InfeasibleError, match=words) as caught:
        setup(faulty(arm, fault))
    assert "--backend emulated" in str(caught.value.cure)


def test_a_cut_that_a_supervisor_leads_around_is_refused() -> None:
    plan = expand(load(TOPOLOGIES / "two-paths.yaml"), arms=["tuned", "split"], quick=True)
    runs = {run.arm: run for run in plan.runs(0)}
    setup(runs[Arm.SPLIT])
    with pytest.raises(InfeasibleError, match="lead the path another way") as caught:
        setup(runs[Arm.TUNED])
    assert "experiment.repair: off" in str(caught.value.cure)
    setup(dataclasses.replace(runs[Arm.TUNED], repair=False))


def test_the_flow_engine_refuses_every_fault() -> None:
    with pytest.raises(InfeasibleError, match="the flow engine models no faults"):
        refuse(faulty(Arm.TUNED, RATE))


def test_loss_of_a_fault_adds_to_the_links_own() -> None:
    links = (link("a--m", loss=0.01), link("m--b"))
    run = dataclasses.replace(spec(Arm.SPLIT, links=links, duration_ns=5 * SECOND), faults=(LOSS,))
    measured = measure(run)
    (wire,) = [one for one in measured.wires if one.direction == "a->m"]
    _, during, _ = wire.loss_periods
    assert during == LossPeriod(pytest.approx(1 - 0.99 * 0.98), during.seen, during.dropped)
    assert judge(run, measured, compute(run, measured)) == ()
