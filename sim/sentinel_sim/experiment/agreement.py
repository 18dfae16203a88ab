"""How far a simulated experiment agrees with the emulated one of the same file (pure).

Compared by (arm, distance, parameters): the ratio of the median goodputs, simulated over emulated,
and how far the curves of delivered bytes over time lie apart. The limits are the project's own:
5 % where nothing is lost on purpose; with loss 20 %, or overlapping 95 % intervals. Nothing in the
simulator depends on the outcome: a disagreement is reported, never tuned away.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sentinel_sim.backends.base import RunMeasurement
from sentinel_sim.bench.estimates import unpaired_ratio
from sentinel_sim.experiment.records import Record, group_of
from sentinel_sim.experiment.series import values_at
from sentinel_sim.plan.model import FaultKind
from sentinel_sim.plan.stats import ci95, mean

LOSSLESS_SHARE = 0.05
LOSSY_SHARE = 0.20
LOSING_FAULTS = (FaultKind.LOSS, FaultKind.PARTITION)
GRID_POINTS = 400
RULE = (
    f"ratio of median goodputs, simulated / emulated, within {LOSSLESS_SHARE:.0%} where nothing is"
    f" lost on purpose; with loss within {LOSSY_SHARE:.0%}, or 95 % intervals that overlap"
)

Curve = npt.NDArray[np.float64]
Group = tuple[str, float | None, str]


@dataclass(frozen=True, slots=True)
class SeriesDistance:
    """Delivered bytes over time, apart by so much; shares of what the emulated runs delivered."""

    mean_share: float
    """Mean over time of the absolute difference of the two mean curves."""
    max_share: float
    own_spread_share: float | None
    """The same (mean over time) among the emulated runs, mean over their pairs: what repeats
    of one experiment differ by; None with fewer than two."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One (arm, distance, parameters)."""

    arm: str
    distance_km: float | None
    params: dict[str, Any]
    n_emulated: int
    n_simulated: int
    loss: float
    """Asked for, of the whole path."""
    goodput_ratio: float | None
    """Of medians, simulated / emulated."""
    goodput_ratio_ci95: tuple[float, float] | None
    """Welch's interval of the ratio of geometric means; None with one run on either side."""
    steady_ratio: float | None
    intervals_overlap: bool | None
    """Of the two means' 95 % intervals; None where a side has none."""
    limit_share: float
    agrees: bool | None
    """None: a side has no valid run."""
    delivered: SeriesDistance | None


def compare(
    emulated: Sequence[Record],
    simulated: Sequence[Record],
    measured: Mapping[str, RunMeasurement],
    virtual: Mapping[str, RunMeasurement],
) -> list[Compared]:
    """Every group that both sides have, in the order of the emulated one.

    `measured` and `virtual` hold the raw measurements of the valid runs by run key.
    """
    there, here = _groups(simulated), _groups(emulated)
    return [
        _compared(here[group], there[group], measured, virtual) for group in here if group in there
    ]


def only_on_one_side(emulated: Sequence[Record], simulated: Sequence[Record]) -> dict[str, Any]:
    """The arms that only one side has."""
    sides = [list(dict.fromkeys(run["arm"] for run in runs)) for runs in (emulated, simulated)]
    return {
        "only_emulated": [arm for arm in sides[0] if arm not in sides[1]],
        "only_simulated": [arm for arm in sides[1] if arm not in sides[0]],
    }


def as_json(found: Sequence[Compared], missing: Mapping[str, Any]) -> dict[str, Any]:
    """What `result.json` says under `agreement`."""
    verdicts = [one.agrees for one in found]
    return {
        "rule": RULE,
        "agrees": None if not found or None in verdicts else all(verdicts),
        "disagreeing": verdicts.count(False),
        "undecided": verdicts.count(None),
        **missing,
        "groups": [asdict(one) for one in found],
    }


def _groups(runs: Iterable[Record]) -> dict[Group, list[Record]]:
    groups: dict[Group, list[Record]] = {}
    for run in runs:
        groups.setdefault(group_of(run), []).append(run)
    return groups


def _compared(
    emulated: Sequence[Record],
    simulated: Sequence[Record],
    measured: Mapping[str, RunMeasurement],
    virtual: Mapping[str, RunMeasurement],
) -> Compared:
    first = emulated[0]
    loss = float(first["requested"]["loss"])
    lossy = loss > 0 or any(fault["kind"] in LOSING_FAULTS for fault in first["faults"])
    limit = LOSSY_SHARE if lossy else LOSSLESS_SHARE
    here, there = _values(emulated, "goodput_bps"), _values(simulated, "goodput_bps")
    ratio = _ratio_of_medians(there, here)
    welch = unpaired_ratio(there, here)
    overlap = _overlap(here, there)
    agrees = None if ratio is None else abs(ratio - 1) <= limit or bool(lossy and overlap)
    return Compared(
        arm=first["arm"],
        distance_km=first["distance_km"],
        params=dict(first["params"]),
        n_emulated=len(here),
        n_simulated=len(there),
        loss=loss,
        goodput_ratio=ratio,
        goodput_ratio_ci95=None if welch is None else welch.ci95,
        steady_ratio=_ratio_of_medians(
            _values(simulated, "steady_goodput_bps"), _values(emulated, "steady_goodput_bps")
        ),
        intervals_overlap=overlap,
        limit_share=limit,
        agrees=agrees,
        delivered=_distance(_valid(emulated, measured), _valid(simulated, virtual)),
    )


def _values(runs: Sequence[Record], key: str) -> list[float]:
    return [float(run[key]) for run in runs if run["valid"] and run[key] is not None]


def _valid(
    runs: Sequence[Record], measurements: Mapping[str, RunMeasurement]
) -> list[RunMeasurement]:
    return [measurements[run["key"]] for run in runs if run["valid"] and run["key"] in measurements]


def _ratio_of_medians(one: Sequence[float], other: Sequence[float]) -> float | None:
    if not one or not other or statistics.median(other) == 0:
        return None
    return statistics.median(one) / statistics.median(other)


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool | None:
    if len(one) < 2 or len(other) < 2:
        return None
    (low, high), (other_low, other_high) = ci95(one) or (0, 0), ci95(other) or (0, 0)
    return low <= other_high and other_low <= high


def _distance(
    emulated: Sequence[RunMeasurement], simulated: Sequence[RunMeasurement]
) -> SeriesDistance | None:
    """Both sides on one time axis from the start of the traffic to the end of the longest run."""
    if not emulated or not simulated:
        return None
    longest = max(one.traffic_end_ns - one.traffic_start_ns for one in (*emulated, *simulated))
    grid = np.linspace(0, max(longest, 1), GRID_POINTS).astype(np.int64)
    here = [_delivered(one, grid) for one in emulated]
    there = [_delivered(one, grid) for one in simulated]
    total = mean([float(curve[-1]) for curve in here])
    if total == 0:
        return None
    gap = np.abs(np.mean(there, axis=0) - np.mean(here, axis=0)) / total
    pairs = [float(np.mean(np.abs(a - b))) / total for a, b in itertools.combinations(here, 2)]
    return SeriesDistance(
        mean_share=float(np.mean(gap)),
        max_share=float(np.max(gap)),
        own_spread_share=mean(pairs) if pairs else None,
    )


def _delivered(run: RunMeasurement, grid: npt.NDArray[np.int64]) -> Curve:
    """Payload bytes that had been delivered, of all flows together."""
    instants = grid + run.traffic_start_ns
    total = np.zeros(grid.size, dtype=np.float64)
    for flow in run.flows:
        total += values_at(flow.delivered, instants)
    return total
