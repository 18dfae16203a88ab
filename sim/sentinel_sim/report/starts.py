"""Which runs began with what an earlier flow had found, in words (pure)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any


def start_notes(result: Mapping[str, Any]) -> list[str]:
    """A line for each point whose valid runs did not all start alike.

    The first flow over a path starts cold, later ones remember it (RFC 9959): a mean over both
    is the mean of neither.
    """
    points: dict[tuple[str, float | None, str], Counter[str]] = {}
    for run in result["runs"]:
        if run["valid"] and run.get("starts"):
            point = (run["arm"], run["distance_km"], json.dumps(run["params"], sort_keys=True))
            kinds = points.setdefault(point, Counter())
            kinds["+".join(run["starts"])] += 1
    return [
        f"start: {arm}{_where(distance_km)}: "
        + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        + "; start-up and completion are means over both, see `starts` in result.json"
        for (arm, distance_km, _), kinds in points.items()
        if len(kinds) > 1
    ]


def _where(distance_km: float | None) -> str:
    return "" if distance_km is None else f" at {distance_km:,.0f} km"
