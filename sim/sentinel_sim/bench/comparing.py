"""Two results side by side: ratios with intervals, or the reason why they are unlike (pure)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sentinel_sim.bench.estimates import Figure, ratio, unpaired_ratio
from sentinel_sim.bench.lanes import USER_LANES, Lane
from sentinel_sim.bench.summary import Trials, paired, select
from sentinel_sim.errors import ResultError
from sentinel_sim.experiment.records import Record, group_of
from sentinel_sim.experiment.results import unlike

Result = Mapping[str, Any]

HOST_KEYS = ("kernel", "machine", "cpu", "cpu_count", "cpus", "versions", "commit")
SETTING_KEYS = ("quick", "equal_pps", "search_trial_s", "resolution", "trial_s", "seed")
RUN_KEYS = (
    "kernel",
    "machine",
    "cpu_count",
    "wire_backend",
    "engine",
    "offloads",
    "commit",
    "topology_sha256",
    "bpf_stats",
)
BASE = Lane.XDP_NATIVE
TRIAL_FIGURES = {
    "latency p50, ns": "delay_p50_ns",
    "latency p99, ns": "delay_p99_ns",
    "CPU, share of one": "cpu_share",
    "CPU ns/packet": "cpu_ns_per_packet",
    "voluntary switches/s": "voluntary_per_s",
}
RUN_FIGURES = ("goodput_bps", "steady_goodput_bps")


@dataclass(frozen=True, slots=True)
class Ratio:
    """One figure of both sides and their ratio (second over first)."""

    what: str
    where: str
    first: float | None
    second: float | None
    ratio: float | None
    ci95: tuple[float, float] | None
    pairs: int
    method: str
    """`paired` within one run or by equal repeat; `unpaired` between separate runs."""

    def as_json(self) -> dict[str, object]:
        """For machines."""
        return asdict(self)


def differences(
    one: Result, other: Result, keys: Sequence[str], allowed: Sequence[str]
) -> list[str]:
    """In what the environments differ, but for what was allowed."""
    asked = [key for key in keys if key not in allowed]
    return unlike(one["environment"], other["environment"], asked)


def refuse_unlike(found: Sequence[str]) -> None:
    """Raise ResultError naming every difference and the flag that allows it."""
    if found:
        key = found[0].split(" ", 1)[0]
        raise ResultError(
            "the results are unlike and are not compared: " + "; ".join(found),
            cure=f"measure both on the same host and version, or allow it: --allow {key}",
        )


def bench_unlike(one: Result, other: Result, allowed: Sequence[str]) -> list[str]:
    """As `differences`, and the settings that decide what was measured."""
    found = differences(one, other, HOST_KEYS, allowed)
    asked = [key for key in SETTING_KEYS if key not in allowed]
    return found + unlike(one["settings"], other["settings"], asked)


def lanes_within(result: Result) -> list[Ratio]:
    """User space against native XDP, within one run: pair by pair."""
    lanes = [Lane(name) for name in result["settings"]["lanes"]]
    users = [lane for lane in lanes if lane in USER_LANES]
    if BASE not in lanes or not users:
        raise ResultError(
            f"this result has no user-space lane beside {BASE}: it has {', '.join(lanes)}",
            cure="run `sentinel-sim bench --mode all`, or give two results",
        )
    found = []
    for user in users:
        for flows in result["settings"]["flows"]:
            found += _pair(result, result, str(user), str(BASE), flows, same=True)
    return found


def lanes_between(one: Result, other: Result) -> list[Ratio]:
    """Equal lanes of two runs; where they share none, user space against native XDP."""
    names = [set(result["settings"]["lanes"]) for result in (one, other)]
    common = [str(lane) for lane in Lane if lane in names[0] & names[1]]
    couples = [(name, name) for name in common] or _across(names)
    flows = [n for n in one["settings"]["flows"] if n in other["settings"]["flows"]]
    return [
        ratio_
        for first, second in couples
        for count in flows
        for ratio_ in _pair(one, other, first, second, count, same=False)
    ]


def _across(names: Sequence[set[str]]) -> list[tuple[str, str]]:
    """Couples (lane of the first, lane of the second) with native XDP on one side."""
    users = [str(lane) for lane in USER_LANES]
    if str(BASE) in names[1]:
        return [(user, str(BASE)) for user in users if user in names[0]]
    return [(str(BASE), user) for user in users if user in names[1]]


def _pair(
    one: Result, other: Result, first: str, second: str, flows: int, *, same: bool
) -> list[Ratio]:
    where = f"{first} -> {second}" if first != second else first
    where += f", {flows:,} flows" if flows != 1 else ", 1 flow"
    sides: list[tuple[str, list[float], list[float]]] = []
    trials = [select(one["trials"], first, flows), select(other["trials"], second, flows)]
    for what, key in TRIAL_FIGURES.items():
        if same:
            first_values, second_values = paired(trials[0], trials[1], key)
            sides.append((what, first_values, second_values))
        else:
            one_side, other_side = (_all(side.values(), key) for side in trials)
            sides.append((what, one_side, other_side))
    rates = _rates(one, first, flows), _rates(other, second, flows)
    sides.append(("packets/s, no loss", rates[0], rates[1]))
    costs = _costs(one, first, flows), _costs(other, second, flows)
    sides.append(("work ns, hot", costs[0], costs[1]))
    return [_ratio(what, where, a, b, same=same) for what, a, b in sides if a and b]


def _all(trials: Any, key: str) -> list[float]:  # noqa: ANN401  the values of a dict
    return [float(trial[key]) for trial in trials]


def _rates(result: Result, variant: str, flows: int) -> list[float]:
    mine: Trials = result["throughput"]
    return [float(one["pps"]) for one in mine if (one["variant"], one["flows"]) == (variant, flows)]


def _costs(result: Result, lane: str, flows: int) -> list[float]:
    for one in result["costs"]:
        if (one["lane"], one["flows"], one["state"]) == (lane, flows, "hot"):
            pairs = zip(one["full_ns"], one["empty_ns"], strict=True)
            return [full - empty for full, empty in pairs]
    return []


def _ratio(
    what: str, where: str, first: Sequence[float], second: Sequence[float], *, same: bool
) -> Ratio:
    pairable = same and len(first) == len(second)
    make: Callable[[Sequence[float], Sequence[float]], Figure | None]
    make = ratio if pairable else unpaired_ratio
    found = make(second, first)
    return Ratio(
        what=what,
        where=where,
        first=sum(first) / len(first),
        second=sum(second) / len(second),
        ratio=None if found is None else found.mean,
        ci95=None if found is None else found.ci95,
        pairs=min(len(first), len(second)),
        method="paired" if pairable else "unpaired",
    )


def runs_between(one: Result, other: Result) -> list[Ratio]:
    """Goodput of two results of `run`, by arm, distance and parameters.

    Valid runs only, paired by repeat: repeat n of both has the same plan and position. Groups that
    only one side has are left out. Raises ResultError if they share none.
    """
    sides = [_groups(result["runs"]) for result in (one, other)]
    found = []
    for group in sides[0]:
        if group not in sides[1]:
            continue
        first, second = sides[0][group], sides[1][group]
        repeats = sorted(first.keys() & second.keys())
        for key in RUN_FIGURES:
            values = [
                (first[n][key], second[n][key])
                for n in repeats
                if first[n][key] is not None and second[n][key] is not None
            ]
            if values:
                found.append(_run_ratio(key, first[repeats[0]], values))
    if not found:
        raise ResultError("the results have no valid run of equal arm, distance and parameters")
    return found


def _groups(runs: Sequence[Record]) -> dict[tuple[str, float | None, str], dict[int, Record]]:
    groups: dict[tuple[str, float | None, str], dict[int, Record]] = {}
    for run in runs:
        if run["valid"]:
            groups.setdefault(group_of(run), {})[run["repeat"]] = run
    return groups


def _run_ratio(key: str, run: Record, values: Sequence[tuple[float, float]]) -> Ratio:
    distance = "" if run["distance_km"] is None else f" at {run['distance_km']:,.6g} km"
    params = "".join(f", {name} {value}" for name, value in run["params"].items())
    first, second = ([pair[side] for pair in values] for side in (0, 1))
    return _ratio(key, f"{run['arm']}{distance}{params}", first, second, same=True)
