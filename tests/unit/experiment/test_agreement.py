"""How far two backends agree: ratios, limits and curves, on runs whose answer is known."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.experiment.support import link, measurement, spec

from sentinel_sim.backends.base import RunMeasurement
from sentinel_sim.experiment import agreement
from sentinel_sim.experiment.rawlog import raw_run
from sentinel_sim.experiment.records import Record, record_of
from sentinel_sim.plan.model import Arm
from sentinel_sim.report.agreement_table import notes_of

Side = tuple[list[Record], dict[str, RunMeasurement]]


def side(*rates_mbit: float, loss: float = 0.0, arm: Arm = Arm.TUNED) -> Side:
    links = (link("a--m", loss=loss), link("m--b"))
    records: list[Record] = []
    measured: dict[str, RunMeasurement] = {}
    for repeat, rate in enumerate(rates_mbit):
        run = spec(arm, links=links, repeat=repeat)
        measured[run.key] = measurement(run, goodput_bps=rate * 1e6)
        records.append(record_of(raw_run(run, measured[run.key])))
    assert all(record["valid"] for record in records)
    return records, measured


def compared(emulated: Side, simulated: Side) -> agreement.Compared:
    (found,) = agreement.compare(emulated[0], simulated[0], emulated[1], simulated[1])
    return found


@pytest.mark.parametrize(
    ("rate", "loss", "agrees"),
    [(83.0, 0.0, True), (86.0, 0.0, False), (94.0, 0.01, True), (99.0, 0.01, False)],
)
def test_the_limits_are_those_of_the_issue(rate: float, loss: float, agrees: bool) -> None:
    found = compared(side(80.0, 80.1, loss=loss), side(rate, rate + 0.1, loss=loss))
    assert found.agrees is agrees
    assert found.goodput_ratio is not None
    assert found.goodput_ratio == pytest.approx(rate / 80, rel=0.02)
    assert found.goodput_ratio_ci95 is not None
    assert found.goodput_ratio_ci95[0] < found.goodput_ratio < found.goodput_ratio_ci95[1]


def test_overlapping_intervals_agree_with_loss_only() -> None:
    assert compared(side(40.0, 80.0, loss=0.01), side(90.0, 91.0, loss=0.01)).agrees is True
    assert compared(side(40.0, 80.0), side(90.0, 91.0)).agrees is False


def test_a_fault_that_loses_packets_counts_as_loss() -> None:
    emulated, simulated = side(80.0, 80.1), side(94.0, 94.1)
    assert compared(emulated, simulated).agrees is False
    for record in emulated[0]:
        record["faults"] = [{"kind": "partition"}]
    found = compared(emulated, simulated)
    assert (found.limit_share, found.agrees) == (agreement.LOSSY_SHARE, True)


def test_curves_of_equal_runs_lie_upon_each_other_whatever_their_clock() -> None:
    one = side(80.0, 80.0)
    same = compared(one, side(80.0))
    assert same.delivered is not None
    assert same.delivered.max_share == pytest.approx(0.0, abs=1e-9)
    assert same.delivered.own_spread_share == pytest.approx(0.0, abs=1e-9)
    half = compared(one, side(40.0))
    assert half.delivered is not None
    # Both grow linearly from the start: half as steep is a quarter of the end, on average.
    assert half.delivered.mean_share == pytest.approx(0.25, abs=0.02)
    assert half.delivered.max_share == pytest.approx(0.5, abs=0.02)


def test_a_side_without_a_valid_run_leaves_it_undecided() -> None:
    emulated = side(80.0)
    emulated[0][0].update(valid=False)
    found = compared(emulated, side(80.0))
    assert found.agrees is None
    assert found.delivered is None
    document = agreement.as_json([found], {})
    assert document["agrees"] is None
    assert document["undecided"] == 1


def test_an_arm_of_one_side_only_is_named() -> None:
    emulated = side(80.0)[0] + side(80.0, arm=Arm.FSU)[0]
    missing = agreement.only_on_one_side(emulated, side(80.0)[0])
    assert missing == {"only_emulated": ["fsu"], "only_simulated": []}
    reasons: dict[str, Any] = {"not_simulated": {"fsu": "not modelled"}}
    notes = notes_of(agreement.as_json([], {**missing, **reasons}))
    assert "only emulated, not compared: fsu (fsu: not modelled)" in notes
