"""What the FSUs of a run predicted and knew, against flow records with known truth."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from tests.unit.experiment.support import SECOND, measurement, spec

from sentinel_sim.backends.base import RunMeasurement
from sentinel_sim.experiment.fsu_metrics import REMEMBERED_NS, fsu_figures
from sentinel_sim.plan.model import Arm

MS_US = 1000


def half(*, error: float | None, mase: float | None, rtt_min_ns: int = 0, size: int = 1500) -> Any:  # noqa: ANN401
    """As the protobuf's JSON has it: 64-bit integers are text."""
    prediction: dict[str, Any] = {"intervals": 101, "interval_ns": "33554432"}
    if error is not None:
        prediction["mean_error_bytes"] = error
    if mase is not None:
        prediction["mase"] = mase
    return {
        "bytes_total": "100000",
        "avg_packet_size": str(size),
        "rtt_min_ns": str(rtt_min_ns),
        "prediction": prediction,
    }


def measured(*halves: Any, protocol: int = 6, lasted_ns: int = SECOND) -> RunMeasurement:  # noqa: ANN401
    """Direct, from a over m to b; TCP says that the least RTT is 20 ms."""
    flows = [
        {"protocol": protocol, "point": "a--m", "forward": one, "backward": {}} for one in halves
    ]
    found = measurement(spec(Arm.DIRECT), fsu={"a": {"flows": flows}})
    samples = tuple(
        {"connection": "a->b", "t_ns": at_ns, "min_rtt_us": 20 * MS_US}
        for at_ns in (SECOND, SECOND + lasted_ns)
    )
    (flow,) = found.flows
    return dataclasses.replace(found, flows=(dataclasses.replace(flow, tcp_info=samples),))


def test_errors_are_summed_before_they_are_divided() -> None:
    # 100 predictions each: off by 10 and 30 bytes, where the last value was off by 20 and 20.
    found = fsu_figures(
        spec(Arm.DIRECT), measured(half(error=10, mase=0.5), half(error=30, mase=1.5))
    )
    assert found is not None
    assert found.mase == pytest.approx(1.0)
    assert found.error_share == pytest.approx(4000 / 200_000)
    assert (found.predictions, found.halves) == (200, 2)
    assert found.interval_s == pytest.approx(0.033554432)


def test_an_error_where_the_last_value_was_exact_counts_against_the_predictor() -> None:
    made = measured(half(error=10, mase=1.0), half(error=10, mase=None))
    found = fsu_figures(spec(Arm.DIRECT), made)
    assert found is not None
    assert found.mase == pytest.approx(2.0)


def test_acknowledgements_probes_and_unscored_flows_are_no_data() -> None:
    run = spec(Arm.DIRECT)
    assert fsu_figures(run, measured(half(error=1, mase=1, size=66))) is None
    assert fsu_figures(run, measured(half(error=1, mase=1), protocol=1)) is None
    assert fsu_figures(run, measured(half(error=None, mase=None))) is None
    assert fsu_figures(run, measurement(run)) is None


@pytest.mark.parametrize(("rtt_ns", "apart"), [(20_000_000, 0.0), (22_000_000, 0.1)])
def test_the_least_rtt_is_held_against_that_of_tcp(rtt_ns: int, apart: float) -> None:
    made = measured(half(error=1, mase=1, rtt_min_ns=rtt_ns))
    found = fsu_figures(spec(Arm.DIRECT), made)
    assert found is not None
    assert found.rtt_error_share == pytest.approx(apart, abs=1e-9)
    assert found.rtt_connections == 1


def test_a_connection_that_outlasts_the_memory_of_the_fsu_is_not_compared() -> None:
    made = measured(half(error=1, mase=1, rtt_min_ns=9), lasted_ns=REMEMBERED_NS + 1)
    found = fsu_figures(spec(Arm.DIRECT), made)
    assert found is not None
    assert (found.rtt_error_share, found.rtt_connections) == (None, 0)
