"""The axis of a swept quantity: what was measured is inside, and labelled."""

from __future__ import annotations

import math

import pytest

from sentinel_sim.report.html.figure import sweep_axis


@pytest.mark.parametrize("values", [[1000.0], [100.0, 20_000.0], [0.5, 1.0, 7.0]])
def test_every_value_has_its_tick_well_inside_the_range(values: list[float]) -> None:
    found = sweep_axis("distance, km", values)
    assert found["tickvals"] == values
    low, high = found["range"]
    assert low < math.log10(values[0])
    assert math.log10(values[-1]) < high
    assert high - low > 0.5


def test_zero_cannot_stand_on_a_logarithmic_axis() -> None:
    assert sweep_axis("loss, %", [0.0, 1.0]).get("type") != "log"
