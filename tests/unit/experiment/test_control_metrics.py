"""Start-up, lead time and phase error from what nodes reported, by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.experiment.support import measurement, spec

from sentinel_node.core.framing import HEADER_BYTES
from sentinel_node.core.start.buffer_plan import (
    FlowForecast,
    HostLimits,
    StartMode,
    plan_buffers,
)
from sentinel_node.core.start.careful_resume import SavedPath
from sentinel_sim.backends.base import RunMeasurement, Series
from sentinel_sim.experiment import control_metrics

MS = 1_000_000


def with_control(control: dict[str, Any]) -> RunMeasurement:
    return replace(measurement(spec()), extra={"control": control})


def test_lead_time_is_of_buffers_and_negative_where_they_came_late() -> None:
    adjustments = [
        {"what": "receive buffer", "ready_ns": 1_000 * MS, "first_byte_ns": 1_080 * MS},
        {"what": "send buffer", "ready_ns": 1_100 * MS, "first_byte_ns": 1_080 * MS},
        {"what": "onward connection", "ready_ns": 2_000 * MS, "first_byte_ns": 1_080 * MS},
        {"what": "receive buffer", "ready_ns": 1_000 * MS},
    ]
    lead = control_metrics.lead_time(with_control({"n1": {"adjustments": adjustments}}))
    assert lead is not None
    assert (lead.n, lead.share_ahead, lead.least) == (2, 0.5, -0.02)
    assert lead.p50 == pytest.approx(0.03)
    assert lead.by_kind["onward connection"] == -0.92
    assert control_metrics.lead_time(with_control({})) is None


def test_a_start_is_named_by_what_its_window_rested_on() -> None:
    def plan(mode: StartMode, saved: SavedPath | None) -> str:
        host = HostLimits(1 << 30, 1 << 30, 1 << 30)
        forecast = FlowForecast(10**8, 100 * MS, 0, 1448)
        return plan_buffers(forecast, host, mode=mode, saved=saved).basis

    cold = plan(StartMode.CAREFUL, None)
    warm = plan(StartMode.CAREFUL, SavedPath(10**7, 100 * MS, 0))
    for sent, name in (
        (cold, "cold"),
        (warm, "remembered"),
        (plan(StartMode.MANAGED, None), "managed"),
    ):
        adjustments = [
            {"what": "receive buffer", "basis": cold},
            {"what": "send buffer", "basis": sent},
        ]
        run = with_control({"n1": {"adjustments": adjustments}})
        assert control_metrics.starts(run) == (name,)
    assert control_metrics.starts(with_control({})) == ()


def test_the_phase_error_of_a_replica_that_is_late_is_how_late_it_is() -> None:
    run = spec()
    flow = measurement(run).flows[0]
    begin, end = 10_000 * MS, 12_000 * MS
    nodes = run.paths[flow.path].nodes
    flow = replace(
        flow,
        first_write_ns=begin,
        send_end_ns=end,
        sent=Series((begin, end), (0, 9_000_000)),  # written, but not gone: no truth of the net
        tcp_info=tuple(
            {
                "connection": f"{a}->{b}",
                "t_ns": begin + at * 50 * MS,
                # 1 MB/s, with the header, and bytes that were sent twice.
                "bytes_sent": at * 50_000 + HEADER_BYTES + 7000,
                "bytes_retrans": 7000,
            }
            for at in range(1, 50)
            for a, b in ((nodes[0], nodes[1]), ("another", "link"))
        ),
    )
    # The replica believes the same line, 30 ms behind: 30 kB too little, all the time.
    view = {"applied_ns": begin, "at_ns": begin + 30 * MS, "phase": 3, "rate_Bps": 1_000_000}
    verdict = {"at_ns": end, "final": True, "ok": True}
    sync = [{"flow_id": flow.flow_id, "views": [view], "verdicts": [verdict]}]
    receiver = run.paths[flow.path].nodes[-1]
    measured = replace(with_control({receiver: {"adjustments": [], "sync": sync}}), flows=(flow,))
    figures = control_metrics.sync_figures(run, measured)
    assert figures is not None
    assert figures.phase_error_s is not None
    assert figures.error_bytes is not None
    assert figures.phase_error_s.p50 == pytest.approx(0.03, abs=1e-6)
    assert figures.error_bytes.p50 == pytest.approx(30_000, abs=1)
    assert (figures.over_bound_share, figures.final_ok, figures.checks) == (1.0, True, 1)
    assert figures.samples == 40, "of the first link, from the first byte to the last"


def test_start_up_ends_where_a_round_trip_brings_nine_tenths_of_the_steady_rate() -> None:
    run = spec()
    flow = measurement(run).flows[0]
    window = max(run.paths[0].rtt_base_ns, control_metrics.SHORTEST_WINDOW_NS)
    start = flow.start_ns
    # Nothing for one window, then 8 Mbit/s at once.
    times = (start + window, start + 21 * window)
    flow = replace(flow, delivered=Series(times, (0, 20 * window // 1000)), last_byte_ns=times[1])
    found = control_metrics.startup_s(run, [flow], 8_000_000.0)
    assert found == pytest.approx(1.9 * window / 1e9, abs=0.06 * window / 1e9)
    assert control_metrics.startup_s(run, [flow], None) is None
