"""Arms against each other: paired by distance, parameters and repeat (pure)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel_sim.bench.estimates import ratio
from sentinel_sim.evidence.view import Run, View, condition_of, number

PAIRS = (
    ("tuned", "direct"),
    ("split", "tuned"),
    ("fsu", "tuned"),
    ("fsu", "split"),
)
"""(arm, rival): a gain over untuned TCP alone is no gain."""


@dataclass(frozen=True, slots=True)
class ArmRatio:
    """Goodput of one arm over its rival's, at one point of the sweep."""

    arm: str
    rival: str
    distance_km: float | None
    condition: str
    ratio: float
    ci95: tuple[float, float] | None
    pairs: int


def arm_ratios(result: Mapping[str, Any], metric: str = "goodput_bps") -> list[ArmRatio]:
    """Geometric mean of the pairwise ratios with its 95 % interval, valid runs only.

    A pair is the same point and repeat of two arms: both lie in one randomised block, so what
    drifts slowly on the host is in both.
    """
    runs = [run for run in View(result).runs if run.get("valid") and (number(run, metric) or 0) > 0]
    points: dict[tuple[float, str], dict[str, dict[int, Run]]] = {}
    for run in runs:
        params = json.dumps(run.get("params") or {}, sort_keys=True)
        at = points.setdefault((number(run, "requested", "rtt_s") or 0.0, params), {})
        at.setdefault(str(run.get("arm")), {})[int(run.get("repeat") or 0)] = run
    names = _varying(runs)
    return [
        found
        for arm, rival in PAIRS
        for _, at in sorted(points.items())
        if (found := _ratio(arm, rival, at, metric, names)) is not None
    ]


def _varying(runs: Sequence[Run]) -> list[str]:
    params = [run.get("params") or {} for run in runs]
    names = sorted({name for one in params for name in one})
    return [name for name in names if len({json.dumps(one.get(name)) for one in params}) > 1]


def _ratio(
    arm: str, rival: str, at: Mapping[str, Mapping[int, Run]], metric: str, names: Sequence[str]
) -> ArmRatio | None:
    if arm not in at or rival not in at:
        return None
    common = sorted(at[arm].keys() & at[rival].keys())
    found = ratio(
        [number(at[arm][n], metric) or 0.0 for n in common],
        [number(at[rival][n], metric) or 0.0 for n in common],
    )
    if found is None:
        return None
    example = at[arm][common[0]]
    return ArmRatio(
        arm,
        rival,
        number(example, "distance_km"),
        condition_of(example, names),
        found.mean,
        found.ci95,
        found.n,
    )
