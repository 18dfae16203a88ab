"""Comparing: equal lanes, both lanes of one run, results of `run`; and refusing."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.bench.records import result

from sentinel_sim.bench import comparing
from sentinel_sim.bench.lanes import Mode
from sentinel_sim.errors import ResultError


def by_name(found: list[comparing.Ratio]) -> dict[tuple[str, str], comparing.Ratio]:
    return {(one.where, one.what): one for one in found}


def test_within_one_run_user_space_is_set_against_xdp_pair_by_pair() -> None:
    found = by_name(comparing.lanes_within(result()))
    one = found["asyncio -> xdp-native, 1 flow", "latency p50, ns"]
    assert one.method == "paired"
    assert one.pairs == 6
    assert one.ratio == pytest.approx(0.1, rel=0.01)
    assert one.ci95 is not None
    assert one.ci95[0] < one.ratio < one.ci95[1]


def test_two_modes_are_compared_across() -> None:
    found = by_name(comparing.lanes_between(result(Mode.USERSPACE), result(Mode.XDP)))
    one = found["af-packet -> xdp-native, 1 flow", "packets/s, no loss"]
    assert one.method == "unpaired"
    assert one.ratio == pytest.approx(700 / 60, rel=1e-3)
    back = by_name(comparing.lanes_between(result(Mode.XDP), result(Mode.USERSPACE)))
    assert ("xdp-native -> af-packet, 1 flow", "latency p50, ns") in back


def test_equal_lanes_of_equal_runs_have_the_ratio_one() -> None:
    found = comparing.lanes_between(result(), result())
    assert {one.where.split(",")[0] for one in found} == {
        "xdp-native", "xdp-generic", "tc-bpf", "af-packet", "asyncio",
    }  # fmt: skip
    assert all(one.ratio == pytest.approx(1.0) for one in found)


def test_unlike_environments_are_refused_with_the_flag_that_allows_them() -> None:
    one, other = result(), result(kernel="6.2-other", commit="def")
    found = comparing.bench_unlike(one, other, [])
    with pytest.raises(ResultError, match=r"kernel was .*6\.1-fake.* is .*6\.2-other") as caught:
        comparing.refuse_unlike(found)
    assert caught.value.exit_code == 2
    assert "--allow kernel" in str(caught.value.cure)
    assert comparing.bench_unlike(one, other, ["kernel", "commit"]) == []


def test_unlike_settings_are_refused() -> None:
    other = result()
    other["settings"]["equal_pps"] = 5_000
    assert comparing.bench_unlike(result(), other, []) == ["equal_pps was 10000 and is 5000"]


def test_one_mode_alone_has_nothing_to_set_against() -> None:
    with pytest.raises(ResultError, match="no user-space lane"):
        comparing.lanes_within(result(Mode.XDP))


def run(arm: str, repeat: int, goodput_bps: float | None, *, valid: bool = True) -> dict[str, Any]:
    return {
        "arm": arm, "distance_km": 100.0, "params": {"loss": "0 %"}, "repeat": repeat,
        "valid": valid, "goodput_bps": goodput_bps, "steady_goodput_bps": goodput_bps,
    }  # fmt: skip


def test_goodput_of_two_results_is_paired_by_group_and_repeat() -> None:
    one = {"runs": [run("tuned", n, 100.0 + n) for n in range(3)] + [run("direct", 0, 5.0)]}
    other = {"runs": [run("tuned", n, 2 * (100.0 + n)) for n in (2, 0, 1)]}
    found = comparing.runs_between(one, other)
    assert [(r.where, r.what) for r in found] == [
        ("tuned at 100 km, loss 0 %", "goodput_bps"),
        ("tuned at 100 km, loss 0 %", "steady_goodput_bps"),
    ]
    assert found[0].ratio == pytest.approx(2.0)
    assert found[0].ci95 == pytest.approx((2.0, 2.0))
    assert found[0].pairs == 3


def test_invalid_runs_are_not_compared() -> None:
    one = {"runs": [run("tuned", 0, 100.0, valid=False)]}
    with pytest.raises(ResultError, match="no valid run"):
        comparing.runs_between(one, {"runs": [run("tuned", 0, 100.0)]})


def test_without_common_valid_repeats_a_group_is_left_out() -> None:
    one = {"runs": [run("tuned", 0, 100.0), run("split", 0, 1.0)]}
    other = {"runs": [run("tuned", 1, 100.0), run("split", 0, 1.0)]}
    assert {r.where.split()[0] for r in comparing.runs_between(one, other)} == {"split"}
