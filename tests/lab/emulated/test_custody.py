"""Flows in custody arrive whole although daemons are killed under them; what it cost is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.unit.emulated.specs import line

from sentinel_sim.backends.base import RunMeasurement
from sentinel_sim.backends.emulated.backend import EmulatedBackend
from sentinel_sim.backends.emulated.custody import DISK
from sentinel_sim.backends.emulated.options import EmulationOptions
from sentinel_sim.experiment.figures import RunMetrics
from sentinel_sim.experiment.gate import judge, timing_reasons
from sentinel_sim.experiment.metrics import compute
from sentinel_sim.host.doctor import wire_backend
from sentinel_sim.plan.model import Arm, Custody, FaultKind, FaultPlan, FlowPlan, RunSpec

pytestmark = pytest.mark.lab

RATE_BPS = 80_000_000
SIZE_BYTES = 4_000_000
KILLED_AT_BYTES = 2_000_000


def run(arm: Arm, custody: Custody, **killed: int) -> RunSpec:
    """s -- m -- r, one flow of 0.4 s; daemons die when so many bytes were written."""
    faults = (
        FaultPlan(index, FaultKind.KILL_DAEMON, node, at_bytes=at_bytes)
        for index, (node, at_bytes) in enumerate(killed.items())
    )
    return replace(
        line(arm, delay_ms=5, rate_bps=RATE_BPS),
        key=f"{arm}-{custody}",
        flows=(FlowPlan(1, 0, 0, SIZE_BYTES, None),),
        faults=tuple(faults),
        custody=custody,
    )


RUNS = (
    run(Arm.SPLIT, Custody.MEMORY, m=KILLED_AT_BYTES),
    run(Arm.FSU, Custody.DURABLE, r=KILLED_AT_BYTES, s=KILLED_AT_BYTES),
)


@dataclass(frozen=True)
class Found:
    spec: RunSpec
    measured: RunMeasurement
    figures: RunMetrics


async def carry_out() -> list[RunMeasurement]:
    async with EmulatedBackend(RUNS[0], EmulationOptions(wire_backend())) as backend:
        return [await backend.run(spec, lambda phase, done: None) for spec in RUNS]


@pytest.fixture(scope="module")
def all_found() -> Iterator[list[Found]]:
    before = set(DISK.iterdir())
    measured = asyncio.run(carry_out())
    yield [Found(s, m, compute(s, m)) for s, m in zip(RUNS, measured, strict=True)]
    left: set[Path] = set(DISK.iterdir()) - before
    assert not [path for path in left if path.name.startswith("sentinel-")]


@pytest.fixture(params=range(len(RUNS)), ids=[spec.key for spec in RUNS])
def found(request: pytest.FixtureRequest, all_found: list[Found]) -> Found:
    chosen: int = request.param
    return all_found[chosen]


def test_the_flow_arrives_whole_and_once(found: Found) -> None:
    (flow,) = found.measured.flows
    assert flow.error is None
    assert flow.sha256_ok is True
    assert flow.bytes_delivered == flow.bytes_sent == SIZE_BYTES
    allowed = timing_reasons(found.spec, found.measured, found.figures)
    assert set(judge(found.spec, found.measured, found.figures)) <= set(allowed)


def test_the_repairs_say_what_was_sent_again(found: Found) -> None:
    repairs, resumptions = found.measured.repairs, found.measured.resumptions
    assert {repair.target for repair in repairs} == {f.target for f in found.spec.faults}
    assert all(repair.fault == "daemon-dead" and repair.repaired for repair in repairs)
    assert {one.flow_id for one in resumptions} == {1}
    replayed = sum(one.replayed_bytes for one in resumptions)
    assert sum(repair.bytes_replayed or 0 for repair in repairs) == replayed
    assert found.figures.custody is not None
    assert found.figures.custody.replayed_bytes == replayed


def test_what_is_on_the_receivers_disk_is_not_sent_again(all_found: list[Found]) -> None:
    to_receiver = [one for one in all_found[1].measured.resumptions if one.next_hop == "r"]
    assert max(one.offset for one in to_receiver) > 0


def test_exposure_is_known_over_time_unless_its_counter_died(all_found: list[Found]) -> None:
    exposure = all_found[0].figures.exposure
    assert exposure is not None
    assert all_found[0].measured.flows[0].confirmed.values[-1] == SIZE_BYTES
    assert 0 < exposure.mean_bytes < exposure.max_bytes <= SIZE_BYTES
    assert exposure.bytes[-1] < exposure.max_bytes, "nothing is exposed after the end"
    assert all_found[1].figures.exposure is None, "its sender died"
