"""The correction of a wire's base cost by round trips of the idle path."""

from __future__ import annotations

import pytest
from tests.unit.emulated.specs import line

from sentinel_sim.backends.emulated.calibration import CORRECTION_LIMIT_NS, correction_of

PATH = line().paths[0]
BASE_NS = PATH.rtt_base_ns


@pytest.mark.parametrize("cost_ns", [-40_000, 0, 25_000, CORRECTION_LIMIT_NS])
def test_the_excess_is_shared_by_both_directions_of_all_wires(cost_ns: int) -> None:
    rtt_ns = [BASE_NS + 4 * cost_ns] * 19 + [BASE_NS + 9_000_000]
    assert correction_of(rtt_ns, PATH, 20) == cost_ns


@pytest.mark.parametrize(
    "rtt_ns",
    [
        [],
        [BASE_NS + 100_000] * 10,
        [BASE_NS + 4 * (CORRECTION_LIMIT_NS + 1)] * 20,
        [BASE_NS - 4 * (CORRECTION_LIMIT_NS + 1)] * 20,
    ],
)
def test_too_few_probes_or_too_large_an_excess_correct_nothing(rtt_ns: list[int]) -> None:
    assert correction_of(rtt_ns, PATH, 20) == 0
