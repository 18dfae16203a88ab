"""The rules of benchmarks/bounded.py and of benchmarks/fairness.py notice what they are for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.bounded_rules import NAMES, Probe, Reading, Record, judge
from benchmarks.control_cost import INTERVAL_NS
from benchmarks.control_curves import DELAYS_MS, curve, lag_errors
from benchmarks.fairness import bytes_until, geometric, verdict
from benchmarks.fairness import judge as judge_shares

MB = 1_000_000


def record(**growth: float) -> Record:
    """A minute under load; what grows, grows by so much a second."""
    made = Record("none", 10, 50 * MB, loaded_s=0.0)
    idle = Reading(0.0, 40 * MB, 20, 5, 10)
    made.before = dict.fromkeys(NAMES, idle)
    made.after = dict.fromkeys(NAMES, idle)
    for second in range(60):
        reading = Reading(
            float(second),
            int(60 * MB + growth.get("rss", 0) * second),
            int(60 + growth.get("descriptors", 0) * second),
            30,
            int(12 + growth.get("tasks", 0) * second),
        )
        for name in NAMES:
            made.readings.setdefault(name, []).append(reading)
        latency_s = 0.02 + growth.get("latency", 0) * second
        made.probes.append(Probe(float(second), latency_s, ok=True))
    return made


def broken(made: Record) -> set[str]:
    return {rule for rule, why in judge(made).items() if why}


def test_what_is_steady_holds() -> None:
    assert broken(record()) == set()


@pytest.mark.parametrize(
    ("growth", "rule"),
    [
        ({"rss": MB / 2}, "flat"),
        ({"descriptors": 2}, "leaks"),
        ({"tasks": 2}, "leaks"),
        ({"latency": 0.02}, "latency"),
    ],
)
def test_what_grows_breaks_its_rule(growth: dict[str, float], rule: str) -> None:
    assert broken(record(**growth)) == {rule}


def test_what_stays_behind_or_is_beyond_the_limit_is_noticed() -> None:
    left = record()
    left.after["receiver"] = replace(left.after["receiver"], threads=9)
    assert broken(left) == {"leaks"}
    held = record()
    held.held_bytes_max = 51 * MB
    assert broken(held) == {"memory"}
    failed = record()
    failed.probes[3] = replace(failed.probes[3], ok=False)
    assert broken(failed) == {"probes"}


def test_a_fair_share_is_judged_by_its_interval() -> None:
    mean, low, high = geometric([1.0, 1.1, 0.95, 1.05, 1.0])
    assert low < mean < high
    assert (verdict(0.91, 1.2), verdict(0.5, 0.89), verdict(0.8, 1.0)) == (
        "holds", "fails", "undecided",
    )  # fmt: skip
    rows = [
        {"pair": n, "arm": arm, "share": share, "total_bps": 1e8, "ok": True}
        for n in range(5)
        for arm, share in (("split", 0.2 + n / 1000), ("fsu", 0.1 + n / 1000))
    ]
    text, code = judge_shares(rows)
    assert code == 5
    assert text.endswith("fails")
    assert judge_shares([{**row, "ok": False} for row in rows])[1] == 1
    assert bytes_until([10, 20], [5, 9], 9) == 0
    assert bytes_until([10, 20], [5, 9], 20) == 9


def test_a_replica_that_hears_late_is_wrong_by_what_came_meanwhile() -> None:
    totals = np.arange(1, 101, dtype=np.int64) * 1000
    times, values = np.array([0, 50 * INTERVAL_NS]), np.array([0.0, 50_000.0])
    still = np.zeros(2)
    assert lag_errors(totals, times, values, still, 0).max() == 50_000
    late = lag_errors(totals, times, values, still, 10 * INTERVAL_NS)
    assert late[58] == 59_000
    assert late[59] == 10_000


def test_no_causal_method_sends_less_than_the_oracle() -> None:
    rng = np.random.default_rng(3)
    totals = np.cumsum(rng.poisson(900, 800)).astype(np.int64)
    points = curve([totals], 20, 100)
    oracle = next(p["bytes_per_s"] for p in points if p["method"] == "oracle")
    causal = [p for p in points if p["method"] in ("hold", "linear", "bank")]
    assert len(causal) == 3 * len(DELAYS_MS)
    assert all(p["bytes_per_s"] >= oracle for p in causal)
    errors = [p["max_error_s"] for p in causal if p["method"] == "bank"]
    assert errors == sorted(errors)
