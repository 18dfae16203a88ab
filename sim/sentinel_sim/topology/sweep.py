"""Which keys a sweep may vary, and setting them. Pure.

A swept key is one of

- `distance_km`: the sum of the link lengths of the first path, before `route_factor`; the
  links keep their shares of it,
- a link's key (`loss`, `rate`, `delay_one_way` ...): set on every link,
- a key of the experiment or its workload (`congestion_control`, `window`, `duration` ...),
- a dotted key that names one place: `links.0.loss`, `experiment.workload.duration`.

Values are put into the document and read like the file itself, so that a swept value is held
to the same rules as a written one.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from sentinel_sim.plan.model import ParamValue
from sentinel_sim.topology import model
from sentinel_sim.topology.geo import great_circle_km
from sentinel_sim.topology.messages import keys_of, problems_of
from sentinel_sim.topology.model import Link, Topology
from sentinel_sim.topology.problems import KeyPath, Problem
from sentinel_sim.topology.structure import LENGTH_KEYS
from sentinel_sim.topology.units import (
    UnitError,
    closest,
    parse_distance_km,
    parse_loss,
    shorten,
)

DISTANCE = "distance_km"
LINK_KEYS = tuple(key for key in keys_of(model.LinkDefaults) if key != DISTANCE)
EXPERIMENT_KEYS = (
    "congestion_control",
    "window",
    "control_band",
    "xdp",
    "fsu_outer",
    "managed",
    "custody",
    "repair",
)
_WORKLOADS: Mapping[str, type[Any]] = {
    "bulk": model.BulkWorkload,
    "transfer": model.TransferWorkload,
    "many": model.ManyWorkload,
}
_FIXED = {
    "arms": "list them under experiment.arms",
    "seed": "use experiment.repeat",
    "repeat": "it belongs to the whole experiment",
    "sweep": "a sweep cannot sweep itself",
    "burstiness": "it says what is measured, not what is done",
    "faults": "every fault happens in every run; `arms` chooses",
    "kind": "write one file per kind of workload",
    "sizes": "list them under experiment.workload.sizes: each is a run of its own",
}


def known_keys(topology: Topology) -> list[str]:
    """The short keys that can be swept in this topology."""
    return [DISTANCE, *LINK_KEYS, *EXPERIMENT_KEYS, *_workload_keys(topology)]


def _workload_keys(topology: Topology) -> list[str]:
    kind = topology.experiment.workload.kind
    return [key for key in keys_of(_WORKLOADS[kind]) if key not in _FIXED]


def link_distance_km(topology: Topology, link: Link) -> float | None:
    """The link's length before `route_factor`; None if it is given as a delay."""
    if link.delay_one_way_ns is not None:
        return None
    if link.distance_km is not None:
        return link.distance_km
    here, there = (topology.nodes[name].location for name in link.endpoints)
    if here is None or there is None:  # structure.check has refused this
        raise UnitError(f"the link {'--'.join(link.endpoints)} has no length")
    return great_circle_km(here, there)


def base_document(topology: Topology) -> dict[str, Any]:
    """The document with every length written out and the sweep removed, ready for `apply`."""
    document = topology.to_document()
    for link, data in zip(topology.links, document["links"], strict=True):
        distance_km = link_distance_km(topology, link)
        if distance_km is not None:
            data["distance_km"] = distance_km
    for node in document["nodes"].values():
        node.pop("location", None)
    document["experiment"]["sweep"] = {}
    return document


def paths_of_key(topology: Topology, key: str) -> list[KeyPath]:
    """Every place of the document that `key` sets. Raises UnitError for an unknown key."""
    last = key.rpartition(".")[2]
    if last in _FIXED:
        raise UnitError(f"this key cannot be swept, got {shorten(key)}; {_FIXED[last]}")
    if "." in key:
        return [_dotted_path(topology, key)]
    if key in LINK_KEYS:
        return [("links", index, key) for index in range(len(topology.links))]
    if key in EXPERIMENT_KEYS:
        return [("experiment", key)]
    if key in _workload_keys(topology):
        return [("experiment", "workload", key)]
    known = known_keys(topology)
    near = closest(key, known)
    hint = f"did you mean '{near}'? " if near else ""
    raise UnitError(
        f"unknown key, got {shorten(key)}; {hint}keys to sweep: {', '.join(known)}, "
        "or a dotted key such as links.0.loss"
    )


