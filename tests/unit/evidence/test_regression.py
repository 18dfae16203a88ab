"""Drops from one result to another: how often chance alone makes one."""

from __future__ import annotations

import numpy as np

from sentinel_sim.bench.comparing import Ratio
from sentinel_sim.bench.estimates import ratio
from sentinel_sim.evidence.regression import ERROR, changed, drops
from sentinel_sim.evidence.verdict import Outcome, Verdict

SERIES = 1500
COMPARISONS = 10


def compared(random: np.random.Generator, truth: float, n: int) -> Ratio:
    first, second = (np.exp(random.normal(0, 0.02, n)) for _ in range(2))
    found = ratio(list(truth * second), list(first))
    assert found is not None
    return Ratio("goodput_bps", "here", 1.0, truth, found.mean, found.ci95, n, "paired")


def test_chance_raises_an_alarm_as_rarely_as_stated_and_a_real_drop_does() -> None:
    random = np.random.default_rng(4)
    alarms = sum(
        bool(drops([compared(random, 1.0, 3) for _ in range(COMPARISONS)])) for _ in range(SERIES)
    )
    assert alarms / SERIES <= ERROR + 0.017  # three standard errors
    real = [compared(random, 0.7, 5) for _ in range(COMPARISONS)]
    assert len(drops(real)) >= 8


def test_single_runs_and_rises_are_no_drops() -> None:
    single = Ratio("goodput_bps", "here", 2.0, 1.0, 0.5, None, 1, "paired")
    risen = Ratio("goodput_bps", "here", 1.0, 2.0, 2.0, (1.9, 2.1), 5, "paired")
    assert drops([single, risen]) == []


def test_changed_verdicts_are_named() -> None:
    def said(outcome: Outcome) -> list[dict[str, object]]:
        return [Verdict("receiver-validates", outcome, arm="fsu").as_json()]

    assert changed(said(Outcome.HOLDS), said(Outcome.FAILS)) == [
        "receiver-validates: holds -> fails"
    ]
    assert changed(said(Outcome.HOLDS), said(Outcome.HOLDS)) == []
