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


def run(arm: Arm, custody: Custody, killed: str) -> RunSpec:
    """s -- m -- r, one flow of 0.4 s; the daemon of `killed` dies in the middle of it."""
    fault = FaultPlan(0, FaultKind.KILL_DAEMON, killed, at_bytes=KILLED_AT_BYTES)
    return replace(
        line(arm, delay_ms=5, rate_bps=RATE_BPS),
        key=f"{arm}-{custody}-{killed}",
        flows=(FlowPlan(1, 0, 0, SIZE_BYTES, None),),
        faults=(fault,),
        custody=custody,
    )


RUNS = (
    run(Arm.SPLIT, Custody.MEMORY, "m"),
    run(Arm.SPLIT, Custody.DURABLE, "r"),
    run(Arm.FSU, Custody.MEMORY, "s"),
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
    assert flow.confirmed.values[-1] == SIZE_BYTES
    allowed = timing_reasons(found.spec, found.measured, found.figures)
    assert set(judge(found.spec, found.measured, found.figures)) <= set(allowed)


def test_the_repair_says_what_was_sent_again(found: Found) -> None:
    (repair,) = found.measured.repairs
    assert (repair.fault, repair.repaired) == ("daemon-dead", True)
    assert found.measured.resumptions
    assert repair.bytes_replayed == sum(o.replayed_bytes for o in found.measured.resumptions)
    assert found.figures.custody is not None
    assert found.figures.custody.replayed_bytes == repair.bytes_replayed


def test_what_is_on_the_receivers_disk_is_not_sent_again(all_found: list[Found]) -> None:
    on_disk = all_found[1].measured
    assert max(one.offset for one in on_disk.resumptions) > 0
    assert (on_disk.repairs[0].bytes_replayed or 0) < KILLED_AT_BYTES


def test_exposure_is_known_over_time(found: Found) -> None:
    exposure = found.figures.exposure
    assert exposure is not None
    assert 0 < exposure.mean_bytes < exposure.max_bytes <= SIZE_BYTES
    assert exposure.bytes[-1] < exposure.max_bytes, "nothing is exposed after the end"
