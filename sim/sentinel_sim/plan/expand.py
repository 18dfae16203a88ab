"""Expand a topology into the runs it asks for. Pure: same topology and flags, same plan."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from sentinel_sim.errors import TopologyError
from sentinel_sim.plan.faults import faults_of
from sentinel_sim.plan.flows import flows_of
from sentinel_sim.plan.model import Arm, Custody, ParamValue, RunSpec, WorkloadKind
from sentinel_sim.plan.plan import Combination, Plan, Repeats, run_key
from sentinel_sim.plan.resolve import Network, network_of
from sentinel_sim.plan.seeds import derive, stream
from sentinel_sim.topology import sweep as sweeping
from sentinel_sim.topology.expression import Call, Expression, amount_bytes, parse_duration
from sentinel_sim.topology.graph import problems as graph_problems
from sentinel_sim.topology.graph import routes
from sentinel_sim.topology.messages import problems_of
from sentinel_sim.topology.model import BulkWorkload, Topology, TransferWorkload, read_arm
from sentinel_sim.topology.units import UnitError, format_size, parse_distance_km

MAX_RUNS = 5_000
QUICK_VALUES = 3
QUICK_DURATION = "max(2 s, 20 rtt)"

Sweep = dict[str, tuple[ParamValue, ...]]


def expand(
    topology: Topology,
    *,
    arms: Sequence[str] | None = None,
    distances_km: Sequence[float] | None = None,
    repeats: int | None = None,
    quick: bool = False,
    seed: int | None = None,
) -> Plan:
    """Every run of the experiment, with the flags of the command line applied.

    `quick` keeps the first, middle and last value of each swept key, runs once, and shortens
    bulk runs to at most `max(2 s, 20 rtt)`: three arms over 100 to 20,000 km in under a minute
    of traffic. Raises TopologyError if the flags or the combined sweep make no sense.
    """
    experiment = topology.experiment
    chosen = _arms(arms) if arms is not None else experiment.arms
    sweep = _sweep(topology, distances_km)
    rule = _repeats(topology, 1 if quick and repeats is None else repeats)
    notes = []
    document = sweeping.base_document(topology)
    if quick:
        notes = _make_quick(topology, document, sweep)
    base_seed = experiment.seed if seed is None else _checked_seed(seed)
    drafts = list(_drafts(topology, document, sweep, quick=quick))
    _check_count(topology, len(chosen) * len(drafts) * rule.at_most)
    combinations = tuple(draft.combination for draft in drafts)
    by_repeat = tuple(_repeat_runs(drafts, chosen, base_seed, k) for k in range(rule.at_most))
    plan = Plan(topology, chosen, combinations, rule, base_seed, quick, tuple(notes), by_repeat)
    if not quick:
        return plan
    notes.append(f"quick: {plan.traffic_ns / 1e9:.0f} s of traffic, too short for claims")
    return Plan(topology, chosen, combinations, rule, base_seed, quick, tuple(notes), by_repeat)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A combination with what its runs share."""

    combination: Combination
    network: Network
    size: Expression | None


def _arms(names: Sequence[str]) -> tuple[Arm, ...]:
    try:
        arms = tuple(dict.fromkeys(read_arm(name) for name in names))
    except UnitError as error:
        raise TopologyError(f"--arms: {error}") from error
    if not arms:
        raise TopologyError("--arms: names no arm, got an empty list; arms: direct, tuned, split")
    return arms


def _checked_seed(seed: int) -> int:
    if not 0 <= seed <= 2**62:
        raise TopologyError(f"--seed: must lie between 0 and 2^62, got {seed}")
    return seed


def _repeats(topology: Topology, override: int | None) -> Repeats:
    repeat = topology.experiment.repeat
    if override is None:
        return Repeats(repeat.min, repeat.max or repeat.min, repeat.until)
    if not 1 <= override <= 1000:
        raise TopologyError(f"--repeat: must lie between 1 and 1000, got {override}")
    return Repeats(override, override, repeat.until)


