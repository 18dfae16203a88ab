"""From raw trials to one row of figures for each lane and number of flows (pure).

Works on the JSON form of a result, so that `compare` computes from a file what `bench` computed.
Only sound trials count (nothing lost, everything observed, the generator on time); a row says how
many were left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sentinel_sim.bench.estimates import Figure, difference, figure
from sentinel_sim.bench.lanes import COPIES, FORWARD, Lane

Trials = Sequence[Mapping[str, Any]]
Row = dict[str, Any]
Place = tuple[int, int]
"""(block, half): trials of equal place were made one after the other."""

DELAYS = {"p50": "delay_p50_ns", "p99": "delay_p99_ns"}
PER_TRIAL = (
    "cpu_share",
    "cpu_ns_per_packet",
    "voluntary_per_s",
    "involuntary_per_s",
)


def rows_of(result: Mapping[str, Any]) -> list[Row]:
    """One row for each lane and number of flows that was measured."""
    lanes = [Lane(name) for name in result["settings"]["lanes"]]
    return [_row(result, lane, flows) for lane in lanes for flows in result["settings"]["flows"]]


def select(
    trials: Trials, variant: str, flows: int, placement: str = "thread"
) -> dict[Place, Mapping[str, Any]]:
    """The sound trials of one variant, by place."""
    return {
        (trial["block"], trial["half"]): trial
        for trial in trials
        if trial["sound"]
        and (trial["variant"], trial["flows"], trial["placement"]) == (variant, flows, placement)
    }


def paired(
    one: Mapping[Place, Mapping[str, Any]], other: Mapping[Place, Mapping[str, Any]], key: str
) -> tuple[list[float], list[float]]:
    """The values of `key` at the places that both have."""
    places = sorted(one.keys() & other.keys())
    return [float(one[at][key]) for at in places], [float(other[at][key]) for at in places]


def _row(result: Mapping[str, Any], lane: Lane, flows: int) -> Row:
    trials = result["trials"]
    full = select(trials, str(lane), flows)
    empty = select(trials, f"{lane}/empty", flows)
    forward = select(trials, FORWARD.name, flows)
    made = [t for t in trials if t["variant"] == str(lane) and t["flows"] == flows]
    return {
        "lane": str(lane),
        "flows": flows,
        "trials": len(made),
        "trials_left_out": sum(not trial["sound"] for trial in made),
        "delay_ns": _by_quantile(lambda key: figure(_values(full, key))),
        "added_ns": _by_quantile(lambda key: difference(*paired(full, forward, key))),
        "over_empty_ns": _by_quantile(lambda key: difference(*paired(full, empty, key))),
        **{key: _json(figure(_values(full, key))) for key in PER_TRIAL},
        "cpu_over_empty_ns": _json(difference(*paired(full, empty, "cpu_ns_per_packet"))),
        "softirq_switches_per_s": _json(_softirq(trials, lane, flows)),
        **_throughput(result["throughput"], lane, flows),
        **_costs(result["costs"], lane, flows),
        "in_place_ns": _in_place(result["flow_checks"], lane, flows),
        "copies": COPIES[lane].count,
        "copies_how": COPIES[lane].how,
    }


def _values(trials: Mapping[Place, Mapping[str, Any]], key: str) -> list[float]:
    return [float(trial[key]) for _, trial in sorted(trials.items())]


def _json(found: Figure | None) -> dict[str, object] | None:
    return None if found is None else found.as_json()


def _by_quantile(make: Callable[[str], Figure | None]) -> dict[str, Any]:
    return {name: _json(make(key)) for name, key in DELAYS.items()}


def _softirq(trials: Trials, lane: Lane, flows: int) -> Figure | None:
    """What the lane adds to the host's context switches where no thread polls for it."""
    full = select(trials, str(lane), flows, "softirq")
    forward = select(trials, FORWARD.name, flows, "softirq")
    return difference(*paired(full, forward, "host_switches_per_s"))


def _throughput(found: Iterable[Mapping[str, Any]], lane: Lane, flows: int) -> Row:
    mine = [one for one in found if (one["variant"], one["flows"]) == (str(lane), flows)]
    bounds = sorted({one["bound_by"] for one in mine})
    return {"pps": _json(figure([one["pps"] for one in mine])), "pps_bound_by": bounds}


def _costs(found: Iterable[Mapping[str, Any]], lane: Lane, flows: int) -> Row:
    by_state = {
        one["state"]: one["net_ns"]
        for one in found
        if (one["lane"], one["flows"]) == (str(lane), flows)
    }
    return {"program_ns": by_state.get("hot"), "cold_program_ns": by_state.get("cold")}


def _in_place(checks: Iterable[Mapping[str, Any]], lane: Lane, flows: int) -> float | None:
    """The kernel's own account of the program in place, less the empty one's."""
    by_variant = {one["variant"]: one["program_ns"] for one in checks if one["flows"] == flows}
    full, empty = by_variant.get(str(lane)), by_variant.get(f"{lane}/empty")
    return None if full is None or empty is None else float(full - empty)


def row_of(rows: Iterable[Row], lane: Lane, flows: int) -> Row | None:
    """The row of one lane; None where it was not measured."""
    return next((r for r in rows if (r["lane"], r["flows"]) == (str(lane), flows)), None)
