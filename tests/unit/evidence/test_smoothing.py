"""The verdict on 1.5^N, on chains of which the truth is known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.evidence.documents import result, run

from sentinel_sim.evidence.judging import judge
from sentinel_sim.evidence.smoothing import (
    LIMIT,
    bases_above,
    factors_of,
    laws_of,
    overall_base,
    tail_base,
)
from sentinel_sim.evidence.verdict import Outcome

Law = Callable[[int], float]


def geometric(n: int) -> float:
    return float(1.5**n)


def averaging(n: int) -> float:
    return float(n) ** 0.25 if n else 1.0


def nothing(n: int) -> float:
    return 1.0


def chain(law: Law, stages: int, noise: Callable[[], float] = lambda: 1.0) -> dict[str, Any]:
    """Burstiness of a chain whose n stages smooth by `law(n)`; its sender's link smooths by 2."""
    variations = [2.0, *(1.0 / law(n) * noise() for n in range(stages + 1))]
    return {
        "bin_s": 0.001,
        "window_s": 10.0,
        "points": [
            {
                "queues": queues,
                "place": f"place {queues}",
                "scales": [{"time_s": t, "variation": value} for t in (0.001, 0.01, 0.1)],
            }
            for queues, value in enumerate(variations)
        ],
    }


def verdicts(law: Law, stages: int = 10, repeats: int = 5, noise: float = 0.01) -> list[str]:
    draws = random.Random(repr((law(2), stages, repeats, noise)))
    runs = [
        run("split", None, n, burstiness=chain(law, stages, lambda: draws.lognormvariate(0, noise)))
        for n in range(repeats)
    ]
    return [one["verdict"] for one in judge(result(runs)) if one["claim"] == "smooth-1.5N"]


def test_a_chain_that_does_what_is_claimed_holds_and_others_fail() -> None:
    assert verdicts(geometric) == ["holds"] * 3
    assert verdicts(averaging) == ["fails"] * 3
    assert verdicts(nothing) == ["fails"] * 3


def test_a_law_that_flattens_fails_by_its_last_half_however_steep_it_began() -> None:
    # 57.7 behind ten stages, as claimed, but all of it in the first five.
    def early(n: int) -> float:
        return float((1.5**2) ** min(n, 5))

    assert overall_base(tuple(early(n) for n in range(1, 11))) == pytest.approx(1.5)
    assert tail_base(tuple(early(n) for n in range(1, 11))) == pytest.approx(1.0)
    assert verdicts(early) == ["fails"] * 3


def test_few_stages_or_one_run_cannot_make_it_hold() -> None:
    assert verdicts(geometric, stages=5) == ["undecided"] * 3
    assert verdicts(geometric, repeats=1) == ["undecided"] * 3
    assert verdicts(nothing, stages=5) == ["fails"] * 3


def test_the_senders_own_link_is_no_stage() -> None:
    factors = factors_of({"burstiness": chain(nothing, 3)}, 0.01)
    assert factors == pytest.approx((1.0, 1.0, 1.0))


def test_what_is_not_known_is_not_judged() -> None:
    known = chain(geometric, 3)
    constant = chain(geometric, 3)
    for scale in constant["points"][2]["scales"]:
        scale["variation"] = 0.0  # a constant rate: nothing is left to smooth
    short = chain(geometric, 3)
    short["points"][3]["scales"] = []
    assert factors_of({"burstiness": known}, 0.01) is not None
    for other in (constant, short, None):
        assert factors_of({"burstiness": other}, 0.01) is None
    assert factors_of({"burstiness": known}, 0.02) is None
    found = judge(result([run("split", None, n, burstiness=short) for n in range(3)]))
    assert {one["verdict"] for one in found if one["claim"] == "smooth-1.5N"} == {"undecided"}
    [one] = [one for one in judge(result([run()])) if one["claim"] == "smooth-1.5N"]
    assert "not measured" in one["why"]


def test_at_the_limit_it_is_said_to_hold_in_one_of_a_hundred_at_most() -> None:
    """False "holds" at the worst truth, and power at the claimed one; noise 5 %, five runs."""
    draws = random.Random(5)

    def share(base: float, outcome: Outcome, trials: int = 2000) -> float:
        def factors() -> tuple[float, ...]:
            # The first point's noise is in every ratio.
            first = draws.gauss(0, 0.05)
            logs = [n * math.log(base) + first - draws.gauss(0, 0.05) for n in range(1, 11)]
            return tuple(math.exp(one) for one in logs)

        found = (bases_above([[factors() for _ in range(5)]]) for _ in range(trials))
        return sum(one.outcome is outcome for one in found) / trials

    assert share(LIMIT, Outcome.HOLDS) <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / 2000)
    assert share(LIMIT, Outcome.FAILS) <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / 2000)
    assert share(1.5, Outcome.HOLDS, 200) > 0.95
    assert share(1.05, Outcome.FAILS, 200) > 0.95


def test_the_laws_that_made_the_data_are_found() -> None:
    geometric = laws_of([tuple(1.5**n for n in range(1, 11))] * 3)
    assert geometric.base == pytest.approx(1.5)
    assert geometric.residuals["1.5^N"] == pytest.approx(0.0, abs=1e-12)
    averaging = laws_of([tuple(n**0.25 for n in range(1, 11))] * 3)
    assert averaging.power == pytest.approx(0.25)
    assert averaging.residuals["N^(1/4)"] < averaging.residuals["base^N"]