def _sweep(topology: Topology, distances_km: Sequence[float] | None) -> Sweep:
    sweep = dict(topology.experiment.sweep)
    distances = sweep.pop(sweeping.DISTANCE, ())
    if distances_km is not None:
        if all(link.delay_one_way_ns is not None for link in topology.links):
            raise TopologyError(
                f"--distances: {topology.source} gives its links as delays, got no length to "
                "scale; give distance_km or locations"
            )
        distances = tuple(distances_km)
        if not distances:
            raise TopologyError("--distances: names no distance, got an empty list")
    try:
        kilometres = tuple(dict.fromkeys(parse_distance_km(value) for value in distances))
    except UnitError as error:
        raise TopologyError(f"--distances: {error}") from error
    return {sweeping.DISTANCE: kilometres, **sweep} if kilometres else sweep


def _make_quick(topology: Topology, document: dict[str, Any], sweep: Sweep) -> list[str]:
    notes = ["quick: one repeat"]
    for key, values in sweep.items():
        kept = _thin(values)
        if kept != values:
            sweep[key] = kept
            notes.append(f"quick: {len(kept)} of {len(values)} values of {key}")
    workload = topology.experiment.workload
    if isinstance(workload, BulkWorkload):
        short = Call("min", (workload.duration, parse_duration(QUICK_DURATION)))
        document["experiment"]["workload"]["duration"] = str(short)
        notes.append(f"quick: bulk runs last at most {QUICK_DURATION}")
    return notes


