"""Verdicts: what an interval says about a limit, and what a whole result says about the claims."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.bench.records import records, result, trial

from sentinel_sim.bench.claims import Outcome, Part, above, below, overall, within
from sentinel_sim.bench.estimates import Figure
from sentinel_sim.bench.lanes import Mode

numbers = st.floats(-1e9, 1e9)


def interval(low: float, high: float) -> Figure:
    return Figure((low + high) / 2, (low, high), 5, (low, high))


@given(numbers, numbers, numbers)
def test_below_and_above_never_both_hold(a: float, b: float, limit: float) -> None:
    found = interval(min(a, b), max(a, b))
    outcomes = below(found, limit), above(found, limit)
    assert outcomes in {
        (Outcome.HOLDS, Outcome.FAILS),
        (Outcome.FAILS, Outcome.HOLDS),
        (Outcome.UNDECIDED, Outcome.UNDECIDED),
    }


def test_without_an_interval_nothing_is_decided() -> None:
    for judge in (below, above):
        assert judge(None, 1) is Outcome.UNDECIDED
        assert judge(Figure(5, None, 1), 1) is Outcome.UNDECIDED


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (11, 59, Outcome.HOLDS),
        (1, 9, Outcome.FAILS),
        (61, 90, Outcome.FAILS),
        (9, 20, Outcome.UNDECIDED),
        (50, 70, Outcome.UNDECIDED),
        (5, 90, Outcome.UNDECIDED),
    ],
)
def test_within(low: float, high: float, expected: Outcome) -> None:
    assert within(interval(low, high), 10, 60) is expected


def test_one_failing_part_fails_the_claim() -> None:
    def part(verdict: str) -> Part:
        return Part("x", "", verdict, "", "", "")

    assert overall([part("holds"), part("holds")]) == {"x": "holds"}
    assert overall([part("holds"), part("undecided")]) == {"x": "undecided"}
    assert overall([part("undecided"), part("fails")]) == {"x": "fails"}


def parts(found: dict[str, object]) -> dict[tuple[str, str], str]:
    claims = found["claims"]
    assert isinstance(claims, list)
    return {(part["claim"], part["part"]): part["verdict"] for part in claims}


def test_every_claim_is_judged_from_the_figures() -> None:
    found = result()
    verdicts = parts(found)
    assert verdicts["fsu-120us", "program cost, 1 flow"] == "holds"
    assert verdicts["fsu-120us", "program cost, 1,000 flows"] == "undecided"  # not in the records
    assert verdicts["fsu-120us", "added latency p99"] == "holds"
    assert verdicts["userspace-10-60ms", "af-packet, added latency p50"] == "fails"
    assert verdicts["speedup-83-500", "asyncio / xdp-native, latency p50"] == "fails"
    assert verdicts["xdp-10mpps", "program alone, 1 flow"] == "holds"
    assert verdicts["xdp-10mpps", "live frames, 1 flow"] == "fails"
    assert verdicts["xdp-10mpps", "xdp-native, veth end to end"] == "fails"
    assert verdicts["xdp-10mpps", "asyncio, veth end to end"] == "holds"
    assert verdicts["cpu-16x", "af-packet / xdp-native"] == "fails"
    assert verdicts["switches-100x", "af-packet, voluntary"] == "fails"
    assert verdicts["switches-100x", "xdp-native, in soft interrupts"] == "holds"
    assert verdicts["zero-copy", "xdp-native"] == "fails"
    assert set(found["verdicts"]) == {
        "fsu-120us", "userspace-10-60ms", "speedup-83-500", "xdp-10mpps", "cpu-16x",
        "switches-100x", "zero-copy",
    }  # fmt: skip


def test_slow_user_space_would_make_the_latency_claims_hold() -> None:
    given_records = records()
    given_records.trials = [
        trial(one["variant"], (one["block"], one["half"]), placement=one["placement"],
              delay_p50_ns=20_000_000 + one["block"], delay_p99_ns=30_000_000 + one["half"])
        if one["variant"] in ("af-packet", "asyncio") else one
        for one in given_records.trials
    ]  # fmt: skip
    found = result(given=given_records)
    assert found["verdicts"]["userspace-10-60ms"] == "holds"
    assert found["verdicts"]["speedup-83-500"] == "holds"


def test_a_rate_bound_by_the_generator_cannot_fail_the_claim_of_ten_million() -> None:
    given_records = records()
    for one in given_records.throughput:
        one["bound_by"] = "generator"
    assert parts(result(given=given_records))["xdp-10mpps", "xdp-native, veth end to end"] == (
        "undecided"
    )


def test_one_lane_alone_leaves_comparisons_out() -> None:
    assert not any(claim == "cpu-16x" for claim, _ in parts(result(Mode.XDP)))
    user = parts(result(Mode.USERSPACE))
    assert ("userspace-10-60ms", "asyncio, added latency p50") in user
    assert not any(claim == "fsu-120us" for claim, _ in user)


def test_unsound_trials_enter_no_figure() -> None:
    given_records = records()
    for one in given_records.trials:
        if one["variant"] == "asyncio":
            one["sound"] = False
    found = result(given=given_records)
    [row] = [r for r in found["lanes"] if (r["lane"], r["flows"]) == ("asyncio", 1)]
    assert row["delay_ns"]["p50"] is None
    assert row["trials_left_out"] == row["trials"] > 0
    assert found["valid"] is False
    assert "asyncio: none of 6 trials at equal rate was sound" in found["invalid_reasons"]


def test_wrong_counts_make_the_result_invalid() -> None:
    given_records = records()
    given_records.flow_checks[0]["agrees"] = False
    assert result(given=given_records)["valid"] is False