def _dotted_path(topology: Topology, key: str) -> KeyPath:
    words = key.split(".")
    if words[0] == "links" and len(words) == 3 and re.fullmatch(r"[0-9]+", words[1], re.ASCII):
        index = int(words[1][:6])
        if index >= len(topology.links):
            raise UnitError(
                f"there is no such link, got {shorten(key)}; "
                f"links are numbered 0 to {len(topology.links) - 1}"
            )
        return ("links", index, words[2])
    if words[0] == "experiment" and (len(words) == 2 or words[1:-1] == ["workload"]):
        return tuple(words)
    if words[0] == "nodes" and len(words) == 3 and words[1] in topology.nodes:
        return tuple(words)
    raise UnitError(
        f"names no place in this file, got {shorten(key)}; "
        "write links.NUMBER.KEY, nodes.NAME.KEY, experiment.KEY or experiment.workload.KEY"
    )


def apply(
    topology: Topology, document: dict[str, Any], settings: Mapping[str, ParamValue]
) -> Topology:
    """`document` (from `base_document`) with these keys set, read as a topology.

    `distance_km` is not among them: it needs the paths (`plan.expand`). Raises UnitError or
    pydantic's ValidationError.
    """
    changed = copy.deepcopy(document)
    for key, value in settings.items():
        for path in paths_of_key(topology, key):
            _set(changed, path, value)
    result = Topology.model_validate(changed)
    result.attach_source(topology.source, topology.lines)
    return result


def _set(document: dict[str, Any], path: KeyPath, value: ParamValue) -> None:
    place: Any = document
    for word in path[:-1]:
        place = place[word]
    if path[-1] in LENGTH_KEYS:
        for other in LENGTH_KEYS:
            place.pop(other, None)
        if path[-1] == "delay_one_way":
            place.pop("route_factor", None)
    place[path[-1]] = value


def normalise(key: str, value: ParamValue) -> ParamValue:
    """The value as results record it: losses as probabilities, distances in km, else as written."""
    last = key.rpartition(".")[2]
    if last == "loss":
        return parse_loss(value)
    if last == DISTANCE:
        return parse_distance_km(value)
    return " ".join(value.split()) if isinstance(value, str) else value


def problems(topology: Topology) -> list[Problem]:
    """Everything wrong with the sweep of this topology, by key and value."""
    found: list[Problem] = []
    document = base_document(topology)
    for key, values in topology.experiment.sweep.items():
        here: KeyPath = ("experiment", "sweep", key)
        if key == DISTANCE and all(link.delay_one_way_ns is not None for link in topology.links):
            text = "no link has a length to scale, got delays only; sweep delay_one_way instead"
            found.append(Problem(here, text))
            continue
        try:
            if key != DISTANCE:
                paths_of_key(topology, key)
        except UnitError as error:
            found.append(Problem(here, str(error)))
            continue
        found += _value_problems(topology, document, here, values)
    return found


def _value_problems(
    topology: Topology, document: dict[str, Any], here: KeyPath, values: tuple[ParamValue, ...]
) -> list[Problem]:
    key = str(here[-1])
    found: list[Problem] = []
    seen: list[ParamValue] = []
    for index, value in enumerate(values):
        texts = _refusals(topology, document, key, value)
        if not texts:
            plain = normalise(key, value)
            if plain in seen:
                texts = [f"is listed twice, got {shorten(value)} again; remove one"]
            seen.append(plain)
        found += [Problem((*here, index), text) for text in texts]
    return found


def _refusals(
    topology: Topology, document: dict[str, Any], key: str, value: ParamValue
) -> list[str]:
    try:
        if key == DISTANCE:
            parse_distance_km(value)
        else:
            apply(topology, document, {key: value})
    except UnitError as error:
        return [str(error)]
    except ValidationError as error:
        return list(dict.fromkeys(problem.text for problem in problems_of(error)))
    return []
