"""How long the first so many bytes of a flow took."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.experiment.support import measurement, spec

from sentinel_sim.backends.base import FlowMeasurement, Series
from sentinel_sim.experiment.metrics import DELIVERED_SIZES, delivered_after_s

FLOW = measurement(spec()).flows[0]


def steadily(rate_bytes_per_s: int, seconds: int) -> FlowMeasurement:
    """A flow whose bytes come at one rate, sampled ten times a second, from its connect() on."""
    ticks = range(10 * seconds + 1)
    times = tuple(FLOW.start_ns + tick * 100_000_000 for tick in ticks)
    return replace(FLOW, delivered=Series(times, tuple(rate_bytes_per_s * t // 10 for t in ticks)))


@given(st.integers(20_000, 200_000_000), st.integers(1, 30))
def test_at_a_constant_rate_a_size_takes_its_share_of_the_time(rate: int, seconds: int) -> None:
    found = delivered_after_s([steadily(rate, seconds)])
    assert found is not None
    assert list(found) == list(DELIVERED_SIZES)
    for name, size in DELIVERED_SIZES.items():
        if size > rate * seconds:
            assert found[name] is None
        else:
            assert found[name] == pytest.approx(size / rate, rel=1e-3, abs=1e-4)


def test_flows_that_share_a_run_have_no_such_time() -> None:
    assert delivered_after_s([FLOW, FLOW]) is None
    assert delivered_after_s([]) is None


def test_a_flow_that_delivered_nothing_reached_no_size() -> None:
    silent = replace(FLOW, delivered=Series((), ()))
    assert delivered_after_s([silent]) == dict.fromkeys(DELIVERED_SIZES)
