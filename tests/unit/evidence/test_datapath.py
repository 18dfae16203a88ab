"""`predicts-pattern` and `bdp-realtime` on runs with known truth."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from tests.unit.evidence.documents import result, run

from sentinel_sim.evidence.judging import judge
from sentinel_sim.evidence.registry import BY_ID
from sentinel_sim.evidence.verdict import headline

KM = (100.0, 5000.0)


def verdict(claim: str, mase: Callable[[], float], rtt: float = 0.004, repeats: int = 3) -> str:
    runs = [
        run("split", km, repeat, fsu={"mase": mase(), "rtt_error_share": rtt * (1 + 0.1 * repeat)})
        for km in KM
        for repeat in range(repeats)
    ]
    return headline(BY_ID[claim], judge(result(runs))).verdict


@pytest.mark.parametrize(("centre", "said"), [(0.8, "holds"), (1.1, "fails"), (1.0, "undecided")])
def test_a_prediction_must_beat_the_last_value(centre: float, said: str) -> None:
    values = iter([centre - 0.01, centre, centre + 0.01] * len(KM))
    assert verdict("predicts-pattern", lambda: next(values)) == said


def test_one_run_is_not_enough() -> None:
    assert verdict("predicts-pattern", lambda: 0.5, repeats=1) == "undecided"


def test_a_false_holds_is_rare_and_a_true_one_is_found() -> None:
    draw = random.Random(5)
    noisy = [verdict("predicts-pattern", lambda: draw.gauss(1.0, 0.05)) for _ in range(400)]
    assert noisy.count("holds") <= 4
    good = [verdict("predicts-pattern", lambda: draw.gauss(0.7, 0.02)) for _ in range(50)]
    assert good.count("holds") >= 45


def test_the_rtt_alone_does_not_make_the_bdp_hold() -> None:
    assert verdict("bdp-realtime", lambda: 1.0) == "undecided"
    assert verdict("bdp-realtime", lambda: 1.0, rtt=0.2) == "fails"


def test_results_without_figures_of_the_fsu_say_nothing() -> None:
    said = headline(BY_ID["predicts-pattern"], judge(result([run("split")])))
    assert said.verdict == "undecided"
    assert "not measured in these runs" in said.why
