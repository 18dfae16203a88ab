"""The record of a campaign, and the figures in it (pure)."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sentinel_sim.campaign.drawing import Source
from sentinel_sim.campaign.judging import Outcome
from sentinel_sim.campaign.record import RoundRecord

SCHEMA = "sentinel-sim/campaign/1"
CAMPAIGN_FILE = "campaign.json"
CONFIRMED_FILE = "confirmed.jsonl"


def injected(rounds: Sequence[RoundRecord]) -> int:
    """Faults that struck."""
    return sum(event.struck for one in rounds for event in one.faults)


def document(
    rounds: Sequence[RoundRecord],
    *,
    name: str,
    seed: int,
    asked: int,
    interrupted: str | None,
    environment: Mapping[str, Any],
) -> dict[str, Any]:
    """As it is written to `campaign.json`."""
    outcomes = [outcome for one in rounds for outcome in one.outcomes]
    problems = [f"{one.name}: {text}" for one in outcomes for text in one.problems]
    return {
        "schema": SCHEMA,
        "name": name,
        "seed": seed,
        "valid": not problems and interrupted is None and injected(rounds) >= asked,
        "problems": problems,
        "interrupted": interrupted,
        "faults": {"asked": asked, "injected": injected(rounds), "by_kind": _by_kind(rounds)},
        "transfers": _transfers(outcomes),
        "bytes": _bytes(rounds, outcomes),
        "repairs": _repairs(rounds),
        "flow_again": _flow_again(rounds),
        "refused_control_messages": dict(sum((one.refused for one in rounds), Counter[str]())),
        "rounds": [_round(one) for one in rounds],
        "environment": dict(environment),
    }


def _by_kind(rounds: Sequence[RoundRecord]) -> list[dict[str, Any]]:
    counts = Counter(
        (one.labels[event.index], event.target)
        for one in rounds
        for event in one.faults
        if event.struck
    )
    return [{"kind": k, "target": t, "n": n} for (k, t), n in sorted(counts.items())]


def _transfers(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    failed = [one for one in outcomes if not one.complete]
    return {
        "n": len(outcomes),
        "from_pipes": sum(one.source is Source.PIPE for one in outcomes),
        "complete": len(outcomes) - len(failed),
        "failed_pipe_lost_with_sender": sum(one.lost_its_pipe for one in failed),
        "failed_otherwise": [f"{one.name}: {one.error}" for one in failed if not one.lost_its_pipe],
        "wrong": sum(one.written_bytes != one.right_bytes for one in outcomes),
        "sender_restarted_and_resumed": sum(one.complete and one.lives > 1 for one in outcomes),
    }


def _bytes(rounds: Sequence[RoundRecord], outcomes: Sequence[Outcome]) -> dict[str, int]:
    return {
        "given": sum(one.size_bytes for one in outcomes),
        "confirmed": sum(one.confirmed_bytes for one in outcomes),
        "confirmed_and_lost": sum(one.lost_bytes for one in outcomes),
        "duplicate": sum(one.duplicate_bytes for one in rounds),
        "replayed": sum(one.replayed_bytes for one in rounds),
        "resumptions": sum(one.resumptions for one in rounds),
    }


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -(-round(len(ordered) * share * 1e6) // 1_000_000) - 1)]


def _repairs(rounds: Sequence[RoundRecord]) -> list[dict[str, Any]]:
    events = [event for one in rounds for event in one.repairs]
    found = []
    for kind in sorted({event.fault for event in events}):
        same = [event for event in events if event.fault == kind]
        detect = [event.time_to_detect_ns / 1e9 for event in same]
        repair = [event.time_to_repair_ns / 1e9 for event in same]
        found.append(
            {
                "incident": kind,
                "n": len(same),
                "repaired": sum(event.repaired for event in same),
                "detect_s": {"p50": percentile(detect, 0.5), "p99": percentile(detect, 0.99)},
                "repair_s": {"p50": percentile(repair, 0.5), "p99": percentile(repair, 0.99)},
            }
        )
    return found


def _flow_again(rounds: Sequence[RoundRecord]) -> list[dict[str, Any]]:
    """By kind of fault: how long after it data came to the receiver's disk again."""
    by_kind: dict[str, list[float]] = {}
    for one in rounds:
        for index, again_ns in one.flow_again_ns.items():
            by_kind.setdefault(one.labels[index], []).append(again_ns / 1e9)
    return [
        {
            "kind": kind,
            "n": len(found),
            "p50_s": percentile(found, 0.5),
            "p99_s": percentile(found, 0.99),
        }
        for kind, found in sorted(by_kind.items())
    ]


def _round(one: RoundRecord) -> dict[str, Any]:
    return {
        "seconds": one.seconds,
        "faults": [
            {**dataclasses.asdict(event), "flow_again_ns": one.flow_again_ns.get(event.index)}
            for event in one.faults
        ],
        "repairs": [dataclasses.asdict(event) for event in one.repairs],
        "transfers": [
            {**dataclasses.asdict(outcome), "lost_bytes": outcome.lost_bytes}
            for outcome in one.outcomes
        ],
    }
