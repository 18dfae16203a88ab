"""Self-repair: what was mended is counted, and one incident that stays refutes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.evidence.documents import result, run

from sentinel_sim.evidence.judging import judge
from sentinel_sim.evidence.registry import BY_ID
from sentinel_sim.evidence.verdict import Outcome, headline

MS = 1_000_000


def incident(repaired: bool = True, detect_ms: int = 20, repair_ms: int = 300) -> dict[str, Any]:
    return {
        "fault": "daemon-dead",
        "target": "panama",
        "time_to_detect_ns": detect_ms * MS,
        "time_to_repair_ns": repair_ms * MS,
        "repaired": repaired,
    }


def parts(*runs: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in judge(result(runs)) if one["claim"] == "self-repair"]


def test_all_mended_holds_with_the_times_and_an_interval_that_grows_with_the_count() -> None:
    few = parts(run("split", repairs=[incident()] * 3))[0]
    many = parts(run("split", repairs=[incident(), incident(detect_ms=90, repair_ms=1400)] * 30))[0]
    assert (few["verdict"], few["text"], few["arm"]) == ("undecided", "3 of 3", "split")
    assert "only 3 incidents, 44 are needed" in few["why"]
    assert few["ci"] == [pytest.approx(0.01 ** (1 / 3)), 1.0]
    assert many["verdict"] == "holds"
    assert many["ci"] == [pytest.approx(0.01 ** (1 / 60)), 1.0]
    assert "within 90 ms, repaired 1,400 ms later at most" in many["why"]


def test_one_that_stayed_broken_refutes_and_is_named() -> None:
    [incidents, _] = parts(run("fsu", repairs=[incident(), incident(repaired=False)]))
    assert (incidents["verdict"], incidents["text"]) == ("fails", "1 of 2")
    assert "not repaired: daemon-dead at panama" in incidents["why"]


@pytest.mark.parametrize(
    ("ending", "verdict"),
    [
        ({"sha256_ok": True}, "holds"),
        ({"sha256_ok": False}, "fails"),
        ({"sha256_ok": None, "bytes_delivered": 999_999}, "fails"),
        ({"sha256_ok": None}, "holds"),  # hashing was off
    ],
)
def test_a_repair_that_lost_bytes_is_none(ending: dict[str, Any], verdict: str) -> None:
    [_, flows] = parts(run("split", repairs=[incident()] * 50, **ending))
    assert flows["verdict"] == verdict


def test_without_incidents_nothing_is_said() -> None:
    verdicts = judge(result([run("split", repairs=[]), run("fsu")]))
    said = headline(BY_ID["self-repair"], verdicts)
    assert said.verdict is Outcome.UNDECIDED


def test_the_arm_that_repairs_in_the_network_speaks_for_the_claim() -> None:
    verdicts = judge(
        result(
            [
                run("tuned", repairs=[incident(repaired=False)]),
                run("fsu", repairs=[incident()] * 50),
            ]
        )
    )
    assert headline(BY_ID["self-repair"], verdicts).verdict is Outcome.HOLDS
