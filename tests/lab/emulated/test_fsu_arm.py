"""The arm `fsu` on a short line of two links: ready before the data, and no byte wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.lab.emulated.runs import MBIT, bulk, measure

from sentinel_sim.backends.base import RunMeasurement
from sentinel_sim.experiment.metrics import compute
from sentinel_sim.plan.model import Arm, FlowPlan, RunSpec

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def runs() -> dict[str, tuple[RunSpec, RunMeasurement]]:
    """One flow, carefully and managed; and two flows, of which the second is short."""
    spec = bulk(Arm.FSU, delay_ms=30, rate_bps=50 * MBIT, seconds=1.0)
    two = (FlowPlan(1, 0, 0, None, 1_800_000_000), FlowPlan(2, 0, 600_000_000, None, 400_000_000))
    specs = (
        replace(spec, key="careful"),
        replace(spec, key="managed", managed=True),
        replace(spec, key="two", flows=two),
    )
    return {run.key: (run, made) for run, made in zip(specs, measure(*specs), strict=True)}


def test_data_arrives_whole_after_everything_was_made_ready(
    runs: dict[str, tuple[RunSpec, RunMeasurement]],
) -> None:
    for run, measured in (runs["careful"], runs["managed"]):
        figures = compute(run, measured)
        control = measured.extra["control"]
        events = measured.extra["node_events"]
        assert figures.sha256_ok, events
        assert figures.lead_time_s is not None, events
        # A SYN that overtook the forecast: its window is opened once the flow is here.
        kinds = set(figures.lead_time_s.by_kind) - {"opened window"}
        assert kinds == {"receive buffer", "send buffer", "onward connection"}, events
        assert figures.lead_time_s.share_ahead == 1.0, figures.lead_time_s
        assert figures.lead_time_s.p50 > 0.5 * 0.030
        assert figures.sync is not None
        assert figures.sync.final_ok, figures.sync
        assert figures.sync.samples > 8
        # In band, and in the band: what crossed the wires was marked for it.
        assert figures.control_bytes_per_data_byte is not None
        assert 0 < figures.control_bytes_per_data_byte < 0.05
        assert {len(node["plane"]["peers"]) for node in control.values()} == {1, 2}
        basis = {one["basis"] for node in control.values() for one in node["adjustments"]}
        assert any("managed" in text for text in basis) == run.managed


def test_a_flow_follows_the_share_that_it_has_while_others_come_and_go(
    runs: dict[str, tuple[RunSpec, RunMeasurement]],
) -> None:
    run, measured = runs["two"]
    events = measured.extra["node_events"]
    sync = compute(run, measured).sync
    assert sync is not None
    assert sync.checks_hashed > 0, "payload was hashed at both ends and compared under way"
    assert not any("hash" in problem for problem in sync.problems), sync.problems
    assert [flow.sha256_ok for flow in measured.flows] == [True, True], events
    for node, what in (
        ("n0", "send buffer"),
        ("n1", "window"),
        ("n1", "send buffer"),
        ("n2", "window"),
    ):
        made = measured.extra["control"][node]["adjustments"]
        again = [a for a in made if a["flow_id"] == 1 and a["what"] == f"{what}, predicted anew"]
        # Half of the path while the other flow was there, then all of it again.
        assert [round(a["pacing_Bps"] / 1.2 / 6_250_000, 2) for a in again] == [0.5, 1.0], events
        # Adjusted before what was sent under the new prediction came over the link before.
        if node != "n0":
            assert all(a["first_byte_ns"] > a["ready_ns"] for a in again), again
