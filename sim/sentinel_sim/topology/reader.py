"""Topology files: read with errors that name file, line and key; written back in full.

Whatever the input, the outcome is a sound `Topology` or a `TopologyError`.
"""

from __future__ import annotations

import io
import json
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML

from sentinel_sim.errors import TopologyError
from sentinel_sim.topology import graph, sweep
from sentinel_sim.topology.document import MAX_BYTES, Document, parse_document
from sentinel_sim.topology.messages import problems_of
from sentinel_sim.topology.model import Topology
from sentinel_sim.topology.problems import Problem, TopologyFileError
from sentinel_sim.topology.structure import nearest_line
from sentinel_sim.topology.units import shorten


def load(path: Path | str) -> Topology:
    """Read a topology file. Raises TopologyError (exit code 2)."""
    source = str(path)
    try:
        content = _read_bytes(Path(path), source)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise TopologyError(
            f"{source}: cannot be read, got: {reason}; check the path and its permissions"
        ) from error
    except ValueError as error:  # a NUL byte in the name
        raise TopologyError(f"{shorten(source)}: is no file name, got: {error}") from error
    return loads(_decode(content, source), source)


def _read_bytes(path: Path, source: str) -> bytes:
    if not stat.S_ISREG(path.stat().st_mode):
        raise TopologyError(
            f"{source}: is not a regular file; name a YAML file, such as topologies/chile-usa.yaml"
        )
    with path.open("rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise TopologyError(
            f"{source}: is larger than {MAX_BYTES} bytes, which no topology is; "
            "is it the right file?"
        )
    return content


def _decode(content: bytes, source: str) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = Problem(
            (), f"is not a text file, got byte 0x{content[error.start]:02x}; save it as UTF-8", line
        )
        raise TopologyFileError(source, [problem]) from error
    return text


def loads(text: str, name: str = "<text>") -> Topology:
    """Read a topology from text; `name` stands for the file in messages. Raises TopologyError."""
    if len(text) > MAX_BYTES:
        raise TopologyError(f"{name}: is larger than {MAX_BYTES} bytes, which no topology is")
    return _topology_of(parse_document(text, name), name)


def from_mapping(mapping: Mapping[str, object], name: str = "<mapping>") -> Topology:
    """A topology from what its file would hold, as plain data. Raises TopologyError."""
    try:
        # Through JSON: tuples become lists, and what no file could hold is refused.
        data = json.loads(json.dumps(dict(mapping), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise TopologyError(
            f"{name}: is not plain data, got: {error}",
            cure="use mappings, lists, text, numbers and booleans only, as a YAML file would",
        ) from error
    return _topology_of(Document(data, {}), name)


def _topology_of(document: Document, name: str) -> Topology:
    if not isinstance(document.data, dict):
        got = "nothing" if document.data is None else shorten(document.data)
        text_of = f"must be a mapping with the keys name, nodes, links, experiment, got {got}"
        raise TopologyFileError(name, [Problem((), text_of, 1)])
    try:
        topology = Topology.model_validate(document.data)
    except ValidationError as error:
        raise _file_error(name, document, problems_of(error)) from None
    topology.attach_source(name, document.lines)
    found = [*graph.problems(topology), *sweep.problems(topology)]
    if found:
        raise _file_error(name, document, found)
    return topology


def _file_error(name: str, document: Document, found: Sequence[Problem]) -> TopologyFileError:
    placed = [
        Problem(problem.path, problem.text, _line_of(document, problem))
        for problem in _without_echoes(document, found)
    ]
    return TopologyFileError(name, placed)


def _line_of(document: Document, problem: Problem) -> int | None:
    """Plain data that came from no file has no lines."""
    return nearest_line(document.lines, problem.path) or 1 if document.lines else None


def _without_echoes(document: Document, found: Sequence[Problem]) -> list[Problem]:
    """A wrong value in `defaults` is wrong in every link that takes it: report it once."""
    defaults = {problem.path[2:] for problem in found if problem.path[:1] == ("defaults",)}
    return [
        problem
        for problem in found
        if problem.path[:1] not in {("links",), ("nodes",)}
        or problem.path in document.lines
        or problem.path[2:] not in defaults
    ]


def dumps(topology: Topology) -> str:
    """The topology as YAML with every default written out (`processed.yaml`); loads as equal."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.representer.sort_base_mapping_type_on_output = False
    stream = io.StringIO()
    yaml.dump(topology.to_document(), stream)
    return stream.getvalue()
