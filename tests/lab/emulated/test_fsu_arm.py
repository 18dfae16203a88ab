"""The arm `fsu` on a short line of two links: ready before the data, and no byte wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.lab.emulated.runs import MBIT, bulk, measure

from sentinel_sim.experiment.metrics import compute
from sentinel_sim.plan.model import Arm

pytestmark = pytest.mark.lab


def test_data_arrives_whole_after_everything_was_made_ready() -> None:
    spec = bulk(Arm.FSU, delay_ms=15, rate_bps=50 * MBIT, seconds=1.0)
    specs = [replace(spec, managed=managed, key=f"fsu-{managed}") for managed in (False, True)]
    for run, measured in zip(specs, measure(*specs), strict=True):
        figures = compute(run, measured)
        control = measured.extra["control"]
        events = measured.extra["node_events"]
        assert figures.sha256_ok, events
        assert figures.lead_time_s is not None, events
        kinds = set(figures.lead_time_s.by_kind)
        assert kinds == {"receive buffer", "send buffer", "onward connection"}, events
        assert figures.lead_time_s.share_ahead == 1.0, figures.lead_time_s
        assert figures.lead_time_s.p50 > 0.5 * 0.015
        assert figures.sync is not None
        assert figures.sync.final_ok, figures.sync
        assert figures.sync.samples > 25
        # In band, and in the band: what crossed the wires was marked for it.
        assert figures.control_bytes_per_data_byte is not None
        assert 0 < figures.control_bytes_per_data_byte < 0.05
        assert {len(node["plane"]["peers"]) for node in control.values()} == {1, 2}
        basis = {one["basis"] for node in control.values() for one in node["adjustments"]}
        assert any("managed" in text for text in basis) == run.managed
