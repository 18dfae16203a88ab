"""From a result document to the verdicts on every claim (pure)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sentinel_sim.evidence import (
    datapath,
    latency,
    payload,
    repair,
    smoothing,
    synchronisation,
    throughput,
)
from sentinel_sim.evidence.registry import CLAIMS, Claim, Means
from sentinel_sim.evidence.verdict import Json, Outcome, Verdict
from sentinel_sim.evidence.view import View

JUDGES: tuple[Callable[[View], list[Verdict]], ...] = (
    throughput.judge,
    latency.judge_latency,
    latency.judge_confirmation,
    payload.judge_retransmission,
    datapath.judge,
    synchronisation.judge,
    repair.judge,
    smoothing.judge,
)


def judge(result: Mapping[str, Any]) -> list[Json]:
    """Verdicts on all claims, in the order of the registry, in the form of `result.json`.

    A claim about which this result says nothing has one entry: undecided, with the reason. Keys
    that a result lacks count as not measured.
    """
    view = View(result)
    found: dict[str, list[Verdict]] = {}
    for one in JUDGES:
        for verdict in one(view):
            found.setdefault(verdict.claim, []).append(verdict)
    return [
        verdict.as_json()
        for claim in CLAIMS
        for verdict in found.get(claim.id, [_unmeasured(claim)])
    ]


def judge_bench(bench: Mapping[str, Any]) -> list[Json]:
    """The parts that a `bench.json` judged, in the form of a result's verdicts."""
    return [
        Verdict(
            part["claim"],
            Outcome(part["verdict"]),
            part=part["part"],
            bound=part["bound"],
            text=part["figure"],
            why=part["how"],
        ).as_json()
        for part in bench.get("claims") or ()
    ]


def _unmeasured(claim: Claim) -> Verdict:
    return Verdict(claim.id, Outcome.UNDECIDED, text="not measured", why=reason(claim))


def reason(claim: Claim) -> str:
    """Why an experiment's result says nothing of this claim."""
    reasons = {
        Means.RUN: f"not measured in these runs ({claim.how})",
        Means.BENCH: f"measured by `{claim.command}`, not by a run",
        Means.SUITE: claim.how,
        Means.LATER: f"no part of this version measures it ({claim.how})",
        Means.NOTHING: f"cannot be tested here: {claim.how}",
    }
    return reasons[claim.means]
