"""Verdicts on result documents with known truth."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.unit.evidence.documents import NAMED_KM, result, run, sweep

from sentinel_sim.evidence.judging import judge, judge_bench
from sentinel_sim.evidence.registry import BY_ID, CLAIMS, Means
from sentinel_sim.evidence.verdict import Outcome, demanded, headline, headlines, unmet
from sentinel_sim.experiment.results import SCHEMA_PATH

CLAIM = "throughput-constant"


def flat(km: float) -> float:
    return 90e6


def falling(km: float) -> float:
    return 90e6 * 100 / km


def of(document: dict[str, Any], claim: str, arm: str = "fsu") -> dict[str, Any]:
    """The one verdict on a claim for an arm."""
    (found,) = [one for one in judge(document) if (one["claim"], one["arm"]) == (claim, arm)]
    return found


def noise(sd: float = 0.002, seed: int = 1) -> Any:  # noqa: ANN401
    source = random.Random(seed)
    return lambda: source.lognormvariate(0.0, sd)


def test_the_registry_has_all_claims_each_once_with_a_reason() -> None:
    assert len(CLAIMS) == len(BY_ID) == 30
    for claim in CLAIMS:
        assert claim.text
        assert claim.how
        assert (claim.command is None) == (claim.means in (Means.LATER, Means.NOTHING))
    verdicts = judge(result([]))
    assert [one["claim"] for one in verdicts] == [claim.id for claim in CLAIMS]
    assert {one["verdict"] for one in verdicts} == {"undecided"}
    assert all(one["why"] for one in verdicts)


def test_the_registry_is_the_list_of_the_source() -> None:
    source = Path(__file__).parents[4] / "shared" / "claims.md"
    if not source.exists():
        pytest.skip("the list of the source design's claims is not here: ../shared/claims.md")
    rows = [line.split("|")[1].strip() for line in source.read_text().splitlines() if "|" in line]
    assert rows[2:] == [claim.id for claim in CLAIMS]


def test_constant_goodput_holds_and_says_which_runs_show_it() -> None:
    runs = sweep(flat, noise())
    found = of(result(runs), CLAIM)
    assert found["verdict"] == "holds"
    assert 1.0 <= found["ci"][0] <= found["figure"] <= found["ci"][1] < found["limit"]
    assert found["evidence"] == [one["key"] for one in runs]
    assert found["n"] == 15


def test_goodput_that_falls_with_distance_fails() -> None:
    found = of(result(sweep(falling, noise())), CLAIM)
    assert found["verdict"] == "fails"
    assert found["figure"] == pytest.approx(200, rel=0.02)
    assert "lowest at 20,000 km" in found["why"]


def test_noise_and_single_runs_leave_it_undecided() -> None:
    assert of(result(sweep(flat, noise(0.3))), CLAIM)["verdict"] == "undecided"
    single = of(result(sweep(flat, repeats=1)), CLAIM)
    assert single["verdict"] == "undecided"
    assert "--repeat 3" in single["why"]
    assert single["ci"] is None


def test_one_outlier_does_not_make_it_hold_nor_fail() -> None:
    runs = sweep(flat, noise(), repeats=3)
    runs[7]["goodput_bps"] /= 2
    assert of(result(runs), CLAIM)["verdict"] == "undecided"


def test_invalid_runs_are_no_evidence() -> None:
    runs = sweep(flat, noise())
    wrong = [
        run("fsu", km, 9, goodput_bps=1e6, valid=False, invalid_reasons=["late"]) for km in NAMED_KM
    ]
    found = of(result([*runs, *wrong]), CLAIM)
    assert found["verdict"] == "holds"
    assert "5 invalid runs left out" in found["why"]
    assert not set(found["evidence"]) & {one["key"] for one in wrong}
    all_wrong = [{**one, "valid": False} for one in runs]
    assert of(result(all_wrong), CLAIM)["verdict"] == "undecided"


def test_it_holds_only_where_every_named_distance_was_measured() -> None:
    found = of(result(sweep(flat, noise(), distances=(5000.0, 10000.0))), CLAIM)
    assert found["verdict"] == "undecided"
    assert "not measured at 100, 1,000, 20,000 km" in found["why"]
    assert of(result(sweep(falling, noise(), distances=(5000.0, 10000.0))), CLAIM)["verdict"] == (
        "fails"
    )


def test_quick_runs_and_unlike_offloads_decide_nothing() -> None:
    runs = sweep(flat, noise())
    assert of(result(runs, plan={"quick": True}), CLAIM)["verdict"] == "undecided"
    runs[1]["offloads_sha256"] = "other"
    found = of(result(runs), CLAIM)
    assert found["verdict"] == "undecided"
    assert "offloads" in found["why"]


def test_arms_and_conditions_are_judged_apart_and_the_claims_own_arm_speaks() -> None:
    lossless, lossy = {"loss": "0 %"}, {"loss": "0.1 %"}
    document = result(
        [
            *sweep(flat, noise(), arm="tuned", params=lossless),
            *sweep(falling, noise(), arm="tuned", params=lossy),
            *sweep(flat, noise(), arm="fsu", params=lossless),
            *sweep(flat, noise(), arm="fsu", params=lossy),
        ]
    )
    verdicts = judge(document)
    parts = [one for one in verdicts if one["claim"] == CLAIM]
    assert [(one["arm"], one["condition"], one["verdict"]) for one in parts] == [
        ("tuned", "loss 0 %", "holds"),
        ("tuned", "loss 0.1 %", "fails"),
        ("fsu", "loss 0 %", "holds"),
        ("fsu", "loss 0.1 %", "holds"),
    ]
    said = headline(BY_ID[CLAIM], verdicts)
    assert (said.verdict, said.arm) == (Outcome.HOLDS, "fsu")
    assert unmet([CLAIM, f"{CLAIM}:fsu"], verdicts) == []
    (one,) = unmet([f"{CLAIM}:tuned"], verdicts)
    assert one.startswith(f"{CLAIM}:tuned: fails: ")


def test_without_the_claims_own_arm_it_is_undecided() -> None:
    verdicts = judge(result(sweep(flat, noise(), arm="tuned")))
    said = headline(BY_ID[CLAIM], verdicts)
    assert said.verdict is Outcome.UNDECIDED
    assert said.why == "arm fsu has no result"
    with pytest.raises(KeyError):
        demanded("no-such-claim")


def test_steady_goodput_is_a_part_of_its_own() -> None:
    runs = sweep(flat, noise())
    for one in runs:
        one["steady_goodput_bps"] = falling(one["distance_km"])
    parts = [one for one in judge(result(runs)) if one["claim"] == CLAIM]
    assert [one["verdict"] for one in parts] == ["holds", "fails"]
    assert headline(BY_ID[CLAIM], parts).verdict is Outcome.FAILS


def latencies(confirm: float, delivered: float, **changes: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """Runs whose latencies are these multiples of the RTT."""
    source = random.Random(5)
    found = []
    for one in sweep(flat):
        rtt = one["requested"]["rtt_s"] * source.uniform(1.0, 1.02)
        one["confirm_latency_s"] = {"p50": confirm * rtt, "p99": 2 * confirm * rtt}
        one["delivered_latency_s"] = {"p50": delivered * rtt, "p99": 2 * delivered * rtt}
        found.append({**one, **changes})
    return found


def test_confirmation_may_beat_the_rtt_and_delivery_never_light() -> None:
    document = result(latencies(confirm=0.3, delivered=0.7))
    confirmation, delivery = [one for one in judge(document) if one["claim"] == "latency-below-rtt"]
    assert (confirmation["verdict"], delivery["verdict"]) == ("holds", "fails")
    assert delivery["figure"] == pytest.approx(1.4, rel=0.03)
    assert of(document, "local-confirm")["verdict"] == "holds"


def test_late_confirmation_fails_and_a_coarse_clock_decides_nothing() -> None:
    assert of(result(latencies(confirm=3.0, delivered=2.0)), "local-confirm")["verdict"] == "fails"
    coarse = result(latencies(confirm=0.3, delivered=0.7, latency_resolution_s=1.0))
    assert of(coarse, "local-confirm")["verdict"] == "undecided"


def test_lost_payload_is_sent_again() -> None:
    claim = "synced-not-retransmitted"
    wires = [{"loss_dropped": 40, "queue_dropped": 2}]
    clean = of(result(sweep(flat)), claim, None)  # type: ignore[arg-type]
    assert clean["verdict"] == "undecided"
    again = of(result(sweep(flat, wires=wires, retransmitted_bytes=58_000)), claim)
    assert again["verdict"] == "fails"
    assert again["figure"] == pytest.approx(0.058)
    assert of(result(sweep(flat, wires=wires)), claim)["verdict"] == "holds"


SYNC = {
    "phase_error_s": {"p50": 0.0005, "p99": 0.0008},
    "error_bytes": {"p50": 10.0, "p99": 90.0},
    "samples": 100,
    "checks": 4,
    "checks_ok": 4,
    "final_ok": True,
}


def controlled(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    given = {
        "lead_time_s": {"p50": 0.02, "least": 0.001, "share_ahead": 1.0, "n": 4, "by_kind": {}},
        "control_bytes_per_data_byte": 0.001,
        "sync": SYNC,
    }
    return result(sweep(flat, **{**given, **changes}))


def test_keys_of_the_control_plane_are_picked_up_when_they_are_there() -> None:
    before = judge(controlled())
    for claim in (
        "buffer-before",
        "microsecond-sync",
        "watchdog-phase",
        "metadata-with-data",
        "receiver-validates",
    ):
        assert headline(BY_ID[claim], before).verdict is Outcome.HOLDS, claim
        assert headline(BY_ID[claim], judge(result(sweep(flat)))).verdict is Outcome.UNDECIDED


def test_one_late_buffer_refutes_and_a_wrong_view_too() -> None:
    late = {"p50": 0.02, "least": -0.001, "share_ahead": 0.9, "n": 20, "by_kind": {}}
    said = headline(BY_ID["buffer-before"], judge(controlled(lead_time_s=late)))
    assert said.verdict is Outcome.FAILS
    wrong = {"phase_error_s": None, "final_ok": False}
    assert of(controlled(sync=wrong), "receiver-validates")["verdict"] == "fails"
    slow = {"phase_error_s": {"p50": 0.5, "p99": 9.0}, "final_ok": None}
    verdicts = judge(controlled(sync=slow))
    assert headline(BY_ID["microsecond-sync"], verdicts).verdict is Outcome.FAILS


def test_verdicts_have_the_form_that_the_schema_fixes() -> None:
    document = controlled()
    document["verdicts"] = judge(document)
    jsonschema.validate(document, json.loads(SCHEMA_PATH.read_text()))


def test_a_result_of_bench_speaks_for_its_own_claims() -> None:
    part = {
        "claim": "cpu-16x",
        "part": "asyncio / xdp",
        "verdict": "fails",
        "figure": "2.1 times",
        "bound": ">= 16",
        "how": "CPU time",
    }
    (found,) = judge_bench({"claims": [part]})
    assert (found["verdict"], found["text"]) == ("fails", "2.1 times")
    assert len(headlines([found])) == 30


def test_documents_with_missing_keys_are_judged_as_far_as_they_go() -> None:
    bare = {"runs": [{"key": "x", "arm": "fsu", "valid": True}]}
    assert {one["verdict"] for one in judge(bare)} == {"undecided"}
    assert {one["verdict"] for one in judge({})} == {"undecided"}