def _thin(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """First, middle and last; all if there are no more."""
    if len(values) <= QUICK_VALUES:
        return values
    return values[0], values[len(values) // 2], values[-1]


def _check_count(topology: Topology, count: int) -> None:
    if count > MAX_RUNS:
        raise TopologyError(
            f"{topology.locate('experiment', 'sweep')}: asks for {count} runs, at most {MAX_RUNS} "
            "can be planned; sweep fewer values or repeat less"
        )


def _drafts(
    topology: Topology, document: dict[str, Any], sweep: Sweep, *, quick: bool
) -> Iterator[_Draft]:
    workload = topology.experiment.workload
    sizes: tuple[Expression | None, ...] = (None,)
    if isinstance(workload, TransferWorkload):
        sizes = _thin(workload.sizes) if quick else workload.sizes
    combined = 1
    for values in (sizes, *sweep.values()):
        combined *= len(values)
    _check_count(topology, combined)
    slugs: set[str] = set()
    index = 0
    for values in itertools.product(*sweep.values()):
        settings = dict(zip(sweep, values, strict=True))
        derived = _derive(topology, document, settings)
        network = network_of(derived)
        for size in sizes:
            draft = _draft(derived, network, settings, size, index)
            if draft.combination.slug in slugs:
                raise TopologyError(
                    f"{topology.locate('experiment', 'sweep')}: two combinations are the same, "
                    f"got {draft.combination.slug!r} twice; remove one value"
                )
            slugs.add(draft.combination.slug)
            yield draft
            index += 1


def _derive(
    topology: Topology, document: dict[str, Any], settings: dict[str, ParamValue]
) -> Topology:
    """The topology with one value for each swept key; refuses values that only clash together."""
    others = {key: value for key, value in settings.items() if key != sweeping.DISTANCE}
    try:
        derived = sweeping.apply(topology, document, others)
        if sweeping.DISTANCE in settings:
            lengths = _scaled_lengths(derived, parse_distance_km(settings[sweeping.DISTANCE]))
            derived = sweeping.apply(derived, derived.to_document(), lengths)
        found = [problem.text for problem in graph_problems(derived)]
    except UnitError as error:
        found = [str(error)]
    except ValidationError as error:
        found = [problem.text for problem in problems_of(error)]
    if found:
        values = ", ".join(f"{key} {_plain(value)}" for key, value in settings.items())
        place = topology.locate("experiment", "sweep")
        raise TopologyError(f"{place}: with {values}: {found[0]}")
    return derived


def _plain(value: ParamValue) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _scaled_lengths(topology: Topology, distance_km: float) -> dict[str, ParamValue]:
    """New lengths of all links, so that those of the first path sum to `distance_km`."""
    lengths = [sweeping.link_distance_km(topology, link) for link in topology.links]
    first_path = routes(topology)[0]
    total_km = sum(lengths[index] or 0.0 for index in first_path.links)
    if total_km == 0.0:
        raise UnitError(
            f"the first path ({' - '.join(first_path.nodes)}) has no length to scale, got delays "
            "only; sweep delay_one_way instead"
        )
    return {
        f"links.{index}.distance_km": length * distance_km / total_km
        for index, length in enumerate(lengths)
        if length is not None
    }


def _draft(
    topology: Topology,
    network: Network,
    settings: dict[str, ParamValue],
    size: Expression | None,
    index: int,
) -> _Draft:
    params = {
        key: sweeping.normalise(key, value)
        for key, value in settings.items()
        if key != sweeping.DISTANCE
    }
    slug = [f"{key}{_plain(value)}" for key, value in params.items()]
    distance_km = _path_distance_km(network)
    if sweeping.DISTANCE in settings:
        distance_km = parse_distance_km(settings[sweeping.DISTANCE])
        slug.insert(0, f"{distance_km:.10g}km")
    params["congestion_control"] = topology.experiment.congestion_control
    if size is not None:
        size_bytes = amount_bytes(
            size, bdp_bytes=network.paths[0].bdp_bytes, packet_bytes=network.packet_bytes
        )
        params["size_bytes"] = size_bytes
        slug.append(format_size(size_bytes))
    text = "_".join(re.sub(r"[^A-Za-z0-9.+_-]", "", part) for part in slug)
    return _Draft(Combination(index, distance_km, params, text, topology), network, size)


def _path_distance_km(network: Network) -> float | None:
    """Sum of the lengths of the first path, to the metre; None if a link gives a delay."""
    lengths = [link.distance_km for link in network.links if link.name in network.paths[0].links]
    known = [length for length in lengths if length is not None]
    return round(sum(known), 3) if len(known) == len(lengths) else None


def _repeat_runs(
    drafts: Sequence[_Draft], arms: Sequence[Arm], seed: int, repeat: int
) -> tuple[RunSpec, ...]:
    runs = [_run(draft, arm, seed, repeat) for draft in drafts for arm in arms]
    stream(seed, "order", repeat).shuffle(runs)
    return tuple(runs)


def _run(draft: _Draft, arm: Arm, seed: int, repeat: int) -> RunSpec:
    combination, network = draft.combination, draft.network
    topology = combination.topology
    experiment = topology.experiment
    key = run_key(arm, combination, repeat)
    window = experiment.window
    first = network.paths[0]
    return RunSpec(
        key=key,
        arm=arm,
        distance_km=combination.distance_km,
        params=dict(combination.params),
        repeat=repeat,
        seed=derive(seed, "run", key),
        congestion_control=experiment.congestion_control,
        window_bytes=None
        if window is None
        else amount_bytes(window, bdp_bytes=first.bdp_bytes, packet_bytes=network.packet_bytes),
        workload=WorkloadKind(experiment.workload.kind),
        flows=flows_of(
            experiment.workload,
            network.paths,
            packet_bytes=network.packet_bytes,
            size=draft.size,
            # The same for all arms, which are then compared on the same arrivals.
            arrival_seed=derive(seed, "flows", combination.slug, repeat),
        ),
        paths=network.paths,
        links=network.links,
        roles={name: node.role for name, node in topology.nodes.items()},
        control_band=experiment.control_band,
        xdp=experiment.xdp,
        fsu_outer=experiment.fsu_outer,
        managed=experiment.managed,
        faults=faults_of(experiment.faults, network, arm),
        repair=experiment.repair,
        custody=experiment.custody if arm.splits else Custody.NONE,
        burstiness=experiment.burstiness,
    )


__all__ = ["Combination", "Plan", "Repeats", "expand", "run_key"]
