"""The arm `fsu` in virtual time: ready before the data, checked at the end, honest about time."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
from tests.unit.experiment.support import link, spec

from sentinel_sim.backends.base import RunMeasurement
from sentinel_sim.backends.simulated.backend import SimulatedBackend
from sentinel_sim.backends.simulated.control.agenda import Agenda
from sentinel_sim.experiment.figures import RunMetrics
from sentinel_sim.experiment.gate import judge
from sentinel_sim.experiment.metrics import compute
from sentinel_sim.plan.model import Arm, FlowPlan, RunSpec

MS = 1_000_000
FAR = (link("a--m", delay_one_way_ns=40 * MS), link("m--b", delay_one_way_ns=40 * MS))
INITIAL_BYTES = 10 * 1448


def fsu(repeat: int = 0, **changes: Any) -> RunSpec:  # noqa: ANN401
    links = changes.pop("links", FAR)
    run = spec(Arm.FSU, repeat=repeat, links=links)
    flow = FlowPlan(1, 0, 0, None, 4_000 * MS)
    return dataclasses.replace(run, flows=(flow,), **changes)


def measure(*runs: RunSpec) -> list[RunMeasurement]:
    """All on one backend, in this order."""
    backend = SimulatedBackend()
    return [asyncio.run(backend.run(run, lambda phase, seconds: None)) for run in runs]


def figures(run: RunSpec) -> RunMetrics:
    (measured,) = measure(run)
    metrics = compute(run, measured)
    assert judge(run, measured, metrics) == ()
    return metrics


def test_buffers_and_connections_are_ready_before_the_data_and_the_end_is_checked() -> None:
    metrics = figures(fsu())
    lead = metrics.lead_time_s
    assert lead is not None
    assert set(lead.by_kind) == {"receive buffer", "send buffer", "onward connection"}
    # The forecast goes with the SYN; the data follows when that was answered: a round trip later.
    assert lead.least == pytest.approx(0.080, abs=0.001)
    assert lead.share_ahead == 1.0
    assert metrics.sync is not None
    assert metrics.sync.final_ok
    assert metrics.sync.checks == metrics.sync.checks_ok >= 2
    assert metrics.sync.problems == ()
    assert metrics.control_bytes_per_data_byte is not None
    assert 0 < metrics.control_bytes_per_data_byte < 0.05


def test_a_remembered_and_a_vouched_start_are_faster_than_a_cold_one() -> None:
    cold, warm, vouched = (figures(run) for run in (fsu(0), fsu(1), fsu(0, managed=True)))
    assert (cold.starts, warm.starts, vouched.starts) == (
        ("cold",),
        ("remembered",),
        ("managed",),
    )
    split = figures(dataclasses.replace(fsu(), arm=Arm.SPLIT))
    for quick in (warm, vouched):
        assert quick.startup_s is not None
        assert cold.startup_s is not None
        assert split.startup_s is not None
        assert quick.startup_s < cold.startup_s - 0.080
        assert cold.startup_s <= split.startup_s


def arrived(measured: RunMeasurement, at_ns: int) -> int:
    series = measured.flows[0].delivered
    return max((v for t, v in zip(series.times_ns, series.values, strict=True) if t <= at_ns))


def test_before_it_was_acknowledged_a_window_is_trusted_only_if_somebody_vouches_for_it() -> None:
    cold, warm, vouched = measure(fsu(0), fsu(1), fsu(0, managed=True))
    for measured in (cold, warm):
        first_ns = measured.flows[0].first_byte_ns
        assert first_ns is not None
        assert arrived(measured, first_ns + 70 * MS) == INITIAL_BYTES
    first_ns = vouched.flows[0].first_byte_ns
    assert first_ns is not None
    # A SYN-ACK offers 64 KiB at most (RFC 7323, section 2.2); the next node said what it takes.
    rate_bps = min(link.rate_bps for link in fsu(0).links)
    assert 10 * 65_535 < arrived(vouched, first_ns + 70 * MS) <= rate_bps * 0.070 / 8


def test_a_run_depends_on_its_spec_alone_not_on_the_runs_before_it() -> None:
    after_others = measure(fsu(0), fsu(2, seed=5), fsu(1))[-1]
    (alone,) = measure(fsu(1))
    assert alone.notes == after_others.notes
    assert alone.extra == after_others.extra
    assert [one.control_bytes for one in alone.wires] == [
        one.control_bytes for one in after_others.wires
    ]


def test_no_news_is_faster_than_light() -> None:
    (measured,) = measure(fsu())
    control = measured.extra["control"]
    start_ns = measured.flows[0].start_ns
    for node, least_ns in (("m", 40 * MS), ("b", 80 * MS)):
        ready = [one["ready_ns"] for one in control[node]["adjustments"]]
        assert min(ready) > start_ns + least_ns
        views = control[node]["sync"][0]["views"]
        assert all(view["applied_ns"] - view["at_ns"] > least_ns for view in views)


def test_the_control_stream_survives_loss_and_its_packets_are_counted() -> None:
    lossy = tuple(dataclasses.replace(one, loss=0.01, delay_one_way_ns=5 * MS) for one in FAR)
    metrics = figures(fsu(links=lossy))
    assert metrics.sync is not None
    assert metrics.sync.final_ok


def test_without_a_control_band_news_waits_behind_the_data() -> None:
    def oldest_view_ns(run: RunSpec) -> int:
        (measured,) = measure(run)
        views = measured.extra["control"]["b"]["sync"][0]["views"]
        return max(view["applied_ns"] - view["at_ns"] for view in views)

    with_band, without = fsu(), fsu(control_band=False)
    assert oldest_view_ns(without) > oldest_view_ns(with_band) + 5 * MS


def test_what_two_flows_ask_for_is_shared_and_the_first_is_predicted_anew() -> None:
    run = fsu()
    later = FlowPlan(2, 0, 1_000 * MS, None, 2_000 * MS)
    (measured,) = measure(dataclasses.replace(run, flows=(*run.flows, later)))
    control = measured.extra["control"]
    (first,) = [one for one in control["b"]["sync"] if one["flow_id"] == 1]
    rates = [view.get("rate_Bps", 0) for view in first["views"]]
    assert rates[0] > 0
    anew = [one for one in control["b"]["adjustments"] if "predicted anew" in one["what"]]
    assert {one["flow_id"] for one in anew} >= {1}
    start_ns = measured.flows[1].start_ns
    assert min(one["ready_ns"] for one in anew) > start_ns + 80 * MS, "no sooner than light"


def test_the_fingerprint_holds_the_control_messages() -> None:
    one, again, other = measure(fsu(0), fsu(0), fsu(0, seed=99))
    assert one.notes == again.notes
    assert one.notes != other.notes, "without loss only the control messages depend on the seed"


def test_finer_samples_change_nothing_that_happens() -> None:
    coarse, fine = measure(fsu(), fsu(burstiness=True))
    assert fine.bins
    assert fine.flows[0].bytes_delivered == pytest.approx(coarse.flows[0].bytes_delivered, rel=1e-3)


def test_calls_are_made_in_order_and_none_in_the_past() -> None:
    agenda, made = Agenda(), []
    for name, when in (("late", 7), ("first", 5), ("second", 5)):
        agenda.at(when, lambda name=name: made.append((name, agenda.now_ns)))  # type: ignore[misc]
    agenda.run_before(7)
    assert made == [("first", 5), ("second", 5)]
    with pytest.raises(ValueError, match="entered at 5 ns"):
        agenda.at(4, lambda: None)
