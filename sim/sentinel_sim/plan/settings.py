"""`--set KEY=VALUE,VALUE`: keys swept from the command line instead of in the file. Pure.

A key given here takes the place of the same key under `experiment.sweep`; the others stay. The
values are held to the same rules as written ones, by reading the changed document anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import ValidationError

from sentinel_sim.errors import TopologyError
from sentinel_sim.plan.model import ParamValue
from sentinel_sim.topology import sweep
from sentinel_sim.topology.document import scalar
from sentinel_sim.topology.messages import problems_of
from sentinel_sim.topology.model import Topology
from sentinel_sim.topology.problems import Problem
from sentinel_sim.topology.units import shorten

Settings = dict[str, tuple[ParamValue, ...]]
_CURE = "for example: --set 'loss=0 %,0.1 %' --set congestion_control=reno,cubic"
_OPEN, _CLOSE = "([{", ")]}"


def parse_settings(texts: Sequence[str]) -> Settings:
    """`key=v1,v2` once for each key; a comma in brackets belongs to its value.

    Raises TopologyError.
    """
    settings: Settings = {}
    for text in texts:
        key, separator, rest = text.partition("=")
        key = key.strip()
        values = tuple(_values(rest))
        if not separator or not key or not all(values):
            raise TopologyError(
                f"--set {shorten(text)}: must be KEY=VALUE,VALUE, got no "
                + ("'='" if not separator else "key" if not key else "value between two commas"),
                cure=_CURE,
            )
        if key in settings:
            raise TopologyError(f"--set {key}: is given twice; list all values at once", cure=_CURE)
        settings[key] = tuple(_plain(value) for value in values)
    return settings


def _values(text: str) -> Iterator[str]:
    depth, begun = 0, 0
    for index, letter in enumerate(text):
        depth += (letter in _OPEN) - (letter in _CLOSE)
        if letter == "," and depth == 0:
            yield text[begun:index].strip()
            begun = index + 1
    yield text[begun:].strip()


def _plain(text: str) -> ParamValue:
    """As the file would have it: `on` and `off` are words, numbers are numbers."""
    value = scalar(text)
    if isinstance(value, bool):
        return "on" if value else "off"
    return value if isinstance(value, str | int | float) else text


def with_settings(topology: Topology, settings: Mapping[str, tuple[ParamValue, ...]]) -> Topology:
    """The topology with these keys swept. Raises TopologyError naming the flag."""
    if not settings:
        return topology
    document = topology.to_document()
    document["experiment"]["sweep"] = {
        **document["experiment"].get("sweep", {}),
        **{key: list(values) for key, values in settings.items()},
    }
    try:
        changed = Topology.model_validate(document)
    except ValidationError as error:
        raise _error(problems_of(error)) from None
    changed.attach_source(topology.source, topology.lines)
    found = sweep.problems(changed)
    if found:
        raise _error(found)
    return changed


def _error(found: Sequence[Problem]) -> TopologyError:
    lines = dict.fromkeys(_line(problem) for problem in found)
    return TopologyError("\n".join(lines), cure=_CURE)


def _line(problem: Problem) -> str:
    key = problem.path[2] if problem.path[:2] == ("experiment", "sweep") else "?"
    return f"--set {key}: {problem.text}"
